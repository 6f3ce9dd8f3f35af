//! Results and definitions, put into what a revision has words for. What it has stays as it came.

use std::borrow::Cow;

use serde_json::Value;

use super::Revision;
use crate::{
    object::{Object, edit_elements, joined, quoted},
    scan::{self, Kind},
};

/// Content blocks of a result or a prompt.
pub(super) fn blocks<'a>(revision: &Revision, blocks: &'a str) -> Cow<'a, str> {
    edit_elements(blocks, |index, raw| Some(block(revision, index, raw)))
}

/// One content block, the `index`th of its answer.
///
/// spec: BR-36: "content types (audio before 2025-03-26, resource_link before 2025-06-18) become text or embedded resource"
pub(super) fn block<'a>(revision: &Revision, index: usize, raw: &'a str) -> Cow<'a, str> {
    let Some(block) = Object::read(raw) else { return Cow::Borrowed(raw) };
    let Some(kind) = block.text("type") else { return Cow::Borrowed(raw) };
    if revision.blocks.contains(&&*kind) {
        return Cow::Borrowed(raw);
    }
    let mut out = Object::new();
    match (&*kind, block.get("data"), block.get("mimeType")) {
        ("audio", Some(data), Some(mime)) if is_string(data) && is_string(mime) => {
            out.set("type", "\"resource\"");
            let uri = quoted(&format!("urn:content:audio:{index}"));
            out.set("resource", format!(r#"{{"uri":{uri},"mimeType":{mime},"blob":{data}}}"#));
        }
        ("resource_link", ..) => {
            out.set("type", "\"text\"");
            out.set("text", quoted(&link(&block)));
        }
        _ => {
            out.set("type", "\"text\"");
            out.set("text", quoted(raw));
        }
    }
    // What is said of the block is said of what it became.
    for name in ["annotations", "_meta"] {
        if let Some(value) = block.raw(name) {
            out.set(name, value);
        }
    }
    out.finish()
}

/// A link in words.
fn link(block: &Object<'_>) -> String {
    let uri = block.text("uri").unwrap_or_default();
    let mut out = match block.text("title").or_else(|| block.text("name")) {
        Some(name) => format!("{name}: {uri}"),
        None => uri.into_owned(),
    };
    if let Some(description) = block.text("description") {
        out.push('\n');
        out.push_str(&description);
    }
    out
}

/// The messages of a prompt.
pub(super) fn messages<'a>(revision: &Revision, messages: &'a str) -> Cow<'a, str> {
    edit_elements(messages, |index, raw| {
        let Some(mut message) = Object::read(raw) else { return Some(Cow::Borrowed(raw)) };
        if let Some(content) = message.raw("content") {
            message.set("content", block(revision, index, content));
        }
        Some(message.finish())
    })
}

