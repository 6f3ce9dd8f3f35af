//! A call that humans have to agree to: it waits, and goes on as soon as they do, or is told why not.
//!
//! How its client hears that it waits depends on what the client can do. One of 2026-07-28 that can open pages is asked to
//! have one opened, comes back and waits then; every other call is held, on a stream of events if its client reads streams
//! ([`super::hold`]). Nothing is held of the server meanwhile.
//!
//! A decision that was waited for is not the end: the call is judged anew, as things are then, and only if the rules still
//! ask is the approval used up (spec: T-80). Of several requests for one approval one makes the call, and the others are
//! told so.
//!
//! Deliberately absent: the word of a client program that its person agreed. Opening the page is none, and a form in the
//! client could be answered by whatever drives the client (T-107).

mod again;
mod pages;
mod words;

use std::{convert::Infallible, time::Duration};

use http::StatusCode;
use portcullis_base::{ApprovalId, Digest, PersonId};
use portcullis_policy::{
    Denial, Permit, Target,
    approval::{SpendError, State},
};
use tokio::time::Instant;

pub(super) use self::{
    again::{Back, Now, Waited},
    pages::Pages,
};
use super::{
    answer::{self, Answer},
    decide::{Case, Deed},
    hold::Word,
    record::{Record, Run},
    refusal::Refusal,
    session::Hears,
    state::Sealer,
    stay::{Stay, Why},
    told::{self, Reply},
    turn::Turn,
};
use crate::{
    approvals::{About, ApprovalError, Asked, Decided, NotRun, Started, Stored, Waiting, Wanted},
    correlation,
    quotas::Untold,
    telemetry::Kind,
};

/// The key of our one request for input.
pub(super) const KEY: &str = "approve";
/// How often a client is asked for the same page in one call.
// spec: BR-24
const ROUNDS: u32 = 8;
/// How long a request waits whose client asks again: shorter than clients wait for answers.
const PATIENCE: Duration = Duration::from_secs(50);

/// Why a call waits no longer.
enum End {
    Decided(Result<Decided, ApprovalError>),
    /// Its client's person would not open the page.
    Declined,
    /// It may not stay.
    Stopped(Why),
}

