//! Who has which credential at which server: found without waiting when it is in memory, renewed by one for all, and
//! never anybody else's.
//!
//! A connection belongs to a holder at a server; every question names both (spec: UP-40, T-51). What the settings name is
//! used as it stands; what an authorization server makes for a person without asking them is made when it is needed and
//! kept in memory only; what somebody connected is in the database, sealed.
//!
//! Memory is first: a call reads no database and waits for no lock while it has a good credential there. The change feed
//! brings what other nodes, pages and commands did. A credential that comes near its end is renewed behind the calls, and
//! before a call only when there is no other way. Whoever renews has a lease in the database, so that a refresh token that
//! is good once is spent once, by whichever node.

mod authorities;
mod change;
mod contents;
mod events;
mod flight;
mod give_back;
mod lack;
mod live;
mod look;
mod make;
mod memory;
mod mint;
mod presented;
mod refused;
mod renew;
mod round;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use portcullis_base::{Clock, ConnectionId, Digest, Holder, Rng, ServerName, Timestamp};
use portcullis_store::{PersonKind, Store};
use quick_cache::sync::Cache;
use tokio::sync::broadcast;

pub use self::{
    authorities::Authorities,
    change::Appeared,
    give_back::{Disconnected, GiveBack, GivenBack, may_share_agreement},
    lack::{Lack, Need, NeedWhy, WANTS, explain},
    make::ConnectError,
    presented::Presented,
    round::{EVERY, Round},
};
use self::{
    flight::Flights,
    lack::{FORGOTTEN, MOVED},
    live::{Known, Live, Standing},
    memory::{Key, Memory},
    mint::Mint,
    presented::{From, Tried},
    refused::Step,
    renew::Renewed,
    turns::Turns,
};
use crate::{
    authority::Whom,
    config::{Credential, Fallback, HeaderCredential, Holders, KeySource},
    journal::Journal,
    keys::Keys,
    snapshot::{Server, Snapshot},
    upstream,
};

/// A call looks so many times before it gives up: each look meets a change that came between.
const LOOKS: usize = 4;
/// After a renewal that came to nothing, calls do not cause another before this.
const REST: Duration = Duration::from_secs(5);
/// How many appearances a listener may be behind before it must look for itself.
const NEWS: usize = 256;

/// What the keeper of connections is made of.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Opens what is sealed.
    pub keys: Arc<Keys>,
    /// Whoever renews, makes and gives back tokens.
    pub authorities: Arc<dyn Authorities>,
    /// The servers.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// The keeper of connections.
pub struct Connections {
    parts: Parts,
    memory: Memory,
    minted: Cache<Key, Mint>,
    looking: Flights<Option<Known>>,
    renewing: Flights<Renewed>,
    turns: Turns,
    minting: Flights<Mint>,
    steps: Cache<(Key, Digest), Step>,
    in_vain: Cache<Key, ((From, i64), Timestamp)>,
    asking: Cache<ServerName, Arc<str>>,
    used: Mutex<Vec<(ConnectionId, Timestamp)>>,
    news: broadcast::Sender<Appeared>,
}

