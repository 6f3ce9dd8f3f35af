//! APIs that a document describes: put behind the gateway, and set up as the guide says.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Sandbox, blocks, commands, documentation, transcript};

const UP: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];

/// The document and the settings of the guide.
fn examples() -> [String; 2] {
    let blocks = blocks(&documentation("docs/guides/openapi.md"), "yaml");
    blocks.try_into().expect("the guide shows a document and settings")
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("shop.yaml", &examples()[0]);
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    sandbox
}

/// A document whose one operation asks for `schemes`.
fn asking(schemes: &Value) -> String {
    let names: Vec<_> = schemes.as_object().expect("an object").keys().map(|name| json!({ name: [] })).collect();
    json!({
        "openapi": "3.0.3", "info": { "title": "Weather", "version": "2" },
        "servers": [{ "url": "https://api.weather.example/v2" }], "security": names,
        "paths": { "/today": { "get": { "operationId": "today" }, "delete": {} } },
        "components": { "securitySchemes": schemes },
    })
    .to_string()
}

#[test]
fn the_guide_can_be_followed() {
    let sandbox = sandbox();
    let guide = documentation("docs/guides/openapi.md");
    let commands = commands(&guide);
    assert!(commands.first().is_some_and(|first| first == "portcullis protect --openapi shop.yaml"), "{commands:?}");
    let mut names = Vec::new();
    for command in commands {
        let arguments: Vec<_> = command.split_whitespace().skip(1).chain(["--json"]).collect();
        let ended = sandbox.run_with(&arguments, "", &[("SHOP_KEY", "sk_1")]);
        assert_eq!(ended.code, 0, "{command}\n{}", transcript(&ended));
        let told: Value = serde_json::from_str(&ended.out).expect("JSON");
        assert_eq!((&told["server"]["tools"], &told["server"]["read"]), (&json!(3), &json!(2)), "{told}");
        names.push(told["name"].as_str().expect("a name").to_owned());
    }
    assert_eq!(names[0], "shop");
    let other = self::sandbox();
    other.write("portcullis.yaml", &examples()[1]);
    let listed = other.run(&["server", "list"]);
    assert!(listed.code == 0 && listed.out.contains("https://api.shop.example.com/v1"), "{}", transcript(&listed));
    let again = other.run(&["protect", "--openapi", "shop.yaml", "--name", "shop"]);
    assert!(again.code == 1 && again.err.contains("the name \"shop\" is taken"), "{}", transcript(&again));
    assert_eq!(other.start(&UP, "Ctrl-C stops").stop(), 0);
}

#[test]
fn what_a_document_makes_is_told() {
    let sandbox = sandbox();
    assert_snapshot!(transcript(&sandbox.run(&["protect", "--openapi", "shop.yaml"])), @r#"
    ✓ shop is behind the gateway: http://127.0.0.1:7878/mcp/shop
      https://api.shop.example.com/v1: Shop 1, 3 tools (2 read, 1 write)
      It wants to see a key in the header X-Api-Key.
      Each person connects once: when they first call it, or at http://127.0.0.1:7878/connections/shop

    Put it into a client:
      portcullis connect claude-code --server shop --write
        or cursor, vscode, codex, gemini-cli, …: `connect --list` names all
    or paste this into the settings of any other:
      {"mcpServers":{"shop":{"type":"http","url":"http://127.0.0.1:7878/mcp/shop"}}}
    --- exit 0
    "#);
    let again = sandbox.run(&["protect", "--openapi", "shop.yaml", "--json"]);
    assert_snapshot!(transcript(&again), @r#"
    {"name":"shop","url":"http://127.0.0.1:7878/mcp/shop","upstream":"https://api.shop.example.com/v1","changed":false,"credential":"header","issuer":null,"cautions":[],"server":{"name":"Shop","version":"1","tools":3,"read":2,"write":1,"destroy":0,"asks_for":["a key in the header X-Api-Key"],"left_out":[]}}
    --- exit 0
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["server", "list"])), @"
    NAME  URL                              CREDENTIAL  GROUPS  FROM
    shop  https://api.shop.example.com/v1  header      *       database
    --- exit 0
    ");
    let check = sandbox.run(&["server", "check", "shop"]);
    assert_eq!(check.code, 0, "{}", transcript(&check));
    let running = sandbox.start(&UP, "Ctrl-C stops");
    for (name, status) in [("shop", "200"), ("nothing", "404")] {
        let at = running.address();
        let mut connection = TcpStream::connect(&at).expect("connect");
        let path = format!("/.well-known/oauth-protected-resource/mcp/{name}");
        write!(connection, "GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n").expect("write");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("read");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
    }
    drop(running);
    let left_out = examples()[0].replace(
        "parameters: [{ name: q",
        "servers: [{ url: \"https://elsewhere.example\" }]\n      parameters: [{ name: q",
    );
    sandbox.write("left-out.yaml", &left_out);
    let ended = sandbox.run(&["protect", "--openapi", "left-out.yaml"]);
    assert!(ended.code == 0 && ended.out.contains("left out: #/paths/~1orders~1search/get"), "{}", transcript(&ended));
}

