use portcullis_mcp::{
    Body, Class, Headers, Message, Method, ProtocolError, Version,
    headers::{Field, check_params, classify, decode_value, encode_value, upstream},
    message::parse,
    scan::Limits,
    tool,
};
use proptest::prelude::*;
use serde_json::{Value, json};

type Pairs<'a> = Vec<(&'a str, &'a str)>;

fn headers<'a>(pairs: &Pairs<'a>) -> Headers<'a> {
    Headers::collect(pairs.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn judge(pairs: &Pairs<'_>, body: &Value, served: &[Version]) -> Result<Class<'static>, ProtocolError> {
    let bytes = body.to_string().into_bytes();
    let Body::One(message) = parse(&bytes, &Limits::default())? else { panic!("one message") };
    let found = headers(pairs);
    Ok(match classify(&found, &message, served)? {
        Class::Modern { version, method } => Class::Modern { version, method },
        Class::Initialize { version } => Class::Initialize { version },
        Class::Session { session, header } => Class::Session { session: session.to_vec().leak(), header },
    })
}

fn served(pairs: &Pairs<'_>, body: &Value) -> Result<Class<'static>, ProtocolError> {
    judge(pairs, body, Version::SERVED)
}

fn refusal(pairs: &Pairs<'_>, body: &Value) -> (i64, u16) {
    let error = served(pairs, body).expect_err(&format!("{pairs:?} {body}"));
    let id = body.get("id").map(Value::to_string);
    assert_eq!(error.id.as_ref().map(|id| id.to_json().to_owned()), id, "{error}");
    (error.code, error.http)
}

fn meta() -> Value {
    json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}})
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn modern_call() -> (Pairs<'static>, Value) {
    let pairs = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    (pairs, request("tools/call", json!({"name": "echo", "arguments": {}, "_meta": meta()})))
}

fn without<'a>(pairs: &Pairs<'a>, name: &str) -> Pairs<'a> {
    pairs.iter().copied().filter(|(found, _)| *found != name).collect()
}

fn with<'a>(pairs: &Pairs<'a>, name: &'a str, value: &'a str) -> Pairs<'a> {
    let mut pairs = without(pairs, name);
    pairs.push((name, value));
    pairs
}

const MODERN: Version = Version::V2026_07_28;

/// spec: TR-12
#[test]
fn header_names_have_no_case_and_values_no_outer_blanks() {
    let found = headers(&vec![
        ("MCP-PROTOCOL-VERSION", " 2026-07-28\t"),
        ("Mcp-method", "tools/list"),
        ("mCP-nAME", ""),
        ("Mcp-Param-Region", "x"),
        ("mcp-param-a", " y "),
        ("Mcp-Session-Id", "s"),
        ("last-event-id", "9"),
        ("authorization", "Bearer x"),
        ("é", "x"),
    ]);
    assert_eq!(found.version, Field::One(b"2026-07-28"));
    assert_eq!(found.method, Field::One(b"tools/list"));
    assert_eq!(found.name, Field::One(b""));
    assert_eq!(found.session.text(), Some("s"));
    assert_eq!(found.last_event.text(), Some("9"));
    assert_eq!(found.params, [("Region", &b"x"[..]), ("a", &b"y"[..])]);
}

/// spec: TR-21, TR-50
#[test]
fn complete_modern_request_is_served_by_itself() {
    let (pairs, body) = modern_call();
    assert_eq!(served(&pairs, &body), Ok(Class::Modern { version: MODERN, method: Some(Method::ToolsCall) }));
    // A session id means nothing to it.
    let class = served(&with(&pairs, "mcp-session-id", "s"), &body);
    assert_eq!(class, Ok(Class::Modern { version: MODERN, method: Some(Method::ToolsCall) }));
}

