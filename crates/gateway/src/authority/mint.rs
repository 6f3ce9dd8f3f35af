//! Tokens that are made without asking anybody: for the gateway itself, or for a person on the strength of their sign-in at
//! their provider (RFC 6749 §4.4, RFC 8693, Entra's on-behalf-of).
//!
//! A refusal comes back as a sentence for the person, with what to do; what was said between machines goes to the log.

use portcullis_base::Secret;
use portcullis_oauth::upstream::token::{self as grants, Exchange, Grant, Refused, TokenType, Tokens};
use portcullis_store::PersonKind;

use super::{
    Authority, AuthorityError, MintError, Minted, Trouble, Whom,
    asking::{AskError, read},
    client::{ClientAt, configured},
    terms::Terms,
};
use crate::{
    config::{self, Credential, SubjectToken},
    identity::{Provider, ProviderError, SubjectError, SubjectKind},
    outbound::Fetched,
    snapshot::Server,
};

impl Authority {
    /// A token for `whom` at `server`, as the settings say that it is made. Nothing of it is kept here.
    pub async fn mint(&self, server: &Server, whom: &Whom) -> Result<Minted, MintError> {
        match &*server.credential {
            Credential::ClientCredentials(settings) => self.client_credentials(server, settings).await,
            Credential::Exchange(settings) => self.exchange(server, whom, settings).await,
            Credential::OnBehalfOf(settings) => self.on_behalf_of(server, whom, settings).await,
            Credential::IdJag(settings) => self.id_jag(server, whom, settings).await,
            other => {
                let detail = format!("nothing is made for `credential: {}`", other.kind());
                Err(MintError::refused(ask_administrator(server), detail))
            }
        }
    }

    /// The gateway's own token. spec: UP-85
    async fn client_credentials(
        &self,
        server: &Server,
        settings: &config::ClientCredentials,
    ) -> Result<Minted, MintError> {
        let (client, place, resource) = self.own_account(server, settings).await.map_err(|e| not_found(server, &e))?;
        let scopes = settings.oauth.scopes.as_deref().unwrap_or_default();
        let grant = Grant::ClientCredentials { scopes, resource: resource.as_deref() };
        match self.ask(Some(server), &client, &place, &grant).await {
            Ok(tokens) => Ok(self.minted(tokens, scopes)),
            Err(AskError::NoAnswer(detail)) => Err(MintError::Unavailable(detail)),
            Err(error) => {
                // spec: UP-12
                let _ = self.discover_again(server).await;
                Err(MintError::refused(own_account_refused(server), error))
            }
        }
    }

    /// Who we are for ourselves, where that is asked, and for which resource.
    pub(super) async fn own_account(
        &self,
        server: &Server,
        settings: &config::ClientCredentials,
    ) -> Result<(ClientAt, String, Option<String>), AuthorityError> {
        let terms = Terms::of(server)?;
        if let Some(place) = &settings.token_endpoint {
            // Without an issuer the address itself is whom an assertion is for (RFC 7523 §3).
            let issuer = terms.oauth.issuer.as_deref().unwrap_or(place);
            return Ok((configured(&terms, issuer, None)?, place.clone(), terms.resource(None)));
        }
        let found = self.discover(server, None).await?;
        let client = self.client(server, &found).await?;
        Ok((client, found.metadata.token_endpoint.clone(), found.resource.clone()))
    }

    /// The provider's token for the server, for the person's token of the sign-in. spec: RFC8693#2.1
    async fn exchange(&self, server: &Server, whom: &Whom, settings: &config::Exchange) -> Result<Minted, MintError> {
        let provider = self.provider(server, &settings.provider)?;
        let (kind, subject_type) = subject(settings.subject);
        let subject = self.subject(server, whom, provider, (kind, None)).await?;
        let named = settings.audience.is_none().then(|| server.url().map(ToString::to_string)).flatten();
        let resource = match &settings.resource {
            config::ResourceParameter::Exact => named.and_then(|url| portcullis_oauth::resource::canonical(&url)),
            config::ResourceParameter::None => None,
            config::ResourceParameter::Other(other) => Some(other.clone()),
        };
        let grant = Grant::Exchange(Exchange {
            subject: &subject,
            subject_type,
            requested: TokenType::AccessToken,
            audience: settings.audience.as_deref(),
            resource: resource.as_deref(),
            scopes: &settings.scopes,
        });
        let answered = provider.grant(&grant, settings.token_endpoint.as_deref()).await;
        let tokens = judge(answered, grants::parse_exchanged);
        let tokens = tokens.map_err(|error| self.told(server, provider, &settings.scopes, error))?;
        Ok(self.minted(tokens, &settings.scopes))
    }

