//! Parameters: where they stand in a request and how values are written there.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::{
    check::Refused,
    document::{Problem, below, resolve, text},
    encode::component,
};

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum In {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a value is written (OpenAPI 3.1 §4.8.12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
    /// The parameter has `content`: JSON.
    Json,
}

/// Whether each item of a value is written for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explode {
    Each,
    Together,
}

/// One parameter of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Parameter<'d> {
    pub(crate) name: &'d str,
    pub(crate) stands: In,
    pub(crate) style: Style,
    pub(crate) explode: Explode,
    pub(crate) required: bool,
    pub(crate) schema: &'d Value,
    pub(crate) schema_place: String,
    pub(crate) definition: &'d Value,
}

/// Headers that are no business of an argument: those that OpenAPI gives another place, those of the connection, those
/// that say who asks, from where or for which host, and those that turn a request into another.
// spec: T-67
const NOT_HEADERS: [&str; 41] = [
    "accept",
    "content-type",
    "authorization",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-encoding",
    "accept-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "cookie",
    "set-cookie",
    "origin",
    "referer",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-original-method",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "user-agent",
    "http2-settings",
];

/// Whether an argument may become this header.
fn may_be_argument(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    !NOT_HEADERS.contains(&name.as_str()) && !name.starts_with("mcp-") && !name.starts_with("sec-")
}

/// RFC 9110 §5.6.2
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The schema of a parameter that has none.
static ANYTHING: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));

impl<'d> Parameter<'d> {
    /// The parameter at `place`; `None` if it is none that a caller sets.
    pub(crate) fn read(document: &'d Value, value: &'d Value, place: &str) -> Result<Option<Self>, Problem> {
        let (value, place) = resolve(document, value, place)?;
        let name = text(value, "name");
        if name.is_empty() {
            return Err(Problem::new(&place, "the parameter has no name", "give it one: name: …"));
        }
        let stands = match text(value, "in") {
            "path" => In::Path,
            "query" => In::Query,
            "header" => In::Header,
            "cookie" => In::Cookie,
            _ => {
                return Err(Problem::new(
                    &below(&place, "in"),
                    "a parameter is in path, query, header or cookie",
                    "name one of them",
                ));
            }
        };
        if matches!(stands, In::Header | In::Cookie) && !is_token(name) {
            return Err(Problem::new(
                &below(&place, "name"),
                "this cannot be the name of a header or cookie",
                "name it as the API does",
            ));
        }
        if stands == In::Header && !may_be_argument(name) {
            return Ok(None);
        }
        let (style, schema, schema_place) = match value.get("content").and_then(Value::as_object) {
            Some(content) => {
                let at = below(&place, "content");
                let json = content.iter().find(|(media, _)| is_json(media));
                let Some((media, json)) = json else {
                    return Err(Problem::new(
                        &at,
                        "only application/json is written into a parameter",
                        "leave the operation out",
                    ));
                };
                (Style::Json, json.get("schema"), below(&below(&at, media), "schema"))
            }
            None => (style(value, stands, &place)?, value.get("schema"), below(&place, "schema")),
        };
        let together = value.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        Ok(Some(Self {
            name,
            stands,
            style,
            explode: if together { Explode::Each } else { Explode::Together },
            required: stands == In::Path || value.get("required") == Some(&Value::Bool(true)),
            schema: schema.unwrap_or(&ANYTHING),
            schema_place,
            definition: value,
        }))
    }
}

pub(crate) fn is_json(media: &str) -> bool {
    let essence = essence(media);
    essence == "application/json" || essence.ends_with("+json") || essence == "text/json"
}

