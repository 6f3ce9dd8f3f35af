//! What a server asks of a client in the middle of a call, looked through before the client sees it (T-64, BR-63).
//!
//! A server asks only what an administrator allows and its client can answer, its name stands before what a person reads,
//! a page is one that a browser can be sent to, and a form never asks for a secret: whoever types a password into a form of
//! an agent gives it to whoever reads along.

use std::borrow::Cow;

use portcullis_base::ServerName;
use portcullis_mcp::{
    Method, ProtocolError,
    dialect::{Abilities, CANCELLED, Input, signed, without_files},
    message::{INVALID_PARAMS, METHOD_NOT_FOUND},
    object::{Object, quoted},
    scan,
};
use serde_json::json;
use url::Url;

use crate::config::{Allow, is_loopback};

/// The longest that all questions of one answer may be together.
pub const LONGEST: usize = 256 * 1024;

/// Words that name a secret, alone or next to each other, in the name or title of a field.
const SECRETS: [&[&str]; 16] = [
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["passcode"],
    &["secret"],
    &["token"],
    &["credential"],
    &["credentials"],
    &["cvv"],
    &["cvc"],
    &["apikey"],
    &["api", "key"],
    &["access", "key"],
    &["private", "key"],
    &["card", "number"],
    &["credit", "card"],
];

/// What one server may ask of one client.
#[derive(Clone, Debug)]
pub(crate) struct Questions {
    server: ServerName,
    allow: Allow,
    abilities: Abilities,
}

/// Raw `inputResponses` for a server elsewhere: without the roots that are paths of their client's machine. `None` if there
/// are no roots in them.
// spec: BR-75: "Remote upstream sees no local path by default"
pub(crate) fn elsewhere(responses: &str) -> Option<String> {
    let mut all = Object::read(responses)?;
    let mut any = false;
    all.each(|_, answer| {
        scan::member(answer, "roots")?;
        any = true;
        Some(without_files(answer).into_owned().into())
    });
    any.then(|| all.finish().into_owned())
}

/// A question that is not put to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// Why.
    pub why: &'static str,
    /// Who could change it.
    pub kind: Kind,
    /// What was asked for, if it is anything that can be.
    input: Option<Input>,
}

/// Why a question is not put to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client did not say that it can answer it.
    Undeclared,
    /// The administrator does not allow it.
    Forbidden,
    /// No client is asked like this.
    Unfit,
}

impl Blocked {
    /// The same, written to the log.
    pub(crate) fn noted(self, server: &ServerName) -> Self {
        let asked = self.input.map_or("", |input| input.method().name());
        tracing::warn!(server.name = %server, asked, why = self.why, "a question of a server was not put to its client");
        self
    }

    /// The answer to the server's request with the raw id `id`, in the client's place.
    // spec: BR-50: "if the legacy upstream asks anyway, answer it: elicitation action: "cancel" (or error -32601), sampling
    // and roots error -32601"
    pub(crate) fn answer(self, id: &str) -> String {
        if self.input == Some(Input::Elicitation) {
            return format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{CANCELLED}}}"#);
        }
        let why = quoted(self.why);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{METHOD_NOT_FOUND},"message":{why}}}}}"#)
    }

    /// The error that ends a call of `server` which cannot go on without; `said` is what the server says of it.
    // spec: BR-111: "legacy client gets -32602 …, modern client -32021"
    pub(crate) fn error(self, server: &ServerName, said: Option<&str>) -> ProtocolError {
        let why = self.why;
        let mut text = format!("What {server} asked of its client in this call was not put to it: {why}.");
        if let Some(said) = said {
            text = format!("{text} {server} says: {}", portcullis_base::printable(said, 200));
        }
        match self.kind {
            Kind::Undeclared => {
                let wanted = match self {
                    PAGES => json!({ "elicitation": { "url": {} } }),
                    FORMS => json!({ "elicitation": {} }),
                    TOOLS => json!({ "sampling": { "tools": {} } }),
                    MODEL => json!({ "sampling": {} }),
                    _ => json!({ "roots": {} }),
                };
                ProtocolError::missing_capability(wanted, text)
            }
            // As where a rule forbids a call: the client is not what has to change.
            Kind::Forbidden => ProtocolError::new(INVALID_PARAMS, 200, text),
            Kind::Unfit => ProtocolError::internal(200, text),
        }
    }
}

const fn blocked(kind: Kind, input: Input, why: &'static str) -> Blocked {
    Blocked { why, kind, input: Some(input) }
}

const PAGES: Blocked = blocked(Kind::Undeclared, Input::Elicitation, "its client opens no pages");
const FORMS: Blocked = blocked(Kind::Undeclared, Input::Elicitation, "its client shows no forms");
const PAGE: Blocked = blocked(Kind::Unfit, Input::Elicitation, "a page has an https address");
const SECRET: Blocked = blocked(Kind::Unfit, Input::Elicitation, "a form may not ask for a secret");
const TOOLS: Blocked = blocked(Kind::Undeclared, Input::Sampling, "its client's model uses no tools");
const MODEL: Blocked = blocked(Kind::Undeclared, Input::Sampling, "its client has no model for it");
const ROOTS: Blocked = blocked(Kind::Undeclared, Input::Roots, "its client tells no roots");
const NO_MODEL: Blocked =
    blocked(Kind::Forbidden, Input::Sampling, "it may not use the models of clients (setting `allow`)");
