use portcullis_base::{PersonId, SessionId};
use portcullis_oauth::grant::RevokedWhy;
use portcullis_store::{ChangeKind, Ended, NewSession, StoreError};

use crate::{
    given::{DAY, Given, HOUR, ISSUER, MINUTE, NOW, PROVIDER, after, credential, digest, session, session_id},
    on_both,
};

on_both!(
    session_remembers_where_it_came_from,
    sign_ins_end_by_subject_or_by_session_of_the_provider,
    one_session_ends_by_its_name_and_only_its_owners,
    session_ends_idle_or_absolutely,
    used_session_stays,
    ended_session_is_gone,
    session_needs_a_person,
    ended_mcp_session_is_announced_once,
    identifier_is_spent_once,
    meta_is_written_once,
);

async fn session_ends_idle_or_absolutely(given: &Given) {
    let ada = given.person("ada").await;
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    let (session, person) = given.session(&digest("cookie"), NOW, HOUR).await.unwrap().unwrap();
    assert_eq!((session.created_at, session.expires_at, &person), (NOW, after(DAY), &ada));
    assert_eq!(given.session(&digest("other"), NOW, HOUR).await.unwrap(), None);
    assert_eq!(given.session(&digest("cookie"), after(HOUR), HOUR).await.unwrap(), None, "idle");
    assert_eq!(given.session(&digest("cookie"), after(DAY), 2 * DAY).await.unwrap(), None, "at its absolute end");
}

async fn used_session_stays(given: &Given) {
    let ada = given.person("ada").await;
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    for half_hours in 1..8 {
        let now = after(half_hours * 30 * MINUTE);
        let (session, _) = given.session(&digest("cookie"), now, HOUR).await.unwrap().unwrap();
        assert_eq!((session.seen_at, session.created_at), (now, NOW));
    }
}

async fn ended_session_is_gone(given: &Given) {
    let ada = given.person("ada").await;
    for _ in 0..2 {
        given.sign_in("one", &ada.id, after(DAY)).await.unwrap();
        assert!(given.end_session(&digest("one")).await.unwrap());
        assert!(!given.end_session(&digest("one")).await.unwrap());
    }
    for seed in 0..3 {
        given.sign_in(&credential(seed), &ada.id, after(DAY)).await.unwrap();
    }
    assert_eq!(given.end_sessions_of(&ada.id).await.unwrap(), 3);
    assert_eq!(given.session(&digest(&credential(0)), NOW, HOUR).await.unwrap(), None);
}

async fn session_needs_a_person(given: &Given) {
    let started = given.sign_in("cookie", &PersonId::new("usr_nobody"), after(DAY)).await;
    assert!(matches!(started, Err(StoreError::Missing)));
    let ada = given.person("ada").await;
    given.disable_person(&ada.id, NOW).await.unwrap();
    assert!(matches!(given.sign_in("cookie", &ada.id, after(DAY)).await, Err(StoreError::Missing)));
}

async fn ended_mcp_session_is_announced_once(given: &Given) {
    let id = SessionId::new("ses_1");
    assert!(given.end_mcp_session(&id, NOW, after(HOUR)).await.unwrap());
    assert!(!given.end_mcp_session(&id, NOW, after(HOUR)).await.unwrap());
    assert_eq!(given.ended_mcp_sessions(NOW).await.unwrap(), [(id, after(HOUR))]);
    assert!(given.ended_mcp_sessions(after(HOUR)).await.unwrap().is_empty());
    assert_eq!(given.revision().await.unwrap(), 1);
}

/// spec: AS-63
async fn identifier_is_spent_once(given: &Given) {
    let long = "x".repeat(100_000);
    for id in ["jti", "jti\0", long.as_str()] {
        let mut tries = Vec::new();
        for _ in 0..10 {
            let (store, id) = (given.store.clone(), id.to_owned());
            tries.push(tokio::spawn(async move { store.spend(&id, after(MINUTE)).await.unwrap() }));
        }
        let mut spent = 0;
        for one in tries {
            spent += u32::from(one.await.unwrap());
        }
        assert_eq!(spent, 1);
    }
}

async fn meta_is_written_once(given: &Given) {
    assert_eq!(given.meta("installation").await.unwrap(), None);
    assert_eq!(given.claim_meta("installation", "first").await.unwrap(), "first");
    assert_eq!(given.claim_meta("installation", "second").await.unwrap(), "first");
    assert_eq!(given.meta("installation").await.unwrap().as_deref(), Some("first"));
}

