//! Toolboxes: what is called, rendered, read and completed through them, and what is not.

use serde_json::{Value, json};

use super::{
    harness::{Client, Gateway, Got, Setup, borrowed, modern, nobodys_access},
    upstream::{Reply, Seen, Speaks, Upstream, called, error},
};

/// A server that has what `offers` says, by the members of its lists, and tells back what it was asked.
pub async fn offering(offers: Value) -> Upstream {
    Upstream::with(Speaks::Modern, move |seen| offered(&offers, seen)).await
}

pub fn offered(offers: &Value, seen: &Seen) -> Option<Reply> {
    let caching = json!({ "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public" });
    let with = |name: &str, value: Value| {
        let mut result = caching.clone();
        result[name] = value;
        Some(Reply::json(200, &seen.result(result)))
    };
    let member = match seen.rpc() {
        "tools/list" => "tools",
        "prompts/list" => "prompts",
        "resources/list" => "resources",
        "resources/templates/list" => "resourceTemplates",
        "prompts/get" => {
            let link = json!({ "type": "resource_link", "name": "l", "uri": "file:///readme" });
            return with("messages", json!([{ "role": "user", "content": link }]));
        }
        "resources/read" => return with("contents", json!([{ "uri": seen.body["params"]["uri"], "text": "t" }])),
        "completion/complete" => {
            let values: Vec<_> = (0..120).map(|n| format!("{} {n}", seen.body["params"]["ref"])).collect();
            return with("completion", json!({ "values": values }));
        }
        "server/discover" => {
            let mut result = caching.clone();
            result["supportedVersions"] = json!(["2026-07-28"]);
            result["capabilities"] = offers.get("capabilities").cloned().unwrap_or(json!({ "tools": {} }));
            if let Some(words) = offers.get("instructions") {
                result["instructions"] = words.clone();
            }
            return Some(Reply::json(200, &seen.result(result)));
        }
        _ => return None,
    };
    match offers.get(member) {
        Some(list) => with(member, list.clone()),
        None => Some(Reply::json(404, &error(seen, -32601))),
    }
}

pub fn tool(name: &str) -> Value {
    json!({ "name": name, "description": format!("Does {name}"), "inputSchema": { "type": "object" } })
}

