//! Whose session, whose answer, whose server: people beside each other on one gateway.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::{Browser, Client, authorize_target},
};
use portcullis_mcp::Method;
use serde_json::{Value, json};

use crate::behind::{Behind, Reply, Then};

fn echo(id: u32, text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "echo", "arguments": { "text": text } } })
}

// spec: T-48
#[tokio::test(flavor = "multi_thread")]
async fn t48_a_session_id_is_good_only_for_its_person_client_and_server() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    for name in ["behind", "beside"] {
        house.protect(name, behind.at).await?;
    }
    let (_, alice) = house.client_of(&["behind", "beside"], ALICE).await?;
    let (_, alice_elsewhere) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let session = house.session("behind", &alice[0].access).await?;
    let unknown = house.legacy("behind", &bob.access, "no-such-session", &echo(1, "x")).send().await?;
    assert_eq!(house.call("beside", &alice[1].access, "echo", json!({})).send().await?.status, 200);
    let before = behind.seen().len();

    let thieves = [("behind", &bob.access), ("behind", &alice_elsewhere.access), ("beside", &alice[1].access)];
    for (server, token) in thieves {
        let post = house.legacy(server, token, &session, &echo(1, "stolen")).send().await?;
        let plain = |method: &str| {
            let request = house.request(method, &format!("/mcp/{server}")).bearer(token);
            request.header("accept", "text/event-stream").header("mcp-session-id", &session)
        };
        for answer in [post, plain("GET").send().await?, plain("DELETE").send().await?] {
            same_as_unknown(&answer, &unknown);
        }
    }
    // An id is no credential, and neither is a part of one.
    assert_eq!(house.legacy("behind", "x", &session, &echo(1, "x")).send().await?.status, 401);
    let flipped = if session.ends_with('A') { "B" } else { "A" };
    let mutants = [
        format!("{}{flipped}", &session[..session.len() - 1]),
        session[..session.len() - 4].to_owned(),
        format!("{session}AAAA"),
        "A".repeat(5000),
        "upstream-session-1".to_owned(),
    ];
    for mutant in mutants {
        same_as_unknown(&house.legacy("behind", &alice[0].access, &mutant, &echo(1, "x")).send().await?, &unknown);
    }
    assert_eq!(behind.seen().len(), before, "a stolen session reached the server");
    // Neither the theft nor the thief's DELETE has hurt it.
    let answer = house.legacy("behind", &alice[0].access, &session, &echo(1, "still mine")).send().await?;
    assert!(answer.status == 200 && answer.text().contains("still mine"), "{}", answer.text());
    house.stop().await
}

fn same_as_unknown(answer: &Answer, unknown: &Answer) {
    assert_eq!((answer.status, unknown.status), (404, 404), "{}", answer.text());
    let (mut ours, mut theirs) = (answer.json(), unknown.json());
    ours["id"].take();
    theirs["id"].take();
    assert_eq!(ours, theirs);
}

// spec: T-48
#[tokio::test(flavor = "multi_thread")]
async fn t48_session_ids_tell_nothing_and_mean_nothing_to_stateless_requests() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..10 {
        let session = house.session("behind", &alice.access).await?;
        assert!(session.len() >= 64 && !session.contains("upstream"), "{session}");
        assert!(ids.insert(session));
    }
    let answer = house.call("behind", &alice.access, "echo", json!({ "text": "alone" }));
    let answer = answer.header("mcp-session-id", "whatever").header("last-event-id", "7").send().await?;
    assert!(answer.status == 200 && answer.text().contains("alone"), "{}", answer.text());
    let sent = behind.calls("tools/call");
    assert!(sent.iter().all(|seen| seen.header("mcp-session-id").is_none() && seen.header("last-event-id").is_none()));
    house.stop().await
}

