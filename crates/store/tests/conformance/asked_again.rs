use portcullis_base::PersonId;
use portcullis_store::{Due, Identity, LinkBy, NewPeople, ProviderSignIn};

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, digest, session},
    on_both,
};

on_both!(
    one_who_asks_is_enough,
    a_successor_is_kept_unless_somebody_signed_in_anew,
    a_token_used_for_something_else_leaves_the_identity_free_and_as_old_as_it_was,
    who_cannot_be_asked_about_is_due_when_the_time_without_an_answer_is_over,
);

const ISSUER: &str = "https://login.example";

async fn signed_in(given: &Given, subject: &str, refresh: Option<&[u8]>) -> PersonId {
    let id = PersonId::new(format!("usr_{subject}"));
    let sign_in = ProviderSignIn {
        provider: "company",
        issuer: ISSUER,
        subject,
        tenant: None,
        external_id: None,
        email: None,
        names: &[subject.to_owned()],
        display_name: subject,
        groups: None,
        refresh_sealed: refresh,
        sign_up: NewPeople::Welcome,
        link: LinkBy::Nothing,
        new_person: &id,
    };
    given.sign_in_identity(&sign_in, NOW).await.unwrap();
    id
}

async fn known(given: &Given, subject: &str) -> Identity {
    given.identity(ISSUER, subject).await.unwrap().unwrap()
}

async fn one_who_asks_is_enough(given: &Given) {
    signed_in(given, "ada", Some(b"r-1")).await;
    let now = NOW.plus(HOUR);
    let lease = async |at| given.lease_identity(ISSUER, "ada", NOW.plus(MINUTE), now.plus(MINUTE), at).await.unwrap();
    assert!(given.lease_identity(ISSUER, "ada", NOW, now.plus(MINUTE), now).await.unwrap().is_none(), "not due");
    assert!(given.lease_identity(ISSUER, "bob", now, now.plus(MINUTE), now).await.unwrap().is_none(), "nobody");
    assert_eq!(lease(now).await.unwrap().refresh_sealed.as_deref(), Some(&b"r-1"[..]));
    assert!(lease(now).await.is_none(), "somebody asks already");
    assert!(lease(now.plus(MINUTE)).await.is_some(), "the lease is over");
    given.identity_checked(ISSUER, "ada", None, None, now).await.unwrap();
    assert!(lease(now.plus(HOUR)).await.is_none(), "vouched for a moment ago");
}

async fn a_successor_is_kept_unless_somebody_signed_in_anew(given: &Given) {
    signed_in(given, "ada", Some(b"r-1")).await;
    let before = known(given, "ada").await;
    given.keep_identity_token(&before, b"r-2").await.unwrap();
    let after = known(given, "ada").await;
    assert_eq!(after, Identity { refresh_sealed: Some(b"r-2".to_vec()), ..before.clone() });
    let elsewhere = Identity { signed_in_at: NOW.minus(MINUTE), ..before };
    given.keep_identity_token(&elsewhere, b"r-3").await.unwrap();
    assert_eq!(known(given, "ada").await, after);
}

async fn a_token_used_for_something_else_leaves_the_identity_free_and_as_old_as_it_was(given: &Given) {
    signed_in(given, "ada", Some(b"r-1")).await;
    let now = NOW.plus(HOUR);
    let lease = async || given.lease_identity(ISSUER, "ada", NOW.plus(DAY), now.plus(MINUTE), now).await.unwrap();
    let leased = lease().await.unwrap();
    assert!(lease().await.is_none());
    given.identity_token_used(&leased, Some(b"r-2")).await.unwrap();
    let after = known(given, "ada").await;
    assert_eq!(after, Identity { refresh_sealed: Some(b"r-2".to_vec()), ..leased.clone() });
    assert_eq!(after.checked_at, leased.checked_at, "nobody was vouched for");
    let again = lease().await.unwrap();
    given.identity_token_used(&again, None).await.unwrap();
    assert_eq!(known(given, "ada").await.refresh_sealed.as_deref(), Some(&b"r-2"[..]));
    let elsewhere = Identity { signed_in_at: NOW.minus(MINUTE), ..again };
    given.identity_token_used(&elsewhere, Some(b"r-3")).await.unwrap();
    assert_eq!(known(given, "ada").await.refresh_sealed.as_deref(), Some(&b"r-2"[..]), "they signed in anew meanwhile");
}

async fn who_cannot_be_asked_about_is_due_when_the_time_without_an_answer_is_over(given: &Given) {
    for (subject, refresh) in [("ada", Some(&b"r-1"[..])), ("bob", None)] {
        let person = signed_in(given, subject, refresh).await;
        given.start_session(&session(&digest(subject), subject, &person, NOW.plus(DAY)), NOW).await.unwrap();
    }
    let due = async |now: portcullis_base::Timestamp| {
        let due = Due {
            checked_before: now.minus(MINUTE),
            unasked_before: now.minus(DAY / 2),
            active_since: NOW,
            lease_until: now.plus(MINUTE),
            limit: 10,
        };
        let found = given.identities_due(&due, now).await.unwrap();
        found.into_iter().map(|identity| identity.subject).collect::<Vec<_>>()
    };
    assert_eq!(due(NOW).await, Vec::<String>::new());
    assert_eq!(due(NOW.plus(HOUR)).await, ["ada"]);
    assert_eq!(due(NOW.plus(DAY / 2).plus(MINUTE)).await, ["ada", "bob"]);
}
