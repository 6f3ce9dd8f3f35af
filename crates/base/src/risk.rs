//! What a tool may do to the world, in the words that rules, pages and records share.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// One kind of effect, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No side effect.
    Read,
    /// Creates or changes something that can be put back.
    Write,
    /// Nothing says what it does.
    Unknown,
    /// Sends what its caller chose to whom its caller chose.
    Egress,
    /// Runs code, commands or queries of any form.
    Execute,
    /// Removes, overwrites, revokes or stops something.
    Destructive,
    /// Moves or commits money.
    Financial,
}

/// What else matters about a tool, across the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Returns what outsiders wrote.
    UntrustedContent,
    /// Reads what is not for everybody.
    PrivateData,
    /// Publishes where everybody can see.
    PublicSink,
    /// Touches secrets.
    SecretAccess,
    /// Changes users, roles, grants or keys.
    IdentityAdmin,
    /// Affects many things at once.
    Bulk,
    /// Cannot be put back.
    Irreversible,
    /// Acts on the machine that it runs on.
    LocalMachine,
    /// Takes the tenant or account to act on as an argument.
    CrossTenantSelector,
    /// Costs money each time.
    Cost,
}

/// A set of [`Class`]es: a tool may belong to several.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Classes(u8);

/// A set of [`Label`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Labels(u16);

macro_rules! words {
    ($one:ident, $set:ident, $bits:ty, [$($variant:ident = $word:literal),* $(,)?]) => {
        impl $one {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it stands in rules, settings and records.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The one called `word`.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl $set {
            /// None of them.
            pub const NONE: Self = Self(0);

            /// The set, with `one` in it.
            #[must_use]
            pub const fn with(self, one: $one) -> Self {
                Self(self.0 | 1 << one as $bits)
            }

            /// The set without `one`.
            #[must_use]
            pub const fn without(self, one: $one) -> Self {
                Self(self.0 & !(1 << one as $bits))
            }

            /// What is in either.
            #[must_use]
            pub const fn or(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether `one` is in it.
            pub const fn contains(self, one: $one) -> bool {
                self.0 & 1 << one as $bits != 0
            }

            /// Whether everything in it is in `other` too.
            pub const fn is_within(self, other: Self) -> bool {
                self.0 & !other.0 == 0
            }

            /// Whether nothing is in it.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// What is in it, in its order.
            pub fn iter(self) -> impl Iterator<Item = $one> {
                $one::ALL.iter().copied().filter(move |one| self.contains(*one))
            }
        }

        impl FromIterator<$one> for $set {
            fn from_iter<I: IntoIterator<Item = $one>>(all: I) -> Self {
                all.into_iter().fold(Self::NONE, Self::with)
            }
        }

        impl From<$one> for $set {
            fn from(one: $one) -> Self {
                Self::NONE.with(one)
            }
        }

        impl std::fmt::Debug for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_set().entries(self.iter()).finish()
            }
        }

        impl std::fmt::Display for $one {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $one {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $one {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Self::parse(&word).ok_or_else(|| D::Error::custom(format_args!("there is no {word:?}")))
            }
        }

        impl Serialize for $set {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.iter())
            }
        }

        impl<'de> Deserialize<'de> for $set {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Vec::<$one>::deserialize(deserializer)?.into_iter().collect())
            }
        }
    };
}

words!(
    Class,
    Classes,
    u8,
    [
        Read = "read",
        Write = "write",
        Unknown = "unknown",
        Egress = "egress",
        Execute = "execute",
        Destructive = "destructive",
        Financial = "financial",
    ]
);

words!(
    Label,
    Labels,
    u16,
    [
        UntrustedContent = "untrusted_content",
        PrivateData = "private_data",
        PublicSink = "public_sink",
        SecretAccess = "secret_access",
        IdentityAdmin = "identity_admin",
        Bulk = "bulk",
        Irreversible = "irreversible",
        LocalMachine = "local_machine",
        CrossTenantSelector = "cross_tenant_selector",
        Cost = "cost",
    ]
);

impl Classes {
    /// What is known of something that nobody looked at.
    pub const UNKNOWN: Self = Self::NONE.with(Class::Unknown);

    /// The gravest in it: what pages and hints go by. Of nothing, unknown.
    pub fn primary(self) -> Class {
        self.iter().last().unwrap_or(Class::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written_and_sets_keep_their_order() {
        for class in Class::ALL {
            assert_eq!(Class::parse(class.as_str()), Some(*class));
        }
        for label in Label::ALL {
            assert_eq!(Label::parse(label.as_str()), Some(*label));
        }
        let classes: Classes = [Class::Financial, Class::Read, Class::Destructive].into_iter().collect();
        assert_eq!(serde_json::to_string(&classes).unwrap(), r#"["read","destructive","financial"]"#);
        assert_eq!(serde_json::from_str::<Classes>(r#"["financial","destructive","read"]"#).unwrap(), classes);
        assert!(serde_json::from_str::<Classes>(r#"["fatal"]"#).is_err());
        assert_eq!(classes.primary(), Class::Financial);
        assert_eq!(classes.without(Class::Financial).primary(), Class::Destructive);
        assert_eq!((Classes::NONE.primary(), Classes::UNKNOWN.primary()), (Class::Unknown, Class::Unknown));
        assert!(Classes::from(Class::Read).is_within(classes) && !classes.is_within(Class::Read.into()));
    }
}
