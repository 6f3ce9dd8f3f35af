//! The root key and what grows from it.
//!
//! One 32-byte key in a file of its owner's (mode 0600), made at the first start. From it, by HKDF-SHA256, one key per
//! purpose: AES-256-GCM for what is sealed, HMAC-SHA256 for what is derived, a seed for the journal's signatures. Nothing
//! sealed for one purpose opens for another, and the associated data binds each sealed value to its owner.
//!
//! Absent for now: rotation of the root key and key services; both come with the vault for upstream credentials.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::{Rng, Secret};
use ring::{aead, hkdf, hmac};
use zeroize::Zeroizing;

/// What a sealed value is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Session ids of the protocol revisions that have sessions.
    McpSession,
    /// What a server wants to find again in a client's retry.
    RequestState,
    /// The hidden value of a consent page.
    Consent,
    /// Private signing keys in the database.
    SigningKey,
    /// What an identity provider gave for a person; the owner is issuer and subject.
    ProviderToken,
    /// The cookie of a sign-in that is under way at a provider.
    SignIn,
    /// The cookie of an approval that somebody gave who signs in next.
    Approval,
    /// The link to a fresh sign-in for a grant.
    StepUp,
}

const PURPOSES: [(Purpose, &[u8]); 8] = [
    (Purpose::McpSession, b"mcp session"),
    (Purpose::RequestState, b"request state"),
    (Purpose::Consent, b"consent"),
    (Purpose::SigningKey, b"signing key"),
    (Purpose::ProviderToken, b"provider token"),
    (Purpose::SignIn, b"sign-in"),
    (Purpose::Approval, b"approval"),
    (Purpose::StepUp, b"step-up"),
];

/// Keys of one deployment, in memory. Cannot be printed.
pub struct Keys {
    sealing: Vec<aead::LessSafeKey>,
    refresh: Zeroizing<[u8; 32]>,
    journal: Zeroizing<[u8; 32]>,
    events: hmac::Key,
    states: hmac::Key,
}

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("root key {path}: {error}")]
    File {
        /// Where the key was looked for.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than its owner may read the file. spec: T-44
    #[error(
        "root key {path} can be read by others (mode {mode:03o}): run `chmod 600 {path}`, and think about who had it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The setting is not a key.
    #[error("root_key is not 32 bytes as base64: make one with `openssl rand -base64 32`, and keep it")]
    Text,
    /// The file is not a key.
    #[error("root key {path} holds {found} bytes, not 32: restore it from your backup; without it sealed data is lost")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: usize,
    },
}

impl Keys {
    /// Reads the root key at `path`, or makes it if there is none.
    pub fn open_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, KeyError> {
        let file = |error| KeyError::File { path: path.to_owned(), error };
        let mut root = Zeroizing::new(Vec::with_capacity(33));
        let existing = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path, rng).map_err(file)?;
                fs::File::open(path)
            }
            opened => opened,
        };
        let existing = existing.map_err(file)?;
        let mode = existing.metadata().map_err(file)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        existing.take(33).read_to_end(&mut root).map_err(file)?;
        let root: [u8; 32] =
            root.as_slice().try_into().map_err(|_| KeyError::Damaged { path: path.to_owned(), found: root.len() })?;
        Ok(Self::from_root(&Zeroizing::new(root)))
    }

    /// The keys that grow from a root key given as base64: from the environment or a mounted secret.
    pub fn from_text(root: &Secret) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(root.reveal().trim()).map_err(|_| KeyError::Text)?);
        let root = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Text)?;
        Ok(Self::from_root(&Zeroizing::new(root)))
    }

    /// The keys that grow from `root`.
    pub fn from_root(root: &Zeroizing<[u8; 32]>) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis root key");
        let root = salt.extract(root.as_slice());
        let sealing = PURPOSES
            .iter()
            .map(|(_, label)| {
                let key = aead::UnboundKey::new(&aead::AES_256_GCM, derive(&root, &[b"seal ", label]).as_slice());
                aead::LessSafeKey::new(key.expect("AES-256 takes 32 bytes"))
            })
            .collect();
        Self {
            sealing,
            refresh: derive(&root, &[b"refresh tokens"]),
            journal: derive(&root, &[b"journal signatures"]),
            events: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, &[b"event ids"]).as_slice()),
            states: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, &[b"sign-in states"]).as_slice()),
        }
    }

    /// Seals `plain` for one purpose and one owner: nonce, ciphertext, tag.
    pub fn seal(&self, purpose: Purpose, owner: &[u8], plain: &[u8], rng: &dyn Rng) -> Vec<u8> {
        let mut nonce = [0; aead::NONCE_LEN];
        rng.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(nonce.len() + plain.len() + aead::MAX_TAG_LEN);
        sealed.extend_from_slice(plain);
        self.sealing[purpose as usize]
            .seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(owner), &mut sealed)
            .expect("sealed values are far below AES-GCM's limit");
        sealed.splice(0..0, nonce);
        sealed
    }

    /// Opens what [`seal`](Self::seal) made; `None` if it was made for another purpose or owner, or was touched.
    pub fn open(&self, purpose: Purpose, owner: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(aead::NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = body.to_vec();
        let length =
            self.sealing[purpose as usize].open_in_place(nonce, aead::Aad::from(owner), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    /// Seals what a provider gave us for asking about the person that `subject` is to `issuer`. spec: AS-144
    pub fn seal_provider_token(&self, issuer: &str, subject: &str, plain: &Secret, rng: &dyn Rng) -> Vec<u8> {
        self.seal(Purpose::ProviderToken, &identity(issuer, subject), plain.reveal().as_bytes(), rng)
    }

    /// Opens what [`seal_provider_token`](Self::seal_provider_token) made.
    pub fn open_provider_token(&self, issuer: &str, subject: &str, sealed: &[u8]) -> Option<Secret> {
        let plain = self.open(Purpose::ProviderToken, &identity(issuer, subject), sealed)?;
        String::from_utf8(plain).ok().map(Secret::new)
    }

    /// The key from which each refresh token's successor is derived.
    pub fn refresh_tokens(&self) -> &[u8; 32] {
        &self.refresh
    }

    /// The seed of the Ed25519 key that signs the journal of `node`.
    pub fn journal_seed(&self, node: &str) -> Zeroizing<[u8; 32]> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.journal.as_slice()), node.as_bytes());
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(tag.as_ref());
        seed
    }

    /// A mark that only we can put on the random part of a `state`.
    pub fn state_mark(&self, random: &[u8]) -> [u8; 16] {
        let mut mark = [0; 16];
        mark.copy_from_slice(&hmac::sign(&self.states, random).as_ref()[..16]);
        mark
    }

    /// A short mark that binds an event id to the session in which it was given out.
    pub fn event_mark(&self, session: &[u8]) -> [u8; 8] {
        let mut mark = [0; 8];
        mark.copy_from_slice(&hmac::sign(&self.events, session).as_ref()[..8]);
        mark
    }
}

