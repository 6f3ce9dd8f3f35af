//! Ids of requests.

use serde_json::Value;

use crate::scan::{self, Kind};

/// The id of a request, as raw JSON; `1` and `"1"` are different ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Id<'a> {
    /// An integer.
    Number(&'a str),
    /// A string, quotes included.
    String(&'a str),
}

/// An [`Id`] that outlives its message. Equal if it says the same, however it was escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnedId(Box<str>);

impl<'a> Id<'a> {
    /// Reads a raw JSON value as an id.
    ///
    /// spec: TR-5: null, fractions and everything but strings and integers are no ids
    pub fn parse(raw: &'a str) -> Option<Self> {
        match scan::kind(raw) {
            Kind::String => Some(Self::String(raw)),
            Kind::Number => raw.parse::<i64>().is_ok().then_some(Self::Number(raw)),
            _ => None,
        }
    }

    /// The raw JSON.
    pub fn to_json(&self) -> &'a str {
        match self {
            Self::Number(raw) | Self::String(raw) => raw,
        }
    }

    /// The id without its message.
    pub fn to_owned(&self) -> OwnedId {
        OwnedId(match self {
            Self::Number(raw) => raw.parse::<i64>().map_or_else(|_| (*raw).into(), |number| number.to_string().into()),
            Self::String(raw) => Value::from(scan::string(raw).unwrap_or_default()).to_string().into(),
        })
    }
}

impl OwnedId {
    /// An id of our own making.
    pub fn number(number: i64) -> Self {
        Self(number.to_string().into())
    }

    /// An id of our own making.
    pub fn string(text: &str) -> Self {
        Self(Value::from(text).to_string().into())
    }

    /// The id as JSON.
    pub fn to_json(&self) -> &str {
        &self.0
    }

    /// The id, borrowed.
    pub fn as_id(&self) -> Id<'_> {
        if self.0.starts_with('"') { Id::String(&self.0) } else { Id::Number(&self.0) }
    }
}
