use std::sync::LazyLock;

use portcullis_base::{GrantId, PersonId};
use portcullis_oauth::{grant::RevokedWhy, scope::Scopes};
use portcullis_store::{ACCESS_KEY, ChangeKind, NewAccessKey, StoreError};

use crate::{
    given::{DAY, Given, HOUR, NOW, RESOURCE, after, digest, session_id},
    on_both,
};

on_both!(access_key_lives_with_its_grant, access_key_of_nobody_is_not_made);

static READ: LazyLock<Scopes> = LazyLock::new(|| Scopes::parse("mcp:read").unwrap());

pub fn access_key<'a>(key: &str, grant: &str, person: &'a PersonId) -> NewAccessKey<'a> {
    NewAccessKey {
        hash: digest(key),
        grant: GrantId::new(grant),
        person,
        name: "my editor",
        resource: RESOURCE,
        scopes: &READ,
        expires_at: after(30 * DAY),
        authenticated_at: Some(NOW),
        session: None,
    }
}

async fn access_key_lives_with_its_grant(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let seen = given.revision().await.unwrap();
    given.create_access_key(&access_key("key", "grt_1", &ada.id), NOW).await.unwrap();
    given.create_access_key(&access_key("short", "grt_2", &ada.id), NOW).await.unwrap();
    let change = &given.changes_since(seen).await.unwrap()[0];
    assert_eq!((change.kind, change.key.as_str()), (ChangeKind::AccessKey, "grt_1"));

    let mut keys = given.access_keys_of(&ada.id, NOW).await.unwrap();
    assert_eq!(keys.len(), 2);
    keys.retain(|key| key.grant.as_str() == "grt_1");
    let key = &keys[0];
    assert_eq!((&key.hash, &key.person, key.name.as_str()), (&digest("key"), &ada.id, "my editor"));
    assert_eq!((key.resource.as_str(), &key.scopes), (RESOURCE, &*READ));
    assert_eq!((key.created_at, key.expires_at, key.last_used_at), (NOW, after(30 * DAY), None));
    assert!(given.access_keys_of(&bob.id, NOW).await.unwrap().is_empty());
    assert!(given.grants_of(&ada.id, NOW).await.unwrap().is_empty(), "pages list them apart");
    assert_eq!(given.grant(&key.grant).await.unwrap().unwrap().client.as_str(), ACCESS_KEY);

    given.touch_grants(&[(key.grant.clone(), after(HOUR))]).await.unwrap();
    let alive = given.access_keys_alive(NOW).await.unwrap();
    assert_eq!(alive.iter().find(|one| one.grant == key.grant).unwrap().last_used_at, Some(after(HOUR)));
    assert!(given.revoke_grant(&key.grant, RevokedWhy::AccessKeyRevoked, NOW).await.unwrap());
    assert_eq!(given.access_keys_alive(NOW).await.unwrap().len(), 1);
    assert!(given.access_keys_alive(after(31 * DAY)).await.unwrap().is_empty(), "expired");
    given.purge(after(32 * DAY)).await.unwrap();
    given.create_access_key(&access_key("key", "grt_1", &ada.id), NOW).await.unwrap();
}

async fn access_key_of_nobody_is_not_made(given: &Given) {
    let ada = given.person("ada").await;
    let nobody = PersonId::new("usr_nobody");
    let made = given.create_access_key(&access_key("key", "grt_1", &nobody), NOW).await;
    assert!(matches!(made, Err(StoreError::Missing)));
    given.create_access_key(&access_key("key", "grt_1", &ada.id), NOW).await.unwrap();
    let twice = given.create_access_key(&access_key("key", "grt_2", &ada.id), NOW).await;
    assert!(matches!(twice, Err(StoreError::Taken)));
    given.disable_person(&ada.id, NOW).await.unwrap();
    let made = given.create_access_key(&access_key("new", "grt_3", &ada.id), NOW).await;
    assert!(matches!(made, Err(StoreError::Missing)));
    // A key that was made in a provider's sign-in ends with it.
    let bob = given.signed_up("bob", &[]).await;
    given.session_from_provider("cookie", &bob, Some("sid")).await;
    let session = session_id("cookie");
    let key = NewAccessKey { session: Some(&session), ..access_key("bob's", "grt_bob", &bob.id) };
    given.create_access_key(&key, NOW).await.unwrap();
    let ended = given.end_sign_ins(crate::given::ISSUER, None, Some("sid"), NOW).await.unwrap();
    assert_eq!((ended.sessions, ended.grants.len()), (1, 1));
}
