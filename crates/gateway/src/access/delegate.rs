//! `/grants/delegations`: somebody lends their word for a while, to be said by somebody else where they are asked for it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::{DelegationId, PersonId, printable};
use portcullis_policy::{Kind as Sort, Somebody};
use portcullis_store::{Delegation, Person, PersonKind, StoreError};
use serde::Deserialize;

use super::{LONGEST_REASON, time};
use crate::{
    app::App,
    authorization::resources::groups,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    roles::{Roles, Standing},
};

/// The longest time: an absence, not a change of office.
pub const LONGEST: std::time::Duration = std::time::Duration::from_hours(24 * 30);
/// How many of one person's may be in force.
const MOST: u32 = 5;

/// Somebody who lent their word, as they are at this moment.
pub struct Lender {
    person: Person,
    groups: Vec<Arc<str>>,
    roles: Roles,
}

impl Lender {
    /// As the law looks at them.
    pub fn somebody(&self) -> Somebody<'_> {
        Somebody {
            person: &self.person.id,
            name: &self.person.name,
            kind: Sort::Person,
            groups: &self.groups,
            roles: self.roles.names(),
            client: None,
        }
    }
}

/// Those who lent their word to `delegate`. What was lent to them is not lent on, because it is not asked for here.
pub async fn lenders(app: &App, delegate: &PersonId) -> Result<Vec<Lender>, StoreError> {
    let mut lenders: Vec<Lender> = Vec::new();
    for lent in app.store.delegations_to(delegate, app.clock.now()).await? {
        let known = lenders.iter().any(|lender| lender.person.id == lent.person);
        let Some(person) = app.store.person(&lent.person).await?.filter(|_| !known) else { continue };
        // Whoever lost what their word counted by has nothing to lend.
        if person.is_active() && person.kind == PersonKind::Person && app.appointments.admit(&person) {
            let (groups, roles) = (groups(&person), app.appointments.of_person(&person));
            lenders.push(Lender { person, groups, roles });
        }
    }
    Ok(lenders)
}

#[derive(Deserialize)]
pub(super) struct Form {
    delegate: String,
    #[serde(default)]
    lasts: String,
    #[serde(default)]
    why: String,
}

/// `POST /grants/delegations`
pub(super) async fn lend(
    State(app): State<Arc<App>>,
    SignedForm { who, form }: SignedForm<Form>,
) -> Result<Response, PageError> {
    who.just_now(&app, "/grants")?;
    let refused = |text: &'static str| {
        let error = PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "delegation.refused", "Nothing was lent", text);
        Err(error.onward("Back to “My grants”", "/grants".into()))
    };
    let name = form.delegate.trim();
    let found = app.store.person_by_name(name).await.map_err(PageError::unavailable)?;
    let Some(delegate) =
        found.map(|(person, _)| person).filter(|person| person.is_active() && person.kind == PersonKind::Person)
    else {
        return refused("There is nobody of this name who signs in here.");
    };
    if delegate.id == who.person.id {
        return refused("Your word is yours already.");
    }
    let Some(lasts) = time(&form.lasts, LONGEST) else { return refused("Say for how long.") };
    let now = app.clock.now();
    let new = Delegation {
        id: DelegationId::random(&*app.rng),
        person: who.person.id.clone(),
        delegate: delegate.id.clone(),
        why: printable(form.why.trim(), LONGEST_REASON),
        made_at: now,
        ends_at: now.plus(lasts),
        revoked_at: None,
        revoked_by: None,
    };
    match app.store.delegate(&new, MOST).await {
        Ok(true) => {}
        Ok(false) => return refused("You have lent your word to several people already. Take one back first."),
        Err(StoreError::Missing) => return refused("There is nobody of this name who signs in here."),
        Err(error) => return Err(PageError::unavailable(error)),
    }
    let event = event(&app, Kind::DelegationMade, &who, &new, &delegate.name)
        .text("ends_at", new.ends_at.to_string())
        .text("why", new.why.clone());
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    Ok(Redirect::to("/grants?done=lent").into_response())
}

#[derive(Deserialize)]
pub(super) struct Which {
    delegation: String,
}

/// `POST /grants/delegations/revoke`
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Which { delegation } }: SignedForm<Which>,
) -> Result<Response, PageError> {
    let found = app.store.delegation(&DelegationId::new(delegation)).await.map_err(PageError::unavailable)?;
    let me = &who.person.id;
    let may =
        |one: &Delegation| one.person == *me || one.delegate == *me || who.roles.standing() == Standing::Administrator;
    let one = found.filter(may).ok_or_else(PageError::not_found)?;
    if app.store.revoke_delegation(&one.id, me, app.clock.now()).await.map_err(PageError::unavailable)? {
        let named = app.store.person(&one.delegate).await.map_err(PageError::unavailable)?;
        let named = named.map_or_else(|| one.delegate.to_string(), |person| person.name);
        let event = event(&app, Kind::DelegationRevoked, &who, &one, &named);
        app.journal.append(event).await.map_err(PageError::unavailable)?;
    }
    Ok(Redirect::to("/grants?done=not-lent").into_response())
}

fn event(app: &App, kind: Kind, who: &LoggedIn, one: &Delegation, delegate: &str) -> Event {
    Event::new(kind, app.clock.now())
        .by(who.actor())
        .on(Target { name: Some(delegate.to_owned().into()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("delegation", one.id.as_str().to_owned())
        .text("person", one.person.as_str().to_owned())
        .text("delegate", one.delegate.as_str().to_owned())
}
