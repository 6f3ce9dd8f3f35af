//! Calls that wait for their person.
//!
//! A call of a legacy server that asks for something in the middle cannot be made again, so it stays open while its client
//! is away to get the answers. What the client takes along is a handle: unguessable, good for one person, and once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_base::{PersonId, ServerName, token};
use portcullis_mcp::message::{INVALID_PARAMS, ProtocolError};
use tokio::sync::oneshot;

use super::{front::Front, wanted::Wanted, wire::Caller};
use crate::system::SystemRng;

/// Calls that may wait at one server at one time, for all together.
const ALL: usize = 1024;

/// The calls of one server that wait.
pub(super) struct Parked {
    calls: Mutex<HashMap<Box<str>, Waiting>>,
    /// How many each person may have.
    each: usize,
    rng: SystemRng,
}

struct Waiting {
    person: Option<PersonId>,
    back: oneshot::Sender<Return>,
}

/// A client that comes back.
pub(super) struct Return {
    pub caller: Caller,
    pub wanted: Wanted,
    /// The raw `inputResponses`.
    pub answers: Option<Box<str>>,
    pub front: Front,
}

/// The handle of a call that waits. It is worth nothing once this is dropped.
pub(super) struct Ticket {
    parked: Arc<Parked>,
    pub handle: Box<str>,
}

impl Parked {
    pub(super) fn new(each: usize) -> Arc<Self> {
        Arc::new(Self { calls: Mutex::default(), each, rng: SystemRng::new() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Waiting>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// A place to wait at; `None` if there is none.
    // spec: T-64: no server fills this by asking and never being answered
    pub(super) fn park(self: &Arc<Self>, person: Option<&PersonId>) -> Option<(Ticket, oneshot::Receiver<Return>)> {
        let (back, returns) = oneshot::channel();
        let handle: Box<str> = token::<24>(&self.rng).into();
        let mut calls = self.lock();
        let own = calls.values().filter(|waiting| waiting.person.as_ref() == person).count();
        if calls.len() >= ALL || own >= self.each {
            return None;
        }
        calls.insert(handle.clone(), Waiting { person: person.cloned(), back });
        drop(calls);
        Some((Ticket { parked: self.clone(), handle }, returns))
    }

    /// Goes on with the call behind `handle`; gives the one who came back back if there is none of theirs.
    // spec: BR-62: "single-use on the server side"
    pub(super) fn go_on(&self, handle: &str, returning: Box<Return>) -> Result<(), Box<Return>> {
        let mut calls = self.lock();
        match calls.get(handle) {
            Some(waiting) if waiting.person == returning.caller.person => {}
            _ => return Err(returning),
        }
        let Some(waiting) = calls.remove(handle) else { return Err(returning) };
        drop(calls);
        waiting.back.send(*returning).map_err(Box::new)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.parked.lock().remove(&self.handle);
    }
}

/// The answer to one who comes back for a call that does not wait, or no longer.
// spec: BR-48: "-32602 telling that the interaction expired"
// spec: BR-49: "answer with BR-48's error if it is gone"
pub(super) fn expired(name: &ServerName) -> ProtocolError {
    let text = format!(
        "This interaction with {name} is not here: it has expired, was already continued or given up, began on another node, \
         or the gateway was restarted since. Make the call again without requestState."
    );
    ProtocolError::new(INVALID_PARAMS, 400, text)
}
