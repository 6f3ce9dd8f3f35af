//! Clients whose identifier is the URL of a document: what is fetched, what is believed, and for how long.

use std::{
    future::ready,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use portcullis_gateway::outbound::{AddressPolicy, Ask, Dialer, Outbound, Resolve, Resolving};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::{Browser, REDIRECT, VERIFIER, parameter, tokens},
};
use serde_json::{Value, json};

use crate::{
    html,
    origin_server::{Canary, OriginServer, Reply},
    visit::{WEB, approve_and_remember, asks, consent_form, leaves_for, signed_in, target},
};

fn document(id: &str, redirect_uris: &[&str]) -> Value {
    json!({ "client_id": id, "client_name": "Notes", "redirect_uris": redirect_uris,
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"] })
}

fn is_page(answer: &Answer, status: u16) -> bool {
    answer.status == status && answer.header("location").is_none() && !asks(answer)
}

fn code_of(answer: &Answer) -> String {
    let text = answer.text();
    let codes = ["client.document_unreachable", "client.document_invalid", "client.unknown", "client.host_not_allowed"];
    codes.into_iter().find(|code| text.contains(code)).unwrap_or_default().to_owned()
}

/// Hosts that lead inside, in all the ways in which people write them.
const INSIDE: [&str; 81] = [
    // This machine.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "sub.localhost",
    "localhost.localdomain",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    // Private networks.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "167772161",
    "0xc0a80001",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.0.1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fdff:ffff::1]",
    "[fec0::1]",
    "[feff::1]",
    // Link-local, and what lives there.
    "169.254.169.254",
    "169.254.0.1",
    "169.254.170.2",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[fe80::1]",
    "[febf::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "metadata",
    "instance-data",
    // Addresses inside addresses.
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2002:c0a8:1::1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::7f00:1]",
    "[64:ff9b:1:a9fe:a9fe::]",
    "[2001:0:7f00:1::]",
    "[2001::1]",
    // Everything else that is no host of the world.
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
    "[ff0e::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[5f00::1]",
    "printer.local",
    "router.home.arpa",
    "intranet",
];

// spec: T-23
#[tokio::test(flavor = "multi_thread")]
async fn t23_no_document_is_fetched_from_inside() -> Result<()> {
    let canary = Canary::new()?;
    let house = TestGateway::start().await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let mut visit = async |id: &str| -> Result<Answer> {
        // The limit of fetches per person is not what is tried here.
        house.advance(Duration::from_secs(60)).await?;
        alice.get(&target(&house, id, WEB)).await
    };
    for host in INSIDE {
        // On the port where one may fetch, on one where the canary sits, and with the scheme that one may not use.
        for id in [
            format!("https://{host}/client.json"),
            format!("https://{host}:{}/client.json", canary.port),
            format!("http://{host}:{}/client.json", canary.port),
        ] {
            let began = std::time::Instant::now();
            let answer = visit(&id).await?;
            assert!(is_page(&answer, 503) || is_page(&answer, 400), "{id}: {} {}", answer.status, answer.text());
            // The same page for all, and nothing in it of what is there or not there.
            let code = code_of(&answer);
            assert!(["client.document_unreachable", "client.unknown"].contains(&code.as_str()), "{id}: {code}");
            for word in ["refused", "resolve", "timed out", "certificate", "not one that may be"] {
                assert!(!answer.text().contains(word), "{id}: {word}");
            }
            assert!(began.elapsed() < Duration::from_secs(3), "{id} was waited for");
        }
    }
    assert_eq!(canary.touched(), 0);
    house.stop().await
}

