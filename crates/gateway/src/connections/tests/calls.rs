//! Calls, and a credential that comes to its end.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{FutureExt, future::join_all};
use portcullis_store::ConnectionState;

use super::stage::{Act, HOUR, Stage, holder, keyed, server, server_at, shown, whom};
use crate::{
    config::{Credential, KeySource, OAuth},
    connections::{Lack, NeedWhy, tests::stage::shared},
};

fn needs_sign_in(lack: Lack) -> String {
    match lack {
        Lack::Connect(need) => match need.why {
            NeedWhy::NeedsSignIn(code) => code,
            why => panic!("{why:?}"),
        },
        lack => panic!("{lack:?}"),
    }
}

// spec: UP-43: "50 parallel calls cause one refresh."
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundred_calls_at_expiry_cause_one_refresh() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    assert!(stage.call("ada").await.unwrap().ends_with("-0"));
    stage.clock.advance(HOUR);
    let calls = (0..100).map(|_| {
        let (connections, server) = (stage.connections.clone(), stage.server.clone());
        tokio::spawn(async move { shown(&connections.credential(&server, &whom("ada")).await.unwrap()) })
    });
    for call in join_all(calls).await {
        assert_eq!(call.unwrap(), "Bearer access-mail.ada.0-1");
    }
    assert_eq!(stage.script.asked(), 1);
    assert_eq!(stage.journal().matches("connection.refreshed").count(), 1);
}

#[tokio::test]
async fn what_is_in_memory_is_given_without_waiting_for_anything() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    stage.call("ada").await.unwrap();
    let call = stage.connections.credential(&stage.server, &whom("ada")).now_or_never();
    assert!(call.is_some_and(|presented| presented.is_ok()), "a call that has to wait reads or locks something");
}

// spec: UP-44
#[tokio::test]
async fn credential_is_renewed_behind_the_calls_and_before_the_last_seconds() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    stage.call("ada").await.unwrap();
    stage.clock.advance(Duration::from_mins(58));
    let at_once = stage.connections.credential(&stage.server, &whom("ada")).now_or_never().unwrap().unwrap();
    assert!(shown(&at_once).ends_with("-0"), "the call does not wait");
    stage.script.begun.notified().await;
    while !stage.call("ada").await.unwrap().ends_with("-1") {
        tokio::task::yield_now().await;
    }
    stage.clock.advance(Duration::from_secs(3_595));
    assert!(stage.call("ada").await.unwrap().ends_with("-2"), "five seconds are too few to go with");
}

// spec: UP-44: "never fail a call that a refresh could save", nor one that needs none.
#[tokio::test]
async fn authorization_server_that_fails_costs_no_connection() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    stage.clock.advance(Duration::from_secs(3_595));
    stage.script.next([Act::Fail, Act::Fail]);
    assert!(stage.call("ada").await.unwrap().ends_with("-0"), "it lives for five seconds more");
    stage.clock.advance(Duration::from_secs(6));
    stage.script.next([Act::Fail, Act::Fail]);
    assert!(matches!(stage.call("ada").await.unwrap_err(), Lack::Unavailable(_)));
    let asked = stage.script.asked();
    assert!(matches!(stage.call("ada").await.unwrap_err(), Lack::Unavailable(_)));
    assert_eq!(stage.script.asked(), asked, "it is left alone for a moment");
    let row = stage.row("ada").await.unwrap();
    assert_eq!((row.state, row.why.as_deref()), (ConnectionState::Good, Some("unavailable")));
    stage.clock.advance(Duration::from_secs(6));
    assert!(stage.call("ada").await.unwrap().ends_with("-1"));
    assert_eq!(stage.row("ada").await.unwrap().failing_since, None);
}

// spec: UP-12: who is not known any more is known again once somebody connects; nothing is thrown away before.
#[tokio::test]
async fn authorization_server_that_forgot_us_gets_a_sign_in_and_costs_no_connection() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    stage.clock.advance(Duration::from_secs(3_595));
    stage.script.next([Act::Forget]);
    assert!(stage.call("ada").await.unwrap().ends_with("-0"), "it lives for five seconds more");
    stage.clock.advance(Duration::from_secs(4));
    assert!(stage.call("ada").await.unwrap().ends_with("-0"));
    stage.clock.advance(Duration::from_secs(2));
    stage.script.next([Act::Forget]);
    for _ in 0..2 {
        assert_eq!(needs_sign_in(stage.call("ada").await.unwrap_err()), "client_unknown");
    }
    assert_eq!(stage.script.asked(), 2, "it is left alone for a moment");
    assert_eq!(stage.row("ada").await.unwrap().state, ConnectionState::Good);
    // The word was wrong.
    stage.clock.advance(Duration::from_secs(6));
    assert!(stage.call("ada").await.unwrap().ends_with("-1"));
}

