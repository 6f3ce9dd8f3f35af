//! The record: nothing foreign writes in it, nothing happens before it, nothing in it changes unseen.

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_audit::{PublicKeys, Report, verify};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::{Browser, Client, authorize_target},
};
use serde_json::{Value, json};

use crate::behind::{Behind, Reply};

/// What would be a line of its own, a colour, or another reading order, if it were written as it is.
const FORGERIES: [&str; 7] = [
    "x\n{\"seq\":1,\"event\":\"forged.event\"}",
    "x\r\n{\"seq\":1,\"event\":\"forged.event\"}\r\n",
    "x\",\"event\":\"forged.event\",\"y\":\"",
    "x\\\",\\\"event\\\":\\\"forged.event",
    "\u{1b}[2J\u{1b}[31mforged\u{7}\u{9b}31m",
    "\u{202e}forged\u{2066}\u{200b}\u{feff}",
    "x\u{2028}{\"event\":\"forged.event\"}\u{85}\u{0}\u{b}\u{c}",
];

// spec: T-97
#[tokio::test(flavor = "multi_thread")]
async fn t97_nothing_foreign_can_write_a_line_or_a_member() -> Result<()> {
    // Whether a part is kept or everything.
    for settings in ["", "audit: { arguments: full, results: full }"] {
        forge(settings).await?;
    }
    Ok(())
}

async fn forge(settings: &str) -> Result<()> {
    let house = TestGateway::with(settings).await?;
    let behind = Behind::with(|seen| {
        let text = seen.body["params"]["arguments"]["fail"].as_str()?;
        Some(Reply::Json(
            200,
            json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": { "code": -32000, "message": text } }),
        ))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let token = tokens.access.as_str();
    let session = house.session("behind", token).await?;
    for forgery in FORGERIES {
        // Tool names, arguments, resources, methods, ids, in both eras.
        let sentinel = format!("=?base64?{}?=", STANDARD.encode(forgery));
        let params = json!({ "name": forgery, "arguments": { forgery: forgery, "fail": forgery }, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } });
        let body = json!({ "jsonrpc": "2.0", "id": forgery, "method": "tools/call", "params": params });
        let modern = house
            .request("POST", "/mcp/behind")
            .bearer(token)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", &sentinel)
            .json(&body);
        assert_eq!(modern.send().await?.status, 200, "{forgery:?}");
        for (method, member) in
            [("tools/call", "name"), ("resources/read", "uri"), ("prompts/get", "name"), ("tasks/get", "taskId")]
        {
            let message = json!({ "jsonrpc": "2.0", "id": forgery, "method": method, "params": { member: forgery } });
            house.legacy("behind", token, &session, &message).send().await?;
        }
        let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": forgery, "params": {} });
        house.legacy("behind", token, &session, &unknown).send().await?;
        // Names of people and clients, states, headers.
        Browser::new(&house.authority).sign_in(forgery, forgery).await?;
        let body = json!({ "client_name": forgery, "redirect_uris": ["http://127.0.0.1:9/callback"], "software_id": forgery,
            "token_endpoint_auth_method": "none", "scope": forgery });
        house.request("POST", "/oauth/register").json(&body).send().await?;
        if let Ok(client) = Client::register(&house.authority, forgery).await {
            let mut parameters = client.parameters("behind");
            parameters.retain(|(name, _)| name != "state");
            parameters.push(("state".into(), forgery.into()));
            let mut browser = Browser::new(&house.authority);
            drop(browser.authorize(&authorize_target(&parameters), ALICE, "deny").await);
            client.token(&[("grant_type", forgery), ("client_id", &client.id), ("refresh_token", forgery)]).await?;
        }
        for id in [forgery, "https://client.example/\u{1b}[31m\nforged"] {
            house
                .request("POST", "/oauth/token")
                .form(&[("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", id)])
                .send()
                .await?;
        }
        let visible: String = forgery.chars().filter(|c| ('\u{20}'..='\u{7e}').contains(c)).collect();
        let spoken = house
            .call("behind", token, "echo", json!({}))
            .header("user-agent", &visible)
            .header("x-forwarded-for", &visible);
        assert_eq!(spoken.send().await?.status, 200);
    }
    let lines = house.journal().await?;
    assert!(lines.len() > 100, "{}", lines.len());
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["seq"], at + 1, "{line}");
        let kind = line["event"].as_str().unwrap_or_default();
        assert!(!kind.contains("forged") && kind.contains('.') || kind == "checkpoint" || kind == "signout", "{line}");
    }
    assert!(
        lines.iter().any(|line| line["name"].as_str().is_some_and(|name| name.contains("forged"))),
        "no name was recorded"
    );
    let raw = fs::read_to_string(&segments(house.data())?[0])?;
    let hidden = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}".contains(c);
    if let Some(line) = raw.lines().find(|line| line.chars().any(hidden)) {
        panic!("{line:?}");
    }
    let report = proof(house.data())?;
    assert!(report.holds(), "{:?}", report.fault);
    house.stop().await
}