// spec: T-23
#[tokio::test(flavor = "multi_thread")]
async fn t23_only_a_host_that_an_administrator_named_is_reached_inside() -> Result<()> {
    let origin = OriginServer::start().await?;
    let canary = Canary::new()?;
    let id = origin.url("/client.json");
    origin.put_json("/client.json", &document(&id, &[WEB]));
    let house = TestGateway::with(&origin.settings()).await?;
    // Nobody is asked anything for a visitor who has not signed in.
    let mut nobody = Browser::new(&house.authority);
    let answer = nobody.get(&target(&house, &id, WEB)).await?;
    assert!(answer.header("location").is_some_and(|to| to.starts_with("/login")), "{}", answer.status);
    assert_eq!(origin.requests().len(), 0);

    let mut alice = signed_in(&house, ALICE).await?;
    assert!(asks(&alice.get(&target(&house, &id, WEB)).await?));
    let requests = origin.requests();
    assert_eq!(requests.len(), 1);
    // Nothing of ours and nothing of the person's went along.
    let head = requests[0].to_ascii_lowercase();
    assert!(head.starts_with("get /client.json http/1.1"), "{head}");
    for header in ["cookie:", "authorization:", "referer:", "x-forwarded", "forwarded:", "alice"] {
        assert!(!head.contains(header), "{head}");
    }
    // The name's other ports, and its address without the name, were not named.
    let port = origin.host.rsplit_once(':').context("port")?.1;
    for host in [format!("localhost:{}", canary.port), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let answer = alice.get(&target(&house, &format!("https://{host}/client.json"), WEB)).await?;
        assert!(is_page(&answer, 503), "{host}: {}", answer.status);
    }
    assert_eq!((canary.touched(), origin.requests().len()), (0, 1));
    house.stop().await?;

    // The canary does notice, where it is named.
    let settings = format!("clients: {{ metadata_documents: {{ private_hosts: [\"localhost:{}\"] }} }}", canary.port);
    let house = TestGateway::with(&settings).await?;
    let browser = signed_in(&house, ALICE).await?;
    let link = target(&house, &format!("https://localhost:{}/client.json", canary.port), WEB);
    // Nobody answers there, so the page is not waited for.
    let asking = tokio::spawn(async move { browser.clone().get(&link).await });
    let mut touched = 0;
    while touched == 0 && !asking.is_finished() {
        tokio::task::yield_now().await;
        touched += canary.touched();
    }
    assert_eq!(touched, 1);
    drop(asking);
    Ok(())
}

// spec: T-23
#[tokio::test(flavor = "multi_thread")]
async fn t23_redirects_wrong_types_and_floods_are_no_documents() -> Result<()> {
    let origin = OriginServer::start().await?;
    let canary = Canary::new()?;
    let house = TestGateway::with(&origin.settings()).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let good = |path: &str| document(&origin.url(path), &[WEB]).to_string().into_bytes();
    let json = || ("content-type", "application/json".to_owned());
    for status in [301, 302, 303, 307, 308] {
        for to in [
            format!("https://localhost:{}/", canary.port),
            format!("http://127.0.0.1:{}/", canary.port),
            origin.url("/good"),
        ] {
            origin.put("/redirect", Reply::Whole(status, vec![json(), ("location", to)], good("/redirect")));
            origin.put_json("/good", &document(&origin.url("/redirect"), &[WEB]));
            let answer = alice.get(&target(&house, &origin.url("/redirect"), WEB)).await?;
            assert!(is_page(&answer, 503) || is_page(&answer, 400), "{status}: {}", answer.status);
            house.advance(Duration::from_secs(60)).await?;
        }
    }
    assert!(!origin.requests().iter().any(|head| head.contains("/good")), "a redirect was followed");
    assert_eq!(canary.touched(), 0);

    let mut large = document(&origin.url("/large"), &[WEB]);
    large["padding"] = "x".repeat(64 * 1024).into();
    origin.put_json("/large", &large);
    origin.put("/page", Reply::Whole(200, vec![("content-type", "text/html".into())], good("/page")));
    origin.put("/untyped", Reply::Whole(200, vec![], good("/untyped")));
    let packed = vec![json(), ("content-encoding", "gzip".to_owned())];
    origin.put("/packed", Reply::Whole(200, packed, good("/packed")));
    origin.put("/list", Reply::Whole(200, vec![json()], b"[]".to_vec()));
    origin.put("/broken", Reply::Whole(200, vec![json()], b"{\"client_id\":".to_vec()));
    let twice = format!("{{\"client_id\":\"x\",{}", &String::from_utf8(good("/twice"))?[1..]);
    origin.put("/twice", Reply::Whole(200, vec![json()], twice.into_bytes()));
    for path in ["/large", "/page", "/untyped", "/packed", "/list", "/broken", "/twice"] {
        let answer = alice.get(&target(&house, &origin.url(path), WEB)).await?;
        assert!(is_page(&answer, 503) || is_page(&answer, 400), "{path}: {} {}", answer.status, answer.text());
        html::assert_harmless(&answer.text(), None);
    }
    house.advance(Duration::from_secs(60)).await?;
    origin.put(
        "/typed",
        Reply::Whole(200, vec![("content-type", "application/vnd.x+json; charset=utf-8".into())], good("/typed")),
    );
    assert!(asks(&alice.get(&target(&house, &origin.url("/typed"), WEB)).await?));
    house.stop().await
}

