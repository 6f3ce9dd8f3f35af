//! Calls that wait for a word, as people meet them.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode, header};
use portcullis_audit::Actor;
use portcullis_base::{ApprovalId, Class, Classes, ClientId, Digest, PersonId, ServerName};
use portcullis_gateway::approvals::{About, Asked, NotRun, Stored, Waiting, Wanted};
use portcullis_policy::{
    Ask, Assurance, Own, Target, Who,
    approval::{By, SpendError, State},
};
use portcullis_store::Person;

use crate::house::{Answer, Browser, House, ISSUER};

/// A call of somebody that waits.
pub struct Scene {
    person: PersonId,
    client: ClientId,
    server: ServerName,
    definition: Digest,
    arguments: String,
}

pub const REFUND: &str = r#"{"charge":"ch_1","amount":100}"#;

impl Scene {
    pub fn of(person: &Person, arguments: &str) -> Self {
        Self {
            person: person.id.clone(),
            client: ClientId::new("an-agent"),
            server: ServerName::parse("sample").unwrap(),
            definition: Digest::of(b"definition"),
            arguments: arguments.to_owned(),
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            person: &self.person,
            client: &self.client,
            server: &self.server,
            target: Target::Tool("refund"),
            definition: Some(&self.definition),
            arguments: Some(&self.arguments),
        }
    }

    async fn asked(&self, house: &House, demands: &[Arc<Ask>]) -> Asked {
        let told = Stored {
            arguments: None,
            through: None,
            description: Some("Refunds. <script>alert(1)</script> \u{202e}Always safe.".into()),
            evidence: vec!["Its name has “refund” in it.".into()],
        };
        let about = About {
            actor: Actor::default(),
            classes: Classes::from(Class::Financial),
            told,
            rule: "refunds",
            revision: "r1",
        };
        house.app.approvals.ask(&self.wanted(), about, demands).await.unwrap()
    }

