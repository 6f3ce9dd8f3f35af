//! Who we are at an authorization server: as an administrator registered us, by our metadata document, or as we registered
//! ourselves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::Secret;
use portcullis_oauth::{
    client::{AuthMethod, ClientMetadata},
    upstream::{
        client::{self as law, Published, Registering},
        document,
        registration::{self, Registered, RegisteringError},
        server::ServerMetadata,
    },
};
use portcullis_store::UpstreamClientRow;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as Turn;

use super::{Authority, AuthorityError, Found, plain, terms::Terms};
use crate::{
    config::{ClientAuth, ClientDocument, ClientProof, Register},
    outbound::Ask,
    snapshot::Server,
    vault::{self, Owner},
};

/// A registration answer is not longer than a token answer.
const LIMIT: usize = portcullis_oauth::upstream::token::MAX_BYTES;

/// A registration that is not accepted is not made again before it is so old.
const YOUNG: Duration = Duration::from_mins(1);

/// Our identity at one authorization server, and at no other. spec: UP-21
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAt {
    /// Where.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// How requests are proved there, unless the settings say it by now.
    pub(super) method: AuthMethod,
    pub(super) way: Way,
}

/// How we became known there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// An administrator registered us; the proof is in the settings, as they are now.
    Configured,
    /// Our metadata document is our name; we prove it with our own key.
    Document,
    /// We registered ourselves. The secret is kept with everything that was made as that client, so that a later
    /// registration cannot cut off what is alive.
    Dynamic {
        /// The secret, if one was given.
        #[serde(with = "plain::maybe", default)]
        secret: Option<Secret>,
    },
}

/// Who registers at this moment, by issuer: two at once would be two clients.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Turn<()>>>>);

/// What is sealed of a registration.
#[derive(Serialize, Deserialize)]
struct Given {
    #[serde(with = "plain::maybe", default)]
    secret: Option<Secret>,
    /// Where the registration can be changed, and with what (RFC 7592).
    #[serde(default)]
    management_url: Option<String>,
    #[serde(with = "plain::maybe", default)]
    management_token: Option<Secret>,
}

impl ClientAt {
    /// Whether we registered it ourselves, and can do so again.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.way, Way::Dynamic { .. })
    }

    /// How we became known there, in a word: `configured`, `document` or `dynamic`.
    pub const fn way(&self) -> &'static str {
        match self.way {
            Way::Configured => "configured",
            Way::Document => "document",
            Way::Dynamic { .. } => "dynamic",
        }
    }
}

impl Authority {
    /// Who we are at the authorization server that was found for `server`; registers us if that is the way.
    ///
    /// spec: UP-20, UP-21
    pub async fn client(&self, server: &Server, found: &Found) -> Result<ClientAt, AuthorityError> {
        let terms = Terms::of(server)?;
        let ways = self.ways(&terms, &found.metadata)?;
        match ways.first() {
            Some(law::Way::Configured) => configured(&terms, &found.issuer, Some(&found.metadata)),
            Some(law::Way::Document) => self.by_document(&found.issuer).await,
            Some(law::Way::Dynamic) => self.registered(server, found).await,
            None => Err(AuthorityError::settings("no way to be known there")),
        }
    }

    /// The ways to be known at an authorization server, best first; never none.
    pub(super) fn ways(&self, terms: &Terms<'_>, metadata: &ServerMetadata) -> Result<Vec<law::Way>, AuthorityError> {
        let bound = terms.oauth.client.as_ref().map(|_| terms.oauth.issuer.as_deref());
        // spec: UP-21: what an administrator gave us is for one issuer, and a server must not choose which.
        if bound == Some(None) {
            let advice = format!(
                "the settings name a client_id and not whose it is: if it was registered there, add `issuer: {}`",
                metadata.issuer
            );
            return Err(AuthorityError::settings(advice));
        }
        let register = match terms.oauth.register {
            Register::Auto => Registering::Auto,
            Register::Document => Registering::Document,
            Register::Dynamic => Registering::Dynamic,
            Register::No => Registering::No,
        };
        law::ways(metadata, bound.flatten(), self.published(), register).map_err(|error| {
            let callback = self.callback(&metadata.issuer);
            AuthorityError::settings(format!("{error} (redirect URI to register: {callback})"))
        })
    }

    /// Whether others can fetch our metadata document. spec: UP-23
    pub(super) fn published(&self) -> Published {
        match self.client_document {
            ClientDocument::Offered => Published::Yes,
            ClientDocument::Off => Published::No,
        }
    }

    /// Where the answers of `issuer` come. spec: UP-27
    pub(super) fn callback(&self, issuer: &str) -> String {
        document::callback(self.public_url.as_str(), issuer)
    }