/// A name server that says one thing first and another when asked again.
struct Rebinding {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("no test panics while it holds this");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(ready(io::Result::Ok(answer)))
    }
}

// spec: T-23
#[tokio::test(flavor = "multi_thread")]
async fn t23_a_name_that_resolves_to_an_inner_address_is_not_dialled() -> Result<()> {
    let canary = Canary::new()?;
    let inner = SocketAddr::from(([127, 0, 0, 1], canary.port));
    let fetch = async |answers: Vec<Vec<SocketAddr>>| -> Result<(String, usize)> {
        let resolver = Arc::new(Rebinding { answers: Mutex::new(answers), asked: AtomicUsize::new(0) });
        let dialer = Dialer::new([])?.with_resolver(resolver.clone());
        let outbound = Outbound::new(dialer, AddressPolicy::global_only());
        let ask = Ask::get("https://evil.example/client.json", "application/json", 1024);
        let error = outbound.fetch(ask).await.err().context("nothing is there")?;
        Ok((error.detail().to_owned(), resolver.asked.load(Ordering::SeqCst)))
    };
    for literal in INSIDE.into_iter().filter_map(|host| host.trim_matches(['[', ']']).parse().ok()) {
        let (detail, _) = fetch(vec![vec![SocketAddr::new(literal, 443)]]).await?;
        assert!(detail.contains("not one that may be reached"), "{literal}: {detail}");
    }
    // One bad address among good ones condemns the name, wherever it stands.
    let outer: SocketAddr = "192.88.98.1:443".parse()?;
    for answer in [vec![inner], vec![outer, inner], vec![inner, outer]] {
        let (detail, asked) = fetch(vec![answer]).await?;
        assert!(detail.contains("not one that may be reached") && asked == 1, "{detail} {asked}");
    }
    // A good answer first and an inner one after it: the name is asked once, so the second never counts.
    let (_, asked) = fetch(vec![vec![], vec![inner]]).await?;
    assert_eq!(asked, 1);
    assert_eq!(canary.touched(), 0);
    Ok(())
}

