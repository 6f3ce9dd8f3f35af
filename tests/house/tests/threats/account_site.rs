//! A server with an authorization server of its own on one origin, to be connected: it signs in whoever the test says, keeps
//! count of what it is asked, and lies where the test wants it to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::TestGateway,
    http::Answer,
    person::{Browser, form, parameter},
};
use serde_json::{Value, json};
use url::Url;

use crate::behind::{Behind, Reply, Seen};

/// The site.
pub struct Site {
    /// The sockets, with all that arrived.
    pub behind: Behind,
    state: Arc<Mutex<State>>,
    door: Arc<Mutex<Option<Door>>>,
}

/// Where the next renewal waits: it says that it came, and goes on when it is told to.
type Door = (tokio::sync::oneshot::Sender<()>, std::sync::mpsc::Receiver<()>);

/// The other side of it.
pub struct Held {
    /// A renewal has come.
    pub came: tokio::sync::oneshot::Receiver<()>,
    go: std::sync::mpsc::Sender<()>,
}

impl Held {
    /// Lets it go on.
    pub fn release(self) {
        let _ = self.go.send(());
    }
}

#[derive(Default)]
struct State {
    /// What each code stands for: the account.
    codes: HashMap<String, String>,
    /// What each access token stands for.
    tokens: HashMap<String, String>,
    /// What each refresh token stands for; each is good once.
    renewals: HashMap<String, String>,
    /// Every refresh token of each account.
    issued: HashMap<String, Vec<String>>,
    revoked: Vec<String>,
    manners: Manners,
    /// Whether its metadata names another token endpoint by now.
    moved: bool,
    count: usize,
}

/// How the site behaves.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Revocation {
    /// It takes tokens back.
    #[default]
    Offered,
    /// It says nothing of it.
    Absent,
    /// It fails.
    Broken,
}

/// How the site behaves.
#[derive(Clone, Copy, Default)]
pub struct Manners {
    /// About tokens that are given back.
    pub revocation: Revocation,
    /// Whether it says that each of its answers names it.
    pub names_itself: bool,
}

impl Site {
    /// A site that behaves.
    pub async fn start() -> Result<Self> {
        Self::with(Manners::default()).await
    }

    /// A site with manners of its own.
    pub async fn with(manners: Manners) -> Result<Self> {
        let state = Arc::new(Mutex::new(State { manners, ..State::default() }));
        let door = Arc::<Mutex<Option<Door>>>::default();
        let (own, way) = (state.clone(), door.clone());
        let behind = Behind::with(move |seen| {
            let renews = seen.line.starts_with("POST /token") && field(seen, "refresh_token").is_some();
            let door = way.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| renews);
            if let Some((came, go)) = door {
                let _ = came.send(());
                // Whoever never lets it go has failed already.
                let _ = tokio::task::block_in_place(|| go.recv_timeout(Duration::from_secs(10)));
            }
            answer(&own, seen)
        });
        Ok(Self { behind: behind.await?, state, door })
    }

    /// Holds the next renewal.
    pub fn hold(&self) -> Held {
        let ((say, came), (go, wait)) = (tokio::sync::oneshot::channel(), std::sync::mpsc::channel());
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some((say, wait));
        Held { came, go }
    }

    /// Its origin, which is its issuer too.
    pub fn origin(&self) -> String {
        format!("http://{}", self.behind.at)
    }

    /// Puts it behind the gate; `credential` as the settings would write it.
    pub async fn protect(&self, house: &TestGateway, name: &str, credential: Value) -> Result<()> {
        let url = format!("{}/mcp", self.origin());
        house.protect_as(json!({ "name": name, "url": url, "credential": credential })).await
    }

    /// Somebody agreed at the page behind `authorize`: where the browser goes next, as path and query of the gateway.
    pub fn agree(&self, authorize: &Url, account: &str) -> Result<String> {
        let mut back = self.back(authorize)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let code = format!("code-{}", state.count);
        state.codes.insert(code.clone(), account.to_owned());
        back.query_pairs_mut().append_pair("code", &code);
        if state.manners.names_itself {
            back.query_pairs_mut().append_pair("iss", &self.origin());
        }
        Ok(back[url::Position::BeforePath..].to_owned())
    }

    /// Where an answer to `authorize` goes, with its state and nothing else.
    pub fn back(&self, authorize: &Url) -> Result<Url> {
        ensure!(authorize.as_str().starts_with(&format!("{}/authorize?", self.origin())), "{authorize}");
        let mut back = Url::parse(&parameter(authorize, "redirect_uri").context("redirect_uri")?)?;
        back.query_pairs_mut().append_pair("state", &parameter(authorize, "state").context("state")?);
        Ok(back)
    }

    /// How often its token endpoint was asked.
    pub fn redeemed(&self) -> usize {
        self.behind.seen().iter().filter(|seen| seen.line.starts_with("POST /token")).count()
    }

    /// From now on its metadata names another token endpoint.
    pub fn moves(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).moved = true;
    }

    /// Every refresh token that stood for an account.
    pub fn issued_to(&self, account: &str) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).issued.get(account).cloned().unwrap_or_default()
    }

    /// Tokens that were given back.
    pub fn revoked(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).revoked.clone()
    }
}

