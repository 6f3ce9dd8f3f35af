//! A call that waited is judged anew, as if it came at that moment: by the rules, people, servers and definitions of then.
//! Only its place and what it waited for are kept.

use std::sync::{Arc, Mutex, PoisonError};

use portcullis_base::ApprovalId;
use tokio::time::Instant;

use crate::{
    caller::Caller,
    proxy::{
        crowd::Seat,
        parts::Parts,
        told::Reply,
        turn::{Place, Visit},
    },
    snapshot::Snapshot,
};

/// What a call waited for, and its place.
pub(in crate::proxy) struct Waited {
    pub id: ApprovalId,
    /// Until when it may go on waiting.
    pub until: Instant,
    seat: Mutex<Option<Seat>>,
}

/// What a request of 2026-07-28 waited for that comes back after its client was told to have a page opened.
pub(in crate::proxy) struct Back {
    pub id: ApprovalId,
    /// How often its client was told.
    pub round: u32,
    pub reply: Reply,
}

/// The present settings, and a caller with what they have now.
pub(in crate::proxy) struct Now {
    snapshot: Arc<Snapshot>,
    caller: Caller,
}

impl Waited {
    pub(super) fn new(id: ApprovalId, until: Instant, seat: Seat) -> Self {
        Self { id, until, seat: Mutex::new(Some(seat)) }
    }

    /// Its place, once.
    pub(in crate::proxy) fn seat(&self) -> Option<Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Now {
    /// `None` for whoever may do nothing any more.
    pub(in crate::proxy) fn of(parts: &Parts, caller: &Caller) -> Option<Self> {
        let snapshot = parts.snapshot.load_full();
        let mut caller = caller.clone();
        if let Some(person) = snapshot.people.get(&caller.person) {
            if person.shut_out {
                return None;
            }
            (caller.groups, caller.roles) = (person.groups.clone(), person.roles);
        }
        caller.sign_in = parts.fresh.of(&caller.grant).or(caller.sign_in);
        Some(Self { snapshot, caller })
    }
}

impl<'a> Visit<'a> {
    /// The same visit now, of a call that waited; `None` if its caller may not come here any more.
    pub(in crate::proxy) fn again<'n>(self, now: &'n Now, waited: &'n Waited) -> Option<Visit<'n>>
    where
        'a: 'n,
    {
        let Now { snapshot, caller } = now;
        let place = Place::of(snapshot, self.endpoint)?;
        let admitted = place.access().admits(caller.guest(self.parts.clock.now()));
        admitted.then_some(Visit { snapshot, caller, place, waited: Some(waited), ..self })
    }
}
