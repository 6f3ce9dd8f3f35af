use std::sync::Arc;

use portcullis_base::{ConnectionId, Holder, PersonId, ServerName, Timestamp};
use portcullis_store::{
    ChangeKind, Connection, ConnectionKind, ConnectionState, ConnectionsDue, Extent, Leased, NewConnection, Paging,
    RefreshedConnection, StoreError, ToolList,
};

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, after, digest, groups},
    on_both,
};

on_both!(
    connection_is_its_holders_and_nobody_elses,
    connection_is_made_again_in_its_place,
    connection_that_is_removed_and_made_again_is_a_later_one,
    nobody_without_an_account_gets_a_connection,
    refresh_is_one_owners_until_its_lease_ends,
    hundred_who_want_to_refresh_are_one,
    refresh_that_came_too_late_changes_nothing,
    removal_wins_over_a_refresh_under_way,
    failed_refresh_keeps_the_credential_and_says_since_when,
    dead_grant_needs_a_sign_in_and_keeps_its_place,
    who_lost_the_lease_ends_nothing,
    connections_due_are_given_to_one_and_crashed_refreshes_at_once,
    use_is_noted_forward_only,
    offboarding_takes_connections_flows_and_lists,
    connections_are_listed_by_person_server_and_page,
    server_that_goes_takes_its_connections_along,
);

pub fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

pub fn held_by(person: &PersonId) -> Holder {
    Holder::Person(person.clone())
}

fn read_write() -> Vec<String> {
    groups(&["read", "write"])
}

impl Given {
    /// A connection with everything set; what is sealed is `sealed`.
    pub async fn connected(&self, holder: &Holder, at: &str, sealed: &str) -> Connection {
        self.connect(holder, at, sealed, NOW).await.unwrap()
    }

    async fn connect(&self, holder: &Holder, at: &str, sealed: &str, now: Timestamp) -> Result<Connection, StoreError> {
        let (id, at) = (ConnectionId::new(format!("con_{sealed}")), server(at));
        let new = NewConnection {
            id: &id,
            holder,
            server: &at,
            kind: ConnectionKind::OAuth,
            issuer: Some("https://as.example"),
            resource: Some("https://mcp.example/mcp"),
            client_id: Some("us"),
            scopes: &read_write(),
            account: Some("ada@example.com"),
            sealed: sealed.as_bytes(),
            expires_at: Some(now.plus(HOUR)),
            renew_at: Some(now.plus(50 * MINUTE)),
        };
        self.put_connection(&new, now).await.map(|made| made.connection)
    }

    async fn now_at(&self, connection: &Connection) -> Option<Connection> {
        self.connection_by_id(&connection.id).await.unwrap()
    }

    async fn lease(&self, connection: &Connection, lease: &str, now: Timestamp) -> Leased {
        self.lease_connection(&connection.id, connection.version, lease, now.plus(MINUTE), now).await.unwrap()
    }

    async fn refreshed(&self, connection: &Connection, sealed: &str, now: Timestamp) -> bool {
        let refreshed = RefreshedConnection {
            sealed: sealed.as_bytes(),
            expires_at: Some(now.plus(HOUR)),
            scopes: None,
            renew_at: Some(now.plus(50 * MINUTE)),
        };
        self.connection_refreshed(&connection.id, connection.version, &refreshed, now).await.unwrap()
    }

    async fn due(&self, lease: &str, now: Timestamp) -> Vec<ConnectionId> {
        let due = ConnectionsDue { limit: 10, lease, lease_until: now.plus(MINUTE) };
        self.connections_due(&due, now).await.unwrap().into_iter().map(|connection| connection.id).collect()
    }
}

/// spec: T-51, UP-40
async fn connection_is_its_holders_and_nobody_elses(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let holders = [held_by(&ada.id), held_by(&bob.id), Holder::Shared];
    let mut made = Vec::new();
    for (n, holder) in holders.iter().enumerate() {
        for at in ["a", "b"] {
            made.push(given.connected(holder, at, &format!("{n}{at}")).await);
        }
    }
    for connection in &made {
        let (holder, at) = (&connection.holder, &connection.server);
        assert_eq!(given.connection(holder, at).await.unwrap().as_ref(), Some(connection));
    }
    // Whatever one of them does to their own leaves every other one as it was.
    let mine = &made[0];
    assert_eq!(given.lease(mine, "l", NOW).await, Leased::Yes);
    assert!(given.refreshed(mine, "new", NOW).await);
    assert!(given.remove_connection(&mine.holder, &mine.server, NOW).await.unwrap().is_some());
    given.store.offboard(&bob.id, Extent::Account, NOW).await.unwrap();
    for other in made.iter().skip(1) {
        let there = given.now_at(other).await;
        let gone = other.holder == holders[1];
        assert_eq!(there.is_none(), gone, "{other:?}");
        assert!(gone || there.as_ref() == Some(other));
    }
    assert_eq!(given.connection(&held_by(&PersonId::new("usr_a")), &server("a")).await.unwrap(), None);
}

