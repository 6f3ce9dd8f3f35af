//! What the gateway calls in the tests: the programs in `tests/upstreams`, and what a test tells them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    http::{Trust, request},
    provider::{BEGINNING, Providers, program},
};

/// Servers and their authorization servers in one process, with a clock that stands as still as the gateway's.
pub struct Upstreams {
    control: String,
    authority: PathBuf,
    known: Value,
    _process: Child,
    _folder: Option<TempDir>,
}

/// One of them: an authorization server or an MCP server.
#[derive(Clone, Copy)]
pub struct Upstream<'a> {
    all: &'a Upstreams,
    id: &'a str,
}

impl Upstreams {
    /// Starts authorization servers and MCP servers by id, as `tests/upstreams` describes them. Alice and Bob have an
    /// account at each.
    ///
    /// `None` where the program cannot run, which is a failure where everything must be tried.
    pub async fn start(authorities: Value, servers: Value) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().to_owned();
        Self::run(&at, Some(folder), Some(BEGINNING), authorities, servers).await
    }

    /// The same with the machine's clock, for programs that have no other.
    pub async fn now(authorities: Value, servers: Value) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().to_owned();
        Self::run(&at, Some(folder), None, authorities, servers).await
    }

    /// The same with certificates of the authority that providers have: one `ca_file` is enough for both.
    pub async fn beside(providers: &Providers, authorities: Value, servers: Value) -> Result<Option<Self>> {
        Self::run(providers.folder(), None, Some(BEGINNING), authorities, servers).await
    }

    async fn run(
        directory: &Path,
        folder: Option<TempDir>,
        clock: Option<u64>,
        authorities: Value,
        servers: Value,
    ) -> Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../upstreams/upstreams.mjs");
        let Some(node) = program(&script, "@modelcontextprotocol/server") else { return Ok(None) };
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/fastmcp/bin/python");
        let options = json!({ "directory": directory, "clock": clock, "python": python,
            "authorities": authorities, "servers": servers });
        let mut process = Command::new(node)
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the upstreams")?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let line = lines.next_line().await?.context("the upstreams did not start")?;
        let known: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        Ok(Some(Self {
            control: text(&known["control"])?,
            authority: text(&known["authority"])?.into(),
            known,
            _process: process,
            _folder: folder,
        }))
    }

    /// One of them.
    pub fn get<'a>(&'a self, id: &'a str) -> Upstream<'a> {
        Upstream { all: self, id }
    }

    /// What a gateway must be told to trust and reach them (YAML).
    pub fn outbound(&self) -> String {
        format!("outbound: {}\n", json!({ "ca_file": self.authority, "private_hosts": self.hosts() }))
    }

    /// `host:port` of each that speaks https.
    pub fn hosts(&self) -> Vec<&str> {
        let all = ["authorities", "servers"].into_iter().filter_map(|kind| self.known[kind].as_object());
        let entries = all.flat_map(serde_json::Map::values);
        let issuers = entries.clone().filter_map(|entry| entry["issuer"].as_str()?.strip_prefix("https://"));
        let hosts = entries.filter_map(|entry| entry["host"].as_str()).chain(issuers);
        let mut hosts: Vec<_> = hosts.filter_map(|host| host.split('/').next()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// The certificate of their authority.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// What a browser trusts that meets them.
    pub fn trust(&self) -> Result<Trust> {
        Trust::of(&self.authority)
    }

    /// Moves their clock.
    pub async fn advance(&self, by: std::time::Duration) -> Result<()> {
        self.tell("/clock", &json!({ "by": by.as_secs() })).await.map(drop)
    }

    async fn tell(&self, path: &str, what: &Value) -> Result<Value> {
        let answer = request(&self.control, "POST", path).json(what).send().await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer.json())
    }
}

