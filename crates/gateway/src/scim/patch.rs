//! Changes of a resource (RFC 7644 section 3.5.2), as the directories of the field send them.
//!
//! Pure: a resource's members and the operations go in, the changed members come out, or the first thing that is wrong. What
//! is wrong anywhere changes nothing.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    answer::{is_of, member},
    error::ScimError,
    path::Target,
    schema::{Attribute, Kind, Schema},
};

/// The most operations in one request.
const OPERATIONS: usize = 1000;
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Applies a request's operations, one after the other.
pub fn apply(
    schema: &'static Schema,
    mut members: Map<String, Value>,
    mut request: Map<String, Value>,
) -> Result<Map<String, Value>, ScimError> {
    if !is_of(&mut request, PATCH_OP) {
        return Err(ScimError::invalid_syntax(format!("\"schemas\" must name {PATCH_OP}")));
    }
    let Some(Value::Array(operations)) = member(&mut request, "Operations") else {
        return Err(ScimError::invalid_syntax("\"Operations\" is missing"));
    };
    if operations.is_empty() || operations.len() > OPERATIONS {
        return Err(ScimError::invalid_syntax(format!("\"Operations\" must be 1 to {OPERATIONS}")));
    }
    for operation in operations {
        let Value::Object(mut operation) = operation else {
            return Err(ScimError::invalid_syntax("an operation is not an object"));
        };
        // Entra ID writes "Add", "Replace" and "Remove".
        let verb = match member(&mut operation, "op").as_ref().and_then(Value::as_str).map(str::to_ascii_lowercase) {
            Some(op) if op == "add" => Verb::Add,
            Some(op) if op == "replace" => Verb::Replace,
            Some(op) if op == "remove" => Verb::Remove,
            _ => return Err(ScimError::invalid_syntax("\"op\" must be add, replace or remove")),
        };
        let value = member(&mut operation, "value");
        match member(&mut operation, "path") {
            Some(Value::String(path)) if !path.is_empty() => at_path(schema, &mut members, verb, &path, value)?,
            None | Some(Value::Null | Value::String(_)) => without_path(schema, &mut members, verb, value)?,
            Some(_) => return Err(ScimError::invalid_path("\"path\" is not a text")),
        }
    }
    for attribute in schema.attributes {
        if attribute.is_required() && !members.contains_key(attribute.name) {
            return Err(ScimError::mutability(format!("\"{}\" cannot be removed", attribute.name)));
        }
    }
    Ok(members)
}

/// The value is an object of attributes. Names with a dot, a filter or a schema in front are paths (Entra ID); unknown ones,
/// and those that only we set, such as the `id` that Okta repeats, are passed over.
fn without_path(
    schema: &'static Schema,
    members: &mut Map<String, Value>,
    verb: Verb,
    value: Option<Value>,
) -> Result<(), ScimError> {
    // spec: RFC7644#3.5.2.2: "If "path" is unspecified, the operation fails with HTTP status code 400 and … noTarget".
    if verb == Verb::Remove {
        return Err(ScimError::no_target("\"path\" is missing: what is to be removed?"));
    }
    let Some(Value::Object(attributes)) = value else {
        return Err(ScimError::invalid_value("without \"path\", \"value\" must be an object of attributes"));
    };
    for (name, value) in attributes {
        if let Ok(target) = Target::parse(&name, schema)
            && !is_read_only(&target)
        {
            change(members, &target, verb, value)?;
        }
    }
    Ok(())
}

fn at_path(
    schema: &'static Schema,
    members: &mut Map<String, Value>,
    verb: Verb,
    path: &str,
    value: Option<Value>,
) -> Result<(), ScimError> {
    let target = Target::parse(path, schema)?;
    if is_read_only(&target) {
        return Err(ScimError::mutability(format!("\"{}\" is not yours to change", target.leaf().name)));
    }
    match (verb, value) {
        (Verb::Remove, value) => remove(members, &target, value),
        (verb, Some(value)) => change(members, &target, verb, value),
        (_, None) => Err(ScimError::invalid_value("\"value\" is missing")),
    }
}

