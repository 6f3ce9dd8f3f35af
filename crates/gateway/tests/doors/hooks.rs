//! Telling people that a call waits, and taking their signed word.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode, header};
use portcullis_base::Timestamp;
use portcullis_gateway::{
    approvals::Waiting,
    hook_signature::{HookKey, LEEWAY},
};
use portcullis_policy::{Ask, Assurance, Own, Who, approval::State};

use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    approvals::{REFUND, Scene, state},
    house::{Answer, House, ISSUER, encode},
    listener::Listener,
};

/// A house whose people are told.
struct Told {
    house: House,
    listener: Listener,
    _running: watch::Sender<bool>,
}

impl Told {
    /// `LISTENER` in the settings is the address of who listens.
    async fn by(settings: &str) -> Self {
        let listener = Listener::new().await;
        let settings = settings.replace("LISTENER", &listener.address);
        let hosts = format!("outbound: {{ private_hosts: [\"{}\"] }}\n", listener.address);
        let house = House::with_outbound(&format!("{hosts}{settings}"), listener.outbound()).await;
        let (running, stopped) = watch::channel(false);
        house.app.notify.start(&stopped);
        Self { house, listener, _running: running }
    }

    async fn binding(&self, waiting: &Waiting) -> String {
        self.house.app.store.approval(&waiting.id).await.unwrap().unwrap().approval.binding.to_base64url()
    }

    fn not_counted(&self) -> Vec<String> {
        let lines = self.house.journal().into_iter().filter(|line| line["event"] == "approval.not_counted");
        lines.map(|line| line["details"]["why"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()).collect()
    }
}

fn chat() -> Ask {
    let approvers = [Who::Group("finance".into())].into();
    Ask { approvers, own: Own::Never, assurance: Assurance::Chat, ..Ask::plain("refunds".into()) }
}

fn demands(ask: Ask) -> Vec<Arc<Ask>> {
    vec![Arc::new(ask)]
}

const PAGER: &str = "notify: { webhooks: [{ name: pager, url: 'http://LISTENER/hook', secret: env:HOOK_KEY, decision_secret: env:DECISION_KEY }] }\n";

/// A message of the program that decides.
struct Message {
    id: String,
    at: Timestamp,
    key: &'static str,
    name: &'static str,
}

const HOOK_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const DECISION_KEY: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZGVjaXNpb25z";

impl Message {
    fn new(house: &House, id: &str) -> Self {
        Self { id: id.into(), at: house.app.clock.now(), key: DECISION_KEY, name: "pager" }
    }

    fn request(&self, body: &Value) -> Request<Body> {
        let body = body.to_string();
        let signature = HookKey::parse(self.key).unwrap().sign(&self.id, self.at, body.as_bytes());
        Request::post(format!("/approvals/hooks/{}", self.name))
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", self.at.as_secs().to_string())
            .header("webhook-signature", signature)
            .body(Body::from(body))
            .unwrap()
    }

