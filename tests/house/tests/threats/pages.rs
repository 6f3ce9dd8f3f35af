//! Every page: what it forbids the browser, and that nothing foreign on it is more than text.

use anyhow::{Context, Result};
use portcullis_base::{PersonId, ServerName};
use portcullis_gateway::system::SystemRng;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Answer,
    person::Browser,
};
use portcullis_store::{NewPerson, ServerRow};

use crate::{
    html,
    origin_server::{OriginServer, Reply},
    visit::{WEB, asks, changed, public, register, signed_in, target},
};

/// Text that becomes markup wherever somebody forgets to escape it: in an element, an attribute, a title, a script.
pub const POLYGLOTS: [&str; 6] = [
    "\"><svg onload=document.documentElement.dataset.ran=1>",
    "'><img src=x onerror=document.documentElement.dataset.ran=1>",
    "</title><script>document.documentElement.dataset.ran=1</script>",
    "--></textarea><iframe srcdoc='<script>1</script>'>",
    "\" autofocus onfocus=document.documentElement.dataset.ran=1 x=\"",
    "{{7*7}}${7*7}<b>bold</b>&lt;i&gt;",
];

/// A house in which every text that somebody else may choose is `text`; and the pages that show it.
pub struct Hostile {
    pub house: TestGateway,
    /// An administrator, whose pages show everybody's things.
    pub admin: Browser,
    pub pages: Vec<(&'static str, String)>,
}

impl Hostile {
    pub async fn with(text: &str) -> Result<Self> {
        let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
        let entry = serde_json::json!({ "name": "hostile", "url": "http://127.0.0.1:9/mcp", "description": text });
        let row = ServerRow {
            name: ServerName::parse("hostile").map_err(|error| anyhow::anyhow!("{error}"))?,
            entry_json: entry.to_string(),
            created_at: house.clock.now_for_rows(),
            created_by: text.into(),
        };
        house.app.store.put_server(&row, house.clock.now_for_rows()).await?;
        let hash = house.app.store.person_by_name(ALICE.0).await?.context("alice")?.1;
        let person = NewPerson {
            id: PersonId::random(&SystemRng::new()),
            name: text.into(),
            display_name: text.into(),
            email: Some(text.into()),
            groups: vec![text.into()],
            password_hash: hash,
            admin_at: Some(house.clock.now_for_rows()),
        };
        house.app.store.create_person(&person, house.clock.now_for_rows()).await?;
        house.app.feed.catch_up().await.map_err(|error| anyhow::anyhow!("{error}"))?;

        let redirect = "https://app.example/cb?x='-alert(1)-'";
        let mut metadata = public(text, &[redirect]);
        metadata["software_id"] = text.into();
        metadata["contacts"] = vec![text].into();
        metadata["logo_uri"] = "https://app.example/logo.svg".into();
        let registered = register(&house, &metadata).await?;
        let client = registered["client_id"].as_str().context("client_id")?;
        // Somebody lets the client in, so that the home pages show it.
        let mut admin = signed_in(&house, (text, ALICE.1)).await?;
        let state = ("state", Some(text));
        let resource = format!("http://{}/mcp/hostile", house.authority);
        let asking = changed(&house, client, redirect, &[state, ("resource", Some(&resource))]);
        for browser in [&mut signed_in(&house, ALICE).await?, &mut admin] {
            let page = browser.get(&asking).await?;
            anyhow::ensure!(asks(&page), "{}", page.text());
            let form = crate::visit::consent_form(&page)?;
            let answer = browser.submit(&form, &[("decision", "approve")]).await?;
            anyhow::ensure!(answer.status == 303, "{}", answer.text());
        }
        // Offboarded under this name, with a report that says so.
        let left = house.person((&format!("left {text}"), ALICE.1), false, &[]).await?;
        let reported = crate::visit::offboard(&house, &left).await?;
        let admin_id = house.app.store.person_by_name(text).await?.context("admin")?.0.id;
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let pages = vec![
            ("home", "/".to_owned()),
            ("consent", asking),
            ("what cannot be had", changed(&house, client, redirect, &[state, ("scope", Some(text))])),
            ("unknown client", target(&house, text, WEB)),
            ("unknown address", target(&house, client, text)),
            ("no such page", format!("/{encoded}?{encoded}={encoded}")),
            ("sign out", format!("/logout?return_to={encoded}")),
            ("done", format!("/?done={encoded}")),
            ("no invitation", format!("/welcome/{encoded}")),
            ("my sign-ins", format!("/account?done={encoded}")),
            ("people", "/admin/people".to_owned()),
            ("people found", format!("/admin/people?q={encoded}&page={encoded}")),
            ("person", format!("/admin/people/{admin_id}")),
            ("leaving", format!("/admin/people/{admin_id}/offboard")),
            ("no such person", format!("/admin/people/{encoded}")),
            ("groups", "/admin/groups".to_owned()),
            ("roles", "/admin/roles".to_owned()),
            ("providers", "/admin/providers".to_owned()),
            ("service accounts", "/admin/service-accounts".to_owned()),
            ("reports", "/admin/offboarding".to_owned()),
            ("report", reported),
        ];
        Ok(Self { house, admin, pages })
    }
}

/// The time for rows that a test writes itself.
trait Now {
    fn now_for_rows(&self) -> portcullis_base::Timestamp;
}

impl Now for portcullis_base::ManualClock {
    fn now_for_rows(&self) -> portcullis_base::Timestamp {
        portcullis_base::Clock::now(self)
    }
}

fn directive<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let policy = answer.header("content-security-policy")?;
    policy.split(';').map(str::trim).find_map(|part| part.strip_prefix(name)).map(str::trim)
}

