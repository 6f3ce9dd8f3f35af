//! What a page asks the browser for, as `parseCreationOptionsFromJSON` and `parseRequestOptionsFromJSON` read it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    RelyingParty, UserVerification,
    key::{EDDSA, ES256, RS256},
};

/// Whose passkey it is to be.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The handle: who it is to us, and to nobody else. 1 to 64 bytes.
    pub handle: &'a [u8],
    /// The name they sign in with.
    pub name: &'a str,
    /// The name to show.
    pub display_name: &'a str,
}

/// A passkey that somebody has.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its identifier.
    pub id: &'a [u8],
    /// How it can be reached.
    pub transports: &'a [String],
}

/// How long a browser waits for somebody, in milliseconds (§14.2: five minutes).
const TIMEOUT_MS: u32 = 300_000;

impl RelyingParty {
    /// Options to make a passkey. Authenticators that hold one of `known` make none.
    pub fn creation_options(&self, site: &str, user: &User<'_>, challenge: &[u8], known: &[Known<'_>]) -> Value {
        let algorithms: Vec<Value> = [ES256, EDDSA, RS256]
            .iter()
            .filter_map(|algorithm| i64::try_from(*algorithm).ok())
            .map(|algorithm| json!({"type": "public-key", "alg": algorithm}))
            .collect();
        json!({
            "rp": {"id": *self.id, "name": site},
            "user": {
                "id": URL_SAFE_NO_PAD.encode(user.handle),
                "name": user.name,
                "displayName": user.display_name,
            },
            "challenge": URL_SAFE_NO_PAD.encode(challenge),
            "pubKeyCredParams": algorithms,
            "timeout": TIMEOUT_MS,
            "excludeCredentials": list(known),
            "authenticatorSelection": {"residentKey": "preferred", "userVerification": self.wanted()},
            "attestation": "none",
        })
    }

    /// Options to prove that one has one of `known`.
    pub fn request_options(&self, challenge: &[u8], known: &[Known<'_>]) -> Value {
        json!({
            "rpId": *self.id,
            "challenge": URL_SAFE_NO_PAD.encode(challenge),
            "timeout": TIMEOUT_MS,
            "allowCredentials": list(known),
            "userVerification": self.wanted(),
        })
    }

    fn wanted(&self) -> &'static str {
        match self.verification {
            UserVerification::Required => "required",
            UserVerification::Preferred => "preferred",
        }
    }
}

fn list(known: &[Known<'_>]) -> Vec<Value> {
    let one = |known: &Known<'_>| json!({"type": "public-key", "id": URL_SAFE_NO_PAD.encode(known.id), "transports": known.transports});
    known.iter().map(one).collect()
}
