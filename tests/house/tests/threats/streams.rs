//! Clients that are slow, servers that never stop: what each may cost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Stream,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::behind::{Behind, Reply, Seen, Then, soon};

/// All that comes on a connection until it is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all).await);
    String::from_utf8_lossy(&all).into_owned()
}

// spec: T-62
// On one thread, with a clock that is moved ahead whenever all wait: the gateway's own limits are played in full.
#[tokio::test]
async fn t62_who_is_slow_with_head_or_body_is_cut_off() -> Result<()> {
    let house = TestGateway::start().await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let call = house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).bytes();
    let mut heads = Vec::new();
    for end in [0, 1, 20, 60] {
        let mut stream = TcpStream::connect(&house.authority).await?;
        stream.write_all(&call[..end]).await?;
        heads.push(stream);
    }
    let mut bodies = Vec::new();
    for text in [
        call[..call.len() - 1].to_vec(),
        format!("POST /oauth/token HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 50\r\n\r\ngrant", house.authority).into_bytes(),
        format!("POST /oauth/register HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{{", house.authority).into_bytes(),
    ] {
        let mut stream = TcpStream::connect(&house.authority).await?;
        stream.write_all(&text).await?;
        bodies.push(stream);
    }
    // Meanwhile everybody else is served.
    let answer = house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
    assert_eq!(answer.status, 200);
    tokio::time::sleep(Duration::from_millis(50)).await;

    tokio::time::pause();
    let began = tokio::time::Instant::now();
    for stream in &mut heads {
        let answer = rest(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let heads = began.elapsed();
    assert!(heads <= Duration::from_secs(11), "heads were waited for {heads:?}");
    for stream in &mut bodies {
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let bodies = began.elapsed();
    assert!(bodies <= Duration::from_secs(61), "bodies were waited for {bodies:?}");
    tokio::time::resume();
    let answer = house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
    assert_eq!(answer.status, 200);
    house.stop().await
}

// spec: T-62
#[tokio::test]
async fn t62_connections_are_bounded_and_idle_ones_make_room() -> Result<()> {
    let house = TestGateway::with("limits: { connections: 40 }").await?;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(&house.authority).await?);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = house.request("GET", "/oauth/jwks");
    let refused = timeout(Duration::from_millis(300), late.stream()).await;
    assert!(refused.is_err(), "a full house let somebody in");
    let mut waiting = TcpStream::connect(&house.authority).await?;
    waiting.write_all(&late.bytes()).await?;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut head = [0; 15];
    waiting.read_exact(&mut head).await?;
    tokio::time::resume();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    assert!(began.elapsed() <= Duration::from_secs(12), "{:?}", began.elapsed());
    drop(idle);
    house.stop().await
}

fn listen(house: &TestGateway, token: &str) -> portcullis_house::http::Request {
    house.modern("behind", token, 1, "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }))
}

/// A server whose subscriptions stay open.
fn listening(seen: &Seen) -> Option<Reply> {
    let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
        "notifications": { "toolsListChanged": true },
        "_meta": { "io.modelcontextprotocol/subscriptionId": seen.body["id"] } } });
    (seen.rpc() == "subscriptions/listen").then(|| Reply::events(&[acknowledged], Then::Hang))
}

// spec: T-62
#[tokio::test(flavor = "multi_thread")]
async fn t62_a_person_has_only_so_many_streams_and_others_keep_theirs() -> Result<()> {
    let house = TestGateway::with("limits: { concurrent_calls: 20 }").await?;
    let behind = Behind::with(listening).await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let mut open: Vec<Stream> = Vec::new();
    for n in 0..20 {
        let mut stream = listen(&house, &alice.access).stream().await?;
        assert_eq!(stream.status, 200, "{n}");
        assert!(stream.event().await?.is_some());
        open.push(stream);
    }
    for _ in 0..5 {
        let answer = listen(&house, &alice.access).send().await?;
        assert_eq!(answer.status, 429, "{}", answer.text());
    }
    assert_eq!(house.call("behind", &bob.access, "echo", json!({})).send().await?.status, 200);
    let mut bobs = listen(&house, &bob.access).stream().await?;
    assert!(bobs.status == 200 && bobs.event().await?.is_some());
    // A stream that is given up makes room, as soon as it is noticed.
    open.pop();
    let freed = async {
        loop {
            let stream = listen(&house, &alice.access).stream().await?;
            if stream.status == 200 {
                return Ok::<_, anyhow::Error>(());
            }
            tokio::task::yield_now().await;
        }
    };
    soon(freed).await??;
    drop((open, bobs));
    house.stop().await
}

