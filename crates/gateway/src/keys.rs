//! The keys of a deployment, and what grows from them.
//!
//! Envelope encryption: the root key ([`RootKey`]) opens the data keys of the ring, and only that; each data key is the root
//! of a tree. From it, by HKDF-SHA256, grows one AES-256-GCM key per purpose for what is sealed. Nothing sealed for one purpose
//! opens for another, and the associated data binds each sealed value to its owner. A sealed value carries the number of
//! its data key, so that all living ones open while the newest one seals.
//!
//! What must never change grows from the first data key for ever, also after it is retired: the journal's signing seeds,
//! the successors of refresh tokens, and marks that are in the hands of clients. In a deployment that is older than data keys,
//! the first one is what was its root key, so everything that was sealed then opens.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use portcullis_base::{Rng, Secret, Timestamp};
use ring::{aead, hkdf, hmac};
use zeroize::Zeroizing;

pub use crate::root_key::KeyError;
use crate::root_key::RootKey;

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
    /// The link to connecting an account at a server.
    Connect,
    /// Credentials for servers; whose they are is spelled out in the vault.
    Vault,
    /// Where a list of several servers goes on.
    Cursor,
    /// Ids of tasks at servers.
    Task,
    /// Calls that wait for humans, in the database; the owner is the approval's identifier.
    WaitingCall,
    /// The challenge of a passkey that is being made; the owner is the browser session.
    Passkey,
}

const PURPOSES: [(Purpose, &[u8]); 14] = [
    (Purpose::McpSession, b"mcp session"),
    (Purpose::RequestState, b"request state"),
    (Purpose::Consent, b"consent"),
    (Purpose::SigningKey, b"signing key"),
    (Purpose::ProviderToken, b"provider token"),
    (Purpose::SignIn, b"sign-in"),
    (Purpose::Approval, b"approval"),
    (Purpose::StepUp, b"step-up"),
    (Purpose::Connect, b"connect"),
    (Purpose::Vault, b"vault"),
    (Purpose::Cursor, b"cursor"),
    (Purpose::Task, b"task"),
    (Purpose::WaitingCall, b"waiting call"),
    (Purpose::Passkey, b"passkey"),
];

/// The first byte of a sealed value that carries the number of its key.
const FORM: u8 = 1;
/// The form and the number.
const PREFIX: usize = Keys::PREFIX as usize;
/// The number of the first data key.
pub const FIRST: u32 = 1;

/// Keys of one deployment, in memory. Cannot be printed.
pub struct Keys {
    /// With what the ring opens again when it has changed; keys that no ring holds have none.
    root: Option<RootKey>,
    living: ArcSwap<Living>,
    refresh: Zeroizing<[u8; 32]>,
    journal: Zeroizing<[u8; 32]>,
    events: hmac::Key,
    states: hmac::Key,
}

/// The data keys that open, by number.
struct Living {
    keys: BTreeMap<u32, Arc<DataKey>>,
    sealing: u32,
}

/// A data key, as the keys that grow from it.
pub struct DataKey {
    bytes: Zeroizing<[u8; 32]>,
    sealing: Vec<aead::LessSafeKey>,
    active_from: Timestamp,
}

impl DataKey {
    /// The keys that grow from `bytes`; they seal from `active_from` on.
    pub fn new(bytes: Zeroizing<[u8; 32]>, active_from: Timestamp) -> Self {
        let root = tree(&bytes);
        let sealing = PURPOSES
            .iter()
            .map(|(_, label)| {
                let key = aead::UnboundKey::new(&aead::AES_256_GCM, derive(&root, &[b"seal ", label]).as_slice());
                aead::LessSafeKey::new(key.expect("AES-256 takes 32 bytes"))
            })
            .collect();
        Self { bytes, sealing, active_from }
    }

