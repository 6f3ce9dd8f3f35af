//! Clients whose identifier is the URL of the document that describes them (CIMD).
//!
//! A document is fetched only for a person who is signed in, for a visitor who asked for it on a page of ours, or because an
//! administrator named the client; only from hosts that the administrator trusts, and kept as long as its headers say,
//! within bounds. A host that does not answer is told apart from a document that is wrong: the
//! first may be tried again and leaves the last good copy in force for a while, the second is refused. Neither is ever
//! answered by believing more than the document says.

use std::time::Duration;

use http::StatusCode;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::{ClientId, Timestamp, printable};
use portcullis_oauth::{
    client::{Client, ClientKind},
    redirect::RedirectPolicy,
    registration,
};
use portcullis_store::StoredClient;
use url::Url;

use super::reader::Asker;
use crate::{
    app::App,
    config::MetadataDocuments,
    error::PageError,
    outbound::{Ask, Fetched},
};

/// spec: AS-111: bounds for what a document's headers may ask for.
const SHORTEST: Duration = Duration::from_mins(5);
const LONGEST: Duration = Duration::from_hours(24);
/// spec: T-26: how long the last good copy serves when the host does not answer.
const STALE: Duration = Duration::from_hours(24);

/// What a host answered.
enum Outcomes {
    /// A valid document, good until then.
    Document(Box<Client>, Timestamp),
    /// No usable answer just now.
    NoAnswer(String),
    /// An answer that is not a valid document.
    Invalid(String),
}

/// The client as we know it, without asking anybody. spec: AS-114
pub async fn known(app: &App, id: &str) -> Result<Option<StoredClient>, PageError> {
    app.store.client(&ClientId::new(id)).await.map_err(PageError::unavailable)
}

/// Whether the client can be shown without asking anybody: it has no document, or our copy is fresh.
///
/// spec: AS-114: "an anonymous GET cannot make the gateway fetch".
pub fn is_at_hand(app: &App, known: Option<&StoredClient>, id: &str) -> Result<bool, PageError> {
    let configured = known.is_some_and(|known| known.client.kind == ClientKind::Configured);
    if !registration::is_document_id(id) || configured {
        return Ok(true);
    }
    admit(&app.config.clients.metadata_documents, id)?;
    let now = app.clock.now();
    Ok(known.and_then(|known| known.fresh_until).is_some_and(|until| now < until))
}

/// The client, with its document fetched if it has one and our copy is old.
pub async fn resolve(app: &App, asker: impl Into<Asker>, id: &str) -> Result<StoredClient, PageError> {
    let asker = asker.into();
    let known = known(app, id).await?;
    if !registration::is_document_id(id) {
        return known.ok_or_else(|| unknown_client(id));
    }
    // An administrator's own entry for this URL is believed as it stands.
    if let Some(client) = known.as_ref().filter(|known| known.client.kind == ClientKind::Configured) {
        return Ok(client.clone());
    }
    admit(&app.config.clients.metadata_documents, id)?;
    let now = app.clock.now();
    if let Some(fresh) = known.as_ref().filter(|known| known.fresh_until.is_some_and(|until| now < until)) {
        return Ok(fresh.clone());
    }
    match fetch(app, &asker, id, now).await? {
        Outcomes::Document(client, fresh_until) => {
            let changed =
                app.store.put_document(&client, fresh_until, None, now).await.map_err(PageError::unavailable)?;
            if changed || known.is_none() {
                let what = if changed { "changed" } else { "first" };
                record(app, &asker, &client, what).await?;
            }
            let last_used_at = known.and_then(|known| known.last_used_at);
            Ok(StoredClient { client: *client, last_used_at, fresh_until: Some(fresh_until), etag: None })
        }
        Outcomes::NoAnswer(detail) => {
            let usable = |known: &StoredClient| known.fresh_until.is_some_and(|until| now < until.plus(STALE));
            match known.filter(usable) {
                Some(stale) => {
                    tracing::info!(client.id = %printable(id, 200), %detail, "client document not answered; last good copy used");
                    Ok(stale)
                }
                None => Err(no_answer(id, &detail)),
            }
        }
        // spec: T-26, AS-113: a wrong document is wrong, whatever stood there before.
        Outcomes::Invalid(detail) => Err(invalid(id, &detail)),
    }
}

