//! `/approvals/hooks/…`: decisions that come from Slack or from a program, signed.
//!
//! Promises:
//! - What is not signed by whom the settings name, just now and for the first time, changes nothing. spec: T-85
//! - The signature says which channel it came through. Who decided is a person here, who has to be asked for their word and
//!   whose word counts as a chat's, which is less than that of a page. spec: T-82, T-107
//! - It is the word on one call: the one that was shown, by its binding. spec: T-80

mod program;
mod slack;
mod word;

use std::sync::Arc;

use axum::{Router, middleware, routing::post};
use http::{HeaderMap, StatusCode};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::printable;

use crate::{
    app::App,
    error::ApiError,
    extract::{Source, calls_not_too_often},
    hook_signature::{LEEWAY, Signed, Unproven},
};

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/approvals/hooks/slack", post(slack::clicked))
        .route("/approvals/hooks/{name}", post(program::decided))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often))
}

fn nothing_here() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "no decisions are taken here")
}

/// The texts of headers; empty where there are none, or more than one.
fn headers<'h>(headers: &'h HeaderMap, names: [&str; 3]) -> Signed<'h> {
    let text = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let only = values.next().filter(|_| values.next().is_none());
        only.and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let [id, at, signature] = names.map(|name| if name.is_empty() { "" } else { text(name) });
    Signed { id, at, signature }
}

/// Lets through what is proven and new; the rest is in the record, as far as one source may fill it.
async fn first_time(
    app: &App,
    hook: &str,
    source: Source,
    proven: Result<(), Unproven>,
    message: &str,
) -> Result<(), ApiError> {
    let refused = if let Err(why) = proven {
        app.limits.hook_source.take(&source.key())?;
        (StatusCode::UNAUTHORIZED, "hook.unproven", why.to_string())
    } else {
        // As long as it would be taken, by whichever clock.
        let until = app.clock.now().plus(2 * LEEWAY);
        let is_new = app.store.spend(&format!("hook {hook} {message}"), until).await.map_err(ApiError::unavailable)?;
        if is_new {
            return Ok(());
        }
        (StatusCode::CONFLICT, "hook.repeated", "the message came before".to_owned())
    };
    let (status, code, why) = refused;
    note(app, hook, source, &why, |event| event).await?;
    Err(ApiError::new(status, code, why))
}

/// Puts into the record that a word did not count.
async fn note(
    app: &App,
    hook: &str,
    source: Source,
    why: &str,
    more: impl FnOnce(Event) -> Event,
) -> Result<(), ApiError> {
    let event = Event::new(Kind::ApprovalNotCounted, app.clock.now())
        .by(Actor { address: Some(source.0), ..Actor::default() })
        .outcome(Outcome::Denied)
        .text("hook", printable(hook, 40))
        .text("why", why.to_owned());
    app.journal.append(more(event)).await.map(|_| ()).map_err(ApiError::unavailable)
}
