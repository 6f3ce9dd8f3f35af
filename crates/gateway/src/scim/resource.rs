//! What users and groups have in common.

use portcullis_base::Timestamp;
use serde_json::{Map, Value, json};

use super::{error::ScimError, schema::Schema};

/// A resource with what only we say of it.
pub fn show(
    schema: &Schema,
    id: &str,
    members: Map<String, Value>,
    (created, changed): (Timestamp, Timestamp),
    version: &str,
    base: &str,
) -> Value {
    let mut shown = Map::new();
    shown.insert("schemas".into(), schema.ids(&members).into());
    shown.insert("id".into(), id.into());
    shown.extend(members);
    let meta = json!({
        "resourceType": schema.name,
        "created": created.to_string(),
        "lastModified": changed.to_string(),
        "location": location(schema, id, base),
        "version": version,
    });
    shown.insert("meta".into(), meta);
    Value::Object(shown)
}

/// The address of a resource.
pub fn location(schema: &Schema, id: &str, base: &str) -> String {
    format!("{base}{}/{id}", schema.endpoint)
}

/// Takes a text out.
pub fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// A name that can be shown on one line.
pub fn fitting(name: &str, text: &str, longest: usize) -> Result<String, ScimError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        let why = format!("\"{name}\" must be 1 to {longest} characters without control characters");
        return Err(ScimError::invalid_value(why));
    }
    Ok(text.to_owned())
}
