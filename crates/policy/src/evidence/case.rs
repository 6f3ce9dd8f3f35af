//! Cases that rules are tried on: what is given, and what is expected of it.
//!
//! ```yaml
//! - name: small refunds ask finance
//!   given: { person: alice, groups: [support], server: stripe, tool: create_refund, arguments: { amount: 500 } }
//!   expect: { effect: ask, rule: refunds-need-finance }
//! ```

use std::{sync::Arc, time::Duration};

use portcullis_base::{Classes, ClientId, Label, Labels, PersonId, ServerName, Timestamp, printable};
use yaml_serde::{Mapping, Value};

use super::{Explanation, Given, Subject, explain};
use crate::{
    access::{Access, AccessEntry},
    bundle::Bundle,
    nearest::nearest,
    place::{Places, Step, line_of},
    read::{duration, text_of},
    rule::Effect,
    source::{Misread, RuleError, Source},
    who::{Kind, ROLES},
};

pub(crate) const KEYS: &[&str] = &["name", "given", "expect"];
pub(crate) const GIVEN_KEYS: &[&str] = &[
    "person",
    "id",
    "kind",
    "groups",
    "roles",
    "client",
    "server",
    "through",
    "tool",
    "prompt",
    "resource",
    "method",
    "classes",
    "labels",
    "tags",
    "arguments",
    "time",
    "address",
    "session",
    "signed_in",
    "acr",
    "access",
];
pub(crate) const EXPECT_KEYS: &[&str] =
    &["effect", "rule", "listed", "ask", "quota", "redact", "cap", "label", "shadow"];

/// A Monday at noon: when cases happen that do not say when.
const NOON: Timestamp = Timestamp::from_secs(1_767_614_400);

/// The classes and labels of a tool.
pub type Risk = (Classes, Labels);

/// What cases need to know besides what they say.
#[derive(Clone, Copy)]
pub struct World<'w> {
    /// The access list of a server.
    pub access: &'w dyn Fn(&ServerName) -> Option<Access>,
    /// What is known of a tool.
    pub tool: &'w dyn Fn(&ServerName, &str) -> Option<Risk>,
}

impl World<'static> {
    /// Nothing is known: access lists are as they are by default, and tools have the classes that cases give them.
    pub const fn empty() -> Self {
        Self { access: &|_| None, tool: &|_, _| None }
    }
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: Box<str>,
    /// The file.
    pub file: Box<str>,
    /// The line that it begins on.
    pub line: usize,
    given: Given,
    /// Whether it says itself what the tool is.
    classified: bool,
    access: Option<Access>,
    expected: Vec<(usize, Expected)>,
}

#[derive(Clone, Debug)]
enum Expected {
    Effect(Effect),
    Rule(String),
    Listed(bool),
    Names(&'static str, Vec<String>),
    Cap(Option<u64>, Option<u64>),
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is not as expected: the line, and a sentence. None: all is.
    pub failures: Vec<(usize, String)>,
    /// Why it is as it is.
    pub explanation: Explanation,
}

impl Case {
    /// Tries the rules on it.
    pub fn run(&self, bundle: &Bundle, world: &World<'_>) -> Outcome {
        let mut given = self.given.clone();
        if let (false, Subject::Tool(name)) = (self.classified, &given.target)
            && let Some((classes, labels)) = (world.tool)(&given.server, name)
        {
            (given.classes, given.labels) = (classes, labels);
        }
        let access = self.access.clone().or_else(|| (world.access)(&given.server)).unwrap_or_default();
        let explanation = given.with(|facts| explain(bundle, &access, facts));
        let failures =
            self.expected.iter().filter_map(|(line, expected)| Some((*line, expected.differs(&explanation)?)));
        Outcome { failures: failures.collect(), explanation }
    }
}

impl Expected {
    /// What is other than expected.
    fn differs(&self, is: &Explanation) -> Option<String> {
        let on = &is.obligations;
        match self {
            Self::Effect(effect) => (*effect != is.effect).then(|| {
                let because = is.because.as_ref().map(|because| format!(", because {because}")).unwrap_or_default();
                format!("expected {}, but it is {} by \"{}\"{because}", effect.as_str(), is.effect.as_str(), is.rule)
            }),
            Self::Rule(rule) => (**rule != *is.rule).then(|| {
                let considered = is.rules.iter().find(|considered| *considered.rule == **rule);
                let why = match considered {
                    Some(considered) => considered.to_string(),
                    None => format!("\"{rule}\" does not concern what is called, or is not there"),
                };
                format!("expected rule \"{rule}\", but \"{}\" decides; {why}", is.rule)
            }),
            Self::Listed(listed) => (*listed != is.listed).then(|| {
                format!(
                    "expected that it is {}in lists, but it is {}",
                    not(*listed),
                    if is.listed { "there" } else { "not" }
                )
            }),
            Self::Names(key, wanted) => {
                let mut found: Vec<String> = match *key {
                    "ask" => on.asks.iter().map(|ask| ask.rule.to_string()).collect(),
                    "quota" => on.quotas.iter().map(|quota| quota.rule.to_string()).collect(),
                    "redact" => on.redactions.iter().map(ToString::to_string).collect(),
                    "label" => on.labels.iter().map(ToString::to_string).collect(),
                    _ => {
                        let shadows = is.rules.iter().filter(|rule| rule.shadow && rule.applies);
                        shadows.map(|rule| rule.rule.to_string()).collect()
                    }
                };
                let mut wanted = wanted.clone();
                for names in [&mut found, &mut wanted] {
                    names.sort_unstable();
                    names.dedup();
                }
                (wanted != found).then(|| format!("expected {key} {}, but it is {}", show(&wanted), show(&found)))
            }
            Self::Cap(bytes, items) => (on.cap.bytes != *bytes || on.cap.items != *items).then(|| {
                let told = serde_json::to_string(&on.cap).unwrap_or_default();
                format!("expected another cap; it is {told}")
            }),
        }
    }
}

fn not(is: bool) -> &'static str {
    if is { "" } else { "not " }
}