pub fn names(got: &Got, list: &str, member: &str) -> Vec<String> {
    let json = got.json();
    let list = json["result"][list].as_array().unwrap_or_else(|| panic!("{got:?}"));
    list.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

pub async fn tools_of(client: &Client) -> Vec<String> {
    names(&client.modern("tools/list", json!({})).await, "tools", "name")
}

/// What the server was asked to call.
fn asked(upstream: &Upstream) -> Value {
    upstream.calls("tools/call").last().map_or(Value::Null, |seen| seen.body["params"].clone())
}

// spec: AG-1, AG-2, AG-7, AG-12, AG-22
#[tokio::test]
async fn tools_of_two_servers_stand_beside_each_other_and_each_is_its_servers_own() {
    let search = json!({ "name": "search", "title": "S", "inputSchema": { "type": "object", "$defs": { "n": { "type": "number" } },
        "properties": { "q": { "$ref": "#/$defs/n" }, "r": { "type": "string", "x-mcp-header": "Region" } } },
        "annotations": { "readOnlyHint": true }, "_meta": { "x/y": [1.50] } });
    let github = offering(json!({ "tools": [tool("zoom"), search.clone()] })).await;
    let crm = offering(json!({ "tools": [search.clone()] })).await;
    let gateway =
        Gateway::start(Setup { servers: vec![("github", github.at), ("crm", crm.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let got = client.modern("tools/list", json!({})).await;
    assert_eq!(names(&got, "tools", "name"), ["github__search", "github__zoom", "crm__search"]);
    let mut expected = search;
    expected["name"] = "github__search".into();
    // spec: T-75: hints are ours, and nothing else is
    expected["annotations"] =
        json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false });
    assert_eq!(got.json()["result"]["tools"][0], expected);

    let (mut headers, body) =
        modern("tools/call", json!({ "name": "crm__search", "arguments": { "q": 1, "r": "eu" }, "x": 1.0 }));
    headers.push(("mcp-param-region".into(), "eu".into()));
    let got = client.post(&borrowed(&headers), &body).await;
    assert_eq!(got.json()["result"]["content"][0]["text"], "done", "{got:?}");
    assert!(github.calls("tools/call").is_empty());
    let seen = &crm.calls("tools/call")[0];
    assert_eq!((seen.header("mcp-name"), seen.header("mcp-param-region")), ("search", "eu"));
    assert_eq!(seen.body["params"]["name"], "search");
    assert!(std::str::from_utf8(&seen.raw).unwrap().contains("\"x\":1.0"));

    // spec: AG-1: "Token of one fails at the other."
    let stray = Client { path: "/mcp/crm".into(), ..client.clone() };
    assert_eq!(stray.modern("tools/list", json!({})).await.status, 401);
    let stray = Client { path: "/mcp/all".into(), ..gateway.client_at("alice", "crm") };
    assert_eq!(stray.modern("tools/list", json!({})).await.status, 401);
}

// spec: TR-46, AG-7
#[tokio::test]
async fn headers_are_held_against_the_names_and_arguments_that_were_shown() {
    let schema = json!({ "type": "object", "properties": { "r": { "type": "string", "x-mcp-header": "Region" } } });
    let a = offering(json!({ "tools": [{ "name": "find", "inputSchema": schema }] })).await;
    let gateway = Gateway::start(Setup {
        servers: vec![("a", a.at)],
        toolboxes: "  - { name: fixed, tools: [{ server: a, fixed: { find: { r: eu } } }] }\n",
        ..Setup::default()
    })
    .await;
    let client = gateway.client_at("alice", "all");
    let call = |name: &str| modern("tools/call", json!({ "name": name, "arguments": { "r": "eu" } }));
    let (headers, body) = call("a__find");
    let got = client.post(&borrowed(&headers), &body).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32020), "the header is missing");
    let (mut headers, body) = call("a__find");
    headers.iter_mut().filter(|(name, _)| name == "mcp-name").for_each(|(_, value)| *value = "find".into());
    assert_eq!(client.post(&borrowed(&headers), &body).await.code(), -32020, "the server's own name is not shown");
    assert!(a.calls("tools/call").is_empty());
    // Who does not see an argument sends no header for it; the server gets it all the same.
    let client = gateway.client_at("alice", "fixed");
    let got = client.modern("tools/call", json!({ "name": "a__find", "arguments": {} })).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(a.calls("tools/call")[0].header("mcp-param-region"), "eu");
}

// spec: AG-8
#[tokio::test]
async fn unknown_names_are_nobodys_and_nobody_is_asked() {
    let a = offering(json!({ "tools": [tool("x")], "prompts": [] })).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    tools_of(&client).await;
    client.modern("prompts/list", json!({})).await;
    let before = a.seen().len();
    for name in ["x", "b__x", "a__y", "a__X", "__x", "a__", "search_tools", "call_tool"] {
        let got = client.modern("tools/call", json!({ "name": name, "arguments": {} })).await;
        assert_eq!((got.status.as_u16(), got.code()), (200, -32602), "{name}: {got:?}");
    }
    assert_eq!(client.modern("prompts/get", json!({ "name": "a__p" })).await.code(), -32602);
    assert_eq!(a.seen().len(), before);
}

// spec: AG-3, AG-4, AG-5
#[tokio::test]
async fn names_that_do_not_fit_lead_back_to_their_tool() {
    let long = "n".repeat(200);
    let odd = [long.as_str(), "файл.читать", "a b/c", "send_email", "send_emaіl", "😀"];
    let a = offering(json!({ "tools": odd.map(tool) })).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let shown = tools_of(&client).await;
    assert_eq!(shown.len(), odd.len());
    let mut called = Vec::new();
    for name in &shown {
        assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)), "{name}");
        assert_eq!(client.modern("tools/call", json!({ "name": name, "arguments": {} })).await.code(), 0);
        called.push(asked(&a)["name"].as_str().unwrap().to_owned());
    }
    called.sort_unstable();
    let mut odd = odd.to_vec();
    odd.sort_unstable();
    assert_eq!(called, odd);
}

