//! Which request is being served: known to everything that happens because of it, without being handed through it all.
//!
//! The router sets it around each request; the journal writes it into every event, and the log into every line. Work that
//! is handed to a task of its own takes it along with [`carried`]; without that it belongs to no request.

use std::{
    future::Future,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use portcullis_audit::Correlation;
use portcullis_base::Rng;
use portcullis_mcp::trace;
use tokio::{task::futures::TaskLocalFuture, task_local};

use crate::system::SystemRng;

task_local! {
    static CURRENT: Correlation;
}

/// What tells the requests of this run from those of every other one.
static RUN: LazyLock<[u8; 6]> = LazyLock::new(|| {
    let mut run = [0; 6];
    SystemRng::new().fill(&mut run);
    run
});
static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// The request that this task serves; nothing outside of one.
pub fn current() -> Correlation {
    CURRENT.try_with(|current| *current).unwrap_or_default()
}

/// A request that has just arrived, with the `traceparent` that it came with.
pub fn arrived(traceparent: Option<&str>) -> Correlation {
    let mut request = [0; 12];
    request[..6].copy_from_slice(&*RUN);
    request[6..].copy_from_slice(&REQUESTS.fetch_add(1, Ordering::Relaxed).to_be_bytes()[2..]);
    Correlation { request: Some(request), trace: traceparent.and_then(trace::trace_id) }
}

/// Serves `work` as part of `correlation`.
pub fn scope<F: Future>(correlation: Correlation, work: F) -> TaskLocalFuture<Correlation, F> {
    CURRENT.scope(correlation, work)
}

/// `work` for a task of its own, as part of the request that is being served now.
pub fn carried<F: Future>(work: F) -> TaskLocalFuture<Correlation, F> {
    scope(current(), work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_differ_and_what_they_hand_to_tasks_stays_theirs() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (one, two) = (arrived(Some(traceparent)), arrived(Some("00-zz-1-1")));
        assert_ne!(one.request, two.request);
        assert_eq!(one.trace.map(|id| (id[0], id[15])), Some((0x4b, 0x36)));
        assert_eq!(two.trace, None);
        assert_eq!(current(), Correlation::default());
        scope(one, async {
            assert_eq!(current(), one);
            assert_eq!(tokio::spawn(carried(async { current() })).await.unwrap(), one);
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), Correlation::default());
        })
        .await;
    }
}
