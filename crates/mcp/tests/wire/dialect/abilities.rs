use portcullis_mcp::{
    Version,
    dialect::{Abilities, Sampling},
};
use serde_json::{Value, json};

use super::{OLDER, from, shown, to};

/// spec: BR-3, BR-21, BR-28, BR-29, BR-30, BR-116, BR-117, BR-118
#[test]
fn what_a_legacy_client_declared_is_told_as_far_as_it_can_be_carried() {
    let everything = json!({
        "roots": {"listChanged": true}, "sampling": {"tools": {}, "context": {}}, "elicitation": {"form": {}, "url": {}},
        "tasks": {"requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}},
        "experimental": {"x": {}}, "com.example": {},
        "extensions": {
            "io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]},
            "io.modelcontextprotocol/tasks": {}, "com.example/x": {},
        },
    });
    let ui = json!({"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}});
    let table: &[(Version, Value, Value)] = &[
        (
            Version::V2025_11_25,
            everything.clone(),
            json!({"roots": {}, "sampling": {"tools": {}, "context": {}}, "elicitation": {"form": {}, "url": {}}, "extensions": ui}),
        ),
        (
            Version::V2025_06_18,
            everything.clone(),
            json!({"roots": {}, "sampling": {}, "elicitation": {"form": {}}, "extensions": ui}),
        ),
        (Version::V2025_03_26, everything.clone(), json!({"roots": {}, "sampling": {}, "extensions": ui})),
        (Version::V2024_11_05, everything, json!({"roots": {}, "sampling": {}, "extensions": ui})),
        (Version::V2025_11_25, json!({"elicitation": {}}), json!({"elicitation": {"form": {}}})),
        (Version::V2025_11_25, json!({"elicitation": {"url": {}}}), json!({"elicitation": {"url": {}}})),
        (Version::V2025_11_25, json!({"sampling": {"tools": {}}}), json!({"sampling": {"tools": {}}})),
        (Version::V2025_06_18, json!({"elicitation": {"url": {}}}), json!({"elicitation": {"form": {}}})),
        (Version::V2025_06_18, json!({"elicitation": {}}), json!({"elicitation": {"form": {}}})),
        (Version::V2025_03_26, json!({"elicitation": {}}), json!({})),
        (Version::V2024_11_05, json!({}), json!({})),
        (Version::V2024_11_05, json!({"roots": true, "sampling": null, "elicitation": []}), json!({})),
        (Version::V2024_11_05, json!([]), json!({})),
    ];
    for (version, declared, expected) in table {
        let abilities = to(*version).abilities(&declared.to_string());
        let told = shown(Version::V2026_07_28, "ClientCapabilities", &abilities.to_json());
        assert_eq!(&told, expected, "{version} {declared}");
        assert_eq!(Abilities::read(&abilities.to_json()), abilities);
    }
    assert_eq!(Abilities::default().to_json(), "{}");
    let driven = Abilities { tasks: true, ..Abilities::default() };
    assert_eq!(driven.to_json(), r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
    assert_eq!(Abilities::read(&driven.to_json()), driven);
}

/// spec: BR-3, BR-29, BR-40, BR-59, BR-116
#[test]
fn a_legacy_server_is_told_what_its_revision_knows() {
    let all = Abilities {
        roots: true,
        sampling: Some(Sampling { tools: true, context: true }),
        forms: true,
        pages: true,
        tasks: true,
        apps: None,
    };
    let forms = Abilities { forms: true, ..Abilities::default() };
    let pages = Abilities { pages: true, ..Abilities::default() };
    let table: &[(Version, &Abilities, Value)] = &[
        (
            Version::V2025_11_25,
            &all,
            json!({"roots": {}, "sampling": {"tools": {}, "context": {}}, "elicitation": {"form": {}, "url": {}}}),
        ),
        (Version::V2025_06_18, &all, json!({"roots": {}, "sampling": {}, "elicitation": {}})),
        (Version::V2025_03_26, &all, json!({"roots": {}, "sampling": {}})),
        (Version::V2024_11_05, &all, json!({"roots": {}, "sampling": {}})),
        (Version::V2025_11_25, &forms, json!({"elicitation": {"form": {}}})),
        (Version::V2025_11_25, &pages, json!({"elicitation": {"url": {}}})),
        (Version::V2025_06_18, &forms, json!({"elicitation": {}})),
        (Version::V2025_06_18, &pages, json!({})),
        (Version::V2025_03_26, &forms, json!({})),
    ];
    for (version, abilities, expected) in table {
        let told = shown(*version, "ClientCapabilities", &from(*version).capabilities(abilities));
        assert_eq!(&told, expected, "{version}");
        let params = from(*version).initialize_params(abilities, r#"{"name":"g","version":"1"}"#);
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#);
        let params = &shown(*version, "InitializeRequest", &request)["params"];
        let client = json!({"name": "g", "version": "1"});
        assert_eq!(params, &json!({"protocolVersion": version.as_str(), "capabilities": told, "clientInfo": client}));
    }
    // Who is the same to the server shares a text, whatever else they can do.
    let old = from(Version::V2025_03_26);
    assert_eq!(old.capabilities(&forms), old.capabilities(&pages));
    let apps = Abilities { apps: Some(r#"{"a":1}"#.into()), ..Abilities::default() };
    assert_eq!(old.capabilities(&apps), r#"{"extensions":{"io.modelcontextprotocol/ui":{"a":1}}}"#);
}

/// spec: BR-20, BR-4, BR-117
#[test]
fn initialize_is_answered_from_what_was_discovered() {
    let discovery = json!({
        "resultType": "complete", "ttlMs": 1, "cacheScope": "public", "supportedVersions": ["2026-07-28"],
        "capabilities": {
            "tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}, "completions": {},
            "experimental": {"x": {}}, "com.example": {},
            "extensions": {"io.modelcontextprotocol/ui": {}, "io.modelcontextprotocol/tasks": {}},
        },
        "instructions": "Say \"please\".", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}},
    });
    for version in OLDER {
        let told = to(version).initialize_result(&discovery.to_string(), r#"{"name":"g","version":"1"}"#);
        let expected = json!({
            "protocolVersion": version.as_str(), "serverInfo": {"name": "g", "version": "1"}, "instructions": "Say \"please\".",
            "capabilities": {
                "tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}, "completions": {},
                "extensions": {"io.modelcontextprotocol/ui": {}},
            },
        });
        assert_eq!(shown(version, "InitializeResult", &told), expected);
        let bare = to(version).initialize_result("{}", r#"{"name":"g","version":"1"}"#);
        assert_eq!(shown(version, "InitializeResult", &bare)["capabilities"], json!({}));
    }
}

/// spec: BR-41, BR-4, BR-80
#[test]
fn discovery_is_built_from_what_initialize_was_answered() {
    let initialized = json!({
        "protocolVersion": "2025-11-25", "serverInfo": {"name": "s", "version": "2"}, "instructions": "i",
        "capabilities": {"prompts": {}, "tasks": {"list": {}}, "experimental": {"x": {}}, "resources": {"subscribe": true}},
    });
    for version in OLDER {
        let told = shown(Version::V2026_07_28, "DiscoverResult", &from(version).discovery(&initialized.to_string()));
        let mut capabilities = json!({"prompts": {}, "resources": {"subscribe": true}});
        if version == Version::V2024_11_05 {
            capabilities["completions"] = json!({});
        }
        let expected = json!({
            "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities, "instructions": "i",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}},
        });
        assert_eq!(told, expected, "{version}");
        for nothing in ["{}", "[]", r#"{"capabilities":1,"serverInfo":[],"instructions":{}}"#] {
            let told = shown(Version::V2026_07_28, "DiscoverResult", &from(version).discovery(nothing));
            assert_eq!((&told["capabilities"], told.get("instructions")), (&json!({}), None));
        }
    }
}