const NO_ROOTS: Blocked =
    blocked(Kind::Forbidden, Input::Roots, "it may not see the roots of clients (setting `allow`)");
const ODD: Blocked = Blocked { why: "it asks what no revision defines", kind: Kind::Unfit, input: None };
/// What is asked while no call is under way.
pub(crate) const UNASKED: Blocked = Blocked { why: "nothing is under way", kind: Kind::Unfit, input: None };

impl Questions {
    /// For a client that can do `abilities`, before a server that may do what `allow` says.
    pub(crate) fn new(server: ServerName, allow: Allow, abilities: Abilities) -> Self {
        Self { server, allow, abilities }
    }

    /// The same, written to the log.
    pub(crate) fn noted(&self, blocked: Blocked) -> Blocked {
        blocked.noted(&self.server)
    }

    /// The error that ends a call because of what its server asked.
    pub(crate) fn ended_by(&self, blocked: Blocked) -> ProtocolError {
        self.noted(blocked).error(&self.server, None)
    }

    /// The raw `inputRequests` as the client gets them.
    pub(crate) fn asked<'a>(&self, requests: &'a str) -> Result<Cow<'a, str>, Blocked> {
        let mut all = Object::read(requests).ok_or(ODD)?;
        let mut blocked = None;
        all.each(|_, entry| match self.one(entry) {
            Ok(Cow::Owned(entry)) => Some(entry.into()),
            Ok(Cow::Borrowed(_)) => None,
            Err(why) => {
                blocked = Some(why);
                None
            }
        });
        blocked.map_or_else(|| Ok(all.finish()), Err)
    }

    /// One raw question, `{"method": …, "params": …}`, as the client gets it.
    pub(crate) fn one<'a>(&self, entry: &'a str) -> Result<Cow<'a, str>, Blocked> {
        self.check(entry)?;
        Ok(signed(entry, self.server.as_str()))
    }

    /// Whether a raw question may be put to the client.
    pub(crate) fn check(&self, entry: &str) -> Result<(), Blocked> {
        let params = scan::member(entry, "params").unwrap_or("{}");
        let method = scan::member(entry, "method").and_then(scan::string).and_then(|name| Method::parse(&name));
        match method {
            Some(Method::Elicit) => self.elicitation(params),
            Some(Method::CreateMessage) if !self.allow.sampling => Err(NO_MODEL),
            Some(Method::CreateMessage) => self.sampling(params),
            Some(Method::RootsList) if !self.allow.roots => Err(NO_ROOTS),
            Some(Method::RootsList) if !self.abilities.roots => Err(ROOTS),
            Some(Method::RootsList) => Ok(()),
            // spec: BR-63: "method among the three, no other methods"
            _ => Err(ODD),
        }
    }

    // spec: BR-50: "Send no entry for a capability the client did not declare on this very request"
    fn sampling(&self, params: &str) -> Result<(), Blocked> {
        let ways = self.abilities.sampling.ok_or(MODEL)?;
        let wants_tools = scan::member(params, "tools").or_else(|| scan::member(params, "toolChoice")).is_some();
        if wants_tools && !ways.tools { Err(TOOLS) } else { Ok(()) }
    }

    // spec: BR-50
    fn elicitation(&self, params: &str) -> Result<(), Blocked> {
        if scan::member(params, "mode").and_then(scan::string).as_deref() == Some("url") {
            if !self.abilities.pages {
                return Err(PAGES);
            }
            let url = scan::member(params, "url").and_then(scan::string);
            return if url.is_some_and(|url| is_page(&url)) { Ok(()) } else { Err(PAGE) };
        }
        if !self.abilities.forms {
            return Err(FORMS);
        }
        let properties = scan::member(params, "requestedSchema").and_then(|schema| scan::member(schema, "properties"));
        let mut fields = properties.into_iter().flat_map(scan::members);
        // spec: T-64: "form elicitation with secret-looking fields (password, token, api key, card) blocked"
        let secret = fields.any(|(name, schema)| {
            let title = scan::member(schema, "title").and_then(scan::string);
            names_a_secret(&name) || title.is_some_and(|title| names_a_secret(&title))
        });
        if secret { Err(SECRET) } else { Ok(()) }
    }
}

