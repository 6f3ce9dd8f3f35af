//! `/approvals/{id}`

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use portcullis_base::ApprovalId;
use portcullis_policy::{
    Assurance, Own,
    approval::{Approval, Means, State as Stage, Vote, VoteError, Word, vote},
};
use portcullis_store::{ApprovalRow, StoreError};
use serde::Deserialize;

use super::look::Reader;
use crate::{
    app::App,
    approvals::{Stored, check_value},
    error::PageError,
    extract::LoggedIn,
    names::Names,
    pages::approvals::{
        arguments::Json,
        one::{DemandRow, Here, One, VoteRow, Whose, You, one},
    },
};

#[derive(Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Path(id): Path<String>,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let done = match query.done.as_deref() {
        Some("approved") => Some("You have approved it. The program that asked goes on by itself."),
        Some("counted") => Some("Your word was counted. Others have to agree too."),
        Some("ahead") => Some("You have approved it, and those like it as you said."),
        Some("not-ahead") => {
            Some("You have approved this call. Those like it cannot be approved ahead: others have to agree too.")
        }
        Some("refused") => Some("You have refused it."),
        Some("withdrawn") => Some("It was taken back."),
        _ => None,
    };
    let row = readable(&app, &who, &id).await?;
    page(&app, &who, &row, done, None).await
}

/// The approval, if there is one that they may read. To others it does not exist.
pub(super) async fn readable(app: &App, who: &LoggedIn, id: &str) -> Result<ApprovalRow, PageError> {
    let found = app.store.approval(&ApprovalId::new(id)).await.map_err(PageError::unavailable)?;
    let reader = Reader::of(app, who).await.map_err(PageError::unavailable)?;
    found.filter(|row| reader.may_read(&row.approval)).ok_or_else(PageError::not_found)
}

pub(super) async fn page(
    app: &App,
    who: &LoggedIn,
    row: &ApprovalRow,
    done: Option<&str>,
    failure: Option<&str>,
) -> Result<Response, PageError> {
    let page = made(app, who, row, done, failure).await.map_err(PageError::unavailable)?;
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page.status(status).into_response())
}

async fn made(
    app: &App,
    who: &LoggedIn,
    row: &ApprovalRow,
    done: Option<&str>,
    failure: Option<&str>,
) -> Result<crate::pages::Page, StoreError> {
    let (now, approval) = (app.clock.now(), &row.approval);
    let stored = app.approvals.stored(row).ok();
    let arguments = stored.as_ref().and_then(read);
    let mut names = Names::default();
    let caller = names.person(app, &approval.person).await?;
    let client = names.client(app, &approval.client).await?;
    let mut votes = Vec::with_capacity(approval.votes.len());
    for vote in &approval.votes {
        let mut instead_of: Vec<String> = Vec::new();
        for lender in vote.instead_of.values() {
            let name = names.person(app, lender).await?;
            if !instead_of.contains(&name) {
                instead_of.push(name);
            }
        }
        votes.push(VoteRow {
            name: names.person(app, &vote.person).await?,
            instead_of,
            refused: if let Word::Refuse(why) = &vote.word { Some(why.to_string()) } else { None },
            assurance: assurance_words(vote.assurance),
            at: vote.at,
        });
    }
    let before = app.store.last_approved(&approval.person, &approval.server, (&row.kind, &row.target)).await?;
    let before = before.filter(|before| before.approval.id != approval.id);
    let last = before.as_ref().and_then(|before| {
        let old = read(&app.approvals.stored(before).ok()?)?;
        Some((before.ended_at?, arguments.as_ref()?.differences(&old)))
    });
    let you = you(app, who, row, arguments.as_ref()).await?;
    let view = One {
        account: who.account(),
        id: approval.id.as_str(),
        server: approval.server.as_str(),
        kind: &row.kind,
        target: &row.target,
        through: stored.as_ref().and_then(|stored| stored.through.as_deref()),
        caller: &caller,
        client: &client,
        classes: row.classes.iter().collect(),
        evidence: stored.as_ref().map_or(&[][..], |stored| stored.evidence.as_slice()),
        description: stored.as_ref().and_then(|stored| stored.description.as_deref()),
        arguments,
        last,
        demands: demands(approval),
        votes,
        binding: check_value(&approval.binding),
        state: approval.state_at(now),
        outcome: row.outcome.as_deref(),
        asked_at: approval.asked_at,
        expires_at: approval.expires_at,
        now,
        you,
        whose: if approval.person == who.person.id { Whose::Own } else { Whose::Others },
        done,
        failure,
    };
    Ok(one(&view))
}

