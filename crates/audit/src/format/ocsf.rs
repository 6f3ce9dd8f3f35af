//! Open Cybersecurity Schema Framework: each event as one of its classes, in JSON.

use serde_json::{Map, Value, json};

use super::Record;

/// The version of the schema. Classes and members that are used here are the same in all later ones so far.
const VERSION: &str = "1.3.0";
/// "Other", in every list of the schema; its text is then the source's own.
const OTHER: u64 = 99;
/// Members of a line that a member of the schema says.
const MAPPED: [&str; 8] = ["at", "event", "person", "person_name", "client", "address", "node", "seq"];

/// Account Change, Authentication, Entity Management, User Access Management, Application Lifecycle, API Activity.
const ACCOUNT: u64 = 3001;
const AUTHENTICATION: u64 = 3002;
const ENTITY: u64 = 3004;
const ACCESS: u64 = 3005;
const LIFECYCLE: u64 = 6002;
const API: u64 = 6003;

/// Kinds by the beginning of their text, the longest first where two fit: class and activity.
const KINDS: [(&str, u64, u64); 60] = [
    ("access.break_glass", ACCESS, 1),
    ("access.granted", ACCESS, 1),
    ("access.revoked", ACCESS, 2),
    ("access.", ACCESS, OTHER),
    ("access_key.created", ENTITY, 1),
    ("access_key.", ENTITY, 4),
    ("approval.", API, OTHER),
    ("audit.", API, 2),
    ("authz.", AUTHENTICATION, OTHER),
    ("call.", API, OTHER),
    ("checkpoint", LIFECYCLE, OTHER),
    ("client.registered", ENTITY, 1),
    ("client.", ENTITY, 3),
    ("connection.made", ENTITY, 1),
    ("connection.refreshed", ENTITY, 3),
    ("connection.lost", ENTITY, 4),
    ("connection.disconnected", ENTITY, 4),
    ("connection.", ENTITY, OTHER),
    ("consent.granted", ACCESS, 1),
    ("consent.", ACCESS, OTHER),
    ("delegation.made", ACCESS, 1),
    ("delegation.", ACCESS, 2),
    ("directory.group", ENTITY, 3),
    ("directory.", ENTITY, OTHER),
    ("grant.revoked", ACCESS, 2),
    ("grant.", ACCESS, OTHER),
    ("identity.", ACCOUNT, OTHER),
    ("journal.started", LIFECYCLE, 3),
    ("journal.stopped", LIFECYCLE, 4),
    ("journal.", LIFECYCLE, OTHER),
    ("key.", ENTITY, 1),
    ("key_ring.added", ENTITY, 1),
    ("key_ring.", ENTITY, 4),
    ("offboard.", ACCOUNT, 5),
    ("passkey.added", ACCOUNT, 10),
    ("passkey.", ACCOUNT, 11),
    ("person.created", ACCOUNT, 1),
    ("person.enabled", ACCOUNT, 2),
    ("person.disabled", ACCOUNT, 5),
    ("person.", ACCOUNT, OTHER),
    ("process.", LIFECYCLE, 3),
    ("request.", API, OTHER),
    ("rights.", ACCESS, 2),
    ("server.examined", ENTITY, 2),
    ("server.protected", ENTITY, 1),
    ("server.removed", ENTITY, 4),
    ("server.", ENTITY, 3),
    ("service_account.created", ACCOUNT, 1),
    ("service_account.disabled", ACCOUNT, 5),
    ("service_account.", ACCOUNT, OTHER),
    ("session.", AUTHENTICATION, 2),
    ("settings.", LIFECYCLE, 8),
    ("signin.", AUTHENTICATION, 1),
    ("signout", AUTHENTICATION, 2),
    ("sink.", LIFECYCLE, OTHER),
    ("token.issued", AUTHENTICATION, 3),
    ("token.refreshed", AUTHENTICATION, 5),
    ("token.redelivered", AUTHENTICATION, 5),
    ("token.", AUTHENTICATION, OTHER),
    ("upstream.", ENTITY, 1),
];

