use std::sync::Arc;

use portcullis_base::{ClientId, PersonId};
use portcullis_store::Purged;

use crate::{
    given::{DAY, Given, HOUR, NOW, after},
    on_both,
};

on_both!(labels_are_of_one_person_and_client_until_they_end);

async fn labels_are_of_one_person_and_client_until_they_end(given: &Given) {
    let (alice, bob) = (given.person("alice").await.id, given.person("bob").await.id);
    let (one, two) = (ClientId::new("one"), ClientId::new("two"));
    let read = async |person: &PersonId, client: &ClientId, now| {
        let other = given.database.open().await.unwrap();
        other.session_labels(person, client, now).await.unwrap().join(" ")
    };
    let labels: [Arc<str>; 2] = ["tainted".into(), "private".into()];
    given.label_session(&alice, &one, &labels, after(DAY)).await.unwrap();
    assert_eq!(read(&alice, &one, NOW).await, "private tainted");
    assert_eq!(read(&alice, &two, NOW).await, "");
    assert_eq!(read(&bob, &one, NOW).await, "");
    // What comes later lasts longer; what is said of a shorter time takes nothing away.
    given.label_session(&alice, &one, &labels[..1], after(2 * DAY)).await.unwrap();
    given.label_session(&alice, &one, &labels, after(HOUR)).await.unwrap();
    assert_eq!(read(&alice, &one, after(HOUR)).await, "private tainted");
    assert_eq!(read(&alice, &one, after(DAY)).await, "tainted");
    assert_eq!(given.purge_rights(NOW, after(DAY + HOUR)).await.unwrap(), Purged { rows: 1 });
    assert_eq!(read(&alice, &one, after(DAY + HOUR)).await, "tainted");
    assert_eq!(read(&alice, &one, after(2 * DAY)).await, "");
}
