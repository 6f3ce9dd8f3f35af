//! The doors of administration: people, groups, roles, rules, tools, providers, service accounts, what offboarding ended,
//! what happened and what goes on.
//!
//! Whoever administers sees and changes, an auditor sees people. Every change is a form of our own pages (spec: T-94). It is
//! in the journal before it is made; what cannot be written down is not done.

mod access;
mod api;
mod audit;
mod audit_api;
mod connections;
mod examined;
mod explain;
mod groups;
mod insight;
mod offboarding;
mod people;
mod person;
mod providers;
mod roles;
mod rules;
mod service_accounts;
mod tools;

use std::sync::Arc;

use axum::{Router, middleware};
use http::StatusCode;
use portcullis_audit::{Event, Outcome};
use portcullis_store::StoreError;

use crate::{
    app::App,
    error::PageError,
    extract::{pages_not_too_often, under_public_url},
};

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(access::routes())
        .merge(audit::routes())
        .merge(connections::routes())
        .merge(examined::routes())
        .merge(explain::routes())
        .merge(groups::routes())
        .merge(insight::routes())
        .merge(offboarding::routes())
        .merge(people::routes())
        .merge(person::routes())
        .merge(providers::routes())
        .merge(roles::routes())
        .merge(rules::routes())
        .merge(service_accounts::routes())
        .merge(tools::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url))
        .merge(api::routes(app))
        .merge(audit_api::routes(app))
        .merge(insight::api_routes(app))
}

/// Writes down what is about to be done, does it, tells the calls of this node, and writes down if it was not done.
async fn recorded<T>(
    app: &App,
    event: Event,
    deed: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, PageError> {
    app.journal.append(event.clone().outcome(Outcome::Success)).await.map_err(PageError::unavailable)?;
    match deed.await {
        Ok(done) => {
            app.make_known().await;
            Ok(done)
        }
        Err(error) => {
            let failed = event.outcome(Outcome::Failure).text("why", error.to_string());
            app.journal.append(failed).await.map_err(PageError::unavailable)?;
            Err(not_done(error))
        }
    }
}

fn not_done(error: StoreError) -> PageError {
    match error {
        // spec: T-95: "last admin protected"
        StoreError::LastAdministrator => PageError::new(
            StatusCode::CONFLICT,
            "person.last_administrator",
            "Nobody would be left to administer",
            "This is the last administrator. Make somebody else one first. Nothing was changed.",
        ),
        error => PageError::unavailable(error),
    }
}

/// Groups as a form has them: divided by commas.
fn groups_typed(text: &str) -> Result<Vec<String>, PageError> {
    let mut groups: Vec<String> =
        text.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect();
    groups.sort();
    groups.dedup();
    // `*` is everybody and is given to nobody.
    let fits = |group: &String| group.chars().count() <= 256 && group != "*" && !group.chars().any(char::is_control);
    if groups.len() <= 200 && groups.iter().all(fits) {
        return Ok(groups);
    }
    Err(PageError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "groups.wrong",
        "These groups cannot be given",
        "At most 200 groups, each of at most 256 characters, divided by commas. Nothing was changed.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_divided_by_commas_and_everybody_is_none() {
        let typed = |text: &str| groups_typed(text).ok();
        assert_eq!(typed(" b, a ,,a"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(typed(""), Some(vec![]));
        assert_eq!(typed("Sales and more"), Some(vec!["Sales and more".into()]));
        assert_eq!(typed("a, *"), None);
        assert_eq!(typed("a\nb"), None);
    }
}
