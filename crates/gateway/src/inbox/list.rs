//! `/approvals`

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use portcullis_store::{ApprovalRow, Paging, StoreError};
use serde::Deserialize;

use super::look::{Reader, for_reader, row};
use crate::{
    access::{own_wishes, waiting_wishes},
    app::App,
    error::PageError,
    extract::LoggedIn,
    names::Names,
    pages::approvals::inbox::{Inbox, Row, inbox},
};

/// How many of one's own are shown.
const OWN: u32 = 50;

#[derive(Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    // A word of ours, chosen by a word of the address; never the address itself.
    let done = match query.done.as_deref() {
        Some("approved") => Some("You have approved it."),
        Some("refused") => Some("You have refused it."),
        Some("withdrawn") => Some("It was taken back."),
        _ => None,
    };
    let (yours, mut own, more) = found(&app, &who).await.map_err(PageError::unavailable)?;
    // What they have to decide themselves is listed above it already.
    own.retain(|row| yours.iter().all(|other| other.id != row.id));
    let wishes = waiting_wishes(&app, &who).await.map_err(PageError::unavailable)?;
    let own_wishes = own_wishes(&app, &who).await.map_err(PageError::unavailable)?;
    let view = Inbox { account: who.account(), yours, wishes, own_wishes, own, more, now: app.clock.now(), done };
    Ok(inbox(&view).into_response())
}

/// What waits for somebody, what they asked for, and how many more of these there are.
pub(super) async fn found(app: &App, who: &LoggedIn) -> Result<(Vec<Row>, Vec<Row>, u64), StoreError> {
    let reader = Reader::of(app, who).await?;
    let mut names = Names::default();
    let yours = rows(app, &mut names, &for_reader(app, &reader).await?).await?;
    let listed = app.store.approvals_of(&who.person.id, Paging { take: OWN, skip: 0 }).await?;
    let own = rows(app, &mut names, &listed.items).await?;
    let more = listed.total.saturating_sub(own.len() as u64);
    Ok((yours, own, more))
}

async fn rows(app: &App, names: &mut Names, found: &[ApprovalRow]) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::with_capacity(found.len());
    for one in found {
        rows.push(row(app, names, one).await?);
    }
    Ok(rows)
}
