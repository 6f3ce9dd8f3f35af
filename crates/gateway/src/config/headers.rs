//! Headers of requests to a server: which ones an administrator may set, and which of a client's may go on.

use http::{HeaderName, HeaderValue};
use portcullis_base::{Secret, printable};

use super::read::Node;

/// What the gateway says itself, or what frames a message: nobody else may. `mcp-` and `proxy-` too.
const OWN: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Parts of names that carry something secret.
const SECRET: [&str; 12] =
    ["auth", "cookie", "cred", "jwt", "key", "otp", "pass", "saml", "secret", "session", "signature", "token"];

/// Names by which others say who somebody is or where a request comes from.
const TRUSTED: [&str; 9] =
    ["forwarded", "x-forwarded", "x-real-ip", "remote-", "x-remote-", "x-user", "x-client-cert", "ssl-", "portcullis-"];

/// Reads the name of a header that an administrator may set; `None` after reporting.
pub(super) fn name(node: &Node<'_>, text: &str) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.trim().as_bytes()) else {
        node.problem(
            format!("\"{}\" is not the name of a header", printable(text, 60)),
            "write the name alone, such as X-Api-Key",
        );
        return None;
    };
    let own = OWN.contains(&name.as_str()) || ["mcp-", "proxy-"].iter().any(|own| name.as_str().starts_with(own));
    if own {
        node.problem(
            format!("\"{name}\" belongs to the protocol: the gateway writes it itself"),
            "use a header that the server reads for this purpose",
        );
    }
    (!own).then_some(name)
}

/// Headers that every request to the server has.
pub(super) fn constants(node: &Node<'_>) -> Vec<(HeaderName, Secret)> {
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (text, value) in node.entries("{ X-Team: platform }") {
        let Some(name) = name(&value, &text) else { continue };
        if name == http::header::AUTHORIZATION || name == http::header::COOKIE {
            value.problem(
                format!("\"{name}\" says on whose behalf a request is made, so it is set by `credential`"),
                "example: credential: { kind: header, value: env:SERVER_KEY }",
            );
            continue;
        }
        let text = value.text("a text, or a reference to a secret", "platform");
        let referred = text.starts_with("env:") || text.starts_with("file:");
        if is_secret(name.as_str()) && !referred && !text.is_empty() {
            value.problem(
                "looks like a secret, and a secret must not stand in the file itself",
                format!("write {name}: env:NAME to take it from an environment variable, or file:PATH"),
            );
            continue;
        }
        let found = if referred { value.referenced(&text) } else { Some(Secret::new(text)) };
        if let Some(found) = found.filter(|found| sendable(&value, found.reveal())) {
            headers.push((name, found));
        }
    }
    headers
}

/// Whether a text can be the value of a header; reports it if not, without showing it.
pub(super) fn sendable(node: &Node<'_>, text: &str) -> bool {
    let fits = HeaderValue::from_str(text).is_ok();
    if !fits {
        node.problem(
            "cannot stand in a header: there is a line break or a character beyond ASCII in it",
            "check that it is the key alone, without anything around it",
        );
    }
    fits
}

/// Headers of the client's request that go on.
///
/// spec: T-35, SEC-3: nothing that a client proves itself with, and nothing that a server could take for proof.
pub(super) fn of_clients(node: &Node<'_>, taken: &[HeaderName]) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for item in node.list("a list of header names", "[accept-language]") {
        let text = item.text("the name of a header", "accept-language");
        let Some(name) = (!text.is_empty()).then(|| name(&item, &text)).flatten() else { continue };
        if is_secret(name.as_str()) || TRUSTED.iter().any(|trusted| name.as_str().starts_with(trusted)) {
            item.problem(
                format!("\"{name}\" can carry a credential or say who somebody is, and those of a client go no further than the gateway"),
                "let the gateway prove it: `credential: { kind: oauth }`, or `{ kind: assertion }` for a server of your own",
            );
        } else if taken.contains(&name) {
            item.problem(format!("\"{name}\" is set by the gateway for this server already"), "keep one of the two");
        } else {
            names.push(name);
        }
    }
    names
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}
