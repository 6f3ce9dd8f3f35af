//! What an API answers, as the result of a tool.

use portcullis_openapi::{Answer, answered};
use serde_json::{Value, json};

use crate::{read, with_paths};

fn result(name: &str, status: u16, media_type: Option<&str>, body: &[u8]) -> Value {
    let api = read(&with_paths(
        "/a: {get: {operationId: free, responses: {}}}\n/b: {get: {operationId: described, responses: {'200': {description: '', \
         content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer}}}}}}}}}",
    ));
    answered(api.tool(name).unwrap(), Answer { status, media_type, body }).into()
}

fn text(said: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": said }] })
}

#[test]
fn answers_become_content_by_their_media_type() {
    let json = Some("application/json; charset=utf-8");
    assert_eq!(
        result("free", 200, json, br#"{"a": [1]}"#),
        json!({ "content": [{ "type": "text", "text": r#"{"a": [1]}"# }], "structuredContent": { "a": [1] } })
    );
    assert_eq!(result("free", 200, json, b"[1, 2]"), text("[1, 2]"));
    assert_eq!(result("free", 200, json, b"no json"), text("no json"));
    assert_eq!(result("free", 200, Some("application/problem+json"), b"3"), text("3"));
    assert_eq!(result("free", 200, None, br#"{"a":1}"#)["structuredContent"], json!({ "a": 1 }));
    assert_eq!(result("free", 201, Some("text/csv"), b"a,b\n1,2"), text("a,b\n1,2"));
    assert_eq!(result("free", 200, Some("text/plain"), b"\xff"), text("\u{fffd}"));
    assert_eq!(result("free", 204, None, b""), text("The API answered 204 without content."));
    let image = json!([{ "type": "image", "data": "AQI=", "mimeType": "image/png" }]);
    assert_eq!(result("free", 200, Some("image/png"), &[1, 2])["content"], image);
    let audio = json!([{ "type": "audio", "data": "AQI=", "mimeType": "audio/wav" }]);
    assert_eq!(result("free", 200, Some("audio/wav"), &[1, 2])["content"], audio);
    let blob = &result("free", 200, Some("application/pdf"), b"%PDF")["content"][0];
    assert_eq!((&blob["type"], &blob["resource"]["blob"]), (&json!("resource"), &json!("JVBERg==")));
    assert!(blob["resource"]["uri"].as_str().unwrap().starts_with("ni:///sha-256;"));
    assert_eq!(result("free", 200, None, &[0xff, 0])["content"][0]["resource"]["mimeType"], "application/octet-stream");
}

#[test]
fn refusals_are_errors_that_can_be_read() {
    let refused = |status, media, body: &[u8]| {
        let result = result("free", status, Some(media), body);
        assert_eq!((&result["isError"], result.get("structuredContent")), (&json!(true), None));
        result["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(404, "application/json", br#"{"error":"none"}"#), "The API answered 404:\n{\"error\":\"none\"}");
    assert_eq!(
        refused(500, "text/plain", b"a\x1b[31m\r\nb\xe2\x80\xae"),
        "The API answered 500:\na\u{fffd}[31m\nb\u{fffd}"
    );
    assert_eq!(refused(502, "text/html", b"<html>"), "The API answered 502, with 6 bytes that are not shown.");
    assert_eq!(refused(400, "text/plain", b""), "The API answered 400 without content.");
    let long = refused(400, "text/plain", "x".repeat(9000).as_bytes());
    assert!(long.ends_with("x…") && long.len() < 4100, "{}", long.len());
}

#[test]
fn answer_that_is_not_as_described_is_an_error_with_all_of_it() {
    let json = Some("application/json");
    let fine = result("described", 200, json, br#"{"id":7}"#);
    assert_eq!((&fine["structuredContent"], fine.get("isError")), (&json!({ "id": 7 }), None));
    for (body, why) in [
        (&br#"{"id":"7"}"#[..], "id must be of type integer"),
        (b"{}", "id is missing"),
        (b"[]", "it is not a JSON object"),
    ] {
        let result = result("described", 200, json, body);
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(result["isError"] == true && result.get("structuredContent").is_none(), "{result}");
        assert!(
            said.contains(why) && said.ends_with(std::str::from_utf8(body).unwrap()) && said.contains("answers: free"),
            "{said}"
        );
    }
    assert_eq!(result("described", 204, None, b"")["isError"], true);
}
