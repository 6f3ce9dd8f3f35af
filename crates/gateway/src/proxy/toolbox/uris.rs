//! URIs of several servers at one endpoint: as they are while they are one server's alone, else with the server in their
//! scheme. What is written for a client is read back the same way, so nothing has to be remembered for that.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use bytes::Bytes;
use portcullis_base::ServerName;
use portcullis_mcp::{Method, object::quoted, scan};

use crate::proxy::rewrite::rewrite;

/// What the scheme of a written URI begins with; the server and `+` follow.
const SCHEME: &str = "portcullis.";
/// The longest URI that templates are tried with.
const LONGEST: usize = 8 << 10;
/// Tokens of one template that are looked at.
const TOKENS: usize = 64;

/// Whose URIs are which, as far as the servers' lists say.
#[derive(Default)]
pub(in crate::proxy) struct Owners {
    listed: HashMap<Box<str>, HashSet<ServerName>>,
    templates: Vec<(ServerName, Box<str>)>,
}

/// How the URIs of one server are written in one answer.
pub(in crate::proxy) struct Uris {
    server: ServerName,
    owners: Owners,
    asked: Asked,
}

/// What the client asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Asked {
    /// Nothing by URI.
    Otherwise,
    /// A URI as the server has it: its parts are so too.
    Plain,
    /// A URI with the server in it.
    Written,
}

/// Whose a URI is.
pub(in crate::proxy) enum Whose {
    /// This server's, and its own URI there.
    Of(ServerName, String, Asked),
    /// Of several.
    Several,
    /// Nobody's.
    Nobody,
}

impl Owners {
    pub(in crate::proxy) fn list(&mut self, server: &ServerName, uri: &str) {
        self.listed.entry(uri.into()).or_default().insert(server.clone());
    }

    pub(in crate::proxy) fn template(&mut self, server: &ServerName, template: &str) {
        self.templates.push((server.clone(), template.into()));
    }

    /// How `server`'s own `uri`, from one of its lists, is written.
    // spec: AG-30: "pass through while globally unique on the endpoint, else rewrite"
    pub(in crate::proxy) fn of_list<'u>(&self, server: &ServerName, uri: &'u str) -> Cow<'u, str> {
        let alone = self.listed.get(uri).is_none_or(|owners| owners.len() == 1);
        if alone && !uri.starts_with(SCHEME) { Cow::Borrowed(uri) } else { Cow::Owned(written(server, uri)) }
    }

    /// The same for a template.
    pub(in crate::proxy) fn of_templates<'u>(&self, server: &ServerName, template: &'u str) -> Cow<'u, str> {
        let alone = !self.templates.iter().any(|(other, known)| other != server && &**known == template);
        if alone && !template.starts_with(SCHEME) {
            Cow::Borrowed(template)
        } else {
            Cow::Owned(written(server, template))
        }
    }

    /// The same for one that stands in an answer and was perhaps never listed.
    // spec: AG-32: "accept reads of URIs never listed by rewrite"
    fn of_answer<'u>(&self, server: &ServerName, uri: &'u str) -> Cow<'u, str> {
        if uri.starts_with(SCHEME) {
            return Cow::Owned(written(server, uri));
        }
        let unique = match self.listed.get(uri) {
            Some(owners) => owners.len() == 1 && owners.contains(server),
            // A page of the web is fetched there and not here.
            None if is_web(uri) => true,
            None => self.fitting(uri).is_ok_and(|found| found.is_some_and(|found| found == server)),
        };
        if unique { Cow::Borrowed(uri) } else { Cow::Owned(written(server, uri)) }
    }

    /// Whose `uri` is, as a client wrote it.
    // spec: AG-30, AG-31: "ambiguous match is an error, not a guess"
    pub(in crate::proxy) fn whose(&self, uri: &str) -> Whose {
        if let Some((server, own)) = read(uri) {
            return Whose::Of(server, own.to_owned(), Asked::Written);
        }
        let plain = |server: &ServerName| Whose::Of(server.clone(), uri.to_owned(), Asked::Plain);
        if let Some(owners) = self.listed.get(uri) {
            let mut owners = owners.iter();
            return match (owners.next(), owners.next()) {
                (Some(server), None) => plain(server),
                _ => Whose::Several,
            };
        }
        match self.fitting(uri) {
            Ok(Some(server)) => plain(server),
            Ok(None) => Whose::Nobody,
            Err(()) => Whose::Several,
        }
    }

    /// Whose template it is, as a client wrote it.
    pub(in crate::proxy) fn whose_template(&self, template: &str) -> Whose {
        if let Some((server, own)) = read(template) {
            return Whose::Of(server, own.to_owned(), Asked::Written);
        }
        let owners: HashSet<_> =
            self.templates.iter().filter(|(_, known)| &**known == template).map(|(s, _)| s).collect();
        let mut owners = owners.into_iter();
        match (owners.next(), owners.next()) {
            (Some(server), None) => Whose::Of(server.clone(), template.to_owned(), Asked::Plain),
            (Some(_), Some(_)) => Whose::Several,
            // A URI that is completed need not be a template.
            (None, _) => self.whose(template),
        }
    }

    /// The one server with a template for `uri`; an error if there are several.
    fn fitting(&self, uri: &str) -> Result<Option<&ServerName>, ()> {
        let mut found = None;
        if uri.len() > LONGEST {
            return Ok(None);
        }
        for (server, template) in &self.templates {
            if found == Some(server) || !fits(template, uri) {
                continue;
            }
            if found.replace(server).is_some() {
                return Err(());
            }
        }
        Ok(found)
    }
}

