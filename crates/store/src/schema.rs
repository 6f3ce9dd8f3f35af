//! The schema: its version, and how a database gets there.
//!
//! Migrations only go forward, all of them in one transaction, under a lock when several nodes start at once. A database
//! that a newer release wrote is refused: this release cannot know what it would break.

use portcullis_base::Timestamp;

use crate::{
    StoreError,
    db::{Db, Tx, params},
};

struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sqlite: include_str!("../migrations/sqlite/0001_first.sql"),
        postgres: include_str!("../migrations/postgres/0001_first.sql"),
    },
    Migration {
        version: 2,
        sqlite: include_str!("../migrations/sqlite/0002_company_sign_in.sql"),
        postgres: include_str!("../migrations/postgres/0002_company_sign_in.sql"),
    },
    Migration {
        version: 3,
        sqlite: include_str!("../migrations/sqlite/0003_upstream_accounts.sql"),
        postgres: include_str!("../migrations/postgres/0003_upstream_accounts.sql"),
    },
    Migration {
        version: 4,
        sqlite: include_str!("../migrations/sqlite/0004_rights.sql"),
        postgres: include_str!("../migrations/postgres/0004_rights.sql"),
    },
    Migration {
        version: 5,
        sqlite: include_str!("../migrations/sqlite/0005_audit_buckets.sql"),
        postgres: include_str!("../migrations/postgres/0005_audit_buckets.sql"),
    },
    Migration {
        version: 6,
        sqlite: include_str!("../migrations/sqlite/0006_insight.sql"),
        postgres: include_str!("../migrations/postgres/0006_insight.sql"),
    },
];

/// The schema version this release works with.
pub const KNOWN_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// How a database stands to this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The version found; 0 for an empty database.
    pub found: i64,
    /// The version this release works with.
    pub known: i64,
}

impl SchemaStatus {
    /// Whether this release can work with the database as it is.
    pub fn check(self) -> Result<(), StoreError> {
        let Self { found, known } = self;
        match found.cmp(&known) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(StoreError::Newer { found, known }),
            std::cmp::Ordering::Less => Err(StoreError::Older { found, known }),
        }
    }
}

pub(crate) async fn status(db: &Db) -> Result<SchemaStatus, StoreError> {
    let empty = db.query(exists(db), &[]).await?.is_empty();
    let found = if empty { 0 } else { newest(db.query_first(NEWEST, &[]).await?)? };
    Ok(SchemaStatus { found, known: KNOWN_VERSION })
}

/// Brings the database to [`KNOWN_VERSION`]; the version it had before.
pub(crate) async fn migrate(db: &Db, now: Timestamp) -> Result<i64, StoreError> {
    let mut status = status(db).await?;
    if status.found < status.known {
        let mut tx = db.begin_migration().await?;
        // Somebody else may have migrated while we waited for the lock.
        status.found = version_in(&mut tx, exists(db)).await?;
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > status.found) {
            tx.batch(db.either(migration.sqlite, migration.postgres)).await?;
            tx.execute("insert into schema (version, applied_at) values ($1, $2)", &params![migration.version, now])
                .await?;
        }
        tx.commit().await?;
    }
    if status.found > status.known {
        return Err(StoreError::Newer { found: status.found, known: status.known });
    }
    Ok(status.found)
}

async fn version_in(tx: &mut Tx, exists: &str) -> Result<i64, StoreError> {
    if tx.query(exists, &[]).await?.is_empty() {
        tx.batch("create table schema (version bigint primary key, applied_at bigint not null)").await?;
        return Ok(0);
    }
    newest(tx.query_first(NEWEST, &[]).await?)
}

const NEWEST: &str = "select max(version) from schema";

fn newest(row: Option<crate::db::Row>) -> Result<i64, StoreError> {
    let Some(mut row) = row else { return Ok(0) };
    Ok(row.take::<Option<i64>>()?.unwrap_or(0))
}

/// A statement that finds a row if the `schema` table exists.
fn exists(db: &Db) -> &'static str {
    db.either(
        "select 1 from sqlite_master where type = 'table' and name = 'schema'",
        "select 1 from pg_catalog.pg_class where oid = to_regclass('schema')",
    )
}
