//! Servers that want more of the person's computer than a sign-in.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::tempdir;

use crate::{Bridge, Server};

/// A browser that writes down with what it was started, one word a line, and does nothing else.
fn browser(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (program, log) = (folder.join("browser"), folder.join("opened"));
    // Written beside and moved, so that who waits for the file finds it whole.
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\nprintf '%s\\n' \"$#\" \"$@\" > {log}.new && mv {log}.new {log}\n",
        log = log.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok((program, log))
}

async fn opened(log: &Path) -> Result<Vec<String>> {
    let enough = std::time::Instant::now() + crate::PATIENCE;
    while !log.exists() {
        ensure!(std::time::Instant::now() < enough, "no browser was opened");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let words = fs::read_to_string(log)?.lines().map(str::to_owned).collect();
    fs::remove_file(log)?;
    Ok(words)
}

/// One bridge that is refused, told where the authorization server is, and sent to `endpoint` by it. Gives the answer to the
/// client, if the bridge does not go as far as to register and open a page.
async fn lead_to(server: &mut Server, bridge: &mut Bridge, endpoint: &str) -> Result<Option<String>> {
    let own = format!("http://{}", server.authority);
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await?;
    let challenge = format!("Bearer resource_metadata=\"{own}/resource\"");
    server.expect("POST", "ping").await?.answer(401, &[("www-authenticate", &challenge)], "").await?;
    let resource = json!({ "resource": server.url(), "authorization_servers": [own] });
    server.expect("GET", "/resource").await?.give(&resource).await?;
    let metadata = json!({ "issuer": own, "authorization_endpoint": endpoint, "token_endpoint": format!("{own}/token"),
        "registration_endpoint": format!("{own}/register"), "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"] });
    server.expect("GET", "/.well-known/oauth-authorization-server").await?.give(&metadata).await?;
    tokio::select! {
        answer = bridge.message() => Ok(Some(answer?.to_string())),
        asked = server.expect("POST", "/register") => {
            let asked = asked?;
            let wish = asked.json();
            // Also what it calls us goes into the address.
            let id = "one'; touch canary; $(touch canary) `touch canary` | touch canary & \" --flag";
            asked.give(&json!({ "client_id": id, "redirect_uris": wish["redirect_uris"] })).await?;
            Ok(None)
        }
    }
}

