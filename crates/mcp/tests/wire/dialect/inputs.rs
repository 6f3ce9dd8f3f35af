use portcullis_mcp::{
    OwnedId, ProtocolError, Version,
    dialect::{Abilities, Ask, Asked, CANCELLED, Input, Sampling, signed},
    message::INVALID_PARAMS,
};
use serde_json::{Value, json};

use super::{OLDER, call, from, shown, to};

fn able() -> Abilities {
    let sampling = Some(Sampling { tools: true, context: false });
    Abilities { roots: true, sampling, forms: true, pages: true, tasks: false, apps: None }
}

/// What a client of `version` that can do all it declared is asked for an entry.
fn ask(version: Version, entry: &Value) -> Ask {
    let abilities = to(version).abilities(&able().to_json());
    to(version).ask(&entry.to_string(), &abilities, "id-1").unwrap()
}

/// The parameters of the request that comes of an entry.
fn asked(version: Version, entry: &Value) -> Value {
    let Ask::Request { input, params } = ask(version, entry) else { panic!("{version} {entry}") };
    let definition = match input {
        Input::Elicitation => "ElicitRequest",
        Input::Sampling => "CreateMessageRequest",
        Input::Roots => "ListRootsRequest",
    };
    let method = input.method().name();
    assert_eq!(entry["method"], method);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    shown(version, definition, &request)["params"].clone()
}

fn unable(ask: Ask) -> String {
    let Ask::Unable(ProtocolError { code, http, message, .. }) = ask else { panic!("{ask:?}") };
    assert_eq!((code, http), (INVALID_PARAMS, 200));
    message
}

fn form(properties: Value) -> Value {
    let schema = json!({"type": "object", "properties": properties, "required": ["a"], "x": 1});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": "m", "requestedSchema": schema}})
}

/// spec: BR-24, BR-27, BR-112
#[test]
fn a_form_is_written_in_the_words_of_the_revision() {
    let titled = json!([{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]);
    let fields = json!({
        "a": {"type": "string", "title": "A", "format": "email", "maxLength": 9, "default": "d"},
        "b": {"type": "integer", "minimum": 1, "default": 2},
        "c": {"type": "number", "default": 1.5},
        "d": {"type": "boolean", "default": true},
        "e": {"type": "string", "oneOf": titled, "default": "r", "description": "which"},
        "f": {"type": "string", "enum": ["x", "y"], "default": "x"},
        "g": {"type": "string", "enum": ["x", "y"], "enumNames": ["X", "Y"]},
    });
    let told = asked(Version::V2025_11_25, &form(fields.clone()));
    assert_eq!(told, form(fields.clone())["params"]);
    let told = asked(Version::V2025_06_18, &form(fields));
    let plain = json!({
        "a": {"type": "string", "title": "A", "format": "email", "maxLength": 9},
        "b": {"type": "integer", "minimum": 1},
        "c": {"type": "number"},
        "d": {"type": "boolean", "default": true},
        "e": {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"], "description": "which"},
        "f": {"type": "string", "enum": ["x", "y"]},
        "g": {"type": "string", "enum": ["x", "y"], "enumNames": ["X", "Y"]},
    });
    let mut expected = form(plain)["params"].clone();
    expected.as_object_mut().unwrap().remove("mode");
    assert_eq!(told, expected);

    let many = form(json!({"a": {"type": "array", "items": {"type": "string", "enum": ["x"]}}}));
    assert_eq!(asked(Version::V2025_11_25, &many), many["params"]);
    for inexpressible in [
        many,
        form(json!({"a": {"type": "array", "items": {"anyOf": titled}}})),
        form(json!({"a": {"type": "object"}})),
        form(json!({"a": {}})),
        form(json!({"a": true})),
        form(json!({"a": {"type": "string", "oneOf": [{"title": "no value"}]}})),
        form(json!({"a": {"type": "string", "oneOf": []}})),
        form(json!([])),
    ] {
        assert_eq!(ask(Version::V2025_06_18, &inexpressible), Ask::Answer(CANCELLED), "{inexpressible}");
    }
}

/// spec: BR-28, BR-29, BR-50
#[test]
fn a_page_is_opened_only_where_the_revision_knows_pages() {
    let page =
        json!({"method": "elicitation/create", "params": {"mode": "url", "message": "m", "url": "https://a.example"}});
    let named = json!({"mode": "url", "message": "m", "url": "https://a.example", "elicitationId": "id-1"});
    assert_eq!(asked(Version::V2025_11_25, &page), named);
    let empty = form(json!({}));
    for version in OLDER {
        if version < Version::V2025_11_25 {
            assert_eq!(ask(version, &page), Ask::Answer(CANCELLED), "{version}");
        }
        if version < Version::V2025_06_18 {
            assert_eq!(ask(version, &empty), Ask::Answer(CANCELLED), "{version}");
        }
        let forms = Abilities { forms: true, ..Abilities::default() };
        let pages = Abilities { pages: true, ..Abilities::default() };
        for (entry, abilities) in [(&page, forms), (&empty, pages), (&page, Abilities::default())] {
            let ask = to(version).ask(&entry.to_string(), &abilities, "id-1").unwrap();
            assert_eq!(ask, Ask::Answer(CANCELLED), "{version} {entry}");
        }
        let blank = json!({"method": "elicitation/create", "params": {"message": "m"}});
        assert_eq!(ask(version, &blank), Ask::Answer(CANCELLED), "{version}");
        for mode in [json!("smoke"), json!(1), json!(null)] {
            let mut odd = empty.clone();
            odd["params"]["mode"] = mode;
            assert_eq!(ask(version, &odd), Ask::Answer(CANCELLED), "{version} {odd}");
        }
    }
}

fn sampling(messages: Value, more: Value) -> Value {
    let mut params = json!({"messages": messages, "maxTokens": 9});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"method": "sampling/createMessage", "params": params})
}

