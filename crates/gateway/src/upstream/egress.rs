//! How one server is spoken to beyond where it is: certificates, headers that every request has, and in which words.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::{
    config::{self, Allow},
    outbound::{Certificates, CertificatesError},
};

/// What an administrator said of the way to a server.
#[derive(Clone, Default, PartialEq)]
pub struct Egress {
    /// Its authority, and what we show.
    pub(super) certificates: Option<Certificates>,
    /// Headers that every request has.
    pub(super) headers: HeaderMap,
    /// What it may ask of clients, and tell them.
    pub(super) allow: Allow,
    /// How it is spoken to, if that need not be found out.
    pub(super) speaks: config::Speaks,
    /// The document that describes it, if it is an API and no MCP server.
    pub(super) openapi: Option<Arc<config::OpenApi>>,
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Its certificates.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The value of a header, whose name this is.
    #[error("the value of the header {0} cannot stand in a request")]
    Header(String),
}

impl Egress {
    /// The way to the server of this entry.
    pub fn new(entry: &config::Server) -> Result<Self, EgressError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &entry.headers {
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| EgressError::Header(name.to_string()))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let certificates =
            if entry.tls == config::Tls::default() { None } else { Some(Certificates::read(&entry.tls)?) };
        let openapi = entry.place.openapi().map(|api| Arc::new(api.clone()));
        Ok(Self { certificates, headers, speaks: entry.speaks, allow: entry.allow, openapi })
    }

    /// A plain way to a server that is known to be spoken to like this.
    pub fn speaking(speaks: config::Speaks) -> Self {
        Self { speaks, ..Self::default() }
    }

    /// The same, for a server that may ask this of clients.
    pub fn allowing(self, allow: Allow) -> Self {
        Self { allow, ..self }
    }

    /// Its authority, and what we show, if an administrator named some.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }
}
