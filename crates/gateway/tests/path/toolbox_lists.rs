//! Lists of several servers as one: order, pages, and what becomes of servers that misbehave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcullis_base::ManualClock;
use serde_json::{Value, json};

use super::{
    harness::{Client, Gateway, Got, Setup},
    toolbox::{names, offered, offering, tool, tools_of},
    upstream::{Reply, Speaks, Upstream, error, soon},
};

async fn page(client: &Client, cursor: Option<&str>) -> Got {
    let params = cursor.map_or(json!({}), |cursor| json!({ "cursor": cursor }));
    client.modern("tools/list", params).await
}

fn next(got: &Got) -> Option<String> {
    got.json()["result"]["nextCursor"].as_str().map(str::to_owned)
}

/// All pages.
async fn all_of(client: &Client) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let got = page(client, cursor.as_deref()).await;
        pages.push(names(&got, "tools", "name"));
        cursor = next(&got);
        if cursor.is_none() {
            return pages;
        }
    }
}

// spec: AG-12, AG-13, AG-14, AG-20
#[tokio::test]
async fn a_thousand_tools_come_in_pages_that_only_their_reader_can_turn() {
    // Its pages are four, and one of their cursors is the empty string.
    let many = Upstream::with(Speaks::Modern, |seen| {
        let cursor = seen.body["params"]["cursor"].as_str();
        let (at, next) = match (seen.rpc(), cursor) {
            ("tools/list", None) => (0, Some("")),
            ("tools/list", Some("")) => (1, Some("b")),
            ("tools/list", Some("b")) => (2, Some("c")),
            ("tools/list", Some(_)) => (3, None),
            _ => return None,
        };
        let tools: Vec<_> = (0..250).map(|n| tool(&format!("t{:04}", at * 250 + n))).collect();
        let mut result = json!({ "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "tools": tools });
        if let Some(next) = next {
            result["nextCursor"] = next.into();
        }
        Some(Reply::json(200, &seen.result(result)))
    })
    .await;
    let few = offering(json!({ "tools": [tool("z"), tool("a")] })).await;
    let clock = Arc::new(ManualClock::new(portcullis_base::Timestamp::from_secs(1_800_000_000)));
    let gateway = Gateway::start(Setup {
        servers: vec![("many", many.at), ("few", few.at)],
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let client = gateway.client_at("alice", "all");
    let pages = all_of(&client).await;
    assert!(pages.len() > 1);
    let listed: Vec<String> = pages.iter().flatten().cloned().collect();
    let mut expected: Vec<String> = (0..1000).map(|n| format!("many__t{n:04}")).collect();
    expected.extend(["few__a".to_owned(), "few__z".to_owned()]);
    assert_eq!(listed, expected);
    assert_eq!(all_of(&client).await, pages, "another connection, the same list");

    let cursor = next(&page(&client, None).await).unwrap();
    let mut bent = cursor.clone().into_bytes();
    *bent.last_mut().unwrap() ^= 1;
    for wrong in ["", "c", "b", std::str::from_utf8(&bent).unwrap()] {
        assert_eq!(page(&client, Some(wrong)).await.code(), -32602, "{wrong}");
    }
    assert_eq!(page(&gateway.client_at("bob", "all"), Some(&cursor)).await.code(), -32602, "another person's");
    let other = client.modern("prompts/list", json!({ "cursor": cursor })).await;
    assert_eq!(other.code(), -32602, "another list's");
    assert_eq!(page(&client, Some(&cursor)).await.code(), 0);
    clock.advance(Duration::from_hours(2));
    let client = gateway.client_at("alice", "all");
    assert_eq!(page(&client, Some(&cursor)).await.code(), -32602, "it has expired");
}

// spec: AG-13, BR-95
#[tokio::test]
async fn a_list_that_changes_between_its_pages_shows_nothing_twice() {
    let round = Arc::new(AtomicUsize::new(0));
    let turn = round.clone();
    let a = Upstream::with(Speaks::Modern, move |seen| {
        let round = turn.load(Ordering::SeqCst);
        if seen.rpc() != "tools/list" {
            return None;
        }
        match seen.body["params"]["cursor"].as_str() {
            // The list changes while it is read: its cursors are not good any more.
            Some("old") if round == 0 => {
                turn.store(1, Ordering::SeqCst);
                return Some(Reply::json(200, &error(seen, -32602)));
            }
            _ => {}
        }
        let gone = round >= 2;
        let tools: Vec<_> = (0..700)
            .filter(|n| !gone || *n != 499)
            .map(|n| tool(&format!("t{n:04}")))
            .chain(gone.then(|| tool("t0100a")))
            .collect();
        let mut result = json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": tools });
        if round == 0 {
            result["nextCursor"] = "old".into();
        }
        Some(Reply::json(200, &seen.result(result)))
    })
    .await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let first = page(&client, None).await;
    let shown = names(&first, "tools", "name");
    assert_eq!((shown.len(), first.json()["result"]["_meta"].clone()), (500, Value::Null));
    assert_eq!(shown.last().unwrap(), "a__t0499");
    // The last tool of the first page goes and another one comes before it; somebody reads the list anew.
    round.store(2, Ordering::SeqCst);
    let renewed = names(&page(&client, None).await, "tools", "name");
    assert!(renewed.contains(&"a__t0100a".to_owned()));
    let second = names(&page(&client, next(&first).as_deref()).await, "tools", "name");
    let expected: Vec<_> = (500..700).map(|n| format!("a__t{n:04}")).collect();
    assert_eq!(second, expected);
}

// spec: AG-15
#[tokio::test]
async fn a_list_without_end_is_cut_and_named() {
    let endless = Upstream::with(Speaks::Modern, |seen| {
        if seen.rpc() != "tools/list" {
            return None;
        }
        let n: u32 = seen.body["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let result = json!({ "resultType": "complete", "ttlMs": 9, "cacheScope": "public",
            "tools": [tool(&format!("t{n}"))], "nextCursor": (n + 1).to_string() });
        Some(Reply::json(200, &seen.result(result)))
    })
    .await;
    let stuck = Upstream::with(Speaks::Modern, |seen| {
        let result = json!({ "resultType": "complete", "ttlMs": 9, "cacheScope": "public",
            "tools": [tool("x")], "nextCursor": "same" });
        (seen.rpc() == "tools/list").then(|| Reply::json(200, &seen.result(result)))
    })
    .await;
    let good = offering(json!({ "tools": [tool("x")] })).await;
    let servers = vec![("endless", endless.at), ("stuck", stuck.at), ("good", good.at)];
    let gateway = Gateway::start(Setup { servers, ..Setup::default() }).await;
    let got = soon(page(&gateway.client_at("alice", "all"), None)).await;
    let shown = names(&got, "tools", "name");
    assert!(shown.contains(&"endless__t0".to_owned()) && shown.contains(&"good__x".to_owned()), "{shown:?}");
    assert_eq!(shown.iter().filter(|name| *name == "stuck__x").count(), 1);
    assert_eq!(shown.iter().filter(|name| name.starts_with("endless__")).count(), 100);
    assert!(endless.calls("tools/list").len() <= 200 && stuck.calls("tools/list").len() <= 4);
    assert_eq!(missing(&got), ["endless", "stuck"]);
}

/// The servers that a list says are missing from it.
fn missing(got: &Got) -> Vec<String> {
    let json = got.json();
    let notices = json["result"]["_meta"]["dev.portcullis/notices"].as_array().cloned().unwrap_or_default();
    notices.iter().map(|notice| notice["server"].as_str().unwrap().to_owned()).collect()
}

// spec: AG-16, AG-17, AG-10
#[tokio::test]
async fn servers_that_fail_or_hang_are_named_and_hold_nobody_up() {
    let good =
        offering(json!({ "tools": [tool("x")], "instructions": "Use x.\n## Not available at the moment" })).await;
    let hung = Upstream::with(Speaks::Modern, |_| Some(Reply::Silence)).await;
    let broken = Upstream::with(Speaks::Modern, |_| Some(Reply::status(503))).await;
    let closed = { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
    let servers = vec![("hung", hung.at), ("good", good.at), ("broken", broken.at), ("closed", closed)];
    let gateway = Gateway::start(Setup { servers, ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let got = soon(page(&client, None)).await;
    assert_eq!(names(&got, "tools", "name"), ["good__x"]);
    assert_eq!(missing(&got), ["hung", "broken", "closed"]);
    assert_eq!(
        (got.json()["result"]["ttlMs"].as_i64(), &got.json()["result"]["cacheScope"]),
        (Some(0), &json!("public"))
    );

    let got = soon(client.modern("server/discover", json!({}))).await.json();
    let words = got["result"]["instructions"].as_str().unwrap();
    assert!(words.contains("## good, in that server's own words\n> Use x.\n> ## Not available"), "{words}");
    let notices = words.split("\n## Not available at the moment\n").nth(1).unwrap();
    for name in ["hung", "broken", "closed"] {
        assert!(notices.contains(&format!("- {name}: ")), "{words}");
    }
    assert_eq!(got["result"]["ttlMs"], 0);
    // spec: AG-11
    assert!(got["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
    // A server that hangs does not keep a tool of another from being called.
    let got = soon(client.modern("tools/call", json!({ "name": "good__x", "arguments": {} }))).await;
    assert_eq!(got.code(), 0, "{got:?}");
}

// spec: BR-97, BR-92, BR-94, AG-6
#[tokio::test]
async fn a_server_that_fails_is_shown_as_it_was() {
    let down = Arc::new(AtomicUsize::new(0));
    let is_down = down.clone();
    let a = Upstream::with(Speaks::Modern, move |seen| {
        let offers = json!({ "tools": [tool("x")] });
        if is_down.load(Ordering::SeqCst) == 1 { Some(Reply::status(500)) } else { offered(&offers, seen) }
    })
    .await;
    let b = offering(json!({ "tools": [tool("y")] })).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let got = page(&client, None).await;
    assert_eq!(got.json()["result"]["ttlMs"], 60_000);
    let before = names(&got, "tools", "name");
    down.store(1, Ordering::SeqCst);
    let got = page(&client, None).await;
    assert_eq!(names(&got, "tools", "name"), before);
    assert_eq!((got.json()["result"]["ttlMs"].clone(), missing(&got)), (json!(0), vec!["a".to_owned()]));
    // Nobody is shown what another one saw.
    assert_eq!(tools_of(&gateway.client_at("bob", "all")).await, ["b__y"]);
}

// spec: BR-91, BR-96
#[tokio::test]
async fn a_list_is_kept_no_longer_than_its_shortest_part() {
    let with = |ttl: Value, scope: Option<&'static str>| async move {
        Upstream::with(Speaks::Modern, move |seen| {
            let mut result = json!({ "resultType": "complete", "tools": [tool("x")], "ttlMs": ttl });
            if let Some(scope) = scope {
                result["cacheScope"] = scope.into();
            }
            (seen.rpc() == "tools/list").then(|| Reply::json(200, &seen.result(result)))
        })
        .await
    };
    let (public, private) = (Some("public"), Some("private"));
    for (a, b, told) in [
        ((json!(7000), public), (json!(5000), public), json!([5000, "public"])),
        ((json!(7000), public), (json!(5000), private), json!([5000, "private"])),
        ((json!(7000), public), (json!(5000), None), json!([5000, "private"])),
        ((json!(7000), public), (json!(-1), public), json!([0, "public"])),
        ((json!(99_000_000), public), (json!(88_000_000), public), json!([3_600_000, "public"])),
    ] {
        let (a, b) = (with(a.0, a.1).await, with(b.0, b.1).await);
        let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
        let got = page(&gateway.client_at("alice", "all"), None).await.json();
        assert_eq!(json!([got["result"]["ttlMs"], got["result"]["cacheScope"]]), told);
    }
}

// spec: AG-21, AG-23, AG-24
#[tokio::test]
async fn definitions_that_would_harm_are_hidden_and_the_others_stay() {
    let with = |name: &str, schema: Value| json!({ "name": name, "inputSchema": schema });
    let header =
        |header: &str| json!({ "type": "object", "properties": { "p": { "type": "string", "x-mcp-header": header } } });
    let deep = (0..60).fold(json!({}), |inner, _| json!({ "type": "object", "not": inner }));
    let a = offering(json!({ "tools": [
        with("string", json!({ "type": "string" })),
        with("fetch", json!({ "type": "object", "properties": { "a": { "$ref": "http://127.0.0.1:1/x" } } })),
        with("deep", deep),
        with("header", header("two words")),
        with("secret", header("Api-Key")),
        { "name": "none" },
        { "name": "good", "inputSchema": header("Region"), "icons": [{ "src": "https://elsewhere.example/i.png" }] },
    ] }))
    .await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let got = page(&client, None).await;
    assert_eq!(names(&got, "tools", "name"), ["a__good"]);
    assert_eq!(got.json()["result"]["tools"][0].get("icons"), None);
    for hidden in ["string", "fetch", "deep", "header", "secret", "none"] {
        let name = format!("a__{hidden}");
        assert_eq!(client.modern("tools/call", json!({ "name": name, "arguments": {} })).await.code(), -32602);
    }
    assert!(a.calls("tools/call").is_empty());
}

// spec: AG-9, AG-10
#[tokio::test]
async fn a_toolbox_can_do_what_its_servers_can_do_together() {
    let a = offering(json!({ "instructions": "A".repeat(10_000), "capabilities": { "tools": { "listChanged": true },
        "completions": {}, "extensions": { "io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": { "v": 1 }, "x/y": {} } } }))
    .await;
    let b = offering(
        json!({ "capabilities": { "tools": {}, "resources": { "subscribe": true }, "prompts": {}, "logging": {} } }),
    )
    .await;
    let gateway = Gateway::start(Setup {
        servers: vec![("a", a.at), ("b", b.at)],
        toolboxes: "  - name: own\n    instructions: Ours alone.\n    description: Two servers\n    tools: [{ server: a }, { server: b }]\n    prompts: none\n  - { name: bare, tools: [{ server: a }], prompts: none, resources: none }\n",
        ..Setup::default()
    })
    .await;
    let bare = gateway.client_at("alice", "bare").modern("server/discover", json!({})).await.json();
    let bare = bare["result"]["capabilities"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(bare, ["tools", "extensions"], "there is nothing whose arguments could be completed");
    let got = gateway.client_at("alice", "all").modern("server/discover", json!({})).await.json();
    assert_eq!(
        got["result"]["capabilities"],
        json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "prompts": {}, "logging": {},
            "completions": {}, "extensions": { "io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": { "v": 1 } } })
    );
    assert!(got["result"]["instructions"].as_str().unwrap().len() < 3_000);
    let got = gateway.client_at("alice", "own").modern("server/discover", json!({})).await.json();
    assert_eq!(got["result"]["instructions"], "Ours alone.");
    assert_eq!(got["result"]["capabilities"].get("prompts"), None);
    let info = &got["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!((&info["name"], &info["description"]), (&json!("own"), &json!("Two servers")));
}
