//! Settings of a command: file, environment and flags handed to the gateway's loader.

use std::{collections::BTreeMap, path::PathBuf};

use portcullis_gateway::config::{Config, Origin, Origins, Sources};

use crate::{
    args::{Common, Up},
    failure::{Failure, Result},
};

/// The settings in force, and the environment they were read with.
pub struct Settings {
    pub config: Config,
    pub origins: Origins,
    pub environment: BTreeMap<String, String>,
}

/// The file that is read when none is named.
const USUAL: &str = "portcullis.yaml";

impl Settings {
    /// Reads them.
    pub fn load(common: &Common, up: &Up) -> Result<Self> {
        let mut sources = Sources { environment: environment(), ..Sources::default() };
        let usual = PathBuf::from(USUAL);
        if let Some(path) = common.config.as_ref().or_else(|| usual.is_file().then_some(&usual)) {
            sources.read_file(path).map_err(wrong)?;
        }
        let text = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("--data", "data", common.data.as_ref().map(text)),
            ("--listen", "listen", up.listen.clone()),
            ("--operations", "operations", up.operations.clone()),
        ];
        sources.flags = flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect();
        let loaded = Config::load(&sources).map_err(wrong)?;
        Ok(Self { config: loaded.config, origins: loaded.origins, environment: sources.environment })
    }

    /// The URL that clients are given for a server.
    ///
    /// A gateway whose public URL follows from its listener may have been started with `--listen`; it leaves a note of
    /// that in the data directory.
    pub fn public_url(&self) -> String {
        let derived = self.config.public_url.is_derived();
        let listen_given =
            self.origins.rows().iter().any(|(key, _, origin)| key == "listen" && *origin != Origin::Default);
        let chosen_by_the_system = self.config.listen.port() == 0;
        let noted = (derived && (!listen_given || chosen_by_the_system))
            .then(|| std::fs::read_to_string(self.note()).ok())
            .flatten();
        noted.map_or_else(|| self.config.public_url.to_string(), |text| text.trim().to_owned())
    }

    /// The settings with the public URL that clients are given.
    pub fn served(&self) -> Config {
        let noted = self.public_url().strip_prefix("http://").and_then(|address| address.parse().ok());
        match noted.filter(|_| self.config.public_url.is_derived()) {
            Some(listen) => self.config.clone().bound_to(listen, self.config.operations),
            None => self.config.clone(),
        }
    }

    /// The file in which `up` notes its public URL.
    pub fn note(&self) -> PathBuf {
        self.config.data.join("public_url")
    }
}

fn wrong(problems: portcullis_gateway::config::Problems) -> Failure {
    let count = problems.0.len();
    let what = if count == 1 { "a setting is wrong".to_owned() } else { format!("{count} settings are wrong") };
    Failure::usage(what).help(problems.to_string())
}

/// The environment, as far as it is text. This is the one place that reads it.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?))).collect()
}
