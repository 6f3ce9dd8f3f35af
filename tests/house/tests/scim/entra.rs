//! What Entra ID sends: capitalised operations, `active` as a text, filters in paths, dotted names without a path.

use anyhow::Result;
use serde_json::{Value, json};

use crate::given::{Company, ENTERPRISE, GROUP, USER, id, refused};

fn user() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_ab6490ee-1e48-479e-a20b-2d77186b5dd1",
        "active": true,
        "emails": [{ "primary": true, "type": "work", "value": "Test_User_fd0ea19b-0777-472c-9f96-4f70d2226f2e@testuser.com" }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName" },
        "roles": [],
        (ENTERPRISE): { "department": "Research", "manager": { "value": "26118915-6090-4610-87e4-49d8ca9f808d" } }
    })
}

// spec: RFC7644#3.5.2.3
#[tokio::test(flavor = "multi_thread")]
async fn user_is_changed_in_all_the_shapes_of_its_documentation() -> Result<()> {
    let entra = Company::start().await?;
    let made = entra.send("POST", "/Users", &user()).await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(made["schemas"], json!([USER, ENTERPRISE]));
    let path = format!("/Users/{}", id(&made));
    for filter in [
        "externalId eq \"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef\"",
        "userName eq \"test_user_AB6490EE-1e48-479e-a20b-2d77186b5dd1\"",
        "emails[type eq \"work\"].value eq \"x\" or userName pr",
    ] {
        let found = entra.found("Users", filter).await;
        if filter.contains("].value") {
            assert!(found.is_err(), "a path is not a filter");
        } else {
            assert_eq!(found?.len(), 1, "{filter}");
        }
    }

    let changed = entra
        .patch(
            &path,
            json!([
                { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updatedEmail@microsoft.com" },
                { "op": "Replace", "path": "name.familyName", "value": "updatedFamilyName" },
                { "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555 0100" },
                { "op": "Add", "path": "addresses[type eq \"work\"].locality", "value": "Oslo" },
                { "op": "Add", "path": format!("{ENTERPRISE}:department"), "value": "Support" },
                { "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "2819c223-7f76-453a-919d-413861904646" },
                { "op": "Replace", "path": "active", "value": "False" },
            ]),
        )
        .await?;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!(changed["emails"], json!([{ "primary": true, "type": "work", "value": "updatedEmail@microsoft.com" }]));
    assert_eq!(changed["name"]["familyName"], "updatedFamilyName");
    assert_eq!(changed["name"]["givenName"], "givenName");
    assert_eq!(changed["phoneNumbers"], json!([{ "type": "mobile", "value": "+1 555 0100" }]));
    assert_eq!(changed["addresses"], json!([{ "type": "work", "locality": "Oslo" }]));
    assert_eq!(changed[ENTERPRISE]["department"], "Support");
    assert_eq!(changed[ENTERPRISE]["manager"], json!({ "value": "2819c223-7f76-453a-919d-413861904646" }));
    assert_eq!(changed["active"], false);

    // Without a path, with names that are paths, and with something that is not known here.
    let changed = entra
        .patch(
            &path,
            json!([
                { "op": "Replace", "value": {
                    "displayName": "Bjfe", "name.givenName": "Kinga", "favouriteColour": "blue", "active": "True",
                    (format!("{ENTERPRISE}:employeeNumber")): "701984", "emails[type eq \"work\"].value": "k@example.com" } },
                { "op": "Remove", "path": "addresses[type eq \"work\"]" },
                { "op": "remove", "path": format!("{ENTERPRISE}:manager") },
            ]),
        )
        .await?
        .json();
    assert_eq!((&changed["displayName"], &changed["name"]["givenName"]), (&json!("Bjfe"), &json!("Kinga")));
    assert_eq!(changed[ENTERPRISE], json!({ "department": "Support", "employeeNumber": "701984" }));
    assert_eq!((&changed["active"], &changed["emails"][0]["value"]), (&json!(true), &json!("k@example.com")));
    assert!(changed.get("addresses").is_none() && changed.get("favouriteColour").is_none(), "{changed}");

    assert_eq!(entra.request("DELETE", &path).send().await?.status, 204);
    refused(&entra.get(&path).await?, 404, "");
    entra.house.stop().await
}

// spec: RFC7644#3.5.2.1, RFC7643#2.4
#[tokio::test(flavor = "multi_thread")]
async fn values_are_added_once_and_one_of_them_is_primary() -> Result<()> {
    let entra = Company::start().await?;
    let made = entra.user("ada").await?;
    let path = format!("/Users/{}", id(&made));
    let home = json!({ "value": "ada@home.example", "type": "home", "primary": true });
    let twice = json!([{ "op": "add", "path": "emails", "value": [home, home] }, { "op": "add", "value": { "emails": [home] } }]);
    let changed = entra.patch(&path, twice).await?.json();
    assert_eq!(changed["emails"], json!([{ "value": "ada@example.com", "type": "work", "primary": false }, home]));
    let back = json!([{ "op": "replace", "path": "emails[type eq \"work\"].primary", "value": true }]);
    let changed = entra.patch(&path, back).await?.json();
    assert_eq!((&changed["emails"][0]["primary"], &changed["emails"][1]["primary"]), (&json!(true), &json!(false)));
    entra.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_removed_by_value_and_lists_leave_members_out() -> Result<()> {
    let entra = Company::start().await?;
    let (ada, ben) = (entra.user("ada").await?, entra.user("ben").await?);
    let body = json!({ "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159", "displayName": "displayName", "meta": { "resourceType": "Group" } });
    let group = entra.send("POST", "/Groups", &body).await?.json();
    let path = format!("/Groups/{}", id(&group));
    for user in [&ada, &ben] {
        let add = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": id(user) }] }]);
        assert_eq!(entra.patch(&path, add).await?.status, 204);
    }
    let list =
        entra.get("/Groups?excludedAttributes=members&filter=displayName%20eq%20%22displayName%22").await?.json();
    assert_eq!(list["totalResults"], 1);
    assert!(list["Resources"][0].get("members").is_none(), "{list}");
    let asks = format!("id eq \"{}\" and members eq \"{}\"", id(&group), id(&ada));
    assert_eq!(entra.found("Groups", &asks).await?.len(), 1);

    let nobody = json!([{ "op": "Remove", "path": "members", "value": [] }]);
    assert_eq!(entra.patch(&path, nobody).await?.status, 204);
    assert_eq!(entra.get(&path).await?.json()["members"].as_array().map(Vec::len), Some(2), "no one was named");
    let out = json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": id(&ada) }] }]);
    assert_eq!(entra.patch(&path, out.clone()).await?.status, 204);
    assert_eq!(entra.patch(&path, out).await?.status, 204, "who is out is out");
    assert_eq!(entra.found("Groups", &asks).await?.len(), 0);
    let all = json!([{ "op": "Remove", "path": "members" }]);
    // spec: RFC7644#3.5.2
    let asked = entra.patch(&format!("{path}?attributes=displayName,members.value"), all).await?;
    assert_eq!((asked.status, &asked.json()["displayName"]), (200, &json!("displayName")));
    assert!(asked.json().get("meta").is_none(), "{}", asked.text());
    assert_eq!(entra.get(&path).await?.json()["members"], json!([]));
    entra.house.stop().await
}