// spec: T-62
#[tokio::test(flavor = "multi_thread")]
async fn t62_who_does_not_read_stops_the_server_and_not_the_gateway() -> Result<()> {
    let house = TestGateway::start().await?;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let behind = Behind::with(move |seen| {
        if seen.body["params"]["name"] != "flood" {
            return None;
        }
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {
            "progressToken": seen.body["id"], "progress": 1, "message": "x".repeat(256 << 10) } });
        let piece = format!("data: {note}\n\n").into_bytes();
        let counted = counted.clone();
        let pieces = std::iter::repeat_with(move || {
            counted.fetch_add(piece.len(), Ordering::Relaxed);
            piece.clone()
        });
        Some(Reply::Events(Box::new(pieces), Then::Hang))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let params = json!({ "name": "flood", "arguments": {}, "_meta": {} });
    let bytes = house.modern("behind", &tokens.access, 1, "tools/call", params).bytes();
    let mut body: Value = serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next_back().unwrap_or_default())?;
    body["params"]["_meta"]["progressToken"] = json!("p");
    let request = house
        .request("POST", "/mcp/behind")
        .bearer(&tokens.access)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "flood")
        .json(&body);
    let mut unread = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(&house.authority).await?;
        stream.write_all(&request.bytes()).await?;
        unread.push(stream);
    }
    // The server comes to a stand when the buffers of the sockets are full.
    let still = async {
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let now = sent.load(Ordering::Relaxed);
            if now > 0 && now == last {
                return now;
            }
            last = now;
        }
    };
    let stood = soon(still).await?;
    assert!(stood < 4 * (48 << 20), "{stood} bytes were taken in for clients that read nothing");
    assert_eq!(house.call("behind", &tokens.access, "echo", json!({})).send().await?.status, 200);
    drop(unread);
    house.stop().await
}

// spec: T-63
#[tokio::test(flavor = "multi_thread")]
async fn t63_hostile_streams_end_with_an_error_and_in_bounded_size() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::with(|seen| {
        let note = |method: &str| {
            let params = json!({ "progressToken": seen.body["id"], "progress": 1, "level": "info", "data": "x" });
            format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "method": method, "params": params }))
        };
        Some(match seen.body["params"]["name"].as_str()? {
            "no newline" => Reply::flood("x".repeat(1 << 16)),
            "data without end" => {
                let start = std::iter::once(b"data: ".to_vec());
                Reply::Events(Box::new(start.chain(std::iter::repeat_with(|| vec![b'x'; 1 << 16]))), Then::Hang)
            }
            "data lines without end" => Reply::flood("data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(1000)),
            "huge id" => {
                let id = format!("id: {}\n", "i".repeat(3 << 20));
                Reply::Events(Box::new([id.into_bytes(), b"data: {}\n\n".to_vec()].into_iter()), Then::Hang)
            }
            "huge event name" => Reply::flood(format!("event: {}", "e".repeat(1 << 16))),
            "notifications" => Reply::flood(note("notifications/tools/list_changed").repeat(50)),
            "progress" => Reply::flood(note("notifications/progress").repeat(50)),
            "logs" => Reply::flood(note("notifications/message").repeat(50)),
            "comments" => Reply::flood(format!(":{}\n", "c".repeat(1 << 17))),
            "requests" => Reply::flood(
                format!(
                    "data: {}\n\n",
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {} })
                )
                .repeat(50),
            ),
            _ => return None,
        })
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &tokens.access).await?;
    let hostile = [
        "no newline",
        "data without end",
        "data lines without end",
        "huge id",
        "huge event name",
        "notifications",
        "progress",
        "logs",
        "comments",
        "requests",
    ];
    for name in hostile {
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": {} } });
        for request in [
            house.call("behind", &tokens.access, name, json!({})),
            house.legacy("behind", &tokens.access, &session, &message),
        ] {
            let started = Instant::now();
            let answer = request.send().await.with_context(|| name.to_owned())?;
            assert!(started.elapsed() < Duration::from_secs(12), "{name} took {:?}", started.elapsed());
            let json = answer.json();
            assert_eq!((&json["id"], &json["error"]["code"]), (&json!(1), &json!(-32603)), "{name}: {json}");
            assert!(answer.body.len() < 4 << 20, "{name}: {} bytes passed", answer.body.len());
        }
    }
    let ended = house.events("call.ended").await?;
    let failed = ended.iter().filter(|line| line["outcome"] == "failure").count();
    assert!(failed >= 2 * hostile.len(), "{failed}");
    assert_eq!(house.call("behind", &tokens.access, "echo", json!({})).send().await?.status, 200);
    house.stop().await
}

