//! `/access/{name}/break-glass`: every right to a server at once, in an emergency, for those whom the settings name.
//!
//! It asks for a sign-in of the last minutes, for a passkey besides from whoever has one, and for a reason. What it gives is a
//! right like any other, so rules that deny or ask still do; and nobody who looks at this gateway meanwhile can miss it.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_audit::{Kind, Outcome};
use portcullis_base::{AccessGrantId, Class, Digest, ServerName, printable};
use portcullis_policy::{Kind as Sort, Somebody};
use portcullis_store::{AccessGrant, AccessGrantKind, PersonKind, StoreError};
use serde::Deserialize;

use super::{LONGEST_REASON, ask::named, event};
use crate::{
    app::App,
    authorization::resources::groups,
    config::BreakGlass,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    pages::access::glass::{Glass, Way, glass},
    passkeys::PasskeyError,
};

#[derive(Deserialize)]
pub(super) struct Form {
    /// Names the right before there is one: a form that is sent twice gives one.
    right: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    assertion: String,
}

/// Whether somebody may take every right to what is called `name`, and so may know that it is there.
pub(super) fn may_break(app: &App, who: &LoggedIn, name: &ServerName) -> bool {
    settings(app, who, name).is_some()
}

fn settings<'a>(app: &'a App, who: &LoggedIn, name: &ServerName) -> Option<&'a BreakGlass> {
    let settings = app.config.break_glass.as_ref()?;
    let groups = groups(&who.person);
    let somebody = Somebody {
        person: &who.person.id,
        name: &who.person.name,
        kind: Sort::Person,
        groups: &groups,
        roles: who.roles.names(),
        client: None,
    };
    let may = who.person.kind == PersonKind::Person
        && settings.who.iter().any(|named| named.matches(&somebody))
        && settings.servers.as_ref().is_none_or(|servers| servers.contains(name))
        && app.snapshot.load().servers.contains_key(name);
    may.then_some(settings)
}

/// What a passkey signs for this: nothing else, for nobody else, and for one right.
// spec: T-82
fn challenge(app: &App, who: &LoggedIn, name: &ServerName, right: &AccessGrantId) -> Digest {
    let parts = ["break glass", app.config.public_url.as_str(), who.person.id.as_str(), name.as_str(), right.as_str()];
    Digest::of(serde_json::json!([parts, who.session.form_token]).to_string().as_bytes())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    page(&app, &who, &named(&name)?, None).await
}

async fn page(app: &App, who: &LoggedIn, name: &ServerName, failure: Option<&str>) -> Result<Response, PageError> {
    let settings = settings(app, who, name).ok_or_else(PageError::not_found)?;
    let right = AccessGrantId::random(&*app.rng);
    let way = match who.just_now(app, "/") {
        Err(_) => Way::SignInAgain(who.again(app, &path(name), app.approvals.terms().sign_in).1),
        Ok(()) => match app.passkeys.request(&who.person.id, &challenge(app, who, name, &right)).await {
            Ok(Some(options)) => Way::Passkey(options),
            Ok(None) => Way::Here,
            Err(error) => return Err(PageError::unavailable(error)),
        },
    };
    let view = Glass {
        account: who.account(),
        name: name.as_str(),
        right: right.as_str(),
        lasts: settings.lasts,
        way,
        failure,
    };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(glass(&view).status(status).into_response())
}

/// `POST /access/{name}/break-glass`
pub(super) async fn break_it(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    SignedForm { who, form }: SignedForm<Form>,
) -> Result<Response, PageError> {
    let name = named(&name)?;
    let settings = settings(&app, &who, &name).ok_or_else(PageError::not_found)?;
    who.just_now(&app, &path(&name))?;
    let why = printable(form.why.trim(), LONGEST_REASON);
    if why.is_empty() {
        return page(&app, &who, &name, Some("Say why: it is what others will read first.")).await;
    }
    if !is_ours(&form.right) {
        return Err(PageError::foreign_form("a right that no page of ours names"));
    }
    let id = AccessGrantId::new(form.right.as_str());
    let mut by = "session";
    if app.passkeys.can_sign(&who.person.id).await.map_err(PageError::unavailable)? {
        let challenge = challenge(&app, &who, &name, &id);
        match app.passkeys.check(&who.person.id, &challenge, &form.assertion).await {
            Ok(()) => by = "passkey",
            Err(PasskeyError::Refused(_)) if form.assertion.is_empty() => {
                return page(&app, &who, &name, Some("You have a passkey: this asks for it.")).await;
            }
            Err(PasskeyError::Refused(why)) => return page(&app, &who, &name, Some(&why)).await,
            Err(error) => return Err(PageError::unavailable(error)),
        }
    }
    let now = app.clock.now();
    let grant = AccessGrant {
        id: id.clone(),
        person: who.person.id.clone(),
        server: name.clone(),
        kind: AccessGrantKind::BreakGlass,
        classes: Class::ALL.iter().copied().collect(),
        tool: None,
        request: None,
        given_by: who.person.id.clone(),
        why: why.clone(),
        made_at: now,
        ends_at: now.plus(settings.lasts),
        revoked_at: None,
        revoked_by: None,
    };
    // In the journal first: there is no such right that nobody can read of.
    let line = event(&app, Kind::AccessBreakGlass, who.actor(), &name)
        .outcome(Outcome::Success)
        .text("level", "warn")
        .text("right", id.as_str().to_owned())
        .text("by", by)
        .text("why", why)
        .text("ends_at", grant.ends_at.to_string());
    if app.store.access_grant(&id).await.map_err(PageError::unavailable)?.is_some() {
        return Ok(Redirect::to("/grants?done=broken").into_response());
    }
    app.journal.append(line).await.map_err(PageError::unavailable)?;
    match app.store.give_access(&grant).await {
        Ok(()) => {}
        // The same form at the same moment: the other one did it.
        Err(StoreError::Taken) => return Ok(Redirect::to("/grants?done=broken").into_response()),
        Err(error) => return Err(PageError::unavailable(error)),
    }
    tracing::warn!(person.id = %grant.person, server.name = %name, right.id = %id, "the glass was broken: somebody has every right to a server");
    app.make_known().await;
    Ok(Redirect::to("/grants?done=broken").into_response())
}

/// Whether it has the form of what [`AccessGrantId::random`] makes.
fn is_ours(id: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    id.strip_prefix("acg_").is_some_and(|token| (20..=48).contains(&token.len()) && token.bytes().all(letter))
}

fn path(name: &ServerName) -> String {
    format!("/access/{name}/break-glass")
}
