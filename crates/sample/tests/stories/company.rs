use serde_json::{Value, json};

use crate::client::Client;

async fn call(client: &Client, name: &str, arguments: Value) -> Value {
    client.ask("tools/call", json!({ "name": name, "arguments": arguments })).await
}

async fn ledger(client: &Client) -> Value {
    call(client, "show_ledger", json!({})).await["structuredContent"].take()
}

#[tokio::test]
async fn every_deed_happens_once_and_stands_in_the_ledger() {
    let client = Client::new();
    assert_eq!(ledger(&client).await, json!({ "counts": {}, "entries": [] }));
    let mail = json!({ "to": "lena@brandt.example", "subject": "Lamp", "text": "It is on its way." });
    for (tool, arguments, words) in [
        (
            "refund_payment",
            json!({ "customer": "c-1", "amount": 120, "currency": "EUR" }),
            "Refunded 120.00 EUR to Lena Brandt.",
        ),
        ("send_mail", mail, "Sent a mail to lena@brandt.example."),
        ("delete_customer", json!({ "customer": "c-2" }), "Deleted the customer Ori Bakery."),
        ("drop_table", json!({ "table": "invoices" }), "Dropped the table invoices with 3 rows."),
    ] {
        let result = call(&client, tool, arguments.clone()).await;
        assert_eq!(result["content"][0]["text"], words);
        let ledger = ledger(&client).await;
        assert_eq!(ledger["counts"][tool], json!({ "done": 1, "failed": 0 }), "{ledger}");
        let last = ledger["entries"].as_array().and_then(|entries| entries.last()).expect("an entry");
        assert_eq!((&last["tool"], &last["arguments"], &last["outcome"]), (&json!(tool), &arguments, &json!(words)));
    }
    let found = call(&client, "find_customer", json!({ "query": "" })).await;
    let names: Vec<_> =
        found["structuredContent"]["customers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["Lena Brandt", "Quick Parts Ltd"]);
    assert_eq!(call(&client, "list_invoices", json!({})).await["isError"], true);
}

#[tokio::test]
async fn what_failed_changes_nothing_and_is_counted_apart() {
    let client = Client::new();
    for (tool, arguments) in [
        ("refund_payment", json!({ "customer": "c-9", "amount": 1, "currency": "EUR" })),
        ("refund_payment", json!({ "customer": "c-1", "amount": 0, "currency": "EUR" })),
        ("refund_payment", json!({ "customer": "c-1", "amount": 10_001, "currency": "EUR" })),
        ("refund_payment", json!({ "customer": "c-1", "amount": 1, "currency": "eur" })),
        ("delete_customer", json!({})),
        ("drop_table", json!({ "table": "ledger" })),
        ("send_mail", json!({ "to": "a@b.example" })),
    ] {
        let result = call(&client, tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}");
    }
    let ledger = ledger(&client).await;
    assert_eq!(ledger["counts"]["refund_payment"], json!({ "done": 0, "failed": 4 }));
    assert!(ledger["counts"].as_object().unwrap().values().all(|count| count["done"] == 0), "{ledger}");
    let found = call(&client, "find_customer", json!({ "query": "BRANDT" })).await;
    assert_eq!(found["structuredContent"]["customers"][0]["id"], "c-1");
}

#[tokio::test]
async fn ledger_counts_all_and_keeps_the_last() {
    let client = Client::new();
    let long = "x".repeat(20_000);
    call(&client, "delete_customer", json!({ "customer": long })).await;
    assert_eq!(ledger(&client).await["entries"][0]["arguments"], Value::Null);
    for _ in 0..100 {
        call(&client, "refund_payment", json!({ "customer": "c-1", "amount": 0.01, "currency": "EUR" })).await;
    }
    let ledger = ledger(&client).await;
    assert_eq!(ledger["counts"]["refund_payment"]["done"], 100);
    let entries = ledger["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["number"], &entries[99]["number"]), (100, &json!(2), &json!(101)));
}
