//! Which requests arguments make: every style, every kind of body.

use portcullis_openapi::Api;
use serde_json::{Value, json};

use crate::{header, read, request, with_paths};

fn parameter(path: &str, parameter: &str) -> Api {
    read(&with_paths(&format!("{path}: {{get: {{operationId: a, parameters: [{{{parameter}}}], responses: {{}}}}}}")))
}

#[test]
fn parameters_are_written_in_every_style() {
    let (text, list, map) = (json!("blue"), json!(["blue", "black", "a,b"]), json!({ "R": 100, "G": "a b" }));
    for (style, explode, value, written) in [
        ("simple", false, &text, "/c/blue"),
        ("simple", false, &list, "/c/blue,black,a%2Cb"),
        ("simple", true, &list, "/c/blue,black,a%2Cb"),
        ("simple", false, &map, "/c/R,100,G,a%20b"),
        ("simple", true, &map, "/c/R=100,G=a%20b"),
        ("label", false, &text, "/c/.blue"),
        ("label", false, &list, "/c/.blue,black,a%2Cb"),
        ("label", true, &list, "/c/.blue.black.a%2Cb"),
        ("label", false, &map, "/c/.R,100,G,a%20b"),
        ("label", true, &map, "/c/.R=100.G=a%20b"),
        ("matrix", false, &text, "/c/;color=blue"),
        ("matrix", false, &list, "/c/;color=blue,black,a%2Cb"),
        ("matrix", true, &list, "/c/;color=blue;color=black;color=a%2Cb"),
        ("matrix", false, &map, "/c/;color=R,100,G,a%20b"),
        ("matrix", true, &map, "/c/;R=100;G=a%20b"),
    ] {
        let api = parameter(
            "/c/{color}",
            &format!("name: color, in: path, required: true, style: {style}, explode: {explode}"),
        );
        let made = request(&api, "a", json!({ "color": value })).unwrap();
        assert_eq!(made.target, format!("/v1{written}"), "{style} {explode}");
    }
    for (style, explode, value, written) in [
        ("form", true, &text, "?color=blue"),
        ("form", true, &list, "?color=blue&color=black&color=a%2Cb"),
        ("form", false, &list, "?color=blue,black,a%2Cb"),
        ("form", true, &map, "?R=100&G=a%20b"),
        ("form", false, &map, "?color=R,100,G,a%20b"),
        ("spaceDelimited", false, &list, "?color=blue%20black%20a%2Cb"),
        ("pipeDelimited", false, &list, "?color=blue%7Cblack%7Ca%2Cb"),
        ("pipeDelimited", false, &map, "?color=R%7C100%7CG%7Ca%20b"),
        ("deepObject", true, &map, "?color%5BR%5D=100&color%5BG%5D=a%20b"),
        ("deepObject", true, &json!({ "a": { "b": [1, true] } }), "?color%5Ba%5D%5Bb%5D=1&color%5Ba%5D%5Bb%5D=true"),
        ("form", true, &json!([]), ""),
        ("form", true, &json!(""), "?color="),
    ] {
        let api = parameter("/c", &format!("name: color, in: query, style: {style}, explode: {explode}"));
        let made = request(&api, "a", json!({ "color": value })).unwrap();
        assert_eq!(made.target, format!("/v1/c{written}"), "{style} {explode}");
    }
    let plain = json!(["blue", "black"]);
    for (explode, value, written) in [
        (false, &text, "blue"),
        (false, &plain, "blue,black"),
        (false, &map, "R,100,G,a b"),
        (true, &map, "R=100,G=a b"),
    ] {
        let api = parameter("/c", &format!("name: X-Color, in: header, explode: {explode}"));
        let made = request(&api, "a", json!({ "X-Color": value })).unwrap();
        assert_eq!(header(&made, "X-Color"), Some(written), "{explode}");
    }
    let api = read(&with_paths(
        "/c: {get: {operationId: a, responses: {}, parameters: [{name: one, in: cookie}, {name: two, in: cookie, explode: false}, \
         {name: q, in: query, content: {application/json: {schema: {type: object}}}}]}}",
    ));
    let made = request(&api, "a", json!({ "one": "a; b=c", "two": ["x", "y,z"], "q": { "a": [1, "ü"] } })).unwrap();
    assert_eq!(header(&made, "cookie"), Some("one=a%3B%20b%3Dc; two=x,y%2Cz"));
    assert_eq!(made.target, "/v1/c?q=%7B%22a%22%3A%5B1%2C%22%C3%BC%22%5D%7D");
}

