//! A client of 2026-07-28 in this process: what a visit becomes when its connection need not stay for what it asks.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::Body;
use portcullis_base::{ServerName, SessionId};
use portcullis_mcp::{
    Message, Method, ProtocolError, Version,
    message::{self},
    sse,
};
use tokio::sync::watch;

use super::feed::Refused;
use crate::{
    caller::Caller,
    proxy::{
        Local,
        answer::Answer,
        approval::Now,
        crowd::Crowd,
        decide::Calls,
        hold::Line,
        inbound::Inbound,
        parts::Parts,
        receive::Accepts,
        refusal::Refusal,
        turn::{Form, Place, Visit, form},
    },
    snapshot::Snapshot,
    upstream::Asker,
};

/// The largest answer that is translated.
const LARGEST: usize = 16 << 20;

/// Who asks, kept for as long as it takes.
#[derive(Clone)]
pub(super) struct Host {
    pub parts: Arc<Parts>,
    pub caller: Caller,
    pub endpoint: ServerName,
    pub session: Option<SessionId>,
    /// What its client did, where that is put in other words.
    did: Option<Method>,
    pub local: Arc<Local>,
    calls: Arc<Calls>,
    crowd: Arc<Crowd>,
    headers: HeaderMap,
    address: Option<std::net::IpAddr>,
    /// Says that somebody is here, for as long as there is.
    _here: Arc<watch::Sender<()>>,
    asker: Asker,
}

/// What came of one request: a message, or a refusal that is more than one.
pub(super) enum Came {
    /// The answer, whole.
    Answer(String),
    /// A status and headers that the client has to see.
    Refused(Refused),
    /// Nothing that can be used.
    Broken,
}

impl Host {
    pub(super) fn of(visit: &Visit<'_>, session: Option<&SessionId>) -> Self {
        let (here, there) = watch::channel(());
        Self {
            parts: visit.parts.clone(),
            caller: visit.caller.clone(),
            endpoint: visit.endpoint.clone(),
            session: session.cloned(),
            did: None,
            local: visit.local.clone(),
            calls: visit.calls.clone(),
            crowd: visit.crowd.clone(),
            headers: visit.inbound.headers().clone(),
            address: visit.address,
            _here: Arc::new(here),
            asker: Asker(there),
        }
    }

    /// For a client that did this, in other words.
    pub(super) fn doing(self, did: Method) -> Self {
        Self { did: Some(did), ..self }
    }

    /// Puts a request of 2026-07-28, whose answer is read from the [`Hearing`].
    ///
    /// The settings are those of now: what goes on for long is judged by the rules that hold when it goes on.
    pub(super) async fn ask(&self, text: &str, method: Method) -> Hearing {
        self.ask_hearing(text, method, None).await
    }

    /// The same for a client that can be told of it before the answer begins.
    pub(super) async fn ask_hearing(&self, text: &str, method: Method, line: Option<&Line>) -> Hearing {
        let Ok(message @ Message::Request(_)) = message::message(text) else { return Hearing::Whole(Came::Broken) };
        let snapshot = self.parts.snapshot.load_full();
        let no_server = || Refusal::no_server(&self.parts.settings, &self.endpoint).into_response();
        let Some(visit) = self.visit(&snapshot, line) else { return Hearing::of(no_server()).await };
        let mut asked = Box::pin(visit.modern(None, &message, Version::V2026_07_28, Some(method))).await;
        loop {
            let waited = match asked.map_err(Refusal::waited) {
                Ok(response) => return Hearing::of(response).await,
                Err(Err(refusal)) => return Hearing::of(refusal.into_response()).await,
                Err(Ok(waited)) => waited,
            };
            let now = Now::of(&self.parts, &self.caller);
            let Some(visit) = now.as_ref().and_then(|now| visit.again(now, &waited)) else {
                return Hearing::of(no_server()).await;
            };
            asked = Box::pin(visit.modern(None, &message, Version::V2026_07_28, Some(method))).await;
        }
    }

