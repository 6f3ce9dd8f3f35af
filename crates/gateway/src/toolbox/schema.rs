//! What a server says of a tool: whether that can be shown to anybody, and how it is shown in a toolbox.

use std::borrow::Cow;

use portcullis_mcp::{
    object::{Object, joined, quoted},
    scan::{self, Kind},
    tool,
};
use serde_json::Value;

use super::Edit;

/// The largest definition that is shown.
const LARGEST: usize = 256 << 10;
/// The deepest nesting of schemas that is shown.
const DEEPEST: usize = 32;
/// Values in one schema, at most.
const MOST: usize = 10_000;
/// What a schema may be written in.
const DIALECTS: [&str; 5] = [
    "json-schema.org/draft/2020-12/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-04/schema",
];

/// Why a tool is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its definition is no object with a name and an input schema.
    #[error("the definition has no object inputSchema of type object")]
    Form,
    /// There is too much of it.
    #[error("the definition is too large or too deep")]
    TooMuch,
    /// A schema is written in a dialect that nobody here knows.
    #[error("a schema is in an unknown dialect")]
    Dialect,
    /// A schema refers to something outside itself, which would have to be fetched.
    #[error("a schema refers to another document")]
    Reference,
    /// What it wants as headers.
    #[error("{0}")]
    Header(String),
}

/// Whether a tool with this raw, checked definition can be shown.
// spec: AG-21, T-66: "depth/size limits; invalid schema => tool hidden", and nothing is ever fetched
pub fn check(definition: &str) -> Result<(), Unfit> {
    if definition.len() > LARGEST {
        return Err(Unfit::TooMuch);
    }
    let input = scan::member(definition, "inputSchema").ok_or(Unfit::Form)?;
    let kind = scan::member(input, "type").and_then(scan::string);
    if scan::kind(input) != Kind::Object || kind.as_deref() != Some("object") {
        return Err(Unfit::Form);
    }
    let output = scan::member(definition, "outputSchema");
    if output.is_some_and(|output| scan::kind(output) != Kind::Object) {
        return Err(Unfit::Form);
    }
    for schema in [Some(input), output].into_iter().flatten() {
        let schema: Value = serde_json::from_str(schema).map_err(|_| Unfit::Form)?;
        judge(&schema)?;
    }
    // spec: AG-23, T-70: "exclude tool from list with finding; never map parameters classified as secret"
    let wanted = tool::annotations(input).map_err(Unfit::Header)?;
    match wanted.iter().find(|wanted| wanted.path.iter().chain([&wanted.header]).any(|name| is_secret(name))) {
        Some(wanted) => Err(Unfit::Header(format!("{} would put a secret into a header", wanted.header))),
        None => Ok(()),
    }
}

fn judge(schema: &Value) -> Result<(), Unfit> {
    let mut open = vec![(schema, 1)];
    let mut seen = 0;
    while let Some((schema, depth)) = open.pop() {
        let Value::Object(members) = schema else { continue };
        if depth > DEEPEST {
            return Err(Unfit::TooMuch);
        }
        for (keyword, value) in members {
            seen += 1;
            match (keyword.as_str(), value) {
                ("$schema", Value::String(dialect)) => {
                    let bare = dialect.trim_end_matches('#');
                    let bare = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://"));
                    if !bare.is_some_and(|bare| DIALECTS.contains(&bare)) {
                        return Err(Unfit::Dialect);
                    }
                }
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) if !to.starts_with('#') => {
                    return Err(Unfit::Reference);
                }
                // Data is no schema, whatever it looks like; but there can be too much of it.
                ("enum" | "examples" | "default" | "const", data) => seen += values(data),
                (
                    "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                    Value::Object(named),
                ) => {
                    seen += named.len();
                    open.extend(named.values().map(|schema| (schema, depth + 1)));
                }
                (_, Value::Array(list)) => {
                    seen += list.len();
                    open.extend(list.iter().map(|schema| (schema, depth + 1)));
                }
                (_, schema) => open.push((schema, depth + 1)),
            }
        }
        if seen > MOST {
            return Err(Unfit::TooMuch);
        }
    }
    Ok(())
}

/// How many values there are in `data`.
fn values(data: &Value) -> usize {
    let (mut open, mut count) = (vec![data], 0);
    while let Some(value) = open.pop() {
        count += 1;
        match value {
            Value::Array(list) => open.extend(list),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
    count
}

fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 8] =
        ["authorization", "apikey", "accesskey", "privatekey", "password", "secret", "credential", "cookie"];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    plain.ends_with("token") || PARTS.iter().any(|part| plain.contains(part))
}