/// A media type without its parameters.
pub(crate) fn essence(media: &str) -> String {
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn style(value: &Value, stands: In, place: &str) -> Result<Style, Problem> {
    let style = match (text(value, "style"), stands) {
        ("" | "simple", In::Path | In::Header) => Style::Simple,
        ("" | "form", In::Query | In::Cookie) => Style::Form,
        ("label", In::Path) => Style::Label,
        ("matrix", In::Path) => Style::Matrix,
        ("spaceDelimited", In::Query) => Style::SpaceDelimited,
        ("pipeDelimited", In::Query) => Style::PipeDelimited,
        ("deepObject", In::Query) => Style::DeepObject,
        _ => {
            let what = "this style does not exist where the parameter is";
            return Err(Problem::new(
                &below(place, "style"),
                what,
                "take the line out, or see OpenAPI's table of styles",
            ));
        }
    };
    Ok(style)
}

/// A value without depth.
enum Flat {
    One(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

fn flat(value: &Value, path: &str) -> Result<Flat, Refused> {
    let one = |value: &Value, path: &str| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Refused::new(path, "cannot be written here: a text, a number or true or false is needed")),
    };
    Ok(match value {
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(n, item)| one(item, &format!("{path}[{n}]")));
            Flat::List(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| Ok((key.clone(), one(value, &format!("{path}.{key}"))?)));
            Flat::Pairs(pairs.collect::<Result<_, Refused>>()?)
        }
        value => Flat::One(one(value, path)?),
    })
}

fn joined(items: impl IntoIterator<Item = String>, by: &str) -> String {
    items.into_iter().collect::<Vec<_>>().join(by)
}

/// A value in a path, encoded.
// spec: T-67
pub(crate) fn in_path(
    name: &str,
    style: Style,
    explode: Explode,
    value: &Value,
    path: &str,
) -> Result<String, Refused> {
    if style == Style::Json {
        return Ok(component(&value.to_string()));
    }
    let (list_by, pair_by, name) = match (style, explode) {
        (Style::Label, Explode::Each) => (".", ".", String::new()),
        (Style::Matrix, Explode::Each) => (";", ";", component(name)),
        _ => (",", ",", component(name)),
    };
    let flat = flat(value, path)?;
    let each_named = |value: &String| match (style, explode) {
        (Style::Matrix, Explode::Each) => format!("{name}={}", component(value)),
        _ => component(value),
    };
    let empty = match &flat {
        Flat::One(text) => text.is_empty(),
        Flat::List(items) => items.is_empty() || items.iter().any(String::is_empty),
        Flat::Pairs(pairs) => pairs.is_empty() || pairs.iter().any(|(key, value)| key.is_empty() || value.is_empty()),
    };
    if empty {
        return Err(Refused::new(path, "must not be empty: it is part of a path"));
    }
    let written = match (&flat, explode) {
        (Flat::One(text), _) => component(text),
        (Flat::List(items), _) => joined(items.iter().map(each_named), list_by),
        (Flat::Pairs(pairs), Explode::Each) => {
            joined(pairs.iter().map(|(key, value)| format!("{}={}", component(key), component(value))), pair_by)
        }
        (Flat::Pairs(pairs), Explode::Together) => {
            joined(pairs.iter().flat_map(|(key, value)| [component(key), component(value)]), ",")
        }
    };
    Ok(match (style, &flat, explode) {
        (Style::Label, _, _) => format!(".{written}"),
        (Style::Matrix, Flat::One(_), _) | (Style::Matrix, _, Explode::Together) => format!(";{name}={written}"),
        (Style::Matrix, _, Explode::Each) => format!(";{written}"),
        _ => written,
    })
}