    fn visit<'a>(&'a self, snapshot: &'a Arc<Snapshot>, line: Option<&'a Line>) -> Option<Visit<'a>> {
        let place = Place::of(snapshot, &self.endpoint)?;
        // What is there may have been closed to its caller meanwhile.
        place.access().admits(self.caller.guest(self.parts.clock.now())).then(|| Visit {
            parts: &self.parts,
            calls: &self.calls,
            crowd: &self.crowd,
            snapshot,
            caller: &self.caller,
            endpoint: &self.endpoint,
            place,
            conversation: self.session.as_ref(),
            asker: Some(&self.asker),
            did: self.did,
            line,
            waited: None,
            accepts: Accepts { json: true, events: true },
            inbound: Inbound::of(&self.headers),
            local: &self.local,
            address: self.address,
        })
    }
}

/// An answer that is being heard.
pub(super) enum Hearing {
    /// It is whole.
    Whole(Came),
    /// It comes in pieces.
    Stream(Stream),
    /// It has been heard.
    Over,
}

/// A stream of events that is being heard.
pub(super) struct Stream {
    body: Answer,
    decoder: sse::Decoder,
    waiting: VecDeque<String>,
}

/// The next that is heard.
pub(super) enum Heard {
    /// A notification, whole.
    Notification(String),
    /// The end.
    Last(Came),
}

impl Hearing {
    async fn of(response: Response<Answer>) -> Self {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK && matches!(form(&head.headers), Form::Events) {
            let decoder = sse::Decoder::new(sse::Limits::default());
            return Self::Stream(Stream { body, decoder, waiting: VecDeque::new() });
        }
        let is_json = matches!(form(&head.headers), Form::Json);
        let Some(body) = gather(body).await else { return Self::Whole(Came::Broken) };
        // What only a status and a header can say: who may ask again, and how.
        let special = matches!(head.status.as_u16(), 401 | 403 | 429 | 503);
        if special || !is_json || body.is_empty() {
            let mut headers = head.headers;
            headers.remove(header::CONTENT_LENGTH);
            return Self::Whole(Came::Refused(Refused { status: head.status, headers, body }));
        }
        Self::Whole(String::from_utf8(body).map_or(Came::Broken, Came::Answer))
    }

    /// The next of it. It can be given up at any time, and then nothing of it is lost.
    pub(super) async fn next(&mut self) -> Heard {
        match self {
            Self::Stream(stream) => {
                let heard = stream.next().await;
                if matches!(heard, Heard::Last(_)) {
                    *self = Self::Over;
                }
                heard
            }
            Self::Whole(_) => match std::mem::replace(self, Self::Over) {
                Self::Whole(came) => Heard::Last(came),
                _ => Heard::Last(Came::Broken),
            },
            Self::Over => Heard::Last(Came::Broken),
        }
    }
}

impl Stream {
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(text) = self.waiting.pop_front() {
                match message::message(&text) {
                    Ok(Message::Notification(_)) => return Heard::Notification(text),
                    Ok(Message::Response(_)) => return Heard::Last(Came::Answer(text)),
                    _ => continue,
                }
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            let Some(Ok(frame)) = frame else { return Heard::Last(Came::Broken) };
            let Ok(data) = frame.into_data() else { continue };
            let waiting = &mut self.waiting;
            let fed = self.decoder.feed(&data, |event| {
                waiting.extend(event.is_message().then_some(event.data).flatten().map(|data| data.trim().to_owned()));
            });
            if fed.is_err() {
                return Heard::Last(Came::Broken);
            }
        }
    }
}

/// A whole body; `None` if it is too large or breaks off.
pub(in crate::proxy) async fn gather(mut body: Answer) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data: Bytes = frame.ok()?.into_data().ok()?;
        out.extend_from_slice(&data);
        if out.len() > LARGEST {
            return None;
        }
    }
    Some(out)
}

/// An error of ours for the client.
pub(super) fn internal(text: impl Into<String>) -> ProtocolError {
    ProtocolError::internal(200, text)
}
