//! What a provider gave and nobody keeps goes back to it, unless whoever thinks better of a second sign-in would lose the
//! connection that they have.

use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::Holder;
use portcullis_store::{ConnectFlow, ConnectionState, StoreError};

use super::{disconnect::told, flow};
use crate::{
    app::App,
    authority::{Held, Revocation},
    connections::may_share_agreement,
    pages::connections::Told,
};

/// Tells the provider, unless that could end what `holder` keeps.
pub async fn give_back(app: &App, holder: &Holder, held: &Held) -> Told {
    let kept = match app.store.connection(holder, &held.server).await {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(%error, "what a provider gave was forgotten and not given back");
            return Told::Failed;
        }
    };
    let kept = kept.filter(|kept| kept.state == ConnectionState::Good);
    if kept.is_some_and(|kept| may_share_agreement(&kept, Some(held.issuer()), held.account.as_deref())) {
        return Told::Spared;
    }
    let revoked = app.authority.revoke(held).await;
    if let Revocation::Failed(why) = &revoked {
        tracing::warn!(%why, "what a provider gave was forgotten and could not be given back");
    }
    told(&revoked)
}

/// Gives back what arrived and was never agreed to: the page was closed.
pub async fn sweep(app: &App) -> Result<(), StoreError> {
    loop {
        let stale = app.store.take_stale_arrivals(app.clock.now()).await?;
        if stale.is_empty() {
            return Ok(());
        }
        for flow in &stale {
            end(app, flow).await;
        }
    }
}

async fn end(app: &App, flow: &ConnectFlow) {
    let event = Event::new(Kind::ConnectionFailed, app.clock.now())
        .by(Actor { person: Some(flow.person.clone()), ..Actor::default() })
        .on(Target { server: Some(flow.server.clone()), ..Target::default() })
        .outcome(Outcome::Failure)
        .text("reason", "nobody agreed to the account in time");
    if let Err(error) = app.journal.append(event).await {
        tracing::error!(%error, "the end of a connecting cannot be recorded");
    }
    let Some(held) = flow::arrived(app, flow) else {
        tracing::warn!("what a provider gave cannot be read any more and was not given back");
        return;
    };
    let told = give_back(app, &flow.holder, &held).await;
    tracing::info!(?told, "what a provider gave was not agreed to in time and is forgotten");
}
