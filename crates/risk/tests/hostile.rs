//! Definitions made to be slow, to crash, or to hide what they are.

use std::time::{Duration, Instant};

use portcullis_base::{Class, Classes};
use portcullis_risk::{Server, Source, Tool, classify, hints};
use proptest::prelude::*;
use serde_json::json;

fn unknown() -> Server {
    Server::unknown(Source::Untrusted)
}

/// Whatever it costs, it costs no more than so much, on a busy machine and without optimisation.
const LONG: Duration = Duration::from_secs(5);

#[test]
fn what_is_large_or_deep_or_turns_in_circles_is_judged_in_bounded_time() {
    let text = json!({ "type": "string" });
    let circle = json!({ "type": "object", "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#/$defs/x" } },
        "$defs": { "x": { "properties": { "command": text, "y": { "$ref": "#/$defs/x" } } } } });
    let wide: serde_json::Map<_, _> = (0..30_000).map(|at| (format!("p{at}"), text.clone())).collect();
    let choices: Vec<String> = (0..100_000).map(|at| format!("v{at}")).collect();
    let cases = [
        json!({ "description": "a ".repeat(450_000) }),
        json!({ "description": "\u{336}".repeat(400_000) }),
        json!({ "description": "\u{fdfa}".repeat(300_000) }),
        json!({ "description": "delete, ".repeat(100_000), "title": "/".repeat(90_000) }),
        json!({ "description": ".\n".repeat(300_000) }),
        json!({ "inputSchema": circle }),
        json!({ "inputSchema": { "properties": wide } }),
        json!({ "inputSchema": { "properties": { "method": { "enum": choices } } } }),
        json!({ "inputSchema": vec![vec![0_u8; 500]; 500] }),
        json!({ "inputSchema": "no schema", "annotations": [], "description": 7, "_meta": null }),
    ];
    let deep = format!("{{\"inputSchema\":{}1{}}}", "{\"items\":".repeat(100_000), "}".repeat(100_000));
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(2_000_000));
    let texts = cases.iter().map(ToString::to_string).chain([deep, large, "{".into(), String::new(), "null".into()]);
    for text in texts {
        for name in ["get_thing", &"a_".repeat(100_000), &"\u{336}".repeat(100_000), "", "_", "\u{202e}\u{200b}"] {
            let begun = Instant::now();
            let found = classify(&Tool::new(name, &text), &unknown());
            assert!(begun.elapsed() < LONG, "{:?} for {}", begun.elapsed(), &text[..text.len().min(60)]);
            assert!(!found.classes.is_empty() && found.evidence.len() < 80 && found.findings.len() < 20);
            assert!(found.evidence.iter().all(|one| one.to_string().chars().count() < 300));
        }
    }
}

#[test]
fn what_could_not_be_looked_at_is_not_reading() {
    let class = |name: &str, text: &str| classify(&Tool::new(name, text), &unknown()).classes;
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(2_000_000));
    for text in [large.as_str(), "{", ""] {
        assert_eq!(class("get_thing", text).primary(), Class::Unknown, "{}", &text[..text.len().min(9)]);
        assert_eq!(class("delete_thing", text).primary(), Class::Destructive);
    }
    assert_eq!(class(&format!("get_{}_delete", "a".repeat(300)), "{}").primary(), Class::Unknown);
    let wide: serde_json::Map<_, _> = (0..30_000).map(|at| (format!("p{at}"), json!({}))).collect();
    let wide = json!({ "inputSchema": { "properties": wide } }).to_string();
    assert_eq!(class("get_thing", &wide).primary(), Class::Unknown);
    // A field is found wherever a pointer may lead.
    let hidden = json!({ "inputSchema": { "$ref": "#/attic/1/x",
        "attic": [0, { "x": { "properties": { "command": { "type": "string", "pattern": ".*" } } } }] } });
    assert_eq!(class("get_thing", &hidden.to_string()).primary(), Class::Execute);
    let filler: Vec<String> = (0..400).map(|at| format!("v{at}")).chain(["DELETE".into()]).collect();
    let hidden = json!({ "inputSchema": { "properties": { "method": { "enum": filler } } } });
    assert_eq!(class("get_thing", &hidden.to_string()).primary(), Class::Destructive);
    let one_of = json!({ "inputSchema": { "properties": { "action": { "oneOf": [{ "const": "list" }, { "const": "delete" }] } } } });
    assert_eq!(class("manage_thing", &one_of.to_string()).primary(), Class::Destructive);
}

