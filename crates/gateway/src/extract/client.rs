//! An OAuth client with its form, authenticated as its registration demands.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use http::{HeaderMap, header};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{ClientId, Timestamp};
use portcullis_oauth::{
    client::Client,
    client_auth::{Context, Credentials, SpentAssertion, keys_to_fetch},
    error::TokenError,
    machine::JWT_BEARER,
    metadata,
    parameters::Parameters,
};

use super::Source;
use crate::{app::App, correlation, error::ApiError};

/// Who sent a form to the token endpoint or one of its siblings, and what is in it.
pub struct ClientForm {
    /// The client, authenticated.
    pub client: Client,
    /// Its form.
    pub form: Parameters,
    /// From where.
    pub source: Source,
}

/// A form whose sender shows nothing but the assertion in it.
pub struct AssertionForm {
    /// The form.
    pub form: Parameters,
    /// From where.
    pub source: Source,
}

/// A form at the token endpoint whose sender nobody has looked at.
pub struct TokenForm {
    form: Parameters,
    headers: HeaderMap,
    source: Source,
}

impl FromRequest<Arc<App>> for ClientForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        TokenForm::read(request, app).await?.of_client(app).await
    }
}

impl FromRequest<Arc<App>> for TokenForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        Self::read(request, app).await
    }
}

impl TokenForm {
    async fn read(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Ok(source) = <Source as FromRequestParts<Arc<App>>>::from_request_parts(&mut parts, app).await;
        let headers = parts.headers.clone();
        // spec: AS-60, AS-179: the form and nothing else; what stands in the query is not looked at.
        let body = Bytes::from_request(Request::from_parts(parts, body), &())
            .await
            .map_err(|error| ApiError::invalid_request("the request is too long").log(error))?;
        let form = read_form(&headers, &body)?;
        Ok(Self { form, headers, source })
    }

    /// The form, if its sender shows nothing but the assertion in it.
    // spec: AS-182: "no client id or secret": whoever brings one of these is a client and proves it.
    pub fn alone(self, app: &App) -> Result<Result<AssertionForm, Self>, ApiError> {
        const OF_CLIENTS: [&str; 3] = ["client_id", "client_secret", "client_assertion"];
        let alone = self.is_assertion()
            && !self.headers.contains_key(header::AUTHORIZATION)
            && OF_CLIENTS.iter().all(|name| self.form.get(name).is_none());
        if !alone {
            return Ok(Err(self));
        }
        // spec: AS-75
        app.limits.token_source.ask(&self.source.key())?;
        Ok(Ok(AssertionForm { form: self.form, source: self.source }))
    }

    /// Whether an assertion is presented.
    pub fn is_assertion(&self) -> bool {
        self.form.get("grant_type") == Some(JWT_BEARER)
    }

    /// Whom it claims to be from, and from where it came.
    pub fn claimed(&self) -> Option<(ClientId, Source)> {
        Some((self.credentials().ok()?.client_id, self.source))
    }

    fn credentials(&self) -> Result<Credentials, TokenError> {
        let authorization = self.headers.get_all(header::AUTHORIZATION).iter().map(http::HeaderValue::as_bytes);
        Credentials::find(authorization, &self.form)
    }

    /// The form of a client, authenticated.
    pub async fn of_client(self, app: &App) -> Result<ClientForm, ApiError> {
        let credentials = self.credentials()?;
        let Self { form, source, .. } = self;
        let id = credentials.client_id.as_str();
        // spec: AS-75: both limits are asked before any work is done, and charged only for failures.
        app.limits.token_source.ask(&source.key())?;
        app.limits.token_client.ask(&client_key(source, id))?;
        match authenticate(app, &credentials).await? {
            Ok(client) => {
                let actor = Actor { client: Some(client.id.clone()), address: Some(source.0), ..Actor::default() };
                correlation::asked(actor, None);
                Ok(ClientForm { client, form, source })
            }
            Err(error) => {
                charge(app, source, Some(&credentials.client_id));
                record_failure(app, source, &credentials, &error).await?;
                Err(error.into())
            }
        }
    }
}

async fn authenticate(app: &App, credentials: &Credentials) -> Result<Result<Client, TokenError>, ApiError> {
    let stored = app.store.client(&credentials.client_id).await.map_err(ApiError::unavailable)?;
    let client = stored.map(|stored| stored.client);
    let fetched_keys = match client.as_ref().and_then(keys_to_fetch) {
        Some(url) => app.assertion_keys.at(url, &app.outbound, &app.limits.fetch_host, &*app.clock).await,
        None => None,
    };
    let issuer = app.config.public_url.as_str();
    let audiences = [issuer.to_owned(), format!("{issuer}{}", metadata::TOKEN), format!("{issuer}/token")];
    let now = app.clock.now();
    let context = Context { audiences: &audiences, fetched_keys: fetched_keys.as_deref(), now };
    let proved = match credentials.verify(client.as_ref(), &context) {
        Ok(proved) => proved,
        Err(error) => return Ok(Err(error)),
    };
    // spec: AS-63: an assertion is good once, on whichever node.
    if let Some(assertion) = proved.spend
        && !spend(app, &assertion).await?
    {
        return Ok(Err(SpentAssertion::replayed()));
    }
    Ok(client.ok_or_else(SpentAssertion::replayed))
}

async fn spend(app: &App, assertion: &SpentAssertion) -> Result<bool, ApiError> {
    let until: Timestamp = assertion.expires_at;
    app.store.spend(&assertion.id, until).await.map_err(ApiError::unavailable)
}

async fn record_failure(
    app: &App,
    source: Source,
    credentials: &Credentials,
    error: &TokenError,
) -> Result<(), ApiError> {
    let actor = Actor { client: Some(credentials.client_id.clone()), address: Some(source.0), ..Actor::default() };
    let event = Event::new(Kind::TokenRefused, app.clock.now())
        .by(actor)
        .outcome(Outcome::Denied)
        .text("error", error.code.as_str())
        .text("why", error.description.clone());
    app.journal.append(event).await.map(drop).map_err(ApiError::unavailable)
}

fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<Parameters, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ApiError::invalid_request("the request must be application/x-www-form-urlencoded"));
    }
    let text = std::str::from_utf8(body).map_err(|_| ApiError::invalid_request("the request is not text"))?;
    Parameters::parse(text).map_err(|error| ApiError::invalid_request(error.to_string()))
}

/// Counts a failure of a client, or of somebody who did not say who they are. spec: AS-75
pub fn charge(app: &App, source: Source, client: Option<&ClientId>) {
    app.limits.token_source.charge(&source.key());
    if let Some(client) = client {
        app.limits.token_client.charge(&client_key(source, client.as_str()));
    }
}

/// spec: T-102: an identifier of a document is shared by all installations of a program, so a stranger who fails under it
/// spends only the tries of his own address.
fn client_key(source: Source, client: &str) -> String {
    format!("{} {client}", source.key())
}
