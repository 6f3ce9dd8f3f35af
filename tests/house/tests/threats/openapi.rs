//! APIs that a document describes: used like any server, and by nobody for anything else.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_gateway::config::{Config, Sources};
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::{Value, json};

use crate::{
    behind::{Behind, Reply, Seen},
    origin_server::Canary,
};

const GUIDE: &str = include_str!("../../../../docs/guides/openapi.md");

/// The examples of the guide, in their order.
fn examples() -> Vec<&'static str> {
    GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn answer(media: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply::Raw([head.as_bytes(), body].concat())
}

/// The shop of the guide.
fn shop(seen: &Seen) -> Reply {
    let mut words = seen.line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if seen.header("x-api-key") != Some("sk_shop1") && !target.contains("sk_shop1") {
        return Reply::Json(401, json!({ "error": "no key" }));
    }
    match (method, target.split('?').next().unwrap_or_default()) {
        ("GET", "/v1/orders/7") => Reply::Json(200, json!({ "id": "7", "item": "rope", "count": 2 })),
        ("GET", "/v1/orders/odd") => Reply::Json(200, json!({ "item": 8 })),
        ("GET", "/v1/orders/picture") => answer("image/png", &[1, 2, 3]),
        ("GET", "/v1/orders/large") => answer("text/plain", &vec![b'x'; 5 << 20]),
        ("GET", "/v1/orders/search") => answer("text/csv", b"id,item\n7,rope\n"),
        ("POST", "/v1/orders") => Reply::Json(201, json!({ "id": "9" })),
        _ => Reply::Json(404, json!({ "error": "no such order" })),
    }
}

fn texts(result: &Value) -> String {
    result["content"].as_array().into_iter().flatten().filter_map(|one| one["text"].as_str()).collect()
}

async fn called(house: &TestGateway, server: &str, token: &str, tool: &str, arguments: Value) -> Result<Value> {
    let answer = house.call(server, token, tool, arguments).send().await?;
    ensure!(answer.status == 200, "{tool}: {} {}", answer.status, answer.text());
    let result = answer.json()["result"].clone();
    ensure!(result.is_object(), "{tool}: {}", answer.text());
    Ok(result)
}

