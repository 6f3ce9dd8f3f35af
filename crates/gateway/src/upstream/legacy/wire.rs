//! The two ways to a session of a legacy server, and what comes by them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ::http::{HeaderMap, HeaderName, Request, header};
use bytes::Bytes;
use portcullis_base::{Holder, PersonId, SessionId};
use tokio::sync::mpsc;

use super::{cable::Cable, http::Http};
use crate::upstream::{Asker, Conversation, Credential, For, UpstreamError, line::Whose};

/// Ids that nothing else said to the server has.
#[derive(Debug)]
pub(in crate::upstream) struct Ids(AtomicU64);

impl Default for Ids {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Ids {
    // spec: BR-2, TR-131
    pub(in crate::upstream) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Messages of one call that wait for whoever follows it.
pub(super) const WAITING: usize = 64;

/// On whose behalf something is said.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream) struct Caller {
    pub person: Option<PersonId>,
    pub credential: Credential,
    pub conversation: Option<SessionId>,
    /// Who is there to come back, if it is somebody in this process.
    pub asker: Option<Asker>,
    /// What every request of this caller has as headers, besides those of the protocol.
    pub headers: HeaderMap,
}

impl Caller {
    /// The one behind a modern request.
    pub(in crate::upstream) fn of(request: &Request<Bytes>, credential: Credential) -> Self {
        let extensions = request.extensions();
        let headers = request.headers().iter().filter(|(name, _)| passes(name));
        let asks = extensions.get::<For>().map(|For(person)| person.clone());
        // What the gateway itself wants to know it asks with somebody's credential: what that opens is theirs alone.
        // spec: TR-161
        let holds = || match credential.holder()? {
            Holder::Person(person) => Some(person.clone()),
            Holder::Shared => None,
        };
        Self {
            person: asks.or_else(holds),
            conversation: extensions.get::<Conversation>().map(|Conversation(session)| session.clone()),
            asker: extensions.get::<Asker>().cloned(),
            credential,
            headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// For whom a line is opened.
    pub(in crate::upstream) fn whose(&self) -> Whose {
        Whose {
            person: self.person.clone(),
            credential: self.credential.clone(),
            conversation: self.conversation.clone(),
        }
    }
}

/// Whether a header of a modern request goes on to a legacy server.
// spec: BR-78: "Put no Mcp-Method, Mcp-Name or Mcp-Param-* header on a legacy hop"
fn passes(name: &HeaderName) -> bool {
    let ours = [
        header::HOST,
        header::USER_AGENT,
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::ACCEPT_ENCODING,
    ];
    !name.as_str().starts_with("mcp-") && !ours.contains(name)
}

/// What comes while a request is open.
#[derive(Debug)]
pub(super) enum Came {
    /// Its answer.
    Answer(Box<str>),
    /// A request of the server that belongs to it.
    Request(Box<str>),
    /// A notification that belongs to it.
    Notification(Box<str>),
    /// A sign of life.
    Alive,
    /// No more will come.
    Lost(UpstreamError),
}

/// What comes while one request is open. Dropped, nothing more of it is read.
pub(super) type Events = mpsc::Receiver<Came>;

/// Why something could not be said.
#[derive(Debug)]
pub(super) enum Fault {
    /// The session is no more; what was said was not heard.
    Gone,
    /// Anything else.
    Upstream(UpstreamError),
}

impl From<UpstreamError> for Fault {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<Fault> for UpstreamError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Self::Unusable("it lost the session"),
            Fault::Upstream(error) => error,
        }
    }
}

/// A request for the wire.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    /// The id that we gave it, which is its progress token too.
    pub id: u64,
    /// The whole message.
    pub body: String,
    /// Whether the server may turn to the client because of it.
    pub kind: Kind<'a>,
    /// Whether it may be sent once more.
    pub repeatable: Repeats,
}

/// What may come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// An answer, and nothing that the client is asked.
    Plain,
    /// The server may turn to the client.
    Interactive,
    /// The same, for this task.
    Task(&'a str),
}

/// Whether a request may be sent once more although the first may have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    Never,
    Freely,
}

/// The way to one session.
pub(super) enum Wire {
    Http(Arc<Http>),
    Line(Cable),
}

impl Wire {
    /// Puts a request.
    pub(super) async fn ask(&self, caller: &Caller, asking: Asking<'_>) -> Result<Events, Fault> {
        match self {
            Self::Http(http) => http.ask(caller, asking).await,
            Self::Line(cable) => cable.ask(asking).await,
        }
    }

    /// Says something that has no answer: a notification, or the answer to a request of the server.
    pub(super) async fn tell(&self, caller: &Caller, message: String) -> Result<(), Fault> {
        match self {
            Self::Http(http) => http.tell(caller, message).await,
            Self::Line(cable) => cable.tell(message).await,
        }
    }

    /// Whether nothing can be said any more.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Http(http) => http.is_over(),
            Self::Line(cable) => cable.is_over(),
        }
    }

    /// Ends the session.
    // spec: TR-135
    pub(super) async fn close(&self) {
        match self {
            Self::Http(http) => http.close().await,
            Self::Line(cable) => cable.close(),
        }
    }
}