/// spec: TR-40, TR-41, TR-42, TR-45, TR-48, T-56, T-69
#[test]
fn headers_that_miss_or_contradict_the_body_are_refused() {
    let (pairs, body) = modern_call();
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
        assert_eq!(refusal(&without(&pairs, name), &body), (-32020, 400), "{name}");
        let mut twice = pairs.clone();
        twice.push(*pairs.iter().find(|(found, _)| *found == name).unwrap());
        assert_eq!(refusal(&twice, &body), (-32020, 400), "{name} twice");
        assert_eq!(refusal(&with(&pairs, name, ""), &body), (-32020, 400), "{name} empty");
    }
    for (name, value) in [
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-protocol-version", "2099-01-01"),
        ("mcp-method", "tools/list"),
        ("mcp-method", "TOOLS/CALL"),
        ("mcp-method", "tools/call\u{e9}"),
        ("mcp-method", "=?base64?dG9vbHMvY2FsbA==?="),
        ("mcp-name", "delete"),
        ("mcp-name", "Echo"),
        ("mcp-name", "echo\u{e9}"),
        ("mcp-name", "ec\tho"),
        ("mcp-name", "=?base64?ZWNobw?="),
        ("mcp-name", "=?base64?ZWNo bw==?="),
        ("mcp-name", "=?base64?ZWNobx==?="),
        ("mcp-name", "=?base64?/w==?="),
        ("mcp-name", "=?BASE64?ZWNobw==?="),
    ] {
        assert_eq!(refusal(&with(&pairs, name, value), &body), (-32020, 400), "{name}: {value}");
    }
    assert!(served(&with(&pairs, "mcp-name", "=?base64?ZWNobw==?="), &body).is_ok());
}

/// spec: TR-42, TR-43
#[test]
fn named_things_are_compared_with_their_member() {
    for (method, member) in
        [("prompts/get", "name"), ("resources/read", "uri"), ("tasks/get", "taskId"), ("tasks/cancel", "taskId")]
    {
        let body = request(method, json!({member: "Zürich", "_meta": meta()}));
        let pairs = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
        assert_eq!(refusal(&pairs, &body), (-32020, 400), "{method}");
        let name = encode_value("Zürich");
        assert!(served(&with(&pairs, "Mcp-Name", &name), &body).is_ok(), "{method}");
        assert_eq!(refusal(&with(&pairs, "Mcp-Name", "Bern"), &body), (-32020, 400), "{method}");
    }
}

/// spec: TR-49
#[test]
fn modern_request_states_its_version_and_capabilities() {
    let (pairs, _) = modern_call();
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    for meta in [
        json!({version: "2026-07-28"}),
        json!({capabilities: {}}),
        json!({version: 20_260_728, capabilities: {}}),
        json!({version: "2026-07-28", capabilities: []}),
        json!({version: "2026-07-28", capabilities: null}),
        json!({}),
        json!([]),
        json!("2026-07-28"),
    ] {
        let body = request("tools/call", json!({"name": "echo", "_meta": meta}));
        assert_eq!(refusal(&pairs, &body), (-32602, 400), "{meta}");
    }
    let pairs = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
    let bare = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/list"});
    assert_eq!(refusal(&pairs, &bare), (-32602, 400));
}

/// spec: TR-27
#[test]
fn of_two_faults_the_earlier_in_order_is_told() {
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let pairs = |version, method| vec![("MCP-Protocol-Version", version), ("Mcp-Method", method)];
    let body = |method: &str, meta: Value| request(method, json!({"_meta": meta}));
    // Each fault stands together with every later one.
    let all_wrong = body("no/such", json!({version: "1999-01-01"}));
    assert_eq!(refusal(&vec![("Mcp-Method", "other")], &all_wrong).0, -32020);
    assert_eq!(refusal(&pairs("1999-01-02", "other"), &all_wrong).0, -32602);
    let unserved = body("no/such", json!({version: "1999-01-01", capabilities: {}}));
    assert_eq!(refusal(&pairs("1999-01-02", "no/such"), &unserved).0, -32020);
    assert_eq!(refusal(&pairs("1999-01-01", "other"), &unserved).0, -32020);
    assert_eq!(refusal(&pairs("1999-01-01", "no/such"), &unserved).0, -32022);
    let unknown = body("no/such", json!({version: "2026-07-28", capabilities: {}}));
    assert_eq!(refusal(&pairs("2026-07-28", "no/such"), &unknown), (-32601, 404));
    let mut nameless = pairs("2026-07-28", "tools/call");
    nameless.push(("Mcp-Name", "echo"));
    let wrong = body("tools/call", json!({version: "2026-07-28", capabilities: {}}));
    assert_eq!(refusal(&nameless, &wrong), (-32602, 400));
}

