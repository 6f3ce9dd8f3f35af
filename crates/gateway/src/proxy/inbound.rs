//! What of a client's request goes on besides its message: nothing, but for headers that the settings name. And no
//! credential goes on in either, wherever it came in (SEC-3, RS-22, T-35).

use http::{HeaderMap, HeaderName, header};
use memchr::memmem;
use portcullis_mcp::{
    Id, Message, ProtocolError,
    message::Outcome,
    scan::{self, Kind},
};

use super::rewrite::rewrite;

/// Where a message says something beside what it is about.
const META: &str = "_meta";
/// What a client says it can do, in `_meta`.
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Parts of a member's name, in lower case and without separators, that say it holds a credential.
const PARTS: [&str; 14] = [
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "sessiontoken",
    "cookie",
    "password",
    "secret",
    "credential",
    "bearer",
];
/// Names that say so only as a whole.
const WHOLE: [&str; 6] = ["auth", "dpop", "pass", "pwd", "jwt", "sid"];
/// What stands before the `token` of a name that holds a place in a list or of a call, and opens nothing.
const PLACES: [&str; 6] = ["progress", "page", "next", "continuation", "cursor", "sync"];
/// How the value of an `Authorization` header begins.
const SCHEMES: [&str; 7] = ["bearer ", "basic ", "dpop ", "digest ", "apikey ", "negotiate ", "aws4-hmac-sha256 "];

/// The headers of a client's request, as what must not go on.
#[derive(Clone, Copy)]
pub(super) struct Inbound<'h> {
    headers: &'h HeaderMap,
    token: Option<&'h [u8]>,
}

impl<'h> Inbound<'h> {
    pub(super) fn of(headers: &'h HeaderMap) -> Self {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| {
            let value = value.as_bytes();
            let blank = memchr::memchr(b' ', value)?;
            Some(value[blank..].trim_ascii()).filter(|token| !token.is_empty())
        });
        Self { headers, token }
    }

    /// The headers themselves.
    pub(super) fn headers(&self) -> &'h HeaderMap {
        self.headers
    }

    /// Adds the headers called `names` to `out`, which keeps what it has.
    pub(super) fn pass(&self, names: &[HeaderName], out: &mut HeaderMap) {
        for name in names {
            if out.contains_key(name) {
                continue;
            }
            let harmless = |value: &&http::HeaderValue| !self.is_in(value.as_bytes()) && !is_proof(value.as_bytes());
            for value in self.headers.get_all(name).iter().filter(harmless) {
                out.append(name.clone(), value.clone());
            }
        }
    }

    /// The message as it may go on; `None` if it may as it is.
    ///
    /// spec: T-35: a token of ours opens doors of ours; whoever puts theirs into a message has made a mistake that is not
    /// to be repeated for them. What stands in `_meta` under the name of a credential is for whoever came before us.
    pub(super) fn cleaned(&self, message: &Message<'_>) -> Result<Option<Vec<u8>>, ProtocolError> {
        let mut found = Vec::new();
        let (raw, id) = match message {
            Message::Request(call) | Message::Notification(call) => {
                let answers = call.input_responses.into_iter().flat_map(scan::members);
                let metas = answers.filter_map(|(_, answer)| scan::member(answer, META));
                call.meta.raw.into_iter().chain(metas).for_each(|meta| proofs(meta, &mut found));
                (call.raw, call.id)
            }
            Message::Response(response) => {
                if let Outcome::Result(result) = response.outcome {
                    proofs(scan::member(result, META).unwrap_or_default(), &mut found);
                }
                (response.raw, None)
            }
        };
        let cleaned = if found.is_empty() { None } else { Some(without(raw, &found, id)?) };
        if self.is_in(cleaned.as_deref().unwrap_or(raw.as_bytes())) {
            let text = "The message holds the access token that it was sent with. It is not passed on.";
            return Err(ProtocolError::invalid_params(text).with_id(id));
        }
        Ok(cleaned)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.token.is_some_and(|token| memmem::find(bytes, token).is_some())
    }
}

/// Whether a value looks like that of an `Authorization` header.
fn is_proof(value: &[u8]) -> bool {
    let begins = |scheme: &str| value.get(..scheme.len()).is_some_and(|v| v.eq_ignore_ascii_case(scheme.as_bytes()));
    SCHEMES.iter().any(|scheme| begins(scheme))
}

/// `message` with `null` in the place of each of `found`.
fn without(message: &str, found: &[&str], id: Option<Id<'_>>) -> Result<Vec<u8>, ProtocolError> {
    let mut edits: Vec<(&str, &str)> = found.iter().map(|value| (*value, "null")).collect();
    let cleaned = rewrite(message, &mut edits).map(Vec::from);
    cleaned.ok_or_else(|| ProtocolError::internal(500, "The message cannot be passed on.").with_id(id))
}

/// What a name says of the value under it.
#[derive(Clone, Copy)]
enum Names {
    /// Whatever is under the name of a credential is one.
    Things,
    /// It says what a client can do, and only a text under it can be a credential.
    Abilities,
}

/// Adds every value in `meta` that is a credential to `found`. The message was checked for its depth before.
fn proofs<'m>(meta: &'m str, found: &mut Vec<&'m str>) {
    for (name, value) in scan::members(meta) {
        let names = if name == CAPABILITIES { Names::Abilities } else { Names::Things };
        search(&name, value, names, found);
    }
}

