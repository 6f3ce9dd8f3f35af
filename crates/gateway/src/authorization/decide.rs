//! `POST /oauth/authorize`: the person's answer to the consent page.

use std::sync::Arc;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_oauth::error::AuthorizeCode;
use serde::Deserialize;

use super::{
    approval::{self, Approval, NextTime, Sitting},
    consent::{self, LIFETIME, Transaction},
    finish::{self, Agreed},
    reader::Reader,
    resources,
};
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, Session, Source, Visit, form_token_matches, same_origin},
    return_to::finish_at,
};

#[derive(Deserialize)]
pub struct Answer {
    transaction: String,
    #[serde(default)]
    form_token: String,
    decision: Decision,
    #[serde(default)]
    remember: Option<Yes>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Approve,
    Deny,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Yes {
    Yes,
}

impl Answer {
    fn next_time(&self) -> NextTime {
        if self.remember.is_some() { NextTime::Skip } else { NextTime::Ask }
    }
}

/// In which browser the answer was given.
struct Browser<'a> {
    who: Option<&'a LoggedIn>,
    visit: Option<&'a Session>,
    source: Source,
    headers: &'a HeaderMap,
}

pub async fn decide(
    State(app): State<Arc<App>>,
    source: Source,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    form: Result<Form<Answer>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(answer) = form.map_err(|error| PageError::foreign_form("not an answer to a consent page").log(error))?;
    let visit = Visit::of(&headers)?;
    let browser = Browser { who: who.as_ref(), visit: visit.as_ref(), source, headers: &headers };
    let transaction = Transaction::open(&app, &answer.transaction);
    let (reader, transaction) = match judge(&app, &browser, transaction.as_ref(), &answer) {
        Ok(reader) => (reader, transaction.ok_or_else(|| PageError::foreign_form("no transaction"))?),
        Err(why) => {
            // spec: T-2: "missing/mismatch => 403 error page, transaction destroyed".
            if let Some(transaction) = transaction {
                spend(&app, &transaction).await?;
            }
            return Err(PageError::foreign_form(why));
        }
    };
    if app.clock.now() >= transaction.expires_at {
        return Err(too_old());
    }
    match (answer.decision, reader.person()) {
        (Decision::Deny, _) => deny(&app, reader, transaction).await,
        (Decision::Approve, Some(who)) if finish::is_fresh(&transaction, who) => {
            let agreed = Agreed {
                transaction: &transaction,
                id: &transaction.id,
                next_time: answer.next_time(),
                sitting: Sitting::Open,
            };
            finish::conclude(&app, who, &agreed).await
        }
        (Decision::Approve, _) => sign_in_next(&app, transaction, answer.next_time()).await,
    }
}

/// Whether this answer came from our page, in the session and from the person that were shown it.
fn judge<'a>(
    app: &App,
    browser: &Browser<'a>,
    transaction: Option<&Transaction>,
    answer: &Answer,
) -> Result<Reader<'a>, &'static str> {
    if !same_origin(browser.headers, app.config.public_url.as_str()) {
        return Err("not same-origin");
    }
    let transaction = transaction.ok_or("no transaction of ours")?;
    let reader = match &transaction.person {
        // spec: AS-131: consent as one person is no consent as another.
        Some(person) => {
            let who = browser.who.ok_or("nobody is signed in")?;
            (*person == who.person.id).then_some(Reader::Person(who)).ok_or("transaction of another person")?
        }
        None => Reader::Visitor { session: browser.visit.ok_or("no visit")?, source: browser.source },
    };
    if !form_token_matches(reader.session(), &answer.form_token) {
        return Err("form token of another session");
    }
    if transaction.session != reader.session().hash.to_base64url() {
        return Err("transaction of another session");
    }
    Ok(reader)
}

/// The approval waits in this browser until somebody has signed in.
///
/// spec: T-1, T-3, AS-130, AS-136: nothing was sent to a provider before this, and no state was made.
async fn sign_in_next(app: &App, transaction: Transaction, next_time: NextTime) -> Result<Response, PageError> {
    if !spend(app, &transaction).await? {
        return Err(consent::spent());
    }
    let approval = Approval::new(app, transaction, next_time);
    let onward = finish_at(&approval.id);
    let cookie = approval.cookie(app).ok_or_else(approval::too_long)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&onward)).into_response())
}

async fn deny(app: &App, reader: Reader<'_>, transaction: Transaction) -> Result<Response, PageError> {
    if !spend(app, &transaction).await? {
        return Err(consent::spent());
    }
    let request = &transaction.request;
    let mut actor = reader.actor();
    actor.client = Some(request.client.clone());
    let server = resources::endpoint_at(app, &request.resource).map(|endpoint| endpoint.name().clone());
    let event = Event::new(Kind::ConsentDenied, app.clock.now())
        .by(actor)
        .on(Target { server, ..Target::default() })
        .outcome(Outcome::Denied)
        .text("scope", request.scopes.to_string())
        .text("redirect_uri", request.redirect_uri.clone());
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let refusal = request.refuse(AuthorizeCode::AccessDenied, "the person did not allow it");
    let location = refusal.location(app.config.public_url.as_str());
    let approval = Approval::new(app, transaction, NextTime::Ask);
    // spec: AS-43: nobody has signed in, so an address of a stranger is one to go to by choice.
    if reader.person().is_none() && !approval.may_bounce(app).await? {
        return Ok(PageError::new(
            StatusCode::OK,
            "consent.denied",
            "You did not allow it",
            "Nothing was given to the application. You can go back to it and tell it so, or just close this page.",
        )
        .fact("It would take you to", approval.transaction.request.redirect_uri.clone())
        .onward("Go back to the application", location)
        .into_response());
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Redirect::to(&location)).into_response())
}

/// Spends a transaction; whether it was still to be had.
async fn spend(app: &App, transaction: &Transaction) -> Result<bool, PageError> {
    // Remembered for longer than it is good, whatever the clocks of several nodes say.
    let until = transaction.expires_at.plus(LIFETIME);
    app.store.spend(&transaction.id, until).await.map_err(PageError::unavailable)
}

fn too_old() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "consent.expired",
        "This page was open for too long",
        "Nothing was decided. Start again from the application.",
    )
}
