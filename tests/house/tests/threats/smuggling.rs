//! Requests that two parties might end at different places. None is read, alone or behind a real proxy.

use std::{
    fs,
    net::TcpListener as Port,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcullis_house::gateway::{ALICE, BOB, TestGateway};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::behind::Behind;

/// A connection on which nothing came for so long has said all it will.
const QUIET: Duration = Duration::from_millis(150);

/// A call that must never be made.
fn smuggled(host: &str, token: &str) -> String {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "smuggled", "arguments": {},
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } } });
    let body = body.to_string();
    format!(
        "POST /mcp/behind HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: smuggled\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Attacks: a name, and the bytes. Where the ends are in doubt, the smuggled call stands where one reading sees a body.
fn corpus(host: &str, inner: &str) -> Vec<(&'static str, Vec<u8>)> {
    let head = |headers: &str| {
        format!("POST /mcp/behind HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{headers}\r\n\r\n")
    };
    let length = inner.len() + 5;
    let hidden = format!("0\r\n\r\n{inner}");
    let both = |te: &str| format!("{}{hidden}", head(&format!("content-length: {length}\r\n{te}"))).into_bytes();
    let chunked = |body: &str| format!("{}{body}{inner}", head("transfer-encoding: chunked")).into_bytes();
    let lengths = |value: &str| format!("{}{inner}", head(&format!("content-length: {value}"))).into_bytes();
    let get =
        |headers: &str| format!("GET /mcp/behind HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n\r\n{inner}").into_bytes();
    vec![
        ("length and chunked", both("transfer-encoding: chunked")),
        (
            "chunked and length",
            format!("{}{hidden}", head(&format!("transfer-encoding: chunked\r\ncontent-length: {length}")))
                .into_bytes(),
        ),
        (
            "length zero and chunked",
            format!(
                "{}{:x}\r\n{inner}\r\n0\r\n\r\n",
                head("content-length: 0\r\ntransfer-encoding: chunked"),
                inner.len()
            )
            .into_bytes(),
        ),
        ("chunked, spelt otherwise", both("Transfer-Encoding: Chunked")),
        ("chunked with a tab", both("transfer-encoding:\tchunked")),
        ("chunked with another space", both("transfer-encoding: \u{b}chunked")),
        ("chunked with a blank before the colon", both("transfer-encoding : chunked")),
        ("chunked twice", both("transfer-encoding: chunked\r\ntransfer-encoding: chunked")),
        ("chunked and identity", both("transfer-encoding: chunked, identity")),
        ("identity and chunked", both("transfer-encoding: identity, chunked")),
        ("identity", both("transfer-encoding: identity")),
        ("unknown coding", both("transfer-encoding: xchunked")),
        ("quoted coding", both("transfer-encoding: \"chunked\"")),
        ("coding with parameters", both("transfer-encoding: chunked;q=1")),
        ("empty coding", both("transfer-encoding: ")),
        ("coding in a folded line", both("x: y\r\n transfer-encoding: chunked")),
        ("folded line", both("transfer-encoding:\r\n chunked")),
        ("two lengths", lengths(&format!("{}\r\ncontent-length: 0", inner.len()))),
        ("two lengths, zero first", lengths(&format!("0\r\ncontent-length: {}", inner.len()))),
        ("the same length twice", lengths("0\r\ncontent-length: 0")),
        (
            "line feeds alone",
            format!("GET /mcp/behind HTTP/1.1\nhost: {host}\ncontent-length: 0\n\n{inner}").into_bytes(),
        ),
        (
            "one line feed alone",
            format!("GET /mcp/behind HTTP/1.1\r\nhost: {host}\r\nx: y\ncontent-length: 0\r\n\r\n{inner}").into_bytes(),
        ),
        ("lengths in a list", lengths(&format!("0, {}", inner.len()))),
        ("length with a plus", lengths("+0")),
        ("negative length", lengths("-1")),
        ("hexadecimal length", lengths("0x0")),
        ("length with blanks inside", lengths("0 0")),
        ("length in letters", lengths("zero")),
        ("length beyond numbers", lengths("18446744073709551616")),
        ("empty length", lengths("")),
        ("length before a blank and colon", format!("{}{inner}", head("content-length : 0")).into_bytes()),
        ("chunk size with 0x", chunked("0x0\r\n\r\n")),
        ("chunk size with plus", chunked("+0\r\n\r\n")),
        ("negative chunk size", chunked("-0\r\n\r\n")),
        ("chunk size in blanks", chunked(" 0 \r\n\r\n")),
        ("chunk size beyond numbers", chunked("10000000000000000\r\n\r\n")),
        ("no chunk size", chunked(";ext\r\n\r\n")),
        ("chunk without its end", chunked("1\r\nxx0\r\n\r\n")),
        ("chunk extension with a bare line feed", chunked("0;x\nGET / HTTP/1.1\r\n\r\n")),
        ("chunk lines with bare line feeds", chunked("0\n\n")),
        (
            "chunked in HTTP/1.0",
            format!("POST /mcp/behind HTTP/1.0\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n{hidden}")
                .into_bytes(),
        ),
        ("zero byte in a name", get("x\0y: 1")),
        ("zero byte in a value", get("x: a\0b")),
        ("bare carriage return in a value", get("x: a\rcontent-length: 5")),
        ("no colon", get("nonsense")),
        ("blank before a name", get(" x: y")),
        ("name with a line", get("x\u{1}: y")),
        ("blank first line", format!("GET  /mcp/behind  HTTP/1.1\r\nhost: {host}\r\n\r\n{inner}").into_bytes()),
        ("unknown HTTP", format!("GET /mcp/behind HTTP/3.7\r\nhost: {host}\r\n\r\n{inner}").into_bytes()),
        ("preface of HTTP/2", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{inner}").into_bytes()),
        ("no HTTP", format!("GET /\r\n\r\n{inner}").into_bytes()),
        ("blank in the target", format!("GET /mcp/behind x HTTP/1.1\r\nhost: {host}\r\n\r\n{inner}").into_bytes()),
    ]
}

/// All that comes back on one connection, and whether it was closed then.
async fn converse(at: &str, bytes: &[u8]) -> Result<(String, bool)> {
    let mut stream = TcpStream::connect(at).await?;
    drop(stream.write_all(bytes).await);
    let mut all = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let closed = loop {
        match timeout(QUIET, stream.read(&mut piece)).await {
            Ok(Ok(read)) if read > 0 => all.extend_from_slice(&piece[..read]),
            Ok(_) => break true,
            Err(_) => break false,
        }
    };
    Ok((String::from_utf8_lossy(&all).into_owned(), closed))
}

async fn send(at: &str, bytes: &[u8]) -> Result<String> {
    Ok(converse(at, bytes).await?.0)
}

// spec: T-68
#[tokio::test(flavor = "multi_thread")]
async fn t68_requests_without_a_certain_end_are_refused() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let inner = smuggled(&house.authority, &tokens.access);
    // The inner request is a good one where it stands by itself.
    let alone = send(&house.authority, inner.as_bytes()).await?;
    ensure!(alone.starts_with("HTTP/1.1 200") && behind.calls("tools/call").len() == 1, "{alone}");
    // So it is in chunks, with an extension that means nothing.
    let (head, body) = inner.split_once("\r\n\r\n").context("a body")?;
    let head = head.replace(&format!("content-length: {}", body.len()), "transfer-encoding: chunked");
    let (first, second) = body.split_at(20);
    let chunks = format!("{head}\r\n\r\n14;x=y\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\n\r\n", second.len());
    let chunked = send(&house.authority, chunks.as_bytes()).await?;
    ensure!(chunked.starts_with("HTTP/1.1 200") && behind.calls("tools/call").len() == 2, "{chunked}");
    let mut wrong = Vec::new();
    for (name, bytes) in corpus(&house.authority, &inner) {
        let before = behind.calls("tools/call").len();
        let (answer, closed) = converse(&house.authority, &bytes).await?;
        let refused =
            answer.is_empty() || ["400", "431", "501", "505"].iter().any(|status| answer[9..].starts_with(status));
        let calls = behind.calls("tools/call").len() - before;
        if !refused || !closed || answer.matches("HTTP/1.1 ").count() > 1 || calls > 0 {
            wrong.push((name, calls, answer));
        }
    }
    assert!(wrong.is_empty(), "{} were read: {wrong:#?}", wrong.len());
    house.stop().await
}

// spec: T-68
#[tokio::test(flavor = "multi_thread")]
async fn t68_hop_by_hop_headers_and_trailers_go_nowhere() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let call = house
        .call("behind", &tokens.access, "echo", json!({}))
        .header("connection", "keep-alive, x-secret, mcp-name, authorization, host")
        .header("x-secret", "1")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("te", "trailers")
        .header("trailer", "authorization")
        .header("keep-alive", "timeout=99")
        .header("proxy-connection", "keep-alive");
    let answer = call.send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = behind.seen().pop().context("a call")?;
    for name in ["x-secret", "upgrade", "http2-settings", "te", "trailer", "keep-alive", "proxy-connection"] {
        assert_eq!(seen.header(name), None, "{name} went upstream");
    }
    assert_eq!(seen.header("mcp-name"), Some("echo"));
    // Trailers are no headers: a token that comes after the body is none.
    let text = format!(
        "POST /mcp/behind HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n2\r\n{{}}\r\n0\r\nauthorization: Bearer {}\r\n\r\n",
        house.authority, tokens.access
    );
    assert!(send(&house.authority, text.as_bytes()).await?.starts_with("HTTP/1.1 401"));
    house.stop().await
}