    async fn send(&self, house: &House, body: &Value) -> Answer {
        house.send(self.request(body)).await
    }
}

// spec: T-80, T-82, T-85
#[tokio::test]
async fn program_is_told_signed_and_its_signed_word_approves_what_was_shown() {
    let mut told = Told::by(PAGER).await;
    let ada = told.house.person("ada").await;
    let bob = told.house.person_with("bob", None, &["finance"]).await;
    let waiting = Scene::of(&ada, REFUND).waiting(&told.house, &demands(chat())).await;

    let heard = told.listener.heard().await;
    let signature = HookKey::parse(HOOK_KEY).unwrap().sign(
        heard.header("webhook-id"),
        Timestamp::from_secs(heard.header("webhook-timestamp").parse().unwrap()),
        heard.body.as_bytes(),
    );
    assert_eq!((heard.path.as_str(), heard.header("webhook-signature")), ("/hook", signature.as_str()));
    let message = heard.json();
    let data = &message["data"];
    assert_eq!((&message["type"], &data["approval"]), (&json!("approval.asked"), &json!(waiting.id)));
    assert_eq!((&data["link"], &data["caller"]["name"]), (&json!(waiting.link), &json!("ada")));
    assert_eq!((&data["target"], &data["classes"]), (&json!("refund"), &json!(["financial"])));
    assert!(!heard.body.contains("ch_1"), "arguments are told where the settings say so: {}", heard.body);
    let page = told.house.signed_in("bob").await.get(waiting.link.strip_prefix(ISSUER).unwrap()).await;
    assert!(page.text.contains(data["check_value"].as_str().unwrap()), "the page shows the same check value");

    let decision =
        json!({ "approval": data["approval"], "binding": data["binding"], "word": "approve", "person": "bob" });
    let answer = Message::new(&told.house, "msg_1").send(&told.house, &decision).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!("granted")), "{}", answer.text);
    assert_eq!(state(&told.house, &waiting.id).await, State::Granted);
    let voted = told.house.journal().into_iter().find(|line| line["event"] == "approval.voted").unwrap();
    assert_eq!((&voted["details"]["assurance"], &voted["person"]), (&json!("chat"), &json!(bob.id)), "{voted}");

    let heard = told.listener.heard().await.json();
    assert_eq!((&heard["type"], &heard["data"]["state"]), (&json!("approval.decided"), &json!("granted")));
    assert_eq!(heard["data"]["decided_by"], json!(bob.id));
    let told_twice = told.house.app.notify.states();
    assert_eq!((told_twice[0].name.as_str(), told_twice[0].failed), ("webhooks (pager)", 0));
}

