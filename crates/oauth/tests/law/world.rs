//! What the tests share: one gateway, its endpoints, its clock and its clients.

use std::time::Duration;

use portcullis_base::{ClientId, Digest, GrantId, PersonId, Timestamp};
use portcullis_oauth::{
    client::{AuthMethod, Client, ClientKind, ClientMetadata},
    grant::{Code, Grant, RefreshToken},
    jwks::{KeySet, ScheduledKey, SigningKey},
    parameters::Parameters,
    pkce::Challenge,
    resource::Resources,
    scope::Scopes,
};

pub const ISSUER: &str = "https://gw.example";
pub const WIKI: &str = "https://gw.example/mcp/wiki";
pub const PAYMENTS: &str = "https://gw.example/mcp/payments";
pub const CALLBACK: &str = "https://app.example/callback";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const SECRET: &str = "a+secret with spaces:and more%";
pub const NOW: Timestamp = Timestamp::from_secs(1_795_400_000);

pub fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub fn random() -> ring::rand::SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "a test may draw its keys from the system")]
    ring::rand::SystemRandom::new()
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate(&random()).unwrap(), random()).unwrap()
}

/// A key that has been signing for a while.
pub fn key_set() -> KeySet {
    KeySet::new(vec![scheduled(0, 10_000_000)])
}

pub fn scheduled(activates_in: u64, retires_in: u64) -> ScheduledKey {
    ScheduledKey { key: signing_key(), activates_at: later(activates_in), retires_at: later(retires_in) }
}

pub fn resources(default: Option<&str>) -> Resources<'_> {
    Resources { known: &|url| url == WIKI || url == PAYMENTS, default }
}

pub fn client(id: &str, metadata: ClientMetadata) -> Client {
    let secret = metadata.token_endpoint_auth_method.is_symmetric().then(|| Digest::of(SECRET.as_bytes()));
    Client::new(ClientId::new(id), ClientKind::Registered, metadata, secret, NOW)
}

pub fn public_client() -> Client {
    client("app", ClientMetadata::public(vec![CALLBACK.into()]))
}

pub fn client_with(method: AuthMethod) -> Client {
    client("app", ClientMetadata { token_endpoint_auth_method: method, ..public_client().metadata })
}

pub fn form(pairs: &[(&str, &str)]) -> Parameters {
    Parameters::parse(&encoded(pairs)).unwrap()
}

pub fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub fn grant() -> Grant {
    Grant {
        id: GrantId::new("grt_1"),
        person: PersonId::new("usr_ada"),
        client: ClientId::new("app"),
        resource: WIKI.into(),
        scopes: Scopes::endpoint(),
        redirect_uri: CALLBACK.into(),
        created_at: NOW,
        expires_at: later(30 * 24 * 3600),
        authenticated_at: None,
        acr: None,
        session: None,
        revoked: None,
    }
}

pub fn code() -> Code {
    Code {
        hash: Digest::of(b"code"),
        grant: GrantId::new("grt_1"),
        challenge: Challenge::parse(CHALLENGE).unwrap(),
        expires_at: later(60),
        redeemed_at: None,
    }
}

pub fn refresh_token() -> RefreshToken {
    RefreshToken {
        hash: Digest::of(b"refresh"),
        grant: GrantId::new("grt_1"),
        issued_at: NOW,
        expires_at: later(14 * 24 * 3600),
        replaced_at: None,
        successor: None,
        successor_used: false,
    }
}

pub fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}
