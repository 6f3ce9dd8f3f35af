//! Somebody for whom a provider vouches: whose account that is, and whether they may come in.
//!
//! spec: T-52, AS-143: issuer and subject find the account, and nothing else does.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{PersonId, Timestamp};
use portcullis_store::{Person, ProviderSignIn, SignInRefused, SignedIn};

use super::{
    failure,
    session::{self, AtProvider, Browser, Proof},
    switch,
    way::Way,
};
use crate::{
    app::App,
    error::PageError,
    identity::{Arrived, Provider},
};

/// The reason and the text for somebody whose groups give them no role.
pub const NO_ROLE: (&str, &str) = (
    "no_role",
    "None of your groups may use this gateway. Its administrator says which groups may, in the settings under `roles`.",
);

/// Takes in whoever came back from `provider`, and signs them in.
pub async fn take_in(
    app: &App,
    provider: &Arc<Provider>,
    arrived: &Arrived,
    browser: &Browser<'_>,
    way: &Way,
) -> Result<Response, PageError> {
    let signed_in = register(app, provider, arrived).await?;
    let (person, news) = match signed_in {
        SignedIn::Known(person) => (person, None),
        SignedIn::Created(person) => (person, Some(Kind::PersonCreated)),
        SignedIn::Linked(person) => (person, Some(Kind::IdentityLinked)),
        SignedIn::Refused(why) => {
            return failure::not_let_in(app, browser, provider, way, refusal(why)).await;
        }
    };
    // Known to the calls at once, with the groups of today.
    if let Err(error) = app.feed.catch_up().await {
        tracing::warn!(%error, "a sign-in is known to calls a moment later");
    }
    if let Some(kind) = news {
        record(app, kind, &person, provider, arrived, browser).await?;
    }
    if !app.appointments.admit(&person) {
        return failure::not_let_in(app, browser, provider, way, NO_ROLE).await;
    }
    let proof = proof(app, provider, arrived, person);
    match browser.previous {
        // spec: T-7: "account switch needs explicit action".
        Some(before) if before.person.id != proof.person => {
            Ok(switch::ask(app, before, proof, provider.name(), way, browser).into_response())
        }
        _ => session::begin(app, &proof, browser, &way.return_to).await,
    }
}

async fn register(app: &App, provider: &Provider, arrived: &Arrived) -> Result<SignedIn, PageError> {
    let settings = provider.settings();
    let profile = &arrived.profile;
    // spec: AS-144: what a provider gave is kept sealed, for this person of this issuer only.
    let seal = |token| app.keys.seal_provider_token(&arrived.issuer, &profile.subject, token, &*app.rng);
    let sealed = arrived.refresh.as_ref().map(seal);
    let sign_in = ProviderSignIn {
        provider: provider.id(),
        issuer: &arrived.issuer,
        subject: &profile.subject,
        tenant: profile.tenant.as_deref(),
        external_id: arrived.external_id.as_deref(),
        email: profile.email.as_deref(),
        names: &profile.names,
        display_name: profile.display_name.as_deref().or(profile.names.first().map(String::as_str)).unwrap_or_default(),
        groups: arrived.groups.as_deref(),
        refresh_sealed: sealed.as_deref(),
        sign_up: settings.sign_up.into(),
        link: settings.link.into(),
        new_person: &PersonId::random(&*app.rng),
    };
    app.store.sign_in_identity(&sign_in, app.clock.now()).await.map_err(PageError::unavailable)
}

/// The reason for the record, and the text for the person.
const fn refusal(why: SignInRefused) -> (&'static str, &'static str) {
    match why {
        SignInRefused::Disabled => (
            "disabled",
            "Your account at this gateway is switched off. An administrator of the gateway can switch it on again.",
        ),
        SignInRefused::Unknown => (
            "unknown",
            "The provider knows you, and this gateway does not: accounts are made here by an administrator or by your \
             company's directory. Ask the administrator of this gateway for one.",
        ),
        SignInRefused::LinkTaken => (
            "link_taken",
            "Your company's directory has announced an account that already belongs to another sign-in. The \
             administrator of this gateway can see which, and set it right.",
        ),
    }
}

async fn record(
    app: &App,
    kind: Kind,
    person: &Person,
    provider: &Provider,
    arrived: &Arrived,
    browser: &Browser<'_>,
) -> Result<(), PageError> {
    let actor = Actor {
        person: Some(person.id.clone()),
        name: Some(person.name.as_str().into()),
        client: None,
        address: Some(browser.source.0),
    };
    let event = Event::new(kind, app.clock.now())
        .by(actor)
        .outcome(Outcome::Success)
        .text("method", provider.id().to_owned())
        .text("issuer", arrived.issuer.clone())
        .text("subject", arrived.profile.subject.clone());
    app.journal.append(event).await.map(drop).map_err(PageError::unavailable)
}

fn proof(app: &App, provider: &Provider, arrived: &Arrived, person: Person) -> Proof {
    let subject = &arrived.profile.subject;
    let seal = |token| app.keys.seal_provider_token(&arrived.issuer, subject, token, &*app.rng);
    let hint = arrived.id_token.as_ref().map(|token| URL_SAFE_NO_PAD.encode(seal(token)));
    Proof {
        person: person.id,
        name: person.name,
        at: Some(AtProvider {
            provider: provider.id().to_owned(),
            issuer: arrived.issuer.clone(),
            subject: subject.clone(),
            sid: arrived.sid.clone(),
            logout_hint: hint,
        }),
        // A clock that is ahead of ours makes nothing fresher than now.
        authenticated_at: arrived.authenticated_at.map_or(Timestamp::from_secs(0), |at| at.min(app.clock.now())),
        acr: arrived.acr.clone(),
    }
}