    /// The same in Entra's words: the person's token for us, for one for the server.
    async fn on_behalf_of(
        &self,
        server: &Server,
        whom: &Whom,
        settings: &config::OnBehalfOf,
    ) -> Result<Minted, MintError> {
        let provider = self.provider(server, &settings.provider)?;
        let ours = (SubjectKind::Access, Some(settings.subject_scope.as_str()));
        let assertion = self.subject(server, whom, provider, ours).await?;
        let grant = Grant::OnBehalfOf { assertion: &assertion, scopes: &settings.scopes };
        let tokens = judge(provider.grant(&grant, None).await, grants::parse);
        let tokens = tokens.map_err(|error| self.told(server, provider, &settings.scopes, error))?;
        Ok(self.minted(tokens, &settings.scopes))
    }

    pub(super) fn minted(&self, tokens: Tokens, asked: &[String]) -> Minted {
        Minted {
            access: tokens.access,
            expires_at: tokens.expires_in.map(|lifetime| self.clock.now().plus(lifetime)),
            scopes: tokens.scopes.unwrap_or_else(|| asked.to_vec()),
        }
    }

    pub(super) fn provider(&self, server: &Server, id: &str) -> Result<&Provider, MintError> {
        let provider = self.subjects.providers.get(id).map(|provider| &**provider);
        provider.ok_or_else(|| {
            let detail = format!("the settings of {} name the provider {id}, which there is not", server.name);
            MintError::refused(ask_administrator(server), detail)
        })
    }

    /// A token of the person at their provider.
    pub(super) async fn subject(
        &self,
        server: &Server,
        whom: &Whom,
        provider: &Provider,
        (kind, scope): (SubjectKind, Option<&str>),
    ) -> Result<Secret, MintError> {
        if whom.kind == PersonKind::Service {
            let public = format!(
                "The server {} is used with a person's sign-in at {}; a service account has none. Use it as a person.",
                server.name,
                provider.name()
            );
            return Err(MintError::refused(public, "a service account"));
        }
        let token = self.subjects.token(provider, &whom.person, kind, scope).await;
        token.map_err(|error| match error {
            SubjectError::SignIn(detail) => self.sign_in(server, provider, detail),
            SubjectError::Stranger => MintError::refused(stranger(server, provider), error),
            SubjectError::Bare => self.bare(server, provider, error),
            SubjectError::NotGiven(detail) => MintError::refused(ask_administrator(server), detail),
            SubjectError::Unavailable(detail) => MintError::Unavailable(detail),
        })
    }

    /// Another sign-in helps only if the provider gives something to go by this time.
    fn bare(&self, server: &Server, provider: &Provider, detail: impl ToString) -> MintError {
        let (server, name, id) = (&server.name, provider.name(), provider.id());
        MintError::SignIn {
            provider: id.to_owned(),
            public: format!(
                "The server {server} is used on the strength of your sign-in at {name}, and your last one left the gateway \
                 nothing to go by. Open {}/login/{id}, sign in there again and repeat what you did. If that does not help, \
                 ask your administrator: {name} must give the gateway refresh tokens.",
                self.public_url
            ),
            detail: portcullis_base::printable(&detail.to_string(), 600),
        }
    }

    /// The person must sign in at their provider.
    pub(super) fn sign_in(&self, server: &Server, provider: &Provider, detail: impl ToString) -> MintError {
        let (server, name, id) = (&server.name, provider.name(), provider.id());
        MintError::SignIn {
            provider: id.to_owned(),
            public: format!(
                "The server {server} is used on the strength of your sign-in at {name}, and that one does not do any more. \
                 Open {}/login/{id}, sign in there with {name} again and repeat what you did.",
                self.public_url
            ),
            detail: portcullis_base::printable(&detail.to_string(), 600),
        }
    }

