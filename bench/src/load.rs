//! Closed-loop load: each connection sends its next call when the last one was answered.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    http::Connection,
    targets::{self, Target},
};

/// Ids that each connection has for itself.
const CALLS: usize = 100_000;

/// One measurement of one target.
#[derive(Clone, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub target: &'static str,
    /// Keep-alive connections.
    pub concurrency: usize,
    /// Answered calls per second.
    pub calls_per_second: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// 99.9th percentile in milliseconds.
    pub p999_ms: f64,
    /// CPU time of the proxy's processes per call, in microseconds; none for `direct`.
    pub cpu_us: Option<f64>,
}

/// Loads `target` over `concurrency` connections for about `duration`.
pub async fn run(target: &Target, concurrency: usize, duration: Duration) -> Result<Measurement> {
    let mut connections = Vec::with_capacity(concurrency);
    for _ in 0..concurrency {
        connections.push(Connection::open(&target.authority).await?);
    }
    let cpu_before = target.cpu()?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let mut request = target.requests[number % target.requests.len()].clone();
        let id = targets::id_digits(&request);
        tasks.spawn(async move {
            let mut nanos = Vec::with_capacity(64 * 1024);
            while start.elapsed() < duration {
                // In a session no two requests may have one id: a gateway takes the second for the first, sent again.
                let call = targets::FIRST_ID + number * CALLS + nanos.len() % CALLS;
                request[id.clone()].copy_from_slice(call.to_string().as_bytes());
                let sent = Instant::now();
                connection.call(&request).await?;
                nanos.push(sent.elapsed().as_nanos() as u64);
            }
            anyhow::Ok(nanos)
        });
    }
    let mut nanos = Vec::new();
    while let Some(result) = tasks.join_next().await {
        nanos.extend(result??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    let cpu_after = target.cpu()?;
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    Ok(Measurement {
        target: target.name,
        concurrency,
        calls_per_second: nanos.len() as f64 / elapsed,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        cpu_us: cpu_before.zip(cpu_after).map(|(before, after)| (after - before) * 1e6 / nanos.len() as f64),
    })
}
