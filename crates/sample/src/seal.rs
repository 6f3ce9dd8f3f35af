//! `requestState`: what the server must find again in a client's retry, and the client must not have changed.

use std::time::Duration;

use portcullis_base::{Digest, Rng, Timestamp, token};

/// How long a question may stay unanswered.
const PATIENCE: Duration = Duration::from_mins(10);

/// Marks states as our own, for the very call they were made for.
pub(crate) struct Seal {
    key: [u8; 32],
}

impl Seal {
    pub(crate) fn new(rng: &dyn Rng) -> Self {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self { key }
    }

    /// A state for a call of `tool` with the raw `arguments`.
    pub(crate) fn issue(&self, rng: &dyn Rng, now: Timestamp, tool: &str, arguments: &str) -> String {
        let head = format!("{}.{}", now.plus(PATIENCE).as_millis(), token::<16>(rng));
        format!("{head}.{}", self.mark(&head, tool, arguments))
    }

    /// Whether `state` was issued for this call and has not expired.
    pub(crate) fn holds(&self, state: &str, now: Timestamp, tool: &str, arguments: &str) -> bool {
        let Some((head, mark)) = state.rsplit_once('.') else { return false };
        let expires = head.split_once('.').and_then(|(millis, _)| millis.parse().ok()).map(Timestamp::from_millis);
        // Comparing digests of both sides leaves nothing that a timing could tell.
        let genuine = Digest::of(mark.as_bytes()) == Digest::of(self.mark(head, tool, arguments).as_bytes());
        genuine && expires.is_some_and(|expires| now < expires)
    }

    /// The key on both sides of two hashes: nothing can be appended to what was hashed.
    fn mark(&self, head: &str, tool: &str, arguments: &str) -> String {
        let parts = [head, tool, arguments].map(|part| Digest::of(part.as_bytes()));
        let mut inner = self.key.to_vec();
        for part in &parts {
            inner.extend_from_slice(part.as_bytes());
        }
        let mut outer = self.key.to_vec();
        outer.extend_from_slice(Digest::of(&inner).as_bytes());
        Digest::of(&outer).to_base64url()
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;

    use super::*;

    #[test]
    fn state_holds_only_for_its_call_and_its_time() {
        let rng = SeededRng::new(1);
        let seal = Seal::new(&rng);
        let now = Timestamp::from_secs(1_000);
        let state = seal.issue(&rng, now, "greet", "{}");
        assert!(seal.holds(&state, now, "greet", "{}"));
        assert!(!seal.holds(&state, now, "echo", "{}"));
        assert!(!seal.holds(&state, now, "greet", "{\"a\":1}"));
        assert!(!seal.holds(&state, now.plus(PATIENCE), "greet", "{}"));
        assert!(!seal.holds(&state.replacen('1', "9", 1), now, "greet", "{}"));
        assert!(!Seal::new(&rng).holds(&state, now, "greet", "{}"));
        for foreign in ["", ".", "..", "9999999999999.x.y"] {
            assert!(!seal.holds(foreign, now, "greet", "{}"), "{foreign}");
        }
    }
}
