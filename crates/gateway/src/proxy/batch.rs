//! Batches of 2025-03-26, the one revision that knew them: each message of a batch is served as if it had come alone, so
//! nothing passes in company that would not pass by itself (T-59).

use futures_util::future::join_all;
use http::{HeaderMap, Response, StatusCode};
use portcullis_mcp::{
    Headers, Message, Method, ProtocolError, Version,
    headers::Field,
    message::{self},
    sse::Event,
};

use super::{
    answer::{self, Answer},
    bridged::gather,
    collect,
    receive::Accepts,
    refusal::Refusal,
    text_of,
    turn::Visit,
};
use crate::correlation;

/// Messages of one batch.
const MOST: usize = 50;

impl Visit<'_> {
    /// Serves the messages of a batch.
    // spec: TR-96: "accept batch arrays of requests and notifications, or of responses"
    pub(super) async fn batch(
        &self,
        headers: &HeaderMap,
        messages: &[Message<'_>],
    ) -> Result<Response<Answer>, Refusal> {
        let found = collect(headers);
        self.admits(&found, messages)?;
        let json = Accepts { json: true, events: false };
        let alone = Visit { accepts: json, ..*self };
        let answers = join_all(messages.iter().map(|message| alone.one_of_many(&found, message))).await;
        let mut said = Vec::new();
        for answer in answers {
            said.extend(answer?);
        }
        Ok(match () {
            // "all-notification batch is 202"
            () if said.is_empty() => answer::empty(StatusCode::ACCEPTED),
            () if self.accepts.json => {
                answer::json(StatusCode::OK, Answer::Whole(format!("[{}]", said.join(",")).into()))
            }
            () => {
                let mut out = Vec::new();
                for text in said {
                    Event::message(text).encode(&mut out);
                }
                answer::stream(Answer::Whole(out.into()))
            }
        })
    }

    /// Whether these may come together at all.
    // spec: T-59, TR-69, TR-97: "arrays => 400 -32600"
    fn admits(&self, headers: &Headers<'_>, messages: &[Message<'_>]) -> Result<(), Refusal> {
        let refused = |text: &str| Err(ProtocolError::invalid_request(text).into());
        let version = match headers.session {
            Field::One(_) => Some(self.session_of_request(headers)?.version),
            Field::Absent | Field::Repeated => None,
        };
        // A header that claims another revision is that of a client which does not know what it speaks.
        let claimed = headers.version.text().is_none_or(|claimed| claimed == Version::V2025_03_26.as_str());
        if version != Some(Version::V2025_03_26) || headers.version == Field::Repeated || !claimed {
            return refused("Batches are served in sessions of 2025-03-26 only.");
        }
        if messages.len() > MOST {
            return refused(&format!("A batch has at most {MOST} messages."));
        }
        let responses = messages.iter().filter(|message| matches!(message, Message::Response(_))).count();
        if responses != 0 && responses != messages.len() {
            return refused("Responses are not in one batch with requests.");
        }
        for message in messages {
            let (Message::Request(call) | Message::Notification(call)) = message else { continue };
            // spec: TR-96: "initialize in a batch is refused"
            if call.known == Some(Method::Initialize) || call.meta.protocol_version_raw.is_some() {
                return refused("A message of this batch is not one of a session.");
            }
        }
        let mut ids: Vec<_> = messages.iter().filter_map(id_of).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return refused("Two requests of a batch have the same id.");
        }
        Ok(())
    }

    /// The same in a span of its own.
    async fn one_of_many(&self, headers: &Headers<'_>, message: &Message<'_>) -> Result<Option<String>, Refusal> {
        let span = match message {
            Message::Request(call) | Message::Notification(call) => correlation::message(call),
            Message::Response(_) => None,
        };
        correlation::within(span.as_ref().map(|span| span.place().clone()), self.one_of(headers, message)).await
    }

    /// What one message is answered with; nothing for what has no answer.
    async fn one_of(&self, headers: &Headers<'_>, message: &Message<'_>) -> Result<Option<String>, Refusal> {
        let served = async {
            match self.inbound.cleaned(message)? {
                None => self.serve_parsed(headers, message).await,
                Some(cleaned) => self.serve_parsed(headers, &message::message(text_of(&cleaned)?)?).await,
            }
        };
        let Message::Request(call) = message else {
            // Nobody waits for an answer, and its company does not suffer.
            drop(served.await);
            return Ok(None);
        };
        let (head, body) = served.await.unwrap_or_else(Refusal::into_response).into_parts();
        let body = gather(body).await.unwrap_or_default();
        let text = String::from_utf8(body).unwrap_or_default();
        if matches!(message::message(text.trim()), Ok(Message::Response(response)) if response.id.is_some()) {
            return Ok(Some(text));
        }
        let text = format!("The request was refused with status {}.", head.status.as_u16());
        let error = ProtocolError::internal(200, text).with_id(call.id);
        Ok(Some(String::from_utf8(error.to_json()).unwrap_or_default()))
    }
}

fn id_of(message: &Message<'_>) -> Option<portcullis_mcp::OwnedId> {
    match message {
        Message::Request(call) => call.id.map(|id| id.to_owned()),
        Message::Notification(_) | Message::Response(_) => None,
    }
}
