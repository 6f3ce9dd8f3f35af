use std::{sync::Arc, time::Duration};

use portcullis_base::{ClientId, Digest, PersonId, ServerName, StandingGrantId, Timestamp};
use portcullis_policy::{
    Ask, Target,
    approval::{Arguments, By, Call, Scope, Spent, Standing, cover},
};
use portcullis_store::{ChangeKind, Extent, Purged, StandingRow, Store, StoreError};

use crate::{
    given::{DAY, Given, HOUR, NOW, after},
    on_both,
};

on_both!(
    approval_ahead_is_kept_found_used_and_taken_back,
    uses_are_counted_out_however_many_try,
    approval_ahead_ends_with_who_has_it_or_gave_it,
);

struct Covered {
    person: PersonId,
    client: ClientId,
    server: ServerName,
    arguments: Arguments,
    definition: Digest,
}

impl Covered {
    fn of(person: &PersonId) -> Self {
        Self {
            person: person.clone(),
            client: ClientId::new("agent"),
            server: ServerName::parse("shop").unwrap(),
            arguments: Arguments::read(Some("{\"charge\":1}")).unwrap(),
            definition: Digest::of(b"definition"),
        }
    }

    fn call(&self) -> Call<'_> {
        Call {
            tenant: "https://gateway.example",
            person: &self.person,
            client: &self.client,
            server: &self.server,
            target: Target::Tool("refund"),
            definition: Some(&self.definition),
            arguments: &self.arguments,
        }
    }

    fn row(&self, id: &str, given_by: &PersonId, uses_left: Option<u32>) -> StandingRow {
        let standing = Standing {
            id: StandingGrantId::new(id),
            person: self.person.clone(),
            client: self.client.clone(),
            server: self.server.clone(),
            tool: "refund".into(),
            definition: self.definition,
            scope: Scope::of(&self.call(), &["charge"]).unwrap(),
            demands: [Ask::plain("access".into())].into(),
            uses_left,
            ends_at: after(HOUR),
            revoked_at: None,
        };
        StandingRow {
            standing,
            approval: portcullis_base::ApprovalId::new("apr_1"),
            given_by: given_by.clone(),
            made_at: NOW,
            used_at: None,
            revoked_by: None,
        }
    }
}

async fn used(store: &Store, id: &StandingGrantId, covered: &Covered, now: Timestamp) -> Option<Spent> {
    let demands = [Arc::new(Ask::plain("access".into()))];
    store.use_standing_grant(id, now, |standing| cover(standing, &covered.call(), &demands, now)).await.unwrap()
}

async fn approval_ahead_is_kept_found_used_and_taken_back(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let covered = Covered::of(&ada.id);
    let row = covered.row("stg_1", &bob.id, Some(2));
    let id = &row.standing.id;
    let seen = given.revision().await.unwrap();
    given.put_standing_grant(&row).await.unwrap();
    assert_eq!(given.standing_grants_of(&ada.id).await.unwrap(), std::slice::from_ref(&row));
    assert!(given.standing_grants_of(&bob.id).await.unwrap().is_empty());
    let found = async |tool: &str, client: &str, now| {
        let client = ClientId::new(client);
        given.standing_grants_for(&ada.id, &client, (&covered.server, tool), now).await.unwrap().len()
    };
    assert_eq!(found("refund", "agent", NOW).await, 1);
    assert_eq!((found("charge", "agent", NOW).await, found("refund", "other", NOW).await), (0, 0));
    assert_eq!(found("refund", "agent", after(HOUR)).await, 0);

    let other = Covered { arguments: Arguments::read(None).unwrap(), ..Covered::of(&ada.id) };
    assert_eq!(used(given, id, &other, NOW).await, None, "the law says no");
    let spent = used(given, id, &covered, NOW).await.unwrap();
    assert_eq!(spent.by(), &By::Standing(id.clone()));
    let now = given.standing_grants_of(&ada.id).await.unwrap();
    assert_eq!((now[0].standing.uses_left, now[0].used_at), (Some(1), Some(NOW)));
    // Whatever the law is told, the row knows its end.
    let late = given.use_standing_grant(id, after(HOUR), |_| Some(())).await.unwrap();
    assert_eq!(late, None);
    assert!(given.revoke_standing_grant(id, &ada.id, NOW).await.unwrap());
    assert!(!given.revoke_standing_grant(id, &bob.id, NOW).await.unwrap());
    assert_eq!(given.use_standing_grant(id, NOW, |_| Some(())).await.unwrap(), None);
    assert_eq!(found("refund", "agent", NOW).await, 0);
    let now = given.standing_grants_of(&ada.id).await.unwrap();
    assert_eq!((now[0].standing.revoked_at, now[0].revoked_by.as_ref()), (Some(NOW), Some(&ada.id)));
    let told = given.changes_since(seen).await.unwrap();
    assert_eq!(told.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::StandingGrant; 2]);
    assert_eq!(given.purge_rights(NOW, NOW).await.unwrap(), Purged { rows: 0 });
    assert_eq!(given.purge_rights(after(Duration::from_secs(1)), NOW).await.unwrap(), Purged { rows: 1 });
}

/// spec: T-84
async fn uses_are_counted_out_however_many_try(given: &Given) {
    let ada = given.person("ada").await;
    let covered = Arc::new(Covered::of(&ada.id));
    let counted = covered.row("stg_1", &ada.id, Some(3));
    let free = covered.row("stg_2", &ada.id, None);
    for row in [&counted, &free] {
        given.put_standing_grant(row).await.unwrap();
    }
    let other = given.database.open().await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..20 {
        let store = if n % 2 == 0 { given.store.clone() } else { other.clone() };
        let (covered, id) = (Arc::clone(&covered), counted.standing.id.clone());
        tasks.push(tokio::spawn(async move { used(&store, &id, &covered, NOW).await.is_some() }));
    }
    let mut uses = 0;
    for task in tasks {
        uses += u32::from(task.await.unwrap());
    }
    assert_eq!(uses, 3);
    assert_eq!(given.use_standing_grant(&counted.standing.id, NOW, |_| Some(())).await.unwrap(), None);
    for _ in 0..5 {
        assert!(used(given, &free.standing.id, &covered, NOW).await.is_some());
    }
}

/// spec: T-53
async fn approval_ahead_ends_with_who_has_it_or_gave_it(given: &Given) {
    let (ada, bob, eve) = (given.person("ada").await, given.person("bob").await, given.person("eve").await);
    let rows = [
        Covered::of(&ada.id).row("stg_1", &bob.id, None),
        Covered::of(&bob.id).row("stg_2", &eve.id, None),
        Covered::of(&ada.id).row("stg_3", &eve.id, None),
    ];
    for row in &rows {
        given.put_standing_grant(row).await.unwrap();
    }
    given.store.offboard(&bob.id, Extent::Account, NOW).await.unwrap();
    for (row, lives) in rows.iter().zip([false, false, true]) {
        assert_eq!(given.use_standing_grant(&row.standing.id, NOW, |_| Some(())).await.unwrap().is_some(), lives);
    }
    let late = given.put_standing_grant(&Covered::of(&ada.id).row("stg_4", &bob.id, None)).await;
    assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
    assert_eq!(given.purge_rights(after(DAY), NOW).await.unwrap(), Purged { rows: 3 });
}
