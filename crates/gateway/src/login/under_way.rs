//! A sign-in that is under way at a provider.
//!
//! Its `state` is random with a mark of ours, so that nobody can make us remember states that we never gave out. Everything
//! else about it is in a sealed cookie of the browser that started it, named after the state, so that two tabs do not disturb
//! each other. What comes back is believed in that browser only, once, for ten minutes, at the path of that provider.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{Digest, Rng, Timestamp, token};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::way::{Seconds, Way};
use crate::{
    app::App,
    error::PageError,
    extract::{Source, clear_cookie, cookie, cookies_named, short_cookie},
    keys::{Keys, Purpose},
    return_to::ReturnTo,
};

/// The beginning of the cookie's name.
const COOKIE: &str = "__Host-portcullis-login-";
/// So much of the state is the end of it.
const SUFFIX: usize = 8;
/// spec: AS-136: "expire it within 10 minutes"
const LIFETIME: Duration = Duration::from_mins(10);
/// More sign-ins at once are no person's; the browser is made to forget them.
const MOST: usize = 8;
/// Random bytes of a state.
const RANDOM: usize = 24;

/// A sign-in that is under way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Comes back with the callback.
    pub state: String,
    /// At which provider.
    pub provider: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: String,
    return_to: String,
    max_age: Option<u64>,
    acr: Option<String>,
    agent: String,
    /// When it began.
    pub began_at: Timestamp,
}

impl UnderWay {
    /// A new one in the browser that sent `headers`.
    pub fn begin(app: &App, provider: &str, way: &Way, headers: &HeaderMap) -> Self {
        Self {
            state: new_state(&app.keys, &*app.rng),
            provider: provider.to_owned(),
            nonce: token::<32>(&*app.rng),
            verifier: token::<32>(&*app.rng),
            return_to: way.return_to.as_str().to_owned(),
            max_age: way.max_age.map(|Seconds(seconds)| seconds),
            acr: way.acr.clone(),
            agent: agent(headers),
            began_at: app.clock.now(),
        }
    }

    /// Where it leads.
    pub fn way(&self) -> Way {
        Way { return_to: ReturnTo::parse(&self.return_to), max_age: self.max_age.map(Seconds), acr: self.acr.clone() }
    }

    /// The PKCE challenge.
    pub fn challenge(&self) -> String {
        Digest::of(self.verifier.as_bytes()).to_base64url()
    }

    /// `Set-Cookie` that keeps it, and those that make the browser forget a flood of others. A way back that is too long for
    /// a cookie is given up.
    pub fn cookies(&mut self, app: &App, headers: &HeaderMap) -> Vec<HeaderValue> {
        let mut cookies: Vec<HeaderValue> = Vec::new();
        if cookies_named(headers, COOKIE).count() >= MOST {
            let names = cookies_named(headers, COOKIE).filter(|name| is_plain(name));
            cookies.extend(names.map(clear_cookie));
        }
        if self.cookie(app).is_none() {
            self.return_to = ReturnTo::default().to_string();
        }
        cookies.extend(self.cookie(app));
        cookies
    }

    fn cookie(&self, app: &App) -> Option<HeaderValue> {
        let plain = serde_json::to_vec(self).expect("a sign-in is texts and numbers");
        let sealed = app.keys.seal(Purpose::SignIn, self.state.as_bytes(), &plain, &*app.rng);
        short_cookie(&cookie_name(&self.state), &URL_SAFE_NO_PAD.encode(sealed), LIFETIME)
    }

    /// `Set-Cookie` that removes it.
    pub fn clear(&self) -> HeaderValue {
        clear_cookie(&cookie_name(&self.state))
    }

    /// The sign-in that `state` ends, in the browser that sent `headers` and at the path of `provider`. It can be had once.
    ///
    /// spec: AS-137, T-3, T-7: a `state` that is missing, unknown, used, expired or of another browser ends here, before
    /// anything is asked of the provider.
    pub async fn take(
        app: &App,
        source: Source,
        headers: &HeaderMap,
        provider: &str,
        state: Option<&str>,
    ) -> Result<Self, PageError> {
        let Some(state) = state.filter(|state| is_ours(&app.keys, state)) else {
            refuse(app, source, Kind::SigninFailed, provider, "the state is none of ours").await?;
            return Err(not_here());
        };
        let found = Self::in_browser(app, headers, state);
        // Whatever it is, it is used up: what was carried into another browser is good for nothing there or here.
        let until = app.clock.now().plus(LIFETIME * 2);
        let first = app.store.spend(&format!("state {state}"), until).await.map_err(PageError::unavailable)?;
        let Some(found) = found? else {
            // spec: T-3: "403 error page, transaction burned, no token exchange, audit event `authz.browser_mismatch`".
            refuse(app, source, Kind::AuthzBrowserMismatch, provider, "no cookie for this state").await?;
            return Err(not_here());
        };
        // spec: T-17, AS-147: each provider has a path of its own, and an answer at another's is no answer.
        if found.provider != provider {
            refuse(app, source, Kind::AuthzBrowserMismatch, provider, "the callback of another provider").await?;
            return Err(not_here());
        }
        if !first {
            refuse(app, source, Kind::SigninFailed, provider, "the state was used before").await?;
            return Err(not_here());
        }
        if app.clock.now() >= found.began_at.plus(LIFETIME) {
            refuse(app, source, Kind::SigninFailed, provider, "the state has expired").await?;
            return Err(too_late(&found));
        }
        Ok(found)
    }

