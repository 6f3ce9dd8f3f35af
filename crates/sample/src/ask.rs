//! Requests that mean the same in every revision.

use portcullis_mcp::{Call, Method, ProtocolError, scan};
use serde_json::{Value, json};

use crate::{prompts, resources, shared::Shared, tools};

/// What a client is told of the whole.
pub(crate) const INSTRUCTIONS: &str = "A small notebook and a make-believe company to try things with. It is a sample: all \
     callers share it, anyone can read and delete what anyone wrote, no money moves, no mail leaves, and everything is \
     forgotten when the server stops.";

/// What the server says it is.
pub(crate) fn implementation() -> Value {
    json!({ "name": "portcullis-sample", "title": "Sample notebook", "version": env!("CARGO_PKG_VERSION") })
}

/// What the server can do.
pub(crate) fn capabilities() -> Value {
    json!({
        "tools": {},
        "prompts": {},
        "resources": { "subscribe": true, "listChanged": true },
        "completions": {},
        "logging": {},
    })
}

/// The parameters as a value; an empty object if there are none.
pub(crate) fn params(call: &Call<'_>) -> Value {
    parsed(call.params)
}

/// The arguments as a value; an empty object if there are none.
pub(crate) fn arguments(call: &Call<'_>) -> Value {
    parsed(call.arguments)
}

fn parsed(raw: Option<&str>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_else(|| json!({}))
}

/// The answer to a listing, a reading or a completion; `None` for every other method.
pub(crate) fn answer(shared: &Shared, method: Method, call: &Call<'_>) -> Option<Result<Value, ProtocolError>> {
    let cursor = call.params.and_then(|params| scan::member(params, "cursor")).and_then(scan::string);
    let target = call.target.as_deref().unwrap_or_default();
    // The short lists have one page, so no cursor is ours.
    let whole = |list: Value| match cursor {
        Some(_) => Err(ProtocolError::invalid_params("The cursor is none of ours")),
        None => Ok(list),
    };
    Some(match method {
        Method::ToolsList => whole(tools::list()),
        Method::PromptsList => whole(prompts::list()),
        Method::ResourceTemplatesList => whole(resources::templates()),
        Method::ResourcesList => resources::list(&shared.notebook, cursor.as_deref()),
        Method::ResourcesRead => resources::read(&shared.notebook, target),
        Method::PromptsGet => prompts::get(&shared.notebook, target, &arguments(call)),
        Method::Complete => prompts::complete(&shared.notebook, &params(call)),
        _ => return None,
    })
}