// spec: T-48
#[tokio::test(flavor = "multi_thread")]
async fn t48_events_are_resumed_only_in_the_session_that_got_them() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::with(|seen| {
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        let event = format!("id: secret-event\ndata: {note}\n\n").into_bytes();
        seen.line.starts_with("GET").then(|| Reply::Events(Box::new([event].into_iter()), Then::End))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let (mine, second) = (house.session("behind", &alice.access).await?, house.session("behind", &alice.access).await?);
    let bobs = house.session("behind", &bob.access).await?;
    let listen = |token: &str, session: &str| {
        let request = house.request("GET", "/mcp/behind").bearer(token).header("accept", "text/event-stream");
        request.header("mcp-session-id", session)
    };
    let heard = listen(&alice.access, &mine).send().await?.text();
    let event = heard.lines().find_map(|line| line.strip_prefix("id:")).context("an event id")?.trim().to_owned();
    ensure!(event != "secret-event", "the server's own id is shown");
    let resumed = |seen: &Behind| seen.seen().last().and_then(|seen| seen.header("last-event-id").map(str::to_owned));
    for (token, session) in [(&bob.access, &bobs), (&alice.access, &second)] {
        for id in [event.as_str(), "secret-event"] {
            listen(token, session).header("last-event-id", id).send().await?;
            assert_eq!(resumed(&behind), None, "{id} was taken up in another session");
        }
    }
    listen(&alice.access, &mine).header("last-event-id", &event).send().await?;
    assert_eq!(resumed(&behind).as_deref(), Some("secret-event"));
    house.stop().await
}

// spec: T-49
#[tokio::test(flavor = "multi_thread")]
async fn t49_a_hundred_sessions_with_the_same_ids_each_get_their_own_answers() -> Result<()> {
    let house = TestGateway::start().await?;
    // Half of the answers come as streams, with answers in them that nobody here has asked for.
    let behind = Behind::with(|seen| {
        let text = seen.body["params"]["arguments"]["text"].as_str()?.to_owned();
        let answer = seen.result(json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] }));
        let stray = |id: Value| {
            json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": "complete",
            "content": [{ "type": "text", "text": "somebody else's" }] } })
        };
        let next = seen.body["id"].as_u64().map_or(json!("x"), |id| json!(id + 1));
        text.ends_with('3').then(|| {
            let first = if seen.header("mcp-session-id").is_some() {
                vec![stray(json!("other"))]
            } else {
                vec![stray(next), stray(json!("other"))]
            };
            Reply::events(&[first, vec![answer]].concat(), Then::End)
        })
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let house = &house;
    let calls = (0..100).map(|n| {
        let token = if n % 2 == 0 { &alice.access } else { &bob.access };
        async move {
            let mine = format!("for session {n} only, {}", if n % 4 < 2 { 3 } else { 4 });
            let session = if n % 3 == 0 { None } else { Some(house.session("behind", token).await?) };
            for id in [1, 1, 2] {
                let answer = match &session {
                    None => house.modern(
                        "behind",
                        token,
                        id,
                        "tools/call",
                        json!({ "name": "echo", "arguments": { "text": mine } }),
                    ),
                    Some(session) => house.legacy("behind", token, session, &echo(id as u32, &mine)),
                };
                let answer = answer.send().await?;
                let text = answer.text();
                ensure!(answer.status == 200 && text.contains(&mine), "{n}: {text}");
                ensure!(text.matches("for session").count() <= 2 && answer.json()["id"] == id, "{n}: {text}");
                ensure!(!text.contains("somebody else's"), "{n}: {text}");
            }
            Ok(())
        }
    });
    try_join_all(calls).await?;
    // Towards the server no two requests of stateless callers had the same id.
    let mut ids: Vec<_> = behind
        .calls("tools/call")
        .iter()
        .filter(|seen| seen.header("mcp-session-id").is_none())
        .map(|seen| seen.body["id"].to_string())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((all, ids.len()), (102, 102));
    Ok(())
}

