//! The ring of data keys: opening it with the root key, and changing it while nodes run.
//!
//! A node opens the ring when it starts and again when the feed says that it changed. A new data key is known to every
//! node before it seals, and the old ones go on opening until they are retired. A new root key is added beside the old one,
//! so that nodes may be given it one after the other; then the old one is retired.

use std::time::Duration;

use portcullis_base::{Rng, Timestamp};
use portcullis_store::{KeyRingRow, Store, StoreError};
use zeroize::Zeroizing;

use crate::{
    keys::{DataKey, FIRST, Keys},
    root_key::RootKey,
};

/// A new data key seals this long after it was made. A node that has not heard of it by then refuses calls, since it hears
/// of revocations the same way.
pub const AHEAD: Duration = Duration::from_mins(1);

/// Why the ring does not open.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// None of it is for this root key. spec: T-44
    #[error(
        "the keys in the database open with root key {}, but this is root key {mine}: bring back the root key that belongs \
         to this database, or the database that belongs to this root key; nothing was changed",
        .ring.join(" or ")
    )]
    Foreign {
        /// The names of root keys that open it.
        ring: Vec<String>,
        /// The name of the one at hand.
        mine: String,
    },
    /// A data key is not for this root key though others are, or it was changed.
    #[error(
        "data key {id} in the database does not open with root key {mine}: restore the table key_ring from a backup"
    )]
    Damaged {
        /// The data key.
        id: i64,
        /// The name of the root key.
        mine: String,
    },
}

/// Why the ring cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The ring does not open.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two root keys open the ring, and a new data key can be given to one of them only.
    #[error("root keys {} both open the ring: retire the one that no node uses any more first", .0.join(" and "))]
    TwoRootKeys(Vec<String>),
    /// The root key opens the ring already.
    #[error("root key {0} opens the ring already")]
    Known(String),
    /// The root key is the one at hand.
    #[error("root key {0} is the one in use here: put the new one into the settings first")]
    InUse(String),
    /// There is no such root key.
    #[error("no root key {0} opens the ring")]
    Unknown(String),
    /// Somebody else changed the ring meanwhile.
    #[error("the ring was changed by somebody else at the same moment: look at it again")]
    Raced,
}

/// An open ring.
pub struct Opened {
    /// The first data key, which may be retired.
    pub first: Zeroizing<[u8; 32]>,
    /// The living ones.
    pub living: Vec<(u32, DataKey)>,
}

/// How the first data key of a ring comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// From randomness.
    New,
    /// From the root key: everything that is sealed already was sealed with it.
    FromBefore,
}

/// The first row of a ring.
pub fn first(root: &RootKey, beginning: Beginning, rng: &dyn Rng, now: Timestamp) -> KeyRingRow {
    let key = match beginning {
        Beginning::New => DataKey::random(rng),
        Beginning::FromBefore => root.bytes().clone(),
    };
    let id = i64::from(FIRST);
    KeyRingRow {
        id,
        root_key: root.name().to_owned(),
        wrapped: root.wrap(id, &key, rng),
        created_at: now,
        active_from: now,
        retired_at: None,
    }
}

/// Opens the ring with `root`.
pub fn open(rows: &[KeyRingRow], root: &RootKey) -> Result<Opened, RingError> {
    let mine = || root.name().to_owned();
    let rows_here: Vec<_> = rows.iter().filter(|row| row.root_key == root.name()).collect();
    if rows_here.is_empty() {
        return Err(RingError::Foreign { ring: root_keys(rows), mine: mine() });
    }
    if let Some(lost) = rows.iter().find(|row| !rows_here.iter().any(|here| here.id == row.id)) {
        return Err(RingError::Damaged { id: lost.id, mine: mine() });
    }
    let mut first = None;
    let mut living = Vec::with_capacity(rows_here.len());
    for row in rows_here {
        let number = u32::try_from(row.id).map_err(|_| RingError::Damaged { id: row.id, mine: mine() })?;
        if row.retired_at.is_some() && number != FIRST {
            continue;
        }
        let key = root.unwrap(row.id, &row.wrapped).ok_or_else(|| RingError::Damaged { id: row.id, mine: mine() })?;
        if number == FIRST {
            first = Some(key.clone());
        }
        if row.retired_at.is_none() {
            living.push((number, DataKey::new(key, row.active_from)));
        }
    }
    match first {
        Some(first) if !living.is_empty() => Ok(Opened { first, living }),
        _ => Err(RingError::Damaged { id: i64::from(FIRST), mine: mine() }),
    }
}

