//! The prompt, and completion of what it and the resource template take.

use portcullis_mcp::ProtocolError;
use serde_json::{Value, json};

use crate::notebook::Notebook;

const STYLES: [&str; 3] = ["brief", "detailed", "haiku"];

/// `prompts/list`
pub(crate) fn list() -> Value {
    json!({ "prompts": [{
        "name": "summarize_notes",
        "title": "Summarize the notes",
        "description": "Asks for a summary of the notes in the notebook.",
        "arguments": [
            { "name": "style", "description": "brief, detailed or haiku", "required": true },
            { "name": "topic", "description": "Only notes in which this word occurs", "required": false },
        ],
    }] })
}

/// `prompts/get`
pub(crate) fn get(notebook: &Notebook, name: &str, arguments: &Value) -> Result<Value, ProtocolError> {
    if name != "summarize_notes" {
        return Err(ProtocolError::invalid_params("Unknown prompt"));
    }
    let Some(style) = arguments["style"].as_str().filter(|style| STYLES.contains(style)) else {
        return Err(ProtocolError::invalid_params("The argument \"style\" is brief, detailed or haiku"));
    };
    let notes = notebook.search(arguments["topic"].as_str().unwrap_or_default());
    let mut paragraphs = vec![format!("Summarize these {} notes. Style: {style}.", notes.len())];
    paragraphs.extend(notes.iter().map(|note| format!("## {}\n{}", note.title, note.text)));
    let text = paragraphs.join("\n\n");
    Ok(json!({
        "description": format!("A {style} summary of the notes"),
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }],
    }))
}

/// `completion/complete`
pub(crate) fn complete(notebook: &Notebook, params: &Value) -> Result<Value, ProtocolError> {
    let argument = params["argument"]["name"].as_str();
    let (Some(argument), Some(begun)) = (argument, params["argument"]["value"].as_str()) else {
        return Err(ProtocolError::invalid_params("The argument to complete has a name and a value"));
    };
    let reference = &params["ref"];
    let candidates: Vec<String> = match (reference["type"].as_str(), argument) {
        (Some("ref/prompt"), "style") if reference["name"] == "summarize_notes" => STYLES.map(String::from).to_vec(),
        (Some("ref/prompt"), "topic") if reference["name"] == "summarize_notes" => {
            notebook.all().into_iter().map(|note| note.title).collect()
        }
        (Some("ref/resource"), "id") if reference["uri"] == "note:///{id}" => {
            notebook.all().into_iter().map(|note| note.id.to_string()).collect()
        }
        _ => return Err(ProtocolError::invalid_params("There is nothing of that name to complete")),
    };
    let begun = begun.to_lowercase();
    let mut values: Vec<String> =
        candidates.into_iter().filter(|candidate| candidate.to_lowercase().starts_with(&begun)).collect();
    let total = values.len();
    values.truncate(100);
    Ok(json!({ "completion": { "values": values, "total": total, "hasMore": total > 100 } }))
}