// spec: AG-26
#[tokio::test]
async fn what_a_toolbox_does_not_show_cannot_be_called_and_what_it_fixes_cannot_be_given() {
    let schema = json!({ "type": "object", "properties": { "repo": { "type": "string" }, "title": {}, "limit": { "type": "integer" } },
        "required": ["repo", "title", "limit"] });
    let issue = json!({ "name": "create_issue", "description": "As it was", "inputSchema": schema });
    let github =
        offering(json!({ "tools": [issue, tool("search_code"), tool("search_issues"), tool("delete_repo")] })).await;
    let gateway = Gateway::start(Setup {
        servers: vec![("github", github.at)],
        toolboxes: r"  - name: support
    tools:
      - server: github
        include: [search_*, create_issue]
        exclude: [search_code]
        rename: { create_issue: open_ticket }
        describe: { create_issue: Opens a ticket. }
        fixed: { create_issue: { repo: acme/support } }
        defaults: { create_issue: { limit: 20 } }
",
        ..Setup::default()
    })
    .await;
    let client = gateway.client_at("alice", "support");
    let got = client.modern("tools/list", json!({})).await;
    assert_eq!(names(&got, "tools", "name"), ["github__search_issues", "open_ticket"]);
    let ticket = &got.json()["result"]["tools"][1];
    assert_eq!(ticket["description"], "Opens a ticket.");
    let schema = json!({ "type": "object", "properties": { "title": {}, "limit": { "type": "integer", "default": 20 } }, "required": ["title"] });
    assert_eq!(ticket["inputSchema"], schema);

    let call = async |name: &str, arguments: Value| {
        client.modern("tools/call", json!({ "name": name, "arguments": arguments })).await.code()
    };
    for name in ["github__delete_repo", "github__search_code", "github__create_issue", "create_issue"] {
        assert_eq!(call(name, json!({})).await, -32602, "{name}");
    }
    assert_eq!(call("open_ticket", json!({ "title": "x", "repo": "other/repo" })).await, -32602);
    assert!(github.calls("tools/call").is_empty());
    assert_eq!(call("open_ticket", json!({ "title": "x" })).await, 0);
    assert_eq!(asked(&github)["arguments"], json!({ "title": "x", "repo": "acme/support", "limit": 20 }));
    assert_eq!(call("open_ticket", json!({ "title": "x", "limit": 3 })).await, 0);
    assert_eq!(asked(&github)["arguments"]["limit"], 3);
}

// spec: AG-26, RS-27, T-55
#[tokio::test]
async fn access_to_a_toolbox_gives_none_to_its_servers_nor_the_other_way() {
    let (a, b) = (offering(json!({ "tools": [tool("x")] })).await, offering(json!({ "tools": [tool("x")] })).await);
    let gateway = Gateway::start(Setup {
        servers: vec![("a", a.at), ("b", b.at)],
        toolboxes: "  - { name: ours, tools: [{ server: a }, { server: b }] }\n  - { name: theirs, access: [group:elsewhere], tools: [{ server: a }] }\n",
        ..Setup::default()
    })
    .await;
    gateway.change(|snapshot| {
        let server = &snapshot.servers[&portcullis_base::ServerName::parse("b").unwrap()];
        let closed = portcullis_gateway::snapshot::Server {
            name: server.name.clone(),
            location: server.location.clone(),
            limits: server.limits,
            access: nobodys_access(),
            description: None,
            credential: server.credential.clone(),
            request_headers: server.request_headers.clone(),
            tools: server.tools,
            allow: server.allow,
            risk: server.risk.clone(),
            audit: server.audit,
        };
        snapshot.servers.insert(server.name.clone(), closed.into());
    });
    for name in ["ours", "all"] {
        let client = gateway.client_at("alice", name);
        assert_eq!(tools_of(&client).await, ["a__x"]);
        let got = client.modern("tools/call", json!({ "name": "b__x", "arguments": {} })).await;
        assert_eq!(got.code(), -32602, "{got:?}");
    }
    assert!(b.seen().is_empty());
    assert_eq!(gateway.client_at("alice", "theirs").modern("tools/list", json!({})).await.status, 404);
}

const NO_DELETING: &str = "- rule: no-deleting\n  who: [\"*\"]\n  what: [\"a/delete\"]\n  then: deny\n";