/// spec: T-15
#[tokio::test]
async fn t15_a_hostile_server_opens_nothing_but_pages_and_runs_nothing() -> Result<()> {
    let home = tempdir()?;
    let (program, log) = browser(home.path())?;
    let environment = [("BROWSER", program.to_str().context("path")?)];
    let mut server = Server::start().await?;
    let own = format!("http://{}", server.authority);
    let canary = home.path().join("canary");
    // No page at all: nobody registers there, nothing is opened, and the client is told.
    for endpoint in [
        "file:///etc/passwd",
        "javascript:alert(document.domain)",
        "data:text/html,<script>1</script>",
        "vbscript:x",
        "ms-settings:network",
        "search-ms:query=x",
        "ssh://-oProxyCommand=touch%20canary/",
        "smb://evil.example/share",
        "a:$(touch canary)",
        "$(touch canary)",
        "--help",
        "-a Calculator",
        "/authorize",
        "//evil.example/authorize",
        "http://evil.example/authorize",
        "http://192.168.0.1/authorize",
        "https://evil.example/authorize",
        "http://user:password@127.0.0.1/authorize",
        "http://127.0.0.1\\@evil.example/authorize",
        "http://$(touch canary)/authorize",
        "",
    ] {
        let mut bridge = Bridge::start(home.path(), &server.url(), &[], &environment)?;
        let answer = lead_to(&mut server, &mut bridge, endpoint).await?;
        let answer = answer.with_context(|| format!("it was believed: {endpoint}"))?;
        ensure!(answer.contains("-32603") && answer.contains("no way to sign in"), "{endpoint}: {answer}");
        let (status, _, err) = bridge.close().await?;
        ensure!(status.code() == Some(0) && !err.join("\n").contains("/callback"), "{endpoint}: {err:?}");
        ensure!(!log.exists() && !canary.exists(), "{endpoint}: something was opened");
    }
    // A page, with all that a shell could read in it: it is one word, an address, and nothing in it means anything to a shell.
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._~/?&=%+:@".contains(c);
    for (n, path) in [
        "/authorize",
        "/authorize;touch$IFS'canary'",
        "/$(touch canary)`touch canary`/authorize",
        "/authorize?x=$(touch canary)&y=`touch canary`|touch canary;touch canary",
        "/authorize?a='||touch canary||'&b=<>!*^(){}[]~",
        "/authorize?--flag",
    ]
    .into_iter()
    .enumerate()
    {
        // Each with nothing kept of those before.
        let state = home.path().join(n.to_string()).display().to_string();
        let environment = [environment[0], ("XDG_STATE_HOME", &state)];
        let mut bridge = Bridge::start(home.path(), &server.url(), &[], &environment)?;
        // Blanks are for the parser of addresses to write, quotation marks and backslashes would be refused.
        let endpoint = format!("{own}{}", path.replace(' ', "%20"));
        ensure!(lead_to(&mut server, &mut bridge, &endpoint).await?.is_none(), "{endpoint}: an honest page is opened");
        let words = opened(&log).await?;
        ensure!(words.len() == 2 && words[0] == "1", "{endpoint}: {words:?}");
        ensure!(words[1].starts_with(&format!("{own}/")) && words[1].chars().all(harmless), "{endpoint}: {words:?}");
        // What is printed for people is the same.
        let printed = bridge.says("  http").await?;
        ensure!(printed.trim() == words[1], "{printed}");
        bridge.signal(rustix::process::Signal::TERM)?;
        let (status, ..) = bridge.ended().await?;
        ensure!(status.code() == Some(0) && !canary.exists(), "{endpoint}");
    }
    Ok(())
}

/// spec: T-15, T-18, T-28
#[tokio::test]
async fn t15_a_hostile_server_leads_nobody_to_another_site_or_network() -> Result<()> {
    let home = tempdir()?;
    let (program, log) = browser(home.path())?;
    let environment = [("BROWSER", program.to_str().context("path")?)];
    let (mut server, mut neighbour) = (Server::start().await?, Server::start().await?);
    let other = format!("http://{}", neighbour.authority);
    // Its metadata, or its authorization server, is somewhere else.
    for (challenge, issuer) in [
        (format!("Bearer resource_metadata=\"{other}/resource\""), None),
        ("Bearer resource_metadata=\"http://169.254.169.254/latest/meta-data\"".into(), None),
        ("Bearer resource_metadata=\"file:///etc/passwd\"".into(), None),
        ("Bearer".into(), Some("https://login.evil.example")),
        ("Bearer".into(), Some("http://192.168.0.1")),
        ("Bearer".into(), Some("file:///etc")),
    ] {
        let mut bridge = Bridge::start(home.path(), &server.url(), &[], &environment)?;
        bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await?;
        server.expect("POST", "ping").await?.answer(401, &[("www-authenticate", &challenge)], "").await?;
        if let Some(issuer) = issuer {
            let resource = json!({ "resource": server.url(), "authorization_servers": [issuer] });
            server.expect("GET", "/.well-known/oauth-protected-resource/mcp").await?.give(&resource).await?;
        }
        let answer = bridge.message().await?.to_string();
        ensure!(answer.contains("no way to sign in"), "{challenge} {issuer:?}: {answer}");
        bridge.close().await?;
    }
    ensure!(!log.exists(), "a page was opened");
    ensure!(neighbour.asked.try_recv().is_err(), "somebody else was asked");
    Ok(())
}
