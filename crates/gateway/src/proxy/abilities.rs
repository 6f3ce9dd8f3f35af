//! What a server is told of its client's abilities: what goes through between them (BR-3).

use std::borrow::Cow;

use portcullis_mcp::{dialect::TASKS_EXTENSION, object::Object};

use super::sieve::{CLIENT_CREDENTIALS, ENTERPRISE_MANAGED};
use crate::config::{Allow, Credential};

/// Pages of a server beside its tools.
const APPS: &str = "io.modelcontextprotocol/ui";

/// Extensions that go through.
// spec: BR-117: "only when both far ends declared them and the gateway lists them as relayable"
pub(super) const RELAYED: [&str; 2] = [TASKS_EXTENSION, APPS];

/// The raw capabilities of a client as its server is told them; `own` are the extensions that the gateway uses there.
// spec: BR-3, BR-76: sampling and roots only where an administrator allows them
pub(super) fn declared<'a>(client: &'a str, allow: Allow, own: &[&'a str]) -> Cow<'a, str> {
    let Some(mut declared) = Object::read(client) else { return Cow::Borrowed(client) };
    if !allow.sampling {
        declared.remove("sampling");
    }
    if !allow.roots {
        declared.remove("roots");
    }
    // spec: BR-116: nobody here keeps tasks that a client runs for a server.
    declared.remove("tasks");
    let mut extensions = declared.raw("extensions").and_then(Object::read).unwrap_or_default();
    extensions.retain(|name, _| RELAYED.contains(&name));
    // spec: UP-90: "the auth extensions the gateway really uses there"
    for name in own {
        extensions.set(name, "{}");
    }
    if extensions.is_empty() {
        declared.remove("extensions");
    } else {
        declared.set("extensions", extensions.finish());
    }
    declared.finish()
}

/// The extensions that the gateway uses where it is known by `credential`.
pub(super) fn own(credential: &Credential) -> &'static [&'static str] {
    match credential {
        Credential::ClientCredentials(_) => &[CLIENT_CREDENTIALS],
        Credential::IdJag(_) => &[ENTERPRISE_MANAGED],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec: BR-3, BR-76, BR-116, BR-117, UP-90
    #[test]
    fn a_server_is_told_what_goes_through() {
        let client = r#"{"elicitation":{"form":{"applyDefaults":true}},"sampling":{},"roots":{},"tasks":{"list":{}},"extensions":{"x/y":{},"io.modelcontextprotocol/ui":{"a":1}}}"#;
        assert_eq!(
            declared(client, Allow::REMOTE, &["a/b"]),
            r#"{"elicitation":{"form":{"applyDefaults":true}},"extensions":{"io.modelcontextprotocol/ui":{"a":1},"a/b":{}}}"#
        );
        assert_eq!(
            declared(client, Allow::LOCAL, &[]),
            r#"{"elicitation":{"form":{"applyDefaults":true}},"sampling":{},"roots":{},"extensions":{"io.modelcontextprotocol/ui":{"a":1}}}"#
        );
        assert_eq!(declared("{}", Allow::REMOTE, &[]), "{}");
        assert_eq!(declared(r#"{"extensions":{"x/y":{}}}"#, Allow::REMOTE, &[]), "{}");
    }
}
