//! Policies of Intercept (version 1 of its YAML) as a beginning for rules.
//!
//! What they say is carried over where rules can say it; everything else stands in the result as a comment, next to where
//! it belongs, so that nobody takes a beginning for the whole.

use std::{collections::HashSet, fmt::Write as _};

use portcullis_base::{ServerName, printable};
use yaml_serde::{Mapping, Value};

use crate::{path::Path, read::text_of, source::RuleError, source::Source};

/// What came of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// A rule file.
    pub text: String,
    /// How many rules it has.
    pub rules: usize,
    /// What could not be carried over, sentence by sentence; each is a comment in the text too.
    pub left: Vec<String>,
}

/// Reads a policy and writes rules about the tools of `server`.
pub fn import_intercept(source: &Source<'_>, server: &ServerName) -> Result<Imported, RuleError> {
    let fault = |line, message: String| RuleError { file: source.name.into(), line, message, nearest: None };
    let value = yaml_serde::from_str::<Value>(source.text).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        fault(line, format!("this is not YAML: {}", printable(&error.to_string(), 200)))
    })?;
    let Some(policy) = value.as_mapping().filter(|map| map.contains_key("version")) else {
        return Err(fault(1, "this is no policy of Intercept: it has no \"version\"".into()));
    };
    if policy.get("version").and_then(text_of).as_deref() != Some("1") {
        return Err(fault(1, "only version \"1\" of these policies is known".into()));
    }
    let mut writer = Writer { server, text: String::new(), names: HashSet::new(), rules: 0, left: Vec::new() };
    writer.policy(policy, source.name);
    Ok(Imported { text: writer.text, rules: writer.rules, left: writer.left })
}

struct Writer<'w> {
    server: &'w ServerName,
    text: String,
    names: HashSet<String>,
    rules: usize,
    left: Vec<String>,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn comment(&mut self, text: &str) {
        self.line(&format!("# {}", printable(text, 300)));
    }

    /// Says that something is not in the rules.
    fn left(&mut self, what: String) {
        let what = printable(&what, 300);
        self.line(&format!("# NOT CARRIED OVER: {what}"));
        self.left.push(what);
    }

    /// Writes a rule about a tool.
    fn rule(&mut self, name: &str, tool: &str, rest: &[(&str, String)]) {
        let name = self.named(name);
        // A name with a colon would be read as another kind of thing.
        let kind = if tool.contains(':') { "tool:" } else { "" };
        let mut text =
            format!("- rule: {name}\n  who: \"*\"\n  what: {}\n", quoted(&format!("{}/{kind}{tool}", self.server)));
        for (key, value) in rest {
            writeln!(text, "  {key}: {value}").expect("a text takes it");
        }
        self.text.push_str(&text);
        self.rules += 1;
    }

    /// A name that is allowed and that no other rule has.
    fn named(&mut self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let name: String = name.chars().take(56).map(plain).collect();
        let mut unique = name.clone();
        for n in 2.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}-{n}");
        }
        unique
    }

    fn policy(&mut self, policy: &Mapping, file: &str) {
        self.comment(&format!("Rules for {}, begun from {file}, a policy of Intercept.", self.server));
        if let Some(description) = policy.get("description").and_then(Value::as_str) {
            self.comment(description);
        }
        for key in policy.keys().filter_map(text_of) {
            if !["version", "description", "default", "hide", "tools"].contains(&key.as_str()) {
                self.left(format!("the key \"{key}\", which is not known"));
            }
        }
        let closed = policy.get("default").and_then(Value::as_str) == Some("deny");
        if closed {
            self.left(format!(
                "default: deny. Rules open what they name; close the rest with `access: [{{ group: \"*\", allow: [] }}]` at the server {}",
                self.server
            ));
        } else {
            self.comment("What no rule speaks of is decided by the access list of the server, not simply allowed.");
        }
        self.line("");
        for tool in policy.get("hide").and_then(Value::as_sequence).into_iter().flatten().filter_map(text_of) {
            self.rule(&format!("{}.{tool}.hidden", self.server), &tool, &[("then", "deny".into())]);
        }
        let Some(tools) = policy.get("tools").and_then(Value::as_mapping) else { return };
        for (tool, entry) in tools {
            let tool = text_of(tool).unwrap_or_default();
            if closed && tool != "*" {
                self.rule(&format!("{}.{tool}.open", self.server), &tool, &[("then", "allow".into())]);
            }
            for rule in entry.get("rules").and_then(Value::as_sequence).into_iter().flatten() {
                match rule.as_mapping() {
                    Some(rule) => self.carried(&tool, rule),
                    None => self.left(format!("a rule of {tool} that is none")),
                }
            }
        }
    }

    /// Carries one of its rules over.
    fn carried(&mut self, tool: &str, rule: &Mapping) {
        let text = |key: &str| rule.get(key).and_then(text_of);
        let title = text("name").unwrap_or_else(|| "rule".to_owned());
        let name = format!("{}.{}.{title}", self.server, if tool == "*" { "all" } else { tool });
        let known = ["name", "action", "on_deny", "rate_limit", "conditions", "state"];
        for key in rule.keys().filter_map(text_of).filter(|key| !known.contains(&key.as_str())) {
            self.left(format!("\"{key}\" of \"{title}\""));
        }
        if let Some(message) = text("on_deny") {
            self.comment(&format!("Its message was: {message}"));
        }
        if text("action").as_deref() == Some("deny") {
            return self.rule(&name, tool, &[("then", "deny".into())]);
        }
        if let Some(rate) = text("rate_limit") {
            let limit =
                rate.split_once('/').and_then(|(calls, span)| Some((calls.trim().parse().ok()?, window(span)?)));
            return match limit {
                Some((calls, window)) => self.limit(&name, tool, &calls_in(calls, window)),
                None => self.left(format!("the limit \"{rate}\" of \"{title}\"")),
            };
        }
        let conditions = rule.get("conditions").and_then(Value::as_sequence).into_iter().flatten();
        let (states, arguments): (Vec<_>, Vec<_>) =
            conditions.partition(|condition| condition.get("path").and_then(Value::as_str).is_some_and(is_state));
        let mut terms = Vec::new();
        for condition in arguments {
            match term(condition) {
                Ok(term) => terms.push(term),
                Err(why) => self.left(format!("a condition of \"{title}\": {why}")),
            }
        }
        if !terms.is_empty() {
            // There, a call is denied unless all of them hold; one that cannot be judged denies here too.
            let condition = format!("!({})", terms.join(" && "));
            self.rule(&name, tool, &[("when", quoted(&condition)), ("then", "deny".into())]);
        }
        for condition in states {
            match counted(condition, rule.get("state")) {
                Ok(limit) => self.limit(&name, tool, &limit),
                Err(why) => self.left(format!("a limit of \"{title}\": {why}")),
            }
        }
    }

    fn limit(&mut self, name: &str, tool: &str, limit: &str) {
        // Its counters are those of one proxy, whoever calls.
        self.rule(name, tool, &[("quota", format!("{{ per: rule, {limit} }}"))]);
    }
}