// spec: T-80, T-82, T-85, T-107
#[tokio::test]
async fn word_that_is_not_proven_or_not_enough_changes_nothing() {
    let told = Told::by(PAGER).await;
    let house = &told.house;
    let ada = house.person_with("ada", None, &["finance"]).await;
    house.person("eve").await;
    let gone = house.person_with("gone", None, &["finance"]).await;
    house.person_with("bob", None, &["finance"]).await;
    house.app.store.disable_person(&gone.id, house.app.clock.now()).await.unwrap();
    let waiting = Scene::of(&ada, REFUND).waiting(house, &demands(chat())).await;
    let binding = told.binding(&waiting).await;
    let says = |word: &str, person: &str| json!({ "approval": waiting.id, "binding": binding, "word": word, "person": person });
    let good = says("approve", "bob");
    let message = |id: &str| Message::new(house, id);
    let now = house.app.clock.now();

    // Not proven.
    let refused = async |message: Message, body: &Value, status: u16| {
        let answer = message.send(house, body).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    };
    refused(Message { key: HOOK_KEY, ..message("a") }, &good, 401).await;
    refused(Message { at: now.minus(LEEWAY + Duration::from_secs(1)), ..message("b") }, &good, 401).await;
    refused(Message { at: now.plus(LEEWAY + Duration::from_secs(1)), ..message("c") }, &good, 401).await;
    refused(Message { name: "slack", ..message("d") }, &good, 404).await;
    refused(Message { name: "nobody", ..message("e") }, &good, 404).await;
    let mut changed = message("f").request(&good);
    *changed.body_mut() = Body::from(says("approve", "ada").to_string());
    assert_eq!(house.send(changed).await.status, StatusCode::UNAUTHORIZED);
    let mut bare = message("g").request(&good);
    bare.headers_mut().remove("webhook-signature");
    assert_eq!(house.send(bare).await.status, StatusCode::UNAUTHORIZED);
    let mut looked_at = message("h").request(&good);
    *looked_at.method_mut() = http::Method::GET;
    assert_eq!(house.send(looked_at).await.status, StatusCode::METHOD_NOT_ALLOWED);

    // Proven, and not enough.
    refused(message("i"), &says("approve", "nobody"), 403).await;
    refused(message("j"), &says("approve", "eve"), 403).await;
    refused(message("k"), &says("approve", "gone"), 403).await;
    refused(message("l"), &says("approve", "ada"), 403).await;
    refused(message("m"), &says("perhaps", "bob"), 400).await;
    let mut other = good.clone();
    other["binding"] = json!("AAAA");
    refused(message("n"), &other, 409).await;
    other = good.clone();
    other["approval"] = json!("apr_other");
    refused(message("o"), &other, 404).await;
    assert_eq!(state(house, &waiting.id).await, State::Pending);

    // The rule wants a page, or a passkey.
    for assurance in [Assurance::Session, Assurance::Passkey] {
        let arguments = json!({ "charge": assurance.as_str() }).to_string();
        let sure = Scene::of(&ada, &arguments).waiting(house, &demands(Ask { assurance, ..chat() })).await;
        let body =
            json!({ "approval": sure.id, "binding": told.binding(&sure).await, "word": "approve", "person": "bob" });
        refused(message(assurance.as_str()), &body, 403).await;
        assert_eq!(state(house, &sure.id).await, State::Pending);
    }

    // Said twice with one message.
    let mut no = says("refuse", "bob");
    no["reason"] = json!("too \u{202e}much");
    assert_eq!(message("p").send(house, &good).await.status, StatusCode::OK);
    refused(message("p"), &good, 409).await;
    refused(message("p"), &no, 409).await;
    refused(message("q"), &no, 409).await;
    assert_eq!(state(house, &waiting.id).await, State::Granted);
    let noted = told.not_counted();
    for (why, times) in [
        ("the signature is not that of the message", 3),
        ("the time of the message is missing, or more than five minutes from ours", 2),
        ("nobody here is known by that name", 2),
        ("the rule names others who may decide this", 1),
        ("it is their own call, and the rule wants somebody else", 1),
        ("what was decided on is not what waits: the binding is another one", 1),
        ("the rule wants it to be surer who approves: it has to be done on the page", 2),
        ("the message came before", 2),
        ("it is decided already, or its time is over", 1),
    ] {
        assert_eq!(noted.iter().filter(|one| *one == why).count(), times, "{why}: {noted:#?}");
    }
}

#[tokio::test]
async fn word_of_a_program_refuses_with_its_reason() {
    let told = Told::by(PAGER).await;
    let ada = told.house.person("ada").await;
    told.house.person_with("bob", None, &["finance"]).await;
    let waiting = Scene::of(&ada, REFUND).waiting(&told.house, &demands(chat())).await;
    let body = json!({ "approval": waiting.id, "binding": told.binding(&waiting).await, "word": "refuse",
        "person": "bob", "reason": "too \u{202e}much" });
    let answer = Message::new(&told.house, "x").send(&told.house, &body).await;
    assert_eq!(answer.json()["state"], "refused", "{}", answer.text);
    let row = told.house.app.store.approval(&waiting.id).await.unwrap().unwrap();
    assert_eq!((row.approval.state, row.why.as_deref()), (State::Refused, Some("too \u{fffd}much")));
}

#[tokio::test]
async fn channel_that_fails_is_tried_again_and_what_it_gives_up_is_in_the_record() {
    let settings = "notify: { webhooks: [{ name: late, url: 'http://LISTENER/late', secret: env:HOOK_KEY, arguments: true }, \
         { name: gone, url: 'http://LISTENER/gone', secret: env:HOOK_KEY }] }\n";
    let mut told = Told::by(settings).await;
    told.listener.answer("/late", &[(503, ""), (200, "")]);
    told.listener.answer("/gone", &[(410, "")]);
    let ada = told.house.person("ada").await;
    let waiting = Scene::of(&ada, REFUND).waiting(&told.house, &demands(chat())).await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(told.listener.heard().await);
    }
    let late: Vec<_> = heard.iter().filter(|one| one.path == "/late").collect();
    assert_eq!(late.len(), 2, "{heard:?}");
    assert_eq!(late[0].header("webhook-id"), late[1].header("webhook-id"), "it is one message");
    assert_eq!(late[0].json()["data"]["arguments"], json!(REFUND));
    // What was given up is noted before the second try of the other, a second later.
    let noted = told.house.journal().into_iter().find(|line| line["event"] == "approval.untold").unwrap();
    assert_eq!(noted["details"]["channel"], "webhooks (gone)", "{noted}");
    assert_eq!(noted["details"]["approval"], json!(waiting.id), "{noted}");
    assert_eq!(state(&told.house, &waiting.id).await, State::Pending, "it waits in the inbox all the same");
}