// spec: T-105, T-54
#[tokio::test]
async fn a_rule_holds_whichever_way_a_tool_is_called() {
    let a = offering(json!({ "tools": [tool("delete"), tool("look")] })).await;
    let gateway = Gateway::start(Setup {
        servers: vec![("a", a.at)],
        toolboxes: "  - { name: plain, tools: [{ server: a, rename: { delete: tidy } }] }\n  - { name: wide, search: on, tools: [{ server: a }] }\n",
        rules: NO_DELETING,
        ..Setup::default()
    })
    .await;
    assert_eq!(tools_of(&gateway.client_at("alice", "plain")).await, ["a__look"]);
    let ways = [
        ("a", json!({ "name": "delete", "arguments": { "id": 7 } })),
        ("all", json!({ "name": "a__delete", "arguments": { "id": 7 } })),
        ("plain", json!({ "name": "tidy", "arguments": { "id": 7 } })),
        ("wide", json!({ "name": "a__delete", "arguments": { "id": 7 } })),
        ("wide", json!({ "name": "call_tool", "arguments": { "name": "a__delete", "arguments": { "id": 7 } } })),
    ];
    for (endpoint, call) in ways {
        let got = gateway.client_at("alice", endpoint).modern("tools/call", call.clone()).await;
        assert_eq!(got.code(), -32602, "{endpoint} {call}: {got:?}");
    }
    assert!(a.calls("tools/call").is_empty());
    let got = gateway.client_at("alice", "wide");
    let got = got.modern("tools/call", json!({ "name": "call_tool", "arguments": { "name": "a__look" } })).await;
    assert_eq!(got.code(), 0, "{got:?}");
    assert_eq!(asked(&a)["name"], "look");
    // The record is of the tool that was meant, and says by which way.
    let records = gateway.records().await;
    let looked: Vec<_> = records.iter().filter(|r| r["event"] == "call.decided" && r["name"] == "look").collect();
    assert_eq!(looked.len(), 1, "{records:#?}");
    assert_eq!((&looked[0]["server"], &looked[0]["details"]["through"]), (&json!("a"), &json!("wide")));
}

// spec: AG-36
#[tokio::test]
async fn results_too_large_to_be_looked_through_end_with_an_error() {
    let a = Upstream::with(Speaks::Modern, |seen| {
        if seen.rpc() != "tools/call" {
            return offered(&json!({ "tools": [tool("x")] }), seen);
        }
        let size = seen.body["params"]["arguments"]["size"].as_u64().unwrap() as usize;
        let content = json!([{ "type": "text", "text": "x".repeat(size) }]);
        Some(Reply::json(200, &seen.result(json!({ "resultType": "complete", "content": content }))))
    })
    .await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let call =
        async |size: usize| client.modern("tools/call", json!({ "name": "a__x", "arguments": { "size": size } })).await;
    let got = call(15 << 20).await.json();
    assert_eq!(got["result"]["content"][0]["text"].as_str().map(str::len), Some(15 << 20));
    let got = call(17 << 20).await;
    assert_eq!((got.code(), &got.json()["id"]), (-32603, &json!(1)), "{:.200}", format!("{got:?}"));
    let records = gateway.records().await;
    let note = "an answer too large to be looked through";
    assert!(records.iter().any(|r| r["event"] == "call.ended" && r.to_string().contains(note)), "{records:#?}");
}

// spec: AG-28
#[tokio::test]
async fn a_large_toolbox_can_be_searched_instead_of_read() {
    let mut tools: Vec<_> = (0..50).map(|n| tool(&format!("filler_{n}"))).collect();
    tools.push(json!({ "name": "create_invoice", "description": "Writes a bill for a customer",
        "inputSchema": { "type": "object", "properties": { "customer": { "type": "string" } } } }));
    let a = offering(json!({ "tools": tools })).await;
    let gateway = Gateway::start(Setup {
        servers: vec![("a", a.at)],
        toolboxes: "  - { name: wide, search: on, tools: [{ server: a, exclude: [filler_1] }] }\n",
        ..Setup::default()
    })
    .await;
    let client = gateway.client_at("alice", "wide");
    assert_eq!(tools_of(&client).await, ["search_tools", "describe_tool", "call_tool"]);
    let call = async |name: &str, arguments: Value| {
        client.modern("tools/call", json!({ "name": name, "arguments": arguments })).await.json()
    };
    let found = call("search_tools", json!({ "query": "bill a customer", "limit": 3 })).await;
    assert_eq!(found["result"]["structuredContent"]["tools"][0]["name"], "a__create_invoice", "{found}");
    let found = call("describe_tool", json!({ "name": "a__create_invoice" })).await;
    assert_eq!(found["result"]["structuredContent"]["inputSchema"]["properties"]["customer"]["type"], "string");
    assert_eq!(call("describe_tool", json!({ "name": "a__filler_1" })).await["result"]["isError"], true);
    assert!(a.calls("tools/call").is_empty());
    let arguments = json!({ "customer": "x" });
    call("call_tool", json!({ "name": "a__create_invoice", "arguments": arguments })).await;
    assert_eq!(asked(&a)["arguments"], arguments);
    for wrong in [
        json!({ "name": "a__filler_1" }),
        json!({ "name": "call_tool", "arguments": {} }),
        json!({ "name": "a__create_invoice", "arguments": [] }),
        json!({}),
    ] {
        assert_eq!(call("call_tool", wrong.clone()).await["error"]["code"], -32602, "{wrong}");
    }
    assert_eq!(a.calls("tools/call").len(), 1);
}