/// A real nginx in front of the gateway, with connections that several clients share.
struct Nginx {
    at: String,
    process: Child,
    _folder: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that is left out must not be left out in CI")]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn nginx(gateway: &str) -> Result<Option<Nginx>> {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        ensure!(std::env::var_os("CI").is_none(), "nginx is needed: apt-get install nginx-light");
        eprintln!("left out: nginx is not installed");
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let at = Port::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let root = folder.path().display();
    let configuration = format!(
        "daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;\n\
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
         upstream gateway {{ server {gateway}; keepalive 1; }}\n\
         server {{ listen {at}; location / {{ proxy_pass http://gateway; proxy_http_version 1.1;\n\
         proxy_set_header Host {gateway}; proxy_set_header Connection \"\"; proxy_request_buffering off; proxy_buffering off; }} }} }}\n"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, configuration)?;
    let process =
        Command::new("nginx").arg("-p").arg(folder.path()).arg("-c").arg(&file).stderr(Stdio::null()).spawn()?;
    let nginx = Nginx { at, process, _folder: folder };
    for _ in 0..200 {
        if TcpStream::connect(&nginx.at).await.is_ok() {
            return Ok(Some(nginx));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!("nginx does not answer")
}

// spec: T-68
#[tokio::test(flavor = "multi_thread")]
async fn t68_behind_a_proxy_no_request_rides_on_anothers_connection() -> Result<()> {
    let house = TestGateway::start().await?;
    let Some(nginx) = nginx(&house.authority).await? else { return house.stop().await };
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let inner = smuggled(&nginx.at, &alice.access);
    let alone = send(&nginx.at, inner.as_bytes()).await?;
    ensure!(alone.starts_with("HTTP/1.1 200"), "{alone}");
    let victim = smuggled(&nginx.at, &bob.access).replace("smuggled", "victim's");
    let victim = victim.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    for (name, bytes) in corpus(&nginx.at, &inner) {
        let before = behind.calls("tools/call").len();
        // The attacker's own next request on his connection to the proxy is his to make; what must not be is a request
        // that the proxy did not see.
        let answer = send(&nginx.at, &bytes).await?;
        let answered = answer.matches("HTTP/1.1 200").count();
        let calls = behind.calls("tools/call").len() - before;
        assert_eq!(calls, answered, "{name}: the gateway made a call that the proxy did not send: {answer}");
        for _ in 0..2 {
            let answer = send(&nginx.at, victim.as_bytes()).await?;
            assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
            let last = behind.calls("tools/call").pop().context("a call")?;
            assert_eq!(last.header("mcp-name"), Some("victim's"), "{name}");
        }
        assert_eq!(behind.calls("tools/call").len() - before, calls + 2, "{name}");
    }
    drop(nginx);
    house.stop().await
}