fn is_read_only(target: &Target) -> bool {
    target.attribute.is_read_only() || target.parts.iter().any(|part| part.is_read_only())
}

fn change(members: &mut Map<String, Value>, target: &Target, verb: Verb, value: Value) -> Result<(), ScimError> {
    if target.attribute.is_many() {
        return change_values(members, target, verb, value);
    }
    let mut here = &mut *members;
    let mut attribute = target.attribute;
    for part in &target.parts {
        let inner = here.entry(attribute.name).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return Err(ScimError::invalid_path("there are no parts")) };
        here = inner;
        attribute = part;
    }
    match attribute.read(value)? {
        // spec: RFC7644#3.5.2.3: of a complex attribute, "sub-attributes that are not specified SHALL be left unchanged".
        Some(Value::Object(new)) => merge(here, attribute, new),
        Some(value) => drop(here.insert(attribute.name.to_owned(), value)),
        None => drop(here.remove(attribute.name)),
    }
    prune(members, target.attribute);
    Ok(())
}

fn merge(here: &mut Map<String, Value>, attribute: &'static Attribute, new: Map<String, Value>) {
    let old = here.entry(attribute.name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(old) = old {
        for (name, value) in new {
            match (attribute.part(&name).filter(|part| part.kind() == Kind::Complex), value) {
                (Some(part), Value::Object(value)) => merge(old, part, value),
                (_, value) => drop(old.insert(name, value)),
            }
        }
    }
}

/// An attribute whose parts are all gone is gone.
fn prune(members: &mut Map<String, Value>, attribute: &'static Attribute) {
    let gone = match members.get_mut(attribute.name) {
        Some(Value::Object(parts)) => {
            parts.retain(|_, value| !matches!(value, Value::Object(parts) if parts.is_empty()));
            parts.is_empty()
        }
        Some(Value::Array(values)) => values.is_empty(),
        _ => false,
    };
    if gone {
        members.remove(attribute.name);
    }
}

fn change_values(members: &mut Map<String, Value>, target: &Target, verb: Verb, value: Value) -> Result<(), ScimError> {
    let attribute = target.attribute;
    let values = values_of(members, attribute);
    match (&target.filter, target.parts.first()) {
        (None, None) => {
            if verb == Verb::Replace {
                values.clear();
            }
            if let Some(Value::Array(new)) = attribute.read(value)? {
                add(values, new);
            }
        }
        (filter, part) => {
            let new = match part {
                Some(part) => {
                    part.read(value)?.map(|value| Value::Object(Map::from_iter([(part.name.to_owned(), value)])))
                }
                None => attribute.read_one(value)?,
            };
            let chosen: Vec<bool> =
                values.iter().map(|value| filter.as_ref().is_none_or(|filter| filter.holds(value))).collect();
            if new.as_ref().is_some_and(|new| new["primary"] == true) {
                values.iter_mut().for_each(not_primary);
            }
            let found = chosen.contains(&true);
            for (old, _) in values.iter_mut().zip(chosen).filter(|(_, chosen)| *chosen) {
                overwrite(old, new.as_ref(), part.copied(), verb);
            }
            if !found {
                values.push(made(target, verb, new)?);
            }
        }
    }
    one_primary(values);
    prune(members, attribute);
    Ok(())
}

fn overwrite(old: &mut Value, new: Option<&Value>, part: Option<&'static Attribute>, verb: Verb) {
    match (new, part) {
        (None, Some(part)) => drop(old.as_object_mut().and_then(|old| old.remove(part.name))),
        (Some(new), None) if verb == Verb::Replace => new.clone_into(old),
        (Some(Value::Object(new)), _) => {
            if let Value::Object(old) = old {
                old.extend(new.clone());
            }
        }
        (Some(_) | None, _) => {}
    }
}

/// The value that is added where the path selects none: it has what the path says.
///
/// spec: RFC7644#3.5.2.3: a replacement "SHALL" fail instead with noTarget.
fn made(target: &Target, verb: Verb, new: Option<Value>) -> Result<Value, ScimError> {
    let equalities = match &target.filter {
        Some(filter) if verb == Verb::Add => filter.equalities(),
        Some(_) => None,
        None => Some(Vec::new()),
    };
    let Some(equalities) = equalities else {
        return Err(ScimError::no_target(format!("no value of \"{}\" is selected by the path", target.attribute.name)));
    };
    let mut made: Map<String, Value> =
        equalities.into_iter().map(|(attribute, value)| (attribute.name.to_owned(), value)).collect();
    if let Some(Value::Object(new)) = new {
        made.extend(new);
    }
    Ok(Value::Object(made))
}

fn add(values: &mut Vec<Value>, new: Vec<Value>) {
    let mut known: HashSet<String> = values.iter().map(key).collect();
    for value in new {
        // spec: RFC7644#3.5.2.1: a value that is there already is not added again.
        if known.insert(key(&value)) {
            if value["primary"] == true {
                values.iter_mut().for_each(not_primary);
            }
            values.push(value);
        }
    }
}

/// What makes two values the same: members of a group are the same if their identifiers are.
fn key(value: &Value) -> String {
    match (value.get("value"), value.get("type").and_then(Value::as_str).unwrap_or("User")) {
        (Some(Value::String(value)), "User") => value.clone(),
        _ => value.to_string(),
    }
}

/// spec: RFC7643#2.4: "the primary attribute value "true" MUST appear no more than once"; the last one said so last.
fn one_primary(values: &mut [Value]) {
    let last = values.iter().rposition(|value| value["primary"] == true);
    for (index, value) in values.iter_mut().enumerate() {
        if Some(index) != last {
            not_primary(value);
        }
    }
}

fn not_primary(value: &mut Value) {
    if value["primary"] == true {
        value["primary"] = false.into();
    }
}

/// What is not there needs no removing.
fn remove(members: &mut Map<String, Value>, target: &Target, value: Option<Value>) -> Result<(), ScimError> {
    let attribute = target.attribute;
    if attribute.is_many() {
        let listed = listed(attribute, value)?;
        let values = values_of(members, attribute);
        let chosen = |value: &Value| target.filter.as_ref().is_none_or(|filter| filter.holds(value));
        match (target.parts.first(), listed) {
            (Some(part), _) => {
                for value in values.iter_mut().filter(|value| chosen(value)) {
                    drop(value.as_object_mut().and_then(|value| value.remove(part.name)));
                }
                values.retain(|value| value.as_object().is_none_or(|value| !value.is_empty()));
            }
            // Entra ID names the members to be removed in the value.
            (None, Some(listed)) if target.filter.is_none() => values.retain(|value| !listed.contains(&key(value))),
            (None, _) => values.retain(|value| !chosen(value)),
        }
        prune(members, attribute);
        return Ok(());
    }
    let mut here = Some(&mut *members);
    let mut leaf = attribute;
    for part in &target.parts {
        here = here.and_then(|here| here.get_mut(leaf.name)).and_then(Value::as_object_mut);
        leaf = part;
    }
    if let Some(here) = here {
        here.remove(leaf.name);
    }
    prune(members, attribute);
    Ok(())
}

/// The values that are to be removed, if they are listed. An empty list lists none of them, rather than all.
fn listed(attribute: &Attribute, value: Option<Value>) -> Result<Option<HashSet<String>>, ScimError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let values = attribute.read(value)?;
    Ok(Some(values.iter().filter_map(Value::as_array).flatten().map(key).collect()))
}

fn values_of<'a>(members: &'a mut Map<String, Value>, attribute: &Attribute) -> &'a mut Vec<Value> {
    let values = members.entry(attribute.name).or_insert_with(|| Value::Array(Vec::new()));
    if !values.is_array() {
        *values = Value::Array(vec![values.take()]);
    }
    values.as_array_mut().expect("it was made one just now")
}
