//! `/approvals/access/{id}`: somebody's wish, and the answer to it.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{AccessGrantId, AccessRequestId, printable};
use portcullis_policy::Guest;
use portcullis_store::{
    AccessAnswer, AccessGrant, AccessGrantKind, AccessRequest, AccessRequestState, Person, StoreError,
};
use serde::Deserialize;

use super::{
    LONGEST_REASON, event, time, times,
    wishes::{risk, what, wish_row},
};
use crate::{
    app::App,
    authorization::resources::groups,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    names::Names,
    pages::access::answer::{Answer, At, You, answer},
    roles::Standing,
    snapshot::Endpoint,
};

#[derive(Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Form {
    word: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    lasts: String,
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// The wish, if they may read it: it is theirs, or they look after this gateway. To others it does not exist.
async fn readable(app: &App, who: &LoggedIn, id: &str) -> Result<AccessRequest, PageError> {
    let found = app.store.access_request(&AccessRequestId::new(id)).await.map_err(PageError::unavailable)?;
    let may = |row: &AccessRequest| row.person == who.person.id || who.roles.standing() >= Standing::Auditor;
    found.filter(may).ok_or_else(PageError::not_found)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Path(id): Path<String>,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let done = match query.done.as_deref() {
        Some("given") => Some("The right was given. It holds from now on."),
        Some("refused") => Some("You have refused it."),
        Some("withdrawn") => Some("It was taken back."),
        _ => None,
    };
    let row = readable(&app, &who, &id).await?;
    page(&app, &who, &row, done, None).await
}

async fn page(
    app: &App,
    who: &LoggedIn,
    row: &AccessRequest,
    done: Option<&str>,
    failure: Option<&str>,
) -> Result<Response, PageError> {
    let mut names = Names::default();
    let wish = wish_row(app, &mut names, row).await.map_err(PageError::unavailable)?;
    let answers = row.person != who.person.id && who.roles.standing() == Standing::Administrator;
    // Only for those who answer: for the asker it would tell whether there is such a server (T-55).
    let (at, would) = if answers { look(app, row).await.map_err(PageError::unavailable)? } else { (None, None) };
    let decided_by = match &row.decided_by {
        Some(by) => Some(names.person(app, by).await.map_err(PageError::unavailable)?),
        None => None,
    };
    let you = match (row.person == who.person.id, answers, wish.state) {
        (true, _, AccessRequestState::Open) => You::Asked,
        (_, true, AccessRequestState::Open) if who.just_now(app, "/").is_ok() => You::Answer,
        (_, true, AccessRequestState::Open) => {
            let path = format!("/approvals/access/{}", row.id);
            You::SignInAgain(who.again(app, &path, app.approvals.terms().sign_in).1)
        }
        _ => You::Look,
    };
    let most = row.duration.min(app.config.access_requests.longest);
    let view = Answer {
        account: who.account(),
        wish,
        at,
        would,
        decided_by,
        times: times(most).map(|(word, _, text)| (*word, *text)).collect(),
        you,
        now: app.clock.now(),
        done,
        failure,
    };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(answer(&view).status(status).into_response())
}

/// Where it is wanted, and what the tool may do that is wanted there.
async fn look(app: &App, row: &AccessRequest) -> Result<(Option<At>, Option<portcullis_base::Classes>), StoreError> {
    let Some(endpoint) = app.snapshot.load().endpoint(&row.server) else { return Ok((Some(At::Nowhere), None)) };
    let person = app.store.person(&row.person).await?;
    let admitted = person.is_some_and(|person: Person| {
        let groups = groups(&person);
        endpoint.access().admits(Guest { person: &person.id, groups: &groups, now: app.clock.now() })
    });
    let at = match endpoint {
        Endpoint::Server(_) if admitted => At::ServerOfTheirs,
        Endpoint::Server(_) => At::Server,
        Endpoint::Toolbox(_) => At::Toolbox,
    };
    Ok((Some(at), row.tool.as_deref().map(|tool| risk(app, &row.server, &row.person, tool))))
}

