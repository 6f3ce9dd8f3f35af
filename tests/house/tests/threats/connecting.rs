//! Connecting an account at a server: whose browser, whose session, whose account.

use anyhow::{Context, Result};
use portcullis_base::{Holder, PersonId, ServerName};
use portcullis_gateway::connect_link::Ask;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Browser, Form},
};
use serde_json::json;

use crate::{
    account_site::{Manners, Revocation, Site, begin, connect, send},
    visit::signed_in,
};

/// The settings under which a person may try as often as a test does.
const PATIENT: &str = "limits: { sign_ins_per_minute: 1000 }";

struct Story {
    house: TestGateway,
    site: Site,
}

impl Story {
    async fn start() -> Result<Self> {
        Self::with(Manners::default()).await
    }

    async fn with(manners: Manners) -> Result<Self> {
        let (house, site) = (TestGateway::with(PATIENT).await?, Site::with(manners).await?);
        site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
        Ok(Self { house, site })
    }

    async fn person(&self, name: &str) -> Result<PersonId> {
        let (person, _) = self.house.app.store.person_by_name(name).await?.context("no such person")?;
        Ok(person.id)
    }

    /// The account that somebody has connected.
    async fn account(&self, name: &str) -> Result<Option<String>> {
        let holder = Holder::Person(self.person(name).await?);
        let row = self.house.app.store.connection(&holder, &notes()).await?;
        Ok(row.and_then(|row| row.account))
    }

    /// The link that a call of somebody's would get.
    async fn link(&self, name: &str) -> Result<String> {
        let app = &self.house.app;
        let ask = Ask::new(self.person(name).await?, notes(), Vec::new(), app.clock.now(), &*app.rng);
        Ok(ask.link(&app.keys, &*app.rng, ""))
    }
}

fn notes() -> ServerName {
    ServerName::parse("notes").expect("a name")
}

// spec: UP-33, UP-36, UP-60
#[tokio::test(flavor = "multi_thread")]
async fn two_people_connect_an_account_each_and_see_only_their_own() -> Result<()> {
    let story = Story::start().await?;
    for (login, account) in [(ALICE, "alice@notes.example"), (BOB, "bob@notes.example")] {
        let mut browser = signed_in(&story.house, login).await?;
        let done = connect(&story.site, &mut browser, "notes", account).await?;
        assert_eq!(done.header("location"), Some("/connections?done=connected&server=notes"), "{}", done.text());
        assert_eq!(story.account(login.0).await?.as_deref(), Some(account));
    }
    let mut alice = signed_in(&story.house, ALICE).await?;
    let page = alice.get("/connections").await?.text();
    assert!(page.contains("alice@notes.example") && !page.contains("bob@notes.example"), "{page}");
    for page in ["/connections", "/connections/notes"] {
        assert!(!alice.get(page).await?.text().contains("canary"), "a secret is on {page}");
    }
    let written = story.house.written();
    assert!(!written.windows(6).any(|window| window == b"canary"), "a secret is on the disk");
    story.house.stop().await
}

// spec: T-3, UP-36, SEC-2
#[tokio::test(flavor = "multi_thread")]
async fn t03_what_one_browser_began_ends_in_no_other() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let others = [
        ("nobody is signed in", Browser::new(&story.house.authority)),
        ("another person", signed_in(&story.house, BOB).await?),
        ("another session of hers", signed_in(&story.house, ALICE).await?),
    ];
    for (what, mut other) in others {
        let authorize = begin(&mut alice, "/connections/notes").await?;
        let back = story.site.agree(&authorize, "mallory@notes.example")?;
        let answer = other.get(&back).await?;
        assert_eq!((answer.status, answer.header("location")), (403, None), "{what}");
        assert!(!answer.text().contains("mallory"), "{what}: {}", answer.text());
        // It is burned for the one who began it, too.
        assert_eq!(alice.get(&back).await?.status, 403, "{what}");
    }
    // Her session, his cookie for the flow, or hers without the session: each alone is not enough.
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let mut stripped = alice.clone();
    stripped.cookies.retain(|(name, _)| !name.contains("-connect-"));
    assert_eq!(stripped.get(&story.site.agree(&authorize, "mallory@notes.example")?).await?.status, 403);
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let mut stripped = alice.clone();
    stripped.cookies.retain(|(name, _)| name.contains("-connect-"));
    assert_eq!(stripped.get(&story.site.agree(&authorize, "mallory@notes.example")?).await?.status, 403);

    assert_eq!(story.site.redeemed(), 0, "the token endpoint was asked");
    assert_eq!(story.account("alice").await?, None);
    assert_eq!(story.house.events("authz.browser_mismatch").await?.len(), 5);
    story.house.stop().await
}

