//! A connection that ends while something else happens to it.

use futures_util::FutureExt;
use portcullis_audit::Actor;
use portcullis_base::Clock;
use portcullis_store::Extent;

use super::stage::{Act, HOUR, Stage, holder, person, server, whom};
use crate::{
    authority::Revocation,
    connections::{ConnectError, Lack},
    desk::Desk,
    keys::Keys,
    offboard::{How, Offboarding},
};

/// A call that has made the authorization server begin.
async fn refreshing(stage: &Stage) -> tokio::task::JoinHandle<Result<(), Lack>> {
    stage.clock.advance(HOUR);
    stage.script.next([Act::Wait]);
    let (connections, server) = (stage.connections.clone(), stage.server.clone());
    let call = tokio::spawn(async move { connections.credential(&server, &whom("ada")).await.map(drop) });
    stage.script.begun.notified().await;
    call
}

// spec: T-51: "refresh under per-record lock; delete wins".
#[tokio::test]
async fn removal_wins_over_a_refresh_under_way() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let call = refreshing(&stage).await;
    let ended = stage.connections.disconnect(Actor::default(), &holder("ada"), &stage.server.name).await.unwrap();
    assert_eq!(ended.unwrap().revoked, Some(Revocation::Done));
    stage.script.go.notify_one();
    assert!(matches!(call.await.unwrap(), Err(Lack::Connect(_))));
    assert_eq!(stage.row("ada").await, None);
    assert!(matches!(stage.call("ada").await, Err(Lack::Connect(_))));
    let revoked = stage.script.revoked.lock().unwrap().clone();
    assert_eq!(revoked, ["mail.ada.0/0", "mail.ada.0/1"], "what came too late goes back too");
}

// spec: T-51
#[tokio::test]
async fn end_of_a_person_wins_over_a_refresh_under_way() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let call = refreshing(&stage).await;
    let offboarded = stage.store.offboard(&person("ada"), Extent::Account, stage.clock.now()).await.unwrap().unwrap();
    stage.connections.forget(&offboarded.connections);
    let given = stage.connections.give_back().all(&offboarded.connections).await;
    assert_eq!(given[0].end.revoked, Some(Revocation::Done));
    stage.script.go.notify_one();
    assert!(call.await.unwrap().is_err());
    assert_eq!(stage.row("ada").await, None);
    let held = stage.script.grant(&stage.server.name, "ada", &[]);
    let late = stage.connections.connect(Actor::default(), &holder("ada"), &stage.server, &held).await;
    assert!(matches!(late, Err(ConnectError::NotAllowed)), "nobody comes back through a page that was open");
    assert_eq!(stage.connections.round().await.unwrap().settled, 0);
}

#[tokio::test]
async fn new_sign_in_wins_over_a_refresh_under_way() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let call = refreshing(&stage).await;
    stage.connect("ada").await;
    stage.script.go.notify_one();
    call.await.unwrap().unwrap();
    assert_eq!(stage.call("ada").await.unwrap(), "Bearer access-mail.ada.1-0");
    assert!(stage.script.revoked.lock().unwrap().is_empty(), "giving the old grant back could end the new one");
}

/// Whoever was slower hears `invalid_grant` and must not believe it.
// spec: UP-43
#[tokio::test]
async fn slower_refresh_does_not_end_what_a_faster_one_renewed() {
    let one = Stage::new().await;
    one.connect("ada").await;
    let two = one.beside(2).await;
    let call = refreshing(&one).await;
    // Its lease is over: another takes its turn, and then some.
    one.clock.advance(std::time::Duration::from_secs(16));
    assert!(two.call("ada").await.unwrap().ends_with("-1"));
    one.clock.advance(HOUR);
    assert!(two.call("ada").await.unwrap().ends_with("-2"));
    one.script.go.notify_one();
    // The reused token has ended the grant there, but what this database holds is not touched by the slower one.
    call.await.unwrap().unwrap();
    assert!(one.call("ada").await.unwrap().ends_with("-2"));
}

