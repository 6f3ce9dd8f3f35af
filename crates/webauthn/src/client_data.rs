//! What the browser says that it asked the authenticator for (WebAuthn §5.8.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::WebauthnError;

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

/// Which ceremony.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Get,
}

/// Checks that it was asked for this, on our own page.
///
/// spec: WEBAUTHN-3#7.1, WEBAUTHN-3#7.2
pub(crate) fn check(json: &[u8], kind: Kind, challenge: &[u8], origin: &str) -> Result<(), WebauthnError> {
    let unreadable = WebauthnError::Unreadable("the client data is no JSON object of its kind");
    let data: ClientData = serde_json::from_slice(json).map_err(|_| unreadable)?;
    let wanted = match kind {
        Kind::Create => "webauthn.create",
        Kind::Get => "webauthn.get",
    };
    if data.kind != wanted {
        return Err(WebauthnError::OtherKind);
    }
    // "Verify that the value of C.challenge equals the base64url encoding of options.challenge."
    if data.challenge != URL_SAFE_NO_PAD.encode(challenge) {
        return Err(WebauthnError::OtherChallenge);
    }
    // Nobody frames our pages: an answer that was given in a frame is of somebody else's making.
    if data.origin != origin || data.cross_origin || data.top_origin.is_some() {
        return Err(WebauthnError::OtherOrigin);
    }
    Ok(())
}
