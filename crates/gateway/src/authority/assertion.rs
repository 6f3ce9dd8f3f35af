//! A statement of the gateway about a person, for servers of one's own: who calls, signed, for this server only and for a
//! moment. Such a server needs nothing but our published keys to believe it.

use http::HeaderValue;
use portcullis_base::{PersonId, Timestamp, token};
use portcullis_oauth::{jwt, resource::canonical};
use serde::Serialize;

use super::{Authority, MintError, Whom, mint::ask_administrator};
use crate::{
    config::{self, AssertionClaim, Credential},
    snapshot::Server,
};

/// A type of its own: neither an access token nor an ID token, whoever looks (RFC 8725 §3.11).
pub const TYPE: &str = "portcullis-identity+jwt";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a PersonId,
    iat: i64,
    exp: i64,
    jti: String,
    /// `person` or `service`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<&'a str>>,
}

impl Authority {
    /// What the header says of `whom` to `server`, and until when. The keys are at `/oauth/jwks`.
    pub fn assertion(&self, server: &Server, whom: &Whom) -> Result<(HeaderValue, Timestamp), MintError> {
        let failed = |detail: &str| MintError::refused(ask_administrator(server), detail);
        let Credential::Assertion(settings) = &*server.credential else {
            return Err(failed("the settings want no assertion for this server"));
        };
        let audience = server.url().and_then(|url| canonical(url.as_str()));
        let Some(audience) = audience else { return Err(failed("the server has no address to be named by")) };
        let now = self.clock.now();
        let until = now.plus(settings.lifetime);
        let claims = self.claims(settings, whom, &audience, (now, until));
        let signing = self.signing.load();
        let Some(key) = signing.current(now) else { return Err(failed("there is no key to sign with")) };
        let signed = jwt::sign(key, TYPE, &claims).map_err(|error| failed(&error.to_string()))?;
        let mut value = HeaderValue::try_from(signed).map_err(|error| failed(&error.to_string()))?;
        value.set_sensitive(true);
        Ok((value, until))
    }

    fn email(&self, person: &PersonId) -> Option<String> {
        self.snapshot.load().people.get(person)?.email.as_deref().map(str::to_owned)
    }

    fn claims<'a>(
        &'a self,
        settings: &config::Assertion,
        whom: &'a Whom,
        audience: &'a str,
        (now, until): (Timestamp, Timestamp),
    ) -> Claims<'a> {
        let says = |claim| settings.claims.contains(&claim);
        Claims {
            iss: self.public_url.as_str(),
            aud: audience,
            sub: &whom.person,
            iat: now.as_secs(),
            exp: until.as_secs(),
            jti: token::<16>(&*self.rng),
            kind: whom.kind.as_str(),
            name: says(AssertionClaim::Name).then_some(&*whom.name),
            email: says(AssertionClaim::Email).then(|| self.email(&whom.person)).flatten(),
            groups: says(AssertionClaim::Groups).then(|| whom.groups.iter().map(|group| &**group).collect()),
        }
    }
}
