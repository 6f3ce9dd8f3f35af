//! Every kind of secret that there is around accounts at servers, with everything that happens to them: each goes where it
//! belongs and is found nowhere else.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_gateway::{key_ring, reseal};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, request},
    overheard::{Log, holds, overheard},
    person::{Browser, Client, parameter, tokens},
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    account_site::{begin, send},
    behind::{Behind, Reply, Seen},
    visit::{offboard, signed_in},
};

const ROOT: (&str, &str) = ("root", ALICE.1);
const TYPED: &str = "sk_canary_typed_by_alice";

/// Where a secret may be shown to a place outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    /// With a call, in the header that is for it.
    Calls(&'static str),
    /// In the body of a question to the authorization server.
    Asking,
    /// Nowhere.
    Nowhere,
    /// Browsers bring it, so their way may show it; it is only not written down.
    Browsers,
}

struct Canary {
    what: &'static str,
    text: String,
    home: Home,
}

/// How a place behaves.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Well,
    /// It fails, with a page on which all that it was sent is printed.
    Printing,
    /// It refuses what it is shown, and says all of it again.
    Refusing,
    /// It sends the call on, with the credential in the address.
    Sending,
}

#[derive(Default)]
struct State {
    mood: Mood,
    count: usize,
    canaries: Vec<Canary>,
    good: Vec<String>,
}

/// An MCP server with an authorization server at the same origin.
struct Place {
    behind: Behind,
    state: Arc<Mutex<State>>,
}

impl State {
    fn make(&mut self, what: &'static str, home: Home) -> String {
        self.count += 1;
        let text = format!("canary-{}-{}-of-the-place", what.replace(' ', "-"), self.count);
        self.note(what, &text, home);
        text
    }

    fn note(&mut self, what: &'static str, text: &str, home: Home) {
        if text.len() > 12 && !self.canaries.iter().any(|known| known.text == text) {
            self.canaries.push(Canary { what, text: text.to_owned(), home });
        }
    }
}

