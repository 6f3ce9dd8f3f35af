//! The sign-in at a real gateway: asked of the person once, shared, renewed, reached further, given back.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::process::Command;

use crate::{BINARY, Bridge, Server, allow, bring, modern};

fn url(house: &TestGateway) -> String {
    format!("http://{}/mcp/sample", house.authority)
}

fn echo(text: &str) -> Value {
    json!({ "name": "echo", "arguments": { "message": text } })
}

/// Files in which sign-ins are kept.
fn kept(home: &Path) -> Vec<PathBuf> {
    let folder = home.join(".local/state/portcullis/bridge");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

/// A person who has signed in, with nothing running any more.
async fn signed_in(house: &TestGateway, home: &Path) -> Result<()> {
    let mut bridge = Bridge::start(home, &url(house), &["--sign-in", "--no-browser"], &[])?;
    let page = bridge.page().await?;
    ensure!(allow(&page, ALICE).await?.status == 200);
    let (status, out, err) = bridge.close().await?;
    ensure!(status.code() == Some(0) && out.join("").contains("lets you in"), "{status} {out:?} {err:?}");
    Ok(())
}

async fn command(home: &Path, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().env("HOME", home).env("PATH", "/nowhere").current_dir(home);
    let output = command.output().await?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

/// spec: UP-20, UP-24, UP-32, RFC8252#7.3
#[tokio::test]
async fn a_person_signs_in_once_and_out_again() -> Result<()> {
    let (house, home) = (TestGateway::start().await?, tempdir()?);
    let mut bridge = Bridge::start(home.path(), &url(&house), &["--no-browser"], &[])?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": crate::hello() })).await?;
    let page = bridge.page().await?;
    let parameter = |name: &str| portcullis_house::person::parameter(&page, name);
    ensure!(parameter("code_challenge_method").as_deref() == Some("S256") && parameter("state").is_some());
    ensure!(parameter("resource") == Some(url(&house)));
    let back = parameter("redirect_uri").context("redirect_uri")?;
    ensure!(back.starts_with("http://127.0.0.1:") && back.ends_with("/callback"), "{back}");
    let shown = allow(&page, ALICE).await?;
    ensure!(shown.status == 200 && shown.text().contains("You are signed in"), "{}", shown.text());
    ensure!(bridge.message().await?["result"]["protocolVersion"] == "2025-11-25");
    let said = bridge.says("signed in").await?;
    bridge.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
    let answer = bridge.ask(1, "tools/call", echo("good morning")).await?;
    ensure!(answer["result"]["content"][0]["text"] == "good morning", "{answer}");
    let (status, out, err) = bridge.close().await?;
    ensure!(status.code() == Some(0) && out.is_empty() && err.is_empty(), "{status} {out:?} {err:?}");
    // What is kept is for this person alone.
    let files = kept(home.path());
    ensure!(files.len() == 1 && said.contains(&files[0].display().to_string()), "{files:?} {said}");
    ensure!(fs::metadata(&files[0])?.permissions().mode() & 0o777 == 0o600);
    // Another one asks nothing, in the other era too.
    let mut bridge = Bridge::start(home.path(), &url(&house), &[], &[])?;
    let answer = bridge.ask(1, "tools/call", modern(echo("good evening"))).await?;
    ensure!(answer["result"]["content"][0]["text"] == "good evening", "{answer}");
    bridge.close().await?;
    // A file that others can read is not used.
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o644))?;
    let mut bridge = Bridge::start(home.path(), &url(&house), &[], &[])?;
    let answer = bridge.ask(1, "ping", json!({})).await?.to_string();
    ensure!(answer.contains("others can read it (mode 644)"), "{answer}");
    bridge.close().await?;
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o600))?;
    // Signing out tells the gateway, and leaves nothing.
    let old = fs::read(&files[0])?;
    let (code, out, err) = command(home.path(), &["bridge", &url(&house), "--sign-out"]).await?;
    ensure!(code == Some(0) && out.contains("signed out") && err.is_empty(), "{out} {err}");
    ensure!(kept(home.path()).is_empty());
    fs::write(&files[0], old)?;
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o600))?;
    let mut bridge = Bridge::start(home.path(), &url(&house), &["--no-browser"], &[])?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await?;
    bridge.page().await.context("what was given back is worth nothing")?;
    house.stop().await
}

