//! Defaults, file, environment and flags laid over each other into one tree that knows where each value is from.

use std::{cell::RefCell, collections::BTreeMap};

use yaml_serde::{Mapping, Value};

use super::{
    locate::{Path, Step, duplicate, locate, show},
    origin::{Layer, Origins},
    problem::{Problem, Problems},
    values::describe,
};

/// All layers in one tree.
pub(super) struct Settings<'a> {
    pub(super) values: Value,
    layers: BTreeMap<Path, Layer>,
    pub(super) file: Option<(&'a str, &'a str)>,
    pub(super) environment: &'a BTreeMap<String, String>,
    problems: RefCell<Vec<(usize, Problem)>>,
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

    pub(super) fn layer(&self, path: &[Step]) -> Option<&Layer> {
        (0..=path.len()).rev().find_map(|len| {
            let prefix = &path[..len];
            self.layers
                .range(prefix.to_vec()..)
                .next()
                .filter(|(known, _)| known.starts_with(prefix))
                .map(|(_, layer)| layer)
        })
    }

    pub(super) fn add(&self, line: usize, place: String, key: String, what: String, help: Option<String>) {
        self.problems.borrow_mut().push((line, Problem { place, key, what, help }));
    }
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
