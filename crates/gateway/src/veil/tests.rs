use portcullis_policy::Path;
use serde_json::{Value, json};

use super::*;

fn result(path: &str) -> Arc<Redact> {
    Arc::new(Redact::Result(Path::parse(path).expect("a path")))
}

fn argument(path: &str) -> Arc<Redact> {
    Arc::new(Redact::Argument(Path::parse(path).expect("a path")))
}

fn pattern(text: &str) -> Arc<Redact> {
    Arc::new(Redact::Pattern(Mask::parse(text).expect("a pattern")))
}

fn veil(redactions: Vec<Arc<Redact>>, cap: Cap) -> Veil {
    Veil::of(&Obligations { redactions, cap, ..Obligations::default() }).expect("something is veiled")
}

fn answered(result: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "result": result }).to_string()
}

fn seen(veil: &Veil, result: &Value) -> Value {
    let message = answered(result);
    let told = veil.answer(&message).expect("it can be looked through").unwrap_or(message);
    let told: Value = serde_json::from_str(&told).expect("it is JSON still");
    assert_eq!((&told["jsonrpc"], &told["id"]), (&json!("2.0"), &json!(7)));
    told["result"].clone()
}

#[test]
fn what_is_at_a_path_is_masked_and_its_copy_as_a_text_with_it() {
    let veil = veil(vec![result("structuredContent.people[*].iban"), result("content[1].text")], Cap::default());
    let people = json!({ "people": [{ "iban": "DE1", "name": "a" }, { "iban": { "x": ["DE2"] } }, {}] });
    let text = |text: &str| json!({ "type": "text", "text": text });
    let got = seen(
        &veil,
        &json!({ "content": [text(&people.to_string()), text("all of it"), text("DE1")], "structuredContent": people }),
    );
    let masked = json!({ "people": [{ "iban": "[redacted]", "name": "a" }, { "iban": "[redacted]" }, {}] });
    assert_eq!(got["structuredContent"], masked);
    let copy: Value = serde_json::from_str(got["content"][0]["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(copy, masked);
    assert_eq!((&got["content"][1]["text"], &got["content"][2]["text"]), (&json!("[redacted]"), &json!("DE1")));
    // A name may be written in many ways.
    let message = r#"{"id":1,"result":{"structuredContent":{"people":[{"\u0069ban" : "DE1"}]}}}"#;
    assert_eq!(
        veil.answer(message).expect("read").as_deref(),
        Some(r#"{"id":1,"result":{"structuredContent":{"people":[{"\u0069ban" : "[redacted]"}]}}}"#)
    );
}

#[test]
fn what_fits_a_pattern_is_masked_wherever_it_stands() {
    let veil = veil(vec![pattern(r"\b\d{16}\b"), pattern("geheim")], Cap::default());
    let blob = STANDARD_TEXT;
    let got = seen(
        &veil,
        &json!({
            "requestState": "4111111111111111", "ttlMs": 4_111_111_111_111_111_u64,
            "content": [
                { "type": "text", "text": "card 4111111111111111, \"quoted\" ge\u{68}eim" },
                { "type": "resource", "resource": { "uri": "x:4111111111111111", "blob": blob } },
                { "type": "text", "text": "[\"4111111111111111\"" },
            ],
            "structuredContent": { "4111111111111111": [4_111_111_111_111_111_u64, true, null, 12] },
            "_meta": { "geheim": 1 },
        }),
    );
    assert_eq!(got["content"][0]["text"], "card [redacted], \"quoted\" [redacted]");
    assert_eq!(got["content"][1]["resource"]["uri"], "x:[redacted]");
    assert_eq!(got["content"][1]["resource"]["blob"], "W3JlZGFjdGVkXQ==", "a text in base64 is a text");
    assert_eq!(got["content"][2]["text"], "[\"[redacted]\"");
    assert_eq!(got["structuredContent"], json!({ "[redacted]": ["[redacted]", true, null, 12] }));
    assert_eq!(got["_meta"], json!({ "[redacted]": 1 }));
    assert_eq!((&got["requestState"], got["ttlMs"].is_number()), (&json!("4111111111111111"), true), "that is ours");
    let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"geheim","data":{"x":"geheim"}}}"#;
    let told = veil.answer(error).expect("read").expect("masked");
    assert!(!told.contains("geheim") && told.contains("-32000"), "{told}");
    let said = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"geheim"}}"#;
    assert!(veil.answer(said).expect("read").expect("masked").contains(r#""data":"[redacted]""#));
    let task = r#"{"id":1,"result":{"taskId":"geheim","result":{"content":[{"type":"text","text":"geheim"}]}}}"#;
    let told = veil.answer(task).expect("read").expect("masked");
    assert_eq!(
        told,
        r#"{"id":1,"result":{"taskId":"geheim","result":{"content":[{"type":"text","text":"[redacted]"}]}}}"#
    );
}

/// `4111111111111111 geheim`, of which all but the blank is masked.
const STANDARD_TEXT: &str = "Z2VoZWlt";

#[test]
fn what_cannot_be_looked_through_is_held_back() {
    let masks = veil(vec![pattern("geheim")], Cap::default());
    let paths = veil(vec![result("x")], Cap::default());
    let image = answered(&json!({ "content": [{ "type": "image", "data": "AAAA", "mimeType": "image/png" }] }));
    assert_eq!(masks.answer(&image), Err(HeldBack::Opaque));
    assert_eq!(paths.answer(&image), Ok(None), "what is masked by its place is found by its place");
    let bytes = answered(&json!({ "contents": [{ "uri": "file:///a.zip", "blob": "/////w==" }] }));
    assert_eq!(masks.answer(&bytes), Err(HeldBack::Opaque));
    let twice = r#"{"id":1,"result":{"x":1,"x":"geheim"}}"#;
    let deep = format!(r#"{{"id":1,"result":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    for text in [twice, &deep, "{\"id\":1,\"result\":{", r#"{"id":1,"result":"\ud800"}"#] {
        assert_eq!(masks.answer(text), Err(HeldBack::Unreadable), "{text}");
        assert_eq!(paths.answer(text), Err(HeldBack::Unreadable), "{text}");
    }
    let escaped = r#"{"id":1,"result":{"\u0067eheim":1}}"#;
    assert_eq!(masks.answer(escaped), Err(HeldBack::Unreadable));
}

// spec: T-63
#[test]
fn lists_are_cut_with_a_word_about_it_and_what_is_too_large_is_held_back() {
    let two = veil(Vec::new(), Cap { bytes: None, items: Some(2) });
    let text = |n: i32| json!({ "type": "text", "text": n.to_string() });
    let got = seen(&two, &json!({ "content": [text(1), text(2), text(3), text(4)] }));
    assert_eq!(
        got["content"],
        json!([text(1), text(2), { "type": "text",
            "text": "[The result is larger than rules let through: 2 of 4 items are shown.]" }])
    );
    let all = json!({ "rows": [1, 2, 3], "one": { "deep": [[1, 2, 3], 2, 3] }, "few": [1] });
    let cut = json!({ "rows": [1, 2], "one": { "deep": [[1, 2], 2] }, "few": [1] });
    let word = json!({ "type": "text",
        "text": "[The result is larger than rules let through: lists are cut after 2 items.]" });
    let copy = json!({ "type": "text", "text": all.to_string() });
    let got = seen(&two, &json!({ "structuredContent": all, "content": [copy] }));
    assert_eq!((&got["structuredContent"], &got["content"][1]), (&cut, &word));
    assert_eq!(got["content"][0]["text"], cut.to_string());
    for content in [json!({ "structuredContent": [1, 2, 3], "content": [] }), json!({ "structuredContent": [1, 2, 3] })]
    {
        let got = seen(&two, &content);
        assert_eq!((&got["structuredContent"], &got["content"]), (&json!([1, 2]), &json!([word])));
    }
    // Where nothing but a text is a list, it is a text.
    let only = json!({ "content": [{ "type": "text", "text": "[1,2,3]" }], "isError": false });
    assert_eq!(two.answer(&answered(&only)), Ok(None));
    let small = veil(Vec::new(), Cap { bytes: Some(60), items: Some(1) });
    let got = small.answer(&answered(&json!({ "content": [{ "type": "text", "text": "x".repeat(60) }] })));
    assert!(matches!(got, Err(HeldBack::Large(bytes, 60)) if bytes > 60), "{got:?}");
    assert_eq!(small.answer(&answered(&json!({ "content": [] }))), Ok(None));
}

// spec: T-99
#[test]
fn arguments_are_recorded_without_what_rules_mask() {
    let redactions = [argument("card"), argument("to[*].mail"), pattern("geheim"), result("card")];
    let told = recorded(&redactions, r#"{"card":{"n":1},"to":[{"mail":"a","x":1}],"t":"streng geheim","n":1.50}"#);
    assert_eq!(told, r#"{"card":"[redacted]","to":[{"mail":"[redacted]","x":1}],"t":"streng [redacted]","n":1.50}"#);
    assert_eq!(recorded(&redactions, r#"{"card":1,"card":2}"#), "\"[redacted]\"");
    let plain = r#"{"a":1}"#;
    assert!(matches!(recorded(&redactions, plain), Cow::Borrowed(same) if same == plain));
    assert!(matches!(recorded(&[], "anything"), Cow::Borrowed(_)));
}
