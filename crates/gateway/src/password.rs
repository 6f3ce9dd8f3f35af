//! Passwords of local accounts: argon2id with 19 MiB, two passes, one lane (the OWASP floor).
//!
//! A verification costs about 40 ms of processor and 19 MiB, so it runs beside the async threads and only a few at a
//! time: a flood of sign-ins queues up instead of taking the machine. A name that does not exist costs the same as one
//! that does.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use portcullis_base::{Rng, Secret};
use tokio::sync::Semaphore;

/// Fewest characters of a new password (NIST SP 800-63B asks for 8 at least; length is what helps).
pub const SHORTEST: usize = 8;
/// Most bytes of a password that are looked at.
pub const LONGEST: usize = 1024;

/// Why a new password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too few characters.
    #[error("use at least {SHORTEST} characters")]
    Short,
    /// Too many bytes.
    #[error("use at most {LONGEST} bytes")]
    Long,
    /// The password is the account's own name, or one character over and over.
    #[error("this password is too easy to guess")]
    Obvious,
}

/// Hashes and verifies, a few at a time.
pub struct Passwords {
    slots: Arc<Semaphore>,
    decoy: Secret,
}

impl Passwords {
    /// `at_once` verifications may run beside each other.
    pub fn new(at_once: usize, rng: &dyn Rng) -> Self {
        let decoy = hash(&Secret::new(portcullis_base::token::<32>(rng)), rng);
        Self { slots: Arc::new(Semaphore::new(at_once)), decoy }
    }

    /// Whether `password` belongs to `stored`; takes as long when nothing is stored.
    pub async fn verify(&self, password: Secret, stored: Option<Secret>) -> bool {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let Ok(_slot) = self.slots.acquire().await else { return false };
        let same = tokio::task::spawn_blocking(move || verify(&password, &stored)).await.unwrap_or(false);
        same && known
    }

    /// The text to store for a new password.
    pub async fn hash(&self, password: Secret, rng: Arc<dyn Rng>) -> Option<Secret> {
        let _slot = self.slots.acquire().await.ok()?;
        tokio::task::spawn_blocking(move || hash(&password, &*rng)).await.ok()
    }
}

/// The text to store for `password`: a PHC string with its own salt. Blocks for about 40 ms.
pub fn hash(password: &Secret, rng: &dyn Rng) -> Secret {
    let mut salt = [0; 16];
    rng.fill(&mut salt);
    let hash: Result<argon2::password_hash::phc::PasswordHash, _> =
        argon2().hash_password_with_salt(password.reveal().as_bytes(), &salt);
    Secret::new(hash.expect("a salt of 16 bytes and these parameters are valid").to_string())
}

/// Checks a new password for the account `name`.
pub fn fit(password: &Secret, name: &str) -> Result<(), Unfit> {
    let text = password.reveal();
    let mut characters = text.chars();
    let first = characters.next();
    match () {
        () if text.len() > LONGEST => Err(Unfit::Long),
        () if text.chars().count() < SHORTEST => Err(Unfit::Short),
        () if text.eq_ignore_ascii_case(name) || characters.all(|c| Some(c) == first) => Err(Unfit::Obvious),
        () => Ok(()),
    }
}

fn verify(password: &Secret, stored: &Secret) -> bool {
    password.reveal().len() <= LONGEST
        && PasswordHash::new(stored.reveal())
            .is_ok_and(|stored| argon2().verify_password(password.reveal().as_bytes(), &stored).is_ok())
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("these parameters are within the limits of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let rng = SeededRng::new(1);
        let passwords = Passwords::new(1, &rng);
        let stored = hash(&secret("correct horse"), &rng);
        assert!(stored.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify(secret("correct horse"), Some(stored.clone())).await);
        assert!(!passwords.verify(secret("correct hors"), Some(stored.clone())).await);
        assert!(!passwords.verify(secret("correct horse"), None).await);
        assert!(!passwords.verify(secret("correct horse"), Some(secret("not a hash"))).await);
        assert!(stored != hash(&secret("correct horse"), &rng), "every hash has its own salt");
    }

    #[test]
    fn unfit_passwords_are_named() {
        assert_eq!(fit(&secret("short"), "ada"), Err(Unfit::Short));
        assert_eq!(fit(&secret("aaaaaaaaaaaa"), "ada"), Err(Unfit::Obvious));
        assert_eq!(fit(&secret("Ada.Lovelace"), "ada.lovelace"), Err(Unfit::Obvious));
        assert_eq!(fit(&secret(&"ab".repeat(600)), "ada"), Err(Unfit::Long));
        assert_eq!(fit(&secret("correct horse"), "ada"), Ok(()));
    }
}