/// Nobody takes anything out of the queues here: they are full some time, and nobody who calls notices.
#[tokio::test]
async fn full_queue_holds_up_nobody() {
    let listener = Listener::new().await;
    let settings = format!(
        "approvals: {{ pending: 100, hourly: 1000 }}\noutbound: {{ private_hosts: [\"{0}\"] }}\n{1}",
        listener.address,
        PAGER.replace("LISTENER", &listener.address)
    );
    let house = House::with_outbound(&settings, listener.outbound()).await;
    let mut many = Vec::new();
    for person in ["ada", "bea", "cyd"] {
        let person = house.person(person).await;
        for call in 0..100 {
            many.push(Scene::of(&person, &json!({ "call": call }).to_string()).waiting(&house, &demands(chat())).await);
        }
    }
    let state = house.app.notify.states().remove(0);
    assert_eq!((many.len(), state.waiting, state.dropped), (300, 256, 44));
}

const SLACK: &str = "notify: { slack: { bot_token: env:SLACK_BOT_TOKEN, channel: C1, api_url: 'http://LISTENER/api', \
     signing_secret: env:SLACK_SIGNING_SECRET, arguments: true, team: T1, people: { U0BOB: bob, U0EVE: eve }, by_email: true } }\n";

fn click(house: &House, user: &Value, action: &str, value: &str, address: &str) -> Request<Body> {
    let payload = json!({ "type": "block_actions", "user": user, "response_url": format!("http://{address}/response"),
        "actions": [{ "type": "button", "action_id": action, "value": value }] });
    let body = encode(&[("payload", &payload.to_string())]);
    let at = house.app.clock.now().as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"8f742231b10e8888abcd99yyyzzz85a5");
    let tag = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
    let hex = tag.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    Request::post("/approvals/hooks/slack")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("x-slack-request-timestamp", at)
        .header("x-slack-signature", format!("v0={hex}"))
        .body(Body::from(body))
        .unwrap()
}

/// The values of the buttons of a message, by what they do.
fn button(message: &Value, action: &str) -> Option<String> {
    let blocks = message["blocks"].as_array()?;
    let elements = blocks.iter().find(|block| block["type"] == "actions")?["elements"].as_array()?;
    let button = elements.iter().find(|button| button["action_id"] == action)?;
    Some(button["value"].as_str().unwrap_or_default().to_owned())
}

