use portcullis_base::PersonId;
use portcullis_oauth::{
    client::{Client, ClientKind, ClientMetadata},
    grant::RevokedWhy,
};
use portcullis_store::{
    Approval, ChangeKind, Extent, NewServiceAccount, ReportRow, SignInRefused, SignedIn, StoreError,
};

use crate::{
    access_keys::access_key,
    given::{DAY, Given, ISSUER, MINUTE, NOW, PROVIDER, after, at_provider, code, consent, grant, groups, new_admin},
    on_both,
};

on_both!(
    everything_of_a_person_ends_in_one_commit,
    signing_out_everywhere_leaves_the_account_open,
    last_administrator_is_not_offboarded,
    rights_of_the_last_administrator_are_not_taken,
    reports_are_kept_as_they_were_signed,
);

/// spec: T-53
async fn everything_of_a_person_ends_in_one_commit(given: &Given) {
    let ada = given.signed_up("ada", &["company"]).await;
    let bob = given.person("bob").await;
    given.session_from_provider("one", &ada, None).await;
    given.sign_in("two", &ada.id, after(DAY)).await.unwrap();
    given.sign_in("bob's", &bob.id, after(DAY)).await.unwrap();
    let first = given.granted_in("grt_1", "one", &ada.id).await;
    let kept = given.granted("grt_bob", &bob.id, "c").await;
    given.create_access_key(&access_key("key", "grt_key", &ada.id), NOW).await.unwrap();
    let remembered = grant("grt_2", &ada.id, "other");
    let approval = Approval {
        transaction: "page",
        transaction_expires_at: after(MINUTE),
        grant: &remembered,
        code: &code("code", &remembered),
        remember: Some(&consent(&remembered, "document")),
    };
    given.approve(&approval, NOW).await.unwrap();
    let names = groups(&[]);
    let service = NewServiceAccount { id: PersonId::new("svc_1"), name: "deploy", owner: &ada.id, groups: &names };
    let client = Client::new(
        portcullis_base::ClientId::new("svc_1"),
        ClientKind::Configured,
        ClientMetadata::public(Vec::new()),
        None,
        NOW,
    );
    given.create_service_account(&service, &client, NOW).await.unwrap();

    let seen = given.revision().await.unwrap();
    let done = given.store.offboard(&ada.id, Extent::Account, after(MINUTE)).await.unwrap().unwrap();
    assert_eq!((&done.person, done.name.as_str(), done.was_active), (&ada.id, "ada", true));
    assert_eq!((done.sessions, done.access_keys, done.consents), (2, 1, 1));
    let ended: Vec<_> = done.grants.iter().map(|grant| (grant.id.as_str(), grant.client.as_str())).collect();
    assert_eq!(ended, [("grt_1", "c"), ("grt_2", "other"), ("grt_key", "access-key")]);
    let identity = &done.identities[0];
    assert_eq!(
        (identity.provider.as_str(), identity.issuer.as_str(), identity.subject.as_str()),
        (PROVIDER, ISSUER, "ada")
    );
    assert_eq!(identity.refresh_sealed.as_deref(), Some(&b"sealed"[..]), "to be given back");
    assert_eq!(done.owned, ["deploy"]);

    let person = given.store.person(&ada.id).await.unwrap().unwrap();
    assert!(!person.is_active() && person.groups.is_empty());
    let kept_identity = given.identity(ISSUER, "ada").await.unwrap().unwrap();
    assert_eq!((kept_identity.refresh_sealed, kept_identity.ended_at), (None, Some(after(MINUTE))));
    assert_eq!(given.grant(&first.id).await.unwrap().unwrap().revoked.unwrap().why, RevokedWhy::Offboarded);
    assert!(!given.is_signed_in("one").await && given.is_signed_in("bob's").await && !given.is_revoked(&kept).await);
    assert!(
        given.store.person(&PersonId::new("svc_1")).await.unwrap().unwrap().is_active(),
        "it is somebody else's now"
    );
    let refused = given.sign_in_identity(&at_provider("ada", &ada.id, &names), after(DAY)).await.unwrap();
    assert_eq!(refused, SignedIn::Refused(SignInRefused::Disabled));
    let changes = given.changes_since(seen).await.unwrap();
    let told = |kind, key: &str| changes.iter().any(|change| change.kind == kind && change.key == key);
    assert!(told(ChangeKind::Person, "usr_ada"));
    for id in ["grt_1", "grt_2", "grt_key"] {
        assert!(told(ChangeKind::GrantRevoked, id), "{id}");
    }

    let again = given.store.offboard(&ada.id, Extent::Account, after(DAY)).await.unwrap().unwrap();
    assert!(!again.was_active && again.sessions == 0 && again.grants.is_empty());
    assert_eq!(again.identities[0].refresh_sealed, None);
    assert_eq!(given.store.offboard(&PersonId::new("usr_no"), Extent::Account, NOW).await.unwrap(), None);
}

