//! A company's directory: whom and what it announces, changes and takes away.

use anyhow::{Context, Result, ensure};
use portcullis_house::{gateway::TestGateway, http::Answer};
use serde_json::{Value, json};

use crate::tour::{Row, Tour};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("POST /scim/v2/Users", "announced", "person.created", "success"),
    ("POST /scim/v2/Users", "twice", "request.refused", "denied"),
    ("POST /scim/v2/Users", "without the token", "directory.refused", "denied"),
    ("GET /scim/v2/Users", "without the token", "directory.refused", "denied"),
    ("PUT /scim/v2/Users/{id}", "changed", "person.changed", "success"),
    ("PATCH /scim/v2/Users/{id}", "deactivated", "offboard.finished", "success"),
    ("PATCH /scim/v2/Users/{id}", "activated", "person.enabled", "success"),
    ("DELETE /scim/v2/Users/{id}", "taken away", "offboard.finished", "success"),
    ("DELETE /scim/v2/Users/{id}", "one that there is not", "request.refused", "denied"),
    ("POST /scim/v2/Groups", "announced", "directory.group", "success"),
    ("PUT /scim/v2/Groups/{id}", "changed", "directory.group", "success"),
    ("PATCH /scim/v2/Groups/{id}", "changed", "directory.group", "success"),
    ("DELETE /scim/v2/Groups/{id}", "taken away", "directory.group", "success"),
    ("ANY /scim/v2/{*elsewhere}", "with the token", "request.refused", "denied"),
];

const TOKEN: &str = "token of the company's directory";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

async fn send(tour: &Tour, method: &str, path: &str, body: &Value) -> Result<Answer> {
    let request = tour.house.request(method, &format!("/scim/v2{path}")).bearer(TOKEN);
    request.header("content-type", "application/scim+json").body(body.to_string()).send().await
}

fn patch(operation: Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

pub async fn play() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN)?;
    let provider = json!({ "id": "company", "kind": "oidc", "issuer": "https://login.example.com",
        "client_id": "portcullis", "scim": { "token": format!("file:{}", file.display()) } });
    let identity = json!({ "local_accounts": true, "providers": [provider] });
    let mut tour = Tour::new(TestGateway::with(&format!("identity: {identity}\n")).await?, ROWS);
    tour.meanwhile().await?;
    users(&mut tour).await?;
    groups(&mut tour).await?;
    tour.finish().await
}

async fn users(tour: &mut Tour) -> Result<()> {
    let user = |name: &str| {
        json!({ "schemas": [USER], "userName": format!("{name}@example.com"), "displayName": name, "active": true,
            "externalId": name, "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }] })
    };
    let made = send(tour, "POST", "/Users", &user("ada")).await?;
    ensure!(made.status == 201, "{}", made.text());
    tour.done("POST /scim/v2/Users", "announced").await?;
    let path = format!("/Users/{}", made.json()["id"].as_str().context("id")?);
    send(tour, "POST", "/Users", &user("ada")).await?;
    tour.refused("POST /scim/v2/Users", "twice", "uniqueness").await?;
    for method in ["POST", "GET"] {
        tour.house.request(method, "/scim/v2/Users").bearer("guess").send().await?;
        tour.done(&format!("{method} /scim/v2/Users"), "without the token").await?;
    }
    let mut changed = user("ada");
    changed["displayName"] = "Ada L.".into();
    send(tour, "PUT", &path, &changed).await?;
    tour.done("PUT /scim/v2/Users/{id}", "changed").await?;
    for (active, case) in [(false, "deactivated"), (true, "activated")] {
        send(tour, "PATCH", &path, &patch(json!({ "op": "replace", "value": { "active": active } }))).await?;
        tour.done("PATCH /scim/v2/Users/{id}", case).await?;
    }
    send(tour, "DELETE", &path, &json!({})).await?;
    tour.done("DELETE /scim/v2/Users/{id}", "taken away").await?;
    send(tour, "DELETE", "/Users/usr_x", &json!({})).await?;
    tour.done("DELETE /scim/v2/Users/{id}", "one that there is not").await?;
    send(tour, "GET", "/no/such/thing", &json!({})).await?;
    tour.done("ANY /scim/v2/{*elsewhere}", "with the token").await.map(drop)
}

async fn groups(tour: &mut Tour) -> Result<()> {
    let group = |name: &str| json!({ "schemas": [GROUP], "displayName": name, "members": [] });
    let made = send(tour, "POST", "/Groups", &group("Engineering")).await?;
    tour.done("POST /scim/v2/Groups", "announced").await?;
    let path = format!("/Groups/{}", made.json()["id"].as_str().context("id")?);
    send(tour, "PUT", &path, &group("Engineers")).await?;
    tour.done("PUT /scim/v2/Groups/{id}", "changed").await?;
    send(tour, "PATCH", &path, &patch(json!({ "op": "replace", "path": "displayName", "value": "Makers" }))).await?;
    tour.done("PATCH /scim/v2/Groups/{id}", "changed").await?;
    send(tour, "DELETE", &path, &json!({})).await?;
    tour.done("DELETE /scim/v2/Groups/{id}", "taken away").await.map(drop)
}
