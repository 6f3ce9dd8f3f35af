//! Clients that prove themselves by a signature.

use std::time::Duration;

use http::StatusCode;
use portcullis_gateway::system;
use portcullis_oauth::{jwks::SigningKey, jwt};
use serde_json::{Value, json};

use crate::{
    house::{Answer, House, ISSUER, VERIFIER, WEB_CALLBACK, authorize},
    publisher::Publisher,
};

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn key() -> SigningKey {
    let random = system::random();
    SigningKey::from_pkcs8(&SigningKey::generate(&random).unwrap(), random).unwrap()
}

struct Story {
    house: House,
    publisher: Publisher,
    key: SigningKey,
    client: String,
}

impl Story {
    /// A client whose document says it signs its assertions, with its key in the document or beside it.
    async fn new(inline: &str) -> Self {
        let publisher = Publisher::new().await;
        let key = key();
        let client = publisher.url("/client.json");
        let set = json!({ "keys": [key.public().to_jwk()] });
        let mut document = json!({
            "client_id": client,
            "client_name": "Signing client",
            "redirect_uris": [WEB_CALLBACK],
            "token_endpoint_auth_method": "private_key_jwt",
        });
        if inline == "jwks" {
            document["jwks"] = set.clone();
        } else {
            document["jwks_uri"] = json!(publisher.url("/jwks.json"));
        }
        publisher.publish("/client.json", &document);
        publisher.publish("/jwks.json", &set);
        let house = House::with_outbound("", publisher.outbound()).await;
        house.person("ada").await;
        Self { house, publisher, key, client }
    }

    async fn code(&self) -> String {
        let browser = self.house.signed_in("ada").await;
        let page = browser.get(&authorize(&self.client, WEB_CALLBACK, &[])).await;
        browser.approve(&page).await.location_parameter("code").unwrap()
    }

    fn claims(&self, jti: &str) -> Value {
        let now = self.house.app.clock.now().as_secs();
        json!({ "iss": self.client, "sub": self.client, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti })
    }

    async fn redeem(&self, code: &str, assertion: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("client_id", &self.client),
            ("client_assertion_type", KIND),
            ("client_assertion", assertion),
        ];
        self.house.post("/oauth/token", &form).await
    }
}

// spec: AS-61, AS-63, AS-64
#[tokio::test]
async fn a_signed_assertion_proves_the_client_once() {
    for keys in ["jwks", "jwks_uri"] {
        let story = Story::new(keys).await;
        let code = story.code().await;
        let assertion = jwt::sign(&story.key, "JWT", &story.claims("one")).unwrap();
        let without = [("grant_type", "authorization_code"), ("code", &*code), ("code_verifier", VERIFIER)];
        let mut without = without.to_vec();
        without.push(("client_id", &story.client));
        assert_eq!(story.house.post("/oauth/token", &without).await.error(), "invalid_client");
        let answer = story.redeem(&code, &assertion).await;
        assert_eq!(answer.status, StatusCode::OK, "{keys}: {}", answer.text);
        let answer = story.redeem(&story.code().await, &assertion).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"), "replayed");
    }
}

// spec: AS-63
#[tokio::test]
async fn an_assertion_that_is_wrong_in_one_point_proves_nothing() {
    let story = Story::new("jwks").await;
    let code = story.code().await;
    let now = story.house.app.clock.now().as_secs();
    let claims = story.claims("right");
    let with = |name: &str, value: Value| {
        let mut claims = story.claims(&format!("wrong {name} {value}"));
        claims[name] = value;
        jwt::sign(&story.key, "JWT", &claims).unwrap()
    };
    let mut wrong = vec![
        with("sub", json!("somebody else")),
        with("iss", json!("somebody else")),
        with("aud", json!("https://evil.example")),
        with("aud", json!([ISSUER, "https://evil.example"])),
        with("exp", json!(now - 120)),
        with("exp", json!(now + 24 * 3600)),
        with("exp", Value::Null),
        with("jti", Value::Null),
        with("iat", json!(now + 600)),
        with("nbf", json!(now + 600)),
        jwt::sign(&key(), "JWT", &claims).unwrap(),
        jwt::sign(&story.key, "at+jwt", &claims).unwrap(),
        "not.a.jwt".into(),
    ];
    let unsigned = jwt::sign(&story.key, "JWT", &claims).unwrap();
    wrong.push(format!("{}.", unsigned.rsplit_once('.').unwrap().0));
    for assertion in wrong {
        let answer = story.redeem(&code, &assertion).await;
        assert!(
            matches!(answer.error().as_str(), "invalid_client" | "invalid_request"),
            "{assertion}: {} {}",
            answer.status,
            answer.text
        );
    }
    for audience in [json!(ISSUER), json!(format!("{ISSUER}/oauth/token")), json!([ISSUER])] {
        let answer = story.redeem("no-code", &with("aud", audience.clone())).await;
        assert_eq!(answer.error(), "invalid_grant", "{audience} is us");
    }
}

// spec: T-38
#[tokio::test]
async fn unknown_keys_do_not_make_the_gateway_fetch_at_every_try() {
    let story = Story::new("jwks_uri").await;
    let code = story.code().await;
    for at in 0..20 {
        let forged = jwt::sign(&key(), "JWT", &story.claims(&at.to_string())).unwrap();
        assert_eq!(story.redeem(&code, &forged).await.error(), "invalid_client");
    }
    assert_eq!(story.publisher.asked("/jwks.json"), 1);
    // A key that was rotated in is found once the copy is old.
    let next = key();
    story.publisher.publish("/jwks.json", &json!({ "keys": [next.public().to_jwk()] }));
    story.house.clock.advance(Duration::from_mins(10));
    let assertion = jwt::sign(&next, "JWT", &story.claims("next")).unwrap();
    assert_eq!(story.redeem(&story.code().await, &assertion).await.status, StatusCode::OK);
}
