//! What rules put on a call that goes on.

use std::{borrow::Cow, fmt, sync::Arc};

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ask::Ask, path::Path, quota::Quota, source::Misread};

/// Everything that the rules which apply to a call put on it. They add up: none of them takes another away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Obligations {
    /// Demands; all of them have to be met before it goes on. One word counts for each demand that it satisfies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Arc<Ask>>,
    /// Limits; it counts against all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Arc<Quota>>,
    /// What is masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redactions: Vec<Arc<Redact>>,
    /// How much of a result goes back.
    #[serde(skip_serializing_if = "Cap::is_none")]
    pub cap: Cap,
    /// Labels that the session has from then on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Arc<str>>,
}

impl Obligations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.asks.is_empty()
            && self.quotas.is_empty()
            && self.redactions.is_empty()
            && self.cap.is_none()
            && self.labels.is_empty()
    }
}

/// What is masked, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redact {
    /// `args.PATH`: this argument, in what is recorded of the call. The server gets it as it is.
    Argument(Path),
    /// `result.PATH`: this part of the result, before its caller gets it.
    Result(Path),
    /// `/PATTERN/`: whatever fits in texts of the result, before its caller gets it, and of what is recorded.
    Pattern(Mask),
}

/// A pattern whose finds are masked. It is found in a time that grows with the text and nothing else.
#[derive(Clone, Debug)]
pub struct Mask {
    text: Box<str>,
    regex: Regex,
}

impl Mask {
    /// The longest pattern.
    const LENGTH: usize = 256;
    /// The most bytes that it may be once it is compiled.
    const SIZE: usize = 64 << 10;

    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, Misread> {
        if text.len() > Self::LENGTH {
            return Err(Misread::new(format!("a pattern has at most {} bytes", Self::LENGTH)));
        }
        let regex = RegexBuilder::new(text).size_limit(Self::SIZE).build().map_err(|error| {
            Misread::new(format!("this is no pattern: {}", portcullis_base::printable(&error.to_string(), 100)))
        })?;
        if regex.is_match("") {
            return Err(Misread::new("this pattern fits where there is nothing, so it would mask everywhere"));
        }
        Ok(Self { text: text.into(), regex })
    }

    /// `text` with every find masked; as it is where there is none.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.regex.replace_all(text, Self::MASK)
    }

    /// What stands in the place of what was masked.
    pub const MASK: &'static str = "[redacted]";

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Mask {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Mask {}

impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Mask {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl fmt::Display for Redact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(path) => write!(f, "args.{path}"),
            Self::Result(path) => write!(f, "result.{path}"),
            Self::Pattern(mask) => write!(f, "/{}/", mask.text),
        }
    }
}

/// How large a result may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cap {
    /// In bytes of its JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// In items of `content`, and of each list in `structuredContent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
}

impl Cap {
    /// Whether it caps nothing.
    pub fn is_none(&self) -> bool {
        self.bytes.is_none() && self.items.is_none()
    }

    /// The tighter of both, each by itself.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self { bytes: least(self.bytes, other.bytes), items: least(self.items, other.items) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_what_fits_and_nothing_else() {
        let mask = Mask::parse(r"\b[A-Z]{2}\d{2}[A-Z0-9]{10,30}\b").unwrap();
        assert_eq!(mask.apply("to DE89370400440532013000, thanks"), "to [redacted], thanks");
        assert_eq!(mask.apply("nothing here"), "nothing here");
        for text in ["(", "x*", "(a{100}){100}{100}", &"x".repeat(300)] {
            assert!(Mask::parse(text).is_err(), "{text}");
        }
        let redact = Redact::Pattern(mask);
        let told = serde_json::to_string(&redact).unwrap();
        assert_eq!(serde_json::from_str::<Redact>(&told).unwrap(), redact, "{told}");
    }

    #[test]
    fn caps_only_tighten() {
        let (a, b) = (Cap { bytes: Some(10), items: None }, Cap { bytes: Some(20), items: Some(3) });
        assert_eq!(a.tighter(b), Cap { bytes: Some(10), items: Some(3) });
        assert_eq!(a.tighter(b), b.tighter(a));
        assert_eq!(a.tighter(Cap::default()), a);
    }
}