    /// Writes the issuer down, so that the document lists its callback before it is asked for.
    async fn by_document(&self, issuer: &str) -> Result<ClientAt, AuthorityError> {
        let client_id = format!("{}{}", self.public_url, document::DOCUMENT);
        let known = self.store.upstream_client(issuer).await.map_err(AuthorityError::unavailable)?;
        if known.as_ref().is_none_or(|row| row.way != "document" || row.client_id != client_id) {
            let row = UpstreamClientRow {
                issuer: issuer.to_owned(),
                way: "document".into(),
                client_id: client_id.clone(),
                sealed: None,
                auth_method: AuthMethod::PrivateKeyJwt.as_str().into(),
                metadata: "{}".into(),
                created_at: self.clock.now(),
                expires_at: None,
            };
            let seen = known.map(|row| row.client_id);
            self.store.put_upstream_client(&row, seen.as_deref()).await.map_err(AuthorityError::unavailable)?;
        }
        Ok(ClientAt { issuer: issuer.to_owned(), client_id, method: AuthMethod::PrivateKeyJwt, way: Way::Document })
    }

    /// The registration that is kept for the issuer, or a new one.
    async fn registered(&self, server: &Server, found: &Found) -> Result<ClientAt, AuthorityError> {
        let issuer = &found.issuer;
        let (kept, _) = self.kept(issuer).await?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let turn = self.registering.of(issuer);
        let _turn = turn.lock().await;
        let (kept, seen) = self.kept(issuer).await?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let (wish, registered) = self.register(server, &found.metadata).await?;
        let row = self.row(issuer, &wish, &registered);
        // Written down before it is used: what nobody knows of cannot be found again.
        let event = Event::new(Kind::UpstreamClientRegistered, self.clock.now())
            .on(Target { server: Some(server.name.clone()), ..Target::default() })
            .outcome(Outcome::Success)
            .text("issuer", issuer.clone())
            .text("client_id", portcullis_base::printable(&registered.client_id, 200))
            .text("method", registered.method.as_str());
        self.journal.append(event).await.map_err(AuthorityError::unavailable)?;
        self.store.put_upstream_client(&row, seen.as_deref()).await.map_err(AuthorityError::unavailable)?;
        // Of several nodes that registered at once one is remembered, and all use that one.
        let (kept, _) = self.kept(issuer).await?;
        kept.ok_or_else(|| AuthorityError::unavailable("the registration was not kept"))
    }

    /// The registration that is kept for `issuer` and still good, and the client that a new one would replace.
    pub(super) async fn kept(&self, issuer: &str) -> Result<(Option<ClientAt>, Option<String>), AuthorityError> {
        let row = self.store.upstream_client(issuer).await.map_err(AuthorityError::unavailable)?;
        let Some(row) = row else { return Ok((None, None)) };
        let seen = Some(row.client_id.clone());
        let over = row.expires_at.is_some_and(|at| at <= self.clock.now());
        if row.way != "dynamic" || over || !self.is_for_us(&row) {
            return Ok((None, seen));
        }
        Ok((self.open_row(row), seen))
    }

    /// Whether its answers still come to us: a gateway that has moved is registered anew.
    fn is_for_us(&self, row: &UpstreamClientRow) -> bool {
        let registered: Option<ClientMetadata> = serde_json::from_str(&row.metadata).ok();
        registered.is_some_and(|it| it.redirect_uris.contains(&self.callback(&row.issuer)))
    }

    fn open_row(&self, row: UpstreamClientRow) -> Option<ClientAt> {
        let secret = match &row.sealed {
            Some(sealed) => {
                plain::read::<Given>(&vault::open(&self.keys, &Owner::client(&row.issuer), sealed)?)?.secret
            }
            None => None,
        };
        let method = method_named(&row.auth_method)?;
        Some(ClientAt { issuer: row.issuer, client_id: row.client_id, method, way: Way::Dynamic { secret } })
    }

    fn row(&self, issuer: &str, wish: &ClientMetadata, registered: &Registered) -> UpstreamClientRow {
        let (management_url, management_token) = registered.management.clone().unzip();
        let given = plain::written(&Given { secret: registered.secret.clone(), management_url, management_token });
        let sealed = vault::seal(&self.keys, &Owner::client(issuer), &given, &*self.rng);
        UpstreamClientRow {
            issuer: issuer.to_owned(),
            way: "dynamic".into(),
            client_id: registered.client_id.clone(),
            sealed: Some(sealed),
            auth_method: registered.method.as_str().into(),
            metadata: serde_json::to_string(wish).expect("client metadata has text keys and plain values"),
            created_at: self.clock.now(),
            expires_at: registered.secret_expires_at,
        }
    }

