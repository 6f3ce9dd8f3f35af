//! `/admin/people/{id}/offboard` and `/admin/offboarding`: ending a person's access, and the signed reports of it.
//!
//! spec: T-53

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{StatusCode, header};
use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::printable;
use portcullis_store::{ACCESS_KEY, Extent, Person, ReportRow as Stored};
use serde::Deserialize;

use super::person::find;
use crate::{
    app::App,
    error::PageError,
    extract::{Admin, AdminForm, Auditor, LoggedIn},
    offboard::{By, How, OffboardError, Offboarding, Report},
    pages::admin::offboarding::{
        Leaving, Report as ReportPage, ReportRow, Reports, leaving, report as report_page, reports as reports_page,
    },
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/people/{id}/offboard", get(ask).post(end))
        .route("/admin/offboarding", get(list))
        .route("/admin/offboarding/{id}", get(show))
        .route("/admin/offboarding/{id}/report.json", get(download))
}

async fn ask(State(app): State<Arc<App>>, Admin(who): Admin, Path(id): Path<String>) -> Result<Response, PageError> {
    let person = find(&app, id).await?;
    page(&app, &who, &person, None).await
}

async fn page(app: &App, who: &LoggedIn, person: &Person, failure: Option<&str>) -> Result<Response, PageError> {
    let (now, id) = (app.clock.now(), &person.id);
    let sessions = app.store.sessions_of(id, now).await.map_err(PageError::unavailable)?;
    let grants = app.store.grants_of(id, now).await.map_err(PageError::unavailable)?;
    let identities = app.store.identities_of(id).await.map_err(PageError::unavailable)?;
    let accounts = app.store.service_accounts().await.map_err(PageError::unavailable)?;
    let keys = grants.iter().filter(|grant| grant.client.as_str() == ACCESS_KEY).count();
    let owned = accounts.into_iter().map(|account| account.person);
    let owned = owned.filter(|account| account.owner.as_ref() == Some(id) && account.is_active());
    let view = Leaving {
        account: who.account(),
        id: id.as_str(),
        name: &person.name,
        display_name: &person.display_name,
        ends: vec![
            (sessions.len(), "signed-in browsers"),
            (grants.len() - keys, "applications with access"),
            (keys, "access keys"),
            (identities.iter().filter(|identity| identity.ended_at.is_none()).count(), "company sign-ins"),
        ],
        owned: owned.map(|account| account.name).collect(),
        failure,
    };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(leaving(&view).status(status).into_response())
}

#[derive(Deserialize)]
struct Confirmed {
    confirm: String,
}

async fn end(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form }: AdminForm<Confirmed>,
) -> Result<Response, PageError> {
    let person = find(&app, id).await?;
    if form.confirm.trim().to_lowercase() != person.name.to_lowercase() {
        return page(&app, &who, &person, Some("That is not the account name. Nothing was ended.")).await;
    }
    let offboarding = Offboarding::new(app.desk(who.actor()), &app.keys)
        .through(&app.providers)
        .here(&app.ended)
        .connections(&app.connections);
    match offboarding.end(&person.id, Extent::Account, &How::Administrator).await {
        Ok(Some(done)) => {
            app.make_known().await;
            Ok(Redirect::to(&format!("/admin/offboarding/{}?done=ended", done.report.id)).into_response())
        }
        Ok(None) => Err(PageError::not_found()),
        Err(error @ OffboardError::LastAdministrator(_)) => {
            let why = format!("{error}. Nothing was ended.");
            page(&app, &who, &person, Some(&why)).await
        }
        Err(error) => Err(PageError::unavailable(error)),
    }
}

async fn list(State(app): State<Arc<App>>, Auditor(who): Auditor) -> Result<Response, PageError> {
    let stored = app.store.reports().await.map_err(PageError::unavailable)?;
    let row = |stored: Stored| {
        let report = Report::stored(&stored.report);
        ReportRow {
            id: stored.id,
            person: report.map_or_else(|_| stored.person.to_string(), |report| report.name),
            created_at: stored.created_at,
        }
    };
    let rows = stored.into_iter().map(row).collect();
    Ok(reports_page(&Reports { account: who.account(), rows, now: app.clock.now() }).into_response())
}

#[derive(Deserialize)]
struct Done {
    done: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Path(id): Path<String>,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let stored = stored(&app, &id).await?;
    let report = Report::stored(&stored.report).map_err(PageError::unavailable)?;
    let done = (query.done.as_deref() == Some("ended")).then_some("The access was ended. This is the report.");
    let view = ReportPage {
        account: who.account(),
        id: &report.id,
        person: &report.name,
        created_at: report.at,
        by: by(&report.by),
        ended: ended(&report),
        left: report.left.iter().map(|left| format!("{}: {}", left.what, left.why)).collect(),
        text: &stored.report,
        done,
    };
    Ok(report_page(&view).into_response())
}

async fn stored(app: &App, id: &str) -> Result<Stored, PageError> {
    let found = app.store.report(id).await.map_err(PageError::unavailable)?;
    found.ok_or_else(PageError::not_found)
}

fn by(by: &By) -> String {
    let name = by.name.as_deref().unwrap_or("somebody");
    match &by.how {
        How::Command => "the command portcullis offboard".into(),
        How::Administrator => format!("{name}, on a page"),
        How::Directory(provider) => format!("the directory of {provider}"),
        How::ProviderLogout(provider) => format!("{provider}, which signed them out everywhere"),
        How::ProviderCheck(provider) => format!("{provider}, which no longer vouches for them"),
    }
}

fn ended(report: &Report) -> Vec<String> {
    let count = |count: u64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let ended = &report.ended;
    let mut lines: Vec<String> = report.account_closed.then(|| "The account".to_owned()).into_iter().collect();
    lines.extend(count(ended.sessions, "signed-in browser", "signed-in browsers"));
    lines.extend(count(ended.access_keys, "access key", "access keys"));
    lines.extend(count(ended.consents, "remembered consent", "remembered consents"));
    let rights = &ended.rights;
    lines.extend(count(rights.approvals, "call that waited for a word", "calls that waited for a word"));
    lines.extend(count(rights.standing, "approval ahead", "approvals ahead"));
    lines.extend(count(rights.wishes, "wish for access", "wishes for access"));
    lines.extend(count(rights.access, "right for a time", "rights for a time"));
    lines.extend(count(rights.delegations, "word that was lent", "words that were lent"));
    lines.extend(count(rights.passkeys, "passkey", "passkeys"));
    let grants = ended.grants.iter().filter(|grant| grant.client != ACCESS_KEY);
    lines.extend(grants.map(|grant| format!("The access of {} to {}", grant.client, grant.resource)));
    lines.extend(ended.connections.iter().map(|connection| {
        let account = connection.account.as_deref().map(|account| format!(" as {account}")).unwrap_or_default();
        format!("The connection to {}{account}; at its issuer: {}", connection.server, connection.revoked)
    }));
    lines.extend(ended.given_back.iter().map(|issuer| format!("The refresh token of {issuer}, which took it back")));
    lines
}

async fn download(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let stored = stored(&app, &id).await?;
    let event = Event::new(Kind::AuditExported, app.clock.now())
        .by(who.actor())
        .outcome(Outcome::Success)
        .text("report", stored.id.clone())
        .text("person", stored.person.to_string());
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    // The identifier is one of ours: it was found.
    let name = format!("attachment; filename=\"offboarding-{}.json\"", printable(&stored.id, 64));
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, stored.report).into_response())
}
