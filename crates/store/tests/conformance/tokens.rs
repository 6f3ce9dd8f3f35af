use std::sync::Arc;

use portcullis_oauth::{
    error::{TokenError, TokenErrorCode},
    grant::RevokedWhy,
    token::{RedeemFacts, Redeemed, Refreshed},
};
use portcullis_store::{Approval, FirstRefresh};

use crate::{
    given::{
        DAY, Given, HOUR, MINUTE, NOW, VERIFIER, after, client, code, consent, credential, digest, grant, new_person,
    },
    on_both,
};

on_both!(
    redeemed_code_gives_a_refresh_token,
    fifty_redemptions_of_one_code_give_one_success,
    replayed_code_revokes_the_grant,
    invalid_replay_revokes_nothing,
    fifty_refreshes_of_one_token_give_one_successor,
    retry_within_the_grace_gets_the_same_successor,
    replayed_refresh_token_revokes_the_family,
    refresh_dies_with_the_person,
    refresh_token_never_outlives_its_grant,
    refusal_changes_nothing,
    no_usable_credential_is_stored,
    people_sign_in_beside_each_other,
);

const SECONDS: std::time::Duration = std::time::Duration::from_secs(1);

async fn redeemed_code_gives_a_refresh_token(given: &Given) {
    let ada = given.person("ada").await;
    given.put_registered(&client("c"), 10, NOW).await.unwrap();
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let redeemed = given.redeem_code("code of grt_1", "c", after(SECONDS)).await;
    assert_eq!(redeemed, Redeemed::Issue { with_refresh: true });

    let (token, of) = given.grant_of_refresh(&digest("first after code of grt_1")).await.unwrap().unwrap();
    assert_eq!(of, grant);
    assert_eq!((token.issued_at, token.replaced_at, token.successor), (after(SECONDS), None, None));
    let row = &given.grants_of(&ada.id, NOW).await.unwrap()[0];
    assert_eq!(row.last_used_at, Some(after(SECONDS)));
    assert!(given.store.client(&grant.client).await.unwrap().unwrap().last_used_at.is_some());
    assert_eq!(given.grant_of_refresh(&digest("guess")).await.unwrap(), None);
}

/// spec: AS-67, T-9
async fn fifty_redemptions_of_one_code_give_one_success(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let mut tries = Vec::new();
    for n in 0..50 {
        let store = given.store.clone();
        tries.push(tokio::spawn(async move {
            // Each brings its own first refresh token, as requests on several nodes would.
            let first = FirstRefresh { hash: digest(&format!("refresh {n}")), expires_at: after(DAY) };
            let decide = |facts: Option<&RedeemFacts>| match facts.unwrap().code.redeemed_at {
                None => Redeemed::Issue { with_refresh: true },
                Some(_) => Redeemed::Refuse(TokenError::new(TokenErrorCode::InvalidGrant, "used")),
            };
            store.redeem(&digest("code of grt_1"), &first, NOW, decide).await.unwrap()
        }));
    }
    let mut issued = 0;
    for one in tries {
        let (redeemed, of) = one.await.unwrap();
        assert_eq!(of.as_ref(), Some(&grant));
        issued += u32::from(matches!(redeemed, Redeemed::Issue { .. }));
    }
    assert_eq!(issued, 1);
    let mut tokens = 0;
    for n in 0..50 {
        tokens += u32::from(given.grant_of_refresh(&digest(&format!("refresh {n}"))).await.unwrap().is_some());
    }
    assert_eq!(tokens, 1);
}

/// spec: AS-67, T-9
async fn replayed_code_revokes_the_grant(given: &Arc<Given>) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let mut tries = Vec::new();
    for _ in 0..50 {
        let given = Arc::clone(given);
        tries.push(tokio::spawn(async move { given.redeem_code("code of grt_1", "c", NOW).await }));
    }
    let (mut issued, mut revoked, mut refused) = (0, 0, 0);
    for one in tries {
        match one.await.unwrap() {
            Redeemed::Issue { .. } => issued += 1,
            Redeemed::Revoke(_, why) => {
                assert_eq!(why, RevokedWhy::CodeReplayed);
                revoked += 1;
            }
            // By then the grant has ended.
            Redeemed::Refuse(_) => refused += 1,
        }
    }
    assert_eq!((issued, revoked, refused), (1, 1, 48));
    assert!(given.is_revoked(&grant).await);
    assert_eq!(given.revoked_grants_alive(NOW).await.unwrap(), [grant.id]);
    assert!(matches!(given.refresh_token("first after code of grt_1", "c", NOW).await, Refreshed::Refuse(_)));
}