/// Whether a browser may be sent there.
// spec: T-14: "allow https only (loopback http …)": a client that opens an address opens a program with `file:` and the like
fn is_page(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| match url.scheme() {
        "https" => true,
        "http" => url.host().is_some_and(|host| is_loopback(&host)),
        _ => false,
    })
}
/// Whether a name such as `apiKey`, `api_key` or `API key` says that its field holds a secret.
fn names_a_secret(name: &str) -> bool {
    let mut words: Vec<String> = Vec::new();
    let mut lower_before = false;
    for c in name.chars().take(200) {
        if !c.is_alphanumeric() {
            lower_before = false;
            words.push(String::new());
            continue;
        }
        if words.is_empty() || (c.is_uppercase() && lower_before) {
            words.push(String::new());
        }
        lower_before = c.is_lowercase();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    SECRETS.iter().any(|secret| words.windows(secret.len()).any(|part| part == *secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(allow: Allow, declared: &str) -> Questions {
        Questions::new(ServerName::parse("tickets").unwrap(), allow, Abilities::read(declared))
    }

    const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;
    const EVERYTHING: Allow = Allow { sampling: true, roots: true, files: true, logging: true };

    fn form(field: &str, schema: &str) -> String {
        format!(
            r#"{{"k":{{"method":"elicitation/create","params":{{"message":"Say","requestedSchema":{{"type":"object","properties":{{"{field}":{schema}}}}}}}}}}}"#
        )
    }

    /// spec: T-64, BR-66
    #[test]
    fn a_form_names_its_server_and_asks_for_no_secret() {
        let questions = questions(EVERYTHING, ALL);
        let said = questions.asked(&form("name", r#"{"type":"string"}"#)).unwrap().into_owned();
        assert!(said.contains(r#""message":"tickets: Say""#), "{said}");
        for field in
            ["password", "userPassword", "api_key", "apiKey", "API key", "github-token", "cardNumber", "x.secret"]
        {
            let form = form(field, r#"{"type":"string"}"#);
            assert_eq!(questions.asked(&form), Err(SECRET), "{field}");
        }
        let titled = form("x", r#"{"type":"string","title":"Your Passphrase"}"#);
        assert!(questions.asked(&titled).is_err());
        for field in ["max_tokens", "passport", "keyboard", "discard_number_one", "secretary"] {
            assert!(questions.asked(&form(field, r#"{"type":"string"}"#)).is_ok(), "{field}");
        }
    }

    /// spec: T-64, BR-50, BR-63
    #[test]
    fn a_server_asks_what_it_may_and_its_client_can_answer() {
        let entry = |method: &str| format!(r#"{{"k":{{"method":"{method}","params":{{}}}}}}"#);
        for method in ["sampling/createMessage", "roots/list"] {
            assert!(questions(EVERYTHING, ALL).asked(&entry(method)).is_ok(), "{method}");
            assert!(questions(Allow::REMOTE, ALL).asked(&entry(method)).is_err(), "{method}: not allowed");
            assert!(questions(EVERYTHING, "{}").asked(&entry(method)).is_err(), "{method}: not declared");
        }
        let tools = r#"{"k":{"method":"sampling/createMessage","params":{"toolChoice":{}}}}"#;
        assert_eq!(questions(EVERYTHING, ALL).asked(tools), Err(TOOLS));
        let page = r#"{"k":{"method":"elicitation/create","params":{"mode":"url","url":"https://a","message":"m"}}}"#;
        assert!(questions(Allow::REMOTE, ALL).asked(page).is_ok());
        assert!(questions(Allow::REMOTE, r#"{"elicitation":{}}"#).asked(page).is_err());
        for strange in ["tools/call", "ping", "elicitation/create2"] {
            assert!(questions(EVERYTHING, ALL).asked(&entry(strange)).is_err(), "{strange}");
        }
        assert!(questions(EVERYTHING, ALL).asked("[]").is_err());
    }

    /// spec: T-14
    #[test]
    fn a_page_is_where_a_browser_can_be_sent() {
        let ask = |url: &str| {
            let entry =
                format!(r#"{{"method":"elicitation/create","params":{{"mode":"url","url":"{url}","message":"m"}}}}"#);
            questions(EVERYTHING, ALL).one(&entry).map(|_| ())
        };
        for good in ["https://example.com/p?q#f", "http://localhost:8080/", "http://127.0.0.1/x", "http://[::1]/"] {
            assert_eq!(ask(good), Ok(()), "{good}");
        }
        let bad = [
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vscode://x",
            "http://example.com/",
            "https:",
            "",
            "/p",
            " javascript:x",
            "blob:https://a/b",
        ];
        for bad in bad {
            assert_eq!(ask(bad), Err(PAGE), "{bad}");
        }
    }

    /// spec: BR-50, BR-111
    #[test]
    fn what_is_not_asked_is_answered_in_the_clients_place() {
        let server = ServerName::parse("tickets").unwrap();
        assert_eq!(SECRET.answer("7"), r#"{"jsonrpc":"2.0","id":7,"result":{"action":"cancel"}}"#);
        for (blocked, code) in
            [(NO_MODEL, -32602), (NO_ROOTS, -32602), (FORMS, -32021), (TOOLS, -32021), (SECRET, -32603)]
        {
            let error = blocked.error(&server, Some("oh"));
            assert_eq!(error.code, code, "{blocked:?}");
            assert!(error.message.contains("tickets") && error.message.contains(blocked.why), "{error:?}");
        }
        assert!(MODEL.answer(r#""a""#).starts_with(r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32601,"#));
        let required = TOOLS.error(&server, None).data.unwrap();
        assert_eq!(*required, serde_json::json!({ "requiredCapabilities": { "sampling": { "tools": {} } } }));
    }
}