fn assert_sealed(what: &str, answer: &Answer) {
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{what}: {answer:?}");
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "content-security-policy").count(), 1, "{what}");
    for (name, value) in [
        ("default-src", "'none'"),
        ("frame-ancestors", "'none'"),
        ("script-src", "'self'"),
        ("style-src", "'self'"),
        ("img-src", "'self'"),
        ("base-uri", "'none'"),
        ("require-trusted-types-for", "'script'"),
    ] {
        assert_eq!(directive(answer, name), Some(value), "{what}: {name}");
    }
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}: {name}");
    }
}

// spec: T-16
#[tokio::test(flavor = "multi_thread")]
async fn t16_every_page_refuses_to_be_framed() -> Result<()> {
    let hostile = Hostile::with("plain").await?;
    let (house, mut admin) = (hostile.house, hostile.admin);
    let mut nobody = Browser::new(&house.authority);
    for (what, path) in &hostile.pages {
        let answer = admin.get(path).await?;
        assert_sealed(what, &answer);
        let answer = nobody.get(path).await?;
        if answer.header("location").is_none() {
            assert_sealed(what, &answer);
        }
    }
    for path in ["/login", "/logout"] {
        assert_sealed(path, &nobody.get(path).await?);
    }
    assert_sealed("failed sign-in", &nobody.sign_in("alice", "wrong").await?);
    assert_sealed("forged form", &admin.request("POST", "/logout").form(&[("form_token", "x")]).send().await?);
    assert_sealed("no form", &admin.request("POST", "/oauth/authorize").body("x").send().await?);
    let empty = TestGateway::without_people("").await?;
    let link = format!("/welcome/{}", empty.invitation.as_deref().context("invitation")?);
    assert_sealed("welcome", &Browser::new(&empty.authority).get(&link).await?);
    empty.stop().await?;

    // After consent the form goes on to the client, and from there perhaps to another web server or a program on this
    // computer: browsers apply the policy to the whole way. It goes to no other kind of address, and every other form
    // stays here.
    let consent = hostile.pages.iter().find(|(what, _)| *what == "consent").context("consent")?.1.clone();
    let page = admin.get(&consent).await?;
    let targets: Vec<_> = directive(&page, "form-action").unwrap_or_default().split(' ').collect();
    assert!(targets.starts_with(&["'self'", "https://app.example"]), "{targets:?}");
    for target in &targets[2..] {
        assert!(["https:", "http://127.0.0.1:*", "http://localhost:*"].contains(target), "{targets:?}");
    }
    assert_eq!(directive(&admin.get("/").await?, "form-action"), Some("'self'"));
    house.stop().await
}

