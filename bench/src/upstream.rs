//! The fast upstream: answers each call with 1 KiB at once, in one era or the other, so that what is measured is the way there.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response,
    body::{Body, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The era that an upstream speaks, by whether its requests stand alone or live in sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Speaks {
    /// 2026-07-28.
    Stateless,
    /// 2025-11-25 and older.
    Sessions,
}

/// Serves until the process ends.
pub async fn serve(listen: SocketAddr, speaks: Speaks) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(move |request| answer(request, speaks))),
        );
    }
}

type Answer = Response<Either<Full<Bytes>, BoxBody<Bytes, Infallible>>>;

async fn answer(request: Request<Incoming>, speaks: Speaks) -> Result<Answer, hyper::Error> {
    if request.method() == Method::GET {
        return Ok(open_stream(None));
    }
    let body = request.into_body().collect().await?.to_bytes();
    // The call that is measured is answered without parsing it; only its id is looked up.
    if body.windows(12).any(|window| window == b"\"tools/call\"")
        && let Some(id) = id_of(&body)
    {
        return Ok(json_response([CALL_HEAD.as_bytes(), id, CALL_RESULT.as_bytes()].concat().into()));
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(id) = message.get("id") else {
        let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
        *response.status_mut() = hyper::StatusCode::ACCEPTED;
        return Ok(response);
    };
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" if speaks == Speaks::Stateless => {
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": { "listChanged": true } }, "ttlMs": 60_000, "cacheScope": "public" })
        }
        "subscriptions/listen" if speaks == Speaks::Stateless => {
            let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "notifications": { "toolsListChanged": true },
                    "_meta": { "io.modelcontextprotocol/subscriptionId": id } } });
            return Ok(open_stream(Some(format!("data: {acknowledged}\n\n").into())));
        }
        "initialize" if speaks == Speaks::Sessions => json!({ "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": { "tools": {} }, "serverInfo": { "name": "bench", "version": "1" } }),
        "tools/list" => json!({ "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
            "tools": [{ "name": "work", "description": "Answers at once", "inputSchema": { "type": "object" } }] }),
        _ => {
            let error =
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "Method not found" } });
            let mut response = json_response(error.to_string().into());
            *response.status_mut() = hyper::StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = json_response(json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string().into());
    if message["method"] == "initialize" {
        response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("bench-session"));
    }
    Ok(response)
}

/// The first `"id"` in the body: that of the message, as nothing in the measured call is called so.
fn id_of(body: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"\"id\":";
    let start = body.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let length = body[start..].iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some(&body[start..start + length])
}

fn json_response(body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn open_stream(first: Option<Bytes>) -> Answer {
    let mut response = Response::new(Either::Right(Silence(first).boxed()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// An event stream that stays open and says nothing after its first piece.
struct Silence(Option<Bytes>);

impl Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(first) => std::task::Poll::Ready(Some(Ok(Frame::data(first)))),
            None => std::task::Poll::Pending,
        }
    }
}

/// The answer to the measured call up to its id.
const CALL_HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;

/// And after it: 1 KiB.
const CALL_RESULT: &str = concat!(
    r#","result":{"resultType":"complete","content":[{"type":"text","text":""#,
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps ov",
    "The quick brown fox jumps over the lazy dog.",
    r#""}]}}"#
);

/// How long a started process may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(20);
