use std::borrow::Cow;

use portcullis_mcp::{Method, Version};
use serde_json::{Value, json};

use super::{OLDER, definition, from, shown, to};

/// One result of each method as a server of today gives it.
fn today() -> Vec<(Method, Value)> {
    let resource =
        json!({"uri": "file:///a", "name": "a", "title": "A", "icons": [{"src": "https://a.example/i.png"}]});
    vec![
        (Method::ToolsCall, json!({"content": [{"type": "text", "text": "a"}], "structuredContent": {"a": 1}})),
        (Method::ToolsList, json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}], "nextCursor": "n"})),
        (Method::PromptsList, json!({"prompts": [{"name": "p", "arguments": [{"name": "a", "title": "A"}]}]})),
        (Method::PromptsGet, json!({"messages": [{"role": "user", "content": {"type": "text", "text": "a"}}]})),
        (Method::ResourcesList, json!({"resources": [resource]})),
        (Method::ResourceTemplatesList, json!({"resourceTemplates": [{"uriTemplate": "file:///{a}", "name": "a"}]})),
        (Method::ResourcesRead, json!({"contents": [{"uri": "file:///a", "text": "a"}]})),
        (Method::Complete, json!({"completion": {"values": ["a"], "hasMore": false}})),
    ]
}

fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

/// spec: BR-23, BR-9, BR-2
#[test]
fn a_legacy_client_sees_nothing_of_todays_hop_and_all_the_rest() {
    let hop = json!({
        "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "com.example": {"kept": 1},
        "_meta": {
            "io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"},
            "io.modelcontextprotocol/subscriptionId": 7,
            "io.modelcontextprotocol/related-task": {"taskId": "t"},
            "com.example/kept": true,
        },
    });
    for version in OLDER {
        for (method, result) in today() {
            let told = to(version).result(method, &with(result.clone(), &hop).to_string()).into_owned();
            let expected = with(result, &json!({"com.example": {"kept": 1}, "_meta": {"com.example/kept": true}}));
            assert_eq!(shown(version, definition(method), &told), expected, "{version} {}", method.name());
        }
        let bare = r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#;
        assert_eq!(to(version).result(Method::Complete, bare), "{}");
    }
}

