use portcullis_store::{ChangeKind, KeyRingRow, Store};

use crate::{
    given::{Given, MINUTE, NOW, after},
    on_both,
};

on_both!(
    first_start_of_many_nodes_begins_one_ring,
    ring_changes_only_as_it_was_seen,
    retired_data_key_is_gone_but_for_the_first,
    root_key_is_retired_only_while_another_opens_everything,
    ring_of_a_database_before_its_migration_is_empty,
);

fn row(id: i64, root: &str) -> KeyRingRow {
    KeyRingRow {
        id,
        root_key: root.into(),
        wrapped: format!("{id} under {root}").into_bytes(),
        created_at: NOW,
        active_from: after(MINUTE),
        retired_at: None,
    }
}

async fn first_start_of_many_nodes_begins_one_ring(given: &Given) {
    let mut nodes = Vec::new();
    for n in 0..10 {
        let store = given.store.clone();
        let first = row(1, &format!("root {n}"));
        nodes.push(tokio::spawn(async move { store.claim_key_ring(&first, NOW).await.unwrap() }));
    }
    let mut rings = Vec::new();
    for node in nodes {
        rings.push(node.await.unwrap());
    }
    assert!(rings.iter().all(|ring| *ring == rings[0] && ring.len() == 1));
    assert_eq!(given.key_ring().await.unwrap(), rings[0]);
}

async fn ring_changes_only_as_it_was_seen(given: &Given) {
    let begun = given.claim_key_ring(&row(1, "a"), NOW).await.unwrap();
    let seen = given.revision().await.unwrap();
    assert!(given.add_to_key_ring(&[row(2, "a")], &begun, NOW).await.unwrap());
    assert!(!given.add_to_key_ring(&[row(3, "a")], &begun, NOW).await.unwrap(), "it was another ring that was seen");
    assert_eq!(given.key_ring().await.unwrap(), [row(1, "a"), row(2, "a")]);
    let changes = given.changes_since(seen).await.unwrap();
    assert_eq!((changes.len(), changes[0].kind, changes[0].key.as_str()), (1, ChangeKind::KeyRing, "2"));
}

/// spec: T-44
async fn retired_data_key_is_gone_but_for_the_first(given: &Given) {
    let begun = given.claim_key_ring(&row(1, "a"), NOW).await.unwrap();
    given.add_to_key_ring(&[row(2, "a"), row(3, "a")], &begun, NOW).await.unwrap();
    for id in [1, 2] {
        assert!(given.retire_data_key(id, after(MINUTE)).await.unwrap());
        assert!(!given.retire_data_key(id, after(2 * MINUTE)).await.unwrap());
    }
    let ring = given.key_ring().await.unwrap();
    let gone: Vec<_> = ring.iter().map(|row| (row.id, row.wrapped.is_empty(), row.retired_at)).collect();
    assert_eq!(gone, [(1, false, Some(after(MINUTE))), (2, true, Some(after(MINUTE))), (3, false, None)]);
}

async fn root_key_is_retired_only_while_another_opens_everything(given: &Given) {
    let begun = given.claim_key_ring(&row(1, "a"), NOW).await.unwrap();
    given.add_to_key_ring(&[row(2, "a"), row(1, "b")], &begun, NOW).await.unwrap();
    assert!(!given.retire_root_key("a", NOW).await.unwrap(), "data key 2 would be lost");
    let now = given.key_ring().await.unwrap();
    given.add_to_key_ring(&[row(2, "b")], &now, NOW).await.unwrap();
    assert!(!given.retire_root_key("c", NOW).await.unwrap());
    assert!(given.retire_root_key("a", NOW).await.unwrap());
    assert_eq!(given.key_ring().await.unwrap(), [row(1, "b"), row(2, "b")]);
    assert!(!given.retire_root_key("b", NOW).await.unwrap());
}

async fn ring_of_a_database_before_its_migration_is_empty(given: &Given) {
    given.claim_key_ring(&row(1, "a"), NOW).await.unwrap();
    given.database.run("delete from schema where version > 2").await;
    let store = Store::open_without_migrating(given.database.settings()).await.unwrap();
    assert!(store.key_ring().await.unwrap().is_empty());
}
