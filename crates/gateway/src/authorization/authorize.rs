//! `GET /oauth/authorize`: a client sends a person here.
//!
//! What could redirect to an address that is not proved to be the client's is a page. Nobody is sent anywhere before they
//! have signed in, and no client's document is fetched because of a link alone (spec: AS-33, AS-43, AS-114, T-13).
//!
//! With local accounts, sign-in comes first and consent after it. Where people sign in at a provider, the consent page is
//! what a visitor sees first: a provider that knows them would answer without a word, and an application that nobody has
//! looked at would have its code (spec: T-1, AS-130).

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::token;
use portcullis_oauth::{
    authorize::{
        self as law, AuthorizeRequest, Began, Checked, ErrorRedirect, Refusal, SignInFacts, Visitor, may_bounce,
    },
    client::{Client, ClientKind},
    consent::{ConsentKey, may_skip},
    error::AuthorizeCode,
    redirect, registration,
};

use super::{approve, consent, documents, reader::Reader, resources, visitor};
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, Source},
    return_to::sign_in_at,
};

/// A person who proved this recently who they are has just come from the sign-in page.
const JUST_NOW: Duration = Duration::from_mins(1);

/// How a request came here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// From wherever the browser says.
    Direct,
    /// By way of our sign-in page, whatever came before it: a remembered consent must not answer (AS-140, T-5).
    AfterSignIn,
}

/// `GET /oauth/authorize`
pub async fn direct(
    State(app): State<Arc<App>>,
    source: Source,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    answer(&app, source, who, &headers, &query.unwrap_or_default(), Arrival::Direct).await
}

/// `GET /oauth/authorize/continue`
pub async fn after_sign_in(
    State(app): State<Arc<App>>,
    source: Source,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    answer(&app, source, who, &headers, &query.unwrap_or_default(), Arrival::AfterSignIn).await
}

async fn answer(
    app: &App,
    source: Source,
    who: Option<LoggedIn>,
    headers: &HeaderMap,
    query: &str,
    arrival: Arrival,
) -> Result<Response, PageError> {
    let outcome = match AuthorizeRequest::parse(query) {
        Err(error) => Err(page(error, "", query)),
        Ok(request) => match &who {
            None if !app.config.identity.providers.is_empty() => {
                visitor::consent_first(app, source, headers, &request, query).await
            }
            None => sign_in_first(app, &request, query).await,
            Some(who) => ask(app, who, headers, &request, query, arrival).await,
        },
    };
    let unknown = || Actor { address: Some(source.0), ..Actor::default() };
    recorded(app, who.as_ref().map_or_else(unknown, LoggedIn::actor), outcome).await
}

/// What was refused is in the record before it is answered.
pub(super) async fn recorded(
    app: &App,
    actor: Actor,
    outcome: Result<Response, PageError>,
) -> Result<Response, PageError> {
    if let Err(error) = &outcome {
        let is_stranger = actor.person.is_none();
        let event = Event::new(Kind::AuthzRefused, app.clock.now())
            .by(actor)
            .outcome(Outcome::Denied)
            .text("error", error.code().to_owned());
        if is_stranger {
            app.refusals.tell(event, error.code());
        } else {
            app.journal.append(event).await.map_err(PageError::unavailable)?;
        }
    }
    outcome
}

/// A visitor without a session: what can be judged without fetching anything is judged, then they sign in.
async fn sign_in_first(app: &App, request: &AuthorizeRequest, query: &str) -> Result<Response, PageError> {
    let id = request.client_id.as_str();
    let known = documents::known(app, id).await?;
    let known = known.filter(|known| known.client.kind != ClientKind::Document);
    match known {
        Some(known) => match check(app, request, &known.client) {
            Err(Refusal::Page(error)) => return Err(page(error, id, query)),
            Err(Refusal::Redirect(error)) if may_bounce(known.client.kind, Visitor::Anonymous) => {
                return Ok(bounce(app, &error));
            }
            _ => {}
        },
        None if registration::is_document_id(id) => {}
        None => return Err(documents::unknown_client(id)),
    }
    Ok(Redirect::to(&sign_in_at(&format!("/oauth/authorize?{query}"))).into_response())
}

