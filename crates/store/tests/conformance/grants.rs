use portcullis_base::{ClientId, GrantId};
use portcullis_oauth::{client::ClientKind, grant::RevokedWhy};
use portcullis_store::{Approval, Approved, ChangeKind, FreshGrant, TOKENS_ALIVE};

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, RESOURCE, after, client, code, consent, grant},
    on_both,
};

on_both!(
    fresh_sign_in_is_known_and_announced,
    approved_grant_comes_back_whole,
    page_is_approved_once,
    persons_page_lists_living_grants,
    revocation_is_announced_once,
    revoked_grants_stay_in_the_feed_while_tokens_live,
    consent_is_remembered_for_exactly_what_it_was,
    person_who_takes_back_is_asked_again,
    removed_server_ends_its_grants_and_is_asked_about_again,
);

async fn approved_grant_comes_back_whole(given: &Given) {
    let ada = given.person("ada").await;
    let granted = given.granted("grt_1", &ada.id, "c").await;
    assert_eq!(given.grant(&granted.id).await.unwrap(), Some(granted));
    assert_eq!(given.grant(&GrantId::new("grt_2")).await.unwrap(), None);
}

/// spec: T-6
async fn page_is_approved_once(given: &Given) {
    let ada = given.person("ada").await;
    let mut clicks = Vec::new();
    for n in 0..10 {
        let (store, id) = (given.store.clone(), ada.id.clone());
        clicks.push(tokio::spawn(async move {
            let grant = grant(&format!("grt_{n}"), &id, "c");
            let code = code(&format!("code {n}"), &grant);
            let approval = Approval {
                transaction: "the page",
                transaction_expires_at: after(10 * MINUTE),
                grant: &grant,
                code: &code,
                remember: None,
            };
            store.approve(&approval, NOW).await.unwrap()
        }));
    }
    let mut stored = 0;
    for click in clicks {
        stored += u32::from(click.await.unwrap() == Approved::Stored);
    }
    assert_eq!((stored, given.grants_of(&ada.id, NOW).await.unwrap().len()), (1, 1));
}

/// spec: AS-91
async fn persons_page_lists_living_grants(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    given.put_registered(&client("dcr_1"), 10, NOW).await.unwrap();
    let known = given.granted("grt_1", &ada.id, "dcr_1").await;
    let unknown = given.granted("grt_2", &ada.id, "gone").await;
    let revoked = given.granted("grt_3", &ada.id, "dcr_1").await;
    given.granted("grt_4", &bob.id, "dcr_1").await;
    given.revoke_grant(&revoked.id, RevokedWhy::Person, NOW).await.unwrap();
    let used = [(known.id.clone(), after(HOUR)), (GrantId::new("grt_none"), NOW), (known.id.clone(), NOW)];
    given.touch_grants(&used).await.unwrap();

    let rows = given.grants_of(&ada.id, NOW).await.unwrap();
    assert_eq!(rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&known.id, &unknown.id]);
    let row = &rows[0];
    assert_eq!((row.client_name.as_deref(), row.client_kind), (Some("dcr_1 \u{1f510}"), Some(ClientKind::Registered)));
    assert_eq!((&row.person, &row.client, row.resource.as_str()), (&ada.id, &ClientId::new("dcr_1"), RESOURCE));
    assert_eq!((&row.scopes, &row.redirect_uri), (&known.scopes, &known.redirect_uri));
    assert_eq!((row.created_at, row.last_used_at, row.expires_at), (NOW, Some(after(HOUR)), known.expires_at));
    assert_eq!((&rows[1].client_name, rows[1].client_kind, rows[1].last_used_at), (&None, None, None));
    assert!(given.grants_of(&ada.id, after(31 * DAY)).await.unwrap().is_empty());
}

/// spec: AS-89
async fn revocation_is_announced_once(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let before = given.revision().await.unwrap();
    assert!(given.revoke_grant(&grant.id, RevokedWhy::Client, NOW).await.unwrap());
    assert!(!given.revoke_grant(&grant.id, RevokedWhy::Person, after(HOUR)).await.unwrap());
    assert!(!given.revoke_grant(&GrantId::new("grt_2"), RevokedWhy::Person, NOW).await.unwrap());
    let revoked = given.grant(&grant.id).await.unwrap().unwrap().revoked.unwrap();
    assert_eq!((revoked.at, revoked.why), (NOW, RevokedWhy::Client));
    let changes = given.changes_since(before).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].kind, changes[0].key.as_str()), (ChangeKind::GrantRevoked, "grt_1"));
}

/// spec: AS-89
async fn revoked_grants_stay_in_the_feed_while_tokens_live(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    assert!(given.revoked_grants_alive(NOW).await.unwrap().is_empty());
    given.revoke_grant(&grant.id, RevokedWhy::Person, NOW).await.unwrap();
    let last_chance = after(TOKENS_ALIVE).minus(MINUTE);
    given.purge(last_chance).await.unwrap();
    assert_eq!(given.revoked_grants_alive(last_chance).await.unwrap(), [grant.id]);
    assert!(given.revoked_grants_alive(after(TOKENS_ALIVE)).await.unwrap().is_empty());
    assert!(TOKENS_ALIVE > HOUR, "the cap on access tokens");
}

