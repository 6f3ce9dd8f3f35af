//! Step two: the token says who calls, or nobody does (RS-9 to RS-21).

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use portcullis_audit::Actor;
use portcullis_base::{ClientId, Digest, PersonId, ServerName};
use portcullis_oauth::{
    access::AccessClaims,
    bearer::{self, Denied},
    scope::Scopes,
};
use portcullis_store::PersonKind;
use quick_cache::sync::Cache;

use super::{parts::Parts, refusal::Refusal};
use crate::{
    access_keys::{self, AccessKey},
    caller::{Caller, Renewal},
    correlation,
    fresh::SignIn,
    snapshot::{Person, Snapshot},
};

/// Tokens that were verified, by their digest: a signature costs more than the whole rest of the path.
pub(super) struct Tokens(Cache<Digest, Arc<Verified>>);

/// A token of ours with a good signature.
struct Verified {
    claims: AccessClaims,
    sign_in: Option<SignIn>,
}

impl Tokens {
    pub(super) fn new(most: usize) -> Self {
        Self(Cache::new(most))
    }
}

/// The endpoint that is called: its own protected resource (RS-32: named by the settings, never by the request).
pub(super) struct Resource<'a> {
    pub public_url: &'a str,
    pub name: &'a ServerName,
}

impl Resource<'_> {
    /// The answer to a request whose token does not reach `needed`.
    pub(super) fn deny(&self, denied: Denied, needed: &Scopes) -> Refusal {
        let metadata = format!("{}/.well-known/oauth-protected-resource/mcp/{}", self.public_url, self.name);
        let status = StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        Refusal::challenge(status, &denied.challenge(&metadata, needed))
    }

    /// Its URL, which is the audience of its tokens.
    fn url(&self) -> String {
        format!("{}/mcp/{}", self.public_url, self.name)
    }
}

/// What a token is judged by.
pub(super) struct Proving<'a> {
    pub parts: &'a Parts,
    pub tokens: &'a Tokens,
    pub snapshot: &'a Snapshot,
    pub resource: Resource<'a>,
}

impl Proving<'_> {
    /// Who calls.
    pub(super) async fn caller(&self, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let mut caller = self.known(uri, headers).await?;
        if self.snapshot.bundle.reads_session() {
            let labels = self.parts.labels.of(&caller.person, &caller.client).await;
            caller.labels = labels.map_err(|error| {
                tracing::error!(%error, "what rules call a session cannot be read");
                // Judged without it, a call could be let through that may not be made any more.
                Refusal::status(StatusCode::SERVICE_UNAVAILABLE)
            })?;
        }
        Ok(caller)
    }

    async fn known(&self, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let authorization = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = bearer::extract(authorization, uri.query());
        match self.parts.externals.get(self.resource.name) {
            None => token
                .and_then(|token| self.ours(token))
                .map_err(|denied| self.resource.deny(denied, &Scopes::endpoint())),
            // spec: RS-21: who issues the tokens of this endpoint issues all of them; ours are for other endpoints.
            Some(external) => match token {
                Ok(token) => Box::pin(external.caller(token, &self.snapshot.people)).await,
                Err(denied) => Err(denied),
            }
            // Its scopes are its own, so none are asked for.
            .map_err(|denied| self.resource.deny(denied, &Scopes::none())),
        }
    }

    fn ours(&self, token: &str) -> Result<Caller, Denied> {
        if token.starts_with(access_keys::PREFIX) {
            return self.key(token);
        }
        let verified = self.verified(token)?;
        let claims = &verified.claims;
        // spec: RS-19, RS-20, T-34: time, audience and revocation are looked at on every use, remembered or not.
        let (endpoint, now) = (self.resource.url(), self.parts.clock.now());
        let of = || (&claims.person, &claims.client);
        claims.check(&endpoint, now).map_err(|why| self.no_more(of(), why.to_string()))?;
        let person = self.person(&claims.person, &claims.client)?;
        if self.parts.ended.has_grant(&claims.grant) {
            return Err(self.no_more(of(), "the grant has ended"));
        }
        Ok(Caller {
            person: claims.person.clone(),
            name: person.name.clone(),
            kind: person.kind(),
            groups: person.groups.clone(),
            roles: person.roles,
            client: claims.client.clone(),
            grant: claims.grant.clone(),
            scopes: claims.scopes.clone(),
            expires_at: claims.expires_at,
            sign_in: self.parts.fresh.of(&claims.grant).or_else(|| verified.sign_in.clone()),
            labels: Arc::default(),
            renewal: renewal(person),
        })
    }

    /// spec: RS-35: a key is a bearer token like any other, and only where it is for.
    fn key(&self, token: &str) -> Result<Caller, Denied> {
        let found = self.parts.access_keys.find(token, &self.resource.url(), self.parts.clock.now());
        let key = found.ok_or_else(|| invalid("the access key is unknown or over, or for another endpoint"))?;
        let person = self.person(&key.person, &AccessKey::client())?;
        if self.parts.ended.has_grant(&key.grant) {
            return Err(self.no_more((&key.person, &AccessKey::client()), "the grant has ended"));
        }
        Ok(Caller {
            person: key.person.clone(),
            name: person.name.clone(),
            kind: person.kind(),
            groups: person.groups.clone(),
            roles: person.roles,
            client: AccessKey::client(),
            grant: key.grant.clone(),
            scopes: key.scopes.clone(),
            expires_at: key.expires_at,
            sign_in: self.parts.fresh.of(&key.grant).or_else(|| key.sign_in.clone()),
            labels: Arc::default(),
            renewal: renewal(person),
        })
    }

    /// spec: T-53: whoever may no longer sign in calls nothing, whatever was issued to them.
    fn person(&self, id: &PersonId, client: &ClientId) -> Result<&Arc<Person>, Denied> {
        let found = self.snapshot.people.get(id).filter(|person| !person.shut_out);
        found.ok_or_else(|| self.no_more((id, client), "the person may not sign in"))
    }

    /// A token of somebody's, which was good once or is good elsewhere.
    fn no_more(&self, (person, client): (&PersonId, &ClientId), why: impl Into<Cow<'static, str>>) -> Denied {
        let name = self.snapshot.people.get(person).map(|person| person.name.clone());
        let actor = Actor { person: Some(person.clone()), name, client: Some(client.clone()), address: None };
        correlation::asked(actor, Some(self.resource.name));
        invalid(why)
    }

    fn verified(&self, token: &str) -> Result<Arc<Verified>, Denied> {
        let digest = Digest::of(token.as_bytes());
        if let Some(verified) = self.tokens.0.get(&digest) {
            return Ok(verified);
        }
        let Parts { settings, signing, clock, .. } = self.parts;
        let claims =
            AccessClaims::verify(token, &settings.public_url, &signing.load(), clock.now()).map_err(|why| {
                tracing::info!(%why, "token refused");
                invalid(why.to_string())
            })?;
        let acr = claims.acr.as_deref().map(Arc::from);
        let sign_in = claims.authenticated_at.map(|at| SignIn { at, acr });
        let verified = Arc::new(Verified { claims, sign_in });
        self.tokens.0.insert(digest, verified.clone());
        Ok(verified)
    }
}

fn invalid(why: impl Into<Cow<'static, str>>) -> Denied {
    correlation::because(why);
    Denied::InvalidToken
}

fn renewal(person: &Person) -> Renewal {
    match person.kind {
        PersonKind::Person => Renewal::Here,
        PersonKind::Service => Renewal::Nowhere,
    }
}
