//! What is made of the answers an upstream gives when it is asked what it speaks.

use std::sync::Arc;

use portcullis_base::ServerName;
use portcullis_gateway::{
    config,
    outbound::{Dialer, Reach},
    upstream::{
        Credential, DiscoverError, Discovery, Egress, Limits, Location, Transport, Upstream as Asked, UpstreamError,
        UpstreamUrl,
    },
};
use portcullis_mcp::Version;
use serde_json::json;

use crate::upstream::{After, Reply, Seen, Speaks, Upstream, error, soon};

pub fn asked(at: std::net::SocketAddr) -> Arc<Asked> {
    pinned(at, config::Speaks::Auto)
}

fn pinned(at: std::net::SocketAddr, speaks: config::Speaks) -> Arc<Asked> {
    let url = UpstreamUrl::parse(&format!("http://{at}/mcp")).unwrap();
    let location = Location::Url { url, reach: Reach::Private, egress: Arc::new(Egress::speaking(speaks)) };
    Arc::new(Asked::new(ServerName::parse("fake").unwrap(), location, &Dialer::new([]).unwrap(), Limits::default()))
}

async fn discover(
    speaks: Speaks,
    behaviour: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
) -> Result<Discovery, DiscoverError> {
    let upstream = Upstream::with(speaks, behaviour).await;
    soon(asked(upstream.at).discover(&Credential::none())).await
}

const LEGACY: [Version; 3] = [Version::V2025_11_25, Version::V2025_06_18, Version::V2025_03_26];

/// spec: TR-120, TR-121, TR-127, TR-135
#[tokio::test]
async fn well_behaved_servers_are_recognized() {
    let upstream = Upstream::start(Speaks::Both).await;
    let found = asked(upstream.at).discover(&Credential::none()).await.unwrap();
    assert_eq!(found.versions[0], Version::V2026_07_28);
    assert_eq!(found.versions[1..], LEGACY);
    assert_eq!((found.name.as_deref(), found.version.as_deref(), found.tools), (Some("fake"), Some("1.2"), Some(2)));
    let first = &upstream.seen()[0];
    assert_eq!(first.rpc(), "server/discover");
    assert_eq!(first.header("mcp-method"), "server/discover");
    assert_eq!(upstream.seen().last().unwrap().method, http::Method::DELETE, "the session of the question is closed");

    let found = discover(Speaks::Modern, |_| None).await.unwrap();
    assert_eq!((found.versions.as_slice(), found.tools), (&[Version::V2026_07_28][..], Some(2)));
    let found = discover(Speaks::Legacy, |_| None).await.unwrap();
    assert_eq!((found.versions.as_slice(), found.tools), (&LEGACY[..], Some(2)));
}

/// spec: TR-121
#[tokio::test]
async fn refusals_of_the_probe_are_read_as_the_table_says() {
    let on_probe =
        |reply: fn(&Seen) -> Reply| move |seen: &Seen| (seen.rpc() == "server/discover").then(|| reply(seen));
    let unsupported = |seen: &Seen, supported: serde_json::Value| {
        let mut error = error(seen, -32022);
        error["error"]["data"] = json!({ "supported": supported, "requested": "2026-07-28" });
        Reply::json(400, &error)
    };
    for code in [-32020, -32021] {
        let behave = move |seen: &Seen| (seen.rpc() == "server/discover").then(|| Reply::json(400, &error(seen, code)));
        assert_eq!(discover(Speaks::Modern, behave).await.unwrap().versions, [Version::V2026_07_28], "{code}");
    }
    let modern = move |seen: &Seen| (seen.rpc() == "server/discover").then(|| unsupported(seen, json!(["2026-07-28"])));
    assert_eq!(discover(Speaks::Modern, modern).await.unwrap().versions, [Version::V2026_07_28]);
    let legacy = move |seen: &Seen| (seen.rpc() == "server/discover").then(|| unsupported(seen, json!(["2025-11-25"])));
    assert_eq!(discover(Speaks::Legacy, legacy).await.unwrap().versions, LEGACY);

    let table: [fn(&Seen) -> Reply; 5] = [
        |seen| Reply::json(404, &error(seen, -32601)),
        |seen| Reply::json(200, &error(seen, -32601)),
        |seen| Reply::json(200, &seen.result(json!({}))),
        |_| Reply::status(400),
        |_| Reply::status(405),
    ];
    for reply in table {
        assert_eq!(discover(Speaks::Legacy, on_probe(reply)).await.unwrap().versions, LEGACY);
    }
    let neither = |seen: &Seen| Some(Reply::json(404, &error(seen, -32601)));
    assert_eq!(discover(Speaks::Modern, neither).await.unwrap().versions, [Version::V2026_07_28]);
}

/// A server of HTTP+SSE, whose stream begins with `first` and which answers POSTs to its address with `status`.
fn streaming(status: u16, first: &str) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static {
    let first = first.to_owned();
    move |seen: &Seen| {
        Some(match seen.method.as_str() {
            "GET" => Reply::Events(Vec::new(), vec![first.clone()], After::Hang),
            _ => Reply::status(status),
        })
    }
}