// spec: T-4
#[tokio::test(flavor = "multi_thread")]
async fn t04_a_planted_cookie_ends_the_flow() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let back = story.site.agree(&authorize, "alice@notes.example")?;
    let mut tossed = alice.clone();
    let name = alice.cookies.iter().find(|(name, _)| name.contains("-connect-")).context("a cookie")?.0.clone();
    tossed.cookies.push((name, "planted".to_owned()));
    assert_eq!(tossed.get(&back).await?.status, 400);
    assert_eq!(alice.get(&back).await?.status, 403, "it was used up");
    assert_eq!(story.site.redeemed(), 0);
    story.house.stop().await
}

// spec: UP-36, UP-27, T-17
#[tokio::test(flavor = "multi_thread")]
async fn t17_only_the_recorded_issuers_answer_at_its_own_address_counts() -> Result<()> {
    let story = Story::with(Manners { names_itself: true, ..Manners::default() }).await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    // Unknown, missing and used states.
    for back in ["/connections/-/callback/0123456789abcdef", "/connections/-/callback/0123456789abcdef?code=x&state=y"]
    {
        assert_eq!(alice.get(back).await?.status, 403, "{back}");
    }
    // At the address of another issuer.
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let back = story.site.agree(&authorize, "alice@notes.example")?;
    let elsewhere = format!("/connections/-/callback/0123456789abcdef?{}", back.split_once('?').context("a query")?.1);
    assert_eq!(alice.get(&elsewhere).await?.status, 403);
    assert_eq!(alice.get(&back).await?.status, 403, "it was used up");
    assert_eq!(story.site.redeemed(), 0);
    story.house.stop().await
}

// spec: UP-34, UP-35, T-17
#[tokio::test(flavor = "multi_thread")]
async fn t17_an_answer_of_somebody_else_is_not_read() -> Result<()> {
    let story = Story::with(Manners { names_itself: true, ..Manners::default() }).await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let origin = story.site.origin();
    for iss in [None, Some("https://evil.example".to_owned()), Some(format!("{origin}/")), Some(origin.to_uppercase())]
    {
        for answer in [("code", "stolen"), ("error", "access_denied")] {
            let authorize = begin(&mut alice, "/connections/notes").await?;
            let mut back = story.site.back(&authorize)?;
            back.query_pairs_mut().append_pair(answer.0, answer.1).append_pair("error_description", "go-to-evil");
            back.query_pairs_mut().extend_pairs(iss.iter().map(|iss| ("iss", iss)));
            let page = alice.get(&back[url::Position::BeforePath..]).await?;
            assert_eq!(page.status, 403, "{iss:?}");
            assert!(!page.text().contains("go-to-evil") && !page.text().contains("evil.example"), "{}", page.text());
        }
    }
    assert_eq!(story.site.redeemed(), 0);
    // The honest one, refused by the person there: told in our words.
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let mut back = story.site.back(&authorize)?;
    back.query_pairs_mut().append_pair("error", "access_denied").append_pair("error_description", "<b>go-to-evil");
    back.query_pairs_mut().append_pair("iss", &origin);
    let page = alice.get(&back[url::Position::BeforePath..]).await?;
    assert_eq!(page.status, 403);
    assert!(!page.text().contains("go-to-evil"), "{}", page.text());
    story.house.stop().await
}

// spec: UP-33, UP-39
#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_where_was_written_down_whatever_the_metadata_says_by_then() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let authorize = begin(&mut alice, "/connections/notes").await?;
    story.site.moves();
    // Other settings make the gateway look again, and it learns of the other place.
    story.site.protect(&story.house, "notes", json!({ "kind": "oauth", "scopes": ["notes:read"] })).await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    assert_eq!(bob.get("/connections/notes").await?.status, 200);
    let arrived = alice.get(&story.site.agree(&authorize, "alice@notes.example")?).await?;
    assert!(arrived.text().contains("alice@notes.example"), "{}", arrived.text());
    let asked = story.site.behind.seen();
    assert!(!asked.iter().any(|seen| seen.line.starts_with("POST /elsewhere")), "the code went elsewhere");
    assert_eq!(story.site.redeemed(), 1);
    story.house.stop().await
}