fn body(content: &str) -> Api {
    read(&with_paths(&format!(
        "/b: {{post: {{operationId: a, responses: {{}}, requestBody: {{required: true, content: {{{content}}}}}}}}}"
    )))
}

fn sent(api: &Api, value: Value) -> (String, String) {
    let body = request(api, "a", json!({ "body": value })).unwrap().body.unwrap();
    (body.media_type, String::from_utf8_lossy(&body.bytes).into_owned())
}

#[test]
fn bodies_are_written_as_the_document_says() {
    let api = body("application/xml: {}, application/json: {schema: {type: object}}, text/plain: {}");
    assert_eq!(sent(&api, json!({ "z": 1, "a": "ü" })), ("application/json".into(), r#"{"z":1,"a":"ü"}"#.into()));
    let api = body("application/vnd.acme.v2+json; charset=utf-8: {schema: {}}");
    assert_eq!(sent(&api, json!([1])), ("application/vnd.acme.v2+json".into(), "[1]".into()));
    let api = body("text/plain: {schema: {type: string}}");
    assert_eq!(sent(&api, json!("a\r\nb")), ("text/plain; charset=utf-8".into(), "a\r\nb".into()));
    let api = body("application/octet-stream: {schema: {type: string, format: binary}}");
    assert_eq!(sent(&api, json!("AAEC")), ("application/octet-stream".into(), "\0\u{1}\u{2}".into()));
    assert_eq!(request(&api, "a", json!({ "body": "not base64!" })).unwrap_err().to_string(), "body is not base64");
    let api = body(
        "application/x-www-form-urlencoded: {schema: {type: object}, encoding: {deep: {style: deepObject, explode: true}, \
         joined: {style: form, explode: false}}}",
    );
    let form = json!({ "a": "1&b=2", "list": [1, 2], "deep": { "x": { "y": true } }, "joined": ["p", "q"], "free": { "k": "v" }, "no": null });
    assert_eq!(
        sent(&api, form),
        (
            "application/x-www-form-urlencoded".into(),
            "a=1%26b%3D2&list=1&list=2&deep%5Bx%5D%5By%5D=true&joined=p,q&free=%7B%22k%22%3A%22v%22%7D".into()
        )
    );
}

// spec: T-67
#[test]
fn parts_of_a_form_stay_parts() {
    let api = body(
        "multipart/form-data: {schema: {type: object, properties: {file: {type: string, format: binary}, meta: {type: object}}}, \
         encoding: {note: {contentType: text/markdown}}}",
    );
    let value = json!({
        "name": "x\r\n--portcullis\r\nContent-Disposition: form-data; name=\"admin\"\r\n\r\ntrue",
        "evil\"\r\nname": "y",
        "file": "/wAB",
        "meta": { "a": 1 },
        "tags": ["p", "q"],
        "note": "# hi",
    });
    let made = request(&api, "a", json!({ "body": value })).unwrap().body.unwrap();
    let boundary = made.media_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8_lossy(&made.bytes).into_owned();
    assert_eq!(text.matches(&format!("--{boundary}")).count(), 8, "{text}");
    let heads: Vec<_> = text
        .split(&format!("--{boundary}"))
        .filter_map(|part| part.strip_prefix("\r\n")?.split_once("\r\n\r\n"))
        .map(|(head, _)| head)
        .collect();
    let disposition = "Content-Disposition: form-data; name=";
    assert_eq!(
        heads,
        [
            format!("{disposition}\"name\""),
            format!("{disposition}\"evil%22%0D%0Aname\""),
            format!("{disposition}\"file\"; filename=\"file\"\r\nContent-Type: application/octet-stream"),
            format!("{disposition}\"meta\"\r\nContent-Type: application/json"),
            format!("{disposition}\"tags\""),
            format!("{disposition}\"tags\""),
            format!("{disposition}\"note\"\r\nContent-Type: text/markdown"),
        ]
    );
    assert!(made.bytes.windows(3).any(|bytes| bytes == [0xff, 0, 1]), "the file is not decoded");
    assert_eq!(
        request(&api, "a", json!({ "body": { "bad\u{0}": "x" } })).unwrap_err().what,
        "has a name with a control character"
    );
}

#[test]
fn key_of_the_query_is_added_only_by_whoever_has_it() {
    let api = parameter("/c", "name: q, in: query");
    let made = request(&api, "a", json!({ "q": "x" })).unwrap().with_key("api key", "a&b");
    assert_eq!(made.target, "/v1/c?q=x&api%20key=a%26b");
    assert_eq!(request(&api, "a", json!({})).unwrap().with_key("k", "v").target, "/v1/c?k=v");
}
