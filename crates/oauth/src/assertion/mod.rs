//! Assertions that stand for an authorization: who a person is, said by a company's identity provider (ID-JAG), and what a
//! workload is, said by its platform.

pub mod id_jag;
pub mod workload;

use crate::{
    error::{TokenError, TokenErrorCode},
    jwt::{MAX_BYTES, Unverified},
};

/// The `typ` of an Identity Assertion JWT Authorization Grant.
const ID_JAG_TYPE: &str = "oauth-id-jag+jwt";

/// The two kinds of assertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionKind {
    /// A person of an identity provider, for one client.
    IdJag,
    /// A program on a platform.
    Workload,
}

/// What an assertion says of itself before anything is proven: only to find out whose keys to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its kind, by its type.
    pub kind: AssertionKind,
    /// Who claims to have made it. It is looked for among those trusted for this kind, and nowhere else.
    pub issuer: String,
    /// The name of its key, if it names one.
    pub kid: Option<String>,
}

/// What kind of assertion `token` is; `None` if it is neither.
///
/// spec: AS-184, RFC8725#3.11: told apart by type and by who is trusted for that type, never by trying one validation after
/// the other. A client's own assertion, an ID token with a type, an access token: none of these is an authorization.
pub fn kind(token: &str) -> Option<Presented> {
    let unverified = Unverified::split_foreign(token, MAX_BYTES).ok()?;
    let kind = if unverified.is_a(ID_JAG_TYPE) {
        AssertionKind::IdJag
    } else if unverified.is_plain() {
        AssertionKind::Workload
    } else {
        return None;
    };
    let issuer = unverified.claimed("iss").filter(|issuer| !issuer.is_empty())?.to_owned();
    Some(Presented { kind, issuer, kid: unverified.kid })
}

/// The answer to an assertion that is not taken, whatever the reason: the reason is for the log.
///
/// spec: AS-172, AS-182.
pub fn refused() -> TokenError {
    TokenError::new(TokenErrorCode::InvalidGrant, "the assertion is not valid")
}
