use portcullis_mcp::{
    ProtocolError, Version,
    dialect::{Input, without_files},
};
use serde_json::{Value, json};

use super::{OLDER, from, shown, to};

fn definition(input: Input) -> &'static str {
    match input {
        Input::Elicitation => "ElicitResult",
        Input::Sampling => "CreateMessageResult",
        Input::Roots => "ListRootsResult",
    }
}

fn message(content: Value) -> Value {
    json!({"role": "assistant", "model": "m", "stopReason": "endTurn", "content": content})
}

/// spec: BR-24, BR-46, BR-9
#[test]
fn answers_go_through_both_ways() {
    let text = json!({"type": "text", "text": "a"});
    let table = [
        (Input::Elicitation, json!({"action": "accept", "content": {"a": "x", "b": 1.5, "c": true}})),
        (Input::Elicitation, json!({"action": "accept"})),
        (Input::Elicitation, json!({"action": "decline", "content": {}})),
        (Input::Elicitation, json!({"action": "cancel", "com.example": 1})),
        (Input::Sampling, message(text.clone())),
        (Input::Sampling, json!({"role": "user", "model": "m", "content": text})),
        (Input::Roots, json!({"roots": [{"uri": "file:///a", "name": "a"}]})),
        (Input::Roots, json!({"roots": []})),
    ];
    for version in OLDER {
        for (input, said) in &table {
            let up = to(version).answer(*input, &said.to_string()).unwrap();
            assert_eq!(&shown(Version::V2026_07_28, definition(*input), &up), said);
            let down = from(version).answer(*input, &said.to_string()).unwrap();
            assert_eq!(&shown(version, definition(*input), &down), said);
        }
        // What belongs to the hop, and a form that was not filled in.
        let said = r#"{"resultType":"complete","action":"decline","content":null,"_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#;
        assert_eq!(to(version).answer(Input::Elicitation, said).unwrap(), r#"{"action":"decline"}"#);
    }
}

/// spec: BR-47
#[test]
fn answers_that_are_none_are_errors() {
    let table = [
        (Input::Elicitation, json!({})),
        (Input::Elicitation, json!([])),
        (Input::Elicitation, json!({"action": "yes"})),
        (Input::Elicitation, json!({"action": 1})),
        (Input::Elicitation, json!({"action": "accept", "content": []})),
        (Input::Elicitation, json!({"action": "accept", "content": {"a": {}}})),
        (Input::Elicitation, json!({"action": "accept", "content": {"a": null}})),
        (Input::Elicitation, json!({"action": "accept", "content": {"a": [1]}})),
        (Input::Sampling, json!({"role": "assistant", "content": {"type": "text", "text": "a"}})),
        (Input::Sampling, json!({"role": "system", "model": "m", "content": {"type": "text", "text": "a"}})),
        (Input::Sampling, message(json!("a"))),
        (Input::Sampling, message(json!({"text": "a"}))),
        (Input::Sampling, message(json!([{"text": "a"}]))),
        (Input::Sampling, json!({"role": "assistant", "model": "m"})),
        (Input::Roots, json!({})),
        (Input::Roots, json!({"roots": {}})),
        (Input::Roots, json!({"roots": [{"name": "a"}]})),
        (Input::Roots, json!({"roots": ["file:///a"]})),
    ];
    for version in OLDER {
        for (input, said) in &table {
            let client = to(version).answer(*input, &said.to_string()).unwrap_err();
            let server = from(version).answer(*input, &said.to_string()).unwrap_err();
            assert_eq!(client, server, "{said}");
            assert_eq!(ProtocolError::from(client).code, -32602);
        }
    }
}

/// spec: BR-46
#[test]
fn an_answer_of_today_is_made_to_fit_the_server() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image", "data": "AAAA", "mimeType": "image/png"});
    let audio = json!({"type": "audio", "data": "AAAA", "mimeType": "audio/wav"});
    let used = json!({"type": "tool_use", "id": "1", "name": "t", "input": {}});
    let several = json!([text("a"), text("b"), used]);
    let mixed = json!([used, audio, text("a"), image]);
    let list = json!({"action": "accept", "content": {"a": ["x", "y"]}});
    for version in OLDER {
        let answer = |said: &Value| {
            let answer = from(version).answer(Input::Sampling, &said.to_string());
            answer.map(|answer| shown(version, "CreateMessageResult", &answer)["content"].clone())
        };
        let whole = version == Version::V2025_11_25;
        let first = if version == Version::V2024_11_05 { text("a") } else { audio.clone() };
        for (said, one) in [(&several, text("a\nb")), (&mixed, first), (&json!([text("a")]), text("a"))] {
            let expected = if whole { said.clone() } else { one };
            assert_eq!(answer(&message(said.clone())), Ok(expected), "{version}");
        }
        let told = message(json!({"type": "tool_result", "toolUseId": "1", "content": [], "structuredContent": 7}));
        let worded = json!({"type": "tool_result", "toolUseId": "1", "content": [text("7")]});
        assert!(answer(&told).map_or(!whole, |told| told == worded), "{version}");
        for nothing in [json!([]), json!([used])] {
            assert_eq!(answer(&message(nothing.clone())).is_ok(), whole, "{version} {nothing}");
        }
        let lists = from(version).answer(Input::Elicitation, &list.to_string());
        assert_eq!(lists.is_ok(), version != Version::V2025_06_18, "{version}");
    }
}

/// spec: BR-75
#[test]
fn servers_elsewhere_see_no_path_of_the_client() {
    let answer = json!({"x": 1, "roots": [
        {"uri": "file:///home/a"}, {"uri": "FILE:/b"}, {"uri": " file:///c"}, {"uri": "fi\tle:///d"}, {"uri": "/e"},
        {"uri": 1}, {}, {"uri": "https://a.example/f", "name": "f"},
    ]});
    let told: Value = serde_json::from_str(&without_files(&answer.to_string())).unwrap();
    assert_eq!(told, json!({"x": 1, "roots": [{"uri": "https://a.example/f", "name": "f"}]}));
    assert_eq!(without_files(r#"{"roots":[]}"#), r#"{"roots":[]}"#);
    assert_eq!(without_files("{}"), "{}");
}
