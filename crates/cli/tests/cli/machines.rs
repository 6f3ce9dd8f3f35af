//! Programs that call for themselves, and keys for clients that cannot do OAuth.

use insta::assert_snapshot;
use serde_json::Value;

use super::{Sandbox, transcript};

/// A public key, made for this test.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn house() -> Sandbox {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    sandbox
}

/// The line of a secret, without the secret.
fn masked(text: &str) -> String {
    let line = |line: &str| match line.split_once("client secret  ") {
        Some((before, secret)) => format!("{before}client secret  [{} characters]", secret.trim().len()),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn service_accounts_are_made_rotated_and_disabled() {
    let sandbox = house();
    sandbox.write("deploy.jwks.json", KEYS);
    let run = |arguments: &[&str]| masked(&transcript(&sandbox.run(arguments)));
    assert_snapshot!(run(&["service-account", "list"]), @"
    No service accounts yet. To make one: portcullis service-account add NAME --owner PERSON
    --- exit 0
    ");
    assert_snapshot!(run(&["service-account", "add", "deploy", "--owner", "ana", "--group", "platform", "--jwks", "deploy.jwks.json"]), @"
    ✓ deploy gets tokens at http://127.0.0.1:7878/oauth/token
      client id      [svc]
      It proves itself with its key: private_key_jwt.
    --- exit 0
    ");
    assert_snapshot!(run(&["service-account", "add", "legacy", "--owner", "ana"]), @"
    ✓ legacy gets tokens at http://127.0.0.1:7878/oauth/token
      client id      [svc]
      client secret  [43 characters]
      The secret is shown this once: put it where the program reads it.
    --- exit 0
    ");
    assert_snapshot!(run(&["service-account", "add", "legacy", "--owner", "ana"]), @r#"
    --- stderr
    error: there is an account "legacy" already
    --- exit 1
    "#);
    assert_snapshot!(run(&["service-account", "add", "x", "--owner", "anna"]), @r#"
    --- stderr
    error: there is no account "anna"
      did you mean "ana"?
    --- exit 1
    "#);
    assert_snapshot!(run(&["service-account", "add", "x", "--owner", "ana", "--jwks", "absent.json"]), @"
    --- stderr
    error: absent.json cannot be read: No such file or directory (os error 2)
    --- exit 2
    ");
    assert_snapshot!(run(&["service-account", "rotate", "ana"]), @"
    --- stderr
    error: ana is a person and no service account
      portcullis service-account list shows all
    --- exit 1
    ");
    assert_snapshot!(run(&["service-account", "rotate", "legacy", "--jwks-uri", "https://ci.example.com/jwks.json"]), @"
    ✓ legacy gets tokens at http://127.0.0.1:7878/oauth/token
      client id      [svc]
      It proves itself with its key: private_key_jwt.
    --- exit 0
    ");
    assert_snapshot!(run(&["service-account", "disable", "legacy"]), @"
    ✓ legacy gets no more tokens; those it had are worth nothing now
    --- exit 0
    ");
    assert_snapshot!(run(&["service-account", "list"]), @"
    NAME    CLIENT ID                   OWNER  GROUPS    PROOF            STATE     LAST USED
    deploy  [svc]  ana    platform  private_key_jwt  active    never
    legacy  [svc]  ana              private_key_jwt  disabled  never
    --- exit 0
    ");
    let rotated = sandbox.run(&["service-account", "rotate", "deploy", "--json"]).out;
    let secret = serde_json::from_str::<Value>(&rotated).expect("JSON")["client_secret"].as_str().map(str::to_owned);
    let events = sandbox.run(&["audit", "query", "--json"]).out;
    assert!(!events.contains(&secret.expect("a new secret")), "a secret is in the journal: {events}");
    assert_snapshot!(run(&["offboard", "deploy", "--yes"]), @"
    --- stderr
    error: deploy is a service account and no person
      portcullis service-account disable deploy
    --- exit 1
    ");
}

#[test]
fn access_keys_are_off_until_they_are_switched_on() {
    let sandbox = house();
    let run = |arguments: &[&str]| transcript(&sandbox.run(arguments));
    let add = ["key", "add", "--person", "ana", "--server", "sample", "--name", "laptop", "--days", "7"];
    assert_snapshot!(run(&add), @"
    --- stderr
    error: access keys are switched off
      prefer clients that sign in; to allow keys all the same: access_keys: { enabled: true } in the settings
    --- exit 1
    ");
    sandbox.write("portcullis.yaml", "access_keys: { enabled: true, longest: 30d }\n");
    assert_snapshot!(run(&add), @"
    ✓ ana may use sample with this key until [TIME]
      [pck]
      It is shown this once. The client sends it as: Authorization: Bearer KEY
      To end it: portcullis key revoke [grt]
    --- exit 0
    ");
    assert_snapshot!(run(&[&add[..9], &["31"]].concat()), @"
    --- stderr
    error: a key lives for 720 hours at most (access_keys.longest)
    --- exit 1
    ");
    assert_snapshot!(run(&[&add[..], &["--scope", "mcp:admin"]].concat()), @r#"
    --- stderr
    error: "mcp:admin" is not for a key
      scopes are: mcp:read mcp:call
    --- exit 2
    "#);
    assert_snapshot!(run(&["key", "add", "--person", "ana", "--server", "smaple", "--name", "laptop"]), @r#"
    --- stderr
    error: there is no server "smaple"
      did you mean "sample"?
    --- exit 2
    "#);
    assert_snapshot!(run(&["key", "list"]), @"
    ID                          NAME    PERSON  SERVER  SCOPE              UNTIL                     LAST USED
    [grt]  laptop  ana     sample  mcp:read mcp:call  [TIME]  never
    --- exit 0
    ");
    assert_snapshot!(run(&["key", "revoke", "grt_x"]), @r#"
    --- stderr
    error: there is no access key "grt_x" that is good
      portcullis key list shows all
    --- exit 1
    "#);
    let database = rusqlite::Connection::open(sandbox.path("data/portcullis.db")).expect("open");
    let id: String = database.query_row("select grant_id from access_keys", [], |row| row.get(0)).expect("a key");
    drop(database);
    assert_snapshot!(run(&["key", "revoke", &id]), @"
    ✓ laptop is worth nothing now
    --- exit 0
    ");
    assert_snapshot!(run(&["key", "list"]), @"
    No access keys.
    --- exit 0
    ");
    let made = sandbox.run(&[&add[..], &["--scope", "mcp:read", "--json"]].concat()).out;
    assert!(made.contains("\"key\":\"[pck]\""), "{made}");
    assert!(!sandbox.run(&["audit", "query", "--json"]).out.contains("[pck]"));
}

#[test]
fn calls_that_wait_are_listed_and_shown_and_nothing_else() {
    let sandbox = house();
    let run = |args: &[&str]| transcript(&sandbox.run(args));
    assert!(run(&["approvals", "list"]).contains("No call waits for anybody"));
    let absent = run(&["approvals", "show", "apr_1"]);
    assert!(absent.contains("there is no approval \"apr_1\"") && absent.contains("approvals list"), "{absent}");
    for word in ["approve", "grant", "refuse"] {
        assert!(run(&["approvals", word, "apr_1"]).contains("unrecognized subcommand"), "{word}");
    }
}