async fn signing_out_everywhere_leaves_the_account_open(given: &Given) {
    let ada = given.signed_up("ada", &["company"]).await;
    given.session_from_provider("one", &ada, None).await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    let done = given.store.offboard(&ada.id, Extent::SignIns, NOW).await.unwrap().unwrap();
    assert_eq!((done.sessions, done.grants.len(), done.identities.len()), (1, 1, 0));
    assert_eq!(given.grant(&grant.id).await.unwrap().unwrap().revoked.unwrap().why, RevokedWhy::SignedOutAtProvider);
    let person = given.store.person(&ada.id).await.unwrap().unwrap();
    assert_eq!((person.is_active(), person.groups), (true, groups(&["company"])));
    let names = groups(&["ada"]);
    assert!(matches!(
        given.sign_in_identity(&at_provider("ada", &ada.id, &names), NOW).await.unwrap(),
        SignedIn::Known(_)
    ));
}

/// spec: T-95
async fn last_administrator_is_not_offboarded(given: &Given) {
    let ada = given.create_person(&new_admin("ada"), NOW).await.unwrap();
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    let refused = given.store.offboard(&ada.id, Extent::Account, NOW).await;
    assert!(matches!(refused, Err(StoreError::LastAdministrator)));
    assert!(given.is_signed_in("cookie").await, "nothing was half done");
    assert!(given.store.offboard(&ada.id, Extent::SignIns, NOW).await.unwrap().is_some());
    given.create_person(&new_admin("eve"), NOW).await.unwrap();
    assert!(given.store.offboard(&ada.id, Extent::Account, NOW).await.unwrap().is_some());
}

/// spec: T-95
async fn rights_of_the_last_administrator_are_not_taken(given: &Given) {
    let (ada, bob) = (given.create_person(&new_admin("ada"), NOW).await.unwrap(), given.person("bob").await);
    assert!(matches!(given.set_admin(&ada.id, None, NOW).await, Err(StoreError::LastAdministrator)));
    assert!(given.set_admin(&bob.id, None, NOW).await.unwrap(), "he never was one");
    assert!(given.set_admin(&bob.id, Some(after(MINUTE)), after(MINUTE)).await.unwrap());
    assert!(given.set_admin(&ada.id, None, NOW).await.unwrap());
    assert!(matches!(given.set_admin(&bob.id, None, NOW).await, Err(StoreError::LastAdministrator)));
    assert_eq!(given.store.person(&bob.id).await.unwrap().unwrap().admin_at, Some(after(MINUTE)));
    assert!(!given.set_admin(&PersonId::new("usr_no"), Some(NOW), NOW).await.unwrap());
    assert!(!given.set_local_groups(&PersonId::new("usr_no"), &[], NOW).await.unwrap());
}

async fn reports_are_kept_as_they_were_signed(given: &Given) {
    let row = |id: &str, at, report: &str| ReportRow {
        id: id.into(),
        person: PersonId::new("usr_ada"),
        created_at: at,
        report: report.into(),
    };
    let text = "{\n  \"statement\": \"ü \\u0000\"\n}";
    given.put_report(&row("rpt_1", NOW, "a first version")).await.unwrap();
    given.put_report(&row("rpt_1", NOW, text)).await.unwrap();
    given.put_report(&row("rpt_2", after(MINUTE), "{}")).await.unwrap();
    assert_eq!(given.report("rpt_1").await.unwrap(), Some(row("rpt_1", NOW, text)));
    assert_eq!(given.report("rpt_3").await.unwrap(), None);
    let ids: Vec<_> = given.reports().await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["rpt_2", "rpt_1"]);
}