    /// spec: T-4: the cookie is ours, is there once, and is in the browser that it was given to.
    fn in_browser(app: &App, headers: &HeaderMap, state: &str) -> Result<Option<Self>, PageError> {
        let Some(sealed) = cookie(headers, &cookie_name(state))? else { return Ok(None) };
        let plain = URL_SAFE_NO_PAD
            .decode(sealed.reveal())
            .ok()
            .and_then(|sealed| app.keys.open(Purpose::SignIn, state.as_bytes(), &sealed));
        let found = plain.and_then(|plain| serde_json::from_slice::<Self>(&plain).ok());
        Ok(found.filter(|found| found.state == state && found.agent == agent(headers)))
    }
}

fn cookie_name(state: &str) -> String {
    format!("{COOKIE}{}", state.get(..SUFFIX).unwrap_or_default())
}

fn is_plain(name: &str) -> bool {
    name.len() <= COOKIE.len() + SUFFIX && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// spec: T-4: "user agent family hash".
fn agent(headers: &HeaderMap) -> String {
    Digest::of(headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes)).to_base64url()
}

/// spec: AS-136: "from a CSPRNG per request".
fn new_state(keys: &Keys, rng: &dyn Rng) -> String {
    let mut random = [0; RANDOM];
    rng.fill(&mut random);
    let mark = keys.state_mark(&random);
    URL_SAFE_NO_PAD.encode([&random[..], &mark[..]].concat())
}

fn is_ours(keys: &Keys, state: &str) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(state).unwrap_or_default();
    bytes.split_at_checked(RANDOM).is_some_and(|(random, mark)| keys.state_mark(random).ct_eq(mark).into())
}

async fn refuse(app: &App, source: Source, kind: Kind, provider: &str, reason: &'static str) -> Result<(), PageError> {
    let event = Event::new(kind, app.clock.now())
        .by(Actor { address: Some(source.0), ..Actor::default() })
        .outcome(Outcome::Denied)
        .text("method", provider.to_owned())
        .text("reason", reason);
    app.journal.append(event).await.map(drop).map_err(PageError::unavailable)
}

fn not_here() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "signin.not_here",
        "This sign-in cannot be finished here",
        "It was begun in another browser, it was finished before, or it is not one of ours. Nothing was changed. If \
         somebody sent you the link, tell your administrator. Otherwise start again.",
    )
    .onward("Sign in", "/login".into())
}

fn too_late(found: &UnderWay) -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "signin.too_late",
        "This sign-in took too long",
        "Nothing was changed. Try again.",
    )
    .onward("Try again", found.way().start(&found.provider))
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;
    use zeroize::Zeroizing;

    use super::*;

    // spec: AS-136, AS-137, T-3
    #[test]
    fn a_state_is_random_and_nobody_else_can_make_one() {
        let (keys, rng) = (Keys::from_root(&Zeroizing::new([7; 32])), SeededRng::new(1));
        let state = new_state(&keys, &rng);
        assert!(is_ours(&keys, &state));
        assert_ne!(state, new_state(&keys, &rng));
        assert!(!is_ours(&Keys::from_root(&Zeroizing::new([8; 32])), &state));
        let mut touched = URL_SAFE_NO_PAD.decode(&state).unwrap();
        touched[0] ^= 1;
        for bad in ["", "x", &state[1..], &state[..53], &URL_SAFE_NO_PAD.encode(touched)] {
            assert!(!is_ours(&keys, bad), "{bad}");
        }
        assert_eq!(cookie_name(&state), format!("{COOKIE}{}", &state[..8]));
        assert!(is_plain(&cookie_name(&state)) && !is_plain("__Host-portcullis-login-a b"));
    }
}
