//! Where each value came from: `portcullis config show --origin`.

use std::{collections::BTreeMap, fmt};

use yaml_serde::Value;

use super::locate::{Path, locate, show};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The embedded defaults.
    Default,
    /// The settings file; its name and the line.
    File(String, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// It follows from another key.
    Derived(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Derived(key) => write!(f, "from {key}"),
        }
    }
}

/// Which layer a value came from; the line of a file is looked up when it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Default,
    File,
    Environment(String),
    Flag(String),
}

/// All effective values with their origins.
#[derive(Clone, Debug)]
pub struct Origins {
    pub(super) file: Option<(String, String)>,
    pub(super) values: Value,
    pub(super) layers: BTreeMap<Path, Layer>,
    pub(super) derived: Vec<(&'static str, String, &'static str)>,
}

impl Origins {
    /// Every effective value as (key, value as text, origin), in the order of the keys. Secrets show their reference only.
    pub fn rows(&self) -> Vec<(String, String, Origin)> {
        let mut rows: Vec<_> = self
            .layers
            .iter()
            .filter_map(|(path, layer)| {
                let value = super::locate::at(&self.values, path)?;
                let key = show(path);
                let shown = shown(&key, value);
                Some((key, shown, self.origin(path, layer)))
            })
            .collect();
        for (key, value, from) in &self.derived {
            rows.push(((*key).to_owned(), value.clone(), Origin::Derived(from)));
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    fn origin(&self, path: &Path, layer: &Layer) -> Origin {
        match (layer, &self.file) {
            (Layer::File, Some((name, text))) => {
                Origin::File(name.clone(), locate(text, path).map_or(1, |position| position.line))
            }
            (Layer::Environment(name), _) => Origin::Environment(name.clone()),
            (Layer::Flag(name), _) => Origin::Flag(name.clone()),
            (Layer::Default | Layer::File, _) => Origin::Default,
        }
    }
}

/// A value as text; what may hold a secret is masked.
fn shown(key: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => super::values::compact(other),
    };
    let secret =
        ["secret", "scim.token", "directory.service_account"].iter().any(|end| key.ends_with(end)) || key == "root_key";
    let by_reference = text.starts_with("env:") || text.starts_with("file:");
    if secret && !by_reference {
        return "(secret)".into();
    }
    if url::Url::parse(&text).is_ok_and(|url| url.password().is_some()) {
        return "(a URL with a password)".into();
    }
    portcullis_base::printable(&text, 200)
}
