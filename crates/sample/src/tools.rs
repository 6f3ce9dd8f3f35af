//! The tools: what each says of itself, and what it does.

mod company;

use std::{sync::LazyLock, time::Duration};

use portcullis_mcp::{
    ProtocolError,
    tool::{self, Annotation},
};
use serde_json::{Value, json};

use crate::{
    notebook::{Change, LONGEST_TEXT, LONGEST_TITLE, MOST_NOTES, Note},
    shared::Shared,
};

/// Who called: told how far the work has come, and asked what the work needs.
pub(crate) trait Peer: Send {
    /// `done` of `total` steps are behind us.
    fn progress(&mut self, done: u64, total: u64, message: &str) -> impl Future<Output = ()> + Send;
    /// Something worth a line in a log.
    fn log(&mut self, message: &str) -> impl Future<Output = ()> + Send;
    /// The person's answer to a form.
    fn elicit(&mut self, form: &Form) -> impl Future<Output = Result<Elicited, Stop>> + Send;
}

/// A question to the person.
pub(crate) struct Form {
    /// Names the question within its call.
    pub(crate) key: &'static str,
    pub(crate) message: &'static str,
    pub(crate) schema: Value,
}

/// What the person made of a form.
pub(crate) enum Elicited {
    Accepted(Value),
    Declined,
}

/// Why a tool gave no result.
pub(crate) enum Stop {
    /// The call is wrong.
    Error(ProtocolError),
    /// The call comes back with answers to these requests.
    InputRequired(Value),
}

/// What an `ElicitResult` says.
pub(crate) fn elicited(answer: &Value) -> Result<Elicited, Stop> {
    match answer["action"].as_str() {
        Some("accept") => Ok(Elicited::Accepted(answer["content"].clone())),
        Some("decline" | "cancel") => Ok(Elicited::Declined),
        _ => Err(Stop::Error(ProtocolError::invalid_params("An answer has the action accept, decline or cancel"))),
    }
}

/// Whether a message at `info` passes `level`; `None` if there is no such level.
pub(crate) fn passes_info(level: &str) -> Option<bool> {
    match level {
        "debug" | "info" => Some(true),
        "notice" | "warning" | "error" | "critical" | "alert" | "emergency" => Some(false),
        _ => None,
    }
}

/// What a tool does before it answers, which decides how the answer travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The answer is there at once.
    Quick,
    /// It tells how far it has come.
    Tells,
    /// It asks the person.
    Asks,
}

pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) pace: Pace,
    pub(crate) definition: Value,
    pub(crate) headers: Vec<Annotation>,
}

static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(tools);

/// The tool called `name`.
pub(crate) fn find(name: &str) -> Result<&'static Tool, ProtocolError> {
    let unknown = || ProtocolError::invalid_params(format!("Unknown tool: {}", portcullis_base::printable(name, 64)));
    TOOLS.iter().find(|tool| tool.name == name).ok_or_else(unknown)
}

/// `tools/list`
pub(crate) fn list() -> Value {
    json!({ "tools": TOOLS.iter().map(|tool| &tool.definition).collect::<Vec<_>>() })
}

enum Hint {
    Read,
    Write,
    /// Takes something away; once more takes nothing more.
    Destroy,
    /// Cannot be taken back, and once more is one more.
    Spend,
    /// Reaches somebody outside.
    Send,
}

fn make(
    name: &'static str,
    title: &str,
    pace: Pace,
    hint: Hint,
    description: &str,
    properties: Value,
    required: &[&str],
) -> Tool {
    let schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    let annotations = match hint {
        Hint::Read => json!({ "title": title, "readOnlyHint": true, "openWorldHint": false }),
        Hint::Write | Hint::Destroy | Hint::Spend | Hint::Send => json!({
            "title": title, "readOnlyHint": false, "destructiveHint": matches!(hint, Hint::Destroy | Hint::Spend),
            "idempotentHint": matches!(hint, Hint::Destroy), "openWorldHint": matches!(hint, Hint::Send) }),
    };
    let headers = tool::annotations(&schema.to_string()).expect("our own annotations are valid");
    let definition = json!({
        "name": name, "title": title, "description": description, "inputSchema": schema,
        "annotations": annotations });
    Tool { name, pace, definition, headers }
}

