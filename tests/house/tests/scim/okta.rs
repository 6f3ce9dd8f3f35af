//! What Okta sends: look for the user, create, update whole, deactivate and reactivate by PATCH, push groups.

use anyhow::Result;
use serde_json::{Value, json};

use crate::given::{Company, GROUP, USER, id, refused};

fn user() -> Value {
    json!({
        "schemas": [USER],
        "userName": "test.user@okta.local",
        "name": { "givenName": "Test", "familyName": "User" },
        "emails": [{ "primary": true, "value": "test.user@okta.local", "type": "work" }],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn user_is_looked_for_created_updated_and_read() -> Result<()> {
    let okta = Company::start().await?;
    let look = "/Users?filter=userName%20eq%20%22test.user%40okta.local%22&startIndex=1&count=100";
    let none = okta.get(look).await?;
    assert_eq!((none.status, &none.json()["totalResults"], &none.json()["Resources"]), (200, &json!(0), &json!([])));

    let made = okta.send("POST", "/Users", &user()).await?;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("content-type"), Some("application/scim+json"));
    let user_made = made.json();
    assert_eq!(user_made["userName"], "test.user@okta.local");
    assert_eq!(user_made["active"], true);
    assert_eq!(user_made["meta"]["resourceType"], "User");
    assert_eq!(made.header("location"), user_made["meta"]["location"].as_str());
    assert_eq!(made.header("etag"), user_made["meta"]["version"].as_str());
    // A password is nothing we want to have.
    assert!(!made.text().contains("1mz050nq") && user_made.get("password").is_none());
    let written = okta.house.written();
    assert!(!written.windows(8).any(|bytes| bytes == b"1mz050nq"));

    // spec: RFC7644#3.12
    refused(&okta.send("POST", "/Users", &user()).await?, 409, "uniqueness");
    let mut louder = user();
    louder["userName"] = "TEST.USER@okta.local".into();
    refused(&okta.send("POST", "/Users", &louder).await?, 409, "uniqueness");

    let found = okta.get(look).await?.json();
    assert_eq!(
        (&found["totalResults"], &found["startIndex"], &found["itemsPerPage"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(found["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    assert_eq!(found["Resources"][0], user_made);

    let path = format!("/Users/{}", id(&user_made));
    let mut whole = okta.get(&path).await?.json();
    assert_eq!(whole, user_made);
    whole["name"]["middleName"] = "Excited".into();
    whole["userName"] = "new.name@okta.local".into();
    let updated = okta.send("PUT", &path, &whole).await?;
    assert_eq!(updated.status, 200, "{}", updated.text());
    assert_eq!(updated.json()["name"], json!({ "givenName": "Test", "familyName": "User", "middleName": "Excited" }));
    assert_ne!(updated.header("etag"), made.header("etag"));
    let person = okta.house.app.store.person_by_name("new.name@okta.local").await?.unwrap().0;
    assert_eq!((person.display_name.as_str(), person.email.as_deref()), ("Test User", Some("test.user@okta.local")));
    assert!(okta.get("/Users/0").await?.status == 404);
    okta.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn user_is_deactivated_and_reactivated_by_patch_without_a_path() -> Result<()> {
    let okta = Company::start().await?;
    let made = okta.send("POST", "/Users", &user()).await?.json();
    let path = format!("/Users/{}", id(&made));
    let active = |value: bool| json!([{ "op": "replace", "value": { "active": value } }]);
    for value in [false, false, true] {
        let patched = okta.patch(&path, active(value)).await?;
        assert_eq!((patched.status, &patched.json()["active"]), (200, &json!(value)), "{}", patched.text());
        let person = okta.house.app.store.person_by_name("test.user@okta.local").await?.unwrap().0;
        assert_eq!(person.is_active(), value);
    }
    assert_eq!(okta.house.events("person.disabled").await?.len(), 1);
    assert_eq!(okta.house.events("person.enabled").await?.len(), 1);

    // A whole user without a word about it lets nobody in again.
    okta.patch(&path, active(false)).await?;
    let mut silent = user();
    silent.as_object_mut().unwrap().remove("active");
    assert_eq!(okta.send("PUT", &path, &silent).await?.json()["active"], false);
    okta.house.stop().await
}

// spec: T-53
#[tokio::test(flavor = "multi_thread")]
async fn who_was_ended_here_is_not_let_in_by_a_routine_update() -> Result<()> {
    let okta = Company::start().await?;
    let made = okta.send("POST", "/Users", &user()).await?.json();
    let path = format!("/Users/{}", id(&made));
    let store = &okta.house.app.store;
    let person = store.person_by_name("test.user@okta.local").await?.unwrap().0;
    store.disable_person(&person.id, okta.house.app.clock.now()).await?;
    let read = okta.get(&path).await?;
    assert_eq!(read.json()["active"], false);
    assert_ne!(read.header("etag"), made["meta"]["version"].as_str());
    let updated = okta.send("PUT", &path, &user()).await?;
    assert_eq!((updated.status, &updated.json()["active"]), (200, &json!(false)));
    assert!(!store.person(&person.id).await?.unwrap().is_active());
    okta.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_pushed_with_their_members() -> Result<()> {
    let okta = Company::start().await?;
    let (ada, ben) = (okta.user("ada").await?, okta.user("ben").await?);
    let groups = async |name: &str| -> Result<Vec<String>> {
        let name = format!("{name}@example.com");
        Ok(okta.house.app.store.person_by_name(&name).await?.unwrap().0.groups)
    };
    let made = okta
        .send("POST", "/Groups", &json!({ "schemas": [GROUP], "displayName": "Test SCIMv2", "members": [] }))
        .await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let group = made.json();
    let path = format!("/Groups/{}", id(&group));

    let add = json!([{ "op": "add", "path": "members", "value": [
        { "value": id(&ada), "display": "ada@example.com" }, { "value": id(&ben), "display": "ben@example.com" } ] }]);
    let patched = okta.patch(&path, add.clone()).await?;
    assert_eq!((patched.status, patched.text().as_str()), (204, ""));
    assert!(patched.header("etag").is_some());
    assert_eq!(okta.patch(&path, add).await?.status, 204, "the same again changes nothing");
    assert_eq!(groups("ada").await?, ["Test SCIMv2"]);

    let rename = json!([{ "op": "replace", "value": { "id": id(&group), "displayName": "Engineering" } }]);
    assert_eq!(okta.patch(&path, rename).await?.status, 204);
    assert_eq!(groups("ben").await?, ["Engineering"]);
    let shown = okta.get(&path).await?.json();
    assert_eq!(shown["members"].as_array().map(Vec::len), Some(2));
    let user = okta.get(&format!("/Users/{}", id(&ada))).await?.json();
    assert_eq!((&user["groups"][0]["value"], &user["groups"][0]["display"]), (&group["id"], &json!("Engineering")));

    let out = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", id(&ada)) }]);
    assert_eq!(okta.patch(&path, out).await?.status, 204);
    assert_eq!((groups("ada").await?.len(), groups("ben").await?), (0, vec!["Engineering".to_owned()]));
    let only = json!([{ "op": "replace", "path": "members", "value": [{ "value": id(&ada) }] }]);
    assert_eq!(okta.patch(&path, only).await?.status, 204);
    assert_eq!((groups("ada").await?.len(), groups("ben").await?.len()), (1, 0));

    let event = okta.house.events("directory.group").await?.pop().unwrap();
    assert!(event.to_string().contains("ada@example.com") && event.to_string().contains("ben@example.com"), "{event}");
    assert_eq!(okta.request("DELETE", &path).send().await?.status, 204);
    assert_eq!(groups("ada").await?.len(), 0);
    refused(&okta.get(&path).await?, 404, "");
    okta.house.stop().await
}
