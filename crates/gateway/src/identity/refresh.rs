//! Living groups: while somebody is active, their provider is asked again and again whether it still vouches for them and
//! in which groups they are.
//!
//! One round asks about whoever is due; a lease in the database keeps two nodes from spending the same refresh token. A
//! provider that says that it is over ends the sign-ins that came from it at once. One that does not answer ends nothing
//! until the time in the settings has passed.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use portcullis_audit::{Actor, Event, Kind, Outcome, Target, Value};
use portcullis_base::{Clock, PersonId, Rng, Secret, Timestamp};
use portcullis_oauth::grant::RevokedWhy;
use portcullis_store::{Due, Identity, Store, StoreError};

use super::{AgainError, Provider, Providers};
use crate::{
    config,
    ended::Ended,
    feed::{Feed, FeedError},
    journal::{Journal, JournalError},
    keys::Keys,
};

/// A round begins this often.
pub const EVERY: Duration = Duration::from_secs(30);
/// How many are asked about at the same time.
const AT_ONCE: usize = 4;
/// How many are taken on before more are looked for.
const TAKEN_ON: u32 = 64;
/// Until another node, or the next round, may ask about the same person.
const LEASE: Duration = Duration::from_mins(3);
/// Who was not seen for so long has no access token alive, and is asked about when they come back.
const ACTIVE: Duration = Duration::from_hours(2);
/// Somebody is asked about so much before their groups are as old as they may become.
const MARGIN: Duration = Duration::from_mins(1);

/// What is needed to ask again.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    /// Who is asked.
    pub providers: &'a Providers,
    /// How often, and how long without an answer.
    pub settings: &'a config::Identity,
    /// The database.
    pub store: &'a Store,
    /// The record.
    pub journal: &'a Journal,
    /// Opens refresh tokens.
    pub keys: &'a Keys,
    /// What was ended.
    pub ended: &'a Ended,
    /// Takes in what has changed.
    pub feed: &'a Feed,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Vouched for, as before.
    pub same: u32,
    /// Vouched for, with other groups.
    pub changed: u32,
    /// Not vouched for any more.
    pub ended: u32,
    /// Not learned.
    pub unavailable: u32,
}

/// Why a round was not finished. What was learned until then is in the database.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Taking in what has changed.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// What one question came to.
enum Learned {
    Same,
    Changed,
    Ended,
    Nothing,
}