fn resources(uris: &[&str]) -> Value {
    uris.iter().map(|uri| json!({ "name": "r", "uri": uri, "mimeType": "text/plain" })).collect()
}

fn templates(templates: &[&str]) -> Value {
    templates.iter().map(|template| json!({ "name": "t", "uriTemplate": template })).collect()
}

// spec: AG-30, AG-31, AG-32, AG-34
#[tokio::test]
async fn resources_of_two_servers_are_told_apart() {
    let a = json!({ "resources": resources(&["file:///readme", "file:///a"]), "tools": [tool("x")],
        "resourceTemplates": templates(&["note://{id}", "both://{id}"]), "prompts": [{ "name": "p" }] });
    let b = json!({ "resources": resources(&["file:///readme"]), "resourceTemplates": templates(&["both://{+path}"]) });
    let link = json!({ "type": "resource_link", "name": "l", "uri": "hidden://1" });
    let linked = json!({ "resultType": "complete", "content": [link] });
    let a = Upstream::with(Speaks::Modern, move |seen| match seen.rpc() {
        "tools/call" => Some(Reply::json(200, &seen.result(linked.clone()))),
        _ => offered(&a, seen),
    })
    .await;
    let b = offering(b).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let got = client.modern("resources/list", json!({})).await;
    let (ours, theirs) = ("portcullis.a+file:///readme", "portcullis.b+file:///readme");
    assert_eq!(names(&got, "resources", "uri"), ["file:///a", ours, theirs]);
    let got = client.modern("resources/templates/list", json!({})).await;
    assert_eq!(names(&got, "resourceTemplates", "uriTemplate"), ["both://{id}", "note://{id}", "both://{+path}"]);

    let read = async |uri: &str| client.modern("resources/read", json!({ "uri": uri })).await;
    for (uri, server, own) in [
        ("file:///a", &a, "file:///a"),
        (ours, &a, "file:///readme"),
        (theirs, &b, "file:///readme"),
        ("note://7", &a, "note://7"),
        ("both://x/y", &b, "both://x/y"),
    ] {
        let got = read(uri).await;
        assert_eq!(got.json()["result"]["contents"][0]["uri"], uri, "{got:?}");
        let seen = server.calls("resources/read");
        assert_eq!(
            (seen.last().unwrap().header("mcp-name"), &seen.last().unwrap().body["params"]["uri"]),
            (own, &json!(own))
        );
    }
    let reads = || a.calls("resources/read").len() + b.calls("resources/read").len();
    let before = reads();
    for uri in ["file:///readme", "both://x", "unheard://of", "portcullis.c+file:///a"] {
        assert_eq!(read(uri).await.code(), -32602, "{uri}");
    }
    assert_eq!(reads(), before);
    // What only an answer names can be read as the answer names it.
    let got = client.modern("tools/call", json!({ "name": "a__x", "arguments": {} })).await.json();
    let uri = got["result"]["content"][0]["uri"].as_str().unwrap();
    assert_eq!(uri, "portcullis.a+hidden://1");
    assert_eq!(read(uri).await.json()["result"]["contents"][0]["uri"], uri);
    let got = client.modern("prompts/get", json!({ "name": "a__p" })).await.json();
    assert_eq!(got["result"]["messages"][0]["content"]["uri"], ours);
}

