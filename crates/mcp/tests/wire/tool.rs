use portcullis_mcp::tool::{Annotation, Hints, ParamKind, annotations, canonical, listing};
use serde_json::{Value, json};

fn properties(properties: Value) -> Result<Vec<Annotation>, String> {
    annotations(&json!({"type": "object", "properties": properties}).to_string())
}

#[test]
fn valid_annotations_are_found_at_any_depth_of_properties() {
    let mut found = properties(json!({
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"a.b": {"type": "integer", "x-mcp-header": "Deep"}}},
        "plain": {"type": "number"},
        "data": {"type": "object", "default": {"x-mcp-header": "no schema"}, "enum": [{"x-mcp-header": ""}]},
    }))
    .unwrap();
    found.sort_by(|a, b| a.header.cmp(&b.header));
    let annotation = |path: &[&str], header: &str, kind| Annotation {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        header: header.to_owned(),
        kind,
    };
    assert_eq!(
        found,
        [
            annotation(&["deep", "a.b"], "Deep", ParamKind::Integer),
            annotation(&["region"], "Region", ParamKind::String)
        ]
    );
    assert_eq!(properties(json!({"a": {"type": "string"}})), Ok(vec![]));
}

/// spec: TR-128, T-70
#[test]
fn invalid_annotations_are_named() {
    let good = json!({"type": "string", "x-mcp-header": "A"});
    for bad in [
        json!({"a": {"type": "string", "x-mcp-header": ""}}),
        json!({"a": {"type": "string", "x-mcp-header": "My Header"}}),
        json!({"a": {"type": "string", "x-mcp-header": "a:b"}}),
        json!({"a": {"type": "string", "x-mcp-header": "a\r\nb"}}),
        json!({"a": {"type": "string", "x-mcp-header": "é"}}),
        json!({"a": {"type": "string", "x-mcp-header": 7}}),
        json!({"a": {"type": "number", "x-mcp-header": "A"}}),
        json!({"a": {"type": "array", "x-mcp-header": "A"}}),
        json!({"a": {"type": "object", "x-mcp-header": "A"}}),
        json!({"a": {"type": ["string", "null"], "x-mcp-header": "A"}}),
        json!({"a": {"x-mcp-header": "A"}}),
        json!({"a": good, "b": {"type": "string", "x-mcp-header": "a"}}),
        json!({"a": {"type": "array", "items": good}}),
        json!({"a": {"type": "array", "items": [good]}}),
        json!({"a": {"anyOf": [good]}}),
        json!({"a": {"oneOf": [{"type": "object", "properties": {"b": good}}]}}),
        json!({"a": {"if": good}}),
        json!({"a": {"additionalProperties": good}}),
        json!({"a": {"patternProperties": {"^x": good}}}),
        json!({"a": {"$defs": {"x": good}}}),
    ] {
        assert!(properties(bad.clone()).is_err(), "{bad}");
    }
    assert!(annotations(r#"{"type":"object","x-mcp-header":"Root"}"#).is_err());
    assert!(
        annotations(
            r##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}"##
        )
        .is_err()
    );
    assert!(annotations(r#"{"properties":{"a":{"type":"string","x-mcp-he\u0061der":""}}}"#).is_err());
}

#[test]
fn listing_gives_names_hints_and_definitions() {
    let first = r#"{"name":"read","annotations":{"readOnlyHint":true,"openWorldHint":false,"destructiveHint":"no"},"inputSchema":{"type":"object"}}"#;
    let second =
        r#"{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#;
    let result = format!(r#"{{"tools":[{first},{{"title":"nameless"}},{second}],"nextCursor":"c"}}"#);
    let listing = listing(&result).unwrap();
    assert_eq!(listing.next_cursor.as_deref(), Some("c"));
    assert_eq!(listing.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["read", "bad"]);
    assert_eq!(listing.tools[0].raw, first);
    assert_eq!(listing.tools[0].hints, Hints { read_only: Some(true), open_world: Some(false), ..Hints::default() });
    assert_eq!(listing.tools[0].headers, Ok(vec![]));
    assert!(listing.tools[1].headers.as_ref().unwrap_err().contains('a'));
    assert_eq!(portcullis_mcp::tool::listing(r#"{"tools":{}}"#), None);
    assert_eq!(portcullis_mcp::tool::listing("[]"), None);
}

#[test]
fn definitions_that_say_the_same_are_equal_in_canonical_form() {
    let a = canonical(r#"{"name":"\u0061","inputSchema":{"maximum":1.0,"type":"object"}}"#);
    let b = canonical(r#"{ "inputSchema":{"type":"object","maximum":1},"name":"a" }"#);
    assert_eq!(a, b);
    assert_eq!(a.as_deref(), Some(&br#"{"inputSchema":{"maximum":1,"type":"object"},"name":"a"}"#[..]));
    assert_ne!(a, canonical(r#"{"name":"a","inputSchema":{"maximum":2,"type":"object"}}"#));
    assert_eq!(canonical("[]"), None);
}
