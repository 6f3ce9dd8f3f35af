//! Schemas of OpenAPI 3.0 and 3.1 as JSON Schema 2020-12, with everything that they refer to beside them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use crate::document::{Problem, below, resolve, target};

/// Values of one schema that are translated, over all it refers to.
const NODES: usize = 20_000;
/// How deep schemas may be in schemas.
const DEPTH: usize = 60;

/// What a document's schemas are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// OpenAPI 3.0: a dialect of its own.
    V3_0,
    /// OpenAPI 3.1 and later: JSON Schema 2020-12.
    V3_1,
}

/// Which way the values go that a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server: what it alone sets (`readOnly`) is no part of it.
    Out,
    /// From the server: what it never tells (`writeOnly`) is no part of it.
    Back,
}

/// Translates the schemas of one tool in one direction.
pub(crate) struct Translation<'d> {
    document: &'d Value,
    revision: Revision,
    way: Way,
    /// The name under `$defs` of each reference.
    names: BTreeMap<String, String>,
    open: VecDeque<(String, &'d Value)>,
    left: usize,
}

const WITH_SCHEMA: [&str; 11] = [
    "items",
    "additionalProperties",
    "not",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const WITH_LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const WITH_NAMES: [&str; 5] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
const WITH_TEXT: [&str; 6] = ["title", "description", "format", "pattern", "contentEncoding", "contentMediaType"];
const WITH_NUMBER: [&str; 11] = [
    "multipleOf",
    "maximum",
    "minimum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
];
const WITH_FLAG: [&str; 4] = ["uniqueItems", "deprecated", "readOnly", "writeOnly"];
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
/// Keywords that change what other references mean.
const NOT_READ: [&str; 5] = ["$id", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

impl<'d> Translation<'d> {
    pub(crate) fn new(document: &'d Value, revision: Revision, way: Way) -> Self {
        Self { document, revision, way, names: BTreeMap::new(), open: VecDeque::new(), left: NODES }
    }

    /// The schema at `place`.
    pub(crate) fn schema(&mut self, schema: &'d Value, place: &str) -> Result<Value, Problem> {
        self.at(schema, place, DEPTH)
    }

    /// `$defs` for all that was translated.
    pub(crate) fn definitions(mut self) -> Result<Map<String, Value>, Problem> {
        let mut found = Map::new();
        while let Some((reference, schema)) = self.open.pop_front() {
            let translated = self.at(schema, &reference, DEPTH)?;
            found.insert(self.names[&reference].clone(), translated);
        }
        found.sort_keys();
        Ok(found)
    }

    fn at(&mut self, schema: &'d Value, place: &str, depth: usize) -> Result<Value, Problem> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Problem::new(
                place,
                "schemas are nested too deeply",
                "give the inner ones names in components",
            ));
        };
        self.count(1, place)?;
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(_) if self.revision == Revision::V3_1 => return Ok(schema.clone()),
            _ => return Err(Problem::new(place, "a schema is expected here", "write a mapping such as type: string")),
        };
        if let Some(bad) = NOT_READ.iter().find(|keyword| schema.contains_key(**keyword)) {
            return Err(Problem::new(
                &below(place, bad),
                "this keyword is not read",
                "refer with \"#/components/schemas/…\"",
            ));
        }
        if let Some(dialect) = schema.get("$schema")
            && !dialect.as_str().is_some_and(is_known_dialect)
        {
            return Err(Problem::new(
                &below(place, "$schema"),
                "a dialect that is not read",
                "write it in JSON Schema 2020-12",
            ));
        }
        let mut out = Map::new();
        if let Some(reference) = schema.get("$ref") {
            let name = self.referred(reference, &below(place, "$ref"))?;
            out.insert("$ref".into(), format!("#/$defs/{name}").into());
            // In 3.0 nothing beside a reference counts.
            if self.revision == Revision::V3_0 {
                return Ok(Value::Object(out));
            }
        }
        for (keyword, value) in schema {
            let here = || below(place, keyword);
            let wrong = |expected: &str| Problem::new(&here(), format_args!("{expected} is expected here"), "mend it");
            match keyword.as_str() {
                keyword if WITH_SCHEMA.contains(&keyword) => {
                    let translated = match value {
                        Value::Bool(_) => value.clone(),
                        value => self.at(value, &here(), depth)?,
                    };
                    out.insert(keyword.into(), translated);
                }
                keyword if WITH_LIST.contains(&keyword) => {
                    let list = value.as_array().filter(|list| !list.is_empty());
                    let list = list.ok_or_else(|| wrong("a list of schemas"))?;
                    let translated: Result<Vec<_>, _> = list
                        .iter()
                        .enumerate()
                        .map(|(n, schema)| self.at(schema, &below(&here(), &n.to_string()), depth))
                        .collect();
                    out.insert(keyword.into(), translated?.into());
                }
                keyword if WITH_NAMES.contains(&keyword) => {
                    let named = value.as_object().ok_or_else(|| wrong("a mapping of schemas"))?;
                    let mut translated = Map::new();
                    for (name, schema) in named {
                        if keyword != "properties" || self.goes(schema) {
                            translated.insert(name.clone(), self.at(schema, &below(&here(), name), depth)?);
                        }
                    }
                    out.insert(keyword.into(), translated.into());
                }
                keyword if WITH_TEXT.contains(&keyword) => {
                    out.insert(keyword.into(), value.as_str().ok_or_else(|| wrong("a text"))?.into());
                }
                keyword if WITH_NUMBER.contains(&keyword) => {
                    let number = value.as_number().ok_or_else(|| wrong("a number"))?;
                    out.insert(keyword.into(), number.clone().into());
                }
                keyword if WITH_FLAG.contains(&keyword) => {
                    out.insert(keyword.into(), value.as_bool().ok_or_else(|| wrong("true or false"))?.into());
                }
                "exclusiveMinimum" | "exclusiveMaximum" => {
                    if !value.is_number() && !value.is_boolean() {
                        return Err(wrong("a number"));
                    }
                    out.insert(keyword.clone(), value.clone());
                }
                "type" => {
                    out.insert("type".into(), types(value).ok_or_else(|| wrong("one of JSON Schema's types"))?);
                }
                "required" => {
                    // `required: true` inside a property is a slip of many documents, and says nothing.
                    if let Some(names) = value.as_array() {
                        let goes = |name: &&Value| {
                            let own = name.as_str().and_then(|name| schema.get("properties")?.get(name));
                            name.is_string() && own.is_none_or(|schema| self.goes(schema))
                        };
                        let names: Vec<_> = names.iter().filter(goes).cloned().collect();
                        out.insert("required".into(), names.into());
                    }
                }
                "enum" => {
                    let list = value.as_array().ok_or_else(|| wrong("a list of values"))?;
                    self.count(list.len(), place)?;
                    out.insert("enum".into(), list.clone().into());
                }
                "const" | "default" | "dependentRequired" => {
                    out.insert(keyword.clone(), value.clone());
                }
                // In 3.1 a list; the mapping of a media type's examples is no keyword of schemas.
                "examples" if value.is_array() => {
                    out.insert("examples".into(), value.clone());
                }
                "example" => {
                    out.entry("examples").or_insert_with(|| json!([value]));
                }
                // `xml`, `externalDocs`, `x-…` and what nobody knows: says nothing about values.
                _ => {}
            }
        }
        if self.revision == Revision::V3_0 {
            bounds(&mut out);
            out = nullable(schema, out);
        }
        Self::discriminate(schema, &mut out);
        // A JSON text has no bytes: where a document says `binary`, a tool takes and gives base64.
        if out.get("format").is_some_and(|format| format == "binary") {
            out.remove("format");
            out.insert("contentEncoding".into(), "base64".into());
        }
        Ok(Value::Object(out))
    }

    fn count(&mut self, values: usize, place: &str) -> Result<(), Problem> {
        // spec: T-66
        self.left = self.left.checked_sub(values).ok_or_else(|| {
            Problem::new(
                place,
                "the schema and what it refers to are too large",
                "leave this operation out, or make it smaller",
            )
        })?;
        Ok(())
    }

    /// Whether a property is part of what goes this way.
    fn goes(&self, schema: &Value) -> bool {
        let schema = resolve(self.document, schema, "").map_or(schema, |(schema, _)| schema);
        let keyword = match self.way {
            Way::Out => "readOnly",
            Way::Back => "writeOnly",
        };
        schema.get(keyword) != Some(&Value::Bool(true))
    }

    /// The name under `$defs` of what `reference` means.
    fn referred(&mut self, reference: &'d Value, place: &str) -> Result<String, Problem> {
        let Some(reference) = reference.as_str() else {
            return Err(Problem::new(place, "a reference is a text", "write it as \"#/components/schemas/…\""));
        };
        if let Some(name) = self.names.get(reference) {
            return Ok(name.clone());
        }
        let schema = target(self.document, reference, place)?;
        // A circle of references that says nothing is no schema.
        resolve(self.document, schema, reference)?;
        let wish = reference.rsplit('/').next().unwrap_or_default();
        let wish: String = wish.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(100).collect();
        let wish = if wish.is_empty() { "schema".to_owned() } else { wish };
        let (mut name, mut n) = (wish.clone(), 1);
        while self.names.values().any(|other| *other == name) {
            n += 1;
            name = format!("{wish}_{n}");
        }
        self.names.insert(reference.to_owned(), name.clone());
        self.open.push_back((reference.to_owned(), schema));
        Ok(name)
    }

    /// Says with each alternative which value of the discriminator it has.
    fn discriminate(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
        let Some(discriminator) = schema.get("discriminator") else { return };
        let Some(property) = discriminator.get("propertyName").and_then(Value::as_str) else { return };
        for keyword in ["oneOf", "anyOf"] {
            let (Some(Value::Array(from)), Some(Value::Array(to))) = (schema.get(keyword), out.get_mut(keyword)) else {
                continue;
            };
            for (from, to) in from.iter().zip(to) {
                let Some(reference) = from.get("$ref").and_then(Value::as_str) else { continue };
                let own = reference.rsplit('/').next().unwrap_or_default();
                let mapping = discriminator.get("mapping").and_then(Value::as_object);
                let mapped = mapping
                    .into_iter()
                    .flatten()
                    .filter(|(_, to)| to.as_str().is_some_and(|to| to == reference || to == own));
                let mut values: Vec<_> = mapped.map(|(value, _)| value.as_str()).collect();
                if values.is_empty() {
                    values.push(own);
                }
                let says = json!({ "properties": { property: { "enum": values } }, "required": [property] });
                *to = json!({ "allOf": [to.take(), says] });
            }
        }
    }
}

