//! The only place that names the drivers: open, begin, retry. Everything above speaks one SQL text to both engines:
//! `$1` parameters, `excluded`, `returning`, TEXT, BIGINT and bytes, and no `$` inside a literal.

mod postgres;
mod row;
mod sqlite;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis_base::{Secret, Timestamp};
pub(crate) use row::{Cell, Param, Row, params};

use self::{
    postgres::{Postgres, PostgresTx},
    sqlite::{Sqlite, SqliteTx},
};
use crate::{ChangeKind, StoreError};

/// Which database to open.
#[derive(Clone, Debug)]
pub enum DatabaseSettings {
    /// A SQLite file. Its directory must exist, and must be on a local disk.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres {
        /// `postgres://user:password@host:port/name?sslmode=…`
        url: Secret,
        /// The most connections kept open.
        connections: usize,
    },
}

impl DatabaseSettings {
    /// PostgreSQL at `url` with the usual number of connections.
    pub fn postgres(url: impl Into<String>) -> Self {
        Self::Postgres { url: Secret::new(url.into()), connections: 16 }
    }
}

/// Rows are inserted so many at a time, and the rest in smaller portions.
pub(crate) const PORTIONS: [usize; 3] = [64, 8, 1];

/// A statement that inserts so many rows.
pub(crate) fn insert_sql(table: &str, columns: &[&str], rows: usize) -> String {
    let width = columns.len();
    let row = |n: usize| {
        let numbers: Vec<String> = (1..=width).map(|column| format!("${}", n * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("insert into {table} ({}) values {}", columns.join(", "), rows.join(", "))
}

/// How often a transaction is run again after it collided with another one.
const ATTEMPTS: u64 = 50;

/// One of the two engines.
#[derive(Clone)]
pub(crate) struct Db {
    engine: Engine,
    collisions: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// An open transaction. Whatever was not committed is rolled back, also when the future that holds it is dropped.
pub(crate) struct Tx {
    engine: EngineTx,
    changes: Vec<(ChangeKind, String, Timestamp)>,
}

enum EngineTx {
    Sqlite(SqliteTx),
    Postgres(PostgresTx),
}

impl Db {
    pub(crate) async fn open(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let engine = match settings {
            DatabaseSettings::Sqlite(path) => Engine::Sqlite(Sqlite::open(path).await?),
            DatabaseSettings::Postgres { url, connections } => {
                Engine::Postgres(Postgres::connect(url.reveal(), *connections)?)
            }
        };
        Ok(Self { engine, collisions: Arc::default() })
    }

    /// Picks what differs between the engines: DDL and their own catalogs.
    pub(crate) fn either<T>(&self, sqlite: T, postgres: T) -> T {
        match self.engine {
            Engine::Sqlite(_) => sqlite,
            Engine::Postgres(_) => postgres,
        }
    }

    /// Reads what is committed.
    pub(crate) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.query(sql, params),
            Engine::Postgres(engine) => engine.query(sql, params).await,
        }
    }

    /// The first row of what is committed.
    pub(crate) async fn query_first(&self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Ends a transaction as its work went. `None`: it collided and is to be run again.
    pub(crate) async fn settle<T>(
        &self,
        tx: Tx,
        outcome: Result<T, StoreError>,
        attempt: u64,
    ) -> Option<Result<T, StoreError>> {
        let outcome = match outcome {
            Ok(value) => tx.commit().await.map(|()| value),
            Err(why) => {
                // If even that fails, the connection is closed, with the same effect.
                drop(tx.rollback().await);
                Err(why)
            }
        };
        if matches!(outcome, Err(StoreError::Conflict)) && attempt < ATTEMPTS {
            self.step_aside(attempt).await;
            return None;
        }
        Some(outcome)
    }

    /// Waits a little, those who collided not all for the same time.
    async fn step_aside(&self, attempt: u64) {
        let turn = self.collisions.fetch_add(1, Ordering::Relaxed) % 16;
        tokio::time::sleep(Duration::from_millis(turn * attempt.min(8) / 4 + 1)).await;
    }

    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let engine = match &self.engine {
            Engine::Sqlite(engine) => EngineTx::Sqlite(engine.begin().await?),
            Engine::Postgres(engine) => EngineTx::Postgres(engine.begin().await?),
        };
        Ok(Tx { engine, changes: Vec::new() })
    }

    /// Begins while no one else migrates.
    pub(crate) async fn begin_migration(&self) -> Result<Tx, StoreError> {
        let Engine::Postgres(engine) = &self.engine else { return self.begin().await };
        let mut tx = Tx { engine: EngineTx::Postgres(engine.begin_alone().await?), changes: Vec::new() };
        tx.lock(MIGRATING).await?;
        Ok(tx)
    }
}

/// The only way to write: `transact!(self.db, |tx| …)` runs what it is given in a serializable transaction, and again from
/// the start when it collided with another one. `return` and `?` leave the transaction, not the function.
///
/// A macro because the futures of async closures are not known to be `Send` for every lifetime of their argument.
macro_rules! transact {
    ($db:expr, |$tx:ident| $work:expr) => {{
        let db = &$db;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut open = match db.begin().await {
                Ok(open) => open,
                Err(why) => break Err(why),
            };
            let $tx = &mut open;
            let outcome: Result<_, $crate::StoreError> = async { $work }.await;
            if let Some(settled) = db.settle(open, outcome, attempt).await {
                break settled;
            }
        }
    }};
}
pub(crate) use transact;

// Names of PostgreSQL's advisory locks; the first four bytes spell "port".
const MIGRATING: i64 = 0x706f_7274_0000_0001;
const CHANGING: i64 = 0x706f_7274_0000_0002;

impl Tx {
    pub(crate) async fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        match &mut self.engine {
            EngineTx::Sqlite(engine) => engine.query(sql, params),
            EngineTx::Postgres(engine) => engine.query(sql, params).await,
        }
    }

    pub(crate) async fn query_first(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        match &mut self.engine {
            EngineTx::Sqlite(engine) => engine.execute(sql, params),
            EngineTx::Postgres(engine) => engine.execute(sql, params).await,
        }
    }

    /// Inserts many rows of which none is there yet and none has a null: by COPY where there is one, and by few statements,
    /// each prepared once, where not.
    pub(crate) async fn insert_many(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: &[Vec<Param<'_>>],
    ) -> Result<(), StoreError> {
        match &mut self.engine {
            EngineTx::Sqlite(engine) => {
                let mut rest = rows;
                for size in PORTIONS {
                    let sql = insert_sql(table, columns, size);
                    while rest.len() >= size {
                        let (portion, after) = rest.split_at(size);
                        engine.execute_all(&sql, portion.iter().flatten())?;
                        rest = after;
                    }
                }
                Ok(())
            }
            EngineTx::Postgres(engine) => engine.copy_in(table, columns, rows).await,
        }
    }

    /// Runs the statements of a migration.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        match &mut self.engine {
            EngineTx::Sqlite(engine) => engine.batch(sql),
            EngineTx::Postgres(engine) => engine.batch(sql).await,
        }
    }

    /// Tells the other nodes, in the same commit.
    pub(crate) fn changed(&mut self, kind: ChangeKind, key: impl Into<String>, at: Timestamp) {
        self.changes.push((kind, key.into(), at));
    }

    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.append_changes().await?;
        match self.engine {
            EngineTx::Sqlite(engine) => engine.commit(),
            EngineTx::Postgres(engine) => engine.commit().await,
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self.engine {
            EngineTx::Sqlite(engine) => {
                drop(engine);
                Ok(())
            }
            EngineTx::Postgres(engine) => engine.rollback().await,
        }
    }

    /// Writes the announcements last, and on PostgreSQL one committer at a time: a reader that has seen revision n must
    /// never find a smaller one later. Being last, the lock is held by no one who still waits for another.
    async fn append_changes(&mut self) -> Result<(), StoreError> {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(());
        }
        self.lock(CHANGING).await?;
        for (kind, key, at) in changes {
            self.execute(
                "insert into changes (kind, change_key, changed_at) values ($1, $2, $3)",
                &params![kind.as_str(), key, at],
            )
            .await?;
        }
        Ok(())
    }

    /// Waits for an advisory lock, held until the transaction ends. SQLite has one writer anyway.
    async fn lock(&mut self, name: i64) -> Result<(), StoreError> {
        if let EngineTx::Postgres(engine) = &mut self.engine {
            engine.batch(&format!("select pg_advisory_xact_lock({name})")).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::TestDatabase;

    const COUNT: &str = "select count(*) from meta";

    async fn open() -> Vec<(TestDatabase, Db)> {
        let mut databases = vec![TestDatabase::sqlite()];
        databases.extend(TestDatabase::postgres().await);
        let mut open = Vec::new();
        for database in databases {
            let db = database.open().await.unwrap().db;
            open.push((database, db));
        }
        open
    }

    async fn count(db: &Db) -> i64 {
        db.query_first(COUNT, &[]).await.unwrap().unwrap().take().unwrap()
    }

    async fn insert(tx: &mut Tx, key: &str) {
        tx.execute("insert into meta (meta_key, meta_value) values ($1, '')", &params![key]).await.unwrap();
    }

    #[tokio::test]
    async fn dropped_transaction_rolls_back_and_blocks_nobody() {
        for (_database, db) in open().await {
            // More often than there are connections: each must be given back or replaced.
            for _ in 0..20 {
                let mut tx = db.begin().await.unwrap();
                insert(&mut tx, "dropped").await;
                drop(tx);
            }
            let committed = transact!(db, |tx| {
                insert(tx, "dropped").await;
                Ok(())
            });
            committed.unwrap();
            assert_eq!(count(&db).await, 1);
        }
    }

    #[tokio::test]
    async fn failed_work_changes_nothing_and_announces_nothing() {
        for (_database, db) in open().await {
            let failed: Result<(), _> = transact!(db, |tx| {
                insert(tx, "failed").await;
                tx.changed(ChangeKind::Person, "usr_1", Timestamp::from_secs(1));
                Err(StoreError::LastAdministrator)
            });
            assert!(matches!(failed, Err(StoreError::LastAdministrator)));
            assert_eq!(count(&db).await, 0);
            assert!(db.query("select 1 from changes", &[]).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn collided_work_is_run_again_from_the_start_and_not_forever() {
        for (_database, db) in open().await {
            let mut runs = 0;
            let result = transact!(db, |tx| {
                runs += 1;
                insert(tx, "again").await;
                if runs < 3 { Err(StoreError::Conflict) } else { Ok(runs) }
            });
            assert_eq!((result.unwrap(), count(&db).await), (3, 1));

            let mut runs = 0;
            let result: Result<(), _> = transact!(db, |tx| {
                runs += 1;
                tx.execute("delete from meta", &[]).await?;
                Err(StoreError::Conflict)
            });
            assert!(matches!(result, Err(StoreError::Conflict)));
            assert_eq!((runs, count(&db).await), (ATTEMPTS, 1));
        }
    }

    /// spec: T-45
    #[tokio::test]
    async fn errors_do_not_repeat_values() {
        for (_database, db) in open().await {
            for sql in [
                "insert into meta (meta_key, meta_value) values ($1, $1)",
                "insert into meta (meta_key, meta_value) values ($1, null)",
                "insert into sessions (hash, person, created_at, seen_at, expires_at) values (null, $1, 0, 0, 0)",
            ] {
                let twice: Result<(), _> = transact!(db, |tx| {
                    tx.execute(sql, &params!["canary"]).await?;
                    tx.execute(sql, &params!["canary"]).await?;
                    Ok(())
                });
                let why = twice.unwrap_err();
                assert!(!format!("{why} {why:?} {:?}", params!["canary"]).contains("canary"), "{why}");
            }
        }
    }
}