async fn connection_is_made_again_in_its_place(given: &Given) {
    let ada = held_by(&given.person("ada").await.id);
    let seen = given.revision().await.unwrap();
    let first = given.connected(&ada, "a", "first").await;
    assert_eq!((first.state, first.created_at, first.used_at), (ConnectionState::Good, NOW, None));
    assert_eq!((first.scopes.clone(), first.sealed.as_deref()), (read_write(), Some(&b"first"[..])));
    assert_eq!(first.issuer.as_deref(), Some("https://as.example"));
    given.connection_used(std::slice::from_ref(&first.id), after(MINUTE)).await.unwrap();
    // spec: UP-46: what is wanted beyond it is kept until it is made again.
    let more = ["read", "admin"].map(String::from);
    given.connection_wants(&held_by(&PersonId::new("usr_b")), &first.server, &more).await.unwrap();
    assert_eq!(given.now_at(&first).await.unwrap().wants, [""; 0]);
    given.connection_wants(&ada, &first.server, &more).await.unwrap();
    assert_eq!(given.now_at(&first).await.unwrap().wants, more);
    given.connection_wants(&ada, &first.server, &["write".to_owned(), "read".to_owned()]).await.unwrap();
    assert_eq!(given.now_at(&first).await.unwrap().wants, ["read", "admin", "write"]);
    assert!(given.connection_needs_sign_in(&first.id, first.version, None, "invalid_grant", NOW).await.unwrap());

    let (id, at, no_scopes) = (ConnectionId::new("con_other"), server("a"), []);
    let key = NewConnection {
        id: &id,
        holder: &ada,
        server: &at,
        kind: ConnectionKind::Key,
        issuer: None,
        resource: None,
        client_id: None,
        scopes: &no_scopes,
        account: None,
        sealed: b"a key",
        expires_at: None,
        renew_at: None,
    };
    let made = given.put_connection(&key, after(HOUR)).await.unwrap();
    let now = &made.connection;
    assert_eq!(
        (now.id.clone(), now.version, now.created_at),
        (first.id.clone(), first.version + 2, NOW),
        "its place stays"
    );
    assert_eq!((now.kind, now.issuer.as_deref(), now.scopes.len()), (ConnectionKind::Key, None, 0));
    assert_eq!((now.state, now.why.as_deref(), now.used_at), (ConnectionState::Good, None, Some(after(MINUTE))));
    assert!(now.wants.is_empty());
    assert_eq!(now.refreshed_at, after(HOUR));
    assert_eq!(made.replaced.unwrap().state, ConnectionState::NeedsSignIn);
    let changes = given.changes_since(seen).await.unwrap();
    let kinds: Vec<_> = changes.iter().map(|change| (change.kind, change.key.as_str())).collect();
    assert_eq!(kinds, [(ChangeKind::Connection, "con_first"); 3]);
}

async fn nobody_without_an_account_gets_a_connection(given: &Given) {
    let ada = given.person("ada").await.id;
    given.store.offboard(&ada, Extent::Account, NOW).await.unwrap();
    for holder in [held_by(&ada), held_by(&PersonId::new("usr_no"))] {
        assert!(matches!(given.connect(&holder, "a", "x", NOW).await, Err(StoreError::Missing)));
    }
    assert!(given.connect(&Holder::Shared, "a", "x", NOW).await.is_ok());
}

/// Whoever waits for one that is later than the one they know is not left waiting, and what was remembered of the one before
/// is not taken for that of the new one.
async fn connection_that_is_removed_and_made_again_is_a_later_one(given: &Given) {
    let first = given.connected(&Holder::Shared, "a", "one").await;
    assert!(given.refreshed(&first, "two", NOW).await);
    let removed = given.remove_connection(&Holder::Shared, &server("a"), after(MINUTE)).await.unwrap().unwrap();
    let again = given.connect(&Holder::Shared, "a", "again", after(MINUTE)).await.unwrap();
    assert!(again.version > removed.version, "{} after {}", again.version, removed.version);
}