fn answer(state: &Mutex<State>, seen: &Seen) -> Option<Reply> {
    let origin = format!("http://{}", seen.header("host")?);
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let path = seen.line.split(' ').nth(1)?.split('?').next()?;
    match path {
        "/.well-known/oauth-protected-resource/mcp" => Some(Reply::Json(
            200,
            json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [origin],
                "scopes_supported": ["notes:read", "notes:write"] }),
        )),
        "/.well-known/oauth-authorization-server" => {
            let mut metadata = metadata(&origin, state.manners);
            if state.moved {
                metadata["token_endpoint"] = format!("{origin}/elsewhere").into();
            }
            Some(Reply::Json(200, metadata))
        }
        "/register" => Some(Reply::Json(201, registered(seen))),
        "/token" => Some(redeem(&mut state, seen)),
        "/revoke" if state.manners.revocation == Revocation::Broken => Some(Reply::Json(500, json!({}))),
        "/revoke" => {
            state.revoked.extend(field(seen, "token"));
            Some(Reply::Json(200, Value::Null))
        }
        "/mcp" => call(&state, seen, &origin),
        _ => Some(Reply::Json(404, json!({}))),
    }
}

fn metadata(origin: &str, manners: Manners) -> Value {
    let mut metadata = json!({ "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
        "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": manners.names_itself });
    if manners.revocation != Revocation::Absent {
        metadata["revocation_endpoint"] = format!("{origin}/revoke").into();
    }
    metadata
}

fn registered(seen: &Seen) -> Value {
    let mut answer = seen.body.clone();
    answer["client_id"] = "portcullis-here".into();
    answer["token_endpoint_auth_method"] = "none".into();
    answer
}

fn redeem(state: &mut State, seen: &Seen) -> Reply {
    let renewed = field(seen, "refresh_token").and_then(|token| state.renewals.remove(&token));
    let account = renewed.or_else(|| field(seen, "code").and_then(|code| state.codes.remove(&code)));
    let Some(account) = account else { return Reply::Json(400, json!({ "error": "invalid_grant" })) };
    state.count += 1;
    let access = format!("canary-access-{}-{account}", state.count);
    let refresh = format!("canary-refresh-{}-{account}", state.count);
    state.tokens.insert(access.clone(), account.clone());
    state.renewals.insert(refresh.clone(), account.clone());
    state.issued.entry(account.clone()).or_default().push(refresh.clone());
    Reply::Json(
        200,
        json!({ "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600,
            "scope": "notes:read", "email": account }),
    )
}

/// Only who shows a token of its own is answered, and with their own name.
fn call(state: &State, seen: &Seen, origin: &str) -> Option<Reply> {
    let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match token.and_then(|token| state.tokens.get(token)) {
        None => Some(Reply::Raw(
            format!(
                "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer \
                 resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"\r\ncontent-length: 0\r\n\r\n"
            )
            .into_bytes(),
        )),
        Some(account) if seen.rpc() == "tools/call" => Some(Reply::Json(
            200,
            seen.result(json!({ "resultType": "complete", "content": [{ "type": "text", "text": account }] })),
        )),
        Some(_) => None,
    }
}

fn field(seen: &Seen, name: &str) -> Option<String> {
    let text = seen.text();
    let (_, body) = text.split_once("\r\n\r\n")?;
    url::form_urlencoded::parse(body.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// Opens the page of a server and goes on to its provider: where the browser is sent.
pub async fn begin(browser: &mut Browser, page: &str) -> Result<Url> {
    let shown = browser.get(page).await?;
    ensure!(shown.status == 200, "{page}: {} {}", shown.status, shown.text());
    let answer = send(browser, &shown, "/connect", &[]).await?;
    let location = answer.header("location").with_context(|| format!("{} {}", answer.status, answer.text()))?;
    Ok(Url::parse(location)?)
}

/// Sends the form of a page whose address ends so.
pub async fn send(browser: &mut Browser, page: &Answer, ending: &str, extra: &[(&str, &str)]) -> Result<Answer> {
    let html = page.text();
    let at = html.find(&format!("{ending}\"")).with_context(|| format!("no form to …{ending}: {html}"))?;
    let start = html[..at].rfind("<form").context("a form")?;
    let found = form(&format!("<main>{}</main>", &html[start..])).context("a form")?;
    browser.submit(&found, extra).await
}

/// Connects an account from the page of a server to the end: the answer to the last form.
pub async fn connect(site: &Site, browser: &mut Browser, server: &str, account: &str) -> Result<Answer> {
    let authorize = begin(browser, &format!("/connections/{server}")).await?;
    let arrived = browser.get(&site.agree(&authorize, account)?).await?;
    ensure!(arrived.status == 200, "back: {} {}", arrived.status, arrived.text());
    ensure!(arrived.text().contains(account), "both names: {}", arrived.text());
    send(browser, &arrived, "/confirm", &[("decision", "connect")]).await
}
