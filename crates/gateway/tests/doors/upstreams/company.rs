//! An identity provider of the company, and people who signed in there.

use http::StatusCode;
use portcullis_base::{Clock, PersonId, Secret};
use portcullis_gateway::{authority::Whom, config::Credential, system};
use portcullis_oauth::{jwks::SigningKey, jwt};
use portcullis_store::{LinkBy, NewPeople, PersonKind, ProviderSignIn, SignedIn};
use serde_json::{Value, json};

use super::street::{Answer, Street};
use crate::house::House;

pub const SUBJECT: &str = "248289761001";

pub struct Company {
    pub street: Street,
    key: SigningKey,
}

impl Company {
    pub async fn new() -> Self {
        let (street, random) = (Street::empty().await, system::random());
        let key = SigningKey::from_pkcs8(&SigningKey::generate(&random).unwrap(), random).unwrap();
        let company = Self { street, key };
        company.describe(&json!({}));
        company.street.on("GET /jwks", Answer::json(&json!({ "keys": [company.key.public().to_jwk()] })));
        company
    }

    pub fn issuer(&self) -> String {
        self.street.url("")
    }

    /// Publishes the discovery document, with changes.
    pub fn describe(&self, changes: &Value) {
        let more = json!({ "jwks_uri": self.street.url("/jwks") });
        let mut document = self.street.metadata("", &more);
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.street.on("GET /.well-known/openid-configuration", Answer::json(&document));
    }

    /// A house behind which `tickets` stands, with this provider.
    pub async fn house(&self, tickets: &Street, credential: Credential) -> House {
        let (issuer, named) = (self.issuer(), self.street.named());
        let yaml = format!(
            "outbound: {{ private_hosts: [\"{named}\"] }}\nidentity:\n  providers:\n    - id: company\n      name: Example \
             Corp\n      kind: oidc\n      issuer: {issuer}\n      client_id: portcullis\n      client_secret: \
             env:REPORT_SECRET\n"
        );
        tickets.house_reaching(&yaml, credential, &[&named]).await
    }

    /// Somebody who signed in there and left a refresh token.
    pub async fn ada(&self, house: &House) -> Whom {
        self.signs_in(house, Some("left-1")).await
    }

    pub async fn signs_in(&self, house: &House, refresh: Option<&str>) -> Whom {
        let app = &house.app;
        let issuer = self.issuer();
        let sealed = refresh
            .map(|token| app.keys.seal_provider_token(&issuer, SUBJECT, &Secret::new(token.to_owned()), &*app.rng));
        let new_person = PersonId::random(&*app.rng);
        let sign_in = ProviderSignIn {
            provider: "company",
            issuer: &issuer,
            subject: SUBJECT,
            tenant: None,
            external_id: None,
            email: Some("ada@example.com"),
            names: &["ada".to_owned()],
            display_name: "Ada Lovelace",
            groups: None,
            refresh_sealed: sealed.as_deref(),
            sign_up: NewPeople::Welcome,
            link: LinkBy::Nothing,
            new_person: &new_person,
        };
        let person = match app.store.sign_in_identity(&sign_in, house.clock.now()).await.unwrap() {
            SignedIn::Known(person) | SignedIn::Created(person) | SignedIn::Linked(person) => person,
            SignedIn::Refused(why) => panic!("{why:?}"),
        };
        Whom { person: person.id, kind: PersonKind::Person, name: "ada".into(), groups: ["staff".into()].into() }
    }

    /// The refresh token that is kept of them now.
    pub async fn left(&self, house: &House, whom: &Whom) -> String {
        let identity = house.app.store.identities_of(&whom.person).await.unwrap().remove(0);
        let sealed = identity.refresh_sealed.unwrap();
        house.app.keys.open_provider_token(&identity.issuer, SUBJECT, &sealed).unwrap().reveal().to_owned()
    }

    /// What a refresh of a sign-in is answered with, for `subject`.
    pub fn fresh(&self, house: &House, refresh: Option<&str>, subject: &str) -> Answer {
        let now = house.clock.now().as_secs();
        let claims = json!({ "iss": self.issuer(), "sub": subject, "aud": "portcullis", "iat": now, "exp": now + 300 });
        let mut answer = json!({
            "access_token": "company-access", "token_type": "Bearer", "expires_in": 300,
            "id_token": jwt::sign(&self.key, "JWT", &claims).unwrap(),
        });
        if let Some(refresh) = refresh {
            answer["refresh_token"] = refresh.into();
        }
        Answer::json(&answer)
    }

    /// The token endpoint answers the refresh, and then this.
    pub fn gives(&self, house: &House, then: Answer) {
        self.street.on("POST /token", self.fresh(house, Some("left-2"), SUBJECT));
        self.street.then("POST /token", then);
    }
}

/// An answer to an exchange.
pub fn exchanged(kind: &str, token_type: &str, token: &str) -> Answer {
    let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
    let answer =
        json!({ "access_token": token, "issued_token_type": kind, "token_type": token_type, "expires_in": 600 });
    Answer { status: StatusCode::OK, ..Answer::json(&answer) }
}
