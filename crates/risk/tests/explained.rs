//! What a person is shown, and what an administrator and the gateway add.

use portcullis_base::{Class::*, Classes, Label, Labels};
use portcullis_risk::{Assessment, Hints, Override, Profile, Ruled, Server, Source, Tool, classify, hints};
use serde_json::{Value, json};

fn unknown() -> Server {
    Server::unknown(Source::Untrusted)
}

fn judged(name: &str, definition: &Value) -> Assessment {
    classify(&Tool::new(name, &definition.to_string()), &unknown())
}

fn sentences(found: &Assessment) -> Vec<String> {
    found.evidence.iter().map(ToString::to_string).collect()
}

#[test]
fn every_class_is_explained_in_a_sentence() {
    let found = judged(
        "delete_user",
        &json!({
            "description": "Removes a user permanently.", "title": "Delete a user",
            "inputSchema": { "properties": { "user_id": { "type": "string" }, "force": { "type": "boolean" } } },
            "annotations": { "readOnlyHint": true },
        }),
    );
    assert_eq!(
        sentences(&found),
        [
            "The name begins with “delete”: destructive",
            "The title says “delete”: destructive",
            "The description says “removes”: destructive",
            "It takes “user_id”: cross_tenant_selector",
            "It takes “force” (reaches far): destructive, irreversible",
            "The name contains “user”: identity_admin",
        ]
    );
    let findings: Vec<_> = found.findings.iter().map(|one| (one.flaw.id(), one.to_string())).collect();
    assert_eq!(
        findings,
        [("RISK-ANNOT-LIE", "The server says readOnlyHint: true of a tool that is destructive".to_owned()),]
    );
    assert_eq!(found.confidence, 100);
    let json = serde_json::to_value(&found).unwrap_or_default();
    assert_eq!(json["classes"], json!(["destructive"]));
    assert_eq!(
        json["evidence"][0],
        json!({ "rule": "name.first", "seen": "delete", "note": "",
        "classes": ["destructive"], "labels": [], "lowers": [] })
    );
    assert_eq!(json["findings"][0]["flaw"], "RISK-ANNOT-LIE");
    assert_eq!(json["findings"][0]["severity"], "high");
}

#[test]
fn foreign_words_are_shown_printable_and_short() {
    let found = judged(
        "get\u{202e}_x\u{7}",
        &json!({ "inputSchema": { "properties": { "p\u{202e}ath": {}, "PATH\u{1b}[2J": {} } } }),
    );
    let all = format!("{:?} {}", sentences(&found), found.findings.iter().map(ToString::to_string).collect::<String>());
    assert!(!all.contains(['\u{202e}', '\u{7}', '\u{1b}']) && all.contains("local_machine"), "{all}");
}

#[test]
fn an_administrator_decides_and_what_was_found_stays_visible() {
    let decided = Override { classes: Read.into(), labels: Some(Labels::NONE), reason: "Only runs Lighthouse".into() };
    let definition =
        json!({ "description": "Run Lighthouse checks", "inputSchema": { "properties": { "url": {} } } }).to_string();
    let tool = Tool { decided: Some(&decided), ..Tool::new("lighthouse_audit", &definition) };
    let found = classify(&tool, &unknown());
    assert_eq!((found.classes, found.found.primary(), found.confidence), (Read.into(), Execute, 100));
    assert!(found.labels == Labels::NONE && hints(&found).read_only && !found.needs_review());
    assert_eq!(
        sentences(&found).last().map(String::as_str),
        Some("An administrator decided: Only runs Lighthouse: read")
    );
    // An empty word is no word.
    let nothing = Override { classes: Classes::NONE, labels: None, reason: String::new() };
    let tool = Tool { decided: Some(&nothing), ..tool };
    assert_eq!(classify(&tool, &unknown()).classes, Classes::UNKNOWN);
}

#[test]
fn the_http_method_of_an_operation_counts() {
    let class = |name: &str, method: &str| {
        classify(&Tool { method: Some(method), ..Tool::new(name, "{}") }, &unknown()).classes.primary()
    };
    assert_eq!(class("frobnicate", "delete"), Destructive);
    assert_eq!(class("getThing", "DELETE"), Destructive);
    assert_eq!(class("getThing", "PUT"), Write);
    assert_eq!(class("frobnicate", "POST"), Write);
    assert_eq!(class("searchThings", "POST"), Read);
    assert_eq!(class("frobnicate", "GET"), Read);
    assert_eq!(class("deleteThing", "GET"), Destructive);
    assert_eq!(class("frobnicate", "BREW"), Unknown);
}

