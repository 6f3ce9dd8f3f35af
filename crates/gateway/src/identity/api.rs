//! A provider's own API, asked in a person's name or ours.

use bytes::Bytes;
use http::StatusCode;
use portcullis_base::{Secret, printable};
use serde::de::DeserializeOwned;

use super::ProviderError;
use crate::outbound::{Ask, Fetched, Outbound};

/// The largest answer: one page of a list.
const MAX_BYTES: usize = 1024 * 1024;
/// More pages than this are not believed; what is cut off would be taken for everything.
pub(super) const MAX_PAGES: usize = 100;

/// Why an API gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The token is not good any more.
    #[error("{0}")]
    Unauthorized(String),
    /// It answered, and not with what was asked for.
    #[error("{0}")]
    Refused(String),
    /// It did not answer, or asks to come back later.
    #[error("{0}")]
    NoAnswer(String),
}

/// Reads the JSON at `url` with a bearer token.
pub(super) async fn get<T: DeserializeOwned>(outbound: &Outbound, url: &str, token: &Secret) -> Result<T, ApiError> {
    read(place(url), &fetch(outbound, url, token, MAX_BYTES).await?)
}

/// Whether an answer was the last one of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It says that there is a next one.
    More,
    /// It does not say so.
    Unsaid,
}

/// Reads one page of a list at `url` with a bearer token. Where the next one is, the caller knows; that there is one is said by
/// a `Link` header (RFC 8288), as a page may be short for other reasons.
pub(super) async fn page<T: DeserializeOwned>(
    outbound: &Outbound,
    url: &str,
    token: &Secret,
) -> Result<(Vec<T>, Rest), ApiError> {
    let fetched = fetch(outbound, url, token, MAX_BYTES).await?;
    let links = fetched.headers.get_all(http::header::LINK).iter().filter_map(|link| link.to_str().ok());
    let more = links.flat_map(|links| links.split(',')).any(|link| link.contains("rel=\"next\""));
    Ok((read(place(url), &fetched)?, if more { Rest::More } else { Rest::Unsaid }))
}

/// Reads at most `limit` bytes at `url` with a bearer token.
pub(super) async fn body(outbound: &Outbound, url: &str, token: &Secret, limit: usize) -> Result<Bytes, ApiError> {
    let fetched = fetch(outbound, url, token, limit).await?;
    successful(place(url), &fetched)?;
    Ok(fetched.body)
}

async fn fetch(outbound: &Outbound, url: &str, token: &Secret, limit: usize) -> Result<Fetched, ApiError> {
    let bearer = Secret::new(format!("Bearer {}", token.reveal()));
    let ask = Ask::get(url, "application/json", limit).authorized(Some(bearer));
    outbound.fetch(ask).await.map_err(|error| no_answer(place(url), error.detail()))
}

/// Where, without what might say who.
fn place(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Reads what an API answered.
pub(super) fn read<T: DeserializeOwned>(place: &str, fetched: &Fetched) -> Result<T, ApiError> {
    successful(place, fetched)?;
    let unreadable = |error| no_answer(place, &format!("not the expected JSON: {error}"));
    serde_json::from_slice(&fetched.body).map_err(unreadable)
}

fn successful(place: &str, fetched: &Fetched) -> Result<(), ApiError> {
    let status = fetched.status;
    let said = || format!("{place} answered {status}: {}", printable(&String::from_utf8_lossy(&fetched.body), 200));
    let limited = fetched.headers.contains_key(http::header::RETRY_AFTER)
        || fetched.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(ApiError::Unauthorized(said())),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(ApiError::NoAnswer(said())),
        StatusCode::FORBIDDEN if limited => Err(ApiError::NoAnswer(said())),
        _ if status.is_client_error() => Err(ApiError::Refused(said())),
        _ => Err(ApiError::NoAnswer(said())),
    }
}

/// A list that did not come to its end.
pub(super) fn endless(place: &str) -> ApiError {
    ApiError::NoAnswer(format!("{place}: more than {MAX_PAGES} pages"))
}

fn no_answer(place: &str, why: &str) -> ApiError {
    ApiError::NoAnswer(format!("{place}: {why}"))
}

/// While somebody signs in.
impl From<ApiError> for ProviderError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::NoAnswer(detail) => Self::unavailable(detail),
            ApiError::Refused(detail) | ApiError::Unauthorized(detail) => Self::misconfigured(detail),
        }
    }
}
