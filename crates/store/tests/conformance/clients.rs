use portcullis_base::ClientId;
use portcullis_oauth::{
    client::{Client, ClientKind},
    grant::RevokedWhy,
};
use portcullis_store::{Approval, ClientLife, StoreError};

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, after, client, code, consent, grant},
    on_both,
};

on_both!(
    client_comes_back_as_registered,
    flood_of_registrations_stays_bounded,
    client_in_use_is_not_evicted,
    unused_and_idle_clients_expire_with_what_is_theirs,
    changed_document_drops_remembered_consents,
    removed_client_takes_its_grants_along,
    configured_client_is_never_purged,
);

fn registered(id: &str, at: portcullis_base::Timestamp) -> Client {
    Client { created_at: at, ..client(id) }
}

fn document(redirect_uri: &str) -> Client {
    let mut metadata = client("x").metadata;
    metadata.redirect_uris = vec![redirect_uri.into()];
    Client::new(ClientId::new("https://client.example/mcp.json"), ClientKind::Document, metadata, None, NOW)
}

async fn client_comes_back_as_registered(given: &Given) {
    let new = client("dcr_1");
    given.put_registered(&new, 10, NOW).await.unwrap();
    let stored = given.store.client(&new.id).await.unwrap().unwrap();
    assert_eq!(stored.client, new);
    assert_eq!((stored.last_used_at, stored.fresh_until, stored.etag), (None, None, None));
    assert_eq!(given.store.client(&ClientId::new("dcr_1\0")).await.unwrap(), None);
    given.touch_client(&new.id, after(MINUTE)).await.unwrap();
    assert_eq!(given.clients().await.unwrap()[0].last_used_at, Some(after(MINUTE)));
    given.touch_client(&new.id, after(2 * MINUTE)).await.unwrap();
    assert_eq!(given.clients().await.unwrap()[0].last_used_at, Some(after(MINUTE)), "to the hour is enough");
}

/// spec: T-20, AS-123
async fn flood_of_registrations_stays_bounded(given: &Given) {
    for n in 0..120_u32 {
        let at = after(MINUTE * n);
        given.put_registered(&registered(&format!("dcr_{n}"), at), 20, at).await.unwrap();
    }
    assert_eq!(given.count_clients(ClientKind::Registered).await.unwrap(), 20);
    let oldest = given.clients().await.unwrap().pop().unwrap();
    assert_eq!(oldest.client.id.as_str(), "dcr_100", "the oldest made room");

    // At once, so that none of them had time to be used: the rest is refused, not exchanged for the next.
    let now = after(10 * HOUR);
    let mut refused = 0;
    for n in 0..30 {
        match given.put_registered(&registered(&format!("burst_{n}"), now), 20, now).await {
            Ok(()) => {}
            Err(StoreError::TooManyClients { limit: 20 }) => refused += 1,
            Err(why) => panic!("{why}"),
        }
    }
    assert_eq!((refused, given.count_clients(ClientKind::Registered).await.unwrap()), (10, 20));
}

/// spec: T-20
async fn client_in_use_is_not_evicted(given: &Given) {
    for n in 0..3 {
        let new = client(&format!("dcr_{n}"));
        given.put_registered(&new, 3, NOW).await.unwrap();
        given.touch_client(&new.id, NOW).await.unwrap();
    }
    let put = given.put_registered(&client("dcr_4"), 3, after(DAY)).await;
    assert!(matches!(put, Err(StoreError::TooManyClients { limit: 3 })));
    // Clients by document or configuration do not count.
    given.put_document(&document("https://client.example/cb"), after(DAY), None, NOW).await.unwrap();
    assert_eq!(given.count_clients(ClientKind::Registered).await.unwrap(), 3);
}

