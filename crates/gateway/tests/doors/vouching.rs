//! An identity provider that answers whatever a test wants: for faults that a real one does not make.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use portcullis_gateway::{
    identity::{Expect, Provider},
    outbound::{AddressPolicy, Dialer, Outbound},
    system,
};
use portcullis_oauth::{jwks::SigningKey, jwt, parameters::Parameters};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::house::{House, VERIFIER};

pub const NONCE: &str = "n-0S6_WzA2Mj";
pub const STATE: &str = "af0ifjsldkj";

/// A provider on a port of this machine.
pub struct Voucher {
    port: u16,
    world: Arc<World>,
    key: SigningKey,
    names: Names,
}

/// Whether keys have names.
#[derive(PartialEq)]
enum Names {
    Given,
    None,
}

#[derive(Default)]
struct World {
    answers: Mutex<HashMap<String, (StatusCode, Value)>>,
    asked: Mutex<Vec<Asked>>,
    date: Mutex<Option<HeaderValue>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub authorization: String,
    pub body: String,
}

impl Voucher {
    /// A provider that has a discovery document and a key, and nobody to vouch for yet.
    pub async fn new() -> Self {
        Self::naming(Names::Given).await
    }

    /// The same with keys that have no names.
    pub async fn without_key_names() -> Self {
        Self::naming(Names::None).await
    }

    async fn naming(names: Names) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::<World>::default();
        let router = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let voucher = Self { port, world, key: key(), names };
        voucher.describe(&json!({}));
        voucher.publish_key();
        voucher
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn issuer(&self) -> String {
        self.url("")
    }

    /// Settings of a house with this one provider, `more` in its entry.
    pub fn settings(&self, kind: &str, more: &str) -> String {
        let issuer =
            if more.contains("issuer:") { String::new() } else { format!("issuer: {}\n      ", self.issuer()) };
        format!(
            "outbound: {{ private_hosts: [\"127.0.0.1:{}\"] }}\nidentity:\n  providers:\n    - id: company\n      \
             kind: {kind}\n      {issuer}client_id: portcullis\n      {more}\n",
            self.port
        )
    }

    pub fn outbound(&self) -> Outbound {
        let named = format!("127.0.0.1:{}", self.port);
        Outbound::new(Dialer::new([]).unwrap(), AddressPolicy::naming([named.as_str()]).unwrap())
    }

    pub async fn house(&self, kind: &str, more: &str) -> House {
        House::with_outbound(&self.settings(kind, more), self.outbound()).await
    }

    /// Publishes the discovery document with `changes`; null takes a member out.
    pub fn describe(&self, changes: &Value) {
        let mut document = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.url("/token"),
            "jwks_uri": self.url("/jwks"),
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.answer("/.well-known/openid-configuration", &document);
    }

    pub fn answer(&self, path: &str, body: &Value) {
        self.fail(path, StatusCode::OK, body);
    }

    pub fn fail(&self, path: &str, status: StatusCode, body: &Value) {
        self.world.answers.lock().unwrap().insert(path.to_owned(), (status, body.clone()));
    }

    /// Says in every answer that it is `date`.
    pub fn tells(&self, date: &str) {
        *self.world.date.lock().unwrap() = Some(HeaderValue::from_str(date).unwrap());
    }

    /// From now on this is answered with 503.
    pub fn down(&self, path: &str) {
        self.fail(path, StatusCode::SERVICE_UNAVAILABLE, &json!("down"));
    }

    pub fn publish_key(&self) {
        let mut jwk = self.key.public().to_jwk();
        if self.names == Names::None {
            jwk.as_object_mut().unwrap().remove("kid");
        }
        self.answer("/jwks", &json!({ "keys": [jwk] }));
    }

    /// Another key signs from now on, and only that one is published.
    pub fn rotate(&mut self) {
        self.key = key();
        self.publish_key();
    }

    /// How often something was asked for since the last time.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let mut asked = self.world.asked.lock().unwrap();
        let (found, rest) =
            asked.drain(..).partition(|one: &Asked| one.line.split(' ').nth(1).unwrap().starts_with(path));
        *asked = rest;
        found
    }

    pub fn times(&self, path: &str) -> usize {
        self.asked(path).len()
    }

    /// A token signed by this provider's key.
    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        if self.names == Names::Given {
            return jwt::sign(&self.key, typ, claims).unwrap();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "typ": typ, "alg": "ES256" })), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{signature}")
    }

    /// A good ID token for `subject` at the house's time, with `changes`; null takes a claim out.
    pub fn id_token(&self, house: &House, changes: &Value) -> String {
        let now = portcullis_base::Clock::now(&*house.clock).as_secs();
        let mut claims = json!({
            "iss": self.issuer(), "sub": "248289761001", "aud": "portcullis", "nonce": NONCE,
            "iat": now, "exp": now + 300, "auth_time": now - 10,
            "preferred_username": "ada", "name": "Ada Lovelace",
            "email": "ada@example.com", "email_verified": true, "groups": ["engineers"],
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value: &mut Value| !value.is_null());
        self.sign("JWT", &claims)
    }

    /// Lets the token endpoint answer with such an ID token, and `more` members besides.
    pub fn vouch(&self, house: &House, changes: &Value, more: &Value) {
        let mut answer = json!({ "access_token": "access-1", "token_type": "Bearer", "expires_in": 300 });
        answer["id_token"] = self.id_token(house, changes).into();
        for (name, value) in more.as_object().unwrap() {
            answer[name] = value.clone();
        }
        answer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.answer("/token", &answer);
    }
}

impl Asked {
    pub fn form(&self, name: &str) -> Option<String> {
        Parameters::parse(&self.body).unwrap().get(name).map(str::to_owned)
    }
}

pub fn provider(house: &House) -> Arc<Provider> {
    house.app.providers.get("company").unwrap().clone()
}

/// What the browser brings back when all is well.
pub fn callback() -> String {
    format!("code=c0de&state={STATE}")
}

/// What a sign-in that was begun with [`NONCE`] expects.
pub fn expect(verifier: &portcullis_base::Secret) -> Expect<'_> {
    Expect { nonce: NONCE, verifier, fresh: None }
}

pub fn verifier() -> portcullis_base::Secret {
    portcullis_base::Secret::new(VERIFIER.into())
}

fn key() -> SigningKey {
    let random = system::random();
    SigningKey::from_pkcs8(&SigningKey::generate(&random).unwrap(), random).unwrap()
}

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().as_str().to_owned();
    let authorization = head.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    world.asked.lock().unwrap().push(Asked {
        line: format!("{} {target}", head.method),
        authorization: authorization.unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let answers = world.answers.lock().unwrap();
    let mut response = match answers.get(&target).or_else(|| answers.get(head.uri.path())) {
        Some((status, body)) => (*status, axum::Json(body.clone())).into_response(),
        None => (StatusCode::NOT_FOUND, axum::Json(Map::new())).into_response(),
    };
    if let Some(date) = world.date.lock().unwrap().clone() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