// spec: T-75
#[test]
fn hints_to_clients_follow_from_our_classes() {
    let sent = |name: &str| {
        let Hints { read_only, destructive, idempotent, open_world } = hints(&judged(
            name,
            &json!({
            "annotations": { "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false } }),
        ));
        (read_only, destructive, idempotent, open_world)
    };
    assert_eq!(sent("get_thing"), (true, false, true, false));
    assert_eq!(sent("get_webpage"), (true, false, true, true));
    assert_eq!(sent("create_thing"), (false, false, false, false));
    assert_eq!(sent("send_thing"), (false, false, false, true));
    assert_eq!(sent("delete_thing"), (false, true, false, false));
    for name in ["run_thing", "pay_thing", "frobnicate"] {
        assert_eq!(sent(name), (false, true, false, true), "{name}");
    }
    let written = serde_json::to_value(hints(&judged("get_thing", &json!({})))).unwrap_or_default();
    assert_eq!(
        written,
        json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false })
    );
}

#[test]
fn what_a_server_is_for_counts() {
    let browser =
        Server::new("some", ["browser_click", "browser_fill", "browser_navigate", "browser_close"], Source::Untrusted);
    let click = |server: &Server| classify(&Tool::new("browser_click", "{}"), server);
    assert!(click(&browser).classes.primary() == Execute && click(&browser).labels.contains(Label::LocalMachine));
    assert_eq!(click(&browser.with_profile(Profile::Empty)).classes, Write.into());
    assert_eq!(click(&unknown()).classes, Write.into());
    let types = Server::new("cms", ["create_type", "update_type", "delete_type"], Source::Untrusted);
    assert_eq!(classify(&Tool::new("create_type", "{}"), &types).classes, Write.into());

    let sink = |server, text: &str| {
        let definition = json!({ "description": text }).to_string();
        classify(&Tool::new("create_issue", &definition), &Server::new(server, [], Source::Untrusted))
            .labels
            .contains(Label::PublicSink)
    };
    assert!(sink("github", "") && sink("tracker", "Opens an issue in the public tracker"));
    assert!(!sink("jira", "Opens an issue") && !sink("tracker", "Opens an issue that is not public"));
}

#[test]
fn how_far_a_definition_limits_its_use_is_counted() {
    let of = |name: &str, definition: Value| judged(name, &definition).usage;
    let bare = of("create_thing", json!({ "inputSchema": { "properties": { "a": { "type": "string" } } } }));
    assert_eq!((bare.score(Ruled::No), bare.score(Ruled::Yes)), (0, 20));
    let full = json!({
        "description": "Creates a thing. Requires a contract. At most 30 calls per hour.",
        "inputSchema": { "type": "object", "additionalProperties": false, "required": ["a"], "properties": {
            "a": { "type": "string", "maxLength": 9 }, "b": { "type": "integer", "minimum": 0, "maximum": 3 },
            "c": { "type": "array", "maxItems": 3 }, "d": { "type": "boolean" } } },
        "annotations": { "readOnlyHint": false },
    });
    assert_eq!(of("create_thing", full.clone()).score(Ruled::No), 100);
    let mut half = full.clone();
    half["inputSchema"]["properties"]["b"] = json!({ "type": "integer", "minimum": 0 });
    half["inputSchema"]["properties"]["c"] = json!({ "type": "array" });
    half["annotations"] = json!({ "readOnlyHint": true });
    // A third of the parameters is bound, and the hint is a lie.
    assert_eq!(of("create_thing", half).score(Ruled::No), 69);
    // Who only reads is asked for the first three.
    let read = json!({ "description": "Gets it.", "inputSchema": { "type": "object", "additionalProperties": false } });
    assert_eq!(of("get_thing", read).score(Ruled::No), 66);
    let meta = json!({ "_meta": { "example.com/rate-limit": "1/s" } });
    assert_eq!(of("create_thing", meta).rate, 100);
    assert_eq!(of("create_thing", json!({ "description": "Creates 30 things for a day trip" })).rate, 0);
}

#[test]
fn costs_and_what_cannot_be_put_back_are_told() {
    let labels = |name: &str, text: &str| judged(name, &json!({ "description": text })).labels;
    assert!(labels("generate_image", "COST WARNING: this makes a call that is paid").contains(Label::Cost));
    assert!(labels("generate_image", "May incur charges").contains(Label::Cost));
    assert!(!labels("get_pricing", "Lists cost estimates").contains(Label::Cost));
    assert!(labels("delete_thing", "Deletes it. This cannot be undone.").contains(Label::Irreversible));
    assert!(!labels("delete_thing", "Deletes it, not permanently.").contains(Label::Irreversible));
}
