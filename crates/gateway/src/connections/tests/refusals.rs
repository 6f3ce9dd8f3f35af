//! Servers that refuse what they were shown, more than once.

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    news::{presented, refused},
    stage::{HOUR, Stage, keyed, server},
};
use crate::{
    config::{Credential, Exchange, KeySource, ResourceParameter, SubjectToken},
    connections::{Lack, NeedWhy},
};

fn exchange() -> Credential {
    Credential::Exchange(Exchange {
        provider: "company".into(),
        audience: None,
        resource: ResourceParameter::Exact,
        scopes: Vec::new(),
        subject: SubjectToken::AccessToken,
        token_endpoint: None,
    })
}

// spec: UP-45
#[tokio::test]
async fn access_that_a_server_ends_before_its_time_is_renewed_each_time() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    for _ in 0..5 {
        // It is accepted, and then it is not.
        let before = presented(&stage).await;
        assert!(refused(&stage, &before, 401, "Bearer").await.is_ok());
        stage.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(stage.script.asked(), 5);
}

// spec: UP-45, T-42
#[tokio::test]
async fn server_that_refuses_everything_does_not_cost_a_token_a_call() {
    let mut stage = Stage::new().await;
    stage.set_up(&[server("mail", exchange())]);
    for _ in 0..10 {
        let first = presented(&stage).await;
        if let Ok(second) = refused(&stage, &first, 401, "Bearer").await {
            assert!(matches!(refused(&stage, &second, 401, "Bearer").await, Err(Lack::Refused(_))));
        }
    }
    assert_eq!(stage.script.minted.load(Ordering::SeqCst), 2);
    stage.clock.advance(Duration::from_mins(6));
    assert!(refused(&stage, &presented(&stage).await, 401, "Bearer").await.is_ok(), "it may be set right by now");
}

// spec: T-42, UP-46: "limit attempts per (upstream, operation)".
#[tokio::test]
async fn two_tools_that_want_different_things_in_turn_are_no_way_around_the_limit() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let asked = |scope: &str| format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
    let mut asks = 0;
    for round in 0..6 {
        // The order of the words is no difference.
        for scope in [["write extra", "extra write"][round % 2], "admin"] {
            let lack = refused(&stage, &presented(&stage).await, 403, &asked(scope)).await.unwrap_err();
            asks += u32::from(matches!(lack, Lack::Connect(_)));
        }
        stage.clock.advance(Duration::from_secs(60));
        stage.connect("ada").await;
    }
    assert_eq!(asks, 4, "two times for each of them");
}

/// The page of the server knows it too, on whichever node, for people whose application can show no link of its own.
// spec: UP-46
#[tokio::test]
async fn what_a_server_asks_for_is_written_down() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let more = r#"Bearer error="insufficient_scope", scope="write""#;
    let Err(Lack::Connect(need)) = refused(&stage, &presented(&stage).await, 403, more).await else { panic!() };
    let union = vec!["read".to_owned(), "write".to_owned()];
    assert_eq!((need.why, stage.row("ada").await.unwrap().wants), (NeedWhy::MoreScope(union.clone()), union));
    stage.connect_for(&["read", "write"], "ada").await;
    assert!(stage.row("ada").await.unwrap().wants.is_empty());
}

/// An administrator tries another kind of credential, and goes back.
#[tokio::test]
async fn other_kind_of_credential_for_a_while_ends_no_connection() {
    let mut stage = Stage::new().await;
    stage.connect("ada").await;
    for other in [Credential::None, exchange(), keyed(KeySource::Each)] {
        stage.set_up(&[server("mail", other)]);
        stage.clock.advance(HOUR);
        stage.connections.round().await.unwrap();
    }
    assert_eq!(stage.script.asked(), 0, "an authorization server that is not this server's by now");
    stage.set_up(&[server("mail", Credential::default())]);
    stage.clock.advance(HOUR);
    assert!(stage.call("ada").await.unwrap().ends_with("-1"));
}