// spec: UP-43
#[tokio::test]
async fn lost_answer_is_asked_for_again_while_it_is_known() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    for turn in 1..5 {
        stage.clock.advance(HOUR);
        stage.script.next([Act::Lose]);
        assert!(stage.call("ada").await.unwrap().ends_with(&format!("-{turn}")));
    }
    assert_eq!(stage.script.asked(), 8);
}

// spec: UP-43
#[tokio::test]
async fn grant_that_is_over_needs_a_sign_in_and_keeps_its_place() {
    let stage = Stage::new().await;
    stage.connect("ada").await;
    let before = stage.row("ada").await.unwrap();
    stage.script.end("mail.ada.0");
    stage.clock.advance(HOUR);
    assert_eq!(needs_sign_in(stage.call("ada").await.unwrap_err()), "invalid_grant");
    let asked = stage.script.asked();
    assert_eq!(needs_sign_in(stage.call("ada").await.unwrap_err()), "invalid_grant");
    assert_eq!(stage.script.asked(), asked, "the dead are not asked");
    let row = stage.row("ada").await.unwrap();
    assert_eq!((row.id.clone(), row.account, row.sealed), (before.id.clone(), before.account, None));
    assert!(stage.journal().contains("connection.lost"));
    stage.connect("ada").await;
    assert_eq!(stage.row("ada").await.unwrap().id, before.id);
    assert!(stage.call("ada").await.is_ok());
}

#[tokio::test]
async fn refresh_tokens_that_stay_the_same_are_kept() {
    let stage = Stage::with(false).await;
    stage.connect("ada").await;
    for turn in 1..4 {
        stage.clock.advance(HOUR);
        assert!(stage.call("ada").await.unwrap().ends_with(&format!("-{turn}")));
    }
}

// spec: UP-41: what was given for one place goes to no other.
#[tokio::test]
async fn credential_stays_at_the_place_it_was_given_for() {
    let mut stage = Stage::new().await;
    stage.connect("ada").await;
    let before = stage.server.clone();
    stage.call("ada").await.unwrap();
    for url in ["https://evil.example/mcp", "http://mcp.example/mcp", "https://mcp.example:444/mcp"] {
        stage.set_up(&[server_at(url, "mail", Credential::OAuth(OAuth::default()))]);
        assert_eq!(needs_sign_in(stage.call("ada").await.unwrap_err()), "moved", "{url}");
    }
    // A path is no other place, and what is set right again is as it was.
    stage.set_up(&[server_at("https://mcp.example/other", "mail", Credential::OAuth(OAuth::default()))]);
    assert!(stage.call("ada").await.is_ok());
    stage.server = before;
    assert!(stage.call("ada").await.is_ok());
    let pinned = OAuth { issuer: Some("https://other.example".into()), ..OAuth::default() };
    stage.set_up(&[server("mail", Credential::OAuth(pinned))]);
    assert_eq!(needs_sign_in(stage.call("ada").await.unwrap_err()), "issuer_changed");
    // A mistake in the settings costs nobody their connection, however long it lasts.
    stage.clock.advance(HOUR);
    stage.connections.round().await.unwrap();
    assert_eq!(stage.script.asked(), 0);
    stage.set_up(&[server("mail", Credential::OAuth(OAuth::default()))]);
    stage.clock.advance(Duration::from_mins(11));
    assert!(stage.call("ada").await.is_ok());
}

#[tokio::test]
async fn server_that_may_want_nothing_is_asked_with_nothing_until_somebody_connects() {
    let mut stage = Stage::new().await;
    stage.set_up(&[server("mail", Credential::default())]);
    let nothing = stage.connections.credential(&stage.server, &whom("ada")).await.unwrap();
    assert!(nothing.credential.is_none());
    let lack = stage.connections.refused(&stage.server, &whom("ada"), &nothing, 401, &[]).await.unwrap_err();
    assert!(matches!(lack, Lack::Connect(need) if need.why == NeedWhy::NotConnected && need.holder == holder("ada")));
    stage.connect("ada").await;
    assert!(stage.call("ada").await.unwrap().starts_with("Bearer access-mail.ada"));
}

