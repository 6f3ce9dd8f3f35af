//! Requests at an upstream's authorization server, and at a provider on a person's behalf, and what they answer (RFC 6749,
//! 7009, 7523, 8693).

use std::time::Duration;

use portcullis_base::Secret;
use serde_json::{Map, Value};

use super::{account, scopes};
use crate::{
    json,
    relying::{
        discovery::ID_JAG,
        token::{Said, said, seconds},
    },
};

pub use crate::relying::token::{ClientProof, MAX_BYTES, ProviderClient, TokenForm};

/// The longest token that is kept: more does not fit into a header anywhere.
const MAX_TOKEN_BYTES: usize = 32 * 1024;
/// Nobody's word on how long a token lives counts for longer.
const MAX_LIFETIME: Duration = Duration::from_hours(24 * 366);
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A kind of token in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// An access token.
    AccessToken,
    /// An ID token.
    IdToken,
    /// A refresh token.
    RefreshToken,
    /// A JWT of whatever kind.
    Jwt,
    /// An assertion for somebody else's authorization server.
    IdJag,
}

impl TokenType {
    /// The registered value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::IdJag => ID_JAG,
        }
    }
}

/// What tokens are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// A code that a person brought.
    Code {
        /// The code.
        code: &'a Secret,
        /// As it was in the request.
        redirect_uri: &'a str,
        /// What the challenge was made of.
        verifier: &'a Secret,
        /// As it was in the request.
        resource: Option<&'a str>,
    },
    /// A refresh token.
    Refresh {
        /// The token.
        token: &'a Secret,
        /// As it was in the request.
        resource: Option<&'a str>,
    },
    /// Ourselves.
    ClientCredentials {
        /// What for.
        scopes: &'a [String],
        /// Where.
        resource: Option<&'a str>,
    },
    /// A token of a person, for another one (RFC 8693).
    Exchange(Exchange<'a>),
    /// A token of a person for us, in Entra's words.
    OnBehalfOf {
        /// Their token; its audience is us.
        assertion: &'a Secret,
        /// What for.
        scopes: &'a [String],
    },
    /// What a provider says about a person and us (RFC 7523).
    Assertion {
        /// What it says.
        assertion: &'a Secret,
        /// What for; none: as it says.
        scopes: &'a [String],
        /// Where; none: as it says.
        resource: Option<&'a str>,
    },
}

/// An exchange of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Whose token.
    pub subject: &'a Secret,
    /// Which kind it is.
    pub subject_type: TokenType,
    /// Which kind is wanted.
    pub requested: TokenType,
    /// For whom, by the name the provider has for them: for an ID-JAG the issuer of the upstream's authorization server.
    pub audience: Option<&'a str>,
    /// For whom, by address.
    pub resource: Option<&'a str>,
    /// What for.
    pub scopes: &'a [String],
}

/// A token to give up.
#[derive(Clone, Copy, Debug)]
pub enum Revoke<'a> {
    /// A refresh token, and with it what came of it.
    Refresh(&'a Secret),
    /// An access token alone.
    Access(&'a Secret),
}

/// What an authorization server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Goes along with requests.
    pub access: Secret,
    /// For fresh tokens.
    pub refresh: Option<Secret>,
    /// How long the access token lives.
    pub expires_in: Option<Duration>,
    /// What was granted, if it is not what was asked for.
    pub scopes: Option<Vec<String>>,
    /// Whose account it seems to be: for people's eyes only.
    pub account: Option<String>,
}

/// A provider's word for somebody else's authorization server. Used once, then forgotten (UP-84).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdJag {
    /// The assertion.
    pub assertion: Secret,
    /// How long it is good.
    pub expires_in: Option<Duration>,
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The authorization server said no.
    #[error("the authorization server refused: {0}")]
    Refused(Refused),
    /// Not an answer that we can read.
    #[error("the authorization server's answer is not a token answer")]
    Malformed,
    /// A token that we do not know how to use.
    #[error("the authorization server gave a token that is not a bearer token")]
    TokenType,
    /// A token of another kind than the one that was asked for.
    #[error("the authorization server gave a token of another kind than was asked for")]
    IssuedType,
}