/// The keys of an open ring.
pub fn keys(rows: &[KeyRingRow], root: RootKey, now: Timestamp) -> Result<Keys, RingError> {
    let Opened { first, living } = open(rows, &root)?;
    Ok(Keys::new(&first, living, now).under(root))
}

/// Takes in what changed in the ring. A node whose root key was retired meanwhile goes on with what it has.
pub async fn reload(store: &Store, keys: &Keys, now: Timestamp) -> Result<(), StoreError> {
    let Some(root) = keys.root() else { return Ok(()) };
    match open(&store.key_ring().await?, root) {
        Ok(opened) => {
            keys.hold(opened.living, now);
            tracing::info!(keys.sealing = keys.sealing(), "the key ring has changed");
        }
        Err(error) => tracing::error!(%error, "this node keeps the data keys that it has, and would not start again"),
    }
    Ok(())
}

/// Adds a data key, which seals once every node knows it; its number.
pub async fn add_data_key(store: &Store, root: &RootKey, rng: &dyn Rng, now: Timestamp) -> Result<u32, ChangeError> {
    let rows = store.key_ring().await?;
    open(&rows, root)?;
    let roots = root_keys(&rows);
    if roots.len() > 1 {
        return Err(ChangeError::TwoRootKeys(roots));
    }
    let id = rows.iter().map(|row| row.id).max().unwrap_or(0) + 1;
    let new = KeyRingRow {
        id,
        root_key: root.name().to_owned(),
        wrapped: root.wrap(id, &DataKey::random(rng), rng),
        created_at: now,
        active_from: now.plus(AHEAD),
        retired_at: None,
    };
    if !store.add_to_key_ring(&[new], &rows, now).await? {
        return Err(ChangeError::Raced);
    }
    u32::try_from(id).map_err(|_| ChangeError::Raced)
}

/// Lets another root key open the ring too.
pub async fn add_root_key(
    store: &Store,
    root: &RootKey,
    new: &RootKey,
    rng: &dyn Rng,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let rows = store.key_ring().await?;
    let opened = open(&rows, root)?;
    if root_keys(&rows).iter().any(|name| name == new.name()) {
        return Err(ChangeError::Known(new.name().to_owned()));
    }
    let wrapped = |row: &KeyRingRow| {
        let living = opened.living.iter().find(|(id, _)| i64::from(*id) == row.id).map(|(_, key)| key.bytes());
        let key = if row.id == i64::from(FIRST) { Some(&opened.first) } else { living };
        key.map_or_else(Vec::new, |key| new.wrap(row.id, key, rng))
    };
    let mine = rows.iter().filter(|row| row.root_key == root.name());
    let added: Vec<_> =
        mine.map(|row| KeyRingRow { root_key: new.name().to_owned(), wrapped: wrapped(row), ..row.clone() }).collect();
    if !store.add_to_key_ring(&added, &rows, now).await? {
        return Err(ChangeError::Raced);
    }
    Ok(())
}

/// Takes a root key away, once no node uses it any more.
pub async fn retire_root_key(store: &Store, root: &RootKey, name: &str, now: Timestamp) -> Result<(), ChangeError> {
    let rows = store.key_ring().await?;
    open(&rows, root)?;
    if root.name() == name {
        return Err(ChangeError::InUse(name.to_owned()));
    }
    if !store.retire_root_key(name, now).await? {
        return Err(ChangeError::Unknown(name.to_owned()));
    }
    Ok(())
}

