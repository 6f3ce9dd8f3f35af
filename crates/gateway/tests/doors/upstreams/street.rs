//! A server that asks for tokens, and the authorization server that gives them: both under one address, or under two.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{StatusCode, header};
use portcullis_base::{Secret, ServerName};
use portcullis_gateway::{
    authority::{Authority, Begun, Held},
    config::{Allow, ClientProof, Credential, OAuth, OAuthClient, ServerAudit, ToolList},
    outbound::{AddressPolicy, Dialer, Outbound, Reach},
    snapshot::{Server, Snapshot},
    upstream::{Egress, Limits, Location, UpstreamUrl},
};
use portcullis_oauth::parameters::Parameters;
use portcullis_policy::Access;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::house::House;

/// A web server on a port of this machine.
pub struct Street {
    port: u16,
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    asked: Mutex<Vec<Asked>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub kind: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub authorization: String,
    pub body: String,
}

impl Answer {
    pub fn json(body: &Value) -> Self {
        Self { status: StatusCode::OK, kind: "application/json", headers: Vec::new(), body: body.to_string() }
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap();
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A refusal of a token endpoint.
pub fn refusal(code: &str) -> Answer {
    Answer::json(&json!({ "error": code, "error_description": format!("because of {code}") })).status(400)
}

impl Asked {
    pub fn form(&self, name: &str) -> Option<String> {
        Parameters::parse(&self.body).unwrap().get(name).map(str::to_owned)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Street {
    /// A server with nothing on it.
    pub async fn empty() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::<World>::default();
        let router = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, world }
    }

    /// A server at `/mcp` that is its own authorization server, where clients register themselves.
    pub async fn new() -> Self {
        let street = Self::empty().await;
        street.protects(&street.url(""));
        street.serves("", &json!({}));
        street.registers("c-1", "client_secret_basic", Some("s3cret-of-c-1"));
        street.gives("access-1", Some("refresh-1"));
        street
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn named(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The metadata of the server at `/mcp`, with this issuer.
    pub fn protects(&self, issuer: &str) {
        let document = json!({
            "resource": self.url("/mcp"), "authorization_servers": [issuer], "scopes_supported": ["read", "write"],
        });
        self.on("GET /.well-known/oauth-protected-resource/mcp", Answer::json(&document));
    }

    /// The metadata of the issuer at `path`, with changes; null takes a member out.
    pub fn serves(&self, path: &str, changes: &Value) -> Value {
        let document = self.metadata(path, changes);
        self.on(&format!("GET /.well-known/oauth-authorization-server{path}"), Answer::json(&document));
        document
    }

    pub fn metadata(&self, path: &str, changes: &Value) -> Value {
        let mut document = json!({
            "issuer": self.url(path),
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.url("/token"),
            "registration_endpoint": self.url("/register"),
            "revocation_endpoint": self.url("/revoke"),
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        document
    }

    /// Whoever registers gets this.
    pub fn registers(&self, client_id: &str, method: &str, secret: Option<&str>) {
        let mut answer = json!({ "client_id": client_id, "token_endpoint_auth_method": method });
        if let Some(secret) = secret {
            answer["client_secret"] = secret.into();
        }
        self.on("POST /register", Answer::json(&answer).status(201));
    }

    /// The token endpoint gives these.
    pub fn gives(&self, access: &str, refresh: Option<&str>) {
        let mut answer = json!({ "access_token": access, "token_type": "Bearer", "expires_in": 3600 });
        if let Some(refresh) = refresh {
            answer["refresh_token"] = refresh.into();
        }
        self.on("POST /token", Answer::json(&answer));
    }

    /// From now on `line` (method and path) is answered so.
    pub fn on(&self, line: &str, answer: Answer) {
        self.world.answers.lock().unwrap().insert(line.to_owned(), [answer].into());
    }

    /// After the answers it has already; the last one stays.
    pub fn then(&self, line: &str, answer: Answer) {
        self.world.answers.lock().unwrap().entry(line.to_owned()).or_default().push_back(answer);
    }

    /// From now on there is nothing.
    pub fn off(&self, line: &str) {
        self.world.answers.lock().unwrap().remove(line);
    }

    /// What was asked since the last time, of requests that begin so.
    pub fn asked(&self, line: &str) -> Vec<Asked> {
        let mut asked = self.world.asked.lock().unwrap();
        let (found, rest) = asked.drain(..).partition(|one: &Asked| one.line.starts_with(line));
        *asked = rest;
        found
    }

    /// The lines of everything that was asked since the last time.
    pub fn lines(&self) -> Vec<String> {
        self.asked("").into_iter().map(|asked| asked.line).collect()
    }

    pub fn times(&self, line: &str) -> usize {
        self.asked(line).len()
    }

    /// A house behind which the server stands, `oauth` in its settings. Nothing but its own origin may be reached.
    pub async fn house(&self, credential: Credential) -> House {
        self.house_reaching("", credential, &[]).await
    }

    /// The same with settings, and private places that an administrator named.
    pub async fn house_reaching(&self, yaml: &str, credential: Credential, named: &[&str]) -> House {
        let policy = AddressPolicy::naming(named.iter().copied()).unwrap();
        let house = House::with_outbound(yaml, Outbound::new(Dialer::new([]).unwrap(), policy)).await;
        put(&house, self.server(credential));
        house
    }

    /// The server at `/mcp`.
    pub fn server(&self, credential: Credential) -> Server {
        server_at(&self.url("/mcp"), credential)
    }
}

pub fn server_at(url: &str, credential: Credential) -> Server {
    let url = UpstreamUrl::parse(url).unwrap();
    let reach = if url.is_loopback() { Reach::Private } else { Reach::Global };
    Server {
        name: ServerName::parse("tickets").unwrap(),
        location: Location::Url { url, reach, egress: Arc::new(Egress::default()) },
        limits: Limits::default(),
        access: Access::open(),
        description: None,
        credential: Arc::new(credential),
        request_headers: Arc::default(),
        tools: ToolList::Personal,
        allow: Allow::REMOTE,
        risk: Arc::default(),
        audit: ServerAudit::default(),
    }
}

/// Puts the server behind the gateway.
pub fn put(house: &House, server: Server) -> Arc<Server> {
    let before = house.app.snapshot.load();
    let server = Arc::new(server);
    let mut servers = before.servers.clone();
    servers.insert(server.name.clone(), server.clone());
    house.app.snapshot.store(Arc::new(Snapshot {
        servers,
        toolboxes: before.toolboxes.clone(),
        people: before.people.clone(),
        service_accounts: before.service_accounts,
        bundle: before.bundle.clone(),
        revision: before.revision,
    }));
    server
}

/// The server as it is behind the gateway.
pub fn tickets(house: &House) -> Arc<Server> {
    house.app.snapshot.load().servers[&ServerName::parse("tickets").unwrap()].clone()
}

pub fn authority(house: &House) -> &Authority {
    &house.app.authority
}

pub fn oauth() -> Credential {
    Credential::OAuth(OAuth::default())
}

/// OAuth with a client that somebody registered.
pub fn configured(issuer: &str, proof: ClientProof) -> OAuth {
    let client = Some(OAuthClient { id: "ours".into(), proof });
    OAuth { issuer: Some(issuer.to_owned()), client, ..OAuth::default() }
}

pub fn secret() -> ClientProof {
    ClientProof::Secret { secret: Secret::new("s3cret-of-ours".into()), how: None }
}

/// A parameter of an address.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The person's way there and back, all the way to tokens.
pub async fn connected(house: &House) -> Held {
    let (_, begun) = authority(house).begin(&tickets(house), &[]).await.unwrap();
    authority(house).redeem(&begun, &back(&begun)).await.unwrap()
}

/// What the browser brings back when all is well.
pub fn back(begun: &Begun) -> String {
    format!("code=c0de&state={}", begun.state.reveal())
}

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri.path());
    let authorization = head.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(body, 1 << 20).await.unwrap();
    world.asked.lock().unwrap().push(Asked {
        line: line.clone(),
        authorization: authorization.unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let mut answers = world.answers.lock().unwrap();
    let found =
        answers.get_mut(&line).and_then(|all| if all.len() > 1 { all.pop_front() } else { all.front().cloned() });
    let Some(found) = found else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::from("nothing here")).unwrap();
    };
    let mut response = Response::builder().status(found.status).header(header::CONTENT_TYPE, found.kind);
    for (name, value) in found.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(found.body)).unwrap()
}
