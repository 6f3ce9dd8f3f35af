//! Forms that can only have come from our own pages.

use std::sync::Arc;

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use super::{LoggedIn, Session};
use crate::{app::App, error::PageError};

/// A form of a page that comes before sign-in: it came from our origin.
pub struct SameOriginForm<T>(pub T);

/// A form of a page of a signed-in person: it came from our origin, and from the session it was made for.
pub struct SignedForm<T> {
    /// Who sent it.
    pub who: LoggedIn,
    /// What is in it.
    pub form: T,
}

/// A form that carries the synchroniser token.
#[derive(serde::Deserialize)]
struct Tokened<T> {
    #[serde(default)]
    form_token: String,
    #[serde(flatten)]
    form: T,
}

/// Whether the browser says that one of our own pages sent this.
///
/// spec: T-2, T-94: `Origin` is ours, or is left out by a browser that says `Sec-Fetch-Site: same-origin` instead.
/// Neither can be set by a page. A request with neither is not from a browser of this decade, and is refused.
pub fn same_origin(headers: &HeaderMap, public_url: &str) -> bool {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (Some(value), None) => Ok(Some(value.as_bytes())),
            (None, _) => Ok(None),
            _ => Err(()),
        }
    };
    let (Ok(origin), Ok(site)) = (one("origin"), one("sec-fetch-site")) else { return false };
    match (origin, site) {
        (Some(origin), None | Some(b"same-origin")) => origin == public_url.as_bytes(),
        (None, Some(site)) => site == b"same-origin",
        _ => false,
    }
}

/// Whether `presented` is the form token of this session, told in constant time.
pub fn form_token_matches(session: &Session, presented: &str) -> bool {
    session.form_token.as_bytes().ct_eq(presented.as_bytes()).into()
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for SameOriginForm<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, PageError> {
        if !same_origin(request.headers(), app.config.public_url.as_str()) {
            return Err(PageError::foreign_form("not same-origin"));
        }
        read(request).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for SignedForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let who = <LoggedIn as FromRequestParts<Arc<App>>>::from_request_parts(&mut parts, app).await?;
        if !same_origin(&parts.headers, app.config.public_url.as_str()) {
            return Err(PageError::foreign_form("not same-origin").into_response());
        }
        let Tokened { form_token, form } =
            read(Request::from_parts(parts, body)).await.map_err(IntoResponse::into_response)?;
        if !form_token_matches(&who.session, &form_token) {
            return Err(PageError::foreign_form("form token of another session").into_response());
        }
        Ok(Self { who, form })
    }
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, PageError> {
    let type_is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    let unreadable = |log: String| {
        PageError::new(
            StatusCode::BAD_REQUEST,
            "form.unreadable",
            "This form could not be read",
            "A field is missing or appears twice. Go back and try again.",
        )
        .log(log)
    };
    if !type_is_form {
        return Err(unreadable("not a form".into()));
    }
    match Form::<T>::from_request(request, &()).await {
        Ok(Form(form)) => Ok(form),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    // spec: T-2, T-94
    #[test]
    fn a_form_is_ours_only_if_the_browser_says_so() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            same_origin(&headers, "http://127.0.0.1:7878")
        };
        let ours = ("origin", "http://127.0.0.1:7878");
        assert!(from(&[ours]));
        assert!(from(&[ours, ("sec-fetch-site", "same-origin")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        for pairs in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:7879")],
            &[("origin", "http://127.0.0.1:7878/")],
            &[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
            &[ours, ("sec-fetch-site", "cross-site")],
            &[ours, ("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[ours, ours],
        ] {
            assert!(!from(pairs), "{pairs:?}");
        }
    }
}