#[test]
fn the_credential_is_what_the_document_asks_for() {
    let sandbox = sandbox();
    sandbox.write("key", "sk_1");
    let stored = |name: &str| -> Value {
        let row = rusqlite::Connection::open(sandbox.path("data/portcullis.db")).expect("open").query_row(
            "select entry from servers where name = ?1",
            [name],
            |row| row.get::<_, String>(0),
        );
        serde_json::from_str(&row.expect("an entry")).expect("JSON")
    };
    let wants = |kind: &str, more: Value| -> (Value, Value) {
        sandbox.write(&format!("{kind}.json"), &asking(&json!({ "s": more })));
        let file = format!("{kind}.json");
        let ended = sandbox.run(&["protect", "--openapi", &file, "--name", kind]);
        assert_eq!(ended.code, 0, "{kind}: {}", transcript(&ended));
        assert!(ended.out.contains("Each person connects once"), "{}", transcript(&ended));
        let entry = stored(kind);
        (entry["credential"].clone(), entry["openapi"]["key_in_query"].clone())
    };
    let header = wants("header", json!({ "type": "apiKey", "in": "header", "name": "X-Key" }));
    assert_eq!(header, (json!({ "kind": "header", "header": "X-Key", "prefix": "" }), Value::Null));
    let query = wants("query", json!({ "type": "apiKey", "in": "query", "name": "key" }));
    assert_eq!(query, (json!({ "kind": "header", "prefix": "" }), json!("key")));
    let cookie = wants("cookie", json!({ "type": "apiKey", "in": "cookie", "name": "sid" }));
    assert_eq!(cookie.0, json!({ "kind": "header", "header": "Cookie", "prefix": "sid=" }));
    assert_eq!(wants("bearer", json!({ "type": "http", "scheme": "bearer" })).0, json!({ "kind": "header" }));
    let basic = wants("basic", json!({ "type": "http", "scheme": "basic" }));
    assert_eq!(basic.0, json!({ "kind": "header", "prefix": "Basic " }));

    // The flags of other servers say the same here.
    let shared = sandbox.run(&["protect", "--openapi", "query.json", "--shared"]);
    assert!(shared.code == 0 && shared.out.contains("An administrator connects it once"), "{}", transcript(&shared));
    let open = sandbox.run(&["protect", "--openapi", "query.json", "--credential", "none"]);
    assert!(open.code == 0 && open.out.contains("query is behind the gateway:"), "{}", transcript(&open));
    assert_eq!(
        (&stored("query")["credential"], stored("query")["openapi"].get("key_in_query")),
        (&json!("none"), None)
    );
    let kept = sandbox.run(&["protect", "--openapi", "query.json", "--json"]);
    assert!(kept.out.contains("\"changed\":false"), "what was said before is forgotten: {}", transcript(&kept));
    let keyed = sandbox.run(&["protect", "--openapi", "query.json", "--api-key-from", "file:key"]);
    assert!(keyed.code == 0 && keyed.out.contains("cannot tell who called"), "{}", transcript(&keyed));
    let kept = sandbox.run(&["protect", "--openapi", "query.json", "--json"]);
    assert!(kept.out.contains("\"changed\":false"), "what was said before is forgotten: {}", transcript(&kept));
    let key = format!("file:{}", sandbox.path("key").display());
    assert_eq!(stored("query")["credential"], json!({ "kind": "header", "prefix": "", "value": key }));
}

