//! What is made for a person without asking them: made when it is needed, by one for all who ask at that moment, kept in
//! memory only, and made again when it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use portcullis_base::{Holder, Timestamp};

use super::{
    Connections, Presented,
    lack::Lack,
    live::{Live, Renewing, Standing, moments, origin},
    look::bearer,
    memory::Key,
};
use crate::{
    authority::{MintError, Whom},
    config::{self, Credential},
    snapshot::Server,
    upstream,
};

/// How long a token is used whose end nobody said.
const UNSAID: Duration = Duration::from_mins(5);
/// For so long one that was refused is not asked for again: by hand, by settings, by trouble.
const RESTS: [Duration; 3] = [Duration::from_mins(5), Duration::from_secs(15), Duration::from_secs(2)];

/// What came of it, as it is remembered.
#[derive(Clone)]
pub(super) enum Mint {
    /// A credential.
    Live(Arc<Live>),
    /// None, and why, until when, by which settings.
    Not { why: MintError, until: Timestamp, settings: Arc<config::Credential> },
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unmade {
    /// It does not work without the person: they may be able to connect by hand.
    ByHand(String),
    /// Anything else.
    Lack(Lack),
}

impl Unmade {
    pub(super) fn lack(self) -> Lack {
        match self {
            Self::ByHand(text) => Lack::Refused(text),
            Self::Lack(lack) => lack,
        }
    }
}

/// Numbers of minted credentials, so that of two of them it can be said which is older.
static SERIAL: AtomicI64 = AtomicI64::new(1);

impl Connections {
    /// The credential of `holder`, who is `whom` or everybody; a later one than `than` if the server refused that one.
    pub(super) async fn minted(
        self: &Arc<Self>,
        server: &Server,
        whom: &Whom,
        holder: Holder,
        than: Option<i64>,
    ) -> Result<Presented, Unmade> {
        let key = Key { holder, server: server.name.clone() };
        let now = self.parts.clock.now();
        match self.minted.get(&key) {
            Some(Mint::Live(live)) if than.is_none_or(|than| live.version > than) => match live.standing(server, now) {
                Standing::Fresh => return Ok(live.presented()),
                Standing::Due => {
                    self.minting.board(&key, || self.clone().mint(key.clone(), whom.clone()));
                    return Ok(live.presented());
                }
                Standing::Late if !live.has_ended(now) => {
                    let made = self.mint_now(&key, server, whom).await;
                    return made.or_else(|_| Ok(live.presented()));
                }
                Standing::Late | Standing::Over | Standing::Outdated | Standing::Elsewhere => {}
            },
            Some(Mint::Not { why, until, settings }) if now < until && settings == server.credential => {
                return Err(unmade(why));
            }
            _ => {}
        }
        self.mint_now(&key, server, whom).await
    }

    async fn mint_now(self: &Arc<Self>, key: &Key, server: &Server, whom: &Whom) -> Result<Presented, Unmade> {
        let flight = || self.clone().mint(key.clone(), whom.clone());
        match self.minting.wait(key, flight).await {
            // The settings may have changed while it was made.
            Some(Mint::Live(live)) if live.standing(server, self.parts.clock.now()) != Standing::Elsewhere => {
                Ok(live.presented())
            }
            Some(Mint::Not { why, .. }) => Err(unmade(why)),
            Some(Mint::Live(_)) | None => Err(Unmade::Lack(super::unavailable(server))),
        }
    }

    async fn mint(self: Arc<Self>, key: Key, whom: Whom) -> Mint {
        let made = match self.server(&key.server) {
            Some(server) => self.make(&key, &server, &whom).await.map_err(|why| (why, server.credential.clone())),
            None => Err((MintError::Unavailable("the server is not in the settings any more".into()), Arc::default())),
        };
        let mint = match made {
            Ok(live) => Mint::Live(Arc::new(live)),
            Err((why, settings)) => {
                let rest = match &why {
                    MintError::Interactive(_) => RESTS[0],
                    MintError::Refused { detail, .. } | MintError::SignIn { detail, .. } => {
                        tracing::warn!(server.name = %key.server, error.detail = %detail, "no token was made for somebody");
                        RESTS[1]
                    }
                    MintError::Unavailable(detail) => {
                        tracing::warn!(server.name = %key.server, error.detail = %detail, "no token could be made");
                        RESTS[2]
                    }
                };
                Mint::Not { why, until: self.parts.clock.now().plus(rest), settings }
            }
        };
        // What is alive is not thrown away because its successor could not be made.
        let alive = matches!((&mint, self.minted.get(&key)), (Mint::Not { settings, .. }, Some(Mint::Live(live)))
            if live.settings == *settings && !live.has_ended(self.parts.clock.now()));
        if !alive {
            self.minted.insert(key, mint.clone());
        }
        mint
    }

    async fn make(&self, key: &Key, server: &Server, whom: &Whom) -> Result<Live, MintError> {
        let from = self.parts.clock.now();
        let unfit = || MintError::Unavailable("what was made cannot be sent in a header".to_owned());
        let (header, end, scopes) = if let Credential::Assertion(settings) = &*server.credential {
            let (value, end) = self.parts.authorities.assertion(server, whom)?;
            ((settings.header.clone(), value), end, Vec::new())
        } else {
            let made = self.parts.authorities.mint(server, whom).await?;
            let end = made.expires_at.filter(|end| *end > from).unwrap_or_else(|| from.plus(UNSAID));
            (bearer(made.access.reveal()).ok_or_else(unfit)?, end, made.scopes)
        };
        let mut share = [0];
        self.parts.rng.fill(&mut share);
        let (early, late) = moments(from, end, share[0]);
        Ok(Live {
            id: None,
            version: SERIAL.fetch_add(1, Ordering::Relaxed),
            credential: upstream::Credential::new([header], key.holder.clone()).renewal_of("made"),
            scopes,
            at: origin(server).ok_or_else(unfit)?,
            settings: server.credential.clone(),
            expires_at: Some(end),
            renew_at: Some(early),
            late_at: Some(late),
            renewing: Renewing::Possible,
            connected_at: from,
            not_before: AtomicI64::new(i64::MIN),
            forgotten: AtomicBool::new(false),
            noted: AtomicI64::new(i64::MIN),
        })
    }
}

fn unmade(why: MintError) -> Unmade {
    match why {
        MintError::Interactive(text) => Unmade::ByHand(text),
        MintError::Refused { public, .. } | MintError::SignIn { public, .. } => Unmade::Lack(Lack::Refused(public)),
        MintError::Unavailable(_) => Unmade::Lack(Lack::Unavailable(
            "The service that makes the access for this server does not answer. Try again in a minute.".to_owned(),
        )),
    }
}
