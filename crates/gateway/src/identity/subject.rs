//! Tokens of people at their providers, fresh, for use in their name where a server takes a token that was made from one
//! (RFC 8693, on-behalf-of, ID-JAG).
//!
//! What a provider gives is kept in memory until it ends and nowhere else. The refresh token with which it is asked for is
//! the one that the sign-in left: the same lease as for asking about a person keeps two nodes from spending it twice, and
//! its successor is in the database before anything is done with what came along (spec: AS-144, UP-43).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::{Clock, PersonId, Rng, Secret, Timestamp};
use portcullis_store::{Identity, Store, StoreError};
use tokio::sync::Mutex as Turn;

use super::{
    AgainError, FreshTokens, Provider, Providers,
    refresh::{Ending, RenewalError},
};
use crate::{ended::Ended, journal::Journal, keys::Keys};

/// Until another node may spend the refresh token.
const LEASE: Duration = Duration::from_secs(30);
/// How long somebody else's question about the same person is waited for, and how often it is looked at.
const WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// A token that ends sooner is not given out.
const MARGIN: Duration = Duration::from_secs(30);
/// A token whose end the provider does not tell is given out for so long.
const UNTOLD: Duration = Duration::from_mins(5);
/// How many are kept.
const REMEMBERED: usize = 10_000;

/// The tokens of people.
pub struct Subjects {
    /// The providers.
    pub providers: Arc<Providers>,
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Opens and seals refresh tokens.
    pub keys: Arc<Keys>,
    /// What was ended.
    pub ended: Arc<Ended>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What is kept until it ends.
    pub held: Held,
}

/// Tokens by whose they are and what for. Made empty.
#[derive(Default)]
pub struct Held {
    tokens: Mutex<HashMap<Key, FreshTokens>>,
    turns: Mutex<HashMap<PersonId, Arc<Turn<()>>>>,
}

type Key = (PersonId, String, Option<String>);

/// Which token of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// The access token.
    Access,
    /// The ID token.
    Id,
    /// The refresh token: it is shown and not spent.
    Refresh,
}

/// Why there is no token of a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// They must sign in at the provider, for this reason.
    #[error("no sign-in to go by: {0}")]
    SignIn(String),
    /// They never signed in at this provider.
    #[error("they never signed in there")]
    Stranger,
    /// Their sign-in left nothing to ask with.
    #[error("the provider gave no refresh token at the last sign-in")]
    Bare,
    /// The provider gives no such token, whoever asks; an administrator must look.
    #[error("{0}")]
    NotGiven(String),
    /// Nothing was learned.
    #[error("{0}")]
    Unavailable(String),
}

impl Subjects {
    /// A token of `person` at `provider`, for `scope` instead of the scopes of the sign-in if one is named.
    pub async fn token(
        &self,
        provider: &Provider,
        person: &PersonId,
        kind: SubjectKind,
        scope: Option<&str>,
    ) -> Result<Secret, SubjectError> {
        let identity = self.identity(provider, person).await?;
        if kind == SubjectKind::Refresh {
            return self.open(&identity);
        }
        let key: Key = (person.clone(), provider.id().to_owned(), scope.map(str::to_owned));
        let signed_in_at = identity.signed_in_at;
        if let Some(token) = self.held.get(&key, kind, self.clock.now()) {
            return Ok(token);
        }
        let turn = self.held.turn(person);
        let _turn = turn.lock().await;
        if let Some(token) = self.held.get(&key, kind, self.clock.now()) {
            return Ok(token);
        }
        let identity = self.lease(&identity).await?;
        if identity.signed_in_at != signed_in_at {
            tracing::debug!(provider.id = provider.id(), "somebody signed in anew meanwhile");
        }
        let fresh = self.ask(provider, &identity, scope).await?;
        let token = choose(&fresh, kind, self.clock.now());
        self.held.put(key, fresh, self.clock.now());
        token.ok_or_else(|| {
            SubjectError::NotGiven(match kind {
                SubjectKind::Id => format!(
                    "{} gives no ID token without a sign-in: use `subject: refresh_token` or `subject: access_token`",
                    provider.name()
                ),
                _ => format!("{} gives tokens that end at once", provider.name()),
            })
        })
    }

    /// Forgets what is kept of `person`: they are gone, or signed in anew.
    pub fn forget(&self, person: &PersonId) {
        self.held.tokens().retain(|(whose, ..), _| whose != person);
    }

    /// Who the person is at the provider.
    async fn identity(&self, provider: &Provider, person: &PersonId) -> Result<Identity, SubjectError> {
        let all = self.store.identities_of(person).await.map_err(database)?;
        let there = |identity: &&Identity| identity.provider == provider.id() && provider.speaks_for(&identity.issuer);
        let mut theirs = all.iter().filter(there).collect::<Vec<_>>();
        theirs.sort_by_key(|identity| (identity.ended_at.is_none(), identity.signed_in_at));
        match theirs.last() {
            Some(identity) if identity.ended_at.is_none() => Ok(Identity::clone(identity)),
            Some(_) => Err(SubjectError::SignIn("the last sign-in has ended".into())),
            None => Err(SubjectError::Stranger),
        }
    }

