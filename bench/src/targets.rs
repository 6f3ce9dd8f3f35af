//! What is measured: the upstream itself, nginx before it, Portcullis before it. All processes of one run live here.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    ops::Range,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use portcullis_house::person::Client;

use crate::{
    http::{Connection, once, request},
    sessions::begin,
    upstream::PATIENCE,
};

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    name: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// What is behind it.
    pub about: &'static str,
}

impl Endpoint {
    /// A server of 2026-07-28.
    pub const STATELESS: Self = Self { name: "bench", path: "/mcp/bench", about: "a server of 2026-07-28" };
    /// A server of 2025-11-25 and older.
    pub const SESSIONS: Self = Self { name: "old", path: "/mcp/old", about: "a server of 2025-11-25" };
    /// A toolbox over the server of 2026-07-28.
    pub const TOOLBOX: Self = Self { name: "box", path: "/mcp/box", about: "a toolbox" };
    /// The same server, of whose calls the record keeps no bodies, masked bodies, everything.
    const WITHOUT: Self = Self { name: "without", path: "/mcp/without", about: "no bodies in the record" };
    const REDACTED: Self = Self { name: "redacted", path: "/mcp/redacted", about: "masked bodies in the record" };
    const FULL: Self = Self { name: "full", path: "/mcp/full", about: "full bodies in the record" };
    const ALL: [Self; 6] = [Self::STATELESS, Self::SESSIONS, Self::TOOLBOX, Self::WITHOUT, Self::REDACTED, Self::FULL];
}

/// A place to send the measured call to.
pub struct Target {
    /// What it is called in the report.
    pub name: &'static str,
    /// `host:port`.
    pub authority: String,
    /// The prepared call; in each of several sessions, where it is made in sessions.
    pub requests: Vec<Vec<u8>>,
    processes: Vec<u32>,
}

/// Sessions over which calls are spread.
const SESSIONS: usize = 16;
/// The id of a prepared call. Those of a run have as many digits.
pub const FIRST_ID: usize = 10_000_000;

/// Where the digits of its id are in a prepared call.
pub fn id_digits(request: &[u8]) -> Range<usize> {
    let marked = format!("\"id\":{FIRST_ID}");
    let at = request.windows(marked.len()).position(|window| window == marked.as_bytes());
    let end = at.expect("a prepared call has that id") + marked.len();
    end - FIRST_ID.to_string().len()..end
}

impl Target {
    /// CPU seconds that the proxy's processes have used; none where there is no proxy.
    pub fn cpu(&self) -> Result<Option<f64>> {
        if self.processes.is_empty() {
            return Ok(None);
        }
        let mut ticks = 0;
        for process in &self.processes {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            let fields: Vec<_> = stat[stat.rfind(')').context("stat")? + 2..].split(' ').collect();
            ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        }
        // The kernel counts in USER_HZ, which is 100 on every Linux platform we build for.
        Ok(Some(ticks as f64 / 100.0))
    }
}

/// The processes of one run. They end when it is dropped.
pub struct House {
    targets: Vec<Target>,
    /// The gateway's process id.
    pub gateway: u32,
    /// `host:port` of the gateway.
    pub authority: String,
    tokens: Vec<(Endpoint, String)>,
    children: Vec<Child>,
    _folder: TempDir,
}

impl House {
    /// Starts the upstream, nginx and the gateway, and signs in.
    pub async fn start(portcullis: &Path) -> Result<Self> {
        let portcullis = portcullis
            .canonicalize()
            .with_context(|| format!("{} is not there: run `cargo build --release` first", portcullis.display()))?;
        let folder = tempfile::tempdir()?;
        let (upstream, old, nginx, gateway, operations) = (port()?, port()?, port()?, port()?, port()?);
        let mut children = Vec::new();

        for (listen, speaks) in [(upstream, "stateless"), (old, "sessions")] {
            let mut own = Command::new(std::env::current_exe()?);
            children.push(quiet(own.args(["upstream", &listen.to_string(), speaks])).spawn()?);
            ready(&listen.to_string(), "/").await?;
        }

        let settings = folder.path().join("nginx.conf");
        fs::write(&settings, nginx_settings(nginx, upstream, folder.path()))?;
        let proxy = quiet(Command::new("nginx").arg("-c").arg(&settings))
            .spawn()
            .context("starting nginx (apt-get install nginx)")?;
        let nginx_master = proxy.id();
        children.push(proxy);
        ready(&nginx.to_string(), "/").await?;
        let mut nginx_processes = workers(nginx_master)?;
        nginx_processes.push(nginx_master);

        let data = folder.path().join("data");
        let data = data.to_str().context("a temporary folder with an odd name")?;
        let mut add = Command::new(&portcullis);
        add.args(["user", "add", "bench", "--password-stdin", "--data", data])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut add = add.spawn()?;
        add.stdin.take().context("stdin")?.write_all(b"correct horse battery\n")?;
        ensure!(add.wait()?.success(), "`portcullis user add` failed");
        let mut up = Command::new(&portcullis);
        let settings = folder.path().join("portcullis.yaml");
        fs::write(&settings, gateway_settings(upstream, old))?;
        up.args(["up", "--no-sample", "--data", data]).arg("--config").arg(settings);
        up.args(["--listen", &gateway.to_string(), "--operations", &operations.to_string()]);
        let up = quiet(&mut up).spawn()?;
        let gateway_process = up.id();
        children.push(up);
        let authority = gateway.to_string();
        ready(&authority, "/.well-known/oauth-authorization-server").await?;
        let mut tokens = Vec::new();
        for endpoint in Endpoint::ALL {
            let person = ("bench", "correct horse battery");
            let (_, issued) = Client::signed_in(&authority, endpoint.name, person).await?;
            tokens.push((endpoint, issued.access));
        }
        let mut house =
            Self { targets: Vec::new(), gateway: gateway_process, authority, tokens, children, _folder: folder };
        let plain = |name, at: SocketAddr, processes| {
            let requests = vec![stateless_call(&at.to_string(), "/mcp", None, "work")];
            Target { name, authority: at.to_string(), requests, processes }
        };
        house.targets = vec![plain("direct", upstream, Vec::new()), plain("nginx", nginx, nginx_processes)];
        house.targets.push(house.stateless("portcullis", Endpoint::STATELESS, "work"));
        house.targets.push(house.stateless("2026-07-28 to 2025-11-25", Endpoint::SESSIONS, "work"));
        house.targets.push(house.session("2025-11-25 to 2026-07-28", Endpoint::STATELESS).await?);
        house.targets.push(house.session("2025-11-25 straight", Endpoint::SESSIONS).await?);
        house.targets.push(house.stateless("toolbox", Endpoint::TOOLBOX, "bench__work"));
        house.targets.push(house.stateless("no bodies in the record", Endpoint::WITHOUT, "work"));
        house.targets.push(house.stateless("masked bodies in the record", Endpoint::REDACTED, "work"));
        house.targets.push(house.stateless("full bodies in the record", Endpoint::FULL, "work"));
        Ok(house)
    }