/// spec: BR-24, BR-30, BR-77
#[test]
fn a_model_is_asked_block_by_block_where_messages_have_one() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image", "data": "AAAA", "mimeType": "image/png"});
    let audio = json!({"type": "audio", "data": "AAAA", "mimeType": "audio/wav"});
    let used = json!({"type": "tool_use", "id": "1", "name": "t", "input": {}});
    let result = |structured: Value| json!({"type": "tool_result", "toolUseId": "1", "content": [], "structuredContent": structured});
    let message = |role: &str, content: Value| json!({"role": role, "content": content});
    let entry = sampling(
        json!([
            {"role": "user", "content": text("a"), "x": 1},
            message("assistant", json!([text("b"), image, audio, used])),
            message("user", json!([result(json!([1])), text("c")])),
        ]),
        json!({"includeContext": "allServers", "temperature": 0.5, "_meta": {"progressToken": 1}}),
    );
    let (first, second, third) = (
        json!({"role": "user", "content": text("a"), "x": 1}),
        message("assistant", text("b")),
        message("assistant", image.clone()),
    );
    let (fourth, last) = (message("assistant", audio.clone()), message("user", text("c")));
    let table = [
        (Version::V2025_06_18, json!([first, second, third, fourth, last])),
        (Version::V2025_03_26, json!([first, second, third, fourth, last])),
        (Version::V2024_11_05, json!([first, second, third, last])),
    ];
    for (version, messages) in table {
        let expected = json!({"messages": messages, "maxTokens": 9, "includeContext": "none", "temperature": 0.5});
        assert_eq!(asked(version, &entry), expected, "{version}");
    }
    let told = asked(Version::V2025_11_25, &entry);
    assert_eq!(told["messages"][1], message("assistant", json!([text("b"), image, audio, used])));
    let worded = json!({"type": "tool_result", "toolUseId": "1", "content": [text("[1]")]});
    assert_eq!(told["messages"][2], message("user", json!([worded, text("c")])));
    assert_eq!(told["includeContext"], "none");

    let context = Abilities { sampling: Some(Sampling { tools: false, context: true }), ..Abilities::default() };
    let ask = to(Version::V2025_11_25).ask(&entry.to_string(), &context, "").unwrap();
    let Ask::Request { params, .. } = ask else { panic!("{ask:?}") };
    assert!(params.contains(r#""includeContext":"allServers""#), "{params}");
}

/// spec: BR-30, BR-50, BR-31
#[test]
fn a_model_that_cannot_be_asked_ends_the_call() {
    let text = json!([{"role": "user", "content": {"type": "text", "text": "a"}}]);
    let used = json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {}}]}]);
    let tool = json!({"tools": [{"name": "t", "inputSchema": {"type": "object", "properties": {"a": true}}}]});
    assert_eq!(
        asked(Version::V2025_11_25, &sampling(text.clone(), tool.clone()))["tools"][0]["inputSchema"]["properties"],
        json!({"a": {}})
    );
    for version in OLDER {
        let modern = version == Version::V2025_11_25;
        for (entry, end) in [
            (sampling(text.clone(), tool.clone()), ": sampling.tools"),
            (sampling(text.clone(), json!({"toolChoice": {}})), ": sampling.tools"),
            (sampling(used.clone(), json!({})), "has words for"),
        ] {
            let ask = ask(version, &entry);
            assert!(modern || unable(ask).ends_with(end), "{version} {entry}");
        }
        let nothing = Abilities::default();
        for (entry, name) in
            [(sampling(text.clone(), json!({})), "sampling"), (json!({"method": "roots/list"}), "roots")]
        {
            let ask = to(version).ask(&entry.to_string(), &nothing, "").unwrap();
            assert!(unable(ask).ends_with(&format!(": {name}")));
        }
        assert_eq!(asked(version, &json!({"method": "roots/list"})), json!({}));
        let empty = sampling(json!([]), json!({}));
        assert_eq!(asked(version, &empty), empty["params"]);
    }
    assert_eq!(Input::Elicitation.when_refused(), Some(r#"{"action":"cancel"}"#));
    assert_eq!((Input::Sampling.when_refused(), Input::Roots.when_refused()), (None, None));
}

/// spec: BR-63
#[test]
fn a_server_asks_for_nothing_but_the_three() {
    for version in OLDER {
        for entry in [
            r#"{"method":"ping"}"#,
            r#"{"method":"tools/call","params":{"name":"t"}}"#,
            r#"{"method":"com.example/x"}"#,
            r#"{"method":1}"#,
            r#"{"method":"elicitation/create","params":[]}"#,
            r#"{"method":"sampling/createMessage","params":{"maxTokens":1}}"#,
            "{}",
            "[]",
        ] {
            let fault = to(version).ask(entry, &able(), "").unwrap_err();
            assert!(fault.to_string().starts_with("the "), "{fault}");
        }
    }
}

fn request(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": "s1", "method": method, "params": params}).to_string()
}

/// spec: BR-44, BR-53, BR-77, BR-116, BR-2
#[test]
fn a_request_of_a_legacy_server_becomes_an_entry() {
    let hop = json!({"progressToken": 1, "io.modelcontextprotocol/related-task": {"taskId": "t"}});
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "enum": ["x"], "enumNames": ["X"]}}});
    let messages = json!([{"role": "user", "content": {"type": "text", "text": "a"}}]);
    let table = [
        (
            "ElicitRequest",
            request("elicitation/create", json!({"message": "m", "requestedSchema": schema, "task": {}, "_meta": hop})),
            json!({"message": "m", "requestedSchema": schema}),
        ),
        (
            "ElicitRequest",
            request(
                "elicitation/create",
                json!({"mode": "url", "message": "m", "url": "https://a.example", "elicitationId": "e"}),
            ),
            json!({"mode": "url", "message": "m", "url": "https://a.example"}),
        ),
        (
            "CreateMessageRequest",
            request(
                "sampling/createMessage",
                json!({"messages": messages, "maxTokens": 1, "includeContext": "thisServer", "task": {"ttl": 1}}),
            ),
            json!({"messages": messages, "maxTokens": 1, "includeContext": "none"}),
        ),
        (
            "ListRootsRequest",
            request("roots/list", json!({"_meta": {"progressToken": 1, "com.example/kept": 1}})),
            json!({"_meta": {"com.example/kept": 1}}),
        ),
        ("ListRootsRequest", r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#.to_owned(), json!(null)),
    ];
    for version in OLDER {
        for (definition, said, params) in &table {
            let said = call(said);
            let Asked::Entry(input, entry) = from(version).asked(&said, &able()) else { panic!("{}", said.raw) };
            assert_eq!(Some(input.method()), said.known);
            let entry = shown(Version::V2026_07_28, definition, &entry);
            assert_eq!((entry["method"].as_str(), &entry["params"]), (Some(&*said.method), params));
        }
    }
}