    /// A key of its own, from nothing but randomness.
    pub fn random(rng: &dyn Rng) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill(&mut *bytes);
        bytes
    }

    /// The bytes, to be wrapped.
    pub(crate) fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.bytes
    }

    fn open(&self, purpose: Purpose, owner: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(aead::NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = body.to_vec();
        let length =
            self.sealing[purpose as usize].open_in_place(nonce, aead::Aad::from(owner), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Keys {
    /// How many bytes at the beginning of a sealed value say which key sealed it.
    pub const PREFIX: u8 = 5;

    /// Keys with one data key: for tests, and for what outlives every ring.
    pub fn from_root(root: &Zeroizing<[u8; 32]>) -> Self {
        Self::new(root, [(FIRST, DataKey::new(root.clone(), Timestamp::from_millis(0)))], Timestamp::from_millis(0))
    }

    /// The keys that grow from the first data key, which may be retired, and from the living ones.
    pub fn new(first: &Zeroizing<[u8; 32]>, living: impl IntoIterator<Item = (u32, DataKey)>, now: Timestamp) -> Self {
        let root = tree(first);
        Self {
            root: None,
            living: ArcSwap::from_pointee(Living::new(living, now)),
            refresh: derive(&root, &[b"refresh tokens"]),
            journal: derive(&root, &[b"journal signatures"]),
            events: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, &[b"event ids"]).as_slice()),
            states: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, &[b"sign-in states"]).as_slice()),
        }
    }

    /// With the root key that the ring opens with.
    pub(crate) fn under(self, root: RootKey) -> Self {
        Self { root: Some(root), ..self }
    }

    /// The root key that the ring opens with.
    pub fn root(&self) -> Option<&RootKey> {
        self.root.as_ref()
    }

    /// Takes in another set of living data keys.
    pub fn hold(&self, living: impl IntoIterator<Item = (u32, DataKey)>, now: Timestamp) {
        self.living.store(Arc::new(Living::new(living, now)));
    }

    /// Seals with the newest key whose time has come.
    pub fn turn(&self, now: Timestamp) {
        let living = self.living.load();
        if living.sealing != newest(&living.keys, now) {
            let keys = living.keys.clone();
            let sealing = newest(&keys, now);
            self.living.store(Arc::new(Living { keys, sealing }));
        }
    }

    /// The number of the key that seals now.
    pub fn sealing(&self) -> u32 {
        self.living.load().sealing
    }

    /// What every value begins with that the key of this number sealed.
    pub fn prefix(id: u32) -> [u8; PREFIX] {
        let mut prefix = [FORM; PREFIX];
        prefix[1..].copy_from_slice(&id.to_be_bytes());
        prefix
    }

    /// The number of the key that sealed a value, by what the value says.
    pub fn number(sealed: &[u8]) -> u32 {
        match sealed.split_first_chunk::<PREFIX>() {
            Some(([FORM, id @ ..], _)) => u32::from_be_bytes(*id),
            _ => FIRST,
        }
    }

    /// Seals `plain` for one purpose and one owner: the key's number, nonce, ciphertext, tag.
    pub fn seal(&self, purpose: Purpose, owner: &[u8], plain: &[u8], rng: &dyn Rng) -> Vec<u8> {
        let living = self.living.load();
        let key = living.keys.get(&living.sealing).expect("a ring has a key that seals");
        let mut nonce = [0; aead::NONCE_LEN];
        rng.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(PREFIX + nonce.len() + plain.len() + aead::MAX_TAG_LEN);
        sealed.extend_from_slice(plain);
        key.sealing[purpose as usize]
            .seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(owner), &mut sealed)
            .expect("sealed values are far below AES-GCM's limit");
        sealed.splice(0..0, Self::prefix(living.sealing).into_iter().chain(nonce));
        sealed
    }

    /// Opens what [`seal`](Self::seal) made; `None` if it was made for another purpose or owner, was touched, or its key is
    /// retired.
    pub fn open(&self, purpose: Purpose, owner: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let living = self.living.load();
        if let Some(([FORM, id @ ..], body)) = sealed.split_first_chunk::<PREFIX>()
            && let Some(key) = living.keys.get(&u32::from_be_bytes(*id))
            && let Some(plain) = key.open(purpose, owner, body)
        {
            return Some(plain);
        }
        // From before values carried a number: such a one begins with a nonce, which may look like anything.
        living.keys.get(&FIRST)?.open(purpose, owner, sealed)
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
pub(crate) fn identity(issuer: &str, subject: &str) -> Vec<u8> {
    [issuer, "\n", subject].concat().into_bytes()
}

impl Living {
    fn new(keys: impl IntoIterator<Item = (u32, DataKey)>, now: Timestamp) -> Self {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|(id, key)| (id, Arc::new(key))).collect();
        let sealing = newest(&keys, now);
        Self { keys, sealing }
    }
}