// spec: T-3, T-86
#[tokio::test(flavor = "multi_thread")]
async fn t03_nothing_is_kept_before_the_person_has_seen_both_names_and_agreed() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    let arrive = async |browser: &mut Browser| -> Result<_> {
        let authorize = begin(browser, "/connections/notes").await?;
        browser.get(&story.site.agree(&authorize, "shown@notes.example")?).await
    };
    let arrived = arrive(&mut alice).await?;
    let text = arrived.text();
    assert!(text.contains("alice") && text.contains("shown@notes.example") && text.contains("127.0.0.1"), "{text}");
    assert!(!text.contains("canary"), "{text}");
    assert_eq!(story.account("alice").await?, None, "kept before she agreed");

    // Bob cannot agree for her, nor take what waits; and what he touched is gone and given back.
    let pending = portcullis_house::person::form(&text).context("a form")?;
    let pending = pending.fields.iter().find(|(name, _)| name == "pending").context("pending")?.1.clone();
    let home = bob.get("/connections/notes").await?;
    let token = portcullis_house::person::form(&home.text()).context("a form")?;
    let token = token.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone();
    let fields = vec![("pending".to_owned(), pending), ("form_token".to_owned(), token)];
    let stolen = Form { action: "/connections/notes/confirm".into(), fields };
    assert_eq!(bob.submit(&stolen, &[("decision", "connect")]).await?.status, 403);
    assert_eq!(send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?.status, 403);
    assert_eq!((story.account("alice").await?, story.account("bob").await?), (None, None));
    let given_back = story.site.revoked().len();
    assert!(given_back > 0, "what was stolen is given back");

    // She says no: nothing is kept, and the provider hears of it.
    let arrived = arrive(&mut alice).await?;
    let answer = send(&mut alice, &arrived, "/confirm", &[("decision", "decline")]).await?;
    assert!(answer.status == 200 && answer.text().contains("was told"), "{}", answer.text());
    assert_eq!(story.account("alice").await?, None);
    assert!(story.site.revoked().len() > given_back);
    // An answer counts once.
    assert_eq!(send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?.status, 403);
    assert_eq!(story.account("alice").await?, None);
    story.house.stop().await
}

// spec: T-86, UP-62
#[tokio::test(flavor = "multi_thread")]
async fn t86_the_link_of_a_call_is_for_its_person_and_for_one_time() -> Result<()> {
    let story = Story::start().await?;
    let link = story.link("alice").await?;
    assert!(!link.contains("alice") && !link.contains("notes"), "{link}");
    // Nobody is signed in by a link.
    let mut nobody = Browser::new(&story.house.authority);
    let answer = nobody.get(&link).await?;
    assert!(
        answer.header("location").is_some_and(|to| to.starts_with("/login?return_to=%2Fconnections%2F-%2Fopen%2F"))
    );
    // Somebody else is told what it is about, and gets no form.
    let mut bob = signed_in(&story.house, BOB).await?;
    let answer = bob.get(&link).await?;
    assert_eq!(answer.status, 403);
    let text = answer.text();
    assert!(text.contains("for somebody else") && !text.contains("<form class=\"decide\""), "{text}");
    let home = bob.get("/connections/notes").await?;
    let sealed = link.rsplit('/').next().context("a handle")?.to_owned();
    let answer = send(&mut bob, &home, "/connect", &[("ask", &sealed)]).await?;
    assert_eq!(answer.status, 403, "the page does not matter, the link does");
    assert_eq!(story.house.events("authz.browser_mismatch").await?.len(), 2);

    // Alice goes on, once.
    let mut alice = signed_in(&story.house, ALICE).await?;
    let page = alice.get(&link).await?;
    assert!(page.status == 200 && page.text().contains("127.0.0.1"), "{}", page.text());
    let answer = send(&mut alice, &page, "/connect", &[]).await?;
    let authorize = url::Url::parse(answer.header("location").context("a redirect")?)?;
    let again = send(&mut alice, &page, "/connect", &[]).await?;
    assert_eq!((again.status, again.header("location")), (400, None), "a link is spent when connecting begins");
    let arrived = alice.get(&story.site.agree(&authorize, "alice@notes.example")?).await?;
    let done = send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?;
    assert_eq!(done.header("location"), Some("/connections?done=connected-call&server=notes"));

    // Too old, touched, of another server.
    let old = story.link("alice").await?;
    story.house.advance(portcullis_gateway::connect_link::LIFETIME).await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    for bad in [old.clone(), format!("{}x", story.link("alice").await?), "/connections/-/open/x".to_owned()] {
        assert_eq!(alice.get(&bad).await?.status, 400, "{bad}");
    }
    story.house.stop().await
}

