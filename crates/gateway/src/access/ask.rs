//! `/access/{name}`: what somebody lacks, and asking for it.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_audit::{Kind, Outcome};
use portcullis_base::{AccessRequestId, Class, Classes, ServerName, printable};
use portcullis_store::{AccessRequest, AccessRequestState, PersonKind, Requested};
use serde::Deserialize;

use super::{
    LONGEST_REASON, event, glass, time, times,
    wishes::{known, what, wish_row},
};
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    names::Names,
    pages::access::{
        Held,
        ask::{Ask, Told, ask},
    },
    snapshot::Endpoint,
};

/// The longest name of a tool.
const LONGEST_TOOL: usize = 128;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    tool: String,
    done: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    tool: String,
    #[serde(default)]
    lasts: String,
    #[serde(default)]
    why: String,
    read: Option<String>,
    write: Option<String>,
    unknown: Option<String>,
    egress: Option<String>,
    execute: Option<String>,
    destructive: Option<String>,
    financial: Option<String>,
}

impl Form {
    fn classes(&self) -> Classes {
        let boxes = [
            (&self.read, Class::Read),
            (&self.write, Class::Write),
            (&self.unknown, Class::Unknown),
            (&self.egress, Class::Egress),
            (&self.execute, Class::Execute),
            (&self.destructive, Class::Destructive),
            (&self.financial, Class::Financial),
        ];
        boxes.into_iter().filter(|(ticked, _)| ticked.is_some()).map(|(_, class)| class).collect()
    }
}

/// The name in an address. What cannot be a name has no page, which tells of no server.
pub(super) fn named(name: &str) -> Result<ServerName, PageError> {
    ServerName::parse(name).map_err(|_| PageError::not_found())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let name = named(&name)?;
    let done = match wanted.done.as_deref() {
        Some("asked") => {
            Some("It was noted. Whoever looks after it answers on the page “Approvals”, and you see it there too.")
        }
        Some("withdrawn") => Some("It was taken back."),
        _ => None,
    };
    page(&app, &who, &name, &wanted.tool, done, None).await
}

async fn page(
    app: &App,
    who: &LoggedIn,
    name: &ServerName,
    tool: &str,
    done: Option<&str>,
    failure: Option<&str>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    // spec: T-55: for who may not use it this is all that is looked at, and it is nothing.
    let told = match known(app, who, name) {
        None => Told::Nothing,
        Some(Endpoint::Server(_)) => Told::Server,
        Some(Endpoint::Toolbox(_)) => Told::Toolbox,
    };
    let wishes = app.store.access_requests_of(&who.person.id).await.map_err(PageError::unavailable)?;
    let open = wishes.iter().find(|row| row.server == *name && row.state_at(now) == AccessRequestState::Open);
    let open = match open {
        Some(row) => Some(wish_row(app, &mut Names::default(), row).await.map_err(PageError::unavailable)?),
        None => None,
    };
    let rights = app.store.access_grants_of(&who.person.id).await.map_err(PageError::unavailable)?;
    let held = rights.iter().filter(|right| right.server == *name && right.revoked_at.is_none() && now < right.ends_at);
    let held = held.map(|right| Held { what: what(right.tool.as_deref(), right.classes), ends_at: right.ends_at });
    let tool = printable(tool, LONGEST_TOOL);
    let view = Ask {
        account: who.account(),
        name: name.as_str(),
        told,
        tool: &tool,
        times: times(app.config.access_requests.longest).map(|(word, _, text)| (*word, *text)).collect(),
        open,
        held: held.collect(),
        glass: glass::may_break(app, who, name),
        now,
        done,
        failure,
    };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(ask(&view).status(status).into_response())
}

/// `POST /access/{name}`
pub(super) async fn say(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    SignedForm { who, form }: SignedForm<Form>,
) -> Result<Response, PageError> {
    let name = named(&name)?;
    if who.person.kind != PersonKind::Person {
        let text =
            "Machines do not ask for rights. Whoever owns this account can have an administrator change the settings.";
        return Err(PageError::new(StatusCode::FORBIDDEN, "access.machine", "This is for people", text));
    }
    let (tool, why) = (form.tool.trim(), form.why.trim());
    let again = |failure: &'static str| page(&app, &who, &name, tool, None, Some(failure));
    let classes = if tool.is_empty() { form.classes() } else { Classes::NONE };
    if tool.is_empty() && classes.is_empty() {
        return again("Say what for: name one tool, or tick what its tools may do.").await;
    }
    // spec: T-74: what is shown to whoever answers is what was asked for, letter by letter.
    if tool.len() > LONGEST_TOOL || printable(tool, LONGEST_TOOL) != tool {
        return again("This cannot be the name of a tool.").await;
    }
    let Some(lasts) = time(&form.lasts, app.config.access_requests.longest) else {
        return again("Say for how long.").await;
    };
    if why.is_empty() {
        return again("Say why: whoever answers knows nothing else.").await;
    }
    let now = app.clock.now();
    let new = AccessRequest {
        id: AccessRequestId::random(&*app.rng),
        person: who.person.id.clone(),
        server: name.clone(),
        classes,
        tool: Some(tool).filter(|tool| !tool.is_empty()).map(str::to_owned),
        duration: lasts,
        why: printable(why, LONGEST_REASON),
        state: AccessRequestState::Open,
        asked_at: now,
        expires_at: now.plus(app.config.access_requests.answer_within),
        decided_at: None,
        decided_by: None,
        answer: None,
    };
    match app.store.request_access(&new, app.config.access_requests.terms).await.map_err(PageError::unavailable)? {
        Requested::New => {}
        Requested::Already(_) => {
            return again("You have asked already. Take that back first to ask for something else.").await;
        }
        Requested::TooMany => {
            let text =
                "You have asked for a lot lately, and others have to read it. Wait for an answer, or for an hour.";
            return Err(PageError::new(StatusCode::TOO_MANY_REQUESTS, "access.too_many", "Too many wishes", text));
        }
    }
    let event = event(&app, Kind::AccessRequested, who.actor(), &name).outcome(Outcome::Success);
    let event =
        event.text("request", new.id.as_str().to_owned()).text("for", what(new.tool.as_deref(), classes).to_string());
    let event = event.number("seconds", i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX)).text("why", new.why);
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    Ok(Redirect::to(&format!("/access/{name}?done=asked")).into_response())
}