/// A refusal, by what follows from it. The texts are printable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The code, token or assertion is no longer good: somebody has to sign in again.
    #[error("invalid_grant{}", said_text(.0.as_ref()))]
    InvalidGrant(Option<String>),
    /// It does not know us, or no longer: register again, or change the settings.
    #[error("invalid_client{}", said_text(.0.as_ref()))]
    InvalidClient(Option<String>),
    /// It knows us and does not let us ask in this way.
    #[error("unauthorized_client{}", said_text(.0.as_ref()))]
    UnauthorizedClient(Option<String>),
    /// It does not give such scopes.
    #[error("invalid_scope{}", said_text(.0.as_ref()))]
    InvalidScope(Option<String>),
    /// It gives no tokens for this resource.
    #[error("invalid_target{}", said_text(.0.as_ref()))]
    InvalidTarget(Option<String>),
    /// It does not let this person.
    #[error("access_denied{}", said_text(.0.as_ref()))]
    AccessDenied(Option<String>),
    /// It wants to see the person itself.
    #[error("interaction_required{}", said_text(.0.as_ref()))]
    Interaction(Option<String>),
    /// It cannot just now.
    #[error("{}", .0)]
    Temporary(String),
    /// Anything else.
    #[error("{code}{}", said_text(.description.as_ref()))]
    Other {
        /// Its code.
        code: String,
        /// Its words.
        description: Option<String>,
    },
}

fn said_text(text: Option<&String>) -> String {
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

/// Writes a request down.
pub fn form(client: &ProviderClient<'_>, grant: &Grant<'_>) -> TokenForm {
    use crate::relying::token::Wanted;
    // spec: UP-30, RFC8707#2: the resource in each of them.
    let (mut pairs, scopes, resource): (Vec<_>, &[String], _) = match *grant {
        Grant::Code { code, redirect_uri, verifier, resource } => {
            (Wanted::Redeem { code, redirect_uri, verifier }.pairs(), &[], resource)
        }
        Grant::Refresh { token, resource } => (Wanted::Refresh(token).pairs(), &[], resource),
        Grant::ClientCredentials { scopes, resource } => (vec![("grant_type", "client_credentials")], scopes, resource),
        Grant::Exchange(exchange) => (exchange.pairs(), exchange.scopes, exchange.resource),
        Grant::OnBehalfOf { assertion, scopes } => {
            let pairs = vec![
                ("grant_type", JWT_BEARER),
                ("assertion", assertion.reveal()),
                ("requested_token_use", "on_behalf_of"),
            ];
            (pairs, scopes, None)
        }
        // spec: UP-82, RFC7523#2.1.
        Grant::Assertion { assertion, scopes, resource } => {
            (vec![("grant_type", JWT_BEARER), ("assertion", assertion.reveal())], scopes, resource)
        }
    };
    let scopes = scopes.join(" ");
    if !scopes.is_empty() {
        pairs.push(("scope", &scopes));
    }
    pairs.extend(resource.map(|resource| ("resource", resource)));
    TokenForm::of(client, pairs)
}

/// Writes down that a token is given up.
///
/// spec: UP-47, RFC7009#2.1.
pub fn revocation(client: &ProviderClient<'_>, token: Revoke<'_>) -> TokenForm {
    let (token, hint) = match token {
        Revoke::Refresh(token) => (token, "refresh_token"),
        Revoke::Access(token) => (token, "access_token"),
    };
    TokenForm::of(client, vec![("token", token.reveal()), ("token_type_hint", hint)])
}

impl<'a> Exchange<'a> {
    /// spec: UP-81, RFC8693#2.1.
    fn pairs(&self) -> Vec<(&'a str, &'a str)> {
        let mut pairs = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", self.subject.reveal()),
            ("subject_token_type", self.subject_type.as_str()),
            ("requested_token_type", self.requested.as_str()),
        ];
        pairs.extend(self.audience.map(|audience| ("audience", audience)));
        pairs
    }
}

