//! What an API answers, as the result of a tool.

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::Digest;
use serde_json::{Map, Value, json};

use crate::{
    Tool,
    check::check,
    document::tidy,
    parameter::{essence, is_json},
};

/// Characters of a refusal that are passed on.
const REFUSAL: usize = 4000;

/// An answer that was read whole.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`, if it has one.
    pub media_type: Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
}

/// The result of a call, an object with `content` and what belongs to it.
pub fn answered(tool: &Tool, answer: Answer<'_>) -> Map<String, Value> {
    let media = answer.media_type.map(essence).unwrap_or_default();
    if !(200..300).contains(&answer.status) {
        return failed(&refusal(&answer, &media));
    }
    if answer.body.is_empty() {
        // A promise of an object that an empty answer does not keep is no reason to call a success a failure, but
        // clients that check it would.
        let said = format!("The API answered {} without content.", answer.status);
        return if tool.plan.output.is_some() { failed(&said) } else { result(vec![text(&said)]) };
    }
    let parsed =
        (is_json(&media) || media.is_empty()).then(|| serde_json::from_slice::<Value>(answer.body).ok()).flatten();
    let whole = std::str::from_utf8(answer.body).ok();
    if let Some(expected) = &tool.plan.output {
        let fits = match &parsed {
            Some(value @ Value::Object(_)) => check(expected, value, "").map_err(|refused| refused.to_string()),
            _ => Err("it is not a JSON object".to_owned()),
        };
        if let Err(why) = fits {
            // MCP wants what is structured to conform; as an error it may be read all the same.
            let said = format!(
                "The API answered {}, but not as its OpenAPI document says ({}). An administrator can set `answers: free` \
                 for this server. The answer:\n{}",
                answer.status,
                tidy(&why, 300),
                tidy(&String::from_utf8_lossy(answer.body), REFUSAL * 4)
            );
            return failed(&said);
        }
    }
    match (parsed, whole) {
        (Some(object @ Value::Object(_)), Some(whole)) => {
            let mut out = result(vec![text(whole)]);
            out.insert("structuredContent".into(), object);
            out
        }
        (_, Some(whole)) if is_text(&media) => result(vec![text(whole)]),
        (_, None) if media.starts_with("text/") || is_json(&media) => {
            result(vec![text(&String::from_utf8_lossy(answer.body))])
        }
        _ => result(vec![bytes(&media, answer.body)]),
    }
}

fn is_text(media: &str) -> bool {
    media.is_empty()
        || media.starts_with("text/")
        || is_json(media)
        || media.ends_with("+xml") && media != "image/svg+xml"
        || media.ends_with("+yaml")
        || matches!(
            media,
            "application/xml"
                | "application/yaml"
                | "application/x-yaml"
                | "application/x-ndjson"
                | "application/jsonl"
                | "application/javascript"
                | "application/x-www-form-urlencoded"
                | "application/sql"
                | "application/graphql"
        )
}

fn bytes(media: &str, body: &[u8]) -> Value {
    let data = STANDARD.encode(body);
    if media.starts_with("image/") {
        return json!({ "type": "image", "data": data, "mimeType": media });
    }
    if media.starts_with("audio/") {
        return json!({ "type": "audio", "data": data, "mimeType": media });
    }
    // RFC 6920: a name that the content has by itself; nobody can ask for it.
    let uri = format!("ni:///sha-256;{}", Digest::of(body).to_base64url());
    let media = if media.is_empty() { "application/octet-stream" } else { media };
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media, "blob": data } })
}

fn refusal(answer: &Answer<'_>, media: &str) -> String {
    let head = format!("The API answered {}", answer.status);
    if answer.body.is_empty() {
        return format!("{head} without content.");
    }
    match std::str::from_utf8(answer.body) {
        Ok(body) if is_text(media) && media != "text/html" => {
            let cut = if body.chars().nth(REFUSAL).is_some() { "…" } else { "" };
            format!("{head}:\n{}{cut}", tidy(body, REFUSAL))
        }
        _ => format!("{head}, with {} bytes that are not shown.", answer.body.len()),
    }
}

fn text(said: &str) -> Value {
    json!({ "type": "text", "text": said })
}

fn result(content: Vec<Value>) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("content".into(), content.into());
    out
}

/// A result that says of itself that it is an error, for the model to read.
pub fn failed(said: &str) -> Map<String, Value> {
    let mut out = result(vec![text(said)]);
    out.insert("isError".into(), true.into());
    out
}