fn search<'m>(name: &str, value: &'m str, names: Names, found: &mut Vec<&'m str>) {
    let kind = scan::kind(value);
    let named = match names {
        Names::Things => names_credential(name),
        Names::Abilities => kind == Kind::String && names_credential(name),
    };
    if named || scan::string(value).is_some_and(|text| is_proof(text.as_bytes())) {
        found.push(value);
        return;
    }
    match kind {
        Kind::Object => scan::members(value).for_each(|(name, value)| search(&name, value, names, found)),
        Kind::Array => scan::elements(value).for_each(|value| search("", value, names, found)),
        _ => {}
    }
}

fn names_credential(name: &str) -> bool {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let plain: String = last.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let token = plain.strip_suffix("token").is_some_and(|of| !PLACES.iter().any(|place| of.ends_with(place)));
    token || WHOLE.contains(&plain.as_str()) || PARTS.iter().any(|part| plain.contains(part))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use portcullis_mcp::message::{Body, parse};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    /// spec: T-35
    #[test]
    fn only_named_headers_go_on_and_no_proof_in_them() {
        let client = headers(&[
            ("authorization", "Bearer canary"),
            ("accept-language", "de"),
            ("x-other", "1"),
            ("x-request-id", "a-canary-b"),
            ("x-forwarded-auth", "bearer of another"),
            ("host", "evil"),
        ]);
        let mut out = headers(&[("host", "upstream")]);
        let names = ["accept-language", "x-request-id", "x-forwarded-auth", "host"].map(HeaderName::from_static);
        Inbound::of(&client).pass(&names, &mut out);
        assert_eq!(out, headers(&[("host", "upstream"), ("accept-language", "de")]));
    }

    /// spec: T-35
    #[test]
    fn proofs_in_meta_do_not_go_on_and_everything_else_does() {
        let client = headers(&[("authorization", "Bearer canary-of-ours")]);
        let inbound = Inbound::of(&client);
        let cleaned = |text: &str| match parse(text.as_bytes(), &scan::Limits::default()) {
            Ok(Body::One(message)) => inbound.cleaned(&message),
            other => panic!("{other:?}"),
        };
        let meta = |meta: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{meta}}}}}"#);
        for kept in [
            r#"{"progressToken":"canary"}"#,
            r#"{"io.modelcontextprotocol/clientCapabilities":{"extensions":{"x/oauth-client-credentials":{}}}}"#,
            r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/logLevel":"debug"}"#,
            r#"{"tokens":5,"author":"x","com.example/trace":"1","nextPageToken":"p","list":["a",{"b":1}]}"#,
        ] {
            assert_eq!(cleaned(&meta(kept)), Ok(None), "{kept}");
        }
        for (given, left) in [
            (r#"{"authorization":"x","a":1}"#, r#"{"authorization":null,"a":1}"#),
            (r#"{"X-API-Key":"x"}"#, r#"{"X-API-Key":null}"#),
            (r#"{"com.example/access_token":{"v":"x"}}"#, r#"{"com.example/access_token":null}"#),
            (r#"{"headers":{"Cookie":"x","ok":"y"}}"#, r#"{"headers":{"Cookie":null,"ok":"y"}}"#),
            (r#"{"note":"Bearer x"}"#, r#"{"note":null}"#),
            (r#"{"headers":[{"Cookie":"x"},["basic eA=="],1]}"#, r#"{"headers":[{"Cookie":null},[null],1]}"#),
            (r#"{"\u0074oken":"x"}"#, r#"{"\u0074oken":null}"#),
            (r#"{"auth":"canary-of-ours"}"#, r#"{"auth":null}"#),
            (r#"{"X-Gitlab-Token":"x","progressToken":1}"#, r#"{"X-Gitlab-Token":null,"progressToken":1}"#),
            (r#"{"io.modelcontextprotocol/token":"x"}"#, r#"{"io.modelcontextprotocol/token":null}"#),
            (
                r#"{"io.modelcontextprotocol/clientCapabilities":{"experimental":{"secret":"x"}}}"#,
                r#"{"io.modelcontextprotocol/clientCapabilities":{"experimental":{"secret":null}}}"#,
            ),
            (
                r#"{"io.modelcontextprotocol/clientInfo":{"name":"n","apiKey":"x"}}"#,
                r#"{"io.modelcontextprotocol/clientInfo":{"name":"n","apiKey":null}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(cleaned(&meta(given)).unwrap().unwrap()).unwrap(), meta(left));
        }
        let answer =
            |meta: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"action":"accept","_meta":{meta}}}}}"#);
        let left = cleaned(&answer(r#"{"token":"x"}"#)).unwrap().unwrap();
        assert_eq!(String::from_utf8(left).unwrap(), answer(r#"{"token":null}"#));
        let with = |text: &str| format!(r#"{{"jsonrpc":"2.0","id":7,{text}}}"#);
        // Beside the answers in a request that is taken up again, too.
        let again = |meta: &str| {
            with(&format!(
                r#""method":"x","params":{{"inputResponses":{{"a":{{"_meta":{meta},"content":{{"auth":"y"}}}}}}}}"#
            ))
        };
        let left = cleaned(&again(r#"{"auth":"x"}"#)).unwrap().unwrap();
        assert_eq!(String::from_utf8(left).unwrap(), again(r#"{"auth":null}"#));
        for text in
            [r#""method":"x","params":{"arguments":{"a":"x canary-of-ours"}}"#, r#""result":{"a":"canary-of-ours"}"#]
        {
            assert!(cleaned(&with(text)).is_err(), "{text}");
        }
        let told = cleaned(&with(r#""method":"canary-of-ours""#)).unwrap_err();
        assert_eq!(told.id.unwrap().to_json(), "7");
    }
}
