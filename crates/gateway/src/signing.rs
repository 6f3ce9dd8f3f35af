//! Our signing keys: made, sealed into the database, and followed by a successor in time (RFC 7517, RFC 9068).
//!
//! Every node loads the same set. A successor is published a day before it signs, and a predecessor verifies until nothing
//! it signed can be alive, so a rotation is seen by no client. spec: AS-74

use std::time::Duration;

use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{Rng, Timestamp};
use portcullis_oauth::{
    access::MAX_LIFETIME,
    jwks::{KeyError, KeySet, ScheduledKey, SigningKey},
};
use portcullis_store::{SigningKeyRow, Store, StoreError};
use ring::rand::SystemRandom;

use crate::keys::{Keys, Purpose};

/// A key signs this long before its successor does.
const TURN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A key is published this long before it signs.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// A key lives this long in all: time enough for its successor, also when no node ran for a while.
const LIFE: Duration = TURN.saturating_add(Duration::from_secs(7 * 24 * 60 * 60));
/// What a key signed last is alive for so long after its turn: the token, and the difference between clocks.
const AFTERLIFE: Duration = MAX_LIFETIME.saturating_add(Duration::from_mins(5));

/// Why there is nothing to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The keys in the database were sealed with another root key.
    #[error(
        "the signing keys in the database do not open with this root key: bring back the `root.key` that belongs to \
         the database; nothing was changed"
    )]
    ForeignRootKey,
    /// A key that opens is not a key.
    #[error("a signing key in the database is not usable: {0}")]
    Key(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What there is to sign with.
pub struct Loaded {
    /// All keys that sign or verify now or soon.
    pub set: KeySet,
    /// That one of them was made just now, for the record.
    pub made: Option<Event>,
}

/// All keys that sign or verify now or soon; makes a first one or a successor if it is time.
pub async fn load(
    store: &Store,
    keys: &Keys,
    rng: &dyn Rng,
    random: &SystemRandom,
    now: Timestamp,
) -> Result<Loaded, SigningError> {
    let mut rows = store.signing_keys(now).await?;
    let set = open(&rows, keys, random)?;
    if set.needs_successor(now, TURN, AHEAD) {
        let pkcs8 = SigningKey::generate(random)?;
        let key = SigningKey::from_pkcs8(&pkcs8, random.clone())?;
        // Published ahead if there is time, but never so late that its predecessor could not verify its last tokens.
        let activates_at =
            rows.last().map_or(now, |last| now.plus(AHEAD).min(last.retires_at.minus(AFTERLIFE)).max(now));
        let row = SigningKeyRow {
            kid: key.kid().to_owned(),
            sealed: keys.seal(Purpose::SigningKey, key.kid().as_bytes(), &pkcs8, rng),
            public_jwk: key.public().to_jwk().to_string(),
            activates_at,
            retires_at: activates_at.plus(LIFE),
        };
        let seen = rows.last().map(|row| row.kid.clone());
        // Another node may have been quicker; then its key is the one.
        let ours = store.put_signing_key(&row, seen.as_deref(), now).await?;
        rows = store.signing_keys(now).await?;
        let made = ours.then(|| rotated(&row, now));
        return Ok(Loaded { set: open(&rows, keys, random)?, made });
    }
    Ok(Loaded { set, made: None })
}

fn rotated(row: &SigningKeyRow, now: Timestamp) -> Event {
    Event::new(Kind::KeyRotated, now)
        .outcome(Outcome::Success)
        .text("key", row.kid.clone())
        .text("signs_from", row.activates_at.to_string())
        .text("verifies_until", row.retires_at.to_string())
}

fn open(rows: &[SigningKeyRow], keys: &Keys, random: &SystemRandom) -> Result<KeySet, SigningError> {
    let opened = rows.iter().map(|row| {
        let pkcs8 =
            keys.open(Purpose::SigningKey, row.kid.as_bytes(), &row.sealed).ok_or(SigningError::ForeignRootKey)?;
        Ok(ScheduledKey {
            key: SigningKey::from_pkcs8(&pkcs8, random.clone())?,
            activates_at: row.activates_at,
            retires_at: row.retires_at,
        })
    });
    Ok(KeySet::new(opened.collect::<Result<_, SigningError>>()?))
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;
    use portcullis_store::DatabaseSettings;
    use zeroize::Zeroizing;

    use super::*;
    use crate::system::random;

    // spec: AS-74
    #[tokio::test]
    async fn successor_is_published_ahead_and_predecessor_verifies_until_its_tokens_are_dead() {
        let dir = tempfile::tempdir().unwrap();
        let start = Timestamp::from_secs(1_800_000_000);
        let store = Store::open(&DatabaseSettings::Sqlite(dir.path().join("db")), start).await.unwrap();
        let (keys, rng, random) = (Keys::from_root(&Zeroizing::new([1; 32])), SeededRng::new(1), random());

        let loaded = load(&store, &keys, &rng, &random, start).await.unwrap();
        assert!(loaded.made.is_some_and(|event| event.kind == Kind::KeyRotated));
        let first = loaded.set;
        assert!(load(&store, &keys, &rng, &random, start).await.unwrap().made.is_none());
        let kid = first.current(start).unwrap().kid().to_owned();
        assert_eq!(first.document(start).keys.len(), 1);

        let late = start.plus(TURN);
        let both = load(&store, &keys, &rng, &random, late).await.unwrap().set;
        assert_eq!(both.document(late).keys.len(), 2, "the successor is published");
        assert_eq!(both.current(late).unwrap().kid(), kid, "but does not sign yet");
        let turned = late.plus(AHEAD);
        assert_ne!(both.current(turned).unwrap().kid(), kid);
        assert!(both.find(&kid, turned.plus(MAX_LIFETIME)).is_some());
        let after = load(&store, &keys, &rng, &random, start.plus(LIFE)).await.unwrap().set;
        assert!(after.find(&kid, start.plus(LIFE)).is_none() && after.current(start.plus(LIFE)).is_some());

        // No node ran until the key was nearly dead: the successor signs in time.
        let asleep = turned.plus(LIFE).minus(AFTERLIFE);
        let woken = load(&store, &keys, &rng, &random, asleep).await.unwrap().set;
        assert_eq!(woken.document(asleep).keys.len(), 2);
        assert_ne!(woken.current(asleep).unwrap().kid(), after.current(start.plus(LIFE)).unwrap().kid());

        let foreign = Keys::from_root(&Zeroizing::new([2; 32]));
        assert!(matches!(load(&store, &foreign, &rng, &random, late).await, Err(SigningError::ForeignRootKey)));
    }
}