/// spec: BR-50, BR-51
#[test]
fn a_legacy_server_that_asks_for_what_is_not_there_is_answered_at_once() {
    let text = json!([{"role": "user", "content": {"type": "text", "text": "a"}}]);
    let form = request("elicitation/create", json!({"message": "m", "requestedSchema": {}}));
    let page = request("elicitation/create", json!({"mode": "url", "message": "m", "url": "https://a.example"}));
    let sample = request("sampling/createMessage", json!({"messages": text, "maxTokens": 1}));
    let tools = request("sampling/createMessage", json!({"messages": text, "maxTokens": 1, "tools": []}));
    let roots = request("roots/list", json!({}));
    let (nothing, all) = (Abilities::default(), able());
    let forms = Abilities { forms: true, ..Abilities::default() };
    let plain = Abilities { sampling: Some(Sampling::default()), ..Abilities::default() };
    let table = [
        (&nothing, &form, Ok(CANCELLED)),
        (&nothing, &page, Ok(CANCELLED)),
        (&forms, &page, Ok(CANCELLED)),
        (&nothing, &request("ping", json!({})), Ok("{}")),
        (&nothing, &sample, Err(-32601)),
        (&nothing, &roots, Err(-32601)),
        (&plain, &tools, Err(-32602)),
        (&all, &request("tasks/get", json!({"taskId": "t"})), Err(-32601)),
        (&all, &request("com.example/x", json!({})), Err(-32601)),
        (&all, &request("elicitation/create", json!({"message": "m"})), Err(-32602)),
        (&all, &request("elicitation/create", json!({"mode": "url", "message": "m"})), Err(-32602)),
        (&all, &request("elicitation/create", json!({"mode": "smoke", "message": "m"})), Err(-32602)),
        (&all, &request("elicitation/create", json!({"mode": 1, "message": "m"})), Err(-32602)),
        (&all, &request("sampling/createMessage", json!({"messages": {}, "maxTokens": 1})), Err(-32602)),
    ];
    for version in OLDER {
        for (abilities, said, expected) in &table {
            let asked = match from(version).asked(&call(said), abilities) {
                Asked::Answer(answer) => Ok(answer),
                Asked::Refused(error) => {
                    assert_eq!(error.id.as_ref().map(OwnedId::to_json), Some("\"s1\""));
                    Err(error.code)
                }
                Asked::Entry(..) => panic!("{said}"),
            };
            assert_eq!(&asked, expected, "{version} {said}");
        }
    }
}

/// spec: BR-66
#[test]
fn a_person_is_told_who_asks() {
    let form = r#"{"method":"elicitation/create","params":{"message":"Your \"name\"?","requestedSchema":{"n":1.0}}}"#;
    let told =
        r#"{"method":"elicitation/create","params":{"message":"wiki: Your \"name\"?","requestedSchema":{"n":1.0}}}"#;
    assert_eq!(signed(form, "wiki"), told);
    assert_eq!(signed(told, "wiki"), told);
    for other in
        [r#"{"method":"sampling/createMessage","params":{"message":"m"}}"#, r#"{"method":"elicitation/create"}"#, "[]"]
    {
        assert_eq!(signed(other, "wiki"), other);
    }
}
