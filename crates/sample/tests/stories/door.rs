use bytes::Bytes;
use http::{Request, StatusCode, request::Builder};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, request};

fn post() -> Builder {
    Request::post("/mcp").header("host", "sample").header("content-type", "application/json")
}

static TOO_LONG: [u8; (1 << 20) + 1] = [b' '; (1 << 20) + 1];

#[tokio::test]
async fn what_is_not_a_message_does_not_get_in() {
    let client = Client::new();
    let status = async |request: Builder, body: &'static [u8]| {
        client.send(request.body(Full::from(Bytes::from_static(body))).expect("a request")).await.status.as_u16()
    };
    let plain = || Request::post("/mcp").header("host", "sample");
    assert_eq!(status(plain(), b"{}").await, 415);
    assert_eq!(status(plain().header("content-type", "text/plain"), b"{}").await, 415);
    assert_eq!(status(post().header("content-encoding", "gzip"), b"{}").await, 415);
    assert_eq!(status(post().header("accept", "text/html"), b"{}").await, 406);
    assert_eq!(status(post(), b"{").await, 400);
    assert_eq!(status(post(), b"[]").await, 400);
    assert_eq!(status(post(), br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#).await, 400);
    assert_eq!(status(post(), &TOO_LONG).await, 413);
    assert_eq!(status(Request::post("/").header("host", "sample"), b"").await, 404);
    assert_eq!(status(Request::put("/mcp").header("host", "sample"), b"").await, 405);
    assert_eq!(status(Request::get("/mcp").header("host", "sample"), b"").await, 400);
    let modern = ("mcp-protocol-version", "2026-07-28");
    assert_eq!(status(Request::get("/mcp").header("host", "sample").header(modern.0, modern.1), b"").await, 405);
    assert_eq!(
        status(Request::delete("/mcp").header("host", "sample").header("mcp-protocol-version", "x"), b"").await,
        400
    );
}

/// spec: TR-8
#[tokio::test]
async fn absent_and_wide_accept_headers_take_everything() {
    let client = Client::new();
    let body = request("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}})).to_string();
    for accept in [None, Some("*/*"), Some("application/*"), Some("text/event-stream;q=0.5, application/json")] {
        let request = accept.into_iter().fold(post(), |request, accept| request.header("accept", accept));
        let reply = client.send(request.body(Full::<Bytes>::from(body.clone())).expect("a request")).await;
        assert_eq!(reply.status, StatusCode::OK, "{accept:?}");
    }
}

#[tokio::test]
async fn over_tcp_only_local_callers_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    let sample = Client::new().sample;
    tokio::spawn(async move { sample.serve(listener).await });
    let body = request("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}})).to_string();
    let port = address.port();
    for (host, origin, status) in [
        (format!("127.0.0.1:{port}"), None, 200),
        (format!("LOCALHOST:{port}"), Some("http://localhost:5173"), 200),
        ("[::1]".to_owned(), Some("https://127.0.0.1"), 200),
        (format!("rebound.example:{port}"), None, 403),
        (format!("127.0.0.1.example:{port}"), None, 403),
        (format!("127.0.0.1:{port}"), Some("https://evil.example"), 403),
        (format!("127.0.0.1:{port}"), Some("http://localhost.evil.example"), 403),
        (format!("127.0.0.1:{port}"), Some("null"), 403),
    ] {
        let stream = TcpStream::connect(address).await.expect("the sample listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let request = Request::post("/mcp").header("host", &host).header("content-type", "application/json");
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let answer = sender.send_request(request.body(Full::<Bytes>::from(body.clone())).expect("a request")).await;
        assert_eq!(answer.expect("an answer").status().as_u16(), status, "{host} {origin:?}");
    }
}