/// spec: RFC9700#4.14.2
#[tokio::test]
async fn bridges_that_renew_at_once_spend_one_refresh_token() -> Result<()> {
    let (house, home) = (TestGateway::start().await?, tempdir()?);
    signed_in(&house, home.path()).await?;
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut bridge = Bridge::start(home.path(), &url(&house), &["--no-browser"], &[])?;
        let answer = bridge.ask(1, "tools/call", modern(echo("before"))).await?;
        ensure!(answer["result"]["content"][0]["text"] == "before", "{answer}");
        all.push(bridge);
    }
    for round in 1..=2 {
        // The gateway's tokens are over; the bridges' clock has not moved, so that they learn it from the refusal.
        house.advance(Duration::from_secs(3 * 3600)).await?;
        for bridge in &mut all {
            let params = modern(echo("after"));
            bridge.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params })).await?;
        }
        for bridge in &mut all {
            let answer = bridge.message().await?;
            ensure!(answer["result"]["content"][0]["text"] == "after", "{answer}");
        }
        ensure!(house.events("token.refreshed").await?.len() == round);
    }
    ensure!(house.events("grant.revoked").await?.is_empty(), "a token was spent twice");
    for bridge in all {
        let (status, out, err) = bridge.close().await?;
        ensure!(status.code() == Some(0) && out.is_empty() && err.is_empty(), "{status} {out:?} {err:?}");
    }
    house.stop().await
}

#[tokio::test]
async fn bridges_that_are_started_at_once_open_one_page() -> Result<()> {
    let (house, home) = (TestGateway::start().await?, tempdir()?);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": modern(json!({})) });
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": modern(json!({})) });
    let mut first = Bridge::start(home.path(), &url(&house), &["--no-browser"], &[])?;
    first.send(&list).await?;
    let page = first.page().await?;
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = Bridge::start(home.path(), &url(&house), &["--no-browser"], &[])?;
        other.send(&list).await?;
        other.says("waiting for the sign-in that another bridge has begun").await?;
        others.push(other);
    }
    // The one with the page dies: another takes its place, and its page is the one that counts.
    first.signal(rustix::process::Signal::KILL)?;
    drop(first);
    let (mut leads, mut waits) = (others.remove(0), others.remove(0));
    let next = tokio::select! {
        page = leads.page() => page?,
        page = waits.page() => { std::mem::swap(&mut leads, &mut waits); page? }
    };
    ensure!(next != page, "the page of a process that is dead leads nowhere");
    allow(&next, ALICE).await?;
    for bridge in [&mut leads, &mut waits] {
        let answer = bridge.message().await?;
        ensure!(answer["result"]["tools"].is_array(), "{answer}");
    }
    let (_, _, err) = waits.close().await?;
    ensure!(!err.join("\n").contains("/authorize?"), "{err:?}");
    leads.send(&ping).await?;
    leads.close().await?;
    house.stop().await
}

/// Who says no is not asked again at once, and a stranger's answer changes nothing.
#[tokio::test]
async fn a_sign_in_that_comes_to_nothing_is_told() -> Result<()> {
    let (house, home) = (TestGateway::start().await?, tempdir()?);
    let mut bridge = Bridge::start(home.path(), &url(&house), &["--no-browser"], &[])?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await?;
    let page = bridge.page().await?;
    let parameter = |name: &str| portcullis_house::person::parameter(&page, name).context("a parameter");
    let (back, state) = (parameter("redirect_uri")?, parameter("state")?);
    let stranger = bring(&format!("{back}?code=theirs&state=theirs").parse()?).await?;
    ensure!(stranger.status == 400);
    // spec: UP-34, T-17: not from who was asked.
    let answer = bring(&format!("{back}?code=theirs&state={state}&iss=https://evil.example").parse()?).await?;
    ensure!(answer.status == 400 && answer.text().contains("did not work"), "{}", answer.text());
    let answer = bridge.message().await?.to_string();
    ensure!(answer.contains("evil.example") && answer.contains("-32603"), "{answer}");
    let answer = bridge.ask(2, "ping", json!({})).await?.to_string();
    ensure!(answer.contains("did not work"), "no second page at once: {answer}");
    ensure!(house.events("token.issued").await?.is_empty());
    house.stop().await
}