/// Secrets in the clothes in which programs hand them to tools, and what no line of the record may hold of them.
fn canaries() -> (Value, Vec<String>) {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let wrapped = STANDARD.encode("Authorization: Bearer canary-wrapped");
    let basic = STANDARD.encode("alice:canary-basic-pair");
    let inner = json!({ "client_secret": "canary-in-json" }).to_string();
    let twice = json!({ "body": inner }).to_string();
    let given = json!({
        "path": "/tmp/report.txt",
        "config": { "db": [{ "user": "app", "password": "canary-by-name" }], "apiKey": ["canary-in-a-list"] },
        "headers": { "Authorization": "Bearer canary-bearer", "Cookie": "sid=canary-cookie", "X-Note": "as Bearer canary-loose" },
        "url": "https://bob:canary-userinfo@db.example/x?access_token=canary-query&page=2",
        "cmd": "login --token canary-option --password=canary-assigned -v",
        "env": "DB_PASSWORD=canary-in-env",
        "json": inner,
        "twice": twice,
        "known": [format!("key {token} of the build"), "AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-canaryslack"],
        "jwt": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
        "pem": "-----BEGIN PRIVATE KEY-----\nMIIcanarypem\n-----END PRIVATE KEY-----",
        "wrapped": wrapped,
        "basic": format!("Basic {basic}"),
    });
    let own = ["canary", "Y2FuYXJ5", "IOSFODNN7"].map(str::to_owned);
    (given, own.into_iter().chain([token.to_owned(), wrapped, basic]).collect())
}

// spec: T-99
#[tokio::test(flavor = "multi_thread")]
async fn t99_no_secret_of_a_call_or_its_result_is_in_the_record() -> Result<()> {
    let (given, forbidden) = canaries();
    let returned = given.clone();
    let behind = Behind::with(move |seen| {
        let result = json!({ "resultType": "complete", "structuredContent": returned,
            "content": [{ "type": "text", "text": returned.to_string() }, { "type": "text", "text": "done: report" }] });
        (seen.rpc() == "tools/call").then(|| Reply::Json(200, seen.result(result)))
    })
    .await?;
    let house = TestGateway::with("audit: { arguments: redacted, results: redacted }").await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let token = tokens.access.as_str();
    let session = house.session("behind", token).await?;
    let call = house.call("behind", token, "store", given.clone());
    let call = call.header("x-api-key", "canary-header").header("cookie", "sid=canary-request-cookie");
    assert!(call.send().await?.text().contains("canary-by-name"), "the call itself is as it was");
    let old =
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "store", "arguments": given } });
    house.legacy("behind", token, &session, &old).send().await?;
    let uri = json!({ "uri": "https://bob:canary-uri@db.example/doc?sig=x&token=canary-uri-token" });
    house.modern("behind", token, 3, "resources/read", uri).send().await?;
    house.request("GET", "/mcp/behind?access_token=canary-in-address").bearer("canary-bad-token").send().await?;
    let ended: Vec<_> = house.events("call.ended").await?;
    let kept = ended.iter().filter(|line| line["details"]["result"]["structuredContent"]["path"] == "/tmp/report.txt");
    assert_eq!(kept.count(), 2, "{ended:#?}");
    let decided = house.events("call.decided").await?;
    assert!(
        decided.iter().any(|line| line["details"]["arguments"]["config"]["db"][0]["user"] == "app"),
        "{decided:#?}"
    );
    let raw: String = segments(house.data())?.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    for secret in &forbidden {
        let line = raw.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "{secret} is in {}", line.unwrap_or_default());
    }
    house.stop().await
}

// spec: T-99
#[tokio::test(flavor = "multi_thread")]
async fn t99_how_much_is_kept_is_said_by_server_and_what_rules_mask_is_kept_by_none() -> Result<()> {
    let behind = Behind::with(|seen| {
        let result = json!({ "resultType": "complete", "structuredContent": { "iban": "DE-canary", "n": 1 },
            "content": [{ "type": "text", "text": "for the pin 1234" }] });
        (seen.rpc() == "tools/call").then(|| Reply::Json(200, seen.result(result)))
    })
    .await?;
    let rules = "rules: [{ rule: masked, who: '*', what: [whole, part, digest, off], redact: [args.card, result.structuredContent.iban] }]";
    let house = TestGateway::with(rules).await?;
    for how in ["full", "redacted", "digest", "off"] {
        let name = if how == "full" {
            "whole"
        } else if how == "redacted" {
            "part"
        } else {
            how
        };
        let url = format!("http://{}/mcp", behind.at);
        house.protect_as(json!({ "name": name, "url": url, "audit": { "arguments": how, "results": how } })).await?;
    }
    let arguments = json!({ "card": "card-canary", "pin": "1234", "note": "x" });
    for (name, argument, result) in [
        ("whole", json!("1234"), json!(1)),
        ("part", json!("[masked]"), json!(1)),
        ("digest", Value::Null, Value::Null),
        ("off", Value::Null, Value::Null),
    ] {
        let (_, tokens) = house.client(name, ALICE).await?;
        house.call(name, &tokens.access, "pay", arguments.clone()).send().await?;
        let last =
            async |kind: &str| anyhow::Ok(house.events(kind).await?.pop().context("an event")?["details"].clone());
        let (decided, ended) = (last("call.decided").await?, last("call.ended").await?);
        assert_eq!((&decided["arguments"]["pin"], &ended["result"]["structuredContent"]["n"]), (&argument, &result));
        let digests = ["whole", "digest"].contains(&name);
        for (details, key) in [(&decided, "arguments_digest"), (&ended, "result_digest")] {
            let text = details[key].as_str().unwrap_or_default();
            assert_eq!(text.starts_with("sha256:"), digests, "{name}: {details}");
        }
    }
    let raw: String = segments(house.data())?.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    assert!(!raw.contains("card-canary") && !raw.contains("DE-canary"));
    house.stop().await
}

