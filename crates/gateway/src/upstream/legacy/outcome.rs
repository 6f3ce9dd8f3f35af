//! What a server's answer becomes: the end of the call, a task to follow, a page to open first.

use std::{collections::HashSet, time::Duration};

use ::http::StatusCode;
use portcullis_base::ServerName;
use portcullis_mcp::{
    Message,
    dialect::{Failure, Task, signed},
    message::{self, METHOD_NOT_FOUND, MISSING_CAPABILITY, Outcome},
    scan,
};
use tokio::time::sleep;

use super::{front::Front, run::Run};
use crate::{questions::Kind, upstream::UpstreamError};

/// The waits before a call is made again whose person was sent to a page, while the server does not say that they are
/// done.
const PAGES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(10), Duration::from_secs(20)];

impl Run {
    /// Hands the answer on; `false` if it was not the last.
    pub(super) async fn answered(&mut self, raw: &str, front: &mut Front) -> bool {
        let Ok(Message::Response(response)) = message::message(raw) else {
            front.fail(UpstreamError::Unusable("no answer to the request"), &self.legacy.name).await;
            return true;
        };
        let (status, inner) = match response.outcome {
            Outcome::Result(result) => match Task::created_in_2025(result).filter(|_| self.task.is_none()) {
                Some(task) => return self.go_through(&task, front).await,
                // spec: BR-8, BR-55
                None => (StatusCode::OK, format!(r#""result":{}"#, self.lease.up.result(self.wanted.method, result))),
            },
            Outcome::Error { raw: error, .. } => {
                let params = self.wanted.params.as_deref();
                match self.lease.up.error(self.wanted.method, params, error, &self.wanted.abilities) {
                    Failure::Error(text) => self.failed(text),
                    Failure::Input(entries) => {
                        if self.again_after_pages(error, front).await {
                            return false;
                        }
                        (StatusCode::OK, format!(r#""result":{}"#, pages(&entries, &self.legacy.name)))
                    }
                }
            }
        };
        front.finish(status, format!(r#"{{"jsonrpc":"2.0","id":{},{inner}}}"#, front.id())).await;
        true
    }

    /// An error of the server, brought up.
    fn failed(&self, text: String) -> (StatusCode, String) {
        // spec: BR-50: "if the call cannot succeed, -32021"
        // spec: BR-111
        if let Some(blocked) = self.pending.blocked().filter(|blocked| blocked.kind != Kind::Unfit) {
            let said = scan::member(&text, "message").and_then(scan::string);
            let error = blocked.error(&self.legacy.name, said.as_deref());
            let status = StatusCode::from_u16(error.http).unwrap_or(StatusCode::OK);
            let error = String::from_utf8(error.to_json()).unwrap_or_default();
            return (status, format!(r#""error":{}"#, scan::member(&error, "error").unwrap_or(&text)));
        }
        let status = match scan::member(&text, "code").and_then(|code| code.parse().ok()) {
            Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            Some(MISSING_CAPABILITY) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        (status, format!(r#""error":{text}"#))
    }

    /// Makes a call again whose person has opened the pages that it needs, when they are done there or after a while.
    // spec: BR-52: "The retry re-sends the original call"
    // spec: BR-53: "consume notifications/elicitation/complete (use it to wake ...)"
    async fn again_after_pages(&mut self, error: &str, front: &mut Front) -> bool {
        let listed =
            scan::member(error, "data").and_then(|data| scan::member(data, "elicitations")).unwrap_or_default();
        for page in scan::elements(listed) {
            if let Some(id) = scan::member(page, "elicitationId").and_then(scan::string) {
                self.lease.hub.sent_to(&id);
            }
        }
        if !self.wanted.opened || self.pages >= PAGES.len() {
            self.lease.hub.forget_pages();
            return false;
        }
        let mut waiting = self.lease.hub.pages();
        let done = async {
            // A server that names none of its pages says nothing when somebody is done with one.
            if waiting.borrow().is_empty() || waiting.wait_for(HashSet::is_empty).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = front.gone() => return false,
            () = done => {}
            () = sleep(PAGES[self.pages]) => {}
        }
        self.pages += 1;
        match Self::ask(&self.legacy, &self.lease, &self.caller, &self.wanted, front).await {
            Ok(Some((id, events))) => {
                (self.id, self.events) = (id, events);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }
}

/// An unfinished result that asks for pages to be opened; the call is made anew after that.
fn pages(entries: &[String], name: &ServerName) -> String {
    let entries = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| format!(r#""page-{}":{}"#, index + 1, signed(entry, name.as_str())));
    format!(r#"{{"resultType":"input_required","inputRequests":{{{}}}}}"#, entries.collect::<Vec<_>>().join(","))
}
