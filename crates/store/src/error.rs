//! What can go wrong in the store, by what a caller does about it.

/// Why the store did not do what it was asked.
///
/// The texts are for operators. They name statements and conditions, never values: what was looked up or written may be
/// the digest of a credential.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later release wrote this database.
    #[error(
        "the database has schema version {found}, this release knows up to {known}: \
         run the newer portcullis that wrote it, or restore the backup made before that upgrade"
    )]
    Newer {
        /// The version found in the database.
        found: i64,
        /// The newest version this release knows.
        known: i64,
    },

    /// The database waits for a migration and was opened without migrating.
    #[error("the database has schema version {found}, this release needs {known}: run `portcullis migrate`")]
    Older {
        /// The version found in the database; 0 if it is empty.
        found: i64,
        /// The version this release needs.
        known: i64,
    },

    /// The settings do not name a database.
    #[error("{0}")]
    Settings(String),

    /// The database cannot be reached, is full, or does not let us in. Trying again later may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),

    /// Others kept changing the same rows, or held the write lock, until our patience ended.
    #[error("the database is too busy: another writer was always first")]
    Conflict,

    /// A name or an identifier is in use already.
    #[error("that name is taken")]
    Taken,

    /// What the new row belongs to does not exist (any more).
    #[error("what this belongs to does not exist")]
    Missing,

    /// The only administrator left cannot be disabled.
    #[error("the last administrator cannot be disabled: make another person administrator first")]
    LastAdministrator,

    /// The cap on registered clients is reached and none of them can make room.
    #[error("{limit} clients are registered, no more are accepted")]
    TooManyClients {
        /// The cap.
        limit: u32,
    },

    /// A row does not read as what was written, or a statement does not fit the schema.
    #[error("the database holds something unexpected: {0}")]
    Damaged(String),
}