// spec: T-24
#[tokio::test(flavor = "multi_thread")]
async fn t24_a_document_speaks_for_its_own_url_only() -> Result<()> {
    let origin = OriginServer::start().await?;
    let house = TestGateway::with(&origin.settings()).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let id = origin.url("/client.json");
    let spelled = [
        origin.url("/other.json"),
        origin.url("/client.json/"),
        origin.url("/client.json?"),
        origin.url("/client.json#"),
        origin.url("/Client.json"),
        origin.url("/%63lient.json"),
        origin.url("/./client.json"),
        id.replace("localhost", "LOCALHOST"),
        id.replace("localhost", "localhost."),
        id.replace("https:", "HTTPS:"),
        id.replace("https:", "http:"),
        format!(" {id}"),
        "https://claude.ai/client.json".to_owned(),
        String::new(),
    ];
    let page = |answer: &Answer| is_page(answer, 400) && code_of(answer) == "client.document_invalid";
    for claimed in spelled {
        origin.put_json("/client.json", &document(&claimed, &[WEB]));
        let answer = alice.get(&target(&house, &id, WEB)).await?;
        assert!(page(&answer), "{claimed}: {} {}", answer.status, answer.text());
    }
    house.advance(Duration::from_secs(300)).await?;
    for (member, value) in [
        ("client_id", Value::Null),
        ("client_secret", json!("s")),
        ("client_secret_expires_at", json!(0)),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(["javascript:alert(1)"])),
        ("client_name", Value::Null),
        ("client_name", json!({ "a": 1 })),
    ] {
        let mut bad = document(&id, &[WEB]);
        bad[member] = value;
        origin.put_json("/client.json", &bad);
        let answer = alice.get(&target(&house, &id, WEB)).await?;
        assert!(page(&answer), "{bad}: {} {}", answer.status, answer.text());
    }
    house.advance(Duration::from_secs(300)).await?;
    // What is asked for under another spelling is another client, or none: it is never fetched at all.
    origin.put_json("/client.json", &document(&id, &[WEB]));
    let before = origin.requests().len();
    for asked in [
        format!("{id}#fragment"),
        id.replace("https://", "https://user@"),
        id.replace("https://", "https://user:pass@"),
        origin.url("/x/../client.json"),
        origin.url("/./client.json"),
        origin.url("/%2e/client.json"),
        origin.url("/%2E%2E/client.json"),
        id.replace("localhost", "LOCALHOST"),
        id.replace("https:", "HTTPS:"),
        id.replace("https:", "http:"),
        id.replace("/client.json", ""),
        id.replace("/client.json", "/"),
        id.replace("https://", "https:\\\\"),
        format!("{id} "),
    ] {
        let answer = alice.get(&target(&house, &asked, WEB)).await?;
        assert!(is_page(&answer, 400), "{asked}: {} {}", answer.status, answer.text());
    }
    assert_eq!(origin.requests().len(), before);

    // An address that the document does not list is not the client's.
    let answer = alice.get(&target(&house, &id, "https://evil.example/callback")).await?;
    assert!(is_page(&answer, 400), "{}", answer.status);
    let answer = alice.get(&target(&house, &id, WEB)).await?;
    assert!(asks(&answer), "{} {}", answer.status, answer.text());
    assert!(html::text(&answer.text()).contains("Published by localhost"));
    house.stop().await
}

// spec: T-25
#[tokio::test(flavor = "multi_thread")]
async fn t25_a_document_that_changed_is_asked_about_again() -> Result<()> {
    let origin = OriginServer::start().await?;
    let house = TestGateway::with(&origin.settings()).await?;
    let id = origin.url("/client.json");
    let link = target(&house, &id, WEB);
    let mut alice = signed_in(&house, ALICE).await?;
    origin.put_json("/client.json", &document(&id, &[WEB]));
    assert!(leaves_for(&approve_and_remember(&mut alice, &link).await?).is_some());
    assert!(leaves_for(&alice.get(&link).await?).is_some(), "the consent was not remembered");

    let evil = "https://evil.example/callback";
    let mut with_keys = document(&id, &[WEB, evil]);
    with_keys["jwks_uri"] = "https://evil.example/keys".into();
    let mut renamed = with_keys.clone();
    renamed["client_name"] = "Notes of yours".into();
    for swapped in [document(&id, &[WEB, evil]), with_keys, renamed] {
        house.advance(Duration::from_secs(601)).await?;
        origin.put_json("/client.json", &swapped);
        let before = house.events("client.document").await?.len();
        // Nobody is led to the new address, and the old one is asked about again.
        let page = alice.get(&target(&house, &id, evil)).await?;
        assert!(asks(&page), "{} {}", page.status, page.text());
        let page = alice.get(&link).await?;
        assert!(asks(&page), "{} {}", page.status, page.text());
        let events = house.events("client.document").await?;
        assert_eq!(events.len(), before + 1, "{events:?}");
        assert!(leaves_for(&approve_and_remember(&mut alice, &link).await?).is_some());
        assert!(leaves_for(&alice.get(&link).await?).is_some());
    }
    // What changes nothing that a consent rests on is not asked about.
    let mut cosmetic = document(&id, &[WEB, evil]);
    cosmetic["jwks_uri"] = "https://evil.example/keys".into();
    cosmetic["client_name"] = "Notes of yours".into();
    cosmetic["software_version"] = "2".into();
    house.advance(Duration::from_secs(601)).await?;
    origin.put_cached("/client.json", &cosmetic, "max-age=300");
    assert!(leaves_for(&alice.get(&link).await?).is_some());

    // Swapped while a page is open: the answer was given to something else.
    let mut bob = signed_in(&house, BOB).await?;
    let open = consent_form(&bob.get(&link).await?)?;
    house.advance(Duration::from_secs(301)).await?;
    origin.put_json("/client.json", &document(&id, &[WEB]));
    assert!(asks(&alice.get(&link).await?));
    let answer = bob.submit(&open, &[("decision", "approve")]).await?;
    assert_eq!((answer.status, answer.header("location")), (400, None), "{}", answer.text());
    assert!(answer.text().contains("client.changed"), "{}", answer.text());
    house.stop().await
}