/// The newest key whose time has come. While the time of none has, as after a clock went back, the oldest serves.
fn newest(keys: &BTreeMap<u32, Arc<DataKey>>, now: Timestamp) -> u32 {
    let due = keys.iter().rev().find(|(_, key)| key.active_from <= now);
    due.or_else(|| keys.first_key_value()).map_or(FIRST, |(id, _)| *id)
}

/// The root of what grows from a data key. Its name is from the time when the root key itself was the only one.
fn tree(key: &Zeroizing<[u8; 32]>) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis root key").extract(key.as_slice())
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

    fn ring(of: &[(u32, u8, i64)]) -> Vec<(u32, DataKey)> {
        of.iter()
            .map(|&(id, byte, from)| (id, DataKey::new(Zeroizing::new([byte; 32]), Timestamp::from_secs(from))))
            .collect()
    }

    // spec: T-44
    #[test]
    fn every_living_key_opens_the_newest_seals_and_a_retired_one_does_neither() {
        let (rng, first) = (SeededRng::new(1), Zeroizing::new([1; 32]));
        let keys = Keys::new(&first, ring(&[(1, 1, 0)]), Timestamp::from_secs(10));
        let seed = keys.journal_seed("node");
        let old = keys.seal(Purpose::Vault, b"ada", b"old", &rng);
        keys.hold(ring(&[(1, 1, 0), (2, 2, 60)]), Timestamp::from_secs(20));
        assert_eq!(keys.sealing(), 1, "other nodes may not know the new one yet");
        keys.turn(Timestamp::from_secs(60));
        let new = keys.seal(Purpose::Vault, b"ada", b"new", &rng);
        assert_eq!((keys.sealing(), Keys::number(&old), Keys::number(&new)), (2, 1, 2));
        assert!(new.starts_with(&Keys::prefix(2)));
        let open = |sealed: &[u8]| keys.open(Purpose::Vault, b"ada", sealed);
        assert_eq!((open(&old).as_deref(), open(&new).as_deref()), (Some(&b"old"[..]), Some(&b"new"[..])));
        keys.hold(ring(&[(2, 2, 60)]), Timestamp::from_secs(70));
        assert_eq!((open(&old), open(&new).as_deref()), (None, Some(&b"new"[..])));
        assert_eq!(keys.journal_seed("node"), seed, "grows from the first key for ever");
        // A number is not a key: one that is swapped in does not help.
        let mut swapped = old.clone();
        swapped[..PREFIX].copy_from_slice(&Keys::prefix(2));
        assert_eq!(open(&swapped), None);
    }

    #[test]
    fn values_from_before_keys_had_numbers_open() {
        let keys = Keys::from_root(&Zeroizing::new([7; 32]));
        let old = seal_as_before(&Zeroizing::new([7; 32]), Purpose::SigningKey, b"kid", b"plain", [0x11; 12]);
        assert_eq!(keys.open(Purpose::SigningKey, b"kid", &old).as_deref(), Some(&b"plain"[..]));
        assert_eq!(Keys::number(&old), FIRST);
        // One whose nonce happens to look like a number.
        let nonce = [1, 0, 0, 0, 1, 6, 7, 8, 9, 10, 11, 12];
        let unlucky = seal_as_before(&Zeroizing::new([7; 32]), Purpose::SigningKey, b"kid", b"plain", nonce);
        assert_eq!(keys.open(Purpose::SigningKey, b"kid", &unlucky).as_deref(), Some(&b"plain"[..]));
    }

    /// As the release before data keys sealed, written out once more.
    fn seal_as_before(
        root: &Zeroizing<[u8; 32]>,
        purpose: Purpose,
        owner: &[u8],
        plain: &[u8],
        nonce: [u8; 12],
    ) -> Vec<u8> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis root key").extract(root.as_slice());
        let key = derive(&root, &[b"seal ", PURPOSES[purpose as usize].1]);
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key.as_slice()).unwrap());
        let mut body = plain.to_vec();
        let at = aead::Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(at, aead::Aad::from(owner), &mut body).unwrap();
        [&nonce[..], &body].concat()
    }
}
