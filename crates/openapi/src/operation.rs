//! One operation as a tool: its definition, and the plan of its requests.

use portcullis_base::printable;
use serde_json::{Map, Value, json};

use crate::{
    body::Body,
    document::{Limits, Problem, below, resolve, text, tidy},
    name::is_name,
    parameter::{Explode, In, Parameter, Style, is_json},
    path::Template,
    schema::{Revision, Translation, Way, is_object},
    security::Scheme,
};

/// What an operation does to what it is called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It changes nothing.
    Read,
    /// It makes or changes something.
    Write,
    /// It takes something away or puts something else in its place.
    Destructive,
}

/// An operation as a tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is in the document: `GET /pets/{id}`.
    pub operation: String,
    /// What it does.
    pub class: Class,
    /// Its definition as MCP has it, a JSON object.
    pub definition: String,
    /// The names of the security schemes it may be called with.
    pub schemes: Vec<String>,
    pub(crate) plan: Plan,
}

/// How a request is made of arguments.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) method: &'static str,
    pub(crate) path: Template,
    /// Where this operation is, if it is not where the document is.
    pub(crate) base: Option<url::Url>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) body: Option<(String, Body)>,
    /// Names in the query that no member of an argument may take.
    pub(crate) reserved: Vec<String>,
    pub(crate) input: Value,
    pub(crate) output: Option<Value>,
}

/// An argument that is a parameter.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    /// What the caller calls it.
    pub(crate) key: String,
    /// What the API calls it.
    pub(crate) name: String,
    pub(crate) stands: In,
    pub(crate) style: Style,
    pub(crate) explode: Explode,
}

/// Methods that a document describes.
pub(crate) const METHODS: [(&str, &str); 8] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("trace", "TRACE"),
];

/// An operation where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Operation<'d> {
    pub(crate) method: &'static str,
    pub(crate) path: &'d str,
    pub(crate) place: String,
    pub(crate) item: &'d Value,
    pub(crate) item_place: String,
    pub(crate) value: &'d Value,
}

impl<'d> Operation<'d> {
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// What it would like to be called.
    pub(crate) fn id(&self) -> Option<&'d str> {
        Some(text(self.value, "operationId")).filter(|id| !id.is_empty())
    }

    pub(crate) fn wish(&self) -> String {
        self.id().map_or_else(
            || format!("{}_{}", self.method.to_ascii_lowercase(), self.path.replace(['{', '}'], "")),
            str::to_owned,
        )
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = &'d str> {
        self.value.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Everything an operation is read with.
pub(crate) struct Surroundings<'d, 's> {
    pub(crate) document: &'d Value,
    pub(crate) revision: Revision,
    pub(crate) schemes: &'s [Scheme],
    pub(crate) limits: &'s Limits,
    /// Whether tools say what they answer.
    pub(crate) outputs: crate::Outputs,
}

/// The tool called `name` that `operation` is.
pub(crate) fn tool(
    around: &Surroundings<'_, '_>,
    operation: &Operation<'_>,
    name: String,
    base: Option<url::Url>,
) -> Result<Tool, Problem> {
    if operation.method == "TRACE" {
        return Err(Problem::new(
            &operation.place,
            "TRACE repeats the request with the credential in it",
            "leave it out",
        ));
    }
    let path = Template::parse(operation.path, &operation.item_place)?;
    let parameters = parameters(around, operation)?;
    for name in path.names() {
        if !parameters.iter().any(|parameter| parameter.stands == In::Path && parameter.name == name) {
            let what = format_args!("no parameter describes {{{name}}} of the path");
            return Err(Problem::new(&operation.place, what, format_args!("describe it: name: {name}, in: path")));
        }
    }
    let mut input = Translation::new(around.document, around.revision, Way::Out);
    let mut properties = Map::new();
    let mut required: Vec<Value> = Vec::new();
    let mut arguments = Vec::new();
    let used =
        |parameter: &&Parameter<'_>| parameter.stands != In::Path || path.names().any(|name| name == parameter.name);
    for parameter in parameters.iter().filter(used) {
        let mut schema = input.schema(parameter.schema, &parameter.schema_place)?;
        describe(&mut schema, parameter.definition);
        let argument = argument(parameter, &properties);
        if parameter.required {
            required.push(argument.as_str().into());
        }
        properties.insert(argument.clone(), schema);
        arguments.push(Argument {
            key: argument,
            name: parameter.name.to_owned(),
            stands: parameter.stands,
            style: parameter.style,
            explode: parameter.explode,
        });
    }
    let body = Body::read(around.document, operation.value, &operation.place, &mut input)?.map(|(body, schema)| {
        let free = ["body", "request_body"].into_iter().find(|name| !properties.contains_key(*name));
        let argument = free.map_or_else(|| format!("body_{}", properties.len()), str::to_owned);
        if body.required {
            required.push(argument.as_str().into());
        }
        properties.insert(argument.clone(), schema);
        (argument, body)
    });
    let mut input_schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        input_schema["required"] = required.into();
    }
    input_schema["additionalProperties"] = false.into();
    let definitions = input.definitions()?;
    if !definitions.is_empty() {
        input_schema["$defs"] = definitions.into();
    }
    // What cannot be said of the answer is not said; the tool is none the worse for it.
    let output = match around.outputs {
        crate::Outputs::Described => output(around, operation).ok().flatten(),
        crate::Outputs::Free => None,
    };
    let class = class(operation);
    let mut definition = json!({ "name": name });
    let (summary, description) = (text(operation.value, "summary"), text(operation.value, "description"));
    if !summary.is_empty() {
        definition["title"] = printable(summary, 200).into();
    }
    definition["description"] = about(operation, summary, description).into();
    definition["inputSchema"] = input_schema.clone();
    let size = definition.to_string().len();
    let output = output.filter(|schema| size + schema.to_string().len() <= around.limits.definition);
    if let Some(output) = &output {
        definition["outputSchema"] = output.clone();
    }
    definition["annotations"] = annotations(operation.method, class);
    // spec: T-66
    if size > around.limits.definition {
        let what =
            format_args!("the tool's definition has {size} bytes, at most {} are offered", around.limits.definition);
        return Err(Problem::new(&operation.place, what, "leave the operation out, or make its schemas smaller"));
    }
    debug_assert!(is_name(&name));
    let reserved = parameters.iter().filter(|parameter| parameter.stands == In::Query).map(|one| one.name.to_owned());
    let keys = around.schemes.iter().filter_map(|scheme| match &scheme.kind {
        crate::Kind::Key(crate::Place::Query(key)) => Some(key.clone()),
        _ => None,
    });
    let schemes = crate::security::used(around.document, operation.value).map(str::to_owned).collect();
    Ok(Tool {
        operation: operation.label(),
        class,
        definition: definition.to_string(),
        schemes,
        plan: Plan {
            method: operation.method,
            path,
            base,
            arguments,
            body,
            reserved: reserved.chain(keys).collect(),
            input: input_schema,
            output,
        },
        name,
    })
}

