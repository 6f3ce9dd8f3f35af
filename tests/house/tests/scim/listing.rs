//! Lists: filters, parts of a list, chosen attributes, versions, and what the door says of itself.

use anyhow::Result;
use serde_json::{Value, json};

use crate::given::{Company, OTHER, TOKEN, id, refused};

const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

fn names(list: &Value) -> Vec<&str> {
    let resources = list["Resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    resources.iter().filter_map(|user| user["displayName"].as_str()).collect()
}

// spec: RFC7644#3.4.2.4
#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_parts_counted_from_one() -> Result<()> {
    let company = Company::start().await?;
    for name in ["ada", "ben", "eve", "kim", "zoe"] {
        company.user(name).await?;
    }
    let all = company.get("/Users").await?.json();
    let order: Vec<String> = names(&all).into_iter().map(str::to_owned).collect();
    assert_eq!((&all["totalResults"], order.len()), (&json!(5), 5));
    for (query, from, to) in [
        ("startIndex=1&count=2", 0, 2),
        ("startIndex=2&count=3", 1, 4),
        ("startIndex=0&count=1", 0, 1),
        ("startIndex=-7&count=1", 0, 1),
        ("startIndex=5&count=9", 4, 5),
        ("startIndex=6", 5, 5),
        ("count=0", 0, 0),
        ("count=-3", 0, 0),
        ("count=100000", 0, 5),
        ("filter=userName%20pr&startIndex=2&count=2", 1, 3),
        ("filter=userName%20pr&count=0", 0, 0),
        ("sortBy=userName&sortOrder=descending", 0, 5),
    ] {
        let list = company.get(&format!("/Users?{query}")).await?.json();
        assert_eq!(names(&list), order[from..to], "{query}");
        assert_eq!((&list["totalResults"], &list["itemsPerPage"]), (&json!(5), &json!(to - from)), "{query}");
    }
    for query in ["startIndex=one", "count=", "count=1.5"] {
        refused(&company.get(&format!("/Users?{query}")).await?, 400, "invalidValue");
    }
    let search = json!({ "schemas": [SEARCH], "filter": "displayName sw \"Z\" or displayName eq \"eve\"",
        "attributes": ["displayName", "meta.location"], "startIndex": 2, "count": 1 });
    let list = company.send("POST", "/Users/.search", &search).await?.json();
    assert_eq!((&list["totalResults"], names(&list).len()), (&json!(2), 1));
    let one = list["Resources"][0].as_object().unwrap();
    assert_eq!(one.keys().collect::<Vec<_>>(), ["schemas", "id", "displayName", "meta"]);
    assert_eq!(one["meta"].as_object().unwrap().len(), 1);
    company.house.stop().await
}