/// No issuer has a line break in it.
fn identity(issuer: &str, subject: &str) -> Vec<u8> {
    [issuer, "\n", subject].concat().into_bytes()
}

/// Makes a root key. Two who start at the same moment agree on one: it appears under its name whole, and only once.
fn make(path: &Path, rng: &dyn Rng) -> io::Result<()> {
    let mut name = [0; 8];
    rng.fill(&mut name);
    let aside = path.with_extension(format!("{:016x}", u64::from_be_bytes(name)));
    let mut root = Zeroizing::new([0; 32]);
    rng.fill(&mut *root);
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let made = new.write_all(&*root).and_then(|()| new.sync_all()).and_then(|()| fs::hard_link(&aside, path));
    fs::remove_file(&aside)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn derive(root: &hkdf::Prk, label: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    root.expand(label, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA256 gives 32 bytes");
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use portcullis_base::SeededRng;

    use super::*;

    #[test]
    fn sealed_values_open_for_their_purpose_and_owner_only() {
        let rng = SeededRng::new(1);
        let keys = Keys::from_root(&Zeroizing::new([7; 32]));
        let sealed = keys.seal(Purpose::Consent, b"alice", b"plain", &rng);
        assert_eq!(keys.open(Purpose::Consent, b"alice", &sealed).as_deref(), Some(&b"plain"[..]));
        assert_eq!(keys.open(Purpose::Consent, b"bob", &sealed), None);
        assert_eq!(keys.open(Purpose::McpSession, b"alice", &sealed), None);
        assert_eq!(Keys::from_root(&Zeroizing::new([8; 32])).open(Purpose::Consent, b"alice", &sealed), None);
        for at in 0..sealed.len() {
            let mut touched = sealed.clone();
            touched[at] ^= 1;
            assert_eq!(keys.open(Purpose::Consent, b"alice", &touched), None, "byte {at}");
            assert_eq!(keys.open(Purpose::Consent, b"alice", &sealed[..at]), None, "cut at {at}");
        }
    }

    // spec: AS-144
    #[test]
    fn what_a_provider_gave_opens_for_its_person_only() {
        let (keys, rng) = (Keys::from_root(&Zeroizing::new([7; 32])), SeededRng::new(1));
        let sealed = keys.seal_provider_token("https://a", "lice", &Secret::new("refresh".into()), &rng);
        assert_eq!(keys.open_provider_token("https://a", "lice", &sealed), Some(Secret::new("refresh".into())));
        assert!(!sealed.windows(7).any(|part| part == b"refresh"));
        for (issuer, subject) in [("https://b", "lice"), ("https://a", "bob"), ("https://al", "ice"), ("", "")] {
            assert_eq!(keys.open_provider_token(issuer, subject, &sealed), None, "{issuer} {subject}");
        }
    }

    #[test]
    fn root_key_may_come_as_text() {
        let keys = Keys::from_text(&Secret::new(format!("{}\n", STANDARD.encode([7; 32])))).unwrap();
        assert_eq!(keys.refresh_tokens(), Keys::from_root(&Zeroizing::new([7; 32])).refresh_tokens());
        for bad in ["", "short", &STANDARD.encode([7; 31])] {
            assert!(matches!(Keys::from_text(&Secret::new(bad.into())), Err(KeyError::Text)), "{bad}");
        }
    }

    // spec: T-44
    #[test]
    fn root_key_is_made_once_for_its_owner_and_refused_when_others_can_read_it() {
        let rng = SeededRng::new(2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let first = Keys::open_or_create(&path, &rng).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = Keys::open_or_create(&path, &rng).unwrap();
        assert_eq!(first.refresh_tokens(), again.refresh_tokens());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::open_or_create(&path, &rng), Err(KeyError::Exposed { mode: 0o640, .. })));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Keys::open_or_create(&path, &rng), Err(KeyError::Damaged { found: 5, .. })));
    }
}
