//! `POST /oauth/authorize`: the person's answer to the consent page.

use std::sync::Arc;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::ClientId;
use portcullis_oauth::{
    consent::{ConsentKey, may_remember},
    error::AuthorizeCode,
};
use portcullis_store::StoredClient;
use serde::Deserialize;

use super::{
    approve::{self, How},
    consent::{self, LIFETIME, Transaction},
    documents, resources,
};
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, form_token_matches, same_origin},
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

pub async fn decide(
    State(app): State<Arc<App>>,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    form: Result<Form<Answer>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(answer) = form.map_err(|error| PageError::foreign_form("not an answer to a consent page").log(error))?;
    let transaction = Transaction::open(&app, &answer.transaction);
    let (who, transaction) = match judge(&app, &headers, who, transaction.as_ref(), &answer) {
        Ok(who) => (who, transaction.ok_or_else(|| PageError::foreign_form("no transaction"))?),
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
    match answer.decision {
        Decision::Deny => deny(&app, &who, &transaction).await,
        Decision::Approve => approve_request(&app, &who, &transaction, answer.remember).await,
    }
}

/// Whether this answer came from our page, in the session and from the person that were shown it.
fn judge(
    app: &App,
    headers: &HeaderMap,
    who: Option<LoggedIn>,
    transaction: Option<&Transaction>,
    answer: &Answer,
) -> Result<LoggedIn, &'static str> {
    let who = who.ok_or("nobody is signed in")?;
    if !same_origin(headers, app.config.public_url.as_str()) {
        return Err("not same-origin");
    }
    if !form_token_matches(&who, &answer.form_token) {
        return Err("form token of another session");
    }
    let transaction = transaction.ok_or("no transaction of ours")?;
    // spec: AS-131: consent as one person is no consent as another.
    if transaction.session != who.session.hash.to_base64url() || transaction.person != who.person.id {
        return Err("transaction of another session");
    }
    Ok(who)
}

async fn approve_request(
    app: &App,
    who: &LoggedIn,
    transaction: &Transaction,
    remember: Option<Yes>,
) -> Result<Response, PageError> {
    let request = &transaction.request;
    let known = unchanged(app, transaction).await?;
    let server = resources::server_at(app, &request.resource).filter(|server| resources::admits(server, &who.person));
    if server.is_none() {
        spend(app, transaction).await?;
        return Err(PageError::new(
            StatusCode::FORBIDDEN,
            "server.no_access",
            "You have no access to this server",
            "It was taken away, or your access to it was, while the page was open.",
        ));
    }
    let how = match remember {
        // spec: T-5: not for addresses on this computer, whatever the form says.
        Some(Yes::Yes) if may_remember(&request.redirect_uri) => {
            How::AskedAndRemember(ConsentKey::new(who.person.id.clone(), &known.client, request))
        }
        _ => How::Asked,
    };
    approve::approve(app, who, request, &transaction.id, how).await
}

/// The client, if it still is what the page showed. spec: T-25
async fn unchanged(app: &App, transaction: &Transaction) -> Result<StoredClient, PageError> {
    let id: &ClientId = &transaction.request.client;
    let known = documents::known(app, id.as_str()).await?.ok_or_else(|| documents::unknown_client(id.as_str()))?;
    if known.client.document_hash.to_base64url() != transaction.document_hash {
        spend(app, transaction).await?;
        return Err(PageError::new(
            StatusCode::BAD_REQUEST,
            "client.changed",
            "The application changed its description",
            "What you were shown is no longer what it says of itself. Start again from the application.",
        ));
    }
    Ok(known)
}

async fn deny(app: &App, who: &LoggedIn, transaction: &Transaction) -> Result<Response, PageError> {
    if !spend(app, transaction).await? {
        return Err(consent::spent());
    }
    let request = &transaction.request;
    let mut actor = who.actor();
    actor.client = Some(request.client.clone());
    let server = resources::server_at(app, &request.resource).map(|server| server.name.clone());
    let event = Event::new(Kind::ConsentDenied, app.clock.now())
        .by(actor)
        .on(Target { server, ..Target::default() })
        .outcome(Outcome::Denied)
        .text("scope", request.scopes.to_string())
        .text("redirect_uri", request.redirect_uri.clone());
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let refusal = request.refuse(AuthorizeCode::AccessDenied, "the person did not allow it");
    let location = refusal.location(app.config.public_url.as_str());
    Ok(([(header::CACHE_CONTROL, "no-store")], Redirect::to(&location)).into_response())
}

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