// spec: RFC7644#3.4.2.2
#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_say_and_bad_ones_are_refused() -> Result<()> {
    let company = Company::start().await?;
    let ada = company.user("ada").await?;
    let ben = company.user("ben").await?;
    company
        .patch(&format!("/Users/{}", id(&ben)), json!([{ "op": "replace", "path": "active", "value": false }]))
        .await?;
    let by_id = format!("id eq \"{}\"", id(&ada));
    for (filter, expected) in [
        ("userName eq \"ADA@example.com\"", vec!["ada"]),
        ("userName eq \"ada@example.com\" and active eq false", vec![]),
        ("externalId eq \"ext-ada\"", vec!["ada"]),
        ("externalId eq \"EXT-ADA\"", vec![]),
        ("not (userName co \"ada\")", vec!["ben"]),
        ("active eq false", vec!["ben"]),
        ("emails[type eq \"work\" and value ew \"@example.com\"] and (displayName gt \"ada\")", vec!["ben"]),
        ("urn:ietf:params:scim:schemas:core:2.0:User:emails.value sw \"ben\"", vec!["ben"]),
        ("title pr", vec![]),
        ("meta.resourceType eq \"User\" and meta.created lt \"2100-01-01T00:00:00Z\"", vec!["ada", "ben"]),
        (by_id.as_str(), vec!["ada"]),
    ] {
        let found = company.found("Users", filter).await?;
        let mut names: Vec<_> = found.iter().filter_map(|user| user["displayName"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{filter}");
    }
    for bad in [
        "",
        "userName",
        "userName eq ",
        "userName eq ada",
        "userName is \"ada\"",
        "favouriteColour eq \"blue\"",
        "urn:example:User:userName eq \"ada\"",
        "active gt true",
        "(userName pr",
        "emails[type eq \"work\"",
        "userName eq \"ada\" or",
        "name eq \"x\"",
        "groups[value pr] or emails[active pr]",
        "userName eq \"\\u00\"",
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", bad).finish();
        refused(&company.get(&format!("/Users?{query}")).await?, 400, "invalidFilter");
        let search = json!({ "schemas": [SEARCH], "filter": bad });
        refused(&company.send("POST", "/Users/.search", &search).await?, 400, "invalidFilter");
    }
    refused(&company.get("/Groups?filter=userName%20pr").await?, 400, "invalidFilter");
    company.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_attributes_that_were_asked_for() -> Result<()> {
    let company = Company::start().await?;
    let path = format!("/Users/{}", id(&company.user("ada").await?));
    let only = company.get(&format!("{path}?attributes=userName,emails.value,noSuch")).await?.json();
    let keys: Vec<_> = only.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["schemas", "id", "userName", "emails"]);
    assert_eq!(only["emails"], json!([{ "value": "ada@example.com" }]));
    let without = company.get(&format!("{path}?excludedAttributes=emails.type,id,meta,NAME")).await?.json();
    assert!(without.get("meta").is_none() && without["id"].is_string());
    assert_eq!(without["emails"], json!([{ "value": "ada@example.com", "primary": true }]));
    refused(&company.get(&format!("{path}?attributes=id&excludedAttributes=meta")).await?, 400, "invalidValue");
    company.house.stop().await
}

// spec: RFC7644#3.14
#[tokio::test(flavor = "multi_thread")]
async fn versions_keep_two_writers_apart() -> Result<()> {
    let company = Company::start().await?;
    let ada = company.user("ada").await?;
    let group = company.group("platform", &[id(&ada)]).await?;
    for (path, change) in [
        (format!("/Users/{}", id(&ada)), json!([{ "op": "add", "path": "title", "value": "x" }])),
        (format!("/Groups/{}", id(&group)), json!([{ "op": "add", "path": "externalId", "value": "x" }])),
    ] {
        let read = company.get(&path).await?;
        let old = read.header("etag").unwrap().to_owned();
        assert_eq!(read.json()["meta"]["version"], old);
        let known = company.request("GET", &path).header("if-none-match", &format!("W/\"x\", {old}")).send().await?;
        assert_eq!((known.status, known.text().as_str()), (304, ""));
        let unknown = company.request("GET", &path).header("if-none-match", "W/\"x\"").send().await?;
        assert_eq!(unknown.status, 200);

        assert!(company.patch(&path, change).await?.status < 300);
        let body = read.json().to_string();
        for method in ["PUT", "DELETE"] {
            let late =
                company.request(method, &path).header("if-match", &old).header("content-type", "application/json");
            refused(&late.body(body.clone()).send().await?, 412, "");
        }
        let new = company.get(&path).await?.header("etag").unwrap().to_owned();
        assert_ne!(new, old);
        let on_time = company.request("PUT", &path).header("if-match", &new).header("content-type", "application/json");
        assert_eq!(on_time.body(body).send().await?.status, 200);
        assert_eq!(company.request("DELETE", &path).header("if-match", "*").send().await?.status, 204);
    }
    company.house.stop().await
}

// spec: RFC7644#3.7
#[tokio::test(flavor = "multi_thread")]
async fn the_door_says_what_it_can_do() -> Result<()> {
    let company = Company::start().await?;
    let config = company.get("/ServiceProviderConfig").await?.json();
    for (feature, supported) in
        [("patch", true), ("filter", true), ("etag", true), ("bulk", false), ("sort", false), ("changePassword", false)]
    {
        assert_eq!(config[feature]["supported"], supported, "{feature}");
    }
    refused(&company.send("POST", "/Bulk", &json!({})).await?, 501, "");
    let types = company.get("/ResourceTypes").await?.json();
    assert_eq!(types["totalResults"], 2);
    let schemas = company.get("/Schemas").await?.json();
    for schema in schemas["Resources"].as_array().unwrap() {
        let one = company.get(&format!("/Schemas/{}", id(schema))).await?;
        assert_eq!((one.status, &one.json()), (200, schema));
    }
    for kind in types["Resources"].as_array().unwrap() {
        assert_eq!(&company.get(&format!("/ResourceTypes/{}", id(kind))).await?.json(), kind);
        let endpoint = kind["endpoint"].as_str().unwrap();
        assert_eq!(company.get(endpoint).await?.status, 200);
    }
    for nowhere in ["/Schemas/urn:x", "/ResourceTypes/Device", "/Devices", "/Users/x/y"] {
        refused(&company.get(nowhere).await?, 404, "");
    }
    refused(&company.send("POST", "/Schemas", &json!({})).await?, 405, "");
    company.house.stop().await
}

// spec: T-51
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_knows_nothing_of_another_one() -> Result<()> {
    let company = Company::start().await?;
    let ada = company.user("ada").await?;
    let group = company.group("platform", &[id(&ada)]).await?;
    let other = |method: &str, path: &str| company.house.request(method, &format!("/scim/v2{path}")).bearer(OTHER);
    for path in [format!("/Users/{}", id(&ada)), format!("/Groups/{}", id(&group))] {
        refused(&other("GET", &path).send().await?, 404, "");
        refused(&other("DELETE", &path).send().await?, 404, "");
    }
    assert_eq!(other("GET", "/Users").send().await?.json()["totalResults"], 0);
    let theirs = json!({ "displayName": "platform", "members": [{ "value": id(&ada) }] });
    refused(&other("POST", "/Groups").json(&theirs).send().await?, 400, "invalidValue");
    // The same names are other people there.
    let twin = json!({ "userName": "ada@example.com", "externalId": "ext-ada" });
    let made = other("POST", "/Users").json(&twin).send().await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let people = company.house.app.store.people().await?;
    let adas = people.iter().filter(|person| person.name.starts_with("ada@example.com"));
    assert_eq!(adas.map(|person| person.name.as_str()).collect::<Vec<_>>(), ["ada@example.com", "ada@example.com-2"]);
    assert_ne!(TOKEN, OTHER);
    company.house.stop().await
}
