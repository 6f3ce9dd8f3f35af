//! A gateway with two directories, and a client that somebody of them uses.

use anyhow::{Context, Result, anyhow, ensure};
use portcullis_base::{ClientId, Digest, GrantId, PersonId, Rng, token};
use portcullis_gateway::system::SystemRng;
use portcullis_house::{
    gateway::TestGateway,
    http::{Answer, Request},
    person::{Client, REDIRECT, Tokens, VERIFIER},
};
use portcullis_oauth::{
    grant::{Code, Grant},
    pkce::Challenge,
    scope::Scopes,
};
use portcullis_store::{Approval, LinkBy, NewPeople, ProviderSignIn, SignedIn};
use serde_json::{Value, json};

pub const TOKEN: &str = "token of the company's directory";
pub const OTHER: &str = "token of the other directory";
pub const ISSUER: &str = "https://login.example.com";

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A gateway whose providers `company` and `other` have directories.
pub struct Company {
    pub house: TestGateway,
    _secrets: tempfile::TempDir,
}

impl Company {
    pub async fn start() -> Result<Self> {
        Self::with("").await
    }

    /// With more settings (YAML).
    pub async fn with(more: &str) -> Result<Self> {
        let secrets = tempfile::tempdir()?;
        let provider = |id: &str, host: &str, token: &str| -> Result<Value> {
            let file = secrets.path().join(id);
            std::fs::write(&file, token)?;
            Ok(json!({ "id": id, "kind": "oidc", "issuer": format!("https://{host}"), "client_id": "portcullis",
                "scim": { "token": format!("file:{}", file.display()) } }))
        };
        let providers =
            [provider("company", "login.example.com", TOKEN)?, provider("other", "login.example.org", OTHER)?];
        // JSON is YAML.
        let identity = json!({ "local_accounts": true, "providers": providers });
        let house = TestGateway::with(&format!("identity: {identity}\n{more}")).await?;
        Ok(Self { house, _secrets: secrets })
    }

    /// A request of a directory.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.house.request(method, &format!("/scim/v2{path}")).bearer(TOKEN)
    }

    /// Sends a body as directories do.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let request = self.request(method, path).header("content-type", "application/scim+json; charset=utf-8");
        request.body(body.to_string()).send().await
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.request("GET", path).send().await
    }

    /// Announces somebody with what every directory sends.
    pub async fn user(&self, name: &str) -> Result<Value> {
        let body = json!({ "schemas": [USER], "userName": format!("{name}@example.com"), "externalId": format!("ext-{name}"),
            "active": true, "displayName": name,
            "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }] });
        let answer = self.send("POST", "/Users", &body).await?;
        ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
        Ok(answer.json())
    }

    /// Announces a group of these users.
    pub async fn group(&self, name: &str, members: &[&str]) -> Result<Value> {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        let answer = self.send("POST", "/Groups", &body).await?;
        ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
        Ok(answer.json())
    }

    pub async fn patch(&self, path: &str, operations: Value) -> Result<Answer> {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.send("PATCH", path, &body).await
    }

    /// What `GET /Users?filter=…` finds.
    pub async fn found(&self, kind: &str, filter: &str) -> Result<Vec<Value>> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
        let answer = self.get(&format!("/{kind}?{query}")).await?;
        ensure!(answer.status == 200, "{filter}: {} {}", answer.status, answer.text());
        Ok(answer.json()["Resources"].as_array().cloned().unwrap_or_default())
    }

    /// The person whom a user of the directory stands for, signed in at the provider for the first time.
    pub async fn signed_in(&self, name: &str) -> Result<PersonId> {
        let (store, now) = (&self.house.app.store, self.house.app.clock.now());
        let external = format!("ext-{name}");
        let sealed = self.house.app.keys.seal_provider_token(
            ISSUER,
            name,
            &portcullis_base::Secret::new("refresh token".into()),
            &SystemRng::new(),
        );
        let sign_in = ProviderSignIn {
            provider: "company",
            issuer: ISSUER,
            subject: name,
            tenant: None,
            external_id: Some(&external),
            email: None,
            names: &[],
            display_name: name,
            groups: None,
            refresh_sealed: Some(&sealed),
            sign_up: NewPeople::Refused,
            link: LinkBy::ExternalId,
            new_person: &PersonId::new("usr_none"),
        };
        match store.sign_in_identity(&sign_in, now).await? {
            SignedIn::Linked(person) | SignedIn::Known(person) => Ok(person.id),
            other => Err(anyhow!("{other:?}")),
        }
    }

    /// A client with tokens for the sample, as if `person` had approved it on the page.
    pub async fn client_of(&self, person: &PersonId) -> Result<(Client, Tokens)> {
        self.client_at(person, "sample").await
    }

    /// The same for any server.
    pub async fn client_at(&self, person: &PersonId, server: &str) -> Result<(Client, Tokens)> {
        let client = Client::register(&self.house.authority, "A test client").await?;
        let (app, rng) = (&self.house.app, SystemRng::new());
        let (now, code) = (app.clock.now(), token::<32>(&rng as &dyn Rng));
        let grant = Grant {
            id: GrantId::random(&rng),
            person: person.clone(),
            client: ClientId::new(client.id.as_str()),
            resource: format!("http://{}/mcp/{server}", self.house.authority),
            scopes: Scopes::parse("mcp:read mcp:call offline_access").context("scopes")?,
            redirect_uri: REDIRECT.into(),
            created_at: now,
            expires_at: now.plus(std::time::Duration::from_hours(24)),
            authenticated_at: Some(now),
            acr: None,
            session: None,
            revoked: None,
        };
        let challenge = Challenge::parse(&Digest::of(VERIFIER.as_bytes()).to_base64url());
        let stored = Code {
            hash: Digest::of(code.as_bytes()),
            grant: grant.id.clone(),
            challenge: challenge.map_err(|_| anyhow!("challenge"))?,
            expires_at: now.plus(std::time::Duration::from_secs(60)),
            redeemed_at: None,
        };
        let approval = Approval {
            transaction: &token::<16>(&rng as &dyn Rng),
            transaction_expires_at: now.plus(std::time::Duration::from_mins(10)),
            grant: &grant,
            code: &stored,
            remember: None,
        };
        app.store.approve(&approval, now).await?;
        app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
        let tokens = client.redeem(&code).await?;
        Ok((client, tokens))
    }

    /// The status of a call.
    pub async fn call(&self, token: &str) -> Result<u16> {
        Ok(self.house.call("sample", token, "echo", json!({ "message": "hi" })).send().await?.status)
    }
}

pub fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap_or_default()
}

/// What an error must look like.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, kind: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(answer.header("content-type"), Some("application/scim+json"), "{body}");
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(body["status"], status.to_string());
    assert_eq!(body["scimType"].as_str().unwrap_or_default(), kind, "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{body}");
}
