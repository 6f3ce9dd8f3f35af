//! Approvals: a call that waits for the word of humans, bound to exactly what it is, run once.
//!
//! Promises:
//! - What is approved is one call of one person through one client: server, tool, the tool's definition and the arguments
//!   are in the [digest](Call::binding) that the approval stands for, and so is the moment when it ends.
//! - It is run only when every demand has the words of as many different people as it wants, each of whom may give it and
//!   gave it surely enough; once; and never after its end.
//! - What is not a step of [`State`] cannot happen. After a crash nobody knows whether the call was made: that is a state,
//!   and nothing leads out of it.
//!
//! Deliberately absent: the arguments themselves, which whoever stores them keeps sealed, clocks and randomness.

mod admit;
mod binding;
mod spend;
mod standing;
mod state;
#[cfg(test)]
mod tests;
mod vote;

use std::{collections::BTreeMap, sync::Arc};

use portcullis_base::{ApprovalId, ClientId, Digest, PersonId, ServerName, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::{
    admit::{Admitted, Known, Terms, admit, ends_at},
    binding::{Arguments, Call, NotBound},
    spend::{By, SpendError, Spent, spend},
    standing::{Scope, StandError, Standing, cover, stand},
    state::State,
    vote::{Means, Step, VoteError, Voter, Word, is_asked, vote, withdraw},
};
use crate::ask::{Ask, Assurance};

/// A call that waits for humans, or waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its identifier. It gives nobody a right: links carry no authority.
    pub id: ApprovalId,
    /// Whose call it is.
    pub person: PersonId,
    /// Through which client.
    pub client: ClientId,
    /// At which server.
    pub server: ServerName,
    /// What is approved: [`Call::binding`].
    pub binding: Digest,
    /// The call and its demands, so that it is found when it comes again: [`Call::fold`].
    pub fold: Digest,
    /// Makes the binding one of its own.
    pub nonce: Arc<str>,
    /// What has to be met.
    pub demands: Arc<[Ask]>,
    /// What was said, at most once by each.
    pub votes: Vec<Vote>,
    /// How far it is. See [`Approval::state_at`].
    pub state: State,
    /// Since when it waits.
    pub asked_at: Timestamp,
    /// When it ends, granted or not.
    pub expires_at: Timestamp,
}

/// The word of somebody, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whose.
    pub person: PersonId,
    /// What they said.
    pub word: Word,
    /// How sure it is that it was they.
    pub assurance: Assurance,
    /// The demands that it counts for, by their place.
    pub counts: Vec<u32>,
    /// Whose word it is where it is not their own: by the place of the demand.
    pub instead_of: BTreeMap<u32, PersonId>,
    /// When.
    pub at: Timestamp,
}

impl Vote {
    /// Whose word it is at the demand at `place`.
    pub fn owner(&self, place: u32) -> &PersonId {
        self.instead_of.get(&place).unwrap_or(&self.person)
    }
}

/// How far a demand is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Words that count for it.
    pub have: u32,
    /// Words that it wants.
    pub want: u32,
}

impl Progress {
    /// Whether it is met.
    pub fn is_met(self) -> bool {
        self.have >= self.want.max(1)
    }
}

impl Approval {
    /// How far it is now: what waits, or was granted and not run, ends with its time.
    ///
    /// spec: T-81
    pub fn state_at(&self, now: Timestamp) -> State {
        if now >= self.expires_at && self.state.may_become(State::Expired) { State::Expired } else { self.state }
    }

    /// How far each demand is met.
    pub fn progress(&self) -> impl Iterator<Item = (&Ask, Progress)> {
        self.demands.iter().zip(0_u32..).map(|(ask, place)| {
            let counts = |vote: &&Vote| vote.word == Word::Approve && vote.counts.contains(&place);
            // Of whoever speaks for somebody and that somebody, one counts.
            let mut people: Vec<&PersonId> = self.votes.iter().filter(counts).map(|vote| vote.owner(place)).collect();
            people.sort_unstable();
            people.dedup();
            (ask, Progress { have: people.len() as u32, want: ask.quorum })
        })
    }

    /// Whether every demand is met. One that demands nothing is never met: it should not be here.
    pub fn is_met(&self) -> bool {
        !self.demands.is_empty() && self.progress().all(|(_, progress)| progress.is_met())
    }

    /// Those whose word counted.
    pub fn approvers(&self) -> impl Iterator<Item = (&PersonId, Assurance)> {
        let counted = self.votes.iter().filter(|vote| vote.word == Word::Approve && !vote.counts.is_empty());
        counted.map(|vote| (&vote.person, vote.assurance))
    }
}
