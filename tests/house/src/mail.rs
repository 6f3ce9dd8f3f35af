//! A mail server beside the gateway: the program in `tests/identity`, which takes every mail.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::provider::program;

/// The mail server. It ends with this.
pub struct MailServer {
    /// `localhost:port`.
    pub host: String,
    /// The same by its address.
    pub here: String,
    authority: String,
    lines: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
    _process: Child,
}

impl MailServer {
    /// Starts one: `{"secure": true}`, `{"hide": ["STARTTLS"]}`.
    ///
    /// `None` where the program cannot run, which is a failure where everything must be tried.
    pub async fn start(mut options: Value) -> Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../identity/mail.mjs");
        let Some(node) = program(&script, "smtp-server") else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("password"), "password")?;
        options["directory"] = json!(folder.path());
        let mut process = Command::new(node)
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the mail server")?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let line = lines.next_line().await?.context("the mail server did not start")?;
        let ready: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let text = |name: &str| ready[name].as_str().map(str::to_owned).context("a text");
        let (host, here, authority) = (text("host")?, text("here")?, text("authority")?);
        Ok(Some(Self { host, here, authority, lines, folder, _process: process }))
    }

    /// Settings of a gateway that trusts it and writes from `portcullis@example.com`, with these members of `smtp` besides.
    pub fn settings(&self, server: &str, members: &Value) -> String {
        let outbound = json!({ "ca_file": self.authority, "private_hosts": [server] });
        let mut smtp = json!({ "server": server, "from": "Portcullis <portcullis@example.com>" });
        for (key, value) in members.as_object().into_iter().flatten() {
            smtp[key] = value.clone();
        }
        // JSON is YAML.
        format!("outbound: {outbound}\nnotify: {}\n", json!({ "smtp": smtp }))
    }

    /// The account that it knows, as members of `smtp`.
    pub fn account(&self) -> Value {
        json!({ "user": "portcullis", "password": format!("file:{}", self.folder.path().join("password").display()) })
    }

    /// The next mail: `from`, `to`, `secure`, `user`, `text`.
    pub async fn mail(&mut self) -> Result<Value> {
        let line = timeout(Duration::from_secs(60), self.lines.next_line()).await.context("no mail came")??;
        Ok(serde_json::from_str(&line.context("the mail server ended")?)?)
    }
}
