//! JSON and JSON with comments, on its concrete syntax tree.

use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode, ObjectPropName},
};
use portcullis_gateway::client_entry::Format;
use serde_json::{Map, Value};

use super::{Edited, object};

/// Puts the entry under `root`.
pub fn put(text: &str, root: &'static str, name: &str, entry: &Value) -> Result<Edited, String> {
    if text.trim().is_empty() {
        return Ok(Edited::New(Format::Json(root).text(name, entry)));
    }
    let document = parse(text)?;
    let top = document.object_value().ok_or("its top level is not an object")?;
    let mut servers = child(&top, root)?;
    // opencode's second format keeps the servers one level down.
    if root == "mcp" && servers.get("servers").is_some_and(|inner| is_group(&inner)) {
        servers = child(&servers, "servers")?;
    }
    once(&servers, name)?;
    match servers.get(name) {
        Some(known) if known.value().and_then(|value| value.to_serde_value()).as_ref() == Some(entry) => {
            return Ok(Edited::Same);
        }
        Some(known) => known.set_value(input(entry)),
        None => drop(servers.append(name, input(entry))),
    }
    Ok(Edited::New(document.to_string()))
}

/// The whole text as a value.
pub fn read(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match parse(text)?.to_serde_value() {
        Some(Value::Object(map)) => Ok(map),
        _ => Err("its top level is not an object".into()),
    }
}

/// The servers in the value of the root key.
pub fn servers(value: &mut Value) -> &mut Map<String, Value> {
    let inner = value.get("servers").is_some_and(|inner| inner.is_object() && inner.get("type").is_none());
    if inner { object(&mut value["servers"]) } else { object(value) }
}

fn parse(text: &str) -> Result<CstRootNode, String> {
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| format!("it is not valid JSON: {error}"))
}

/// The object at `key`, made if there is none.
fn child(parent: &CstObject, key: &str) -> Result<CstObject, String> {
    once(parent, key)?;
    match parent.get(key) {
        None => Ok(parent.object_value_or_set(key)),
        Some(_) => parent.object_value(key).ok_or_else(|| format!("\"{key}\" in it is not an object")),
    }
}

/// Refuses a key that stands there twice: which of the two a client takes is anybody's guess.
fn once(parent: &CstObject, key: &str) -> Result<(), String> {
    let same = |name: &ObjectPropName| name.decoded_value().is_ok_and(|name| name == key);
    let count = parent.properties().iter().filter_map(CstObjectProp::name).filter(same).count();
    if count > 1 { Err(format!("\"{key}\" stands in it {count} times")) } else { Ok(()) }
}

fn is_group(property: &CstObjectProp) -> bool {
    property.object_value().is_some_and(|inner| inner.get("type").is_none())
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => {
            CstInputValue::Object(map.iter().map(|(key, value)| (key.clone(), input(value))).collect())
        }
    }
}
