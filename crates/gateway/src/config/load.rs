//! From the layers to a [`Config`], once.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use yaml_serde::Value;

use super::{Config, Origins, Problem, Problems, layers::Settings, locate::Step, origin::Layer, sections};

/// The embedded defaults, commented: the documentation of every key.
pub const DEFAULTS: &str = include_str!("../config.default.yaml");

/// Everything that settings come from, lowest first: defaults, file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Name and text of the settings file.
    pub file: Option<(String, String)>,
    /// The environment. `PORTCULLIS_…` overrides keys; `env:` references read any of it.
    pub environment: BTreeMap<String, String>,
    /// Flags of the command line: the flag, the key it sets, the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// What `env:` references read, kept for servers that come to the database later. It shows nothing of itself.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// These variables.
    pub fn new(variables: &BTreeMap<String, String>) -> Self {
        Self(Arc::new(variables.clone()))
    }

    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

/// Valid settings and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Their origins.
    pub origins: Origins,
}

impl Sources {
    /// Reads the settings file at `path` into the sources.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Problems> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                self.file = Some((name, text));
                Ok(())
            }
            Err(error) => Err(Problems(vec![Problem {
                place: name,
                key: String::new(),
                what: format!("the settings file cannot be read: {error}"),
                help: None,
            }])),
        }
    }
}

pub(super) fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let defaults: Value = yaml_serde::from_str(DEFAULTS).expect("a test reads the embedded defaults");
    let mut settings = Settings::new(defaults, &sources.environment);
    if let Some((name, text)) = &sources.file {
        settings.lay_file(name, text);
    }
    for (variable, text) in &sources.environment {
        if let Some(path) = key_of_variable(variable) {
            settings.lay_text(&path, text, &Layer::Environment(variable.clone()));
        }
    }
    for (flag, key, text) in &sources.flags {
        let path: Vec<Step> = key.split('.').map(|key| Step::Key(key.into())).collect();
        settings.lay_text(&path, text, &Layer::Flag((*flag).to_owned()));
    }
    let (config, derived) = sections::config(&settings, Environment::new(&sources.environment));
    settings.finish(config, derived).map(|(config, origins)| Loaded { config, origins })
}

/// The key that an environment variable overrides: `PORTCULLIS_AUDIT__DURABILITY` is `audit.durability`.
///
/// Not a key: what the command line itself reads, and what Kubernetes sets for a service that is called `portcullis`.
fn key_of_variable(variable: &str) -> Option<Vec<Step>> {
    let name = variable.strip_prefix("PORTCULLIS_")?;
    let own = matches!(name, "CONFIG" | "LOG" | "ACCESS_KEY");
    let kubernetes = name == "PORT" || name.starts_with("PORT_") || name.starts_with("SERVICE_");
    if own || kubernetes || name.is_empty() {
        return None;
    }
    Some(name.to_lowercase().split("__").map(|key| Step::Key(key.into())).collect())
}
