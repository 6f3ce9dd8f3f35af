use std::collections::HashSet;

use portcullis_store::ChangeKind;

use crate::{
    given::{DAY, Given, HOUR, NOW, after, new_person},
    on_both,
};

on_both!(changes_come_in_order, reader_misses_no_change, pruned_feed_still_tells_that_there_is_something_new);

async fn changes_come_in_order(given: &Given) {
    assert_eq!(given.revision().await.unwrap(), 0);
    let ada = given.person("ada").await;
    let seen = given.revision().await.unwrap();
    given.granted("grt_1", &ada.id, "c").await;
    given.granted("grt_2", &ada.id, "c").await;
    assert_eq!(given.revision().await.unwrap(), seen, "a new grant concerns no other node");
    given.disable_person(&ada.id, after(HOUR)).await.unwrap();
    let changes = given.changes_since(seen).await.unwrap();
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Person, ChangeKind::GrantRevoked, ChangeKind::GrantRevoked]);
    assert!(changes.is_sorted_by(|a, b| a.revision < b.revision) && changes.iter().all(|c| c.at == after(HOUR)));
    assert!(given.changes_since(given.revision().await.unwrap()).await.unwrap().is_empty());
}

/// Revisions become visible in their order, however many write at once: otherwise a reader would go past one.
///
/// spec: AS-89
async fn reader_misses_no_change(given: &Given) {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = given.store.clone();
        writers.push(tokio::spawn(async move {
            for n in 0..EACH {
                store.create_person(&new_person(&format!("p{writer}x{n}")), NOW).await.unwrap();
            }
        }));
    }
    let mut seen = HashSet::new();
    let mut revision = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) || revision < given.revision().await.unwrap() {
        for change in given.changes_since(revision).await.unwrap() {
            assert!(change.revision > revision);
            revision = change.revision;
            seen.insert(change.key);
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen.len(), WRITERS * EACH);
}

async fn pruned_feed_still_tells_that_there_is_something_new(given: &Given) {
    given.person("ada").await;
    given.person("bob").await;
    let newest = given.revision().await.unwrap();
    given.purge(after(2 * DAY)).await.unwrap();
    assert_eq!(given.revision().await.unwrap(), newest);
    assert_eq!(given.changes_since(0).await.unwrap().len(), 1);
    given.person("eve").await;
    given.purge(after(2 * DAY)).await.unwrap();
    assert!(given.revision().await.unwrap() > newest, "a revision is not given twice");
}
