//! What is read is what is decided on, and what is decided on is what is forwarded.

use std::time::{Duration, Instant};

use anyhow::Result;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::{Answer, Request, send_raw},
};
use serde_json::{Value, json};

use crate::behind::{Behind, Reply};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A house with one server, its token, and a session.
struct Stage {
    house: TestGateway,
    behind: Behind,
    token: String,
    session: String,
}

impl Stage {
    async fn set() -> Result<Self> {
        Self::set_with("").await
    }

    async fn set_with(settings: &str) -> Result<Self> {
        let house = TestGateway::with(settings).await?;
        let behind = Behind::start().await?;
        house.protect("behind", behind.at).await?;
        let (_, tokens) = house.client("behind", ALICE).await?;
        let session = house.session("behind", &tokens.access).await?;
        // The server's tools are known from here on.
        assert_eq!(house.call("behind", &tokens.access, "echo", json!({})).send().await?.status, 200);
        Ok(Self { house, behind, token: tokens.access, session })
    }

    /// A modern tool call with these headers and this body.
    fn post(&self, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Request {
        let request = self
            .house
            .request("POST", "/mcp/behind")
            .bearer(&self.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).body(body)
    }

    /// A modern call of `echo` whose body is the test's own.
    fn modern(&self, body: impl Into<Vec<u8>>) -> Request {
        self.post(&[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")], body)
    }

    /// A message in the session.
    fn legacy(&self, body: impl Into<Vec<u8>>) -> Request {
        self.post(&[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", &self.session)], body)
    }

    fn forwarded(&self) -> usize {
        self.behind.seen().len()
    }

    fn last(&self) -> String {
        self.behind.seen().last().map(crate::behind::Seen::text).unwrap_or_default()
    }
}

fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params},{META}}}}}"#)
}

/// The same without what makes it a stateless request.
fn plain(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params}}}}}"#)
}

fn code(answer: &Answer) -> (u16, i64) {
    (answer.status, answer.json()["error"]["code"].as_i64().unwrap_or_default())
}

