//! What is measured: the upstream itself, nginx before it, Portcullis before it. All processes of one run live here.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use portcullis_house::person::Client;

use crate::{
    http::{once, request},
    upstream::PATIENCE,
};

/// A place to send the measured call to.
pub struct Target {
    /// `direct`, `nginx` or `portcullis`.
    pub name: &'static str,
    /// `host:port`.
    pub authority: String,
    /// The prepared call.
    pub request: Vec<u8>,
    processes: Vec<u32>,
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
    /// A token for the measured endpoint.
    pub token: String,
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
        let (upstream, nginx, gateway, operations) = (port()?, port()?, port()?, port()?);
        let mut children = Vec::new();

        let mut own = Command::new(std::env::current_exe()?);
        children.push(quiet(own.args(["upstream", &upstream.to_string()])).spawn()?);
        ready(&upstream.to_string(), "/").await?;

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
        let protect = Command::new(&portcullis)
            .args(["protect", &format!("http://{upstream}/mcp"), "--name", "bench", "--data", data])
            .stdout(Stdio::null())
            .status()?;
        ensure!(protect.success(), "`portcullis protect` failed");
        let mut up = Command::new(&portcullis);
        let settings = folder.path().join("portcullis.yaml");
        fs::write(&settings, "limits: { concurrent_calls: 10000, connections: 10000 }\n")?;
        up.args(["up", "--no-sample", "--data", data]).arg("--config").arg(settings);
        up.args(["--listen", &gateway.to_string(), "--operations", &operations.to_string()]);
        let up = quiet(&mut up).spawn()?;
        let gateway_process = up.id();
        children.push(up);
        let authority = gateway.to_string();
        ready(&authority, "/.well-known/oauth-authorization-server").await?;
        let (_, tokens) = Client::signed_in(&authority, "bench", ("bench", "correct horse battery")).await?;
        let token = tokens.access;

        let target = |name, authority: String, path: &str, token: Option<&str>, processes| {
            let request = call(&authority, path, token);
            Target { name, authority, request, processes }
        };
        let targets = vec![
            target("direct", upstream.to_string(), "/mcp", None, Vec::new()),
            target("nginx", nginx.to_string(), "/mcp", None, nginx_processes),
            target("portcullis", authority.clone(), "/mcp/bench", Some(&token), vec![gateway_process]),
        ];
        Ok(Self { targets, gateway: gateway_process, authority, token, children, _folder: folder })
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

/// The measured call: about 0.7 KiB of JSON in the stateless revision.
fn call(authority: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let body = serde_json::json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "work",
            "arguments": { "text": "the quick brown fox jumps over the lazy dog ".repeat(8), "count": 3, "flag": true },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" }
            }
        }
    });
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "work"),
    ];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    request(authority, "POST", path, &headers, &body.to_string())
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
