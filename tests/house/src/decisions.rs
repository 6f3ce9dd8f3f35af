//! A decision point with a policy engine that is not ours: the program in `tests/upstreams/decisions.mjs`.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{http::request, provider::program};

/// A decision point on loopback.
pub struct Decisions {
    authority: String,
    _process: Child,
}

impl Decisions {
    /// Starts one that goes by `policies`, written in Cedar, and answers whoever shows `token`.
    ///
    /// `None` where the program cannot run, which is a failure where everything must be tried.
    pub async fn start(policies: &str, token: &str) -> Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../upstreams/decisions.mjs");
        let Some(node) = program(&script, "@cedar-policy/cedar-wasm") else { return Ok(None) };
        let mut process = Command::new(node)
            .arg(script)
            .arg(json!({ "policies": policies, "token": token }).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the decision point")?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let line = lines.next_line().await?.context("the decision point did not start")?;
        let known: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let authority = known["url"].as_str().and_then(|url| url.strip_prefix("http://")).context("a url")?;
        Ok(Some(Self { authority: authority.to_owned(), _process: process }))
    }

    /// Where it is: `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The questions so far.
    pub async fn seen(&self) -> Result<Vec<Value>> {
        let seen = request(&self.authority, "GET", "/seen").send().await?.json();
        Ok(serde_json::from_value(seen)?)
    }
}