fn show(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}

/// The cases of a file, or everything that is wrong in it.
pub fn cases(source: &Source<'_>) -> Result<Vec<Case>, Vec<RuleError>> {
    let fault = |line, message| RuleError { file: source.name.into(), line, message, nearest: None };
    let items = match yaml_serde::from_str::<Value>(source.text) {
        Ok(Value::Null) => Vec::new(),
        Ok(Value::Sequence(items)) => items,
        Ok(_) => {
            let line = line_of(source.text, &[]);
            return Err(vec![fault(line, "a file of cases is a list: each begins with \"- name:\"".into())]);
        }
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line());
            return Err(vec![fault(line, format!("this is not YAML: {}", printable(&error.to_string(), 200)))]);
        }
    };
    let places = Places::new(source.text, items.len());
    let (mut cases, mut faults) = (Vec::new(), Vec::new());
    for (item, value) in items.iter().enumerate() {
        let mut reader = Reader { source, places: &places, item, faults: &mut faults };
        cases.extend(reader.case(value));
    }
    if faults.is_empty() { Ok(cases) } else { Err(faults) }
}

struct Reader<'r> {
    source: &'r Source<'r>,
    places: &'r Places<'r>,
    item: usize,
    faults: &'r mut Vec<RuleError>,
}

impl Reader<'_> {
    fn fault(&mut self, path: &[&str], Misread { message, nearest }: Misread) {
        let line = self.line(path);
        self.faults.push(RuleError { file: self.source.name.into(), line, message, nearest });
    }

    fn line(&self, path: &[&str]) -> usize {
        self.places.line(self.item, &path.iter().copied().map(Step::Member).collect::<Vec<_>>())
    }

    fn case(&mut self, value: &Value) -> Option<Case> {
        let Some(map) = value.as_mapping() else {
            self.fault(&[], Misread::new("this is not a case"));
            return None;
        };
        let before = self.faults.len();
        self.keys(map, KEYS, &[]);
        let name = map.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        if name.is_none() {
            self.fault(&["name"], Misread::new("this case has no name: begin it with \"- name: WHAT IT SHOWS\""));
        }
        let empty = Mapping::new();
        let mut part = |key: &'static str, keys: &[&'static str]| {
            let Some(Some(part)) = map.get(key).map(Value::as_mapping) else {
                self.fault(&[key], Misread::new(format!("\"{key}\" is missing; it has the keys {}", keys.join(", "))));
                return &empty;
            };
            self.keys(part, keys, &[key]);
            part
        };
        let (given, expect) = (part("given", GIVEN_KEYS), part("expect", EXPECT_KEYS));
        let access = self.access(given.get("access"));
        let facts = self.given(given);
        let expected = self.expected(expect);
        if self.faults.len() > before {
            return None;
        }
        if expected.is_empty() {
            self.fault(&["expect"], Misread::new("this case expects nothing, so it shows nothing"));
            return None;
        }
        Some(Case {
            name: name?.into(),
            file: self.source.name.into(),
            line: self.line(&["name"]),
            given: facts?,
            classified: given.contains_key("classes"),
            access,
            expected,
        })
    }

    fn keys(&mut self, map: &Mapping, known: &[&'static str], within: &[&str]) {
        for key in map.keys() {
            let text = text_of(key).unwrap_or_default();
            if !known.contains(&text.as_str()) {
                let message =
                    format!("there is no key \"{}\" here; the keys are {}", printable(&text, 64), known.join(", "));
                let nearest = nearest(&text, known.iter().copied()).map(Into::into);
                let path: Vec<_> = within.iter().copied().chain([text.as_str()]).collect();
                self.fault(&path, Misread { message, nearest });
            }
        }
    }

    /// What stands under a key of `given`, if it can be read.
    fn read<T>(&mut self, map: &Mapping, key: &str, parse: impl FnOnce(&Value) -> Result<T, Misread>) -> Option<T> {
        match parse(map.get(key)?) {
            Ok(read) => Some(read),
            Err(wrong) => {
                self.fault(&["given", key], wrong);
                None
            }
        }
    }

    fn given(&mut self, map: &Mapping) -> Option<Given> {
        let text = |value: &Value| text_of(value).ok_or_else(|| Misread::new("this is not a text"));
        let server = |value: &Value| ServerName::parse(&text(value)?).map_err(|error| Misread::new(error.to_string()));
        let shared = |value: &Value| Ok(texts(value)?.into_iter().map(Arc::from).collect::<Vec<Arc<str>>>());
        let at = if map.contains_key("server") {
            self.read(map, "server", server)?
        } else {
            self.fault(&["given"], Misread::new("this case does not say at which server: \"server\" is missing"));
            return None;
        };
        let now = self.read(map, "time", |value| {
            let moment = value.as_str().and_then(Timestamp::parse);
            moment.ok_or_else(|| Misread::new("\"time\" is a moment such as 2026-11-23T10:00:00Z"))
        });
        let now = now.unwrap_or(NOON);
        let subject =
            ["tool", "prompt", "resource"].into_iter().filter_map(|key| Some((key, self.read(map, key, text)?)));
        let mut subjects: Vec<_> = subject.collect();
        if subjects.len() > 1 {
            self.fault(&["given"], Misread::new("a case is about one of tool, prompt, resource"));
        }
        let (target, method) = match subjects.pop() {
            Some(("tool", name)) => (Subject::Tool(name.into()), "tools/call"),
            Some(("prompt", name)) => (Subject::Prompt(name.into()), "prompts/get"),
            Some((_, uri)) => (Subject::Resource(uri.into()), "resources/read"),
            None => (Subject::None, "tools/list"),
        };
        let signed_in = self.read(map, "signed_in", |value| {
            let ago = value.as_str().and_then(duration);
            ago.ok_or_else(|| Misread::new("\"signed_in\" is how long ago, such as 5m"))
        });
        let name: Arc<str> = self.read(map, "person", text).unwrap_or_else(|| "alice".into()).into();
        let given = Given {
            person: PersonId::new(self.read(map, "id", text).unwrap_or_else(|| format!("usr_{name}"))),
            name,
            kind: self.read(map, "kind", |value| kind(&text(value)?)).unwrap_or_default(),
            groups: self.read(map, "groups", shared).unwrap_or_default(),
            roles: self.read(map, "roles", roles).unwrap_or_else(|| vec!["member".into()]),
            client: ClientId::new(self.read(map, "client", text).unwrap_or_else(|| "client".into())),
            through: self.read(map, "through", server),
            method: self.read(map, "method", text).unwrap_or_else(|| method.into()).into(),
            target,
            classes: self
                .read(map, "classes", |value| {
                    let words = texts(value)?;
                    words.iter().try_fold(Classes::NONE, |all, word| AccessEntry::classes(word).map(|one| all.or(one)))
                })
                .unwrap_or_default(),
            labels: self.read(map, "labels", labels).unwrap_or_default(),
            tags: self.read(map, "tags", shared).unwrap_or_default(),
            arguments: self
                .read(map, "arguments", |value| match value {
                    Value::Mapping(_) => serde_json::to_string(value).map_err(|error| Misread::new(error.to_string())),
                    _ => Err(Misread::new("\"arguments\" is a map of names and values")),
                })
                .map(Into::into),
            authenticated_at: signed_in.map(|ago: Duration| now.minus(ago)),
            acr: self.read(map, "acr", text).map(Into::into),
            address: self.read(map, "address", |value| {
                let address = value.as_str().and_then(|text| text.parse().ok());
                address.ok_or_else(|| Misread::new("\"address\" is an address such as 10.1.2.3"))
            }),
            session_labels: self.read(map, "session", shared).unwrap_or_default(),
            now,
            server: at,
        };
        Some(given)
    }

    /// An access list of the case's own.
    fn access(&mut self, value: Option<&Value>) -> Option<Access> {
        let value = value?;
        let entry = |item: &Value| -> Result<AccessEntry, Misread> {
            let group = |text: &str| text.strip_prefix("group:").unwrap_or(text).to_owned();
            if let Some(text) = item.as_str() {
                return Ok(AccessEntry::safe(group(text)));
            }
            let map = item.as_mapping().ok_or_else(|| Misread::new("\"access\" is a list of groups"))?;
            let keys = ["group", "allow", "ask"];
            if let Some(key) = map.keys().filter_map(text_of).find(|key| !keys.contains(&key.as_str())) {
                let message =
                    format!("there is no key \"{}\" here; the keys are group, allow, ask", printable(&key, 64));
                return Err(Misread { message, nearest: nearest(&key, keys).map(Into::into) });
            }
            let list = |key: &str| -> Result<Option<Classes>, Misread> {
                let Some(words) = map.get(key).map(texts).transpose()? else { return Ok(None) };
                let classes =
                    words.iter().try_fold(Classes::NONE, |all, word| AccessEntry::classes(word).map(|one| all.or(one)));
                classes.map(Some)
            };
            let name = map.get("group").and_then(Value::as_str).ok_or_else(|| Misread::new("\"group\" is missing"))?;
            Ok(AccessEntry::of(group(name), list("allow")?, list("ask")?))
        };
        let items = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
        match items.iter().map(entry).collect() {
            Ok(entries) => Some(Access::of(entries)),
            Err(wrong) => {
                self.fault(&["given", "access"], wrong);
                None
            }
        }
    }

    fn expected(&mut self, map: &Mapping) -> Vec<(usize, Expected)> {
        let mut all = Vec::new();
        for (key, value) in map {
            let key = text_of(key).unwrap_or_default();
            let Some(known) = EXPECT_KEYS.iter().find(|known| **known == key) else { continue };
            let read = match *known {
                "effect" => {
                    let text = text_of(value).unwrap_or_default();
                    let words = || ["allow", "ask", "step_up", "deny"].into_iter();
                    Effect::parse(&text).map(Expected::Effect).ok_or_else(|| Misread {
                        message: format!("\"{}\" is none of allow, ask, step_up, deny", printable(&text, 64)),
                        nearest: nearest(&text, words()).map(Into::into),
                    })
                }
                "rule" => text_of(value).map(Expected::Rule).ok_or_else(|| Misread::new("\"rule\" is a name")),
                "listed" => {
                    value.as_bool().map(Expected::Listed).ok_or_else(|| Misread::new("\"listed\" is true or false"))
                }
                "cap" => {
                    let of = |key: &str| value.get(key).and_then(Value::as_u64);
                    let plain = value.as_mapping().is_some_and(|map| {
                        map.iter().all(|(key, value)| {
                            matches!(key.as_str(), Some("bytes" | "items")) && value.as_u64().is_some()
                        })
                    });
                    let wrong = || Misread::new("\"cap\" has the keys bytes, items, each with a number");
                    plain.then(|| Expected::Cap(of("bytes"), of("items"))).ok_or_else(wrong)
                }
                names => texts(value).map(|texts| Expected::Names(names, texts)),
            };
            let path = ["expect", &key];
            match read {
                Ok(expected) => all.push((self.line(&path), expected)),
                Err(wrong) => self.fault(&path, wrong),
            }
        }
        all
    }
}

