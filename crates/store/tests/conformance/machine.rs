use std::{sync::Arc, time::Duration};

use portcullis_base::{ClientId, GrantId, PersonId};
use portcullis_oauth::{
    client::{Client, ClientKind, ClientMetadata},
    grant::RevokedWhy,
    scope::Scopes,
};
use portcullis_store::{ClientLife, MachineGrant, NewServiceAccount, PersonKind, StoreError};

use crate::{
    given::{DAY, Given, HOUR, NOW, RESOURCE, after, digest, groups},
    on_both,
};

on_both!(
    service_account_is_a_person_of_another_kind,
    service_account_needs_an_owner_and_a_name_of_its_own,
    machine_has_one_grant_for_one_thing,
    machines_that_ask_at_once_get_the_same_grant,
);

fn machine_client(id: &str) -> Client {
    let metadata = ClientMetadata::public(Vec::new());
    Client::new(ClientId::new(id), ClientKind::Configured, metadata, Some(digest("secret")), NOW)
}

async fn account(
    given: &Given,
    id: &str,
    name: &str,
    owner: &PersonId,
) -> Result<portcullis_store::Person, StoreError> {
    let groups = groups(&["deployers"]);
    let new = NewServiceAccount { id: PersonId::new(id), name, owner, groups: &groups };
    given.create_service_account(&new, &machine_client(id), NOW).await
}

async fn service_account_is_a_person_of_another_kind(given: &Given) {
    let ada = given.person("ada").await;
    let made = account(given, "svc_1", "deploy", &ada.id).await.unwrap();
    assert_eq!((made.kind, made.owner.as_ref()), (PersonKind::Service, Some(&ada.id)));
    assert_eq!(given.store.person(&made.id).await.unwrap().as_ref(), Some(&made));
    let accounts = given.service_accounts().await.unwrap();
    assert_eq!(accounts.len(), 1);
    assert_eq!((&accounts[0].person, accounts[0].owner_name.as_deref()), (&made, Some("ada")));
    assert_eq!(accounts[0].client.as_ref().unwrap().client.id.as_str(), "svc_1");
    assert_eq!(accounts[0].person.groups, groups(&["deployers"]));
    // Its client is not forgotten like one that registered itself.
    let life = ClientLife { unused_for: Duration::ZERO, idle_for: Duration::ZERO };
    assert_eq!(given.purge_clients(life, after(90 * DAY)).await.unwrap(), 0);

    let bob = given.person("bob").await;
    assert!(given.set_owner(&made.id, &bob.id, NOW).await.unwrap());
    assert!(!given.set_owner(&ada.id, &bob.id, NOW).await.unwrap(), "people have no owner");
    assert_eq!(given.service_accounts().await.unwrap()[0].owner_name.as_deref(), Some("bob"));
    given.disable_person(&ada.id, NOW).await.unwrap();
    assert!(matches!(given.set_owner(&made.id, &ada.id, NOW).await, Err(StoreError::Missing)));
}

async fn service_account_needs_an_owner_and_a_name_of_its_own(given: &Given) {
    let ada = given.person("ada").await;
    assert!(matches!(account(given, "svc_1", "x", &PersonId::new("usr_no")).await, Err(StoreError::Missing)));
    assert!(matches!(account(given, "svc_1", "ADA", &ada.id).await, Err(StoreError::Taken)));
    assert!(given.client(&ClientId::new("svc_1")).await.unwrap().is_none(), "nothing was half done");
    assert_eq!(given.service_accounts().await.unwrap(), []);
}

async fn machine_has_one_grant_for_one_thing(given: &Given) {
    let ada = given.person("ada").await;
    let machine = account(given, "svc_1", "deploy", &ada.id).await.unwrap();
    let (client, read) = (ClientId::new("svc_1"), Scopes::parse("mcp:read").unwrap());
    let wanted = MachineGrant {
        person: &machine.id,
        client: &client,
        resource: RESOURCE,
        scopes: &read,
        expires_at: after(HOUR),
    };
    let ask = async |wanted: &MachineGrant<'_>, id: &str, at| {
        given
            .machine_grant(wanted, &GrantId::new(id), at)
            .await
            .unwrap()
            .map(|grant| (grant.id.to_string(), grant.expires_at))
    };
    assert_eq!(ask(&wanted, "grt_1", NOW).await, Some(("grt_1".into(), after(HOUR))));
    let longer = MachineGrant { expires_at: after(2 * HOUR), ..wanted };
    assert_eq!(ask(&longer, "grt_2", NOW).await, Some(("grt_1".into(), after(2 * HOUR))));
    assert_eq!(ask(&wanted, "grt_3", NOW).await, Some(("grt_1".into(), after(2 * HOUR))), "never shorter");
    let all = Scopes::parse("mcp:call").unwrap();
    for (other, id) in [
        (MachineGrant { scopes: &all, ..wanted }, "grt_4"),
        (MachineGrant { resource: "http://127.0.0.1/mcp/other", ..wanted }, "grt_5"),
        (MachineGrant { person: &ada.id, ..wanted }, "grt_6"),
    ] {
        assert_eq!(ask(&other, id, NOW).await.unwrap().0, id);
    }
    let grant = given.grant(&GrantId::new("grt_1")).await.unwrap().unwrap();
    assert_eq!((grant.redirect_uri.as_str(), grant.authenticated_at, grant.session), ("", None, None));

    given.revoke_grant(&grant.id, RevokedWhy::Administrator, NOW).await.unwrap();
    assert_eq!(ask(&wanted, "grt_7", NOW).await.unwrap().0, "grt_7", "what was ended is not given again");
    assert_eq!(ask(&MachineGrant { expires_at: after(DAY), ..wanted }, "grt_8", after(HOUR)).await.unwrap().0, "grt_8");
    given.disable_person(&machine.id, NOW).await.unwrap();
    assert_eq!(ask(&wanted, "grt_9", NOW).await, None);
    assert_eq!(ask(&MachineGrant { person: &PersonId::new("svc_no"), ..wanted }, "grt_9", NOW).await, None);
}

async fn machines_that_ask_at_once_get_the_same_grant(given: &Arc<Given>) {
    let ada = given.person("ada").await;
    let mut tries = Vec::new();
    for n in 0..10 {
        let (given, person) = (Arc::clone(given), ada.id.clone());
        tries.push(tokio::spawn(async move {
            let (client, scopes) = (ClientId::new("c"), Scopes::parse("mcp:read").unwrap());
            let wanted = MachineGrant {
                person: &person,
                client: &client,
                resource: RESOURCE,
                scopes: &scopes,
                expires_at: after(HOUR),
            };
            given.machine_grant(&wanted, &GrantId::new(format!("grt_{n}")), NOW).await.unwrap().unwrap().id
        }));
    }
    let mut ids = std::collections::HashSet::new();
    for one in tries {
        ids.insert(one.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
}
