//! A two-way line of JSON-RPC messages to one session of a server: the standard streams of a child process, or the two
//! halves of HTTP+SSE. What is spoken on it is the business of those who hold it; a line only carries.
//!
//! One message is one raw JSON text. Both ways are bounded, so whoever is slow slows the other side and nothing piles up.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use portcullis_base::{PersonId, SessionId};
use tokio::sync::mpsc;

use super::{Credential, UpstreamError};
pub use crate::config::Sharing;

/// Messages under way in each direction.
const DEPTH: usize = 16;

/// For whom a line is opened.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// Who asks; nobody if the gateway itself wants to know something.
    pub person: Option<PersonId>,
    /// What proves it to the server.
    pub credential: Credential,
    /// The client's session, for servers that keep one process for each.
    pub conversation: Option<SessionId>,
}

/// Opens lines to one server.
pub trait Lines: Send + Sync {
    /// A new line: a process is started, a connection is made. What it may have and see is `who`'s alone.
    fn open<'a>(&'a self, who: &'a Whose) -> BoxFuture<'a, Result<Line, UpstreamError>>;

    /// Who may be on one of its lines together.
    fn sharing(&self) -> Sharing {
        Sharing::default()
    }
}

/// Our end of a line. It ends when either half of it is dropped; what is at its other end is then ended too.
#[derive(Debug)]
pub struct Line {
    sender: Sender,
    receiver: Receiver,
}

/// The half that messages are given to.
#[derive(Clone, Debug)]
pub struct Sender {
    messages: mpsc::Sender<Box<str>>,
    ended: Arc<OnceLock<Ended>>,
}

/// The half that messages come from.
#[derive(Debug)]
pub struct Receiver {
    messages: mpsc::Receiver<Box<str>>,
    ended: Arc<OnceLock<Ended>>,
}

/// The other end, for whoever carries the messages on: the keeper of a process, or a test that plays the server.
#[derive(Debug)]
pub struct Far {
    given: mpsc::Receiver<Box<str>>,
    /// Where what came from the server is put.
    mouth: Mouth,
}

/// The half of the other end that speaks for the server.
#[derive(Clone, Debug)]
pub struct Mouth {
    messages: mpsc::Sender<Box<str>>,
    ended: Arc<OnceLock<Ended>>,
}

/// The half of the other end that hears for the server.
#[derive(Debug)]
pub struct Ear(mpsc::Receiver<Box<str>>);

/// How a line came to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// In order, or nobody said why.
    #[error("it closed the line")]
    Closed,
    /// Not in order. The text is for the log and an administrator: cut, printable and without secrets.
    #[error("{0}")]
    Broke(Arc<str>),
}

/// There is nobody at the other end any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetGo;

impl Line {
    /// A line and its other end.
    pub fn new() -> (Self, Far) {
        let ((down, given), (up, messages)) = (mpsc::channel(DEPTH), mpsc::channel(DEPTH));
        let ended = Arc::new(OnceLock::new());
        let line = Self {
            sender: Sender { messages: down, ended: ended.clone() },
            receiver: Receiver { messages, ended: ended.clone() },
        };
        (line, Far { given, mouth: Mouth { messages: up, ended } })
    }

    /// Gives the server one message; waits while it has not taken those before.
    pub async fn send(&self, message: Box<str>) -> Result<(), Ended> {
        self.sender.send(message).await
    }

    /// The server's next message, or nothing if the line has ended. Nothing is lost if the wait is given up.
    pub async fn receive(&mut self) -> Option<Box<str>> {
        self.receiver.receive().await
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.receiver.ended()
    }

    /// Both halves, for two tasks.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl Sender {
    /// Gives the server one message; waits while it has not taken those before.
    pub async fn send(&self, message: Box<str>) -> Result<(), Ended> {
        self.messages.send(message).await.map_err(|_| how(&self.ended))
    }

    /// How the line ended, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.messages.is_closed().then(|| how(&self.ended))
    }
}

impl Receiver {
    /// The server's next message, or nothing if the line has ended. Nothing is lost if the wait is given up.
    pub async fn receive(&mut self) -> Option<Box<str>> {
        self.messages.recv().await
    }

    /// How the line ended, if it did and everything that came before has been received.
    pub fn ended(&self) -> Option<Ended> {
        (self.messages.is_closed() && self.messages.is_empty()).then(|| how(&self.ended))
    }
}

impl Far {
    /// The next message for the server, or nothing if the line was let go.
    pub async fn hear(&mut self) -> Option<Box<str>> {
        self.given.recv().await
    }

    /// Says something for the server; waits while what came before has not been received.
    pub async fn say(&self, message: Box<str>) -> Result<(), LetGo> {
        self.mouth.say(message).await
    }

    /// Ends the line and says how it came to that. Without this it ends in order when it is dropped.
    pub fn end(self, how: Ended) {
        self.mouth.because(how);
    }

    /// Both halves, for two tasks.
    pub fn split(self) -> (Ear, Mouth) {
        (Ear(self.given), self.mouth)
    }
}

impl Ear {
    /// The next message for the server, or nothing if the line was let go.
    pub async fn hear(&mut self) -> Option<Box<str>> {
        self.0.recv().await
    }
}

impl Mouth {
    /// Says something for the server; waits while what came before has not been received.
    pub async fn say(&self, message: Box<str>) -> Result<(), LetGo> {
        self.messages.send(message).await.map_err(|_| LetGo)
    }

    /// Waits until nobody receives any more.
    pub async fn let_go(&self) {
        self.messages.closed().await;
    }

    /// Says how the line came to its end, before it is dropped. The first word counts.
    pub fn because(&self, how: Ended) {
        let _ = self.ended.set(how);
    }
}

fn how(ended: &OnceLock<Ended>) -> Ended {
    ended.get().cloned().unwrap_or(Ended::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_arrives_in_order_and_the_end_says_why() {
        let (mut line, mut far) = Line::new();
        line.send("1".into()).await.expect("sent");
        line.send("2".into()).await.expect("sent");
        assert_eq!((far.hear().await.as_deref(), far.hear().await.as_deref()), (Some("1"), Some("2")));
        far.say("3".into()).await.expect("said");
        assert_eq!(line.ended(), None);
        let broke = Ended::Broke("it was killed by signal 9".into());
        far.end(broke.clone());
        assert_eq!(line.ended(), None, "what was said before the end is received first");
        assert_eq!((line.receive().await.as_deref(), line.receive().await), (Some("3"), None));
        assert_eq!((line.ended(), line.send("4".into()).await), (Some(broke.clone()), Err(broke)));
    }

    #[tokio::test]
    async fn either_half_that_is_dropped_is_noticed_at_the_other_end() {
        let (line, mut far) = Line::new();
        let (sender, receiver) = line.split();
        drop(receiver);
        far.mouth.let_go().await;
        assert_eq!(far.say("lost".into()).await, Err(LetGo));
        drop(sender);
        assert_eq!(far.hear().await, None);
        let (mut line, far) = Line::new();
        drop(far);
        assert_eq!((line.receive().await, line.ended()), (None, Some(Ended::Closed)));
    }
}
