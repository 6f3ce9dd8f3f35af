//! The real clock and the real randomness: the only place that touches either.

use portcullis_base::{Clock, Rng, Timestamp};
use ring::rand::SecureRandom;

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the real clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since_epoch.as_millis() as i64)
    }
}

/// The operating system's random bytes, as `ring` wants them for keys and signatures.
#[expect(clippy::disallowed_methods, reason = "this is the one place that draws real randomness")]
pub fn random() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

/// The operating system's random bytes.
pub struct SystemRng(ring::rand::SystemRandom);

impl SystemRng {
    /// The source.
    pub fn new() -> Self {
        Self(random())
    }
}

impl Default for SystemRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for SystemRng {
    fn fill(&self, out: &mut [u8]) {
        self.0.fill(out).expect("the operating system gives random bytes");
    }
}
