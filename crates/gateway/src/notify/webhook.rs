//! A program that is told, by messages that are signed as Standard Webhooks says.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    House,
    channel::{Again, Failure, Job, Subject},
    message::names,
};
use crate::{
    approvals::{Stored, check_value},
    config::{self, Arguments},
    hook_signature::HookKey,
    outbound::{Ask, FetchError, Fetched},
};

/// The longest answer that is looked at.
const ANSWER: usize = 64 << 10;

/// The program.
pub(super) struct Told {
    url: String,
    key: HookKey,
    arguments: Arguments,
}

impl Told {
    pub fn of(settings: &config::Webhook) -> Option<Self> {
        let (url, key) = settings.told.clone()?;
        Some(Self { url, key, arguments: settings.arguments })
    }

    pub async fn tell(&self, house: &House, job: &Job) -> Result<(), Failure> {
        let now = house.0.clock.now();
        let (kind, row, link) = match &job.subject {
            Subject::Asked { row, link } => ("approval.asked", row, Some(link)),
            Subject::Decided { row } => ("approval.decided", row, None),
            Subject::Whisper { .. } => return Ok(()),
        };
        let approval = &row.approval;
        let (caller, client) = names(house, row).await.map_err(Failure::new)?;
        let mut data = json!({
            "approval": approval.id,
            "state": approval.state.as_str(),
            "binding": approval.binding.to_base64url(),
            "check_value": check_value(&approval.binding),
            "server": approval.server.as_str(),
            "kind": row.kind,
            "target": row.target,
            "classes": row.classes.iter().map(portcullis_base::Class::as_str).collect::<Vec<_>>(),
            "caller": { "id": approval.person, "name": caller },
            "client": { "id": approval.client, "name": client },
            "rule": row.rule,
            "asked_at": approval.asked_at.to_string(),
            "expires_at": approval.expires_at.to_string(),
        });
        let mut add = |key: &str, value: Value| {
            if let Value::Object(members) = &mut data {
                members.insert(key.to_owned(), value);
            }
        };
        if let Some(link) = link {
            add("link", json!(&**link));
        }
        if let (Arguments::Told, Some(stored)) = (self.arguments, Stored::open(&house.0.keys, row)) {
            // As a text: a number that a double cannot hold stays what it is.
            add("arguments", json!(stored.arguments));
        }
        if kind == "approval.decided" {
            add("decided_by", json!(row.decided_by));
            add("why", json!(row.why));
        }
        let body = json!({ "type": kind, "timestamp": now.to_string(), "data": data }).to_string();
        let headers = self.key.headers(&job.id, now, body.as_bytes()).map_err(Failure::for_good)?;
        let ask = Ask { headers, accept: "*/*", ..Ask::json(&self.url, body, ANSWER) };
        posted(house.0.outbound.fetch(ask).await).map(|_| ())
    }
}

/// Whether what was posted was taken.
pub(super) fn posted(answer: Result<Fetched, FetchError>) -> Result<Fetched, Failure> {
    let answer = answer.map_err(|error| Failure::new(error.detail()))?;
    let status = answer.status;
    if status.is_success() {
        return Ok(answer);
    }
    let again = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS);
    Err(Failure {
        again: if again { Again::Perhaps } else { Again::Never },
        ..Failure::new(format!("it answered {status}"))
    })
}
