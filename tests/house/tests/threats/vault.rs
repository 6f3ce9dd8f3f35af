//! What is sealed for one holder, moved to another by somebody who can write to the database.

use std::{str::from_utf8, sync::Arc};

use anyhow::{Context, Result, anyhow};
use portcullis_audit::Actor;
use portcullis_base::{ConnectionId, Holder, PersonId, Secret, ServerName};
use portcullis_gateway::{authority::Whom, connections::Lack, feed::Follower, key_ring, keys::Keys, reseal};
use portcullis_house::gateway::{ALICE, BOB, TestGateway};
use portcullis_store::{Connection, NewConnection, PersonKind};
use serde_json::json;

use crate::behind::Behind;

const CANARY: &str = "sk_canary_of_alice";

struct Two {
    house: TestGateway,
    _behind: Behind,
    people: [PersonId; 2],
    servers: [ServerName; 2],
}

/// Alice has a key at `one`, and nobody has anything else.
async fn two() -> Result<Two> {
    let (house, behind) = (TestGateway::start().await?, Behind::start().await?);
    let credential = json!({ "kind": "header", "header": "X-Api-Key" });
    for name in ["one", "two"] {
        let url = format!("http://{}/mcp", behind.at);
        house.protect_as(json!({ "name": name, "url": url, "credential": credential })).await?;
    }
    let id = async |login: (&str, &str)| -> Result<PersonId> {
        Ok(house.app.store.person_by_name(login.0).await?.context("a person")?.0.id)
    };
    let people = [id(ALICE).await?, id(BOB).await?];
    let servers = [ServerName::parse("one"), ServerName::parse("two")].map(|name| name.expect("a name"));
    let snapshot = house.app.snapshot.load_full();
    let one = &snapshot.servers[&servers[0]];
    let (holder, key) = (Holder::Person(people[0].clone()), Secret::new(CANARY.into()));
    house.app.connections.put_key(Actor::default(), &holder, one, "", &key).await.map_err(|why| anyhow!("{why}"))?;
    Ok(Two { house, _behind: behind, people, servers })
}

impl Two {
    async fn row(&self) -> Result<Connection> {
        let holder = Holder::Person(self.people[0].clone());
        self.house.app.store.connection(&holder, &self.servers[0]).await?.context("Alice's")
    }

    /// Writes what is Alice's at `one` as what `person` has at `server`.
    async fn moved(&self, person: &PersonId, server: &ServerName) -> Result<()> {
        let (row, holder) = (self.row().await?, Holder::Person(person.clone()));
        let new = NewConnection {
            id: &ConnectionId::new(format!("con_{person}_{server}")),
            holder: &holder,
            server,
            kind: row.kind,
            issuer: row.issuer.as_deref(),
            resource: row.resource.as_deref(),
            client_id: row.client_id.as_deref(),
            scopes: &row.scopes,
            account: row.account.as_deref(),
            sealed: row.sealed.as_deref().context("sealed")?,
            expires_at: row.expires_at,
            renew_at: row.renew_at,
        };
        self.house.app.store.put_connection(&new, self.house.app.clock.now()).await?;
        self.house.app.connections.forget_all();
        Ok(())
    }

    /// The headers that a call of `person` to `server` would carry.
    async fn carried(&self, person: &PersonId, server: &ServerName) -> Result<Vec<String>, Lack> {
        let snapshot = self.house.app.snapshot.load_full();
        let whom = Whom { person: person.clone(), kind: PersonKind::Person, name: "x".into(), groups: Arc::default() };
        let presented = self.house.app.connections.credential(&snapshot.servers[server], &whom).await?;
        let mut headers = hyper::HeaderMap::new();
        presented.credential.apply(&mut headers);
        Ok(headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect())
    }
}

// spec: T-44, T-51
#[tokio::test(flavor = "multi_thread")]
async fn t44_a_sealed_row_that_is_moved_opens_for_nobody() -> Result<()> {
    let two = two().await?;
    let [alice, bob] = &two.people;
    let [one, other] = &two.servers;
    assert_eq!(two.carried(alice, one).await.ok().context("hers")?, [CANARY]);
    for (person, server) in [(bob, one), (alice, other), (bob, other)] {
        two.moved(person, server).await?;
        let carried = two.carried(person, server).await;
        assert!(carried.is_err(), "{person} at {server}: {carried:?}");
    }
    assert_eq!(two.carried(alice, one).await.ok().context("hers")?, [CANARY], "what is at its place stays good");
    two.house.stop().await
}

// spec: T-44
#[tokio::test(flavor = "multi_thread")]
async fn t44_a_credential_is_nowhere_on_the_disk_before_and_after_it_is_sealed_again() -> Result<()> {
    let two = two().await?;
    let app = &two.house.app;
    let before = two.row().await?.sealed.context("sealed")?;
    let first = Keys::number(&before);
    let now = app.clock.now();
    let root_key = app.keys.root().context("a root key")?;
    let made = key_ring::add_data_key(&app.store, root_key, &*app.rng, now).await?;
    two.house.advance(key_ring::AHEAD).await?;
    app.feed.catch_up().await.map_err(|why| anyhow!("{why}"))?;
    app.feed.catch_up().await.map_err(|why| anyhow!("{why}"))?;
    let resealed = reseal::round(&app.store, &app.keys, &*app.rng).await?;
    assert!(resealed.done >= 2 && resealed.lost == 0, "the connection and the signing keys: {resealed:?}");
    let after = two.row().await?.sealed.context("sealed")?;
    assert_eq!((first, Keys::number(&after)), (1, made));
    app.connections.forget_all();
    assert_eq!(two.carried(&two.people[0], &two.servers[0]).await.ok().context("hers")?, [CANARY]);
    let written = two.house.written();
    assert!(written.windows(5).any(|part| part == b"alice"), "the wrong place was searched");
    assert!(!written.windows(CANARY.len()).any(|part| from_utf8(part) == Ok(CANARY)));
    two.house.stop().await
}