// spec: T-25
#[tokio::test(flavor = "multi_thread")]
async fn t25_a_document_is_kept_neither_too_short_nor_too_long() -> Result<()> {
    let origin = OriginServer::start().await?;
    let house = TestGateway::with(&origin.settings()).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let fetches =
        |path: &str| origin.requests().iter().filter(|head| head.starts_with(&format!("GET {path} "))).count();
    for cache in ["no-store", "max-age=0", "no-cache"] {
        let path = format!("/{}", cache.replace('=', "-"));
        origin.put_cached(&path, &document(&origin.url(&path), &[WEB]), cache);
        for _ in 0..3 {
            assert!(asks(&alice.get(&target(&house, &origin.url(&path), WEB)).await?));
        }
        // At least a minute, or every page view would be a fetch that a stranger causes.
        house.advance(Duration::from_secs(59)).await?;
        assert!(asks(&alice.get(&target(&house, &origin.url(&path), WEB)).await?));
        assert_eq!(fetches(&path), 1, "{cache}");
        house.advance(Duration::from_secs(600)).await?;
        assert!(asks(&alice.get(&target(&house, &origin.url(&path), WEB)).await?));
        assert_eq!(fetches(&path), 2, "{cache}");
    }
    origin.put_cached("/long", &document(&origin.url("/long"), &[WEB]), "max-age=315360000");
    let link = target(&house, &origin.url("/long"), WEB);
    assert!(asks(&alice.get(&link).await?));
    house.advance(Duration::from_secs(11 * 3600)).await?;
    assert!(asks(&alice.get(&link).await?));
    assert_eq!(fetches("/long"), 1);
    house.advance(Duration::from_secs(11 * 3600)).await?;
    assert!(asks(&alice.get(&link).await?));
    house.advance(Duration::from_secs(2 * 3600 + 1)).await?;
    assert!(asks(&alice.get(&link).await?));
    assert_eq!(fetches("/long"), 2, "a day is the most");

    // A refusal is not kept: what was mended works at once.
    origin.put_cached("/mended", &json!({ "client_id": "x" }), "max-age=86400");
    let link = target(&house, &origin.url("/mended"), WEB);
    assert!(is_page(&alice.get(&link).await?, 400));
    origin.put_json("/mended", &document(&origin.url("/mended"), &[WEB]));
    assert!(asks(&alice.get(&link).await?));
    house.stop().await
}

// spec: T-25
#[tokio::test(flavor = "multi_thread")]
async fn t25_ending_one_sign_in_leaves_others_of_the_same_program_alone() -> Result<()> {
    let origin = OriginServer::start().await?;
    let house = TestGateway::with(&origin.settings()).await?;
    let id = origin.url("/client.json");
    origin.put_json("/client.json", &document(&id, &[REDIRECT]));
    let mut held = Vec::new();
    for login in [ALICE, BOB] {
        let back = signed_in(&house, login).await?.authorize(&target(&house, &id, REDIRECT), login, "approve").await?;
        let code = parameter(&back, "code").context("code")?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", &id),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        held.push(tokens(&house.request("POST", "/oauth/token").form(&form).send().await?)?);
    }
    let call = |token: &str| house.call("sample", token, "echo", json!({ "message": "hi" }));
    let form = [("token", held[0].refresh.as_deref().context("refresh token")?), ("client_id", &id)];
    assert_eq!(house.request("POST", "/oauth/revoke").form(&form).send().await?.status, 200);
    assert_eq!(call(&held[0].access).send().await?.status, 401);
    assert_eq!(call(&held[1].access).send().await?.status, 200);
    house.stop().await
}

