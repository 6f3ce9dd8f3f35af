//! Names with stars in them.

/// A name, or part of one: `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Any,
    Exact(Box<str>),
    /// The texts between the stars, at least two.
    Glob(Vec<Box<str>>),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Self {
        if text == "*" {
            Self::Any
        } else if text.contains('*') {
            Self::Glob(text.split('*').map(Into::into).collect())
        } else {
            Self::Exact(text.into())
        }
    }

    /// Whether whatever fits `other` fits this one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Any => *self == Self::Any,
            Self::Exact(name) => self.is(name),
            // Its stars may stand for what occurs in no pattern, which then only stars of this one can take.
            Self::Glob(parts) => self.is(&parts.join("\u{0}")),
        }
    }

    /// Whether `name` fits: the first and last part at its ends, those in between in order.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *name,
            Self::Glob(parts) => {
                let [first, between @ .., last] = parts.as_slice() else { return false };
                let Some(mut rest) = name.strip_prefix(&**first) else { return false };
                for part in between {
                    match rest.find(&**part) {
                        Some(at) => rest = &rest[at + part.len()..],
                        None => return false,
                    }
                }
                rest.ends_with(&**last)
            }
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Glob(parts) => f.write_str(&parts.join("*")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn globs_agree_with_trying_everything(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            fn naive(pattern: &[u8], name: &[u8]) -> bool {
                match pattern {
                    [] => name.is_empty(),
                    [b'*', rest @ ..] => (0..=name.len()).any(|n| naive(rest, &name[n..])),
                    [byte, rest @ ..] => name.first() == Some(byte) && naive(rest, &name[1..]),
                }
            }
            prop_assert_eq!(Pattern::parse(&pattern).is(&name), naive(pattern.as_bytes(), name.as_bytes()));
            prop_assert_eq!(Pattern::parse(&pattern).to_string(), pattern);
        }

        #[test]
        fn pattern_that_covers_another_fits_whatever_that_fits(a in "[ab*]{0,5}", b in "[ab*]{0,5}", name in "[ab]{0,6}") {
            let (a, b) = (Pattern::parse(&a), Pattern::parse(&b));
            prop_assert!(!a.covers(&b) || !b.is(&name) || a.is(&name));
            prop_assert!(a.covers(&a) && Pattern::Any.covers(&a));
        }
    }
}
