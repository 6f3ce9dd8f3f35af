//! Servers that ask who calls: noticed when they are put behind the gateway, looked at step by step, connected and
//! disconnected.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use insta::assert_snapshot;

use super::{Ended, Sandbox, commands, documentation, transcript};

/// One request as the server saw it: its first line, and the headers of which a credential could be one.
type Seen = Arc<Mutex<Vec<String>>>;

/// A server that answers by what it is asked for: `METHOD /path` and the value of `Authorization` or `X-Api-Key`.
fn server(answer: impl Fn(SocketAddr, &str, &str) -> (u16, String, String) + Send + 'static) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address");
    let seen = Seen::default();
    let heard = seen.clone();
    // It lives as long as the test process: nothing waits for it.
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(&connection);
            let (mut first, mut line) = (String::new(), String::new());
            let (mut length, mut key) = (0, String::new());
            if reader.read_line(&mut first).is_err() {
                continue;
            }
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap_or(0),
                    "authorization" | "x-api-key" => key = format!("{name}: {value}"),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let asked = first.rsplit_once(' ').map_or(first.as_str(), |(asked, _)| asked);
            heard.lock().expect("no holder panics").push(format!("{asked} {key}"));
            let body = String::from_utf8_lossy(&body).into_owned();
            let (status, headers, text) = answer(address, &format!("{asked} {body}"), &key);
            let _ = write!(
                &connection,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{text}",
                text.len()
            );
        }
    });
    (address, seen)
}

/// A server with OAuth, which is its own authorization server; `extra` are more members of that one's metadata.
fn with_oauth(extra: &'static str) -> SocketAddr {
    let answer = move |at: SocketAddr, asked: &str, _: &str| {
        let path = asked.split(' ').nth(1).unwrap_or_default();
        match path {
            "/mcp" => {
                let challenge = format!("www-authenticate: Bearer resource_metadata=\"http://{at}/.well-known/oauth-protected-resource/mcp\"\r\n");
                (401, challenge, String::new())
            }
            "/.well-known/oauth-protected-resource/mcp" => (200, String::new(), format!(
                r#"{{"resource":"http://{at}/mcp","authorization_servers":["http://{at}"],"scopes_supported":["read"]}}"#
            )),
            "/.well-known/oauth-authorization-server" => (200, String::new(), format!(
                r#"{{"issuer":"http://{at}","authorization_endpoint":"http://{at}/authorize","token_endpoint":"http://{at}/token","response_types_supported":["code"],"code_challenge_methods_supported":["S256"]{extra}}}"#
            ).replace("[AT]", &format!("http://{at}"))),
            _ => (404, String::new(), String::new()),
        }
    };
    server(answer).0
}

/// An MCP server of the newest revision for whoever shows this header.
fn with_key(expected: &'static str) -> (SocketAddr, Seen) {
    server(move |_, asked, key| {
        if !key.eq_ignore_ascii_case(expected) {
            return (401, String::new(), r#"{"error":"key?"}"#.to_owned());
        }
        let id = asked.split(r#""id":"#).nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("0");
        let result = if asked.contains("server/discover") {
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"ttlMs":0,"cacheScope":"public","capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"search","version":"1"}}}"#
        } else if asked.contains("tools/list") {
            r#"{"resultType":"complete","tools":[],"ttlMs":0,"cacheScope":"public"}"#
        } else {
            return (
                404,
                String::new(),
                format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"Method not found"}}}}"#),
            );
        };
        (200, String::new(), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
    })
}

fn shown(ended: &Ended, at: SocketAddr) -> String {
    transcript(ended).replace(&at.to_string(), "[SERVER]")
}

