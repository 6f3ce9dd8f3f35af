use portcullis_store::UpstreamClientRow;

use crate::{
    given::{Given, NOW},
    on_both,
};

on_both!(registration_is_kept_by_issuer, all_nodes_use_one_registration);

fn client(issuer: &str, id: &str) -> UpstreamClientRow {
    UpstreamClientRow {
        issuer: issuer.into(),
        way: "dynamic".into(),
        client_id: id.into(),
        sealed: Some(vec![0, 159]),
        auth_method: "client_secret_basic".into(),
        metadata: "{\"client_name\":\"ü\"}".into(),
        created_at: NOW,
        expires_at: None,
    }
}

/// spec: UP-21
async fn registration_is_kept_by_issuer(given: &Given) {
    let (a, b) = (client("https://a.example", "us-a"), client("https://a.example/", "us-b"));
    for row in [&b, &a] {
        assert!(given.put_upstream_client(row, None).await.unwrap());
    }
    assert_eq!(given.upstream_client("https://a.example").await.unwrap(), Some(a.clone()));
    assert_eq!(given.upstream_client("https://A.example").await.unwrap(), None, "byte for byte");
    assert_eq!(given.upstream_clients().await.unwrap(), [a, b.clone()]);
    assert!(!given.remove_upstream_client("https://a.example", "us-b").await.unwrap());
    assert!(given.remove_upstream_client("https://a.example", "us-a").await.unwrap());
    assert_eq!(given.upstream_clients().await.unwrap(), [b]);
}

async fn all_nodes_use_one_registration(given: &Given) {
    let mut nodes = Vec::new();
    for n in 0..10 {
        let (store, row) = (given.store.clone(), client("https://a.example", &format!("us-{n}")));
        nodes.push(tokio::spawn(async move { store.put_upstream_client(&row, None).await.unwrap() }));
    }
    let mut kept = 0;
    for node in nodes {
        kept += u32::from(node.await.unwrap());
    }
    assert_eq!(kept, 1);
    let there = given.upstream_client("https://a.example").await.unwrap().unwrap();
    let again = UpstreamClientRow { sealed: None, ..client("https://a.example", "again") };
    assert!(!given.put_upstream_client(&again, Some("another")).await.unwrap());
    assert!(given.put_upstream_client(&again, Some(&there.client_id)).await.unwrap());
    assert_eq!(given.upstream_client("https://a.example").await.unwrap(), Some(again));
}
