//! PostgreSQL: a pool of connections, serializable transactions.
//!
//! TLS: `sslmode=require` (or `verify-ca`, `verify-full`) asks for it, `sslmode=disable` forbids it; without either, a
//! loopback or socket address goes without and any other server is asked whether it offers TLS. Whenever TLS is spoken
//! the certificate is checked against the host name: with the system's roots, or those of `sslrootcert=FILE`.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio_postgres::{
    Config, NoTls,
    binary_copy::BinaryCopyInWriter,
    config::{Host, SslMode},
    error::SqlState,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Cell, Param, Row};
use crate::StoreError;

/// How long to wait for a connection: free in the pool, or made.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Postgres(Pool);

impl Postgres {
    pub(super) fn connect(url: &str, connections: usize) -> Result<Self, StoreError> {
        let (mut config, roots) = settings(url)?;
        config.connect_timeout(PATIENCE);
        // A server that vanished without a word is noticed in about a minute.
        if !url.contains("keepalives") {
            config
                .keepalives_idle(Duration::from_secs(30))
                .keepalives_interval(Duration::from_secs(10))
                .keepalives_retries(3);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(30));
        }
        if config.get_application_name().is_none() {
            config.application_name("portcullis");
        }
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if config.get_ssl_mode() == SslMode::Disable {
            Manager::from_config(config, NoTls, recycle)
        } else {
            Manager::from_config(config, tls(roots)?, recycle)
        };
        let pool = Pool::builder(manager)
            .max_size(connections.max(2))
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .recycle_timeout(Some(PATIENCE))
            .post_create(Hook::async_fn(|connection, _| Box::pin(prepare(connection))))
            .runtime(Runtime::Tokio1)
            .build();
        pool.map(Self).map_err(|why| StoreError::Unavailable(why.to_string()))
    }

    pub(super) async fn begin(&self) -> Result<PostgresTx, StoreError> {
        // The guard exists before the statement is sent: cancelled in between, it must not leave a connection with an
        // open transaction to the next caller.
        let mut tx = PostgresTx { connection: Some(Box::new(self.connection().await?)) };
        tx.batch("begin isolation level serializable").await?;
        Ok(tx)
    }

    /// A transaction that waits for others instead of colliding with them: for migrations.
    pub(super) async fn begin_alone(&self) -> Result<PostgresTx, StoreError> {
        let mut tx = PostgresTx { connection: Some(Box::new(self.connection().await?)) };
        tx.batch("begin isolation level read committed").await?;
        Ok(tx)
    }

    /// Reads outside of a transaction: one statement, from what is committed.
    pub(super) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        query(&self.connection().await?, sql, params).await
    }

    async fn connection(&self) -> Result<Object, StoreError> {
        self.0.get().await.map_err(|why| match why {
            PoolError::Backend(why) | PoolError::PostCreateHook(HookError::Backend(why)) => error(&why),
            other => StoreError::Unavailable(other.to_string()),
        })
    }
}

/// A transaction. Dropped before its end, it takes its connection out of the pool and closes it, which rolls it back.
pub(super) struct PostgresTx {
    connection: Option<Box<Object>>,
}

impl PostgresTx {
    pub(super) async fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        query(self.connection(), sql, params).await
    }

    pub(super) async fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        let connection = self.connection();
        let statement = connection.prepare_cached(sql).await.map_err(|why| error(&why))?;
        connection.execute(&statement, &borrowed(params)).await.map_err(|why| error(&why))
    }

    /// Rows without nulls; the types of their columns are those of the first one's values.
    pub(super) async fn copy_in(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: &[Vec<Param<'_>>],
    ) -> Result<(), StoreError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let kind = |param: &Param<'_>| match param {
            Param::Int(_) => Type::INT8,
            Param::Bytes(_) => Type::BYTEA,
            Param::Text(_) | Param::Null => Type::TEXT,
        };
        let types: Vec<Type> = first.iter().map(kind).collect();
        let sql = format!("copy {table} ({}) from stdin binary", columns.join(", "));
        let sink = self.connection().copy_in(&sql).await.map_err(|why| error(&why))?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in rows {
            writer.as_mut().write(&borrowed(row)).await.map_err(|why| error(&why))?;
        }
        writer.finish().await.map_err(|why| error(&why)).map(drop)
    }

    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.connection().batch_execute(sql).await.map_err(|why| error(&why))
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("commit").await
    }

    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &str) -> Result<(), StoreError> {
        self.batch(how).await?;
        // Only now is the connection fit to go back to the pool.
        drop(self.connection.take());
        Ok(())
    }

    fn connection(&mut self) -> &Object {
        self.connection.as_ref().expect("a transaction has its connection until it ends")
    }
}

impl Drop for PostgresTx {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(*connection));
        }
    }
}

/// The other way round: locks of a node that vanished must not hold up the others for long.
async fn prepare(connection: &mut ClientWrapper) -> Result<(), HookError> {
    connection.batch_execute("set idle_in_transaction_session_timeout = '15s'").await.map_err(HookError::Backend)
}

async fn query(connection: &Object, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
    let statement = connection.prepare_cached(sql).await.map_err(|why| error(&why))?;
    let rows = connection.query(&statement, &borrowed(params)).await.map_err(|why| error(&why))?;
    rows.iter().map(row).collect()
}