#[test]
fn what_a_document_does_not_tell_is_asked_for() {
    let sandbox = sandbox();
    let oauth = json!({ "o": { "type": "oauth2", "flows": {} }, "mtls": { "type": "mutualTLS" } });
    sandbox.write("oauth.json", &asking(&oauth));
    let file = ["protect", "--openapi", "oauth.json"];
    assert_snapshot!(transcript(&sandbox.run(&file)), @"
    --- stderr
    error: https://api.weather.example/v2 asks for what its document alone does not tell
      it asks for (and the settings file writes that as):
      o: OAuth (`credential: {kind: oauth, issuer: …, client_id: …}`)
      mtls: a certificate (`tls:` with `client_certificate` and `client_key`)
      Is it OAuth? Say whose:  portcullis protect --openapi oauth.json --issuer https://login.example.com
      Does a key do as well?   the same with --credential header, or --header X-Api-Key
      Does it want nothing?    the same with --credential none
    --- exit 1
    ");
    let open = sandbox.run(&[&file[..], &["--credential", "none", "--name", "open"]].concat());
    assert_eq!(open.code, 0, "{}", transcript(&open));
    let issuer = sandbox.run(&[&file[..], &["https://127.0.0.1:9/v2", "--issuer", "https://127.0.0.1:9"]].concat());
    assert!(issuer.code == 0 && issuer.err.contains("cannot be used yet"), "{}", transcript(&issuer));
    let listed = sandbox.run(&["server", "list", "--json"]);
    assert!(listed.out.contains("\"credential\":\"oauth\""), "{}", listed.out);

    assert_snapshot!(transcript(&sandbox.run(&["protect", "--openapi", "https://shop.example/api.yaml"])), @"
    --- stderr
    error: a document is read from a file, and none is fetched
      curl -fsSLo api.yaml https://shop.example/api.yaml
      portcullis protect --openapi api.yaml
    --- exit 2
    ");
    assert_snapshot!(transcript(&sandbox.run(&["protect", "--openapi", "nowhere.yaml"])), @"
    --- stderr
    error: nowhere.yaml cannot be served as it is
      [DIR]/nowhere.yaml: the document cannot be read: No such file or directory (os error 2); name a file that the gateway's user may read
    --- exit 1
    ");
    sandbox.write("relative.yaml", &examples()[0].replace("https://api.shop.example.com", ""));
    assert_snapshot!(transcript(&sandbox.run(&["protect", "--openapi", "relative.yaml"])), @r#"
    --- stderr
    error: relative.yaml cannot be served as it is
      #/servers/0/url: "/v1" is relative, and nobody knows to what; write behind the file the API's address
    --- exit 1
    "#);
    let plain = ["protect", "--openapi", "relative.yaml", "http://api.shop.example.com/v1"];
    assert_snapshot!(transcript(&sandbox.run(&plain)), @"
    --- stderr
    error: http://api.shop.example.com/v1 is plain http to another machine: whoever is in between can read and change the calls
      use https://, or allow it for a network of your own: `private: true` in the file, `--private` with protect
    --- exit 2
    ");
    let private = sandbox.run(&[&plain[..], &["--private"]].concat());
    assert_eq!(private.code, 0, "{}", transcript(&private));
    let both = sandbox.run(&["protect", "--openapi", "shop.yaml", "--", "server"]);
    assert_eq!(both.code, 2, "{}", transcript(&both));
}
