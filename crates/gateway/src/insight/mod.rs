//! What goes on, in numbers: what is read of the counts of a time, and what is out of the ordinary in it.
//!
//! Nothing here decides anything: numbers and notices are for people to look at, and no call waits for them.

mod named;
mod notice;
mod span;
mod told;

use std::collections::BTreeMap;

use portcullis_base::Timestamp;
use portcullis_store::{Counts, Histogram, Store, StoreError, Top, TopBy, Unused};
use tokio::runtime::Handle;

use self::notice::USUAL_DAYS;
pub use self::{
    named::Named,
    notice::{Notice, Strange, notices},
    span::{Chosen, DAY, HOUR, Span, Wanted, day},
    told::told,
};

/// So many tools, people, clients and servers are named.
const TOP: u32 = 10;
/// First uses that are looked at.
const FIRSTS: u32 = 1_000;
/// A right that was not used for so long is told of: before most of them end by themselves.
pub const UNUSED_DAYS: i64 = 14;
/// So many unused rights of each kind are told of.
pub const UNUSED_MOST: usize = 20;

/// The numbers of a time.
pub struct Insight {
    /// Which time.
    pub span: Span,
    /// All of it together.
    pub total: Counts,
    /// Each slot of the time, also those in which nothing happened.
    pub over_time: Vec<(Timestamp, Counts)>,
    /// How long calls took in each slot.
    pub latency: Vec<(Timestamp, Histogram)>,
    /// How long calls took, all together.
    pub latency_total: Histogram,
    /// How long calls of each server took.
    pub latency_of_servers: BTreeMap<String, Histogram>,
    /// The tools, prompts and resources that were called most.
    pub tools: Vec<Top>,
    /// Who called most.
    pub people: Vec<Top>,
    /// The clients that called most.
    pub clients: Vec<Top>,
    /// The servers that were called most.
    pub servers: Vec<Top>,
    /// What is out of the ordinary, the newest first.
    pub notices: Vec<Notice>,
    /// Rights that nobody used for long: at most [`UNUSED_MOST`] of each kind and one more, if there are more.
    pub unused: Vec<Unused>,
}

/// Reads the numbers of `span`. A long time is many rows: they are read on a thread of their own, beside the calls.
pub async fn insight(store: &Store, span: Span, now: Timestamp) -> Result<Insight, StoreError> {
    let (store, runtime) = (store.clone(), Handle::current());
    let read = tokio::task::spawn_blocking(move || runtime.block_on(read(&store, span, now)));
    read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
}

async fn read(store: &Store, span: Span, now: Timestamp) -> Result<Insight, StoreError> {
    let Span { since, until, slot, .. } = span;
    let top = async |by| store.insight_top(by, since, until, TOP).await;
    let counted = store.insight_over_time(since, until, slot).await?;
    let mut total = Counts::default();
    for (_, counts) in &counted {
        total += *counts;
    }
    let latency_of_servers = store.insight_latency_of_servers(since, until).await?;
    let mut latency_total = Histogram::default();
    for histogram in latency_of_servers.values() {
        latency_total += histogram;
    }
    let firsts = store.insight_firsts(since, until, FIRSTS).await?;
    let past = Timestamp::from_millis(day(since).as_millis() - USUAL_DAYS * DAY);
    let days = store.insight_days(past, until).await?;
    let unused_since = Timestamp::from_millis(now.as_millis() - UNUSED_DAYS * DAY);
    Ok(Insight {
        total,
        over_time: span.filled(counted),
        latency: span.filled(store.insight_latency(since, until, slot).await?),
        latency_total,
        latency_of_servers,
        tools: top(TopBy::Tool).await?,
        people: top(TopBy::Person).await?,
        clients: top(TopBy::Client).await?,
        servers: top(TopBy::Server).await?,
        notices: notices(since, &firsts, &days),
        unused: store.unused(unused_since, now, UNUSED_MOST as u32 + 1).await?,
        span,
    })
}
