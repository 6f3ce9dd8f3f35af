//! `POST /connections/{server}/confirm`: the person has seen both names.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use http::{HeaderMap, header};
use portcullis_audit::{Kind, Outcome};
use portcullis_base::Holder;
use portcullis_store::FlowStage;
use serde::Deserialize;

use super::{
    describe::host_of,
    flow::{self, Began, Taken, not_here},
    give_back::give_back,
    key::not_kept,
    which::{event, holder, server},
};
use crate::{
    app::App,
    authority::Held,
    connect_link::CONNECTIONS,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    pages::connections::{Ended, What, ended},
    snapshot::Server,
};

#[derive(Deserialize)]
pub struct Answer {
    pending: String,
    decision: Decision,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Connect,
    Decline,
}

/// `POST /connections/{server}/confirm`
pub async fn confirm(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    SignedForm { who, form: Answer { pending, decision } }: SignedForm<Answer>,
) -> Result<Response, PageError> {
    let ticket = (Some(pending.as_str()), FlowStage::Arrived);
    let taken = flow::take(&app, who.source, Some(&who), &headers, ticket).await?;
    let held = Held::from_sealed_text(taken.luggage.contents()).ok_or_else(not_here)?;
    let answer = match conclude(&app, &who, &name, &taken, &held, decision).await {
        Ok(answer) => answer,
        Err(error) => {
            // It was taken out of where it waited and is not kept, so it is given back.
            give_back(&app, &taken.holder, &held).await;
            return Err(error);
        }
    };
    Ok((AppendHeaders([(header::SET_COOKIE, taken.clear())]), answer).into_response())
}

async fn conclude(
    app: &App,
    who: &LoggedIn,
    name: &str,
    taken: &Taken,
    held: &Held,
    decision: Decision,
) -> Result<Response, PageError> {
    if taken.server.as_str() != name {
        return Err(PageError::foreign_form("the answer is about another server"));
    }
    // What they may do is looked at again: rights and settings may have changed since they left.
    let server = server(app, who, name)?;
    if decision == Decision::Decline {
        return decline(app, who, &server, taken, held).await;
    }
    let holder = holder(app, who, &server)?;
    if holder != taken.holder {
        return Err(not_here());
    }
    connect(app, who, &server, &holder, held).await?;
    let word = if taken.luggage.began == Began::ByCall { "connected-call" } else { "connected" };
    Ok(Redirect::to(&taken.luggage.onward.done(word, &server.name)).into_response())
}

async fn connect(app: &App, who: &LoggedIn, server: &Server, holder: &Holder, held: &Held) -> Result<(), PageError> {
    app.connections.connect(who.actor(), holder, server, held).await.map_err(not_kept)?;
    app.make_known().await;
    Ok(())
}

/// Thrown away, and given back to the provider.
async fn decline(
    app: &App,
    who: &LoggedIn,
    server: &Server,
    taken: &Taken,
    held: &Held,
) -> Result<Response, PageError> {
    let event = event(app, who, Kind::ConnectionFailed, &server.name)
        .outcome(Outcome::Denied)
        .text("holder", taken.holder.as_str().to_owned())
        .text("issuer", held.issuer().to_owned())
        .text("reason", "the person did not want this account");
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let told = give_back(app, &taken.holder, held).await;
    let onward = taken.luggage.onward.path().map_or(("My connections", CONNECTIONS), |path| ("Go on without it", path));
    let host = host_of(held.issuer()).unwrap_or_default();
    let view =
        Ended { account: who.account(), server: server.name.as_str(), host: &host, what: What::Declined, told, onward };
    Ok(ended(&view).into_response())
}
