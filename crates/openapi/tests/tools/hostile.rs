//! Arguments and documents that want to be elsewhere.

use portcullis_openapi::{Api, Choices};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{read, request, with_paths};

fn everywhere() -> Api {
    read(&with_paths(
        "/users/{id}/files/{name}.txt: {get: {operationId: a, responses: {}, parameters: [{name: id, in: path, required: true}, \
         {name: name, in: path, required: true}, {name: q, in: query}, {name: map, in: query}, {name: admin, in: query}, \
         {name: X-Note, in: header}, {name: c, in: cookie}]}}",
    ))
}

// spec: T-67
#[test]
fn argument_that_would_leave_its_segment_is_refused() {
    let api = everywhere();
    for id in [
        "..",
        ".",
        "",
        "a/b",
        "/",
        "../admin",
        "..\\admin",
        "a\\b",
        "%2e%2e",
        "%2E%2e",
        ".%2e",
        "%252e%252e",
        "a%2fb",
        "a%252fb",
        "a%5cb",
        "a%25252Fb",
        "..;",
        "..;x=1",
        "..%3b",
        " ..",
        "a\r\nb",
        "a\0b",
        "%00",
        "%0d%0a",
        "\t",
    ] {
        assert!(request(&api, "a", json!({ "id": id, "name": "n" })).is_err(), "{id:?}");
    }
    for (id, written) in [
        ("a..b", "a..b"),
        ("...", "..."),
        ("..a", "..a"),
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("50%", "50%25"),
        ("a&b=c", "a%26b%3Dc"),
        ("ü", "%C3%BC"),
        ("a;b", "a%3Bb"),
    ] {
        let made = request(&api, "a", json!({ "id": id, "name": "n" })).unwrap();
        assert_eq!(made.target, format!("/v1/users/{written}/files/n.txt"));
    }
    // A literal beside it makes no dots out of it.
    assert_eq!(request(&api, "a", json!({ "id": "x", "name": "." })).unwrap().target, "/v1/users/x/files/..txt");
    for list in [json!(["..", "x"]), json!([".."]), json!([])] {
        let outcome = request(&api, "a", json!({ "id": list, "name": "n" }));
        let stays = outcome.is_ok_and(|made| made.target == "/v1/users/..,x/files/n.txt");
        assert_eq!(stays, list == json!(["..", "x"]), "{list}");
    }
}

// spec: T-67
#[test]
fn value_that_a_header_cannot_have_is_refused() {
    let api = everywhere();
    let with = |value: &str| request(&api, "a", json!({ "id": "x", "name": "n", "X-Note": value }));
    for bad in ["a\r\nX-Admin: 1", "a\nb", "a\0", "ü", " a", "a ", "\u{7f}"] {
        assert!(with(bad).is_err(), "{bad:?}");
    }
    assert!(with("a, b: c").is_ok());
    let list = request(&api, "a", json!({ "id": "x", "name": "n", "X-Note": ["a,b"] }));
    assert!(list.unwrap_err().what.contains("comma"));
}

// spec: T-67
#[test]
fn headers_that_are_no_business_of_arguments_are_none() {
    let names = [
        "Host",
        "Cookie",
        "X-Forwarded-For",
        "X-HTTP-Method-Override",
        "transfer-encoding",
        "Mcp-Method",
        "Proxy-Authorization",
    ];
    let parameters: Vec<_> = names.iter().map(|name| format!("{{name: {name}, in: header}}")).collect();
    let paths = format!("/a: {{get: {{operationId: a, responses: {{}}, parameters: [{}]}}}}", parameters.join(", "));
    let api = read(&with_paths(&paths));
    for name in names {
        assert!(request(&api, "a", json!({ name: "x" })).unwrap_err().what.starts_with("is unknown here"), "{name}");
    }
}

// spec: T-67
#[test]
fn members_of_an_argument_take_no_other_parameter() {
    let api = everywhere();
    let refused = request(&api, "a", json!({ "id": "x", "name": "n", "map": { "admin": "true" } })).unwrap_err();
    assert_eq!(refused.to_string(), "map.admin has the name of another parameter");
    let made = request(&api, "a", json!({ "id": "x", "name": "n", "map": { "a&admin": "1&admin=true" } })).unwrap();
    assert!(made.target.ends_with("?a%26admin=1%26admin%3Dtrue"), "{}", made.target);
}