/// The parameters of the path and of the operation, which stand in place of those of the path; credentials are none.
fn parameters<'d>(around: &Surroundings<'d, '_>, operation: &Operation<'d>) -> Result<Vec<Parameter<'d>>, Problem> {
    let mut found: Vec<Parameter<'d>> = Vec::new();
    for (holder, place) in [(operation.item, &operation.item_place), (operation.value, &operation.place)] {
        let place = below(place, "parameters");
        let list = match holder.get("parameters") {
            None => continue,
            Some(list) => list
                .as_array()
                .ok_or_else(|| Problem::new(&place, "a list is expected here", "write it as - name: …"))?,
        };
        for (n, value) in list.iter().enumerate() {
            let Some(parameter) = Parameter::read(around.document, value, &below(&place, &n.to_string()))? else {
                continue;
            };
            if around.schemes.iter().any(|scheme| scheme.is_at(parameter.stands, parameter.name)) {
                continue;
            }
            let same = |one: &Parameter<'_>| one.stands == parameter.stands && one.name == parameter.name;
            match found.iter_mut().find(|one| same(one)) {
                Some(one) => *one = parameter,
                None => found.push(parameter),
            }
        }
    }
    // Arguments of the path are called by their own name if anything is.
    found.sort_by_key(|parameter| parameter.stands);
    Ok(found)
}

/// What the argument of a parameter is called: by its name as far as model providers take it.
fn argument(parameter: &Parameter<'_>, taken: &Map<String, Value>) -> String {
    let place = match parameter.stands {
        In::Path => "path",
        In::Query => "query",
        In::Header => "header",
        In::Cookie => "cookie",
    };
    let mut cleaned = String::new();
    for c in parameter.name.chars().take(50) {
        if c.is_ascii_alphanumeric() || "_.-".contains(c) {
            cleaned.push(c);
        } else if !cleaned.ends_with('_') {
            cleaned.push('_');
        }
    }
    let cleaned = if cleaned == parameter.name { cleaned } else { cleaned.trim_matches('_').to_owned() };
    let cleaned = if cleaned.is_empty() { place.to_owned() } else { cleaned };
    let wishes = [cleaned.clone(), format!("{place}_{cleaned}")].into_iter();
    let numbered = (2..).map(|n| format!("{place}_{cleaned}_{n}"));
    wishes.chain(numbered).find(|name| !taken.contains_key(name)).expect("there is always one more number")
}

