use portcullis_store::{KNOWN_VERSION, SchemaStatus, Store, StoreError};

use crate::{
    given::{Given, NOW},
    on_both,
};

on_both!(
    fresh_database_gets_the_schema_once,
    newer_database_is_refused_with_both_versions,
    empty_database_waits_for_its_migration,
    nodes_that_start_at_once_migrate_once,
);

async fn fresh_database_gets_the_schema_once(given: &Given) {
    let at_hand = SchemaStatus { found: KNOWN_VERSION, known: KNOWN_VERSION };
    assert_eq!(given.status().await.unwrap(), at_hand);
    at_hand.check().unwrap();
    assert_eq!(given.migrate(NOW).await.unwrap(), KNOWN_VERSION, "a second time there is nothing to do");
    given.ping().await.unwrap();
}

async fn newer_database_is_refused_with_both_versions(given: &Given) {
    given.database.run("insert into schema (version, applied_at) values (77, 0)").await;
    let why = given.database.open().await.err().unwrap();
    assert!(matches!(why, StoreError::Newer { found: 77, known: KNOWN_VERSION }));
    let text = why.to_string();
    assert!(text.contains("version 77") && text.contains(&format!("up to {KNOWN_VERSION}")), "{text}");
    assert!(text.contains("run the newer portcullis"), "{text}");

    let store = Store::open_without_migrating(given.database.settings()).await.unwrap();
    assert!(matches!(store.migrate(NOW).await, Err(StoreError::Newer { found: 77, .. })));
    assert!(store.status().await.unwrap().check().is_err());
}

async fn empty_database_waits_for_its_migration(given: &Given) {
    given.database.run("drop table schema").await;
    let store = Store::open_without_migrating(given.database.settings()).await.unwrap();
    let status = store.status().await.unwrap();
    assert_eq!(status.found, 0);
    let why = status.check().unwrap_err();
    assert!(matches!(why, StoreError::Older { found: 0, known: KNOWN_VERSION }));
    assert!(why.to_string().contains("portcullis migrate"));

    // What a migration cannot finish it does not begin: the other tables are there already.
    assert!(store.migrate(NOW).await.is_err());
    assert_eq!(store.status().await.unwrap().found, 0);
}

async fn nodes_that_start_at_once_migrate_once(given: &Given) {
    for table in [
        "audit_cursors",
        "audit_index",
        "changes",
        "servers",
        "signing_keys",
        "ended_sessions",
        "spent",
        "refresh_tokens",
        "codes",
        "grants",
        "consents",
        "clients",
        "invitations",
        "sessions",
        "people",
        "meta",
        "schema",
    ] {
        given.database.run(&format!("drop table {table}")).await;
    }
    let mut nodes = Vec::new();
    for _ in 0..8 {
        let settings = given.database.settings().clone();
        nodes.push(tokio::spawn(async move { Store::open(&settings, NOW).await.map(drop) }));
    }
    for node in nodes {
        node.await.unwrap().unwrap();
    }
    assert_eq!(given.status().await.unwrap().found, KNOWN_VERSION);
    assert!(given.people().await.unwrap().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn sqlite_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let given = crate::given::on_sqlite().await;
    given.person("ada").await;
    let portcullis_store::DatabaseSettings::Sqlite(path) = given.database.settings() else { unreachable!() };
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
}

#[tokio::test]
async fn unreachable_database_says_where_and_hides_the_password() {
    use portcullis_store::DatabaseSettings;
    for settings in [
        DatabaseSettings::Sqlite("/nonexistent/portcullis.db".into()),
        // Port 1 on loopback: nobody listens.
        DatabaseSettings::postgres("postgres://ada:canary@127.0.0.1:1/portcullis"),
        DatabaseSettings::postgres("postgres://ada:canary@%2Fnonexistent/portcullis"),
    ] {
        let why = Store::open(&settings, NOW).await.err().unwrap();
        assert!(matches!(why, StoreError::Unavailable(_)), "{why:?}");
        let text = format!("{why} {why:?} {settings:?}");
        assert!(!text.contains("canary"), "{text}");
    }
}
