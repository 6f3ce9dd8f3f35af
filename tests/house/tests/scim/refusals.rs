//! What a directory must not be able to do, and what is refused in the form that it reads.

use anyhow::Result;
use serde_json::{Value, json};

use crate::given::{Company, ENTERPRISE, GROUP, TOKEN, USER, id, refused};

// spec: T-44, T-102
#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_directorys_token_gets_in() -> Result<()> {
    let company = Company::start().await?;
    let ask = |value: &str| company.house.request("GET", "/scim/v2/Users").header("authorization", value);
    let basic = format!("Basic {TOKEN}");
    let longer = format!("Bearer {TOKEN}x");
    let shorter = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    for wrong in ["Bearer ", "Bearer", TOKEN, &basic, &longer, &shorter] {
        let answer = ask(wrong).send().await?;
        refused(&answer, 401, "");
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
    }
    refused(&company.house.request("GET", "/scim/v2/Users").send().await?, 401, "");
    let twice = ask(&format!("Bearer {TOKEN}")).header("authorization", &format!("Bearer {TOKEN}"));
    refused(&twice.send().await?, 401, "");
    for path in ["/Schemas", "/ServiceProviderConfig", "/Users/x", "/nowhere", "/Bulk"] {
        refused(&company.house.request("GET", &format!("/scim/v2{path}")).send().await?, 401, "");
    }
    assert_eq!(ask(&format!("bearer {TOKEN}")).send().await?.status, 200);
    assert!(company.house.events("directory.refused").await?.len() >= 10);
    let written = company.house.written();
    assert!(!written.windows(TOKEN.len()).any(|bytes| bytes == TOKEN.as_bytes()), "the token is written nowhere");

    // Whoever goes on guessing has to wait.
    let mut last = 401;
    for _ in 0..30 {
        last = ask("Bearer guess").send().await?.status;
    }
    assert_eq!(last, 429);
    company.house.stop().await
}