/// spec: UP-43
async fn refresh_is_one_owners_until_its_lease_ends(given: &Given) {
    let connection = given.connected(&Holder::Shared, "a", "one").await;
    assert_eq!(given.lease(&connection, "one", NOW).await, Leased::Yes);
    assert_eq!(given.lease(&connection, "two", after(MINUTE / 2)).await, Leased::No);
    let begun = given.now_at(&connection).await.unwrap();
    assert_eq!((begun.refresh_begun_at, begun.leased_until), (Some(NOW), Some(after(MINUTE))));
    // Whoever had it died: the next one may at once when the lease is over.
    assert_eq!(given.lease(&connection, "two", after(MINUTE)).await, Leased::Yes);
    assert!(given.refreshed(&connection, "new", after(MINUTE)).await);
    let now = given.now_at(&connection).await.unwrap();
    assert_eq!((now.version, now.refresh_begun_at, now.leased_until), (connection.version + 1, None, None));
    assert_eq!(now.sealed.as_deref(), Some(&b"new"[..]));
    assert_eq!(given.lease(&connection, "old version", after(HOUR)).await, Leased::No);
}

/// spec: UP-43
async fn hundred_who_want_to_refresh_are_one(given: &Given) {
    let connection = Arc::new(given.connected(&Holder::Shared, "a", "one").await);
    let mut tasks = Vec::new();
    for n in 0..100 {
        let (store, connection) = (given.store.clone(), Arc::clone(&connection));
        tasks.push(tokio::spawn(async move {
            let lease = format!("lease {n}");
            store.lease_connection(&connection.id, connection.version, &lease, after(MINUTE), NOW).await.unwrap()
        }));
    }
    let mut owners = 0;
    for task in tasks {
        owners += u32::from(task.await.unwrap() == Leased::Yes);
    }
    assert_eq!(owners, 1);
}

/// spec: UP-43
async fn refresh_that_came_too_late_changes_nothing(given: &Given) {
    let first = given.connected(&Holder::Shared, "a", "first").await;
    assert_eq!(given.lease(&first, "slow", NOW).await, Leased::Yes);
    let again = given.connected(&Holder::Shared, "a", "again").await;
    assert_eq!(again.leased_until, None, "who waits for a refresh of the old one waits no longer");
    let seen = given.revision().await.unwrap();
    assert!(!given.refreshed(&first, "of the old one", after(MINUTE)).await);
    assert!(!given.connection_failing(&first.id, "slow", "timeout", after(HOUR), NOW).await.unwrap());
    assert!(
        !given.connection_needs_sign_in(&first.id, first.version, Some("slow"), "invalid_grant", NOW).await.unwrap()
    );
    assert_eq!(given.now_at(&first).await, Some(again));
    assert_eq!(given.revision().await.unwrap(), seen);
}

/// spec: T-51
async fn removal_wins_over_a_refresh_under_way(given: &Given) {
    let ada = given.person("ada").await.id;
    for way in ["disconnected", "offboarded"] {
        let connection = given.connected(&held_by(&ada), "a", way).await;
        assert_eq!(given.lease(&connection, "slow", NOW).await, Leased::Yes);
        if way == "disconnected" {
            let removed = given.remove_connection(&held_by(&ada), &server("a"), NOW).await.unwrap().unwrap();
            assert_eq!(removed.sealed.as_deref(), Some(way.as_bytes()), "to be given back");
        } else {
            let done = given.store.offboard(&ada, Extent::Account, NOW).await.unwrap().unwrap();
            assert_eq!(done.connections[0].sealed.as_deref(), Some(way.as_bytes()));
        }
        assert!(!given.refreshed(&connection, "risen", after(MINUTE)).await);
        assert_eq!(given.now_at(&connection).await, None, "{way}");
    }
    assert_eq!(given.remove_connection(&held_by(&ada), &server("a"), NOW).await.unwrap(), None);
}

