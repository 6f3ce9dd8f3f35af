//! What a person agreed to, and when that may be taken as read.

use portcullis_base::{ClientId, Digest, PersonId};

use crate::{authorize::Checked, client::Client, redirect, scope::Scopes};

/// Everything a consent is bound to: if any of it differs, it is another consent.
///
/// spec: T-6, T-25, AS-131: (person, client, redirect URI, resource, scopes, metadata digest).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsentKey {
    /// Who agreed.
    pub person: PersonId,
    /// To which client.
    pub client: ClientId,
    /// With codes going where.
    pub redirect_uri: String,
    /// For which endpoint.
    pub resource: String,
    /// To what extent.
    pub scopes: Scopes,
    /// As the client described itself then.
    pub document_hash: Digest,
}

impl ConsentKey {
    /// What `person` is asked, or was asked before, for this request of this client.
    pub fn new(person: PersonId, client: &Client, request: &Checked) -> Self {
        Self {
            person,
            client: client.id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            resource: request.resource.clone(),
            scopes: request.scopes.clone(),
            document_hash: client.document_hash,
        }
    }

    /// One digest over all of it, for look-up.
    pub fn digest(&self) -> Digest {
        let scopes = self.scopes.to_string();
        let parts: [&[u8]; 6] = [
            self.person.as_str().as_bytes(),
            self.client.as_str().as_bytes(),
            self.redirect_uri.as_bytes(),
            self.resource.as_bytes(),
            scopes.as_bytes(),
            self.document_hash.as_bytes(),
        ];
        let mut text = Vec::new();
        for part in parts {
            // Lengths keep two different keys from running into the same text.
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        Digest::of(&text)
    }
}

/// Whether consent for this redirect URI may be remembered at all.
///
/// spec: T-5: not for loopback and private-use schemes, where any program can claim to be the client.
pub fn may_remember(redirect_uri: &str) -> bool {
    redirect_uri.starts_with("https://") && !redirect::is_loopback(redirect_uri)
}

/// Whether a remembered consent may answer this navigation without a page.
///
/// spec: AS-140, T-5: only when the person came by themselves or from our own pages; a missing header is not that.
pub fn may_skip(request: &Checked, sec_fetch_site: Option<&str>) -> bool {
    may_remember(&request.redirect_uri)
        && !request.wants_consent
        && matches!(sec_fetch_site, Some("none" | "same-origin"))
}