// spec: UP-89, UP-42
#[tokio::test]
async fn keys_come_from_the_settings_or_from_their_holder() {
    let mut stage = Stage::new().await;
    stage.set_up(&[server("mail", keyed(KeySource::Settings(portcullis_base::Secret::new("k1".into()))))]);
    assert_eq!(stage.call("ada").await.unwrap(), "Bearer k1");
    stage.set_up(&[server("mail", keyed(KeySource::Each))]);
    assert!(matches!(stage.call("ada").await.unwrap_err(), Lack::Connect(_)));
    let put = |prefix: &'static str, key: &'static str| {
        let (connections, server) = (stage.connections.clone(), stage.server.clone());
        async move {
            let key = portcullis_base::Secret::new(key.into());
            connections.put_key(portcullis_audit::Actor::default(), &holder("ada"), &server, prefix, &key).await
        }
    };
    assert!(put("Bearer ", "k2").await.is_ok());
    assert_eq!(stage.call("ada").await.unwrap(), "Bearer k2");
    assert!(put("Basic ", "k3").await.is_err(), "a prefix that the settings do not know");
    assert!(put("Bearer ", "k\n3").await.is_err());
    let refused = stage.connections.credential(&stage.server, &whom("ada")).await.unwrap();
    let lack = stage.connections.refused(&stage.server, &whom("ada"), &refused, 401, &[]).await.unwrap_err();
    assert_eq!(needs_sign_in(lack), "refused");
    assert!(stage.call("ada").await.is_ok(), "the server may have been mistaken");
}

#[tokio::test]
async fn shared_connection_is_an_administrators_matter() {
    let mut stage = Stage::new().await;
    stage.set_up(&[server("mail", shared())]);
    assert!(matches!(stage.call("ada").await.unwrap_err(), Lack::Refused(_)));
    let held = stage.script.grant(&stage.server.name, "team", &[]);
    let by = portcullis_audit::Actor::default();
    assert!(stage.connections.connect(by.clone(), &holder("ada"), &stage.server, &held).await.is_err());
    stage.connections.connect(by, &portcullis_base::Holder::Shared, &stage.server, &held).await.unwrap();
    assert!(stage.call("ada").await.unwrap().contains("mail.team"));
    assert!(stage.call("bob").await.unwrap().contains("mail.team"));
}

#[tokio::test]
async fn what_is_minted_is_made_once_for_all_who_ask_and_for_each_person() {
    let mut stage = Stage::new().await;
    let exchange = crate::config::Exchange {
        provider: "company".into(),
        audience: None,
        resource: crate::config::ResourceParameter::Exact,
        scopes: Vec::new(),
        subject: crate::config::SubjectToken::AccessToken,
        token_endpoint: None,
    };
    stage.set_up(&[server("mail", Credential::Exchange(exchange))]);
    for shown in join_all((0..50).map(|_| stage.call("ada"))).await {
        assert_eq!(shown.unwrap(), "Bearer minted-mail-usr_ada-0");
    }
    assert_eq!(stage.call("bob").await.unwrap(), "Bearer minted-mail-usr_bob-1");
    let refused = stage.connections.credential(&stage.server, &whom("ada")).await.unwrap();
    let again = stage.connections.refused(&stage.server, &whom("ada"), &refused, 401, &[]).await.unwrap();
    assert_eq!(shown(&again), "Bearer minted-mail-usr_ada-2");
    let lack = stage.connections.refused(&stage.server, &whom("ada"), &again, 401, &[]).await.unwrap_err();
    assert!(matches!(lack, Lack::Refused(_)));
    assert_eq!(stage.script.minted.load(Ordering::SeqCst), 3);
    assert_eq!(stage.row("ada").await, None, "nothing of it is written down");
    // A provider that fails costs nothing while the last one lives.
    stage.clock.advance(Duration::from_secs(3_598));
    stage.script.next([Act::Fail]);
    assert_eq!(stage.call("ada").await.unwrap(), "Bearer minted-mail-usr_ada-2");
}