async fn fetch(app: &App, asker: &Asker, id: &str, now: Timestamp) -> Result<Outcomes, PageError> {
    let host = host_of(id);
    // spec: AS-114: per person, or source of a visitor, and per host.
    app.limits.fetch_person.take(&asker.limit_key)?;
    app.limits.fetch_host.take(&host)?;
    let settings = &app.config.clients.metadata_documents;
    let ask = Ask::get(id, "application/json", settings.size);
    let fetched = match app.outbound.clone().with_total(settings.timeout).fetch(ask).await {
        Ok(fetched) => fetched,
        Err(error) => return Ok(Outcomes::NoAnswer(error.detail().to_owned())),
    };
    Ok(judge(app, id, &fetched, now))
}

fn judge(app: &App, id: &str, fetched: &Fetched, now: Timestamp) -> Outcomes {
    // spec: T-26: hosts that turn the fetch itself away say nothing of the document.
    let turned_away = matches!(
        fetched.status,
        StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED
    );
    if fetched.status.is_server_error() || turned_away {
        return Outcomes::NoAnswer(format!("status {}", fetched.status));
    }
    // spec: AS-103
    if fetched.status != StatusCode::OK {
        return Outcomes::Invalid(format!("status {}", fetched.status));
    }
    if !fetched.is_json() {
        return Outcomes::Invalid("not a JSON document".into());
    }
    match registration::document(id, &fetched.body, &redirect_policy(app)) {
        Ok(metadata) => {
            let client = Client::new(ClientId::new(id), ClientKind::Document, metadata, None, now);
            // spec: AS-111, AS-112
            let keep = fetched.max_age().unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST);
            Outcomes::Document(Box::new(client), now.plus(keep))
        }
        Err(error) => Outcomes::Invalid(error.description.into_owned()),
    }
}

/// spec: AS-115: hosts that the administrator does not trust are never asked.
fn admit(settings: &MetadataDocuments, id: &str) -> Result<(), PageError> {
    let host = host_of(id);
    let matches = |pattern: &String| {
        let pattern = pattern.to_ascii_lowercase();
        pattern == "*"
            || pattern == host
            || pattern.strip_prefix('*').is_some_and(|suffix| suffix.starts_with('.') && host.ends_with(suffix))
    };
    if !settings.enabled || !settings.allow.iter().any(matches) || settings.deny.iter().any(matches) {
        return Err(PageError::new(
            StatusCode::BAD_REQUEST,
            "client.host_not_allowed",
            "This application is not allowed here",
            "The administrator of this gateway has not allowed applications of this host. They can add it to \
             clients.metadata_documents.allow in the settings.",
        )
        .fact("Host", host)
        .fact("Client identifier", id));
    }
    Ok(())
}

async fn record(app: &App, asker: &Asker, client: &Client, what: &'static str) -> Result<(), PageError> {
    let mut actor = asker.actor.clone();
    actor.client = Some(client.id.clone());
    let name = client.metadata.client_name.clone().unwrap_or_default();
    let event = Event::new(Kind::ClientDocument, app.clock.now())
        .by(actor)
        .on(Target { name: Some(name.into()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("document", what)
        .detail("redirect_uris", portcullis_audit::Value::List(client.metadata.redirect_uris.clone()));
    app.journal.append(event).await.map(drop).map_err(PageError::unavailable)
}

/// Which redirect URIs a client may bring along.
pub fn redirect_policy(app: &App) -> RedirectPolicy {
    RedirectPolicy { private_schemes: app.config.clients.redirect_schemes.clone(), ..RedirectPolicy::default() }
}

/// The host of a document's URL.
pub fn host_of(id: &str) -> String {
    Url::parse(id).ok().and_then(|url| url.host_str().map(str::to_ascii_lowercase)).unwrap_or_default()
}

/// spec: AS-33: a page, and no redirect.
pub fn unknown_client(id: &str) -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "client.unknown",
        "This application is not known here",
        "Its registration may have run out, or it was made at another gateway. Remove the server from the \
         application and add it again; it will register anew.",
    )
    .fact("Client identifier", id)
}

fn no_answer(id: &str, detail: &str) -> PageError {
    PageError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "client.document_unreachable",
        "This application could not be checked",
        "The page that describes it did not answer. Nothing was decided; try again in a minute.",
    )
    .fact("Client identifier", id)
    .log(detail)
}

fn invalid(id: &str, detail: &str) -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "client.document_invalid",
        "This application describes itself wrongly",
        "What stands at the address below is not a valid description. Its makers can mend that; nothing was sent to it.",
    )
    .fact("Client identifier", id)
    .fact("What is wrong", detail)
    .log(detail)
}
