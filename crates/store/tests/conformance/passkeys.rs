use portcullis_base::PersonId;
use portcullis_store::{Extent, PasskeyRow, StoreError};

use crate::{
    given::{Given, HOUR, NOW, after},
    on_both,
};

on_both!(passkey_is_one_persons_and_counts_upwards, passkeys_of_a_person_are_few_and_end_with_them,);

fn passkey(id: &[u8], person: &PersonId) -> PasskeyRow {
    PasskeyRow {
        id: id.to_vec(),
        person: person.clone(),
        name: "laptop".into(),
        public_key: vec![0xa5, 0, 1],
        counter: 0,
        transports: vec!["internal".into(), "hybrid".into()],
        made_at: NOW,
        used_at: None,
    }
}

async fn passkey_is_one_persons_and_counts_upwards(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let row = passkey(&[0, 255, 7], &ada.id);
    assert!(given.put_passkey(&row, 9).await.unwrap());
    assert_eq!(given.passkeys_of(&ada.id).await.unwrap(), std::slice::from_ref(&row));
    assert!(given.passkeys_of(&bob.id).await.unwrap().is_empty());
    let again = given.put_passkey(&passkey(&row.id, &bob.id), 9).await;
    assert!(matches!(again, Err(StoreError::Taken)), "{again:?}");

    // One that does not count stays at nothing; one that does only grows.
    assert!(given.passkey_signed(&row.id, 0, NOW).await.unwrap());
    assert!(given.passkey_signed(&row.id, 0, NOW).await.unwrap());
    assert!(given.passkey_signed(&row.id, 5, after(HOUR)).await.unwrap());
    for copy in [5, 4, 0] {
        assert!(!given.passkey_signed(&row.id, copy, after(HOUR)).await.unwrap(), "{copy}");
    }
    let now = given.passkeys_of(&ada.id).await.unwrap();
    assert_eq!((now[0].counter, now[0].used_at), (5, Some(after(HOUR))));
    assert!(!given.passkey_signed(b"nobody's", 9, NOW).await.unwrap());

    assert!(!given.remove_passkey(&bob.id, &row.id).await.unwrap());
    assert!(given.remove_passkey(&ada.id, &row.id).await.unwrap());
    assert!(given.passkeys_of(&ada.id).await.unwrap().is_empty());
}

/// spec: T-53
async fn passkeys_of_a_person_are_few_and_end_with_them(given: &Given) {
    let ada = given.person("ada").await;
    let mut tasks = Vec::new();
    for n in 0..10 {
        let (store, row) = (given.store.clone(), passkey(&[n], &ada.id));
        tasks.push(tokio::spawn(async move { store.put_passkey(&row, 3).await.unwrap() }));
    }
    let mut kept = 0;
    for task in tasks {
        kept += usize::from(task.await.unwrap());
    }
    assert_eq!((kept, given.passkeys_of(&ada.id).await.unwrap().len()), (3, 3));
    given.store.offboard(&ada.id, Extent::Account, NOW).await.unwrap();
    assert!(given.passkeys_of(&ada.id).await.unwrap().is_empty());
    let late = given.put_passkey(&passkey(b"late", &ada.id), 9).await;
    assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
}
