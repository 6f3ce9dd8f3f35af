//! Finished spans on their way to a receiver: gathered, sent in batches over OTLP/HTTP, sent again for a while where that
//! may help. Nothing waits for it; while nobody takes them, spans wait in a bounded queue, and what finds it full is
//! dropped and counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    config::Traces,
    outbound::{Ask, Outbound},
    telemetry::{
        Span, Tracer,
        otlp::{self, MEDIA_TYPE},
    },
};

/// Spans of one batch.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHERING: Duration = Duration::from_secs(1);
/// How long a batch is tried, and how long the last one is when the gateway ends.
const PATIENCE: Duration = Duration::from_mins(1);
const FAREWELL: Duration = Duration::from_secs(3);
/// The first pause before a batch is sent again; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// The most bytes of an answer.
const ANSWER: usize = 64 * 1024;

/// Where spans go.
pub struct Receiver {
    /// Its URL, `/v1/traces` and all.
    pub url: String,
    /// Headers of each request; what proves who sends.
    pub headers: HeaderMap,
    /// By which client.
    pub outbound: Outbound,
    /// What this gateway calls itself there.
    pub node: String,
    /// Who is told what became of spans.
    pub tracer: Arc<Tracer>,
}

/// Sends spans until `stopped` says so, then what is left.
pub async fn run(receiver: Receiver, mut spans: mpsc::Receiver<Span>, mut stopped: watch::Receiver<bool>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => break,
            received = spans.recv_many(&mut batch, BATCH) => if received == 0 { break },
        }
        let full = async {
            loop {
                let room = BATCH - batch.len();
                if room == 0 || spans.recv_many(&mut batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            _ = stopped.changed() => break,
            _ = timeout(GATHERING, full) => {}
        }
        let sending = receiver.send(&batch, PATIENCE);
        tokio::select! {
            _ = stopped.changed() => break,
            () = sending => batch.clear(),
        }
    }
    while let Ok(span) = spans.try_recv() {
        batch.push(span);
    }
    let last = async {
        for batch in batch.chunks(BATCH) {
            receiver.send(batch, FAREWELL).await;
        }
    };
    let _ = timeout(FAREWELL, last).await;
}

impl Receiver {
    /// The receiver that the settings name, for the gateway called `node`.
    pub fn of(settings: &Traces, outbound: &Outbound, node: &str, tracer: &Arc<Tracer>) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            if let Ok(mut value) = HeaderValue::try_from(value.reveal()) {
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        let (url, outbound) = (settings.url.clone(), outbound.clone());
        Self { url, headers, outbound, node: node.to_owned(), tracer: tracer.clone() }
    }

    /// Sends one batch, and says what became of it.
    async fn send(&self, batch: &[Span], patience: Duration) {
        if batch.is_empty() {
            return;
        }
        let body = Bytes::from(otlp::request(&self.node, batch));
        let (begun, mut pause) = (Instant::now(), PAUSE);
        let why = loop {
            let why = match self.attempt(body.clone()).await {
                Ok(()) => return self.tracer.sent(batch.len(), Ok(())),
                Err((why, Again::No)) => break why,
                Err((why, Again::Perhaps)) => why,
            };
            if begun.elapsed() + pause > patience {
                break why;
            }
            sleep(pause).await;
            pause *= 2;
        };
        tracing::warn!(%why, spans = batch.len(), "spans were not taken by the receiver of traces");
        self.tracer.sent(batch.len(), Err(()));
    }

    async fn attempt(&self, body: Bytes) -> Result<(), (String, Again)> {
        let ask = Ask {
            method: Method::POST,
            body: Some((MEDIA_TYPE, body)),
            headers: self.headers.clone(),
            ..Ask::get(&self.url, MEDIA_TYPE, ANSWER)
        };
        let answered = self.outbound.fetch(ask).await;
        let status = answered.map_err(|error| (error.detail().to_owned(), Again::Perhaps))?.status;
        // What OTLP names as worth another try; everything else says that the batch itself is not wanted.
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        match (status.is_success(), again) {
            (true, _) => Ok(()),
            (false, true) => Err((status.to_string(), Again::Perhaps)),
            (false, false) => Err((status.to_string(), Again::No)),
        }
    }
}

/// Whether it may help to send a batch once more.
enum Again {
    Perhaps,
    No,
}
