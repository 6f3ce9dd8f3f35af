//! Typed reading of the settings, which collects problems instead of stopping.
//!
//! What a reader asks for is what is known: keys that nobody took are refused when their section is finished.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

use portcullis_base::{Secret, printable};
use portcullis_policy::nearest;
use yaml_serde::Value;

use super::{
    layers::Settings,
    locate::{Path, Step, locate, show},
    origin::Layer,
    values::{describe, duration, show_duration, show_size, size},
};

/// One place in the tree, whether or not something is there.
#[derive(Clone)]
pub(super) struct Node<'a> {
    settings: &'a Settings<'a>,
    path: Path,
    value: Option<&'a Value>,
}

/// A mapping being read; remembers which keys are known.
pub(super) struct Section<'a> {
    node: Node<'a>,
    known: Vec<&'static str>,
}

impl<'a> Settings<'a> {
    /// The whole tree.
    pub(super) fn top(&'a self) -> Section<'a> {
        Node { settings: self, path: Path::new(), value: Some(&self.values) }.section()
    }
}

impl<'a> Node<'a> {
    /// Whether a value stands here.
    pub(super) fn is_given(&self) -> bool {
        self.value.is_some()
    }

    /// Reports a problem with this value.
    pub(super) fn problem(&self, what: impl Into<String>, help: impl Into<String>) {
        let (line, place) = self.place();
        let help = help.into();
        self.settings.add(line, place, show(&self.path), what.into(), (!help.is_empty()).then_some(help));
    }

    /// Reports a key that a thing of this kind does not have.
    pub(super) fn unfit(&self, kind: &str, why: &str) {
        if self.is_given() {
            self.problem(format!("is not for kind {kind}"), format!("{why}; take it out"));
        }
    }

    fn place(&self) -> (usize, String) {
        match (self.settings.layer(&self.path), self.settings.file) {
            (Some(Layer::Environment(name) | Layer::Flag(name)), _) => (usize::MAX, name.clone()),
            (Some(Layer::File), Some((name, text))) => {
                let line = locate(text, &self.path).map_or(1, |at| at.line);
                (line, format!("{name}:{line}"))
            }
            _ => (usize::MAX, String::new()),
        }
    }

    fn outside_the_file(&self) -> bool {
        matches!(self.settings.layer(&self.path), Some(Layer::Environment(_) | Layer::Flag(_)))
    }

    /// The directory that relative paths of the file are relative to; `None` for values from elsewhere.
    fn base(&self) -> Option<&'a FilePath> {
        match (self.settings.layer(&self.path), self.settings.file) {
            (Some(Layer::File), Some((name, _))) => FilePath::new(name).parent(),
            _ => None,
        }
    }

