//! Where a person is sent to let us act for them. The request itself is
//! [`AuthorizationRequest`](crate::relying::request::AuthorizationRequest), with PKCE (UP-32) and `resource` (UP-30).

use crate::scope::OFFLINE_ACCESS;

/// What providers known to give no refresh token otherwise must be asked besides: issuer, parameters.
const KNOWN_EXTRA: [(&str, &[(&str, &str)]); 1] = [("https://accounts.google.com", &[("access_type", "offline")])];

/// What this issuer is asked besides.
pub fn extra(issuer: &str) -> &'static [(&'static str, &'static str)] {
    KNOWN_EXTRA.iter().find(|(known, _)| *known == issuer).map_or(&[], |(_, pairs)| pairs)
}

/// Which page the authorization server must show.
///
/// spec: UP-38, OIDCC#11: "an Authorization Request [for offline access] MUST contain a prompt parameter value of consent".
pub fn prompt(issuer: &str, scopes: &[String]) -> Option<&'static str> {
    let offline = scopes.iter().any(|scope| scope == OFFLINE_ACCESS) || !extra(issuer).is_empty();
    offline.then_some("consent")
}