fn borrowed<'a>(params: &'a [Param<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let cells = row.columns().iter().enumerate().map(|(i, column)| match *column.type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(i).map(|value| value.map_or(Cell::Null, Cell::Int)),
        Type::INT4 => row.try_get::<_, Option<i32>>(i).map(|value| value.map_or(Cell::Null, |n| Cell::Int(n.into()))),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(i).map(|value| value.map_or(Cell::Null, Cell::Bytes)),
        _ => row.try_get::<_, Option<String>>(i).map(|value| value.map_or(Cell::Null, Cell::Text)),
    });
    cells.collect::<Result<_, _>>().map(Row::new).map_err(|why| error(&why))
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *ty == Type::INT8 => number.to_sql(ty, out),
            Self::Text(text) if <&str as ToSql>::accepts(ty) => text.as_ref().to_sql(ty, out),
            Self::Bytes(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            _ => Err(format!("{self:?} does not fit a parameter of type {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Reads the URL; `sslmode` and `sslrootcert` by ourselves, as the driver does not know all of their values.
///
/// A URL that cannot be read is not repeated in the error, nor is what the driver says of it: where a password is not
/// percent-encoded, any part of it may be a part of the password. spec: T-45
fn settings(url: &str) -> Result<(Config, Option<String>), StoreError> {
    let unreadable = || {
        StoreError::Settings(
            "the database URL cannot be read: write postgres://USER:PASSWORD@HOST:PORT/NAME, \
             with special characters in the password percent-encoded"
                .into(),
        )
    };
    // As the driver reads it: everything up to the first `@` is name and password, `?` included.
    let host = url.find('@').map_or(0, |at| at + 1);
    let query = url[host..].find('?').map_or(url.len(), |mark| host + mark);
    let (base, query) = (&url[..query], url.get(query + 1..).unwrap_or(""));
    let mut mode = None;
    let mut roots = None;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", value)) => roots = Some(value.to_owned()),
            _ => rest.push(pair),
        }
    }
    let rest = rest.join("&");
    let mut config: Config = format!("{base}?{rest}").parse().map_err(|_| unreadable())?;
    let near = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    config.ssl_mode(match mode {
        None if near && roots.is_none() => SslMode::Disable,
        None | Some("prefer") => SslMode::Prefer,
        Some("disable") => SslMode::Disable,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        Some(_) => {
            return Err(StoreError::Settings(
                "sslmode of the database URL must be disable, prefer, require, verify-ca or verify-full".into(),
            ));
        }
    });
    Ok((config, roots))
}

fn tls(file: Option<String>) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        let unreadable = |why: &dyn std::fmt::Display| StoreError::Settings(format!("sslrootcert {file}: {why}"));
        for certificate in CertificateDer::pem_file_iter(&file).map_err(|why| unreadable(&why))? {
            roots.add(certificate.map_err(|why| unreadable(&why))?).map_err(|why| unreadable(&why))?;
        }
        if roots.is_empty() {
            return Err(unreadable(&"no certificate in it"));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| StoreError::Unavailable(why.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn error(why: &tokio_postgres::Error) -> StoreError {
    let Some(refusal) = why.as_db_error() else {
        let mut text = why.to_string();
        let mut inner = std::error::Error::source(why);
        while let Some(cause) = inner {
            text = format!("{text}: {cause}");
            inner = cause.source();
        }
        return StoreError::Unavailable(text);
    };
    // The detail line would repeat values; the message and the code do not.
    let text = format!("{} ({})", refusal.message(), refusal.code().code());
    match *refusal.code() {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => StoreError::Conflict,
        SqlState::UNIQUE_VIOLATION => StoreError::Taken,
        SqlState::FOREIGN_KEY_VIOLATION => StoreError::Missing,
        SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Unavailable(text),
        // 22: data that does not fit, 23: constraints, 42: statement and schema disagree.
        ref code if ["22", "23", "42"].iter().any(|class| code.code().starts_with(class)) => StoreError::Damaged(text),
        _ => StoreError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_spoken_when_the_url_asks_for_it() {
        for (url, mode) in [
            ("postgres://u:p@127.0.0.1/x", SslMode::Disable),
            ("postgres://u:p@localhost/x", SslMode::Disable),
            ("postgres://u@%2Frun%2Fpostgresql/x", SslMode::Disable),
            ("postgres://u:p@db.example/x", SslMode::Prefer),
            ("postgres://u:p@db.example/x?sslmode=disable", SslMode::Disable),
            ("postgres://u:p@localhost/x?sslmode=verify-full&connect_timeout=3", SslMode::Require),
            ("postgres://u:p?q@localhost/x?sslmode=require", SslMode::Require),
            ("postgres://u:p@localhost/x?sslrootcert=/etc/ca.pem", SslMode::Prefer),
        ] {
            assert_eq!(settings(url).unwrap().0.get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn roots_come_from_a_file_with_certificates() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (file, why) in [("/nonexistent.pem", "No such file"), (manifest, "no certificate in it")] {
            let text = tls(Some(file.into())).err().unwrap().to_string();
            assert!(text.starts_with(&format!("sslrootcert {file}")) && text.contains(why), "{text}");
        }
        assert!(tls(None).is_ok());
    }

    /// spec: T-45
    #[test]
    fn unreadable_url_is_not_repeated() {
        for url in
            ["postgres://u:canary@h:port/x", "postgres://u@h/x?canary=1", "canary", "postgres://h/x?sslmode=canary"]
        {
            let why = settings(url).unwrap_err();
            assert!(matches!(why, StoreError::Settings(_)));
            assert!(!format!("{why} {why:?}").contains("canary"), "{why}");
        }
    }
}
