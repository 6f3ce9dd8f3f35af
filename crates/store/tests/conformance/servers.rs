use portcullis_base::ServerName;
use portcullis_store::{ChangeKind, ServerRow};

use crate::{
    given::{Given, HOUR, NOW, after},
    on_both,
};

on_both!(server_is_put_replaced_and_removed);

async fn server_is_put_replaced_and_removed(given: &Given) {
    let name = ServerName::parse("sample").unwrap();
    let first = ServerRow {
        name: name.clone(),
        entry_json: r#"{"url":"http://127.0.0.1:3001/mcp"}"#.into(),
        created_at: NOW,
        created_by: "ada".into(),
    };
    assert!(given.put_server(&first, NOW).await.unwrap());
    assert_eq!(given.servers().await.unwrap(), std::slice::from_ref(&first));

    let second =
        ServerRow { entry_json: "{}".into(), created_at: after(HOUR), created_by: "eve".into(), ..first.clone() };
    assert!(!given.put_server(&second, NOW).await.unwrap());
    let replaced = ServerRow { entry_json: "{}".into(), ..first.clone() };
    assert_eq!(given.servers().await.unwrap(), [replaced], "who made it, and when, stays");

    let longer = |entry: &str| Some(format!("{entry} "));
    assert!(given.change_server(&name, NOW, longer).await.unwrap());
    assert!(given.change_server(&name, NOW, |_| None).await.unwrap());
    assert_eq!(given.servers().await.unwrap()[0].entry_json, "{} ", "nothing instead of an entry changes nothing");

    assert!(given.remove_server(&name, NOW).await.unwrap());
    assert!(!given.change_server(&name, NOW, longer).await.unwrap());
    assert!(!given.remove_server(&name, NOW).await.unwrap());
    assert!(given.servers().await.unwrap().is_empty());
    let changes = given.changes_since(0).await.unwrap();
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Server && change.key == "sample"));
}