    /// What a refusal of a provider means for the person.
    pub(super) fn told(&self, server: &Server, provider: &Provider, scopes: &[String], error: AskError) -> MintError {
        let (at, name) = (&server.name, provider.name());
        let detail = error.to_string();
        let AskError::Refused { why, .. } = error else {
            return match error {
                AskError::NoAnswer(_) => MintError::Unavailable(detail),
                _ => MintError::refused(ask_administrator(server), detail),
            };
        };
        let public = match why {
            Refused::InvalidGrant(_) | Refused::Interaction(_) => return self.sign_in(server, provider, detail),
            Refused::Temporary(_) => return MintError::Unavailable(detail),
            Refused::AccessDenied(_) => format!(
                "{name} does not let you use the server {at}. Ask the administrator of {name} to give you access to it."
            ),
            Refused::InvalidTarget(_) => format!(
                "{name} gives no access to the server {at}, to nobody. Ask your administrator to register it there, or to \
                 correct `audience` and `resource` in its settings."
            ),
            Refused::InvalidScope(_) => format!(
                "{name} does not give what the gateway asks for at the server {at} ({}). Ask your administrator to have it \
                 allowed there, or to ask for less.",
                if scopes.is_empty() { "no scopes named".to_owned() } else { scopes.join(" ") }
            ),
            Refused::InvalidClient(_) | Refused::UnauthorizedClient(_) => format!(
                "{name} does not let the gateway act for people at the server {at}. Ask your administrator to allow the \
                 exchange of tokens for the gateway's client there."
            ),
            Refused::Other { .. } => format!(
                "{name} refused to give access to the server {at}. Ask your administrator; the reason is in the gateway's log."
            ),
        };
        MintError::refused(public, detail)
    }
}

/// They have an account here and none there, as far as the gateway knows.
fn stranger(server: &Server, provider: &Provider) -> String {
    let (server, name) = (&server.name, provider.name());
    format!(
        "The server {server} is used with a sign-in at {name}, and you did not sign in to the gateway with {name}. If you \
         have an account there, connect this application anew and choose {name} when you sign in; else ask your \
         administrator."
    )
}

/// What a provider's answer is worth.
pub(super) fn judge<T>(
    answered: Result<(String, Fetched), ProviderError>,
    parse: impl FnOnce(&[u8]) -> Result<T, grants::AnswerError>,
) -> Result<T, AskError> {
    let (place, fetched) = answered.map_err(|error| match error.trouble {
        crate::identity::Trouble::Misconfigured => AskError::Ourselves(error.detail),
        _ => AskError::NoAnswer(error.detail),
    })?;
    if fetched.status.is_server_error() || fetched.status == http::StatusCode::TOO_MANY_REQUESTS {
        return Err(AskError::NoAnswer(format!("{place} answered {}", fetched.status)));
    }
    read(&place, parse(&fetched.body))
}

/// The words of the settings in those of the providers and of the law.
pub(super) const fn subject(token: SubjectToken) -> (SubjectKind, TokenType) {
    match token {
        SubjectToken::AccessToken => (SubjectKind::Access, TokenType::AccessToken),
        SubjectToken::IdToken => (SubjectKind::Id, TokenType::IdToken),
        SubjectToken::RefreshToken => (SubjectKind::Refresh, TokenType::RefreshToken),
    }
}

pub(super) fn not_found(server: &Server, error: &AuthorityError) -> MintError {
    match error.trouble {
        Trouble::Unavailable => MintError::Unavailable(error.detail.clone()),
        _ => MintError::refused(ask_administrator(server), &error.detail),
    }
}

pub(super) fn ask_administrator(server: &Server) -> String {
    format!(
        "The gateway cannot sign in at the server {}. Ask your administrator: `portcullis server check {}` says why.",
        server.name, server.name
    )
}

fn own_account_refused(server: &Server) -> String {
    format!(
        "The gateway's own account at the server {} is refused. Ask your administrator: its client or its scopes there \
         must be looked at.",
        server.name
    )
}