/// A text, or a list of them; it may be empty.
fn texts(value: &Value) -> Result<Vec<String>, Misread> {
    let items = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
    let texts = items.iter().map(|item| item.as_str().map(ToOwned::to_owned)).collect::<Option<_>>();
    texts.ok_or_else(|| Misread::new("this is a text or a list of texts"))
}

fn kind(text: &str) -> Result<Kind, Misread> {
    match text {
        "person" => Ok(Kind::Person),
        "service" => Ok(Kind::Service),
        _ => Err(Misread {
            message: format!("\"{}\" is none of person, service", printable(text, 64)),
            nearest: nearest(text, ["person", "service"]).map(Into::into),
        }),
    }
}

fn roles(value: &Value) -> Result<Vec<Arc<str>>, Misread> {
    let roles = texts(value)?;
    match roles.iter().find(|role| !ROLES.contains(&role.as_str())) {
        Some(role) => Err(Misread {
            message: format!("there is no role \"{}\"", printable(role, 64)),
            nearest: nearest(role, ROLES.iter().copied()).map(Into::into),
        }),
        None => Ok(roles.into_iter().map(Arc::from).collect()),
    }
}

fn labels(value: &Value) -> Result<Labels, Misread> {
    let mut labels = Labels::NONE;
    for word in texts(value)? {
        let words = || Label::ALL.iter().map(|label| label.as_str());
        labels = labels.with(Label::parse(&word).ok_or_else(|| Misread {
            message: format!("there is no label \"{}\"", printable(&word, 64)),
            nearest: nearest(&word, words()).map(Into::into),
        })?);
    }
    Ok(labels)
}
