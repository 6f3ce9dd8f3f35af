//! A server with an authorization server of its own that lies in whichever of its documents the test says, and elsewhere is
//! what it should be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use portcullis_base::{Holder, PersonId, ServerName};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Answer,
    person::Browser,
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    account_site::send,
    behind::{Behind, Reply, Seen},
    visit::signed_in,
};

/// Where the server's metadata is.
pub const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
/// Where its authorization server's metadata is.
pub const SERVER: &str = "/.well-known/oauth-authorization-server";

/// The server.
pub struct HostileSite {
    /// The sockets, with all that arrived.
    pub behind: Behind,
    lies: Arc<Mutex<Lies>>,
}

/// What it says instead of the truth.
#[derive(Default)]
pub struct Lies {
    /// Members of its metadata.
    pub resource: Vec<(&'static str, Value)>,
    /// Members of its authorization server's metadata.
    pub server: Vec<(&'static str, Value)>,
    /// The `WWW-Authenticate` header of its refusals.
    pub challenge: Option<String>,
    /// Paths that it answers with a status and another address.
    pub elsewhere: HashMap<&'static str, (u16, String)>,
    /// What it says to a call with a token, as status and `WWW-Authenticate`.
    pub refusal: Option<(u16, String)>,
}

/// A gateway with the hostile server behind it, and Alice in front.
pub struct Story {
    pub house: TestGateway,
    pub site: HostileSite,
    pub alice: Browser,
}

impl HostileSite {
    pub async fn start() -> Result<Self> {
        let lies = Arc::<Mutex<Lies>>::default();
        let own = lies.clone();
        let behind =
            Behind::with(move |seen| answer(&own.lock().unwrap_or_else(PoisonError::into_inner), seen)).await?;
        Ok(Self { behind, lies })
    }

    /// Its origin, which is its issuer too.
    pub fn origin(&self) -> String {
        format!("http://{}", self.behind.at)
    }

    /// What it says from now on.
    pub fn lies(&self) -> MutexGuard<'_, Lies> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let asks =
            |seen: &Seen| seen.line.split(' ').nth(1).is_some_and(|target| target.split('?').next() == Some(path));
        self.behind.seen().iter().filter(|seen| asks(seen)).count()
    }
}

impl Story {
    /// `credential` as the settings would write it.
    pub async fn with(credential: Value) -> Result<Self> {
        let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
        let site = HostileSite::start().await?;
        let url = format!("{}/mcp", site.origin());
        house.protect_as(json!({ "name": "shady", "url": url, "credential": credential })).await?;
        let alice = signed_in(&house, ALICE).await?;
        Ok(Self { house, site, alice })
    }

    pub async fn start() -> Result<Self> {
        Self::with(json!({ "kind": "oauth" })).await
    }

    /// Alice wants to connect: the answer, and where it sends her if it does.
    pub async fn set_out(&mut self) -> Result<(Answer, Option<Url>)> {
        let page = self.alice.get("/connections/shady").await?;
        let answer = send(&mut self.alice, &page, "/connect", &[]).await?;
        let leads = answer.header("location").map(Url::parse).transpose()?;
        Ok((answer, leads))
    }

    /// Alice agreed there and comes back with a code.
    pub async fn come_back(&mut self, authorize: &Url) -> Result<Answer> {
        let of = |name: &str| {
            authorize
                .query_pairs()
                .find(|(held, _)| held == name)
                .map(|(_, value)| value.into_owned())
                .context("parameter")
        };
        let mut back = Url::parse(&of("redirect_uri")?)?;
        back.query_pairs_mut().append_pair("state", &of("state")?).append_pair("code", "canary-code");
        self.alice.get(&back[url::Position::BeforePath..]).await
    }

    /// Whether Alice has a connection.
    pub async fn is_connected(&self) -> Result<bool> {
        let (person, _) = self.house.app.store.person_by_name(ALICE.0).await?.context("no such person")?;
        let id: PersonId = person.id;
        let name = ServerName::parse("shady").context("a name")?;
        Ok(self.house.app.store.connection(&Holder::Person(id), &name).await?.is_some())
    }
}

fn answer(lies: &Lies, seen: &Seen) -> Option<Reply> {
    let origin = format!("http://{}", seen.header("host")?);
    let path = seen.line.split(' ').nth(1)?.split('?').next()?;
    if let Some((status, to)) = lies.elsewhere.get(path) {
        return Some(head(*status, &format!("location: {to}\r\n")));
    }
    let told = |mut document: Value, lies: &[(&'static str, Value)]| {
        for (name, value) in lies {
            document[*name] = value.clone();
        }
        Some(Reply::Json(200, document))
    };
    match path {
        RESOURCE => told(
            json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [origin],
                "scopes_supported": ["notes:read"] }),
            &lies.resource,
        ),
        SERVER => told(
            json!({ "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
                "revocation_endpoint": format!("{origin}/revoke"), "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"] }),
            &lies.server,
        ),
        "/register" => {
            let mut answer = seen.body.clone();
            answer["client_id"] = "portcullis-here".into();
            Some(Reply::Json(201, answer))
        }
        "/token" => Some(Reply::Json(
            200,
            json!({ "access_token": "canary-access", "refresh_token": "canary-refresh", "token_type": "Bearer",
                "expires_in": 3600, "scope": "notes:read", "email": "alice@shady.example" }),
        )),
        "/mcp" => call(lies, seen, &origin),
        _ => Some(Reply::Json(404, json!({}))),
    }
}

fn call(lies: &Lies, seen: &Seen, origin: &str) -> Option<Reply> {
    if seen.header("authorization") == Some("Bearer canary-access") {
        let (status, challenge) = lies.refusal.as_ref()?;
        return (seen.rpc() == "tools/call").then(|| head(*status, &format!("www-authenticate: {challenge}\r\n")));
    }
    let honest = || format!("Bearer resource_metadata=\"{origin}{RESOURCE}\"");
    let challenge = lies.challenge.clone().unwrap_or_else(honest);
    Some(head(401, &format!("www-authenticate: {challenge}\r\n")))
}

fn head(status: u16, lines: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 {status} So\r\n{lines}connection: close\r\ncontent-length: 0\r\n\r\n").into_bytes())
}
