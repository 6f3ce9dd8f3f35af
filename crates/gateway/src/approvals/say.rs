//! What people say: yes, no, yes also for a while; and taking it back.

use std::time::Duration;

use portcullis_audit::{Actor, Kind, Outcome};
use portcullis_base::{ApprovalId, PersonId, StandingGrantId};
use portcullis_policy::approval::{Scope, Standing, State, Voter, Word, stand, vote, withdraw};
use portcullis_store::{ApprovalRow, StandingRow};

use super::{ApprovalError, Approvals, Wanted};

/// Somebody who says something, and where from.
pub struct Voice<'a> {
    /// As the law looks at them.
    pub voter: Voter<'a>,
    /// As the record does.
    pub actor: Actor,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// How far the approval is then.
    pub state: State,
    /// The approval.
    pub row: ApprovalRow,
}

/// An approval ahead that somebody wishes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The members of the arguments that have to be as they are; none: all of them.
    pub members: Vec<String>,
    /// How often.
    pub uses: Option<u32>,
    /// For how long.
    pub lasts: Duration,
}

impl Approvals {
    /// Takes the word of somebody.
    ///
    /// spec: T-82
    pub async fn say(&self, id: &ApprovalId, voice: &Voice<'_>, word: &Word) -> Result<Said, ApprovalError> {
        let (parts, now) = (&self.parts, self.now());
        let decide = |row: &ApprovalRow| vote(&row.approval, &voice.voter, word.clone(), &parts.terms, now);
        let (step, row) = parts.store.vote_approval(id, now, decide).await?.ok_or(ApprovalError::Missing)?;
        let step = step.map_err(ApprovalError::Vote)?;
        let said = match word {
            Word::Approve => "approve",
            Word::Refuse(_) => "refuse",
        };
        let mut event = self
            .event(Kind::ApprovalVoted, voice.actor.clone(), &row)
            .text("word", said)
            .text("assurance", step.vote.assurance.as_str());
        if !step.vote.instead_of.is_empty() {
            let mut owners: Vec<&str> = step.vote.instead_of.values().map(PersonId::as_str).collect();
            owners.dedup();
            event = event.text("instead_of", owners.join(" "));
        }
        if let Word::Refuse(why) = word {
            event = event.text("why", why.to_string());
        }
        parts.journal.append(event).await?;
        let kind = match step.state {
            State::Granted => Some(Kind::ApprovalGranted),
            State::Refused => Some(Kind::ApprovalRefused),
            _ => None,
        };
        if let Some(kind) = kind {
            let outcome = if kind == Kind::ApprovalRefused { Outcome::Denied } else { Outcome::Success };
            parts.journal.append(self.event(kind, voice.actor.clone(), &row).outcome(outcome)).await?;
            parts.herald.decided(&row);
        }
        self.bells.ring([id]);
        Ok(Said { state: step.state, row })
    }

    /// Takes back what somebody asked for themselves.
    pub async fn withdraw(&self, id: &ApprovalId, person: &PersonId, actor: Actor) -> Result<(), ApprovalError> {
        let (parts, now) = (&self.parts, self.now());
        let decide = |row: &ApprovalRow| withdraw(&row.approval, person, now);
        let state = parts.store.withdraw_approval(id, person, now, decide).await?.ok_or(ApprovalError::Missing)?;
        state.map_err(ApprovalError::Vote)?;
        self.bells.ring([id]);
        if let Some(row) = parts.store.approval(id).await? {
            parts.journal.append(self.event(Kind::ApprovalWithdrawn, actor, &row)).await?;
            parts.herald.decided(&row);
        }
        Ok(())
    }

    /// Approves calls like this one ahead, for whoever approved it alone.
    ///
    /// spec: T-84
    pub async fn stand(&self, row: &ApprovalRow, voice: &Voice<'_>, ahead: &Ahead) -> Result<Standing, ApprovalError> {
        let (parts, now) = (&self.parts, self.now());
        let stored = self.stored(row)?;
        let wanted = Wanted::of(row, &stored);
        let arguments = wanted.read()?;
        let call = wanted.bound(&parts.public_url, &arguments);
        let members: Vec<&str> = ahead.members.iter().map(String::as_str).collect();
        let scope = Scope::of(&call, &members).map_err(ApprovalError::Stand)?;
        let wish = (StandingGrantId::random(&*parts.rng), scope, ahead.uses, now.plus(ahead.lasts));
        let standing = stand(&row.approval, &call, &voice.voter, wish, now).map_err(ApprovalError::Stand)?;
        let kept = StandingRow {
            standing: standing.clone(),
            approval: row.approval.id.clone(),
            given_by: voice.voter.somebody.person.clone(),
            made_at: now,
            used_at: None,
            revoked_by: None,
        };
        parts.store.put_standing_grant(&kept).await?;
        let mut event = self
            .event(Kind::ApprovalStanding, voice.actor.clone(), row)
            .text("standing", standing.id.as_str().to_owned())
            .text("ends_at", standing.ends_at.to_string());
        if let Some(uses) = standing.uses_left {
            event = event.number("uses", i64::from(uses));
        }
        if !ahead.members.is_empty() {
            event = event.text("same", ahead.members.join(", "));
        }
        parts.journal.append(event).await?;
        self.load_standing().await?;
        Ok(standing)
    }

    /// Takes back an approval ahead; whether there was one.
    pub async fn unstand(&self, row: &StandingRow, by: &PersonId, actor: Actor) -> Result<bool, ApprovalError> {
        use portcullis_audit::{Event, Target};

        let (parts, now) = (&self.parts, self.now());
        let standing = &row.standing;
        let revoked = parts.store.revoke_standing_grant(&standing.id, by, now).await?;
        self.standing.forget(&standing.id);
        if revoked {
            let name = Some(standing.tool.to_string().into());
            let event = Event::new(Kind::ApprovalStandingRevoked, now)
                .by(actor)
                .on(Target { server: Some(standing.server.clone()), name, ..Target::default() })
                .outcome(Outcome::Success)
                .text("standing", standing.id.as_str().to_owned())
                .text("owner", standing.person.as_str().to_owned());
            parts.journal.append(event).await?;
        }
        Ok(revoked)
    }
}