#[test]
fn texts_and_numbers_keep_how_they_were_written() {
    let said = r#"{"content":[ {"type":"text","text":"\u00e9\/"} ],"n":1.50e+3,"structuredContent":{"big":12345678901234567890123}}"#;
    let down = to(Version::V2025_06_18);
    assert!(matches!(down.result(Method::ToolsCall, said), Cow::Borrowed(text) if text == said));
    let complete = said.replacen('{', r#"{"resultType":"complete","#, 1);
    assert_eq!(down.result(Method::ToolsCall, &complete), said);
    let up = from(Version::V2025_06_18).result(Method::ToolsCall, said);
    assert_eq!(up, said[..said.len() - 1].to_owned() + r#","resultType":"complete"}"#);
}

/// spec: BR-36
#[test]
fn content_that_a_revision_lacks_becomes_text_or_a_resource() {
    let audio =
        json!({"type": "audio", "data": "AAAA", "mimeType": "audio/wav", "annotations": {"audience": ["user"]}});
    let sound = json!({
        "type": "resource", "annotations": {"audience": ["user"]},
        "resource": {"uri": "urn:content:audio:1", "mimeType": "audio/wav", "blob": "AAAA"},
    });
    let link =
        json!({"type": "resource_link", "uri": "file:///a", "name": "a", "title": "An \"A\"", "description": "d"});
    let linked = json!({"type": "text", "text": "An \"A\": file:///a\nd"});
    let plain = json!({"type": "resource_link", "uri": "file:///b", "name": "b", "_meta": {"x/y": 1}});
    let plainly = json!({"type": "text", "text": "b: file:///b", "_meta": {"x/y": 1}});
    let text = json!({"type": "text", "text": "t"});
    let image = json!({"type": "image", "data": "AAAA", "mimeType": "image/png"});
    let embedded = json!({"type": "resource", "resource": {"uri": "file:///c", "text": "c"}});
    let table = [
        (Version::V2025_11_25, [&text, &audio, &link, &plain, &image, &embedded]),
        (Version::V2025_06_18, [&text, &audio, &link, &plain, &image, &embedded]),
        (Version::V2025_03_26, [&text, &audio, &linked, &plainly, &image, &embedded]),
        (Version::V2024_11_05, [&text, &sound, &linked, &plainly, &image, &embedded]),
    ];
    for (version, expected) in table {
        let said = json!({"content": [text, audio, link, plain, image, embedded]}).to_string();
        let told = to(version).result(Method::ToolsCall, &said).into_owned();
        assert_eq!(shown(version, "CallToolResult", &told), json!({"content": expected}), "{version}");
        let message = |content: &Value| json!({"role": "user", "content": content, "x": 1});
        let said = json!({"messages": [message(&text), message(&audio), message(&link)]}).to_string();
        let told = to(version).result(Method::PromptsGet, &said).into_owned();
        let expected = expected[..3].iter().copied().map(message).collect::<Vec<_>>();
        assert_eq!(shown(version, "GetPromptResult", &told), json!({"messages": expected}), "{version}");
    }
    let unknown = json!({"type": "smell", "data": 1});
    let silent = json!({"type": "audio", "data": 1, "mimeType": "audio/wav"});
    let all = OLDER.map(|version| (version, &unknown));
    for (version, unknown) in all.into_iter().chain([(Version::V2024_11_05, &silent)]) {
        let said = json!({"content": [unknown]}).to_string();
        let told = shown(version, "CallToolResult", &to(version).result(Method::ToolsCall, &said));
        assert_eq!(told["content"][0]["type"], "text");
        assert_eq!(serde_json::from_str::<Value>(told["content"][0]["text"].as_str().unwrap()).unwrap(), *unknown);
    }
}

/// spec: BR-37
#[test]
fn structured_content_that_is_no_object_becomes_text() {
    let text = |text: &str| json!({"type": "text", "text": text});
    for version in OLDER {
        let told =
            |said: Value| shown(version, "CallToolResult", &to(version).result(Method::ToolsCall, &said.to_string()));
        for structured in [json!([1, 2]), json!("a"), json!(7), json!(true), json!(null)] {
            let json = structured.to_string();
            let told_so = told(json!({"content": [text("x")], "structuredContent": structured}));
            assert_eq!(told_so, json!({"content": [text("x"), text(&json)]}), "{version}");
        }
        // Already there, in whatever spelling.
        let told_so = told(json!({"content": [text("[ 1, 2 ]")], "structuredContent": [1, 2], "isError": true}));
        assert_eq!(told_so, json!({"content": [text("[ 1, 2 ]")], "isError": true}));
        assert_eq!(told(json!({"structuredContent": [1]})), json!({"content": [text("[1]")]}));
        // An object stays, and is told in words to who does not know of it.
        let whole = json!({"content": [text("x")], "structuredContent": {"a": [1]}});
        assert_eq!(told(whole.clone()), whole);
        let bare = json!({"content": [], "structuredContent": {"a": [1]}});
        let knows = version >= Version::V2025_06_18;
        let expected = if knows { json!([]) } else { json!([text(r#"{"a":[1]}"#)]) };
        assert_eq!(told(bare), json!({"content": expected, "structuredContent": {"a": [1]}}), "{version}");
    }
}

/// spec: BR-37, BR-36, BR-98
#[test]
fn definitions_of_tools_say_only_what_older_schemas_have_words_for() {
    let input = json!({
        "type": "object", "x": 1.5,
        "properties": {"any": true, "none": false, "some": {"type": "string", "x-mcp-header": "Some"}},
    });
    let read = json!({
        "type": "object", "x": 1.5,
        "properties": {"any": {}, "none": {"not": {}}, "some": {"type": "string", "x-mcp-header": "Some"}},
    });
    let icons = json!([{"src": "https://a.example/i.png"}]);
    let tools = json!([
        {"name": "a", "inputSchema": input, "outputSchema": {"type": "object", "properties": {"b": true}}, "icons": icons},
        {"name": "b", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array", "items": {}}},
        {"name": "c", "inputSchema": {"type": "object"}, "outputSchema": {"anyOf": [{"type": "object"}]}},
        {"name": "d", "inputSchema": {"type": "object"}, "outputSchema": true, "execution": {"taskSupport": "required"}},
    ]);
    let expected = json!([
        {"name": "a", "inputSchema": read, "outputSchema": {"type": "object", "properties": {"b": {}}}, "icons": icons},
        {"name": "b", "inputSchema": {"type": "object"}},
        {"name": "c", "inputSchema": {"type": "object"}},
        {"name": "d", "inputSchema": {"type": "object"}},
    ]);
    for version in OLDER {
        let said = json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": tools}).to_string();
        let told = shown(version, "ListToolsResult", &to(version).result(Method::ToolsList, &said));
        assert_eq!(told, json!({"tools": expected}), "{version}");
    }
}

/// spec: BR-55, BR-91, TR-71, BR-9
#[test]
fn a_result_of_a_legacy_server_is_complete_and_kept_from_caches() {
    for version in OLDER {
        for (method, result) in today() {
            let more = json!({
                "com.example": 1,
                "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}, "com.example/kept": 1},
            });
            let told = from(version).result(method, &with(result.clone(), &more).to_string()).into_owned();
            let told = shown(Version::V2026_07_28, definition(method), &told);
            let cached = !matches!(method, Method::ToolsCall | Method::PromptsGet | Method::Complete);
            let mut expected =
                with(result, &json!({"com.example": 1, "_meta": {"com.example/kept": 1}, "resultType": "complete"}));
            if cached {
                expected = with(expected, &json!({"ttlMs": 0, "cacheScope": "private"}));
            }
            assert_eq!(told, expected, "{version} {}", method.name());
        }
    }
}

/// spec: BR-55
#[test]
fn a_legacy_server_cannot_ask_for_input_or_caching_in_a_result() {
    let said = json!({
        "resultType": "input_required", "requestState": "s", "ttlMs": 9_999_999, "cacheScope": "public",
        "inputRequests": {"k": {"method": "roots/list"}}, "contents": [], "_meta": null,
    });
    for version in OLDER {
        let told = from(version).result(Method::ResourcesRead, &said.to_string()).into_owned();
        let expected = json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "contents": []});
        assert_eq!(shown(Version::V2026_07_28, "ReadResourceResult", &told), expected);
    }
}

/// spec: BR-98, BR-8
#[test]
fn tools_of_a_legacy_server_are_shown_without_how_they_run() {
    for version in OLDER {
        let tool = json!({"name": "a", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}});
        let running = with(tool.clone(), &json!({"execution": {"taskSupport": "required"}}));
        let told = from(version).result(Method::ToolsList, &json!({"tools": [running, tool]}).to_string()).into_owned();
        assert_eq!(shown(Version::V2026_07_28, "ListToolsResult", &told)["tools"], json!([tool, tool]));
        for (said, content) in [
            (json!({"structuredContent": {"a": 1}}), json!([{"type": "text", "text": "{\"a\":1}"}])),
            (json!({"isError": true}), json!([])),
        ] {
            let told = from(version).result(Method::ToolsCall, &said.to_string()).into_owned();
            let told = shown(Version::V2026_07_28, "CallToolResult", &told);
            assert_eq!((&told["content"], &told["isError"]), (&content, &said["isError"]));
        }
    }
}
