//! Where to go after sign-in: a path on this origin, and nothing else.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// Longest way back; an authorization request fits, a flood does not.
const LONGEST: usize = 16 * 1024;
/// The authorization endpoint for those who come from the sign-in page.
pub const AUTHORIZE_AGAIN: &str = "/oauth/authorize/continue";

/// A path and query on our own origin; anything else became `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// spec: T-13: "same-origin path beginning with single `/` and not `/\`". Browsers drop tabs and line breaks from
    /// addresses and read `\` as `/`, so neither may be in it at all.
    pub fn parse(text: &str) -> Self {
        let safe = text.len() <= LONGEST
            && text.starts_with('/')
            && !text.starts_with("//")
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
            // Not into a loop.
            && !["/login", "/logout", "/welcome/"].iter().any(|path| text.starts_with(path));
        Self(if safe { text.into() } else { "/".into() })
    }

    /// Where to go when the person has just signed in.
    ///
    /// spec: AS-140, T-5: after the form the browser calls any navigation same-origin, wherever the person really came
    /// from, so an authorization request goes on where a remembered consent does not answer.
    pub fn after_sign_in(&self) -> String {
        let query = ["/oauth/authorize?", "/authorize?"].into_iter().find_map(|path| self.0.strip_prefix(path));
        query.map_or_else(|| self.0.clone(), |query| format!("{AUTHORIZE_AGAIN}?{query}"))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReturnTo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self::parse(&text))
    }
}

/// The sign-in page that leads back to `path`.
pub fn sign_in_at(path: &str) -> String {
    match ReturnTo::parse(path).as_str() {
        "/" => "/login".into(),
        path => {
            let path: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
            format!("/login?return_to={path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-13
    #[test]
    fn only_paths_of_our_own_are_returned_to() {
        for good in ["/", "/oauth/authorize/continue?client_id=a&x=%2F%2Fevil", "/a//b", "/?next=https://evil.example"]
        {
            assert_eq!(ReturnTo::parse(good).as_str(), good);
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "/a\\b",
            "/logout",
            "/login?return_to=/login",
            "/ü",
        ] {
            assert_eq!(ReturnTo::parse(bad).as_str(), "/", "{bad:?}");
        }
    }
    // spec: AS-140, T-5
    #[test]
    fn an_authorization_request_goes_on_where_consent_is_always_asked() {
        let after = |path: &str| ReturnTo::parse(path).after_sign_in();
        assert_eq!(after("/oauth/authorize?a=b"), "/oauth/authorize/continue?a=b");
        assert_eq!(after("/authorize?a=b"), "/oauth/authorize/continue?a=b");
        assert_eq!(after("/"), "/");
    }
}
