//! Opening a deployment, in the order in which nothing can go wrong half-way: the root key first, then whether it opens what
//! the database holds, and only then anything that is made or migrated. A wrong or missing key changes nothing. spec: T-44

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use portcullis_base::{Rng, Timestamp};
use portcullis_store::{DatabaseSettings, KNOWN_VERSION, KeyRingRow, Store, StoreError};

use crate::{
    config::Config,
    key_ring::{self, Beginning, RingError},
    keys::{KeyError, Keys, Purpose},
    root_key::{RootKey, RootKeySource},
};

/// Why a deployment does not open.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The root key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database holds what a root key sealed, and there is none.
    #[error(
        "there is no root key at {path}, but the database holds what one has sealed: bring back the `root.key` that belongs \
         to it (from your backup, or from another node), or name it with `root_key`; nothing was made or changed"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What the database holds from before there was a ring was sealed with another root key.
    #[error(
        "the signing keys in the database do not open with root key {mine}: bring back the root key that belongs to this \
         database; nothing was changed"
    )]
    Foreign {
        /// The name of the one at hand.
        mine: String,
    },
    /// The ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory cannot be used.
    #[error("data directory {path}: {error}")]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// An open deployment.
pub struct Unlocked {
    /// The database, migrated.
    pub store: Store,
    /// Its keys.
    pub keys: Keys,
    /// The schema version that the database had before; 0 if there was none.
    pub before: i64,
}

/// What is there before anything is made.
struct Found {
    store: Option<Store>,
    version: i64,
    ring: Vec<KeyRingRow>,
    sealed: bool,
}

/// Opens the deployment of these settings, and makes what is not there yet.
pub async fn unlock(config: &Config, rng: &dyn Rng, now: Timestamp) -> Result<Unlocked, UnlockError> {
    let source = config.root_key_source();
    let root = RootKey::find(&source).await?;
    let found = look(&config.database).await?;
    if let Some(root) = &root {
        check(root, &found).await?;
    } else if !found.ring.is_empty() || found.sealed {
        return Err(missing(&source));
    }
    let beginning = found.beginning(&config.data);

    data_directory(&config.data).map_err(|error| UnlockError::Data { path: config.data.clone(), error })?;
    let root = match (root, source) {
        (Some(root), _) => root,
        (None, RootKeySource::File(path)) => RootKey::read_or_make(&path, rng)?,
        (None, source) => return Err(missing(&source)),
    };
    let store = match found.store {
        Some(store) => store,
        None => Store::open_without_migrating(&config.database).await?,
    };
    store.migrate(now).await?;
    let ring = match found.ring {
        ring if ring.is_empty() => store.claim_key_ring(&key_ring::first(&root, beginning, rng, now), now).await?,
        ring => ring,
    };
    let keys = key_ring::keys(&ring, root, now)?;
    Ok(Unlocked { store, keys, before: found.version })
}

/// Opens a database of this release that has its ring already, without its keys: for what needs none.
pub async fn without_keys(config: &Config) -> Result<Option<Store>, StoreError> {
    if !exists(&config.database) {
        return Ok(None);
    }
    let store = Store::open_without_migrating(&config.database).await?;
    let status = store.status().await?;
    let at_hand = status.found == status.known && !store.key_ring().await?.is_empty();
    Ok(at_hand.then_some(store))
}

/// Makes the data directory if it is missing, for its owner only.
pub fn data_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn exists(database: &DatabaseSettings) -> bool {
    match database {
        DatabaseSettings::Sqlite(path) => path.exists(),
        DatabaseSettings::Postgres { .. } => true,
    }
}

/// Looks without making: to open a SQLite file that is not there would make it.
async fn look(database: &DatabaseSettings) -> Result<Found, UnlockError> {
    if !exists(database) {
        return Ok(Found { store: None, version: 0, ring: Vec::new(), sealed: false });
    }
    let store = Store::open_without_migrating(database).await?;
    let status = store.status().await?;
    if status.found > status.known {
        status.check()?;
    }
    let (ring, sealed) = (store.key_ring().await?, store.holds_sealed().await?);
    Ok(Found { store: Some(store), version: status.found, ring, sealed })
}

/// Whether `root` opens what is there.
async fn check(root: &RootKey, found: &Found) -> Result<(), UnlockError> {
    if !found.ring.is_empty() {
        return Ok(key_ring::open(&found.ring, root).map(drop)?);
    }
    let (Some(store), true) = (&found.store, found.version > 0) else { return Ok(()) };
    let keys = Keys::from_root(root.bytes());
    for row in store.signing_keys(Timestamp::from_millis(0)).await? {
        if keys.open(Purpose::SigningKey, row.kid.as_bytes(), &row.sealed).is_none() {
            return Err(UnlockError::Foreign { mine: root.name().to_owned() });
        }
    }
    Ok(())
}

impl Found {
    /// A database that an older release wrote, or a journal that is there already, grew from the root key itself.
    fn beginning(&self, data: &Path) -> Beginning {
        let older = (1..RING_SINCE).contains(&self.version);
        if older || self.sealed || data.join("journal").exists() { Beginning::FromBefore } else { Beginning::New }
    }
}

/// The schema that brought the ring.
const RING_SINCE: i64 = 3;
const _: () = assert!(RING_SINCE <= KNOWN_VERSION);

fn missing(source: &RootKeySource) -> UnlockError {
    match source {
        RootKeySource::File(path) => UnlockError::Missing { path: path.clone() },
        RootKeySource::Text(_) | RootKeySource::Command(_) => UnlockError::Key(KeyError::Text),
    }
}