/// A person who is signed in: the consent page, unless exactly this was consented to and remembered.
async fn ask(
    app: &App,
    who: &LoggedIn,
    headers: &HeaderMap,
    request: &AuthorizeRequest,
    query: &str,
    arrival: Arrival,
) -> Result<Response, PageError> {
    let id = request.client_id.as_str();
    let known = documents::resolve(app, Reader::Person(who), id).await?;
    let mut checked = match check(app, request, &known.client) {
        Ok(checked) => checked,
        Err(Refusal::Page(error)) => return Err(page(error, id, query)),
        Err(Refusal::Redirect(error)) => return refuse(app, Reader::Person(who), &known.client, &error, arrival).await,
    };
    let endpoint = resources::endpoint_at(app, &checked.resource)
        .filter(|endpoint| resources::may_use(app, endpoint, &who.person));
    let Some(endpoint) = endpoint else { return Err(no_access(app, &checked)) };
    let now = app.clock.now();
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if arrival == Arrival::AfterSignIn && now.since(who.browser.authenticated_at) < JUST_NOW {
        // Who asks for a sign-in gets one, not two.
        checked.sign_in.max_age = None;
    }
    let facts = SignInFacts {
        authenticated_at: who.browser.authenticated_at,
        acr: who.browser.acr.as_deref(),
        began: Began::Before,
    };
    if arrival == Arrival::Direct && may_skip(&checked, site) && checked.sign_in.is_met(&facts, now) {
        let key = ConsentKey::new(who.person.id.clone(), &known.client, &checked);
        if app.store.is_consent_remembered(&key).await.map_err(PageError::unavailable)? {
            let transaction = token::<16>(&*app.rng);
            return approve::approve(app, who, &checked, &transaction, approve::How::Remembered).await;
        }
    }
    Ok(consent::page(app, Reader::Person(who), &known, &checked, &endpoint).into_response())
}

pub(super) fn check(app: &App, request: &AuthorizeRequest, client: &Client) -> Result<Checked, Refusal> {
    resources::with_resources(app, |resources| request.check(client, resources))
}

/// An error that the client may be told.
pub(super) async fn refuse(
    app: &App,
    reader: Reader<'_>,
    client: &Client,
    error: &ErrorRedirect,
    arrival: Arrival,
) -> Result<Response, PageError> {
    let mut actor = reader.actor();
    actor.client = Some(client.id.clone());
    let event = Event::new(Kind::AuthzRefused, app.clock.now())
        .by(actor)
        .outcome(Outcome::Denied)
        .text("error", error.error.as_str());
    if reader.person().is_none() {
        app.refusals.tell(event, error.error.as_str());
    } else {
        app.journal.append(event).await.map_err(PageError::unavailable)?;
    }
    // spec: AS-43, T-13: an address that some stranger registered is one the person goes to by choice, not because a link
    // of ours said so. On this computer, and for clients an administrator named, there is nobody to be led to. Straight
    // from the sign-in form nothing leaves our origin: the policy of that page forbids it.
    let trusted = client.kind == ClientKind::Configured || redirect::is_loopback(&error.redirect_uri);
    if trusted && arrival == Arrival::Direct && reader.person().is_some() {
        return Ok(bounce(app, error));
    }
    let location = error.location(app.config.public_url.as_str());
    Ok(PageError::new(
        StatusCode::BAD_REQUEST,
        error.error.as_str(),
        "The application asked for something it cannot have",
        "You can go back to it and tell it so, or just close this page.",
    )
    .fact("What is wrong", error.description.clone())
    .fact("It would take you to", error.redirect_uri.clone())
    .onward("Go back to the application", location)
    .into_response())
}

pub(super) fn bounce(app: &App, error: &ErrorRedirect) -> Response {
    Redirect::to(&error.location(app.config.public_url.as_str())).into_response()
}

fn no_access(app: &App, checked: &Checked) -> PageError {
    let refusal = checked.refuse(AuthorizeCode::AccessDenied, "the person has no access to this server");
    let error = PageError::new(
        StatusCode::FORBIDDEN,
        "server.no_access",
        "You have no access to this server",
        "Your account may not use it, so no application can use it for you. An administrator of this gateway can change that.",
    )
    .fact("Server", checked.resource.clone());
    let endpoint = resources::endpoint_at(app, &checked.resource);
    let error = match endpoint {
        Some(endpoint) => error.onward("Ask for access", format!("/access/{}", endpoint.name())),
        None => error,
    };
    error.onward("Go back to the application", refusal.location(app.config.public_url.as_str()))
}

/// spec: AS-33: an error page, with status 400 and no way out but those of our own.
pub(super) fn page(error: law::PageError, client: &str, query: &str) -> PageError {
    use law::PageError as Law;
    let code = match error {
        Law::Unreadable(_) => "request.unreadable",
        Law::MissingClient => "client.missing",
        Law::UnknownClient => return documents::unknown_client(client),
        Law::DocumentUnavailable => "client.document_unreachable",
        Law::DocumentInvalid => "client.document_invalid",
        Law::ClientNotAdmitted => "client.host_not_allowed",
        Law::MissingRedirect => "redirect_uri.missing",
        Law::UnmatchedRedirect => "redirect_uri.unregistered",
    };
    let mut page = PageError::new(
        StatusCode::BAD_REQUEST,
        code,
        "This request cannot go on",
        format!("{error} Nothing was sent anywhere. Close this page and start again from the application."),
    );
    if !client.is_empty() {
        page = page.fact("Client identifier", client);
    }
    if error == Law::UnmatchedRedirect {
        let presented = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "redirect_uri");
        page = page.fact("Address it would return to", presented.map_or_else(String::new, |(_, value)| value.into()));
    }
    page
}
