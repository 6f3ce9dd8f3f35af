//! Which tools a document becomes, and what is said of the rest.

use portcullis_openapi::{Api, Choices, Class, Limits, Outputs, is_name};
use serde_json::json;

use crate::{definition, names, read, refused, with_paths};

const SHOP: &str = include_str!("shop.yaml");

#[test]
fn document_of_3_0_becomes_tools() {
    let api = read(SHOP);
    assert_eq!((api.title.as_str(), api.version.as_str()), ("Pet shop", "1.4.2"));
    assert_eq!(api.base.as_str(), "https://eu.shop.example.com/api/v3");
    let all = ["addPet", "changePet", "deleteOrderNow", "deletePet", "listPets", "pets_get", "put_pets_petId_photo"];
    assert_eq!(names(&api), all);
    assert_eq!(api.left_out, []);
    let list = definition(&api, "listPets");
    assert_eq!(list["title"], "List pets");
    assert_eq!(list["description"], "List pets\n\nAll pets, newest first.\nTwenty at a time.");
    // What the document asks for as a credential is no argument, whatever it says besides.
    assert_eq!(
        list["inputSchema"],
        json!({
            "type": "object",
            "properties": {
                "limit": { "type": "integer", "maximum": 100, "default": 20, "exclusiveMinimum": 0, "description": "How many" },
                "tags": { "type": "array", "items": { "type": "string" } },
                "fields": { "type": "array", "items": { "type": "string" } },
                "filter_kind": { "type": "string", "enum": ["cat", "dog"] },
                "X-Request-Id": { "type": "string" },
            },
            "additionalProperties": false,
        })
    );
    let get = definition(&api, "pets_get");
    assert_eq!(get["description"], "Deprecated. GET /pets/{petId}");
    assert_eq!(get["inputSchema"]["required"], json!(["petId"]));
    assert_eq!(get["inputSchema"]["properties"]["query_petId"]["description"], "Not that of the path");
    assert_eq!(definition(&api, "changePet")["inputSchema"]["properties"]["body"], json!({ "type": "object" }));
    let photo = &definition(&api, "put_pets_petId_photo")["inputSchema"]["properties"]["body"];
    assert_eq!(*photo, json!({ "type": "string", "contentEncoding": "base64" }));
}

#[test]
fn class_and_hints_follow_the_method_and_a_name_only_raises_them() {
    let api = read(SHOP);
    let said = |name: &str| {
        let hints = definition(&api, name)["annotations"].clone();
        (
            api.tool(name).unwrap().class,
            hints["readOnlyHint"].as_bool(),
            hints["destructiveHint"].as_bool(),
            hints["idempotentHint"].as_bool(),
        )
    };
    assert_eq!(said("listPets"), (Class::Read, Some(true), None, None));
    assert_eq!(said("addPet"), (Class::Write, Some(false), None, Some(false)));
    assert_eq!(said("changePet"), (Class::Write, Some(false), Some(true), Some(false)));
    assert_eq!(said("put_pets_petId_photo"), (Class::Write, Some(false), Some(true), Some(true)));
    assert_eq!(said("deletePet"), (Class::Destructive, Some(false), Some(true), Some(true)));
    // A GET that says itself that it deletes.
    assert_eq!(said("deleteOrderNow"), (Class::Destructive, Some(false), Some(true), Some(false)));
}

#[test]
fn credentials_are_reported_with_what_to_write() {
    let api = read(SHOP);
    let said: Vec<_> = api.schemes.iter().map(ToString::to_string).collect();
    let key = "key: a key in the header X-Api-Key (`credential: {kind: header, header: X-Api-Key}`)";
    assert_eq!(said, [key, "oauth: OAuth (`credential: {kind: oauth, issuer: …, client_id: …}`)"]);
    assert_eq!(api.tool("deletePet").unwrap().schemes, ["oauth"]);
}