// spec: UP-47
#[tokio::test]
async fn disconnecting_tells_what_became_of_it() {
    for told in [Revocation::Done, Revocation::NotOffered, Revocation::Failed("500".into())] {
        let stage = Stage::new().await;
        stage.connect("ada").await;
        *stage.script.revocation.lock().unwrap() = told.clone();
        let by = Actor { name: Some("ada".into()), ..Actor::default() };
        let ended =
            stage.connections.disconnect(by.clone(), &holder("ada"), &stage.server.name).await.unwrap().unwrap();
        assert_eq!((ended.issuer.as_deref(), ended.revoked.clone()), (Some("https://as.example"), Some(told)));
        assert!(stage.journal().contains("connection.disconnected") && stage.journal().contains(&ended.told()));
        assert!(!stage.journal().contains("access-mail"), "nothing that opens a door is written down");
        assert_eq!(stage.connections.disconnect(by, &holder("ada"), &stage.server.name).await.unwrap(), None);
    }
}

// spec: UP-47: "or the upstream is deleted".
#[tokio::test]
async fn server_that_is_taken_away_takes_its_connections_with_it() {
    let mut stage = Stage::new().await;
    stage.add_person("bob").await;
    stage.connect("ada").await;
    stage.connect("bob").await;
    let name = stage.server.name.clone();
    stage.set_up(&[server("other", crate::config::Credential::None)]);
    let ended = stage.connections.disconnect_all(&Actor::default(), &name).await.unwrap();
    assert_eq!(ended.len(), 2);
    assert_eq!(stage.script.revoked.lock().unwrap().len(), 2);
    assert!(stage.store.connections_at(&name).await.unwrap().is_empty());
}

// spec: UP-47
#[tokio::test]
async fn what_another_account_gave_is_given_back_when_it_is_replaced() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let other = stage.script.grant(&stage.server.name, "ada.privately", &["read"]);
    stage.connections.connect(Actor::default(), &holder("ada"), &stage.server, &other).await.unwrap();
    assert_eq!(*stage.script.revoked.lock().unwrap(), ["mail.ada.0/0"]);
    assert!(stage.call("ada").await.unwrap().contains("ada.privately"));
    assert!(stage.journal().contains("replaced_revoked"));
}

/// What is in memory of one node ends with the word of another.
#[tokio::test]
async fn end_elsewhere_is_known_here_by_the_feed() {
    let one = Stage::new().await;
    one.connect("ada").await;
    let two = one.beside(2).await;
    two.call("ada").await.unwrap();
    one.connections.disconnect(Actor::default(), &holder("ada"), &one.server.name).await.unwrap();
    assert!(two.connections.credential(&two.server, &whom("ada")).now_or_never().is_some());
    two.catch_up().await;
    assert!(matches!(two.call("ada").await, Err(Lack::Connect(_))));
}

fn offboarding<'a>(stage: &'a Stage, keys: &'a Keys) -> Offboarding<'a> {
    let Stage { store, clock, connections, .. } = stage;
    let journal = &connections.parts.journal;
    let desk = Desk { store, journal, clock: &**clock, rng: &*connections.parts.rng, by: Actor::default() };
    Offboarding::new(desk, keys)
}

// spec: UP-47, T-53
#[tokio::test]
async fn report_of_an_end_says_what_became_of_each_connection() {
    let stage = Stage::new().await;
    stage.add_person("bob").await;
    let keys = Keys::from_root(&zeroize::Zeroizing::new([7; 32]));
    for name in ["ada", "bob"] {
        stage.connect(name).await;
    }
    stage.call("ada").await.unwrap();
    let ended = offboarding(&stage, &keys).connections(&stage.connections);
    let done = ended.end(&person("ada"), Extent::Account, &How::Command).await.unwrap().unwrap();
    let connection = &done.report.ended.connections[0];
    assert_eq!((connection.server.as_str(), connection.account.as_deref()), ("mail", Some("ada")));
    assert_eq!((connection.revoked.as_str(), done.report.left.len()), ("taken back", 0));
    assert!(done.text.contains("https://as.example") && !done.text.contains("access-mail"));
    assert!(stage.journal().contains("connection.disconnected"));
    let at_once = stage.connections.credential(&stage.server, &whom("ada")).now_or_never();
    assert!(!matches!(at_once, Some(Ok(_))), "this node does not wait for the feed");

    // Where it cannot be given back, that stands in the report.
    let done = offboarding(&stage, &keys).end(&person("bob"), Extent::Account, &How::Command).await.unwrap().unwrap();
    assert!(done.report.ended.connections[0].revoked.starts_with("failed"));
    assert!(done.report.left[0].what.contains("mail") && done.report.left[0].why.ends_with("it was deleted here"));
    assert!(stage.store.connections_at(&stage.server.name).await.unwrap().is_empty());
}
