//! Randomness is an argument, so that tests can fix it and nothing can draw it behind a caller's back.

use std::sync::Mutex;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A source of random bytes. In production the operating system's.
pub trait Rng: Send + Sync {
    /// Fills `out` with bytes that an attacker cannot predict.
    fn fill(&self, out: &mut [u8]);
}

/// `N` random bytes as unpadded base64url. 16 bytes make an identifier, 32 a credential.
pub fn token<const N: usize>(rng: &dyn Rng) -> String {
    let mut bytes = [0; N];
    rng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reproducible bytes for tests: a counter hashed with a seed. Never for production.
pub struct SeededRng {
    seed: u64,
    counter: Mutex<u64>,
}

impl SeededRng {
    /// A source that gives the same bytes for the same seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: Mutex::new(0) }
    }
}

impl Rng for SeededRng {
    fn fill(&self, out: &mut [u8]) {
        let mut counter = self.counter.lock().expect("no holder of this lock panics");
        for chunk in out.chunks_mut(32) {
            *counter += 1;
            let block = crate::Digest::of(&[self.seed.to_le_bytes(), counter.to_le_bytes()].concat());
            chunk.copy_from_slice(&block.as_bytes()[..chunk.len()]);
        }
    }
}
