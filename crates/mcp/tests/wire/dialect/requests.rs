use portcullis_mcp::{
    Version,
    dialect::{Abilities, Level, Stamp},
};
use serde_json::{Value, json};

use super::{OLDER, call, from, shown, to};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// spec: BR-21, BR-6, BR-2, BR-70, BR-84, BR-61
#[test]
fn a_request_of_a_legacy_client_is_stamped_as_one_of_today() {
    let abilities = Abilities { roots: true, ..Abilities::default() };
    let stamp = Stamp {
        client_info: r#"{"name":"c","version":"1"}"#,
        abilities: &abilities,
        log_level: Some(Level::Notice),
        progress_token: Some("\"ours\""),
    };
    let said = json!({
        "name": "t", "arguments": {"a": [1, {"requestState": "deep"}]}, "task": {"ttl": 1},
        "requestState": "forged", "inputResponses": {"k": {}},
        "_meta": {
            "progressToken": 3, "traceparent": TRACE, "tracestate": "=", "baggage": "b=c", "com.example/kept": 1,
            "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
            "io.modelcontextprotocol/related-task": {"taskId": "t"},
        },
    });
    for version in OLDER {
        let told = to(version).request_params(Some(&said.to_string()), &stamp);
        let told = shown(Version::V2026_07_28, "CallToolRequest", &request("tools/call", &told));
        let expected = json!({
            "name": "t", "arguments": {"a": [1, {"requestState": "deep"}]},
            "_meta": {
                "progressToken": "ours", "traceparent": TRACE, "com.example/kept": 1,
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
                "io.modelcontextprotocol/logLevel": "notice",
            },
        });
        assert_eq!(told["params"], expected);
        let silent = Stamp { log_level: None, progress_token: None, ..stamp };
        let told = to(version).request_params(None, &silent);
        let told = shown(Version::V2026_07_28, "ListToolsRequest", &request("tools/list", &told));
        let meta = told["params"]["_meta"].as_object().unwrap();
        assert_eq!(meta.len(), 3, "{meta:?}");
    }
}

/// spec: BR-59, BR-6, BR-46, BR-70, BR-84, TR-73
#[test]
fn a_request_to_a_legacy_server_has_nothing_of_today() {
    let said = json!({
        "uri": "file:///a", "requestState": "s", "inputResponses": {"k": {"roots": []}}, "task": {},
        "_meta": {
            "progressToken": 3, "traceparent": TRACE, "tracestate": "a=b", "baggage": "b=c", "com.example/kept": 1,
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/logLevel": "notice",
        },
    });
    for version in OLDER {
        let told = from(version).request_params(Some(&said.to_string()), Some("17"));
        let told = shown(version, "ReadResourceRequest", &request("resources/read", &told));
        let meta = json!({"progressToken": 17, "traceparent": TRACE, "tracestate": "a=b", "com.example/kept": 1});
        assert_eq!(told["params"], json!({"uri": "file:///a", "_meta": meta}));
        let bare =
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1},"cursor":"c"}"#;
        let told = from(version).request_params(Some(bare), None);
        assert_eq!(told, r#"{"cursor":"c"}"#);
        shown(version, "ListToolsRequest", &request("tools/list", &told));
        assert_eq!(from(version).request_params(None, None), "{}");
    }
}

/// spec: BR-71, BR-80
#[test]
fn a_legacy_client_hears_what_its_revision_knows() {
    let tagged = r#""_meta":{"io.modelcontextprotocol/subscriptionId":"s","x/y":1}"#;
    let table: &[(&str, String, Option<Value>)] = &[
        ("ToolListChangedNotification", notification("tools/list_changed", tagged), Some(json!({"_meta": {"x/y": 1}}))),
        ("PromptListChangedNotification", notification("prompts/list_changed", ""), Some(json!({}))),
        ("ResourceListChangedNotification", notification("resources/list_changed", ""), Some(json!({}))),
        (
            "ResourceUpdatedNotification",
            notification("resources/updated", &format!(r#""uri":"file:///a",{tagged}"#)),
            Some(json!({"uri": "file:///a", "_meta": {"x/y": 1}})),
        ),
        (
            "ProgressNotification",
            notification("progress", r#""progressToken":"t","progress":0.50,"message":"m""#),
            Some(json!({"progressToken": "t", "progress": 0.5, "message": "m"})),
        ),
        (
            "LoggingMessageNotification",
            notification("message", r#""level":"info","data":[1]"#),
            Some(json!({"level": "info", "data": [1]})),
        ),
        ("", notification("subscriptions/acknowledged", r#""notifications":{}"#), None),
        ("", notification("cancelled", r#""requestId":1"#), None),
        ("", notification("tasks/status", r#""taskId":"t""#), None),
        ("", notification("tasks", r#""taskId":"t""#), None),
        ("", notification("roots/list_changed", ""), None),
        ("", notification("elicitation/complete", r#""elicitationId":"e""#), None),
        ("", notification("com.example", ""), None),
    ];
    for version in OLDER {
        for (definition, said, expected) in table {
            let told = to(version).notification(&call(said));
            let told = told.map(|told| shown(version, definition, &told)["params"].clone());
            assert_eq!(&told, expected, "{version} {said}");
        }
        let bare = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        assert_eq!(to(version).notification(&call(bare)).unwrap(), bare);
    }
}

/// spec: BR-53, BR-80
#[test]
fn a_modern_client_hears_nothing_of_sessions() {
    let related = r#""level":"info","data":1,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}"#;
    let table: &[(String, Option<Value>)] = &[
        (notification("message", related), Some(json!({"level": "info", "data": 1}))),
        (notification("tools/list_changed", ""), Some(json!({}))),
        (notification("resources/updated", r#""uri":"file:///a""#), Some(json!({"uri": "file:///a"}))),
        (
            notification("progress", r#""progressToken":7,"progress":1"#),
            Some(json!({"progressToken": 7, "progress": 1})),
        ),
        (notification("elicitation/complete", r#""elicitationId":"e""#), None),
        (notification("tasks/status", r#""taskId":"t","status":"working""#), None),
        (notification("cancelled", r#""requestId":1"#), None),
        (notification("subscriptions/acknowledged", r#""notifications":{}"#), None),
        (notification("initialized", ""), None),
        (notification("com.example", ""), None),
    ];
    for version in OLDER {
        for (said, expected) in table {
            let told = from(version).notification(&call(said));
            let told = told.map(|told| shown(Version::V2026_07_28, "JSONRPCNotification", &told)["params"].clone());
            assert_eq!(&told, expected, "{version} {said}");
        }
    }
}

fn notification(name: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{name}","params":{{{params}}}}}"#)
}

/// spec: BR-73, BR-74
#[test]
fn log_messages_pass_from_the_level_that_was_asked_for() {
    let names = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    assert_eq!(names.map(|name| Level::parse(name).unwrap()), Level::ALL);
    assert_eq!(Level::ALL.map(Level::as_str), names);
    assert!(Level::ALL.is_sorted());
    assert_eq!(Level::parse("Info"), None);
    for (index, level) in Level::ALL.into_iter().enumerate() {
        assert!(!level.passes(None), "who asked for none gets none");
        for (at, floor) in Level::ALL.into_iter().enumerate() {
            assert_eq!(level.passes(Some(floor)), index >= at);
        }
    }
    assert_eq!(Level::of_params(r#"{"data":1,"level":"alert"}"#), Some(Level::Alert));
    assert_eq!(Level::of_params(r#"{"level":3}"#), None);
    assert_eq!((Level::of_raw("\"error\""), Level::of_raw("error")), (Some(Level::Error), None));
}
