//! Bytes on the wire that a proxy in front and the gateway could take for different requests.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{Gateway, borrowed, modern},
    upstream::{Speaks, Upstream, soon},
};

/// spec: T-68
#[tokio::test]
async fn no_second_request_rides_on_the_first() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let token = gateway.token("alice");
    let (headers, body) = modern("tools/call", serde_json::json!({ "name": "echo", "arguments": {} }));
    let body = body.to_string();
    let common: Vec<_> = borrowed(&headers).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let common = common.concat();
    let head = |framing: &str| {
        format!(
            "POST /mcp/fake HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{common}{framing}\r\n",
            gateway.address
        )
    };
    let say = async |bytes: String| {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        drop(soon(stream.read_to_end(&mut heard)).await);
        String::from_utf8_lossy(&heard).into_owned()
    };
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let inner = head(&length) + &body;
    for (name, bytes) in [
        ("both", head(&format!("{length}Transfer-Encoding: chunked\r\n")) + &chunked + &inner),
        ("both, turned", head(&format!("Transfer-Encoding: chunked\r\n{length}")) + &chunked + &inner),
        ("two lengths", head(&format!("{length}Content-Length: 0\r\n")) + &body),
        ("one length twice", head(&format!("{length}{length}")) + &body),
        ("folded", head(&format!("X: a\r\n {length}")) + &body),
        ("bare line feed", head(&format!("X: a\n{length}")) + &body),
        ("odd encoding", head("Transfer-Encoding: chunked, identity\r\n") + &chunked),
        ("blank before colon", head("Transfer-Encoding : chunked\r\n") + &chunked),
        ("chunk with a line feed", head("Transfer-Encoding: chunked\r\n") + &chunked.replacen("\r\n", "\n", 1)),
    ] {
        let heard = say(bytes).await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{name}: {heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{name}: {heard}");
    }
    assert!(upstream.seen().is_empty(), "nothing of it was forwarded");
    let close = "Connection: close\r\n";
    let good = head("Transfer-Encoding: chunked\r\n") + &chunked + &head(&format!("{length}{close}")) + &body;
    let heard = say(good).await;
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 2, "{heard}");
}
