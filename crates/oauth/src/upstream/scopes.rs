//! Which scopes are asked for at somebody else's authorization server.

use std::collections::BTreeSet;

use crate::scope::OFFLINE_ACCESS;

/// Asks for an ID token.
const OPENID: &str = "openid";
/// Asks for an address in it.
const EMAIL: &str = "email";

/// More than any honest server names; what is beyond is not looked at.
const MAX_SCOPES: usize = 256;
/// The longest name that is taken along.
const MAX_BYTES: usize = 256;

/// What is known when a person connects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// What the server's challenge named.
    pub challenged: Option<&'a [String]>,
    /// What its metadata lists.
    pub listed: Option<&'a [String]>,
    /// The most that an administrator lets be asked for.
    pub cap: Option<&'a [String]>,
}

/// Why no scopes can be asked for that would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// The administrator does not let these be asked for.
    #[error("the server asks for {}, which the settings do not allow to ask for", .0.join(" "))]
    Capped(Vec<String>),
    /// The connection has them all, so that asking again would change nothing.
    #[error("the server asks for {}, which the connection already has", .0.join(" "))]
    Held(Vec<String>),
    /// The server does not say what it needs.
    #[error("the server wants more scope and does not say which")]
    Unnamed,
}

/// The scopes of a connection to be made; none: the authorization server chooses.
///
/// spec: UP-37: "challenge `scope` if present; else PRM `scopes_supported`; else omit `scope`. An administrator cap may
/// reduce the set."
pub fn choose(known: &Known<'_>) -> Result<Vec<String>, ScopesError> {
    let wanted = known.challenged.filter(|all| !all.is_empty()).or(known.listed).unwrap_or_default();
    let wanted = tidy(wanted);
    let Some(cap) = known.cap else { return Ok(wanted) };
    if wanted.is_empty() {
        // Asking for nothing could give everything.
        return Ok(tidy(cap));
    }
    let (allowed, beyond): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|scope| cap.contains(scope));
    if allowed.is_empty() { Err(ScopesError::Capped(beyond)) } else { Ok(allowed) }
}

/// The scopes of a connection that must reach further: what was asked for before, and what is wanted now.
///
/// spec: UP-46, T-42: "the union of scopes previously requested and those challenged". What could not help is not tried.
pub fn step_up(asked: &[String], challenged: &[String], cap: Option<&[String]>) -> Result<Vec<String>, ScopesError> {
    let challenged = tidy(challenged);
    if challenged.is_empty() {
        return Err(ScopesError::Unnamed);
    }
    if challenged.iter().all(|scope| asked.contains(scope)) {
        return Err(ScopesError::Held(challenged));
    }
    let allowed = |scope: &&String| cap.is_none_or(|cap| cap.contains(*scope));
    let beyond: Vec<String> = challenged.iter().filter(|scope| !allowed(scope)).cloned().collect();
    if !beyond.is_empty() {
        return Err(ScopesError::Capped(beyond));
    }
    let before = tidy(asked);
    Ok(tidy_owned(before.into_iter().filter(|scope| allowed(&scope) || scope == OFFLINE_ACCESS).chain(challenged)))
}

/// The scopes with those that a gateway needs besides, where the authorization server has them: one for a refresh token, and
/// those that tell whose account it is, so that a person can be shown it before anything is kept (T-3). The first gives time
/// and no reach, so that no cap counts for it. Alone they would take the place of what the authorization server gives to
/// who asks for nothing.
///
/// spec: UP-38: "only if the AS metadata `scopes_supported` lists it; never assume a refresh token follows".
pub fn with_our_own(mut scopes: Vec<String>, supported: Option<&[String]>, cap: Option<&[String]>) -> Vec<String> {
    let names = |all: Option<&[String]>, name: &str| all.is_some_and(|all| all.iter().any(|scope| scope == name));
    if scopes.is_empty() || supported.is_none() {
        return scopes;
    }
    let capped = |name: &str| cap.is_some() && !names(cap, name);
    for name in [OFFLINE_ACCESS, OPENID, EMAIL] {
        let allowed = match name {
            OPENID => !capped(name),
            // Without an ID token there is nothing for it to stand in.
            EMAIL => !capped(name) && names(Some(&scopes), OPENID),
            _ => true,
        };
        if allowed && names(supported, name) && !names(Some(&scopes), name) {
            scopes.push(name.to_owned());
        }
    }
    scopes
}

/// Scope tokens of a text, foreign ones: what is none is left out.
pub fn split(text: &str) -> Vec<String> {
    tidy_owned(text.split(' ').map(str::to_owned))
}

fn tidy(all: &[String]) -> Vec<String> {
    tidy_owned(all.iter().cloned())
}

fn tidy_owned(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|scope| is_scope(scope) && seen.insert(scope.clone())).take(MAX_SCOPES).collect()
}

/// spec: RFC6749#3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