pub(crate) fn is_known_dialect(text: &str) -> bool {
    text.trim_end_matches('#') == "https://json-schema.org/draft/2020-12/schema"
        || text.starts_with("https://spec.openapis.org/oas/3.")
}

/// Whether whatever fits the schema is an object.
pub(crate) fn is_object(schema: &Value, definitions: &Map<String, Value>) -> bool {
    fn inside(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        if let Some(kind) = schema.get("type") {
            return kind == "object";
        }
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix("#/$defs/"));
        let list = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
        reference.and_then(|name| definitions.get(name)).is_some_and(|schema| inside(schema, definitions, depth))
            || list("allOf").is_some_and(|all| all.iter().any(|schema| inside(schema, definitions, depth)))
            || ["oneOf", "anyOf"]
                .iter()
                .any(|keyword| list(keyword).is_some_and(|all| all.iter().all(|one| inside(one, definitions, depth))))
    }
    inside(schema, definitions, 16)
}

fn types(value: &Value) -> Option<Value> {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let all = match value {
        Value::Array(all) => !all.is_empty() && all.iter().all(is_type),
        one => is_type(one),
    };
    all.then(|| value.clone())
}

/// `minimum: 3, exclusiveMinimum: true` of 3.0 is `exclusiveMinimum: 3`.
fn bounds(schema: &mut Map<String, Value>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let Some(&Value::Bool(is_exclusive)) = schema.get(exclusive) else { continue };
        schema.remove(exclusive);
        if is_exclusive && let Some(number) = schema.remove(bound) {
            schema.insert(exclusive.into(), number);
        }
    }
}

/// `nullable: true` of 3.0 is one more type.
fn nullable(schema: &Map<String, Value>, mut out: Map<String, Value>) -> Map<String, Value> {
    if schema.get("nullable") != Some(&Value::Bool(true)) {
        return out;
    }
    if let Some(Value::Array(values)) = out.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    let combines = ["allOf", "anyOf", "oneOf"].iter().any(|keyword| out.contains_key(*keyword));
    match out.get_mut("type") {
        Some(Value::Array(all)) if !all.iter().any(|one| one == "null") => all.push("null".into()),
        Some(kind @ Value::String(_)) => *kind = json!([kind.take(), "null"]),
        None if combines => {
            let mut around = Map::new();
            for said in ["title", "description", "default", "examples"] {
                if let Some(value) = out.shift_remove(said) {
                    around.insert(said.into(), value);
                }
            }
            around.insert("anyOf".into(), json!([out, { "type": "null" }]));
            return around;
        }
        _ => {}
    }
    out
}