/// The raw definition of a thing as a toolbox shows it under `name`: everything else is as the server says it, but for what
/// `edit` changes and for pictures of others.
// spec: AG-22: "only names and URIs change"
pub fn shown(definition: &str, name: &str, edit: Option<&Edit>) -> String {
    let Some(mut object) = Object::read(definition) else { return definition.to_owned() };
    object.set("name", quoted(name));
    if let Some(edit) = edit {
        if let Some(words) = &edit.describe {
            object.set("description", quoted(words));
        }
        if let Some(schema) = scan::member(definition, "inputSchema") {
            object.set("inputSchema", narrowed(schema, edit));
        }
    }
    bare(definition, &mut object);
    object.finish().into_owned()
}

/// Takes away, from what `raw` became, pictures that a client would have to fetch from somebody else.
// spec: AG-24: "drop foreign ones"
pub fn bare<'r>(raw: &'r str, object: &mut Object<'r>) {
    let Some(icons) = scan::member(raw, "icons") else { return };
    let own =
        |icon: &&str| scan::member(icon, "src").and_then(scan::string).is_some_and(|src| src.starts_with("data:"));
    let kept: Vec<&str> = scan::elements(icons).filter(own).collect();
    if kept.is_empty() {
        object.remove("icons");
    } else if kept.len() < scan::elements(icons).count() {
        object.set("icons", joined(&kept));
    }
}

/// An input schema without the arguments that are fixed, and with those that have a value anyway as ones that may be left out.
fn narrowed<'s>(raw: &'s str, edit: &Edit) -> Cow<'s, str> {
    let Some(mut schema) = Object::read(raw).filter(|_| !edit.fixed.is_empty() || !edit.defaults.is_empty()) else {
        return Cow::Borrowed(raw);
    };
    if let Some(required) = scan::member(raw, "required") {
        let settled = |name: &str| edit.fixed.contains_key(name) || edit.defaults.contains_key(name);
        let open = |name: &&str| !scan::string(name).is_some_and(|name| settled(&name));
        let left: Vec<&str> = scan::elements(required).filter(open).collect();
        if left.len() < scan::elements(required).count() {
            schema.set("required", joined(&left));
        }
    }
    if let Some(mut properties) = scan::member(raw, "properties").and_then(Object::read) {
        properties.retain(|name, _| !edit.fixed.contains_key(name));
        properties.each(|name, property| {
            let value = edit.defaults.get(name)?;
            let mut property = Object::read(property)?;
            property.set("default", value.clone());
            Some(property.finish().into_owned().into())
        });
        schema.set("properties", properties.finish());
    }
    schema.finish()
}

