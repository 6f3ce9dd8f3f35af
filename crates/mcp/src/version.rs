//! Revisions of the protocol, named by their dates.

use std::fmt;

/// Which of the two ways of speaking a revision belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: a session opened by `initialize`.
    Legacy,
    /// From 2026-07-28: every request stands alone and carries its version and capabilities in `_meta`.
    Modern,
}

/// A revision that this crate knows. Later revisions are greater.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(&'static str);

impl Version {
    /// The first revision, on the HTTP+SSE transport of two endpoints.
    pub const V2024_11_05: Self = Self("2024-11-05");
    /// Streamable HTTP; the only revision that knew batches.
    pub const V2025_03_26: Self = Self("2025-03-26");
    /// Elicitation, structured output, the `MCP-Protocol-Version` header.
    pub const V2025_06_18: Self = Self("2025-06-18");
    /// URL elicitation, tasks, resumable streams.
    pub const V2025_11_25: Self = Self("2025-11-25");
    /// Stateless requests.
    pub const V2026_07_28: Self = Self("2026-07-28");

    /// Every revision known here, newest first.
    pub const KNOWN: &'static [Self] =
        &[Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];

    /// The revisions served on the Streamable HTTP transport, newest first.
    pub const SERVED: &'static [Self] = &[Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26];

    /// What a session is opened with when its client asks for a revision that is not served.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;

    /// The revision that `text` names, if it is known.
    pub fn parse(text: &str) -> Option<Self> {
        Self::KNOWN.iter().copied().find(|version| version.0 == text)
    }

    /// The way of speaking that this revision belongs to.
    pub fn era(self) -> Era {
        if self >= Self::V2026_07_28 { Era::Modern } else { Era::Legacy }
    }

    /// The date that names the revision.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The revision with which `initialize` is answered, or `None` if `served` has no legacy revision.
    pub fn negotiate(requested: &str, served: &[Self]) -> Option<Self> {
        let legacy = || served.iter().copied().filter(|version| version.era() == Era::Legacy);
        // spec: TR-80: the requested revision if served, else the newest legacy one, never a modern one
        legacy().find(|version| version.0 == requested).or_else(|| legacy().max())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_date_and_parsed_exactly() {
        assert!(Version::KNOWN.is_sorted_by(|newer, older| newer > older));
        assert!(Version::SERVED.is_sorted_by(|newer, older| newer > older));
        for version in Version::KNOWN {
            assert_eq!(Version::parse(version.as_str()), Some(*version));
        }
        for text in ["", "2025-11-26", " 2025-11-25", "2025-11-25 ", "2026-7-28"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
        assert_eq!(Version::V2025_11_25.era(), Era::Legacy);
        assert_eq!(Version::V2026_07_28.era(), Era::Modern);
    }

    /// spec: TR-80
    #[test]
    fn initialize_is_never_answered_with_a_modern_version() {
        let served = Version::SERVED;
        assert_eq!(Version::negotiate("2025-06-18", served), Some(Version::V2025_06_18));
        for other in ["2026-07-28", "2024-11-05", "1999-01-01", ""] {
            assert_eq!(Version::negotiate(other, served), Some(Version::NEWEST_LEGACY), "{other}");
        }
        assert_eq!(Version::negotiate("2025-06-18", &[Version::V2026_07_28]), None);
    }
}
