use portcullis_mcp::{
    Body, Id, Message, Method, OwnedId, ProtocolError, Version,
    message::{self, Outcome, Peek, ResultType, parse, peek_response},
    scan::Limits,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(text: &str) -> Result<Body<'_>, ProtocolError> {
    parse(text.as_bytes(), &Limits::default())
}

fn one(text: &str) -> Message<'_> {
    match read(text) {
        Ok(Body::One(message)) => message,
        other => panic!("{text}: {other:?}"),
    }
}

fn refused(text: &str) -> (i64, Option<String>) {
    let error = read(text).expect_err(text);
    assert_eq!(error.http, 400, "{text}");
    (error.code, error.id.map(|id| id.to_json().to_owned()))
}

#[test]
fn request_is_found_with_its_insides_raw() {
    let text = r#"{"params":{"arguments":{ "a":1 },"name":"\u0065cho","_meta":{"progressToken":"t","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"com.example/x":1}},"method":"tools/call","id":7,"jsonrpc":"2.0"}"#;
    let Message::Request(call) = one(text) else { panic!("a request") };
    assert_eq!(call.id, Some(Id::Number("7")));
    assert_eq!(call.method, "tools/call");
    assert_eq!(call.known, Some(Method::ToolsCall));
    assert_eq!(call.target.as_deref(), Some("echo"));
    assert_eq!(call.arguments, Some(r#"{ "a":1 }"#));
    assert_eq!(call.meta.protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(call.meta.client_capabilities, Some("{}"));
    assert_eq!(call.meta.progress_token, Some(r#""t""#));
    assert_eq!(call.raw, text);
}

#[test]
fn targets_are_named_by_the_method() {
    for (method, params, target) in [
        ("resources/read", r#"{"uri":"note:///1","name":"x"}"#, Some("note:///1")),
        ("resources/subscribe", r#"{"uri":"note:///1"}"#, Some("note:///1")),
        ("prompts/get", r#"{"name":"p"}"#, Some("p")),
        ("tasks/get", r#"{"taskId":"t"}"#, Some("t")),
        ("tools/list", r#"{"name":"p"}"#, None),
        ("vendor/thing", r#"{"name":"p"}"#, None),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{params}}}"#);
        let Message::Request(call) = one(&text) else { panic!("a request") };
        assert_eq!(call.target.as_deref(), target, "{method}");
    }
}

/// spec: TR-5
#[test]
fn ids_are_strings_or_integers_and_keep_their_type() {
    for raw in ["1", "-5", "0", r#""1""#, r#""""#, r#""\u0031""#] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{raw},"method":"ping"}}"#);
        let Message::Request(call) = one(&text) else { panic!("a request") };
        assert_eq!(call.id.unwrap().to_json(), raw);
    }
    for raw in ["null", "1.5", "1.0", "1e3", "true", "[]", "{}", "99999999999999999999"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{raw},"method":"ping"}}"#);
        assert_eq!(refused(&text), (message::INVALID_REQUEST, None), "{raw}");
    }
    assert_ne!(Id::Number("1").to_owned(), Id::String("\"1\"").to_owned());
    assert_eq!(Id::String(r#""\u0031""#).to_owned(), OwnedId::string("1"));
    assert_eq!(Id::Number("-0").to_owned(), OwnedId::number(0));
    assert_eq!(OwnedId::string("a\"b").as_id(), Id::String(r#""a\"b""#));
}

/// spec: TR-4, TR-5, T-60
#[test]
fn what_is_no_message_is_refused_with_its_id_if_it_has_one() {
    for (text, code, id) in [
        ("{", -32700, None),
        ("", -32700, None),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32700, None),
        ("1", -32600, None),
        ("\"ping\"", -32600, None),
        ("{}", -32600, None),
        (r#"{"id":1,"method":"ping"}"#, -32600, Some("1")),
        (r#"{"jsonrpc":2.0,"id":"a","method":"ping"}"#, -32600, Some("\"a\"")),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600, None),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":""}}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, -32600, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}"#, -32602, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null}"#, -32602, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":{}}}"#, -32602, Some("1")),
        ("[]", -32600, None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},3]"#, -32600, None),
    ] {
        assert_eq!(refused(text), (code, id.map(str::to_owned)), "{text}");
    }
}

/// spec: T-57
#[test]
fn names_that_differ_only_in_case_do_not_hide_another_meaning() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","param\u017f":{}}"#,
        r#"{"jsonrpc":"2.0","ID":2,"id":1,"method":"tools/list"}"#,
    ] {
        assert_eq!(refused(text), (-32600, Some("1".to_owned())), "{text}");
    }
    for params in [
        r#"{"name":"safe","Name":"delete_db"}"#,
        r#"{"name":"safe","argument\u017f":{}}"#,
        r#"{"name":"safe","Arguments":{}}"#,
        r#"{"name":"safe","_META":{}}"#,
        r#"{"name":"safe","_meta":{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        assert_eq!(refused(&text), (-32602, Some("1".to_owned())), "{params}");
    }
    // The kelvin sign folds to k.
    let task = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"a","tasKId":"b"}}"#;
    assert_eq!(refused(task).0, -32602);
}

/// spec: TR-72
#[test]
fn unknown_members_are_no_error() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","x":1,"params":{"name":"a","names":1,"_meta":{"com.example/a":1}}}"#;
    assert!(matches!(one(text), Message::Request(_)));
}

#[test]
fn notifications_and_responses_are_told_apart() {
    assert!(matches!(one(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), Message::Notification(_)));
    let Message::Response(response) =
        one(r#"{"jsonrpc":"2.0","id":"a","result":{"isError":true,"resultType":"complete"}}"#)
    else {
        panic!("a response")
    };
    assert_eq!(response.outcome, Outcome::Result(r#"{"isError":true,"resultType":"complete"}"#));
    assert!(response.is_error);
    assert_eq!(response.result_type.as_deref(), Some("complete"));
    let Message::Response(response) = one(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#)
    else {
        panic!("a response")
    };
    assert_eq!(response.id, None);
    assert!(matches!(response.outcome, Outcome::Error { code: -32700, .. }));
}

/// spec: T-59
#[test]
fn arrays_are_told_from_messages() {
    let text = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
    assert!(matches!(read(text), Ok(Body::Batch(messages)) if messages.len() == 2));
}

/// spec: TR-5
#[test]
fn errors_carry_the_id_as_it_was_or_none() {
    let body = |error: &ProtocolError| -> Value { serde_json::from_slice(&error.to_json()).unwrap() };
    let error = ProtocolError::invalid_params("no\n").with_id(Some(Id::String(r#""1""#)));
    assert_eq!(body(&error), json!({"jsonrpc": "2.0", "id": "1", "error": {"code": -32602, "message": "no\n"}}));
    let error = ProtocolError::unsupported_version("x", Version::SERVED, "no");
    assert_eq!(
        body(&error),
        json!({"jsonrpc": "2.0", "error": {"code": -32022, "message": "no", "data": {
            "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"], "requested": "x"}}})
    );
    let error = ProtocolError::missing_capability(json!({"elicitation": {"url": {}}}), "no");
    assert_eq!(body(&error)["error"]["data"], json!({"requiredCapabilities": {"elicitation": {"url": {}}}}));
}

#[test]
fn outcome_is_peeked_without_reading_the_result() {
    let peek = |text: &str| peek_response(text.as_bytes());
    let fine = Some(Peek::default());
    assert_eq!(peek(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"\"isError\":true"}]}}"#), fine);
    assert_eq!(peek(r#" {"result":{"isError":false},"id":1} "#), fine);
    assert_eq!(
        peek(r#"{"id":1,"result":{"content":[],"isError":true}}"#),
        Some(Peek { is_error: true, tool_error: true, ..Peek::default() })
    );
    assert_eq!(
        peek(r#"{"id":1,"error":{"message":"x","code":-32602}}"#),
        Some(Peek { is_error: true, error_code: Some(-32602), ..Peek::default() })
    );
    assert_eq!(
        peek(r#"{"id":1,"result":{"resultType":"input_required"}}"#),
        Some(Peek { input_required: true, ..Peek::default() })
    );
    for nothing in ["", "[]", "{", r#"{"method":"x"}"#, r#"{"result":3}"#, "\u{feff}{}", r#"{"result"#] {
        assert_eq!(peek(nothing), None, "{nothing}");
    }
    assert_eq!(peek_response(b"\xff"), None);
}

/// spec: TR-132
#[test]
fn result_without_a_type_is_complete_and_one_of_unknown_type_is_none() {
    for (result, kind) in [
        ("{}", Some(ResultType::Complete)),
        (r#"{"resultType":"complete"}"#, Some(ResultType::Complete)),
        (r#"{"resultType":"input_required"}"#, Some(ResultType::InputRequired)),
        (r#"{"resultType":"task"}"#, None),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let Message::Response(response) = one(&text) else { panic!("a response") };
        assert_eq!(response.kind(), kind, "{result}");
    }
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":7}}"#).0, -32600);
}

proptest! {
    /// Answers of servers are read before anybody has checked them.
    #[test]
    fn no_text_makes_a_reader_panic(text in r#"[\[\]{}:," \\un-](jsonrpc|"id"|"result"|"error"|"method"|"params"|[\[\]{}:,"\\ é0-9]){0,30}"#) {
        let _ = message::message(&text);
        let _ = peek_response(text.as_bytes());
        let _ = portcullis_mcp::tool::listing(&text);
        let _ = portcullis_mcp::tool::canonical(&text);
    }
}