/// The raw arguments that a tool is called with, for those that the caller gave.
///
/// The error is the name of an argument that is not theirs to give.
pub fn settled(given: Option<&str>, edit: &Edit) -> Result<Option<String>, String> {
    if edit.fixed.is_empty() && edit.defaults.is_empty() {
        return Ok(given.map(str::to_owned));
    }
    let given = given.unwrap_or("{}");
    let mut arguments = Object::read(given).unwrap_or_default();
    for (name, value) in &edit.fixed {
        if arguments.get(name).is_some() {
            return Err(name.clone());
        }
        arguments.set(name, value.as_str());
    }
    for (name, value) in &edit.defaults {
        if arguments.get(name).is_none() {
            arguments.set(name, value.as_str());
        }
    }
    Ok(Some(arguments.finish().into_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tool(schema: &str) -> String {
        format!(r#"{{"name":"x","inputSchema":{schema}}}"#)
    }

    // spec: AG-21, AG-23, T-66, T-70
    #[test]
    fn definitions_that_would_harm_their_reader_are_not_shown() {
        let deep = format!("{}{}", r#"{"type":"object","not":"#.repeat(40), "{}".to_owned() + &"}".repeat(40));
        let many = format!(r#"{{"type":"object","properties":{{"a":{{"enum":[{}1]}}}}}}"#, "1,".repeat(10_000));
        let wide = format!(r#"{{"type":"object","description":"{}"}}"#, "x".repeat(300 << 10));
        for (schema, unfit) in [
            (r#"{"type":"string"}"#, Unfit::Form),
            ("{}", Unfit::Form),
            ("[]", Unfit::Form),
            (r#"{"type":["object","null"]}"#, Unfit::Form),
            (deep.as_str(), Unfit::TooMuch),
            (many.as_str(), Unfit::TooMuch),
            (wide.as_str(), Unfit::TooMuch),
            (r#"{"type":"object","$schema":"https://example.com/own"}"#, Unfit::Dialect),
            (r#"{"type":"object","properties":{"a":{"$ref":"http://internal/x"}}}"#, Unfit::Reference),
            (r#"{"type":"object","allOf":[{"$ref":"other.json#/a"}]}"#, Unfit::Reference),
        ] {
            assert_eq!(check(&tool(schema)), Err(unfit), "{}", &schema[..schema.len().min(80)]);
        }
        for (header, kind) in [("a b", "string"), ("X", "number"), ("Api-Key", "string")] {
            let schema =
                format!(r#"{{"type":"object","properties":{{"p":{{"type":"{kind}","x-mcp-header":"{header}"}}}}}}"#);
            assert!(matches!(check(&tool(&schema)), Err(Unfit::Header(_))), "{schema}");
        }
        assert_eq!(check(r#"{"name":"x"}"#), Err(Unfit::Form));
        for schema in [
            r##"{"type":"object","$defs":{"a":{"$ref":"#/$defs/a"}},"properties":{"a":{"$ref":"#/$defs/a"}}}"##,
            r#"{"type":"object","$schema":"http://json-schema.org/draft-07/schema#","properties":{"$ref":{"type":"string"}}}"#,
            r#"{"type":"object","properties":{"a":{"default":{"$ref":"http://data/"}}}}"#,
            r#"{"type":"object","properties":{"p":{"type":"string","x-mcp-header":"Region"}}}"#,
        ] {
            assert_eq!(check(&tool(schema)), Ok(()), "{schema}");
        }
    }

    // spec: AG-22, AG-24
    #[test]
    fn what_is_not_edited_stays_as_it_was_said() {
        let said = r#"{"name":"x","description":"d\u0041","inputSchema":{"type" : "object","x":1.0,"properties":{"a":{"x-mcp-header":"A","type":"string"}}},"annotations":{"readOnlyHint":true},"_meta":{"k":[1e2]},"icons":[{"src":"https://x/i.png"}]}"#;
        let told =
            said.replace(r#""name":"x""#, r#""name":"s__x""#).replace(r#","icons":[{"src":"https://x/i.png"}]"#, "");
        assert_eq!(shown(said, "s__x", None), told);
        let icons = r#"{"name":"x","icons":[{"src":"data:image/png;base64,AA"},{"src":"http://x"}]}"#;
        assert_eq!(shown(icons, "x", None), r#"{"name":"x","icons":[{"src":"data:image/png;base64,AA"}]}"#);
    }

    // spec: AG-26
    #[test]
    fn fixed_arguments_are_not_seen_and_defaults_may_be_left_out() {
        let edit = Edit {
            rename: None,
            describe: Some("Says \"hi\"".into()),
            fixed: BTreeMap::from([("repo".to_owned(), r#""acme/x""#.to_owned())]),
            defaults: BTreeMap::from([("limit".to_owned(), "5".to_owned())]),
        };
        let said = tool(
            r#"{"type":"object","properties":{"repo":{"type":"string"},"limit":{"type":"integer","default":9},"q":{}},"required":["repo","limit","q"]}"#,
        );
        assert_eq!(
            shown(&said, "find", Some(&edit)),
            r#"{"name":"find","inputSchema":{"type":"object","properties":{"limit":{"type":"integer","default":5},"q":{}},"required":["q"]},"description":"Says \"hi\""}"#
        );
        assert_eq!(settled(None, &edit).unwrap().unwrap(), r#"{"repo":"acme/x","limit":5}"#);
        assert_eq!(
            settled(Some(r#"{"q":1, "limit":2}"#), &edit).unwrap().unwrap(),
            r#"{"q":1,"limit":2,"repo":"acme/x"}"#
        );
        assert_eq!(settled(Some(r#"{"r\u0065po":"other"}"#), &edit), Err("repo".to_owned()));
        assert_eq!(settled(Some(r#"{"q" : 1}"#), &Edit::default()).unwrap().unwrap(), r#"{"q" : 1}"#);
    }
}
