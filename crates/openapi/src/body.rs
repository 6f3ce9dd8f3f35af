//! Bodies of requests: which media type is used and how an argument becomes its bytes.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::Digest;
use serde_json::{Map, Value, json};

use crate::{
    check::Refused,
    document::{Problem, below, resolve, text, tidy},
    parameter::{Explode, Style, essence, in_query, is_json},
    schema::Translation,
};

/// How an argument becomes a body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) media_type: String,
    pub(crate) form: Form,
    pub(crate) required: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Form {
    Json,
    /// `application/x-www-form-urlencoded`, with what is said of single fields.
    Fields(BTreeMap<String, (Style, Explode)>),
    /// `multipart/form-data`, with the media types of single fields.
    Parts(BTreeMap<String, String>),
    Text,
    /// The argument is base64.
    Bytes,
}

impl Body {
    /// The body that an operation takes, and the schema of its argument.
    pub(crate) fn read<'d>(
        document: &'d Value,
        operation: &'d Value,
        place: &str,
        translation: &mut Translation<'d>,
    ) -> Result<Option<(Self, Value)>, Problem> {
        let Some(body) = operation.get("requestBody") else { return Ok(None) };
        let (body, place) = resolve(document, body, &below(place, "requestBody"))?;
        let at = below(&place, "content");
        let content = body.get("content").and_then(Value::as_object).filter(|content| !content.is_empty());
        let Some(content) = content else {
            return Err(Problem::new(&at, "the body has no media type", "write it as application/json: …"));
        };
        let best = content.iter().min_by_key(|(media, _)| preference(media)).filter(|(media, _)| preference(media) < 9);
        let Some((media, described)) = best else {
            let what = "none of the body's media types can be made of arguments";
            return Err(Problem::new(
                &at,
                what,
                "offer application/json, a form, text/plain or application/octet-stream",
            ));
        };
        let at = below(&at, media);
        let media = essence(media);
        let schema_at = below(&at, "schema");
        let mut schema = match described.get("schema") {
            Some(schema) => translation.schema(schema, &schema_at)?,
            None => json!({}),
        };
        let form = match media.as_str() {
            media if is_json(media) => Form::Json,
            "application/x-www-form-urlencoded" => Form::Fields(fields(described, &at)?),
            "multipart/form-data" => Form::Parts(parts(document, described)),
            media if is_text(media) => Form::Text,
            _ => Form::Bytes,
        };
        match &form {
            Form::Text => schema = json!({ "type": "string" }),
            Form::Bytes => schema = json!({ "type": "string", "contentEncoding": "base64" }),
            Form::Fields(_) | Form::Parts(_) if schema.get("type").is_none() && schema.get("$ref").is_none() => {
                schema["type"] = "object".into();
            }
            _ => {}
        }
        let about = text(body, "description");
        if !about.is_empty() && schema.get("description").is_none() && schema.is_object() {
            schema["description"] = tidy(about, 1000).into();
        }
        let required = body.get("required") == Some(&Value::Bool(true));
        Ok(Some((Self { media_type: media, form, required }, schema)))
    }

    /// The bytes of the body and their media type.
    pub(crate) fn write(&self, value: &Value, path: &str) -> Result<(String, Vec<u8>), Refused> {
        let plain = |bytes: Vec<u8>| Ok((self.media_type.clone(), bytes));
        match (&self.form, value) {
            (Form::Json, value) => plain(value.to_string().into_bytes()),
            (Form::Text, Value::String(text)) => {
                Ok((format!("{}; charset=utf-8", self.media_type), text.clone().into_bytes()))
            }
            (Form::Bytes, Value::String(text)) => plain(bytes(text, path)?),
            (Form::Fields(said), Value::Object(members)) => plain(written(said, members, path)?.into_bytes()),
            (Form::Parts(said), Value::Object(members)) => multipart(said, members, path),
            (Form::Text | Form::Bytes, _) => Err(Refused::new(path, "must be of type string")),
            (Form::Fields(_) | Form::Parts(_), _) => Err(Refused::new(path, "must be of type object")),
        }
    }
}

/// What is taken first if there is a choice; 9 cannot be made.
fn preference(media: &str) -> u8 {
    match essence(media).as_str() {
        "application/json" => 0,
        media if media.contains('*') => 9,
        media if is_json(media) => 1,
        "application/x-www-form-urlencoded" => 2,
        "multipart/form-data" => 3,
        "text/plain" => 4,
        "application/octet-stream" => 5,
        media if is_text(media) => 6,
        media if ["image/", "audio/", "video/"].iter().any(|begin| media.starts_with(begin)) => 7,
        "application/pdf" | "application/zip" | "application/gzip" => 8,
        _ => 9,
    }
}

/// Types whose content a model can write as text.
fn is_text(media: &str) -> bool {
    matches!(media, "text/plain" | "text/markdown" | "text/csv" | "text/html" | "text/yaml" | "application/yaml")
}

fn bytes(text: &str, path: &str) -> Result<Vec<u8>, Refused> {
    STANDARD.decode(text.as_bytes()).map_err(|_| Refused::new(path, "is not base64"))
}

