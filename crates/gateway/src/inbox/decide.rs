//! `POST /approvals/{id}`: yes, or no and why.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_base::{ApprovalId, printable};
use portcullis_policy::approval::{Means, State as Stage, VoteError, Word};
use portcullis_store::ApprovalRow;
use serde::Deserialize;

use super::{
    look::Reader,
    one::{page, readable},
};
use crate::{
    app::App,
    approvals::{Ahead, ApprovalError, Voice},
    error::PageError,
    extract::{LoggedIn, SignedForm},
    passkeys::PasskeyError,
};

/// The longest reason.
const LONGEST_REASON: usize = 500;

#[derive(Deserialize)]
pub(super) struct Form {
    word: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    ahead: String,
    #[serde(default)]
    same: String,
    #[serde(default)]
    assertion: String,
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn say(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    SignedForm { who, form }: SignedForm<Form>,
) -> Result<Response, PageError> {
    let row = readable(&app, &who, &id).await?;
    let word = match form.word.as_str() {
        "approve" => Word::Approve,
        "refuse" => Word::Refuse(printable(form.why.trim(), LONGEST_REASON).into()),
        _ => return page(&app, &who, &row, None, Some("Say yes or no.")).await,
    };
    let means = match form.assertion.as_str() {
        "" => Means::Session(who.signed_in_at()),
        answer => match app.passkeys.check(&who.person.id, &row.approval.binding, answer).await {
            Ok(()) => Means::Passkey(row.approval.binding),
            Err(PasskeyError::Refused(why)) => return page(&app, &who, &row, None, Some(&why)).await,
            Err(error) => return Err(PageError::unavailable(error)),
        },
    };
    // spec: T-83: what cannot be shown is not approved.
    if word == Word::Approve && app.approvals.stored(&row).is_err() {
        return page(&app, &who, &row, None, Some("What it would do cannot be shown, so it cannot be approved.")).await;
    }
    let reader = Reader::of(&app, &who).await.map_err(PageError::unavailable)?;
    let instead_of = reader.instead_of();
    let voice = Voice { voter: reader.voter(means, &instead_of), actor: who.actor() };
    let path = format!("/approvals/{}", row.approval.id);
    let said = match app.approvals.say(&row.approval.id, &voice, &word).await {
        Ok(said) => said,
        Err(ApprovalError::Vote(error)) => return not_counted(&app, &who, &id, &word, &error).await,
        Err(ApprovalError::Missing) => return Err(PageError::not_found()),
        Err(error) => return Err(PageError::unavailable(error)),
    };
    let done = match (&word, said.state) {
        (Word::Refuse(_), _) => "refused",
        (Word::Approve, Stage::Pending) => "counted",
        (Word::Approve, _) => match ahead(&form) {
            None => "approved",
            Some(wish) => stood(&app, &said.row, &voice, &wish).await?,
        },
    };
    // Other nodes hear of it by the feed, those who wait here have already.
    app.make_known().await;
    Ok(Redirect::to(&format!("{path}?done={done}")).into_response())
}

fn ahead(form: &Form) -> Option<Ahead> {
    const HOUR: Duration = Duration::from_hours(1);
    let (uses, lasts) = match form.ahead.as_str() {
        "hour" => (None, HOUR),
        "8-hours" => (None, 8 * HOUR),
        "5-times" => (Some(5), 8 * HOUR),
        _ => return None,
    };
    let members = Some(form.same.clone()).filter(|name| !name.is_empty()).into_iter().collect();
    Some(Ahead { members, uses, lasts })
}

async fn stood(app: &App, row: &ApprovalRow, voice: &Voice<'_>, wish: &Ahead) -> Result<&'static str, PageError> {
    match app.approvals.stand(row, voice, wish).await {
        Ok(_) => Ok("ahead"),
        Err(ApprovalError::Stand(_)) => Ok("not-ahead"),
        Err(error) => Err(PageError::unavailable(error)),
    }
}

/// Why a word was not counted; said twice is said.
async fn not_counted(
    app: &App,
    who: &LoggedIn,
    id: &str,
    word: &Word,
    error: &VoteError,
) -> Result<Response, PageError> {
    let row = readable(app, who, id).await?;
    let said = row.approval.votes.iter().find(|vote| vote.person == who.person.id);
    let same = said.is_some_and(|vote| matches!(vote.word, Word::Approve) == matches!(word, Word::Approve));
    let path = format!("/approvals/{}", row.approval.id);
    if same && matches!(error, VoteError::Over(_) | VoteError::Already) {
        // A double click: the first one did it.
        let done = match word {
            Word::Refuse(_) => "refused",
            Word::Approve if row.approval.state == Stage::Pending => "counted",
            Word::Approve => "approved",
        };
        return Ok(Redirect::to(&format!("{path}?done={done}")).into_response());
    }
    let refused = |code: &'static str, title: &'static str, text: &'static str| {
        Err(PageError::new(StatusCode::FORBIDDEN, code, title, text))
    };
    match error {
        VoteError::SignInAgain { within } => {
            let (label, address) = who.again(app, &path, *within);
            let text =
                "To approve asks for a sign-in of the last minutes. Nothing was decided. Sign in again, then decide.";
            let error = PageError::new(StatusCode::FORBIDDEN, "session.not_recent", "Please sign in again", text);
            Err(error.onward(label, address))
        }
        VoteError::Over(_) => {
            page(app, who, &row, None, Some("It was decided already, or its time is over. Nothing was changed.")).await
        }
        VoteError::Already => page(app, who, &row, None, Some("You have said so already.")).await,
        VoteError::Own => refused(
            "approval.own",
            "Somebody else has to approve this",
            "It is your own call, and the rule wants somebody else. Nothing was decided.",
        ),
        VoteError::NotAsked => refused(
            "approval.not_asked",
            "You are not asked",
            "The rule names others who may decide this. Nothing was decided.",
        ),
        VoteError::TooWeak { .. } | VoteError::OtherSignature => refused(
            "approval.too_weak",
            "This wants a passkey",
            "Your sign-in alone is not enough to approve this. Nothing was decided. Go back and approve it with a passkey.",
        ),
    }
}

/// `POST /approvals/{id}/withdraw`
pub(super) async fn take_back(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    SignedForm { who, form: Nothing {} }: SignedForm<Nothing>,
) -> Result<Response, PageError> {
    let row = readable(&app, &who, &id).await?;
    match app.approvals.withdraw(&ApprovalId::new(id.as_str()), &who.person.id, who.actor()).await {
        Ok(()) => {
            app.make_known().await;
            Ok(Redirect::to(&format!("/approvals/{}?done=withdrawn", row.approval.id)).into_response())
        }
        Err(ApprovalError::Vote(VoteError::Over(_))) => {
            page(&app, &who, &row, None, Some("It is over already. Nothing was changed.")).await
        }
        Err(ApprovalError::Vote(_) | ApprovalError::Missing) => Err(PageError::not_found()),
        Err(error) => Err(PageError::unavailable(error)),
    }
}
