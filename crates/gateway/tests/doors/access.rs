//! Rights that end, as people come by them: by asking, in an emergency; and words that are lent.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode, header};
use portcullis_base::{Class, Classes, ServerName, Timestamp};
use portcullis_policy::{Effect, Guest, Target};
use portcullis_store::{AccessRequestState, Person};
use serde_json::Value;

use crate::house::{Answer, Browser, House, ISSUER, encode};

const WHY: (&str, &str) = ("why", "the quarter ends");

fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

/// What the access list of `name` says of a call of this class.
fn effect(house: &House, person: &Person, name: &str, tool: &str, class: Class) -> Effect {
    let groups: Vec<Arc<str>> = person.groups.iter().map(|group| group.as_str().into()).collect();
    let guest = Guest { person: &person.id, groups: &groups, now: house.app.clock.now() };
    let snapshot = house.app.snapshot.load();
    snapshot.servers[&server(name)].access.effect(guest, Target::Tool(tool), Classes::from(class))
}

async fn sent(browser: &Browser<'_>, path: &str, form: &[(&str, &str)]) -> Answer {
    let token = browser.get("/grants").await.field("form_token");
    let mut all = vec![("form_token", token.as_str())];
    all.extend(form);
    browser.post(path, &all).await
}

async fn asks(browser: &Browser<'_>, name: &str, what: &[(&str, &str)]) -> Answer {
    let mut form = vec![("lasts", "8h"), WHY];
    form.extend(what);
    sent(browser, &format!("/access/{name}"), &form).await
}

/// The page of the one wish that nobody has answered.
async fn open(house: &House) -> String {
    let open = house.app.store.open_access_requests(9, house.app.clock.now()).await.unwrap();
    format!("/approvals/access/{}", open[0].id)
}

fn said(house: &House, kind: &str) -> Option<Value> {
    house.journal().into_iter().rfind(|line| line["event"] == kind)
}

// spec: T-82
#[tokio::test]
async fn wish_is_answered_by_an_administrator_and_the_right_holds_until_it_ends() {
    let house = House::new().await;
    let (ada, _) = (house.person("ada").await, house.admin("root").await);
    house.app.feed.catch_up().await.unwrap();
    let browser = house.signed_in("ada").await;
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Read), Effect::Deny);
    let answer = asks(&browser, "vault", &[("read", "yes"), ("write", "yes")]).await;
    assert_eq!(answer.location(), "/access/vault?done=asked", "{}", answer.text);
    assert!(browser.get("/access/vault").await.text.contains("Your wish waits"));
    assert!(browser.get("/approvals").await.text.contains("Access you asked for"));

    let root = house.signed_in("root").await;
    let path = open(&house).await;
    assert!(root.get("/approvals").await.text.contains(&path));
    let page = root.get(&path).await.text;
    assert!(page.contains("They may not use this server at all now") && page.contains("the quarter ends"), "{page}");
    assert_eq!(root.get("/api/v1/access").await.json()["waiting"][0]["server"], "vault");
    // A shorter time than was asked for, never a longer one.
    let longer = sent(&root, &path, &[("word", "give"), ("lasts", "7d")]).await;
    assert_eq!(longer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for _ in 0..2 {
        // A double click is one answer.
        let answer = sent(&root, &path, &[("word", "give"), ("lasts", "1h")]).await;
        assert_eq!(answer.location(), format!("{path}?done=given"), "{}", answer.text);
    }
    let now = house.app.clock.now();
    assert_eq!(house.app.store.access_grants(now).await.unwrap().len(), 1);
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Write), Effect::Allow);
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Destructive), Effect::Deny);
    assert_eq!(effect(&house, &ada, "other", "x", Class::Destructive), Effect::Ask, "elsewhere nothing changed");
    assert!(browser.get("/").await.text.contains("/mcp/vault"));
    let given = said(&house, "access.granted").unwrap();
    assert_eq!((given["details"]["person"].as_str(), given["server"].as_str()), (Some(ada.id.as_str()), Some("vault")));
    let late = sent(&root, &path, &[("word", "refuse"), ("why", "no")]).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY);

    // By the clock alone: this node has heard nothing since.
    house.clock.advance(Duration::from_hours(1));
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Read), Effect::Deny);
    assert!(!browser.get("/").await.text.contains("/mcp/vault"));
    // Whatever goes on for long hears of it by another snapshot.
    let before = house.app.snapshot.load_full();
    house.app.feed.catch_up().await.unwrap();
    assert!(!Arc::ptr_eq(&before, &house.app.snapshot.load()));
    assert_eq!(house.app.snapshot.load().rights().count(), 0);
}

