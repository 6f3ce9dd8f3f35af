//! Clients of older revisions before an API that a document describes.

use std::{io::Write, sync::Arc};

use http::Method;
use portcullis_gateway::{
    config::{Entry, Environment},
    snapshot::Server,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    harness::{Client, Gateway, Setup},
    older::able,
    upstream::{Reply, Seen, Speaks, Upstream},
};

/// The most that becomes a result, and one more.
const LARGEST: usize = 4 << 20;

fn text(body: String) -> Reply {
    Reply::Whole(200, vec![("content-type", "text/plain".into())], body.into())
}

fn orders(seen: &Seen) -> Reply {
    match (&seen.method, seen.target.as_str()) {
        (&Method::GET, "/v1/orders/7") => Reply::json(200, &json!({ "item": "rope" })),
        (&Method::GET, "/v1/export/large") => text("x".repeat(LARGEST)),
        (&Method::GET, "/v1/export/larger") => text("x".repeat(LARGEST + 1)),
        (&Method::POST, "/v1/orders") => Reply::json(201, &seen.body),
        _ => Reply::json(404, &json!({ "error": "no such order" })),
    }
}

/// A gateway with `shop`, the API, and its document.
async fn shop() -> (Gateway, Upstream, NamedTempFile) {
    let behind = Upstream::with(Speaks::Modern, |seen| Some(orders(seen))).await;
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    let body = json!({ "required": true, "content": { "application/json": { "schema": { "type": "object" } } } });
    let document = json!({ "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": {
        "/export/{id}": { "get": { "operationId": "export", "parameters": [&id] } },
        "/orders/{id}": { "get": { "operationId": "getOrder", "parameters": [id],
            "responses": { "200": { "content": { "application/json": { "schema": { "type": "object",
                "properties": { "item": { "type": "string" } }, "required": ["item"] } } } } } } },
        "/orders": { "post": { "operationId": "placeOrder", "requestBody": body } },
    } });
    let mut file = NamedTempFile::new().unwrap();
    write!(file, "{document}").unwrap();
    let url = format!("http://{}/v1", behind.at);
    let entry = json!({ "name": "shop", "openapi": { "file": file.path(), "url": url }, "credential": "none",
        "access": [{ "group": "*", "allow": ["*"] }] });
    let entry = Entry::from_json(&entry.to_string()).unwrap().server(&Environment::default()).unwrap();
    let gateway = Gateway::start(Setup::default()).await;
    gateway.change(|snapshot| {
        snapshot.servers.insert(entry.name.clone(), Arc::new(Server::of(&entry).unwrap()));
    });
    (gateway, behind, file)
}

async fn called(client: &Client, session: &str, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params });
    let got = client.within(session, &body).await;
    assert_eq!((got.status.as_u16(), &got.json()["id"]), (200, &json!("c")), "{got:?}");
    got.json()["result"].clone()
}

// spec: BR-20, BR-23, AG-36
#[tokio::test]
async fn a_client_of_an_older_revision_uses_an_api() {
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let (gateway, behind, _document) = shop().await;
        let client = gateway.client_at("alice", "shop");
        let session = able(&client, version).await;
        let list = json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list" });
        let listed = client.within(&session, &list).await.json();
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{version}: {listed}"));
        let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["export", "getOrder", "placeOrder"]);
        assert_eq!(tools[1]["annotations"]["readOnlyHint"], true);
        assert_eq!(tools[1]["outputSchema"]["required"], json!(["item"]), "{version}: {listed}");
        assert_eq!((&listed["result"]["ttlMs"], &listed["result"]["resultType"]), (&Value::Null, &Value::Null));
        assert!(behind.seen().is_empty(), "a list asks nothing of the API");

        let order = called(&client, &session, "getOrder", json!({ "id": "7" })).await;
        assert_eq!(order["content"][0]["text"], r#"{"item":"rope"}"#, "{version}: {order}");
        assert_eq!(order["structuredContent"], json!({ "item": "rope" }), "{version}: {order}");
        let placed = called(&client, &session, "placeOrder", json!({ "body": { "item": "saw" } })).await;
        assert_eq!((placed.get("isError"), placed.get("resultType")), (None, None), "{placed}");
        let seen = behind.seen().pop().unwrap();
        assert_eq!((&seen.method, &seen.body), (&Method::POST, &json!({ "item": "saw" })));
        assert!(!seen.headers.contains_key("mcp-session-id") && !seen.headers.contains_key("mcp-method"));

        let missing = called(&client, &session, "getOrder", json!({ "id": "8" })).await;
        let said = missing["content"][0]["text"].as_str().unwrap();
        assert!(missing["isError"] == true && said.contains("404") && said.contains("no such order"), "{missing}");
        let wrong = called(&client, &session, "getOrder", json!({ "id": 8 })).await;
        assert!(wrong["isError"] == true && behind.seen().len() == 3, "{wrong}");

        let large = called(&client, &session, "export", json!({ "id": "large" })).await;
        assert_eq!(large["content"][0]["text"].as_str().map(str::len), Some(LARGEST), "{version}");
        let larger = called(&client, &session, "export", json!({ "id": "larger" })).await;
        let said = larger["content"][0]["text"].as_str().unwrap();
        assert!(larger["isError"] == true && said.contains("more than 4 MiB"), "{said:.200}");
    }
}