impl Turn<'_> {
    /// What becomes of a call that the rules want humans to agree to.
    // spec: T-54, T-80
    pub(super) async fn put_to_humans(&self, case: Case<'_>, denial: Denial) -> Result<(Permit, Record), Refusal> {
        let (approvals, deed) = (&self.parts.approvals, case.deed);
        let known = self.waited.map(|waited| &waited.id).or(deed.back.map(|back| &back.id));
        if let Some(known) = known {
            match approvals.decided(known, Duration::ZERO).await {
                Ok(decided) if matches!(decided.state, State::Pending | State::Granted) => {}
                Ok(decided) => return Err(over(case, &denial, known, &decided).await),
                Err(error) => return Err(troubled(case, &denial, error).await),
            }
        }
        // What could not be made anyway nobody is asked about.
        if let Err(lack) = self.credential().await {
            let text = self.note(&lack);
            case.unapproved(&denial, None, "not connected").await;
            return Err(words::unmade(deed, &text));
        }
        let wanted = self.wanted(deed, case.scene.risk.definition.as_ref());
        let demands = &denial.decision.obligations.asks;
        let about = About {
            actor: case.actor.clone(),
            classes: case.classes,
            told: self.told_of(deed),
            rule: &denial.decision.rule,
            revision: &denial.decision.revision,
        };
        let waiting = match approvals.ask(&wanted, about, demands).await {
            Ok(Asked::Waiting(waiting)) => waiting,
            Ok(Asked::Covered(spent)) => {
                let taken = match case.claim(&denial.decision.obligations).await {
                    Ok(taken) => taken,
                    Err(why) => return Err(held_up(case, &denial, why).await),
                };
                return match Permit::approved(denial, spent) {
                    Ok(permit) => case.permitted(permit, taken, None).await,
                    Err(denial) => Err(troubled(case, &denial, NotRun::Law(SpendError::Unmet)).await),
                };
            }
            Ok(Asked::Refused { why, again_at }) => {
                case.unapproved(&denial, None, "not asked").await;
                return Err(words::unmade(deed, &words::not_asked(&why, again_at)));
            }
            Err(error) => return Err(troubled(case, &denial, error).await),
        };
        // Another request may have made the call just before this one asked: then this is a question that nobody has.
        if let Some(known) = known.filter(|known| **known != waiting.id)
            && let Ok(decided) = approvals.decided(known, Duration::ZERO).await
            && matches!(decided.state, State::Running | State::Done | State::Unknown)
        {
            let actor = case.actor.clone();
            if let Err(error) = approvals.withdraw(&waiting.id, &self.caller.person, actor).await {
                tracing::warn!(%error, "a question that nobody has is still there");
            }
            return Err(over(case, &denial, known, &decided).await);
        }
        match waiting.state {
            State::Granted => self.run(case, denial, &waiting).await,
            _ => Err(self.wait(case, &denial, &waiting).await),
        }
    }

    fn wanted<'w>(&'w self, deed: &Deed<'w>, definition: Option<&'w Digest>) -> Wanted<'w> {
        let (person, client) = (&self.caller.person, &self.caller.client);
        Wanted { person, client, server: &self.server.name, target: deed.target, definition, arguments: deed.arguments }
    }

    /// What people are shown of the call besides itself.
    fn told_of(&self, deed: &Deed<'_>) -> Stored {
        let through = (*self.endpoint != self.server.name).then(|| self.endpoint.to_string());
        let mut told = Stored { arguments: None, through, description: None, evidence: Vec::new() };
        let Target::Tool(tool) = deed.target else { return told };
        let holder = self.shown_to();
        if let Some(page) = self.upstream.book().page(holder.as_ref(), tool) {
            told.evidence = page.assessment.evidence.iter().map(ToString::to_string).collect();
            // spec: T-83: of the definition by which it was judged, and no older one.
            told.description = page.description.as_deref().map(str::to_owned);
        }
        if let Some(said) = self.server.risk.get(tool) {
            told.evidence.push(format!("An administrator has said what it is: {}", said.reason));
        }
        told
    }

    /// Waits. What comes of it is an answer, or that the call is to be judged anew.
    async fn wait(&self, case: Case<'_>, denial: &Denial, waiting: &Waiting) -> Refusal {
        let (deed, hold) = (case.deed, self.parts.settings.hold);
        let until = self.waited.map_or_else(|| Instant::now() + hold, |waited| waited.until);
        // A client in this process hears of the page while it waits.
        let comes_back = deed.hears == Hears::Input && self.asker.is_none();
        let patience = match (comes_back, deed.back) {
            (false, _) => until.saturating_duration_since(Instant::now()),
            (true, Some(Back { reply: Reply::Opened, .. })) => PATIENCE.min(hold),
            (true, Some(Back { reply: Reply::Declined, .. })) => {
                case.unapproved(denial, Some(&waiting.id), "declined").await;
                return words::unmade(deed, &words::declined(denial, waiting));
            }
            (true, None) => {
                case.unapproved(denial, Some(&waiting.id), State::Pending.as_str()).await;
                return self.page_wanted(deed, denial, waiting, 1);
            }
        };
        let span = correlation::open("approval", Kind::Internal);
        let place = span.as_ref().map(|span| span.place().clone());
        let end = correlation::within(place, self.waited_for(deed, denial, waiting, patience)).await;
        drop(span);
        let state = match &end {
            End::Decided(Ok(Decided { state: State::Granted, .. })) => {
                return Refusal::anew(Waited::new(waiting.id.clone(), until, case.seat()));
            }
            End::Decided(Ok(decided)) if decided.state != State::Pending => {
                return over(case, denial, &waiting.id, decided).await;
            }
            End::Decided(Err(_)) | End::Stopped(_) => "stopped",
            End::Decided(Ok(_)) => State::Pending.as_str(),
            End::Declined => "declined",
        };
        case.unapproved(denial, Some(&waiting.id), state).await;
        match (end, deed.back) {
            (End::Decided(Ok(_)), Some(back)) if comes_back && back.round < ROUNDS => {
                self.page_wanted(deed, denial, waiting, back.round + 1)
            }
            (End::Decided(Ok(_)), _) => words::unmade(deed, &words::undecided(denial, waiting)),
            (End::Decided(Err(error)), _) => words::unmade(deed, &trouble(&error.into())),
            (End::Declined, _) => words::unmade(deed, &words::declined(denial, waiting)),
            (End::Stopped(why), _) => words::unmade(deed, &words::stopped(why.as_str(), waiting)),
        }
    }

    /// Waits so long, and lets the client hear of it.
    async fn waited_for(&self, deed: &Deed<'_>, denial: &Denial, waiting: &Waiting, patience: Duration) -> End {
        let page = words::page(denial, waiting);
        let mut opened = None;
        if let (Some(line), Some(id)) = (self.line.filter(|_| !patience.is_zero()), deed.id) {
            line.say(Word::Waits(id.to_owned()));
            match deed.hears {
                Hears::Input if self.asker.is_some() => line.say(Word::Page(told::elicitation(&page))),
                Hears::Link => opened = self.local.pages.open(self, line, &page),
                _ => {}
            }
        }
        let declined = async {
            match self.line {
                Some(line) => line.declined().await,
                None => std::future::pending().await,
            }
        };
        let (ended, clock) = (self.parts.ended.clone(), &*self.parts.clock);
        let stay = Stay::waiting(self.caller, ended, clock, patience + Duration::from_mins(1));
        let end = tokio::select! {
            biased;
            // spec: RS-25: whoever loses their access while they wait has lost the call too.
            why = stay => End::Stopped(why),
            decided = self.parts.approvals.decided(&waiting.id, patience) => End::Decided(decided),
            () = declined => End::Declined,
            never = self.steps(deed, waiting) => match never {},
        };
        drop(opened);
        end
    }

    /// Says again and again that it waits.
    async fn steps(&self, deed: &Deed<'_>, waiting: &Waiting) -> Infallible {
        let (Some(line), Some(token)) = (self.line, deed.progress) else { return std::future::pending().await };
        let mut step = 0;
        loop {
            step += 1;
            line.say(Word::Message(words::step(token, step, waiting)));
            tokio::time::sleep(self.parts.settings.streams.keep_alive).await;
        }
    }

    /// Uses up what was granted.
    // spec: T-80, T-81
    async fn run(&self, case: Case<'_>, denial: Denial, waiting: &Waiting) -> Result<(Permit, Record), Refusal> {
        let by = match self.approvers(&waiting.id).await {
            Ok(by) => by,
            Err(error) => return Err(troubled(case, &denial, error).await),
        };
        let taken = match case.claim(&denial.decision.obligations).await {
            Ok(taken) => taken,
            Err(why) => return Err(held_up(case, &denial, why).await),
        };
        match self.begun(case.deed, case.scene.risk.definition, waiting.id.clone(), by).await {
            Ok((Started { spent, .. }, run)) => match Permit::approved(denial, spent) {
                Ok(permit) => case.permitted(permit, taken, Some(run)).await,
                Err(denial) => Err(troubled(case, &denial, NotRun::Law(SpendError::Unmet)).await),
            },
            Err(NotRun::Law(SpendError::Not(state))) => {
                let decided = Decided { state, by: None, why: None };
                Err(over(case, &denial, &waiting.id, &decided).await)
            }
            Err(error) => Err(troubled(case, &denial, error).await),
        }
    }

    /// Begins the run. That is not given up half way: a run that nobody knows of would never end.
    async fn begun(
        &self,
        deed: &Deed<'_>,
        definition: Option<Digest>,
        id: ApprovalId,
        by: String,
    ) -> Result<(Started, Run), NotRun> {
        let approvals = self.parts.approvals.clone();
        let (person, client, server) =
            (self.caller.person.clone(), self.caller.client.clone(), self.server.name.clone());
        let (kind, name): (fn(&str) -> Target<'_>, _) = match deed.target {
            Target::Tool(name) => (|name| Target::Tool(name), name),
            Target::Prompt(name) => (|name| Target::Prompt(name), name),
            Target::Resource(name) => (|name| Target::Resource(name), name),
            Target::Task(name) => (|name| Target::Task(name), name),
            Target::None => (|_| Target::None, ""),
        };
        let (name, arguments) = (name.to_owned(), deed.arguments.map(str::to_owned));
        let begun = tokio::spawn(correlation::carried(async move {
            let wanted = Wanted {
                person: &person,
                client: &client,
                server: &server,
                target: kind(&name),
                definition: definition.as_ref(),
                arguments: arguments.as_deref(),
            };
            let mut started = approvals.run(&id, &wanted).await?;
            let arguments = started.stored.arguments.take();
            Ok((started, Run::new(approvals.clone(), id, arguments, by)))
        }));
        begun.await.unwrap_or(Err(NotRun::Failed(ApprovalError::Missing)))
    }

    /// Who has approved it, and how.
    async fn approvers(&self, id: &ApprovalId) -> Result<String, ApprovalError> {
        let row = self.parts.store.approval(id).await?.ok_or(ApprovalError::Missing)?;
        let named = row
            .approval
            .approvers()
            .map(|(person, assurance): (&PersonId, _)| format!("{person} ({})", assurance.as_str()));
        Ok(named.collect::<Vec<_>>().join(", "))
    }

    fn page_wanted(&self, deed: &Deed<'_>, denial: &Denial, waiting: &Waiting, round: u32) -> Refusal {
        let id = deed.id.map_or("null", |id| id.to_json());
        let state = Sealer::of_deed(self, deed).awaits(&waiting.id, round);
        let page = told::elicitation(&words::page(denial, waiting));
        let message = told::input_required(id, KEY, &page, &state);
        Refusal::answered(answer::json(StatusCode::OK, Answer::Whole(message.into())))
    }
}