    /// The key alone.
    fn key(&self) -> &str {
        self.path
            .iter()
            .rev()
            .find_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None })
            .unwrap_or("")
    }

    fn mismatch(&self, expected: &str, example: &str) {
        let found = self.value.map_or_else(|| "nothing".to_owned(), describe);
        let what = match self.value {
            None => format!("is missing: expected {expected}"),
            Some(_) => format!("expected {expected}, found {found}"),
        };
        let help = match self.path.last() {
            Some(Step::Index(_)) => format!("example: - {example}"),
            _ => format!("example: {}: {example}", self.key()),
        };
        self.problem(what, help);
    }

    /// A text, or `None` after reporting.
    fn read_text(&self, expected: &str, example: &str) -> Option<&'a str> {
        if let Some(Value::String(text)) = self.value {
            return Some(text);
        }
        self.mismatch(expected, example);
        None
    }

    fn parsed<T>(&self, expected: &str, example: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.read_text(expected, example)?;
        let value = parse(text.trim());
        if value.is_none() {
            self.mismatch(expected, example);
        }
        value
    }

    /// A text that is not empty.
    pub(super) fn text(&self, expected: &str, example: &str) -> String {
        self.parsed(expected, example, |text| (!text.is_empty()).then(|| text.to_owned())).unwrap_or_default()
    }

    /// A yes or no.
    pub(super) fn switch(&self) -> bool {
        let value = match self.value {
            Some(Value::Bool(value)) => Some(*value),
            Some(Value::String(text)) if self.outside_the_file() => text.trim().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            self.mismatch("true or false", "true");
        }
        value.unwrap_or_default()
    }

    /// A whole number within `range`.
    pub(super) fn number(&self, range: RangeInclusive<u32>) -> u32 {
        let value = match self.value {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) if self.outside_the_file() => text.trim().parse().ok(),
            _ => None,
        };
        let value = value.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if value.is_none() {
            self.mismatch(
                &format!("a whole number from {} to {}", range.start(), range.end()),
                &range.start().max(&1).to_string(),
            );
        }
        value.unwrap_or_default()
    }

    /// A duration within `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>, example: &str) -> Duration {
        let expected = format!("a duration from {} to {}", show_duration(*range.start()), show_duration(*range.end()));
        let zero = matches!(self.value, Some(Value::Number(number)) if number.as_u64() == Some(0));
        if zero && range.start().is_zero() {
            return Duration::ZERO;
        }
        self.parsed(&expected, example, |text| duration(text).filter(|value| range.contains(value))).unwrap_or_default()
    }

    /// A size in bytes within `range`.
    pub(super) fn size(&self, range: RangeInclusive<usize>, example: &str) -> usize {
        let expected = format!("a size from {} to {}", show_size(*range.start()), show_size(*range.end()));
        self.parsed(&expected, example, |text| size(text).filter(|value| range.contains(value))).unwrap_or_default()
    }

    /// An address with port.
    pub(super) fn address(&self, example: &str) -> SocketAddr {
        self.parsed("an address with port", example, |text| {
            text.strip_prefix("localhost:")
                .map_or_else(|| text.parse().ok(), |port| format!("127.0.0.1:{port}").parse().ok())
        })
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> T {
        self.choice_of(choices).unwrap_or(choices[0].1)
    }

    /// One of several words, or `None` after reporting.
    pub(super) fn choice_of<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let expected = format!("one of {}", words.join(", "));
        let text = self.read_text(&expected, words[0])?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.trim()) {
            return Some(*value);
        }
        let what = format!("expected {expected}, found \"{}\"", printable(text, 60));
        self.problem(what, nearest(text, words).map(|word| format!("did you mean \"{word}\"?")).unwrap_or_default());
        None
    }

    /// A path; relative ones of the file start at the file's directory, others at the working directory.
    pub(super) fn file_path(&self, example: &str) -> PathBuf {
        let path = PathBuf::from(self.text("a path", example));
        self.base().map_or_else(|| path.clone(), |base| base.join(&path))
    }

    /// A secret by reference. One that stands in the file itself is refused; an environment variable may hold it.
    pub(super) fn secret(&self, example: &str) -> Option<Secret> {
        let advice = format!(
            "write {}: env:NAME to take it from an environment variable, or file:PATH to take it from a file",
            self.key()
        );
        let Some(Value::String(text)) = self.value else {
            self.problem(
                if self.is_given() {
                    "expected a reference to a secret, found something else"
                } else {
                    "is missing: expected a reference to a secret"
                },
                advice,
            );
            return None;
        };
        if text.starts_with("env:") || text.starts_with("file:") {
            return self.referenced(text);
        }
        if self.outside_the_file() && !text.is_empty() {
            return Some(Secret::new(text.clone()));
        }
        self.problem(
            "a secret must not stand in the file itself",
            format!("{advice}\nexample: {}: {example}", self.key()),
        );
        None
    }

    /// What `env:NAME` or `file:PATH` stands for; `None` after reporting.
    pub(super) fn referenced(&self, reference: &str) -> Option<Secret> {
        let found = if let Some(name) = reference.strip_prefix("env:") {
            match self.settings.environment.get(name) {
                Some(text) if !text.is_empty() => Ok(text.clone()),
                Some(_) => Err((
                    format!("\"{}\": the environment variable is empty", printable(reference, 200)),
                    format!("set it before the start: export {}=…", printable(name, 100)),
                )),
                None => Err((
                    format!("\"{}\": the environment variable is not set", printable(reference, 200)),
                    format!("set it before the start: export {}=…", printable(name, 100)),
                )),
            }
        } else {
            let path = FilePath::new(reference.strip_prefix("file:").unwrap_or(reference));
            let path = self.base().map_or_else(|| path.to_owned(), |base| base.join(path));
            match std::fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => {
                    Err((format!("\"{}\": the file is empty", printable(reference, 200)), String::new()))
                }
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err((
                    format!("\"{}\": the file cannot be read: {error}", printable(reference, 200)),
                    format!("looked at {}", printable(&path.display().to_string(), 300)),
                )),
            }
        };
        match found {
            Ok(text) => Some(Secret::new(text)),
            Err((what, help)) => {
                self.problem(what, help);
                None
            }
        }
    }

    /// The items of a list; none when the key is absent or empty.
    pub(super) fn list(&self, expected: &str, example: &str) -> Vec<Node<'a>> {
        match self.value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Sequence(items)) => {
                let item = |(index, value)| {
                    let mut path = self.path.clone();
                    path.push(Step::Index(index));
                    Node { settings: self.settings, path, value: Some(value) }
                };
                items.iter().enumerate().map(item).collect()
            }
            Some(_) => {
                self.mismatch(expected, example);
                Vec::new()
            }
        }
    }

    /// A list of texts; outside the file also separated by commas.
    pub(super) fn texts(&self, expected: &str, example: &str) -> Vec<String> {
        if let (Some(Value::String(text)), true) = (self.value, self.outside_the_file()) {
            return text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
        }
        let item = example.trim_matches(['[', ']']).split(", ").next().unwrap_or(example);
        self.list(expected, example).iter().map(|node| node.text("a text", item)).collect()
    }

    /// A mapping with known keys; an empty one when the key is absent.
    pub(super) fn section(self) -> Section<'a> {
        if !matches!(self.value, None | Some(Value::Mapping(_) | Value::Null)) {
            self.problem(
                format!("expected a group of keys, found {}", self.value.map_or_else(String::new, describe)),
                "",
            );
        }
        Section { node: self, known: Vec::new() }
    }

    /// The value as a mapping with free keys.
    pub(super) fn entries(&self, example: &str) -> Vec<(String, Node<'a>)> {
        match self.value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Mapping(map)) => map
                .iter()
                .filter_map(|(key, value)| {
                    let key = key.as_str()?.to_owned();
                    let mut path = self.path.clone();
                    path.push(Step::Key(key.clone()));
                    Some((key, Node { settings: self.settings, path, value: Some(value) }))
                })
                .collect(),
            Some(_) => {
                self.mismatch("a group of keys", example);
                Vec::new()
            }
        }
    }

    /// Where the value stands and what it is called there.
    pub(super) fn named(&self) -> (String, String) {
        (self.place().1, show(&self.path))
    }

    /// The value in JSON; reports what has no form there.
    pub(super) fn json(&self) -> Option<String> {
        let json = self.value.and_then(|value| serde_json::to_string(value).ok());
        if json.is_none() {
            self.mismatch("a value that JSON has too", "acme/support");
        }
        json
    }

    /// The text of the item, if it is one.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }

    /// The line of this key in the file.
    pub(super) fn file_line(&self) -> Option<(&'a str, &'a str, usize)> {
        match (self.settings.layer(&self.path), self.settings.file) {
            (Some(Layer::File), Some((name, text))) => Some((name, text, locate(text, &self.path)?.line)),
            _ => None,
        }
    }
}