// spec: AG-7, AG-35
#[tokio::test]
async fn arguments_are_completed_by_the_server_that_has_them() {
    let a = offering(json!({ "prompts": [{ "name": "p" }], "resourceTemplates": templates(&["n://{id}"]) })).await;
    let b = offering(json!({ "prompts": [{ "name": "p" }], "resourceTemplates": templates(&["n://{id}"]) })).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let complete = async |reference: Value| {
        let params = json!({ "ref": reference, "argument": { "name": "x", "value": "" } });
        client.modern("completion/complete", params).await
    };
    let got = complete(json!({ "type": "ref/prompt", "name": "b__p" })).await.json();
    let values = got["result"]["completion"]["values"].as_array().unwrap();
    assert_eq!((values.len(), &values[0]), (100, &json!(r#"{"type":"ref/prompt","name":"p"} 0"#)));
    complete(json!({ "type": "ref/resource", "uri": "portcullis.a+n://{id}" })).await;
    assert_eq!(a.calls("completion/complete")[0].body["params"]["ref"]["uri"], "n://{id}");
    assert_eq!(complete(json!({ "type": "ref/resource", "uri": "n://{id}" })).await.code(), -32602);
    assert_eq!(complete(json!({ "type": "ref/prompt", "name": "c__p" })).await.code(), -32602);
    assert_eq!((a.calls("completion/complete").len(), b.calls("completion/complete").len()), (1, 1));
}

// spec: BR-117, BR-60
#[tokio::test]
async fn a_call_that_wants_input_goes_on_at_its_own_server() {
    let a = Upstream::with(Speaks::Modern, |seen| match seen.rpc() {
        "tools/call" if seen.body["params"]["requestState"].is_null() => {
            let wish = json!({ "resultType": "input_required", "requestState": "theirs", "inputRequests": {} });
            Some(Reply::json(200, &seen.result(wish)))
        }
        "tools/call" => Some(Reply::json(200, &seen.result(called(seen)))),
        _ => offered(&json!({ "tools": [tool("x"), tool("y")] }), seen),
    })
    .await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let capabilities = json!({ "extensions": { "io.modelcontextprotocol/ui": {}, "example.com/odd": {} } });
    let (headers, mut body) = modern("tools/call", json!({ "name": "a__x", "arguments": {} }));
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    let got = client.post(&borrowed(&headers), &body).await.json();
    let state = got["result"]["requestState"].clone();
    assert_ne!(state, "theirs");
    let seen = &asked(&a)["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"];
    assert_eq!(*seen, json!({ "io.modelcontextprotocol/ui": {} }));
    let again = |name: &str| json!({ "name": name, "arguments": {}, "requestState": state, "inputResponses": {} });
    assert_eq!(client.modern("tools/call", again("a__y")).await.code(), -32602);
    let stray = gateway.client_at("alice", "a");
    assert_eq!(stray.modern("tools/call", again("x")).await.code(), -32602, "another endpoint");
    assert_eq!(client.modern("tools/call", again("a__x")).await.code(), 0);
    assert_eq!(asked(&a)["requestState"], "theirs");
}

// spec: AG-9, RS-14
#[tokio::test]
async fn what_is_not_for_several_servers_is_not_served() {
    let a = offering(json!({ "tools": [tool("x")] })).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    for method in ["tasks/list", "tasks/result", "logging/setLevel"] {
        assert_eq!(client.modern(method, json!({ "taskId": "t" })).await.code(), -32601, "{method}");
    }
    // A token that reaches no further is told so in the name of the toolbox.
    let token = gateway.token_for("alice", "all", "mcp:read", std::time::Duration::from_mins(5));
    let got = client.with_token(&token).modern("tools/call", json!({ "name": "a__x", "arguments": {} })).await;
    assert_eq!(got.status, 403);
    assert!(got.header("www-authenticate").contains("/oauth-protected-resource/mcp/all"), "{got:?}");
    let token = gateway.token_for("alice", "all", "offline_access", std::time::Duration::from_mins(5));
    assert_eq!(client.with_token(&token).modern("tools/list", json!({})).await.status, 403);
    assert!(a.calls("tools/call").is_empty());
}
