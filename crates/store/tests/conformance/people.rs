use portcullis_base::{PersonId, Secret};
use portcullis_oauth::grant::RevokedWhy;
use portcullis_store::{Person, StoreError};

use crate::{
    given::{DAY, Given, HOUR, NOW, after, digest, new_admin, new_person},
    on_both,
};

on_both!(
    person_comes_back_as_created,
    name_is_unique_without_regard_to_case,
    password_change_ends_the_sessions,
    disabled_person_loses_sessions_grants_and_consents,
    last_administrator_cannot_be_disabled,
    administrators_cannot_all_be_disabled_at_once,
    text_with_a_null_character_is_text,
);

async fn person_comes_back_as_created(given: &Given) {
    let new = new_admin("ada");
    let created = given.create_person(&new, NOW).await.unwrap();
    assert!(created.is_active() && created.is_admin());
    assert_eq!((&created.id, &created.local_groups, &created.email), (&new.id, &new.groups, &new.email));
    assert_eq!(given.store.person(&new.id).await.unwrap().as_ref(), Some(&created));
    assert_eq!(given.people().await.unwrap(), std::slice::from_ref(&created));
    let (found, hash) = given.person_by_name("ada").await.unwrap().unwrap();
    assert_eq!((found, hash), (created, new.password_hash));
    assert_eq!(given.person_by_name("bob").await.unwrap(), None);
    assert_eq!(given.store.person(&PersonId::new("usr_bob")).await.unwrap(), None);
    assert_eq!(given.administrators().await.unwrap(), 1);
}

async fn name_is_unique_without_regard_to_case(given: &Given) {
    given.person("Zoë").await;
    let mut twin = new_person("ZOË");
    twin.id = PersonId::new("usr_other");
    assert!(matches!(given.create_person(&twin, NOW).await, Err(StoreError::Taken)));
    assert_eq!(given.person_by_name("zoë").await.unwrap().unwrap().0.name, "Zoë");
    assert_eq!(given.people().await.unwrap().len(), 1);
}

async fn password_change_ends_the_sessions(given: &Given) {
    let ada = given.person("ada").await;
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    let hash = Secret::new("$argon2id$new".into());
    assert!(given.set_password(&ada.id, &hash, NOW).await.unwrap());
    assert_eq!(given.person_by_name("ada").await.unwrap().unwrap().1, Some(hash.clone()));
    assert_eq!(given.session(&digest("cookie"), NOW, HOUR).await.unwrap(), None);
    assert!(!given.set_password(&PersonId::new("usr_bob"), &hash, NOW).await.unwrap());
}

async fn disabled_person_loses_sessions_grants_and_consents(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let (lost, kept) = (given.granted("grt_1", &ada.id, "c").await, given.granted("grt_2", &bob.id, "c").await);
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    given.sign_in("other", &bob.id, after(DAY)).await.unwrap();

    assert!(given.disable_person(&ada.id, NOW).await.unwrap());
    assert!(!given.disable_person(&ada.id, NOW).await.unwrap(), "nothing is left to do");
    assert!(!given.disable_person(&PersonId::new("usr_nobody"), NOW).await.unwrap());

    assert!(!given.store.person(&ada.id).await.unwrap().unwrap().is_active());
    assert_eq!(given.session(&digest("cookie"), NOW, HOUR).await.unwrap(), None);
    assert_eq!(given.grant(&lost.id).await.unwrap().unwrap().revoked.unwrap().why, RevokedWhy::PersonDisabled);
    assert_eq!(given.revoked_grants_alive(NOW).await.unwrap(), [lost.id]);
    assert!(given.session(&digest("other"), NOW, HOUR).await.unwrap().is_some());
    assert!(!given.is_revoked(&kept).await);
}

/// spec: T-95
async fn last_administrator_cannot_be_disabled(given: &Given) {
    let ada = given.create_person(&new_admin("ada"), NOW).await.unwrap();
    given.person("bob").await;
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    assert!(matches!(given.disable_person(&ada.id, NOW).await, Err(StoreError::LastAdministrator)));
    assert!(given.store.person(&ada.id).await.unwrap().unwrap().is_admin());
    assert!(given.session(&digest("cookie"), NOW, HOUR).await.unwrap().is_some(), "nothing was half done");

    given.create_person(&new_admin("eve"), NOW).await.unwrap();
    assert!(given.disable_person(&ada.id, NOW).await.unwrap());
    assert_eq!(given.administrators().await.unwrap(), 1);
}

/// spec: T-95
async fn administrators_cannot_all_be_disabled_at_once(given: &Given) {
    for round in 0..5 {
        let mut ids: Vec<_> =
            given.people().await.unwrap().into_iter().filter(Person::is_admin).map(|p| p.id).collect();
        while ids.len() < 10 {
            let new = new_admin(&format!("admin{round}x{}", ids.len()));
            ids.push(given.create_person(&new, NOW).await.unwrap().id);
        }
        let all = ids.into_iter().map(|id| {
            let store = given.store.clone();
            tokio::spawn(async move { store.disable_person(&id, NOW).await })
        });
        let mut disabled = 0;
        for one in all.collect::<Vec<_>>() {
            match one.await.unwrap() {
                Ok(true) => disabled += 1,
                Err(StoreError::LastAdministrator) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((disabled, given.administrators().await.unwrap()), (9, 1));
    }
}

async fn text_with_a_null_character_is_text(given: &Given) {
    assert_eq!(given.person_by_name("a\0da").await.unwrap(), None);
    let mut new = new_person("ada");
    new.display_name = "A\0da".into();
    given.create_person(&new, NOW).await.unwrap();
    assert_eq!(given.store.person(&new.id).await.unwrap().unwrap().display_name, "A\u{fffd}da");
}
