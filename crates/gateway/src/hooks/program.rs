//! `POST /approvals/hooks/{name}`: what a program says that somebody decided, signed as Standard Webhooks says.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use http::HeaderMap;
use portcullis_base::printable;
use portcullis_policy::approval::Word;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{first_time, headers, nothing_here, word};
use crate::{app::App, error::ApiError, extract::Source};

/// The longest reason.
const LONGEST_REASON: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    approval: String,
    binding: String,
    word: Choice,
    person: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Approve,
    Refuse,
}

pub(super) async fn decided(
    State(app): State<Arc<App>>,
    source: Source,
    Path(name): Path<String>,
    sent: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let hook = app.config.notify.webhooks.iter().find(|hook| hook.name == name);
    let key = hook.and_then(|hook| hook.decisions.as_ref()).ok_or_else(nothing_here)?;
    let signed = headers(&sent, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
    let proven = key.verify(signed, &body, app.clock.now());
    first_time(&app, &name, source, proven, signed.id).await?;
    let decision: Decision =
        serde_json::from_slice(&body).map_err(|error| ApiError::invalid_request(format!("the body: {error}")))?;
    let said = word::Said {
        hook: &name,
        source,
        approval: &decision.approval,
        binding: &decision.binding,
        word: match decision.word {
            Choice::Approve => Word::Approve,
            Choice::Refuse => Word::Refuse(printable(decision.reason.trim(), LONGEST_REASON).into()),
        },
        person: word::person(&app, &decision.person).await.map_err(ApiError::unavailable)?,
    };
    let state = word::take(&app, said).await?.map_err(|no| ApiError::new(no.status, no.code, no.text))?;
    Ok(Json(json!({ "approval": decision.approval, "state": state.as_str() })))
}