#[test]
fn oauth_is_noticed_and_its_issuer_written_down() {
    let sandbox = Sandbox::new();
    let at = with_oauth(r#","registration_endpoint":"[AT]/register","revocation_endpoint":"[AT]/revoke""#);
    let url = format!("http://{at}/mcp");
    assert_snapshot!(shown(&sandbox.run(&["protect", &url, "--name", "tickets"]), at), @r#"
    ✓ tickets is behind the gateway: http://127.0.0.1:7878/mcp/tickets
      People have their accounts for it at http://[SERVER] (OAuth).
      Each person connects once: when they first call it, or at http://127.0.0.1:7878/connections/tickets
      Whether that will work, step by step: portcullis server check tickets

    Put it into a client:
      portcullis connect claude-code --server tickets --write
        or cursor, vscode, codex, gemini-cli, …: `connect --list` names all
    or paste this into the settings of any other:
      {"mcpServers":{"tickets":{"type":"http","url":"http://127.0.0.1:7878/mcp/tickets"}}}
    --- exit 0
    "#);
    let again = sandbox.run(&["protect", &url, "--json"]);
    assert!(again.out.contains("\"changed\":false") && again.out.contains("\"credential\":\"oauth\""), "{}", again.out);
    assert!(again.out.contains(&format!("\"issuer\":\"http://{at}\"")), "{}", again.out);
    let list = sandbox.run(&["server", "list", "--json"]);
    assert!(
        list.out.contains("\"credential\":\"oauth\"") && list.out.contains("\"from\":\"database\""),
        "{}",
        list.out
    );

    let check = sandbox.run(&["server", "check", "tickets"]);
    assert_eq!(check.code, 0, "{}", transcript(&check));
    for text in ["tickets (oauth)", "→ GET http://", "✓ Issuer (RFC 8414", "at http://"] {
        assert!(check.out.contains(text), "{text}: {}", check.out);
    }
    let json = sandbox.run(&["server", "check", "tickets", "--json"]);
    assert!(json.out.lines().all(|line| line.starts_with('{') && line.contains("\"checks\"")), "{}", json.out);

    // Another authorization server than the one that was written down: found, and said what it is.
    let other = sandbox.run(&["protect", &url, "--issuer", "https://login.example.com"]);
    assert_eq!(other.code, 0, "{}", transcript(&other));
    assert!(other.err.contains("cannot be used yet"), "{}", transcript(&other));
    let check = sandbox.run(&["server", "check", "tickets"]);
    assert_eq!(check.code, 1, "{}", transcript(&check));
    assert!(check.out.contains('✗') && check.err.contains("nobody can connect"), "{}", transcript(&check));
}

#[test]
fn what_is_left_to_do_is_said_where_nobody_can_register() {
    let sandbox = Sandbox::new();
    let at = with_oauth("");
    let ended = sandbox.run(&["protect", &format!("http://{at}/mcp"), "--name", "tickets"]);
    assert_eq!(ended.code, 0, "{}", transcript(&ended));
    assert!(ended.out.contains("registers no clients by itself"), "{}", ended.out);
    assert!(ended.out.contains("http://127.0.0.1:7878/connections/-/callback/"), "{}", ended.out);
}

#[test]
fn servers_that_take_a_key_need_to_be_told_so() {
    let sandbox = Sandbox::new();
    let (at, _) = with_key("authorization: Bearer sk_1");
    let url = format!("http://{at}/mcp");
    assert_snapshot!(shown(&sandbox.run(&["protect", &url]), at), @"
    --- stderr
    error: http://[SERVER]/mcp asks for a credential, and does not say which
      (the server publishes no metadata (RFC 9728) and the settings name no issuer; a server of 2025-03-26 may need `legacy_paths: true`)
      Is it an API key?
        one for everybody        portcullis protect http://[SERVER]/mcp --api-key-from env:NAME
        each person their own    portcullis protect http://[SERVER]/mcp --credential header
        in a header of its own   the same with --header X-Api-Key
      Is it OAuth? Say whose:    portcullis protect http://[SERVER]/mcp --issuer https://login.example.com
      Anything else, such as a token for the gateway itself or token exchange: docs/guides/upstreams.md
    --- exit 1
    ");
    sandbox.write("key", "sk_1\n");
    sandbox.write("wrong", "sk_2\n");
    let wrong = sandbox.run(&["protect", &url, "--api-key-from", "file:wrong"]);
    assert!(wrong.code == 1 && wrong.err.contains("does not accept this key"), "{}", transcript(&wrong));
    let plain = sandbox.run(&["protect", &url, "--api-key-from", "sk_1"]);
    assert!(plain.code == 2 && plain.err.contains("env:NAME") && !plain.err.contains("sk_1"), "{}", transcript(&plain));
    let good = sandbox.run(&["protect", &url, "--api-key-from", "file:key"]);
    assert!(good.code == 0 && good.out.contains("search 1"), "{}", transcript(&good));
    assert!(good.out.contains("cannot tell who called"), "{}", good.out);
    let again = sandbox.run(&["protect", &url, "--json"]);
    assert!(
        again.out.contains("\"changed\":false") && again.out.contains("\"credential\":\"header\""),
        "{}",
        again.out
    );
    let each = sandbox.run(&["protect", &url, "--credential", "header", "--json"]);
    assert!(each.code == 0 && each.out.contains("\"changed\":true"), "{}", transcript(&each));

    let (at, seen) = with_key("x-api-key: sk_1");
    let url = format!("http://{at}/mcp");
    let ended = sandbox.run(&["protect", &url, "--name", "crm", "--header", "X-Api-Key", "--api-key-from", "file:key"]);
    assert_eq!(ended.code, 0, "{}", transcript(&ended));
    assert!(seen.lock().expect("no holder panics").iter().any(|one| one.to_lowercase().ends_with("x-api-key: sk_1")));
    let odd = sandbox.run(&["protect", &url, "--header", "X-Api-Key", "--credential", "oauth"]);
    assert_eq!(odd.code, 2, "{}", transcript(&odd));
    for file in ["data/portcullis.db", "data/portcullis.db-wal"] {
        let text = std::fs::read(sandbox.path(file)).unwrap_or_default();
        assert!(!text.windows(4).any(|part| part == b"sk_1"), "{file} holds the key");
    }
}

#[test]
fn connections_that_are_not_there_are_explained() {
    let sandbox = Sandbox::new();
    let at = with_oauth(r#","registration_endpoint":"[AT]/register""#);
    sandbox.run(&["protect", &format!("http://{at}/mcp"), "--name", "tickets"]);
    let run = |arguments: &[&str]| shown(&sandbox.run(arguments), at);
    let all: Vec<_> = [
        &["connections", "list"][..],
        &["connections", "list", "--server", "tikets"],
        &["connections", "show", "tickets"],
        &["connections", "show", "tickets", "--shared"],
        &["connections", "disconnect", "tickets", "--person", "nobody"],
        &["connections", "disconnect", "tickets", "--everybody"],
        &["server", "check", "tikets"],
        &["server", "list"],
        &["unprotect", "tickets"],
    ]
    .map(|arguments| format!("$ {}\n{}", arguments.join(" "), run(arguments)))
    .into();
    assert_snapshot!(all.join("\n"), @r#"
    $ connections list
    Nobody is connected.
    --- exit 0
    $ connections list --server tikets
    --- stderr
    error: there is no server "tikets"
      did you mean "tickets"?
    --- exit 1
    $ connections show tickets
    --- stderr
    error: whose connection?
      name a person with --person NAME, or say --shared
    --- exit 2
    $ connections show tickets --shared
    --- stderr
    error: there is no such connection at "tickets"
      who is connected there: portcullis connections list --server tickets
    --- exit 1
    $ connections disconnect tickets --person nobody
    --- stderr
    error: there is no account "nobody"
      portcullis user list shows all
    --- exit 1
    $ connections disconnect tickets --everybody
    --- stderr
    error: nobody is connected at "tickets"
      portcullis connections list shows who is connected where
    --- exit 1
    $ server check tikets
    --- stderr
    error: there is no server "tikets"
      did you mean "tickets"?
    --- exit 1
    $ server list
    NAME     URL                         CREDENTIAL  GROUPS  FROM
    tickets  http://[SERVER]/mcp  oauth       *       database
    --- exit 0
    $ unprotect tickets
    ✓ tickets is no longer served; tokens for it are worth nothing now
    --- exit 0
    "#);
}

#[test]
fn commands_of_the_guide_do_what_it_says() {
    let sandbox = Sandbox::new();
    let (tickets, (search, _)) =
        (with_oauth(r#","registration_endpoint":"[AT]/register""#), with_key("x-api-key: sk_1"));
    assert_eq!(sandbox.add_person("ana", &[]).code, 0);
    let guide = documentation("docs/guides/upstreams.md");
    let mut seen = Vec::new();
    for command in commands(&guide) {
        let real = command
            .replace("https://tickets.example.com", &format!("http://{tickets}"))
            .replace("https://search.example.com", &format!("http://{search}"));
        let arguments: Vec<&str> = real.split_whitespace().skip(1).collect();
        let ended = sandbox.run_with(&arguments, "", &[("SEARCH_KEY", "sk_1")]);
        // Nobody has connected here, so there is nobody to disconnect.
        let nobody = command.contains(" disconnect ") && ended.err.contains("there is no such connection");
        assert_eq!(ended.code, i32::from(nobody), "{command}\n{}", transcript(&ended));
        seen.extend(arguments.first().map(|first| (*first).to_owned()));
    }
    for command in ["protect", "server", "connections"] {
        assert!(seen.iter().any(|one| one == command), "the guide does not show {command} any more");
    }
}