#[tokio::test]
async fn an_access_key_takes_the_place_of_a_sign_in() -> Result<()> {
    let house = TestGateway::with("access_keys: { enabled: true }").await?;
    let home = tempdir()?;
    let data = house.data().display().to_string();
    let settings = home.path().join("portcullis.yaml");
    let public = format!("public_url: http://{}\naccess_keys: {{ enabled: true }}\n", house.authority);
    fs::write(&settings, public)?;
    let arguments =
        ["key", "add", "--person", ALICE.0, "--server", "sample", "--name", "host", "--json", "--data", &data];
    let (code, out, err) = command(home.path(), &arguments).await?;
    ensure!(code == Some(0), "{out}{err}");
    let made: Value = serde_json::from_str(&out)?;
    let key = made["key"].as_str().context("key")?;
    house.app.feed.catch_up().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let file = home.path().join("key");
    fs::write(&file, format!("{key}\n"))?;
    let flag = ["--key-file", file.to_str().context("path")?];
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let (status, _, err) = Bridge::start(home.path(), &url(&house), &flag, &[])?.close().await?;
    ensure!(status.code() == Some(2) && err.join("\n").contains("everybody can read it"), "{err:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let variable = [("PORTCULLIS_ACCESS_KEY", key)];
    for (flags, environment) in [(&flag[..], &[][..]), (&[][..], &variable[..])] {
        let mut bridge = Bridge::start(home.path(), &url(&house), flags, environment)?;
        let answer = bridge.ask(1, "tools/call", modern(echo("good morning"))).await?;
        ensure!(answer["result"]["content"][0]["text"] == "good morning", "{answer}");
        bridge.close().await?;
    }
    ensure!(kept(home.path()).is_empty(), "a key is not kept");
    // One that is not good any more is told, and nobody is sent to a page.
    let mut bridge = Bridge::start(home.path(), &url(&house), &[], &[("PORTCULLIS_ACCESS_KEY", "pck_gone")])?;
    let answer = bridge.ask(1, "ping", json!({})).await?.to_string();
    ensure!(answer.contains("refused the access key") && !answer.contains("pck_gone"), "{answer}");
    // Who reads the client's log reads it too, once.
    bridge.ask(2, "ping", json!({})).await?;
    let (_, _, err) = bridge.close().await?;
    ensure!(err.len() == 2 && err[0].contains("refused the access key"), "{err:?}");
    ensure!(!err.join("").contains("pck_gone"), "{err:?}");
    house.stop().await
}

/// Clients that only start commands are given this one, by its own path.
#[tokio::test]
async fn connect_writes_the_bridge_where_it_is_needed() -> Result<()> {
    let home = tempdir()?;
    let (code, out, err) = command(home.path(), &["connect", "claude-desktop", "--print"]).await?;
    ensure!(code == Some(0), "{err}");
    let printed: Value = serde_json::from_str(&out)?;
    let entry = &printed["mcpServers"]["sample"];
    let program = Path::new(entry["command"].as_str().context("command")?);
    ensure!(program.is_absolute() && program.canonicalize()? == Path::new(BINARY).canonicalize()?, "{out}");
    let words: Vec<_> = entry["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (code, help, _) = command(home.path(), &[&words[..], &["--help"]].concat()).await?;
    ensure!(code == Some(0) && help.contains("mcpServers"), "{words:?}");
    Ok(())
}

/// A server and its authorization server, played by the test.
struct Played(Server);

impl Played {
    /// Answers everything up to the sign-in page.
    async fn until_the_page(&mut self, challenge: &str, status: u16) -> Result<()> {
        let own = format!("http://{}", self.0.authority);
        let asked = self.0.expect("POST", "ping").await?;
        asked.answer(status, &[("www-authenticate", challenge)], "").await?;
        let resource = json!({ "resource": self.0.url(), "authorization_servers": [own] });
        self.0.expect("GET", "/.well-known/oauth-protected-resource/mcp").await?.give(&resource).await?;
        let metadata = json!({ "issuer": own, "authorization_endpoint": format!("{own}/authorize"),
            "token_endpoint": format!("{own}/token"), "registration_endpoint": format!("{own}/register"),
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"] });
        self.0.expect("GET", "/.well-known/oauth-authorization-server").await?.give(&metadata).await
    }

    async fn register(&mut self) -> Result<()> {
        let asked = self.0.expect("POST", "/register").await?;
        let wish = asked.json();
        ensure!(wish["application_type"] == "native" && wish["token_endpoint_auth_method"] == "none", "{wish}");
        asked.give(&json!({ "client_id": "one", "redirect_uris": wish["redirect_uris"] })).await
    }

    async fn tokens(&mut self, access: &str, refresh: &str) -> Result<String> {
        let asked = self.0.expect("POST", "/token").await?;
        let form = String::from_utf8(asked.body.clone())?;
        asked.give(&json!({ "access_token": access, "token_type": "Bearer", "refresh_token": refresh })).await?;
        Ok(form)
    }
}

async fn back(bridge: &mut Bridge) -> Result<(url::Url, tokio::task::JoinHandle<Result<()>>)> {
    let page = bridge.page().await?;
    let parameter = |name: &str| portcullis_house::person::parameter(&page, name).context("a parameter");
    let answer = format!("{}?code=c&state={}", parameter("redirect_uri")?, parameter("state")?).parse()?;
    let brought = tokio::spawn(async move {
        ensure!(bring(&answer).await?.status == 200);
        Ok(())
    });
    Ok((page, brought))
}

/// spec: UP-46
#[tokio::test]
async fn more_scope_is_asked_for_once_and_with_what_there_was() -> Result<()> {
    let (home, mut server) = (tempdir()?, Played(Server::start().await?));
    let mut bridge = Bridge::start(home.path(), &server.0.url(), &["--no-browser"], &[])?;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    bridge.send(&ping).await?;
    server.until_the_page("Bearer scope=\"read\"", 401).await?;
    server.register().await?;
    let (page, brought) = back(&mut bridge).await?;
    ensure!(portcullis_house::person::parameter(&page, "scope").as_deref() == Some("read"), "{page}");
    server.tokens("a1", "r1").await?;
    brought.await??;
    let asked = server.0.expect("POST", "ping").await?;
    ensure!(asked.header("authorization") == Some("Bearer a1"));
    asked.result(json!({})).await?;
    ensure!(bridge.message().await?["id"] == 1);
    bridge.send(&ping).await?;
    server.until_the_page("Bearer error=\"insufficient_scope\", scope=\"write\"", 403).await?;
    let (page, brought) = back(&mut bridge).await?;
    ensure!(portcullis_house::person::parameter(&page, "scope").as_deref() == Some("read write"), "{page}");
    ensure!(
        portcullis_house::person::parameter(&page, "client_id").as_deref() == Some("one"),
        "the same client: {page}"
    );
    server.tokens("a2", "r2").await?;
    brought.await??;
    let asked = server.0.expect("POST", "ping").await?;
    ensure!(asked.header("authorization") == Some("Bearer a2"));
    // It asks for the same again: that helps nobody.
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    asked.answer(403, &[("www-authenticate", challenge)], "").await?;
    ensure!(bridge.message().await?["error"]["message"].as_str().is_some_and(|text| text.contains("403")));
    Ok(())
}

/// A bridge that is killed while it renews holds up nobody, and what it had sent is sent again.
#[tokio::test]
async fn a_bridge_that_is_killed_while_it_renews_is_followed_by_another() -> Result<()> {
    let (home, mut server) = (tempdir()?, Played(Server::start().await?));
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let mut bridge = Bridge::start(home.path(), &server.0.url(), &["--no-browser"], &[])?;
    bridge.send(&ping).await?;
    server.until_the_page("Bearer", 401).await?;
    server.register().await?;
    let (_, brought) = back(&mut bridge).await?;
    server.tokens("a1", "r1").await?;
    brought.await??;
    server.0.expect("POST", "ping").await?.result(json!({})).await?;
    bridge.message().await?;
    bridge.send(&ping).await?;
    server.0.expect("POST", "ping").await?.answer(401, &[("www-authenticate", "Bearer")], "").await?;
    let held = server.0.expect("POST", "/token").await?;
    // Another one that wants the same waits for its turn.
    let mut other = Bridge::start(home.path(), &server.0.url(), &["--no-browser"], &[])?;
    other.send(&ping).await?;
    let asked = server.0.expect("POST", "ping").await?;
    ensure!(asked.header("authorization") == Some("Bearer a1"));
    asked.answer(401, &[("www-authenticate", "Bearer")], "").await?;
    bridge.signal(rustix::process::Signal::KILL)?;
    bridge.ended().await?;
    drop(held);
    let form = server.tokens("a2", "r2").await?;
    ensure!(form.contains("refresh_token=r1") && form.contains("grant_type=refresh_token"), "{form}");
    let asked = server.0.expect("POST", "ping").await?;
    ensure!(asked.header("authorization") == Some("Bearer a2"));
    asked.result(json!({})).await?;
    ensure!(other.message().await?["id"] == 1);
    // Silence of the authorization server is no reason to send anybody to a page, or to forget what there is.
    other.send(&ping).await?;
    server.0.expect("POST", "ping").await?.answer(401, &[("www-authenticate", "Bearer")], "").await?;
    server.0.expect("POST", "/token").await?.answer(503, &[], "").await?;
    let answer = other.message().await?.to_string();
    ensure!(answer.contains("could not be renewed"), "{answer}");
    other.send(&ping).await?;
    server.0.expect("POST", "ping").await?.answer(401, &[("www-authenticate", "Bearer")], "").await?;
    let form = server.tokens("a3", "r3").await?;
    ensure!(form.contains("refresh_token=r2"), "{form}");
    server.0.expect("POST", "ping").await?.result(json!({})).await?;
    other.message().await?;
    let (_, _, err) = other.close().await?;
    ensure!(err.len() == 1 && err[0].contains("could not be renewed"), "{err:?}");
    Ok(())
}

/// Only what the client asks for sends its person anywhere; the end of a session is nothing that they wait for.
#[tokio::test]
async fn who_leaves_is_not_asked_to_sign_in() -> Result<()> {
    let (home, mut server) = (tempdir()?, Played(Server::start().await?));
    let mut bridge = Bridge::start(home.path(), &server.0.url(), &["--no-browser"], &[])?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await?;
    server.until_the_page("Bearer", 401).await?;
    server.register().await?;
    let (_, brought) = back(&mut bridge).await?;
    let soon =
        |access| json!({ "access_token": access, "token_type": "Bearer", "refresh_token": "r", "expires_in": 1 });
    server.0.expect("POST", "/token").await?.give(&soon("a1")).await?;
    brought.await??;
    server.0.expect("POST", "ping").await?.result(json!({})).await?;
    bridge.message().await?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "initialize", "params": crate::hello() })).await?;
    server.0.expect("POST", "/token").await?.give(&soon("a2")).await?;
    server.0.expect("POST", "initialize").await?.session("one").await?;
    bridge.message().await?;
    let gone = async {
        let asked = server.0.expect("POST", "/token").await?;
        asked.answer(400, &[("content-type", "application/json")], r#"{"error":"invalid_grant"}"#).await
    };
    let (closed, told) = tokio::join!(bridge.close(), gone);
    told?;
    let (status, ..) = closed?;
    ensure!(status.code() == Some(0), "{status}");
    let more = server.0.asked.try_recv();
    ensure!(more.is_err(), "it looked for a place to sign in: {:?}", more.map(|asked| asked.target));
    Ok(())
}

/// A sign-in that leads nowhere is none.
#[tokio::test]
async fn signing_in_is_good_only_where_a_server_answers() -> Result<()> {
    for (status, said) in [
        (200, "lets you in"),
        (400, "lets you in"),
        (403, "answered 403"),
        (404, "check the address"),
        (503, "answered 503"),
    ] {
        let (home, mut server) = (tempdir()?, Server::start().await?);
        let mut bridge = Bridge::start(home.path(), &server.url(), &["--sign-in"], &[])?;
        server.expect("POST", "ping").await?.answer(status, &[], "").await?;
        let (ended, out, err) = bridge.ended().await?;
        ensure!(ended.success() == (status < 403), "{status}: {ended}");
        ensure!([out, err].concat().join("\n").contains(said), "{status}");
    }
    Ok(())
}

/// A keyring that keeps what it is given, and one that cannot be reached. The program is the one that libsecret has, played by a
/// script.
#[tokio::test]
async fn a_sign_in_is_in_the_keyring_where_there_is_one() -> Result<()> {
    let (house, home) = (TestGateway::start().await?, tempdir()?);
    let (bin, entries) = (home.path().join("bin"), home.path().join("entries"));
    fs::create_dir(&bin)?;
    fs::create_dir(&entries)?;
    let program = bin.join("secret-tool");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" >> {log}\nfor last; do :; done\nfile={entries}/$last\n\
         case $1 in store) cat > \"$file\";; lookup) cat \"$file\" 2>/dev/null;; clear) rm -f \"$file\";; esac\n",
        log = home.path().join("log").display(),
        entries = entries.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let path = bin.display().to_string();
    let environment = [("PATH", path.as_str()), ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")];
    let start = |flags: &[&str]| Bridge::start(home.path(), &url(&house), flags, &environment);
    let mut bridge = start(&["--no-browser", "--sign-in"])?;
    let page = bridge.page().await?;
    allow(&page, ALICE).await?;
    bridge.says("kept in the keyring").await?;
    bridge.close().await?;
    let only = |folder: &Path| -> Result<String> {
        Ok(fs::read_to_string(fs::read_dir(folder)?.next().context("an entry")??.path())?)
    };
    let entry: Value = serde_json::from_str(&only(&entries)?)?;
    let token = entry["access"].as_str().context("a token")?;
    ensure!(fs::read_to_string(&kept(home.path())[0])? == r#"{"kept":"keyring"}"#);
    ensure!(!fs::read_to_string(home.path().join("log"))?.contains(token), "a secret among the arguments");
    let mut bridge = start(&["--no-browser"])?;
    let answer = bridge.ask(1, "tools/call", modern(echo("good morning"))).await?;
    ensure!(answer["result"]["content"][0]["text"] == "good morning", "{answer}");
    house.advance(Duration::from_secs(3 * 3600)).await?;
    let answer = bridge.ask(2, "tools/call", modern(echo("good evening"))).await?;
    ensure!(answer["result"]["content"][0]["text"] == "good evening", "{answer}");
    ensure!(!only(&entries)?.contains(token), "the new one takes the place of the old one");
    bridge.close().await?;
    let mut out = start(&["--sign-out"])?;
    ensure!(out.ended().await?.0.code() == Some(0));
    ensure!(fs::read_dir(&entries)?.next().is_none() && kept(home.path()).is_empty());
    // One that refuses: said once, and the file takes its place.
    fs::write(&program, "#!/bin/sh\nexit 1\n")?;
    let mut bridge = start(&["--no-browser", "--sign-in"])?;
    let page = bridge.page().await?;
    allow(&page, ALICE).await?;
    bridge.says("kept for you alone in").await?;
    bridge.close().await?;
    ensure!(fs::read_to_string(&kept(home.path())[0])?.contains("\"access\""));
    house.stop().await
}