async fn session_remembers_where_it_came_from(given: &Given) {
    let ada = given.signed_up("ada", &[]).await;
    given.session_from_provider("company", &ada, Some("sid-1")).await;
    given.sign_in("local", &ada.id, after(DAY)).await.unwrap();
    let long = "x".repeat(500);
    let (hash, id) = (digest("long"), session_id("long"));
    given.start_session(&NewSession { agent: &long, ..session(&hash, &id, &ada.id, after(HOUR)) }, NOW).await.unwrap();

    let (found, person) = given.session(&digest("company"), NOW, HOUR).await.unwrap().unwrap();
    assert_eq!(person.id, ada.id);
    assert_eq!((found.provider.as_deref(), found.issuer.as_deref()), (Some(PROVIDER), Some(ISSUER)));
    assert_eq!((found.subject.as_deref(), found.sid.as_deref()), (Some("ada"), Some("sid-1")));
    assert_eq!((found.acr.as_deref(), found.logout_hint.as_deref()), (Some("silver"), Some(&b"sealed hint"[..])));
    assert_eq!((found.agent.as_str(), found.address.unwrap().to_string().as_str()), ("Browser/1.0", "192.0.2.7"));

    let all = given.sessions_of(&ada.id, after(HOUR)).await.unwrap();
    assert_eq!(all.len(), 2, "what has expired is not listed");
    let all = given.sessions_of(&ada.id, NOW).await.unwrap();
    assert_eq!(all.iter().find(|one| one.id == id).unwrap().agent.len(), 200);

    assert!(given.authenticated_again(&digest("company"), after(MINUTE), Some("gold")).await.unwrap());
    let (found, _) = given.session(&digest("company"), NOW, HOUR).await.unwrap().unwrap();
    assert_eq!((found.authenticated_at, found.acr.as_deref()), (after(MINUTE), Some("gold")));
    assert!(!given.authenticated_again(&digest("nothing"), NOW, None).await.unwrap());
}

async fn one_session_ends_by_its_name_and_only_its_owners(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    given.sign_in("ada's", &ada.id, after(DAY)).await.unwrap();
    given.sign_in("other of ada", &ada.id, after(DAY)).await.unwrap();
    let grant = given.granted_in("grt_1", "ada's", &ada.id).await;
    assert!(!given.end_session_by_id(&bob.id, &session_id("ada's")).await.unwrap());
    assert!(given.is_signed_in("ada's").await);
    assert!(given.end_session_by_id(&ada.id, &session_id("ada's")).await.unwrap());
    assert!(!given.end_session_by_id(&ada.id, &session_id("ada's")).await.unwrap());
    assert!(!given.is_signed_in("ada's").await && given.is_signed_in("other of ada").await);
    assert!(!given.is_revoked(&grant).await, "what was granted there stays");
}

/// spec: T-53
async fn sign_ins_end_by_subject_or_by_session_of_the_provider(given: &Given) {
    let (ada, bob) = (given.signed_up("ada", &[]).await, given.signed_up("bob", &[]).await);
    for (cookie, person, sid) in [("a1", &ada, "s1"), ("a2", &ada, "s2"), ("b1", &bob, "s3")] {
        given.session_from_provider(cookie, person, Some(sid)).await;
    }
    given.sign_in("local", &ada.id, after(DAY)).await.unwrap();
    let a1 = given.granted_in("grt_a1", "a1", &ada.id).await;
    let a2 = given.granted_in("grt_a2", "a2", &ada.id).await;
    let local = given.granted_in("grt_local", "local", &ada.id).await;
    // The browser signed out long ago; what was approved in it is still known as the provider's.
    given.end_session(&digest("a1")).await.unwrap();

    let nothing = Ended::default();
    assert_eq!(given.end_sign_ins(ISSUER, None, None, NOW).await.unwrap(), nothing);
    assert_eq!(given.end_sign_ins("https://other.example", Some("ada"), None, NOW).await.unwrap(), nothing);
    assert_eq!(given.end_sign_ins(ISSUER, Some("bob"), Some("s1"), NOW).await.unwrap(), nothing, "both must fit");

    let seen = given.revision().await.unwrap();
    let ended = given.end_sign_ins(ISSUER, None, Some("s1"), NOW).await.unwrap();
    assert_eq!(ended, Ended { sessions: 0, grants: vec![a1.id.clone()] });
    assert_eq!(given.grant(&a1.id).await.unwrap().unwrap().revoked.unwrap().why, RevokedWhy::SignedOutAtProvider);
    let change = given.changes_since(seen).await.unwrap().pop().unwrap();
    assert_eq!((change.kind, change.key.as_str()), (ChangeKind::GrantRevoked, "grt_a1"));
    assert!(given.is_signed_in("a2").await && !given.is_revoked(&a2).await);

    let ended = given.end_sign_ins(ISSUER, Some("ada"), None, NOW).await.unwrap();
    assert_eq!(ended, Ended { sessions: 1, grants: vec![a2.id.clone()] });
    assert!(!given.is_signed_in("a2").await && given.is_signed_in("b1").await);
    assert!(
        given.is_signed_in("local").await && !given.is_revoked(&local).await,
        "that was no sign-in at the provider"
    );
}
