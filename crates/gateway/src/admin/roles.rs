//! `/admin/roles`: which groups give which role. Read only: the settings are a file.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    app::App,
    error::PageError,
    extract::Auditor,
    pages::admin::roles::{RoleRow, Roles, roles},
    roles::Role,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/roles", get(show))
}

async fn show(State(app): State<Arc<App>>, Auditor(who): Auditor) -> Result<Response, PageError> {
    let people = app.store.people().await.map_err(PageError::unavailable)?;
    let appointments = &app.appointments;
    let held: Vec<_> =
        people.iter().filter(|person| person.is_active()).map(|person| appointments.of_person(person)).collect();
    let row = |role: Role| RoleRow {
        name: role.as_str(),
        allows: allows(role),
        groups: appointments.groups_with(role).map(str::to_owned).collect(),
        holders: held.iter().filter(|roles| roles.has(role)).count(),
    };
    let appointed = people.iter().filter(|person| person.is_admin());
    let view = Roles {
        account: who.account(),
        rows: Role::ALL.map(row).into(),
        appointed: appointed.map(|person| (person.id.as_str().to_owned(), person.display_name.clone())).collect(),
    };
    Ok(roles(&view).into_response())
}

const fn allows(role: Role) -> &'static str {
    match role {
        Role::Owner => "All that an admin may; rules can tell the two apart",
        Role::Admin => "Look after people, providers and service accounts; end anybody's access",
        Role::Auditor => "See people, their groups and roles, and who was offboarded; change nothing",
        Role::Member => "Sign in and use what the rules allow",
    }
}