fn read(stored: &Stored) -> Option<Json> {
    Json::read(stored.arguments.as_deref())
}

pub(super) fn demands(approval: &Approval) -> Vec<DemandRow> {
    let row = |(ask, progress): (&portcullis_policy::Ask, portcullis_policy::approval::Progress)| {
        let named: Vec<String> = ask.approvers.iter().map(ToString::to_string).collect();
        let named = if named.is_empty() { "nobody else".to_owned() } else { named.join(", ") };
        let who = match ask.own {
            Own::Always => format!("whoever's call it is, or {named}"),
            Own::AsApprover => named,
            Own::Never => format!("{named}, but not whoever's call it is"),
        };
        let assurance = assurance_words(ask.assurance);
        DemandRow { rule: ask.rule.to_string(), who, have: progress.have, want: progress.want.max(1), assurance }
    };
    approval.progress().map(row).collect()
}

const fn assurance_words(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::Elicitation => "a question of the client program",
        Assurance::Chat => "a signed button in a chat",
        Assurance::Session => "a page of this gateway",
        Assurance::Passkey => "a passkey",
    }
}

/// What the law would say if they said yes.
async fn you(app: &App, who: &LoggedIn, row: &ApprovalRow, arguments: Option<&Json>) -> Result<You, StoreError> {
    let (now, approval) = (app.clock.now(), &row.approval);
    let (reader, terms) = (Reader::of(app, who).await?, app.approvals.terms());
    let instead_of = reader.instead_of();
    let tried = |means| vote(approval, &reader.voter(means, &instead_of), Word::Approve, terms, now);
    let options = app.passkeys.request(&who.person.id, &approval.binding).await?;
    let signed = options.is_some().then(|| tried(Means::Passkey(approval.binding))).and_then(Result::ok);
    let path = format!("/approvals/{}", approval.id);
    let here = match tried(Means::Session(who.signed_in_at())) {
        _ if arguments.is_none() => {
            return Ok(You::Look("What it would do cannot be shown, so it cannot be approved."));
        }
        Ok(_) => Here::Enough,
        Err(VoteError::SignInAgain { within }) => match tried(Means::Session(now)) {
            Ok(_) => Here::SignInAgain(who.again(app, &path, within).1),
            Err(_) => Here::PasskeyOnly(passkey_only(app, signed.is_some())),
        },
        Err(VoteError::TooWeak { .. }) => Here::PasskeyOnly(passkey_only(app, signed.is_some())),
        Err(VoteError::Own) => return Ok(You::Look("It is your own call: somebody else has to approve it.")),
        Err(VoteError::NotAsked) => return Ok(You::Look("Others are asked for their word, not you.")),
        Err(VoteError::Already) => return Ok(You::Look("You have approved it. Others have to agree too.")),
        Err(VoteError::Over(_) | VoteError::OtherSignature) => return Ok(You::Look("It is decided.")),
    };
    let sure = tried(Means::Passkey(approval.binding)).or_else(|_| tried(Means::Session(now)));
    let all = |vote: &Vote| vote.instead_of.is_empty() && vote.counts.len() == approval.demands.len();
    let alone = sure.is_ok_and(|step| step.state == Stage::Granted && all(&step.vote))
        && approval.demands.iter().all(|ask| ask.quorum <= 1);
    let can_stand = alone && row.kind == "tool" && row.definition.is_some();
    let ahead = arguments.filter(|_| can_stand).map(Json::names);
    Ok(You::Decide { here, passkey: options.filter(|_| signed.is_some()), ahead })
}

fn passkey_only(app: &App, has_one: bool) -> &'static str {
    match (has_one, app.passkeys.are_possible()) {
        (true, _) => "This wants a passkey: your sign-in alone is not enough.",
        (false, true) => "This wants a passkey. Add one on the page “My sign-ins”, then come back.",
        (false, false) => {
            "This wants a passkey, and there are none at this address: the gateway has to be reached by https, or as http://localhost."
        }
    }
}