// spec: UP-37, UP-46
#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_asks_for_is_asked_for_beside_what_there_is() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let scope = |authorize: &url::Url| {
        let text = portcullis_house::person::parameter(authorize, "scope").unwrap_or_default();
        text.split(' ').map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    // Nothing is known but what the server names; the page says so.
    assert!(alice.get("/connections/notes").await?.text().contains("notes:write"));
    let authorize = begin(&mut alice, "/connections/notes").await?;
    assert_eq!(scope(&authorize), ["notes:read", "notes:write"].map(str::to_owned).into());
    connect(&story.site, &mut alice, "notes", "alice@notes.example").await?;
    // A call that needs more than was given: its link asks for that, and what there is stays.
    let app = &story.house.app;
    let person = story.person("alice").await?;
    let ask = Ask::new(person, notes(), vec!["notes:delete".into()], app.clock.now(), &*app.rng);
    let page = alice.get(&ask.link(&app.keys, &*app.rng, "")).await?;
    assert!(page.text().contains("notes:delete"), "{}", page.text());
    let answer = send(&mut alice, &page, "/connect", &[]).await?;
    let authorize = url::Url::parse(answer.header("location").context("a redirect")?)?;
    let asked = scope(&authorize);
    assert!(asked.contains("notes:delete") && asked.contains("notes:read"), "{asked:?}");
    story.house.stop().await
}

// spec: UP-40, T-51
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_or_ends_what_another_person_connected() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    connect(&story.site, &mut alice, "notes", "alice@notes.example").await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    for path in ["/connections", "/connections/notes"] {
        let page = bob.get(path).await?;
        assert!(page.status == 200 && !page.text().contains("alice@notes.example"), "{path}");
    }
    let home = bob.get("/connections/notes").await?;
    let form = portcullis_house::person::form(&home.text()).context("a form")?;
    let token = form.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone();
    let id = {
        let holder = Holder::Person(story.person("alice").await?);
        story.house.app.store.connection(&holder, &notes()).await?.context("a connection")?.id
    };
    // Whatever is in the form, it is Bob's own connection that it is about; and he has none.
    for (action, expected) in [
        // A sign-in of his own, which has nothing to do with hers.
        ("/connections/notes/connect", 303),
        ("/connections/notes/disconnect", 404),
        ("/admin/connections/notes/disconnect", 403),
        ("/connections/notes/confirm", 403),
        ("/connections/notes/key", 404),
    ] {
        let names = ["connection", "holder", "person", "pending", "key", "decision"];
        let values = [id.as_str(), "usr_x", "alice", "guessed", "k", "connect"];
        let fields = names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned()));
        let fields = fields.chain([("form_token".to_owned(), token.clone())]).collect();
        let answer = bob.submit(&Form { action: action.to_owned(), fields }, &[]).await?;
        assert_eq!(answer.status, expected, "{action}: {}", answer.text());
    }
    for path in ["/admin/connections", "/admin/connections/notes", "/api/v1/connections", "/admin/servers/notes/check"]
    {
        assert_eq!(bob.get(path).await?.status, 403, "{path}");
    }
    assert_eq!(story.account("alice").await?.as_deref(), Some("alice@notes.example"));
    assert_eq!(story.site.revoked().len(), 0);
    // What Bob connects stands beside it, and what he ends is his.
    connect(&story.site, &mut bob, "notes", "bob@notes.example").await?;
    let page = bob.get("/connections").await?;
    let ended = send(&mut bob, &page, "/notes/disconnect", &[]).await?;
    assert_eq!(ended.status, 200, "{}", ended.text());
    assert_eq!(story.account("bob").await?, None);
    assert_eq!(story.account("alice").await?.as_deref(), Some("alice@notes.example"));
    assert!(story.site.revoked().iter().all(|token| token.contains("bob")), "{:?}", story.site.revoked());
    story.house.stop().await
}

