//! YAML, by inserting lines of text: there is no editor of YAML that keeps every comment. What the lines mean is checked
//! by reading the whole text again, and whatever is not plain block style is left to the person.

use portcullis_gateway::client_entry::Format;
use serde_json::{Map, Value};

use super::{Edited, line_end};

/// Puts the entry into the list `mcpServers`.
pub fn put_in_list(text: &str, name: &str, entry: &Value) -> Result<Edited, String> {
    let ours = Format::YamlList.value(name, entry);
    let document = read(text)?;
    let items = document.get("mcpServers").and_then(Value::as_array);
    if items.is_some_and(|items| items.contains(&ours)) {
        return Ok(Edited::Same);
    }
    if items.is_some_and(|items| items.iter().any(|item| item.get("name").and_then(Value::as_str) == Some(name))) {
        return Err(format!("another entry in it is called \"{name}\": change it by hand, or choose another name"));
    }
    insert(text, Format::YamlList, name, entry)
}

/// Puts the entry into the mapping of the format's root.
pub fn put_in_map(text: &str, format: Format, name: &str, entry: &Value) -> Result<Edited, String> {
    let ours = format.value(name, entry);
    let document = read(text)?;
    match document.get(format.root()).and_then(|servers| servers.get(name)) {
        Some(known) if *known == ours => return Ok(Edited::Same),
        Some(_) => {
            return Err(format!("another entry in it is called \"{name}\": change it by hand, or choose another name"));
        }
        None => {}
    }
    insert(text, format, name, entry)
}

/// The whole text as a value.
pub fn read(text: &str) -> Result<Map<String, Value>, String> {
    let value: yaml_serde::Value =
        yaml_serde::from_str(text).map_err(|error| format!("it is not valid YAML: {error}"))?;
    match serde_json::to_value(&value) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err("its top level is not a mapping".into()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// Inserts the entry as the first child of the root key, which is added at the end if the text has none.
fn insert(text: &str, format: Format, name: &str, entry: &Value) -> Result<Edited, String> {
    let (root, end) = (format.root(), line_end(text));
    let alone = format.text(name, entry);
    // The first line is the root key; two spaces before each of the others make them its children.
    let block: Vec<&str> = alone.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let key = format!("{root}:");
    let Some(at) = lines.iter().position(|line| line.starts_with(&key)) else {
        let mut new = text.to_owned();
        if !new.is_empty() && !new.ends_with('\n') {
            new.push_str(end);
        }
        new.extend([&key, end]);
        new.extend(block.iter().flat_map(|line| ["  ", *line, end]));
        return Ok(Edited::New(new));
    };
    let rest = lines[at][key.len()..].split(" #").next().unwrap_or("").trim();
    if !matches!(rest, "" | "[]" | "{}") {
        return Err(format!("\"{root}\" in it is not written as a block"));
    }
    let head = if rest.is_empty() {
        lines[at].trim_end_matches(['\r', '\n']).to_owned()
    } else {
        lines[at].trim_end_matches(['\r', '\n']).replacen(rest, "", 1).trim_end().to_owned()
    };
    let indent = lines[at + 1..]
        .iter()
        .find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|line| &line[..line.len() - line.trim_start_matches(' ').len()])
        .filter(|indent| !indent.is_empty() || lines[at + 1..].iter().any(|line| line.starts_with("- ")))
        .unwrap_or("  ");
    let inserted: String = block.iter().flat_map(|line| [indent, *line, end]).collect();
    let replaced = format!("{head}{end}{inserted}");
    lines[at] = &replaced;
    Ok(Edited::New(lines.concat()))
}
