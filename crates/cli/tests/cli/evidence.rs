//! What is in force, and calls of the past judged by a draft.

use portcullis_audit::IndexRow;
use portcullis_base::{AccessGrantId, Class, ServerName, Timestamp};
use portcullis_store::{AccessGrant, AccessGrantKind, AuditCursor, AuditEntry, DatabaseSettings, Store};
use serde_json::{Value, json};

use super::Sandbox;

const SETTINGS: &str = "data: data
servers:
  - { name: stripe, url: https://stripe.example/mcp, access: [{ group: support, allow: [read], ask: [financial, write] }] }
  - name: mail
    url: https://mail.example/mcp
    access:
      - { group: '*', allow: ['*'] }
    risk: { send: { classes: [egress], reason: it sends } }
rules:
  - rule: no-deletes
    who: '*'
    what: stripe/delete_*
    then: deny
";
const DRAFT: &str = "- { rule: no-deletes, who: '*', what: stripe/delete_*, then: deny }
- { rule: small, who: 'group:support', what: stripe/refund, when: args.amount <= 100, then: allow }
- { rule: no-mail, who: '*', what: mail/send, when: signin.age_seconds > 60, then: ask }
";
/// When the calls were made.
const AT: i64 = 1_795_400_000;

/// A house with ana in `support`, bob, and what they did.
async fn house() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", SETTINGS);
    sandbox.write("draft.yaml", DRAFT);
    assert_eq!(sandbox.add_person("ana", &["--group", "support"]).code, 0);
    assert_eq!(sandbox.add_person("bob", &[]).code, 0);
    let now = Timestamp::from_secs(AT);
    let path = sandbox.path("data").join("portcullis.db");
    let store = Store::open(&DatabaseSettings::Sqlite(path), now).await.expect("the database is there");
    let (ana, _) = store.person_by_name("ana").await.expect("a question").expect("ana");
    let (ana, stripe) = (ana.id.as_str(), "stripe");
    let refund = |arguments: Value| json!({ "server": stripe, "name": "refund", "effect": "ask", "details": { "classes": "financial", "arguments": arguments } });
    let waiting = |effect: &str| {
        let details = json!({ "classes": "financial", "approval": "apr_1", "arguments": { "amount": 5000 } });
        json!({ "server": stripe, "name": "refund", "effect": effect, "details": details })
    };
    let calls = [
        refund(json!({ "amount": 50 })),
        refund(json!({ "amount": 60 })),
        refund(json!({ "amount": 500 })),
        refund(json!({ "amount": 1, "card_number": "[masked]" })),
        refund(json!("sha256:abc")),
        // What was asked, asked again and approved is one call.
        waiting("ask"),
        waiting("ask"),
        waiting("allow"),
        json!({ "server": stripe, "name": "list", "effect": "allow", "details": { "classes": "read" } }),
        json!({ "server": stripe, "method": "tools/list", "effect": "allow" }),
        json!({ "server": stripe, "name": "delete_it", "effect": "allow", "details": { "classes": "destructive" } }),
        json!({ "server": "mail", "name": "send", "effect": "allow", "details": { "classes": "egress", "arguments": {} } }),
        json!({ "server": "gone", "name": "x", "effect": "allow" }),
        json!({ "server": stripe, "name": "list", "effect": "allow", "person": "usr_gone" }),
    ];
    let mut entries = Vec::new();
    for (at, call) in calls.into_iter().enumerate() {
        let seq = at as i64 + 1;
        let mut line = json!({
            "seq": seq, "at": Timestamp::from_secs(AT + seq).to_string(), "node": "node-1", "event": "call.decided",
            "person": ana, "person_name": "ana", "client": "desk", "method": "tools/call", "rule": "access",
        });
        line.as_object_mut().expect("an object").extend(call.as_object().expect("an object").clone());
        let line = line.to_string();
        let (_, row) = IndexRow::parse(line.as_bytes()).expect("a line");
        entries.push(AuditEntry { row: row.expect("a row"), line });
    }
    let cursor = AuditCursor { node: "node-1".into(), seq: 14 };
    assert!(store.append_audit(&entries, 0, &cursor).await.expect("written"));
    let (bob, _) = store.person_by_name("bob").await.expect("a question").expect("bob");
    let right = AccessGrant {
        id: AccessGrantId::new("acg_1"),
        person: bob.id.clone(),
        server: ServerName::parse(stripe).expect("a name"),
        kind: AccessGrantKind::Request,
        classes: Class::Write.into(),
        tool: None,
        request: None,
        given_by: bob.id,
        why: "the books".to_owned(),
        made_at: now,
        ends_at: Timestamp::from_secs(4_000_000_000),
        revoked_at: None,
        revoked_by: None,
    };
    store.give_access(&right).await.expect("given");
    sandbox
}