/// spec: AS-67, T-9
async fn invalid_replay_revokes_nothing(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let code = "code of grt_1";
    let other = "0123456789012345678901234567890123456789012";
    assert!(matches!(given.redeem_with(code, "c", other, NOW).await, Redeemed::Refuse(_)));
    assert!(matches!(given.redeem_code(code, "c", NOW).await, Redeemed::Issue { .. }));
    assert!(matches!(given.redeem_with(code, "c", other, NOW).await, Redeemed::Refuse(_)));
    assert!(matches!(given.redeem_code(code, "thief", NOW).await, Redeemed::Refuse(_)));
    assert!(matches!(given.redeem_code("code of grt_1x", "c", NOW).await, Redeemed::Refuse(_)));
    assert!(!given.is_revoked(&grant).await);
}

/// spec: AS-80, AS-82, T-40
async fn fifty_refreshes_of_one_token_give_one_successor(given: &Arc<Given>) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    given.redeem_code("code of grt_1", "c", NOW).await;
    let token = "first after code of grt_1";
    let mut tries = Vec::new();
    for _ in 0..50 {
        let given = Arc::clone(given);
        tries.push(tokio::spawn(async move { given.refresh_token(token, "c", NOW).await }));
    }
    let (mut rotated, mut redelivered) = (0, 0);
    for one in tries {
        match one.await.unwrap() {
            Refreshed::Rotate(_) => rotated += 1,
            Refreshed::Redeliver(_) => redelivered += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((rotated, redelivered), (1, 49));
    assert!(!given.is_revoked(&grant).await, "nobody is signed out");
    let (stored, _) = given.grant_of_refresh(&digest(token)).await.unwrap().unwrap();
    assert_eq!((stored.successor, stored.replaced_at), (Some(digest(&format!("{token}+"))), Some(NOW)));
}

/// spec: AS-82
async fn retry_within_the_grace_gets_the_same_successor(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    given.redeem_code("code of grt_1", "c", NOW).await;
    let token = "first after code of grt_1";
    assert!(matches!(given.refresh_token(token, "c", NOW).await, Refreshed::Rotate(_)));
    assert!(matches!(given.refresh_token(token, "c", after(9 * SECONDS)).await, Refreshed::Redeliver(_)));
    assert!(matches!(given.refresh_token(&format!("{token}+"), "c", after(9 * SECONDS)).await, Refreshed::Rotate(_)));
    // The successor was used: who comes with the old one now is somebody else.
    let replay = given.refresh_token(token, "c", after(9 * SECONDS)).await;
    assert!(matches!(replay, Refreshed::Revoke(_, RevokedWhy::RefreshReplayed)));
    assert!(given.is_revoked(&grant).await);
}

/// spec: AS-81, T-40
async fn replayed_refresh_token_revokes_the_family(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    given.redeem_code("code of grt_1", "c", NOW).await;
    let token = "first after code of grt_1";
    given.refresh_token(token, "c", NOW).await;
    given.purge(after(10 * DAY)).await.unwrap();
    assert!(matches!(given.refresh_token(token, "thief", after(10 * DAY)).await, Refreshed::Refuse(_)));
    assert!(!given.is_revoked(&grant).await);
    assert!(matches!(given.refresh_token(token, "c", after(10 * DAY)).await, Refreshed::Revoke(..)));
    assert!(given.is_revoked(&grant).await);
    assert!(matches!(given.refresh_token(&format!("{token}+"), "c", after(10 * DAY)).await, Refreshed::Refuse(_)));
}

/// spec: AS-86
async fn refresh_dies_with_the_person(given: &Given) {
    let ada = given.person("ada").await;
    given.granted("grt_1", &ada.id, "c").await;
    given.granted("grt_2", &ada.id, "c").await;
    given.redeem_code("code of grt_1", "c", NOW).await;
    given.disable_person(&ada.id, NOW).await.unwrap();
    assert!(matches!(given.refresh_token("first after code of grt_1", "c", NOW).await, Refreshed::Refuse(_)));
    assert!(matches!(given.redeem_code("code of grt_2", "c", NOW).await, Redeemed::Refuse(_)));
}

/// spec: AS-85
async fn refresh_token_never_outlives_its_grant(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let first = FirstRefresh { hash: digest("first"), expires_at: after(900 * DAY) };
    given.redeem(&digest("code of grt_1"), &first, NOW, |_| Redeemed::Issue { with_refresh: true }).await.unwrap();
    let (token, _) = given.grant_of_refresh(&digest("first")).await.unwrap().unwrap();
    assert_eq!(token.expires_at, grant.expires_at);
    let rotate = |_: Option<&_>| Refreshed::Rotate(grant.scopes.clone());
    given.refresh(&digest("first"), &digest("next"), after(900 * DAY), NOW, rotate).await.unwrap();
    let (token, _) = given.grant_of_refresh(&digest("next")).await.unwrap().unwrap();
    assert_eq!(token.expires_at, grant.expires_at);
}

async fn refusal_changes_nothing(given: &Given) {
    let ada = given.person("ada").await;
    given.granted("grt_1", &ada.id, "c").await;
    assert!(matches!(given.redeem_code("code of grt_1", "c", after(MINUTE)).await, Redeemed::Refuse(_)), "too old");
    assert_eq!(given.grant_of_refresh(&digest("first after code of grt_1")).await.unwrap(), None);
    let nothing = FirstRefresh { hash: digest("x"), expires_at: after(HOUR) };
    let unknown = given.redeem(&digest("unknown"), &nothing, NOW, |_| Redeemed::Issue { with_refresh: true }).await;
    assert_eq!(unknown.unwrap().1, None);
    assert_eq!(given.grant_of_refresh(&digest("x")).await.unwrap(), None);
}

/// spec: AS-87, T-44
async fn no_usable_credential_is_stored(given: &Given) {
    let [cookie, link, auth_code, first, next, page] = [1, 2, 3, 4, 5, 6].map(credential);
    given.issue_invitation(&digest(&link), NOW, after(HOUR)).await.unwrap();
    let ada = given.redeem_invitation(&digest(&link), &new_person("ada"), NOW).await.unwrap().unwrap();
    given.sign_in(&cookie, &ada.id, after(DAY)).await.unwrap();
    given.put_registered(&client("c"), 10, NOW).await.unwrap();
    let grant = grant("grt_canary", &ada.id, "c");
    let approval = Approval {
        transaction: &page,
        transaction_expires_at: after(HOUR),
        grant: &grant,
        code: &code(&auth_code, &grant),
        remember: Some(&consent(&grant, "document")),
    };
    given.approve(&approval, NOW).await.unwrap();
    let tokens = FirstRefresh { hash: digest(&first), expires_at: after(DAY) };
    given.redeem(&digest(&auth_code), &tokens, NOW, |_| Redeemed::Issue { with_refresh: true }).await.unwrap();
    let rotate = |_: Option<&_>| Refreshed::Rotate(grant.scopes.clone());
    given.refresh(&digest(&first), &digest(&next), after(DAY), NOW, rotate).await.unwrap();

    let dump = given.database.dump().await;
    let contains = |text: &str| dump.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("grt_canary"), "the dump shows what is stored");
    for credential in [cookie, link, auth_code, first, next, page, VERIFIER.into()] {
        assert!(!contains(&credential));
    }
}

/// Different people at the same moment: transactions that do not concern each other all get through.
async fn people_sign_in_beside_each_other(given: &Arc<Given>) {
    let mut people = Vec::new();
    for n in 0..40 {
        let given = Arc::clone(given);
        people.push(tokio::spawn(async move {
            let person = given.person(&format!("person{n}")).await;
            let id = format!("grt_{n}");
            given.granted(&id, &person.id, "c").await;
            assert!(matches!(given.redeem_code(&format!("code of {id}"), "c", NOW).await, Redeemed::Issue { .. }));
            let mut token = format!("first after code of {id}");
            for _ in 0..5 {
                assert!(matches!(given.refresh_token(&token, "c", NOW).await, Refreshed::Rotate(_)));
                token.push('+');
            }
        }));
    }
    for person in people {
        person.await.unwrap();
    }
}