    /// Calls of 2026-07-28.
    fn stateless(&self, name: &'static str, endpoint: Endpoint, tool: &str) -> Target {
        let requests = vec![stateless_call(&self.authority, endpoint.path, Some(self.token(endpoint)), tool)];
        Target { name, authority: self.authority.clone(), requests, processes: vec![self.gateway] }
    }

    /// Calls of 2025-11-25, in as many sessions as no gateway minds for what is under way in one.
    async fn session(&self, name: &'static str, endpoint: Endpoint) -> Result<Target> {
        let bearer = format!("Bearer {}", self.token(endpoint));
        let mut connection = Connection::open(&self.authority).await?;
        let mut requests = Vec::new();
        for _ in 0..SESSIONS {
            let session = begin(&mut connection, &self.authority, endpoint, &bearer).await?;
            requests.push(session_call(&self.authority, endpoint.path, &bearer, &session));
        }
        Ok(Target { name, authority: self.authority.clone(), requests, processes: vec![self.gateway] })
    }

    /// A token for an endpoint.
    pub fn token(&self, endpoint: Endpoint) -> &str {
        let found = self.tokens.iter().find(|(known, _)| *known == endpoint);
        found.map(|(_, token)| token.as_str()).expect("each endpoint has a token")
    }

    /// All targets, the plain one first.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Resident memory of the gateway in MiB before any load.
    pub fn idle_memory(&self) -> Result<f64> {
        resident(self.gateway)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for child in &mut self.children {
            // nginx's workers end with their master only on a signal that it can handle.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// Resident memory of a process in MiB.
pub fn resident(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
    Ok(kib / 1024.0)
}

/// The measured call.
fn call(tool: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": FIRST_ID,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": { "text": "the quick brown fox jumps over the lazy dog ".repeat(8), "count": 3, "flag": true },
        }
    })
}

/// The measured call in a session of 2025-11-25.
fn session_call(authority: &str, path: &str, bearer: &str, session: &str) -> Vec<u8> {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", session),
        ("authorization", bearer),
    ];
    request(authority, "POST", path, &headers, &call("work").to_string())
}

/// The measured call in the stateless revision: about 0.7 KiB of JSON.
fn stateless_call(authority: &str, path: &str, token: Option<&str>, tool: &str) -> Vec<u8> {
    let mut body = call(tool);
    body["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" }
    });
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", tool),
    ];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    request(authority, "POST", path, &headers, &body.to_string())
}

fn gateway_settings(upstream: SocketAddr, old: SocketAddr) -> String {
    let server = |name: &str, at: SocketAddr, audit: &str| {
        let limits = "limits: { concurrent: 1000 }, access: [{ group: '*', allow: ['*'] }]";
        format!("  - {{ name: {name}, url: http://{at}/mcp, {limits}{audit} }}\n")
    };
    let servers = [
        server("bench", upstream, ""),
        server("old", old, ""),
        server("without", upstream, ", audit: { arguments: off, results: off }"),
        server("redacted", upstream, ", audit: { arguments: redacted, results: redacted }"),
        server("full", upstream, ", audit: { arguments: full, results: full }"),
    ]
    .concat();
    format!(
        "limits: {{ concurrent_calls: 10000, connections: 20000 }}
servers:
{servers}toolboxes:
  - {{ name: box, tools: [{{ server: bench, include: [work] }}] }}
"
    )
}

fn nginx_settings(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_processes 2;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream up {{ server {upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen {listen};
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }}
  }}
}}
"
    )
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit())
}

fn port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn ready(authority: &str, path: &str) -> Result<()> {
    let start = Instant::now();
    while let Err(error) = once(authority, "POST", path, &[], "{}").await {
        ensure!(start.elapsed() < PATIENCE, "{authority} does not answer: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

fn workers(master: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
    Ok(children.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}
