//! What goes on beside the requests: keeping up with the change feed, the journal's clock, rotation, cleaning, the index.

use std::{sync::Arc, time::Duration};

use portcullis_store::ClientLife;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    app::App,
    approvals::Approvals,
    connecting,
    connections::{self, Connections},
    epoch, feed,
    identity::{Providers, refresh},
    journal,
    quotas::Quotas,
    reseal,
};

/// The journal writes what was left for later this often.
const JOURNAL_TICK: Duration = Duration::from_millis(50);
/// What is turned away again and again is looked through this often.
const REFUSALS: Duration = Duration::from_secs(10);
/// The last use of access keys and connections is written down this often.
const KEY_USE: Duration = Duration::from_mins(1);
/// Identity providers are looked after this often, the first time at once.
const PROVIDERS: Duration = Duration::from_mins(1);
/// What an older key sealed is looked for this often.
const RESEALING: Duration = Duration::from_mins(1);
/// What was asked, approved and given is remembered for this long after its end.
const RIGHTS_REMEMBERED: Duration = Duration::from_hours(24 * 90);
/// What waited for too long is marked this often.
const EXPIRY: Duration = Duration::from_secs(10);
/// Rules are held against the tools that there are this often, if any are new.
const INSPECTION: Duration = Duration::from_mins(1);
/// Keys are looked after and rubbish is taken out this often.
const HOUSEKEEPING: Duration = Duration::from_mins(10);

/// Starts the jobs; each ends soon after `stopped` says so.
pub fn start(app: &Arc<App>, stopped: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let journal = app.clone();
    let following = app.clone();
    let keeping = app.clone();
    let noting = app.clone();
    let providers = app.providers.clone();
    let asking = app.clone();
    let resealing = app.clone();
    let inspecting = app.clone();
    let quotas = app.quotas.clone();
    let refusing = app.clone();
    let marking = app.clone();
    let (running, expiring) = (app.approvals.clone(), app.approvals.clone());
    vec![
        tokio::spawn(every(JOURNAL_TICK, stopped.clone(), move || {
            let app = journal.clone();
            async move { app.journal.tick().await }
        })),
        tokio::spawn(every(epoch::EVERY, stopped.clone(), move || {
            let app = marking.clone();
            async move {
                if let Err(error) = epoch::mark(&app.store, &app.config.data, &app.node, &*app.clock).await {
                    tracing::error!(%error, "an older copy of the database would not be known as one");
                }
            }
        })),
        tokio::spawn(every(REFUSALS, stopped.clone(), move || {
            let app = refusing.clone();
            async move { app.refusals.round() }
        })),
        tokio::spawn(keep_journal(app.clone(), stopped.clone())),
        tokio::spawn(every(feed::POLL, stopped.clone(), move || {
            let app = following.clone();
            async move {
                if let Err(error) = app.feed.catch_up().await {
                    tracing::error!(%error, "the change feed cannot be read; calls are refused if this lasts");
                }
            }
        })),
        tokio::spawn(every(KEY_USE, stopped.clone(), move || {
            let app = noting.clone();
            async move { note_used_keys(&app).await }
        })),
        tokio::spawn(every(refresh::EVERY, stopped.clone(), move || {
            let app = asking.clone();
            async move {
                if let Err(error) = app.renewal().round().await {
                    tracing::error!(%error, "sign-ins cannot be checked again");
                }
            }
        })),
        tokio::spawn(every(RESEALING, stopped.clone(), move || {
            let app = resealing.clone();
            async move { reseal(&app).await }
        })),
        tokio::spawn(every(Approvals::HEARTBEAT, stopped.clone(), move || {
            let approvals = running.clone();
            async move {
                if let Err(error) = approvals.heartbeat().await {
                    tracing::error!(%error, "that approved calls are being made cannot be noted");
                }
            }
        })),
        tokio::spawn(every(Quotas::HEARTBEAT, stopped.clone(), move || {
            let quotas = quotas.clone();
            async move {
                if let Err(error) = quotas.heartbeat().await {
                    tracing::error!(%error, "what calls take of limits cannot be noted; what nodes that died held stays taken");
                }
            }
        })),
        tokio::spawn(every(EXPIRY, stopped.clone(), move || {
            let approvals = expiring.clone();
            async move {
                if let Err(error) = approvals.expire().await {
                    tracing::error!(%error, "what waited for too long cannot be marked");
                }
            }
        })),
        tokio::spawn(every(INSPECTION, stopped.clone(), move || {
            let app = inspecting.clone();
            async move {
                if let Err(error) = app.inspection.round(&app.store, &app.snapshot.load_full(), &app.upstreams).await {
                    tracing::error!(%error, "the rules cannot be held against the tools that there are");
                }
            }
        })),
        tokio::spawn(keep_alive(app.connections.clone(), stopped.clone())),
        tokio::spawn(look_after(providers, stopped.clone())),
        tokio::spawn(every(HOUSEKEEPING, stopped.clone(), move || {
            let app = keeping.clone();
            async move { housekeeping(&app).await }
        })),
    ]
}