async fn tools(house: &TestGateway, server: &str, token: &str) -> Result<Vec<Value>> {
    let (mut all, mut params) = (Vec::new(), json!({}));
    loop {
        let answer = house.modern(server, token, 1, "tools/list", params).send().await?;
        let result = answer.json()["result"].clone();
        all.extend(result["tools"].as_array().with_context(|| answer.text())?.clone());
        match result["nextCursor"].as_str() {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => return Ok(all),
        }
    }
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

fn problems(settings: &str) -> String {
    let sources = Sources { file: Some(("portcullis.yaml".to_owned(), settings.to_owned())), ..Sources::default() };
    Config::load(&sources).map_or_else(|problems| problems.to_string(), |_| String::new())
}

fn written(folder: &Path, name: &str, text: &str) -> Result<String> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

// spec: AG-36, AG-8, UP-42
#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_used_like_a_server() -> Result<()> {
    let behind = Behind::with(|seen| Some(shop(seen))).await?;
    let folder = tempfile::tempdir()?;
    let [document, settings, ..] = examples()[..] else { panic!("the guide has lost its examples") };
    let file = written(folder.path(), "shop.yaml", document)?;
    let key = written(folder.path(), "key", "sk_shop1")?;
    let settings = settings
        .replace("file: shop.yaml", &format!("file: {file}\n      url: http://{}/v1", behind.at))
        .replace("label: API key ", &format!("value: file:{key} "));
    let house = TestGateway::with(&settings).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let token = tokens.access.as_str();

    let found = tools(&house, "shop", token).await?;
    assert_eq!(names(&found), ["find_orders", "getOrder", "placeOrder"]);
    assert_eq!(found[1]["annotations"]["readOnlyHint"], true);
    assert_eq!(found[1]["outputSchema"]["type"], "object");
    assert_eq!(found[2]["inputSchema"]["$defs"]["Order"]["properties"].get("id"), None);

    let order = called(&house, "shop", token, "getOrder", json!({ "orderId": "7" })).await?;
    assert_eq!(order["structuredContent"], json!({ "id": "7", "item": "rope", "count": 2 }));
    assert_eq!(order.get("isError"), None);
    let placed = called(&house, "shop", token, "placeOrder", json!({ "body": { "item": "rope", "count": 1 } })).await?;
    assert_eq!(placed["structuredContent"], json!({ "id": "9" }));
    let sent = behind.seen().pop().context("nothing arrived")?;
    assert_eq!((sent.line.as_str(), &sent.body), ("POST /v1/orders HTTP/1.1", &json!({ "item": "rope", "count": 1 })));
    assert!(!sent.text().contains(token), "our token travels on");
    let rows = called(&house, "shop", token, "find_orders", json!({ "q": "a&b=c" })).await?;
    assert_eq!(texts(&rows), "id,item\n7,rope\n");
    assert_eq!(behind.seen().pop().context("nothing")?.line, "GET /v1/orders/search?q=a%26b%3Dc HTTP/1.1");

    // What goes wrong is for the model to read.
    let before = behind.seen().len();
    for (tool, arguments, why) in [
        ("placeOrder", json!({}), "body is missing"),
        ("placeOrder", json!({ "body": { "item": "" } }), "body.item is too short"),
        ("getOrder", json!({ "orderId": "7", "admin": true }), "admin is unknown here"),
    ] {
        let refused = called(&house, "shop", token, tool, arguments).await?;
        assert!(refused["isError"] == true && texts(&refused).contains(why), "{refused}");
    }
    assert_eq!(behind.seen().len(), before, "something was sent all the same");
    for (id, why) in [
        ("none", "The API answered 404:\n{\"error\":\"no such order\"}"),
        ("odd", "not as its OpenAPI document says (item must be of type string"),
        ("large", "more than 4 MiB"),
        ("picture", "not a JSON object"),
    ] {
        let failed = called(&house, "shop", token, "getOrder", json!({ "orderId": id })).await?;
        assert!(failed["isError"] == true && texts(&failed).contains(why), "{failed}");
    }
    let before = behind.seen().len();
    let unknown = house.call("shop", token, "nothing", json!({})).send().await?;
    assert_eq!(unknown.json()["error"]["code"], -32602, "{}", unknown.text());
    assert_eq!(behind.seen().len(), before);

    // A document that is written anew is read anew, and what cannot be used meanwhile changes nothing.
    fs::write(&file, "openapi: [")?;
    let patience = Instant::now() + Duration::from_secs(120);
    for name in ["buyIt", "orderIt"] {
        fs::write(&file, document.replace("operationId: placeOrder", &format!("operationId: {name}")))?;
        loop {
            let found = tools(&house, "shop", token).await?;
            assert_eq!(found.len(), 3);
            if names(&found).contains(&name) {
                break;
            }
            ensure!(Instant::now() < patience, "the new document is not read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    house.stop().await
}

// spec: AG-12, AG-14
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_and_a_strange_cursor_is_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let operation = |n: usize| (format!("/p{n}"), json!({ "get": { "operationId": format!("op{n:03}") } }));
    let paths: serde_json::Map<String, Value> = (0..250).rev().map(operation).collect();
    let document = json!({ "openapi": "3.1.0", "paths": paths });
    let file = written(folder.path(), "many.json", &document.to_string())?;
    let house = TestGateway::start().await?;
    house.protect_as(json!({ "name": "many", "openapi": { "file": file, "url": "http://127.0.0.1:9/" } })).await?;
    let (_, tokens) = house.client("many", ALICE).await?;
    let all = tools(&house, "many", &tokens.access).await?;
    let expected: Vec<_> = (0..250).map(|n| format!("op{n:03}")).collect();
    assert_eq!(names(&all), expected);
    for cursor in ["0", "100", "x.100", "AAAAAAAAAAAAAAAA.100"] {
        let answer = house.modern("many", &tokens.access, 1, "tools/list", json!({ "cursor": cursor })).send().await?;
        assert_eq!(answer.json()["error"]["code"], -32602, "{cursor}: {}", answer.text());
    }
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_into_the_query_only_where_document_and_settings_say_so() -> Result<()> {
    let behind = Behind::with(|seen| Some(shop(seen))).await?;
    let folder = tempfile::tempdir()?;
    let key = written(folder.path(), "key", "sk_shop1")?;
    let document = examples()[0].replace("in: header, name: X-Api-Key", "in: query, name: api_key");
    let file = written(folder.path(), "shop.yaml", &document)?;
    let settings = |inside: &str, credential: &str| {
        let openapi = format!("{{ file: {file}, url: 'http://{}/v1'{inside} }}", behind.at);
        let credential = format!("{{ kind: header, value: 'file:{key}'{credential} }}");
        format!("servers:\n  - name: shop\n    openapi: {openapi}\n    credential: {credential}\n")
    };
    let refused = problems(&settings(", key_in_query: token", ", prefix: ''"));
    assert!(refused.contains("no key in the query parameter \"token\""), "{refused}");
    assert!(refused.contains("parameter api_key"), "{refused}");
    let refused = problems(&settings(", key_in_query: api_key", ""));
    assert!(refused.contains("key_in_query needs a credential that is a key and nothing else"), "{refused}");
    let house = TestGateway::with(&settings(", key_in_query: api_key", ", prefix: ''")).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let order = called(&house, "shop", &tokens.access, "getOrder", json!({ "orderId": "7" })).await?;
    assert_eq!(order["structuredContent"]["item"], "rope");
    let sent = behind.seen().pop().context("nothing arrived")?;
    assert_eq!(sent.line, "GET /v1/orders/7?api_key=sk_shop1 HTTP/1.1");
    assert_eq!(sent.header("authorization"), None);
    assert!(!house.written().windows(8).any(|window| window == b"sk_shop1"), "the key is on the disk");
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_yet_is_asked_for_one() -> Result<()> {
    let behind = Behind::with(|seen| Some(shop(seen))).await?;
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), "shop.yaml", examples()[0])?;
    let house = TestGateway::start().await?;
    let credential = json!({ "kind": "header", "header": "X-Api-Key", "label": "API key" });
    let openapi = json!({ "file": file, "url": format!("http://{}/v1", behind.at) });
    house.protect_as(json!({ "name": "shop", "openapi": openapi, "credential": credential })).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let answer = house.call("shop", &tokens.access, "getOrder", json!({ "orderId": "7" })).send().await?;
    assert!(answer.text().contains("/connections/shop"), "{}", answer.text());
    assert!(behind.seen().is_empty(), "the API was called with nothing to show");
    house.stop().await
}

#[test]
fn what_is_wrong_with_a_document_is_said_with_file_line_and_place() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (shop, example) = (written(folder.path(), "shop.yaml", examples()[0])?, examples()[0]);
    let relative = written(folder.path(), "relative.yaml", &example.replace("https://api.shop.example.com", ""))?;
    let broken = written(folder.path(), "broken.yaml", "openapi: [")?;
    let plain = written(folder.path(), "plain.yaml", &example.replace("https://", "http://"))?;
    for (openapi, said) in [
        ("nowhere.yaml".to_owned(), "the document cannot be read: No such file"),
        (broken, "it cannot be read:"),
        (relative, "#/servers/0/url: \"/v1\" is relative, and nobody knows to what"),
        (plain, "is plain http to another machine"),
        (format!("{{ file: {shop}, include: [getOrdr] }}"), "\"getOrdr\" means no operation of the document"),
        (format!("{{ file: {shop}, names: {{ getOrder: a b }} }}"), "\"a b\" cannot be the name of a tool"),
        (format!("{{ file: {shop}, answers: maybe }}"), "expected one of checked, free"),
        (format!("{{ file: {shop}, inclood: [] }}"), "did you mean \"include\"?"),
        (format!("{{ file: {shop} }}\n    url: https://mcp.example.com/mcp"), "stands beside `url`"),
    ] {
        let shown = problems(&format!("servers:\n  - name: shop\n    openapi: {openapi}\n    credential: none\n"));
        assert!(shown.contains(said) && shown.contains("portcullis.yaml:3"), "{openapi}: {shown}");
    }
    assert_eq!(problems(&format!("servers:\n  - name: shop\n    openapi: {shop}\n    credential: none\n")), "");
    Ok(())
}

// spec: T-67
#[tokio::test(flavor = "multi_thread")]
async fn t67_no_argument_leaves_its_place_in_a_request_to_an_api() -> Result<()> {
    let behind = Behind::with(|_| Some(Reply::Json(200, json!({ "ok": true })))).await?;
    let folder = tempfile::tempdir()?;
    let document = json!({
        "openapi": "3.0.3",
        "paths": { "/users/{id}/notes": { "post": { "operationId": "note", "parameters": [
            { "name": "id", "in": "path", "required": true, "schema": {} },
            { "name": "q", "in": "query", "schema": {} },
            { "name": "admin", "in": "query", "schema": {} },
            { "name": "X-Note", "in": "header", "schema": {} },
            { "name": "X-Forwarded-For", "in": "header", "schema": {} },
            { "name": "c", "in": "cookie", "schema": {} },
        ], "requestBody": { "content": { "application/x-www-form-urlencoded": { "schema": { "type": "object" } } } } } } },
    });
    let file = written(folder.path(), "users.json", &document.to_string())?;
    let house = TestGateway::start().await?;
    let openapi = json!({ "file": file, "url": format!("http://{}/v1", behind.at) });
    house.protect_as(json!({ "name": "api", "openapi": openapi, "credential": "none" })).await?;
    let (_, tokens) = house.client("api", ALICE).await?;
    let call = async |arguments: Value| -> Result<Value> {
        Ok(house.call("api", &tokens.access, "note", arguments).send().await?.json())
    };
    let ids = [
        "..",
        ".",
        "",
        "../../admin",
        "a/b",
        "a\\b",
        "%2e%2e",
        "%252e%252e%252f",
        "a%2Fb",
        "7\r\nx-admin: 1",
        "..;",
        "a\0",
        "7 HTTP/1.1",
    ];
    let before = behind.seen().len();
    let others = [
        json!({ "id": "7", "X-Note": "a\r\nx-admin: 1" }),
        json!({ "id": "7", "X-Note": "ü" }),
        json!({ "id": "7", "X-Forwarded-For": "127.0.0.1" }),
        json!({ "id": "7", "q": { "admin": "true" } }),
        json!({ "id": "7", "other": 1 }),
        json!({ "id": { "deep": { "er": 1 } } }),
    ];
    for arguments in ids.iter().map(|id| json!({ "id": id })).chain(others) {
        let answer = call(arguments.clone()).await?;
        let said = texts(&answer["result"]);
        assert!(said.contains("Nothing was sent to the API"), "{arguments}: {answer}");
    }
    assert_eq!(behind.seen().len(), before, "the API heard of one of them: {:?}", behind.seen().last());
    let cookie = json!({ "id": "7", "c": "x; session=1", "body": { "a&b": "1&c=2" } });
    for (arguments, target) in [
        (json!({ "id": "a?admin=1#x" }), "/v1/users/a%3Fadmin%3D1%23x/notes"),
        (
            json!({ "id": "7", "q": "x HTTP/1.1\r\nHost: evil" }),
            "/v1/users/7/notes?q=x%20HTTP%2F1.1%0D%0AHost%3A%20evil",
        ),
        (json!({ "id": "7", "q": "1&admin=true" }), "/v1/users/7/notes?q=1%26admin%3Dtrue"),
        (cookie, "/v1/users/7/notes"),
    ] {
        let before = behind.seen().len();
        let answer = call(arguments.clone()).await?;
        assert_eq!(behind.seen().len(), before + 1, "{arguments}: {answer}");
        let seen = behind.seen().pop().context("nothing")?;
        assert_eq!(seen.line, format!("POST {target} HTTP/1.1"));
        assert_eq!(seen.header("host"), Some(behind.at.to_string().as_str()));
        assert!(seen.header("x-admin").is_none() && seen.header("x-forwarded-for").is_none());
        if arguments.get("c").is_some() {
            assert_eq!(seen.header("cookie"), Some("c=x%3B%20session%3D1"));
            assert!(seen.text().ends_with("\r\n\r\na%26b=1%26c%3D2"), "{}", seen.text());
        }
    }
    house.stop().await
}

// spec: T-66, AG-21
#[tokio::test(flavor = "multi_thread")]
async fn t66_a_hostile_document_fetches_nothing_and_hides_only_itself() -> Result<()> {
    let canary = Canary::new()?;
    let at = format!("http://127.0.0.1:{}", canary.port);
    let behind = Behind::with(|_| Some(Reply::Json(200, json!({ "ok": true })))).await?;
    let body = |schema: Value| {
        let content = json!({ "application/json": { "schema": schema } });
        json!({ "post": { "requestBody": { "content": content } } })
    };
    let values: Vec<_> = (0..10_000).map(|n| format!("value number {n}")).collect();
    let mut schemas = json!({
        "Loop": { "$ref": "#/components/schemas/Pool" },
        "Pool": { "$ref": "#/components/schemas/Loop" },
        "Tree": { "anyOf": [{ "$ref": "#/components/schemas/Tree" }, { "type": "number" }] },
        "Ruin": { "type": "string", "pattern": "^(a+)+$" },
        "D60": { "type": "null" },
    });
    for n in 0..60 {
        let next = json!({ "$ref": format!("#/components/schemas/D{}", n + 1) });
        schemas[format!("D{n}")] = json!({ "anyOf": [next, { "allOf": [next] }] });
    }
    let document = json!({
        "openapi": "3.1.0",
        "paths": {
            "/foreign": body(json!({ "$ref": format!("{at}/schema.json") })),
            "/file": body(json!({ "$ref": "file:///etc/passwd" })),
            "/base": body(json!({ "$id": at, "$ref": "x.json" })),
            "/path": { "$ref": format!("{at}/path.json") },
            "/loop": body(json!({ "$ref": "#/components/schemas/Loop" })),
            "/many": body(json!({ "enum": values })),
            "/tree": body(json!({ "$ref": "#/components/schemas/Tree" })),
            "/ruin": body(json!({ "$ref": "#/components/schemas/Ruin" })),
            "/double": body(json!({ "$ref": "#/components/schemas/D0" })),
            "/fine": { "get": {} },
        },
        "components": { "schemas": schemas },
    });
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), "hostile.json", &document.to_string())?;
    let house = TestGateway::start().await?;
    let openapi = json!({ "file": file, "url": format!("http://{}", behind.at) });
    house.protect_as(json!({ "name": "api", "openapi": openapi, "credential": "none" })).await?;
    let (_, tokens) = house.client("api", ALICE).await?;
    let found = tools(&house, "api", &tokens.access).await?;
    assert_eq!(names(&found), ["get_fine", "post_double", "post_ruin", "post_tree"]);
    assert_eq!(canary.touched(), 0, "a reference was fetched");
    let before = behind.seen().len();
    let ruinous = format!("{}!", "a".repeat(3000));
    for (tool, said) in [("post_ruin", "does not match the pattern"), ("post_double", "too large or too deep")] {
        let refused = called(&house, "api", &tokens.access, tool, json!({ "body": ruinous })).await?;
        assert!(refused["isError"] == true && texts(&refused).contains(said), "{refused}");
    }
    assert_eq!(behind.seen().len(), before);
    for (tool, arguments) in [("get_fine", json!({})), ("post_tree", json!({ "body": 1 }))] {
        let fine = called(&house, "api", &tokens.access, tool, arguments).await?;
        assert_eq!(fine["structuredContent"], json!({ "ok": true }));
    }
    // A document that would be too much is refused with what to do, before anybody asks for it.
    let paths: serde_json::Map<String, Value> = (0..501).map(|n| (format!("/p{n}"), json!({ "get": {} }))).collect();
    let many = json!({ "openapi": "3.1.0", "servers": [{ "url": "https://api.example.com" }], "paths": paths });
    let many = written(folder.path(), "many.json", &many.to_string())?;
    let large = written(folder.path(), "large.json", &" ".repeat((8 << 20) + 1))?;
    for (file, said) in
        [(many, "501 operations would become tools, at most 500 can"), (large, "at most 8388608 bytes are read")]
    {
        let shown = problems(&format!("servers: [{{ name: api, openapi: {file}, credential: none }}]"));
        assert!(shown.contains(said), "{shown}");
    }
    house.stop().await
}
