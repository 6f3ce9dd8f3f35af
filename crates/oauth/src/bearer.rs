//! Bearer tokens on the wire: where one is found, and how a request without a good one is answered (RFC 6750).

use std::fmt::Write;

use crate::{
    parameters::Parameters,
    scope::{OFFLINE_ACCESS, Scopes},
};

/// Why a request may not pass; decides status and challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token was sent in the one place where we look.
    #[error("no access token was sent")]
    NoToken,
    /// A token was sent twice, or in two ways.
    #[error("the access token was sent more than once")]
    Repeated,
    /// What was sent is not a token of ours for this endpoint, or no longer.
    #[error("the access token is expired, revoked or not valid for this endpoint")]
    InvalidToken,
    /// The token is good but does not reach this far.
    #[error("the access token does not have the scope this request needs")]
    InsufficientScope,
}

/// The bearer token of a request, from its `Authorization` headers and its query.
pub fn extract<'a>(headers: impl IntoIterator<Item = &'a [u8]>, query: Option<&str>) -> Result<&'a str, Denied> {
    let mut headers = headers.into_iter();
    let Some(header) = headers.next() else { return Err(Denied::NoToken) };
    // spec: RS-16, RFC6750#3.1: "uses more than one method for including an access token".
    if headers.next().is_some() {
        return Err(Denied::Repeated);
    }
    let header = std::str::from_utf8(header).map_err(|_| Denied::InvalidToken)?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    // spec: RS-18, RFC9110#11.1: the scheme is case-insensitive.
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::NoToken);
    }
    // spec: RS-17, T-36: a token in the query is never used; next to one in the header it is a second one.
    if query.is_some_and(in_query) {
        return Err(Denied::Repeated);
    }
    // spec: RFC6750#2.1: `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
    let token = token.trim_matches(' ');
    let body = token.trim_end_matches('=');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if body.is_empty() || !body.bytes().all(allowed) {
        return Err(Denied::InvalidToken);
    }
    Ok(token)
}

fn in_query(query: &str) -> bool {
    match Parameters::parse(query) {
        Ok(parameters) => parameters.get("access_token").is_some(),
        Err(_) => query.contains("access_token"),
    }
}

impl Denied {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            // spec: RS-16.
            Self::Repeated => 400,
            // spec: RS-10.
            Self::NoToken | Self::InvalidToken => 401,
            // spec: RS-13.
            Self::InsufficientScope => 403,
        }
    }

    /// The registered code, if one may be given.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            // spec: RS-12, RFC6750#3.1: "If the request lacks any authentication information [...] the resource server
            // SHOULD NOT include an error code or other error information."
            Self::NoToken => None,
            Self::Repeated => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
        }
    }

    /// The `WWW-Authenticate` value. `needed` is all that the operation needs, so that one step-up is enough.
    pub fn challenge(self, resource_metadata: &str, needed: &Scopes) -> String {
        let mut out = String::from("Bearer ");
        if let Some(code) = self.code() {
            parameter(&mut out, "error", code);
            parameter(&mut out, "error_description", &self.to_string());
        }
        // spec: RS-11, RS-13, RS-14, RS-7, T-42: every scope the operation needs, never `offline_access`.
        let needed = needed.without(OFFLINE_ACCESS);
        if !needed.is_empty() {
            parameter(&mut out, "scope", &needed.to_string());
        }
        // spec: RS-10, RFC9728#5.1.
        parameter(&mut out, "resource_metadata", resource_metadata);
        out
    }
}

/// How a person has to have signed in for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh<'a> {
    /// How long ago at most, in seconds.
    pub max_age: Option<u64>,
    /// In one of these ways; empty: in any.
    pub acr_values: &'a [&'a str],
}

/// The `WWW-Authenticate` value of the answer, with status 401, to a good token whose person did not sign in as `wanted`.
///
/// spec: RFC9470#3.
pub fn step_up_challenge(resource_metadata: &str, wanted: &Fresh<'_>) -> String {
    let mut out = String::from("Bearer ");
    parameter(&mut out, "error", "insufficient_user_authentication");
    parameter(&mut out, "error_description", "a more recent or stronger sign-in is required");
    if !wanted.acr_values.is_empty() {
        parameter(&mut out, "acr_values", &wanted.acr_values.join(" "));
    }
    if let Some(seconds) = wanted.max_age {
        parameter(&mut out, "max_age", &seconds.to_string());
    }
    parameter(&mut out, "resource_metadata", resource_metadata);
    out
}

/// spec: RS-33, RFC9110#5.6.4: a quoted string, with `"` and `\` escaped and nothing outside printable ASCII.
fn parameter(out: &mut String, name: &str, value: &str) {
    let separator = if out.ends_with(' ') { "" } else { ", " };
    write!(out, "{separator}{name}=\"").expect("writing to a String cannot fail");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
}
