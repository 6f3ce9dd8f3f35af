//! A company whose people sign in at its provider, and servers that take the company's word for who they are.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_house::{
    gateway::TestGateway,
    http::Answer,
    person::{Client, parameter},
    provider::{Provider, Providers},
    upstream::{Upstream, Upstreams},
    walk::Walker,
};
use serde_json::{Value, json};

pub struct Office {
    pub house: TestGateway,
    pub providers: Providers,
    pub upstreams: Upstreams,
}

impl Office {
    /// `make` is the kind of the provider; `servers` may name its issuer and keys as `$issuer` and `$jwks`.
    pub async fn start(make: &str, servers: Value) -> Result<Option<Self>> {
        Self::with(make, servers, |_| Ok(String::new())).await
    }

    /// The same with more settings (YAML), which may name what there is.
    pub async fn with(
        make: &str,
        servers: Value,
        more: impl FnOnce(&Upstreams) -> Result<String>,
    ) -> Result<Option<Self>> {
        Self::beside(json!({}), make, servers, more).await
    }

    /// The same with what stands beside the provider in the settings, such as `local_accounts`.
    pub async fn beside(
        identity: Value,
        make: &str,
        servers: Value,
        more: impl FnOnce(&Upstreams) -> Result<String>,
    ) -> Result<Option<Self>> {
        let Some(providers) = Providers::company(make).await? else { return Ok(None) };
        let company = providers.get("company");
        let jwks = company.keys().await?;
        let text = servers.to_string().replace("\"$jwks\"", &jwks.to_string()).replace("$issuer", company.issuer());
        let trusts = json!({ "acme": { "trusts": { company.issuer(): jwks } } });
        let Some(upstreams) = Upstreams::beside(&providers, trusts, serde_json::from_str(&text)?).await? else {
            return Ok(None);
        };
        let mut hosts = upstreams.hosts();
        hosts.extend(providers.hosts());
        let outbound = json!({ "ca_file": providers.authority(), "private_hosts": hosts });
        let mut members = json!({ "kind": make });
        if make == "oidc" {
            members["scopes"] = json!(["openid", "profile", "email", "groups", "offline_access"]);
        }
        let identity = providers.identity(identity, &[("company", members)]);
        let more = more(&upstreams)?;
        let house = TestGateway::without_people(&format!("{identity}outbound: {outbound}\n{more}")).await?;
        company.introduce(&house).await?;
        let grants = ["token-exchange", "jwt-bearer"].map(|grant| format!("urn:ietf:params:oauth:grant-type:{grant}"));
        let grants = [&["authorization_code".to_owned(), "refresh_token".to_owned()], &grants[..]].concat();
        company.client(json!({ "grant_types": grants })).await?;
        std::fs::write(providers.folder().join("acme-secret"), "secret-at-acme")?;
        Ok(Some(Self { house, providers, upstreams }))
    }

    pub fn company(&self) -> Provider<'_> {
        self.providers.get("company")
    }

    pub fn at<'a>(&'a self, id: &'a str) -> Upstream<'a> {
        self.upstreams.get(id)
    }

    /// The gateway's client at `acme`, as both sides know it.
    pub async fn client_at_acme(&self) -> Result<Value> {
        let acme = self.at("acme");
        acme.client(json!({ "client_id": "at-acme", "client_secret": "secret-at-acme", "redirect_uris": ["https://gate.example/"],
            "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"] }))
            .await?;
        self.company().set(json!({ "exchange": { "clients": { acme.issuer(): "at-acme" } } })).await?;
        let secret = self.providers.folder().join("acme-secret");
        Ok(
            json!({ "issuer": acme.issuer(), "client_id": "at-acme", "client_secret": format!("file:{}", secret.display()) }),
        )
    }

    pub async fn protect(&self, name: &str, credential: Value) -> Result<()> {
        let mut entry = json!({ "name": name, "url": self.at(name).url(), "credential": credential });
        if self.at(name).url().starts_with("https:") {
            entry["tls"] = json!({ "ca_file": self.upstreams.authority() });
        }
        self.house.protect_as(entry).await
    }

    /// A token at the gateway for somebody who signs in at the provider.
    pub async fn token(&self, server: &str, login: &str) -> Result<String> {
        let client = Client::register(&self.house.authority, "A client").await?;
        let mut browser = Walker::new(&self.house, &self.providers)?;
        let page = browser.open(&client.authorize_target(server)).await?;
        let page = browser.go_on(page, login).await?;
        let back = page.leads_to().with_context(|| format!("{}: {}", page.url, page.said()))?;
        let code = parameter(&back, "code").with_context(|| back.to_string())?;
        Ok(client.redeem(&code).await?.access)
    }

    /// Time passes for everybody.
    pub async fn advance(&self, by: Duration) -> Result<()> {
        self.providers.advance(by).await?;
        self.upstreams.advance(by).await?;
        self.house.advance(by).await
    }

    /// The identity assertions that `acme` was shown.
    pub async fn assertions(&self) -> Result<Vec<String>> {
        let requests = self.at("acme").requests().await?;
        let bodies = requests.iter().filter_map(|request| request["body"].as_str());
        let pairs = bodies.flat_map(|body| url::form_urlencoded::parse(body.as_bytes()));
        Ok(pairs.filter(|(name, _)| name == "assertion").map(|(_, value)| value.into_owned()).collect())
    }

    /// What the servers' own tools were called with, as `server` saw it: the `Authorization` of each.
    pub async fn called(&self, server: &str) -> Result<Vec<String>> {
        let requests = self.at(server).requests().await?;
        let calls = requests.iter().filter(|one| one["body"].as_str().is_some_and(|body| body.contains("tools/call")));
        Ok(calls.map(|one| one["headers"]["authorization"].as_str().unwrap_or_default().to_owned()).collect())
    }

    pub async fn whoami(&self, server: &str, token: &str) -> Result<Answer> {
        self.house.call(server, token, "whoami", json!({})).send().await
    }

    /// What a call answers: the text of its result, or of its error.
    pub async fn said(&self, server: &str, token: &str) -> Result<String> {
        let answer = self.whoami(server, token).await?.json();
        let text = answer["result"]["content"][0]["text"].as_str().or(answer["error"]["message"].as_str());
        text.map(str::to_owned).with_context(|| answer.to_string())
    }
}

/// What a JWT says, whoever signed it.
pub fn claims(token: Option<&String>) -> Result<Value> {
    let body = token.and_then(|token| token.split('.').nth(1)).context("a JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body)?)?)
}