/// spec: TR-23, TR-56
#[test]
fn removed_and_foreign_methods_are_unknown_to_modern_requests() {
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "sampling/createMessage",
        "elicitation/create",
        "notifications/cancelled",
        "tools/unheard",
    ] {
        let body = request(method, json!({"uri": "x", "protocolVersion": "2025-11-25", "_meta": meta()}));
        let pairs = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
        assert_eq!(refusal(&pairs, &body), (-32601, 404), "{method}");
    }
}

/// spec: T-60
#[test]
fn arguments_are_an_object_or_absent() {
    let (pairs, _) = modern_call();
    for arguments in [json!("x"), json!([]), json!(null), json!(1)] {
        let body = request("tools/call", json!({"name": "echo", "arguments": arguments, "_meta": meta()}));
        assert_eq!(refusal(&pairs, &body), (-32602, 400), "{arguments}");
    }
}

/// spec: TR-26, TR-28
#[test]
fn unserved_version_is_told_what_is_served() {
    let body = request("tools/list", json!({}));
    for version in ["1999-01-01", "2024-11-05", "x", "", "2025-11-25, 2025-06-18"] {
        let error = served(&vec![("MCP-Protocol-Version", version), ("Mcp-Session-Id", "s")], &body).unwrap_err();
        assert_eq!((error.code, error.http), (-32022, 400), "{version}");
        let expected =
            json!({"supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"], "requested": version});
        assert_eq!(error.data.as_deref(), Some(&expected));
    }
    let only = [Version::V2025_11_25];
    let (pairs, body) = modern_call();
    let error = judge(&pairs, &body, &only).unwrap_err();
    assert_eq!(error.data.as_deref(), Some(&json!({"supported": ["2025-11-25"], "requested": "2026-07-28"})));
}

/// spec: TR-31
#[test]
fn legacy_version_in_meta_is_sent_to_initialize() {
    let stated = json!({
        "io.modelcontextprotocol/protocolVersion": "2025-11-25", "io.modelcontextprotocol/clientCapabilities": {}});
    let body = request("tools/list", json!({"_meta": stated}));
    let pairs = vec![("MCP-Protocol-Version", "2025-11-25"), ("Mcp-Method", "tools/list")];
    let error = served(&pairs, &body).unwrap_err();
    assert_eq!((error.code, error.http), (-32022, 400));
    assert_eq!(error.data.as_deref(), Some(&json!({"supported": ["2026-07-28"], "requested": "2025-11-25"})));
    assert!(error.message.contains("initialize"));
}

/// spec: TR-44
#[test]
fn modern_notification_needs_no_method_header_but_must_not_contradict() {
    let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let pairs = vec![("MCP-Protocol-Version", "2026-07-28")];
    assert_eq!(served(&pairs, &body), Ok(Class::Modern { version: MODERN, method: Some(Method::Cancelled) }));
    assert_eq!(refusal(&with(&pairs, "Mcp-Method", "tools/call"), &body), (-32020, 400));
    let stated =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "_meta": meta()}});
    assert!(served(&pairs, &stated).is_ok());
    assert_eq!(refusal(&vec![], &stated), (-32020, 400));
    let vendor = json!({"jsonrpc": "2.0", "method": "vendor/thing"});
    assert_eq!(served(&pairs, &vendor), Ok(Class::Modern { version: MODERN, method: None }));
    // A request without an id would otherwise be run without an answer.
    let silent = json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}});
    assert_eq!(refusal(&pairs, &silent), (-32600, 400));
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(served(&pairs, &response).unwrap_err().code, -32600);
}

/// spec: TR-22, TR-30, TR-80
#[test]
fn bare_initialize_opens_a_session() {
    let body = |version: Value| request("initialize", json!({"protocolVersion": version, "capabilities": {}}));
    for (asked, answered) in [
        ("2025-03-26", Version::V2025_03_26),
        ("2025-06-18", Version::V2025_06_18),
        ("2025-11-25", Version::V2025_11_25),
        ("2024-11-05", Version::V2025_11_25),
        ("2026-07-28", Version::V2025_11_25),
        ("2099-01-01", Version::V2025_11_25),
    ] {
        assert_eq!(served(&vec![], &body(asked.into())), Ok(Class::Initialize { version: answered }), "{asked}");
    }
    let pairs = vec![("MCP-Protocol-Version", "2025-06-18")];
    assert!(served(&pairs, &body("2025-06-18".into())).is_ok());
    assert_eq!(refusal(&pairs, &body("2025-11-25".into())), (-32600, 400));
    assert_eq!(refusal(&vec![], &body(Value::Null)), (-32602, 400));
}

