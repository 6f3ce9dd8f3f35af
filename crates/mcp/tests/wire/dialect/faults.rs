use portcullis_mcp::{
    Method, Version,
    dialect::{Abilities, Failure, RESOURCE_NOT_FOUND},
};
use serde_json::{Value, json};

use super::{OLDER, from, shown, to};

fn error(code: i64, data: Value) -> Value {
    let mut error = json!({"code": code, "message": "m"});
    if !data.is_null() {
        error["data"] = data;
    }
    error
}

/// spec: BR-32, BR-33
#[test]
fn a_legacy_client_gets_codes_that_it_knows() {
    let uri = json!({"uri": "file:///a"});
    let needs = |capabilities: Value| error(-32021, json!({"requiredCapabilities": capabilities}));
    let missing = |names: &str| json!({"code": -32602, "message": format!("This needs a capability that the client did not declare{names}")});
    let inner = json!({"code": -32603, "message": "m"});
    let (read, tool) = (Method::ResourcesRead, Method::ToolsCall);
    let table = [
        (read, error(-32602, uri.clone()), error(RESOURCE_NOT_FOUND, uri.clone())),
        (read, error(-32602, Value::Null), error(-32602, Value::Null)),
        (read, error(-32602, json!("uri")), error(-32602, json!("uri"))),
        (tool, error(-32602, uri.clone()), error(-32602, uri)),
        (tool, error(-32601, Value::Null), error(-32601, Value::Null)),
        (tool, error(-32603, json!([1])), error(-32603, json!([1]))),
        (tool, error(4711, json!([1])), error(4711, json!([1]))),
        (tool, needs(json!({"elicitation": {"url": {}}})), missing(": elicitation.url")),
        (tool, needs(json!({"sampling": {"tools": {}}, "roots": {}})), missing(": roots, sampling.tools")),
        (
            tool,
            needs(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})),
            missing(": extensions.io.modelcontextprotocol/tasks"),
        ),
        (tool, needs(json!({})), missing("")),
        (tool, error(-32021, Value::Null), missing("")),
        (tool, error(-32020, json!({"header": "Mcp-Name"})), inner.clone()),
        (tool, error(-32022, json!({"supported": ["2026-07-28"]})), inner.clone()),
        (tool, error(-32042, json!({"elicitations": []})), inner.clone()),
        (tool, error(-32099, Value::Null), inner),
    ];
    for version in OLDER {
        for (method, said, expected) in &table {
            let told = to(version).error(*method, &said.to_string()).into_owned();
            shown(version, "JSONRPCError", &format!(r#"{{"jsonrpc":"2.0","id":1,"error":{told}}}"#));
            assert_eq!(&serde_json::from_str::<Value>(&told).unwrap(), expected, "{version} {said}");
        }
    }
}

/// spec: BR-54, TR-70
#[test]
fn a_modern_client_gets_codes_that_are_defined() {
    let inner = error(-32603, Value::Null);
    let absent = |uri: &str, mut data: Value| {
        data["uri"] = json!(uri);
        error(-32602, data)
    };
    let params = r#"{"uri":"file:///asked"}"#;
    let table = [
        (Some(params), error(-32002, json!({"uri": "file:///said"})), absent("file:///said", json!({}))),
        (Some(params), error(-32002, json!({"x": 1})), absent("file:///asked", json!({"x": 1}))),
        (Some(params), error(-32002, json!("gone")), absent("file:///asked", json!({}))),
        (Some(params), error(-32002, Value::Null), absent("file:///asked", json!({}))),
        (None, error(-32002, Value::Null), error(-32602, Value::Null)),
        (None, error(-32000, Value::Null), inner.clone()),
        (None, error(-32001, json!([1])), error(-32603, json!([1]))),
        (None, error(-32019, Value::Null), inner.clone()),
        (None, error(-32020, Value::Null), inner.clone()),
        (None, error(-32021, Value::Null), inner.clone()),
        (None, error(-32022, Value::Null), inner.clone()),
        (None, error(-32099, Value::Null), inner),
        (None, error(-32100, Value::Null), error(-32100, Value::Null)),
        (None, error(-32601, Value::Null), error(-32601, Value::Null)),
        (None, error(-32602, json!({"a": 1})), error(-32602, json!({"a": 1}))),
        (None, error(1, json!(1.5)), error(1, json!(1.5))),
    ];
    for version in OLDER {
        for (params, said, expected) in &table {
            let failure = from(version).error(Method::ResourcesRead, *params, &said.to_string(), &Abilities::default());
            let Failure::Error(told) = failure else { panic!("{said}") };
            assert_eq!(&shown(Version::V2026_07_28, "Error", &told), expected, "{version} {said}");
        }
        for broken in ["{}", "[]", r#"{"code":"x","message":1}"#] {
            let failure = from(version).error(Method::ToolsCall, None, broken, &Abilities::default());
            let Failure::Error(told) = failure else { panic!("{broken}") };
            let told = shown(Version::V2026_07_28, "Error", &told);
            assert_eq!((told["code"].as_i64(), told["message"].is_string()), (Some(-32603), true), "{broken}");
        }
    }
}

/// spec: BR-52, BR-53
#[test]
fn pages_to_open_first_are_asked_for_where_that_is_possible() {
    let able = Abilities { pages: true, ..Abilities::default() };
    let said = error(
        -32042,
        json!({"elicitations": [
            {"mode": "url", "elicitationId": "1", "url": "https://a.example/1", "message": "one"},
            {"elicitationId": "2", "url": "https://a.example/2", "x": 1},
        ]}),
    )
    .to_string();
    for version in OLDER {
        for method in [Method::ToolsCall, Method::PromptsGet, Method::ResourcesRead] {
            let Failure::Input(entries) = from(version).error(method, None, &said, &able) else { panic!("{version}") };
            let entries: Vec<_> =
                entries.iter().map(|entry| shown(Version::V2026_07_28, "ElicitRequest", entry)).collect();
            let page = |params: Value| json!({"method": "elicitation/create", "params": params});
            let one = page(json!({"mode": "url", "url": "https://a.example/1", "message": "one"}));
            let two =
                page(json!({"url": "https://a.example/2", "x": 1, "mode": "url", "message": "Please open the page"}));
            assert_eq!(entries, [one, two]);
        }
        let unable = Abilities { forms: true, ..Abilities::default() };
        for (method, abilities) in [(Method::ToolsCall, &unable), (Method::ToolsList, &able)] {
            let Failure::Error(told) = from(version).error(method, None, &said, abilities) else { panic!("{version}") };
            let missing = json!({"requiredCapabilities": {"elicitation": {"url": {}}}});
            assert_eq!(shown(Version::V2026_07_28, "Error", &told), error(-32021, missing));
        }
        for nothing in [json!(null), json!({}), json!({"elicitations": []}), json!({"elicitations": [{"url": 1}]})] {
            let said = error(-32042, nothing).to_string();
            let Failure::Error(told) = from(version).error(Method::ToolsCall, None, &said, &able) else {
                panic!("{said}")
            };
            assert_eq!(shown(Version::V2026_07_28, "Error", &told)["code"], -32603);
        }
    }
}
