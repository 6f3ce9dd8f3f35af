use portcullis_base::{AccessGrantId, AccessRequestId, Class, Classes, PersonId, ServerName, Timestamp};
use portcullis_store::{
    AccessAnswer, AccessGrant, AccessGrantKind, AccessRequest, AccessRequestState, ChangeKind, Extent, Purged,
    Requested, StoreError, WishTerms,
};

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, after},
    on_both,
};

on_both!(
    wish_is_answered_once_and_the_right_comes_with_the_answer,
    wishes_for_a_server_are_one_and_for_many_a_few,
    wishes_of_an_hour_are_counted_though_they_were_answered,
    right_ends_by_its_time_or_before,
    who_leaves_has_no_rights_and_no_wishes,
    whose_account_is_switched_off_has_nothing_left_either,
);

const FEW: WishTerms = WishTerms { open: 3, hourly: 10 };

fn wish(id: &str, person: &PersonId, server: &str) -> AccessRequest {
    AccessRequest {
        id: AccessRequestId::new(id),
        person: person.clone(),
        server: ServerName::parse(server).unwrap(),
        classes: Classes::from(Class::Read).with(Class::Write),
        tool: Some("a/tool \u{1f510}".into()),
        duration: HOUR,
        why: "a \u{1f510} reason".into(),
        state: AccessRequestState::Open,
        asked_at: NOW,
        expires_at: after(DAY),
        decided_at: None,
        decided_by: None,
        answer: None,
    }
}

fn right(id: &str, request: &AccessRequest, given_by: &PersonId) -> AccessGrant {
    AccessGrant {
        id: AccessGrantId::new(id),
        person: request.person.clone(),
        server: request.server.clone(),
        kind: AccessGrantKind::Request,
        classes: request.classes,
        tool: request.tool.clone(),
        request: Some(request.id.clone()),
        given_by: given_by.clone(),
        why: request.why.clone(),
        made_at: NOW,
        ends_at: NOW.plus(request.duration),
        revoked_at: None,
        revoked_by: None,
    }
}

async fn wish_is_answered_once_and_the_right_comes_with_the_answer(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let new = wish("arq_1", &ada.id, "shop");
    let seen = given.revision().await.unwrap();
    assert_eq!(given.request_access(&new, FEW).await.unwrap(), Requested::New);
    assert_eq!(given.access_request(&new.id).await.unwrap().as_ref(), Some(&new));
    assert_eq!(given.open_access_requests(9, NOW).await.unwrap(), std::slice::from_ref(&new));
    let mut tasks = Vec::new();
    for n in 0..10 {
        let (store, id, bob, grant) =
            (given.store.clone(), new.id.clone(), bob.id.clone(), right(&format!("acg_{n}"), &new, &bob.id));
        tasks.push(tokio::spawn(async move {
            let answer = if n % 2 == 0 { AccessAnswer::Approved(&grant) } else { AccessAnswer::Refused };
            store.answer_access_request(&id, &bob, &answer, "so be it", NOW).await.unwrap()
        }));
    }
    let mut answers = 0;
    for task in tasks {
        answers += u32::from(task.await.unwrap());
    }
    assert_eq!(answers, 1);
    let found = given.access_request(&new.id).await.unwrap().unwrap();
    assert_eq!((found.decided_by.as_ref(), found.answer.as_deref()), (Some(&bob.id), Some("so be it")));
    let rights = given.access_grants(NOW).await.unwrap();
    assert_eq!(rights.len(), usize::from(found.state == AccessRequestState::Approved));
    assert!(given.open_access_requests(9, NOW).await.unwrap().is_empty());
    assert_eq!(given.access_requests_of(&ada.id).await.unwrap(), [found]);
    let told = given.changes_since(seen).await.unwrap();
    assert_eq!(told.iter().filter(|change| change.kind == ChangeKind::AccessRequest).count(), 2);
    assert_eq!(told.iter().filter(|change| change.kind == ChangeKind::AccessGrant).count(), rights.len());
}

