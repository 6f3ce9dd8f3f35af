//! The real program, killed while it works: what it had answered stands in the trail, what it had begun is marked, and
//! what was signed in before still is.

#[path = "crash/approvals.rs"]
mod approvals;
#[expect(dead_code, reason = "the threats use the rest")]
#[path = "../../../tests/house/tests/threats/asked.rs"]
mod asked;
#[expect(dead_code, reason = "the threats use the rest")]
#[path = "../../../tests/house/tests/threats/behind.rs"]
mod behind;
#[path = "crash/refresh.rs"]
mod refresh;
#[path = "crash/rounds.rs"]
mod rounds;
#[path = "crash/tampering.rs"]
mod tampering;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use portcullis_house::{
    http::{Request, request},
    person::{Browser, Client, Tokens, form},
};
use portcullis_store::fixture::TestDatabase;
use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const ADMIN: (&str, &str) = ("admin", "correct horse battery");

/// What may be called is not what these stories are about.
const OPEN: &str = "rules: [{ rule: open, who: ['*'], what: ['*'], then: allow }]\n";

/// A data directory and the settings of a gateway that may start and die in it more than once.
struct House {
    folder: TempDir,
    authority: String,
}

/// A running `portcullis up`.
struct Up {
    child: Child,
    welcome: Option<String>,
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl House {
    fn new(database: &str) -> Result<Self> {
        Self::with(database, "")
    }

    /// The same with more settings (YAML).
    fn with(database: &str, more: &str) -> Result<Self> {
        Self::by_default(database, &format!("{more}{OPEN}"))
    }

    /// The same where nothing is allowed that is not by default.
    fn by_default(database: &str, more: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let data = folder.path().join("data");
        let settings = format!(
            "listen: {authority}\noperations: 127.0.0.1:0\ndata: {}\ndatabase: {}\n{more}",
            data.display(),
            json!(database)
        );
        fs::write(folder.path().join("portcullis.yaml"), settings)?;
        Ok(Self { folder, authority })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // A file that would grow beyond a limit is then an error of the write, as a full disk is, and not the end.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", BINARY]).args(arguments);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    /// Starts it and waits until it says that it is ready.
    fn up(&self) -> Result<Up> {
        let mut child = self.command(&["up"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
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
        anyhow::bail!("it ended before it was ready")
    }

    /// Runs another command beside it; gives its exit code and what it printed.
    fn run(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let ended = self.command(arguments).output()?;
        let text = [ended.stdout, ended.stderr].concat();
        Ok((ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The first administrator, and a client of his for the sample server.
    async fn sign_in(&self, up: &Up) -> Result<(Client, Tokens)> {
        self.sign_in_at(up, "sample").await
    }

    /// The same for another server.
    async fn sign_in_at(&self, up: &Up, server: &str) -> Result<(Client, Tokens)> {
        let welcome = up.welcome.as_deref().context("a link for the first administrator")?;
        let mut browser = Browser::new(&self.authority);
        let page = browser.get(welcome).await?;
        let form = form(&page.text()).context("a form")?;
        let typed = [("name", ADMIN.0), ("password", ADMIN.1), ("again", ADMIN.1)];
        let answer = browser.submit(&form, &typed).await?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
        let client = Client::register(&self.authority, "A client").await?;
        let code = client.code(&mut browser, server, ADMIN).await?;
        let tokens = client.redeem(&code).await?;
        Ok((client, tokens))
    }

    fn call(&self, token: &str, tool: &str, arguments: Value) -> Request {
        self.call_at("sample", token, tool, arguments)
    }

    fn call_at(&self, server: &str, token: &str, tool: &str, arguments: Value) -> Request {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        request(&self.authority, "POST", &format!("/mcp/{server}"))
            .bearer(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", &format!("=?base64?{}?=", STANDARD.encode(tool)))
            .json(&body)
    }

    fn segments(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for node in fs::read_dir(self.folder.path().join("data/journal"))?.flatten() {
            for file in fs::read_dir(node.path()).into_iter().flatten().flatten() {
                found.extend(Some(file.path()).filter(|path| path.extension().is_some_and(|e| e == "jsonl")));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Every whole line of the trail.
    fn trail(&self) -> Result<Vec<Value>> {
        let mut lines = Vec::new();
        for file in self.segments()? {
            let text = fs::read_to_string(file)?;
            lines.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        Ok(lines)
    }

    /// Both engines; PostgreSQL where there is one, and always in CI.
    async fn on_both_engines() -> Result<Vec<(Self, Option<TestDatabase>)>> {
        let mut houses = vec![(Self::new("sqlite")?, None)];
        if let Some(database) = TestDatabase::postgres().await {
            houses.push((Self::new(&database.url())?, Some(database)));
        }
        Ok(houses)
    }
}

// spec: T-98
#[tokio::test(flavor = "multi_thread")]
async fn t98_what_was_answered_before_kill_9_is_in_the_trail() -> Result<()> {
    for (house, _database) in House::on_both_engines().await? {
        let mut up = house.up()?;
        let (client, tokens) = house.sign_in(&up).await?;
        let token = tokens.access.as_str();
        ensure!(house.call(token, "echo", json!({ "message": "first" })).send().await?.status == 200);

        let answered: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let mut load = Vec::new();
        for worker in 0..6 {
            let (answered, token) = (answered.clone(), token.to_owned());
            let next = (0..).map(move |n| format!("text-{worker}-{n}-end"));
            let requests: Vec<_> = next.take(5_000).collect();
            let all: Vec<(String, Request)> = requests
                .into_iter()
                .map(|text| (text.clone(), house.call(&token, "echo", json!({ "message": text }))))
                .collect();
            load.push(tokio::spawn(async move {
                for (text, request) in all {
                    match request.send().await {
                        Ok(answer) if answer.status == 200 && answer.text().contains(&text) => {
                            answered.lock().unwrap().insert(text);
                        }
                        _ => return,
                    }
                }
            }));
        }
        // Calls that are under way for certain when it dies.
        for n in 0..3 {
            let slow = house.call(token, "count_slowly", json!({ "seconds": 60, "note": format!("slow-{n}") }));
            load.push(tokio::spawn(async move { drop(slow.send().await) }));
        }
        let enough = Instant::now() + Duration::from_secs(20);
        let slow = || {
            let decided = |line: &Value| line["event"] == "call.decided" && line["name"] == "count_slowly";
            Ok::<_, anyhow::Error>(house.trail()?.iter().filter(|line| decided(line)).count())
        };
        while answered.lock().unwrap().len() < 150 || slow()? < 3 {
            ensure!(Instant::now() < enough, "only {} calls were answered", answered.lock().unwrap().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        up.child.kill()?;
        up.child.wait()?;
        join_all(load).await;
        let answered = answered.lock().unwrap().clone();

        let before = house.trail()?;
        let decided: String =
            before.iter().filter(|line| line["event"] == "call.decided").map(Value::to_string).collect();
        for text in &answered {
            assert!(decided.contains(text.as_str()), "{text} was answered and is not in the trail");
        }

        let up = house.up()?;
        let mut calls: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in house.trail()? {
            if let Some(call) = line["call"].as_str() {
                calls.entry(call.to_owned()).or_default().push(line);
            }
        }
        let mut unknown = 0;
        for (call, lines) in &calls {
            let kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
            assert_eq!(kinds, ["call.decided", "call.ended"], "{call}");
            unknown += usize::from(lines[1]["outcome"] == "unknown");
        }
        assert!(
            calls.len() > answered.len() && (3..=10).contains(&unknown),
            "{} calls, {unknown} unknown",
            calls.len()
        );
        let (code, text) = house.run(&["audit", "verify"])?;
        assert_eq!(code, 0, "{text}");

        // Who was signed in still is, with the same tokens.
        assert_eq!(house.call(token, "echo", json!({ "message": "again" })).send().await?.status, 200);
        assert_eq!(client.refresh(tokens.refresh.as_deref().unwrap_or_default()).await?.status, 200);
        drop(up);
    }
    Ok(())
}

// spec: T-9
#[tokio::test(flavor = "multi_thread")]
async fn t9_fifty_redemptions_of_one_code_succeed_once() -> Result<()> {
    for (house, _database) in House::on_both_engines().await? {
        let up = house.up()?;
        house.sign_in(&up).await?;
        let client = Client::register(&house.authority, "Hasty").await?;
        let code = client.code(&mut Browser::new(&house.authority), "sample", ADMIN).await?;
        let redemption = client.redemption(&code);
        let answers = join_all((0..50).map(|_| client.token(&redemption))).await;
        let mut given = 0;
        for answer in answers {
            let answer = answer?;
            given += usize::from(answer.status == 200);
            if answer.status != 200 {
                assert_eq!(
                    (answer.status, &answer.json()["error"]),
                    (400, &json!("invalid_grant")),
                    "{}",
                    answer.text()
                );
            }
        }
        assert_eq!(given, 1);
    }
    Ok(())
}

// spec: T-98
#[tokio::test(flavor = "multi_thread")]
async fn t98_without_a_record_nothing_but_reading_goes_on() -> Result<()> {
    let house = House::new("sqlite")?;
    let up = house.up()?;
    let (_, tokens) = house.sign_in(&up).await?;
    let token = tokens.access.as_str();
    let note = |title: &str| house.call(token, "add_note", json!({ "title": title, "text": "x" }));
    let list = || {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } } });
        request(&house.authority, "POST", "/mcp/sample")
            .bearer(token)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list")
            .json(&body)
    };
    assert_eq!(note("before").send().await?.status, 200);
    assert_eq!(list().send().await?.status, 200);
    // The end of the last call is written; from here on the file may not grow by more than part of a line.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let last = house.segments()?.pop().context("a segment")?;
    let limit = |size: &str| {
        let id = up.child.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={size}:unlimited")]).status()?;
        ensure!(done.success(), "prlimit failed");
        Ok(())
    };
    limit(&(fs::metadata(&last)?.len() + 100).to_string())?;
    for n in 0..5 {
        let answer = note(&format!("lost {n}")).send().await?;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!(-32603)), "{}", answer.text());
        let read = list().send().await?;
        assert_eq!(read.status, 200, "reading stopped: {}", read.text());
    }
    limit("unlimited")?;
    let enough = Instant::now() + Duration::from_secs(10);
    while note("after").send().await?.status != 200 {
        ensure!(Instant::now() < enough, "it does not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing that was refused was done, and the chain holds across the gap.
    let notes = house.call(token, "list_notes", json!({})).send().await?.text();
    assert!(notes.contains("before") && notes.contains("after") && !notes.contains("lost"), "{notes}");
    let (code, text) = house.run(&["audit", "verify"])?;
    assert_eq!(code, 0, "{text}");
    drop(up);
    // One byte of the past, changed while nobody looked.
    let mut bytes = fs::read(&last)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&last, bytes)?;
    let (code, text) = house.run(&["audit", "verify"])?;
    assert_eq!(code, 1, "{text}");
    Ok(())
}

// spec: T-97
#[tokio::test(flavor = "multi_thread")]
async fn t97_the_terminal_shows_what_happened_and_obeys_none_of_it() -> Result<()> {
    let house = House::new("sqlite")?;
    let up = house.up()?;
    let (_, tokens) = house.sign_in(&up).await?;
    let forgeries = [
        "x\n2026-11-23T00:00:00Z  forged.event  root",
        "\u{1b}[2J\u{1b}]0;forged\u{7}\u{9b}31m",
        "\u{202e}forged\u{2066}\u{200b}",
        "x\r\n{\"event\":\"forged.event\"}\t\u{8}\u{8}",
    ];
    for forgery in forgeries {
        house.call(&tokens.access, forgery, json!({ "message": forgery })).send().await?;
        Browser::new(&house.authority).sign_in(forgery, "wrong password of a stranger").await?;
        Client::register(&house.authority, forgery).await.ok();
    }
    let enough = Instant::now() + Duration::from_secs(10);
    let mut shown = String::new();
    while shown.matches("forged").count() < forgeries.len() {
        ensure!(Instant::now() < enough, "the trail is not searchable: {shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (code, text) = house.run(&["audit", "query", "--limit", "500"])?;
        assert_eq!(code, 0, "{text}");
        shown = text;
    }
    let (_, lines) = house.run(&["audit", "query", "--json", "--limit", "500"])?;
    for text in [&shown, &lines] {
        let hidden = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}".contains(c);
        if let Some(line) = text.lines().find(|line| line.chars().any(hidden)) {
            panic!("{line:?}");
        }
    }
    // What somebody typed stands in its column; the columns of time and event are ours.
    for line in shown.lines().skip(1) {
        let (time, rest) = line.split_once("  ").with_context(|| line.to_owned())?;
        assert!(time.ends_with('Z') && !time.contains("T00:00:00Z"), "{line}");
        assert!(!rest.starts_with("forged"), "{line}");
    }
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let kind = line["event"].as_str().unwrap_or_default();
        assert!(!kind.is_empty() && !kind.contains("forged") && line["seq"].is_u64(), "{line}");
    }
    Ok(())
}