impl Uris {
    pub(in crate::proxy) fn new(server: &ServerName, owners: Owners, asked: Asked) -> Self {
        Self { server: server.clone(), owners, asked }
    }

    /// How one URI is written.
    pub(in crate::proxy) fn write<'u>(&self, uri: &'u str) -> Cow<'u, str> {
        match self.asked {
            Asked::Otherwise => self.owners.of_answer(&self.server, uri),
            Asked::Plain => Cow::Borrowed(uri),
            Asked::Written => Cow::Owned(written(&self.server, uri)),
        }
    }

    /// An answer to `method` with its URIs written for the client; `None` if they are as they came.
    // spec: AG-30: "tool results (resource_link, embedded), prompts"; AG-35: "at most 100 values"
    pub(in crate::proxy) fn written(&self, method: Method, message: &str) -> Option<Bytes> {
        let result = scan::member(message, "result")?;
        let mut edits: Vec<(&str, String)> = Vec::new();
        match method {
            Method::ToolsCall => self.content(result, &mut edits),
            Method::TasksGet => self.done(result, &mut edits),
            Method::PromptsGet => {
                let messages = scan::member(result, "messages").into_iter().flat_map(scan::elements);
                messages.filter_map(|said| scan::member(said, "content")).for_each(|c| self.block(c, &mut edits));
            }
            Method::ResourcesRead => {
                let contents = scan::member(result, "contents").into_iter().flat_map(scan::elements);
                contents.for_each(|content| self.edit(content, &mut edits));
            }
            Method::Complete => {
                let values = scan::member(result, "completion").and_then(|c| scan::member(c, "values"))?;
                let kept: Vec<&str> = scan::elements(values).take(100).collect();
                if kept.len() < scan::elements(values).count() {
                    edits.push((values, format!("[{}]", kept.join(","))));
                }
            }
            _ => {}
        }
        requests(result, &mut edits);
        if edits.is_empty() {
            return None;
        }
        let mut edits: Vec<(&str, &str)> = edits.iter().map(|(inner, new)| (*inner, new.as_str())).collect();
        rewrite(message, &mut edits)
    }

    /// A raw task with the URIs in its result written for the client; `None` if they are as they came.
    pub(in crate::proxy) fn of_task(&self, task: &str) -> Option<Bytes> {
        let mut edits = Vec::new();
        self.done(task, &mut edits);
        requests(task, &mut edits);
        if edits.is_empty() {
            return None;
        }
        let mut edits: Vec<(&str, &str)> = edits.iter().map(|(inner, new)| (*inner, new.as_str())).collect();
        rewrite(task, &mut edits)
    }

    fn done<'m>(&self, task: &'m str, edits: &mut Vec<(&'m str, String)>) {
        if let Some(result) = scan::member(task, "result") {
            self.content(result, edits);
        }
    }

    fn content<'m>(&self, result: &'m str, edits: &mut Vec<(&'m str, String)>) {
        scan::member(result, "content").into_iter().flat_map(scan::elements).for_each(|c| self.block(c, edits));
    }

    fn block<'m>(&self, content: &'m str, edits: &mut Vec<(&'m str, String)>) {
        match scan::member(content, "type").and_then(scan::string).as_deref() {
            Some("resource_link") => self.edit(content, edits),
            Some("resource") => {
                if let Some(resource) = scan::member(content, "resource") {
                    self.edit(resource, edits);
                }
            }
            _ => {}
        }
    }

    fn edit<'m>(&self, object: &'m str, edits: &mut Vec<(&'m str, String)>) {
        let Some(raw) = scan::member(object, "uri") else { return };
        let Some(uri) = scan::string(raw) else { return };
        if let Cow::Owned(new) = self.write(&uri) {
            edits.push((raw, quoted(&new)));
        }
    }
}

