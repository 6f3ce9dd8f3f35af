//! A gateway, the servers behind it and their authorization servers, with one clock for all of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::TestGateway,
    http::Answer,
    upstream::{Upstream, Upstreams},
    walk::Walker,
};
use serde_json::{Value, json};

/// More than any test needs.
const PATIENT: &str = "limits: { sign_ins_per_minute: 10000 }\n";

/// What a test plays in.
pub struct Town {
    pub house: TestGateway,
    pub upstreams: Upstreams,
}

impl Town {
    /// `notes`, a server whose authorization server is `acme`, made as `manners` says.
    pub async fn with_notes(manners: Value) -> Result<Option<Self>> {
        let (authorities, servers) =
            (json!({ "acme": manners }), json!({ "notes": { "authority": "acme", "tls": true } }));
        Self::start(authorities, servers, &[("notes", json!("auto"))], "").await
    }

    /// Any servers, and the credentials for those that are behind the gate.
    pub async fn start(
        authorities: Value,
        servers: Value,
        credentials: &[(&str, Value)],
        more: &str,
    ) -> Result<Option<Self>> {
        let Some(upstreams) = Upstreams::start(authorities, servers).await? else { return Ok(None) };
        let house = TestGateway::with(&format!("{PATIENT}{}{more}", upstreams.outbound())).await?;
        let town = Self { house, upstreams };
        for (name, credential) in credentials {
            town.protect(name, credential.clone()).await?;
        }
        Ok(Some(town))
    }

    pub async fn protect(&self, name: &str, credential: Value) -> Result<()> {
        let mut entry = json!({ "name": name, "url": self.at(name).url(), "credential": credential });
        if self.at(name).url().starts_with("https:") {
            entry["tls"] = json!({ "ca_file": self.upstreams.authority() });
        }
        self.house.protect_as(entry).await
    }

    pub fn at<'a>(&'a self, id: &'a str) -> Upstream<'a> {
        self.upstreams.get(id)
    }

    pub fn browser(&self) -> Result<Walker> {
        Ok(Walker::at(&self.house.authority, self.upstreams.trust()?))
    }

    /// Somebody connects their account, through the pages.
    pub async fn connect(&self, server: &str, login: (&str, &str)) -> Result<()> {
        let end = self.browser()?.connect(server, login).await?;
        let done =
            end.leads_to().is_some_and(|url| url.query().is_some_and(|query| query.starts_with("done=connected&")));
        ensure!(done, "it ended at {} with {}: {}", end.url, end.answer.status, end.said());
        Ok(())
    }

    /// A token of somebody for a server, at the gateway.
    pub async fn token(&self, server: &str, login: (&str, &str)) -> Result<String> {
        Ok(self.house.client(server, login).await?.1.access)
    }

    pub async fn whoami(&self, server: &str, token: &str) -> Result<Answer> {
        self.house.call(server, token, "whoami", json!({})).send().await
    }

    /// Who a call is, as the server sees it.
    pub async fn seen_as(&self, server: &str, token: &str) -> Result<String> {
        let answer = self.whoami(server, token).await?;
        let said = answer.json()["result"]["content"][0]["text"].as_str().map(str::to_owned);
        said.with_context(|| format!("{} {}", answer.status, answer.text()))
    }

    /// Time passes for everybody, and not in the middle of a refresh.
    pub async fn advance(&self, by: Duration) -> Result<()> {
        self.house.rest().await?;
        self.upstreams.advance(by).await?;
        self.house.advance(by).await
    }
}
