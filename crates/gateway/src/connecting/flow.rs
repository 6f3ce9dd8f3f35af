//! A connection that is being made: one entry of the database and one cookie.
//!
//! The entry is found by the digest of what comes back (the `state` of the provider's answer, then the value in the page
//! that asks for a yes) and is gone with the first look, whatever comes of it. It counts only in the browser that holds the
//! cookie, in the session and for the person that began it.
//!
//! spec: UP-33, UP-36, T-3, T-4

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{Digest, Holder, Secret, ServerName, token};
use portcullis_store::{ConnectFlow, FlowStage, StoreError};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{give_back::give_back, onward::Onward, which::page_of};
use crate::{
    app::App,
    authority::Held,
    connect_link::CONNECTIONS,
    error::PageError,
    extract::{LoggedIn, Planted, Source, clear_cookie, cookie, cookies_named, short_cookie},
    keys::Purpose,
};

/// The beginning of the cookie's name; the end is that of what comes back, so that two tabs do not disturb each other.
const COOKIE: &str = "__Host-portcullis-connect-";
/// So many characters of it.
const SUFFIX: usize = 8;
/// spec: T-3: "<= 10 min"
const LIFETIME: Duration = Duration::from_mins(10);
/// More at once are no person's; the browser is made to forget them.
const MOST: usize = 8;
/// A state is never longer.
const LONGEST: usize = 128;

/// What travels with a flow, sealed in its entry.
#[derive(Deserialize)]
pub struct Luggage {
    /// What it was begun with, or what arrived; as the part that made it reads it.
    contents: Secret,
    /// Where the person goes on.
    pub onward: Onward,
    /// Whether a call of an application waits for it.
    pub began: Began,
}

/// The same on its way into the seal.
#[derive(Serialize)]
struct Packed<'a> {
    contents: &'a str,
    onward: &'a Onward,
    began: Began,
}

/// Where a connecting began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Began {
    /// The person came to the page.
    OnPage,
    /// A call gave out a link.
    ByCall,
}

/// A flow that came back to where it began.
pub struct Taken {
    /// Whose the connection is to be.
    pub holder: Holder,
    /// Where.
    pub server: ServerName,
    /// What travelled with it.
    pub luggage: Luggage,
    cookie: String,
}

/// Whose and where.
pub struct About<'a> {
    /// Who makes it.
    pub who: &'a LoggedIn,
    /// Whose it is to be.
    pub holder: &'a Holder,
    /// Where.
    pub server: &'a ServerName,
}

impl Luggage {
    /// `contents`, and what belongs to it.
    pub fn new(contents: Secret, onward: Onward, began: Began) -> Self {
        Self { contents, onward, began }
    }

    /// What it was begun with, or what arrived.
    pub fn contents(&self) -> &Secret {
        &self.contents
    }
}

/// Writes a flow down that `ticket` will find; `Set-Cookie` for the browser, and those that make it forget a flood of others.
pub async fn keep(
    app: &App,
    about: &About<'_>,
    (ticket, stage): (&Secret, FlowStage),
    luggage: &Luggage,
    headers: &HeaderMap,
) -> Result<Vec<HeaderValue>, PageError> {
    let browser = Secret::new(token::<32>(&*app.rng));
    let state_hash = Digest::of(ticket.reveal().as_bytes());
    let flow = ConnectFlow {
        sealed: seal(app, &owner(&state_hash, about.holder, about.server), luggage),
        state_hash,
        holder: about.holder.clone(),
        person: about.who.person.id.clone(),
        server: about.server.clone(),
        session: about.who.browser.id.clone(),
        browser_hash: Digest::of(browser.reveal().as_bytes()),
        stage,
        expires_at: app.clock.now().plus(LIFETIME),
    };
    app.store.begin_connect(&flow).await.map_err(|error| match error {
        StoreError::Missing => PageError::not_found(),
        error => PageError::unavailable(error),
    })?;
    let mut cookies = Vec::new();
    if cookies_named(headers, COOKIE).count() >= MOST {
        cookies.extend(cookies_named(headers, COOKIE).filter(|name| is_plain(name)).map(clear_cookie));
    }
    cookies.extend(short_cookie(&cookie_name(ticket.reveal()), browser.reveal(), LIFETIME));
    Ok(cookies)
}

