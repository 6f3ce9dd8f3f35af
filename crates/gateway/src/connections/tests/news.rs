//! What a server says no to, and who waits for a connection.

use std::time::Duration;

use portcullis_oauth::upstream::challenge::parse;

use super::stage::{HOUR, Stage, holder, shown, whom};
use crate::{
    config::{Credential, OAuth},
    connections::{Appeared, Lack, NeedWhy, Presented, tests::stage::server},
};

pub(super) async fn presented(stage: &Stage) -> Presented {
    stage.connections.credential(&stage.server, &whom("ada")).await.unwrap()
}

pub(super) async fn refused(
    stage: &Stage,
    presented: &Presented,
    status: u16,
    challenge: &str,
) -> Result<Presented, Lack> {
    let challenges = parse([challenge.as_bytes()]);
    stage.connections.refused(&stage.server, &whom("ada"), presented, status, &challenges).await
}

// spec: UP-45: "refresh once and retry once; then treat as unauthorized and start re-authorization".
#[tokio::test]
async fn refused_token_is_renewed_once_and_then_needs_a_sign_in() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let first = presented(&stage).await;
    let second = refused(&stage, &first, 401, "Bearer").await.unwrap();
    assert!(shown(&second).ends_with("-1"));
    let lack = refused(&stage, &second, 401, "Bearer").await.unwrap_err();
    assert!(matches!(lack, Lack::Connect(need) if need.why == NeedWhy::NeedsSignIn("refused".into())));
    assert_eq!(stage.script.asked(), 1);
    assert!(stage.journal().contains("connection.refused"));
    // Somebody who still held the old one gets the new one, and no other refresh.
    let other = refused(&stage, &first, 401, "Bearer").await.unwrap();
    assert_eq!((shown(&other), stage.script.asked()), (shown(&second), 1));
    // The next call meets the same refusal, and causes no refresh either; later one may.
    let next = presented(&stage).await;
    assert!(refused(&stage, &next, 401, "Bearer").await.is_err());
    assert_eq!(stage.script.asked(), 1);
    stage.clock.advance(Duration::from_mins(6));
    assert!(refused(&stage, &next, 401, "Bearer").await.is_ok());
    assert_eq!(stage.script.asked(), 2);
}

// spec: UP-2, UP-12: what a server says when it refuses is known to whoever looks for its authorization server.
#[tokio::test]
async fn what_a_server_says_when_it_refuses_is_passed_on() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let first = presented(&stage).await;
    let second = refused(&stage, &first, 401, r#"Bearer scope="read""#).await.unwrap();
    assert!(refused(&stage, &second, 401, "Bearer").await.is_err());
    assert!(refused(&stage, &second, 403, r#"Bearer error="insufficient_scope", scope="write""#).await.is_err());
    let heard = stage.script.heard.lock().unwrap().clone();
    assert_eq!(heard, [Some(vec!["read".to_owned()]), None]);
}

// spec: UP-46, T-42: "after 2 failures a terminal error with reason".
#[tokio::test]
async fn more_scope_is_asked_for_as_a_union_and_not_for_ever() {
    let mut stage = Stage::new().await;
    let capped = OAuth { scopes: Some(vec!["read".into(), "write".into()]), ..OAuth::default() };
    stage.set_up(&[server("mail", Credential::OAuth(capped))]);
    stage.connect("ada").await;
    let more = r#"Bearer error="insufficient_scope", scope="write""#;
    for round in 0..3 {
        let lack = refused(&stage, &presented(&stage).await, 403, more).await.unwrap_err();
        if round == 2 {
            assert!(matches!(lack, Lack::Refused(why) if why.contains("again and again")));
            break;
        }
        let Lack::Connect(need) = lack else { panic!("{lack:?}") };
        assert_eq!(need.why, NeedWhy::MoreScope(vec!["read".into(), "write".into()]));
        let same = refused(&stage, &presented(&stage).await, 403, more).await.unwrap_err();
        assert!(matches!(same, Lack::Connect(_)), "nobody has been there yet");
        stage.clock.advance(Duration::from_secs(60));
        // They go there, and come back with no more than before.
        stage.connect("ada").await;
    }
    let beyond = r#"Bearer error="insufficient_scope", scope="admin""#;
    let lack = refused(&stage, &presented(&stage).await, 403, beyond).await.unwrap_err();
    assert!(matches!(lack, Lack::Refused(why) if why.contains("admin")), "the settings allow no more");
    let lack = refused(&stage, &presented(&stage).await, 403, "Bearer").await.unwrap_err();
    assert!(matches!(lack, Lack::Refused(_)), "no is no");
}

#[tokio::test]
async fn who_waits_hears_of_a_connection_that_was_made_on_another_node() {
    let one = Stage::new().await;
    let two = one.beside(2).await;
    let mut news = two.connections.watch();
    let long = Duration::from_secs(60);
    let (waiting, name) = (two.connections.clone(), two.server.name.clone());
    let wait = tokio::spawn(async move { waiting.appeared(&name, &holder("ada"), 0, long).await });
    one.connect("ada").await;
    two.catch_up().await;
    assert!(wait.await.unwrap());
    assert_eq!(news.recv().await.unwrap(), Appeared { server: two.server.name.clone(), holder: holder("ada") });
    let version = one.row("ada").await.unwrap().version;
    let soon = Duration::from_millis(5);
    assert!(!two.connections.appeared(&two.server.name, &holder("ada"), version, soon).await, "that one is known");
    assert!(!two.connections.appeared(&two.server.name, &holder("bob"), 0, soon).await, "somebody else's");
    // A renewal is no news.
    one.clock.advance(HOUR);
    one.call("ada").await.unwrap();
    two.catch_up().await;
    assert!(news.try_recv().is_err());
}
