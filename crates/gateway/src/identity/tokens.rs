//! A provider's token endpoint.

use http::StatusCode;
use portcullis_base::Secret;
use portcullis_oauth::{
    relying::{
        discovery::ProviderMetadata,
        token::{self, ClientProof, ProviderClient, ProviderTokens, Refusal, TokenAnswerError, TokenForm, Wanted},
    },
    upstream::token::{self as grants, Grant},
};

use super::{AgainError, Context, ProviderError};
use crate::{
    config::{self, ClientAuth},
    outbound::{Ask, Fetched},
};

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokensError {
    /// The provider said no.
    #[error("{place} refused: {why}")]
    Refused {
        /// Where.
        place: String,
        /// What it said.
        why: Refusal,
    },
    /// It did not answer, or not as it should.
    #[error("{0}")]
    NoAnswer(String),
}

/// Asks for tokens.
pub(super) async fn ask(
    context: &Context<'_>,
    metadata: &ProviderMetadata,
    wanted: &Wanted<'_>,
) -> Result<ProviderTokens, TokensError> {
    let place = &metadata.token_endpoint;
    let fetched = send(context, metadata, place, wanted).await?;
    if fetched.status.is_server_error() || fetched.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(TokensError::NoAnswer(format!("{place} answered {}", fetched.status)));
    }
    token::parse(&fetched.body).map_err(|error| match error {
        TokenAnswerError::Refused(why) => TokensError::Refused { place: place.clone(), why },
        TokenAnswerError::Malformed => TokensError::NoAnswer(format!("{place} answered {}: {error}", fetched.status)),
    })
}

/// Gives a refresh token up (RFC 7009).
pub(super) async fn revoke(
    context: &Context<'_>,
    metadata: &ProviderMetadata,
    place: &str,
    refresh: &Secret,
) -> Result<(), TokensError> {
    let fetched = send(context, metadata, place, &Wanted::Revoke(refresh)).await?;
    match fetched.status {
        status if status.is_success() => Ok(()),
        status if status.is_client_error() => {
            Err(TokensError::Refused { place: place.to_owned(), why: token::refusal(&fetched.body) })
        }
        status => Err(TokensError::NoAnswer(format!("{place} answered {status}"))),
    }
}

async fn send(
    context: &Context<'_>,
    metadata: &ProviderMetadata,
    place: &str,
    wanted: &Wanted<'_>,
) -> Result<Fetched, TokensError> {
    post(context, place, TokenForm::new(&client(context, metadata), wanted)).await
}

/// Asks for tokens that are not those of a sign-in.
pub(super) async fn grant(
    context: &Context<'_>,
    metadata: &ProviderMetadata,
    place: &str,
    grant: &Grant<'_>,
) -> Result<Fetched, TokensError> {
    post(context, place, grants::form(&client(context, metadata), grant)).await
}

async fn post(context: &Context<'_>, place: &str, form: TokenForm) -> Result<Fetched, TokensError> {
    let ask = Ask::form(place, form.body.reveal().to_owned(), token::MAX_BYTES);
    let fetched = context.outbound.fetch(ask.authorized(form.authorization.clone())).await;
    let fetched = fetched.map_err(|error| TokensError::NoAnswer(format!("{place}: {}", error.detail())))?;
    let hushed = form.hushed(&fetched.body).map(Into::into);
    Ok(Fetched { body: hushed.unwrap_or(fetched.body), ..fetched })
}

fn client<'a>(context: &'a Context<'_>, metadata: &ProviderMetadata) -> ProviderClient<'a> {
    ProviderClient { id: &context.settings.client_id, proof: proof(context.settings, metadata) }
}

/// How we prove who we are: as the settings say, else as the provider offers, Basic first.
fn proof<'a>(settings: &'a config::Provider, metadata: &ProviderMetadata) -> ClientProof<'a> {
    let Some(secret) = &settings.client_secret else { return ClientProof::Public };
    match settings.client_auth.unwrap_or_else(|| offered(metadata)) {
        ClientAuth::Basic => ClientProof::Basic(secret),
        ClientAuth::Post => ClientProof::Post(secret),
    }
}

/// What a provider that does not say is `client_secret_basic` (RFC 8414 §2).
pub(super) fn offered(metadata: &ProviderMetadata) -> ClientAuth {
    let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
    let has = |name: &str| methods.is_some_and(|methods| methods.iter().any(|method| method == name));
    if has("client_secret_post") && !has("client_secret_basic") { ClientAuth::Post } else { ClientAuth::Basic }
}

/// While somebody signs in.
impl From<TokensError> for ProviderError {
    fn from(error: TokensError) -> Self {
        let detail = error.to_string();
        match error {
            TokensError::NoAnswer(_) => Self::unavailable(detail),
            TokensError::Refused { why: Refusal::InvalidGrant(_), .. } => Self::untrue(detail),
            // GitHub's name for a code that is spent or made up.
            TokensError::Refused { why: Refusal::Other(code), .. } if code.starts_with("bad_verification_code") => {
                Self::untrue(detail)
            }
            TokensError::Refused { why: Refusal::Other(code), .. } => match code.as_str() {
                "temporarily_unavailable" | "server_error" => Self::unavailable(detail),
                _ => Self::misconfigured(detail),
            },
        }
    }
}

/// While somebody is asked about again: one code alone says that it is over. All others may be our own mistake.
impl From<TokensError> for AgainError {
    fn from(error: TokensError) -> Self {
        let detail = error.to_string();
        match error {
            // spec: AS-86
            TokensError::Refused { why: Refusal::InvalidGrant(_), .. } => Self::Ended(detail),
            _ => Self::unavailable(detail),
        }
    }
}
