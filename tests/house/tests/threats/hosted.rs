//! Servers that the gateway runs itself, as people see them: whatever era the program is of, each person has a process, a key
//! and a home of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway, launcher},
    http::Answer,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{account_site::send, visit::signed_in};

const CANARY: &str = "canary-of-alice";
/// How long a program may take to be started again, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program for the gateway to run, in a place of its own.
pub(super) struct Program {
    folder: TempDir,
    sandbox: &'static str,
}

impl Program {
    /// The small server, to be run with the best walls of this machine.
    pub(super) async fn new(house: &TestGateway) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // It may be run as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        for name in ["small", "plain"] {
            fs::copy(launcher()?.with_file_name("stdio"), folder.path().join(name))?;
        }
        let plain = json!({ "name": "plain", "command": [folder.path().join("plain"), "legacy"] });
        house.protect_as(plain).await?;
        let (_, tokens) = house.client_of(&["plain"], ALICE).await?;
        let answer = house.call("plain", &tokens[0].access, "notes", json!({})).send().await?;
        // A machine without name spaces, and root on it: less has to do for these tests.
        let sandbox = if answer.status == 200 { "standard" } else { "weak" };
        Ok(Self { folder, sandbox })
    }

    /// These hosts and nobody else, or everybody where a process cannot be held to a list: then it is not started with one.
    pub(super) async fn network(&self, house: &TestGateway, hosts: Value) -> Result<Value> {
        let mut entry = self.entry("listed", "legacy");
        entry["network"] = hosts.clone();
        house.protect_as(entry).await?;
        let (_, tokens) = house.client_of(&["listed"], ALICE).await?;
        let answer = house.call("listed", &tokens[0].access, "notes", json!({})).send().await?;
        Ok(if answer.json()["error"].is_object() { json!("all") } else { hosts })
    }

    /// What puts it behind the gateway under this name.
    pub(super) fn entry(&self, name: &str, era: &str) -> Value {
        json!({ "name": name, "command": [self.folder.path().join("small"), era], "sandbox": self.sandbox })
    }
}