/// spec: TR-29
#[test]
fn without_legacy_every_request_must_be_modern() {
    let only = [MODERN];
    let initialize = request("initialize", json!({"protocolVersion": "2025-11-25"}));
    let error = judge(&vec![("Mcp-Session-Id", "s")], &initialize, &only).unwrap_err();
    assert_eq!(error.code, -32020);
    let (pairs, body) = modern_call();
    assert!(judge(&pairs, &body, &only).is_ok());
}

/// spec: TR-24, TR-25
#[test]
fn legacy_post_belongs_to_a_session() {
    let list = request("tools/list", json!({}));
    let session = |header| Ok(Class::Session { session: b"s", header });
    assert_eq!(refusal(&vec![], &list), (-32600, 400));
    assert_eq!(refusal(&vec![("MCP-Protocol-Version", "2025-11-25")], &list), (-32600, 400));
    assert_eq!(refusal(&vec![("Mcp-Session-Id", "")], &list), (-32600, 400));
    assert_eq!(refusal(&vec![("Mcp-Session-Id", "s"), ("Mcp-Session-Id", "s")], &list), (-32600, 400));
    assert_eq!(served(&vec![("Mcp-Session-Id", "s")], &list), session(None));
    let both = vec![("Mcp-Session-Id", "s"), ("MCP-Protocol-Version", "2025-06-18")];
    assert_eq!(served(&both, &list), session(Some(Version::V2025_06_18)));
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(served(&both, &answer), session(Some(Version::V2025_06_18)));
    let twice = vec![("MCP-Protocol-Version", "2025-06-18"), ("MCP-Protocol-Version", "2025-06-18")];
    assert_eq!(refusal(&twice, &list), (-32020, 400));
}

#[test]
fn unknown_method_in_a_session_is_no_lost_session() {
    let bytes = br#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#;
    let Ok(Body::One(Message::Request(call))) = parse(bytes, &Limits::default()) else { panic!("a request") };
    let error = portcullis_mcp::headers::admit(&call, Version::V2025_11_25).unwrap_err();
    assert_eq!((error.code, error.http), (-32601, 200));
}

fn schema() -> Vec<tool::Annotation> {
    let schema = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limit": {"type": "integer", "x-mcp-header": "Limit"},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "where": {"type": "object", "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}},
    }});
    tool::annotations(&schema.to_string()).expect("the annotations are valid")
}