// spec: T-83, T-85
#[tokio::test]
async fn click_in_slack_counts_as_the_word_of_the_person_whose_account_it_is() {
    let mut told = Told::by(SLACK).await;
    let address = told.listener.address.clone();
    told.listener.answer("/api/chat.postMessage", &[(200, r#"{"ok":true,"channel":"C1","ts":"17.1"}"#)]);
    told.listener.answer("/api/chat.update", &[(200, r#"{"ok":true}"#)]);
    let ada = told.house.person("ada").await;
    told.house.person("eve").await;
    told.house.person_with("bob", None, &["finance"]).await;
    let waiting = Scene::of(&ada, REFUND).waiting(&told.house, &demands(chat())).await;
    let heard = told.listener.heard().await;
    assert_eq!(heard.header("authorization"), "Bearer xoxb-secret-of-the-bot");
    let message = heard.json();
    assert_eq!((heard.path.as_str(), &message["channel"]), ("/api/chat.postMessage", &json!("C1")));
    assert!(heard.body.contains("ch_1") && heard.body.contains(&waiting.link), "{}", heard.body);
    let value = button(&message, "approve").unwrap();
    assert_eq!(value, format!("{} {}", waiting.id, told.binding(&waiting).await));

    let whispered = async |told: &mut Told| {
        let heard = told.listener.heard().await;
        assert_eq!((heard.path.as_str(), &heard.json()["response_type"]), ("/response", &json!("ephemeral")));
        heard.json()["text"].as_str().unwrap().to_owned()
    };
    told.listener.answer("/api/users.info", &[(200, r#"{"ok":false,"error":"user_not_found"}"#)]);
    for (user, why) in [
        (json!({ "id": "U0EVE", "team_id": "T1" }), "names others"),
        (json!({ "id": "U0BOB", "team_id": "T2" }), "nobody here"),
        (json!({ "id": "U0BOB" }), "nobody here"),
        (json!({ "id": "U0NEW", "team_id": "T1" }), "nobody here"),
    ] {
        let answer = told.house.send(click(&told.house, &user, "approve", &value, &address)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        if user["id"] == "U0NEW" {
            assert_eq!(told.listener.heard().await.path, "/api/users.info?user=U0NEW");
        }
        let said = whispered(&mut told).await;
        assert!(said.contains("Nothing was decided") && said.contains(why), "{said}");
    }
    let bob = json!({ "id": "U0BOB", "team_id": "T1" });
    let mut forged = click(&told.house, &bob, "approve", &value, &address);
    *forged.body_mut() = Body::from(encode(&[("payload", "{}")]));
    assert_eq!(told.house.send(forged).await.status, StatusCode::UNAUTHORIZED);
    let late = click(&told.house, &bob, "approve", &value, &address);
    let fresh = told.house.app.clock.now();
    told.house.clock.advance(LEEWAY + Duration::from_secs(1));
    assert_eq!(told.house.send(late).await.status, StatusCode::UNAUTHORIZED, "signed at {fresh}");
    assert_eq!(state(&told.house, &waiting.id).await, State::Pending);

    let answer = told.house.send(click(&told.house, &bob, "approve", &value, &address)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(state(&told.house, &waiting.id).await, State::Granted);
    let again = told.house.send(click(&told.house, &bob, "approve", &value, &address)).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "the same click came twice");
    let mut heard = [told.listener.heard().await, told.listener.heard().await];
    heard.sort_by(|a, b| a.path.cmp(&b.path));
    let update = heard[0].json();
    assert_eq!((heard[0].path.as_str(), &update["ts"]), ("/api/chat.update", &json!("17.1")));
    assert_eq!(button(&update, "approve"), None, "what is decided has no buttons");
    assert!(heard[1].body.contains("You have approved it"), "{}", heard[1].body);
}

// spec: T-85
#[tokio::test]
async fn member_of_our_own_workspace_may_be_known_by_address() {
    let told = Told::by(SLACK).await;
    let house = &told.house;
    told.listener.answer("/api/chat.postMessage", &[(200, r#"{"ok":true,"channel":"C1","ts":"17.1"}"#)]);
    let ada = house.person("ada").await;
    let mail = |name: &str, email: &str| portcullis_store::NewPerson {
        id: portcullis_base::PersonId::random(&*house.app.rng),
        name: name.into(),
        display_name: name.into(),
        email: Some(email.into()),
        groups: vec!["finance".into()],
        password_hash: None,
        admin_at: None,
    };
    for new in [mail("bob", "bob@example.com"), mail("cyd", "two@example.com"), mail("dan", "two@example.com")] {
        house.app.store.create_person(&new, house.app.clock.now()).await.unwrap();
    }
    let waiting = Scene::of(&ada, REFUND).waiting(house, &demands(chat())).await;
    let value = format!("{} {}", waiting.id, told.binding(&waiting).await);
    for (n, team, email, more, counts) in [
        (1, "T2", "bob@example.com", "", false),
        (2, "T1", "two@example.com", "", false),
        (3, "T1", "bob@example.com", r#","deleted":true"#, false),
        (4, "T1", "", "", false),
        (5, "T1", "Bob@example.com", "", true),
    ] {
        let user = format!("U000{n}");
        let told_of = format!(
            r#"{{"ok":true,"user":{{"id":"{user}","team_id":"{team}","profile":{{"email":"{email}"}}{more}}}}}"#
        );
        told.listener.answer("/api/users.info", &[(200, &told_of)]);
        let click = click(house, &json!({ "id": user, "team_id": "T1" }), "approve", &value, &told.listener.address);
        assert_eq!(house.send(click).await.status, StatusCode::OK);
        assert_eq!(state(house, &waiting.id).await == State::Granted, counts, "{told_of}");
    }
}

// spec: T-83
#[tokio::test]
async fn without_the_arguments_slack_can_only_refuse_and_teams_only_leads_to_the_page() {
    let files = tempfile::tempdir().unwrap();
    let listener = Listener::new().await;
    for name in ["slack", "teams"] {
        std::fs::write(files.path().join(name), format!("http://{}/{name}?sig=secret", listener.address)).unwrap();
    }
    let settings = format!(
        "outbound: {{ private_hosts: [\"{0}\"] }}\nnotify:\n  slack: {{ webhook: 'file:{1}/slack', signing_secret: env:SLACK_SIGNING_SECRET, people: {{ U0BOB: bob }} }}\n  teams: {{ webhook: 'file:{1}/teams' }}\n",
        listener.address,
        files.path().display()
    );
    let house = House::with_outbound(&settings, listener.outbound()).await;
    let (running, stopped) = watch::channel(false);
    house.app.notify.start(&stopped);
    let mut told = Told { house, listener, _running: running };
    let ada = told.house.person("*ada* <!channel>").await;
    told.house.person_with("bob", None, &["finance"]).await;
    let waiting = Scene::of(&ada, REFUND).waiting(&told.house, &demands(chat())).await;
    let mut heard = [told.listener.heard().await, told.listener.heard().await];
    heard.sort_by(|a, b| a.path.cmp(&b.path));
    let [slack, teams] = &heard;
    assert_eq!((slack.path.as_str(), teams.path.as_str()), ("/slack?sig=secret", "/teams?sig=secret"));
    for one in [slack, teams] {
        assert!(!one.body.contains("ch_1") && one.body.contains(&waiting.link), "{}", one.body);
    }
    let (message, card) = (slack.json(), &teams.json()["attachments"][0]["content"]);
    assert_eq!(button(&message, "approve"), None, "nobody approves what they do not see");
    let texts: Vec<_> =
        message["blocks"].as_array().unwrap().iter().filter(|block| block["type"] == "section").collect();
    assert!(texts.iter().all(|block| block["text"]["type"] == "plain_text"), "names are no markup: {message}");
    let shown = texts.iter().any(|block| block["text"]["text"].as_str().unwrap().contains("*ada* <!channel>"));
    assert!(shown, "{message}");
    assert!(card["body"].as_array().unwrap().iter().all(|block| block["type"] == "RichTextBlock"), "{card}");
    assert_eq!(card["actions"][0]["type"], "Action.OpenUrl");

    let value = button(&message, "refuse").unwrap();
    let click = click(&told.house, &json!({ "id": "U0BOB" }), "refuse", &value, &told.listener.address);
    assert_eq!(told.house.send(click).await.status, StatusCode::OK);
    assert_eq!(state(&told.house, &waiting.id).await, State::Refused);
}
