//! Whose account it is at an upstream, for the person who is about to connect it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::printable;
use serde_json::{Map, Value};

use crate::{claim, json, jwt::MAX_ID_TOKEN_BYTES};

/// The longest name that is shown.
const MAX_CHARACTERS: usize = 80;
/// What an ID token calls people, best first.
const CLAIMS: [&str; 5] = ["email", "preferred_username", "upn", "name", "sub"];
/// What answers without an ID token call them; a dot leads inward.
const MEMBERS: [&str; 10] = [
    "email",
    "preferred_username",
    "username",
    "login",
    "owner.user.person.email",
    "owner.user.name",
    "authed_user.id",
    "user.name",
    "workspace_name",
    "team.name",
];

/// The name of the account in a token answer, if it tells one. Printable, cut, and believed by nobody: the signature of the
/// ID token is not checked, since this name is shown to a person and decides nothing, and the answer came over TLS from the
/// authorization server itself (OpenID Connect Core §3.1.3.7, item 6).
///
/// spec: UP-48.
pub fn name(answer: &Map<String, Value>) -> Option<String> {
    let claims = answer.get("id_token").and_then(Value::as_str).and_then(claims);
    let from = |members: &Map<String, Value>, names: &[&str]| {
        names
            .iter()
            .find_map(|name| claim::text(members, name).filter(|text| !text.trim().is_empty()).map(str::to_owned))
    };
    let name = claims.and_then(|claims| from(&claims, &CLAIMS)).or_else(|| from(answer, &MEMBERS))?;
    Some(printable(name.trim(), MAX_CHARACTERS))
}

fn claims(token: &str) -> Option<Map<String, Value>> {
    let body = token.split('.').nth(1).filter(|_| token.len() <= MAX_ID_TOKEN_BYTES)?;
    json::object(&URL_SAFE_NO_PAD.decode(body).ok()?)
}