impl Program {
    /// Waits until nothing runs any more whose command line has this in it.
    async fn until_gone(&self, name: &str) -> Result<()> {
        let path = self.folder.path().join(name).display().to_string();
        let began = Instant::now();
        loop {
            let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
            let mut lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
            let Some(left) = lines.find(|line| line.contains(&path)) else { return Ok(()) };
            ensure!(began.elapsed() < PATIENCE, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a tool said.
pub(super) fn text(answer: &Answer) -> String {
    let body = answer.json();
    let text = body["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(answer.status == 200 && body["result"]["isError"] != true, "{} {body}", answer.status);
    text.to_owned()
}

/// Types a key on the page for it.
async fn type_key(house: &TestGateway, login: (&str, &str), server: &str, key: &str) -> Result<()> {
    let mut browser = signed_in(house, login).await?;
    let page = browser.get(&format!("/connections/{server}")).await?;
    let done = send(&mut browser, &page, "/key", &[("key", key)]).await?;
    assert_eq!(done.status, 303, "{}", done.text());
    Ok(())
}

// spec: T-89, TR-153, TR-161, UP-88
#[tokio::test(flavor = "multi_thread")]
async fn t89_key_and_files_of_one_person_are_in_nobody_elses_process() -> Result<()> {
    let house = TestGateway::start().await?;
    let program = Program::new(&house).await?;
    for era in ["modern", "legacy"] {
        let mut entry = program.entry(era, era);
        entry["credential"] = json!({ "kind": "env", "name": "SERVER_KEY", "label": "Key" });
        house.protect_as(entry.clone()).await?;
        let (_, alice) = house.client_of(&[era], ALICE).await?;
        let (_, bob) = house.client_of(&[era], BOB).await?;
        let call =
            async |whose: &str, tool: &str, arguments: Value| house.call(era, whose, tool, arguments).send().await;
        let (alice, bob) = (&alice[0].access, &bob[0].access);

        let told = call(alice, "whoami", json!({})).await?;
        assert!(told.text().contains(&format!("/connections/{era}")), "{era}: {}", told.text());
        type_key(&house, ALICE, era, CANARY).await?;
        assert_eq!(text(&call(alice, "whoami", json!({})).await?), CANARY);
        // spec: SEC-33: "Log every child start with command, digest of the package or image, user, upstream"
        let started = house.events("process.started").await?;
        let command = format!("{} {era}", program.folder.path().join("small").display());
        let here: Vec<_> = started.iter().filter(|line| line["server"] == era).collect();
        let [hers] = here[..] else { panic!("one process, and hers: {here:?}") };
        assert!(hers["person"].is_string() && hers["details"]["command"] == command, "{hers}");
        for fact in ["command_digest", "network", "walls"] {
            assert!(hers["details"][fact].is_string(), "{hers}");
        }
        assert_eq!(text(&call(alice, "keep", json!({ "note": "mine" })).await?), "kept");

        // Bob has none of it: not before he has a key, and not with one of his own.
        let told = call(bob, "whoami", json!({})).await?.text();
        assert!(told.contains(&format!("/connections/{era}")) && !told.contains(CANARY), "{era}: {told}");
        type_key(&house, BOB, era, "key-of-bob").await?;
        assert_eq!(text(&call(bob, "whoami", json!({})).await?), "key-of-bob");
        assert_eq!(text(&call(bob, "notes", json!({})).await?), "");
        assert_eq!(text(&call(alice, "notes", json!({})).await?), "mine");

        // A client of the revisions with sessions sees the same.
        let session = house.session(era, alice).await?;
        let ask = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "whoami" } });
        let answer = house.legacy(era, alice, &session, &ask).send().await?.text();
        assert!(answer.contains(CANARY), "{era}: {answer}");

        // She gave it to this program: one that takes its place has to ask her.
        fs::copy(program.folder.path().join("small"), program.folder.path().join("other"))?;
        entry["command"][0] = json!(program.folder.path().join("other"));
        house.protect_as(entry).await?;
        program.until_gone(&format!("small\0{era}")).await?;
        let told = call(alice, "whoami", json!({})).await?.text();
        assert!(told.contains(&format!("/connections/{era}")) && !told.contains(CANARY), "{era}: {told}");
    }
    let written = house.written();
    assert!(!written.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "the key is on the disk");
    house.stop().await
}

// spec: TR-158, TR-159, TR-161
#[tokio::test(flavor = "multi_thread")]
async fn crash_fails_one_call_and_nobody_elses() -> Result<()> {
    let house = TestGateway::start().await?;
    let program = Program::new(&house).await?;
    for era in ["modern", "legacy"] {
        house.protect_as(program.entry(era, era)).await?;
        let (_, alice) = house.client_of(&[era], ALICE).await?;
        let (_, bob) = house.client_of(&[era], BOB).await?;
        let (alice, bob) = (&alice[0].access, &bob[0].access);
        let call = async |whose: &str, tool: &str| house.call(era, whose, tool, json!({})).send().await;
        for count in ["1", "2"] {
            assert_eq!(text(&call(alice, "count").await?), count, "{era}: a process goes on between calls");
        }
        assert_eq!(text(&call(bob, "count").await?), "1", "{era}: Bob's is another");
        let crashed = call(alice, "crash").await?;
        assert!(crashed.json()["error"].is_object(), "{era}: {}", crashed.text());
        assert!(!crashed.text().contains("status 3"), "{era}: how is for the log: {}", crashed.text());
        assert_eq!(text(&call(bob, "count").await?), "2", "{era}: his goes on");
        // Hers rests before it is started again.
        let began = Instant::now();
        let mut again = call(alice, "count").await?;
        while again.json()["error"].is_object() {
            ensure!(began.elapsed() < PATIENCE, "{era}: {}", again.text());
            tokio::time::sleep(Duration::from_millis(50)).await;
            again = call(alice, "count").await?;
        }
        assert_eq!(text(&again), "1", "{era}: a new one");
    }
    let mut entry = program.entry("shared", "modern");
    entry["sharing"] = json!("shared");
    house.protect_as(entry).await?;
    for (login, count) in [(ALICE, "1"), (BOB, "2")] {
        let (_, tokens) = house.client_of(&["shared"], login).await?;
        assert_eq!(text(&house.call("shared", &tokens[0].access, "count", json!({})).send().await?), count);
    }
    house.stop().await?;
    program.until_gone("").await
}

// spec: T-89, SEC-32
#[tokio::test(flavor = "multi_thread")]
async fn t89_server_with_a_list_of_hosts_reaches_no_other_through_a_gateway() -> Result<()> {
    let house = TestGateway::start().await?;
    let program = Program::new(&house).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let whom = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(b"welcome\n").await;
                let _ = stream.read(&mut [0; 8]).await;
            });
        }
    });
    if program.network(&house, json!([whom])).await? == "all" {
        // What has no list is started here, so it was because of the list that the other one was not.
        let (_, tokens) = house.client_of(&["plain"], ALICE).await?;
        let answer = house.call("plain", &tokens[0].access, "notes", json!({})).send().await?;
        ensure!(program.sandbox == "weak" || answer.status == 200, "{}", answer.text());
        return house.stop().await;
    }
    for era in ["modern", "legacy"] {
        let mut entry = program.entry(era, era);
        entry["network"] = json!([whom]);
        house.protect_as(entry).await?;
        let (_, tokens) = house.client_of(&[era], ALICE).await?;
        let call = async |tool: &str, whom: &str| {
            house.call(era, &tokens[0].access, tool, json!({ "whom": whom })).send().await
        };
        assert_eq!(text(&call("greet", &whom).await?), "welcome", "{era}");
        for (tool, whom) in [
            ("greet", house.authority.as_str()),
            ("greet", "169.254.169.254:80"),
            ("greet", "example.com:443"),
            ("dial", whom.as_str()),
            ("dial", house.authority.as_str()),
            ("dial", "169.254.169.254:80"),
        ] {
            let answer = call(tool, whom).await?.json();
            assert_eq!(answer["result"]["isError"], true, "{era}: {tool} {whom}: {answer}");
            let said = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert_eq!(said.contains("is not among the hosts that the server"), tool == "greet", "{era}: {said}");
        }
    }
    house.stop().await
}

// spec: T-89
#[tokio::test(flavor = "multi_thread")]
async fn t89_data_of_the_gateway_is_shown_to_no_server() -> Result<()> {
    let house = TestGateway::start().await?;
    let program = Program::new(&house).await?;
    let link = program.folder.path().join("link");
    std::os::unix::fs::symlink(house.data(), &link)?;
    let above = house.data().parent().context("it is in a directory")?.to_owned();
    assert!(house.data().join("servers/plain").exists(), "who is started has a directory");
    let cases = [("inside", house.data().join("servers")), ("above", above), ("link", link)];
    for (name, path) in cases {
        for key in ["read", "write"] {
            let name = format!("{name}-{key}");
            let mut entry = program.entry(&name, "legacy");
            entry[key] = json!([path]);
            house.protect_as(entry).await?;
            let (_, tokens) = house.client_of(&[&name], ALICE).await?;
            let answer = house.call(&name, &tokens[0].access, "notes", json!({})).send().await?;
            assert!(answer.json()["error"].is_object(), "{name}: {} {}", answer.status, answer.text());
            assert!(!house.data().join("servers").join(&name).exists(), "{name}: it was started");
        }
    }
    house.stop().await
}
