//! The session cookie.

use http::{HeaderMap, HeaderValue, header};
use portcullis_base::Secret;

/// Its name.
///
/// spec: AS-135, T-4: with this prefix browsers take the cookie only from this very origin, with `Secure`, for `/`.
pub const SESSION_COOKIE: &str = "__Host-portcullis";

/// The browser sent the cookie twice, so somebody planted one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planted;

/// The session's secret in `headers`.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Secret>, Planted> {
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        // spec: T-4: two of one name: neither is believed.
        (Some(_), Some(_)) => Err(Planted),
        (first, _) => Ok(first.filter(|value| !value.is_empty()).map(|value| Secret::new(value.to_owned()))),
    }
}

/// `Set-Cookie` for a new session.
///
/// No `Max-Age`: the browser forgets it when it closes, the server long before if it is not used. `Secure` also on a
/// loopback `http` gateway, where browsers accept it.
pub fn session_cookie(secret: &Secret) -> HeaderValue {
    let text = format!("{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", secret.reveal());
    let mut value = HeaderValue::try_from(text).expect("a session's secret is base64url");
    value.set_sensitive(true);
    value
}

/// `Set-Cookie` that removes it.
pub fn clear_session_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-portcullis=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
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
        let read = |lines: &[&'static str]| read(&headers(lines)).map(|found| found.map(|s| s.reveal().to_owned()));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["a=b; __Host-portcullis=x; c=d"]), Ok(Some("x".into())));
        assert_eq!(read(&["__Host-portcullis=x; __Host-portcullis=y"]), Err(Planted));
        assert_eq!(read(&["__Host-portcullis=x", "__Host-portcullis=x"]), Err(Planted));
        assert_eq!(read(&["__host-portcullis=x; portcullis=y"]), Ok(None));
    }

    // spec: AS-135
    #[test]
    fn the_cookie_is_bound_to_this_origin_and_hidden_from_scripts() {
        let value = session_cookie(&Secret::new("abc".into()));
        assert_eq!(value.to_str().unwrap(), "__Host-portcullis=abc; Path=/; Secure; HttpOnly; SameSite=Lax");
    }
}
