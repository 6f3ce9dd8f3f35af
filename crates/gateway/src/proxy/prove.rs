//! Step two: the token says who calls, or nobody does (RS-9 to RS-21).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use portcullis_base::Digest;
use portcullis_oauth::{
    access::AccessClaims,
    bearer::{self, Denied},
    scope::Scopes,
};
use quick_cache::sync::Cache;

use super::{parts::Parts, refusal::Refusal};
use crate::caller::Caller;

/// Tokens that were verified, by their digest: a signature costs more than the whole rest of the path.
pub(super) struct Tokens(Cache<Digest, Arc<AccessClaims>>);

impl Tokens {
    pub(super) fn new(most: usize) -> Self {
        Self(Cache::new(most))
    }
}

/// The endpoint that is called: its own protected resource (RS-32: named by the settings, never by the request).
pub(super) struct Resource<'a> {
    pub public_url: &'a str,
    pub name: &'a str,
}

impl Resource<'_> {
    /// The answer to a request whose token does not reach `needed`.
    pub(super) fn deny(&self, denied: Denied, needed: &Scopes) -> Refusal {
        let metadata = format!("{}/.well-known/oauth-protected-resource/mcp/{}", self.public_url, self.name);
        let status = StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        Refusal::challenge(status, &denied.challenge(&metadata, needed))
    }
}

/// Who calls.
pub(super) fn prove(
    parts: &Parts,
    tokens: &Tokens,
    resource: &Resource<'_>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let authorization = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    bearer::extract(authorization, uri.query())
        .and_then(|token| caller(parts, tokens, resource, token))
        .map_err(|denied| resource.deny(denied, &Scopes::endpoint()))
}

fn caller(parts: &Parts, tokens: &Tokens, resource: &Resource<'_>, token: &str) -> Result<Caller, Denied> {
    let claims = verified(parts, tokens, token)?;
    // spec: RS-19, RS-20, T-34: time, audience and revocation are looked at on every use, remembered or not.
    let endpoint = format!("{}/mcp/{}", resource.public_url, resource.name);
    claims.check(&endpoint, parts.clock.now()).map_err(|_| Denied::InvalidToken)?;
    if parts.ended.has_grant(&claims.grant) {
        return Err(Denied::InvalidToken);
    }
    let snapshot = parts.snapshot.load();
    let person = snapshot.people.get(&claims.person).filter(|person| !person.disabled).ok_or(Denied::InvalidToken)?;
    Ok(Caller {
        person: claims.person.clone(),
        name: person.name.clone(),
        groups: person.groups.clone(),
        admin: person.admin,
        client: claims.client.clone(),
        grant: claims.grant.clone(),
        scopes: claims.scopes.clone(),
        expires_at: claims.expires_at,
    })
}

fn verified(parts: &Parts, tokens: &Tokens, token: &str) -> Result<Arc<AccessClaims>, Denied> {
    let digest = Digest::of(token.as_bytes());
    if let Some(claims) = tokens.0.get(&digest) {
        return Ok(claims);
    }
    let issuer = &parts.settings.public_url;
    let claims = AccessClaims::verify(token, issuer, &parts.signing.load(), parts.clock.now()).map_err(|why| {
        tracing::info!(%why, "token refused");
        Denied::InvalidToken
    })?;
    let claims = Arc::new(claims);
    tokens.0.insert(digest, claims.clone());
    Ok(claims)
}