    pub async fn waiting(&self, house: &House, demands: &[Arc<Ask>]) -> Waiting {
        match self.asked(house, demands).await {
            Asked::Waiting(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }
}

pub fn plain() -> Vec<Arc<Ask>> {
    vec![Arc::new(Ask::plain("refunds".into()))]
}

fn others(quorum: u32) -> Vec<Arc<Ask>> {
    let approvers = [Who::Group("finance".into())].into();
    vec![Arc::new(Ask { approvers, quorum, own: Own::Never, ..Ask::plain("refunds".into()) })]
}

pub async fn state(house: &House, id: &ApprovalId) -> State {
    house.app.store.approval(id).await.unwrap().unwrap().approval.state
}

fn path(waiting: &Waiting) -> String {
    waiting.link.strip_prefix(ISSUER).unwrap().to_owned()
}

async fn approve(browser: &Browser<'_>, path: &str, more: &[(&str, &str)]) -> Answer {
    let token = browser.get(path).await.field("form_token");
    let mut form = vec![("form_token", token.as_str()), ("word", "approve")];
    form.extend(more);
    browser.post(path, &form).await
}

// spec: T-80, T-81, T-82
#[tokio::test]
async fn person_approves_their_own_agents_call_and_it_runs_once_as_it_was() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let scene = Scene::of(&ada, REFUND);
    let waiting = scene.waiting(&house, &plain()).await;
    let browser = house.signed_in("ada").await;

    assert!(browser.get("/").await.text.contains("1 call waits for your word"));
    let inbox = browser.get("/approvals").await;
    assert!(inbox.text.contains("refund") && inbox.text.contains(&path(&waiting)), "{}", inbox.text);

    let decided = house.app.approvals.decided(&waiting.id, Duration::from_secs(60));
    let page = path(&waiting);
    let (decided, answer) = tokio::join!(decided, approve(&browser, &page, &[]));
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let decided = decided.unwrap();
    assert_eq!((decided.state, decided.by.as_deref()), (State::Granted, Some("ada")));

    // The same call with its members in another order finds it, another one does not.
    let again = Scene { arguments: r#"{"amount":1e2,"charge":"ch_1"}"#.into(), ..Scene::of(&ada, "") };
    assert_eq!(again.waiting(&house, &plain()).await.id, waiting.id);
    let other = Scene::of(&ada, r#"{"charge":"ch_1","amount":101}"#);
    let refused = house.app.approvals.run(&waiting.id, &other.wanted()).await;
    assert!(matches!(refused, Err(NotRun::Law(SpendError::Changed))), "{refused:?}");

    let wanted = again.wanted();
    let run = || house.app.approvals.run(&waiting.id, &wanted);
    let (one, two) = tokio::join!(run(), run());
    let mut started: Vec<_> = [one, two].into_iter().filter_map(Result::ok).collect();
    assert_eq!(started.len(), 1);
    let started = started.pop().unwrap();
    assert_eq!(started.spent.by(), &By::Approval(waiting.id.clone()));
    assert_eq!(started.stored.arguments.as_deref(), Some(REFUND), "what was approved is what runs");
    assert!(house.app.approvals.done(&waiting.id, "success").await.unwrap());
    assert_eq!(state(&house, &waiting.id).await, State::Done);
    assert!(!house.database().contains("ch_1"), "what waits is sealed");
    let events = house.events();
    for kind in ["approval.asked", "approval.voted", "approval.granted"] {
        assert!(events.iter().any(|event| event == kind), "{kind} in {events:?}");
    }
}

// spec: T-82
#[tokio::test]
async fn token_of_a_program_is_turned_away_and_so_is_somebody_else() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    house.person("eve").await;
    let waiting = Scene::of(&ada, REFUND).waiting(&house, &plain()).await;
    let browser = house.signed_in("ada").await;
    let (path, token) = (path(&waiting), browser.get("/approvals").await.field("form_token"));
    let api = format!("/api/v1{path}");
    let form = crate::house::encode(&[("form_token", &token), ("word", "approve")]);
    for (method, at) in [("POST", &path), ("GET", &path), ("GET", &api)] {
        // Even together with the cookie of a person: whoever has the token has it from a program.
        for cookie in [None, browser.cookie()] {
            let mut request = Request::builder().method(method).uri(at.as_str());
            request = request.header(header::AUTHORIZATION, "Bearer some-token").header("origin", ISSUER);
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(cookie) = cookie {
                request = request.header(header::COOKIE, cookie);
            }
            let answer = house.send(request.body(Body::from(form.clone())).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {at}: {}", answer.text);
        }
    }
    let eve = house.signed_in("eve").await;
    let token = eve.get("/approvals").await.field("form_token");
    assert_eq!(eve.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(eve.get(&api).await.status, StatusCode::NOT_FOUND);
    let form = [("form_token", token.as_str()), ("word", "approve")];
    assert_eq!(eve.post(&path, &form).await.status, StatusCode::NOT_FOUND);
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let token = browser.get(&path).await.field("form_token");
    let form = [("form_token", token.as_str()), ("word", "approve")];
    assert_eq!(browser.post_from(&foreign, &path, &form).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post(&path, &[("word", "approve")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(state(&house, &waiting.id).await, State::Pending);
    assert_eq!(browser.get(&api).await.json()["arguments"], REFUND);
}

// spec: T-82
#[tokio::test]
async fn where_somebody_else_has_to_agree_ones_own_word_does_not_count_and_two_are_two() {
    let house = House::new().await;
    let ada = house.person_with("ada", None, &["finance"]).await;
    house.person_with("bob", None, &["finance"]).await;
    house.person_with("cy", None, &["finance"]).await;
    let waiting = Scene::of(&ada, REFUND).waiting(&house, &others(2)).await;
    let path = path(&waiting);

    let browser = house.signed_in("ada").await;
    assert!(browser.get(&path).await.text.contains("somebody else has to approve it"));
    assert_eq!(approve(&browser, &path, &[]).await.status, StatusCode::FORBIDDEN);

    let bob = house.signed_in("bob").await;
    assert!(bob.get(&path).await.text.contains("2 of 2 missing"));
    for _ in 0..2 {
        // A double click is one word.
        let answer = approve(&bob, &path, &[("ahead", "hour")]).await;
        assert_eq!(answer.location(), format!("{path}?done=counted"), "{}", answer.text);
    }
    assert_eq!(state(&house, &waiting.id).await, State::Pending);
    let cy = house.signed_in("cy").await;
    assert!(cy.get(&path).await.text.contains("1 of 2 missing"));
    let answer = approve(&cy, &path, &[("ahead", "hour")]).await;
    assert_eq!(answer.location(), format!("{path}?done=not-ahead"), "others agreed to one call only");
    assert_eq!(state(&house, &waiting.id).await, State::Granted);
    let answer = approve(&cy, &path, &[]).await;
    assert_eq!(answer.location(), format!("{path}?done=approved"), "the second click shows what the first did");
}

// spec: T-82
#[tokio::test]
async fn old_sign_in_approves_nothing_but_may_refuse() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let waiting = Scene::of(&ada, REFUND).waiting(&house, &plain()).await;
    let browser = house.signed_in("ada").await;
    house.clock.advance(Duration::from_mins(6));
    let page = browser.get(&path(&waiting)).await;
    assert!(page.text.contains("max_age=300") && !page.text.contains("data-guarded"), "{}", page.text);
    let answer = approve(&browser, &path(&waiting), &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("max_age=300"), "{}", answer.text);
    assert_eq!(state(&house, &waiting.id).await, State::Pending);

    let form =
        [("form_token", page.field("form_token")), ("word", "refuse".into()), ("why", "not \u{202e}today".into())];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.post(&path(&waiting), &form).await.status, StatusCode::SEE_OTHER);
    let decided = house.app.approvals.decided(&waiting.id, Duration::ZERO).await.unwrap();
    assert_eq!((decided.state, decided.why.as_deref()), (State::Refused, Some("not \u{fffd}today")));
    // spec: T-84: whoever said no is not asked again at once.
    let again = Scene::of(&ada, REFUND).asked(&house, &plain()).await;
    assert!(matches!(again, Asked::Refused { .. }), "{again:?}");
}

// spec: T-85
#[tokio::test]
async fn looking_changes_nothing() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let waiting = Scene::of(&ada, REFUND).waiting(&house, &plain()).await;
    let browser = house.signed_in("ada").await;
    let before = house.app.store.approval(&waiting.id).await.unwrap();
    let path = path(&waiting);
    for query in ["", "?word=approve", "?done=approved&word=approve", "/withdraw"] {
        let answer = browser.get(&format!("{path}{query}")).await;
        let expected = if query == "/withdraw" { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::OK };
        assert_eq!(answer.status, expected);
    }
    assert_eq!(house.app.store.approval(&waiting.id).await.unwrap(), before);
    assert!(house.browser().get(&path).await.location().starts_with("/login?return_to="));
}

// spec: T-83
#[tokio::test]
async fn page_says_what_would_happen_whatever_the_arguments_say() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let hostile = format!(
        r#"{{"to":"mallory@evil.example","amount":9007199254740993,"memo":"</dd><h1>Approved</h1>\u202egnp\n\n\n\n\n\n\nhidden line","list":{},"blob":"{}END"}}"#,
        serde_json::json!((0..300).map(|n| format!("entry {n}")).collect::<Vec<_>>()),
        "A".repeat(5_000),
    );
    let waiting = Scene::of(&ada, &hostile).waiting(&house, &plain()).await;
    let browser = house.signed_in("ada").await;
    let page = browser.get(&path(&waiting)).await.text;
    for needed in [
        "mallory@evil.example",
        "9007199254740993",
        "&lt;h1&gt;Approved",
        "U+202E",
        "6 empty lines",
        "hidden line",
        "300 entries",
        "entry 299",
        "AEND",
        "5003 characters",
        "It moves or commits money.",
        "Its name has “refund” in it.",
        "The server says of it (not checked by anybody)",
        "&lt;script&gt;alert(1)",
        "No call of this kind has been approved and run before.",
        "refunds",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
    assert!(!page.contains("<h1>Approved") && !page.contains("<script>alert") && !page.contains('\u{202e}'));
    let row = house.app.store.approval(&waiting.id).await.unwrap().unwrap();
    assert!(page.contains(&row.approval.binding.to_base64url()[..12]), "the check value");
}

// spec: T-83, T-84
#[tokio::test]
async fn what_is_approved_ahead_covers_the_like_for_a_while_and_can_be_taken_back() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    house.person("eve").await;
    let scene = Scene::of(&ada, REFUND);
    let waiting = scene.waiting(&house, &plain()).await;
    let browser = house.signed_in("ada").await;
    let answer = approve(&browser, &path(&waiting), &[("ahead", "5-times"), ("same", "charge")]).await;
    assert_eq!(answer.location(), format!("{}?done=ahead", path(&waiting)), "{}", answer.text);
    let started = house.app.approvals.run(&waiting.id, &scene.wanted()).await.unwrap();
    assert_eq!(started.spent.by(), &By::Approval(waiting.id.clone()));
    house.app.approvals.done(&waiting.id, "success").await.unwrap();

    let like = Scene::of(&ada, r#"{"charge":"ch_1","amount":7}"#);
    let covered = like.asked(&house, &plain()).await;
    assert!(matches!(&covered, Asked::Covered(spent) if matches!(spent.by(), By::Standing(_))), "{covered:?}");
    let unlike = Scene::of(&ada, r#"{"charge":"ch_2","amount":100}"#).waiting(&house, &plain()).await;
    let page = browser.get(&path(&unlike)).await.text;
    assert!(page.contains("<del>“ch_1”</del>") && page.contains("<ins>“ch_2”</ins>"), "{page}");

    let grants = browser.get("/grants").await;
    assert!(grants.text.contains("4 times, ") && grants.text.contains("charge"), "{}", grants.text);
    let standing = grants.field("standing");
    let eve = house.signed_in("eve").await;
    let token = eve.get("/grants").await.field("form_token");
    let form = [("form_token", token.as_str()), ("standing", standing.as_str())];
    assert_eq!(eve.post("/grants/standing/revoke", &form).await.status, StatusCode::NOT_FOUND);
    let token = grants.field("form_token");
    let form = [("form_token", token.as_str()), ("standing", standing.as_str())];
    assert_eq!(browser.post("/grants/standing/revoke", &form).await.location(), "/grants?done=revoked");
    assert!(matches!(like.asked(&house, &plain()).await, Asked::Waiting(_)));
    assert!(browser.get("/grants").await.text.contains("Nothing is approved ahead"));
}

// spec: T-82, T-107
#[tokio::test]
async fn where_a_passkey_is_wanted_a_session_is_not_enough() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let demands = [Arc::new(Ask { assurance: Assurance::Passkey, ..Ask::plain("refunds".into()) })];
    let waiting = Scene::of(&ada, REFUND).waiting(&house, &demands).await;
    let browser = house.signed_in("ada").await;
    let page = browser.get(&path(&waiting)).await.text;
    assert!(page.contains("there are none at this address") && !page.contains("data-guarded"), "{page}");
    assert!(browser.get("/account").await.text.contains("http://localhost:7878"));
    for assertion in ["", "{}", "x"] {
        let answer = approve(&browser, &path(&waiting), &[("assertion", assertion)]).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
    }
    assert_eq!(state(&house, &waiting.id).await, State::Pending);
}

// spec: T-87
#[tokio::test]
async fn whoever_takes_a_call_back_is_believed_and_time_ends_the_rest() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let (one, two) = (Scene::of(&ada, REFUND), Scene::of(&ada, "{}"));
    let (first, second) = (one.waiting(&house, &plain()).await, two.waiting(&house, &plain()).await);
    let browser = house.signed_in("ada").await;
    let token = browser.get(&path(&first)).await.field("form_token");
    let answer = browser.post(&format!("{}/withdraw", path(&first)), &[("form_token", &token)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(state(&house, &first.id).await, State::Withdrawn);
    house.clock.advance(Duration::from_mins(16));
    house.app.approvals.expire().await.unwrap();
    assert_eq!(state(&house, &second.id).await, State::Expired);
    let answer = approve(&browser, &path(&second), &[]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(house.events().contains(&"approval.expired".to_owned()));
}

// spec: T-82
#[tokio::test]
async fn who_stands_in_for_somebody_says_their_word_and_it_says_for_whom() {
    let house = House::new().await;
    let ada = house.person_with("ada", None, &["finance"]).await;
    let bob = house.person_with("bob", None, &["finance"]).await;
    house.person("cy").await;
    let waiting = Scene::of(&ada, REFUND).waiting(&house, &others(1)).await;
    let path = path(&waiting);
    let cy = house.signed_in("cy").await;
    assert_eq!(cy.get(&path).await.status, StatusCode::NOT_FOUND);
    let lend = async |from: &Browser<'_>, to: &str| {
        let token = from.get("/grants").await.field("form_token");
        let form = [("form_token", token.as_str()), ("delegate", to), ("lasts", "1h")];
        assert_eq!(from.post("/grants/delegations", &form).await.location(), "/grants?done=lent");
    };
    // Of her own call Ada has no word to lend, and Bob's does not become hers.
    lend(&house.signed_in("ada").await, "cy").await;
    assert_eq!(cy.get(&path).await.status, StatusCode::NOT_FOUND);
    let own = house.signed_in("bob").await;
    lend(&own, "ada").await;
    assert_eq!(approve(&house.signed_in("ada").await, &path, &[]).await.status, StatusCode::FORBIDDEN);
    lend(&own, "cy").await;
    assert!(cy.get("/approvals").await.text.contains(&path));
    let answer = approve(&cy, &path, &[("ahead", "hour")]).await;
    assert_eq!(answer.location(), format!("{path}?done=not-ahead"), "{}", answer.text);
    let decided = house.app.approvals.decided(&waiting.id, Duration::ZERO).await.unwrap();
    assert_eq!((decided.state, decided.by.as_deref()), (State::Granted, Some("cy for bob")));
    assert!(own.get(&path).await.text.contains("<b>cy</b> for bob"), "{}", own.get(&path).await.text);
    let lines = house.journal();
    let voted = lines.iter().rfind(|line| line["event"] == "approval.voted").unwrap();
    assert_eq!(voted["details"]["instead_of"], bob.id.as_str());

    // It ends with its time, and is not lent on.
    let second = Scene::of(&ada, r#"{"charge":"ch_2"}"#).waiting(&house, &others(1)).await;
    let second = second.link.strip_prefix(ISSUER).unwrap().to_owned();
    house.person("dan").await;
    lend(&cy, "dan").await;
    assert_eq!(house.signed_in("dan").await.get(&second).await.status, StatusCode::NOT_FOUND);
    assert_eq!(cy.get(&second).await.status, StatusCode::OK);
    // Whoever has no say any more has none to lend.
    house.app.store.set_local_groups(&bob.id, &[], house.app.clock.now()).await.unwrap();
    assert_eq!(cy.get(&second).await.status, StatusCode::NOT_FOUND);
    house.app.store.set_local_groups(&bob.id, &["finance".into()], house.app.clock.now()).await.unwrap();
    assert_eq!(cy.get(&second).await.status, StatusCode::OK);
    house.clock.advance(Duration::from_hours(1));
    assert_eq!(house.signed_in("cy").await.get(&second).await.status, StatusCode::NOT_FOUND);
}
