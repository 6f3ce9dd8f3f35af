//! SQLite: one file in WAL mode, one writer, a few readers.
//!
//! Calls run inline on the calling task: they take microseconds, a hop to another thread takes more. Nothing here blocks
//! on another writer, though: the lock inside this process is asynchronous, and while another process (or another handle)
//! holds the file's write lock we sleep on the timer, not in SQLite's busy handler.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi, types::ValueRef};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{Cell, Param, Row};
use crate::StoreError;

/// How long a writer waits for others before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Readers kept open between calls.
const IDLE_READERS: usize = 4;
const CACHED_STATEMENTS: usize = 128;

#[derive(Clone)]
pub(super) struct Sqlite(Arc<Shared>);

struct Shared {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    /// Closed last: only who may write clears the log away, so that nothing but the database is left.
    writer: Arc<tokio::sync::Mutex<Connection>>,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(|why| StoreError::Unavailable(format!("{}: {why}", path.display())))?;
        let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Changing the journal mode does not call the busy handler, so two first starts at once take turns here.
        let give_up = Instant::now() + PATIENCE;
        while let Err(why) = writer.execute_batch("pragma journal_mode = wal") {
            if !is_busy(&why) || Instant::now() > give_up {
                return Err(error(&why));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // NORMAL: a commit survives the death of the process at once, and a power cut at the latest from the next
        // checkpoint; it never leaves half a commit behind.
        writer
            .execute_batch("pragma synchronous = normal; pragma journal_size_limit = 67108864")
            .map_err(|why| error(&why))?;
        writer.busy_timeout(Duration::ZERO).map_err(|why| error(&why))?;
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        Ok(Self(Arc::new(Shared { path: path.into(), readers: Mutex::default(), writer })))
    }

    /// Begins the one write transaction there can be.
    pub(super) async fn begin(&self) -> Result<SqliteTx, StoreError> {
        let waited = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.writer).lock_owned()).await;
        let connection = waited.map_err(|_| StoreError::Conflict)?;
        let give_up = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        while let Err(why) = connection.execute_batch("begin immediate") {
            if !is_busy(&why) {
                return Err(error(&why));
            }
            if Instant::now() > give_up {
                return Err(StoreError::Conflict);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(SqliteTx { connection, open: true })
    }

    /// Reads outside of a transaction, from the last commit.
    pub(super) fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let idle = self.readers().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let rows = query(&reader, sql, params);
        let mut readers = self.readers();
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        rows
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write transaction. Dropped before its commit, it is rolled back.
pub(super) struct SqliteTx {
    connection: OwnedMutexGuard<Connection>,
    open: bool,
}

impl SqliteTx {
    pub(super) fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        query(&self.connection, sql, params)
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        self.execute_all(sql, params.iter())
    }

    pub(super) fn execute_all<'a>(
        &mut self,
        sql: &str,
        params: impl Iterator<Item = &'a Param<'a>>,
    ) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(&numbered(sql)).map_err(|why| error(&why))?;
        let changed = statement.execute(rusqlite::params_from_iter(params)).map_err(|why| error(&why))?;
        Ok(changed as u64)
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(sql).map_err(|why| error(&why))
    }

    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        self.batch("commit")?;
        self.open = false;
        Ok(())
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        // Some errors (a full disk) have ended the transaction already; a second rollback would be one too many.
        if self.open
            && !self.connection.is_autocommit()
            && let Err(why) = self.connection.execute_batch("rollback")
        {
            tracing::error!(error = %why, "a transaction could not be rolled back");
        }
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|why| StoreError::Unavailable(format!("{}: {why}", path.display())))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.busy_timeout(PATIENCE).map_err(|why| error(&why))?;
    connection.execute_batch("pragma foreign_keys = on").map_err(|why| error(&why))?;
    Ok(connection)
}

/// Creates the file so that only its owner can read it; SQLite gives its companions the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn query(connection: &Connection, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(&numbered(sql)).map_err(|why| error(&why))?;
    let width = statement.column_count();
    let mut found = statement.query(rusqlite::params_from_iter(params)).map_err(|why| error(&why))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(|why| error(&why))? {
        let cells = (0..width).map(|column| cell(row.get_ref(column).map_err(|why| error(&why))?));
        rows.push(Row::new(cells.collect::<Result<_, _>>()?));
    }
    Ok(rows)
}

/// `$1` of the one SQL text is SQLite's `?1`.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn cell(value: ValueRef<'_>) -> Result<Cell, StoreError> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(text) => {
            Cell::Text(String::from_utf8(text.into()).map_err(|_| StoreError::Damaged("a text is not UTF-8".into()))?)
        }
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.into()),
        ValueRef::Real(_) => return Err(StoreError::Damaged("a number is not whole".into())),
    })
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn is_busy(why: &rusqlite::Error) -> bool {
    matches!(why.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

const UNAVAILABLE: [ErrorCode; 6] = [
    ErrorCode::DiskFull,
    ErrorCode::SystemIoFailure,
    ErrorCode::CannotOpen,
    ErrorCode::ReadOnly,
    ErrorCode::PermissionDenied,
    ErrorCode::OutOfMemory,
];

fn error(why: &rusqlite::Error) -> StoreError {
    let Some(code) = why.sqlite_error() else { return StoreError::Damaged(why.to_string()) };
    match (code.code, code.extended_code) {
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Conflict,
        (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => StoreError::Taken,
        (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Missing,
        (code, _) if UNAVAILABLE.contains(&code) => StoreError::Unavailable(why.to_string()),
        _ => StoreError::Damaged(why.to_string()),
    }
}