impl Place {
    /// The `number`th place of the story, whose canaries are nobody else's.
    async fn start(number: usize) -> Result<Self> {
        let state = Arc::new(Mutex::new(State { count: number * 1_000, ..State::default() }));
        let own = state.clone();
        let answers = move |seen: &Seen| answer(&mut own.lock().unwrap_or_else(PoisonError::into_inner), seen);
        Ok(Self { behind: Behind::with(answers).await?, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn becomes(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Somebody agreed: where the browser goes next.
    fn agree(&self, authorize: &Url) -> Result<String> {
        let mut state = self.state();
        let sealed = parameter(authorize, "state").context("state")?;
        state.note("state", &sealed, Home::Browsers);
        let code = state.make("code", Home::Asking);
        let mut back = Url::parse(&parameter(authorize, "redirect_uri").context("redirect_uri")?)?;
        back.query_pairs_mut().append_pair("state", &sealed).append_pair("code", &code);
        Ok(back[url::Position::BeforePath..].to_owned())
    }
}

fn answer(state: &mut State, seen: &Seen) -> Option<Reply> {
    let origin = format!("http://{}", seen.header("host")?);
    let path = seen.line.split(' ').nth(1)?.split('?').next()?;
    let shown = seen.header("authorization").unwrap_or_default().to_owned();
    let asked = ["/token", "/revoke"].contains(&path) || path == "/mcp" && !shown.is_empty();
    if asked && state.mood != Mood::Well {
        learn(state, seen);
        return Some(unwell(state.mood, path, &shown, seen));
    }
    match path {
        "/.well-known/oauth-protected-resource/mcp" => Some(Reply::Json(
            200,
            json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [origin], "scopes_supported": ["read"] }),
        )),
        "/.well-known/oauth-authorization-server" => Some(Reply::Json(200, metadata(&origin))),
        "/register" => {
            let mut answer = seen.body.clone();
            answer["client_id"] = "portcullis-here".into();
            answer["client_secret"] = state.make("client secret", Home::Asking).into();
            answer["client_secret_expires_at"] = 0.into();
            answer["token_endpoint_auth_method"] = "client_secret_post".into();
            answer["registration_access_token"] = state.make("registration token", Home::Nowhere).into();
            answer["registration_client_uri"] = format!("{origin}/register/portcullis-here").into();
            Some(Reply::Json(201, answer))
        }
        "/token" => Some(given(state, seen)),
        "/revoke" => Some(Reply::Json(200, Value::Null)),
        "/mcp" if state.good.iter().any(|token| shown == format!("Bearer {token}")) => None,
        "/mcp" => {
            let challenge = format!("Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"");
            Some(head(401, &format!("www-authenticate: {challenge}\r\n"), ""))
        }
        _ => Some(Reply::Json(404, json!({}))),
    }
}

fn metadata(origin: &str) -> Value {
    json!({ "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
        "revocation_endpoint": format!("{origin}/revoke"), "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"], "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"] })
}

/// What was not made here but is secret all the same.
fn learn(state: &mut State, seen: &Seen) {
    let text = seen.text();
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    for (name, value) in url::form_urlencoded::parse(body.as_bytes()) {
        if name == "code_verifier" {
            state.note("verifier", &value, Home::Asking);
        }
    }
}

fn given(state: &mut State, seen: &Seen) -> Reply {
    learn(state, seen);
    let access = state.make("access token", Home::Calls("authorization"));
    state.good.push(access.clone());
    let claims = json!({ "iss": format!("http://{}", seen.header("host").unwrap_or_default()), "sub": "1",
        "email": "somebody@place.example" });
    let signature = state.make("id token", Home::Nowhere);
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!("{}.{}.{signature}", part(&json!({ "alg": "ES256" })), part(&claims));
    let refresh = state.make("refresh token", Home::Asking);
    Reply::Json(
        200,
        json!({ "access_token": access, "refresh_token": refresh, "id_token": id_token, "token_type": "Bearer",
            "expires_in": 3600, "scope": "read" }),
    )
}

fn unwell(mood: Mood, path: &str, shown: &str, seen: &Seen) -> Reply {
    let said = seen.text().replace(['\r', '\n', '"'], " ");
    match mood {
        Mood::Refusing if path == "/mcp" => head(
            401,
            &format!("www-authenticate: Bearer error=\"invalid_token\", error_description=\"{shown}\"\r\n"),
            &said,
        ),
        Mood::Refusing => {
            // The last first: what is long is cut, and the secrets of a form are at its end.
            let body = seen.text().split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
            let said: Vec<_> = body.rsplit('&').collect();
            let said = said.join(" ");
            Reply::Json(400, json!({ "error": "invalid_grant", "error_description": said, "error_uri": said }))
        }
        Mood::Sending if path == "/mcp" => {
            head(307, &format!("location: /mcp?token={}\r\n", shown.trim_start_matches("Bearer ")), "")
        }
        _ => {
            head(500, &format!("x-shown: {shown}\r\ncontent-type: text/html\r\n"), &format!("<h1>Oops</h1><pre>{said}"))
        }
    }
}

fn head(status: u16, lines: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(
        format!("HTTP/1.1 {status} So\r\n{lines}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )
}

/// All of the story: the house and what stands behind it, and every answer that anybody got.
struct Story {
    house: TestGateway,
    places: [Place; 2],
    keyed: Behind,
    answers: Vec<Answer>,
    secrets: Vec<Canary>,
}

impl Story {
    async fn start(folder: &Path) -> Result<Self> {
        let mut secrets = Vec::new();
        let mut file = |what, text: &str, home| -> Result<String> {
            let path = folder.join(text.get(..16).unwrap_or(text).replace('/', "_"));
            fs::write(&path, text)?;
            secrets.push(Canary { what, text: text.to_owned(), home });
            Ok(path.display().to_string())
        };
        // The root key is what a command says.
        let root = file("root key", &STANDARD.encode(*b"canary-of-the-root-key-32-bytes!"), Home::Nowhere)?;
        let own = file("configured client secret", "canary-configured-client-secret", Home::Asking)?;
        let constant = file("constant header", "canary-constant-header-value", Home::Calls("x-internal-key"))?;
        let shared = file("shared key", "canary-shared-key-of-settings", Home::Calls("x-shared-key"))?;
        secrets.push(Canary { what: "typed key", text: TYPED.into(), home: Home::Calls("x-api-key") });
        let settings = format!(
            "root_key_command: [cat, {}]\nlimits: {{ sign_ins_per_minute: 100000 }}\n{}",
            json!(root),
            "clients: { registration_limits: { per_minute: 1000 } }"
        );
        let house = TestGateway::with(&settings).await?;
        house.person(ROOT, true, &[]).await?;
        let places = [Place::start(0).await?, Place::start(1).await?];
        let keyed = Behind::start().await?;
        let at = |behind: &Behind| format!("http://{}/mcp", behind.at);
        for entry in [
            json!({ "name": "notes", "url": at(&places[0].behind), "credential": { "kind": "oauth" },
                "headers": { "X-Internal-Key": format!("file:{constant}") } }),
            json!({ "name": "office", "url": at(&places[1].behind), "credential": { "kind": "oauth",
                "issuer": format!("http://{}", places[1].behind.at), "client_id": "configured", "client_secret": format!("file:{own}"), "client_auth": "client_secret_post" } }),
            json!({ "name": "keyed", "url": at(&keyed), "credential": { "kind": "header", "header": "X-Api-Key" } }),
            json!({ "name": "common", "url": at(&keyed),
                "credential": { "kind": "header", "header": "X-Shared-Key", "value": format!("file:{shared}") } }),
        ] {
            house.protect_as(entry).await?;
        }
        Ok(Self { house, places, keyed, answers: Vec::new(), secrets })
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        self.answers.push(answer.clone());
        answer
    }

    /// From the page of a server to the end; the last answer.
    async fn connects(&mut self, browser: &mut Browser, place: usize, server: &str) -> Result<Answer> {
        let authorize = begin(browser, &format!("/connections/{server}")).await?;
        let back = self.places[place].agree(&authorize)?;
        let arrived = browser.get(&back).await?;
        let arrived = self.keep(arrived);
        if arrived.status != 200 {
            return Ok(arrived);
        }
        let done = send(browser, &arrived, "/confirm", &[("decision", "connect")]).await?;
        Ok(self.keep(done))
    }

    /// Looks at every page about connections.
    async fn look(&mut self, browser: &mut Browser, paths: &[&str]) -> Result<()> {
        for path in paths {
            let page = browser.get(path).await?;
            ensure!(page.status == 200, "{path}: {} {}", page.status, page.text());
            self.keep(page);
        }
        Ok(())
    }

    /// A call in either era.
    async fn calls(&mut self, server: &str, token: &str) -> Result<u16> {
        let modern = self.house.call(server, token, "echo", json!({ "text": "x" })).send().await?;
        let list = self.house.modern(server, token, 1, "tools/list", json!({})).send().await?;
        let opening = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "house", "version": "1" } } });
        let opened = self.house.request("POST", &format!("/mcp/{server}")).bearer(token);
        let opened = opened.header("accept", "application/json, text/event-stream").json(&opening).send().await?;
        self.keep(list);
        self.keep(opened);
        let went_well = modern.text().contains("structuredContent");
        self.keep(modern);
        Ok(if went_well { 200 } else { 500 })
    }

    /// A fresh token of the gateway.
    async fn token(&mut self, client: &Client, refresh: &mut String) -> Result<String> {
        let given = tokens(&client.refresh(refresh).await?)?;
        *refresh = given.refresh.context("a refresh token")?;
        self.secret("the gateway's refresh token", refresh);
        let access = given.access.rsplit('.').next().unwrap_or_default().to_owned();
        self.secret("the gateway's access token", &access);
        Ok(given.access)
    }

    fn secret(&mut self, what: &'static str, text: &str) {
        self.secrets.push(Canary { what, text: text.to_owned(), home: Home::Nowhere });
    }
}