/// Seals, archives and removes segments of the journal: from time to time, and at once when one is full or room is scarce.
/// Whatever stops it, the lines are there as they are. It is told once, not each time it is met again.
async fn keep_journal(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut told = None;
    while !*stopped.borrow() {
        let (journal, retention) = (app.journal.clone(), app.config.audit.retention.clone());
        let trouble = match tokio::task::spawn_blocking(move || journal.keep(&retention)).await {
            Ok(Ok(kept)) => kept.held_by.map(|name| format!("{name} has not taken what should be removed")),
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if trouble != told {
            if let Some(error) = &trouble {
                tracing::error!(error, "the journal is not kept as the settings say");
            }
            told = trouble;
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = app.journal.keeping_due() => {}
            () = sleep(journal::KEEPING) => {}
        }
    }
}

/// Writes down when access keys and connections were last used: beside the calls, many at once.
async fn note_used_keys(app: &App) {
    let used = app.access_keys.take_used();
    if !used.is_empty()
        && let Err(error) = app.store.touch_grants(&used).await
    {
        tracing::warn!(%error, "when access keys were last used could not be noted");
    }
    if let Err(error) = app.connections.note_used().await {
        tracing::warn!(%error, "when connections were last used could not be noted");
    }
}

async fn reseal(app: &App) {
    match reseal::round(&app.store, &app.keys, &*app.rng).await {
        Ok(resealed) if resealed.done > 0 => {
            tracing::info!(
                keys.sealing = app.keys.sealing(),
                values = resealed.done,
                "sealed again with the newest key"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "what an older key sealed cannot be sealed again"),
    }
}

/// Nothing is lost when this is interrupted, and a provider that does not answer must not hold up the end.
async fn look_after(providers: Arc<Providers>, mut stopped: watch::Receiver<bool>) {
    let forever = every(PROVIDERS, stopped.clone(), || providers.look_after());
    tokio::select! {
        _ = stopped.changed() => {}
        () = forever => {}
    }
}

/// A renewal under way goes on by itself when this is interrupted, and what does not live to its end is taken up later.
async fn keep_alive(connections: Arc<Connections>, mut stopped: watch::Receiver<bool>) {
    let forever = every(connections::EVERY, stopped.clone(), || async {
        if let Err(error) = connections.round().await {
            tracing::error!(%error, "connections to servers cannot be renewed ahead of time");
        }
    });
    tokio::select! {
        _ = stopped.changed() => {}
        () = forever => {}
    }
}

async fn housekeeping(app: &App) {
    let now = app.clock.now();
    app.ended.forget(now);
    app.fresh.forget(now);
    if let Err(error) = app.feed.load_signing_keys().await {
        tracing::error!(%error, "signing keys cannot be loaded");
    }
    if let Err(error) = app.feed.load_access_keys().await {
        tracing::error!(%error, "access keys cannot be loaded");
    }
    let limits = &app.config.clients.registration_limits;
    let life = ClientLife { unused_for: limits.unused, idle_for: limits.idle };
    if let Err(error) = app.store.purge_clients(life, now).await {
        tracing::error!(%error, "unused clients cannot be removed");
    }
    if let Err(error) = connecting::sweep(app).await {
        tracing::error!(%error, "what providers gave and nobody agreed to cannot be given back");
    }
    if let Err(error) = app.store.purge(now).await {
        tracing::error!(%error, "what has expired cannot be removed");
    }
    if let Err(error) = app.store.purge_rights(now.minus(RIGHTS_REMEMBERED), now).await {
        tracing::error!(%error, "approvals and rights that are long over cannot be removed");
    }
    if let Err(error) = app.store.expire_audit(now.minus(app.config.audit.index.keep)).await {
        tracing::error!(%error, "events that are too old cannot be taken out of the index");
    }
    if let Err(error) = app.store.fold_insight(now).await {
        tracing::error!(%error, "numbers of long ago cannot be folded into days");
    }
}

async fn every<F, Done>(period: Duration, mut stopped: watch::Receiver<bool>, job: F)
where
    F: Fn() -> Done,
    Done: Future<Output = ()>,
{
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = ticks.tick() => job().await,
        }
    }
}