/// What is said of a parameter beside its schema.
fn describe(schema: &mut Value, parameter: &Value) {
    let Value::Object(schema) = schema else { return };
    let about = text(parameter, "description");
    if !about.is_empty() {
        schema.insert("description".into(), tidy(about, 1000).into());
    }
    if parameter.get("deprecated") == Some(&Value::Bool(true)) {
        schema.insert("deprecated".into(), true.into());
    }
    if let Some(example) = parameter.get("example") {
        schema.entry("examples").or_insert_with(|| json!([example]));
    }
}

/// The schema of what comes back, if the document promises an object whatever success it is.
fn output(around: &Surroundings<'_, '_>, operation: &Operation<'_>) -> Result<Option<Value>, Problem> {
    let Some(responses) = operation.value.get("responses").and_then(Value::as_object) else { return Ok(None) };
    let mut translation = Translation::new(around.document, around.revision, Way::Back);
    let mut found: Vec<Value> = Vec::new();
    for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('2')) {
        let at = below(&below(&operation.place, "responses"), status);
        let (response, at) = resolve(around.document, response, &at)?;
        let content = response.get("content").and_then(Value::as_object);
        // Of several media types the API chooses one, and not all are objects.
        let json = content.filter(|content| content.keys().all(|media| is_json(media)) && content.len() == 1);
        let Some((media, schema)) = json.and_then(|content| content.iter().next()) else { return Ok(None) };
        let at = below(&below(&below(&at, "content"), media), "schema");
        let Some(schema) = schema.get("schema") else { return Ok(None) };
        let schema = translation.schema(schema, &at)?;
        if !found.contains(&schema) {
            found.push(schema);
        }
    }
    let definitions = translation.definitions()?;
    if found.is_empty() || !found.iter().all(|schema| is_object(schema, &definitions)) {
        return Ok(None);
    }
    let mut schema = if found.len() == 1 { found.remove(0) } else { json!({ "anyOf": found }) };
    // spec: AG-21: clients of older revisions take an outputSchema only with an object at its root.
    let mut root = json!({ "type": "object" });
    if let (Value::Object(root), Value::Object(schema)) = (&mut root, &mut schema) {
        root.append(schema);
        if !definitions.is_empty() {
            root.insert("$defs".into(), definitions.into());
        }
    }
    Ok(Some(root))
}

/// Words with which the name of an operation says more than its method.
const TAKES_AWAY: [&str; 14] = [
    "delete",
    "remove",
    "destroy",
    "drop",
    "purge",
    "wipe",
    "erase",
    "revoke",
    "terminate",
    "truncate",
    "prune",
    "flush",
    "reset",
    "kill",
];

fn class(operation: &Operation<'_>) -> Class {
    let name = operation.wish();
    let first = name.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    let first: String = first
        .char_indices()
        .take_while(|(n, c)| *n == 0 || c.is_ascii_lowercase())
        .map(|(_, c)| c.to_ascii_lowercase())
        .collect();
    let last = operation.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let takes_away = TAKES_AWAY.contains(&first.as_str()) || TAKES_AWAY.contains(&last.as_str());
    match operation.method {
        "DELETE" => Class::Destructive,
        // A name may raise what the method says, and never lower it.
        _ if takes_away => Class::Destructive,
        "GET" | "HEAD" | "OPTIONS" => Class::Read,
        _ => Class::Write,
    }
}

/// What MCP lets a tool say of itself. POST says nothing of destruction: nobody knows.
fn annotations(method: &str, class: Class) -> Value {
    let idempotent = matches!(method, "PUT" | "DELETE");
    match (class, method) {
        (Class::Read, _) => json!({ "readOnlyHint": true, "openWorldHint": true }),
        (Class::Write, "POST") => json!({ "readOnlyHint": false, "idempotentHint": false, "openWorldHint": true }),
        // What MCP calls destructive is everything that does more than add: also putting one thing in another's place.
        _ => {
            json!({ "readOnlyHint": false, "destructiveHint": true, "idempotentHint": idempotent, "openWorldHint": true })
        }
    }
}

fn about(operation: &Operation<'_>, summary: &str, description: &str) -> String {
    let (summary, description) = (tidy(summary, 300), tidy(description, 3000));
    let mut parts = vec![summary, description];
    parts.dedup();
    parts.retain(|part| !part.is_empty());
    let about = if parts.is_empty() { operation.label() } else { parts.join("\n\n") };
    if operation.value.get("deprecated") == Some(&Value::Bool(true)) { format!("Deprecated. {about}") } else { about }
}
