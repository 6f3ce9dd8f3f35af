//! Approvals ahead: the same call, or one like it, for a while, instead of "always". spec: T-84

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcullis_base::{ClientId, Digest, PersonId, ServerName, StandingGrantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Approval, Call, State, Voter, Word,
    spend::{By, Spent},
};
use crate::{ask::Ask, request::Target};

/// An approval ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its identifier.
    pub id: StandingGrantId,
    /// Whose calls.
    pub person: PersonId,
    /// Through which client.
    pub client: ClientId,
    /// At which server.
    pub server: ServerName,
    /// Which tool.
    pub tool: Arc<str>,
    /// The digest of the definition that it had: with another one it is another tool.
    pub definition: Digest,
    /// With which arguments.
    pub scope: Scope,
    /// The demands that it meets.
    pub demands: Arc<[Ask]>,
    /// How often yet; `None`: as often as there is time.
    pub uses_left: Option<u32>,
    /// Until when.
    pub ends_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// With which arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Exactly these.
    Exact(Digest),
    /// Whichever have these members with these values, by their digests. At least one.
    Members(BTreeMap<String, Digest>),
}

/// Why there is no approval ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandError {
    /// Only who can meet every demand alone can do so ahead.
    NotAlone,
    /// What is known of the tool would not tell when it changes, or it is no tool.
    NoDefinition,
    /// Such an argument is not there, or none is named.
    NoArgument,
    /// It is too long, too often, or over already.
    TooMuch,
}

impl Standing {
    /// The longest that it may last.
    pub const LONGEST: Duration = Duration::from_hours(8);
    /// The most uses that can be counted out.
    pub const MOST: u32 = 1000;
}

impl Scope {
    /// Exactly the arguments of `call`, or whichever agree with them in the members that are named.
    pub fn of(call: &Call<'_>, members: &[&str]) -> Result<Self, StandError> {
        if members.is_empty() {
            return Ok(Self::Exact(call.arguments.digest()));
        }
        let digest = |name: &&str| Some(((*name).to_owned(), call.arguments.member(name)?));
        members.iter().map(digest).collect::<Option<_>>().map(Self::Members).ok_or(StandError::NoArgument)
    }

    fn covers(&self, call: &Call<'_>) -> bool {
        match self {
            Self::Exact(digest) => call.arguments.digest() == *digest,
            Self::Members(members) => {
                !members.is_empty()
                    && members.iter().all(|(name, digest)| call.arguments.member(name).as_ref() == Some(digest))
            }
        }
    }
}

/// The approval ahead that comes of `voter` having approved this call, by whom alone every demand was met: others agreed to
/// one call only.
///
/// spec: T-82
pub fn stand(
    approval: &Approval,
    call: &Call<'_>,
    voter: &Voter<'_>,
    (id, scope, uses, ends_at): (StandingGrantId, Scope, Option<u32>, Timestamp),
    now: Timestamp,
) -> Result<Standing, StandError> {
    let said = approval.votes.iter().find(|vote| &vote.person == voter.somebody.person && vote.word == Word::Approve);
    let every =
        // What was lent is for one call at a time.
        || said.is_some_and(|vote| {
            vote.instead_of.is_empty() && (0..approval.demands.len() as u32).all(|place| vote.counts.contains(&place))
        });
    let granted = matches!(approval.state, State::Granted | State::Running | State::Done);
    let ours = call.binding(&approval.nonce, approval.expires_at) == approval.binding;
    if !granted || !ours || !every() || approval.demands.iter().any(|ask| ask.quorum > 1) {
        return Err(StandError::NotAlone);
    }
    let (Target::Tool(tool), Some(definition)) = (call.target, call.definition) else {
        return Err(StandError::NoDefinition);
    };
    if !scope.covers(call) {
        return Err(StandError::NoArgument);
    }
    let often = uses.is_none_or(|uses| (1..=Standing::MOST).contains(&uses));
    if !often || ends_at <= now || ends_at > now.plus(Standing::LONGEST) {
        return Err(StandError::TooMuch);
    }
    Ok(Standing {
        id,
        person: approval.person.clone(),
        client: approval.client.clone(),
        server: approval.server.clone(),
        tool: tool.into(),
        definition: *definition,
        scope,
        demands: Arc::clone(&approval.demands),
        uses_left: uses,
        ends_at,
        revoked_at: None,
    })
}

/// Whether `standing` covers `call`, of which `demands` are wanted. Whoever stores it takes one use off in the same
/// transaction and goes on only if there was one.
pub fn cover(standing: &Standing, call: &Call<'_>, demands: &[Arc<Ask>], now: Timestamp) -> Option<Spent> {
    let alive = standing.revoked_at.is_none() && now < standing.ends_at && standing.uses_left != Some(0);
    let same = &standing.person == call.person
        && &standing.client == call.client
        && &standing.server == call.server
        && call.target == Target::Tool(&standing.tool)
        && call.definition == Some(&standing.definition);
    let spent = Spent {
        by: By::Standing(standing.id.clone()),
        subject: call.subject(),
        demands: Arc::clone(&standing.demands),
    };
    (alive && same && standing.scope.covers(call) && spent.is_for(&spent.subject, demands)).then_some(spent)
}
