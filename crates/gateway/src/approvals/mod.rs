//! Calls that wait for humans, from the question to the one run: the law of `policy::approval` over the rows of the store,
//! with a line in the journal for every step.
//!
//! Promises:
//! - What waits is sealed, and what runs is what was sealed, once (spec: T-80, T-81).
//! - Whoever waits here hears of a decision at once if it was made here, and by the change feed if elsewhere; those who wait
//!   are counted, and too many are sent away.
//! - What was approved ahead is found in memory, and used up in the database.
//!
//! Deliberately absent: who may ask and why, which the rules say, and how people are told, which is the [`Herald`]'s.

mod ask;
mod call;
mod herald;
mod runs;
mod say;
mod standing;
mod wait;

use std::sync::Arc;

use portcullis_base::{ApprovalId, Clock, Digest, PersonId, Rng, Timestamp, token};
use portcullis_policy::approval::{Approval, Spent, StandError, State, Terms, VoteError};
use portcullis_store::{ApprovalRow, Run, Store, StoreError};

pub use self::{
    ask::About,
    call::{Stored, Wanted},
    herald::{Herald, Nobody},
    runs::{NotRun, Started},
    say::{Ahead, Said, Voice},
    wait::{Decided, MOST_WAITERS},
};
use crate::{
    journal::{Journal, JournalError},
    keys::Keys,
};

/// Calls that wait for humans.
pub struct Approvals {
    pub(crate) parts: Parts,
    bells: wait::Bells,
    standing: standing::StandingGrants,
    run: String,
}

/// What it is made of.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Seals what waits.
    pub keys: Arc<Keys>,
    /// Tells people.
    pub herald: Arc<dyn Herald>,
    /// How much may wait, and how fresh words have to be.
    pub terms: Terms,
    /// Our own address: where links lead, and which gateway a call is bound to.
    pub public_url: Arc<str>,
    /// The name of this node.
    pub node: Arc<str>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// Letters of what a call is bound to that are shown, on pages and in every other channel. spec: T-85
const CHECK_VALUE: usize = 12;

/// The beginning of what a call is bound to.
pub fn check_value(binding: &Digest) -> String {
    binding.to_base64url().chars().take(CHECK_VALUE).collect()
}

/// What became of a call that needs the word of a human.
#[derive(Debug)]
pub enum Asked {
    /// It was approved ahead, and that was used up by one: it goes on as it is.
    Covered(Spent),
    /// It waits, or was granted and not run: [`Approvals::decided`] tells.
    Waiting(Waiting),
    /// It may not even wait.
    Refused {
        /// For the caller: nothing secret.
        why: String,
        /// From when it may be tried again.
        again_at: Timestamp,
    },
}

/// A call that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its identifier.
    pub id: ApprovalId,
    /// The page where people decide. It gives nobody a right.
    pub link: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// How far it is.
    pub state: State,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The arguments can be read in two ways, or are no object.
    #[error("the arguments of the call can be read in more than one way, so nobody can approve it")]
    NotBound,
    /// Nobody can read so much.
    #[error("the arguments are {bytes} bytes; more than {most} cannot be approved, because nobody can read them")]
    TooLong {
        /// How long.
        bytes: usize,
        /// How long they may be.
        most: usize,
    },
    /// Too many wait on this node.
    #[error("too many calls wait for a decision at this node; try again later")]
    Crowded,
    /// There is no such approval.
    #[error("there is no such approval")]
    Missing,
    /// What was sealed does not open.
    #[error("the call that waits cannot be opened: its key is not in the key ring")]
    Sealed,
    /// A word does not count.
    #[error("the word does not count: {0:?}")]
    Vote(VoteError),
    /// Nothing is approved ahead.
    #[error("nothing was approved ahead: {0:?}")]
    Stand(StandError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Approvals {
    /// Those of this run of this node.
    pub fn new(parts: Parts) -> Self {
        let run = token::<12>(&*parts.rng);
        Self { parts, bells: wait::Bells::default(), standing: standing::StandingGrants::default(), run }
    }

    /// Takes in what was approved ahead, as it is now.
    pub async fn load_standing(&self) -> Result<(), StoreError> {
        self.standing.load(&self.parts.store, self.now()).await
    }

    /// Where people decide.
    pub fn link(&self, id: &ApprovalId) -> String {
        format!("{}/approvals/{id}", self.parts.public_url)
    }

    /// How much may wait, and how fresh words have to be.
    pub fn terms(&self) -> &Terms {
        &self.parts.terms
    }

    /// The call that waits.
    pub fn stored(&self, row: &ApprovalRow) -> Result<Stored, ApprovalError> {
        Stored::open(&self.parts.keys, row).ok_or(ApprovalError::Sealed)
    }

    fn this_run(&self) -> Run<'_> {
        Run { node: &self.parts.node, run: &self.run }
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Who gave the last word, and for whom: "bob for ada".
    async fn said_by(&self, approval: &Approval, person: &PersonId) -> Result<String, StoreError> {
        let mut name = self.name_of(person).await?;
        let vote = approval.votes.iter().find(|vote| vote.person == *person);
        if let Some(owner) = vote.and_then(|vote| vote.instead_of.values().next()) {
            name.push_str(" for ");
            name.push_str(&self.name_of(owner).await?);
        }
        Ok(name)
    }

    async fn name_of(&self, person: &PersonId) -> Result<String, StoreError> {
        let found = self.parts.store.person(person).await?;
        Ok(found.map_or_else(|| person.as_str().to_owned(), |person| person.name))
    }
}