#[test]
fn no_flood_of_fields_hides_the_reason_of_a_class() {
    let text = json!({ "type": "string" });
    // Each is another way to write the same word, and so a line of evidence.
    let mut fields: serde_json::Map<_, _> =
        (1..200).map(|at| (format!("{}path", "_".repeat(at)), text.clone())).collect();
    fields.extend([("amount".to_owned(), text.clone()), ("currency".to_owned(), text)]);
    let definition = json!({ "inputSchema": { "properties": fields } }).to_string();
    let found = classify(&Tool::new("create_thing", &definition), &unknown());
    assert_eq!(found.classes.primary(), Class::Financial);
    assert!(found.evidence.iter().any(|one| one.classes.contains(Class::Financial)) && found.evidence.len() < 60);
}

#[test]
fn a_server_of_many_tools_is_judged_in_bounded_time() {
    let names: Vec<String> = (0..50_000).map(|at| format!("x_{}_{at}", "y_".repeat(20))).collect();
    let begun = Instant::now();
    let server = Server::new("x", names.iter().map(String::as_str), Source::Untrusted);
    assert!(begun.elapsed() < LONG * 10, "{:?}", begun.elapsed());
    assert_eq!(classify(&Tool::new("x_y_delete", "{}"), &server).classes.primary(), Class::Destructive);
}

/// JSON of the shape of a definition, with words that matter in places where they may stand.
fn definitions() -> impl Strategy<Value = serde_json::Value> {
    let word = prop_oneof![
        Just("delete".to_owned()),
        Just("command".to_owned()),
        Just("properties".to_owned()),
        Just("enum".to_owned()),
        Just("type".to_owned()),
        Just("object".to_owned()),
        Just("$ref".to_owned()),
        Just("pattern".to_owned()),
        Just("url".to_owned()),
        Just("description".to_owned()),
        Just("amount".to_owned()),
        ".{0,20}",
    ];
    let leaf = prop_oneof![
        word.clone().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(Into::into),
        any::<bool>().prop_map(Into::into),
        Just(serde_json::Value::Null),
    ];
    let inner = leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|all| serde_json::Value::Object(all.into_iter().collect())),
        ]
    });
    (inner.clone(), inner.clone(), inner.clone(), ".{0,200}").prop_map(|(input, output, annotations, text)| {
        json!({ "inputSchema": input, "outputSchema": output, "annotations": annotations, "description": text, "title": text })
    })
}

proptest! {
    #[test]
    fn nothing_that_a_server_can_write_makes_it_panic(name in ".{0,80}", definition in definitions(), method in "(GET|POST|DELETE|.{0,6})") {
        let text = definition.to_string();
        for source in [Source::Untrusted, Source::Trusted] {
            let tool = Tool { method: Some(&method), ..Tool::new(&name, &text) };
            let found = classify(&tool, &Server::unknown(source));
            prop_assert!(!found.classes.is_empty());
            prop_assert_eq!(&found, &classify(&tool, &Server::unknown(source)));
            // Every class that was found names its evidence.
            let named = found.evidence.iter().fold(Classes::NONE, |all, one| all.or(one.classes));
            prop_assert!(found.classes.is_within(named), "{:?}", found);
            let labels = found.evidence.iter().fold(portcullis_base::Labels::NONE, |all, one| all.or(one.labels));
            prop_assert!(found.labels.is_within(labels), "{:?}", found);
            prop_assert!(!hints(&found).read_only || found.classes == Class::Read.into());
        }
    }

    #[test]
    fn raw_text_is_no_danger(name in any::<String>(), text in any::<String>(), quoted in any::<String>()) {
        classify(&Tool::new(&name, &text), &unknown());
        classify(&Tool::new(&quoted, &json!({ "description": quoted, "title": text }).to_string()), &unknown());
    }

    #[test]
    fn a_verb_that_destroys_is_seen_wherever_nothing_reads_before_it(
        before in "[xz]{2,6}", object in "(thing|user|row|page)", verb in "(delete|remove|drop|purge|wipe|revoke|destroy)",
    ) {
        for name in [format!("{verb}_{object}"), format!("{before}_{verb}_{object}"), format!("{before}-{object}-{verb}"), format!("{before}{}", verb[..1].to_uppercase() + &verb[1..])] {
            let found = classify(&Tool::new(&name, "{\"annotations\":{\"readOnlyHint\":true}}"), &unknown());
            prop_assert!(found.classes.contains(Class::Destructive), "{name}");
        }
    }
}