    fn open(&self, identity: &Identity) -> Result<Secret, SubjectError> {
        let Some(sealed) = &identity.refresh_sealed else {
            return Err(SubjectError::Bare);
        };
        let opened = self.keys.open_provider_token(&identity.issuer, &identity.subject, sealed);
        opened.ok_or_else(|| SubjectError::SignIn("the refresh token was sealed with another root key".into()))
    }

    /// Takes the identity, or waits for whoever has it.
    async fn lease(&self, identity: &Identity) -> Result<Identity, SubjectError> {
        let Identity { issuer, subject, .. } = identity;
        let any_time = Timestamp::from_millis(i64::MAX);
        let taken = async {
            loop {
                let now = self.clock.now();
                let leased = self.store.lease_identity(issuer, subject, any_time, now.plus(LEASE), now).await;
                match leased.map_err(database)? {
                    Some(identity) => return Ok(identity),
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        tokio::time::timeout(WAIT, taken)
            .await
            .unwrap_or_else(|_| Err(SubjectError::Unavailable("the provider is being asked about the person".into())))
    }

    async fn ask(
        &self,
        provider: &Provider,
        identity: &Identity,
        scope: Option<&str>,
    ) -> Result<FreshTokens, SubjectError> {
        let Identity { issuer, subject, .. } = identity;
        let refresh = match self.open(identity) {
            Ok(refresh) => refresh,
            Err(error) => {
                self.free(identity, None).await?;
                return Err(error);
            }
        };
        match provider.fresh_tokens(&refresh, subject, scope).await {
            Ok(fresh) => {
                self.free(identity, fresh.refresh.as_ref()).await?;
                Ok(fresh)
            }
            // spec: AS-86, T-53: a plain word of the provider ends the sign-in, whatever it was asked for.
            Err(AgainError::Ended(why)) if scope.is_none() => {
                let Self { store, journal, ended, clock, .. } = self;
                let ending = Ending { store, journal, ended, clock: &**clock };
                let over = ending.over(identity, &why).await.map_err(|error| ending_failed(&error))?;
                if !over {
                    return Err(SubjectError::Unavailable("the person signed in anew meanwhile".into()));
                }
                Err(SubjectError::SignIn(why))
            }
            // That a scope is not given says nothing of the sign-in.
            Err(AgainError::Ended(why)) => {
                self.free(identity, None).await?;
                tracing::info!(provider.id = provider.id(), issuer, error.detail = why, "no token for a scope");
                Err(SubjectError::SignIn(why))
            }
            Err(AgainError::Unavailable { why, rotated }) => {
                self.free(identity, rotated.as_ref()).await?;
                Err(SubjectError::Unavailable(why))
            }
        }
    }

    /// Keeps the successor of a refresh token, if there is one, and gives the identity free.
    async fn free(&self, identity: &Identity, rotated: Option<&Secret>) -> Result<(), SubjectError> {
        let Identity { issuer, subject, .. } = identity;
        let sealed = rotated.map(|token| self.keys.seal_provider_token(issuer, subject, token, &*self.rng));
        self.store.identity_token_used(identity, sealed.as_deref()).await.map_err(database)
    }
}

impl Held {
    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<Key, FreshTokens>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key, kind: SubjectKind, now: Timestamp) -> Option<Secret> {
        choose(self.tokens().get(key)?, kind, now)
    }

    fn put(&self, key: Key, mut fresh: FreshTokens, now: Timestamp) {
        fresh.access_ends = fresh.access_ends.or_else(|| Some(now.plus(UNTOLD)));
        // It is in the database; in memory nobody needs it.
        fresh.refresh = None;
        let mut tokens = self.tokens();
        if tokens.len() >= REMEMBERED {
            tokens.retain(|_, kept| choose(kept, SubjectKind::Access, now).is_some());
        }
        if tokens.len() >= REMEMBERED {
            tokens.clear();
        }
        tokens.insert(key, fresh);
    }

    fn turn(&self, person: &PersonId) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(person.clone()).or_default().clone()
    }
}

/// The token, if it is alive for a while yet.
fn choose(fresh: &FreshTokens, kind: SubjectKind, now: Timestamp) -> Option<Secret> {
    let alive = |ends: Timestamp| ends > now.plus(MARGIN);
    match kind {
        SubjectKind::Access => fresh.access_ends.is_none_or(alive).then(|| fresh.access.clone()),
        SubjectKind::Id => fresh.id_token.as_ref().filter(|(_, ends)| alive(*ends)).map(|(token, _)| token.clone()),
        SubjectKind::Refresh => None,
    }
}

fn database(error: StoreError) -> SubjectError {
    SubjectError::Unavailable(error.to_string())
}

fn ending_failed(error: &RenewalError) -> SubjectError {
    SubjectError::Unavailable(error.to_string())
}
