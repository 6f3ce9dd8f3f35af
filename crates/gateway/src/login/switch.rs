//! `/login/switch`: this browser is signed in as one person, and a provider has just vouched for another.
//!
//! spec: T-7: whoever can make a browser come back from a provider must not be able to change whose browser it is.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{Timestamp, token};
use serde::{Deserialize, Serialize};

use super::{
    session::{self, Browser, Proof},
    way::Way,
};
use crate::{
    app::App,
    authorization::approval::Approval,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    keys::Purpose,
    pages::{
        Page,
        sign_in::{Switch, switch},
    },
    return_to::ReturnTo,
};

/// How long somebody may think about it.
const LIFETIME: Duration = Duration::from_mins(10);

/// The sign-in that waits for the choice.
#[derive(Serialize, Deserialize)]
struct Pending {
    id: String,
    session: String,
    proof: Proof,
    return_to: String,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
pub struct Choice {
    pending: String,
    decision: Decision,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Switch,
    Stay,
}

impl Pending {
    fn seal(&self, app: &App) -> String {
        let plain = serde_json::to_vec(self).expect("a sign-in is texts and numbers");
        URL_SAFE_NO_PAD.encode(app.keys.seal(Purpose::SignIn, self.session.as_bytes(), &plain, &*app.rng))
    }

    fn open(app: &App, who: &LoggedIn, sealed: &str) -> Option<Self> {
        let session = who.session.hash.to_base64url();
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let plain = app.keys.open(Purpose::SignIn, session.as_bytes(), &sealed)?;
        let pending: Self = serde_json::from_slice(&plain).ok()?;
        (pending.session == session && app.clock.now() < pending.expires_at).then_some(pending)
    }
}

/// The page that names both accounts.
pub fn ask(app: &App, before: &LoggedIn, proof: Proof, provider: &str, way: &Way, browser: &Browser<'_>) -> Page {
    let pending = Pending {
        id: token::<16>(&*app.rng),
        session: before.session.hash.to_base64url(),
        return_to: way.return_to.as_str().to_owned(),
        expires_at: app.clock.now().plus(LIFETIME),
        proof,
    };
    let waiting = Approval::waiting(app, browser.headers, &way.return_to);
    switch(&Switch {
        account: before.account(),
        other: &pending.proof.name,
        provider,
        pending: &pending.seal(app),
        form_target: waiting.map(|approval| approval.form_target()),
    })
}

/// `POST /login/switch`
pub async fn choose(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    SignedForm { who, form: Choice { pending, decision } }: SignedForm<Choice>,
) -> Result<Response, PageError> {
    let pending = Pending::open(&app, &who, &pending).ok_or_else(|| PageError::foreign_form("no pending sign-in"))?;
    let until = pending.expires_at.plus(LIFETIME);
    if !app.store.spend(&pending.id, until).await.map_err(PageError::unavailable)? {
        return Err(PageError::foreign_form("the pending sign-in was answered before"));
    }
    if decision == Decision::Stay {
        let event = Event::new(Kind::SigninFailed, app.clock.now())
            .by(who.actor())
            .outcome(Outcome::Denied)
            .text("method", pending.proof.method().to_owned())
            .text("reason", "the other account stayed");
        app.journal.append(event).await.map_err(PageError::unavailable)?;
        return Ok(Redirect::to("/").into_response());
    }
    let event = Event::new(Kind::Signout, app.clock.now())
        .by(who.actor())
        .outcome(Outcome::Success)
        .text("why", "another account was chosen");
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let browser = Browser { headers: &headers, source: who.source, previous: Some(&who) };
    session::begin(&app, &pending.proof, &browser, &ReturnTo::parse(&pending.return_to)).await
}
