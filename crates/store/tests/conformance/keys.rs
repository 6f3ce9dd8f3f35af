use portcullis_base::Timestamp;
use portcullis_store::{ChangeKind, SigningKeyRow};

use crate::{
    given::{DAY, Given, NOW, after},
    on_both,
};

on_both!(first_start_of_two_nodes_makes_one_key, rotation_happens_once, retired_keys_are_neither_read_nor_kept);

fn key(kid: &str, activates_at: Timestamp) -> SigningKeyRow {
    SigningKeyRow {
        kid: kid.into(),
        sealed: vec![0, 159, 146, 150],
        public_jwk: format!("{{\"kid\":\"{kid}\"}}"),
        activates_at,
        retires_at: activates_at.plus(30 * DAY),
    }
}

async fn first_start_of_two_nodes_makes_one_key(given: &Given) {
    let mut nodes = Vec::new();
    for n in 0..10 {
        let store = given.store.clone();
        let key = key(&format!("key{n}"), NOW);
        nodes.push(tokio::spawn(async move { store.put_signing_key(&key, None, NOW).await.unwrap() }));
    }
    let mut made = 0;
    for node in nodes {
        made += u32::from(node.await.unwrap());
    }
    assert_eq!((made, given.signing_keys(NOW).await.unwrap().len()), (1, 1));
}

async fn rotation_happens_once(given: &Given) {
    let (old, new) = (key("z-old", NOW), key("a-new", after(20 * DAY)));
    assert!(given.put_signing_key(&old, None, NOW).await.unwrap());
    let before = given.revision().await.unwrap();
    assert!(given.put_signing_key(&new, Some("z-old"), NOW).await.unwrap());
    assert!(!given.put_signing_key(&key("late", after(20 * DAY)), Some("z-old"), NOW).await.unwrap());
    assert_eq!(given.signing_keys(NOW).await.unwrap(), [old, new]);
    let changes = given.changes_since(before).await.unwrap();
    assert_eq!((changes.len(), changes[0].kind, changes[0].key.as_str()), (1, ChangeKind::SigningKey, "a-new"));
}

async fn retired_keys_are_neither_read_nor_kept(given: &Given) {
    assert!(given.put_signing_key(&key("old", NOW), None, NOW).await.unwrap());
    let late = after(31 * DAY);
    assert!(given.signing_keys(late).await.unwrap().is_empty());
    // A gateway that was off for that long starts anew.
    assert!(given.put_signing_key(&key("new", late), None, late).await.unwrap());
    given.purge(late).await.unwrap();
    assert!(!given.put_signing_key(&key("other", late), Some("old"), NOW).await.unwrap());
    assert_eq!(given.signing_keys(NOW).await.unwrap(), [key("new", late)]);
}