/// The event in this format, on one line without its end.
pub fn ocsf(record: &Record) -> String {
    let kind = record.text("event");
    let (class, activity) = class(kind, record.text("method"));
    let (severity, severity_name) = level(super::severity(record));
    let (status, status_name) = status(record);
    let product = json!({ "name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION") });
    let node = record.text("node");
    let mut out = json!({
        "category_uid": class / 1000,
        "class_uid": class,
        "activity_id": activity,
        "type_uid": class * 100 + activity,
        "time": record.at().map_or(0, portcullis_base::Timestamp::as_millis),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "message": kind.replace(['.', '_'], " "),
        "metadata": { "version": VERSION, "product": product, "uid": format!("{node}-{}", record.seq()), "sequence": record.seq(),
            "log_name": "audit", "log_provider": node, "event_code": kind },
        "actor": actor(record),
        "src_endpoint": some([("ip", record.text("address"))]).unwrap_or_else(|| json!({ "name": node })),
    });
    let mut add = |key: &str, value: Value| {
        if let Value::Object(members) = &mut out {
            members.insert(key.to_owned(), value);
        }
    };
    if activity == OTHER {
        add("activity_name", json!(kind));
    }
    if !record.text("outcome").is_empty() {
        add("status_code", json!(record.text("outcome")));
    }
    let object = [record.text("name"), record.text("server"), kind].into_iter().find(|text| !text.is_empty());
    match class {
        ACCOUNT => add("user", target(record)),
        ACCESS => {
            add("user", target(record));
            add("privileges", json!([object]));
        }
        AUTHENTICATION => {
            add("user", user(record));
            add("service", json!({ "name": "Portcullis" }));
        }
        ENTITY => add("entity", json!({ "name": object, "type": kind.split('.').next() })),
        LIFECYCLE => add("app", product),
        _ => {
            let operation = [record.text("method"), kind].into_iter().find(|text| !text.is_empty());
            let mut api = json!({ "operation": operation });
            if let Some(service) = some([("name", record.text("server"))]) {
                api["service"] = service;
            }
            if let Some(request) = some([("uid", record.text("call"))]) {
                api["request"] = request;
            }
            add("api", api);
            if let Some(resource) = some([("name", record.text("name"))]) {
                add("resources", json!([resource]));
            }
        }
    }
    let unmapped: Map<String, Value> = record.others(&MAPPED).collect();
    add("unmapped", Value::Object(unmapped));
    out.to_string()
}

fn class(kind: &str, method: &str) -> (u64, u64) {
    let found = KINDS.iter().find(|(beginning, ..)| kind.starts_with(beginning));
    let (class, activity) = found.map_or((API, OTHER), |(_, class, activity)| (*class, *activity));
    let reads = kind.starts_with("call.")
        && (method.ends_with("/list") || method.ends_with("/read") || method.ends_with("/get"));
    (class, if reads { 2 } else { activity })
}

fn level(grave: u8) -> (u64, &'static str) {
    match grave {
        0..=2 => (1, "Informational"),
        3..=4 => (2, "Low"),
        5..=6 => (3, "Medium"),
        7..=8 => (4, "High"),
        _ => (5, "Critical"),
    }
}

fn status(record: &Record) -> (u64, &'static str) {
    match (record.text("outcome"), record.text("effect")) {
        ("failure" | "denied" | "timeout", _) | ("", "deny") => (2, "Failure"),
        ("success", _) | ("", "allow") => (1, "Success"),
        _ => (0, "Unknown"),
    }
}

/// Members that have a text; none if there are none.
fn some<const N: usize>(members: [(&str, &str); N]) -> Option<Value> {
    let members: Map<String, Value> = members
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| (key.to_owned(), Value::from(text)))
        .collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

/// Who did it.
fn user(record: &Record) -> Value {
    some([("uid", record.text("person")), ("name", record.text("person_name"))])
        .unwrap_or_else(|| json!({ "name": "unknown" }))
}

