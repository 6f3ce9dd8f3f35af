//! What the tests share: somebody else's authorization server, and its tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::Timestamp;
use portcullis_oauth::jwks::{PublicKeys, SigningKey};
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::world::{random, signing_key};

pub const PROVIDER: &str = "https://login.example.com";
pub const US_THERE: &str = "portcullis";

/// An authorization server with one key.
pub struct Foreign(SigningKey);

impl Foreign {
    pub fn new() -> Self {
        Self(signing_key())
    }

    /// What it publishes.
    pub fn keys(&self) -> PublicKeys {
        PublicKeys::from_value(&json!({ "keys": [self.jwk()] })).unwrap()
    }

    pub fn jwk(&self) -> Value {
        self.0.public().to_jwk()
    }

    /// The header that it gives a token of this type.
    pub fn header(&self, typ: Option<&str>) -> Value {
        let mut header = json!({ "alg": "ES256", "kid": self.0.kid() });
        if let Some(typ) = typ {
            header["typ"] = typ.into();
        }
        header
    }

    /// A token of this type.
    pub fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        self.forge(&self.header(typ), claims)
    }

    /// A token with any header.
    pub fn forge(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A key on P-384 and what it signs.
pub struct P384(EcdsaKeyPair);

impl P384 {
    pub fn new() -> Self {
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random()).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random()).unwrap())
    }

    pub fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..49]), URL_SAFE_NO_PAD.encode(&point[49..]));
        json!({ "kty": "EC", "crv": "P-384", "x": x, "y": y, "alg": "ES384" })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(r#"{"alg":"ES384"}"#), encoded(&claims.to_string()));
        let signature = self.0.sign(&random(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// `claims` with some of them changed; null takes one away.
pub fn changed(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

pub fn secs(at: Timestamp) -> Value {
    json!(at.as_secs())
}
