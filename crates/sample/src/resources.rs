//! Notes as resources: `note:///{id}`.

use portcullis_mcp::ProtocolError;
use serde_json::{Value, json};

use crate::notebook::{Note, Notebook};

/// Resources on one page.
const PAGE: usize = 50;

/// `resources/list`
pub(crate) fn list(notebook: &Notebook, cursor: Option<&str>) -> Result<Value, ProtocolError> {
    let after: u64 = match cursor {
        Some(text) => text.parse().map_err(|_| ProtocolError::invalid_params("The cursor is none of ours"))?,
        None => 0,
    };
    let notes: Vec<Note> = notebook.all().into_iter().filter(|note| note.id > after).collect();
    let page = &notes[..notes.len().min(PAGE)];
    let mut result = json!({ "resources": page.iter().map(describe).collect::<Vec<_>>() });
    if let (true, Some(last)) = (notes.len() > PAGE, page.last()) {
        result["nextCursor"] = last.id.to_string().into();
    }
    Ok(result)
}

fn describe(note: &Note) -> Value {
    json!({
        "uri": note.uri(),
        "name": format!("note-{}", note.id),
        "title": note.title,
        "mimeType": "text/plain",
        "size": note.text.len(),
    })
}

/// `resources/templates/list`
pub(crate) fn templates() -> Value {
    json!({ "resourceTemplates": [{
        "uriTemplate": "note:///{id}",
        "name": "note",
        "title": "A note by its number",
        "mimeType": "text/plain",
    }] })
}

/// `resources/read`
pub(crate) fn read(notebook: &Notebook, uri: &str) -> Result<Value, ProtocolError> {
    let Some(note) = notebook.by_uri(uri) else {
        let mut error = ProtocolError::invalid_params("Resource not found");
        error.data = Some(Box::new(json!({ "uri": uri })));
        return Err(error);
    };
    Ok(json!({ "contents": [{
        "uri": note.uri(),
        "mimeType": "text/plain",
        "text": format!("{}\n\n{}", note.title, note.text),
    }] }))
}