/// Whose account or access it is about.
fn target(record: &Record) -> Value {
    some([("name", record.text("name"))]).unwrap_or_else(|| user(record))
}

/// The person, and the program that acts for them; the gateway itself where nobody is named.
fn actor(record: &Record) -> Value {
    let mut actor = some([("app_uid", record.text("client"))]).unwrap_or_else(|| json!({}));
    if let Some(user) = some([("uid", record.text("person")), ("name", record.text("person_name"))]) {
        actor["user"] = user;
    }
    if actor == json!({}) { json!({ "app_name": "Portcullis" }) } else { actor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, format::Contents};

    /// Of the schema's own definitions (`events/…/*.json`): class, the activities it lists, the members it requires besides
    /// those of every event.
    const CLASSES: [(u64, std::ops::RangeInclusive<u64>, &[&str]); 6] = [
        (ACCOUNT, 1..=12, &["user"]),
        (AUTHENTICATION, 1..=6, &["user", "service"]),
        (ENTITY, 1..=4, &["entity"]),
        (ACCESS, 1..=2, &["user", "privileges"]),
        (LIFECYCLE, 1..=8, &["app"]),
        (API, 1..=4, &["actor", "api", "src_endpoint"]),
    ];
    const EVENT: [&str; 7] =
        ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];

    fn parsed(line: &str) -> Value {
        serde_json::from_str(&ocsf(&Record::parse(line.as_bytes(), Contents::Left).unwrap())).unwrap()
    }

    #[test]
    fn every_kind_is_of_a_class_and_has_what_that_requires() {
        for kind in Kind::ALL.iter().map(|kind| kind.as_str()).chain(["checkpoint"]) {
            assert!(KINDS.iter().any(|(start, ..)| kind.starts_with(start)), "{kind} has no row");
            for members in [
                "",
                r#","person":"usr_1","person_name":"ana","address":"10.0.0.7","server":"crm","method":"tools/call","name":"x""#,
            ] {
                let event = parsed(&format!(
                    r#"{{"seq":7,"at":"2026-11-23T02:13:20.123Z","node":"n1","event":"{kind}"{members}}}"#
                ));
                let (class, activity) = (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
                let (_, activities, required) = CLASSES.iter().find(|(known, ..)| *known == class).unwrap();
                assert!(
                    activities.contains(&activity) || activity == OTHER && event["activity_name"] == kind,
                    "{event}"
                );
                assert_eq!(event["type_uid"], class * 100 + activity);
                for member in EVENT.iter().chain(*required) {
                    assert!(!event[*member].is_null() && event[*member] != json!({}), "{member} in {event}");
                }
            }
        }
    }

    // spec: T-97, T-100
    #[test]
    fn call_is_told_with_who_what_and_how_and_without_its_arguments() {
        let line = r#"{"seq":7,"at":"2026-11-23T02:13:20.123Z","node":"n1","event":"call.decided","call":"c1","person":"usr_1","person_name":"ana\n","client":"desk","address":"10.0.0.7","server":"crm","method":"tools/call","name":"refund\",\"class_uid\":1","effect":"deny","rule":"r","details":{"arguments":{"pin":"1234"},"why":"no"},"hash":"h"}"#;
        let event = parsed(line);
        assert_eq!(event["time"], 1_795_400_000_123_i64);
        assert_eq!(
            (&event["class_uid"], &event["status"], &event["severity"]),
            (&json!(API), &json!("Failure"), &json!("Medium"))
        );
        assert_eq!(event["actor"], json!({ "app_uid": "desk", "user": { "uid": "usr_1", "name": "ana\n" } }));
        assert_eq!(
            event["api"],
            json!({ "operation": "tools/call", "service": { "name": "crm" }, "request": { "uid": "c1" } })
        );
        assert_eq!(event["resources"][0]["name"], "refund\",\"class_uid\":1");
        assert_eq!(event["unmapped"]["details"], json!({ "why": "no" }));
        assert_eq!(event["metadata"]["uid"], "n1-7");
        assert!(!event.to_string().contains("1234"));
    }
}
