//! A gateway whose people are those of a company: what the stories with a provider begin with.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::TestGateway,
    person::{Client, Tokens, parameter},
    provider::{Provider, Providers},
    walk::{Page, Walker},
};
use portcullis_store::Person;
use serde_json::{Value, json};

/// A gateway and its provider.
pub struct Company {
    pub providers: Providers,
    pub house: TestGateway,
}

impl Company {
    /// With a certified provider, plain OpenID Connect; `None` where no provider can run.
    pub async fn start() -> Result<Option<Self>> {
        Self::of("oidc", json!({}), "").await
    }

    /// With a provider of some make, more settings of it, and more settings of the gateway (YAML).
    pub async fn of(make: &str, settings: Value, more: &str) -> Result<Option<Self>> {
        let Some(providers) = Providers::company(make).await? else { return Ok(None) };
        Self::with(providers, make, settings, more).await.map(Some)
    }

    /// The same with a provider to which something was done already.
    pub async fn with(providers: Providers, make: &str, settings: Value, more: &str) -> Result<Self> {
        let mut members = json!({ "kind": make.split('-').next() });
        if make == "oidc" {
            members["scopes"] = json!(["openid", "profile", "email", "groups", "offline_access"]);
        }
        for (name, value) in settings.as_object().into_iter().flatten() {
            members[name] = value.clone();
        }
        let house = providers.gateway_with(json!({}), &[("company", members)], more).await?;
        Ok(Self { providers, house })
    }

    /// Two companies at one gateway: `company` and `partner`.
    pub async fn and_partner() -> Result<Option<Self>> {
        let makes = json!({ "company": { "kind": "oidc" }, "partner": { "kind": "keycloak", "iss": true } });
        let Some(providers) = Providers::start(makes).await? else { return Ok(None) };
        let each = [
            ("company", json!({ "kind": "oidc" })),
            ("partner", json!({ "kind": "keycloak", "domains": ["partner.example"] })),
        ];
        let house = providers.gateway_with(json!({}), &each, "").await?;
        providers.get("partner").account("alice", json!({ "email": "alice@partner.example" })).await?;
        Ok(Some(Self { providers, house }))
    }

    pub fn provider(&self) -> Provider<'_> {
        self.providers.get("company")
    }

    pub fn partner(&self) -> Provider<'_> {
        self.providers.get("partner")
    }

    /// A fresh browser.
    pub fn browser(&self) -> Result<Walker> {
        Walker::new(&self.house, &self.providers)
    }

    /// A browser in which somebody has signed in at the provider.
    pub async fn signed_in(&self, login: &str) -> Result<Walker> {
        let mut browser = self.browser()?;
        browser.sign_in("company", login).await?;
        Ok(browser)
    }

    /// A client with tokens, for which somebody signed in at the provider.
    pub async fn client(&self, server: &str, login: &str) -> Result<(Client, Tokens)> {
        let client = Client::register(&self.house.authority, "A test client").await?;
        let code = self.code(&mut self.browser()?, &client, server, login).await?;
        let tokens = client.redeem(&code).await?;
        Ok((client, tokens))
    }

    /// A code for a client, whatever this browser has to go through.
    pub async fn code(&self, browser: &mut Walker, client: &Client, server: &str, login: &str) -> Result<String> {
        let page = browser.open(&client.authorize_target(server)).await?;
        let page = browser.go_on(page, login).await?;
        code(&page)
    }

    /// Both clocks.
    pub async fn advance(&self, by: Duration) -> Result<()> {
        self.providers.advance(by).await?;
        self.house.advance(by).await
    }

    /// Who is known, by name.
    pub async fn person(&self, name: &str) -> Result<Option<Person>> {
        Ok(self.house.app.store.person_by_name(name).await?.map(|(person, _)| person))
    }

    /// How many have signed in so far.
    pub async fn sign_ins(&self) -> Result<usize> {
        Ok(self.house.events("signin.succeeded").await?.len())
    }
}

/// The code in a redirect to the client.
pub fn code(page: &Page) -> Result<String> {
    let back = page.leads_to().with_context(|| format!("{}: {} {}", page.url, page.answer.status, page.text()))?;
    parameter(&back, "code").with_context(|| format!("no code in {back}"))
}

/// Whether somebody is signed in in this browser.
pub async fn is_signed_in(browser: &mut Walker) -> Result<bool> {
    let page = browser.open("/").await?;
    ensure!([200, 303, 307].contains(&page.answer.status), "home: {}", page.answer.status);
    Ok(page.answer.status == 200)
}

/// Whether a page refuses: a status, no way on by itself, no code.
pub fn refuses(page: &Page, status: u16) -> bool {
    page.answer.status == status && page.leads_to().is_none() && !page.asks()
}
