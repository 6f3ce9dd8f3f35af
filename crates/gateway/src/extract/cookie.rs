//! Cookies: the session's, and the short ones of a sign-in that is under way.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_base::Secret;

use crate::error::PageError;

/// The cookie of a session.
///
/// spec: AS-135, T-4: with this prefix browsers take the cookie only from this very origin, with `Secure`, for `/`.
pub const SESSION_COOKIE: &str = "__Host-portcullis";
/// The cookie of a browser in which nobody is signed in, and which was shown a page with a form.
pub const VISIT_COOKIE: &str = "__Host-portcullis-visit";

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
/// Browsers keep no longer cookie, name and attributes included, and say nothing when they drop one.
const LONGEST: usize = 4_000;

/// The browser sent the cookie twice, so somebody planted one of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Planted;

impl From<Planted> for PageError {
    fn from(_: Planted) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "cookie.twice",
            "Your browser sent two sign-ins",
            "Something has planted a cookie for this address. Delete the cookies of this site and sign in again.",
        )
    }
}

/// The value of the cookie `name` in `headers`.
pub fn cookie(headers: &HeaderMap, name: &str) -> Result<Option<Secret>, Planted> {
    let mut values = pairs(headers).filter(|(found, _)| *found == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        // spec: T-4: two of one name: neither is believed.
        (Some(_), Some(_)) => Err(Planted),
        (first, _) => Ok(first.filter(|value| !value.is_empty()).map(|value| Secret::new(value.to_owned()))),
    }
}

/// The names of cookies that begin with `prefix`.
pub fn cookies_named<'a>(headers: &'a HeaderMap, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    pairs(headers).map(|(name, _)| name).filter(move |name| name.starts_with(prefix))
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// `Set-Cookie` for a new session.
///
/// No `Max-Age`: the browser forgets it when it closes, the server long before if it is not used. `Secure` also on a
/// loopback `http` gateway, where browsers accept it.
pub fn session_cookie(secret: &Secret) -> HeaderValue {
    sensitive(&format!("{SESSION_COOKIE}={}; {ATTRIBUTES}", secret.reveal()))
}

/// `Set-Cookie` for a browser in which nobody is signed in.
pub fn visit_cookie(secret: &Secret) -> HeaderValue {
    sensitive(&format!("{VISIT_COOKIE}={}; {ATTRIBUTES}", secret.reveal()))
}

/// `Set-Cookie` for something that is under way; `None` if no browser would keep it.
pub fn short_cookie(name: &str, value: &str, life: Duration) -> Option<HeaderValue> {
    let text = format!("{name}={value}; {ATTRIBUTES}; Max-Age={}", life.as_secs());
    (text.len() <= LONGEST).then(|| sensitive(&text))
}

/// `Set-Cookie` that removes a session's.
pub fn clear_session_cookie() -> HeaderValue {
    clear_cookie(SESSION_COOKIE)
}

/// `Set-Cookie` that removes a cookie.
pub fn clear_cookie(name: &str) -> HeaderValue {
    sensitive(&format!("{name}=; {ATTRIBUTES}; Max-Age=0"))
}

fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(text).expect("names and values of our cookies are base64url");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect()
    }

    // spec: T-4
    #[test]
    fn a_cookie_that_comes_twice_is_not_believed() {
        let read = |lines: &[&'static str]| {
            cookie(&headers(lines), SESSION_COOKIE).map(|found| found.map(|s| s.reveal().to_owned()))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["a=b; __Host-portcullis=x; c=d"]), Ok(Some("x".into())));
        assert_eq!(read(&["__Host-portcullis=x; __Host-portcullis=y"]), Err(Planted));
        assert_eq!(read(&["__Host-portcullis=x", "__Host-portcullis=x"]), Err(Planted));
        assert_eq!(read(&["__host-portcullis=x; portcullis=y"]), Ok(None));
        assert_eq!(read(&["__Host-portcullis-visit=x"]), Ok(None));
    }

    // spec: AS-135
    #[test]
    fn every_cookie_is_bound_to_this_origin_and_hidden_from_scripts() {
        let secret = Secret::new("abc".into());
        let text = |value: HeaderValue| value.to_str().unwrap().to_owned();
        assert_eq!(text(session_cookie(&secret)), "__Host-portcullis=abc; Path=/; Secure; HttpOnly; SameSite=Lax");
        let short = short_cookie("__Host-portcullis-login-x", "abc", Duration::from_mins(10)).unwrap();
        let attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert!(short.is_sensitive());
        assert_eq!(text(short), format!("__Host-portcullis-login-x=abc{attributes}; Max-Age=600"));
        assert!(text(visit_cookie(&secret)).ends_with(attributes));
        assert!(text(clear_session_cookie()).ends_with(&format!("{attributes}; Max-Age=0")));
        assert_eq!(short_cookie("__Host-portcullis-login-x", &"a".repeat(4_096), Duration::ZERO), None);
    }
}