// spec: T-66
#[test]
fn hostile_schemas_cost_little() {
    let body = |schema: &str, more: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{}}\nservers: [{{url: 'https://a.example.com'}}]\npaths:\n  /fine: {{get: {{operationId: fine, responses: {{}}}}}}\n  \
             /a: {{post: {{operationId: a, responses: {{}}, requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}}}}}\n{more}"
        )
    };
    // References in a circle with nothing between them, and with something.
    let circle = read(&body(
        "{$ref: '#/components/schemas/A'}",
        "components: {schemas: {A: {$ref: '#/components/schemas/B'}, B: {$ref: '#/components/schemas/A'}}}",
    ));
    assert!(circle.tool("a").is_none() && circle.left_out[0].what.contains("without end"), "{:?}", circle.left_out);
    let knot = read(&body(
        "{$ref: '#/components/schemas/A'}",
        "components: {schemas: {A: {anyOf: [{$ref: '#/components/schemas/B'}, {$ref: '#/components/schemas/A'}]}, B: {allOf: [{$ref: '#/components/schemas/A'}, {type: string}]}}}",
    ));
    assert!(request(&knot, "a", json!({ "body": "x" })).is_ok());
    // 10,000 values to choose from; alternatives of alternatives; a pattern that ruins engines that go back.
    let values: Vec<_> = (0..10_000).map(|n| format!("value number {n}")).collect();
    let many = read(&body(&format!("{{enum: [{}]}}", values.join(", ")), ""));
    assert!(many.tool("a").is_none() && many.left_out[0].what.contains("bytes, at most"), "{:?}", many.left_out);
    let mut deep = "{type: string}".to_owned();
    for _ in 0..12 {
        deep = format!("{{anyOf: [{{type: array, items: {deep}}}, {{type: array, items: {{type: array}}}}]}}");
    }
    let _ = request(&read(&body(&deep, "")), "a", json!({ "body": [[[[[["x"]]]]]] }));
    let doubling: Vec<_> = (0..40)
        .map(|n| {
            let next = n + 1;
            format!("A{n}: {{anyOf: [{{$ref: '#/components/schemas/A{next}'}}, {{allOf: [{{$ref: '#/components/schemas/A{next}'}}]}}]}}, ")
        })
        .collect();
    let doubling = format!("components: {{schemas: {{{} A40: {{type: 'null'}}}}}}", doubling.concat());
    let api = read(&body("{$ref: '#/components/schemas/A0'}", &doubling));
    assert!(request(&api, "a", json!({ "body": "x" })).unwrap_err().what.contains("too large or too deep"));
    let pattern = read(&body("{type: string, pattern: '^(a+)+$'}", ""));
    let text = format!("{}!", "a".repeat(3000));
    assert!(request(&pattern, "a", json!({ "body": text })).unwrap_err().what.contains("pattern"));
    let huge = read(&body("{type: string, pattern: '((a{1000}){1000}){1000}'}", ""));
    assert!(request(&huge, "a", json!({ "body": "b" })).is_ok());
    for keyword in ["$id: 'http://10.0.0.1/'", "$dynamicRef: '#x'", "$schema: 'http://10.0.0.1/schema'"] {
        let api = read(&body(&format!("{{{keyword}}}"), ""));
        assert!(api.tool("a").is_none() && api.left_out[0].what.contains("not read"), "{keyword}: {:?}", api.left_out);
    }
}

// spec: T-66
#[test]
fn aliases_that_multiply_are_counted() {
    let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
    for n in 1..9 {
        let before = n - 1;
        let uses = vec![format!("*a{before}"); 10].join(", ");
        bomb.push(format!("a{n}: &a{n} [{uses}]"));
    }
    let problems = Api::read(&bomb.join("\n"), &Choices::default()).map(|_| ()).unwrap_err();
    assert!(problems[0].what.contains("cannot be read"), "{problems:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // spec: T-67
    #[test]
    fn every_argument_that_is_taken_is_read_back_at_its_place(
        id in any::<String>(), name in "\\PC{0,12}|[./%2eEfF;\\\\a]{1,8}", q in any::<String>(),
        keys in proptest::collection::vec(any::<String>(), 0..3), note in any::<String>(), cookie in any::<String>(),
    ) {
        let api = everywhere();
        let map: Map<String, Value> = keys.iter().map(|key| (key.clone(), json!(q))).collect();
        let arguments = json!({ "id": id, "name": name, "q": q, "map": map, "X-Note": note, "c": cookie });
        // Each that cannot stand where it should is left out here, so that the others are seen.
        let mut arguments = arguments.as_object().unwrap().clone();
        if !note.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || note.trim() != note {
            arguments.remove("X-Note");
        }
        if keys.iter().any(|key| key == "q" || key == "admin") {
            arguments.remove("map");
        }
        let Ok(made) = api.tool("a").unwrap().request(&api.base, &arguments) else {
            // What is refused has a reason in the path.
            let suspicious = |text: &str| text.is_empty() || text.chars().any(|c| c.is_control() || "/\\%.;".contains(c) || c.is_whitespace());
            prop_assert!(suspicious(&id) || suspicious(&name), "{arguments:?} was refused");
            return Ok(());
        };
        let url = Url::parse(&format!("https://api.example.com{}", made.target)).unwrap();
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        prop_assert_eq!(segments.len(), 5, "{}", made.target);
        let plain = |text: &str| String::from_utf8(percent(text)).unwrap();
        prop_assert_eq!((segments[0], segments[1], segments[3]), ("v1", "users", "files"));
        prop_assert_eq!(plain(segments[2]), id);
        prop_assert_eq!(plain(segments[4]), format!("{name}.txt"));
        let mut expected = vec![("q".to_owned(), q.clone())];
        if arguments.contains_key("map") {
            expected.extend(map.keys().map(|key| (key.clone(), q.clone())));
        }
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(pairs, expected);
        prop_assert!(url.fragment().is_none());
        for (name, value) in &made.headers {
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{}: {:?}", name, value);
        }
        let header = crate::header(&made, "cookie").unwrap();
        prop_assert_eq!(plain(header.strip_prefix("c=").unwrap()), cookie);
        prop_assert!(!header.contains([';', ',', ' ', '"']), "{}", header);
    }

    #[test]
    fn documents_are_read_or_refused_but_never_panic(text in "[-{}\\[\\]:,'\"&*#|> a-z0-9\n/$]{0,120}") {
        let _ = Api::read(&text, &Choices::default());
        let _ = Api::read(&with_paths(&text), &Choices::default());
    }
}

/// The way back, written anew so that a fault of the crate is not repeated here.
fn percent(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            out.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}