const PERIOD: [&str; 4] = ["--since", "2026-01-01T00:00:00Z", "--until", "2027-01-01T00:00:00Z"];

fn replay(sandbox: &Sandbox, more: &[&str]) -> super::sandbox::Ended {
    sandbox.run(&[&["policy", "replay", "--policy", "draft.yaml"], &PERIOD[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_the_past_are_judged_by_a_draft_and_what_cannot_be_is_counted() {
    let sandbox = house().await;
    let ended = replay(&sandbox, &["--json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    // Two small refunds change; the masked one, the one without arguments and the mail cannot be judged.
    assert_eq!(
        (&told["calls"], &told["same"], &told["uncertain"], &told["now_allowed"], &told["now_denied"]),
        (&json!(10), &json!(5), &json!(3), &json!(2), &json!(0)),
        "{}",
        ended.out
    );
    assert_eq!(told["untold"], json!({ "arguments": 2, "sign_in": 1 }));
    assert_eq!(told["left_out"], json!({ "person": 1, "server": 1, "unreadable": 0 }));
    // The rules of now deny a deletion that was allowed then.
    assert_eq!(told["otherwise"], 1);
    let change = &told["tools"][0]["changes"][0];
    assert_eq!(
        (&change["before"], &change["after"], &change["rules"]),
        (&json!("ask"), &json!("allow"), &json!(["access", "small"]))
    );
    assert_eq!(change["examples"][0]["arguments"], "{\"amount\":60}");

    let ended = replay(&sandbox, &[]);
    for line in [
        "      10  calls\n",
        "       5  decided as before\n",
        "       2  now allowed\n",
        "       3  not judged, because a rule reads what the record does not tell:\n",
        "2 for want of arguments as they were",
        "       1  left out: their server is not behind the gateway any more\n",
        "1 of these were decided in another way when they were made",
        "2      stripe  refund  ask  allow     access → small\n",
        "ana at stripe/refund {\"amount\":60}\n",
    ] {
        assert!(ended.out.contains(line), "{line}: {}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'), "plain in a pipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_fails_where_it_is_told_to_and_says_what_is_wrong() {
    let sandbox = house().await;
    for (outcome, code) in [("allow", 1), ("any", 1), ("deny", 0), ("ask", 0), ("step_up", 0)] {
        let ended = replay(&sandbox, &["--fail-on", outcome]);
        assert_eq!(ended.code, code, "{outcome}: {}", ended.err);
    }
    let failing = replay(&sandbox, &["--fail-on", "deny", "--fail-on", "allow"]);
    assert!(failing.err.contains("2 calls would come out as they must not"), "{}", failing.err);
    let of_mail = replay(&sandbox, &["--server", "mail", "--json"]);
    assert!(of_mail.out.contains("\"calls\":1,"), "{}", of_mail.out);
    assert!(replay(&sandbox, &["--person", "bob"]).out.contains("       0  calls\n"));
    let empty = sandbox.run(&["policy", "replay", "--policy", "draft.yaml", "--since", "1s", "--until", "1h"]);
    assert!(empty.code == 2 && empty.err.contains("nothing lies between"), "{}", empty.err);
    let missing = sandbox.run(&["policy", "replay", "--policy", "nowhere.yaml"]);
    assert!(missing.code == 2 && missing.err.contains("nowhere.yaml"), "{}", missing.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_is_shown_with_where_it_stands() {
    let sandbox = house().await;
    let all = sandbox.run(&["policy", "show"]);
    assert_eq!(all.code, 0, "{}", all.err);
    for line in [
        "Rules in force: 1 (revision ",
        "deny no-deletes  portcullis.yaml:10\n  who   *\n  what  stripe/delete_*\n",
        "mail    everybody  everything                         portcullis.yaml:7\n",
        "stripe  support    read        write, financial       portcullis.yaml:3\n",
    ] {
        assert!(all.out.contains(line), "{line}: {}", all.out);
    }
    let ana = sandbox.run(&["policy", "show", "--person", "ana"]);
    assert!(ana.out.starts_with("ana (person): in support; role "), "{}", ana.out);
    for line in [
        "SERVER  READ   WRITE  UNKNOWN  EGRESS  EXECUTE  DESTRUCTIVE  FINANCIAL\n",
        "mail    allow  allow  allow    allow   allow    allow        allow\n",
        "stripe  allow  ask    deny     deny    deny     deny         ask\n",
    ] {
        assert!(ana.out.contains(line), "{line}: {}", ana.out);
    }
    let bob = sandbox.run(&["policy", "show", "--person", "bob"]);
    for line in [
        "stripe  (not on the list)",
        "bob     stripe  write  [TIME]\n",
        "stripe  deny   allow  deny     deny    deny     deny         deny\n",
    ] {
        assert!(bob.out.contains(line), "{line}: {}", bob.out);
    }

    // What a tool is stands in the settings, or in the record of its last call.
    let tool = sandbox.run(&["policy", "show", "--person", "ana", "--tool", "stripe/refund"]);
    for line in [
        "stripe/refund: class financial (as it was last called, ",
        "None of the 1 rules concerns this",
        "ask by \"access\"",
    ] {
        assert!(tool.out.contains(line), "{line}: {}", tool.out);
    }
    let mail = sandbox.run(&["policy", "show", "--tool", "mail/send", "--json"]);
    let told: Value = serde_json::from_str(&mail.out).expect("JSON");
    assert_eq!(told["tool"]["known_by"], "the settings say: it sends");
    assert_eq!((&told["rules"], &told["access"][0]["server"]), (&json!([]), &json!("mail")));
    let told: Value = serde_json::from_str(
        &sandbox.run(&["policy", "show", "--person", "ana", "--tool", "stripe/delete_it", "--json"]).out,
    )
    .expect("JSON");
    assert_eq!((&told["explanation"]["effect"], &told["explanation"]["rule"]), (&json!("deny"), &json!("no-deletes")));
    let wrong = sandbox.run(&["policy", "show", "--tool", "strpe/refund"]);
    assert!(wrong.code == 2 && wrong.err.contains("did you mean \"stripe\"?"), "{}", wrong.err);
    let nobody = sandbox.run(&["policy", "show", "--person", "anna"]);
    assert!(nobody.code == 1 && nobody.err.contains("did you mean \"ana\"?"), "{}", nobody.err);
}

#[test]
fn rules_are_shown_where_there_is_no_database() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", SETTINGS);
    let ended = sandbox.run(&["policy", "show", "--json"]);
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!((&told["rules"][0]["rule"], &told["rules"][0]["line"]), (&json!("no-deletes"), &json!(10)));
    assert!(!sandbox.path("data").exists(), "nothing is made");
    assert_eq!(sandbox.run(&["policy", "show", "--person", "ana"]).code, 1);
}
