use portcullis_base::{PersonId, SessionId};
use portcullis_store::StoreError;

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, after, credential, digest},
    on_both,
};

on_both!(
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
    given.start_session(&digest("cookie"), &ada.id, NOW, after(DAY)).await.unwrap();
    let (session, person) = given.session(&digest("cookie"), NOW, HOUR).await.unwrap().unwrap();
    assert_eq!((session.created_at, session.expires_at, &person), (NOW, after(DAY), &ada));
    assert_eq!(given.session(&digest("other"), NOW, HOUR).await.unwrap(), None);
    assert_eq!(given.session(&digest("cookie"), after(HOUR), HOUR).await.unwrap(), None, "idle");
    assert_eq!(given.session(&digest("cookie"), after(DAY), 2 * DAY).await.unwrap(), None, "at its absolute end");
}

async fn used_session_stays(given: &Given) {
    let ada = given.person("ada").await;
    given.start_session(&digest("cookie"), &ada.id, NOW, after(DAY)).await.unwrap();
    for half_hours in 1..8 {
        let now = after(half_hours * 30 * MINUTE);
        let (session, _) = given.session(&digest("cookie"), now, HOUR).await.unwrap().unwrap();
        assert_eq!((session.seen_at, session.created_at), (now, NOW));
    }
}

async fn ended_session_is_gone(given: &Given) {
    let ada = given.person("ada").await;
    for _ in 0..2 {
        given.start_session(&digest("one"), &ada.id, NOW, after(DAY)).await.unwrap();
        assert!(given.end_session(&digest("one")).await.unwrap());
        assert!(!given.end_session(&digest("one")).await.unwrap());
    }
    for seed in 0..3 {
        given.start_session(&digest(&credential(seed)), &ada.id, NOW, after(DAY)).await.unwrap();
    }
    assert_eq!(given.end_sessions_of(&ada.id).await.unwrap(), 3);
    assert_eq!(given.session(&digest(&credential(0)), NOW, HOUR).await.unwrap(), None);
}

async fn session_needs_a_person(given: &Given) {
    let started = given.start_session(&digest("cookie"), &PersonId::new("usr_nobody"), NOW, after(DAY)).await;
    assert!(matches!(started, Err(StoreError::Missing)));
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