/// It is decided, and not for this call.
async fn over(case: Case<'_>, denial: &Denial, id: &ApprovalId, decided: &Decided) -> Refusal {
    let deed = case.deed;
    case.unapproved(denial, Some(id), decided.state.as_str()).await;
    words::unmade(deed, &words::over(decided))
}

/// A limit holds it up. What was granted is not used up by that.
async fn held_up(case: Case<'_>, denial: &Denial, why: Untold) -> Refusal {
    case.held_up(why, &denial.decision.rule, &denial.decision.revision).await
}

async fn troubled(case: Case<'_>, denial: &Denial, error: impl Into<NotRun>) -> Refusal {
    let (deed, error) = (case.deed, error.into());
    case.unapproved(denial, None, "failed").await;
    words::unmade(deed, &trouble(&error))
}

fn trouble(error: &NotRun) -> String {
    match error {
        NotRun::Failed(ApprovalError::NotBound | ApprovalError::TooLong { .. } | ApprovalError::Crowded) => {
            format!("The call was not made, since nobody can be asked to approve it: {error}.")
        }
        NotRun::Law(error) => {
            tracing::error!(?error, "an approved call does not fit its approval");
            "The call was not made: it is not what was approved. Call again to have it asked about again.".to_owned()
        }
        NotRun::Failed(error) => {
            tracing::error!(%error, "a call could not be put to humans");
            "The call was not made: at the moment nobody can be asked to approve it. Try again in a few seconds."
                .to_owned()
        }
    }
}
