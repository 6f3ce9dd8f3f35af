//! `GET /oauth/authorize/finish`: who agreed as a visitor, or had to sign in afresh, has signed in.
//!
//! What was shown before the sign-in counts for the person only if nothing in between has changed whose answer it is
//! (spec: AS-131): a page that was shown to one person is no page for another, and a page without an account is one for
//! whoever signed in because of it.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use portcullis_oauth::{
    authorize::{Began, SignInFacts},
    consent::{ConsentKey, may_remember},
    error::AuthorizeCode,
};
use portcullis_store::StoredClient;
use serde::Deserialize;

use super::{
    approval::{Approval, NextTime, Sitting},
    approve::{self, How},
    consent::{self, LIFETIME, Transaction},
    documents,
    reader::Reader,
    resources, sitting,
};
use crate::{
    app::App,
    error::PageError,
    extract::LoggedIn,
    return_to::{finish_at, sign_in_for},
    snapshot::Endpoint,
};

#[derive(Deserialize)]
pub struct Which {
    t: String,
    /// Whether the person was sent to sign in afresh before.
    after: Option<After>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum After {
    Fresh,
}

/// What somebody agreed to, and what is spent when something comes of it.
pub struct Agreed<'a> {
    /// The page.
    pub transaction: &'a Transaction,
    /// The name of what is good once.
    pub id: &'a str,
    /// What they want the next time.
    pub next_time: NextTime,
    /// Whether they may still be offered to connect their account at the server.
    pub sitting: Sitting,
}

impl Agreed<'_> {
    /// Spends it; whether it was still to be had. Remembered for longer than it is good, whatever the clocks of nodes say.
    pub async fn spend(&self, app: &App) -> Result<bool, PageError> {
        app.store.spend(self.id, app.clock.now().plus(LIFETIME * 2)).await.map_err(PageError::unavailable)
    }
}

impl Approval {
    fn agreed(&self) -> Agreed<'_> {
        Agreed { transaction: &self.transaction, id: &self.id, next_time: self.next_time, sitting: self.sitting }
    }
}

pub async fn finish(
    State(app): State<Arc<App>>,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    Query(Which { t, after }): Query<Which>,
) -> Result<Response, PageError> {
    let approval = Approval::read(&app, &headers, &t)?.ok_or_else(gone)?;
    let transaction = &approval.transaction;
    let demand = &transaction.request.sign_in;
    let Some(who) = who else {
        return Ok(Redirect::to(&sign_in_for(&finish_at(&t), demand)).into_response());
    };
    let answer = if !counts_for(&approval, &who) {
        ask_again(&app, &who, &approval.agreed()).await?
    } else if is_fresh(transaction, &who) {
        conclude(&app, &who, &approval.agreed()).await?
    } else if after.is_none() {
        let back = format!("{}&after=fresh", finish_at(&t));
        return Ok(Redirect::to(&sign_in_for(&back, demand)).into_response());
    } else {
        approval.agreed().spend(&app).await?;
        return Err(not_fresh(&app, &approval));
    };
    // Beside the cookies of the answer, not instead of them.
    Ok((AppendHeaders([(header::SET_COOKIE, approval.clear())]), answer).into_response())
}

/// spec: AS-131: "Consent as user A, log in as user B: asked again."
fn counts_for(approval: &Approval, who: &LoggedIn) -> bool {
    match &approval.transaction.person {
        Some(person) => *person == who.person.id,
        // The page said that a sign-in follows. A session from before is not what it spoke of.
        None => who.browser.created_at >= approval.at,
    }
}

/// Whether the person's sign-in is what the client demands.
pub fn is_fresh(transaction: &Transaction, who: &LoggedIn) -> bool {
    let same = transaction.session == who.session.hash.to_base64url();
    let facts = SignInFacts {
        authenticated_at: who.browser.authenticated_at,
        acr: who.browser.acr.as_deref(),
        began: if same { Began::Before } else { Began::Since },
    };
    transaction.request.sign_in.is_met(&facts, transaction.asked_at)
}

async fn ask_again(app: &App, who: &LoggedIn, agreed: &Agreed<'_>) -> Result<Response, PageError> {
    let transaction = agreed.transaction;
    let known = unchanged(app, agreed).await?;
    if !agreed.spend(app).await? {
        return Err(consent::spent());
    }
    let endpoint = resources::endpoint_at(app, &transaction.request.resource)
        .filter(|endpoint| resources::may_use(app, endpoint, &who.person))
        .ok_or_else(no_access)?;
    Ok(consent::page(app, Reader::Person(who), &known, &transaction.request, &endpoint).into_response())
}

/// The person agreed: the code, if client and access still are what the page showed. What they agreed by is spent with it.
pub async fn conclude(app: &App, who: &LoggedIn, agreed: &Agreed<'_>) -> Result<Response, PageError> {
    let request = &agreed.transaction.request;
    let known = unchanged(app, agreed).await?;
    let endpoint = resources::endpoint_at(app, &request.resource)
        .filter(|endpoint| resources::may_use(app, endpoint, &who.person));
    let Some(endpoint) = endpoint else {
        agreed.spend(app).await?;
        return Err(no_access());
    };
    // spec: UP-67
    if let Endpoint::Server(server) = &endpoint
        && let Some(offer) = sitting::first(app, who, server, agreed).await?
    {
        return Ok(offer);
    }
    // spec: T-5: not for addresses on this computer, whatever the form says.
    let how = if agreed.next_time == NextTime::Skip && may_remember(&request.redirect_uri) {
        How::AskedAndRemember(ConsentKey::new(who.person.id.clone(), &known.client, request))
    } else {
        How::Asked
    };
    approve::approve(app, who, request, agreed.id, how).await
}

/// The client, if it still is what the page showed. spec: T-25
async fn unchanged(app: &App, agreed: &Agreed<'_>) -> Result<StoredClient, PageError> {
    let id = &agreed.transaction.request.client;
    let known = documents::known(app, id.as_str()).await?.ok_or_else(|| documents::unknown_client(id.as_str()))?;
    if known.client.document_hash.to_base64url() != agreed.transaction.document_hash {
        agreed.spend(app).await?;
        return Err(PageError::new(
            StatusCode::BAD_REQUEST,
            "client.changed",
            "The application changed its description",
            "What you were shown is no longer what it says of itself. Start again from the application.",
        ));
    }
    Ok(known)
}

fn no_access() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "server.no_access",
        "You have no access to this server",
        "Your account may not use it, or it was taken away while the page was open. An administrator of this gateway \
         can change that.",
    )
}

fn gone() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "consent.gone",
        "This request is not open any more",
        "It was answered, it took too long, or it was begun in another browser. Start again from the application.",
    )
}

fn not_fresh(app: &App, approval: &Approval) -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "signin.not_enough",
        "This sign-in is not enough",
        "The application asks for a sign-in that is fresher or stronger than the one you have just made. Your account \
         may not have it.",
    )
    .onward("Go back to the application", approval.refusal(app, AuthorizeCode::AccessDenied))
}