fn tools() -> Vec<Tool> {
    let id = json!({ "type": "string", "description": "Number of the note, as list_notes gives it" });
    let mut tools = vec![
        make(
            "list_notes",
            "List notes",
            Pace::Quick,
            Hint::Read,
            "Lists number and title of every note.",
            json!({}),
            &[],
        ),
        make(
            "read_note",
            "Read a note",
            Pace::Quick,
            Hint::Read,
            "Gives the text of one note.",
            json!({ "id": id }),
            &["id"],
        ),
        make(
            "search_notes",
            "Search notes",
            Pace::Quick,
            Hint::Read,
            "Finds notes whose title or text contains a word.",
            json!({
                "query": { "type": "string", "description": "What to look for, in any case" },
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "description": "Matches at most; 10 if absent" },
            }),
            &["query"],
        ),
        make(
            "add_note",
            "Add a note",
            Pace::Quick,
            Hint::Write,
            "Writes a new note into the notebook.",
            json!({
                "title": { "type": "string", "maxLength": LONGEST_TITLE },
                "text": { "type": "string", "maxLength": LONGEST_TEXT },
            }),
            &["title", "text"],
        ),
        make(
            "delete_note",
            "Delete a note",
            Pace::Quick,
            Hint::Destroy,
            "Removes one note for good.",
            json!({ "id": id }),
            &["id"],
        ),
        make(
            "count_slowly",
            "Count slowly",
            Pace::Tells,
            Hint::Read,
            "Counts for some seconds and tells how far it has come. Can be cancelled.",
            json!({
                "seconds": { "type": "number", "minimum": 0, "maximum": 60, "description": "How long; 5 if absent" },
                "steps": { "type": "integer", "minimum": 1, "maximum": 100, "description": "How many steps; 5 if absent" },
            }),
            &[],
        ),
        make("greet", "Greet", Pace::Asks, Hint::Read, "Asks for a name and greets whoever answers.", json!({}), &[]),
        make(
            "echo",
            "Echo",
            Pace::Quick,
            Hint::Read,
            "Says what it is told.",
            json!({
                "message": { "type": "string" },
                "times": {
                    "type": "integer", "minimum": 1, "maximum": 10, "x-mcp-header": "Times",
                    "description": "How often; once if absent" },
            }),
            &["message"],
        ),
    ];
    for tool in &mut tools {
        if tool.name == "search_notes" {
            tool.definition["outputSchema"] = json!({
                "type": "object",
                "properties": {
                    "total": { "type": "integer", "description": "All matches, also those beyond the limit" },
                    "matches": { "type": "array", "items": {
                        "type": "object",
                        "properties": {
                            "id": { "type": "string" }, "title": { "type": "string" }, "uri": { "type": "string" } },
                        "required": ["id", "title", "uri"] } },
                },
                "required": ["total", "matches"],
            });
        }
    }
    tools.extend(company::tools());
    tools
}

/// Runs `tool`. What is wrong with `arguments` is told to the model as a result, so that it can try again.
pub(crate) async fn call(shared: &Shared, tool: &Tool, arguments: &Value, peer: &mut impl Peer) -> Result<Value, Stop> {
    let outcome = match tool.name {
        "list_notes" => Ok(text(lines(&shared.notebook.all()))),
        "read_note" => read_note(shared, arguments),
        "search_notes" => search_notes(shared, arguments),
        "add_note" => add_note(shared, arguments),
        "delete_note" => delete_note(shared, arguments),
        "count_slowly" => count_slowly(arguments, peer).await,
        "greet" => return greet(peer).await,
        "echo" => echo(arguments),
        name => company::call(shared, name, arguments),
    };
    Ok(outcome.unwrap_or_else(|Unusable(why)| {
        let mut result = text(why);
        result["isError"] = true.into();
        result
    }))
}

/// Arguments that a tool can do nothing with, in words.
struct Unusable(String);

fn read_note(shared: &Shared, arguments: &Value) -> Result<Value, Unusable> {
    let note = note_id(arguments).and_then(|id| shared.notebook.get(id).ok_or_else(no_such_note))?;
    Ok(text(format!("{}\n\n{}", note.title, note.text)))
}

fn search_notes(shared: &Shared, arguments: &Value) -> Result<Value, Unusable> {
    let found = shared.notebook.search(string(arguments, "query", LONGEST_TEXT)?);
    let limit = whole(arguments, "limit", 1, 50)?.unwrap_or(10) as usize;
    let matches: Vec<Value> = found
        .iter()
        .take(limit)
        .map(|note| json!({ "id": note.id.to_string(), "title": note.title, "uri": note.uri() }))
        .collect();
    let structured = json!({ "total": found.len(), "matches": matches });
    Ok(as_both(structured))
}