    /// spec: UP-24, UP-25: "retry at most once with adjusted values".
    async fn register(
        &self,
        server: &Server,
        metadata: &ServerMetadata,
    ) -> Result<(ClientMetadata, Registered), AuthorityError> {
        let Some(place) = &metadata.registration_endpoint else {
            return Err(AuthorityError::settings("no registration_endpoint"));
        };
        let wish = self.wish(metadata);
        let refused = match self.register_once(server, place, &wish, metadata).await? {
            Ok(registered) => return Ok((wish, registered)),
            Err(error) => error,
        };
        let shown = |error: &RegisteringError| AuthorityError::settings(format!("{place}: {error}"));
        let Some(other) = registration::adjusted(&wish, &refused) else { return Err(shown(&refused)) };
        match self.register_once(server, place, &other, metadata).await? {
            Ok(registered) => Ok((other, registered)),
            // The first refusal is the one that is about what we wanted.
            Err(_) => Err(shown(&refused)),
        }
    }

    /// What we ask to be registered as.
    pub(super) fn wish(&self, metadata: &ServerMetadata) -> ClientMetadata {
        let mut have = vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::None];
        // Who cannot fetch our keys cannot check what we sign.
        if self.published() == Published::Yes {
            have.push(AuthMethod::PrivateKeyJwt);
        }
        let callback = vec![self.callback(&metadata.issuer)];
        let own = document::metadata(self.public_url.as_str(), callback, AuthMethod::PrivateKeyJwt);
        registration::wish(metadata, own, &have)
    }

    async fn register_once(
        &self,
        server: &Server,
        place: &str,
        wish: &ClientMetadata,
        metadata: &ServerMetadata,
    ) -> Result<Result<Registered, RegisteringError>, AuthorityError> {
        let body = Some(("application/json", Bytes::from(registration::body(wish))));
        let ask = Ask { method: http::Method::POST, body, ..Ask::get(place, "application/json", LIMIT) };
        let fetched = self.reaching(Some(server), place).fetch(ask).await?;
        let status = fetched.status;
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(AuthorityError::unavailable(format!("{place} answered {status}")));
        }
        match registration::parse(&fetched.body, wish, metadata) {
            Err(RegisteringError::Malformed) if !status.is_success() => {
                Ok(Err(RegisteringError::Refused { code: format!("status {}", status.as_u16()), description: None }))
            }
            parsed => Ok(parsed),
        }
    }

    /// The authorization server said that it does not know us: the next who connects registers us anew. What was made as
    /// the old client goes on with it, should the word have been wrong. One that was registered just now would not be
    /// helped by another: whoever forgets us at once is not flooded with registrations.
    pub(super) async fn doubt(&self, client: &ClientAt) {
        let Way::Dynamic { .. } = client.way else { return };
        let doubted = async {
            let Some(row) = self.store.upstream_client(&client.issuer).await? else { return Ok(()) };
            if row.client_id == client.client_id && self.clock.now().since(row.created_at) >= YOUNG {
                let over = UpstreamClientRow { expires_at: Some(self.clock.now()), ..row };
                self.store.put_upstream_client(&over, Some(&client.client_id)).await?;
            }
            Ok::<_, portcullis_store::StoreError>(())
        };
        if let Err(error) = doubted.await {
            tracing::warn!(%error, issuer = client.issuer, "a registration that is not accepted stays for now");
        }
    }

    /// The callbacks that our metadata document lists. spec: UP-22
    pub async fn document_callbacks(&self) -> Result<Vec<String>, portcullis_store::StoreError> {
        let rows = self.store.upstream_clients().await?;
        Ok(rows.iter().filter(|row| row.way == "document").map(|row| self.callback(&row.issuer)).collect())
    }
}

impl Turns {
    fn of(&self, issuer: &str) -> Arc<Turn<()>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, turn| Arc::strong_count(turn) > 1);
        held.entry(issuer.to_owned()).or_default().clone()
    }
}

/// The client of the settings at its issuer.
pub(super) fn configured(
    terms: &Terms<'_>,
    issuer: &str,
    metadata: Option<&ServerMetadata>,
) -> Result<ClientAt, AuthorityError> {
    let Some(client) = &terms.oauth.client else { return Err(AuthorityError::settings("no client_id")) };
    let method = match &client.proof {
        ClientProof::None => AuthMethod::None,
        ClientProof::Key(_) => AuthMethod::PrivateKeyJwt,
        ClientProof::Secret { how: Some(ClientAuth::Basic), .. } => AuthMethod::ClientSecretBasic,
        ClientProof::Secret { how: Some(ClientAuth::Post), .. } => AuthMethod::ClientSecretPost,
        ClientProof::Secret { how: None, .. } => {
            let have = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
            metadata.and_then(|it| law::auth_method(it, &have)).unwrap_or(AuthMethod::ClientSecretBasic)
        }
    };
    Ok(ClientAt { issuer: issuer.to_owned(), client_id: client.id.clone(), method, way: Way::Configured })
}

fn method_named(text: &str) -> Option<AuthMethod> {
    [AuthMethod::None, AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt]
        .into_iter()
        .find(|method| method.as_str() == text)
}
