use std::collections::BTreeMap;

use portcullis_base::{ApprovalId, Holder};
use portcullis_policy::Ask;
use portcullis_store::{ApprovalRow, NewSession, SealedOwner, SealedPlace, SigningKeyRow, Store, UpstreamClientRow};

use crate::{
    approvals::Waiting,
    connections::server,
    given::{DAY, Given, ISSUER, NOW, after, digest, session},
    on_both,
};

on_both!(everything_sealed_is_found_and_sealed_again_where_it_is, database_that_holds_nothing_sealed_says_so);

/// One value of each kind; each begins with `old`.
async fn fill(given: &Given) {
    let key = SigningKeyRow {
        kid: "kid".into(),
        sealed: b"old signing key".to_vec(),
        public_jwk: "{}".into(),
        activates_at: NOW,
        retires_at: after(DAY),
    };
    given.put_signing_key(&key, None, NOW).await.unwrap();
    let ada = given.signed_up("ada", &[]).await;
    let identity = given.identity(ISSUER, "ada").await.unwrap().unwrap();
    given.keep_identity_token(&identity, b"old refresh token").await.unwrap();
    let hash = digest("cookie");
    let new = NewSession {
        issuer: Some(ISSUER),
        subject: Some("ada"),
        logout_hint: Some(b"old logout hint"),
        ..session(&hash, "bse_1", &ada.id, after(DAY))
    };
    given.start_session(&new, NOW).await.unwrap();
    given.connected(&Holder::Shared, "a", "old connection").await;
    let client = UpstreamClientRow {
        issuer: "https://as.example".into(),
        way: "dynamic".into(),
        client_id: "us".into(),
        sealed: Some(b"old client".to_vec()),
        auth_method: "none".into(),
        metadata: "{}".into(),
        created_at: NOW,
        expires_at: None,
    };
    given.put_upstream_client(&client, None).await.unwrap();
    let asked = Waiting::of(&ada.id, "1");
    given.asked(&ApprovalRow { sealed: b"old call".to_vec(), ..asked.row(&[Ask::plain("r".into())], NOW) }, NOW).await;
}

/// spec: T-44
async fn everything_sealed_is_found_and_sealed_again_where_it_is(given: &Given) {
    fill(given).await;
    let by_prefix = given.sealed_by_prefix(3).await.unwrap();
    assert_eq!(by_prefix, BTreeMap::from([(b"old".to_vec(), 6)]));
    let connection = given.connection(&Holder::Shared, &server("a")).await.unwrap().unwrap();
    for place in SealedPlace::ALL {
        assert!(given.sealed_otherwise(place, b"old", (0, 9)).await.unwrap().is_empty(), "{place:?}");
        let rows = given.sealed_otherwise(place, b"new", (0, 9)).await.unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert!(row.sealed.starts_with(b"old "));
        assert!(given.sealed_otherwise(place, b"new", (1, 9)).await.unwrap().is_empty());
        let again = [b"new", &row.sealed[3..]].concat();
        assert!(given.seal_again(row, &again).await.unwrap(), "{place:?}");
        assert!(!given.seal_again(row, b"too late").await.unwrap(), "somebody else has written meanwhile");
        assert!(given.sealed_otherwise(place, b"new", (0, 9)).await.unwrap().is_empty());
        let (issuer, subject) = (ISSUER.to_owned(), "ada".to_owned());
        let owner = match place {
            SealedPlace::SigningKeys => SealedOwner::SigningKey("kid".into()),
            SealedPlace::Identities => SealedOwner::Identity { issuer, subject },
            SealedPlace::Sessions => SealedOwner::Session { id: "bse_1".into(), issuer, subject },
            SealedPlace::Connections => SealedOwner::Connection {
                id: connection.id.clone(),
                holder: Holder::Shared,
                server: server("a"),
                issuer: Some("https://as.example".into()),
            },
            SealedPlace::Clients => SealedOwner::Client("https://as.example".into()),
            SealedPlace::Approvals => SealedOwner::Approval(ApprovalId::new("apr_1")),
        };
        assert_eq!(row.owner, owner);
    }
    assert_eq!(given.sealed_by_prefix(3).await.unwrap(), BTreeMap::from([(b"new".to_vec(), 6)]));
    let now = given.connection(&Holder::Shared, &server("a")).await.unwrap().unwrap();
    assert_eq!((now.version, now.sealed.as_deref()), (connection.version, Some(&b"new connection"[..])));
}

async fn database_that_holds_nothing_sealed_says_so(given: &Given) {
    given.person("ada").await;
    assert!(!given.holds_sealed().await.unwrap());
    given.connected(&Holder::Shared, "a", "x").await;
    assert!(given.holds_sealed().await.unwrap());
    // What it will hold after its migration is not asked of it before.
    given.database.run("delete from schema where version > 1").await;
    let store = Store::open_without_migrating(given.database.settings()).await.unwrap();
    assert!(!store.holds_sealed().await.unwrap());
}
