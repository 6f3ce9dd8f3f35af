//! One entry put into a client's file; every other byte stays as it is.
//!
//! Whatever the way of editing, the result is read again and must say exactly what the old text said plus the entry.
//! Otherwise nothing is written, and the person gets the snippet to insert by hand.

use portcullis_gateway::client_entry::Format;
use serde_json::{Map, Value};

mod json;
mod toml;
mod yaml;

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Edited {
    /// The entry was there already.
    Same,
    /// The new text.
    New(String),
}

/// The text of a file with the entry in it; the error says why it cannot be edited safely.
pub fn put(format: Format, text: &str, name: &str, entry: &Value) -> Result<Edited, String> {
    let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
    let edited = match format {
        Format::Json(root) => json::put(body, root, name, entry),
        Format::TomlTable => toml::put_table(body, name, entry),
        Format::TomlArray => toml::put_in_array(body, name, entry),
        Format::YamlList => yaml::put_in_list(body, name, entry),
        Format::YamlMap(_) => yaml::put_in_map(body, format, name, entry),
    }?;
    if let Edited::New(new) = &edited {
        verify(format, body, new, name, entry)?;
    }
    Ok(match edited {
        Edited::New(new) => Edited::New(format!("{mark}{new}")),
        Edited::Same => Edited::Same,
    })
}

/// Whether a text holds exactly this entry.
pub fn holds(format: Format, text: &str, name: &str, entry: &Value) -> bool {
    matches!(put(format, text, name, entry), Ok(Edited::Same))
}

/// Why a text is left alone that would say something else after the edit.
const UNSAFE: &str = "it is written in a way that cannot be edited safely";

fn verify(format: Format, old: &str, new: &str, name: &str, entry: &Value) -> Result<(), String> {
    let read = |text: &str| match format {
        Format::Json(_) => json::read(text),
        Format::TomlTable | Format::TomlArray => toml::read(text),
        Format::YamlList | Format::YamlMap(_) => yaml::read(text),
    };
    let mut expected = read(old)?;
    let found = read(new).map_err(|_| UNSAFE.to_owned())?;
    let root = format.root();
    let ours = format.value(name, entry);
    let servers = expected.entry(root).or_insert(Value::Null);
    match format {
        Format::YamlList | Format::TomlArray => {
            let mut items = servers.as_array().cloned().unwrap_or_default();
            items.retain(|item| item.get("name").and_then(Value::as_str) != Some(name));
            let mut sorted = found.get(root).and_then(Value::as_array).cloned().unwrap_or_default();
            let position = sorted.iter().position(|item| *item == ours).ok_or("the entry is not in the edited text")?;
            sorted.remove(position);
            *servers = Value::Array(items);
            let rest = Value::Array(sorted);
            let mut found = found;
            found.insert(root.to_owned(), rest);
            return same(&expected, &found);
        }
        Format::Json(_) => json::servers(servers).insert(name.to_owned(), ours),
        Format::TomlTable | Format::YamlMap(_) => object(servers).insert(name.to_owned(), ours),
    };
    same(&expected, &found)
}

fn same(expected: &Map<String, Value>, found: &Map<String, Value>) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(UNSAFE.into()) }
}

/// The object in `value`, which becomes one if it was nothing.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was just made an object")
}

/// The line end of a text: that of its first line.
fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

#[cfg(test)]
mod tests;