/// Everything happens.
async fn live(story: &mut Story) -> Result<()> {
    let mut alice = signed_in(&story.house, ALICE).await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    let mut root = signed_in(&story.house, ROOT).await?;
    for browser in [&alice, &bob, &root] {
        for (_, value) in &browser.cookies {
            story.secrets.push(Canary { what: "cookie", text: value.clone(), home: Home::Nowhere });
        }
    }
    // Connecting fails in each way, and then it does not.
    for mood in [Mood::Printing, Mood::Refusing, Mood::Sending, Mood::Well] {
        for (place, server) in ["notes", "office"].into_iter().enumerate() {
            story.places[place].becomes(mood);
            let done = story.connects(&mut alice, place, server).await?;
            ensure!((done.status == 303) == (mood == Mood::Well), "{server}: {} {}", done.status, done.text());
        }
    }
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let refused = story.places[0].agree(&authorize)?.replace("&code=", "&error=access_denied&ignored=");
    let refused = alice.get(&refused).await?;
    ensure!(story.keep(refused).status == 403);
    let page = alice.get("/connections/keyed").await?;
    let typed = send(&mut alice, &page, "/key", &[("key", TYPED)]).await?;
    ensure!(story.keep(typed).status == 303);
    ensure!(story.connects(&mut bob, 0, "notes").await?.status == 303);

    // Calls, and what goes wrong with them.
    let mut clients = Vec::new();
    for server in ["notes", "office", "keyed", "common"] {
        let (client, given) = story.house.client(server, ALICE).await?;
        let mut refresh = given.refresh.context("a refresh token")?;
        let token = story.token(&client, &mut refresh).await?;
        ensure!(story.calls(server, &token).await? == 200, "{server}");
        clients.push((server, client, refresh));
    }
    for mood in [Mood::Printing, Mood::Sending, Mood::Refusing, Mood::Well] {
        for (server, client, refresh) in clients.iter_mut().take(2) {
            let place = usize::from(*server == "office");
            story.places[place].becomes(mood);
            let token = story.token(client, refresh).await?;
            let came = story.calls(server, &token).await?;
            story.house.advance(Duration::from_mins(1)).await?;
            ensure!(mood == Mood::Well || came != 200, "{server}");
        }
        let paths = ["/connections", "/connections/notes", "/connections/office", "/connections/keyed", "/account"];
        story.look(&mut alice, &paths).await?;
        let paths = ["/admin/connections", "/admin/connections/notes", "/api/v1/connections", "/api/v1/people"];
        story.look(&mut root, &paths).await?;
        // The walk through a server's sign-in, while it is well and while it is not.
        let page = root.get("/admin/servers/notes/check").await?;
        let walked = send(&mut root, &page, "/check", &[]).await?;
        ensure!(walked.status == 200 && walked.text().contains("oauth-protected-resource"), "{}", walked.text());
        story.keep(walked);
    }
    // What was refused is made again, and lives on over a renewal, new keys and a new start.
    for (place, server) in ["notes", "office"].into_iter().enumerate() {
        ensure!(story.connects(&mut alice, place, server).await?.status == 303, "{server}");
    }
    let app = &story.house.app;
    let key = app.keys.root().context("a root key")?;
    key_ring::add_data_key(&app.store, key, &*app.rng, app.clock.now()).await?;
    story.house.advance(key_ring::AHEAD).await?;
    let app = &story.house.app;
    for _ in 0..2 {
        app.feed.catch_up().await.map_err(|why| anyhow::anyhow!("{why}"))?;
    }
    ensure!(reseal::round(&app.store, &app.keys, &*app.rng).await?.done > 2);
    story.house.advance(Duration::from_hours(2)).await?;
    for (server, client, refresh) in clients.iter_mut().take(2) {
        let token = story.token(client, refresh).await?;
        ensure!(story.calls(server, &token).await? == 200, "{server} after a renewal");
    }
    Ok(())
}