// spec: UP-40
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_may_not_use_is_not_there_for_them() -> Result<()> {
    let story = Story::start().await?;
    let url = format!("{}/mcp", story.site.origin());
    let entry = json!({ "name": "secret", "url": url, "credential": { "kind": "oauth" }, "access": ["treasury"] });
    story.house.protect_as(entry).await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    let home = bob.get("/connections/notes").await?;
    let form = portcullis_house::person::form(&home.text()).context("a form")?;
    assert!(!bob.get("/connections").await?.text().contains("secret"));
    assert_eq!(bob.get("/connections/secret").await?.status, 404);
    for verb in ["connect", "disconnect", "key"] {
        let form = Form { action: format!("/connections/secret/{verb}"), fields: form.fields.clone() };
        assert_eq!(bob.submit(&form, &[("key", "k")]).await?.status, 404, "{verb}");
    }
    assert_eq!(story.site.redeemed(), 0);
    story.house.stop().await
}

// spec: T-2, T-94
#[tokio::test(flavor = "multi_thread")]
async fn t02_forms_of_connections_come_from_our_pages_alone() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    connect(&story.site, &mut alice, "notes", "alice@notes.example").await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    let token_of = |page: &str| -> Result<String> {
        let form = portcullis_house::person::form(page).context("a form")?;
        Ok(form.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone())
    };
    let own_token = token_of(&alice.get("/connections/notes").await?.text())?;
    let foreign_token = token_of(&bob.get("/connections/notes").await?.text())?;
    let own = format!("http://{}", story.house.authority);
    for verb in ["connect", "disconnect", "confirm", "key"] {
        let path = format!("/connections/notes/{verb}");
        let more = [("pending", "x"), ("decision", "connect"), ("key", "k")];
        for (origin, site, token) in [
            ("https://evil.example", "cross-site", own_token.as_str()),
            ("null", "cross-site", own_token.as_str()),
            (own.as_str(), "same-site", own_token.as_str()),
            (own.as_str(), "same-origin", foreign_token.as_str()),
            (own.as_str(), "same-origin", ""),
        ] {
            let fields: Vec<_> = more.iter().copied().chain([("form_token", token)]).collect();
            let request = alice.request("POST", &path).header("origin", origin).header("sec-fetch-site", site);
            assert_eq!(request.form(&fields).send().await?.status, 403, "{path} from {origin}");
        }
        let nobody = story.house.request("POST", &path).header("origin", &own).form(&more).send().await?;
        assert_eq!(nobody.status, 401, "{path}");
        assert_eq!(alice.get(&path).await?.status, 405, "{path}");
    }
    assert_eq!(story.account("alice").await?.as_deref(), Some("alice@notes.example"));
    story.house.stop().await
}

// spec: UP-47
#[tokio::test(flavor = "multi_thread")]
async fn who_disconnects_hears_truly_whether_the_provider_was_told() -> Result<()> {
    for (revocation, words, told) in [
        (Revocation::Offered, "was told", true),
        (Revocation::Absent, "was not told", false),
        (Revocation::Broken, "could not be told", false),
    ] {
        let story = Story::with(Manners { revocation, ..Manners::default() }).await?;
        let mut alice = signed_in(&story.house, ALICE).await?;
        connect(&story.site, &mut alice, "notes", "alice@notes.example").await?;
        let page = alice.get("/connections").await?;
        let answer = send(&mut alice, &page, "/notes/disconnect", &[]).await?;
        assert!(answer.status == 200 && answer.text().contains(words), "{words}: {}", answer.text());
        assert_eq!(story.account("alice").await?, None, "{words}");
        assert_eq!(!story.site.revoked().is_empty(), told, "{words}");
        // There is nothing left to end.
        assert_eq!(send(&mut alice, &page, "/notes/disconnect", &[]).await?.status, 404);
        story.house.stop().await?;
    }
    Ok(())
}
