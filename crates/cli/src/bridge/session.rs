//! Sessions, which the revisions before 2026-07-28 have: which one is open, in which order it came to be, and how a lost one is
//! opened again without the client's noticing.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, header};
use portcullis_mcp::{
    Version, headers,
    message::{Message, Outcome},
    scan,
};
use tokio::{
    sync::{Mutex as Turn, watch},
    task::AbortHandle,
};

/// A session at the server.
#[derive(Debug, Default)]
pub struct Session {
    /// Its id, if the server gave one.
    pub id: Option<HeaderValue>,
    /// What was agreed.
    pub revision: Option<Version>,
}

/// The session of the client, and what opened it.
pub struct Sessions {
    state: Mutex<State>,
    /// Opening a lost one again is done once for all that noticed.
    pub turn: Turn<()>,
}

struct State {
    now: Arc<Session>,
    /// `initialize` and `notifications/initialized` as the client wrote them.
    opening: Option<Arc<str>>,
    ready: Option<Arc<str>>,
    /// Who reads the stream of what the server says unasked.
    listening: Option<AbortHandle>,
    gate: watch::Receiver<bool>,
}

/// Holds back what comes later, until it is dropped.
pub struct Gate(watch::Sender<bool>);

/// What must be open before a message is sent.
pub struct Waiting(watch::Receiver<bool>);

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.0.send(true);
    }
}

impl Waiting {
    /// Waits until everything that came before is done.
    pub async fn wait(mut self) {
        let _ = self.0.wait_for(|open| *open).await;
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let state =
            State { now: Arc::default(), opening: None, ready: None, listening: None, gate: watch::channel(true).1 };
        Self { state: Mutex::new(state), turn: Turn::default() }
    }
}

impl Sessions {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session that messages belong to now.
    pub fn now(&self) -> Arc<Session> {
        self.state().now.clone()
    }

    /// What was opened takes the place of what there was, which is given back.
    pub fn opened(&self, session: Session) -> Arc<Session> {
        let mut state = self.state();
        if let Some(listening) = state.listening.take() {
            listening.abort();
        }
        std::mem::replace(&mut state.now, Arc::new(session))
    }

    /// Who reads what the server says unasked.
    pub fn listens(&self, handle: AbortHandle) {
        if let Some(before) = self.state().listening.replace(handle) {
            before.abort();
        }
    }

    /// Keeps what opens a session, for when it is lost.
    pub fn keep_opening(&self, text: Arc<str>) {
        let mut state = self.state();
        (state.opening, state.ready) = (Some(text), None);
    }

    /// Keeps what says that the client is ready.
    pub fn keep_ready(&self, text: Arc<str>) {
        self.state().ready = Some(text);
    }

    /// What opened the session.
    pub fn opening(&self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        let state = self.state();
        (state.opening.clone(), state.ready.clone())
    }

    /// What has to be done before a message that comes now is sent.
    pub fn before(&self) -> Waiting {
        Waiting(self.state().gate.clone())
    }

    /// The same for a message that all later ones have to wait for.
    pub fn first(&self) -> (Waiting, Gate) {
        let (opens, gate) = watch::channel(false);
        (Waiting(std::mem::replace(&mut self.state().gate, gate)), Gate(opens))
    }
}

impl Session {
    /// The headers of a message in it.
    ///
    /// spec: TR-133: the id, and from 2025-06-18 on the revision.
    pub fn headers(&self) -> HeaderMap {
        let mut all = plain();
        if let Some(id) = &self.id {
            all.insert("mcp-session-id", id.clone());
        }
        if let Some(revision) = self.revision.filter(|revision| *revision >= Version::V2025_06_18) {
            all.insert("mcp-protocol-version", HeaderValue::from_static(revision.as_str()));
        }
        all
    }

    /// Reads the answer to `initialize`; `None` if it opens nothing.
    pub fn of(answer: &str, id: Option<HeaderValue>) -> Option<Self> {
        let Ok(Message::Response(response)) = portcullis_mcp::message::message(answer) else { return None };
        let Outcome::Result(result) = response.outcome else { return None };
        let revision = scan::member(result, "protocolVersion").and_then(scan::string);
        Some(Self { id, revision: revision.and_then(|revision| Version::parse(&revision)) })
    }
}

/// The id that the server gives a session in the head of its answer.
pub fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(headers::SESSION_ID.to_ascii_lowercase().as_str()).cloned()
}

/// What every message has.
pub fn plain() -> HeaderMap {
    let mut all = HeaderMap::new();
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    all.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    all
}
