//! The real program in a directory of its own, which may die and start again there.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_house::{
    gateway::launcher,
    http::{Request, request},
    person::{Browser, Client, Tokens, form},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const ADMIN: (&str, &str) = ("admin", "correct horse battery");
/// What may be called is not what these stories are about.
const OPEN: &str = "rules: [{ rule: open, who: ['*'], what: ['*'], then: allow }]\n";

/// A data directory and the settings of a gateway.
pub struct Place {
    pub folder: TempDir,
    pub authority: String,
    operations: String,
}

/// A running gateway.
pub struct Up {
    child: Child,
    welcome: Option<String>,
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that nobody has at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Place {
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (authority, operations) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        Ok(Self { folder, authority, operations })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the settings: these sinks, and the hosts that they are at.
    pub fn settings(&self, sinks: &Value, hosts: &[String]) -> Result<()> {
        self.audited(&json!({ "sinks": sinks }), hosts)
    }

    /// The same with everything that the settings say of the record.
    pub fn audited(&self, audit: &Value, hosts: &[String]) -> Result<()> {
        let text = format!(
            "listen: {}\noperations: {}\ndata: {}\noutbound: {}\naudit: {}\n{OPEN}",
            self.authority,
            self.operations,
            self.path().join("data").display(),
            json!({ "private_hosts": hosts }),
            audit,
        );
        Ok(fs::write(self.path().join("portcullis.yaml"), text)?)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let binary = launcher()?.with_file_name("portcullis");
        ensure!(binary.exists(), "{} is not there: cargo build --bin portcullis", binary.display());
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/bin:/bin");
        command.env("SINK_SECRET", SECRET).env("SINK_AUTHORIZATION", AUTHORIZATION);
        Ok(command)
    }

    /// Starts it and waits until it says that it is ready.
    pub fn up(&self) -> Result<Up> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut child = self.command(&["up"])?.stdout(Stdio::piped()).stderr(log).spawn()?;
        let out = child.stdout.take().context("its output is piped")?;
        let mut up = Up { child, welcome: None };
        for line in BufReader::new(out).lines() {
            let line = line?;
            if let Some(at) = line.find("/welcome/") {
                up.welcome = Some(line[at..].trim().to_owned());
            }
            if line.starts_with("Health and metrics") {
                return Ok(up);
            }
        }
        anyhow::bail!("it ended before it was ready: {}", fs::read_to_string(self.log())?)
    }

    /// Where everything that it says is.
    pub fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Runs another command beside it; gives its exit code and what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let ended = self.command(arguments)?.output()?;
        let text = [ended.stdout, ended.stderr].concat();
        Ok((ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The first administrator, and a client of theirs for the sample server.
    pub async fn sign_in(&self, up: &Up) -> Result<Tokens> {
        let welcome = up.welcome.as_deref().context("a link for the first administrator")?;
        let mut browser = Browser::new(&self.authority);
        let page = browser.get(welcome).await?;
        let form = form(&page.text()).context("a form")?;
        let typed = [("name", ADMIN.0), ("password", ADMIN.1), ("again", ADMIN.1)];
        let answer = browser.submit(&form, &typed).await?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
        let client = Client::register(&self.authority, "A client").await?;
        let code = client.code(&mut browser, "sample", ADMIN).await?;
        client.redeem(&code).await
    }

    /// Calls a tool so often; each call has to be answered.
    pub async fn calls(&self, token: &str, calls: usize, message: &str) -> Result<()> {
        for _ in 0..calls {
            let answer = self.call(token, message).send().await?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        }
        Ok(())
    }

    fn call(&self, token: &str, message: &str) -> Request {
        self.call_of(token, "echo", message)
    }

    /// A call of a tool that need not be there.
    pub fn call_of(&self, token: &str, tool: &str, message: &str) -> Request {
        let params = json!({ "name": tool, "arguments": { "message": message }, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        request(&self.authority, "POST", "/mcp/sample")
            .bearer(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", &format!("=?base64?{}?=", STANDARD.encode(tool)))
            .json(&body)
    }

    /// Every line of the journals, by node and number, as it stands there.
    pub fn trail(&self) -> Result<BTreeMap<(String, u64), String>> {
        let mut lines = BTreeMap::new();
        for node in fs::read_dir(self.path().join("data/journal"))?.flatten() {
            for file in fs::read_dir(node.path()).into_iter().flatten().flatten() {
                if file.path().extension().is_some_and(|extension| extension == "jsonl") {
                    for line in fs::read_to_string(file.path())?.lines() {
                        lines.insert(key(&serde_json::from_str(line)?)?, line.to_owned());
                    }
                }
            }
        }
        Ok(lines)
    }

    /// A number of the gateway's metrics.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let mut stream = TcpStream::connect(&self.operations)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.operations)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in {text}"))?;
        Ok(line.trim().parse()?)
    }
}

/// Node and number of a line.
pub fn key(line: &Value) -> Result<(String, u64)> {
    let node = line["node"].as_str().with_context(|| line.to_string())?;
    Ok((node.to_owned(), line["seq"].as_u64().with_context(|| line.to_string())?))
}

/// What webhooks are signed with here.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What an OTLP receiver is shown here.
pub const AUTHORIZATION: &str = "Bearer canary-of-the-sink";

impl Up {
    /// Kills it as a loss of power would, but for the disk.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(asked.success(), "kill failed");
        self.child.wait()?;
        Ok(())
    }
}
