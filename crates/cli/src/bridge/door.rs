//! What proves to the server who calls: an access key, or a sign-in that is renewed and, where nothing else helps, asked of the
//! person.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use portcullis_base::{Secret, Timestamp, printable};
use portcullis_oauth::upstream::{
    challenge::Wanted,
    scopes,
    token::{Grant, Refused},
};
use tokio::sync::Mutex as Turn;

use super::{
    client::{self, NoTokens},
    discovery::outbound,
    kept::{For, Held},
    sign_in::SignIn,
};
use crate::{
    failure::{Failure, Result},
    output::note,
};

/// So long before its end a token is renewed: a request takes time, and clocks differ.
const BEFORE_THE_END: std::time::Duration = std::time::Duration::from_secs(10);
/// After a sign-in that came to nothing no other is begun for so long: a client repeats itself faster than a person reads.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(30);

/// How the server is shown who calls.
pub enum Door {
    /// By a key that the person was given.
    Key(Secret),
    /// By a sign-in.
    SignIn(Arc<Renewing>),
}

/// What one request shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass(Option<Secret>);

/// Why what a request showed does not do.
#[derive(Clone, Debug)]
pub enum Why {
    /// It was refused.
    Refused,
    /// It was refused although it is new.
    RefusedAgain,
    /// It does not reach far enough.
    MoreScope,
}

/// Whether the person may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    Person,
    Nobody,
}

/// A sign-in that is kept alive.
pub struct Renewing {
    sign_in: SignIn,
    state: Mutex<State>,
    /// Whoever changes it: one at a time, and the others see what came of it.
    turn: Turn<()>,
}

#[derive(Default)]
struct State {
    /// Read once, then as it is changed here.
    read: bool,
    held: Option<Held>,
    /// When somebody was last asked in vain, and why it came to nothing.
    failed: Option<(Timestamp, String)>,
}

impl Pass {
    /// The value of the `Authorization` header.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0.as_ref()?.reveal())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Door {
    /// What the next request shows.
    pub async fn pass(&self, asking: Asking) -> Result<Pass> {
        match self {
            Self::Key(key) => Ok(Pass(Some(key.clone()))),
            Self::SignIn(renewing) => renewing.pass(asking).await,
        }
    }

    /// Something better to show than `seen`. What was begun for it goes on if the caller gives up.
    pub async fn better(&self, seen: &Pass, why: Why, wanted: Option<Wanted>, asking: Asking) -> Result<Pass> {
        match self {
            Self::Key(_) => Err(Failure::new("the server refused the access key")
                .help("it may have ended, or be for another server: portcullis key list")),
            Self::SignIn(renewing) => {
                let (renewing, seen) = (renewing.clone(), seen.clone());
                let renewed = tokio::spawn(async move {
                    renewing.renew(&seen, &why, wanted.as_ref(), asking).await.map(|()| renewing.current())
                });
                renewed.await.map_err(|_| Failure::new("the sign-in was cut off"))?
            }
        }
    }
}

impl Renewing {
    /// With nothing read yet.
    pub fn new(sign_in: SignIn) -> Arc<Self> {
        Arc::new(Self { sign_in, state: Mutex::default(), turn: Turn::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Pass {
        Pass(self.state().held.as_ref().and_then(|held| held.access.clone()))
    }

    fn hold(&self, held: Held) {
        let mut state = self.state();
        (state.held, state.failed) = (Some(held), None);
    }

    async fn pass(self: &Arc<Self>, asking: Asking) -> Result<Pass> {
        if !self.state().read {
            let held = self.sign_in.kept.read().await?.filter(|held| self.sign_in.is_of_issuer(held));
            let mut state = self.state();
            if !state.read {
                (state.read, state.held) = (true, held);
            }
        }
        let ends = |held: &Held| held.expires_at.is_some_and(|at| at <= self.sign_in.clock.now().plus(BEFORE_THE_END));
        let over = self.state().held.as_ref().is_some_and(|held| held.refresh.is_some() && ends(held));
        let pass = self.current();
        if !over {
            return Ok(pass);
        }
        Door::SignIn(self.clone()).better(&pass, Why::Refused, None, asking).await
    }

    async fn renew(&self, seen: &Pass, why: &Why, wanted: Option<&Wanted>, asking: Asking) -> Result<()> {
        let _turn = self.turn.lock().await;
        if self.current() != *seen {
            return Ok(());
        }
        if self.refresh(seen, why).await? {
            return Ok(());
        }
        if asking == Asking::Nobody {
            return Err(Failure::new("nobody is signed in"));
        }
        if let Some((at, said)) = &self.state().failed
            && self.sign_in.clock.now().since(*at) < PAUSE
        {
            return Err(Failure::new(said.clone()));
        }
        let asked = self.state().held.clone();
        let scopes = match (why, &asked) {
            (Why::MoreScope, held) => {
                let before = held.as_ref().map(|held| held.scopes.as_slice()).unwrap_or_default();
                let challenged = wanted.and_then(|wanted| wanted.scope.clone()).unwrap_or_default();
                let scopes = scopes::step_up(before, &challenged, None);
                Some(scopes.map_err(|error| Failure::new(error.to_string()))?)
            }
            _ => None,
        };
        match self.sign_in.with_the_person(seen.0.as_ref(), wanted, scopes).await {
            Ok(held) => {
                self.hold(held);
                Ok(())
            }
            Err(failure) => {
                self.state().failed = Some((self.sign_in.clock.now(), failure.to_string()));
                Err(failure)
            }
        }
    }

    /// Takes what another bridge renewed, or renews it. `false`: only the person can help.
    ///
    /// spec: RFC9700#4.14.2: a refresh token may be good once, so one process at a time spends it, and stores what came before
    /// anybody uses it.
    async fn refresh(&self, seen: &Pass, why: &Why) -> Result<bool> {
        let SignIn { kept, .. } = &self.sign_in;
        let lock = kept.lock(For::Renewing).await?;
        let Some(mut held) = kept.read().await?.filter(|held| self.sign_in.is_of_issuer(held)) else {
            return Ok(false);
        };
        if held.access.is_some() && held.access != seen.0 {
            self.hold(held);
            return Ok(true);
        }
        let (Why::Refused, Some(refresh)) = (why, held.refresh.clone()) else { return Ok(false) };
        let outbound =
            outbound(&self.sign_in.dialer, &self.sign_in.url, self.sign_in.issuer.as_deref(), &held.token_endpoint);
        let grant = Grant::Refresh { token: &refresh, resource: held.resource.as_deref() };
        match client::ask(&outbound, &held.token_endpoint, &held.client, &grant).await {
            Ok(tokens) => {
                let now = self.sign_in.clock.now();
                held.take(tokens, now);
                if let Err(error) = kept.write(&held, &lock).await {
                    note(format_args!("portcullis bridge: {error}"));
                }
                self.hold(held);
                Ok(true)
            }
            Err(NoTokens::Refused(why)) => {
                (held.access, held.refresh, held.expires_at) = (None, None, None);
                if matches!(why, Refused::InvalidClient(_) | Refused::UnauthorizedClient(_)) {
                    kept.forget(&lock).await?;
                } else {
                    kept.write(&held, &lock).await?;
                }
                Ok(false)
            }
            // It is silent, or in trouble: no reason to send the person anywhere.
            Err(NoTokens::Unknown(why)) => {
                Err(Failure::new(format!("the sign-in could not be renewed: {}", printable(&why, 300))))
            }
        }
    }
}
