//! A server does not accept what it was shown: once it is renewed and shown again, and then somebody must do something.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use portcullis_audit::{Kind, Outcome};
use portcullis_base::{Digest, Holder, Timestamp};
use portcullis_oauth::upstream::{
    challenge::{Challenge, Wanted},
    scopes::{ScopesError, step_up},
};

use super::{
    Connections, Lack, NeedWhy, Presented,
    lack::REFUSED,
    live::{Known, Live, Renewing},
    memory::Key,
    presented::{From, Tried},
    renew::Renewed,
};
use crate::{
    authority::Whom,
    config::{Credential, KeySource},
    snapshot::Server,
};

/// So often somebody is sent to allow the same things again. spec: T-42: "after 2 failures a terminal error with reason".
const STEPS: u8 = 2;

/// For so long a server that has refused what was renewed for it gets no other.
const PAUSE: Duration = Duration::from_mins(5);

/// Somebody who was sent to allow more.
#[derive(Clone)]
pub(super) struct Step {
    connected_at: Timestamp,
    times: u8,
}

/// What the server named when it wanted more, in whichever order.
fn named(wanted: &[String]) -> Digest {
    let wanted: BTreeSet<_> = wanted.iter().map(String::as_str).collect();
    Digest::of(wanted.into_iter().collect::<Vec<_>>().join(" ").as_bytes())
}

impl Connections {
    /// What to show to `server` after it refused `presented` with this status; an error says what else would help.
    ///
    /// spec: UP-45: "refresh once and retry once; then treat as unauthorized and start re-authorization".
    pub async fn refused(
        self: &Arc<Self>,
        server: &Server,
        whom: &Whom,
        presented: &Presented,
        status: u16,
        challenges: &[Challenge],
    ) -> Result<Presented, Lack> {
        let wanted = Wanted::of(challenges).unwrap_or_default();
        if status == 401 {
            self.parts.authorities.heard(server, &wanted);
        }
        let holder = presented.credential.holder().cloned().unwrap_or_else(|| self.holder_at(server, whom));
        let lack = match (status, presented.from) {
            (401, From::Nowhere) if server.credential.holders().is_some() => {
                self.asks(server).await;
                super::lack(server, whom, holder, NeedWhy::NotConnected, 0)
            }
            (401, From::Connection) => match self.renewed(server, whom, presented, &holder).await {
                Ok(other) => return Ok(other),
                Err(lack) => lack,
            },
            (401, From::Minted) if !self.is_in_vain(&key(server, &holder), presented) => {
                match self.minted(server, whom, holder, Some(presented.version)).await {
                    Ok(other) => return Ok(other.again()),
                    Err(why) => why.lack(),
                }
            }
            (403, From::Connection | From::Nowhere) if wanted.needs_more_scope() => {
                match self.step(server, whom, presented, &holder, wanted.scope.as_deref().unwrap_or_default()).await {
                    Ok(other) => return Ok(other),
                    Err(lack) => lack,
                }
            }
            (403, _) => Lack::Refused(format!("{} does not let this account do that.", server.name)),
            _ => Lack::Refused(format!(
                "{} does not accept what the gateway shows it: an administrator must look at its settings.",
                server.name
            )),
        };
        self.record_refusal(server, whom, status, &lack).await?;
        Err(lack)
    }

    /// From now on pages offer to connect there. Once for each address: every call that lacks an account comes by here.
    async fn asks(&self, server: &Server) {
        let Some(url) = server.url() else { return };
        if self.asking.get(&server.name).is_some_and(|known| *known == *url.as_str()) {
            return;
        }
        match self.parts.store.server_asks(&server.name, url.as_str(), self.parts.clock.now()).await {
            Ok(()) => self.asking.insert(server.name.clone(), url.as_str().into()),
            Err(error) => tracing::warn!(%error, server.name = %server.name, "that a server asks could not be noted"),
        }
    }

    async fn renewed(
        self: &Arc<Self>,
        server: &Server,
        whom: &Whom,
        presented: &Presented,
        holder: &Holder,
    ) -> Result<Presented, Lack> {
        let key = key(server, holder);
        let need = |why: NeedWhy, version: i64| super::lack(server, whom, key.holder.clone(), why, version);
        let refused = || need(NeedWhy::NeedsSignIn(REFUSED.to_owned()), presented.version);
        let now = self.parts.clock.now();
        if self.is_in_vain(&key, presented) {
            return Err(refused());
        }
        if let Some(live) = self.live_at(&key).await
            && live.version <= presented.version
        {
            if live.renewing == Renewing::Impossible {
                return Err(refused());
            }
            if live.rests(now) || self.renew(&key, presented.version).await != Renewed::Known {
                return Err(super::unrenewed(&live, server, whom, &key));
            }
        }
        match self.credential(server, whom).await? {
            other if other.version > presented.version => Ok(other.again()),
            _ => Err(refused()),
        }
    }