/// The names of the root keys that open the ring.
pub fn root_keys(rows: &[KeyRingRow]) -> Vec<String> {
    let mut names: Vec<_> = rows.iter().map(|row| row.root_key.clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;
    use portcullis_store::DatabaseSettings;

    use super::*;
    use crate::keys::Purpose;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn root(byte: u8) -> RootKey {
        RootKey::new(Zeroizing::new([byte; 32]))
    }

    async fn begun(dir: &tempfile::TempDir, beginning: Beginning) -> Store {
        let store = Store::open(&DatabaseSettings::Sqlite(dir.path().join("db")), NOW).await.unwrap();
        let first = first(&root(1), beginning, &SeededRng::new(1), NOW);
        store.claim_key_ring(&first, NOW).await.unwrap();
        store
    }

    async fn keys_of(store: &Store, byte: u8, now: Timestamp) -> Keys {
        keys(&store.key_ring().await.unwrap(), root(byte), now).unwrap()
    }

    // spec: T-44
    #[tokio::test]
    async fn new_data_key_is_known_everywhere_before_it_seals_and_the_old_one_opens_until_it_is_retired() {
        let (dir, rng) = (tempfile::tempdir().unwrap(), SeededRng::new(2));
        let store = begun(&dir, Beginning::New).await;
        let node = keys_of(&store, 1, NOW).await;
        let old = node.seal(Purpose::Vault, b"ada", b"old", &rng);
        assert_eq!(add_data_key(&store, &root(1), &rng, NOW).await.unwrap(), 2);
        reload(&store, &node, NOW).await.unwrap();
        assert_eq!(node.sealing(), 1);
        let later = NOW.plus(AHEAD);
        node.turn(later);
        let other = keys_of(&store, 1, later).await;
        assert_eq!((node.sealing(), other.sealing()), (2, 2));
        let new = node.seal(Purpose::Vault, b"ada", b"new", &rng);
        assert_eq!(other.open(Purpose::Vault, b"ada", &new).as_deref(), Some(&b"new"[..]));
        assert_eq!(other.open(Purpose::Vault, b"ada", &old).as_deref(), Some(&b"old"[..]));

        let seed = node.journal_seed("n");
        assert!(store.retire_data_key(1, later).await.unwrap());
        reload(&store, &node, later).await.unwrap();
        assert_eq!(node.open(Purpose::Vault, b"ada", &old), None);
        assert_eq!(node.open(Purpose::Vault, b"ada", &new).as_deref(), Some(&b"new"[..]));
        let started = keys_of(&store, 1, later).await;
        assert_eq!(started.journal_seed("n"), seed, "grows from the first key though it is retired");
    }

    // spec: T-44
    #[tokio::test]
    async fn root_keys_overlap_and_the_retired_one_opens_nothing() {
        let (dir, rng) = (tempfile::tempdir().unwrap(), SeededRng::new(2));
        let store = begun(&dir, Beginning::New).await;
        let node = keys_of(&store, 1, NOW).await;
        let sealed = node.seal(Purpose::Vault, b"ada", b"plain", &rng);
        assert!(matches!(open(&store.key_ring().await.unwrap(), &root(2)), Err(RingError::Foreign { .. })));
        add_root_key(&store, &root(1), &root(2), &rng, NOW).await.unwrap();
        let known = add_root_key(&store, &root(1), &root(2), &rng, NOW).await;
        assert!(matches!(known, Err(ChangeError::Known(_))));
        assert!(matches!(add_data_key(&store, &root(1), &rng, NOW).await, Err(ChangeError::TwoRootKeys(_))));
        for byte in [1, 2] {
            let keys = keys_of(&store, byte, NOW).await;
            assert_eq!(keys.open(Purpose::Vault, b"ada", &sealed).as_deref(), Some(&b"plain"[..]));
        }
        let own = retire_root_key(&store, &root(2), root(2).name(), NOW).await;
        assert!(matches!(own, Err(ChangeError::InUse(_))), "nobody locks themselves out");
        retire_root_key(&store, &root(2), root(1).name(), NOW).await.unwrap();
        assert!(matches!(open(&store.key_ring().await.unwrap(), &root(1)), Err(RingError::Foreign { .. })));
        reload(&store, &node, NOW).await.unwrap();
        assert!(node.open(Purpose::Vault, b"ada", &sealed).is_some(), "a node that runs goes on");
        assert!(keys_of(&store, 2, NOW).await.open(Purpose::Vault, b"ada", &sealed).is_some());
        let gone = retire_root_key(&store, &root(2), root(1).name(), NOW).await;
        assert!(matches!(gone, Err(ChangeError::Unknown(_))));
    }

    #[tokio::test]
    async fn deployment_from_before_begins_with_what_was_its_root_key() {
        let (dir, rng) = (tempfile::tempdir().unwrap(), SeededRng::new(2));
        let store = begun(&dir, Beginning::FromBefore).await;
        let before = Keys::from_root(&Zeroizing::new([1; 32]));
        let sealed = before.seal(Purpose::SigningKey, b"kid", b"plain", &rng);
        let now = keys_of(&store, 1, NOW).await;
        assert!(now.open(Purpose::SigningKey, b"kid", &sealed).is_some());
        assert_eq!(now.journal_seed("n"), before.journal_seed("n"));
        assert_eq!(now.refresh_tokens(), before.refresh_tokens());
    }
}
