//! Request parameters as they arrive: a query or a form body, decoded strictly (RFC 6749 appendix B).

use std::{collections::BTreeSet, fmt};

use crate::{
    error::{TokenError, TokenErrorCode},
    resource,
    scope::{ScopeError, Scopes},
};

/// The longest query or form that is read.
pub const MAX_BYTES: usize = 8 * 1024;
/// The one parameter that may come more than once (RFC 8707 §2).
const REPEATABLE: &str = "resource";

/// Decoded parameters; none is empty, none but `resource` is there twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

/// Why a query or form is not readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// More than [`MAX_BYTES`].
    #[error("it is too long")]
    TooLong,
    /// Broken percent-encoding, or not UTF-8.
    #[error("it is not properly encoded")]
    Malformed,
    /// A parameter that may come once came twice.
    #[error("a parameter is repeated")]
    Repeated,
}

impl Parameters {
    /// Reads `name=value&…`.
    pub fn parse(text: &str) -> Result<Self, ParametersError> {
        if text.len() > MAX_BYTES {
            return Err(ParametersError::TooLong);
        }
        let mut names = BTreeSet::new();
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or(ParametersError::Malformed)?;
            let value = decode(value).ok_or(ParametersError::Malformed)?;
            // spec: AS-41, T-11, RFC6749#3.1: "Request and response parameters MUST NOT be included more than once."
            if name != REPEATABLE && !names.insert(name.clone()) {
                return Err(ParametersError::Repeated);
            }
            // spec: AS-41, RFC6749#3.1: "Parameters sent without a value MUST be treated as if they were omitted".
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter that may come once.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// `scope` of a token request, if it was sent.
    pub(crate) fn scopes(&self) -> Result<Option<Scopes>, TokenError> {
        let malformed = |error: ScopeError| TokenError::new(TokenErrorCode::InvalidScope, error.to_string());
        self.get("scope").map(|text| Scopes::parse(text).map_err(malformed)).transpose()
    }

    /// `resource` of a token request in canonical form, if it was sent.
    pub(crate) fn resource(&self) -> Result<Option<String>, TokenError> {
        resource::only(self.all("resource"))
            .map_err(|error| TokenError::new(TokenErrorCode::InvalidTarget, error.text()))
    }

    /// An owned value.
    pub(crate) fn take(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// Names only: values are codes, verifiers and secrets.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Undoes form encoding; `None` for a broken escape or what is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}
