//! Scopes: what a token may be used for at its endpoint (RFC 6749 §3.3).

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Listing, reading, prompts, completion: everything that does not call a tool.
pub const MCP_READ: &str = "mcp:read";
/// Calling tools. Implies [`MCP_READ`].
pub const MCP_CALL: &str = "mcp:call";
/// Asks for a refresh token; means nothing at an MCP endpoint.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// The order in which known scopes are written; others follow alphabetically.
const KNOWN: [&str; 3] = [MCP_READ, MCP_CALL, OFFLINE_ACCESS];
/// More text than any set of ours needs; a bound for parsing, storing and showing.
const MAX_BYTES: usize = 1024;

/// A set of scopes in one canonical order, so that equal sets are equal texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Vec<Arc<str>>);

/// A text that is not a list of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope is not a list of scope tokens")]
pub struct ScopeError;

impl Scopes {
    /// No scope at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// What every MCP endpoint offers, and what a client gets that asks for nothing: `mcp:read mcp:call`.
    pub fn endpoint() -> Self {
        Self(vec![MCP_READ.into(), MCP_CALL.into()])
    }

    /// Reads scope tokens separated by single or several spaces.
    ///
    /// spec: RFC6749#3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if text.len() > MAX_BYTES || !text.bytes().all(|b| b == b' ' || allowed(b)) {
            return Err(ScopeError);
        }
        Ok(text.split(' ').filter(|token| !token.is_empty()).map(Arc::from).collect())
    }

    /// Whether this very scope is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|held| &**held == scope)
    }

    /// Whether everything `needed` is in the set or implied by it.
    ///
    /// spec: RS-15: a broader scope counts as the narrower ones it implies.
    pub fn satisfies(&self, needed: &Self) -> bool {
        needed.iter().all(|scope| self.contains(scope) || (scope == MCP_READ && self.contains(MCP_CALL)))
    }

    /// Both sets together.
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).cloned().collect()
    }

    /// What both sets allow: each scope of either that the other has or implies.
    pub fn intersection(&self, other: &Self) -> Self {
        let shared = |scope: &&Arc<str>| {
            let one = Self(vec![Arc::clone(scope)]);
            self.satisfies(&one) && other.satisfies(&one)
        };
        self.0.iter().chain(&other.0).filter(shared).cloned().collect()
    }

    /// The set without one scope.
    pub fn without(&self, scope: &str) -> Self {
        self.0.iter().filter(|held| &***held != scope).cloned().collect()
    }

    /// The scopes in their canonical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Arc<str>> for Scopes {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(from: I) -> Self {
        let rank = |scope: &str| KNOWN.iter().position(|known| *known == scope).unwrap_or(KNOWN.len());
        let mut all: Vec<Arc<str>> = from.into_iter().collect();
        all.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
