//! Two nodes on one database, and one that dies.

use std::time::Duration;

use portcullis_audit::Actor;
use portcullis_base::Clock;
use portcullis_store::ConnectionState;

use super::stage::{Act, HOUR, Stage, holder, server, shown, whom};
use crate::{config::Credential, connections::Lack};

// spec: UP-43
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_at_once_cause_one_refresh_and_lose_nothing() {
    let one = Stage::new().await;
    one.connect("ada").await;
    let two = one.beside(2).await;
    for turn in 1..6 {
        one.clock.advance(HOUR);
        let calls = (0..20).map(|n| {
            let stage = if n % 2 == 0 { &one } else { &two };
            let (connections, server) = (stage.connections.clone(), stage.server.clone());
            tokio::spawn(async move { shown(&connections.credential(&server, &whom("ada")).await.unwrap()) })
        });
        for call in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
            assert_eq!(call.unwrap(), format!("Bearer access-mail.ada.0-{turn}"));
        }
        assert_eq!(one.script.asked(), turn);
    }
}

/// A node that is gone from one moment to the next, in the middle of a refresh that the authorization server has done.
// spec: UP-43
#[tokio::test]
async fn node_that_dies_in_the_middle_of_a_refresh_loses_no_connection() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    stage.clock.advance(HOUR);
    stage.script.next([Act::Dawdle]);
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let doomed = dying.spawn(stage.beside(2)).await.unwrap();
    let (connections, server) = (doomed.connections.clone(), doomed.server.clone());
    dying.spawn(async move { connections.credential(&server, &whom("ada")).await.map(drop) });
    stage.script.begun.notified().await;
    dying.shutdown_background();
    let row = stage.row("ada").await.unwrap();
    assert!(row.refresh_begun_at.is_some() && row.leased_until.is_some(), "it is known that it was begun");

    // The lease is over long before the authorization server forgets what it answered.
    stage.clock.advance(Duration::from_secs(16));
    assert!(stage.call("ada").await.unwrap().ends_with("-1"));
    let row = stage.row("ada").await.unwrap();
    assert_eq!((row.state, row.refresh_begun_at), (ConnectionState::Good, None));
    assert_eq!(stage.script.asked(), 2);
}

/// A clock that leaps ends the lease of a refresh that is still under way.
// spec: UP-43
#[tokio::test]
async fn clock_that_leaps_in_the_middle_of_a_refresh_causes_no_other_here() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    stage.clock.advance(HOUR);
    stage.script.next([Act::Dawdle]);
    let (connections, server) = (stage.connections.clone(), stage.server.clone());
    let call = tokio::spawn(async move { connections.credential(&server, &whom("ada")).await });
    stage.script.begun.notified().await;
    stage.clock.advance(Duration::from_mins(1));
    // Here the provider would see the old token again, long after it gave a new one for it.
    stage.connections.round().await.unwrap();
    assert_eq!(stage.script.asked(), 1);
    stage.script.go.notify_one();
    assert!(shown(&call.await.unwrap().unwrap()).ends_with("-1"));
    stage.clock.advance(HOUR);
    assert!(stage.call("ada").await.unwrap().ends_with("-2"));
}

/// What another node has removed is forgotten here, also if it was dead before.
#[tokio::test]
async fn dead_connection_that_is_removed_elsewhere_asks_nobody_to_sign_in_again() {
    let mut one = Stage::new().await;
    one.set_up(&[server("mail", Credential::default())]);
    one.connect("ada").await;
    one.script.end("mail.ada.0");
    one.clock.advance(HOUR);
    assert!(matches!(one.call("ada").await, Err(Lack::Connect(_))));
    let mut two = one.beside(2).await;
    two.set_up(&[server("mail", Credential::default())]);
    two.connections.disconnect(Actor::default(), &holder("ada"), &two.server.name).await.unwrap().unwrap();
    one.catch_up().await;
    assert_eq!(one.call("ada").await.unwrap(), "", "the server may want nothing");
}

/// The jobs take it up, also if nobody calls.
#[tokio::test]
async fn refresh_that_nobody_ended_is_taken_up_in_the_background() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let row = stage.row("ada").await.unwrap();
    let now = stage.clock.now();
    let until = now.plus(Duration::from_secs(15));
    stage.store.lease_connection(&row.id, row.version, "gone", until, now).await.unwrap();
    assert_eq!(stage.connections.round().await.unwrap().settled, 0, "somebody may be at it");
    stage.clock.advance(Duration::from_secs(15));
    assert_eq!(stage.connections.round().await.unwrap().settled, 1);
    assert!(stage.call("ada").await.unwrap().ends_with("-1"));
}

// spec: UP-44
#[tokio::test]
async fn idle_connections_are_kept_alive_for_a_month_through_failures_and_restarts() {
    let mut stage = Stage::new().await;
    stage.connect("ada").await;
    let (mut restarts, mut used) = (0, 0);
    for quarter in 0..30 * 24 * 4_u64 {
        stage.clock.advance(HOUR / 4);
        // What was not met in this quarter of an hour is not met later, when more has gone wrong.
        stage.script.forget();
        match quarter % 37 {
            5 => stage.script.next([Act::Fail]),
            9 => stage.script.next([Act::Lose]),
            17 => stage.script.next([Act::Fail, Act::Fail]),
            23 => {
                restarts += 1;
                stage = stage.beside(restarts + 10).await;
            }
            _ => {}
        }
        while stage.connections.round().await.unwrap().unavailable > 0 {
            stage.clock.advance(Duration::from_secs(16));
        }
        // In use for two days, then idle for five.
        if (quarter / 96) % 7 < 2 && quarter % 3 == 0 {
            used += usize::from(stage.call("ada").await.is_ok());
            stage.connections.note_used().await.unwrap();
        }
        assert_eq!(stage.row("ada").await.unwrap().state, ConnectionState::Good, "quarter {quarter}");
    }
    assert!(used > 250, "{used}");
    let asked = stage.script.asked();
    assert!((230..500).contains(&asked), "idle connections are left alone: {asked}");
    stage.clock.advance(HOUR);
    assert!(stage.call("ada").await.is_ok());
}