/// What a server wishes for that would show it what others said.
// spec: BR-77: "always for allServers behind an aggregated endpoint"
fn requests<'m>(result: &'m str, edits: &mut Vec<(&'m str, String)>) {
    let wishes = scan::member(result, "inputRequests").into_iter().flat_map(scan::members);
    for context in wishes.filter_map(|(_, wish)| scan::member(scan::member(wish, "params")?, "includeContext")) {
        if scan::string(context).as_deref() == Some("allServers") {
            edits.push((context, "\"none\"".to_owned()));
        }
    }
}

fn is_web(uri: &str) -> bool {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

/// `server`'s own `uri` with the server in it.
fn written(server: &ServerName, uri: &str) -> String {
    format!("{SCHEME}{server}+{uri}")
}

/// The server and its own URI.
fn read(uri: &str) -> Option<(ServerName, &str)> {
    let (server, own) = uri.strip_prefix(SCHEME)?.split_once('+')?;
    Some((ServerName::parse(server).ok()?, own))
}

enum Token<'t> {
    Text(&'t str),
    /// One part of a path.
    Part,
    /// Anything.
    Rest,
}

/// Whether `uri` can come of `template` (RFC 6570), in time that grows with their lengths only.
fn fits(template: &str, uri: &str) -> bool {
    let Some(tokens) = tokens(template) else { return false };
    // The places in `uri` that can be reached after each token.
    let mut places = vec![false; uri.len() + 1];
    places[0] = true;
    for token in &tokens {
        let mut next = vec![false; uri.len() + 1];
        match token {
            Token::Text(text) => {
                for at in (0..=uri.len()).filter(|at| places[*at]) {
                    if uri.as_bytes()[at..].starts_with(text.as_bytes()) {
                        next[at + text.len()] = true;
                    }
                }
            }
            Token::Part | Token::Rest => {
                let mut open = false;
                for at in 0..=uri.len() {
                    let ends =
                        at > 0 && matches!(token, Token::Part) && matches!(uri.as_bytes()[at - 1], b'/' | b'?' | b'#');
                    open = (open && !ends) || places[at];
                    next[at] = open;
                }
            }
        }
        places = next;
    }
    places[uri.len()]
}

fn tokens(template: &str) -> Option<Vec<Token<'_>>> {
    let (mut tokens, mut rest) = (Vec::new(), template);
    while let Some((text, behind)) = rest.split_once('{') {
        let (expression, behind) = behind.split_once('}')?;
        if !text.is_empty() {
            tokens.push(Token::Text(text));
        }
        let simple = expression.starts_with(|c: char| c.is_alphanumeric() || c == '_') && !expression.ends_with('*');
        tokens.push(if simple { Token::Part } else { Token::Rest });
        rest = behind;
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest));
    }
    (tokens.len() <= TOKENS).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::parse(name).unwrap()
    }

    fn owners() -> Owners {
        let mut owners = Owners::default();
        let (a, b) = (server("a"), server("b"));
        owners.list(&a, "file:///readme");
        owners.list(&b, "file:///readme");
        owners.list(&a, "file:///only");
        owners.template(&a, "note://{id}");
        owners.template(&a, "x://{id}");
        owners.template(&b, "x://{+path}");
        owners.template(&b, "same://{id}");
        owners.template(&a, "same://{id}");
        owners
    }

    fn of(whose: Whose) -> Option<(String, String)> {
        match whose {
            Whose::Of(server, own, _) => Some((server.to_string(), own)),
            Whose::Several => None,
            Whose::Nobody => Some((String::new(), String::new())),
        }
    }

    // spec: AG-30, AG-31, AG-32
    #[test]
    fn what_is_written_is_read_back_and_nothing_is_guessed() {
        let (owners, a, b) = (owners(), server("a"), server("b"));
        assert_eq!(owners.of_list(&a, "file:///only"), "file:///only");
        for (server, uri) in [(&a, "file:///readme"), (&b, "file:///readme"), (&b, "portcullis.a+file:///x")] {
            let shown = owners.of_list(server, uri).into_owned();
            assert_eq!(of(owners.whose(&shown)), Some((server.to_string(), uri.to_owned())));
        }
        assert_eq!(owners.of_templates(&b, "same://{id}"), "portcullis.b+same://{id}");
        assert_eq!(of(owners.whose_template("portcullis.b+same://{id}")).unwrap().0, "b");
        assert_eq!(of(owners.whose_template("same://{id}")), None);
        let some = |server: &str, uri: &str| Some((server.to_owned(), uri.to_owned()));
        assert_eq!(of(owners.whose("file:///only")), some("a", "file:///only"));
        assert_eq!(of(owners.whose("note://7")), some("a", "note://7"));
        assert_eq!(of(owners.whose("x://a/b")), some("b", "x://a/b"));
        assert_eq!(of(owners.whose("x://a")), None, "both could");
        assert_eq!(of(owners.whose("file:///readme")), None);
        assert_eq!(of(owners.whose("unheard://of")), some("", ""));
    }

    // spec: AG-30, AG-32, BR-77
    #[test]
    fn uris_in_answers_lead_back_to_their_server() {
        let uris = Uris::new(&server("b"), owners(), Asked::Otherwise);
        let said = |body: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{body}}}"#);
        let result = said(
            r#"{"content":[{"type":"resource_link","uri":"file:///readme"},{"type":"text","text":"file:///readme"},{"type":"resource","resource":{"uri":"never:listed"}},{"type":"resource_link","uri":"https://example.com/"},{"type":"resource_link","uri":"x://a/b"}],"structuredContent":{"uri":"file:///readme"}}"#,
        );
        let told = uris.written(Method::ToolsCall, &result).unwrap();
        let expected = result
            .replacen("\"file:///readme\"", "\"portcullis.b+file:///readme\"", 1)
            .replace("never:listed", "portcullis.b+never:listed");
        assert_eq!(told, expected.as_bytes());
        let prompt = said(r#"{"messages":[{"content":{"type":"resource","resource":{"uri":"u:1"}}}]}"#);
        assert_eq!(
            uris.written(Method::PromptsGet, &prompt).unwrap(),
            prompt.replace("u:1", "portcullis.b+u:1").as_bytes()
        );
        let read = said(r#"{"contents":[{"uri":"file:///readme"}]}"#);
        let asked = |asked| Uris::new(&server("b"), Owners::default(), asked).written(Method::ResourcesRead, &read);
        assert_eq!(asked(Asked::Plain), None);
        assert!(asked(Asked::Written).is_some());
        let wish = said(
            r#"{"inputRequests":{"a":{"method":"sampling/createMessage","params":{"includeContext":"allServers"}}}}"#,
        );
        assert_eq!(uris.written(Method::ToolsCall, &wish).unwrap(), wish.replace("allServers", "none").as_bytes());
    }

    // spec: AG-35
    #[test]
    fn completions_are_no_more_than_a_hundred() {
        let values: Vec<_> = (0..150).map(|n| format!("\"{n}\"")).collect();
        let said = format!(r#"{{"id":1,"result":{{"completion":{{"values":[{}]}}}}}}"#, values.join(","));
        let uris = Uris::new(&server("a"), Owners::default(), Asked::Otherwise);
        let told = uris.written(Method::Complete, &said).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["result"]["completion"]["values"].as_array().unwrap().len(), 100);
    }

    // spec: AG-31
    #[test]
    fn templates_are_matched_in_little_time() {
        for (template, uri, yes) in [
            ("file:///{name}", "file:///a", true),
            ("file:///{name}", "file:///a/b", false),
            ("file:///{+name}", "file:///a/b", true),
            ("a{x}b{y}c", "aXbbYc", true),
            ("a{x}b", "aXbc", false),
            ("search{?q,page}", "search?q=1&page=2", true),
            ("broken{", "broken{", false),
        ] {
            assert_eq!(fits(template, uri), yes, "{template} {uri}");
        }
        assert!(!fits(&"{a}".repeat(100), "x"));
    }
}
