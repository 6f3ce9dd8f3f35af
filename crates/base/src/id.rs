//! Typed identifiers: a grant cannot be passed where a person is meant.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::random::{Rng, token};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident $(, $prefix:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it was stored or received.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            $(
                /// A fresh identifier: 128 random bits behind a prefix that tells its kind.
                pub fn random(rng: &dyn Rng) -> Self {
                    Self(format!(concat!($prefix, "_{}"), token::<16>(rng)).into())
                }
            )?

            /// The text of the identifier.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A person who can sign in.
    PersonId, "usr"
);
id!(
    /// An OAuth client: the URL of its metadata document, a registered identifier, or a configured one.
    ClientId
);
id!(
    /// One person's consent for one client at one endpoint, with all the tokens that came from it.
    GrantId, "grt"
);
id!(
    /// One call through the gateway; joins `call.decided` with `call.ended`.
    CallId, "call"
);
id!(
    /// What somebody has at one server: an account there, or a key.
    ConnectionId, "con"
);
id!(
    /// One MCP session of a client (revisions 2025-03-26 to 2025-11-25).
    SessionId, "ses"
);
id!(
    /// One call that waits for a human, or waited.
    ApprovalId, "apr"
);
id!(
    /// A call that somebody approved ahead, for a while.
    StandingGrantId, "stg"
);
id!(
    /// Somebody's wish to use a server.
    AccessRequestId, "arq"
);
id!(
    /// A right to use a server that ends.
    AccessGrantId, "acg"
);
id!(
    /// Somebody's leave for somebody else to say yes and no in their stead.
    DelegationId, "del"
);

/// Whose a connection is. Nobody ever gets another holder's credential. spec: UP-40, T-51
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// One person's own.
    Person(PersonId),
    /// Everybody's who may use the server: made by an administrator.
    Shared,
}

impl Holder {
    const SHARED: &str = "shared";

    /// The text in the database: a person's identifier always has a prefix, so no person is `shared`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Person(person) => person.as_str(),
            Self::Shared => Self::SHARED,
        }
    }

    /// The holder as it was stored.
    pub fn from_stored(text: &str) -> Self {
        if text == Self::SHARED { Self::Shared } else { Self::Person(PersonId::new(text)) }
    }

    /// The person, if it is one.
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person(person) => Some(person),
            Self::Shared => None,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a server: 1 to 32 characters of `a-z`, `0-9` and `-`, as it stands in `/mcp/{name}`.
///
/// The alphabet and the length are what the strictest clients accept as an entry name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Arc<str>);

/// Why a text is not a server name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNameError(String);

impl ServerName {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, ServerNameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 32 || !text.chars().all(allowed) || text.starts_with('-') {
            return Err(ServerNameError(crate::printable(text, 64)));
        }
        Ok(Self(text.into()))
    }

    /// The nearest valid name for a foreign text, such as the name a server gives itself; `None` if nothing is left of it.
    pub fn nearest(text: &str) -> Option<Self> {
        let mut out = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                out.push(c.to_ascii_lowercase());
            } else if !out.is_empty() && !out.ends_with('-') {
                out.push('-');
            }
        }
        out.truncate(32);
        Self::parse(out.trim_end_matches('-')).ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ServerNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a server name: use 1 to 32 of a-z, 0-9 and \"-\", not beginning with \"-\"", self.0)
    }
}

impl std::error::Error for ServerNameError {}

impl TryFrom<String> for ServerName {
    type Error = ServerNameError;
    fn try_from(text: String) -> Result<Self, ServerNameError> {
        Self::parse(&text)
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: UP-40, T-51
    #[test]
    fn holders_are_stored_so_that_no_person_is_everybody() {
        let person = PersonId::random(&crate::SeededRng::new(1));
        for holder in [Holder::Person(person), Holder::Shared] {
            assert_eq!(Holder::from_stored(holder.as_str()), holder);
        }
    }

    #[test]
    fn server_names_are_what_the_strictest_client_accepts() {
        for good in ["a", "sample", "github-issues", "x2"] {
            assert!(ServerName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a_b", "ü", &"a".repeat(33)] {
            assert!(ServerName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ServerName::nearest("Example Servers/everything").map(String::from).as_deref(),
            Some("example-servers-everything")
        );
        assert_eq!(ServerName::nearest("日本"), None);
    }
}
