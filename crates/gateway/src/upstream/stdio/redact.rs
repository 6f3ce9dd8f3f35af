//! What a process says goes into the log without the secrets that it was given.

use portcullis_base::{Secret, printable};

/// Shorter ones are no secrets: taking them out would only make the log unreadable.
const SHORTEST: usize = 6;

/// The secrets of one process.
#[derive(Clone)]
pub(super) struct Redact(Vec<Secret>);

impl Redact {
    pub(super) fn new(secrets: impl Iterator<Item = Secret>) -> Self {
        let mut secrets: Vec<_> = secrets.filter(|secret| secret.reveal().len() >= SHORTEST).collect();
        // A longer one may have a shorter one in it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        Self(secrets)
    }

    /// `text` without them, printable and cut.
    // spec: T-45, TR-152
    pub(super) fn cleaned(&self, text: &str, most: usize) -> String {
        let mut text = text.trim().to_owned();
        for secret in &self.0 {
            if text.contains(secret.reveal()) {
                text = text.replace(secret.reveal(), "[secret]");
            }
        }
        printable(&text, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-45, TR-152
    #[test]
    fn secrets_and_control_characters_are_not_in_what_is_kept() {
        let redact = Redact::new(["sk-canary", "sk-canary-long", "x"].map(|text| Secret::new(text.into())).into_iter());
        let said = redact.cleaned("\u{1b}[31mkey sk-canary-long x sk-canary\n", 60);
        assert_eq!(said, "\u{fffd}[31mkey [secret] x [secret]");
        assert_eq!(redact.cleaned("abcdef", 3), "abc…");
    }
}