// spec: T-26
#[tokio::test(flavor = "multi_thread")]
async fn t26_a_host_that_does_not_answer_is_told_from_a_document_that_is_wrong() -> Result<()> {
    let origin = OriginServer::start().await?;
    let house = TestGateway::with(&origin.settings()).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let empty = |status| Reply::Whole(status, vec![], Vec::new());
    for (reply, status, code) in [
        (empty(500), 503, "client.document_unreachable"),
        (empty(502), 503, "client.document_unreachable"),
        (empty(503), 503, "client.document_unreachable"),
        (empty(403), 503, "client.document_unreachable"),
        (empty(429), 503, "client.document_unreachable"),
        (Reply::Cut, 503, "client.document_unreachable"),
        (Reply::Silence, 503, "client.document_unreachable"),
        (empty(404), 400, "client.document_invalid"),
        (empty(410), 400, "client.document_invalid"),
        (empty(204), 400, "client.document_invalid"),
    ] {
        origin.put("/client.json", reply.clone());
        let began = std::time::Instant::now();
        let answer = alice.get(&target(&house, &origin.url("/client.json"), WEB)).await?;
        assert!(is_page(&answer, status), "{reply:?}: {} {}", answer.status, answer.text());
        assert_eq!(code_of(&answer), code, "{reply:?}");
        // The settings of this house say one second.
        assert!(began.elapsed() < Duration::from_secs(4), "{reply:?}: {:?}", began.elapsed());
    }
    // Nobody listens there at all.
    let gone = Canary::new()?.port;
    let answer = alice.get(&target(&house, &format!("https://localhost:{gone}/client.json"), WEB)).await?;
    assert!(is_page(&answer, 503), "{}", answer.status);
    assert_eq!(house.events("client.document").await?.len(), 0);
    house.stop().await
}

// spec: T-26
#[tokio::test(flavor = "multi_thread")]
async fn t26_the_last_good_copy_serves_for_a_day_and_no_longer() -> Result<()> {
    let origin = OriginServer::start().await?;
    let house = TestGateway::with(&origin.settings()).await?;
    let id = origin.url("/client.json");
    let link = target(&house, &id, WEB);
    let mut alice = signed_in(&house, ALICE).await?;
    origin.put_json("/client.json", &document(&id, &[WEB]));
    assert!(asks(&alice.get(&link).await?));

    origin.put("/client.json", Reply::Whole(403, vec![], Vec::new()));
    house.advance(Duration::from_secs(3600)).await?;
    assert!(asks(&alice.get(&link).await?), "the last good copy was not used");
    // It is the copy that serves, not a looser reading of it.
    let answer = alice.get(&target(&house, &id, "https://evil.example/callback")).await?;
    assert!(is_page(&answer, 400), "{}", answer.status);
    // A wrong document is wrong, whatever stood there before.
    origin.put_json("/client.json", &json!({ "client_id": "https://evil.example/c" }));
    assert!(is_page(&alice.get(&link).await?, 400));
    origin.put("/client.json", Reply::Cut);
    assert!(asks(&alice.get(&link).await?));
    for _ in 0..3 {
        house.advance(Duration::from_secs(8 * 3600)).await?;
        alice.get("/").await?;
    }
    let answer = alice.get(&link).await?;
    assert!(is_page(&answer, 503) && code_of(&answer) == "client.document_unreachable", "{}", answer.status);
    origin.put_json("/client.json", &document(&id, &[WEB]));
    assert!(asks(&alice.get(&link).await?), "it did not recover");
    house.stop().await
}
