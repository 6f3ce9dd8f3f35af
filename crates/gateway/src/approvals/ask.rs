//! A call that begins to wait, or is one with what waits already.

use std::sync::Arc;

use portcullis_audit::{Actor, Event, Kind, Outcome, Target as On};
use portcullis_base::{ApprovalId, Classes, Timestamp, token};
use portcullis_policy::{
    Ask,
    approval::{Approval, State, admit, cover, ends_at},
};
use portcullis_store::{ApprovalRow, Asked as Put};

use super::{ApprovalError, Approvals, Asked, Stored, Waiting, Wanted};

/// What else is known of a call when it is to wait.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// Who asks, for the record.
    pub actor: Actor,
    /// The classes of the tool.
    pub classes: Classes,
    /// What is kept besides its arguments, which are taken from the call.
    pub told: Stored,
    /// The rule that asks.
    pub rule: &'a str,
    /// The revision of the rules.
    pub revision: &'a str,
}

impl Approvals {
    /// Asks for the word of humans that `demands` want before `wanted` is made.
    ///
    /// spec: T-80, T-84
    pub async fn ask(
        &self,
        wanted: &Wanted<'_>,
        about: About<'_>,
        demands: &[Arc<Ask>],
    ) -> Result<Asked, ApprovalError> {
        let (parts, now) = (&self.parts, self.now());
        let arguments = wanted.read()?;
        let call = wanted.bound(&parts.public_url, &arguments);
        let ahead = self.standing.candidates(wanted, now);
        // What was agreed to for this very call comes first: approvals ahead are for those after it.
        if !ahead.is_empty()
            && let Some(row) = parts.store.granted_approval(&call.fold(demands), now).await?
        {
            return Ok(Asked::Waiting(self.waiting(&row, now)));
        }
        for standing in ahead {
            if cover(&standing, &call, demands, now).is_none() {
                continue;
            }
            let used =
                parts.store.use_standing_grant(&standing.id, now, |kept| cover(kept, &call, demands, now)).await?;
            if let Some(spent) = used {
                return Ok(Asked::Covered(spent));
            }
            self.standing.forget(&standing.id);
        }
        let id = ApprovalId::random(&*parts.rng);
        let nonce = token::<16>(&*parts.rng);
        let expires_at = ends_at(demands, &parts.terms, now);
        let About { actor, classes, told, rule, revision } = about;
        let stored = Stored { arguments: wanted.arguments.map(str::to_owned), ..told };
        let (kind, target) = wanted.kind();
        let new = ApprovalRow {
            approval: Approval {
                id: id.clone(),
                person: wanted.person.clone(),
                client: wanted.client.clone(),
                server: wanted.server.clone(),
                binding: call.binding(&nonce, expires_at),
                fold: call.fold(demands),
                nonce: nonce.into(),
                demands: demands.iter().map(|ask| (**ask).clone()).collect(),
                votes: Vec::new(),
                state: State::Pending,
                asked_at: now,
                expires_at,
            },
            call: call.digest(),
            kind: kind.to_owned(),
            target: target.to_owned(),
            definition: wanted.definition.copied(),
            classes,
            rule: rule.to_owned(),
            revision: revision.to_owned(),
            sealed: stored.seal(&parts.keys, id.as_str(), &*parts.rng),
            decided_at: None,
            decided_by: None,
            why: None,
            began_at: None,
            ended_at: None,
            outcome: None,
        };
        let put = parts.store.ask_approval(&new, now, |known| admit(known, &parts.terms, now)).await?;
        Ok(match put {
            Put::New(row) => {
                let mut event = self.event(Kind::ApprovalAsked, actor, &row).text("rule", rule.to_owned());
                event = event.text("expires_at", row.approval.expires_at.to_string());
                parts.journal.append(event).await?;
                parts.herald.asked(&row, &self.link(&id));
                Asked::Waiting(self.waiting(&row, now))
            }
            Put::Folded(row) => Asked::Waiting(self.waiting(&row, now)),
            Put::Refused { again_at } => {
                let why = "The same call was refused a short while ago. Do not repeat it.".to_owned();
                Asked::Refused { why, again_at }
            }
            Put::TooMany { again_at } => {
                let why = "Too many calls of this person wait for approval, or did in the last hour.".to_owned();
                Asked::Refused { why, again_at }
            }
        })
    }

    fn waiting(&self, row: &ApprovalRow, now: Timestamp) -> Waiting {
        let Approval { id, expires_at, .. } = &row.approval;
        let (link, state) = (self.link(id), row.approval.state_at(now));
        Waiting { id: id.clone(), link, expires_at: *expires_at, state }
    }

    /// An event about what waits, with the beginning of what it is bound to, as pages show it.
    pub(super) fn event(&self, kind: Kind, actor: Actor, row: &ApprovalRow) -> Event {
        let approval = &row.approval;
        let name = Some(row.target.clone().into());
        Event::new(kind, self.now())
            .by(actor)
            .on(On { server: Some(approval.server.clone()), name, ..On::default() })
            .outcome(Outcome::Success)
            .text("approval", approval.id.as_str().to_owned())
            .text("binding", approval.binding.to_base64url())
            .text("caller", approval.person.as_str().to_owned())
    }
}
