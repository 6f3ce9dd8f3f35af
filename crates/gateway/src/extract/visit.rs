//! A browser in which nobody is signed in: bound to a cookie as a session is, so that its forms are its own.

use http::{HeaderMap, HeaderValue};
use portcullis_base::{Rng, Secret, token};

use super::{
    Session,
    cookie::{Planted, VISIT_COOKIE, cookie, visit_cookie},
};

/// A browser in which nobody is signed in.
pub struct Visit {
    /// What its forms are bound to.
    pub session: Session,
    /// The cookie that must be set, if the browser has none yet. Another page in the same browser keeps what it has.
    pub cookie: Option<HeaderValue>,
}

impl Visit {
    /// The visit that the browser's cookie proves.
    pub fn of(headers: &HeaderMap) -> Result<Option<Session>, Planted> {
        Ok(cookie(headers, VISIT_COOKIE)?.map(|secret| Session::of(&secret)))
    }

    /// The same, or a new one.
    pub fn of_or_new(headers: &HeaderMap, rng: &dyn Rng) -> Result<Self, Planted> {
        if let Some(session) = Self::of(headers)? {
            return Ok(Self { session, cookie: None });
        }
        let secret = Secret::new(token::<32>(rng));
        Ok(Self { session: Session::of(&secret), cookie: Some(visit_cookie(&secret)) })
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use portcullis_base::SeededRng;

    use super::*;

    // spec: T-2, T-4
    #[test]
    fn the_forms_of_a_visit_belong_to_one_browser() {
        let rng = SeededRng::new(1);
        let new = Visit::of_or_new(&HeaderMap::new(), &rng).unwrap();
        let pair = new.cookie.unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
        let headers: HeaderMap = [(header::COOKIE, HeaderValue::try_from(&pair).unwrap())].into_iter().collect();
        let again = Visit::of_or_new(&headers, &rng).unwrap();
        assert!(again.cookie.is_none(), "two pages at once must not disturb each other");
        assert_eq!(again.session.form_token, new.session.form_token);
        let other = Visit::of_or_new(&HeaderMap::new(), &rng).unwrap();
        assert_ne!(other.session.form_token, new.session.form_token);
        let twice = HeaderValue::try_from(format!("{pair}; {pair}")).unwrap();
        assert!(Visit::of(&[(header::COOKIE, twice)].into_iter().collect()).is_err());
    }
}