/// spec: T-6, AS-131
async fn consent_is_remembered_for_exactly_what_it_was(given: &Given) {
    let ada = given.person("ada").await;
    let granted = grant("grt_1", &ada.id, "c");
    let key = consent(&granted, "document");
    let approval = |transaction, grant, code| Approval {
        transaction,
        transaction_expires_at: after(HOUR),
        grant,
        code,
        remember: Some(&key),
    };
    let again = grant("grt_2", &ada.id, "c");
    let (one, two) = (code("one", &granted), code("two", &again));
    given.approve(&approval("one", &granted, &one), NOW).await.unwrap();
    assert!(given.is_consent_remembered(&key).await.unwrap());
    given.approve(&approval("two", &again, &two), NOW).await.unwrap();

    let mut others = vec![consent(&granted, "other document"); 4];
    others[1] = consent(&grant("grt_1", &ada.id, "other client"), "document");
    others[2].redirect_uri.push('x');
    others[3].resource.push('x');
    for other in others {
        assert!(!given.is_consent_remembered(&other).await.unwrap(), "{other:?}");
    }
    assert_eq!(given.forget_consents(&ada.id, &ClientId::new("c")).await.unwrap(), 1);
    assert!(!given.is_consent_remembered(&key).await.unwrap());
}

/// spec: AS-89
async fn person_who_takes_back_is_asked_again(given: &Given) {
    let ada = given.person("ada").await;
    for (id, why, kept) in [("grt_1", RevokedWhy::Client, true), ("grt_2", RevokedWhy::Person, false)] {
        let granted = grant(id, &ada.id, "c");
        let key = consent(&granted, "document");
        let approval = Approval {
            transaction: id,
            transaction_expires_at: after(HOUR),
            grant: &granted,
            code: &code(id, &granted),
            remember: Some(&key),
        };
        given.approve(&approval, NOW).await.unwrap();
        given.revoke_grant(&granted.id, why, NOW).await.unwrap();
        assert_eq!(given.is_consent_remembered(&key).await.unwrap(), kept, "{why:?}");
    }
}

/// spec: T-34
async fn removed_server_ends_its_grants_and_is_asked_about_again(given: &Given) {
    let ada = given.person("ada").await;
    let grant = grant("grt_1", &ada.id, "c");
    let key = consent(&grant, "document");
    let approval = Approval {
        transaction: "t",
        transaction_expires_at: after(HOUR),
        grant: &grant,
        code: &code("grt_1", &grant),
        remember: Some(&key),
    };
    given.approve(&approval, NOW).await.unwrap();
    assert!(given.revoke_grants_at("http://other/mcp/x", RevokedWhy::ServerRemoved, NOW).await.unwrap().is_empty());
    let ended = given.revoke_grants_at(RESOURCE, RevokedWhy::ServerRemoved, NOW).await.unwrap();
    assert_eq!(ended, std::slice::from_ref(&grant.id));
    assert!(given.is_revoked(&grant).await);
    assert!(!given.is_consent_remembered(&key).await.unwrap());
    assert_eq!(given.changes_since(0).await.unwrap().pop().unwrap().key, "grt_1");
}

/// spec: AS-89
async fn fresh_sign_in_is_known_and_announced(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    given.granted("grt_2", &ada.id, "c").await;
    let seen = given.revision().await.unwrap();
    let at = NOW.plus(std::time::Duration::from_mins(5));
    assert!(given.fresh_sign_in(&grant.id, at, Some("gold"), at).await.unwrap());
    let change = given.changes_since(seen).await.unwrap().pop().unwrap();
    assert_eq!((change.kind, change.key.as_str()), (ChangeKind::GrantFresh, "grt_1"));
    let fresh = given.fresh_grants(at).await.unwrap();
    let expected = FreshGrant { grant: grant.id.clone(), authenticated_at: at, acr: Some("gold".into()) };
    assert_eq!(fresh, [expected]);
    let found = given.grant(&grant.id).await.unwrap().unwrap();
    assert_eq!((found.authenticated_at, found.acr.as_deref()), (Some(at), Some("gold")));

    assert!(!given.fresh_sign_in(&grant.id, NOW, None, at).await.unwrap(), "older than what is known");
    assert!(given.fresh_grants(at.plus(TOKENS_ALIVE * 2)).await.unwrap().is_empty(), "no older token is left");
    given.revoke_grant(&grant.id, RevokedWhy::Person, at).await.unwrap();
    assert!(!given.fresh_sign_in(&grant.id, at, None, at).await.unwrap());
    assert!(given.fresh_grants(at).await.unwrap().is_empty());
}
