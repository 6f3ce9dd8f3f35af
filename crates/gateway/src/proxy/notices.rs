//! What the gateway itself says on a stream that is open: that its person has connected, so that a client need not ask.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_base::{Holder, PersonId, ServerName, SessionId};
use portcullis_mcp::{OwnedId, message::META_SUBSCRIPTION_ID, sse::Event};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::Local;
use crate::connections::Appeared;

type Appearing = Pin<Box<dyn Future<Output = Option<Receiver<Appeared>>> + Send>>;

/// What is to be said when a connection appears.
pub(super) struct Notices {
    appearing: Option<Appearing>,
    whose: Watched,
    tell: Tell,
}

/// Whose connections, and where.
#[derive(Clone)]
pub(super) struct Watched {
    pub server: ServerName,
    pub person: PersonId,
}

/// To whom.
pub(super) enum Tell {
    /// The client of a session: pages that it was told of are done with, and lists that were ours are not any more.
    Session { id: SessionId, local: Arc<Local>, lists: Lists },
    /// The client that listens by this request: these lists have changed.
    Listener { id: OwnedId, methods: Vec<&'static str> },
}

/// Whose lists a client was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// Those that the gateway remembered, or none.
    Ours,
    /// The upstream's.
    Theirs,
}

/// The notifications for lists that changed.
pub(super) const CHANGED: [&str; 3] =
    ["notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed"];

impl Notices {
    /// Of what appears from now on, as `news` says.
    pub(super) fn new(news: Receiver<Appeared>, whose: Watched, tell: Tell) -> Self {
        Self { appearing: Some(Box::pin(appearing(news, whose.clone()))), whose, tell }
    }

    /// What is to be said now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Event>> {
        let Some(waiting) = &mut self.appearing else { return Poll::Pending };
        let Poll::Ready(news) = waiting.as_mut().poll(cx) else { return Poll::Pending };
        self.appearing = news.map(|news| Box::pin(appearing(news, self.whose.clone())) as Appearing);
        if self.appearing.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(self.tell.words())
    }
}

impl Tell {
    fn words(&self) -> Vec<Event> {
        match self {
            // spec: UP-63: "send notifications/elicitation/complete when done"
            Self::Session { id, local, lists } => {
                let done = local.elicited.take(id);
                let done = done.iter().map(|id| {
                    let params = serde_json::json!({ "elicitationId": id });
                    format!(r#"{{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{params}}}"#)
                });
                let changed = CHANGED.iter().filter(|_| *lists == Lists::Ours);
                let changed = changed.map(|method| format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
                done.chain(changed).map(Event::message).collect()
            }
            Self::Listener { id, methods } => {
                let id = id.to_json();
                let meta = format!(r#"{{"{META_SUBSCRIPTION_ID}":{id}}}"#);
                let changed = methods
                    .iter()
                    .map(|method| format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{meta}}}}}"#));
                changed.map(Event::message).collect()
            }
        }
    }
}

/// The news, after what was waited for; `None` if there will be none.
async fn appearing(mut news: Receiver<Appeared>, whose: Watched) -> Option<Receiver<Appeared>> {
    loop {
        match news.recv().await {
            Ok(appeared) if whose.is(&appeared) => return Some(news),
            // What was missed may have been it: to say too much makes a client look, and no more.
            Err(RecvError::Lagged(_)) => return Some(news),
            Ok(_) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

impl Watched {
    fn is(&self, appeared: &Appeared) -> bool {
        let theirs = match &appeared.holder {
            Holder::Person(person) => *person == self.person,
            Holder::Shared => true,
        };
        theirs && appeared.server == self.server
    }
}