impl<'a> Upstream<'a> {
    /// The address of an MCP server.
    pub fn url(&self) -> &'a str {
        self.all.known["servers"][self.id]["url"].as_str().unwrap_or_default()
    }

    /// The issuer of an authorization server, or of the one that a server brings along.
    pub fn issuer(&self) -> &'a str {
        let known = &self.all.known;
        let own = known["authorities"][self.id]["issuer"].as_str();
        own.or_else(|| known["servers"][self.id]["issuer"].as_str()).unwrap_or_default()
    }

    /// Adds an account at an authorization server, or changes what is given: email, `disabled`, password.
    pub async fn account(&self, login: &str, members: Value) -> Result<()> {
        let mut account = members;
        account["login"] = login.into();
        self.tell("account", &account).await.map(drop)
    }

    /// Registers a client by hand (RFC 7591 names).
    pub async fn client(&self, members: Value) -> Result<()> {
        self.tell("client", &members).await.map(drop)
    }

    /// Somebody has a session there already and is asked nothing; `None`: sign-in by form again.
    pub async fn knows(&self, login: Option<&str>) -> Result<()> {
        self.set(json!({ "auto": login })).await
    }

    /// Its settings: `consent`, `rotates`, `grace`, `expires`, `keys` and so on.
    pub async fn set(&self, members: Value) -> Result<()> {
        self.tell("set", &members).await.map(drop)
    }

    /// From now on these things happen on the way to it (`front.mjs`); none ends them.
    pub async fn faults(&self, faults: &[Value]) -> Result<()> {
        self.tell("fault", &json!(faults)).await.map(drop)
    }

    /// Goes on with what is held.
    pub async fn release(&self) -> Result<()> {
        self.tell("release", &json!({})).await.map(drop)
    }

    /// `up`, `down` (nobody answers the door) or `silent` (nobody says a word).
    pub async fn becomes(&self, state: &str) -> Result<()> {
        self.tell("become", &json!({ "state": state })).await.map(drop)
    }

    /// Every request since the last [`forget`](Self::forget), with its headers and body.
    pub async fn requests(&self) -> Result<Vec<Value>> {
        Ok(self.tell("seen", &json!({})).await?["requests"].as_array().cloned().unwrap_or_default())
    }

    /// How many requests are held.
    pub async fn held(&self) -> Result<u64> {
        Ok(self.tell("seen", &json!({})).await?["held"].as_u64().unwrap_or_default())
    }

    /// How often its token endpoint was asked for a grant of that type.
    pub async fn grants(&self, grant_type: &str) -> Result<usize> {
        let asks = |request: &&Value| {
            let text = request["body"].as_str().unwrap_or_default();
            request["url"].as_str().is_some_and(|url| url.ends_with("/token"))
                && url::form_urlencoded::parse(text.as_bytes())
                    .any(|(name, value)| name == "grant_type" && value == grant_type)
        };
        Ok(self.requests().await?.iter().filter(asks).count())
    }

    /// Counts from nothing again.
    pub async fn forget(&self) -> Result<()> {
        self.tell("forget", &json!({})).await.map(drop)
    }

    /// How many refresh tokens of somebody are good at an authorization server, and how many access tokens.
    pub async fn tokens(&self, login: &str) -> Result<(u64, u64)> {
        let answer = self.tell("tokens", &json!({ "login": login })).await?;
        let count = |kind: &str| answer[kind].as_u64().unwrap_or_default();
        Ok((count("refresh"), count("access")))
    }

    /// No access token of somebody is good any more at an authorization server; all else stays.
    pub async fn expire(&self, login: &str) -> Result<()> {
        self.tell("expire", &json!({ "login": login })).await.map(drop)
    }

    /// The authorization server ends all that somebody agreed to.
    pub async fn end(&self, login: &str) -> Result<()> {
        self.tell("end", &json!({ "login": login })).await.map(drop)
    }

    async fn tell(&self, verb: &str, what: &Value) -> Result<Value> {
        self.all.tell(&format!("/{}/{verb}", self.id), what).await
    }
}