// spec: RFC7644#3.1, RFC7644#3.5.2.2, RFC7644#3.5.2.3
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_make_no_sense_change_nothing() -> Result<()> {
    let company = Company::start().await?;
    let ada = company.user("ada").await?;
    let path = format!("/Users/{}", id(&ada));
    let raw =
        |kind: &'static str, body: &str| company.request("POST", "/Users").header("content-type", kind).body(body);
    refused(&raw("text/plain", "{}").send().await?, 415, "");
    refused(&raw("application/json", "{").send().await?, 400, "invalidSyntax");
    refused(&raw("application/json", "[]").send().await?, 400, "invalidSyntax");
    let deep = format!("{{\"userName\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    refused(&raw("application/json", &deep).send().await?, 400, "invalidSyntax");
    for bad in [
        json!({ "schemas": [USER] }),
        json!({ "userName": "" }),
        json!({ "userName": "a\nb" }),
        json!({ "userName": 5 }),
        json!({ "userName": ["a"] }),
        json!({ "userName": "x".repeat(300) }),
        json!({ "userName": "x", "active": "perhaps" }),
        json!({ "userName": "x", "name": "x" }),
        json!({ "userName": "x", "emails": [5] }),
        json!({ "userName": "x", "emails": vec![json!({ "value": "a@example.com" }); 101] }),
        json!({ "userName": "x", "title": "x".repeat(2_000) }),
    ] {
        refused(&company.send("POST", "/Users", &bad).await?, 400, "invalidValue");
    }
    for (bad, kind) in [
        (json!([{ "op": "replace", "path": "id", "value": "x" }]), "mutability"),
        (json!([{ "op": "replace", "path": "meta.version", "value": "x" }]), "mutability"),
        (json!([{ "op": "add", "path": "groups", "value": [{ "value": "x" }] }]), "mutability"),
        (json!([{ "op": "remove", "path": "userName" }]), "mutability"),
        (json!([{ "op": "replace", "path": "userName", "value": "" }]), "mutability"),
        (json!([{ "op": "remove" }]), "noTarget"),
        (json!([{ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "x" }]), "noTarget"),
        (json!([{ "op": "add", "path": "emails[type ne \"work\"].value", "value": "x" }]), "noTarget"),
        (json!([{ "op": "replace", "path": "favouriteColour", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "name.colour", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "name[familyName pr]", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "emails[type eq \"work\"", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": format!("{ENTERPRISE}:colour"), "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "emails[colour eq \"x\"].value", "value": "x" }]), "invalidFilter"),
        (json!([{ "op": "replace", "path": "active", "value": "perhaps" }]), "invalidValue"),
        (json!([{ "op": "replace", "path": "title" }]), "invalidValue"),
        (json!([{ "op": "add", "value": "x" }]), "invalidValue"),
        (json!([{ "op": "move", "path": "title", "value": "x" }]), "invalidSyntax"),
        (json!([]), "invalidSyntax"),
        (json!("x"), "invalidSyntax"),
    ] {
        refused(&company.patch(&path, bad).await?, 400, kind);
    }
    // The first of these two would be right.
    let half =
        json!([{ "op": "replace", "path": "title", "value": "x" }, { "op": "replace", "path": "id", "value": "x" }]);
    refused(&company.patch(&path, half).await?, 400, "mutability");
    let other = json!({ "schemas": [USER], "Operations": [{ "op": "remove", "path": "title" }] });
    refused(&company.send("PATCH", &path, &other).await?, 400, "invalidSyntax");
    assert_eq!(company.get(&path).await?.json(), ada);
    company.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_let_pass_and_not_kept() -> Result<()> {
    let company = Company::start().await?;
    let body = json!({ "schemas": [USER, "urn:example:Colours"], "USERNAME": "ada", "id": "mine", "favouriteColour": "blue",
        "urn:example:Colours": { "favourite": "blue" }, "emails": [{ "value": "a@example.com", "colour": "blue" }],
        "meta": { "version": "mine" }, "nickName": null, "title": "" });
    let made = company.send("POST", "/Users", &body).await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert!(!made.to_string().contains("blue") && made["id"] != "mine", "{made}");
    let keys: Vec<_> = made.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["schemas", "id", "userName", "emails", "active", "meta"].map(String::from).iter().collect::<Vec<_>>()
    );
    company.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_one_name_and_known_members() -> Result<()> {
    let company = Company::start().await?;
    let ada = company.user("ada").await?;
    let group = company.group("Platform", &[id(&ada)]).await?;
    refused(
        &company.send("POST", "/Groups", &json!({ "schemas": [GROUP], "displayName": "platform" })).await?,
        409,
        "uniqueness",
    );
    let other = company.group("Security", &[]).await?;
    let path = format!("/Groups/{}", id(&other));
    let rename = json!([{ "op": "replace", "path": "displayName", "value": "PLATFORM" }]);
    refused(&company.patch(&path, rename).await?, 409, "uniqueness");
    for members in [
        json!([{ "value": "scu_nobody" }]),
        json!([{ "display": "ada" }]),
        json!([{ "value": id(&group), "type": "Group" }]),
    ] {
        let add = json!([{ "op": "add", "path": "members", "value": members }]);
        refused(&company.patch(&path, add).await?, 400, "invalidValue");
        let body = json!({ "displayName": "New", "members": members });
        refused(&company.send("POST", "/Groups", &body).await?, 400, "invalidValue");
    }
    for name in ["*", "", "a\nb"] {
        let made = company.send("POST", "/Groups", &json!({ "displayName": name })).await?;
        refused(&made, 400, "invalidValue");
    }
    let list: Value = company.get("/Groups").await?.json();
    assert_eq!(list["totalResults"], 2, "{list}");
    assert_eq!(company.get(&path).await?.json(), other);
    company.house.stop().await
}