// spec: T-56
#[tokio::test(flavor = "multi_thread")]
async fn t56_headers_that_differ_from_the_body_are_refused() -> Result<()> {
    let stage = Stage::set().await?;
    let body = call(r#""name":"echo","arguments":{}"#);
    let good: [(&str, &str); 3] =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let without = |name: &str| good.into_iter().filter(|(header, _)| *header != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| [without(name), vec![(name, value)]].concat();
    let and = |name: &'static str, value: &'static str| [good.to_vec(), vec![(name, value)]].concat();
    let table = [
        ("another method", with("mcp-method", "tools/list")),
        ("another case", with("mcp-method", "Tools/Call")),
        ("no method", without("mcp-method")),
        ("empty method", with("mcp-method", "")),
        ("method twice", and("mcp-method", "tools/call")),
        ("two methods", and("mcp-method", "tools/list")),
        ("two methods in one", with("mcp-method", "tools/call, tools/list")),
        ("coded method", with("mcp-method", "=?base64?dG9vbHMvY2FsbA==?=")),
        ("another name", with("mcp-name", "delete_everything")),
        ("another case of the name", with("mcp-name", "Echo")),
        ("no name", without("mcp-name")),
        ("empty name", with("mcp-name", "")),
        ("name twice", and("mcp-name", "echo")),
        ("two names", and("mcp-name", "safe")),
        ("coded other name", with("mcp-name", "=?base64?c2FmZQ==?=")),
        ("coded name with a line", with("mcp-name", "=?base64?ZWNobw0K?=")),
        ("name coded twice", with("mcp-name", "=?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=")),
        ("broken code", with("mcp-name", "=?base64?ZWNo*w==?=")),
        ("no version", without("mcp-protocol-version")),
        ("another version", with("mcp-protocol-version", "2025-11-25")),
        ("a version to come", with("mcp-protocol-version", "2027-01-01")),
        ("version twice", and("mcp-protocol-version", "2025-11-25")),
    ];
    let before = stage.forwarded();
    for (name, headers) in table {
        let answer = stage.post(&headers, body.clone()).send().await?;
        assert_eq!(code(&answer), (400, -32020), "{name}: {}", answer.text());
        assert_eq!(answer.json()["id"], 1, "{name}");
    }
    // The other way round: harmless headers, another body.
    let smuggled = call(r#""name":"delete_everything","arguments":{}"#);
    assert_eq!(code(&stage.modern(smuggled).send().await?), (400, -32020));
    let listing = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
    assert_eq!(code(&stage.modern(listing).send().await?), (400, -32020));
    assert_eq!(stage.forwarded(), before, "a smuggled call was forwarded");
    let answer = stage.post(&good, body.clone()).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let coded = with("mcp-name", "=?base64?ZWNobw==?=");
    assert_eq!(stage.post(&coded, body).send().await?.status, 200);
    assert!(stage.last().contains("mcp-name: echo\r\n"), "the client's copy was forwarded: {}", stage.last());
    stage.house.stop().await
}

// spec: T-56
#[tokio::test(flavor = "multi_thread")]
async fn t56_headers_for_parameters_are_checked_and_made_anew() -> Result<()> {
    let stage = Stage::set().await?;
    let headers = |more: &[(&'static str, &'static str)]| {
        let base = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "regional")];
        [&base[..], more].concat()
    };
    let body = call(r#""name":"regional","arguments":{"region":"eu"}"#);
    let before = stage.forwarded();
    let wrong: [&[(&str, &str)]; 5] = [
        &[],
        &[("mcp-param-region", "us")],
        &[("mcp-param-region", "eu"), ("mcp-param-region", "us")],
        &[("Mcp-Param-Region", "EU")],
        &[("mcp-param-region", "=?base64?dXM=?=")],
    ];
    for more in wrong {
        let answer = stage.post(&headers(more), body.clone()).send().await?;
        assert_eq!(code(&answer), (400, -32020), "{more:?}: {}", answer.text());
    }
    let absent = call(r#""name":"regional","arguments":{}"#);
    let answer = stage.post(&headers(&[("mcp-param-region", "eu")]), absent).send().await?;
    assert_eq!(code(&answer), (400, -32020), "{}", answer.text());
    assert_eq!(stage.forwarded(), before, "a call with foreign headers was forwarded");
    // What nobody declared stays here; what was declared is written by us, whatever it holds.
    let hostile = call(r#""name":"regional","arguments":{"region":"eu\r\nx-evil: 1"}"#);
    let more = [("mcp-param-region", "=?base64?ZXUNCngtZXZpbDogMQ==?="), ("mcp-param-admin", "yes")];
    let answer = stage.post(&headers(&more), hostile).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = stage.behind.seen().pop().map(|seen| seen.headers).unwrap_or_default();
    assert!(seen.iter().all(|(name, _)| name != "x-evil" && name != "mcp-param-admin"), "{seen:?}");
    assert!(seen.contains(&("mcp-param-region".into(), "=?base64?ZXUNCngtZXZpbDogMQ==?=".into())), "{seen:?}");
    stage.house.stop().await
}

/// Bodies that two readers might read differently, each around a call that would be good.
fn differential() -> Vec<(&'static str, Vec<u8>)> {
    let good = call(r#""name":"echo","arguments":{}"#);
    let params = |text: &str| call(text).into_bytes();
    let outer = |text: &str| good.replacen('{', &format!("{{{text},"), 1).into_bytes();
    let args = |text: &str| call(&format!(r#""name":"echo","arguments":{text}"#)).into_bytes();
    let mut all: Vec<(&'static str, Vec<u8>)> = vec![
        ("name twice", params(r#""name":"echo","name":"delete_db","arguments":{}"#)),
        ("name twice, escaped", params(r#""name":"echo","n\u0061me":"delete_db","arguments":{}"#)),
        ("arguments twice", params(r#""name":"echo","arguments":{},"arguments":{"x":1}"#)),
        ("method twice", outer(r#""method":"tools/list""#)),
        ("id twice", outer(r#""id":2"#)),
        ("params twice", outer(r#""params":{}"#)),
        ("jsonrpc twice", outer(r#""jsonrpc":"1.0""#)),
        ("member twice, deep", args(r#"{"a":[{"b":{"c":1,"c":2}}]}"#)),
        ("member twice, empty name", args(r#"{"":1,"":2}"#)),
        ("meta twice", params(&format!(r#""name":"echo","arguments":{{}},{META}"#))),
        ("lone high surrogate", args(r#"{"a":"\ud800"}"#)),
        ("lone low surrogate", args(r#"{"a":"\udc00x"}"#)),
        ("surrogates swapped", args(r#"{"a":"\udc00\ud800"}"#)),
        ("lone surrogate in a name", args(r#"{"\ud800":1}"#)),
        ("not a number", args(r#"{"a":NaN}"#)),
        ("infinity", args(r#"{"a":Infinity}"#)),
        ("beyond numbers", args(r#"{"a":1e400}"#)),
        ("beyond numbers, below", args(r#"{"a":-1e999}"#)),
        ("leading zero", args(r#"{"a":01}"#)),
        ("leading plus", args(r#"{"a":+1}"#)),
        ("hexadecimal", args(r#"{"a":0x10}"#)),
        ("no digit after the point", args(r#"{"a":1.}"#)),
        ("trailing comma", args(r#"{"a":1,}"#)),
        ("comment", args(r#"{"a":1/* x */}"#)),
        ("single quotes", args("{'a':1}")),
        ("bare name", args("{a:1}")),
        ("line in a string", args("{\"a\":\"x\ny\"}")),
        ("zero byte in a string", args("{\"a\":\"x\0y\"}")),
        ("wrong escape", args(r#"{"a":"\x41"}"#)),
        ("trailing object", format!("{good}{good}").into_bytes()),
        ("trailing word", format!("{good} x").into_bytes()),
        ("trailing zero byte", format!("{good}\0").into_bytes()),
        ("two lines", format!("{good}\n{good}").into_bytes()),
        ("byte order mark", format!("\u{feff}{good}").into_bytes()),
        ("cut off", good.as_bytes()[..good.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("blanks", b"  \n ".to_vec()),
        ("form feed", format!("\u{c}{good}").into_bytes()),
        ("not UTF-8", [&good.as_bytes()[..good.len() - 2], b"\xff}}"].concat()),
    ];
    all.push((
        "overlong UTF-8",
        args("{\"a\":\"X\"}").into_iter().flat_map(|b| if b == b'X' { vec![0xc0, 0xaf] } else { vec![b] }).collect(),
    ));
    all.push((
        "surrogate in UTF-8",
        args("{\"a\":\"X\"}")
            .into_iter()
            .flat_map(|b| if b == b'X' { vec![0xed, 0xa0, 0x80] } else { vec![b] })
            .collect(),
    ));
    all.push(("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()));
    all
}

// spec: T-57
#[tokio::test(flavor = "multi_thread")]
async fn t57_a_body_that_could_be_read_in_two_ways_is_not_read_at_all() -> Result<()> {
    let stage = Stage::set().await?;
    let before = stage.forwarded();
    for (name, body) in differential() {
        for request in [stage.modern(body.clone()), stage.legacy(body)] {
            let answer = request.send().await?;
            assert_eq!(code(&answer), (400, -32700), "{name}: {}", answer.text());
        }
    }
    // Names that a reader who folds case takes for known ones; the long s and the Kelvin sign fold too.
    let disguised = [
        call(r#""Name":"delete_db","arguments":{}"#),
        call(r#""name":"echo","Name":"delete_db","arguments":{}"#),
        call(r#""name":"echo","NAME":"delete_db","arguments":{}"#),
        call(r#""name":"echo","argumentſ":{"x":1},"arguments":{}"#),
        call(r#""name":"echo","Arguments":{"x":1}"#),
        call(r#""name":"echo"},"Params":{"name":"delete_db""#),
        call(r#""name":"echo"},"METHOD":"tools/list","x":{"y":1"#),
        call(r#""name":"echo"},"paramſ":{"name":"delete_db""#),
        call(r#""name":"echo"},"ID":{"y":1"#),
    ];
    for body in disguised {
        for request in [stage.modern(body.clone()), stage.legacy(body.clone())] {
            let (status, code) = code(&request.send().await?);
            assert!([-32600, -32602].contains(&code) && [200, 400].contains(&status), "{body}: {status} {code}");
        }
    }
    assert_eq!(stage.forwarded(), before, "something ambiguous was forwarded");
    // What is unusual but has one reading arrives with every digit as it was sent.
    let arguments =
        r#"{"big":123456789012345678901234567890, "small":1.10e-5 ,"text":"\u00e9\/\ud83d\ude00","K":1,"k":2,"":null}"#;
    let part = format!(r#""name":"echo","arguments":{arguments}"#);
    for request in [stage.modern(call(&part)), stage.legacy(plain(&part))] {
        let answer = request.send().await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(stage.last().contains(arguments), "{}", stage.last());
    }
    stage.house.stop().await
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

// spec: T-58
#[tokio::test(flavor = "multi_thread")]
async fn t58_deep_and_large_bodies_end_before_they_cost_anything() -> Result<()> {
    let stage = Stage::set().await?;
    let args = |text: &str| call(&format!(r#""name":"echo","arguments":{{"a":{text}}}"#));
    let before = stage.forwarded();
    let started = Instant::now();
    let many = |n: usize| format!("[{}0]", "0,".repeat(n - 1));
    for (name, text) in [
        ("a little too deep", nested(64)),
        ("100,000 deep", nested(100_000)),
        ("a million deep, open", "[".repeat(1_000_000)),
        ("objects, deep", format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000))),
        ("too many values", many(100_001)),
        ("two million values", many(2_000_000 - 200)),
        (
            "too many members",
            format!("{{{}\"x\":0}}", (0..100_001).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",") + ","),
        ),
    ] {
        for request in [stage.modern(args(&text)), stage.legacy(args(&text))] {
            let answer = request.send().await?;
            assert_eq!(code(&answer), (400, -32700), "{name}: {}", answer.text());
        }
    }
    // Told by the announced length, without reading; and by counting where no length is announced.
    let head = |length: &str| {
        format!(
            "POST /mcp/behind HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
            stage.house.authority, stage.token
        )
    };
    let hundred = 100 << 20;
    for length in [hundred, (4 << 20) + 1] {
        let answer = send_raw(&stage.house.authority, head(&format!("content-length: {length}")).as_bytes()).await?;
        assert_eq!(answer.status, 413, "{length}");
    }
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let chunked = format!("{}{}", head("transfer-encoding: chunked"), chunk.repeat(5));
    assert_eq!(send_raw(&stage.house.authority, chunked.as_bytes()).await?.status, 413);
    for path in ["/oauth/token", "/oauth/register", "/oauth/revoke", "/login", "/oauth/authorize"] {
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {hundred}\r\n\r\n",
            stage.house.authority
        );
        let answer =
            send_raw(&stage.house.authority, &[text.as_bytes(), "x".repeat(100_000).as_bytes()].concat()).await?;
        assert!([400, 403, 413].contains(&answer.status), "{path}: {}", answer.text());
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // A name that policy would have to read is no place for megabytes.
    let name = "x".repeat(2 << 20);
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{{}}}}}}"#);
    assert_eq!(code(&stage.legacy(body).send().await?).1, -32602);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}","params":{{}}}}"#);
    assert_eq!(code(&stage.legacy(body).send().await?).1, -32600);
    assert_eq!(stage.forwarded(), before, "something too large was forwarded");
    // What is within bounds passes: a large text, the allowed depth, many values.
    let large = "x".repeat((4 << 20) - 1000);
    for text in [format!("\"{large}\""), nested(50), many(90_000)] {
        let body = plain(&format!(r#""name":"echo","arguments":{{"a":{text}}}"#));
        let answer = stage.legacy(body).send().await?;
        assert_eq!(answer.status, 200, "{}", &answer.text()[..200.min(answer.text().len())]);
    }
    stage.house.stop().await
}

// spec: T-59
#[tokio::test(flavor = "multi_thread")]
async fn t59_arrays_are_refused_where_the_revision_has_none() -> Result<()> {
    let stage = Stage::set().await?;
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let modern = call(r#""name":"echo","arguments":{}"#);
    let mut sessions = vec![("2025-11-25", stage.session.clone())];
    for version in ["2025-06-18", "2025-03-26"] {
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": version,
            "capabilities": {}, "clientInfo": { "name": "house", "version": "1" } } });
        let answer = stage.post(&[], body.to_string()).send().await?;
        assert_eq!(answer.json()["result"]["protocolVersion"], version, "{}", answer.text());
        sessions.push((version, answer.header("mcp-session-id").unwrap_or_default().to_owned()));
    }
    let before = stage.forwarded();
    let broken = |one: &str| {
        vec![
            format!("[{one},{one}]"),
            "[]".to_owned(),
            format!("[[{one}]]"),
            "[1]".to_owned(),
            format!(r#"[{one},{{"jsonrpc":"2.0","id":9,"method":"initialize","params":{{}}}}]"#),
            format!(r#"[{one},{{"jsonrpc":"2.0","id":9,"result":{{}}}}]"#),
            format!("[{modern}]"),
        ]
    };
    let whole = |one: &str| {
        vec![
            format!("[{one}]"),
            format!(" \n[{one}]"),
            format!(r#"[{{"jsonrpc":"2.0","method":"notifications/initialized"}},{one}]"#),
        ]
    };
    let batches = |one: &str| [broken(one), whole(one)].concat();
    for body in batches(&modern) {
        assert_eq!(code(&stage.modern(body.clone()).send().await?), (400, -32600), "{body}");
    }
    for (version, session) in &sessions {
        // The one revision that has batches: what is no batch there is none either.
        for body in if *version == "2025-03-26" { broken(one) } else { batches(one) } {
            let headers = [("mcp-protocol-version", *version), ("mcp-session-id", session.as_str())];
            let answer = stage.post(&headers, body.clone()).send().await?;
            assert_eq!(code(&answer), (400, -32600), "{version}: {body}");
        }
    }
    assert_eq!(stage.forwarded(), before, "a batch was forwarded");
    // A header of another revision opens no other door.
    let oldest = sessions.last().map(|(_, session)| session.as_str()).unwrap_or_default();
    for version in ["2025-06-18", "2026-07-28", "2024-11-05"] {
        let headers = [("mcp-protocol-version", version), ("mcp-session-id", oldest)];
        assert_eq!(code(&stage.post(&headers, format!("[{one}]")).send().await?), (400, -32600), "{version}");
    }
    assert_eq!(stage.forwarded(), before, "a batch was forwarded");
    for (version, session) in &sessions {
        let headers = [("mcp-protocol-version", *version), ("mcp-session-id", session.as_str())];
        assert_eq!(stage.post(&headers, one).send().await?.status, 200, "{version}");
    }
    stage.house.stop().await
}

// spec: T-60
#[tokio::test(flavor = "multi_thread")]
async fn t60_what_cannot_be_understood_is_denied() -> Result<()> {
    let stage = Stage::set().await?;
    let before = stage.forwarded();
    let message = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    for params in ["[]", r#"["echo"]"#, "null", "7", "\"echo\"", "true"] {
        for request in [stage.modern(message(params)), stage.legacy(message(params))] {
            let (status, code) = code(&request.send().await?);
            assert!(code == -32602 && [200, 400].contains(&status), "{params}: {status} {code}");
        }
    }
    for part in [
        r#""name":"echo","arguments":"x""#,
        r#""name":"echo","arguments":[]"#,
        r#""name":"echo","arguments":1"#,
        r#""name":"echo","arguments":true"#,
        r#""name":7,"arguments":{}"#,
        r#""name":null,"arguments":{}"#,
        r#""name":["echo"],"arguments":{}"#,
        r#""name":{"x":"echo"},"arguments":{}"#,
        r#""arguments":{}"#,
    ] {
        for request in [stage.modern(call(part)), stage.legacy(call(part))] {
            let (status, code) = code(&request.send().await?);
            assert!([-32602, -32020].contains(&code) && [200, 400].contains(&status), "{part}: {status} {code}");
        }
    }
    for (body, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":7,"params":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"","params":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"params":{}}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#, -32600),
        (r#"{"id":1,"method":"tools/call","params":{"name":"echo"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"echo"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"echo"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"echo"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo","arguments":{}}}"#, -32600),
        (r#""tools/call""#, -32600),
        ("17", -32600),
        ("null", -32600),
    ] {
        for request in [stage.modern(body), stage.legacy(body)] {
            let (status, code) = code(&request.send().await?);
            assert!(code == expected && status == 400, "{body}: {status} {code}");
        }
    }
    for media in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json, text/plain"]
    {
        let request = stage.house.request("POST", "/mcp/behind").bearer(&stage.token).header("content-type", media);
        assert_eq!(request.body(call(r#""name":"echo""#)).send().await?.status, 415, "{media}");
    }
    assert_eq!(stage.forwarded(), before, "something not understood was forwarded");
    assert_eq!(stage.modern(call(r#""name":"echo","arguments":{}"#)).send().await?.status, 200);
    stage.house.stop().await
}

// spec: T-60
#[tokio::test(flavor = "multi_thread")]
async fn t60_a_rule_that_cannot_be_judged_allows_nothing() -> Result<()> {
    let stage = Stage::set_with(
        "rules:\n  - rule: not-into-etc\n    who: ['*']\n    what: [behind/read]\n    when: args.path.startsWith('/etc')\n    then: deny\n",
    )
    .await?;
    let ask = |arguments: &str| {
        let body = call(&format!(r#""name":"read","arguments":{arguments}"#));
        stage.post(&[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "read")], body)
    };
    let before = stage.behind.calls("tools/call").len();
    for arguments in [
        r#"{"path":"/etc/shadow"}"#,
        "{}",
        r#"{"path":7}"#,
        r#"{"path":null}"#,
        r#"{"path":["/etc/shadow"]}"#,
        r#"{"Path":"/etc"}"#,
    ] {
        let answer = ask(arguments).send().await?;
        assert_eq!(code(&answer), (200, -32602), "{arguments}: {}", answer.text());
    }
    assert_eq!(stage.behind.calls("tools/call").len(), before, "a call that no rule could judge was forwarded");
    let answer = ask(r#"{"path":"/tmp/x"}"#).send().await?;
    assert!(answer.status == 200 && answer.text().contains("/tmp/x"), "{}", answer.text());
    stage.house.stop().await
}

/// Ten kilobytes that claim to be more: a gzip member of zeros, as short as a bomb is.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7Om\x0e7\xa0\x00";

// spec: T-61
#[tokio::test(flavor = "multi_thread")]
async fn t61_encoded_requests_are_refused_and_never_unpacked() -> Result<()> {
    let stage = Stage::set().await?;
    let before = stage.forwarded();
    for encoding in
        ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "identity, gzip", "dcb"]
    {
        for request in [stage.modern(GZIP), stage.legacy(GZIP), stage.modern(call(r#""name":"echo","arguments":{}"#))] {
            assert_eq!(request.header("content-encoding", encoding).send().await?.status, 415, "{encoding}");
        }
    }
    let twice = stage.modern(GZIP).header("content-encoding", "identity").header("content-encoding", "gzip");
    assert_eq!(twice.send().await?.status, 415);
    for (path, media) in
        [("/oauth/register", "application/json"), ("/oauth/token", "application/x-www-form-urlencoded")]
    {
        let request =
            stage.house.request("POST", path).header("content-type", media).header("content-encoding", "gzip");
        let answer = request.body(GZIP).send().await?;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    let chunked = format!(
        "POST /mcp/behind HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        stage.house.authority, stage.token
    );
    let answer = send_raw(&stage.house.authority, &[chunked.as_bytes(), b"5\r\nhello\r\n0\r\n\r\n"].concat()).await?;
    assert!((400..600).contains(&answer.status), "{}", answer.status);
    assert_eq!(stage.forwarded(), before, "something encoded was forwarded");
    let plain = stage.modern(call(r#""name":"echo","arguments":{}"#)).header("content-encoding", "identity");
    assert_eq!(plain.send().await?.status, 200);
    stage.house.stop().await
}

// spec: T-61
#[tokio::test(flavor = "multi_thread")]
async fn t61_encoded_answers_of_a_server_are_not_passed_on() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::with(|seen| {
        let text = seen.body["params"]["arguments"]["text"].as_str()?;
        let (media, encoding) = text.split_once(' ')?;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            GZIP.len()
        );
        Some(Reply::Raw([head.as_bytes(), GZIP].concat()))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &tokens.access).await?;
    for media in ["application/json", "text/event-stream"] {
        for encoding in ["gzip", "br", "zstd", "gzip, gzip"] {
            let arguments = json!({ "text": format!("{media} {encoding}") });
            let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "echo", "arguments": arguments } });
            for request in [
                house.call("behind", &tokens.access, "echo", arguments),
                house.legacy("behind", &tokens.access, &session, &message),
            ] {
                let answer = request.send().await?;
                assert_eq!(code(&answer), (502, -32603), "{media} {encoding}: {}", answer.text());
                assert_eq!(answer.header("content-encoding"), None);
            }
        }
    }
    assert!(behind.seen().iter().all(|seen| seen.header("accept-encoding") == Some("identity")));
    let plain = house.call("behind", &tokens.access, "echo", json!({ "text": "plain" })).send().await?;
    assert!(plain.status == 200 && plain.text().contains("plain"), "{}", plain.text());
    house.stop().await
}

// spec: T-69
#[tokio::test(flavor = "multi_thread")]
async fn t69_a_claimed_revision_changes_no_rule() -> Result<()> {
    let stage =
        Stage::set_with("rules:\n  - rule: nobody-echoes\n    who: ['*']\n    what: [behind/secret]\n    then: deny\n")
            .await?;
    let before = stage.forwarded();
    let meta = |version: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{}},"_meta":{{"io.modelcontextprotocol/protocolVersion":{version},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        )
    };
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#.to_owned();
    let named = [("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let session = stage.session.clone();
    // header, body, with the session, expected code
    let now = "\"2026-07-28\"";
    let table: [(Option<&str>, String, bool, &[i64]); 15] = [
        (Some("2025-11-25"), meta(now), false, &[-32020]),
        (Some("2025-11-25"), meta(now), true, &[-32020]),
        (None, meta(now), false, &[-32020]),
        (None, meta(now), true, &[-32020]),
        (Some("2026-07-28"), bare.clone(), false, &[-32602]),
        (Some("2026-07-28"), bare.clone(), true, &[-32602]),
        (Some("2026-07-28"), meta("\"2025-11-25\""), false, &[-32020]),
        (Some("2025-11-25"), meta("\"2025-11-25\""), true, &[-32022]),
        (Some("2024-11-05"), bare.clone(), true, &[-32022]),
        (Some("1999-01-01"), bare.clone(), true, &[-32022]),
        (Some("2026-07-28x"), bare.clone(), true, &[-32022]),
        (Some("9999-99-99"), meta("\"9999-99-99\""), false, &[-32022]),
        (Some("2026-07-28"), meta("20260728"), false, &[-32602]),
        (None, bare.clone(), false, &[-32600]),
        (Some("2025-03-26"), bare.clone(), false, &[-32600]),
    ];
    for (header, body, in_session, expected) in table {
        let mut headers = named.to_vec();
        headers.extend(header.map(|version| ("mcp-protocol-version", version)));
        if in_session {
            headers.push(("mcp-session-id", &session));
        }
        let answer = stage.post(&headers, body.clone()).send().await?;
        let (status, code) = code(&answer);
        assert!(
            status == 400 && expected.contains(&code),
            "{header:?} {in_session} {body}: {status} {}",
            answer.text()
        );
    }
    let open = |header: &str, version: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": version,
            "capabilities": {}, "clientInfo": { "name": "house", "version": "1" } } });
        stage.post(&[("mcp-protocol-version", header)], body.to_string())
    };
    assert_eq!(open("2025-06-18", "2025-11-25").send().await?.status, 400);
    assert_eq!(stage.forwarded(), before, "a request of two revisions was forwarded");

    // The same rule holds in every revision.
    let forbidden = call(r#""name":"secret","arguments":{}"#);
    let modern = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "secret")];
    let answer = stage.post(&modern, forbidden).send().await?;
    assert_eq!(code(&answer), (200, -32602), "{}", answer.text());
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let opened = open(version, version).send().await?;
        let session = opened.header("mcp-session-id").unwrap_or_default().to_owned();
        // spec: TR-87: another revision in the header does not change that of the session.
        for header in [Some(version), None, Some("2025-06-18")] {
            let mut headers = vec![("mcp-session-id", session.as_str())];
            headers.extend(header.map(|version| ("mcp-protocol-version", version)));
            let refused = stage.post(&headers, bare.replace("echo", "secret")).send().await?;
            assert_eq!(code(&refused).1, -32602, "{version}: {}", refused.text());
            let allowed = stage.post(&headers, bare.clone()).send().await?;
            assert_eq!(allowed.status, 200, "{version}: {}", allowed.text());
            assert_ne!(allowed.json()["result"], Value::Null);
        }
    }
    assert!(stage.behind.calls("tools/call").iter().all(|seen| !seen.text().contains("secret")));
    stage.house.stop().await
}
