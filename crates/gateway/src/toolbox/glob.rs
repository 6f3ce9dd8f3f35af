//! Patterns of names: `*` is any run of characters.

/// A pattern in which `*` stands for any run of characters, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// This pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can fit no more than one name.
    pub fn is_name(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` fits.
    pub fn fits(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return name == &*self.0 };
        let Some(mut left) = name.strip_prefix(first) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return left.ends_with(part);
            }
            // The earliest place is as good as any other: what comes behind has the more room.
            match left.find(part) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (glob, fits, not) in [
            ("*", "", None),
            ("get", "get", Some("gets")),
            ("get_*", "get_", Some("aget_")),
            ("*_get", "a_get", Some("_gets")),
            ("a*b*c", "abxbc", Some("acb")),
            ("a*a", "aa", Some("a")),
            ("file:///*.md", "file:///x/y.md", Some("file:///x.mdx")),
            ("*ab*ab*", "abab", Some("aba")),
        ] {
            assert!(Glob::new(glob).fits(fits), "{glob} {fits}");
            assert!(not.is_none_or(|not| !Glob::new(glob).fits(not)), "{glob} {not:?}");
        }
    }
}
