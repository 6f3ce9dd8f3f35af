use portcullis_base::{DelegationId, PersonId, Timestamp};
use portcullis_store::{Delegation, Extent, StoreError};

use crate::{
    given::{DAY, Given, HOUR, NOW, after},
    on_both,
};

on_both!(word_is_lent_for_a_while_and_taken_back, word_is_lent_to_few, who_leaves_lends_nothing_and_has_nobodys_word,);

fn lent(id: &str, from: &PersonId, to: &PersonId) -> Delegation {
    Delegation {
        id: DelegationId::new(id),
        person: from.clone(),
        delegate: to.clone(),
        why: "on a ship \u{1f6a2}".into(),
        made_at: NOW,
        ends_at: after(HOUR),
        revoked_at: None,
        revoked_by: None,
    }
}

async fn word_is_lent_for_a_while_and_taken_back(given: &Given) {
    let (ada, bob, cy) = (given.person("ada").await, given.person("bob").await, given.person("cy").await);
    let (first, second) = (lent("del_1", &ada.id, &bob.id), lent("del_2", &cy.id, &bob.id));
    assert!(given.delegate(&first, 3).await.unwrap() && given.delegate(&second, 3).await.unwrap());
    assert_eq!(given.delegations_to(&bob.id, NOW).await.unwrap(), [first.clone(), second.clone()]);
    assert!(given.delegations_to(&ada.id, NOW).await.unwrap().is_empty());
    assert_eq!(given.delegations(NOW).await.unwrap().len(), 2);
    let last = Timestamp::from_millis(after(HOUR).as_millis() - 1);
    assert_eq!(given.delegations_to(&bob.id, last).await.unwrap().len(), 2);
    assert!(given.delegations_to(&bob.id, after(HOUR)).await.unwrap().is_empty());
    assert!(!given.revoke_delegation(&first.id, &ada.id, after(HOUR)).await.unwrap(), "it is over");
    assert!(given.revoke_delegation(&first.id, &ada.id, NOW).await.unwrap());
    assert!(!given.revoke_delegation(&first.id, &ada.id, NOW).await.unwrap());
    assert_eq!(given.delegations_to(&bob.id, NOW).await.unwrap(), [second]);
    let found = given.delegation(&first.id).await.unwrap().unwrap();
    assert_eq!((found.revoked_at, found.revoked_by), (Some(NOW), Some(ada.id)));
    assert_eq!(given.purge_rights(after(DAY), NOW).await.unwrap().rows, 2);
}

async fn word_is_lent_to_few(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    assert!(given.delegate(&lent("del_1", &ada.id, &bob.id), 1).await.unwrap());
    assert!(!given.delegate(&lent("del_2", &ada.id, &bob.id), 1).await.unwrap());
    let later = Delegation { made_at: after(HOUR), ends_at: after(DAY), ..lent("del_3", &ada.id, &bob.id) };
    assert!(given.delegate(&later, 1).await.unwrap(), "the first one is over");
}

/// spec: T-53
async fn who_leaves_lends_nothing_and_has_nobodys_word(given: &Given) {
    let (ada, bob, cy) = (given.person("ada").await, given.person("bob").await, given.person("cy").await);
    for (id, from, to) in [("del_1", &ada, &bob), ("del_2", &bob, &ada), ("del_3", &cy, &bob)] {
        assert!(given.delegate(&lent(id, &from.id, &to.id), 3).await.unwrap());
    }
    let done = given.store.offboard(&ada.id, Extent::Account, NOW).await.unwrap().unwrap();
    assert_eq!(done.rights.delegations, 2);
    let left = given.delegations(NOW).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["del_3"]);
    given.enable_person(&ada.id, NOW).await.unwrap();
    assert_eq!(given.delegations(NOW).await.unwrap(), left, "nor does it come back");
    given.store.offboard(&ada.id, Extent::Account, NOW).await.unwrap();
    for (from, to) in [(&ada, &bob), (&bob, &ada)] {
        let late = given.delegate(&lent("del_4", &from.id, &to.id), 3).await;
        assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
    }
}
