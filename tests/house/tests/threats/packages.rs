//! T-90: packages that are fetched when they are run, from a registry of the test: the real npm fetches them, behind the real
//! walls, and by the way that a list of hosts leaves it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use portcullis_house::gateway::{ALICE, TestGateway};
use ring::digest::{SHA512, digest};
use serde_json::json;

use crate::hosted::{Program, text};

/// A server of one tool, which says whether what its package does at its installation was done.
const SERVER: &str = r#"#!/usr/bin/env node
const canary = require("fs").existsSync(require("os").homedir() + "/canary");
const results = {
  initialize: { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo: { name: "small", version: "1" } },
  "tools/list": { tools: [{ name: "look", inputSchema: { type: "object" } }] },
  "tools/call": { content: [{ type: "text", text: canary ? "canary" : "nothing" }] },
};
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method } = JSON.parse(line);
  if (id === undefined) return;
  const result = results[method];
  const answer = result ? { result } : { error: { code: -32601, message: "no" } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
});
"#;

const INSTALLED: &str = "node -e \"require('fs').writeFileSync(require('os').homedir() + '/canary', '')\"";

const ARCHIVE: &str = "/small-server.tgz";

/// A registry with one package in it.
struct Registry {
    at: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?.to_string();
        let mut about = json!({ "name": "small-server", "version": "1.2.3", "bin": { "small-server": "server.js" },
            "scripts": { "postinstall": INSTALLED } });
        let archive = archive(&about.to_string())?;
        let integrity = format!("sha512-{}", BASE64_STANDARD.encode(digest(&SHA512, &archive)));
        about["hasInstallScript"] = json!(true);
        about["dist"] = json!({ "tarball": format!("http://{at}{ARCHIVE}"), "integrity": integrity });
        let about =
            json!({ "name": "small-server", "dist-tags": { "latest": "1.2.3" }, "versions": { "1.2.3": about } });
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let told = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = serve(stream, &about.to_string(), &archive, &told);
            }
        });
        Ok(Self { at, asked })
    }
}

fn serve(stream: TcpStream, about: &str, archive: &[u8], asked: &Mutex<Vec<String>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head)? > 0, "it went away");
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = if target == ARCHIVE { archive } else { about.as_bytes() };
    let status = if target.starts_with("/small-server") { "200 OK" } else { "404 Not Found" };
    asked.lock().expect("held by nobody").push(target);
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.get_mut().write_all(head.as_bytes())?;
    Ok(stream.get_mut().write_all(body)?)
}

/// The package as npm wants it.
fn archive(about: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let package = folder.path().join("package");
    fs::create_dir(&package)?;
    fs::write(package.join("package.json"), about)?;
    fs::write(package.join("server.js"), SERVER)?;
    let packed = Command::new("tar").arg("-C").arg(folder.path()).args(["-czf", "-", "package"]).output()?;
    ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    Ok(packed.stdout)
}

/// Where servers find npm; nothing where it is not installed, which is a failure where everything must be tried.
#[expect(clippy::print_stderr, reason = "what is left out is said")]
fn npx() -> Result<Option<PathBuf>> {
    let found = ["/usr/local/bin/npx", "/usr/bin/npx"].iter().map(Path::new).find(|path| path.exists());
    if found.is_none() {
        #[expect(clippy::disallowed_methods, reason = "this is how everything that must be tried is told so")]
        let must = std::env::var_os("CI").is_some();
        ensure!(!must, "npx is needed, in /usr/bin or /usr/local/bin");
        eprintln!("left out: npx is not installed");
    }
    Ok(found.map(Path::to_owned))
}

// spec: T-90
#[tokio::test(flavor = "multi_thread")]
async fn t90_what_a_package_does_when_it_is_installed_is_not_done() -> Result<()> {
    let Some(npx) = npx()? else { return Ok(()) };
    let house = TestGateway::start().await?;
    let program = Program::new(&house).await?;
    let registry = Registry::new()?;
    let network = program.network(&house, json!([registry.at])).await?;
    // The second one shows that the first one's canary would be seen.
    for (name, scripts, found) in [("usual", json!({}), "nothing"), ("trusting", json!("false"), "canary")] {
        let mut entry = program.entry(name, "legacy");
        entry["command"] = json!([npx, "-y", "small-server@1.2.3"]);
        entry["network"] = network.clone();
        entry["env"] = json!({ "npm_config_registry": format!("http://{}/", registry.at) });
        if scripts.is_string() {
            entry["env"]["npm_config_ignore_scripts"] = scripts;
        }
        house.protect_as(entry).await?;
        let (_, tokens) = house.client_of(&[name], ALICE).await?;
        let answer = house.call(name, &tokens[0].access, "look", json!({})).send().await?;
        assert_eq!(text(&answer), found, "{name}");
        let asked = std::mem::take(&mut *registry.asked.lock().expect("held by nobody"));
        let fetched = asked.iter().any(|target| target == ARCHIVE);
        assert!(fetched, "{name}: {asked:?}");
    }
    let mut entry = program.entry("newest", "legacy");
    entry["command"] = json!([npx, "-y", "small-server"]);
    let refused = house.protect_as(entry).await;
    let served = house.app.snapshot.load().servers.keys().any(|name| name.as_str() == "newest");
    assert!(refused.is_err() || !served, "a package without a version is served");
    let asked = registry.asked.lock().ok().context("held by nobody")?.clone();
    assert!(asked.is_empty(), "{asked:?}");
    house.stop().await
}
