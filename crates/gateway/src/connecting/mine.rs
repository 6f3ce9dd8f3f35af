//! `/connections`: as whom the reader acts at which server.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use portcullis_base::{Holder, ServerName};
use portcullis_store::Connection;
use serde::Deserialize;

use super::describe::{by_itself, held, host};
use crate::{
    app::App,
    authorization::{resources::admits, sitting::asks_for_an_account},
    config::Holders,
    error::PageError,
    extract::LoggedIn,
    pages::connections::{Acts, Mine, Row, mine},
    snapshot::Server,
};

#[derive(Deserialize)]
pub struct Done {
    done: Option<String>,
    server: Option<String>,
}

/// `GET /connections`
pub async fn list(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let rows = rows(&app, &who).await?;
    // Words of ours, chosen by words of the address; never the address itself.
    let named = rows.iter().find(|row| Some(&row.server) == query.server.as_ref());
    let done = named.zip(query.done.as_deref()).and_then(|(row, word)| match word {
        "connected" => Some(format!("{} is connected.", row.server)),
        "connected-call" => Some(format!(
            "{} is connected. Go back to your application: it goes on by itself, or you try again there.",
            row.server
        )),
        _ => None,
    });
    let view = Mine { account: who.account(), rows, now: app.clock.now(), done: done.as_deref() };
    Ok(mine(&view).into_response())
}

async fn rows(app: &App, who: &LoggedIn) -> Result<Vec<Row>, PageError> {
    let own = app.store.connections_of(&who.person.id).await.map_err(PageError::unavailable)?;
    let own: HashMap<ServerName, Connection> = own.into_iter().map(|row| (row.server.clone(), row)).collect();
    let snapshot = app.snapshot.load_full();
    let mut rows = Vec::new();
    for server in snapshot.servers.values().filter(|server| admits(app, server, &who.person)) {
        if let Some(acts) = acts(app, server, own.get(&server.name)).await? {
            rows.push(Row {
                server: server.name.as_str().to_owned(),
                description: server.description.clone(),
                host: server.url().map(|_| host(server)),
                acts,
            });
        }
    }
    rows.sort_by(|a, b| a.server.cmp(&b.server));
    Ok(rows)
}

/// As whom the reader acts at a server; `None` where there is nothing to say.
async fn acts(app: &App, server: &Server, own: Option<&Connection>) -> Result<Option<Acts>, PageError> {
    if let Some(how) = by_itself(&server.credential) {
        return Ok(Some(Acts::ByItself(how)));
    }
    Ok(match server.credential.holders() {
        Some(Holders::Shared) => {
            let shared = app.store.connection(&Holder::Shared, &server.name).await.map_err(PageError::unavailable)?;
            Some(Acts::Shared(shared.as_ref().map(held)))
        }
        Some(Holders::Each) if own.is_some() || asks_for_an_account(app, server).await? => {
            Some(Acts::Own(own.map(held)))
        }
        _ => None,
    })
}
