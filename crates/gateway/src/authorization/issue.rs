//! What every way to a token ends with: it is signed, recorded and answered, or the refusal is.

use axum::response::Response;
use http::StatusCode;
use portcullis_audit::{Actor, Event, Kind, Outcome, Target, Value};
use portcullis_base::{ClientId, Secret, Timestamp};
use portcullis_oauth::{
    access::AccessClaims,
    error::TokenError,
    grant::{Grant, RevokedWhy},
    scope::Scopes,
    token::TokenAnswer,
};

use super::{
    answer::{Keep, json},
    resources,
};
use crate::{
    app::App,
    error::ApiError,
    extract::{AssertionForm, ClientForm, Source},
};

/// Who asks for a token.
pub struct Requester<'a> {
    app: &'a App,
    client: Option<&'a ClientId>,
    /// What the client calls itself.
    agent: Option<&'a str>,
    /// Who acts for whom, the nearest first (RFC 8693 section 4.1).
    delegated: Vec<String>,
    source: Source,
}

impl<'a> Requester<'a> {
    /// A client.
    pub fn client(app: &'a App, sender: &'a ClientForm) -> Self {
        let agent = sender.client.metadata.client_name.as_deref();
        Self { app, client: Some(&sender.client.id), agent, delegated: Vec::new(), source: sender.source }
    }

    /// Somebody who shows an assertion and nothing else.
    pub fn stranger(app: &'a App, sender: &AssertionForm) -> Self {
        Self { app, client: None, agent: None, delegated: Vec::new(), source: sender.source }
    }

    /// The same of somebody whose assertion says who acts for whom.
    pub fn delegated(&self, chain: Vec<String>) -> Self {
        Self { app: self.app, client: self.client, agent: self.agent, delegated: chain, source: self.source }
    }

    /// Signs, records, answers. spec: AS-71
    pub async fn issue(
        &self,
        kind: Kind,
        grant: &Grant,
        scopes: &Scopes,
        refresh: Option<Secret>,
        now: Timestamp,
    ) -> Result<Response, ApiError> {
        let app = self.app;
        let claims = AccessClaims::of(grant, scopes, now, app.config.tokens.access, &*app.rng);
        let keys = app.signing.load();
        let key = keys.current(now).ok_or_else(|| ApiError::unavailable("no signing key"))?;
        let access = claims.sign(app.config.public_url.as_str(), key).map_err(ApiError::unavailable)?;
        let event = self
            .event(kind, Some(grant))
            .outcome(Outcome::Success)
            .text("scope", scopes.to_string())
            .text("jti", claims.id.clone());
        self.write(event).await?;
        // Somebody whom another node or a command has made a moment ago: whoever has the token may call at once.
        if !app.snapshot.load().people.contains_key(&grant.person) {
            app.make_known().await;
        }
        let lifetime = claims.expires_at.since(now);
        let answer = TokenAnswer::bearer(access, lifetime, scopes, refresh.map(|token| token.reveal().to_owned()));
        json(StatusCode::OK, Keep::Nothing, &answer)
    }

    /// A refusal that changed nothing.
    pub async fn refused(&self, grant: Option<&Grant>, error: TokenError) -> ApiError {
        let why = error.description.to_string();
        self.refused_because(grant, error, why).await
    }

    /// A refusal whose reason is for the record only.
    pub async fn refused_because(&self, grant: Option<&Grant>, error: TokenError, why: String) -> ApiError {
        self.charge();
        let event = self
            .event(Kind::TokenRefused, grant)
            .outcome(Outcome::Denied)
            .text("error", error.code.as_str())
            .text("why", why);
        match self.write(event).await {
            Ok(()) => error.into(),
            Err(failure) => failure,
        }
    }

    /// A refusal that ended the grant: it is refused everywhere from now on. spec: AS-81, AS-67, AS-89
    pub async fn ended(&self, grant: &Grant, error: TokenError, why: RevokedWhy, now: Timestamp) -> ApiError {
        self.app.ended.end_grants([grant.id.clone()], now);
        self.charge();
        let replayed = matches!(why, RevokedWhy::CodeReplayed | RevokedWhy::RefreshReplayed);
        let first = if replayed { Kind::TokenReplayed } else { Kind::TokenRefused };
        for (kind, outcome) in [(first, Outcome::Denied), (Kind::GrantRevoked, Outcome::Success)] {
            let event = self.event(kind, Some(grant)).outcome(outcome).text("why", why.as_str());
            if let Err(failure) = self.write(event).await {
                return failure;
            }
        }
        error.into()
    }

    /// An event about this request.
    pub fn event(&self, kind: Kind, grant: Option<&Grant>) -> Event {
        let actor = Actor {
            person: grant.map(|grant| grant.person.clone()),
            name: None,
            client: self.client.or_else(|| grant.map(|grant| &grant.client)).cloned(),
            address: Some(self.source.0),
        };
        let server = grant
            .and_then(|grant| resources::endpoint_at(self.app, &grant.resource))
            .map(|endpoint| endpoint.name().clone());
        let event = Event::new(kind, self.app.clock.now()).by(actor).on(Target { server, ..Target::default() });
        let event = match grant {
            Some(grant) => event.text("grant", grant.id.as_str().to_owned()),
            None => event,
        };
        let event = self.agent.into_iter().fold(event, |event, agent| event.text("agent", agent.to_owned()));
        if self.delegated.is_empty() { event } else { event.detail("delegated", Value::List(self.delegated.clone())) }
    }

    /// Writes it down.
    pub async fn write(&self, event: Event) -> Result<(), ApiError> {
        self.app.journal.append(event).await.map(drop).map_err(ApiError::unavailable)
    }

    /// Counts a failure. spec: AS-75
    fn charge(&self) {
        crate::extract::charge(self.app, self.source, self.client);
    }
}