/// spec: TR-46, TR-47, TR-48
#[test]
fn annotated_arguments_are_repeated_in_headers() {
    let check = |pairs: &Pairs<'_>, arguments: &str| {
        check_params(&headers(pairs), &schema(), Some(arguments)).map_err(|error| (error.code, error.http))
    };
    let refused = Err((-32020, 400));
    for (pairs, arguments, expected) in [
        (vec![("Mcp-Param-Region", "eu")], r#"{"region":"eu"}"#, Ok(())),
        (vec![("mcp-param-REGION", " eu ")], r#"{"region":"eu"}"#, Ok(())),
        (vec![("Mcp-Param-Region", "=?base64?ZXU=?=")], r#"{"region":"eu"}"#, Ok(())),
        (vec![], r#"{"region":null}"#, Ok(())),
        (vec![], "{}", Ok(())),
        (vec![], r#"{"region":"eu"}"#, refused),
        (vec![("Mcp-Param-Region", "us")], r#"{"region":"eu"}"#, refused),
        (vec![("Mcp-Param-Region", "EU")], r#"{"region":"eu"}"#, refused),
        (vec![("Mcp-Param-Region", "eu")], r#"{"region":null}"#, refused),
        (vec![("Mcp-Param-Region", "eu")], "{}", refused),
        (vec![("Mcp-Param-Region", "eu"), ("Mcp-Param-Region", "eu")], r#"{"region":"eu"}"#, refused),
        (vec![("Mcp-Param-Region", "=?base64?ZXU?=")], r#"{"region":"eu"}"#, refused),
        (vec![("Mcp-Param-Region", "ü")], r#"{"region":"ü"}"#, refused),
        (vec![("Mcp-Param-Limit", "42")], r#"{"limit":42}"#, Ok(())),
        (vec![("Mcp-Param-Limit", "42.0")], r#"{"limit":42}"#, Ok(())),
        (vec![("Mcp-Param-Limit", "42")], r#"{"limit":42.00}"#, Ok(())),
        (vec![("Mcp-Param-Limit", "4200")], r#"{"limit":42e2}"#, Ok(())),
        (vec![("Mcp-Param-Limit", "42e0")], r#"{"limit":42}"#, refused),
        (vec![("Mcp-Param-Limit", "42.1")], r#"{"limit":42}"#, refused),
        (vec![("Mcp-Param-Limit", "9007199254740992")], r#"{"limit":9007199254740993}"#, refused),
        (vec![("Mcp-Param-Limit", "x")], r#"{"limit":42}"#, refused),
        (vec![("Mcp-Param-Dry", "true")], r#"{"dry":true}"#, Ok(())),
        (vec![("Mcp-Param-Dry", "True")], r#"{"dry":true}"#, refused),
        (vec![("Mcp-Param-Zone", "a")], r#"{"where":{"zone":"a"}}"#, Ok(())),
        (vec![("Mcp-Param-Zone", "a")], r#"{"where":"zone"}"#, refused),
        (vec![("Mcp-Param-Other", "a")], "{}", Ok(())),
    ] {
        assert_eq!(check(&pairs, arguments), expected, "{pairs:?} {arguments}");
    }
}

/// spec: TR-127, T-56
#[test]
fn headers_for_a_server_are_made_from_the_body() {
    let arguments = r#"{"region":" eu","limit":42.0,"dry":false,"where":{"zone":"ü"}}"#;
    let made = upstream(MODERN, Method::ToolsCall, Some("écho"), &schema(), Some(arguments));
    let pairs: Pairs<'_> = made.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for expected in [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "=?base64?w6ljaG8=?="),
        ("Mcp-Param-Region", "=?base64?IGV1?="),
        ("Mcp-Param-Limit", "42"),
        ("Mcp-Param-Dry", "false"),
        ("Mcp-Param-Zone", "=?base64?w7w=?="),
    ] {
        assert!(pairs.contains(&expected), "{expected:?} in {pairs:?}");
    }
    assert!(check_params(&headers(&pairs), &schema(), Some(arguments)).is_ok());
    assert_eq!(upstream(MODERN, Method::ToolsList, None, &[], None).len(), 2);
}

/// spec: TR-45, TR-130
#[test]
fn values_are_encoded_only_where_they_must() {
    for (value, encoded) in [
        ("us-west1", "us-west1"),
        ("", ""),
        ("a b", "a b"),
        (" a", "=?base64?IGE=?="),
        ("a ", "=?base64?YSA=?="),
        ("\ta", "=?base64?CWE=?="),
        ("a\nb", "=?base64?YQpi?="),
        ("日本", "=?base64?5pel5pys?="),
        ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ("=?base64?x", "=?base64?x"),
        ("=?Base64?YQ==?=", "=?Base64?YQ==?="),
    ] {
        assert_eq!(encode_value(value), encoded);
        assert_eq!(decode_value(encoded.as_bytes()).as_deref(), Some(value));
    }
    assert_eq!(decode_value(b"=?base64??="), Some(String::new()));
    assert_eq!(decode_value(b"=?base64?="), Some("=?base64?=".to_owned()));
    for malformed in ["=?base64?YQ?=", "=?base64?Y-_=?=", "=?base64?YR==?=", "=?base64?gA==?=", "a\u{7f}", "a\0b", "é"]
    {
        assert_eq!(decode_value(malformed.as_bytes()), None, "{malformed:?}");
    }
}

proptest! {
    #[test]
    fn every_value_survives_the_header(value: String) {
        let encoded = encode_value(&value);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
        prop_assert_eq!(decode_value(encoded.as_bytes()), Some(value));
    }

    #[test]
    fn every_integer_agrees_with_its_header(number: i64) {
        let arguments = format!(r#"{{"limit":{number}}}"#);
        let made = upstream(MODERN, Method::ToolsCall, Some("t"), &schema(), Some(&arguments));
        let pairs: Pairs<'_> = made.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        prop_assert!(check_params(&headers(&pairs), &schema(), Some(&arguments)).is_ok());
    }
}
