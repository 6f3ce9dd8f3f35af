//! What a server says of its tools, as far as the wire needs it: header annotations, hints, the definition itself.

use serde_json::{Map, Value};

use crate::scan::{self, Kind};

/// The schema keyword that has a parameter repeated in a header.
const X_MCP_HEADER: &str = "x-mcp-header";

/// The type of an annotated parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// `"type": "string"`
    String,
    /// `"type": "integer"`
    Integer,
    /// `"type": "boolean"`
    Boolean,
}

/// A parameter that is repeated in an `Mcp-Param-{header}` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Names of `properties` from the root of the arguments to the parameter.
    pub path: Vec<String>,
    /// The value of `x-mcp-header`: a token.
    pub header: String,
    /// The declared type.
    pub kind: ParamKind,
}

/// The hints of a tool; a server may lie in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The tool changes nothing.
    pub read_only: Option<bool>,
    /// The tool may destroy.
    pub destructive: Option<bool>,
    /// Calling again changes nothing more.
    pub idempotent: Option<bool>,
    /// The tool reaches outside the server.
    pub open_world: Option<bool>,
}

/// One tool of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool<'a> {
    /// Its name.
    pub name: String,
    /// The definition as it came.
    pub raw: &'a str,
    /// Its hints.
    pub hints: Hints,
    /// Its annotated parameters, or why an annotation is invalid (then the tool must not be listed over HTTP).
    pub headers: Result<Vec<Annotation>, String>,
}

/// A page of tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// The tools in their order; entries without a name are left out.
    pub tools: Vec<Tool<'a>>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Reads the raw, checked `result` of `tools/list`; `None` if it is not one.
pub fn listing(result: &str) -> Option<Listing<'_>> {
    let tools = scan::member(result, "tools").filter(|raw| scan::kind(raw) == Kind::Array)?;
    let next_cursor = scan::member(result, "nextCursor").and_then(scan::string).map(String::from);
    Some(Listing { tools: scan::elements(tools).filter_map(tool).collect(), next_cursor })
}

fn tool(raw: &str) -> Option<Tool<'_>> {
    let name = scan::member(raw, "name").and_then(scan::string)?.into_owned();
    let hint = |name| {
        let value = scan::member(scan::member(raw, "annotations")?, name)?;
        (scan::kind(value) == Kind::Bool).then_some(value == "true")
    };
    let hints = Hints {
        read_only: hint("readOnlyHint"),
        destructive: hint("destructiveHint"),
        idempotent: hint("idempotentHint"),
        open_world: hint("openWorldHint"),
    };
    let headers = scan::member(raw, "inputSchema").map_or(Ok(Vec::new()), annotations);
    Some(Tool { name, raw, hints, headers })
}

/// The header annotations of a raw, checked input schema, or why one of them is invalid.
///
/// spec: TR-128, T-70
pub fn annotations(schema: &str) -> Result<Vec<Annotation>, String> {
    // Hardly a schema has any; one that spells the keyword with escapes is not among those skipped.
    let bytes = schema.as_bytes();
    if memchr::memmem::find(bytes, X_MCP_HEADER.as_bytes()).is_none() && memchr::memchr(b'\\', bytes).is_none() {
        return Ok(Vec::new());
    }
    let root: Value = serde_json::from_str(schema).map_err(|_| "the schema cannot be read".to_owned())?;
    let mut found: Vec<Annotation> = Vec::new();
    let mut open = vec![(Some(Vec::new()), &root)];
    while let Some((path, node)) = open.pop() {
        let Value::Object(schema) = node else { continue };
        if let Some(header) = schema.get(X_MCP_HEADER) {
            let annotation = annotation(path.as_deref(), header, schema)?;
            if found.iter().any(|other| other.header.eq_ignore_ascii_case(&annotation.header)) {
                return Err(format!("{X_MCP_HEADER} {} is used twice", annotation.header));
            }
            found.push(annotation);
        }
        below(path.as_ref(), schema, &mut open);
    }
    Ok(found)
}

/// Keywords whose value is a schema, a list of schemas, or schemas by name, and that hide a parameter from headers.
const ONE: [&str; 11] = [
    "items",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];
const LIST: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const NAMED: [&str; 4] = ["patternProperties", "dependentSchemas", "$defs", "definitions"];

type Place<'v> = (Option<Vec<String>>, &'v Value);

/// Schemas directly inside `schema`. Data (`default`, `enum`, `const`, `examples`) is no schema; `$ref` is not followed.
fn below<'v>(path: Option<&Vec<String>>, schema: &'v Map<String, Value>, open: &mut Vec<Place<'v>>) {
    for (keyword, value) in schema {
        let keyword = keyword.as_str();
        match value {
            Value::Object(named) if keyword == "properties" => {
                for (name, value) in named {
                    let path = path.map(|path| path.iter().cloned().chain([name.clone()]).collect());
                    open.push((path, value));
                }
            }
            Value::Object(named) if NAMED.contains(&keyword) => open.extend(named.values().map(|value| (None, value))),
            Value::Array(list) if LIST.contains(&keyword) => open.extend(list.iter().map(|value| (None, value))),
            value if ONE.contains(&keyword) => open.push((None, value)),
            _ => {}
        }
    }
}

fn annotation(path: Option<&[String]>, header: &Value, schema: &Map<String, Value>) -> Result<Annotation, String> {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return Err(format!("{X_MCP_HEADER} stands where it names no argument"));
    };
    let place = path.join(".");
    let Some(header) = header.as_str().filter(|header| is_token(header)) else {
        return Err(format!("{X_MCP_HEADER} of {place} is no token"));
    };
    let kind = match schema.get("type").and_then(Value::as_str) {
        Some("string") => ParamKind::String,
        Some("integer") => ParamKind::Integer,
        Some("boolean") => ParamKind::Boolean,
        _ => return Err(format!("{X_MCP_HEADER} of {place}: the parameter is neither string nor integer nor boolean")),
    };
    Ok(Annotation { path: path.to_vec(), header: header.to_owned(), kind })
}

/// RFC 9110 §5.6.2
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The definition in canonical form (RFC 8785), for a digest of it: equal for definitions that say the same.
///
/// `None` if `raw` is not an object.
pub fn canonical(raw: &str) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_str(raw).ok()?;
    value.is_object().then(|| serde_json_canonicalizer::to_vec(&value).ok())?
}