#[test]
fn operations_are_chosen_and_renamed() {
    let read = |include: &[&str], exclude: &[&str], names: &[(&str, &str)]| {
        let text = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let names = names.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Api::read(SHOP, &Choices { include: text(include), exclude: text(exclude), names, ..Choices::default() })
    };
    let chosen = |include: &[&str], exclude: &[&str]| {
        let api = read(include, exclude, &[]).unwrap();
        names(&api).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(chosen(&["tag:pets"], &["POST *"]), ["listPets"]);
    assert_eq!(chosen(&["GET /pets*", "deletePet"], &[]), ["deletePet", "listPets", "pets_get"]);
    assert_eq!(chosen(&["*Pet*"], &["*s"]), ["changePet", "deletePet"]);
    let renamed = read(&["tag:pets"], &[], &[("listPets", "all_pets"), ("POST /pets", "buy")]).unwrap();
    assert_eq!(names(&renamed), ["all_pets", "buy"]);
    let problems = read(&["nothing"], &["DELETE /"], &[("x", "y")]).unwrap_err();
    let said: Vec<_> = problems.iter().map(|one| format!("{}: {}", one.place, one.what)).collect();
    assert_eq!(
        said,
        [
            "include: \"nothing\" means no operation of the document",
            "exclude: \"DELETE /\" means no operation of the document",
            "names: \"x\" means no operation of the document"
        ]
    );
    let problems = read(&[], &[], &[("listPets", "a b"), ("addPet", "deletePet")]).unwrap_err();
    assert_eq!(problems[0].what, "\"a b\" cannot be the name of a tool");
    assert!(problems[1].what.contains("would both be called deletePet"), "{problems:?}");
}

// spec: AG-4, AG-5
#[test]
fn names_fit_everywhere_and_do_not_depend_on_the_order() {
    let long = "x".repeat(80);
    let operations = [
        ("/a", "pets.list".to_owned()),
        ("/b", "pets/list".to_owned()),
        ("/c", "pets_list".to_owned()),
        ("/d", long.clone()),
        ("/e", format!("{long}y")),
        ("/f", "日本".to_owned()),
        ("/g", "_kept_".to_owned()),
        ("/h", "twice".to_owned()),
        ("/i", "twice".to_owned()),
    ];
    let named = |order: &mut dyn Iterator<Item = &(&str, String)>| {
        let paths: Vec<_> =
            order.map(|(path, id)| format!("{path}: {{get: {{operationId: '{id}', responses: {{}}}}}}")).collect();
        let api = read(&with_paths(&paths.join("\n")));
        api.tools
            .iter()
            .map(|tool| (tool.operation.clone(), tool.name.clone()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let names = named(&mut operations.iter());
    assert_eq!(names, named(&mut operations.iter().rev()));
    assert!(names.values().all(|name| is_name(name)), "{names:?}");
    assert_eq!(names.values().collect::<std::collections::BTreeSet<_>>().len(), operations.len());
    let name = |path: &str| names[&format!("GET {path}")].as_str();
    assert_eq!((name("/c"), name("/g")), ("pets_list", "_kept_"));
    assert!(
        name("/a").starts_with("pets_list_") && name("/h").starts_with("twice_") && name("/f").starts_with("tool_")
    );
    assert_eq!(name("/d").len(), 64);
}

#[test]
fn document_of_3_1_becomes_tools_and_answers_are_described_where_they_are_objects() {
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Notes", "version": "2" },
        "servers": [{ "url": "https://notes.example.com" }],
        "paths": {
            "/notes/{id}": {
                "get": {
                    "operationId": "note",
                    "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": ["string", "integer"] } }],
                    "responses": {
                        "200": { "description": "", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Note" } } } },
                        "404": { "description": "", "content": { "application/json": { "schema": { "type": "array" } } } },
                    },
                },
            },
            "/maybe": { "get": { "operationId": "maybe", "responses": {
                "200": { "description": "", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Note" } } } },
                "204": { "description": "" },
            } } },
            "/many": { "get": { "operationId": "many", "responses": {
                "200": { "description": "", "content": { "application/json": { "schema": { "type": "array" } } } },
            } } },
        },
        "components": { "schemas": { "Note": {
            "type": "object",
            "properties": {
                "text": { "type": ["string", "null"], "description": "beside", "$ref": "#/components/schemas/Text" },
                "replies": { "type": "array", "items": { "$ref": "#/components/schemas/Note" } },
                "key": { "type": "string", "writeOnly": true },
                "id": { "type": "integer", "readOnly": true },
            },
            "required": ["text", "key"],
        }, "Text": { "type": "string", "examples": ["a"], "const": "a" } } },
    });
    let api = read(&document.to_string());
    assert_eq!(
        definition(&api, "note")["outputSchema"],
        json!({
            "type": "object",
            "$ref": "#/$defs/Note",
            "$defs": {
                "Note": {
                    "type": "object",
                    "properties": {
                        "text": { "$ref": "#/$defs/Text", "type": ["string", "null"], "description": "beside" },
                        "replies": { "type": "array", "items": { "$ref": "#/$defs/Note" } },
                        "id": { "type": "integer", "readOnly": true },
                    },
                    "required": ["text"],
                },
                "Text": { "type": "string", "examples": ["a"], "const": "a" },
            },
        })
    );
    assert_eq!(definition(&api, "maybe").get("outputSchema"), None);
    assert_eq!(definition(&api, "many").get("outputSchema"), None);
    let free = Choices { outputs: Outputs::Free, ..Choices::default() };
    let free = Api::read(&document.to_string(), &free).unwrap();
    assert_eq!(definition(&free, "note").get("outputSchema"), None);
}

// spec: AG-21, T-66
#[test]
fn what_cannot_be_offered_is_left_out_with_its_place_and_a_way_out() {
    let operation = |inside: &str| format!("{{responses: {{}}, {inside}}}");
    for (paths, place, what) in [
        (
            format!(
                "/a: {{get: {}}}",
                operation("parameters: [{name: q, in: query, schema: {$ref: 'http://10.0.0.1/x.json'}}]")
            ),
            "#/paths/~1a/get/parameters/0/schema/$ref",
            "nothing is fetched",
        ),
        (
            format!(
                "/a: {{get: {}}}",
                operation("parameters: [{name: q, in: query, schema: {$ref: 'other.yaml#/X'}}]")
            ),
            "#/paths/~1a/get/parameters/0/schema/$ref",
            "points outside",
        ),
        (
            format!("/a: {{get: {}}}", operation("parameters: [{$ref: '#/components/nowhere'}]")),
            "#/paths/~1a/get/parameters/0/$ref",
            "points at nothing",
        ),
        (
            format!("/a: {{post: {}}}", operation("requestBody: {content: {application/xml: {}}}")),
            "#/paths/~1a/post/requestBody/content",
            "none of the body's media types",
        ),
        (format!("/a/{{id}}: {{get: {}}}", operation("")), "#/paths/~1a~1{id}/get", "no parameter describes {id}"),
        (format!("/a?x=1: {{get: {}}}", operation("")), "#/paths/~1a?x=1", "no ? and no #"),
        (format!("/a/../b: {{get: {}}}", operation("")), "#/paths/~1a~1..~1b", "a segment of the path is a dot"),
        (
            format!("/a/%2e%2E/b: {{get: {}}}", operation("")),
            "#/paths/~1a~1%2e%2E~1b",
            "a segment of the path is a dot",
        ),
        (format!("/a/{{id: {{get: {}}}", operation("")), "#/paths/~1a~1{id", "not closed"),
        (
            format!("/a: {{get: {}}}", operation("servers: [{url: 'https://other.example.com'}]")),
            "#/paths/~1a/get/servers",
            "it is at https://other.example.com",
        ),
        (
            format!("/a: {{get: {}}}", operation("parameters: [{name: q, in: query, style: matrix}]")),
            "#/paths/~1a/get/parameters/0/style",
            "this style does not exist",
        ),
        (
            format!("/a: {{get: {}}}", operation("parameters: [{name: 'a b', in: header}]")),
            "#/paths/~1a/get/parameters/0/name",
            "cannot be the name of a header",
        ),
        (
            format!("/a: {{get: {}}}", operation("parameters: [{name: q, in: query, schema: {type: file}}]")),
            "#/paths/~1a/get/parameters/0/schema/type",
            "one of JSON Schema's types",
        ),
        (format!("/a: {{trace: {}}}", operation("")), "#/paths/~1a/trace", "TRACE repeats"),
    ] {
        let paths = format!("{paths}\n/fine: {{get: {{operationId: fine, responses: {{}}}}}}");
        let api = read(&with_paths(&paths));
        assert_eq!(names(&api), ["fine"], "{paths}");
        let [problem] = api.left_out.as_slice() else { panic!("{paths}: {:?}", api.left_out) };
        assert_eq!(problem.place, place, "{paths}");
        assert!(problem.what.contains(what), "{problem}");
        assert!(!problem.help.is_empty());
    }
}

#[test]
fn document_that_says_nothing_usable_is_refused_with_its_place() {
    let swagger = "swagger: '2.0'\npaths: {}";
    let old = "openapi: 2.9.0\npaths: {}";
    let none = with_paths("/a: {get: {operationId: x, responses: {}}}").replace("servers:", "x-servers:");
    let relative = with_paths("/a: {get: {responses: {}}}").replace("https://api.example.com/v1", "/v1");
    let variable = with_paths("/a: {get: {responses: {}}}").replace("api.example.com", "{host}");
    let userinfo = with_paths("/a: {get: {responses: {}}}").replace("api.example.com", "me:secret@api.example.com");
    let twice = "openapi: 3.0.0\nopenapi: 3.1.0";
    for (document, place, what) in [
        (swagger, "#/swagger", "Swagger 2.0"),
        (old, "#/openapi", "OpenAPI 2.9.0 is not read"),
        ("{}", "#/openapi", "no OpenAPI document"),
        ("[1]", "#/openapi", "no OpenAPI document"),
        ("{\"openapi\":", "#", "cannot be read"),
        (twice, "#", "stands here twice"),
        ("openapi: 3.0.0\nx: &a {b: 1}\ny: {<<: *a}", "#", "merge key"),
        (&none, "#/servers", "does not say where the API is"),
        (&relative, "#/servers/0/url", "is relative"),
        (&variable, "#/servers/0/url", "has no value"),
        (&userinfo, "#/servers/0/url", "name or password"),
        (&with_paths("/a: {trace: {responses: {}}}"), "#/paths", "no operation can be offered"),
    ] {
        let problems = refused(document);
        assert_eq!(problems[0].place, place, "{problems:?}");
        assert!(problems[0].what.contains(what), "{problems:?}");
        assert!(!problems[0].to_string().contains("secret"), "{problems:?}");
    }
    let url = Choices { url: Some("https://test.example.com/x".parse().unwrap()), ..Choices::default() };
    assert_eq!(Api::read(&relative, &url).unwrap().base.as_str(), "https://test.example.com/x");
}

#[test]
fn server_of_one_operation_counts_on_the_same_host() {
    let api = read(&with_paths("/a: {get: {operationId: a, servers: [{url: '/v2'}], responses: {}}}"));
    let request = crate::request(&api, "a", json!({})).unwrap();
    assert_eq!(request.target, "/v2/a");
}

// spec: T-66
#[test]
fn documents_beyond_the_limits_are_refused() {
    let limited = |document: &str, limits: Limits| {
        let choices = Choices { limits, ..Choices::default() };
        Api::read(document, &choices).map(|api| format!("{api:?}")).expect_err("it is read")[0].what.clone()
    };
    let paths: Vec<_> = (0..4).map(|n| format!("/p{n}: {{get: {{responses: {{}}}}}}")).collect();
    let document = with_paths(&paths.join("\n"));
    let normal = Limits::default();
    assert!(limited(&document, Limits { bytes: 100, ..normal }).contains("at most 100 are read"));
    assert!(limited(&document, Limits { operations: 3, ..normal }).contains("4 operations would become tools"));
    assert!(limited(&document, Limits { nodes: 20, ..normal }).contains("too many values"));
    assert!(limited(&document, Limits { depth: 3, ..normal }).contains("nested too deeply"));
    assert_eq!(Api::read(&document, &Choices::default()).unwrap().tools.len(), 4);
}