async fn failed_refresh_keeps_the_credential_and_says_since_when(given: &Given) {
    let connection = given.connected(&Holder::Shared, "a", "one").await;
    for (n, why) in ["timeout", "http_500"].into_iter().enumerate() {
        let now = after(MINUTE * u32::try_from(n).unwrap());
        assert_eq!(given.lease(&connection, why, now).await, Leased::Yes);
        assert!(!given.connection_failing(&connection.id, "somebody else's", why, now, now).await.unwrap());
        assert!(given.connection_failing(&connection.id, why, why, after(HOUR), now).await.unwrap());
    }
    let now = given.now_at(&connection).await.unwrap();
    assert_eq!(
        (now.state, now.why.as_deref(), now.failing_since),
        (ConnectionState::Good, Some("http_500"), Some(NOW))
    );
    assert_eq!((now.sealed, now.version), (connection.sealed.clone(), connection.version));
    assert_eq!((now.renew_at, now.refresh_begun_at, now.leased_until), (Some(after(HOUR)), None, None));
    assert!(given.refreshed(&connection, "new", after(HOUR)).await);
    let now = given.now_at(&connection).await.unwrap();
    assert_eq!((now.why, now.failing_since), (None, None));
}

/// spec: UP-43
async fn dead_grant_needs_a_sign_in_and_keeps_its_place(given: &Given) {
    let connection = given.connected(&Holder::Shared, "a", "dead").await;
    assert_eq!(given.lease(&connection, "l", NOW).await, Leased::Yes);
    let seen = given.revision().await.unwrap();
    assert!(
        !given.connection_needs_sign_in(&connection.id, connection.version, None, "refused", NOW).await.unwrap(),
        "a refresh is on"
    );
    assert!(
        given
            .connection_needs_sign_in(&connection.id, connection.version, Some("l"), "invalid_grant", NOW)
            .await
            .unwrap()
    );
    let now = given.now_at(&connection).await.unwrap();
    assert_eq!((now.state, now.why.as_deref()), (ConnectionState::NeedsSignIn, Some("invalid_grant")));
    assert_eq!((now.sealed, now.version, now.renew_at), (None, connection.version + 1, None));
    assert_eq!((now.account, now.scopes), (connection.account.clone(), connection.scopes.clone()));
    assert_eq!(given.changes_since(seen).await.unwrap().len(), 1);
    assert_eq!(
        given.lease(&Connection { version: connection.version + 1, ..connection.clone() }, "l", NOW).await,
        Leased::No
    );
    assert!(given.due("job", after(DAY)).await.is_empty());
}

/// spec: UP-43
async fn who_lost_the_lease_ends_nothing(given: &Given) {
    let connection = given.connected(&Holder::Shared, "a", "one").await;
    assert_eq!(given.lease(&connection, "slow", NOW).await, Leased::Yes);
    assert_eq!(given.lease(&connection, "fast", after(MINUTE)).await, Leased::Yes);
    // The fast one has the new pair already and is about to write it; the slow one is told that its token was used.
    let ended = given
        .connection_needs_sign_in(&connection.id, connection.version, Some("slow"), "invalid_grant", after(MINUTE))
        .await;
    assert!(!ended.unwrap());
    let late = after(HOUR);
    let ended =
        given.connection_needs_sign_in(&connection.id, connection.version, Some("slow"), "invalid_grant", late).await;
    assert!(!ended.unwrap(), "also when nobody has the lease any more");
    assert!(given.refreshed(&connection, "new", late).await);
}

async fn connections_due_are_given_to_one_and_crashed_refreshes_at_once(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let soon = given.connected(&held_by(&ada.id), "a", "soon").await;
    let crashed = given.connect(&Holder::Shared, "a", "crashed", after(HOUR)).await.unwrap();
    let disabled = given.connected(&held_by(&bob.id), "a", "disabled").await;
    assert!(given.due("early", after(MINUTE)).await.is_empty());
    assert_eq!(given.lease(&crashed, "died", NOW).await, Leased::Yes);
    given.disable_person(&bob.id, NOW).await.unwrap();

    let at = after(55 * MINUTE);
    let (one, two) = (given.due("one", at).await, given.due("two", at).await);
    assert_eq!(one, [crashed.id.clone(), soon.id.clone()]);
    assert!(two.is_empty(), "{two:?}");
    assert!(given.now_at(&disabled).await.is_none_or(|left| left.leased_until.is_none()));
    assert!(given.refreshed(&soon, "new", at).await);
    assert_eq!(given.due("three", at.plus(2 * MINUTE)).await, std::slice::from_ref(&crashed.id));
    let limited = ConnectionsDue { limit: 0, lease: "four", lease_until: after(DAY) };
    assert!(given.connections_due(&limited, after(DAY)).await.unwrap().is_empty());
}

