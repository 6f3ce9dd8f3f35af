//! The word of a person, as a hook brought it.

use std::sync::Arc;

use http::StatusCode;
use portcullis_audit::Actor;
use portcullis_base::{ApprovalId, PersonId};
use portcullis_policy::{
    Assurance, Kind, Somebody,
    approval::{Means, State, VoteError, Voter, Word},
};
use portcullis_store::{Person, PersonKind, StoreError};

use super::note;
use crate::{
    access::{Lender, lenders},
    app::App,
    approvals::{ApprovalError, Voice},
    error::ApiError,
    extract::Source,
};

/// Who said what of which call, as far as it was said.
pub(super) struct Said<'a> {
    /// Through which hook.
    pub hook: &'a str,
    pub source: Source,
    pub approval: &'a str,
    /// What was shown, in base64.
    pub binding: &'a str,
    pub word: Word,
    /// `None` if nobody knows them here.
    pub person: Option<Person>,
}

/// Why a word does not count: for whoever said it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotCounted {
    pub status: StatusCode,
    pub code: &'static str,
    pub text: &'static str,
}

const MISSING: NotCounted =
    NotCounted { status: StatusCode::NOT_FOUND, code: "approval.missing", text: "there is no such approval" };
const CHANGED: NotCounted = NotCounted {
    status: StatusCode::CONFLICT,
    code: "approval.other",
    text: "what was decided on is not what waits: the binding is another one",
};
const NOBODY: NotCounted =
    NotCounted { status: StatusCode::FORBIDDEN, code: "approval.nobody", text: "nobody here is known by that name" };
const SEALED: NotCounted = NotCounted {
    status: StatusCode::FORBIDDEN,
    code: "approval.sealed",
    text: "what it would do cannot be shown, so it cannot be approved",
};

/// Whoever has this name or identifier here.
pub(super) async fn person(app: &App, name: &str) -> Result<Option<Person>, StoreError> {
    match app.store.person(&PersonId::new(name)).await? {
        Some(person) => Ok(Some(person)),
        None => Ok(app.store.person_by_name(name).await?.map(|(person, _)| person)),
    }
}

/// Takes the word, or says why it does not count, here and in the record.
pub(super) async fn take(app: &App, said: Said<'_>) -> Result<Result<State, NotCounted>, ApiError> {
    let refused = match judge(app, &said).await? {
        Ok(state) => {
            app.make_known().await;
            return Ok(Ok(state));
        }
        Err(refused) => refused,
    };
    let more = |mut event: portcullis_audit::Event| {
        if let Some(person) = &said.person {
            event.actor.person = Some(person.id.clone());
            event.actor.name = Some(person.name.as_str().into());
        }
        event.text("approval", portcullis_base::printable(said.approval, 60))
    };
    note(app, said.hook, said.source, refused.text, more).await?;
    Ok(Err(refused))
}

async fn judge(app: &App, said: &Said<'_>) -> Result<Result<State, NotCounted>, ApiError> {
    let unavailable = |error: StoreError| ApiError::unavailable(error);
    let id = ApprovalId::new(said.approval);
    let Some(row) = app.store.approval(&id).await.map_err(unavailable)? else { return Ok(Err(MISSING)) };
    if row.approval.binding.to_base64url() != said.binding {
        return Ok(Err(CHANGED));
    }
    let roles = |person: &Person| app.appointments.of_person(person);
    let comes_in = |person: &&Person| person.kind == PersonKind::Person && person.is_active() && roles(person).admit();
    let Some(person) = said.person.as_ref().filter(comes_in) else { return Ok(Err(NOBODY)) };
    // spec: T-83
    if said.word == Word::Approve && app.approvals.stored(&row).is_err() {
        return Ok(Err(SEALED));
    }
    let groups: Vec<Arc<str>> = person.groups.iter().map(|group| group.as_str().into()).collect();
    let somebody = Somebody {
        person: &person.id,
        name: &person.name,
        kind: Kind::Person,
        groups: &groups,
        roles: roles(person).names(),
        client: None,
    };
    let has_passkey = app.passkeys.can_sign(&person.id).await.map_err(unavailable)?;
    let surest = if has_passkey { Assurance::Passkey } else { Assurance::Session };
    let actor = Actor {
        person: Some(person.id.clone()),
        name: Some(person.name.as_str().into()),
        client: None,
        address: Some(said.source.0),
    };
    let lenders = lenders(app, &person.id).await.map_err(unavailable)?;
    let instead_of: Vec<Somebody<'_>> = lenders.iter().map(Lender::somebody).collect();
    let voter = Voter { somebody, means: Means::Chat, surest, instead_of: &instead_of };
    let voice = Voice { voter, actor };
    match app.approvals.say(&id, &voice, &said.word).await {
        Ok(done) => Ok(Ok(done.state)),
        Err(ApprovalError::Vote(error)) => Ok(Err(not_counted(&error))),
        Err(ApprovalError::Missing) => Ok(Err(MISSING)),
        Err(error) => Err(ApiError::unavailable(error)),
    }
}

fn not_counted(error: &VoteError) -> NotCounted {
    let (status, code, text) = match error {
        VoteError::Over(_) => (StatusCode::CONFLICT, "approval.over", "it is decided already, or its time is over"),
        VoteError::Already => (StatusCode::CONFLICT, "approval.already", "they have said so already"),
        VoteError::NotAsked => {
            (StatusCode::FORBIDDEN, "approval.not_asked", "the rule names others who may decide this")
        }
        VoteError::Own => {
            (StatusCode::FORBIDDEN, "approval.own", "it is their own call, and the rule wants somebody else")
        }
        VoteError::SignInAgain { .. } | VoteError::OtherSignature | VoteError::TooWeak { .. } => (
            StatusCode::FORBIDDEN,
            "approval.too_weak",
            "the rule wants it to be surer who approves: it has to be done on the page",
        ),
    };
    NotCounted { status, code, text }
}
