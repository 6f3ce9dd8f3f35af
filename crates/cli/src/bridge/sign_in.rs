//! Signing in: the person, their browser, and back. One window for all bridges of a person to one server.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcullis_base::{Clock, Digest, Rng, Secret, printable, token};
use portcullis_gateway::outbound::Dialer;
use portcullis_oauth::{
    relying::{callback as law, issuer::IssuerRule, request::AuthorizationRequest},
    scope::OFFLINE_ACCESS,
    upstream::{
        Reach,
        challenge::Wanted,
        request,
        scopes::{self, Known},
        token::Grant,
    },
};

use super::{
    browser::{self, PageUrl},
    callback::Verdict,
    client::{self, Named, NoTokens},
    discovery::{Found, Looking, outbound},
    kept::{For, Held, Kept, Place},
};
use crate::{
    failure::{Failure, Result},
    output::note,
};

/// How long a person has.
const PATIENCE: Duration = Duration::from_mins(5);

/// Whether a browser is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The person's own.
    Open,
    /// The address is printed and nothing else.
    Print,
}

/// What signing in takes.
pub struct SignIn {
    /// The server.
    pub url: String,
    /// The authorization server, if the person named it.
    pub issuer: Option<String>,
    /// Who we are there, if the person says it.
    pub named: Option<Named>,
    /// Whether a browser is opened.
    pub window: Window,
    /// Where it is kept.
    pub kept: Kept,
    /// Opens connections.
    pub dialer: Dialer,
    /// The environment, for what opens a browser.
    pub environment: BTreeMap<String, String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

impl SignIn {
    /// Whether a sign-in is by the authorization server that the person named.
    ///
    /// spec: UP-13: what one issuer gave is of no use with another.
    pub fn is_of_issuer(&self, held: &Held) -> bool {
        self.issuer.as_ref().is_none_or(|issuer| *issuer == held.issuer)
    }

    /// Asks the person, or waits for what comes of it if another bridge is asking. `seen` is what does not do any more.
    pub async fn with_the_person(
        &self,
        seen: Option<&Secret>,
        wanted: Option<&Wanted>,
        scopes: Option<Vec<String>>,
    ) -> Result<Held> {
        let began = self.clock.now();
        let free = self.kept.try_lock(For::SigningIn)?;
        if free.is_none() {
            note("portcullis bridge: waiting for the sign-in that another bridge has begun");
        }
        let mut lock = match free {
            Some(lock) => lock,
            None => self.kept.lock(For::SigningIn).await?,
        };
        let before = self.kept.read().await?.filter(|held| self.is_of_issuer(held));
        if let Some(held) = before.as_ref().filter(|held| held.access.is_some() && held.access.as_ref() != seen) {
            return Ok(held.clone());
        }
        if lock.left().is_some_and(|at| at >= began) {
            return Err(Failure::new("the sign-in that another bridge had begun came to nothing"));
        }
        let asked = self.ask(before.as_ref(), wanted, scopes).await;
        if asked.is_err() {
            lock.leave(self.clock.now());
        }
        asked
    }

    async fn ask(&self, before: Option<&Held>, wanted: Option<&Wanted>, scopes: Option<Vec<String>>) -> Result<Held> {
        let in_use = before.map(|held| held.issuer.as_str());
        let looking = Looking { url: &self.url, issuer: self.issuer.as_deref(), in_use, dialer: &self.dialer };
        let found = looking.find(wanted).await?;
        let known = before.filter(|held| held.issuer == found.issuer).map(|held| &held.client);
        let outbound = outbound(&self.dialer, &self.url, self.issuer.as_deref(), &found.metadata.token_endpoint);
        let (client, callback) = client::client(&found.metadata, self.named.as_ref(), known, &outbound).await?;
        let scopes = match scopes {
            Some(scopes) => scopes,
            None => usual_scopes(&found, wanted)?,
        };
        let (state, verifier) = (Secret::new(token::<32>(&*self.rng)), Secret::new(token::<32>(&*self.rng)));
        let redirect_uri = callback.url();
        let endpoint = found.metadata.authorization_endpoint.as_deref().unwrap_or_default();
        let page = AuthorizationRequest {
            endpoint,
            client_id: &client.id,
            redirect_uri: &redirect_uri,
            scopes: &scopes,
            resource: found.resource.as_deref(),
            state: state.reveal(),
            nonce: None,
            // spec: UP-32: a fresh verifier of 32 bytes for each request.
            challenge: &Digest::of(verifier.reveal().as_bytes()).to_base64url(),
            max_age: None,
            acr_values: None,
            prompt: request::prompt(&found.issuer, &scopes),
            login_hint: None,
            extra: request::extra(&found.issuer),
        };
        // spec: T-15
        let page = PageUrl::parse(&page.url(), Reach::of(&self.url)).ok_or_else(|| {
            Failure::new(format!("{} names no page that could be opened", printable(&found.issuer, 200)))
        })?;
        self.send_there(&page, &found.issuer);
        let Ok(brought) = tokio::time::timeout(PATIENCE, callback.answer(&state)).await else {
            // Perhaps it does not know us any more, which only the page says.
            self.forget_client(before).await;
            return Err(Failure::new(format!("nobody signed in within {} minutes", PATIENCE.as_secs() / 60)));
        };
        let brought = brought.map_err(|error| Failure::new(format!("no answer can be taken: {error}")))?;
        let held = Held {
            url: self.url.clone(),
            issuer: found.issuer.clone(),
            client,
            resource: found.resource.clone(),
            scopes,
            token_endpoint: found.metadata.token_endpoint.clone(),
            revocation_endpoint: found.metadata.revocation_endpoint.clone(),
            access: None,
            refresh: None,
            expires_at: None,
        };
        let redeemed = self.redeem(held, &found, &brought.query, (&redirect_uri, &verifier)).await;
        brought.tell(if redeemed.is_ok() { Verdict::Done } else { Verdict::Failed });
        if redeemed.is_err() {
            self.forget_client(before).await;
        }
        redeemed
    }

