//! The way from a server that wants to know who calls to the authorization server that can tell it. What is true of a document
//! is law (`portcullis_oauth::upstream`); here are the requests.

use bytes::Bytes;
use http::{HeaderMap, header};
use portcullis_base::printable;
use portcullis_gateway::outbound::{AddressPolicy, Ask, Dialer, Outbound};
use portcullis_oauth::upstream::{
    Reach,
    challenge::{self, Wanted},
    resource::{self, ProtectedResource, Source, Tolerance},
    same_site,
    server::{self, Choice, ChoiceError, Expected, Pkce, ServerMetadata},
};
use url::Url;

use super::TIMEOUT;
use crate::failure::{Failure, Result};

/// Where a person has to go to sign in at a server.
pub struct Found {
    /// The authorization server.
    pub issuer: String,
    /// What it says of itself.
    pub metadata: ServerMetadata,
    /// What the server calls itself in tokens; none if it does not say.
    pub resource: Option<String>,
    /// Which scopes it lists.
    pub listed: Option<Vec<String>>,
}

/// Somebody who looks.
pub struct Looking<'a> {
    /// The server.
    pub url: &'a str,
    /// The authorization server that the person named.
    pub issuer: Option<&'a str>,
    /// The one that the last sign-in was at.
    pub in_use: Option<&'a str>,
    /// Opens connections.
    pub dialer: &'a Dialer,
}

/// What an answer wants to be shown.
pub fn wanted(headers: &HeaderMap) -> Option<Wanted> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter().map(http::HeaderValue::as_bytes);
    Wanted::of(&challenge::parse(lines))
}

/// The client for everything that a server names. It goes to the whole world, and on a private network or this computer
/// only to the server that the person named and what belongs to it: a hostile server cannot make us ask somebody at home.
///
/// spec: SEC-10, T-28
pub fn outbound(dialer: &Dialer, url: &str, issuer: Option<&str>, target: &str) -> Outbound {
    let mut policy = AddressPolicy::global_only();
    for own in [Some(url), issuer].into_iter().flatten() {
        let named = Url::parse(own).ok();
        if let Some((host, port)) = named.as_ref().and_then(|url| url.host_str().zip(url.port_or_known_default())) {
            policy = policy.and(host, port);
        }
    }
    // A company's authorization server is often another name on the same network.
    let other = Url::parse(target).ok().filter(|other| other.scheme() == "https" && same_site(target, url));
    if let Some((host, port)) = other.as_ref().and_then(|url| url.host_str().zip(url.port_or_known_default())) {
        policy = policy.and(host, port);
    }
    Outbound::new(dialer.clone(), policy).with_total(TIMEOUT)
}

impl Looking<'_> {
    /// Goes all of the way. `wanted` is what the server said when it refused.
    ///
    /// spec: UP-2, UP-4, UP-5
    pub async fn find(&self, wanted: Option<&Wanted>) -> Result<Found> {
        let resource = self.resource(wanted).await?;
        let issuer = self.issuer(resource.as_ref())?;
        let metadata = self.metadata(&issuer).await?;
        let (resource, listed) = resource.map(|it| (it.resource, it.scopes_supported)).unzip();
        Ok(Found { issuer, metadata, resource, listed: listed.flatten() })
    }

    async fn resource(&self, wanted: Option<&Wanted>) -> Result<Option<ProtectedResource>> {
        for place in resource::lookup(self.url, wanted).map_err(wrong)? {
            match self.look(&place.url, resource::MAX_BYTES).await? {
                Some(body) => {
                    return resource::parse(&body, self.url, place.source, Tolerance::Exact).map(Some).map_err(wrong);
                }
                None if place.source == Source::Challenge => {
                    return Err(wrong(format!("it says that its metadata is at {}, and it is not", place.url)));
                }
                None => {}
            }
        }
        Ok(None)
    }

    fn issuer(&self, resource: Option<&ProtectedResource>) -> Result<String> {
        if resource.is_none() && self.issuer.is_none() {
            // spec: UP-11: servers of 2025-03-26 are their own authorization servers.
            return Ok(Url::parse(self.url).map_err(wrong)?.origin().ascii_serialization());
        }
        let listed = resource.map(|it| it.authorization_servers.as_slice()).unwrap_or_default();
        let choice = Choice { url: self.url, pinned: self.issuer, in_use: self.in_use, allowed: &[] };
        server::choose_issuer(listed, &choice).map_err(|error| match &error {
            ChoiceError::Foreign(all) => wrong(&error).help(format!(
                "if you know that your account for this server is there, add: --issuer {}",
                all.first().map(String::as_str).unwrap_or_default()
            )),
            ChoiceError::None => wrong(&error),
        })
    }

    async fn metadata(&self, issuer: &str) -> Result<ServerMetadata> {
        let expected = Expected { issuer, hosts: &[], pkce: Pkce::Listed, reach: Reach::of(self.url) };
        for url in server::lookup(issuer) {
            if let Some(body) = self.look(&url, server::MAX_BYTES).await? {
                return server::parse(&body, &expected).map_err(wrong);
            }
        }
        Err(wrong(format!("the authorization server {} publishes no metadata (RFC 8414)", printable(issuer, 200))))
    }

    /// The document at `url`; `None` if none is there.
    async fn look(&self, url: &str, limit: usize) -> Result<Option<Bytes>> {
        let outbound = outbound(self.dialer, self.url, self.issuer, url);
        let fetched = match outbound.fetch(Ask::get(url, "application/json", limit)).await {
            Ok(fetched) => fetched,
            Err(error) if error.was_answered() => return Ok(None),
            Err(error) => return Err(wrong(format!("{}: {}", printable(url, 200), printable(error.detail(), 300)))),
        };
        match fetched.status {
            status
                if status.is_success() && (fetched.is_json() || fetched.body.trim_ascii_start().starts_with(b"{")) =>
            {
                Ok(Some(fetched.body))
            }
            status if status.is_success() || status.is_client_error() => Ok(None),
            status => Err(wrong(format!("{} answered {status}", printable(url, 200)))),
        }
    }
}

fn wrong(why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("no way to sign in: {why}"))
}
