//! The gateway as a client of the authorization servers of the servers behind it: it finds them, becomes known there, sends
//! people to them and brings tokens back, keeps these alive and gives them up.
//!
//! What is true of a document or an answer is law (`portcullis_oauth::upstream`); here are the requests, the caches, and
//! whom we are to whom. What people hold is kept elsewhere: nothing of a person stays here but on its way.
//!
//! Promises: everything goes through the guarded client, and to private networks only where an administrator named the
//! place (SEC-10, T-28); what one issuer gave is shown to no other (UP-13, UP-21); a code is redeemed where the entry says
//! that was written before the browser left (UP-39); no secret stands in an error, a step of an examination or the log.

mod asking;
mod assertion;
mod begun;
mod client;
mod error;
mod examine;
mod found;
mod held;
mod id_jag;
mod mint;
mod plain;
mod renew;
mod terms;
mod walk;
mod whom;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_base::{Clock, Rng, ServerName};
use portcullis_oauth::jwks::KeySet;
use portcullis_store::Store;

pub use self::{
    assertion::TYPE as ASSERTION_TYPE,
    begun::Begun,
    client::ClientAt,
    error::{AuthorityError, MintError, RefreshError, Revocation, Trouble},
    found::Found,
    held::{Held, Minted},
    whom::Whom,
};
use crate::{
    config::{ClientDocument, Config, PublicUrl},
    ended::Ended,
    identity::{self, Providers, Subjects},
    journal::Journal,
    keys::Keys,
    outbound::Outbound,
    snapshot::{Server, Snapshot},
};

/// The longest wait for one answer: shorter than anybody's lease on what is renewed meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);

/// The client side of the gateway.
pub struct Authority {
    outbound: Outbound,
    public_url: PublicUrl,
    client_document: ClientDocument,
    store: Store,
    journal: Journal,
    keys: Arc<Keys>,
    signing: Arc<ArcSwap<KeySet>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    subjects: Subjects,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    finds: found::Finds,
    registering: client::Turns,
}

/// What it is made of.
pub struct Parts<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The guarded client.
    pub outbound: Outbound,
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Seals what we are given as a client.
    pub keys: Arc<Keys>,
    /// Signs our assertions.
    pub signing: Arc<ArcSwap<KeySet>>,
    /// Servers and people.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Identity providers, whose tokens of people are exchanged.
    pub providers: Arc<Providers>,
    /// What was ended.
    pub ended: Arc<Ended>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

impl Authority {
    /// Nothing is asked of anybody yet.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts { config, outbound, store, journal, keys, signing, snapshot, providers, ended, clock, rng } = parts;
        let subjects = Subjects {
            providers,
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            ended,
            clock: clock.clone(),
            rng: rng.clone(),
            held: identity::Held::default(),
        };
        Self {
            outbound: outbound.with_total(PATIENCE),
            public_url: config.public_url.clone(),
            client_document: config.outbound.client_document,
            store,
            journal,
            keys,
            signing,
            snapshot,
            subjects,
            clock,
            rng,
            finds: found::Finds::default(),
            registering: client::Turns::default(),
        }
    }

    /// Tokens of people at their providers.
    pub const fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Whether our metadata document is offered.
    pub fn offers_document(&self) -> bool {
        self.client_document == ClientDocument::Offered
    }

    /// The server of this name, if it is still there.
    fn server(&self, name: &ServerName) -> Option<Arc<Server>> {
        self.snapshot.load().servers.get(name).cloned()
    }
}
