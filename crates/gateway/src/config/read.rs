//! The layers of settings merged into one tree, and typed reading of it that collects problems instead of stopping.
//!
//! What a reader asks for is what is known: keys that nobody took are refused when their section is finished.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

use portcullis_base::{Secret, printable};
use portcullis_policy::nearest;
use yaml_serde::{Mapping, Value};

use super::{
    locate::{Path, Step, duplicate, locate, show},
    origin::{Layer, Origins},
    problem::{Problem, Problems},
    values::{duration, show_duration, show_size, size},
};

/// All layers in one tree.
pub(super) struct Settings<'a> {
    values: Value,
    layers: BTreeMap<Path, Layer>,
    file: Option<(&'a str, &'a str)>,
    environment: &'a BTreeMap<String, String>,
    problems: RefCell<Vec<(usize, Problem)>>,
}

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
    announced: Vec<&'static str>,
}

impl<'a> Settings<'a> {
    /// Starts from the embedded defaults.
    pub(super) fn new(defaults: Value, environment: &'a BTreeMap<String, String>) -> Self {
        let mut settings = Self {
            values: Value::Mapping(Mapping::new()),
            layers: BTreeMap::new(),
            file: None,
            environment,
            problems: RefCell::default(),
        };
        settings.lay(&[], defaults, &Layer::Default);
        settings
    }

    /// Lays the settings file over what is there.
    pub(super) fn lay_file(&mut self, name: &'a str, text: &'a str) {
        self.file = Some((name, text));
        match yaml_serde::from_str::<Value>(text) {
            Ok(Value::Null) => {}
            Ok(value @ Value::Mapping(_)) => self.lay(&[], value, &Layer::File),
            Ok(other) => self.add(
                1,
                name.to_owned(),
                String::new(),
                format!("expected settings such as `listen: 127.0.0.1:7878`, found {}", describe(&other)),
                None,
            ),
            Err(error) => {
                let line = duplicate(text).map_or_else(|| error.location().map_or(1, |at| at.line()), |at| at.line);
                self.add(line, format!("{name}:{line}"), String::new(), format!("is not valid YAML: {error}"), None);
            }
        }
    }

    /// Lays one value from the environment or a flag over what is there.
    pub(super) fn lay_text(&mut self, path: &[Step], text: &str, layer: &Layer) {
        let structured = text.starts_with(['[', '{']).then(|| yaml_serde::from_str(text).ok()).flatten();
        let mut value = structured.unwrap_or_else(|| Value::String(text.to_owned()));
        for step in path.iter().rev() {
            if let Step::Key(key) = step {
                value = Value::Mapping(Mapping::from_iter([(Value::String(key.clone()), value)]));
            }
        }
        self.lay(&[], value, layer);
    }

    fn lay(&mut self, path: &[Step], value: Value, layer: &Layer) {
        let target = at_mut(&mut self.values, path);
        match (target, value) {
            (Some(Value::Mapping(_)), Value::Null) if !path.is_empty() => {}
            (Some(Value::Mapping(known)), Value::Mapping(new)) => {
                let mut below = Vec::new();
                for (key, value) in new {
                    let Value::String(key) = key else {
                        let line = self.file.map_or(1, |(_, text)| locate(text, path).map_or(1, |at| at.line));
                        let place = self.file.map_or_else(String::new, |(name, _)| format!("{name}:{line}"));
                        let what = format!("a key must be a text, found {}", describe(&key));
                        self.problems.borrow_mut().push((line, Problem { place, key: show(path), what, help: None }));
                        continue;
                    };
                    known.entry(Value::String(key.clone())).or_insert(Value::Null);
                    below.push((key, value));
                }
                for (key, value) in below {
                    let mut path = path.to_vec();
                    path.push(Step::Key(key));
                    self.lay(&path, value, layer);
                }
            }
            (Some(target), value) => {
                self.layers.retain(|known, _| !known.starts_with(path));
                mark_leaves(&value, path.to_vec(), layer, &mut self.layers);
                *target = value;
            }
            (None, _) => {}
        }
    }

    /// The whole tree.
    pub(super) fn top(&'a self) -> Section<'a> {
        Node { settings: self, path: Path::new(), value: Some(&self.values) }.section()
    }

    /// All problems in the order of the file, or `value`.
    pub(super) fn finish<T>(
        self,
        value: T,
        derived: Vec<(&'static str, String, &'static str)>,
    ) -> Result<(T, Origins), Problems> {
        let mut problems = self.problems.into_inner();
        if !problems.is_empty() {
            problems.sort_by_key(|(line, _)| *line);
            return Err(Problems(problems.into_iter().map(|(_, problem)| problem).collect()));
        }
        let file = self.file.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Ok((value, Origins { file, values: self.values, layers: self.layers, derived }))
    }

    fn layer(&self, path: &[Step]) -> Option<&Layer> {
        (0..=path.len()).rev().find_map(|len| {
            let prefix = &path[..len];
            self.layers
                .range(prefix.to_vec()..)
                .next()
                .filter(|(known, _)| known.starts_with(prefix))
                .map(|(_, layer)| layer)
        })
    }

    fn add(&self, line: usize, place: String, key: String, what: String, help: Option<String>) {
        self.problems.borrow_mut().push((line, Problem { place, key, what, help }));
    }
}

/// The value at `path`.
pub(super) fn at<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match (value, step) {
        (Value::Mapping(map), Step::Key(key)) => map.get(key.as_str()),
        (Value::Sequence(list), Step::Index(index)) => list.get(*index),
        _ => None,
    })
}

fn at_mut<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match (value, step) {
        (Value::Mapping(map), Step::Key(key)) => map.get_mut(key.as_str()),
        (Value::Sequence(list), Step::Index(index)) => list.get_mut(*index),
        _ => None,
    })
}

fn mark_leaves(value: &Value, path: Path, layer: &Layer, layers: &mut BTreeMap<Path, Layer>) {
    let below = |step| {
        let mut path = path.clone();
        path.push(step);
        path
    };
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, value) in map {
                let Value::String(key) = key else { continue };
                mark_leaves(value, below(Step::Key(key.clone())), layer, layers);
            }
        }
        Value::Sequence(list) if list.iter().any(|item| matches!(item, Value::Mapping(_))) => {
            for (index, value) in list.iter().enumerate() {
                mark_leaves(value, below(Step::Index(index)), layer, layers);
            }
        }
        _ => {
            layers.insert(path, layer.clone());
        }
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
        Section { node: self, known: Vec::new(), announced: Vec::new() }
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

    /// Refuses keys that a later version will know; they are not offered as known. Tells whether there was one.
    pub(super) fn later(&mut self, keys: &[(&'static str, &str)]) -> bool {
        let mut any = false;
        for (key, instead) in keys {
            let node = self.take(key);
            self.known.pop();
            self.announced.push(key);
            if node.is_given() {
                node.problem("is not available yet in this version", *instead);
                any = true;
            }
        }
        any
    }

    /// Refuses the keys that nobody took.
    pub(super) fn finish(self) {
        let Some(Value::Mapping(map)) = self.node.value else { return };
        for key in map
            .keys()
            .filter_map(Value::as_str)
            .filter(|key| !self.known.contains(key) && !self.announced.contains(key))
        {
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

/// A value in words for a message.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("\"{}\"", printable(text, 60)),
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "a group of keys".into(),
        Value::Tagged(_) => "a value with a YAML tag".into(),
    }
}

/// A value on one line.
pub(super) fn compact(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(", ")),
        Value::Mapping(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", compact(key), compact(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Tagged(tagged) => compact(&tagged.value),
    }
}