fn fields(described: &Value, place: &str) -> Result<BTreeMap<String, (Style, Explode)>, Problem> {
    let mut found = BTreeMap::new();
    for (field, encoding) in described.get("encoding").and_then(Value::as_object).into_iter().flatten() {
        let at = below(&below(&below(place, "encoding"), field), "style");
        let style = match text(encoding, "style") {
            "" if is_json(text(encoding, "contentType")) => Style::Json,
            "" | "form" => Style::Form,
            "spaceDelimited" => Style::SpaceDelimited,
            "pipeDelimited" => Style::PipeDelimited,
            "deepObject" => Style::DeepObject,
            _ => {
                return Err(Problem::new(
                    &at,
                    "a form has no such style",
                    "take the line out, or see OpenAPI's table of styles",
                ));
            }
        };
        let each = encoding.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        found.insert(field.clone(), (style, if each { Explode::Each } else { Explode::Together }));
    }
    Ok(found)
}

/// The media types of the parts that need one.
fn parts(document: &Value, described: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let schema = described.get("schema").and_then(|schema| resolve(document, schema, "").ok());
    let properties = schema.and_then(|(schema, _)| schema.get("properties")).and_then(Value::as_object);
    for (field, property) in properties.into_iter().flatten() {
        let property = resolve(document, property, "").map_or(property, |(property, _)| property);
        let inner = property.get("items").unwrap_or(property);
        let media = text(inner, "contentMediaType");
        if text(inner, "format") == "binary" || text(inner, "contentEncoding") == "base64" || is_binary(media) {
            found.insert(field.clone(), if media.is_empty() { BINARY.to_owned() } else { media.to_owned() });
        }
    }
    for (field, encoding) in described.get("encoding").and_then(Value::as_object).into_iter().flatten() {
        // Several types are a choice that nobody makes here; a file keeps the first.
        let first = essence(text(encoding, "contentType").split(',').next().unwrap_or_default());
        if !first.is_empty() && !first.contains('*') && (found.contains_key(field) || !is_binary(&first)) {
            found.insert(field.clone(), first);
        }
    }
    found.retain(|_, media| media.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    found
}

const BINARY: &str = "application/octet-stream";

fn is_binary(media: &str) -> bool {
    !media.is_empty() && !media.starts_with("text/") && !is_json(media) && !media.ends_with("xml")
}

// spec: T-67
fn written(
    said: &BTreeMap<String, (Style, Explode)>,
    members: &Map<String, Value>,
    path: &str,
) -> Result<String, Refused> {
    let mut out = String::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let path = format!("{path}.{name}");
        let deep = match value {
            Value::Object(_) => true,
            Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
            _ => false,
        };
        // A field without a word about it that has depth is JSON.
        let fallback = if deep { (Style::Json, Explode::Together) } else { (Style::Form, Explode::Each) };
        let (style, explode) = said.get(name).copied().unwrap_or(fallback);
        let reserved = |key: &str| key != name && members.contains_key(key);
        for (name, value) in in_query(name, style, explode, value, &path, &reserved)? {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(&name);
            out.push('=');
            out.push_str(&value);
        }
    }
    Ok(out)
}

/// `multipart/form-data` (RFC 7578).
// spec: T-67
fn multipart(
    said: &BTreeMap<String, String>,
    members: &Map<String, Value>,
    path: &str,
) -> Result<(String, Vec<u8>), Refused> {
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let items = match value {
            Value::Array(items) if said.get(name).is_none_or(|media| !is_json(media)) => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        for item in items {
            parts.push(part(name, item, said.get(name).map(String::as_str), &format!("{path}.{name}"))?);
        }
    }
    let mut boundary = boundary(&parts, 0);
    let mut salt = 0_u64;
    while parts.iter().any(|(_, bytes)| holds(bytes, boundary.as_bytes())) {
        salt += 1;
        boundary = self::boundary(&parts, salt);
    }
    let mut out = Vec::new();
    for (head, bytes) in &parts {
        out.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), out))
}

fn part(name: &str, value: &Value, media: Option<&str>, path: &str) -> Result<(String, Vec<u8>), Refused> {
    // As browsers do it: what would end the name or the line is percent-encoded.
    let quoted = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    if quoted.chars().any(char::is_control) {
        return Err(Refused::new(path, "has a name with a control character"));
    }
    let head = format!("Content-Disposition: form-data; name=\"{quoted}\"");
    let typed = |media: &str| format!("{head}\r\nContent-Type: {media}");
    Ok(match (value, media) {
        (Value::String(text), Some(media)) if is_binary(media) => {
            (format!("{head}; filename=\"{quoted}\"\r\nContent-Type: {media}"), bytes(text, path)?)
        }
        (Value::String(text), Some(media)) if !is_json(media) => (typed(media), text.clone().into_bytes()),
        (Value::String(text), None) => (head, text.clone().into_bytes()),
        (Value::Object(_) | Value::Array(_), None) | (_, Some(_)) => {
            (typed(media.unwrap_or("application/json")), value.to_string().into_bytes())
        }
        (value, None) => (head, value.to_string().into_bytes()),
    })
}

/// A boundary that the same parts always get.
fn boundary(parts: &[(String, Vec<u8>)], salt: u64) -> String {
    let mut all = salt.to_be_bytes().to_vec();
    for (head, bytes) in parts {
        all.extend_from_slice(head.as_bytes());
        all.extend_from_slice(bytes);
    }
    format!("portcullis-{}", &Digest::of(&all).to_base64url()[..30])
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
