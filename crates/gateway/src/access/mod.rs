//! `/access/{name}`: how somebody comes by a right that they lack, for a while: by asking for it, or in an emergency by taking
//! it; and how words are lent to others.
//!
//! Promises:
//! - A right is an entry of one person on the access list of one server. The one engine judges by it, so what a rule denies
//!   stays denied; it ends by the clock of every node, and no call reads the database for it.
//! - Nobody answers their own wish. Whoever answers is an administrator at that moment and has just signed in (T-82).
//! - To somebody who may not use a server, there is no difference between that server and none (T-55): the link in the
//!   refusal is made of the name that they came with, the page behind it is there for every name and says the same of both,
//!   a wish for what does not exist is kept like any other, and only those who answer wishes see which is which. What tells
//!   the asker is an answer, and that is a human's to give.
//! - Every step is in the journal.
//!
//! Deliberately absent: tokens of programs (T-82), and machines, which have no wishes.

mod answer;
mod api;
mod ask;
mod delegate;
mod give_back;
mod glass;
mod wishes;

use std::{sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use portcullis_audit::{Actor, Event, Kind, Target};
use portcullis_base::ServerName;

pub use self::{
    delegate::{Lender, lenders},
    wishes::{own_wishes, waiting_wishes, wish_row},
};
use crate::{
    app::App,
    extract::{pages_not_too_often, people_only, under_public_url},
};

/// The longest reason that somebody writes.
const LONGEST_REASON: usize = 500;

/// Times that are offered, as they stand in forms, and in words.
const TIMES: [(&str, Duration, &str); 6] = [
    ("1h", Duration::from_hours(1), "an hour"),
    ("8h", Duration::from_hours(8), "8 hours"),
    ("1d", Duration::from_hours(24), "a day"),
    ("7d", Duration::from_hours(24 * 7), "a week"),
    ("30d", Duration::from_hours(24 * 30), "30 days"),
    ("90d", Duration::from_hours(24 * 90), "90 days"),
];

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let pages = Router::new()
        .route("/access/{name}", get(ask::show).post(ask::say))
        .route("/access/{name}/break-glass", get(glass::show).post(glass::break_it))
        .route("/approvals/access/{id}", get(answer::show).post(answer::say))
        .route("/approvals/access/{id}/withdraw", post(answer::take_back))
        .route("/grants/access/revoke", post(give_back::revoke))
        .route("/grants/delegations", post(delegate::lend))
        .route("/grants/delegations/revoke", post(delegate::revoke))
        .layer(middleware::from_fn(people_only))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url));
    pages.merge(api::routes(app).layer(middleware::from_fn(people_only)))
}

/// Those of [`TIMES`] that are no longer than `longest`.
fn times(longest: Duration) -> impl Iterator<Item = &'static (&'static str, Duration, &'static str)> {
    TIMES.iter().filter(move |(_, time, _)| *time <= longest)
}

/// The time called `word`, if it is offered.
fn time(word: &str, longest: Duration) -> Option<Duration> {
    times(longest).find(|(name, ..)| *name == word).map(|(_, time, _)| *time)
}

/// How long a word can be lent: as it stands in forms, and in words.
pub fn lending_times() -> Vec<(&'static str, &'static str)> {
    times(delegate::LONGEST).map(|(word, _, text)| (*word, *text)).collect()
}

/// An event about a server.
fn event(app: &App, kind: Kind, by: Actor, server: &ServerName) -> Event {
    let on = Target { server: Some(server.clone()), ..Target::default() };
    Event::new(kind, app.clock.now()).by(by).on(on)
}