    /// Whether another one would be refused as well: this one was made because the server refused the one before. It is
    /// remembered, so that not every call that meets this server costs a renewal; and for a while only, because what ends a
    /// token there may end at any time.
    ///
    /// spec: UP-45
    fn is_in_vain(&self, key: &Key, presented: &Presented) -> bool {
        let now = self.parts.clock.now();
        let this = (presented.from, presented.version);
        if presented.tried == Tried::Again {
            self.in_vain.insert(key.clone(), (this, now));
            return true;
        }
        self.in_vain.get(key).is_some_and(|(refused, at)| refused == this && now >= at && now.since(at) < PAUSE)
    }

    /// spec: UP-46: "limit attempts per (upstream, operation) and remember refusals"; T-42
    async fn step(
        self: &Arc<Self>,
        server: &Server,
        whom: &Whom,
        presented: &Presented,
        holder: &Holder,
        wanted: &[String],
    ) -> Result<Presented, Lack> {
        let key = key(server, holder);
        let live = self.live_at(&key).await;
        if live.as_ref().is_some_and(|live| live.version > presented.version) && presented.tried == Tried::First {
            return self.credential(server, whom).await.map(Presented::again);
        }
        let (held, connected_at, version) = match &live {
            Some(live) => (live.scopes.as_slice(), live.connected_at, live.version),
            None => (&[][..], Timestamp::from_millis(0), 0),
        };
        let cap = server.credential.oauth().and_then(|oauth| oauth.scopes.as_deref());
        let union = step_up(held, wanted, cap).map_err(|error| no_step(server, &error))?;
        // Each by what it wants: two that want different things in turn are not taken for one that goes on.
        let step = (key, named(wanted));
        let before = self.steps.get(&step);
        let times = match &before {
            Some(before) if connected_at > before.connected_at => before.times + 1,
            Some(before) => before.times,
            None => 0,
        };
        let news = before.is_none_or(|before| before.times < times || before.connected_at < connected_at);
        if times >= STEPS {
            self.steps.insert(step, Step { connected_at, times });
            return Err(Lack::Refused(format!(
                "{} asks for more access again and again, also after it was given: {}. Ask an administrator.",
                server.name,
                portcullis_base::printable(&wanted.join(" "), 200)
            )));
        }
        // The page that everybody gets knows it too, on every node and whenever the person comes to open it.
        if news && let Err(error) = self.parts.store.connection_wants(holder, &server.name, &union).await {
            tracing::error!(%error, server.name = %server.name, "what a server asks for could not be noted");
            return Err(super::unavailable(server));
        }
        if news {
            self.steps.insert(step, Step { connected_at, times });
        }
        Err(super::lack(server, whom, holder.clone(), NeedWhy::MoreScope(union), version))
    }

    async fn live_at(self: &Arc<Self>, key: &Key) -> Option<Arc<Live>> {
        let known = match self.memory.get(key) {
            Some(known) => Some(known),
            None => self.look(key).await,
        };
        match known {
            Some(Known::Live(live)) => Some(live),
            _ => None,
        }
    }

    /// Whose connection `whom` would use at `server`.
    pub fn holder_at(&self, server: &Server, whom: &Whom) -> Holder {
        match &*server.credential {
            Credential::Auto(oauth) | Credential::OAuth(oauth) => super::holder(oauth.holders, whom),
            Credential::Header(header) if header.key != KeySource::Each => Holder::Shared,
            Credential::ClientCredentials(_) => Holder::Shared,
            _ => super::each(whom),
        }
    }

    async fn record_refusal(&self, server: &Server, whom: &Whom, status: u16, lack: &Lack) -> Result<(), Lack> {
        let why = match lack {
            // The first 401 of a server that wants a sign-in is a question, and no refusal.
            Lack::Connect(need) if need.why == NeedWhy::NotConnected => return Ok(()),
            Lack::Connect(need) => match &need.why {
                NeedWhy::MoreScope(scopes) => format!("more scope: {}", scopes.join(" ")),
                NeedWhy::NeedsSignIn(code) => code.clone(),
                NeedWhy::NotConnected => String::new(),
            },
            Lack::Refused(text) | Lack::Unavailable(text) => text.clone(),
        };
        let event = portcullis_audit::Event::new(Kind::ConnectionRefused, self.parts.clock.now())
            .by(portcullis_audit::Actor {
                person: Some(whom.person.clone()),
                name: Some(whom.name.clone()),
                ..portcullis_audit::Actor::default()
            })
            .on(portcullis_audit::Target { server: Some(server.name.clone()), ..portcullis_audit::Target::default() })
            .outcome(Outcome::Denied)
            .number("status", i64::from(status))
            .text("why", portcullis_base::printable(&why, 300));
        match self.parts.journal.append(event).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, server.name = %server.name, "a refusal could not be recorded");
                Err(super::unavailable(server))
            }
        }
    }
}

fn key(server: &Server, holder: &Holder) -> Key {
    Key { holder: holder.clone(), server: server.name.clone() }
}

fn no_step(server: &Server, error: &ScopesError) -> Lack {
    let why = portcullis_base::printable(&error.to_string(), 300);
    Lack::Refused(format!("{} refuses this call: {why}. Ask an administrator.", server.name))
}
