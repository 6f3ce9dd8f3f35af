//! Somebody else who signs tokens: publishes its keys on this machine, counts who asks for them, and signs whatever a test
//! wants signed.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_oauth::jwks::SigningKey;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use crate::behind::{Behind, Reply};

/// What an introspection endpoint says of a token.
type Introspection = Mutex<Box<dyn Fn(&str) -> Value + Send>>;

/// An issuer.
pub struct Issuer {
    behind: Behind,
    key: SigningKey,
    published: Arc<Mutex<Vec<Value>>>,
    says: Arc<Introspection>,
}

impl Issuer {
    /// An issuer with one key.
    pub async fn start() -> Result<Self> {
        let key = key()?;
        let published = Arc::new(Mutex::new(vec![key.public().to_jwk()]));
        let says: Arc<Introspection> = Arc::new(Mutex::new(Box::new(|_| json!({ "active": false }))));
        let (keys, speech) = (published.clone(), says.clone());
        let behind = Behind::with(move |seen| {
            let me = format!("http://{}", seen.header("host").unwrap_or_default());
            let path = seen.line.split(' ').nth(1).unwrap_or_default();
            let reply = match path {
                "/.well-known/openid-configuration" => json!({
                    "issuer": me,
                    "authorization_endpoint": format!("{me}/authorize"),
                    "token_endpoint": format!("{me}/token"),
                    "jwks_uri": format!("{me}/jwks"),
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                    "code_challenge_methods_supported": ["S256"],
                }),
                "/jwks" => json!({ "keys": *keys.lock().unwrap_or_else(PoisonError::into_inner) }),
                "/introspect" => {
                    let text = seen.text();
                    let form = text.rsplit("\r\n\r\n").next().unwrap_or_default();
                    let token = url::form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "token");
                    let token = token.map(|(_, token)| token.into_owned()).unwrap_or_default();
                    speech.lock().unwrap_or_else(PoisonError::into_inner)(&token)
                }
                _ => return Some(Reply::Json(404, json!({}))),
            };
            Some(Reply::Json(200, reply))
        })
        .await?;
        Ok(Self { behind, key, published, says })
    }

    /// Its name.
    pub fn url(&self) -> String {
        format!("http://{}", self.behind.at)
    }

    /// `host:port`, to be allowed.
    pub fn authority(&self) -> String {
        self.behind.at.to_string()
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.behind.seen().iter().filter(|seen| seen.line.split(' ').nth(1) == Some(path)).count()
    }

    /// What was sent to a path.
    pub fn heard(&self, path: &str) -> Vec<String> {
        let heard = self.behind.seen().into_iter().filter(|seen| seen.line.split(' ').nth(1) == Some(path));
        heard.map(|seen| seen.text()).collect()
    }

    /// A token with these claims and the type, signed by its key.
    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&json!({ "typ": typ, "alg": "ES256", "kid": self.key.kid() }), claims)
    }

    /// A token with this header, signed by its key.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        assemble(header, claims, |text| self.key.sign(text).unwrap_or_default())
    }

    /// The header that its tokens have.
    pub fn header(&self, typ: &str) -> Value {
        json!({ "typ": typ, "alg": "ES256", "kid": self.key.kid() })
    }

    /// Its key, as it publishes it.
    pub fn jwk(&self) -> Value {
        self.key.public().to_jwk()
    }

    /// Signs with a new key from now on and publishes nothing else.
    pub fn rotate(&mut self) -> Result<()> {
        self.key = key()?;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = vec![self.key.public().to_jwk()];
        Ok(())
    }

    /// What its introspection endpoint says from now on.
    pub fn says(&self, says: impl Fn(&str) -> Value + Send + 'static) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(says);
    }
}

/// A key of nobody's.
#[expect(clippy::disallowed_methods, reason = "signing keys are parsed with ring's own source of randomness")]
pub fn key() -> Result<SigningKey> {
    let random = SystemRandom::new();
    Ok(SigningKey::from_pkcs8(&SigningKey::generate(&random)?, random)?)
}

/// A token put together by hand.
pub fn assemble(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

/// `claims` with some of them changed; `null` takes one away.
pub fn with(claims: &Value, changes: &Value) -> Value {
    let mut changed = claims.clone();
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            changed.as_object_mut().map(|members| members.remove(name));
        } else {
            changed[name] = value.clone();
        }
    }
    changed
}

/// What a token says, unverified.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}
