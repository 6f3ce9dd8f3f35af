//! The word of a human: whose counts, for which demands, and what comes of it.

use std::{collections::BTreeMap, time::Duration};

use portcullis_base::{Digest, PersonId, Timestamp};

use super::{Approval, State, Terms, Vote};
use crate::{
    ask::{Ask, Assurance},
    who::{Kind, Somebody},
};

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Yes.
    Approve,
    /// No, and why.
    Refuse(Box<str>),
}

/// Somebody who says it.
#[derive(Clone, Copy, Debug)]
pub struct Voter<'a> {
    /// Who.
    pub somebody: Somebody<'a>,
    /// How they say it.
    pub means: Means,
    /// The surest way that they have.
    pub surest: Assurance,
    /// Those who lent them their word while they are away, as they are at this moment.
    pub instead_of: &'a [Somebody<'a>],
}

/// How somebody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Their client program says that they do. spec: T-107
    Elicitation,
    /// A signed button in a chat.
    Chat,
    /// A page, signed in at this moment.
    Session(Timestamp),
    /// A page, and a passkey that has signed this.
    Passkey(Digest),
}

impl Means {
    /// How sure that is.
    pub const fn assurance(self) -> Assurance {
        match self {
            Self::Elicitation => Assurance::Elicitation,
            Self::Chat => Assurance::Chat,
            Self::Session(_) => Assurance::Session,
            Self::Passkey(_) => Assurance::Passkey,
        }
    }
}

/// What comes of a word: it is kept, in place of what they said before, and this is how far the approval is then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The vote.
    pub vote: Vote,
    /// `Pending`, `Granted` or `Refused`.
    pub state: State,
}

/// Why a word does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteError {
    /// It is decided already, or its time is over.
    Over(State),
    /// They are not asked.
    NotAsked,
    /// It is their own call, and somebody else has to agree.
    Own,
    /// The sign-in was too long ago. spec: T-82
    SignInAgain {
        /// How long ago it may have been.
        within: Duration,
    },
    /// The passkey signed something else.
    OtherSignature,
    /// It has to be surer that it is they.
    TooWeak {
        /// What would do.
        needed: Assurance,
    },
    /// They have said so already.
    Already,
}

/// What comes of what `voter` says. One word counts for each demand that it satisfies; a refusal ends it.
///
/// spec: T-82
pub fn vote(
    approval: &Approval,
    voter: &Voter<'_>,
    word: Word,
    terms: &Terms,
    now: Timestamp,
) -> Result<Step, VoteError> {
    match approval.state_at(now) {
        State::Pending => {}
        over => return Err(VoteError::Over(over)),
    }
    let somebody = &voter.somebody;
    let own = somebody.person == &approval.person;
    // Where their own word counts, nobody else's is used.
    let named = approval.demands.iter().zip(0_u32..).filter_map(|(ask, place)| {
        let lender = if ask.is_approver(somebody, &approval.person) {
            None
        } else {
            Some(lender(approval, voter, (ask, place), &word)?)
        };
        Some((ask, place, lender))
    });
    let named: Vec<(&Ask, u32, Option<&PersonId>)> = named.collect();
    let mut vote = Vote {
        person: somebody.person.clone(),
        word,
        assurance: voter.means.assurance(),
        counts: Vec::new(),
        instead_of: BTreeMap::new(),
        at: now,
    };
    if matches!(vote.word, Word::Refuse(_)) {
        // Whoever may stop something need not prove as much as whoever lets it go on; and one's own call one may always stop.
        let may = somebody.kind == Kind::Person && (own || !named.is_empty());
        return if may { Ok(Step { vote, state: State::Refused }) } else { Err(VoteError::NotAsked) };
    }
    if named.is_empty() {
        return Err(if own { VoteError::Own } else { VoteError::NotAsked });
    }
    match voter.means {
        // spec: T-82: "approver identity re-authenticated <= 5 min or WebAuthn with challenge = binding hash"
        Means::Session(at) if now.since(at) > terms.sign_in => {
            return Err(VoteError::SignInAgain { within: terms.sign_in });
        }
        Means::Passkey(signed) if signed != approval.binding => return Err(VoteError::OtherSignature),
        _ => {}
    }
    let enough = |ask: &Ask| vote.assurance >= needed(ask, voter);
    let (mut counts, mut instead_of) = (Vec::new(), BTreeMap::new());
    for (ask, place, lender) in &named {
        if enough(ask) {
            counts.push(*place);
            instead_of.extend(lender.map(|lender| (*place, lender.clone())));
        }
    }
    (vote.counts, vote.instead_of) = (counts, instead_of);
    if vote.counts.is_empty() {
        let needed = named.iter().map(|(ask, ..)| needed(ask, voter)).min().unwrap_or(Assurance::Passkey);
        return Err(VoteError::TooWeak { needed });
    }
    if let Some(before) = approval.votes.iter().find(|before| before.person == vote.person) {
        // Saying it again is of use only where it is surer than the last time.
        if vote.counts.iter().all(|place| before.counts.contains(place)) {
            return Err(VoteError::Already);
        }
    }
    let mut after = approval.clone();
    after.votes.retain(|before| before.person != vote.person);
    after.votes.push(vote.clone());
    let state = if after.is_met() { State::Granted } else { State::Pending };
    Ok(Step { vote, state })
}

/// Whether `voter` is asked for a word on it at all: their own, or one that they were lent.
pub fn is_asked(approval: &Approval, voter: &Voter<'_>) -> bool {
    let no = Word::Refuse(Box::default());
    approval.demands.iter().zip(0_u32..).any(|(ask, place)| {
        ask.is_approver(&voter.somebody, &approval.person) || lender(approval, voter, (ask, place), &no).is_some()
    })
}

/// Whose word `voter` may give at one demand in their stead. A word that was lent is worth one, whoever gives it: what its
/// owner has said, or another who stands in for them, is not said again.
///
/// spec: T-82: nobody comes by a word about their own call this way, and nobody's own call is let through by a word that they
/// lent. What was lent is not lent on: `instead_of` has those who lent their own.
fn lender<'a>(approval: &Approval, voter: &Voter<'a>, (ask, place): (&Ask, u32), word: &Word) -> Option<&'a PersonId> {
    let (caller, voter_id) = (&approval.person, voter.somebody.person);
    if voter.somebody.kind != Kind::Person || voter_id == caller {
        return None;
    }
    let said = |owner: &PersonId| {
        let others = approval.votes.iter().filter(|vote| vote.person != *voter_id && vote.word == Word::Approve);
        others.filter(|vote| vote.counts.contains(&place)).any(|vote| vote.owner(place) == owner)
    };
    let lends = |owner: &&Somebody<'a>| {
        owner.person != caller
            && owner.person != voter_id
            && ask.is_approver(owner, caller)
            && (*word != Word::Approve || !said(owner.person))
    };
    voter.instead_of.iter().find(lends).map(|owner| owner.person)
}

/// How sure a demand has to be of this voter.
fn needed(ask: &Ask, voter: &Voter<'_>) -> Assurance {
    let rather = ask.rather.filter(|rather| *rather <= voter.surest);
    rather.map_or(ask.assurance, |rather| rather.max(ask.assurance))
}

/// Whether `person` may take back an approval: their own, before it is run.
pub fn withdraw(approval: &Approval, person: &PersonId, now: Timestamp) -> Result<State, VoteError> {
    let state = approval.state_at(now);
    if !state.may_become(State::Withdrawn) {
        return Err(VoteError::Over(state));
    }
    if person == &approval.person { Ok(State::Withdrawn) } else { Err(VoteError::NotAsked) }
}