async fn wishes_for_a_server_are_one_and_for_many_a_few(given: &Given) {
    const TWO: WishTerms = WishTerms { open: 2, hourly: 10 };
    let ada = given.person("ada").await;
    let mut tasks = Vec::new();
    for n in 0..10 {
        let (store, new) = (given.store.clone(), wish(&format!("arq_{n}"), &ada.id, "shop"));
        tasks.push(tokio::spawn(async move { store.request_access(&new, TWO).await.unwrap() }));
    }
    let mut new = 0;
    for task in tasks {
        match task.await.unwrap() {
            Requested::New => new += 1,
            Requested::Already(same) => assert_eq!(same.server.as_str(), "shop"),
            Requested::TooMany => panic!("it is one"),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(given.request_access(&wish("arq_b", &ada.id, "bank"), TWO).await.unwrap(), Requested::New);
    assert_eq!(given.request_access(&wish("arq_c", &ada.id, "mail"), TWO).await.unwrap(), Requested::TooMany);
    // What nobody answered in time makes room, and cannot be answered.
    let late =
        |id, server| AccessRequest { asked_at: after(DAY), expires_at: after(2 * DAY), ..wish(id, &ada.id, server) };
    let answer = AccessAnswer::Refused;
    let id = AccessRequestId::new("arq_b");
    assert!(!given.answer_access_request(&id, &ada.id, &answer, "", after(DAY)).await.unwrap());
    assert_eq!(given.request_access(&late("arq_d", "shop"), TWO).await.unwrap(), Requested::New);
    assert_eq!(given.access_request(&id).await.unwrap().unwrap().state, AccessRequestState::Expired);
    assert_eq!(given.expire_access_requests(after(DAY)).await.unwrap(), 0);
    assert_eq!(given.expire_access_requests(after(2 * DAY)).await.unwrap(), 1);
    assert_eq!(given.purge_rights(after(2 * DAY), NOW).await.unwrap(), Purged { rows: 2 });
}

async fn wishes_of_an_hour_are_counted_though_they_were_answered(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let terms = WishTerms { open: 3, hourly: 2 };
    let at = |id: &str, at| AccessRequest { asked_at: at, expires_at: at.plus(DAY), ..wish(id, &ada.id, "shop") };
    for id in ["arq_1", "arq_2"] {
        let new = at(id, NOW);
        assert_eq!(given.request_access(&new, terms).await.unwrap(), Requested::New);
        let answered = given.answer_access_request(&new.id, &bob.id, &AccessAnswer::Refused, "no", NOW).await;
        assert!(answered.unwrap());
    }
    assert_eq!(given.request_access(&at("arq_3", after(MINUTE)), terms).await.unwrap(), Requested::TooMany);
    assert_eq!(given.request_access(&at("arq_3", after(HOUR)), terms).await.unwrap(), Requested::New);
}

async fn right_ends_by_its_time_or_before(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let first = right("acg_1", &wish("arq_1", &ada.id, "shop"), &bob.id);
    let glass = AccessGrant {
        id: AccessGrantId::new("acg_2"),
        kind: AccessGrantKind::BreakGlass,
        request: None,
        ends_at: after(MINUTE),
        ..first.clone()
    };
    let seen = given.revision().await.unwrap();
    given.give_access(&first).await.unwrap();
    given.give_access(&glass).await.unwrap();
    assert_eq!(given.access_grants(NOW).await.unwrap(), [first.clone(), glass.clone()]);
    assert_eq!(given.access_grants(after(MINUTE)).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(given.access_grants(after(HOUR)).await.unwrap(), []);
    assert!(!given.revoke_access(&glass.id, &bob.id, after(MINUTE)).await.unwrap(), "it is over");
    assert!(given.revoke_access(&first.id, &bob.id, NOW).await.unwrap());
    assert!(!given.revoke_access(&first.id, &bob.id, NOW).await.unwrap());
    assert_eq!(given.access_grant(&glass.id).await.unwrap().as_ref(), Some(&glass));
    assert_eq!(given.access_grants(NOW).await.unwrap(), [glass]);
    assert_eq!(given.access_grants_of(&ada.id).await.unwrap()[0].revoked_by.as_ref(), Some(&bob.id));
    let told = given.changes_since(seen).await.unwrap();
    assert_eq!(told.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::AccessGrant; 3]);
    let just_after = Timestamp::from_millis(after(MINUTE).as_millis() + 1);
    assert_eq!(given.purge_rights(just_after, NOW).await.unwrap(), Purged { rows: 2 });
}

/// spec: T-53
async fn who_leaves_has_no_rights_and_no_wishes(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let open = wish("arq_1", &ada.id, "shop");
    given.request_access(&open, FEW).await.unwrap();
    let had = right("acg_1", &wish("arq_2", &ada.id, "bank"), &bob.id);
    given.give_access(&had).await.unwrap();
    let done = given.store.offboard(&ada.id, Extent::Account, NOW).await.unwrap().unwrap();
    assert_eq!((done.rights.access, done.rights.wishes, done.rights.approvals), (1, 1, 0));
    assert!(given.access_grants(NOW).await.unwrap().is_empty());
    assert_eq!(given.access_grants_of(&ada.id).await.unwrap()[0].revoked_at, Some(NOW));
    assert_eq!(given.access_request(&open.id).await.unwrap().unwrap().state, AccessRequestState::Withdrawn);
    let late = AccessAnswer::Approved(&had);
    assert!(!given.answer_access_request(&open.id, &bob.id, &late, "", NOW).await.unwrap());
    let late = given.give_access(&right("acg_2", &open, &bob.id)).await;
    assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
    let late = given.request_access(&wish("arq_3", &ada.id, "mail"), FEW).await;
    assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
}

/// spec: T-53
async fn whose_account_is_switched_off_has_nothing_left_either(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    given.request_access(&wish("arq_1", &ada.id, "shop"), FEW).await.unwrap();
    given.give_access(&right("acg_1", &wish("arq_2", &ada.id, "bank"), &bob.id)).await.unwrap();
    assert!(given.disable_person(&ada.id, NOW).await.unwrap());
    assert_eq!(given.access_grants_of(&ada.id).await.unwrap()[0].revoked_at, Some(NOW));
    assert!(given.open_access_requests(9, NOW).await.unwrap().is_empty());
    // Nor does it come back with the account.
    given.enable_person(&ada.id, after(MINUTE)).await.unwrap();
    assert!(given.access_grants(after(MINUTE)).await.unwrap().is_empty());
}
