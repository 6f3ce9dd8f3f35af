//! The index follows the journal on a thread and a runtime of its own, so that its large statements delay nobody's call.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use portcullis_store::{DatabaseSettings, Store};
use tokio::{sync::watch, time::timeout};

use crate::journal::{Follower, Indexer, Journal};

/// How often it looks for new lines.
const EVERY: Duration = Duration::from_millis(200);
/// A node is busy when its journal grows by more lines in a second.
const BUSY: f64 = 2_000.0;
/// On a busy node it rests so many times as long as it worked.
const REST: u32 = 20;
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// The running indexer.
pub struct Indexing {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    /// As long as the gateway runs, nothing is removed from the journal that is not indexed; also when the index fails.
    _follower: Arc<Follower>,
}

impl Indexing {
    /// Starts to index `journal` into `database`; `lag` always tells how many lines are missing.
    pub fn start(
        database: DatabaseSettings,
        journal: Journal,
        folder: &Path,
        node: &str,
        lag: Arc<AtomicI64>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (folder, node) = (folder.to_owned(), node.to_owned());
        // Where the index is, its first round tells.
        let follower = Arc::new(journal.follower("index", 0));
        let following = follower.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("audit-index".into()).spawn(move || {
            runtime.block_on(async move {
                match Store::open_without_migrating(&database).await {
                    Ok(store) => {
                        let indexer = Indexer::new(store, &folder, &node);
                        follow(indexer, &journal, (&lag, &following), stopped).await;
                    }
                    Err(error) => tracing::error!(%error, "the audit index is not fed: its database cannot be opened"),
                }
            });
        })?;
        Ok(Self { stop, thread, _follower: follower })
    }

    /// Indexes what is left, and ends.
    pub async fn finish(self) {
        self.stop.send_replace(true);
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}

async fn follow(
    mut indexer: Indexer,
    journal: &Journal,
    (lag, follower): (&AtomicI64, &Follower),
    mut stopped: watch::Receiver<bool>,
) {
    let (mut looked, mut seen) = (Instant::now(), journal.head().seq);
    loop {
        let last = *stopped.borrow();
        let (started, head) = (Instant::now(), journal.head().seq);
        let is_busy = (head.saturating_sub(seen) as f64) > BUSY * started.duration_since(looked).as_secs_f64();
        (looked, seen) = (started, head);
        let pause = match indexer.run_once(Some(head)).await {
            Ok(indexed) => {
                lag.store(indexed.behind as i64, Ordering::Relaxed);
                follower.taken(indexed.seq);
                if last && indexed.behind == 0 {
                    return;
                }
                // Calls come first: on a busy node the index takes a small share of one processor and falls behind, and it
                // catches up when the node is quiet.
                match (is_busy && !last, indexed.behind > 0) {
                    (true, _) => started.elapsed() * REST,
                    (false, true) => Duration::ZERO,
                    (false, false) => EVERY,
                }
            }
            Err(error) => {
                tracing::error!(%error, "the audit index falls behind; the journal is complete all the same");
                if last {
                    return;
                }
                PAUSE
            }
        };
        let _ = timeout(pause, stopped.changed()).await;
    }
}