impl<'a> Section<'a> {
    /// The value of a known key.
    pub(super) fn take(&mut self, key: &'static str) -> Node<'a> {
        self.known.push(key);
        let mut path = self.node.path.clone();
        path.push(Step::Key(key.into()));
        let value = match self.node.value {
            Some(Value::Mapping(map)) => map.get(key),
            _ => None,
        };
        Node { settings: self.node.settings, path, value }
    }

    /// Whether the key has a value.
    pub(super) fn has(&self, key: &str) -> bool {
        matches!(self.node.value, Some(Value::Mapping(map)) if map.get(key).is_some())
    }

    /// Refuses the keys that nobody took.
    pub(super) fn finish(self) {
        let Some(Value::Mapping(map)) = self.node.value else { return };
        for key in map.keys().filter_map(Value::as_str).filter(|key| !self.known.contains(key)) {
            let mut path = self.node.path.clone();
            path.push(Step::Key(key.into()));
            let node = Node { settings: self.node.settings, path, value: None };
            match nearest(key, self.known.iter().copied()) {
                Some(near) => node.problem(
                    format!("unknown key; did you mean \"{near}\"?"),
                    format!("known here: {}", self.known.join(", ")),
                ),
                None => node.problem("unknown key", format!("known here: {}", self.known.join(", "))),
            }
        }
    }
}
