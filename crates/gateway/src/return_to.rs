//! Where to go after sign-in: a path on this origin, and nothing else.

use std::fmt;

use portcullis_oauth::authorize::SignInDemand;
use serde::{Deserialize, Deserializer};

/// Longest way back; an authorization request fits, a flood does not.
const LONGEST: usize = 16 * 1024;
/// The authorization endpoint for those who come from the sign-in page.
pub const AUTHORIZE_AGAIN: &str = "/oauth/authorize/continue";
/// Where an approval that waited for a sign-in goes on.
pub const FINISH: &str = "/oauth/authorize/finish";

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
            // Not into a loop; the page for a fresh sign-in knows when it is one.
            && (text.starts_with("/login/fresh?")
                || !["/login", "/logout", "/welcome/"].iter().any(|path| text.starts_with(path)));
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

    /// The transaction that goes on there, if this is where an approval goes on.
    pub fn finishes(&self) -> Option<&str> {
        let transaction = self.0.strip_prefix(FINISH)?.strip_prefix("?t=")?.split('&').next()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (!transaction.is_empty() && transaction.len() <= 43 && transaction.chars().all(plain)).then_some(transaction)
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

/// Where the approval of a transaction goes on.
pub fn finish_at(transaction: &str) -> String {
    format!("{FINISH}?t={transaction}")
}

/// The sign-in page that leads back to `path` with a sign-in as `demand` has it.
pub fn sign_in_for(path: &str, demand: &SignInDemand) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", ReturnTo::parse(path).as_str());
    if let Some(max_age) = demand.max_age {
        query.append_pair("max_age", &max_age.as_secs().to_string());
    }
    if !demand.acr.is_empty() {
        query.append_pair("acr", &demand.acr.join(" "));
    }
    format!("/login?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // spec: T-13
    #[test]
    fn only_paths_of_our_own_are_returned_to() {
        for good in [
            "/",
            "/oauth/authorize/continue?client_id=a&x=%2F%2Fevil",
            "/a//b",
            "/?next=https://evil.example",
            "/login/fresh?grant=x",
        ] {
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

    #[test]
    fn an_approval_is_found_by_where_it_goes_on() {
        let finishes = |path: &str| ReturnTo::parse(path).finishes().map(str::to_owned);
        assert_eq!(finishes(&finish_at("abc_-9")).as_deref(), Some("abc_-9"));
        assert_eq!(finishes(&format!("{}&after=fresh", finish_at("abc"))).as_deref(), Some("abc"));
        for other in
            ["/", "/oauth/authorize/finish", "/oauth/authorize/finish?t=", "/oauth/authorize/finish?t=a%3Db", "/x?t=a"]
        {
            assert_eq!(finishes(other), None, "{other}");
        }
        let demand = SignInDemand { max_age: Some(Duration::ZERO), acr: vec!["a".into(), "b".into()] };
        let page = "/login?return_to=%2Foauth%2Fauthorize%2Ffinish%3Ft%3Dx&max_age=0&acr=a+b";
        assert_eq!(sign_in_for(&finish_at("x"), &demand), page);
        assert_eq!(sign_in_for("//evil.example", &SignInDemand::default()), "/login?return_to=%2F");
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
