//! Temporary databases for tests, on both engines.
//!
//! PostgreSQL: one server per test process, from the binaries that Debian's package installs, in a temporary directory,
//! reachable by a socket in it, without syncing to disk. A shell watches over it: when the test process ends, however it
//! ends, the shell's input does too, and it stops the server and removes the directory. Each test gets a database.
//!
//! `PORTCULLIS_TEST_POSTGRES` may name a server to use instead (`postgres://user:password@host:port/postgres`); databases
//! are created there, and dropped after their test. Without either, the PostgreSQL half of a test fails where `CI` is
//! set and is left out elsewhere, which it says.

#![expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use portcullis_base::Timestamp;
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

use crate::{DatabaseSettings, Store, StoreError};

/// An empty database that ends with its test.
pub struct TestDatabase {
    settings: DatabaseSettings,
    place: Place,
}

enum Place {
    Directory(TempDir),
    /// On the server of this process, which ends with it.
    Own,
    /// On a server that stays: the name of the database.
    Foreign(String),
}

impl TestDatabase {
    /// A SQLite file in a temporary directory.
    pub fn sqlite() -> Self {
        let directory = TempDir::with_prefix("portcullis-store-").expect("a temporary directory can be made");
        let settings = DatabaseSettings::Sqlite(directory.path().join("portcullis.db"));
        Self { settings, place: Place::Directory(directory) }
    }

    /// A database on a PostgreSQL server; `None` if there is no PostgreSQL and this is not CI.
    pub async fn postgres() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let server = server()?;
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&server.url, &format!("create database {name}")).await;
        let (base, query) = server.url.split_once('?').unwrap_or((&server.url, ""));
        let (base, _) = base.rsplit_once('/').expect("the server's URL ends in a database name");
        let settings = DatabaseSettings::postgres(format!("{base}/{name}?{query}"));
        let place = if server.watch.is_some() { Place::Own } else { Place::Foreign(name) };
        Some(Self { settings, place })
    }

    /// How to open it.
    pub fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// The value of the `database` setting that names it.
    pub fn url(&self) -> String {
        match &self.settings {
            DatabaseSettings::Sqlite(path) => path.display().to_string(),
            DatabaseSettings::Postgres { url, .. } => url.reveal().to_owned(),
        }
    }

    /// Opens it, migrated.
    pub async fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.settings, Timestamp::from_secs(1_700_000_000)).await
    }

    /// Runs SQL beside the store: for tests that need a database in a state the store would not bring it to.
    pub async fn run(&self, sql: &str) {
        match &self.settings {
            DatabaseSettings::Sqlite(path) => rusqlite::Connection::open(path)
                .and_then(|file| file.execute_batch(sql))
                .expect("the test's SQL is right"),
            DatabaseSettings::Postgres { url, .. } => run(url.reveal(), sql).await,
        }
    }

    /// Everything that is stored, as one run of bytes: to look for what must not be in there.
    pub async fn dump(&self) -> Vec<u8> {
        match (&self.settings, &self.place) {
            (DatabaseSettings::Postgres { url, .. }, _) => dump(url.reveal()).await,
            (DatabaseSettings::Sqlite(_), Place::Directory(directory)) => {
                let files = std::fs::read_dir(directory.path()).expect("the directory is ours");
                files.flat_map(|file| std::fs::read(file.expect("readable").path()).expect("readable")).collect()
            }
            (DatabaseSettings::Sqlite(_), _) => Vec::new(),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (Place::Foreign(name), Some(server)) = (&self.place, server()) else { return };
        let sql = format!("drop database if exists {name} with (force)");
        // On a thread of its own: this may be dropped inside a runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(run(&server.url, &sql));
        });
        drop(dropping.join());
    }
}

struct Server {
    url: String,
    /// The shell whose input stays open as long as this process lives; see the module comment.
    watch: Option<Child>,
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| match std::env::var("PORTCULLIS_TEST_POSTGRES") {
            Ok(url) => Some(Server { url, watch: None }),
            Err(_) => start(),
        })
        .as_ref()
}

fn start() -> Option<Server> {
    let mut shell = Command::new("sh")
        .args(["-c", include_str!("fixture.sh")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell can be started");
    let mut answer = String::new();
    let output = shell.stdout.take().expect("its output is piped");
    BufReader::new(output).read_line(&mut answer).expect("its output is text");
    let Some(directory) = answer.trim().strip_prefix("ready ") else {
        drop(shell.wait());
        assert!(std::env::var_os("CI").is_none(), "CI needs PostgreSQL: {answer}");
        eprintln!("skipped: the PostgreSQL half of this test ({})", answer.trim());
        return None;
    };
    let socket = directory.replace('/', "%2F");
    Some(Server { url: format!("postgres://postgres@{socket}/postgres"), watch: Some(shell) })
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let config: Config = url.parse().expect("the URL names a server");
    let (client, connection) = config.connect(NoTls).await.expect("the server answers");
    tokio::spawn(connection);
    client
}

async fn run(url: &str, sql: &str) {
    connect(url).await.batch_execute(sql).await.expect("the test's SQL is right");
}

async fn dump(url: &str) -> Vec<u8> {
    let client = connect(url).await;
    let tables = client.query("select tablename::text from pg_tables where schemaname = 'public'", &[]).await;
    let mut all = Vec::new();
    for table in tables.expect("the catalog can be read") {
        let sql = format!("select coalesce(string_agg(t::text, ' '), '') from {} t", table.get::<_, String>(0));
        let rows = client.query_one(&sql, &[]).await.expect("a table can be read");
        all.extend_from_slice(rows.get::<_, String>(0).as_bytes());
    }
    all
}