async fn use_is_noted_forward_only(given: &Given) {
    let (one, two) =
        (given.connected(&Holder::Shared, "a", "one").await, given.connected(&Holder::Shared, "b", "two").await);
    let ids = [one.id.clone(), two.id.clone(), ConnectionId::new("con_gone")];
    given.connection_used(&ids, after(HOUR)).await.unwrap();
    given.connection_used(&ids[..1], NOW).await.unwrap();
    assert_eq!(given.now_at(&one).await.unwrap().used_at, Some(after(HOUR)));
    assert_eq!(given.now_at(&two).await.unwrap().version, two.version, "no reason to load it again");
}

/// spec: UP-47, T-53
async fn offboarding_takes_connections_flows_and_lists(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let mine = [given.connected(&held_by(&ada.id), "a", "a").await, given.connected(&held_by(&ada.id), "b", "b").await];
    let his = given.connected(&held_by(&bob.id), "a", "c").await;
    let shared = given.connected(&Holder::Shared, "a", "d").await;
    let list = ToolList { digest: digest("list"), list: "[]".into(), seen_at: NOW };
    for holder in [Some(&mine[0].holder), Some(&his.holder), None] {
        given.put_tool_list(&server("a"), holder, &list).await.unwrap();
    }
    given.begin("state", &ada.id).await;

    let kept = given.store.offboard(&ada.id, Extent::SignIns, NOW).await.unwrap().unwrap();
    assert!(kept.connections.is_empty() && given.now_at(&mine[0]).await.is_some(), "signing out is not leaving");

    let seen = given.revision().await.unwrap();
    let done = given.store.offboard(&ada.id, Extent::Account, NOW).await.unwrap().unwrap();
    assert_eq!(done.connections, mine);
    assert!(given.connections_of(&ada.id).await.unwrap().is_empty());
    assert!(given.arrive("state").await.is_none(), "a flow under way makes nothing afterwards");
    assert_eq!(given.tool_list(&server("a"), Some(&mine[0].holder)).await.unwrap(), None);
    assert!(given.tool_list(&server("a"), Some(&his.holder)).await.unwrap().is_some());
    assert_eq!((given.now_at(&his).await, given.now_at(&shared).await), (Some(his), Some(shared)));
    let told: Vec<_> = given.changes_since(seen).await.unwrap();
    for connection in &mine {
        let id = connection.id.as_str();
        assert!(told.iter().any(|change| change.kind == ChangeKind::Connection && change.key == id), "{id}");
    }
}

async fn connections_are_listed_by_person_server_and_page(given: &Given) {
    let ada = held_by(&given.person("ada").await.id);
    for (holder, at, sealed) in [(&ada, "b", "1"), (&ada, "a", "2"), (&Holder::Shared, "a", "3")] {
        given.connected(holder, at, sealed).await;
    }
    let ids = |listed: Vec<Connection>| listed.into_iter().map(|one| one.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(given.connections_of(ada.person().unwrap()).await.unwrap()), ["con_2", "con_1"]);
    assert_eq!(ids(given.connections_at(&server("a")).await.unwrap()), ["con_2", "con_3"]);
    let page = given.all_connections(Paging { skip: 1, take: 1 }).await.unwrap();
    assert_eq!((page.total, ids(page.items)), (3, vec!["con_3".to_owned()]));
    assert_eq!(ids(given.all_connections(Paging::WHOLE).await.unwrap().items), ["con_2", "con_3", "con_1"]);
}

/// spec: UP-47
async fn server_that_goes_takes_its_connections_along(given: &Given) {
    let ada = held_by(&given.person("ada").await.id);
    let gone = [given.connected(&ada, "a", "1").await, given.connected(&Holder::Shared, "a", "2").await];
    let stays = given.connected(&ada, "b", "3").await;
    assert_eq!(given.remove_connections_at(&server("a"), NOW).await.unwrap(), gone);
    assert_eq!(given.connections_of(ada.person().unwrap()).await.unwrap(), [stays]);
    assert!(given.remove_connections_at(&server("a"), NOW).await.unwrap().is_empty());
}
