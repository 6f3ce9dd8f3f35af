//! What a decision point answers. Whatever is not a plain answer is none.

use http::StatusCode;
use portcullis_base::printable;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::outbound::Fetched;

/// Letters of a reason that are passed on.
const LONGEST: usize = 300;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub allowed: bool,
    /// Why, for whoever called.
    pub told: Option<String>,
    /// Why, for the record.
    pub reason: Option<String>,
}

// A member that is there twice is an error; others are passed over.
#[derive(Deserialize)]
struct Body {
    // spec: AUTHZEN#decision: "`decision`: REQUIRED. A boolean value"
    decision: bool,
    #[serde(default)]
    context: Option<Map<String, Value>>,
}

/// Reads an answer; the error says why it is none.
pub(super) fn answer(fetched: &Fetched) -> Result<Answer, String> {
    // spec: AUTHZEN#transport-https-json: "A successful response is an HTTPS response with a status code of `200` and a `Content-Type` of `application/json`"
    if fetched.status != StatusCode::OK {
        return Err(format!("status {}", fetched.status));
    }
    if !fetched.is_json() {
        return Err("the answer is not JSON".to_owned());
    }
    let Body { decision, context } =
        serde_json::from_slice(&fetched.body).map_err(|error| format!("the answer is no decision: {error}"))?;
    let context = context.unwrap_or_default();
    let user = context.get("reason_user").or_else(|| context.get("reason")).and_then(words);
    let admin = context.get("reason_admin").and_then(words);
    Ok(Answer { allowed: decision, reason: admin.or_else(|| user.clone()), told: user })
}

/// A text, or the first of several by their codes or languages.
fn words(reason: &Value) -> Option<String> {
    let text = match reason {
        Value::String(text) => text,
        Value::Object(texts) => texts.values().find_map(Value::as_str)?,
        _ => return None,
    };
    Some(printable(text, LONGEST)).filter(|text| !text.is_empty())
}