/// spec: T-20, AS-123
async fn unused_and_idle_clients_expire_with_what_is_theirs(given: &Given) {
    let ada = given.person("ada").await;
    for id in ["unused", "idle", "busy"] {
        given.put_registered(&client(id), 10, NOW).await.unwrap();
    }
    let idle = given.granted("grt_idle", &ada.id, "idle").await;
    let busy = given.granted("grt_busy", &ada.id, "busy").await;
    let life = ClientLife::default();
    assert_eq!(given.purge_clients(life, after(DAY)).await.unwrap(), 0);
    assert_eq!(given.purge_clients(life, after(DAY + MINUTE)).await.unwrap(), 1);
    assert_eq!(given.store.client(&ClientId::new("unused")).await.unwrap(), None);

    given.touch_grants(&[(busy.id.clone(), after(80 * DAY))]).await.unwrap();
    assert_eq!(given.purge_clients(life, after(91 * DAY)).await.unwrap(), 1);
    let left: Vec<_> = given.clients().await.unwrap().into_iter().map(|known| known.client.id).collect();
    assert_eq!(left, [ClientId::new("busy")]);

    // Its grants are long over; they and their tokens go with the next purge.
    given.purge(after(92 * DAY)).await.unwrap();
    assert_eq!(given.grant(&idle.id).await.unwrap(), None);
    let short = ClientLife { unused_for: MINUTE, idle_for: MINUTE };
    assert_eq!(given.purge_clients(short, after(80 * DAY + HOUR)).await.unwrap(), 0, "its tokens may be alive");
}

/// spec: AS-116, T-25
async fn changed_document_drops_remembered_consents(given: &Given) {
    let ada = given.person("ada").await;
    let good = document("https://client.example/cb");
    assert!(!given.put_document(&good, after(HOUR), Some("\"1\""), NOW).await.unwrap());
    let stored = given.store.client(&good.id).await.unwrap().unwrap();
    assert_eq!((&stored.client, stored.fresh_until, stored.etag.as_deref()), (&good, Some(after(HOUR)), Some("\"1\"")));

    let grant = grant("grt_1", &ada.id, good.id.as_str());
    let key = consent(&grant, "as it was");
    let approval = Approval {
        transaction: "page",
        transaction_expires_at: after(HOUR),
        grant: &grant,
        code: &code("code", &grant),
        remember: Some(&key),
    };
    given.approve(&approval, NOW).await.unwrap();
    assert!(!given.put_document(&good, after(2 * HOUR), None, NOW).await.unwrap(), "fetched again, still the same");
    assert!(given.is_consent_remembered(&key).await.unwrap());

    let before = given.revision().await.unwrap();
    let bad = document("https://evil.example/cb");
    assert!(given.put_document(&bad, after(3 * HOUR), None, NOW).await.unwrap());
    assert!(!given.is_consent_remembered(&key).await.unwrap());
    assert_eq!(given.store.client(&good.id).await.unwrap().unwrap().client, bad);
    assert_eq!(given.changes_since(before).await.unwrap()[0].key, good.id.as_str());
    // Changing back does not bring them back.
    assert!(given.put_document(&good, after(3 * HOUR), None, NOW).await.unwrap());
    assert!(!given.is_consent_remembered(&key).await.unwrap());
    assert!(!given.is_revoked(&grant).await, "a document is shared by all who use the client: grants stay");
}

/// spec: AS-89
async fn removed_client_takes_its_grants_along(given: &Given) {
    let ada = given.person("ada").await;
    given.put_registered(&client("dcr_1"), 10, NOW).await.unwrap();
    let (lost, kept) = (given.granted("grt_1", &ada.id, "dcr_1").await, given.granted("grt_2", &ada.id, "dcr_2").await);
    assert!(given.remove_client(&ClientId::new("dcr_1"), NOW).await.unwrap());
    assert!(!given.remove_client(&ClientId::new("dcr_1"), NOW).await.unwrap());
    assert_eq!(given.grant(&lost.id).await.unwrap().unwrap().revoked.unwrap().why, RevokedWhy::ClientRemoved);
    assert!(!given.is_revoked(&kept).await);
    assert_eq!(given.revoked_grants_alive(NOW).await.unwrap(), [lost.id]);
}

async fn configured_client_is_never_purged(given: &Given) {
    let configured = Client { kind: ClientKind::Configured, ..client("console") };
    given.put_configured(&configured, NOW).await.unwrap();
    assert!(!given.put_configured(&configured, NOW).await.unwrap());
    assert_eq!(given.purge_clients(ClientLife::default(), after(400 * DAY)).await.unwrap(), 0);
    assert_eq!(given.store.client(&configured.id).await.unwrap().unwrap().client, configured);
}
