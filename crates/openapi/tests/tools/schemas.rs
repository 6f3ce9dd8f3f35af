//! Schemas: what they are translated to, and what arguments are held against.

use serde_json::json;

use crate::{definition, read, request, with_paths};

const SHOP: &str = include_str!("shop.yaml");

// spec: AG-22
#[test]
fn schemas_of_3_0_say_the_same_in_2020_12() {
    let api = read(SHOP);
    let add = definition(&api, "addPet");
    let defs = &add["inputSchema"]["$defs"];
    let pet = &defs["Pet"];
    assert_eq!(add["inputSchema"]["properties"]["body"], json!({ "$ref": "#/$defs/Pet" }));
    // What the server sets is no part of what is sent, also not of what is required.
    assert_eq!((&pet["required"], pet["properties"].get("id")), (&json!(["name"]), None));
    assert_eq!(pet["properties"]["name"], json!({ "type": "string", "minLength": 1, "examples": ["Rex"] }));
    assert_eq!(pet["properties"]["nickname"], json!({ "type": ["string", "null"] }));
    assert_eq!(pet["properties"]["kind"], json!({ "type": ["string", "null"], "enum": ["cat", "dog", null] }));
    assert_eq!(pet["properties"]["mother"], json!({ "$ref": "#/$defs/Pet" }));
    assert_eq!(
        pet["properties"]["owner"],
        json!({ "anyOf": [{ "allOf": [{ "$ref": "#/$defs/Owner" }] }, { "type": "null" }] })
    );
    let alternative = |name: &str, values: &[&str]| {
        json!({ "allOf": [
            { "$ref": format!("#/$defs/{name}") },
            { "properties": { "type": { "enum": values } }, "required": ["type"] },
        ] })
    };
    assert_eq!(
        pet["properties"]["home"]["oneOf"],
        json!([alternative("House", &["flat", "house"]), alternative("Boat", &["Boat"])])
    );
    assert_eq!(defs["Boat"], json!({ "type": "object", "properties": { "type": { "type": "string" } } }));
    let back = &add["outputSchema"];
    assert_eq!((back["type"].as_str(), back["$ref"].as_str()), (Some("object"), Some("#/$defs/Pet")));
    assert_eq!(back["$defs"]["Pet"]["required"], json!(["id", "name"]));
    assert_eq!(back["$defs"]["Pet"]["properties"].get("secret"), None);
}

#[test]
fn arguments_are_held_against_the_schema() {
    let api = read(SHOP);
    let refused = |name: &str, arguments: serde_json::Value| {
        request(&api, name, arguments.clone())
            .map(|made| format!("{arguments} made {made:?}"))
            .expect_err("refused")
            .to_string()
    };
    for (name, arguments, said) in [
        ("listPets", json!({ "limit": "20" }), "limit must be of type integer, not string"),
        ("listPets", json!({ "limit": 0 }), "limit must be more than 0"),
        ("listPets", json!({ "limit": 101 }), "limit must be at most 100"),
        ("listPets", json!({ "limit": 1.5 }), "limit must be of type integer, not number"),
        ("listPets", json!({ "filter_kind": "fish" }), "filter_kind must be one of \"cat\", \"dog\""),
        ("listPets", json!({ "tags": ["a", 7] }), "tags[1] must be of type string, not number"),
        (
            "listPets",
            json!({ "api_key": "x" }),
            "api_key is unknown here; known is: limit, tags, fields, filter_kind, X-Request-Id",
        ),
        ("pets_get", json!({}), "petId is missing"),
        ("pets_get", json!({ "petId": "A" }), "petId does not match the pattern ^[a-z0-9-]+$"),
        ("pets_get", json!({ "petId": "a".repeat(41) }), "petId is too long (at most 40 characters)"),
        ("addPet", json!({}), "body is missing"),
        ("addPet", json!({ "body": { "name": "" } }), "body.name is too short (at least 1 characters)"),
        (
            "addPet",
            json!({ "body": { "name": "x", "mother": { "name": 1 } } }),
            "body.mother.name must be of type string, not number",
        ),
        (
            "addPet",
            json!({ "body": { "name": "x", "home": { "type": "tent" } } }),
            "body.home fits none of its alternatives (for the first: body.home.type must be one of \"flat\", \"house\")",
        ),
    ] {
        assert_eq!(refused(name, arguments), said);
    }
    for (name, arguments) in [
        ("listPets", json!({ "limit": 100, "tags": [] })),
        ("listPets", json!({ "limit": 20.0 })),
        ("addPet", json!({ "body": { "name": "x", "kind": null, "owner": null, "mother": { "name": "y" } } })),
        ("addPet", json!({ "body": { "name": "x", "home": { "type": "house", "rooms": 3 }, "anything": 1 } })),
    ] {
        assert!(request(&api, name, arguments.clone()).is_ok(), "{arguments}");
    }
}

#[test]
fn keywords_are_checked_one_by_one() {
    for (schema, good, bad) in [
        ("{type: array, minItems: 1, maxItems: 2}", json!([1]), json!([])),
        ("{type: array, minItems: 1, maxItems: 2}", json!([1, 2]), json!([1, 2, 3])),
        ("{type: array, uniqueItems: true}", json!([1, 2]), json!([1, 1.0])),
        ("{type: object, minProperties: 1}", json!({ "a": 1 }), json!({})),
        ("{type: object, maxProperties: 1}", json!({ "a": 1 }), json!({ "a": 1, "b": 1 })),
        ("{type: object, additionalProperties: false, properties: {a: {}}}", json!({ "a": 1 }), json!({ "b": 1 })),
        ("{type: object, additionalProperties: {type: string}}", json!({ "a": "x" }), json!({ "a": 1 })),
        ("{type: integer, multipleOf: 5}", json!(10), json!(11)),
        ("{type: number, minimum: 1, maximum: 2}", json!(1.5), json!(0.5)),
        ("{anyOf: [{type: string}, {type: integer}]}", json!(1), json!(true)),
        ("{allOf: [{minimum: 1}, {maximum: 3}]}", json!(2), json!(4)),
        ("{type: boolean}", json!(true), json!("true")),
        // Not read by the linear engine, so left to the API.
        ("{type: string, pattern: '^(?=a)b'}", json!("anything"), json!(1)),
        ("{type: string, pattern: '^\\d{2}\\/\\d{2}$'}", json!("11/22"), json!("11-22")),
    ] {
        let paths = format!(
            "/a: {{post: {{operationId: a, responses: {{}}, requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}}}}}"
        );
        let api = read(&with_paths(&paths));
        assert!(request(&api, "a", json!({ "body": good })).is_ok(), "{schema} {good}");
        assert!(request(&api, "a", json!({ "body": bad })).is_err(), "{schema} {bad}");
    }
}