/// The flow that `ticket` finds, if this is where it began. It can be had once, and never by anybody else.
///
/// spec: UP-36, T-3: a ticket that is missing, unknown, used, over, of another browser, session or person ends here, before
/// anything is asked of anybody.
pub async fn take(
    app: &App,
    source: Source,
    who: Option<&LoggedIn>,
    headers: &HeaderMap,
    (ticket, stage): (Option<&str>, FlowStage),
) -> Result<Taken, PageError> {
    let refused = Refused { app, source, who, server: None, stage };
    let Some(ticket) = ticket.filter(|ticket| !ticket.is_empty() && ticket.len() <= LONGEST && ticket.is_ascii())
    else {
        return Err(refused.unknown("no state of ours").await);
    };
    let held = cookie(headers, &cookie_name(ticket));
    let state_hash = Digest::of(ticket.as_bytes());
    // Whatever it is, it is used up: what was carried into another browser is good for nothing there or here.
    let found = app.store.take_connect(&state_hash, stage, app.clock.now()).await.map_err(PageError::unavailable)?;
    let Some(flow) = found else {
        return Err(refused.unknown("the state is unknown, was used before, or is over").await);
    };
    let refused = Refused { server: Some(&flow.server), ..refused };
    let Some(luggage) = open(app, &owner(&state_hash, &flow.holder, &flow.server), &flow.sealed) else {
        return Err(refused.unknown("what was kept for it cannot be read").await);
    };
    let strayed = match held {
        Ok(held) => belongs(&flow, who, held.as_ref()).err(),
        Err(Planted) => Some(Strayed::TwoCookies),
    };
    if let Some(strayed) = strayed {
        if let Some(held) = (stage == FlowStage::Arrived).then(|| arrived(app, &flow)).flatten() {
            give_back(app, &flow.holder, &held).await;
        }
        return Err(refused.strayed(strayed, &luggage).await);
    }
    Ok(Taken { holder: flow.holder, server: flow.server, luggage, cookie: cookie_name(ticket) })
}

/// What a provider gave, of a flow that has arrived.
pub fn arrived(app: &App, flow: &ConnectFlow) -> Option<Held> {
    let luggage = open(app, &owner(&flow.state_hash, &flow.holder, &flow.server), &flow.sealed)?;
    Held::from_sealed_text(luggage.contents())
}

impl Taken {
    /// `Set-Cookie` that removes its cookie.
    pub fn clear(&self) -> HeaderValue {
        clear_cookie(&self.cookie)
    }
}

/// Why a flow does not go on where somebody came back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strayed {
    /// Somebody planted a cookie.
    TwoCookies,
    /// It was not begun in this browser.
    Browser(&'static str),
    /// In this browser, and nobody is signed in any more.
    SignedOut,
    /// In this browser, by the same person, who has signed in anew since.
    SignedInAnew,
    /// In this browser, and somebody else is signed in by now.
    SomebodyElse,
}

/// spec: T-3, T-4: "callback also requires the *logged-in gateway session* to be the one that approved".
fn belongs(flow: &ConnectFlow, who: Option<&LoggedIn>, held: Option<&Secret>) -> Result<(), Strayed> {
    let held = held.ok_or(Strayed::Browser("no cookie for this state"))?;
    let hash = Digest::of(held.reveal().as_bytes());
    if !bool::from(hash.as_bytes().ct_eq(flow.browser_hash.as_bytes())) {
        return Err(Strayed::Browser("the cookie of another browser"));
    }
    let who = who.ok_or(Strayed::SignedOut)?;
    if who.person.id != flow.person {
        return Err(Strayed::SomebodyElse);
    }
    if who.browser.id != flow.session {
        return Err(Strayed::SignedInAnew);
    }
    Ok(())
}

impl Strayed {
    fn reason(self) -> &'static str {
        match self {
            Self::TwoCookies => "two cookies for this state",
            Self::Browser(why) => why,
            Self::SignedOut => "nobody is signed in",
            Self::SignedInAnew => "begun in another session",
            Self::SomebodyElse => "begun by another person",
        }
    }
}

/// Somebody who came back to where nothing of theirs was begun.
struct Refused<'a> {
    app: &'a App,
    source: Source,
    who: Option<&'a LoggedIn>,
    server: Option<&'a ServerName>,
    stage: FlowStage,
}

