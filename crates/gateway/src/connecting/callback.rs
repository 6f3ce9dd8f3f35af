//! `/connections/-/callback/{issuer}`: back from a server's provider.
//!
//! First whose this is, then whether the answer is the issuer's, and only then is anything asked of the token endpoint that
//! was written down. What it gives waits, sealed, until the person has seen both names and agreed.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_audit::{Kind, Outcome};
use portcullis_base::{Holder, Secret, token};
use portcullis_oauth::{relying::callback::state_of, upstream::issuer_id};
use portcullis_store::FlowStage;

use super::{
    describe::host_of,
    flow::{self, About, Luggage, Taken, not_here},
    give_back::give_back,
    onward::Onward,
    which::{check_of, event, may_share, page, server},
};
use crate::{
    app::App,
    authority::{AuthorityError, Begun, Held, Trouble},
    error::PageError,
    extract::{LoggedIn, Source},
    pages::{
        Page,
        connections::{Arrived, Whose, arrived},
    },
    snapshot::Server,
};

/// `GET /connections/-/callback/{issuer}`
pub async fn callback(
    State(app): State<Arc<App>>,
    source: Source,
    who: Option<LoggedIn>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let state = state_of(&query);
    let taken = flow::take(&app, source, who.as_ref(), &headers, (state.as_deref(), FlowStage::Asked)).await?;
    let who = who.ok_or_else(not_here)?;
    let answer = match finish(&app, &who, &issuer, &query, &taken, &headers).await {
        Ok((cookies, page)) => {
            let cookies = cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)).collect::<Vec<_>>();
            (AppendHeaders(cookies), page).into_response()
        }
        Err(error) => error.into_response(),
    };
    // Beside the cookies of the answer, not instead of them.
    Ok((AppendHeaders([(header::SET_COOKIE, taken.clear())]), answer).into_response())
}

async fn finish(
    app: &App,
    who: &LoggedIn,
    issuer: &str,
    query: &str,
    taken: &Taken,
    headers: &HeaderMap,
) -> Result<(Vec<HeaderValue>, Page), PageError> {
    let Luggage { onward, began, .. } = &taken.luggage;
    let begun = Begun::from_sealed_text(taken.luggage.contents()).ok_or_else(not_here)?;
    // spec: UP-27, T-17: each issuer has a callback of its own, and an answer at another's is no answer.
    if issuer_id(begun.issuer()) != issuer {
        let event = event(app, who, Kind::AuthzBrowserMismatch, &taken.server)
            .outcome(Outcome::Denied)
            .text("issuer", begun.issuer().to_owned())
            .text("reason", "the callback of another issuer");
        app.journal.append(event).await.map_err(PageError::unavailable)?;
        return Err(not_here());
    }
    // Whoever may not use the server any more connects nothing there.
    let server = server(app, who, taken.server.as_str())?;
    // spec: UP-34, UP-35, UP-39: judged by what was written down; the code goes to no other token endpoint.
    let held = match app.authority.redeem(&begun, query).await {
        Ok(held) => held,
        Err(error) => {
            let again = onward.keep(&page(&server));
            return Err(failed(app, who, &server, (again, onward), &error).await);
        }
    };
    let pending = Secret::new(token::<32>(&*app.rng));
    let luggage = Luggage::new(held.to_sealed_text(), onward.clone(), *began);
    let about = About { who, holder: &taken.holder, server: &taken.server };
    match flow::keep(app, &about, (&pending, FlowStage::Arrived), &luggage, headers).await {
        Ok(cookies) => Ok((cookies, ask(app, who, &server, taken, &held, &pending, headers).await?)),
        Err(error) => {
            // Nobody can agree to it any more, so nobody keeps it.
            give_back(app, &taken.holder, &held).await;
            Err(error)
        }
    }
}

/// The page that names both accounts.
async fn ask(
    app: &App,
    who: &LoggedIn,
    server: &Server,
    taken: &Taken,
    held: &Held,
    pending: &Secret,
    headers: &HeaderMap,
) -> Result<Page, PageError> {
    let before = app.store.connection(&taken.holder, &server.name).await.map_err(PageError::unavailable)?;
    let before = before.and_then(|row| row.account).filter(|before| Some(before) != held.account.as_ref());
    let host = host_of(held.issuer()).unwrap_or_else(|| held.issuer().to_owned());
    let view = Arrived {
        account: who.account(),
        display_name: &who.person.display_name,
        server: server.name.as_str(),
        whose: if taken.holder == Holder::Shared { Whose::Shared } else { Whose::Own },
        host: &host,
        there: held.account.as_deref(),
        before: before.as_deref(),
        scopes: &held.scopes,
        pending: pending.reveal(),
        form_target: taken.luggage.onward.form_target(app, headers),
    };
    Ok(arrived(&view))
}

/// A connecting that came to nothing: written down, and told in our words.
pub async fn failed(
    app: &App,
    who: &LoggedIn,
    server: &Server,
    (again, onward): (String, &Onward),
    error: &AuthorityError,
) -> PageError {
    let event = event(app, who, Kind::ConnectionFailed, &server.name)
        .outcome(if matches!(error.trouble, Trouble::Declined(_)) { Outcome::Denied } else { Outcome::Failure })
        .text("reason", error.detail.clone());
    if let Err(failure) = app.journal.append(event).await {
        return PageError::unavailable(failure);
    }
    let (status, code) = match error.trouble {
        Trouble::Declined(_) => (StatusCode::FORBIDDEN, "connect.declined"),
        Trouble::Untrue => (StatusCode::FORBIDDEN, "connect.untrue"),
        Trouble::Unavailable => (StatusCode::BAD_GATEWAY, "connect.unavailable"),
        Trouble::Settings => (StatusCode::BAD_GATEWAY, "connect.settings"),
        Trouble::NotOffered => (StatusCode::BAD_GATEWAY, "connect.not_offered"),
    };
    let page = PageError::new(status, code, "The account was not connected", error.public.clone())
        .fact("Server", server.name.as_str().to_owned())
        .onward("Try again", again)
        .log(&error.detail);
    // Who can find out why is led to where that is told.
    let page = match error.trouble {
        Trouble::Declined(_) | Trouble::Untrue => page,
        _ if may_share(who) => page.onward("Check the server's sign-in", check_of(&server.name)),
        _ => page,
    };
    match onward.path() {
        Some(path) => page.onward("Go on without it", path.to_owned()),
        None => page,
    }
}
