use portcullis_base::{Digest, GrantId, PersonId};
use portcullis_store::{DatabaseSettings, KNOWN_VERSION, PersonKind, SchemaStatus, Store, StoreError};

use crate::{
    given::{Given, HOUR, NOW, after},
    on_both,
};

const TABLES: [&str; 46] = [
    "audit_open",
    "audit_buckets",
    "audit_chunks",
    "audit_places",
    "audit_names",
    "insight_counts",
    "insight_latency",
    "insight_firsts",
    "session_labels",
    "delegations",
    "quota_holds",
    "quota_windows",
    "passkeys",
    "access_grants",
    "access_requests",
    "standing_grants",
    "approval_votes",
    "approvals",
    "tool_lists",
    "server_facts",
    "connect_flows",
    "upstream_clients",
    "connections",
    "key_ring",
    "reports",
    "scim_members",
    "scim_groups",
    "scim_users",
    "access_keys",
    "identities",
    "audit_cursors",
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
];

impl Given {
    async fn drop_everything(&self) {
        for table in TABLES {
            self.database.run(&format!("drop table {table}")).await;
        }
    }
}

on_both!(
    database_of_the_first_release_keeps_what_it_holds,
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
    given.drop_everything().await;
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

/// The tables of the first release with somebody in them, brought up to date.
async fn database_of_the_first_release_keeps_what_it_holds(given: &Given) {
    given.drop_everything().await;
    let (first, bytes) = match given.database.settings() {
        DatabaseSettings::Sqlite(_) => (include_str!("../../migrations/sqlite/0001_first.sql"), ["x'", "'"]),
        DatabaseSettings::Postgres { .. } => (include_str!("../../migrations/postgres/0001_first.sql"), ["'\\x", "'"]),
    };
    let [one, two] = ["11", "22"].map(|byte| format!("{}{}{}", bytes[0], byte.repeat(32), bytes[1]));
    let now = NOW.as_millis();
    given
        .database
        .run(&format!(
            "create table schema (version bigint primary key, applied_at bigint not null);
             {first};
             insert into schema (version, applied_at) values (1, 0);
             insert into people (id, name, name_key, display_name, member_of, admin_at, created_at)
             values ('usr_ada', 'Ada', 'ada', 'Ada L.', '[\"platform\"]', {now}, {now});
             insert into sessions (hash, person, created_at, seen_at, expires_at)
             values ({one}, 'usr_ada', {now}, {now}, {now} + 3600000), ({two}, 'usr_ada', {now}, {now}, {now} + 3600000);
             insert into grants (id, person, client, resource, scopes, redirect_uri, created_at, expires_at)
             values ('grt_1', 'usr_ada', 'c', 'http://127.0.0.1/mcp/x', 'mcp:read', 'http://127.0.0.1/', {now}, {now} + 3600000);
             insert into changes (kind, change_key, changed_at) values ('person', 'usr_ada', {now})"
        ))
        .await;
    let store = Store::open_without_migrating(given.database.settings()).await.unwrap();
    assert!(matches!(store.status().await.unwrap().check(), Err(StoreError::Older { found: 1, .. })));
    assert_eq!(store.migrate(NOW).await.unwrap(), 1);

    let ada = store.person(&PersonId::new("usr_ada")).await.unwrap().unwrap();
    assert_eq!((ada.kind, ada.owner.as_ref()), (PersonKind::Person, None));
    assert_eq!((&*ada.groups, &*ada.local_groups), (&["platform".to_owned()][..], &["platform".to_owned()][..]));
    let sessions = store.sessions_of(&ada.id, NOW).await.unwrap();
    assert_eq!(sessions.len(), 2);
    assert_ne!(sessions[0].id, sessions[1].id);
    for session in &sessions {
        assert!(session.id.starts_with("bse_") && session.id.len() == 36, "{}", session.id);
        assert_eq!(session.authenticated_at, session.created_at);
    }
    let (session, _) = store.session(&Digest::from_slice(&[0x11; 32]).unwrap(), NOW, HOUR).await.unwrap().unwrap();
    assert_eq!((session.provider, session.expires_at), (None, after(HOUR)));
    let grant = store.grant(&GrantId::new("grt_1")).await.unwrap().unwrap();
    assert_eq!((grant.authenticated_at, grant.session.as_deref()), (None, None));
    assert_eq!(store.changes_since(0).await.unwrap().len(), 1);
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