fn add_note(shared: &Shared, arguments: &Value) -> Result<Value, Unusable> {
    let title = string(arguments, "title", LONGEST_TITLE)?;
    let words = string(arguments, "text", LONGEST_TEXT)?;
    if title.trim().is_empty() {
        return Err(Unusable("\"title\" is empty.".to_owned()));
    }
    let Some(note) = shared.notebook.add(title, words, shared.clock.now()) else {
        return Err(Unusable(format!("The notebook is full: it holds {MOST_NOTES} notes. Delete one first.")));
    };
    shared.changed(&Change::Added(note.uri()));
    Ok(text(format!("Added note {} at {}.", note.id, note.written_at)))
}

fn delete_note(shared: &Shared, arguments: &Value) -> Result<Value, Unusable> {
    let note = note_id(arguments).and_then(|id| shared.notebook.remove(id).ok_or_else(no_such_note))?;
    shared.changed(&Change::Removed(note.uri()));
    Ok(text(format!("Deleted note {} ({}).", note.id, note.title)))
}

async fn count_slowly(arguments: &Value, peer: &mut impl Peer) -> Result<Value, Unusable> {
    let seconds = match &arguments["seconds"] {
        Value::Null => 5.0,
        value => value
            .as_f64()
            .filter(|seconds| (0.0..=60.0).contains(seconds))
            .ok_or_else(|| Unusable("\"seconds\" is a number from 0 to 60.".to_owned()))?,
    };
    let steps = whole(arguments, "steps", 1, 100)?.unwrap_or(5);
    let pause = Duration::from_secs_f64(seconds / steps as f64);
    for step in 1..=steps {
        tokio::time::sleep(pause).await;
        peer.log(&format!("counted to {step}")).await;
        peer.progress(step, steps, &format!("{step} of {steps}")).await;
    }
    Ok(text(format!("Counted to {steps} in {seconds} seconds.")))
}

async fn greet(peer: &mut impl Peer) -> Result<Value, Stop> {
    let form = Form {
        key: "who",
        message: "Who is to be greeted?",
        schema: json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "title": "Name", "minLength": 1, "maxLength": 60 },
                "style": { "type": "string", "title": "Style", "enum": ["plain", "warm"] },
            },
            "required": ["name"],
        }),
    };
    let Elicited::Accepted(content) = peer.elicit(&form).await? else {
        return Ok(text("Nobody wanted to be greeted.".to_owned()));
    };
    let Some(name) = content["name"].as_str().filter(|name| !name.is_empty() && name.chars().count() <= 60) else {
        return Err(Stop::Error(ProtocolError::invalid_params("The answer to \"who\" has no usable \"name\"")));
    };
    Ok(text(match content["style"].as_str() {
        Some("warm") => format!("How good to see you, {name}!"),
        _ => format!("Hello, {name}."),
    }))
}

fn echo(arguments: &Value) -> Result<Value, Unusable> {
    let message = string(arguments, "message", LONGEST_TEXT)?;
    let times = whole(arguments, "times", 1, 10)?.unwrap_or(1);
    Ok(text(vec![message; times as usize].join("\n")))
}

fn text(text: String) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// Data as programs and as models read it.
fn as_both(structured: Value) -> Value {
    let mut result = text(structured.to_string());
    result["structuredContent"] = structured;
    result
}

fn lines(notes: &[Note]) -> String {
    if notes.is_empty() {
        return "The notebook is empty.".to_owned();
    }
    notes.iter().map(|note| format!("{}: {}", note.id, note.title)).collect::<Vec<_>>().join("\n")
}

fn string<'a>(arguments: &'a Value, name: &str, longest: usize) -> Result<&'a str, Unusable> {
    match arguments[name].as_str() {
        Some(text) if text.chars().count() <= longest => Ok(text),
        Some(_) => Err(Unusable(format!("\"{name}\" is longer than {longest} characters."))),
        None => Err(Unusable(format!("\"{name}\" is missing or no string."))),
    }
}

/// A whole number, also one written as `2.0`; `None` if absent.
fn whole(arguments: &Value, name: &str, least: u64, most: u64) -> Result<Option<u64>, Unusable> {
    let value = &arguments[name];
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64);
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Unusable(format!("\"{name}\" is a whole number from {least} to {most}."))),
    }
}

fn note_id(arguments: &Value) -> Result<u64, Unusable> {
    string(arguments, "id", 20)?.parse().map_err(|_| no_such_note())
}

fn no_such_note() -> Unusable {
    Unusable("There is no note of that number; list_notes tells which there are.".to_owned())
}