/// Reads an answer with an access token, good or bad: there are servers that refuse with status 200.
pub fn parse(body: &[u8]) -> Result<Tokens, AnswerError> {
    tokens(&read(body)?)
}

/// Reads the answer to an exchange for an access token.
pub fn parse_exchanged(body: &[u8]) -> Result<Tokens, AnswerError> {
    let members = read(body)?;
    // spec: RFC8693#2.2.1: `issued_token_type` is required. An ID token or an assertion is not to be sent to an upstream.
    match members.get("issued_token_type").and_then(Value::as_str) {
        Some(kind) if kind == TokenType::AccessToken.as_str() || kind == TokenType::Jwt.as_str() => tokens(&members),
        _ => Err(AnswerError::IssuedType),
    }
}

/// Reads the answer to an exchange for an assertion.
///
/// spec: UP-82: "Require the answer `issued_token_type` = `...:id-jag`". RFC8693#2.2.1: its `token_type` is `N_A`.
pub fn parse_id_jag(body: &[u8]) -> Result<IdJag, AnswerError> {
    let members = read(body)?;
    if text(&members, "issued_token_type") != Some(TokenType::IdJag.as_str()) {
        return Err(AnswerError::IssuedType);
    }
    if !text(&members, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("n_a")) {
        return Err(AnswerError::TokenType);
    }
    let assertion = token(&members, "access_token")?.ok_or(AnswerError::Malformed)?;
    Ok(IdJag { assertion, expires_in: lifetime(&members) })
}

/// What a refusal says; also of a body that is none.
pub fn refusal(body: &[u8]) -> Refused {
    match read(body) {
        Err(AnswerError::Refused(refused)) => refused,
        _ => Refused::Other { code: "an answer that says no reason".into(), description: None },
    }
}

fn read(body: &[u8]) -> Result<Map<String, Value>, AnswerError> {
    let members = (body.len() <= MAX_BYTES).then(|| json::object(body)).flatten().ok_or(AnswerError::Malformed)?;
    match said(&members) {
        Some(said) => Err(AnswerError::Refused(refused(said))),
        None => Ok(members),
    }
}

fn tokens(members: &Map<String, Value>) -> Result<Tokens, AnswerError> {
    let access = token(members, "access_token")?.ok_or(AnswerError::Malformed)?;
    // spec: RFC6749#7.1: "The client MUST NOT use an access token if it does not understand the token type."
    if !text(members, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(AnswerError::TokenType);
    }
    Ok(Tokens {
        access,
        refresh: token(members, "refresh_token")?,
        expires_in: lifetime(members),
        scopes: text(members, "scope").map(scopes::split),
        account: account::name(members),
    })
}

/// A token that can stand in a header without being read as anything else.
///
/// spec: UP-48.
fn token(members: &Map<String, Value>, name: &str) -> Result<Option<Secret>, AnswerError> {
    match text(members, name) {
        None => Ok(None),
        Some(token) if token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(Some(Secret::new(token.to_owned())))
        }
        Some(_) => Err(AnswerError::Malformed),
    }
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn lifetime(members: &Map<String, Value>) -> Option<Duration> {
    members.get("expires_in").and_then(seconds).map(|lifetime| lifetime.min(MAX_LIFETIME))
}

fn refused(Said { code, description }: Said) -> Refused {
    match code.as_str() {
        // The second is GitHub's name for it.
        "invalid_grant" | "bad_refresh_token" => Refused::InvalidGrant(description),
        "invalid_client" => Refused::InvalidClient(description),
        "unauthorized_client" => Refused::UnauthorizedClient(description),
        "invalid_scope" | "insufficient_scope" => Refused::InvalidScope(description),
        "invalid_target" => Refused::InvalidTarget(description),
        "access_denied" => Refused::AccessDenied(description),
        "interaction_required" | "login_required" | "consent_required" => Refused::Interaction(description),
        "server_error" | "temporarily_unavailable" | "slow_down" => Refused::Temporary(code),
        _ => Refused::Other { code, description },
    }
}