impl Renewal<'_> {
    /// Asks about everybody who is due.
    ///
    /// spec: AS-145, T-53: "Map IdP groups or claims to gateway roles and MCP scopes at login and at every refresh."
    pub async fn round(&self) -> Result<Round, RenewalError> {
        let mut round = Round::default();
        loop {
            let now = self.clock.now();
            let due = Due {
                checked_before: self.due_before(now),
                unasked_before: now.minus(self.settings.unreachable),
                active_since: now.minus(ACTIVE),
                lease_until: now.plus(LEASE),
                limit: TAKEN_ON,
            };
            let taken_on = self.store.identities_due(&due, now).await?;
            if taken_on.is_empty() {
                break;
            }
            // All of them to their end, also if one cannot be written down: a refresh token that was spent has a successor.
            let asked = stream::iter(taken_on).map(|identity| self.ask(identity)).buffer_unordered(AT_ONCE);
            let learned: Vec<_> = asked.collect().await;
            for learned in learned {
                round = round.and(&learned?);
            }
            if round.changed + round.ended > 0 {
                self.feed.catch_up().await?;
            }
        }
        Ok(round)
    }

    /// Asks about one person, if that is due, before they get a new access token.
    ///
    /// spec: AS-86, AS-145: a person the provider no longer vouches for gets none, as their grants have ended when this
    /// returns.
    pub async fn renew_if_due(&self, person: &PersonId) -> Result<(), RenewalError> {
        let mut round = Round::default();
        for identity in self.store.identities_of(person).await? {
            let now = self.clock.now();
            if identity.ended_at.is_some() || identity.checked_at >= self.due_before(now) {
                continue;
            }
            let (issuer, subject) = (&identity.issuer, &identity.subject);
            // Whoever has the lease asks at this moment; one question is enough, two could spend one refresh token.
            if let Some(identity) =
                self.store.lease_identity(issuer, subject, self.due_before(now), now.plus(LEASE), now).await?
            {
                round = round.and(&self.ask(identity).await?);
            }
        }
        if round.changed + round.ended > 0 {
            self.feed.catch_up().await?;
        }
        Ok(())
    }

    /// Whoever was last vouched for before this is due: a little early, so that nobody's groups get older than they may.
    fn due_before(&self, now: Timestamp) -> Timestamp {
        let refresh = self.settings.refresh;
        now.minus(refresh).plus(MARGIN.min(refresh / 2))
    }

    async fn ask(&self, identity: Identity) -> Result<Learned, RenewalError> {
        let Identity { issuer, subject, refresh_sealed, .. } = &identity;
        let Some(sealed) = refresh_sealed else {
            return self.unasked(&identity, "the provider gave nothing to ask with").await;
        };
        let Some(provider) = self.provider(&identity) else {
            return self.unasked(&identity, "its provider is not in the settings any more").await;
        };
        let Some(refresh) = self.keys.open_provider_token(issuer, subject, sealed) else {
            return self.unasked(&identity, "what it is asked with was sealed with another root key").await;
        };
        let outcome = provider.again(&refresh, subject).await;
        let rotated = |token: &Secret| self.keys.seal_provider_token(issuer, subject, token, self.rng);
        match outcome {
            Ok(again) => {
                let token = again.refresh.as_ref().map(rotated);
                self.vouched(&identity, again.groups, token.as_deref()).await
            }
            Err(AgainError::Ended(why)) => self.over(&identity, &why).await,
            Err(AgainError::Unavailable { why, rotated: token }) => {
                if let Some(token) = token.as_ref().map(rotated) {
                    self.store.keep_identity_token(&identity, &token).await?;
                }
                self.unasked(&identity, &why).await
            }
        }
    }

    fn provider(&self, identity: &Identity) -> Option<&Provider> {
        self.providers
            .get(&identity.provider)
            .filter(|provider| provider.speaks_for(&identity.issuer))
            .map(|arc| &**arc)
    }

    async fn vouched(
        &self,
        identity: &Identity,
        groups: Option<Vec<String>>,
        token: Option<&[u8]>,
    ) -> Result<Learned, RenewalError> {
        let now = self.clock.now();
        let Identity { issuer, subject, .. } = identity;
        let changed = self.store.identity_checked(issuer, subject, groups.as_deref(), token, now).await?;
        let Some(groups) = groups.filter(|_| changed) else { return Ok(Learned::Same) };
        let event = event(Kind::PersonChanged, identity, now)
            .text("what", "groups at the provider")
            .detail("before", Value::List(identity.groups.clone()))
            .detail("after", Value::List(groups));
        self.journal.append(event).await?;
        Ok(Learned::Changed)
    }

    /// The provider does not vouch for them any more. spec: T-53, AS-86
    async fn over(&self, identity: &Identity, why: &str) -> Result<Learned, RenewalError> {
        let Self { store, journal, ended, clock, .. } = *self;
        let over = Ending { store, journal, ended, clock }.over(identity, why).await?;
        Ok(if over { Learned::Ended } else { Learned::Same })
    }

    /// Nothing was learned; that ends somebody only after the time in the settings.
    async fn unasked(&self, identity: &Identity, why: &str) -> Result<Learned, RenewalError> {
        let now = self.clock.now();
        let Identity { issuer, subject, provider, .. } = identity;
        let Some(since) = self.store.identity_failing(issuer, subject, now).await? else { return Ok(Learned::Same) };
        // Without anything to ask with, the last sign-in was the last answer.
        let since = if identity.refresh_sealed.is_some() { since } else { identity.checked_at };
        if now.since(since) >= self.settings.unreachable {
            return self.over(identity, why).await;
        }
        tracing::warn!(provider.id = provider, error.detail = why, "a sign-in could not be checked again");
        Ok(Learned::Nothing)
    }
}

/// What is needed to end what came from somebody's sign-ins.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) store: &'a Store,
    pub(super) journal: &'a Journal,
    pub(super) ended: &'a Ended,
    pub(super) clock: &'a dyn Clock,
}

impl Ending<'_> {
    /// Ends it, unless they have signed in anew while the old token was asked with; whether it ended.
    pub(super) async fn over(&self, identity: &Identity, why: &str) -> Result<bool, RenewalError> {
        let now = self.clock.now();
        let Identity { issuer, subject, .. } = identity;
        let current = self.store.identity(issuer, subject).await?;
        if current.is_none_or(|current| current.signed_in_at != identity.signed_in_at) {
            return Ok(false);
        }
        let ended = self.store.end_identity(issuer, subject, RevokedWhy::IdentityEnded, now).await?;
        self.ended.end_grants(ended.grants.iter().cloned(), now);
        let event = event(Kind::IdentityEnded, identity, now)
            .text("why", portcullis_base::printable(why, 300))
            .number("sessions", ended.sessions as i64)
            .detail("grants", Value::List(ended.grants.iter().map(ToString::to_string).collect()));
        self.journal.append(event).await?;
        Ok(true)
    }
}

fn event(kind: Kind, identity: &Identity, now: Timestamp) -> Event {
    Event::new(kind, now)
        .by(Actor { person: Some(identity.person.clone()), ..Actor::default() })
        .on(Target { name: Some(identity.provider.clone().into()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("issuer", identity.issuer.clone())
        .text("subject", identity.subject.clone())
}

impl Round {
    fn and(mut self, learned: &Learned) -> Self {
        let count = match learned {
            Learned::Same => &mut self.same,
            Learned::Changed => &mut self.changed,
            Learned::Ended => &mut self.ended,
            Learned::Nothing => &mut self.unavailable,
        };
        *count += 1;
        self
    }
}