// spec: T-55
#[tokio::test]
async fn page_and_wish_tell_nobody_whether_there_is_such_a_server() {
    let house = House::new().await;
    house.person("ada").await;
    house.admin("root").await;
    house.app.feed.catch_up().await.unwrap();
    for path in ["/access/vault", "/access/fault", "/access/vault/break-glass", "/access/fault/break-glass"] {
        assert_eq!(house.get(path).await.location(), format!("/login?return_to={}", path.replace('/', "%2F")));
    }
    let browser = house.signed_in("ada").await;
    let mut told = Vec::new();
    for name in ["vault", "fault"] {
        let mut texts = vec![browser.get(&format!("/access/{name}?tool=x")).await.text];
        let answer = asks(&browser, name, &[("read", "yes")]).await;
        texts.push(format!("{} {}", answer.status, answer.location()));
        texts.push(browser.get(&format!("/access/{name}")).await.text);
        let own = &browser.get("/api/v1/access").await.json()["own"];
        let mut own = own.as_array().unwrap().iter().find(|wish| wish["server"] == name).unwrap().clone();
        let id = own["id"].take();
        texts.push(own.to_string());
        texts.push(browser.get(&format!("/approvals/access/{}", id.as_str().unwrap())).await.text);
        let glass = browser.get(&format!("/access/{name}/break-glass")).await;
        texts.push(format!("{} {}", glass.status, glass.text));
        let all: String = texts.concat().replace(id.as_str().unwrap(), "ID").replace("fault", "vault");
        told.push(all);
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains("does not tell whether there is a server"));
    // Whoever answers is shown what could be given, and is told the truth of the rest.
    let root = house.signed_in("root").await;
    let waiting = root.get("/api/v1/access").await.json();
    let waiting: Vec<_> = waiting["waiting"].as_array().unwrap().iter().map(|wish| wish["server"].clone()).collect();
    assert_eq!(waiting, ["vault"]);
    let all = house.app.store.open_access_requests(9, house.app.clock.now()).await.unwrap();
    let nothing = all.iter().find(|wish| wish.server.as_str() == "fault").unwrap();
    let path = format!("/approvals/access/{}", nothing.id);
    assert!(root.get(&path).await.text.contains("no server and no toolbox of this name"));
    let answer = sent(&root, &path, &[("word", "give")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(house.app.store.access_grants(Timestamp::from_secs(0)).await.unwrap(), []);
}

// spec: T-82, T-2
#[tokio::test]
async fn nobody_gives_themselves_a_right_nor_does_whoever_has_no_say_any_more() {
    let house = House::with("roles: { admin: [platform], member: ['*'] }").await;
    let eve = house.person_with("eve", None, &["platform"]).await;
    let ada = house.person("ada").await;
    house.app.feed.catch_up().await.unwrap();
    let own = house.signed_in("eve").await;
    asks(&own, "vault", &[("read", "yes")]).await;
    let path = open(&house).await;
    assert!(!own.get("/approvals").await.text.contains("Wishes for access"));
    let answer = sent(&own, &path, &[("word", "give")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "her own");
    sent(&own, &format!("{path}/withdraw"), &[]).await;

    let browser = house.signed_in("ada").await;
    asks(&browser, "vault", &[("read", "yes")]).await;
    let path = open(&house).await;
    let form = [("word", "give")];
    assert_eq!(sent(&browser, &path, &form).await.status, StatusCode::FORBIDDEN, "her own, and no administrator");
    house.person("bob").await;
    assert_eq!(house.signed_in("bob").await.get(&path).await.status, StatusCode::NOT_FOUND);
    // A form of somebody else's page, one without proof of where it came from, and a program.
    let token = own.get("/grants").await.field("form_token");
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let signed = [("form_token", token.as_str()), ("word", "give")];
    assert_eq!(own.post_from(&foreign, &path, &signed).await.status, StatusCode::FORBIDDEN);
    assert_eq!(own.post(&path, &form).await.status, StatusCode::FORBIDDEN);
    let others = browser.get("/grants").await.field("form_token");
    let stolen = [("form_token", others.as_str()), ("word", "give")];
    assert_eq!(own.post(&path, &stolen).await.status, StatusCode::FORBIDDEN);
    for (method, at) in [
        ("POST", path.as_str()),
        ("GET", &path),
        ("POST", "/access/vault"),
        ("POST", "/access/vault/break-glass"),
        ("POST", "/grants/delegations"),
        ("POST", "/grants/access/revoke"),
        ("GET", "/api/v1/access"),
        ("GET", "/api/v1/grants"),
    ] {
        for cookie in [None, own.cookie()] {
            let mut request = Request::builder().method(method).uri(at).header("origin", ISSUER);
            request = request.header(header::AUTHORIZATION, "Bearer some-token");
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(cookie) = cookie {
                request = request.header(header::COOKIE, cookie);
            }
            let answer = house.send(request.body(Body::from(encode(&signed))).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {at}: {}", answer.text);
        }
    }
    // The sign-in of those who give is minutes old; those who refuse may have another.
    house.clock.advance(Duration::from_mins(6));
    let answer = sent(&own, &path, &form).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("max_age=300"), "{}", answer.text);
    assert!(own.get(&path).await.text.contains("your sign-in is too long ago"));
    // She opened the page as an administrator, and is none when she answers.
    let own = house.signed_in("eve").await;
    let token = own.get(&path).await.field("form_token");
    house.app.store.set_local_groups(&eve.id, &[], house.app.clock.now()).await.unwrap();
    let late = own.post(&path, &[("form_token", token.as_str()), ("word", "give")]).await;
    assert_eq!(late.status, StatusCode::NOT_FOUND, "{}", late.text);
    assert_eq!(house.app.store.access_grants(house.app.clock.now()).await.unwrap(), []);
    let wish = &house.app.store.access_requests_of(&ada.id).await.unwrap()[0];
    assert_eq!(wish.state, AccessRequestState::Open);
}

// spec: T-74, T-84
#[tokio::test]
async fn wishes_are_counted_and_say_what_they_are_for() {
    let house = House::with("access_requests: { pending: 2, hourly: 3, longest: 1d }").await;
    house.person("ada").await;
    house.admin("root").await;
    house.app.feed.catch_up().await.unwrap();
    let browser = house.signed_in("ada").await;
    let page = browser.get("/access/vault?tool=%3Cscript%3E%E2%80%AE").await.text;
    assert!(!page.contains("<script>%") && !page.contains('\u{202e}') && !page.contains("value=\"7d\""), "{page}");
    for wrong in [
        &[("lasts", "1h"), WHY][..],
        &[("lasts", "7d"), WHY, ("read", "yes")],
        &[("lasts", "1h"), ("why", "  "), ("read", "yes")],
        &[("lasts", "1h"), WHY, ("tool", "a\u{202e}b")],
    ] {
        assert_eq!(sent(&browser, "/access/vault", wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:?}");
    }
    assert_eq!(sent(&browser, "/access/..%2F", &[]).await.status, StatusCode::NOT_FOUND);
    let tool = [("tool", "send_mail"), ("read", "yes")];
    assert_eq!(asks(&browser, "vault", &tool).await.status, StatusCode::SEE_OTHER);
    assert_eq!(asks(&browser, "vault", &tool).await.status, StatusCode::UNPROCESSABLE_ENTITY, "one at a time");
    assert_eq!(asks(&browser, "other", &tool).await.status, StatusCode::SEE_OTHER);
    assert_eq!(asks(&browser, "sample", &tool).await.status, StatusCode::TOO_MANY_REQUESTS);
    let root = house.signed_in("root").await;
    let path = open(&house).await;
    assert!(root.get(&path).await.text.contains("Nothing tells what it does."));
    let answer = sent(&root, &path, &[("word", "refuse"), ("why", "not \u{202e}you")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let own = browser.get("/api/v1/access").await.json();
    assert!(own["own"].as_array().unwrap().iter().any(|wish| wish["answer"] == "not \u{fffd}you"), "{own}");
    assert_eq!(asks(&browser, "sample", &tool).await.status, StatusCode::SEE_OTHER);
    sent(&root, &open(&house).await, &[("word", "refuse"), ("why", "no")]).await;
    assert_eq!(asks(&browser, "vault", &tool).await.status, StatusCode::TOO_MANY_REQUESTS, "within an hour");
    let asked = said(&house, "access.requested").unwrap();
    assert_eq!(
        (asked["details"]["for"].as_str(), asked["details"]["seconds"].as_i64()),
        (Some("tool send_mail"), Some(28_800))
    );
}

#[tokio::test]
async fn right_to_one_tool_is_for_what_that_tool_is_now_and_can_be_given_back() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    house.admin("root").await;
    house.app.feed.catch_up().await.unwrap();
    let (browser, root) = (house.signed_in("ada").await, house.signed_in("root").await);
    asks(&browser, "vault", &[("tool", "send_mail"), ("financial", "yes")]).await;
    sent(&root, &open(&house).await, &[("word", "give")]).await;
    assert_eq!(effect(&house, &ada, "vault", "send_mail", Class::Unknown), Effect::Allow);
    // Nothing was known of it: it may become anything.
    assert_eq!(effect(&house, &ada, "vault", "send_mail", Class::Financial), Effect::Deny);
    assert_eq!(effect(&house, &ada, "vault", "other", Class::Unknown), Effect::Deny);
    let page = browser.get("/grants").await;
    assert!(page.text.contains("send_mail") && page.text.contains("vault"), "{}", page.text);
    let right = page.field("right");
    house.person("eve").await;
    let eve = house.signed_in("eve").await;
    assert_eq!(sent(&eve, "/grants/access/revoke", &[("right", &right)]).await.status, StatusCode::NOT_FOUND);
    assert!(!eve.get("/grants").await.text.contains("vault"));
    assert!(root.get("/grants").await.text.contains(&right), "whoever looks after the gateway sees it too");
    let answer = sent(&browser, "/grants/access/revoke", &[("right", &right)]).await;
    assert_eq!(answer.location(), "/grants?done=given-back", "{}", answer.text);
    assert_eq!(effect(&house, &ada, "vault", "send_mail", Class::Unknown), Effect::Deny);
    assert_eq!(said(&house, "access.revoked").unwrap()["details"]["person"], ada.id.as_str());
}

const GLASS: &str = "break_glass: { who: [group:on-call], servers: [vault], lasts: 30m }";

// spec: T-82, T-55
#[tokio::test]
async fn glass_is_broken_by_those_who_may_with_a_reason_and_nobody_can_miss_it() {
    let house = House::with(GLASS).await;
    let ada = house.person_with("ada", None, &["on-call"]).await;
    house.person("bob").await;
    house.admin("root").await;
    house.app.feed.catch_up().await.unwrap();
    let path = "/access/vault/break-glass";
    let bob = house.signed_in("bob").await;
    assert_eq!(bob.get(path).await.status, StatusCode::NOT_FOUND);
    let form = [("right", "acg_AAAAAAAAAAAAAAAAAAAAAA"), ("why", "fire")];
    assert_eq!(sent(&bob, path, &form).await.status, StatusCode::NOT_FOUND);

    let browser = house.signed_in("ada").await;
    assert!(browser.get("/access/vault").await.text.contains(path));
    assert!(!browser.get("/access/other").await.text.contains("break-glass"));
    assert_eq!(browser.get("/access/other/break-glass").await.status, StatusCode::NOT_FOUND);
    let right = browser.get(path).await.field("right");
    assert_eq!(sent(&browser, path, &[("right", &right), ("why", " ")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for forged in ["", "acg_", "acg_../x", "usr_AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(sent(&browser, path, &[("right", forged), ("why", "fire")]).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Read), Effect::Deny);
    for _ in 0..2 {
        let answer = sent(&browser, path, &[("right", &right), ("why", "the house is on fire")]).await;
        assert_eq!(answer.location(), "/grants?done=broken", "{}", answer.text);
    }
    let lines = house.journal();
    let broken: Vec<_> = lines.iter().filter(|line| line["event"] == "access.break_glass").collect();
    assert_eq!(broken.len(), 1, "the same form twice is one");
    assert_eq!((broken[0]["details"]["level"].as_str(), broken[0]["server"].as_str()), (Some("warn"), Some("vault")));
    assert_eq!(broken[0]["details"]["why"], "the house is on fire");
    for class in Class::ALL {
        assert_eq!(effect(&house, &ada, "vault", "x", *class), Effect::Allow);
    }
    let root = house.signed_in("root").await;
    for page in ["/", "/approvals", "/grants", "/account"] {
        assert!(browser.get(page).await.text.contains("The glass is broken. </b>You have every right"), "{page}");
        assert!(root.get(page).await.text.contains("ada has every right at"), "{page}");
        assert!(!bob.get(page).await.text.contains("The glass is broken"), "{page}");
    }
    house.clock.advance(Duration::from_mins(30));
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Read), Effect::Deny);
    assert!(!browser.get("/").await.text.contains("The glass is broken"));
    // Whoever sits before a browser that somebody left open breaks nothing.
    assert!(browser.get(path).await.text.contains("max_age=300"));
    let again = [("right", "acg_BBBBBBBBBBBBBBBBBBBBBB"), ("why", "fire")];
    assert_eq!(sent(&browser, path, &again).await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.app.store.access_grants(house.app.clock.now()).await.unwrap(), []);
}

#[tokio::test]
async fn there_is_no_glass_unless_the_settings_have_one() {
    let house = House::new().await;
    house.admin("root").await;
    house.app.feed.catch_up().await.unwrap();
    let root = house.signed_in("root").await;
    assert_eq!(root.get("/access/vault/break-glass").await.status, StatusCode::NOT_FOUND);
    let form = [("right", "acg_AAAAAAAAAAAAAAAAAAAAAA"), ("why", "fire")];
    assert_eq!(sent(&root, "/access/vault/break-glass", &form).await.status, StatusCode::NOT_FOUND);
    assert!(!root.get("/access/vault").await.text.contains("break-glass"));
}

// spec: T-53
#[tokio::test]
async fn rights_and_words_of_whoever_leaves_end_and_that_is_written_down() {
    let house = House::new().await;
    let (ada, root) = (house.person("ada").await, house.admin("root").await);
    house.person("bob").await;
    house.app.feed.catch_up().await.unwrap();
    let (browser, admin) = (house.signed_in("ada").await, house.signed_in("root").await);
    asks(&browser, "vault", &[("read", "yes")]).await;
    sent(&admin, &open(&house).await, &[("word", "give")]).await;
    asks(&browser, "other", &[("write", "yes")]).await;
    sent(&browser, "/grants/delegations", &[("delegate", "bob"), ("lasts", "1d")]).await;
    let path = open(&house).await;
    let actor = portcullis_audit::Actor { person: Some(root.id), ..portcullis_audit::Actor::default() };
    let how = portcullis_gateway::offboard::How::Administrator;
    let extent = portcullis_store::Extent::Account;
    let done = house.app.offboard(actor, &ada.id, extent, &how).await.unwrap().unwrap();
    assert_eq!(effect(&house, &ada, "vault", "x", Class::Read), Effect::Deny);
    let ended = done.report.ended.rights;
    assert_eq!((ended.access, ended.wishes, ended.delegations), (1, 1, 1));
    assert_eq!(said(&house, "rights.ended").unwrap()["details"]["access"], 1);
    let late = sent(&admin, &path, &[("word", "give")]).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", late.text);
    assert_eq!(house.app.store.delegations(house.app.clock.now()).await.unwrap(), []);
}

// spec: T-82
#[tokio::test]
async fn word_is_lent_by_a_fresh_sign_in_to_somebody_and_taken_back() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let bob = house.person("bob").await;
    house.person("eve").await;
    house.app.feed.catch_up().await.unwrap();
    let browser = house.signed_in("ada").await;
    for wrong in [
        [("delegate", "nobody"), ("lasts", "1d")],
        [("delegate", "ada"), ("lasts", "1d")],
        [("delegate", "bob"), ("lasts", "90d")],
    ] {
        let answer = sent(&browser, "/grants/delegations", &wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:?}");
    }
    let lend = [("delegate", "bob"), ("lasts", "1d"), ("why", "at sea")];
    assert_eq!(sent(&browser, "/grants/delegations", &lend).await.location(), "/grants?done=lent");
    let made = said(&house, "delegation.made").unwrap();
    assert_eq!(made["details"]["delegate"], bob.id.as_str());
    assert_eq!(made["details"]["person"], ada.id.as_str());
    let id = browser.get("/grants").await.field("delegation");
    assert!(house.signed_in("bob").await.get("/grants").await.text.contains("at sea"));
    let eve = house.signed_in("eve").await;
    assert!(!eve.get("/grants").await.text.contains("at sea"));
    let form = [("delegation", id.as_str())];
    assert_eq!(sent(&eve, "/grants/delegations/revoke", &form).await.status, StatusCode::NOT_FOUND);
    assert_eq!(sent(&browser, "/grants/delegations/revoke", &form).await.location(), "/grants?done=not-lent");
    assert!(said(&house, "delegation.revoked").is_some());
    assert_eq!(house.app.store.delegations(house.app.clock.now()).await.unwrap(), []);
    house.clock.advance(Duration::from_mins(6));
    assert_eq!(sent(&browser, "/grants/delegations", &lend).await.status, StatusCode::FORBIDDEN);
}