/// `POST /approvals/access/{id}`
pub(super) async fn say(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    SignedForm { who, form }: SignedForm<Form>,
) -> Result<Response, PageError> {
    let row = readable(&app, &who, &id).await?;
    let path = format!("/approvals/access/{}", row.id);
    let refused = |code: &'static str, text: &'static str| {
        Err(PageError::new(StatusCode::FORBIDDEN, code, "You cannot answer this", text))
    };
    // spec: T-82: nobody gives themselves a right, and it is asked now who may give one.
    if row.person == who.person.id {
        return refused("access.own", "It is your own wish: somebody else has to answer it. Nothing was decided.");
    }
    if who.roles.standing() < Standing::Administrator {
        return refused("access.not_asked", "Administrators answer wishes for access. Nothing was decided.");
    }
    let now = app.clock.now();
    let words = printable(form.why.trim(), LONGEST_REASON);
    match form.word.as_str() {
        "refuse" if words.is_empty() => page(&app, &who, &row, None, Some("Say why not: they will read it.")).await,
        "refuse" => {
            let answered =
                app.store.answer_access_request(&row.id, &who.person.id, &AccessAnswer::Refused, &words, now);
            if !answered.await.map_err(PageError::unavailable)? {
                return too_late(&app, &who, &id, AccessRequestState::Refused, "refused").await;
            }
            let event = about(&app, Kind::AccessRefused, &who, &row).outcome(Outcome::Denied).text("why", words);
            app.journal.append(event).await.map_err(PageError::unavailable)?;
            Ok(Redirect::to(&format!("{path}?done=refused")).into_response())
        }
        "give" => {
            who.just_now(&app, &path)?;
            if app.snapshot.load().endpoint(&row.server).is_none() {
                return page(&app, &who, &row, None, Some("There is nothing of this name to give a right to.")).await;
            }
            let most = row.duration.min(app.config.access_requests.longest);
            let lasts = if form.lasts.is_empty() { Some(most) } else { time(&form.lasts, most) };
            let Some(lasts) = lasts else { return page(&app, &who, &row, None, Some("Say for how long.")).await };
            let classes = match &row.tool {
                // What the tool becomes later was not agreed to. spec: T-75
                Some(tool) => risk(&app, &row.server, &row.person, tool),
                None => row.classes,
            };
            let grant = AccessGrant {
                id: AccessGrantId::random(&*app.rng),
                person: row.person.clone(),
                server: row.server.clone(),
                kind: AccessGrantKind::Request,
                classes,
                tool: row.tool.clone(),
                request: Some(row.id.clone()),
                given_by: who.person.id.clone(),
                why: row.why.clone(),
                made_at: now,
                ends_at: now.plus(lasts),
                revoked_at: None,
                revoked_by: None,
            };
            let approved = AccessAnswer::Approved(&grant);
            match app.store.answer_access_request(&row.id, &who.person.id, &approved, &words, now).await {
                Ok(true) => {}
                Ok(false) => return too_late(&app, &who, &id, AccessRequestState::Approved, "given").await,
                Err(StoreError::Missing) => {
                    return page(&app, &who, &row, None, Some("Their account is closed. Nothing was given.")).await;
                }
                Err(error) => return Err(PageError::unavailable(error)),
            }
            let mut event = about(&app, Kind::AccessGranted, &who, &row)
                .outcome(Outcome::Success)
                .text("right", grant.id.as_str().to_owned())
                .text("classes", classes.iter().map(portcullis_base::Class::as_str).collect::<Vec<_>>().join(" "))
                .text("ends_at", grant.ends_at.to_string());
            if !words.is_empty() {
                event = event.text("why", words);
            }
            app.journal.append(event).await.map_err(PageError::unavailable)?;
            app.make_known().await;
            Ok(Redirect::to(&format!("{path}?done=given")).into_response())
        }
        _ => page(&app, &who, &row, None, Some("Say yes or no.")).await,
    }
}

/// Somebody has answered before, or its time is over. Whoever clicked twice sees what the first click did.
async fn too_late(
    app: &App,
    who: &LoggedIn,
    id: &str,
    same: AccessRequestState,
    done: &'static str,
) -> Result<Response, PageError> {
    let row = readable(app, who, id).await?;
    if row.state == same && row.decided_by.as_ref() == Some(&who.person.id) {
        return Ok(Redirect::to(&format!("/approvals/access/{}?done={done}", row.id)).into_response());
    }
    page(app, who, &row, None, Some("It was answered already, or its time is over. Nothing was changed.")).await
}

/// `POST /approvals/access/{id}/withdraw`
pub(super) async fn take_back(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    SignedForm { who, form: Nothing {} }: SignedForm<Nothing>,
) -> Result<Response, PageError> {
    let row = readable(&app, &who, &id).await?;
    if row.person != who.person.id {
        return Err(PageError::not_found());
    }
    let withdrawn =
        app.store.answer_access_request(&row.id, &who.person.id, &AccessAnswer::Withdrawn, "", app.clock.now());
    if !withdrawn.await.map_err(PageError::unavailable)? {
        return too_late(&app, &who, &id, AccessRequestState::Withdrawn, "withdrawn").await;
    }
    let event = about(&app, Kind::AccessWithdrawn, &who, &row).outcome(Outcome::Success);
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    Ok(Redirect::to(&format!("/access/{}?done=withdrawn", row.server)).into_response())
}

fn about(app: &App, kind: Kind, who: &LoggedIn, row: &AccessRequest) -> Event {
    event(app, kind, who.actor(), &row.server)
        .text("request", row.id.as_str().to_owned())
        .text("person", row.person.as_str().to_owned())
        .text("for", what(row.tool.as_deref(), row.classes).to_string())
}
