use portcullis_store::ChangeKind;

use crate::{
    given::{Given, HOUR, after},
    on_both,
};

on_both!(marks_only_lead_on, what_a_copy_brings_back_is_ended_once);

async fn marks_only_lead_on(given: &Given) {
    let first = given.mark("n1", after(HOUR)).await.unwrap();
    let second = given.mark("n2", after(HOUR)).await.unwrap();
    assert!(second > first && given.revision().await.unwrap() == second);
    let marks = given.changes_since(first).await.unwrap();
    assert_eq!((marks[0].kind, marks[0].key.as_str()), (ChangeKind::Mark, "n2"));
}

/// spec: T-101
async fn what_a_copy_brings_back_is_ended_once(given: &Given) {
    let (ada, bea) = (given.person("ada").await, given.person("bea").await);
    given.granted("grt_1", &ada.id, "c").await;
    given.granted("grt_2", &bea.id, "c").await;
    let seen = given.revision().await.unwrap();
    let ended = given.end_what_was_restored(after(HOUR)).await.unwrap();
    assert_eq!((ended.grants, ended.sessions, ended.approvals), (2, 0, 0));
    assert_eq!(given.revoked_grants_alive(after(HOUR)).await.unwrap().len(), 2);
    let told = given.changes_since(seen).await.unwrap();
    assert_eq!(told.iter().filter(|change| change.kind == ChangeKind::GrantRevoked).count(), 2);
    assert_eq!(given.end_what_was_restored(after(2 * HOUR)).await.unwrap().grants, 0);
}
