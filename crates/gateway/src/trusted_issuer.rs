//! An issuer that the settings trust for something other than signing people in: workloads, the authorization server of
//! one endpoint. All that is needed of it is its keys.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::{Clock, Timestamp};
use portcullis_oauth::{jwks::PublicKeys, metadata::server_metadata_urls};
use serde::Deserialize;
use tokio::sync::Mutex as Turn;

use crate::{
    config,
    identity::IssuerKeys,
    outbound::{Ask, Outbound},
};

/// What is asked for at an issuer and by which clock. Cheap to clone.
#[derive(Clone)]
pub struct Reaching {
    /// The guarded client.
    pub outbound: Outbound,
    /// Key sets, one for the whole gateway.
    pub keys: IssuerKeys,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One issuer.
pub struct TrustedIssuer {
    issuer: String,
    jwks_uri: Option<String>,
    found: Mutex<Found>,
    looking: Turn<()>,
}

#[derive(Clone, Default)]
struct Found {
    jwks_uri: Option<String>,
    looked_at: Option<Timestamp>,
}

/// What was found a short while ago, if anything was.
struct Settled(Option<String>);

/// What is read of its metadata; everything else in there is for others.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// The issuers whose tokens let workloads in, in the order of the settings.
pub struct Workloads {
    /// How they are reached.
    pub reaching: Reaching,
    all: Vec<(config::Workload, TrustedIssuer)>,
}

/// The metadata serves this long.
const FRESH: Duration = Duration::from_hours(24);
/// After a failure it is asked for again no sooner. spec: T-38
const PAUSE: Duration = Duration::from_mins(1);
/// The largest metadata document that is read.
const MAX_BYTES: usize = 64 * 1024;

impl Workloads {
    /// All of `config`. Nothing is asked of them yet.
    pub fn new(config: &config::Config, reaching: Reaching) -> Self {
        let trusted = |workload: &config::Workload| {
            (workload.clone(), TrustedIssuer::new(&workload.issuer, workload.jwks_uri.as_deref()))
        };
        Self { reaching, all: config.identity.workloads.iter().map(trusted).collect() }
    }

    /// The one with exactly this name.
    pub fn by_issuer(&self, issuer: &str) -> Option<&(config::Workload, TrustedIssuer)> {
        self.all.iter().find(|(workload, _)| workload.issuer == issuer)
    }
}

impl TrustedIssuer {
    /// The issuer with exactly this name; without `jwks_uri` its metadata says where its keys are.
    pub fn new(issuer: &str, jwks_uri: Option<&str>) -> Self {
        let (issuer, jwks_uri) = (issuer.to_owned(), jwks_uri.map(str::to_owned));
        Self { issuer, jwks_uri, found: Mutex::default(), looking: Turn::default() }
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its keys, among them `kid` if it has that one; `None`, said in the log, if they cannot be had.
    // spec: AS-183: "fetch keys only over TLS from configured or discovered locations": the guarded client sees to TLS.
    pub async fn keys(&self, kid: Option<&str>, reaching: &Reaching) -> Option<Arc<PublicKeys>> {
        let Reaching { outbound, keys, clock } = reaching;
        let url = match &self.jwks_uri {
            Some(url) => url.clone(),
            None => self.discovered(outbound, clock.now()).await?,
        };
        let found = keys.keys_for(&url, kid, outbound, &**clock).await;
        found.inspect_err(|error| tracing::warn!(issuer = self.issuer, %error, "no keys of a trusted issuer")).ok()
    }

    async fn discovered(&self, outbound: &Outbound, now: Timestamp) -> Option<String> {
        if let Some(Settled(jwks_uri)) = self.settled(now) {
            return jwks_uri;
        }
        let _turn = self.looking.lock().await;
        if let Some(Settled(jwks_uri)) = self.settled(now) {
            return jwks_uri;
        }
        let found = self.discover(outbound).await;
        let mut held = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        held.looked_at = Some(now);
        // What was found once serves on while the issuer does not answer.
        held.jwks_uri = found.or(held.jwks_uri.take());
        held.jwks_uri.clone()
    }

    /// The answer, if nobody needs to be asked now.
    fn settled(&self, now: Timestamp) -> Option<Settled> {
        let held = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.since(held.looked_at?);
        let serves = if held.jwks_uri.is_some() { FRESH } else { PAUSE };
        (age < serves).then(|| Settled(held.jwks_uri.clone()))
    }

    async fn discover(&self, outbound: &Outbound) -> Option<String> {
        for url in server_metadata_urls(self.issuer.trim_end_matches('/')).iter().rev() {
            let found = match outbound.fetch(Ask::get(url, "application/json", MAX_BYTES)).await {
                Ok(fetched) if fetched.status.is_success() => serde_json::from_slice::<Metadata>(&fetched.body).ok(),
                Ok(_) => None,
                Err(error) => {
                    tracing::info!(issuer = self.issuer, error.detail = error.detail(), "no metadata at {url}");
                    None
                }
            };
            // spec: RFC8414#3.3: "The "issuer" value returned MUST be identical to the authorization server's issuer".
            if let Some(metadata) = found.filter(|metadata| metadata.issuer == self.issuer) {
                return Some(metadata.jwks_uri);
            }
        }
        tracing::warn!(issuer = self.issuer, "a trusted issuer has no metadata that names it; set jwks_uri");
        None
    }
}