// spec: T-98
#[tokio::test(flavor = "multi_thread")]
async fn t98_the_decision_is_in_the_journal_before_the_server_hears_of_the_call() -> Result<()> {
    let house = TestGateway::start().await?;
    let data = house.data().to_owned();
    let found = Arc::new(AtomicUsize::new(0));
    let counted = found.clone();
    let behind = Behind::with(move |seen| {
        let name = seen.body["params"]["name"].as_str().or(seen.body["params"]["uri"].as_str())?;
        let text: String = segments(&data).ok()?.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        let decided = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .any(|line| line["event"] == "call.decided" && line["name"] == name && line["effect"] == "allow");
        counted.fetch_add(usize::from(decided), Ordering::Relaxed);
        None
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &tokens.access).await?;
    for n in 0..20 {
        let name = format!("tool-{n}");
        let message = json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call", "params": { "name": format!("old-{n}"), "arguments": {} } });
        house.call("behind", &tokens.access, &name, json!({})).send().await?;
        house.legacy("behind", &tokens.access, &session, &message).send().await?;
        house
            .modern("behind", &tokens.access, n, "resources/read", json!({ "uri": format!("file:///{n}") }))
            .send()
            .await?;
    }
    assert_eq!(found.load(Ordering::Relaxed), 60, "a server was called before the decision was written");
    // Every decided call has its end, and the end names the call.
    let lines = house.journal().await?;
    let calls = |kind: &str| {
        let mut all: Vec<_> =
            lines.iter().filter(|line| line["event"] == kind).filter_map(|line| line["call"].as_str()).collect();
        all.sort_unstable();
        all
    };
    assert!(calls("call.decided").len() >= 60);
    assert_eq!(calls("call.decided"), calls("call.ended"));
    house.stop().await
}

// spec: T-98
#[tokio::test(flavor = "multi_thread")]
async fn t98_one_changed_byte_is_found() -> Result<()> {
    let house = TestGateway::start().await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    for n in 0..10 {
        house.call("sample", &tokens.access, "echo", json!({ "message": n.to_string() })).send().await?;
    }
    house.app.journal.stop().await?;
    let data = house.data().to_owned();
    assert!(proof(&data)?.holds());
    let file = segments(&data)?.remove(0);
    let whole = fs::read(&file)?;
    for at in (0..whole.len()).step_by(whole.len() / 60 + 1) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&file, &changed)?;
        assert!(!proof(&data)?.holds(), "a change at byte {at} was not found");
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let third = lines.len() / 3;
    let mut without = lines.clone();
    without.remove(third);
    let mut swapped = lines.clone();
    swapped.swap(third, third + 1);
    let mut doubled = lines.clone();
    doubled.insert(third, lines[third]);
    let beheaded = lines[1..].to_vec();
    for (name, lines) in [("removed", without), ("swapped", swapped), ("doubled", doubled), ("beheaded", beheaded)] {
        fs::write(&file, lines.concat())?;
        let report = proof(&data)?;
        // A journal may begin later, when older segments were taken away; that is told, not hidden.
        assert!(!report.holds() || report.first_seq > 1, "{name} was not found");
    }
    fs::write(&file, &whole)?;
    assert!(proof(&data)?.holds());
    drop(house);
    Ok(())
}

fn node(data: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(data.join("journal"))?;
    entries.flatten().map(|entry| entry.path()).find(|path| path.is_dir()).context("a journal")
}

fn segments(data: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<_> = fs::read_dir(node(data)?)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    found.sort();
    Ok(found)
}

fn proof(data: &Path) -> Result<Report> {
    let node = node(data)?;
    let name = node.file_name().context("a name")?.to_string_lossy().into_owned();
    let keys = PublicKeys::parse(&fs::read(node.with_file_name(format!("{name}.pub.json")))?)
        .map_err(|error| anyhow!("{error}"))?;
    let readers = segments(data)?.into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, fs::File::open(path).map(BufReader::new))
    });
    Ok(verify(readers, &keys, None))
}