/// The content of a tool's result, or of a block that holds one.
pub(super) fn tool_result(revision: &Revision, object: &mut Object<'_>) {
    let content = object.raw("content").unwrap_or("[]");
    let mut blocks = blocks(revision, content);
    if let Some(structured) = object.raw("structuredContent") {
        // spec: BR-37: "structuredContent that is not an object is removed (its JSON stays in a text block, added if absent)"
        let expressible = scan::kind(structured) == Kind::Object;
        if !expressible {
            object.remove("structuredContent");
        }
        // A client that knows nothing of structured results shall not be left with nothing either.
        let unread = !revision.structured && scan::elements(content).next().is_none();
        if (unread || !expressible) && !tells(content, structured) {
            let text = format!(r#"{{"type":"text","text":{}}}"#, quoted(structured));
            let all: Vec<&str> = scan::elements(&blocks).chain([text.as_str()]).collect();
            blocks = Cow::Owned(joined(&all));
        }
    }
    if object.get("content").is_some() || !matches!(blocks, Cow::Borrowed(_)) {
        object.set("content", blocks);
    }
}

/// Whether one of the text blocks is the JSON `structured`.
fn tells(content: &str, structured: &str) -> bool {
    let mut texts = scan::elements(content)
        .filter(|block| scan::member(block, "type") == Some("\"text\""))
        .filter_map(|block| scan::member(block, "text").and_then(scan::string))
        .peekable();
    if texts.peek().is_none() {
        return false;
    }
    let meant: Option<Value> = serde_json::from_str(structured).ok();
    texts.any(|text| text == structured || meant.is_some() && serde_json::from_str(&text).ok() == meant)
}

/// The content of a message of 2025-11-25: as today's, but for results of tools that are structured and no object.
pub(super) fn whole_content<'a>(revision: &Revision, content: &'a str) -> Cow<'a, str> {
    let block = |raw: &'a str| {
        let Some(mut block) = Object::read(raw) else { return Cow::Borrowed(raw) };
        if block.text("type").as_deref() == Some("tool_result") {
            tool_result(revision, &mut block);
        }
        block.finish()
    };
    match scan::kind(content) {
        Kind::Array => edit_elements(content, |_, raw| Some(block(raw))),
        _ => block(content),
    }
}

/// Whether a block is one of those that messages of models had before they had tools, and the revision has it.
pub(super) fn can_be_sampled(revision: &Revision, block: &str) -> bool {
    let kind = scan::member(block, "type").and_then(scan::string);
    kind.is_some_and(|kind| ["text", "image", "audio"].contains(&&*kind) && revision.blocks.contains(&&*kind))
}

/// Definitions of tools as a client before 2026-07-28 can read them.
pub(super) fn tools(tools: &str) -> Cow<'_, str> {
    edit_elements(tools, |_, raw| Some(tool(raw)))
}

fn tool(raw: &str) -> Cow<'_, str> {
    let Some(mut tool) = Object::read(raw) else { return Cow::Borrowed(raw) };
    // To the one it was written for it says nothing, to the one who reads it that the tool runs as a task.
    tool.remove("execution");
    if let Some(input) = tool.raw("inputSchema") {
        tool.set("inputSchema", schema(input));
    }
    if let Some(output) = tool.raw("outputSchema") {
        // spec: BR-37: "an outputSchema whose root is not type: object is removed from the tool"
        if scan::member(output, "type").and_then(scan::string).as_deref() == Some("object") {
            tool.set("outputSchema", schema(output));
        } else {
            tool.remove("outputSchema");
        }
    }
    tool.finish()
}

/// A schema whose properties are objects: before 2026-07-28 none could be `true` or `false`.
///
/// spec: BR-36: "where its schema closes the set"
fn schema(raw: &str) -> Cow<'_, str> {
    let Some(mut schema) = Object::read(raw) else { return Cow::Borrowed(raw) };
    let Some(mut named) = schema.raw("properties").and_then(Object::read) else { return Cow::Borrowed(raw) };
    named.each(|_, value| match value {
        "true" => Some(Cow::Borrowed("{}")),
        "false" => Some(Cow::Borrowed(r#"{"not":{}}"#)),
        _ => None,
    });
    schema.set("properties", named.finish());
    schema.finish()
}

/// Definitions of tools of a legacy server as a client of 2026-07-28 reads them.
///
/// spec: BR-98: "Strip execution from tools shown to modern clients"
pub(super) fn modern_tools(tools: &str) -> Cow<'_, str> {
    edit_elements(tools, |_, raw| {
        let Some(mut tool) = Object::read(raw) else { return Some(Cow::Borrowed(raw)) };
        tool.remove("execution");
        Some(tool.finish())
    })
}

fn is_string(raw: &str) -> bool {
    scan::kind(raw) == Kind::String
}

/// Whether the raw object has a member of that name and kind.
pub(super) fn has(raw: &str, name: &str, kind: Kind) -> bool {
    scan::member(raw, name).is_some_and(|raw| scan::kind(raw) == kind)
}