/// spec: TR-123, TR-124
#[tokio::test]
async fn the_oldest_transport_is_tried_where_nothing_takes_messages() {
    let good = "event: endpoint\ndata: /messages/?session_id=1\n\n";
    for status in [400, 404, 405] {
        let found = discover(Speaks::Legacy, streaming(status, good)).await.unwrap();
        assert_eq!((found.transport, found.versions.as_slice()), (Transport::Sse, &[Version::V2024_11_05][..]));
    }
    for bad in [
        "event: endpoint\ndata: http://127.0.0.1:9/messages\n\n",
        "event: endpoint\ndata: //elsewhere.example/messages\n\n",
        "event: endpoint\ndata: http://a:b@127.0.0.1/\n\n",
        "data: {}\n\nevent: endpoint\ndata: /messages\n\n",
    ] {
        let found = discover(Speaks::Legacy, streaming(405, bad)).await;
        assert!(matches!(found, Err(DiscoverError::NotMcp(_))), "{bad}: {found:?}");
    }
    // spec: TR-122: it is there, and an outage of its other door says nothing of it.
    let found = discover(Speaks::Legacy, streaming(503, good)).await;
    assert!(matches!(found, Err(DiscoverError::Unavailable(503))), "{found:?}");
    let sessions = discover(Speaks::Legacy, |seen| (seen.method == "GET").then(|| Reply::status(500))).await.unwrap();
    assert_eq!(sessions.transport, Transport::Http);
}

/// spec: TR-125
#[tokio::test]
async fn what_an_administrator_knows_is_not_asked() {
    let upstream = Upstream::start(Speaks::Both).await;
    let found = pinned(upstream.at, config::Speaks::Stateless).discover(&Credential::none()).await.unwrap();
    assert_eq!(found.versions, [Version::V2026_07_28]);
    assert!(upstream.calls("initialize").is_empty());
    let upstream = Upstream::start(Speaks::Both).await;
    let found = pinned(upstream.at, config::Speaks::Sessions).discover(&Credential::none()).await.unwrap();
    assert_eq!(found.versions, LEGACY);
    assert!(upstream.calls("server/discover").is_empty());
    let upstream = Upstream::with(Speaks::Both, |seen| {
        let first = "event: endpoint\ndata: messages\n\n".to_owned();
        (seen.method == "GET").then(|| Reply::Events(Vec::new(), vec![first], After::Hang))
    })
    .await;
    let found = pinned(upstream.at, config::Speaks::Sse).discover(&Credential::none()).await.unwrap();
    assert_eq!(found.transport, Transport::Sse);
    assert!(upstream.seen().iter().all(|seen| seen.method == "GET"));
}

/// spec: TR-122, TR-136, T-29
#[tokio::test]
async fn an_outage_decides_nothing() {
    for status in [429, 500, 503] {
        let found =
            discover(Speaks::Legacy, move |seen| (seen.rpc() == "server/discover").then(|| Reply::status(status)));
        assert!(matches!(found.await, Err(DiscoverError::Unavailable(s)) if s == status), "{status}");
    }
    for status in [401, 403] {
        let found = discover(Speaks::Legacy, move |_| Some(Reply::status(status))).await;
        assert!(
            matches!(found, Err(DiscoverError::Upstream(UpstreamError::Credentials { status: s, .. })) if s == status),
            "{status}"
        );
    }
    let redirect = |_: &Seen| Some(Reply::status(307).with("location", "http://127.0.0.1:9/"));
    assert!(matches!(
        discover(Speaks::Legacy, redirect).await,
        Err(DiscoverError::Upstream(UpstreamError::Unusable(_)))
    ));
    let page = |_: &Seen| Some(Reply::Whole(200, vec![("content-type", "text/html".into())], "<p>".into()));
    let error = discover(Speaks::Legacy, page).await.unwrap_err();
    assert!(matches!(&error, DiscoverError::NotMcp(_)) && error.to_string().contains("text/html"), "{error}");
    let old = |seen: &Seen| {
        (seen.rpc() == "initialize").then(|| Reply::json(200, &seen.result(json!({ "protocolVersion": "1999-01-01" }))))
    };
    assert!(matches!(discover(Speaks::Legacy, old).await, Err(DiscoverError::Version(v)) if v == "1999-01-01"));

    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(matches!(
        asked(gone).discover(&Credential::none()).await,
        Err(DiscoverError::Upstream(UpstreamError::Unreachable(_)))
    ));
}

/// spec: T-63
#[tokio::test]
async fn pages_without_end_are_not_turned_for_ever() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/list").then(|| {
            let cursor = seen.body["params"]["cursor"].as_str().unwrap_or("").to_owned() + "x";
            Reply::json(200, &seen.result(json!({ "resultType": "complete", "tools": [], "nextCursor": cursor })))
        })
    })
    .await;
    asked(upstream.at).discover(&Credential::none()).await.unwrap();
    assert_eq!(upstream.calls("tools/list").len(), 50);
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/list").then(|| {
            Reply::json(200, &seen.result(json!({ "resultType": "complete", "tools": [], "nextCursor": "same" })))
        })
    })
    .await;
    asked(upstream.at).discover(&Credential::none()).await.unwrap();
    assert_eq!(upstream.calls("tools/list").len(), 2);
}

/// Who comes at once after a failed question hears that, and not that something took too long.
#[tokio::test]
async fn a_question_that_failed_a_moment_ago_is_not_said_to_be_slow() {
    let upstream = Upstream::with(Speaks::Both, |_| Some(Reply::status(503))).await;
    let asked = asked(upstream.at);
    let first = soon(asked.versions(&Credential::none())).await;
    assert!(matches!(first, Err(DiscoverError::Unavailable(503))), "{first:?}");
    let times = upstream.seen().len();
    let Err(DiscoverError::Upstream(second)) = soon(asked.versions(&Credential::none())).await else {
        panic!("it was asked again, or taken to have answered")
    };
    let told = second.public(&ServerName::parse("fake").unwrap());
    assert_eq!(told, "The server fake gave no usable answer a moment ago. Try again in a few seconds.");
    assert_eq!(upstream.seen().len(), times, "it is left alone");
}