fn is_state(path: &str) -> bool {
    path.starts_with("state.")
}

fn calls_in(calls: u64, window: &str) -> String {
    format!("calls: {calls}, window: {window}")
}

fn window(word: &str) -> Option<&'static str> {
    match word.trim() {
        "minute" => Some("1m"),
        "hour" => Some("1h"),
        "day" => Some("1d"),
        _ => None,
    }
}

/// A text as YAML and CEL both read it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// One condition on an argument, in CEL.
fn term(condition: &Value) -> Result<String, String> {
    let path = condition.get("path").and_then(Value::as_str).and_then(|path| path.strip_prefix("args."));
    let parsed = path.and_then(|path| Path::parse(path).ok());
    let (Some(path), Some(_)) = (path, parsed) else { return Err("its path is no argument".to_owned()) };
    let plain = |part: &str| {
        !part.starts_with(|c: char| c.is_ascii_digit()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let mut argument = String::from("args");
    for part in path.split('.') {
        if plain(part) {
            write!(argument, ".{part}").expect("a text takes it");
        } else {
            write!(argument, "[{}]", quoted(part)).expect("a text takes it");
        }
    }
    let op = condition.get("op").and_then(Value::as_str).unwrap_or_default();
    let value = condition.get("value").unwrap_or(&Value::Null);
    let literal = || serde_json::to_string(value).map_err(|_| "its value has no JSON form".to_owned());
    let by_size = |sign: &str| match value {
        Value::Number(_) => Ok(format!("{argument} {sign} {}", literal()?)),
        _ => Err(format!("{op} wants a number")),
    };
    match (op, value) {
        ("eq" | "neq", Value::Mapping(_)) => Err("it compares with a map".to_owned()),
        ("eq", _) => Ok(format!("{argument} == {}", literal()?)),
        ("neq", _) => Ok(format!("{argument} != {}", literal()?)),
        ("lt", _) => by_size("<"),
        ("lte", _) => by_size("<="),
        ("gt", _) => by_size(">"),
        ("gte", _) => by_size(">="),
        ("in", Value::Sequence(_)) => Ok(format!("{argument} in {}", literal()?)),
        ("not_in", Value::Sequence(_)) => Ok(format!("!({argument} in {})", literal()?)),
        ("contains", Value::String(_)) => Ok(format!("{argument}.contains({})", literal()?)),
        ("exists", Value::Bool(there)) if plain(path.rsplit('.').next().unwrap_or_default()) => {
            Ok(format!("{}has({argument})", if *there { "" } else { "!" }))
        }
        ("regex", _) => {
            Err("conditions have no regular expressions; say it with startsWith, endsWith or contains".to_owned())
        }
        _ => Err(format!("\"{}\" of this value", printable(op, 32))),
    }
}

/// A condition on a counter, as a limit.
fn counted(condition: &Value, state: Option<&Value>) -> Result<String, String> {
    let counter = condition.get("path").and_then(Value::as_str).and_then(|path| path.rsplit('.').next());
    let state = state.filter(|state| state.get("counter").and_then(Value::as_str) == counter);
    let Some(state) = state else { return Err("its counter is counted by another rule".to_owned()) };
    let window = state.get("window").and_then(Value::as_str).and_then(window).ok_or("its window is not known")?;
    let op = condition.get("op").and_then(Value::as_str).unwrap_or_default();
    if !matches!(op, "lt" | "lte") {
        return Err(format!("\"{}\" of a counter", printable(op, 32)));
    }
    let most = condition.get("value").and_then(Value::as_u64).ok_or("its value is no whole number")?;
    if let Some(argument) = state.get("increment_from") {
        let path =
            argument.as_str().and_then(|path| path.strip_prefix("args.")).and_then(|path| Path::parse(path).ok());
        let path = path.ok_or("what it adds up is no argument")?;
        return Ok(format!("sum: {}, most: {most}, window: {window}", quoted(&format!("args.{path}"))));
    }
    let each = state.get("increment").map_or(Some(1), Value::as_u64).filter(|each| *each > 0);
    let calls = most.saturating_sub(u64::from(op == "lt")) / each.ok_or("what it adds is no whole number")?;
    if calls == 0 { Err("it allows no call at all".to_owned()) } else { Ok(calls_in(calls, window)) }
}