// spec: T-63
#[tokio::test(flavor = "multi_thread")]
async fn t63_listings_without_end_are_not_followed() -> Result<()> {
    let house = TestGateway::start().await?;
    let pages = Arc::new(AtomicUsize::new(0));
    let counted = pages.clone();
    let behind = Behind::with(move |seen| {
        if seen.rpc() != "tools/list" {
            return None;
        }
        let page = counted.fetch_add(1, Ordering::Relaxed);
        let next = if seen.body["params"]["cursor"] == "again" { "again".to_owned() } else { page.to_string() };
        let tools = json!([{ "name": format!("tool-{page}"), "inputSchema": { "type": "object" } }]);
        Some(Reply::Json(
            200,
            seen.result(json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public",
            "tools": tools, "nextCursor": next })),
        ))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let answer = soon(house.call("behind", &tokens.access, "tool-1", json!({})).send()).await??;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // What the gateway reads itself: once when it finds out what the server speaks, once for its tools, in both eras.
    let read = pages.load(Ordering::Relaxed);
    assert!((2..=150).contains(&read), "{read} pages were read");

    let circle = Behind::with(|seen| {
        (seen.rpc() == "tools/list").then(|| {
            Reply::Json(
                200,
                seen.result(json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public",
                "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }], "nextCursor": "again" })),
            )
        })
    })
    .await?;
    house.protect("circle", circle.at).await?;
    let (_, tokens) = house.client("circle", ALICE).await?;
    assert_eq!(soon(house.call("circle", &tokens.access, "echo", json!({})).send()).await??.status, 200);
    let read = circle.calls("tools/list").len();
    assert!(read <= 6, "a circle of cursors was followed {read} times");
    house.stop().await
}

// spec: T-63
#[tokio::test(flavor = "multi_thread")]
async fn t63_a_silent_server_is_given_up_in_its_time() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::with(|seen| match seen.body["params"]["name"].as_str()? {
        "silent" => Some(Reply::Silence),
        "torn" => Some(Reply::Raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{".to_vec(),
        )),
        "garbage" => Some(Reply::Raw(vec![0xff; 100_000])),
        "huge head" => Some(Reply::Raw(format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1 << 20)).into_bytes())),
        "many headers" => Some(Reply::Raw(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(5000)).into_bytes())),
        _ => None,
    })
    .await?;
    house
        .protect_as(json!({ "name": "behind", "url": format!("http://{}/mcp", behind.at), "timeout_ms": 500 }))
        .await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    for name in ["silent", "torn", "garbage", "huge head", "many headers"] {
        let started = Instant::now();
        let answer =
            house.call("behind", &tokens.access, name, json!({})).send().await.with_context(|| name.to_owned())?;
        ensure!(answer.json()["error"]["code"] == -32603, "{name}: {} {}", answer.status, answer.text());
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
    }
    let ended = house.events("call.ended").await?;
    assert_eq!(ended.first().map(|line| line["outcome"].clone()), Some(json!("timeout")), "{ended:?}");
    assert_eq!(house.call("behind", &tokens.access, "echo", json!({})).send().await?.status, 200);
    house.stop().await
}
