use portcullis_base::{Holder, PersonId};
use portcullis_store::{ConnectFlow, Extent, FlowStage, StoreError};

use crate::{
    connections::{held_by, server},
    given::{Given, MINUTE, NOW, after, digest},
    on_both,
};

on_both!(
    flow_is_taken_once_whoever_comes,
    flow_is_taken_at_its_own_stage_and_in_time,
    flows_of_one_person_are_bounded_and_the_oldest_make_room,
    nobody_without_an_account_begins,
    what_arrived_and_nobody_agreed_to_is_handed_out_once,
);

fn flow(state: &str, person: &PersonId) -> ConnectFlow {
    ConnectFlow {
        state_hash: digest(state),
        holder: held_by(person),
        person: person.clone(),
        server: server("a"),
        session: "bse_1".into(),
        browser_hash: digest("browser"),
        sealed: b"sealed".to_vec(),
        stage: FlowStage::Asked,
        expires_at: after(10 * MINUTE),
    }
}

impl Given {
    pub async fn begin(&self, state: &str, person: &PersonId) {
        self.begin_connect(&flow(state, person)).await.unwrap();
    }

    pub async fn arrive(&self, state: &str) -> Option<ConnectFlow> {
        self.take_connect(&digest(state), FlowStage::Asked, NOW).await.unwrap()
    }
}

/// spec: UP-33, UP-36
async fn flow_is_taken_once_whoever_comes(given: &Given) {
    let ada = given.person("ada").await.id;
    let shared = ConnectFlow { holder: Holder::Shared, ..flow("shared", &ada) };
    given.begin_connect(&shared).await.unwrap();
    assert_eq!(given.arrive("shared").await, Some(shared));
    given.begin("state", &ada).await;
    assert_eq!(given.arrive("another").await, None);
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let store = given.store.clone();
        tasks.push(tokio::spawn(async move {
            store.take_connect(&digest("state"), FlowStage::Asked, NOW).await.unwrap().is_some()
        }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += u32::from(task.await.unwrap());
    }
    assert_eq!(taken, 1);
}

async fn flow_is_taken_at_its_own_stage_and_in_time(given: &Given) {
    let ada = given.person("ada").await.id;
    given.begin("state", &ada).await;
    assert_eq!(given.take_connect(&digest("state"), FlowStage::Arrived, NOW).await.unwrap(), None);
    assert!(given.arrive("state").await.is_some(), "asking in the wrong way does not use it up");
    given.begin("late", &ada).await;
    assert_eq!(given.take_connect(&digest("late"), FlowStage::Asked, after(10 * MINUTE)).await.unwrap(), None);
    assert!(given.arrive("late").await.is_none());
    given.begin("rubbish", &ada).await;
    assert!(given.purge(after(11 * MINUTE)).await.unwrap().rows > 0);
    assert!(given.arrive("rubbish").await.is_none());
}

async fn flows_of_one_person_are_bounded_and_the_oldest_make_room(given: &Given) {
    let (ada, bob) = (given.person("ada").await.id, given.person("bob").await.id);
    given.begin("bob's", &bob).await;
    for n in 0..30 {
        let begun = ConnectFlow { expires_at: after((10 + n) * MINUTE), ..flow(&format!("state {n}"), &ada) };
        given.begin_connect(&begun).await.unwrap();
    }
    assert!(given.arrive("state 9").await.is_none());
    for n in 10..30 {
        assert!(given.arrive(&format!("state {n}")).await.is_some(), "{n}");
    }
    assert!(given.arrive("bob's").await.is_some());
}

async fn nobody_without_an_account_begins(given: &Given) {
    let ada = given.person("ada").await.id;
    given.store.offboard(&ada, Extent::Account, NOW).await.unwrap();
    assert!(matches!(given.begin_connect(&flow("state", &ada)).await, Err(StoreError::Missing)));
}

async fn what_arrived_and_nobody_agreed_to_is_handed_out_once(given: &Given) {
    let (ada, bob) = (given.person("ada").await.id, given.person("bob").await.id);
    let arrived = |state: &str, person: &PersonId| ConnectFlow { stage: FlowStage::Arrived, ..flow(state, person) };
    for state in ["first", "second"] {
        given.begin_connect(&arrived(state, &ada)).await.unwrap();
    }
    given.begin_connect(&arrived("bob's", &bob)).await.unwrap();
    given.begin("asked", &ada).await;
    assert_eq!(given.take_stale_arrivals(NOW).await.unwrap(), []);
    // An answer that comes too late neither counts nor loses what is to be given back, and neither does the purge.
    let late = after(10 * MINUTE);
    assert_eq!(given.take_connect(&digest("first"), FlowStage::Arrived, late).await.unwrap(), None);
    given.purge(after(11 * MINUTE)).await.unwrap();
    // Of somebody whose account ends nothing waits any longer.
    given.store.offboard(&bob, Extent::Account, NOW).await.unwrap();
    assert_eq!(given.take_connect(&digest("bob's"), FlowStage::Arrived, NOW).await.unwrap(), None);
    let stale = given.take_stale_arrivals(NOW).await.unwrap();
    assert_eq!(stale.iter().map(|flow| &flow.person).collect::<Vec<_>>(), [&bob]);
    let stale = given.take_stale_arrivals(late).await.unwrap();
    assert_eq!(stale.len(), 2);
    assert!(stale.iter().all(|flow| flow.person == ada && flow.sealed == b"sealed"));
    assert_eq!(given.take_stale_arrivals(late).await.unwrap(), []);
    // A flood of new ones pushes none of them out.
    given.begin_connect(&arrived("kept", &ada)).await.unwrap();
    for n in 0..30 {
        let begun = ConnectFlow { expires_at: after((11 + n) * MINUTE), ..flow(&format!("state {n}"), &ada) };
        given.begin_connect(&begun).await.unwrap();
    }
    assert!(given.take_connect(&digest("kept"), FlowStage::Arrived, NOW).await.unwrap().is_some());
}
