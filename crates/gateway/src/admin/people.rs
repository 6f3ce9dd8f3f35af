//! `/admin/people`: everybody with an account.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use portcullis_store::{Person, PersonKind, StoreError};
use serde::Deserialize;

use crate::{
    account::provider_name,
    app::App,
    error::PageError,
    extract::Auditor,
    pages::admin::people::{Paging, People, PersonRow, State as AccountState, people},
    roles::Standing,
};

/// So many people stand on one page.
const PER_PAGE: usize = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin", get(front)).route("/admin/people", get(list))
}

async fn front(_: Auditor) -> Redirect {
    Redirect::to("/admin/people")
}

/// Who is looked for, and which page of them.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: String,
}

async fn list(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let filter = wanted.filter();
    let (rows, paging) = found(&app, &wanted).await.map_err(PageError::unavailable)?;
    let view = People { account: who.account(), rows, filter: &filter, paging, now: app.clock.now() };
    Ok(people(&view).into_response())
}

impl Wanted {
    fn filter(&self) -> String {
        self.q.trim().chars().take(100).collect()
    }
}

/// One page of those who are looked for.
pub(super) async fn found(app: &App, wanted: &Wanted) -> Result<(Vec<PersonRow>, Paging), StoreError> {
    let mut found = app.store.people().await?;
    let filter = wanted.filter().to_lowercase();
    found.retain(|person| person.kind == PersonKind::Person && matches(person, &filter));
    let paging = Paging::of(found.len(), PER_PAGE, wanted.page.parse().unwrap_or(1));
    let mut rows = Vec::with_capacity(PER_PAGE);
    for person in found.iter().skip((paging.page - 1) * PER_PAGE).take(PER_PAGE) {
        rows.push(row(app, person).await?);
    }
    Ok((rows, paging))
}

/// Whether a person is looked for by `filter`, in lower case.
fn matches(person: &Person, filter: &str) -> bool {
    let texts = [&person.name, &person.display_name].into_iter().chain(&person.email).chain(&person.groups);
    filter.is_empty() || texts.into_iter().any(|text| text.to_lowercase().contains(filter))
}

async fn row(app: &App, person: &Person) -> Result<PersonRow, StoreError> {
    let identities = app.store.identities_of(&person.id).await?;
    Ok(PersonRow {
        id: person.id.as_str().to_owned(),
        name: person.name.clone(),
        display_name: person.display_name.clone(),
        email: person.email.clone(),
        state: state(person),
        role: match app.appointments.of_person(person).standing() {
            Standing::Administrator => Some("admin"),
            Standing::Auditor => Some("auditor"),
            Standing::Member => None,
        },
        providers: identities.iter().map(|identity| provider_name(app, &identity.provider)).collect(),
        signed_in_at: identities.iter().map(|identity| identity.signed_in_at).max(),
        groups: person.groups.clone(),
    })
}

pub(super) fn state(person: &Person) -> AccountState {
    person.disabled_at.map_or(AccountState::Active, AccountState::Disabled)
}
