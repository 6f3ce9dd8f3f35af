//! `/grants`: what was approved ahead for somebody, rights that end, words that are lent; and taking back what was approved.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use portcullis_base::StandingGrantId;
use portcullis_policy::Origin;
use portcullis_policy::approval::Scope;
use portcullis_store::{AccessGrantKind, StoreError};
use serde::Deserialize;

use crate::{
    access::lending_times,
    app::App,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    names::Names,
    pages::{
        access::What,
        approvals::grants::{AccessLine, DelegationLine, Grants, StandingLine, Whose, grants},
    },
    roles::Standing,
};

/// The most of each kind that a page lists.
const MOST: usize = 500;

#[derive(Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let done = match query.done.as_deref() {
        Some("revoked") => Some("It was taken back. The next such call asks again."),
        Some("given-back") => Some("The right has ended."),
        Some("broken") => {
            Some("The glass is broken: you have every right to that server until it ends, or you end it here.")
        }
        Some("lent") => Some("Your word is lent."),
        Some("not-lent") => Some("That has ended."),
        _ => None,
    };
    let found = found(&app, &who).await.map_err(PageError::unavailable)?;
    let view = Grants {
        account: who.account(),
        standing: found.standing,
        access: found.access,
        delegations: found.delegations,
        times: lending_times(),
        whose: found.whose,
        now: app.clock.now(),
        done,
    };
    Ok(grants(&view).into_response())
}

struct Found {
    standing: Vec<StandingLine>,
    access: Vec<AccessLine>,
    delegations: Vec<DelegationLine>,
    whose: Whose,
}

/// One's own; to those who look after this gateway, everybody's.
async fn found(app: &App, who: &LoggedIn) -> Result<Found, StoreError> {
    let (now, me) = (app.clock.now(), &who.person.id);
    let all = who.roles.standing() > Standing::Member;
    let mut names = Names::default();
    let mut standing = Vec::new();
    let rows = if all { app.store.standing_grants_alive(now).await? } else { app.store.standing_grants_of(me).await? };
    for row in rows.into_iter().take(MOST) {
        let one = &row.standing;
        if one.revoked_at.is_some() || now >= one.ends_at || one.uses_left == Some(0) {
            continue;
        }
        standing.push(StandingLine {
            id: one.id.as_str().to_owned(),
            owner: names.person(app, &one.person).await?,
            tool: one.tool.to_string(),
            server: one.server.to_string(),
            client: names.client(app, &one.client).await?,
            same: match &one.scope {
                Scope::Exact(_) => Vec::new(),
                Scope::Members(members) => members.keys().cloned().collect(),
            },
            uses_left: one.uses_left,
            ends_at: one.ends_at,
            given_by: names.person(app, &row.given_by).await?,
            used_at: row.used_at,
        });
    }
    let mut access = Vec::new();
    let rights = app.store.access_grants(now).await?;
    for right in rights.into_iter().filter(|right| all || right.person == *me).take(MOST) {
        access.push(AccessLine {
            id: right.id.as_str().to_owned(),
            owner: names.person(app, &right.person).await?,
            server: right.server.to_string(),
            what: match right.tool {
                Some(tool) => What::Tool(tool),
                None => What::Classes(right.classes),
            },
            origin: match right.kind {
                AccessGrantKind::Request => Origin::Request,
                AccessGrantKind::BreakGlass => Origin::BreakGlass,
            },
            given_by: names.person(app, &right.given_by).await?,
            why: right.why,
            ends_at: right.ends_at,
        });
    }
    let mut delegations = Vec::new();
    let lent = app.store.delegations(now).await?;
    for one in lent.into_iter().filter(|one| all || one.person == *me || one.delegate == *me).take(MOST) {
        delegations.push(DelegationLine {
            id: one.id.as_str().to_owned(),
            owner: names.person(app, &one.person).await?,
            delegate: names.person(app, &one.delegate).await?,
            why: one.why,
            ends_at: one.ends_at,
        });
    }
    let whose = if all { Whose::Everybodys } else { Whose::Own };
    Ok(Found { standing, access, delegations, whose })
}

#[derive(Deserialize)]
pub(super) struct Which {
    standing: String,
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Which { standing } }: SignedForm<Which>,
) -> Result<Response, PageError> {
    let id = StandingGrantId::new(standing);
    let found = app.store.standing_grant(&id).await.map_err(PageError::unavailable)?;
    let me = &who.person.id;
    // Somebody else's and none at all look the same to whoever may not take it back.
    let row = found
        .filter(|row| {
            row.standing.person == *me || row.given_by == *me || who.roles.standing() == Standing::Administrator
        })
        .ok_or_else(PageError::not_found)?;
    app.approvals.unstand(&row, me, who.actor()).await.map_err(PageError::unavailable)?;
    app.make_known().await;
    Ok(Redirect::to("/grants?done=revoked").into_response())
}