    fn send_there(&self, page: &PageUrl, issuer: &str) {
        let opened = self.window == Window::Open && browser::open(page, &self.environment);
        let how = if opened { "sign in in the browser window, or open" } else { "to sign in, open" };
        note(format_args!(
            "portcullis bridge: {} wants to know who you are (by {}); {how} this page on this computer:\n  {}",
            self.url,
            printable(issuer, 200),
            page.as_str()
        ));
    }

    /// spec: UP-34, UP-35, UP-39, T-17: judged and redeemed by what was found before the browser was sent away.
    async fn redeem(
        &self,
        mut held: Held,
        found: &Found,
        query: &str,
        (redirect_uri, verifier): (&str, &Secret),
    ) -> Result<Held> {
        let rule = IssuerRule::Exact(found.issuer.clone());
        let answer = law::parse(query, &rule, found.metadata.iss_policy())
            .map_err(|error| Failure::new(format!("the sign-in did not work: {error}")))?;
        let resource = held.resource.clone();
        let grant = Grant::Code { code: &answer.code, redirect_uri, verifier, resource: resource.as_deref() };
        let outbound = outbound(&self.dialer, &self.url, self.issuer.as_deref(), &held.token_endpoint);
        let tokens = client::ask(&outbound, &held.token_endpoint, &held.client, &grant).await;
        let tokens = tokens.map_err(|error| match error {
            NoTokens::Refused(why) => Failure::new(format!("the sign-in did not work: {why}")),
            NoTokens::Unknown(why) => Failure::new(format!("the sign-in did not work: {}", printable(&why, 300))),
        })?;
        held.take(tokens, self.clock.now());
        let lock = self.kept.lock(For::Renewing).await?;
        match self.kept.write(&held, &lock).await {
            Ok(Place::Keyring) => note("portcullis bridge: signed in; kept in the keyring"),
            Ok(Place::File) => {
                note(format_args!(
                    "portcullis bridge: signed in; kept for you alone in {}",
                    self.kept.file().display()
                ));
            }
            Err(error) => note(format_args!("portcullis bridge: signed in, for this run only: {error}")),
        }
        Ok(held)
    }

    /// Registers anew the next time.
    async fn forget_client(&self, before: Option<&Held>) {
        // Who was asked for more scope and said no keeps what there was.
        if before.is_some_and(|held| held.access.is_none())
            && let Ok(lock) = self.kept.lock(For::Renewing).await
        {
            let _ = self.kept.forget(&lock).await;
        }
    }
}

/// spec: UP-37, UP-38
fn usual_scopes(found: &Found, wanted: Option<&Wanted>) -> Result<Vec<String>> {
    let challenged = wanted.and_then(|wanted| wanted.scope.as_deref());
    let known = Known { challenged, listed: found.listed.as_deref(), cap: None };
    let mut scopes = scopes::choose(&known).map_err(|error| Failure::new(error.to_string()))?;
    let offered = found.metadata.scopes_supported.as_deref().unwrap_or_default();
    let lasting = |all: &[String]| all.iter().any(|scope| scope == OFFLINE_ACCESS);
    if !scopes.is_empty() && lasting(offered) && !lasting(&scopes) {
        scopes.push(OFFLINE_ACCESS.to_owned());
    }
    Ok(scopes)
}
