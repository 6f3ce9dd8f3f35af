//! TOML. A new entry goes to the end of the file, so nothing before it changes; an existing one is changed in place.

use portcullis_gateway::client_entry::Format;
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table};

use super::{Edited, UNSAFE, line_end};

const ROOT: &str = "mcp_servers";

/// Puts the entry in as `[mcp_servers.name]`.
pub fn put_table(text: &str, name: &str, entry: &Value) -> Result<Edited, String> {
    let mut document = parse(text)?;
    let known = document.get(ROOT).and_then(|servers| servers.get(name)).map(value_of);
    match known {
        Some(known) if known == *entry => Ok(Edited::Same),
        // The writer of documents makes all line ends one kind; where they are mixed, it would touch other lines.
        Some(_) if text.contains("\r\n") && text.replace("\r\n", "").contains('\n') => Err(UNSAFE.into()),
        Some(_) => {
            let servers =
                document.get_mut(ROOT).and_then(Item::as_table_like_mut).ok_or("its servers are not a table")?;
            let known = servers.get_mut(name).ok_or("the entry is gone")?;
            let mut fresh = table(entry);
            if let Some(old) = known.as_table() {
                *fresh.decor_mut() = old.decor().clone();
                fresh.set_position(old.position());
                *known = Item::Table(fresh);
            } else {
                *known = Item::Value(fresh.into_inline_table().into());
            }
            Ok(Edited::New(with_line_end(&document.to_string(), line_end(text))))
        }
        None => Ok(append(text, &Format::TomlTable.text(name, entry))),
    }
}

/// Puts the entry in as `[[mcp_servers]]` with its name.
pub fn put_in_array(text: &str, name: &str, entry: &Value) -> Result<Edited, String> {
    let document = parse(text)?;
    let ours = Format::TomlArray.value(name, entry);
    let known = document.get(ROOT).map(value_of);
    let items = known.as_ref().and_then(Value::as_array);
    if items.is_some_and(|items| items.contains(&ours)) {
        return Ok(Edited::Same);
    }
    if items.is_some_and(|items| items.iter().any(|item| item.get("name").and_then(Value::as_str) == Some(name))) {
        return Err(format!("another entry in it is called \"{name}\": change it by hand, or choose another name"));
    }
    Ok(append(text, &Format::TomlArray.text(name, entry)))
}

/// The whole text as a value.
pub fn read(text: &str) -> Result<Map<String, Value>, String> {
    Ok(parse(text)?.iter().map(|(key, item)| (key.to_owned(), value_of(item))).collect())
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: toml_edit::TomlError| format!("it is not valid TOML: {}", error.message()))
}

fn append(text: &str, addition: &str) -> Edited {
    let end = line_end(text);
    let mut new = text.to_owned();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push_str(end);
    }
    if !new.is_empty() {
        new.push_str(end);
    }
    new.push_str(&with_line_end(addition, end));
    Edited::New(new)
}

fn table(entry: &Value) -> Table {
    entry
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), Item::Value(toml_value(value)?))))
        .collect()
}

fn toml_value(value: &Value) -> Option<toml_edit::Value> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Bool(value) => Some((*value).into()),
        Value::Number(number) => number.as_i64().map(Into::into),
        _ => None,
    }
}

/// A parsed item as a JSON value; dates become their text.
fn value_of(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => plain(value),
        Item::Table(table) => value_of_table(table),
        Item::ArrayOfTables(tables) => tables.iter().map(value_of_table).collect(),
    }
}

fn value_of_table(table: &Table) -> Value {
    table.iter().map(|(key, item)| (key.to_owned(), value_of(item))).collect()
}

fn plain(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(number.value().to_string()),
        toml_edit::Value::Boolean(value) => Value::from(*value.value()),
        toml_edit::Value::Datetime(moment) => Value::from(moment.value().to_string()),
        toml_edit::Value::Array(items) => items.iter().map(plain).collect(),
        toml_edit::Value::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_owned(), plain(value))).collect()
        }
    }
}

/// The writer of documents ends every line with a line feed only.
fn with_line_end(text: &str, end: &str) -> String {
    if end == "\n" { text.to_owned() } else { text.replace("\r\n", "\n").replace('\n', end) }
}