/// Everything ends.
async fn end(story: &mut Story) -> Result<()> {
    let mut alice = signed_in(&story.house, ALICE).await?;
    let mut root = signed_in(&story.house, ROOT).await?;
    for (place, server, mood) in [(0, "notes", Mood::Printing), (1, "office", Mood::Well)] {
        story.places[place].becomes(mood);
        let page = alice.get("/connections").await?;
        let ended = send(&mut alice, &page, &format!("/{server}/disconnect"), &[]).await?;
        ensure!(story.keep(ended).status == 200, "{server}");
    }
    let (bob, _) = story.house.app.store.person_by_name(BOB.0).await?.context("bob")?;
    let report = offboard(&story.house, &bob.id).await?;
    let json = format!("{report}/report.json");
    story.look(&mut root, &[&report, &json, "/admin/offboarding", "/admin/connections"]).await?;
    let metrics = request(&story.house.app.config.operations.to_string(), "GET", "/metrics").send().await?;
    story.keep(metrics);
    Ok(())
}

/// Behind which door a secret of the settings or of a person belongs.
fn place_of(what: &str) -> usize {
    match what {
        "configured client secret" => 1,
        "typed key" | "shared key" => 2,
        _ => 0,
    }
}

/// Looks for everything everywhere.
fn search(story: &Story, log: &Log, written: &[u8]) -> Result<usize> {
    let logged = log.bytes();
    ensure!(holds(&logged, "notes") && logged.len() > 2_000, "nothing was logged: {}", logged.len());
    ensure!(holds(written, "alice") && holds(written, "office"), "the wrong place was searched");
    let states: Vec<_> = story.places.iter().map(Place::state).collect();
    let made =
        states.iter().enumerate().flat_map(|(place, state)| state.canaries.iter().map(move |made| (place, made)));
    let of_settings = story.secrets.iter().map(|canary| (place_of(canary.what), canary));
    let all: Vec<(usize, &Canary)> = made.chain(of_settings).collect();
    for kind in ["access token", "refresh token", "id token", "code", "verifier", "state", "registration token"] {
        ensure!(all.iter().any(|(_, canary)| canary.what == kind), "there was no {kind}");
    }
    let behinds = [&story.places[0].behind, &story.places[1].behind, &story.keyed];
    let asked = behinds.iter().enumerate();
    let asked: Vec<(usize, Seen)> =
        asked.flat_map(|(place, behind)| behind.seen().into_iter().map(move |seen| (place, seen))).collect();
    for (place, Canary { what, text, home }) in all.iter().copied() {
        if let Some(line) = String::from_utf8_lossy(&logged).lines().find(|line| line.contains(text)) {
            anyhow::bail!("the {what} was logged: {line}");
        }
        ensure!(!holds(written, text), "the {what} was written down: {text}");
        for answer in &story.answers {
            let shown = |value: &str| *home != Home::Browsers && value.contains(text);
            let headers = answer.headers.iter().filter(|(name, _)| name != "set-cookie").any(|(_, value)| shown(value));
            ensure!(!headers && !shown(&answer.text()), "the {what} was answered: {answer:?}");
        }
        for (at, seen) in asked.iter().filter(|(_, seen)| holds(&seen.raw, text)) {
            ensure!(!seen.line.contains(text), "the {what} is in an address: {}", seen.line);
            let path = seen.line.split(' ').nth(1).unwrap_or_default();
            let right = match home {
                Home::Calls(header) => {
                    let again = seen.text().matches(text.as_str()).count();
                    path == "/revoke" || seen.header(header).is_some_and(|value| value.contains(text)) && again == 1
                }
                Home::Asking => ["/token", "/revoke"].contains(&path),
                Home::Nowhere | Home::Browsers => false,
            };
            // spec: T-34: what is good at one server is shown to no other.
            ensure!(right && *at == place, "the {what} of {place} went to {at}: {}", seen.text());
        }
    }
    Ok(all.len())
}

// spec: T-44, T-45, SEC-3
#[test]
fn t45_every_kind_of_secret_goes_where_it_belongs_and_is_found_nowhere_else() -> Result<()> {
    overheard(async |log| {
        let folder = tempfile::tempdir()?;
        let mut story = Story::start(folder.path()).await?;
        live(&mut story).await?;
        let house = story.house.restart().await?;
        let mut story = Story { house, ..story };
        end(&mut story).await?;
        story.house.journal().await?;
        let found = search(&story, &log, &story.house.written())?;
        assert!(found > 40, "{found}");
        story.house.stop().await
    })
}
