//! What a server asks of a client in the middle of a call, looked through before the client sees it (T-64, BR-63).
//!
//! A server asks only what an administrator allows and its client can answer, its name stands before what a person reads,
//! and a form never asks for a secret: whoever types a password into a form of an agent gives it to whoever reads along.

use std::borrow::Cow;

use portcullis_base::ServerName;
use portcullis_mcp::{
    Method,
    dialect::{Abilities, signed, without_files},
    object::Object,
    scan,
};

use crate::config::Allow;

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
pub(super) struct Questions {
    server: ServerName,
    allow: Allow,
    abilities: Abilities,
}

/// Raw `inputResponses` for a server elsewhere: without the roots that are paths of their client's machine. `None` if there
/// are no roots in them.
// spec: BR-75: "Remote upstream sees no local path by default"
pub(super) fn elsewhere(responses: &str) -> Option<String> {
    let mut all = Object::read(responses)?;
    let mut any = false;
    all.each(|_, answer| {
        scan::member(answer, "roots")?;
        any = true;
        Some(without_files(answer).into_owned().into())
    });
    any.then(|| all.finish().into_owned())
}

/// Why a question does not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocked(pub &'static str);

impl Questions {
    /// For a client that can do `abilities`, before a server that may do what `allow` says.
    pub(super) fn new(server: ServerName, allow: Allow, abilities: Abilities) -> Self {
        Self { server, allow, abilities }
    }

    /// The raw `inputRequests` as the client gets them.
    pub(super) fn asked<'a>(&self, requests: &'a str) -> Result<Cow<'a, str>, Blocked> {
        let mut all = Object::read(requests).ok_or(Blocked("questions that are none"))?;
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
    pub(super) fn one<'a>(&self, entry: &'a str) -> Result<Cow<'a, str>, Blocked> {
        let params = scan::member(entry, "params").unwrap_or("{}");
        let method = scan::member(entry, "method").and_then(scan::string).and_then(|name| Method::parse(&name));
        match method {
            Some(Method::Elicit) => self.elicitation(params)?,
            Some(Method::CreateMessage) if !self.allow.sampling => {
                return Err(Blocked("it may not use the models of clients (setting `allow`)"));
            }
            Some(Method::CreateMessage) if self.abilities.sampling.is_none() => {
                return Err(Blocked("its client has no model for it"));
            }
            Some(Method::RootsList) if !self.allow.roots => {
                return Err(Blocked("it may not see the roots of clients (setting `allow`)"));
            }
            Some(Method::RootsList) if !self.abilities.roots => return Err(Blocked("its client tells no roots")),
            Some(Method::CreateMessage | Method::RootsList) => {}
            // spec: BR-63: "method among the three, no other methods"
            _ => return Err(Blocked("it asks what no revision defines")),
        }
        Ok(signed(entry, self.server.as_str()))
    }

    // spec: BR-50: "Send no entry for a capability the client did not declare on this very request"
    fn elicitation(&self, params: &str) -> Result<(), Blocked> {
        if scan::member(params, "mode").and_then(scan::string).as_deref() == Some("url") {
            return if self.abilities.pages { Ok(()) } else { Err(Blocked("its client opens no pages")) };
        }
        if !self.abilities.forms {
            return Err(Blocked("its client shows no forms"));
        }
        let properties = scan::member(params, "requestedSchema").and_then(|schema| scan::member(schema, "properties"));
        let mut fields = properties.into_iter().flat_map(scan::members);
        // spec: T-64: "form elicitation with secret-looking fields (password, token, api key, card) blocked"
        let secret = fields.any(|(name, schema)| {
            let title = scan::member(schema, "title").and_then(scan::string);
            names_a_secret(&name) || title.is_some_and(|title| names_a_secret(&title))
        });
        if secret { Err(Blocked("a form may not ask for a secret")) } else { Ok(()) }
    }
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
            assert_eq!(questions.asked(&form), Err(Blocked("a form may not ask for a secret")), "{field}");
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
        let page = r#"{"k":{"method":"elicitation/create","params":{"mode":"url","url":"https://a","message":"m"}}}"#;
        assert!(questions(Allow::REMOTE, ALL).asked(page).is_ok());
        assert!(questions(Allow::REMOTE, r#"{"elicitation":{}}"#).asked(page).is_err());
        for strange in ["tools/call", "ping", "elicitation/create2"] {
            assert!(questions(EVERYTHING, ALL).asked(&entry(strange)).is_err(), "{strange}");
        }
        assert!(questions(EVERYTHING, ALL).asked("[]").is_err());
    }
}
