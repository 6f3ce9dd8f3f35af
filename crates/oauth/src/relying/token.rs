//! Requests of ours at a provider's token endpoint and its siblings, and what they answer (RFC 6749, 7009, 7662).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::{Secret, printable};
use serde_json::{Map, Value};

use crate::{client_auth::ASSERTION_TYPE, json, redirect};

/// The longest answer that is read.
pub const MAX_BYTES: usize = 64 * 1024;

/// Who we are at a provider.
#[derive(Clone, Debug)]
pub struct ProviderClient<'a> {
    /// Our name there.
    pub id: &'a str,
    /// How we prove it.
    pub proof: ClientProof<'a>,
}

/// How we prove who we are.
#[derive(Clone, Copy, Debug)]
pub enum ClientProof<'a> {
    /// We do not: a public client.
    Public,
    /// Secret in the `Authorization` header.
    Basic(&'a Secret),
    /// Secret in the form.
    Post(&'a Secret),
    /// A JWT signed with our own key for this request.
    Assertion(&'a Secret),
}

/// What we want.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Tokens for a code.
    Redeem {
        /// The code.
        code: &'a Secret,
        /// As it was in the request.
        redirect_uri: &'a str,
        /// What the challenge was made of.
        verifier: &'a Secret,
    },
    /// Fresh tokens.
    Refresh(&'a Secret),
    /// Fresh tokens with other scopes than those of the sign-in.
    RefreshFor {
        /// The refresh token.
        token: &'a Secret,
        /// The scopes, with spaces between.
        scope: &'a str,
    },
    /// That a refresh token is given up (RFC 7009).
    Revoke(&'a Secret),
    /// What an access token is worth (RFC 7662).
    Introspect(&'a Secret),
}

/// A request, ready to be sent as `application/x-www-form-urlencoded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenForm {
    /// The value of the `Authorization` header.
    pub authorization: Option<Secret>,
    /// The body.
    pub body: Secret,
}

/// What a provider gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTokens {
    /// Who signed in.
    pub id_token: Option<Secret>,
    /// For the provider's own endpoints.
    pub access_token: Secret,
    /// For fresh tokens.
    pub refresh_token: Option<Secret>,
    /// How long the access token lives.
    pub expires_in: Option<Duration>,
    /// What was granted, if it is not what was asked for.
    pub scope: Option<String>,
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenAnswerError {
    /// The provider said no.
    #[error("the provider refused: {0}")]
    Refused(Refusal),
    /// Not an answer that we can read.
    #[error("the provider's answer is not a token answer")]
    Malformed,
}

/// A refusal by its code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The code or refresh token is no longer good: the person's access there may have ended.
    #[error("invalid_grant{}", .0.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    InvalidGrant(Option<String>),
    /// Anything else: the settings, or the provider's own trouble. Printable.
    #[error("{0}")]
    Other(String),
}

impl TokenForm {
    /// Writes the request down.
    pub fn new(client: &ProviderClient<'_>, wanted: &Wanted<'_>) -> Self {
        Self::of(client, wanted.pairs())
    }

    /// Any request with the proof of who sends it.
    pub(crate) fn of<'a>(client: &ProviderClient<'a>, mut pairs: Vec<(&'a str, &'a str)>) -> Self {
        let authorization = match client.proof {
            ClientProof::Basic(secret) => Some(basic(client.id, secret)),
            ClientProof::Post(secret) => {
                pairs.extend([("client_id", client.id), ("client_secret", secret.reveal())]);
                None
            }
            // spec: RFC7523#2.2.
            ClientProof::Assertion(assertion) => {
                pairs.extend([
                    ("client_id", client.id),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", assertion.reveal()),
                ]);
                None
            }
            ClientProof::Public => {
                pairs.push(("client_id", client.id));
                None
            }
        };
        Self { authorization, body: Secret::new(redirect::form(&pairs)) }
    }
}

impl<'a> Wanted<'a> {
    pub(crate) fn pairs(&self) -> Vec<(&'a str, &'a str)> {
        match *self {
            // spec: AS-142: the verifier goes along with every code.
            Wanted::Redeem { code, redirect_uri, verifier } => vec![
                ("grant_type", "authorization_code"),
                ("code", code.reveal()),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier.reveal()),
            ],
            Wanted::Refresh(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token.reveal())],
            Wanted::RefreshFor { token, scope } => {
                vec![("grant_type", "refresh_token"), ("refresh_token", token.reveal()), ("scope", scope)]
            }
            Wanted::Revoke(token) => vec![("token", token.reveal()), ("token_type_hint", "refresh_token")],
            Wanted::Introspect(token) => vec![("token", token.reveal()), ("token_type_hint", "access_token")],
        }
    }
}

/// spec: RFC6749#2.3.1: both parts form-encoded, then base64.
fn basic(id: &str, secret: &Secret) -> Secret {
    let pair = Secret::new(format!("{}:{}", redirect::encoded(id), redirect::encoded(secret.reveal())));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())))
}

/// Reads an answer, good or bad: there are providers that refuse with status 200.
pub fn parse(body: &[u8]) -> Result<ProviderTokens, TokenAnswerError> {
    let members = (body.len() <= MAX_BYTES).then(|| json::object(body)).flatten().ok_or(TokenAnswerError::Malformed)?;
    if let Some(refusal) = refused(&members) {
        return Err(TokenAnswerError::Refused(refusal));
    }
    let text = |name| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let secret = |name| text(name).map(|text| Secret::new(text.to_owned()));
    // spec: RFC6749#7.1: "The client MUST NOT use an access token if it does not understand the token type."
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(TokenAnswerError::Malformed);
    }
    Ok(ProviderTokens {
        id_token: secret("id_token"),
        access_token: secret("access_token").ok_or(TokenAnswerError::Malformed)?,
        refresh_token: secret("refresh_token"),
        expires_in: members.get("expires_in").and_then(seconds),
        scope: text("scope").map(str::to_owned),
    })
}

/// What a refusal says; also of a body that is none.
pub fn refusal(body: &[u8]) -> Refusal {
    let members = (body.len() <= MAX_BYTES).then(|| json::object(body)).flatten();
    members.as_ref().and_then(refused).unwrap_or_else(|| Refusal::Other("an answer that says no reason".into()))
}

fn refused(members: &Map<String, Value>) -> Option<Refusal> {
    let Said { code, description } = said(members)?;
    Some(match (code.as_str(), description) {
        // The second is GitHub's name for it.
        ("invalid_grant" | "bad_refresh_token", description) => Refusal::InvalidGrant(description),
        (_, Some(description)) => Refusal::Other(format!("{code}: {description}")),
        (_, None) => Refusal::Other(code),
    })
}

/// A refusal as it was said. Printable.
pub(crate) struct Said {
    /// Its code.
    pub code: String,
    /// Its words.
    pub description: Option<String>,
}

/// What `members` says if it is a refusal.
pub(crate) fn said(members: &Map<String, Value>) -> Option<Said> {
    let code = printable(members.get("error")?.as_str().unwrap_or("an error without a code"), 64);
    let description = members.get("error_description").and_then(Value::as_str).map(|text| printable(text, 200));
    Some(Said { code, description })
}

/// A number, or the text of one; not less than none.
pub(crate) fn seconds(value: &Value) -> Option<Duration> {
    if let Some(whole) = value.as_u64().or_else(|| value.as_str()?.parse().ok()) {
        return Some(Duration::from_secs(whole));
    }
    // `3600.0` is what some languages make of a whole number.
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}