impl Connections {
    /// Nothing remembered yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            memory: Memory::new(),
            minted: Cache::new(4 * 1024),
            looking: Flights::new(),
            renewing: Flights::new(),
            turns: Turns::default(),
            minting: Flights::new(),
            steps: Cache::new(4 * 1024),
            in_vain: Cache::new(4 * 1024),
            asking: Cache::new(4 * 1024),
            used: Mutex::default(),
            news: broadcast::Sender::new(NEWS),
        }
    }

    /// What a call of `whom` shows to `server`.
    pub async fn credential(self: &Arc<Self>, server: &Server, whom: &Whom) -> Result<Presented, Lack> {
        match &*server.credential {
            Credential::None => Ok(Presented::none()),
            Credential::Auto(_) if server.url().is_none() => Ok(Presented::none()),
            Credential::Header(header) => match &header.key {
                KeySource::Settings(key) => from_settings(header, key.reveal(), server),
                KeySource::Shared => self.connected(server, whom, Holder::Shared).await,
                KeySource::Each => self.connected(server, whom, each(whom)).await,
            },
            Credential::Auto(oauth) | Credential::OAuth(oauth) => {
                self.connected(server, whom, holder(oauth.holders, whom)).await
            }
            Credential::ClientCredentials(_) => self.made_for(server, whom, Holder::Shared).await,
            Credential::Exchange(_) | Credential::OnBehalfOf(_) | Credential::Assertion(_) => {
                self.made_for(server, whom, each(whom)).await
            }
            Credential::IdJag(id_jag) => match self.minted(server, whom, each(whom), None).await {
                Err(mint::Unmade::ByHand(_)) if id_jag.fallback == Fallback::OAuth => {
                    self.connected(server, whom, each(whom)).await
                }
                made => made.map_err(mint::Unmade::lack),
            },
        }
    }

    async fn made_for(self: &Arc<Self>, server: &Server, whom: &Whom, holder: Holder) -> Result<Presented, Lack> {
        self.minted(server, whom, holder, None).await.map_err(mint::Unmade::lack)
    }

    async fn connected(self: &Arc<Self>, server: &Server, whom: &Whom, holder: Holder) -> Result<Presented, Lack> {
        let key = Key { holder, server: server.name.clone() };
        for _ in 0..LOOKS {
            let now = self.parts.clock.now();
            let known = match self.memory.get(&key) {
                Some(known) => known,
                None => self.look(&key).await.ok_or_else(|| unavailable(server))?,
            };
            let live = match known {
                Known::Missing if matches!(*server.credential, Credential::Auto(_)) => return Ok(Presented::none()),
                Known::Missing => return Err(lack(server, whom, key.holder, NeedWhy::NotConnected, 0)),
                Known::Lost { version, why, .. } => {
                    return Err(lack(server, whom, key.holder, NeedWhy::NeedsSignIn(why.to_string()), version));
                }
                Known::Live(live) => live,
            };
            match live.standing(server, now) {
                Standing::Fresh => return Ok(self.present(&live, now)),
                Standing::Due => {
                    if !live.rests(now) {
                        self.renew_behind(&key, live.version);
                    }
                    return Ok(self.present(&live, now));
                }
                Standing::Late if live.rests(now) => return self.present_or_wait(&live, server, whom, &key),
                Standing::Late => match self.renew(&key, live.version).await {
                    Renewed::Known => {}
                    Renewed::Nothing | Renewed::Forgotten => {
                        return self.present_or_wait(&live, server, whom, &key);
                    }
                },
                Standing::Over => self.expired(&key, &live).await.ok_or_else(|| unavailable(server))?,
                Standing::Outdated => self.memory.forget(&key),
                Standing::Elsewhere => {
                    let why = NeedWhy::NeedsSignIn(MOVED.to_owned());
                    return Err(lack(server, whom, key.holder, why, live.version));
                }
            }
        }
        Err(unavailable(server))
    }

    /// Nothing was learned: what is there is used as long as it lives.
    fn present_or_wait(&self, live: &Live, server: &Server, whom: &Whom, key: &Key) -> Result<Presented, Lack> {
        let now = self.parts.clock.now();
        if live.has_ended(now) { Err(unrenewed(live, server, whom, key)) } else { Ok(self.present(live, now)) }
    }

    fn present(&self, live: &Live, now: Timestamp) -> Presented {
        if let Some(id) = &live.id
            && live.is_to_be_noted(now)
        {
            self.used.lock().expect("no holder of this lock panics").push((id.clone(), now));
        }
        live.presented()
    }

    fn server(&self, name: &ServerName) -> Option<Arc<Server>> {
        self.parts.snapshot.load().servers.get(name).cloned()
    }
}

fn each(whom: &Whom) -> Holder {
    Holder::Person(whom.person.clone())
}

/// spec: UP-40: "never share across users unless the administrator defined the connection as shared".
fn holder(holders: Holders, whom: &Whom) -> Holder {
    match holders {
        Holders::Each => each(whom),
        Holders::Shared => Holder::Shared,
    }
}

fn from_settings(header: &HeaderCredential, key: &str, server: &Server) -> Result<Presented, Lack> {
    let value = HeaderValue::from_str(&[&header.prefix, key].concat());
    let unusable =
        |_| Lack::Refused(format!("The key for {} in the settings cannot be sent in a header.", server.name));
    let credential = upstream::Credential::new([(header.header.clone(), value.map_err(unusable)?)], Holder::Shared);
    Ok(Presented { credential, version: 0, from: From::Settings, tried: Tried::First })
}

/// What is missing, for whom it can help to know.
fn lack(server: &Server, whom: &Whom, holder: Holder, why: NeedWhy, version: i64) -> Lack {
    let name = &server.name;
    match (&holder, whom.kind) {
        (Holder::Shared, _) => Lack::Refused(format!(
            "Everybody uses one account at {name}, and it must be connected anew: ask an administrator."
        )),
        (Holder::Person(_), PersonKind::Service) => Lack::Refused(format!(
            "{name} wants everybody to sign in there, which a service account cannot do: ask an administrator."
        )),
        (Holder::Person(_), _) => Lack::Connect(Need { holder, why, version }),
    }
}

/// It could not be renewed: whoever is not known there any more is helped by nothing but a new sign-in.
fn unrenewed(live: &Live, server: &Server, whom: &Whom, key: &Key) -> Lack {
    if live.forgotten.load(Ordering::Relaxed) {
        let why = NeedWhy::NeedsSignIn(FORGOTTEN.to_owned());
        return lack(server, whom, key.holder.clone(), why, live.version);
    }
    unavailable(server)
}

fn unavailable(server: &Server) -> Lack {
    Lack::Unavailable(format!("What {} wants to see cannot be renewed just now. Try again in a minute.", server.name))
}