// spec: T-54
#[tokio::test(flavor = "multi_thread")]
async fn t54_no_route_and_no_method_leads_to_a_server_of_others() -> Result<()> {
    let house = TestGateway::without_people("").await?;
    house.person(ALICE, false, &["treasury"]).await?;
    house.person(BOB, false, &["canteen"]).await?;
    let behind = Behind::start().await?;
    let entry = |name: &str| json!({ "name": name, "url": format!("http://{}/mcp", behind.at), "description": "The vault of the house" });
    // Bob had access to both once; now one is the treasury's and the other is gone.
    house.protect_as(entry("vault")).await?;
    house.protect_as(entry("gone")).await?;
    let (_, tokens) = house.client_of(&["vault", "gone"], BOB).await?;
    let (_, alice) = house.client_of(&["vault"], ALICE).await?;
    let old = house.session("vault", &tokens[0].access).await?;
    let mut closed = entry("vault");
    closed["access"] = json!(["treasury"]);
    house.protect_as(closed).await?;
    let gone = portcullis_base::ServerName::parse("gone").map_err(|error| anyhow::anyhow!("{error}"))?;
    house.app.store.remove_server(&gone, house.app.clock.now()).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let before = behind.seen().len();

    let mut compared = 0;
    let params = json!({ "name": "echo", "uri": "file:///x", "taskId": "1", "arguments": {}, "protocolVersion": "2025-11-25",
        "ref": { "type": "ref/prompt", "name": "x" }, "argument": { "name": "x", "value": "y" } });
    for method in Method::all().map(Method::name).chain(["vault/open", "TOOLS/CALL"]) {
        let message = if method.starts_with("notifications/") {
            json!({ "jsonrpc": "2.0", "method": method, "params": params })
        } else {
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
        };
        let modern = |n: usize, server: &str| house.modern(server, &tokens[n].access, 1, method, params.clone());
        let legacy = |n: usize, server: &str| house.legacy(server, &tokens[n].access, &old, &message);
        same(&modern(0, "vault").send().await?, &modern(1, "gone").send().await?, method);
        same(&legacy(0, "vault").send().await?, &legacy(1, "gone").send().await?, method);
        compared += 2;
    }
    for verb in ["GET", "DELETE", "PUT", "PATCH", "HEAD", "POST"] {
        let ask = |n: usize, server: &str| {
            let request = house.request(verb, &format!("/mcp/{server}")).bearer(&tokens[n].access);
            request.header("accept", "text/event-stream").header("mcp-session-id", &old)
        };
        if verb == "HEAD" {
            assert_eq!(ask(0, "vault").stream().await?.status, ask(1, "gone").stream().await?.status);
        } else {
            same(&ask(0, "vault").send().await?, &ask(1, "gone").send().await?, verb);
        }
        compared += 1;
    }
    assert!(compared > 70, "{compared}");
    assert_eq!(behind.seen().len(), before, "somebody without access reached the server");
    // A path beside the endpoint is no way round.
    for path in [
        "/mcp/vault/",
        "/mcp/vault/x",
        "/mcp//vault",
        "/mcp/%76ault",
        "/mcp/VAULT",
        "/mcp/sample/../vault",
        "/sse/vault",
        "/mcp",
    ] {
        let answer = house.request("POST", path).bearer(&tokens[0].access).json(&echo(1, "x")).send().await?;
        assert!([401, 404, 405].contains(&answer.status), "{path}: {}", answer.status);
    }
    assert_eq!(behind.seen().len(), before, "somebody without access reached the server by another path");

    // Pages do not show it, and the authorization server gives no new token for it.
    let (mut bobs, mut alices) = (Browser::new(&house.authority), Browser::new(&house.authority));
    bobs.sign_in(BOB.0, BOB.1).await?;
    alices.sign_in(ALICE.0, ALICE.1).await?;
    let shown = |page: &str| page.contains("/mcp/vault") || page.contains("The vault of the house");
    let page = bobs.get("/").await?.text();
    let servers = page.split("Applications").next().unwrap_or_default().to_owned();
    assert!(!shown(&servers) && servers.contains("/mcp/sample"), "{servers}");
    assert!(shown(&alices.get("/").await?.text()));
    let client = Client::register(&house.authority, "Another").await?;
    let page = bobs.get(&authorize_target(&client.parameters("vault"))).await?;
    let page = bobs.settle(page).await?;
    assert!([403, 404].contains(&page.status) && !page.text().contains("decision"), "{page:?}");
    assert!(page.header("location").is_none() && !page.text().contains("code="), "{page:?}");
    // Who may use it can, in both eras.
    let answer = house.call("vault", &alice[0].access, "echo", json!({ "text": "gold" })).send().await?;
    assert!(answer.status == 200 && answer.text().contains("gold"), "{}", answer.text());
    let session = house.session("vault", &alice[0].access).await?;
    assert_eq!(house.legacy("vault", &alice[0].access, &session, &echo(1, "x")).send().await?.status, 200);
    house.stop().await
}

fn same(vault: &Answer, gone: &Answer, what: &str) {
    // Where to ask for access repeats the name that was asked for, and nothing else.
    let told = vault.text().replace("/access/vault", "/access/gone");
    assert_eq!((vault.status, told), (gone.status, gone.text()), "{what}");
    assert_eq!(vault.status, 404, "{what}: {}", vault.text());
    let names = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !["date", "content-length", "x-request-id"].contains(&name.as_str()));
        headers
    };
    assert_eq!(names(vault), names(gone), "{what}");
}

// spec: T-54
#[tokio::test(flavor = "multi_thread")]
async fn t54_unknown_methods_go_nowhere_even_for_those_with_access() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &alice.access).await?;
    let before = behind.seen().len();
    for method in ["admin/shutdown", "tools/Call", "tools/call ", "sampling/createMessage", "rpc.discover", "$/cancel"]
    {
        let modern =
            house.modern("behind", &alice.access, 1, method, json!({ "name": "echo" })).header("mcp-name", "echo");
        let answer = modern.send().await?;
        let code = answer.json()["error"]["code"].clone();
        assert!(
            answer.status >= 400 && (code == -32601 || code == -32020),
            "{method}: {} {}",
            answer.status,
            answer.text()
        );
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} });
        let answer = house.legacy("behind", &alice.access, &session, &message).send().await?;
        assert_eq!(answer.json()["error"]["code"], -32601, "{method}");
        let note = json!({ "jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": {} });
        assert!([202, 400].contains(&house.legacy("behind", &alice.access, &session, &note).send().await?.status));
    }
    assert_eq!(behind.seen().len(), before, "an unknown method was forwarded");
    house.stop().await
}
