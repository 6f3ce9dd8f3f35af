//! What a server publishes about itself (RFC 9728).

use portcullis_base::printable;
use serde_json::{Map, Value};

use super::{challenge::Wanted, scopes};
use crate::{
    endpoint::{Reach, same_origin},
    json,
    metadata::{RESOURCE_METADATA, resource_metadata_url},
    resource::canonical,
};

/// The longest document that is read.
pub const MAX_BYTES: usize = 64 * 1024;
/// More authorization servers than any honest server has.
const MAX_ISSUERS: usize = 16;

/// A place to look for the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub url: String,
    /// Why it may be there.
    pub source: Source,
}

/// Why a document may be at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The server said so when it refused.
    Challenge,
    /// The place for this very URL.
    Path,
    /// The place for all of the host.
    Root,
}

/// How exactly a document must name the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// Just as it is called.
    Exact,
    /// A part of its path is enough: an administrator said so.
    Prefix,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedResource {
    /// Its name as tokens have it: sent as `resource`, as it was written.
    pub resource: String,
    /// Who issues tokens for it.
    pub authorization_servers: Vec<String>,
    /// What tokens for it may be good for.
    pub scopes_supported: Option<Vec<String>>,
    /// What it calls itself. Printable; never shown as verified.
    pub resource_name: Option<String>,
}

/// Why a server's document is not used; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The settings hold no address that could have a document.
    #[error("\"{0}\" is not the address of a server")]
    Url(String),
    /// It sent us to somebody else for its document.
    #[error("the server says that its metadata is at \"{0}\", which is another origin than its own")]
    ForeignMetadata(String),
    /// More than [`MAX_BYTES`].
    #[error("the server's metadata is larger than 64 KiB")]
    TooLarge,
    /// Not one JSON object with members of the right types.
    #[error("the server's metadata is not a protected resource document")]
    Malformed,
    /// It speaks for somebody else.
    #[error("the metadata is that of \"{received}\", the server is \"{expected}\"")]
    Resource {
        /// As the settings say.
        expected: String,
        /// As the document says, printable.
        received: String,
    },
    /// It names nobody who issues tokens, or too many.
    #[error("the server's metadata names no authorization server, or more than 16")]
    Issuers,
    /// It names an address that nobody should be sent to.
    #[error("the server's metadata names the authorization server \"{0}\", which is not a plain https address")]
    Issuer(String),
    /// It does not take tokens where we send them.
    #[error("the server does not take tokens in the Authorization header")]
    Header,
}

/// Where the document of the server at `url` may be, in the order in which to look.
///
/// spec: UP-2: "`resource_metadata` URL of the challenge if present; else [the path form]; else [the root form]".
pub fn lookup(url: &str, wanted: Option<&Wanted>) -> Result<Vec<Place>, ResourceError> {
    let own = canonical(url).ok_or_else(|| ResourceError::Url(printable(url, 200)))?;
    if let Some(named) = wanted.and_then(|wanted| wanted.resource_metadata.as_deref()) {
        // spec: T-28: "resource_metadata must be same-origin with the resource". A server that points elsewhere is not asked
        // in other ways instead: it meant what it said.
        if !Reach::of(url).admits(named) || !same_origin(named, url) {
            return Err(ResourceError::ForeignMetadata(printable(named, 200)));
        }
        return Ok(vec![Place { url: named.to_owned(), source: Source::Challenge }]);
    }
    let path = resource_metadata_url(&own);
    let root = format!("{}{RESOURCE_METADATA}", origin_of(&own));
    let mut all = vec![Place { url: path, source: Source::Path }];
    if all[0].url != root {
        all.push(Place { url: root, source: Source::Root });
    }
    Ok(all)
}

/// Reads the document of the server at `url`.
pub fn parse(
    bytes: &[u8],
    url: &str,
    source: Source,
    tolerance: Tolerance,
) -> Result<ProtectedResource, ResourceError> {
    if bytes.len() > MAX_BYTES {
        return Err(ResourceError::TooLarge);
    }
    let members = json::object(bytes).ok_or(ResourceError::Malformed)?;
    let resource = members.get("resource").and_then(Value::as_str).ok_or(ResourceError::Malformed)?;
    if !speaks_for(resource, url, source, tolerance) {
        let received = printable(resource, 200);
        return Err(ResourceError::Resource { expected: url.to_owned(), received });
    }
    // spec: RFC9728#2: "If omitted, it is implied that all of [the methods] are supported".
    let methods = texts(&members, "bearer_methods_supported")?;
    if methods.is_some_and(|all| !all.iter().any(|method| method == "header")) {
        return Err(ResourceError::Header);
    }
    let authorization_servers = texts(&members, "authorization_servers")?.unwrap_or_default();
    if !(1..=MAX_ISSUERS).contains(&authorization_servers.len()) {
        return Err(ResourceError::Issuers);
    }
    // spec: UP-10, T-28: no way to a place that only we can reach.
    let reach = Reach::of(url);
    if let Some(bad) = authorization_servers.iter().find(|issuer| !reach.admits(issuer) || issuer.contains('?')) {
        return Err(ResourceError::Issuer(printable(bad, 200)));
    }
    Ok(ProtectedResource {
        resource: resource.to_owned(),
        authorization_servers,
        scopes_supported: texts(&members, "scopes_supported")?.map(|all| scopes::split(&all.join(" "))),
        resource_name: members.get("resource_name").and_then(Value::as_str).map(|name| printable(name, 80)),
    })
}

/// spec: UP-3, T-28, RFC9728#3.3: "MUST be identical to the protected resource's resource identifier value into which the
/// well-known URI path suffix was inserted": the URL, or the origin for the document of the whole host.
fn speaks_for(resource: &str, url: &str, source: Source, tolerance: Tolerance) -> bool {
    let Some((named, own)) = canonical(resource).zip(canonical(url)) else { return false };
    if named == own || (source == Source::Root && named == origin_of(&own)) {
        return true;
    }
    let below = || own.strip_prefix(&named).is_some_and(|rest| rest.starts_with(['/', '?']));
    tolerance == Tolerance::Prefix && same_origin(&named, &own) && below()
}

/// Scheme, host and port of a canonical URL.
fn origin_of(canonical: &str) -> &str {
    let authority = canonical.find("://").map_or(0, |at| at + 3);
    let end = canonical[authority..].find(['/', '?']).map_or(canonical.len(), |at| authority + at);
    &canonical[..end]
}

fn texts(members: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, ResourceError> {
    let Some(all) = members.get(name) else { return Ok(None) };
    let all = all.as_array().ok_or(ResourceError::Malformed)?;
    let all: Option<_> = all.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    all.map(Some).ok_or(ResourceError::Malformed)
}