/// Name and value pairs of a query or of a form, encoded. `reserved` are names that no member of a value may take.
// spec: T-67
pub(crate) fn in_query(
    name: &str,
    style: Style,
    explode: Explode,
    value: &Value,
    path: &str,
    reserved: &dyn Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Refused> {
    let own = component(name);
    match style {
        Style::Json => return Ok(vec![(own, component(&value.to_string()))]),
        Style::DeepObject if value.is_object() || value.is_array() => {
            let mut out = Vec::new();
            deep(&own, value, path, 8, &mut out)?;
            return Ok(out);
        }
        _ => {}
    }
    Ok(match (flat(value, path)?, explode) {
        (Flat::One(text), _) => vec![(own, component(&text))],
        (Flat::List(items), Explode::Each) => items.iter().map(|item| (own.clone(), component(item))).collect(),
        (Flat::Pairs(pairs), Explode::Each) => {
            if let Some((key, _)) = pairs.iter().find(|(key, _)| reserved(key)) {
                return Err(Refused::new(&format!("{path}.{key}"), "has the name of another parameter"));
            }
            pairs.iter().map(|(key, value)| (component(key), component(value))).collect()
        }
        (Flat::List(items), Explode::Together) => {
            let by = match style {
                Style::SpaceDelimited => "%20",
                Style::PipeDelimited => "%7C",
                _ => ",",
            };
            if items.is_empty() {
                Vec::new()
            } else {
                vec![(own, joined(items.iter().map(|item| component(item)), by))]
            }
        }
        (Flat::Pairs(pairs), Explode::Together) => {
            let by = match style {
                Style::SpaceDelimited => "%20",
                Style::PipeDelimited => "%7C",
                _ => ",",
            };
            let all = pairs.iter().flat_map(|(key, value)| [component(key), component(value)]);
            if pairs.is_empty() { Vec::new() } else { vec![(own, joined(all, by))] }
        }
    })
}

/// `name[key][inner]=value`; the items of a list have one name.
fn deep(name: &str, value: &Value, path: &str, depth: usize, out: &mut Vec<(String, String)>) -> Result<(), Refused> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Refused::new(path, "is nested too deeply to be written here"));
    };
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                deep(&format!("{name}%5B{}%5D", component(key)), value, &format!("{path}.{key}"), depth, out)?;
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                let path = format!("{path}[{n}]");
                if item.is_array() || item.is_object() {
                    return Err(Refused::new(
                        &path,
                        "cannot be written here: a text, a number or true or false is needed",
                    ));
                }
                deep(name, item, &path, depth, out)?;
            }
        }
        Value::Null => {}
        value => {
            if let Flat::One(text) = flat(value, path)? {
                out.push((name.to_owned(), component(&text)));
            }
        }
    }
    Ok(())
}

/// The value of a header.
// spec: T-67
pub(crate) fn in_header(style: Style, explode: Explode, value: &Value, path: &str) -> Result<String, Refused> {
    let whole = if style == Style::Json {
        value.to_string()
    } else {
        let flat = flat(value, path)?;
        let parts: Vec<&String> = match &flat {
            Flat::One(_) => Vec::new(),
            Flat::List(items) => items.iter().collect(),
            Flat::Pairs(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        };
        if parts.iter().any(|part| part.contains([',', '='])) {
            return Err(Refused::new(path, "cannot be written into a header: an item has a comma or an equals sign"));
        }
        match (&flat, explode) {
            (Flat::Pairs(pairs), Explode::Each) => {
                joined(pairs.iter().map(|(key, value)| format!("{key}={value}")), ",")
            }
            (Flat::One(text), _) => text.clone(),
            _ => joined(parts.into_iter().cloned(), ","),
        }
    };
    if !whole.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Refused::new(path, "cannot be written into a header: only printable ASCII can"));
    }
    if whole.trim() != whole {
        return Err(Refused::new(path, "cannot be written into a header: it begins or ends with a space"));
    }
    Ok(whole)
}

/// The value of a cookie, encoded.
// spec: T-67
pub(crate) fn in_cookie(style: Style, explode: Explode, value: &Value, path: &str) -> Result<String, Refused> {
    if style == Style::Json {
        return Ok(component(&value.to_string()));
    }
    match (flat(value, path)?, explode) {
        (Flat::One(text), _) => Ok(component(&text)),
        (Flat::List(items), Explode::Together) => Ok(joined(items.iter().map(|item| component(item)), ",")),
        (Flat::Pairs(pairs), Explode::Together) => {
            Ok(joined(pairs.iter().flat_map(|(key, value)| [component(key), component(value)]), ","))
        }
        _ => Err(Refused::new(
            path,
            "cannot be written into one cookie: the document says that each item is a cookie of its own",
        )),
    }
}