impl Refused<'_> {
    /// Nothing is known of it, so the page says nothing of it.
    async fn unknown(&self, reason: &'static str) -> PageError {
        let page = match self.stage {
            FlowStage::Asked => not_here(),
            FlowStage::Arrived => answered(),
        };
        self.recorded(Kind::ConnectionFailed, reason, page).await
    }

    /// It is known, and does not go on. Who holds the browser that it was begun in is told how to begin again.
    async fn strayed(&self, strayed: Strayed, luggage: &Luggage) -> PageError {
        let page = match (strayed, self.server) {
            (Strayed::TwoCookies, _) => Planted.into(),
            (Strayed::SignedOut | Strayed::SignedInAnew, Some(server)) => begin_again(server, &luggage.onward),
            (Strayed::SomebodyElse, _) => somebody_else(),
            (Strayed::Browser(_) | Strayed::SignedOut | Strayed::SignedInAnew, _) => not_here(),
        };
        self.recorded(Kind::AuthzBrowserMismatch, strayed.reason(), page).await
    }

    async fn recorded(&self, kind: Kind, reason: &'static str, page: PageError) -> PageError {
        let nobody = || Actor { address: Some(self.source.0), ..Actor::default() };
        let event = Event::new(kind, self.app.clock.now())
            .by(self.who.map_or_else(nobody, LoggedIn::actor))
            .on(Target { server: self.server.cloned(), ..Target::default() })
            .outcome(Outcome::Denied)
            .text("reason", reason);
        match self.app.journal.append(event).await {
            Ok(_) => page.log(reason),
            Err(failure) => PageError::unavailable(failure),
        }
    }
}

/// Somebody who is where they should not be, with nothing of the reason.
pub fn not_here() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "connect.not_here",
        "This cannot be finished here",
        "It was begun in another browser, it was finished before, or it took too long. Nothing was changed. If somebody \
         sent you the link, tell your administrator. Otherwise look at your connections, and start again if it is not there.",
    )
    .onward("My connections", CONNECTIONS.to_owned())
}

/// The page that asks for a yes, sent twice or too late: what came of it the first time is not known here.
fn answered() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "connect.answered",
        "This page was answered already",
        "Or it was open for more than ten minutes. This answer changed nothing. Look at your connections to see what is \
         connected, and start again if it is not there.",
    )
    .onward("My connections", CONNECTIONS.to_owned())
}

/// The same browser, and another session of it.
fn begin_again(server: &ServerName, onward: &Onward) -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "connect.signed_out",
        "Your session here ended on the way",
        "You were signed out of this gateway, or signed in anew, while you were at the provider. Nothing was changed. \
         Connect once more; the provider will probably remember you.",
    )
    .fact("Server", server.as_str().to_owned())
    .onward("Connect once more", onward.keep(&page_of(server)))
}

/// The same browser, and another person in it.
fn somebody_else() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "connect.another_account",
        "Another account is signed in by now",
        "This was begun by another account of this gateway. An account that was meant for one is not given to the other, so \
         nothing was changed. If both are yours, sign in with the one that began it and connect once more.",
    )
    .onward("My connections", CONNECTIONS.to_owned())
}

fn seal(app: &App, owner: &[u8], luggage: &Luggage) -> Vec<u8> {
    let Luggage { contents, onward, began } = luggage;
    let packed = Packed { contents: contents.reveal(), onward, began: *began };
    let plain = Zeroizing::new(serde_json::to_vec(&packed).expect("luggage is texts"));
    app.keys.seal(Purpose::Connect, owner, &plain, &*app.rng)
}

fn open(app: &App, owner: &[u8], sealed: &[u8]) -> Option<Luggage> {
    let plain = Zeroizing::new(app.keys.open(Purpose::Connect, owner, sealed)?);
    serde_json::from_slice(&plain).ok()
}

/// No name of a holder or a server has a line break in it.
fn owner(state: &Digest, holder: &Holder, server: &ServerName) -> Vec<u8> {
    format!("flow\n{}\n{holder}\n{server}", state.to_base64url()).into_bytes()
}

fn cookie_name(ticket: &str) -> String {
    format!("{COOKIE}{}", ticket.get(..SUFFIX).unwrap_or_default())
}

fn is_plain(name: &str) -> bool {
    name.len() <= COOKIE.len() + SUFFIX && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}