// spec: T-31
#[tokio::test(flavor = "multi_thread")]
async fn t31_a_clients_picture_is_neither_fetched_nor_shown() -> Result<()> {
    let origin = OriginServer::start().await?;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec();
    origin.put("/logo.svg", Reply::Whole(200, vec![("content-type", "image/svg+xml".into())], svg));
    let (logo, id) = (origin.url("/logo.svg"), origin.url("/client.json"));
    let mut document = public("Notes", &[WEB]);
    document["client_id"] = id.clone().into();
    for field in ["logo_uri", "client_uri", "policy_uri", "tos_uri"] {
        document[field] = logo.clone().into();
    }
    origin.put_json("/client.json", &document);
    let house = TestGateway::with(&origin.settings()).await?;
    let mut registered = document.clone();
    registered.as_object_mut().context("object")?.remove("client_id");
    let registered = register(&house, &registered).await?;
    let registered = registered["client_id"].as_str().context("client_id")?;
    let mut alice = signed_in(&house, ALICE).await?;
    for client in [registered, &id] {
        let link = target(&house, client, WEB);
        let page = alice.get(&link).await?;
        assert!(asks(&page), "{}", page.text());
        html::assert_harmless(&page.text(), None);
        assert!(!page.text().contains("/logo.svg"));
        assert_eq!(directive(&page, "img-src"), Some("'self'"));
        crate::visit::approve_and_remember(&mut alice, &link).await?;
    }
    let home = alice.get("/").await?;
    html::assert_harmless(&home.text(), None);
    assert!(home.text().contains("Notes") && !home.text().contains("/logo.svg"));
    // Only the document was asked for.
    assert!(origin.requests().iter().all(|head| head.starts_with("GET /client.json ")), "{:?}", origin.requests());
    // Our own pictures are no documents that could run anything, should somebody open one by itself.
    for element in html::elements(&home.text()) {
        for path in ["src", "href"].into_iter().filter_map(|name| element.attribute(name)) {
            if path.starts_with("/assets/") {
                let asset = alice.get(path).await?;
                assert_eq!((asset.status, asset.header("x-content-type-options")), (200, Some("nosniff")), "{path}");
                assert!(
                    asset.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")),
                    "{path}"
                );
            }
        }
    }
    house.stop().await
}

// spec: T-93
#[tokio::test(flavor = "multi_thread")]
async fn t93_hostile_text_in_every_stored_string_stays_text() -> Result<()> {
    for text in POLYGLOTS {
        let Hostile { house, mut admin, pages } = Hostile::with(text).await?;
        // Line by line the text is there, as text; nothing of it became an element, an attribute or an address.
        for (what, path) in &pages {
            let page = admin.get(path).await?;
            assert!([200, 400, 404].contains(&page.status), "{what}: {}", page.status);
            html::assert_harmless(&page.text(), Some("https://app.example/cb"));
            if [
                "home",
                "consent",
                "unknown client",
                "my sign-ins",
                "people",
                "person",
                "leaving",
                "groups",
                "roles",
                "reports",
                "report",
            ]
            .contains(what)
            {
                let seen = html::text(&page.text());
                let start: String = text.chars().take(30).collect();
                assert!(seen.contains(&start), "{what}: the text is not on the page, so nothing was tried\n{seen}");
            }
        }
        let mut nobody = Browser::new(&house.authority);
        let failed = nobody.sign_in(text, "wrong").await?;
        html::assert_harmless(&failed.text(), None);
        assert!(
            html::elements(&failed.text())
                .iter()
                .any(|e| e.attribute("value").is_some_and(|v| v.starts_with(&text[..20])))
        );
        // Answers for programs say what they are, and a browser is not to guess.
        for path in ["/oauth/token", "/oauth/register", "/oauth/introspect", "/oauth/revoke"] {
            let answer = house.request("POST", path).form(&[("client_id", text), ("token", text)]).send().await?;
            assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        }
        house.stop().await?;
    }
    Ok(())
}
