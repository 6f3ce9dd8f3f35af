//! Accepting connections: HTTP/1.1 with bounded heads, a bounded number of connections, and a quiet end.
//!
//! HTTP/2 is left to the reverse proxy that ends TLS in front; what does not exist here cannot be reset rapidly.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tower::Service;

use crate::transport::Watched;

/// A client has this long to send a request's head. spec: T-62
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head. spec: TR-13
const HEAD_BYTES: usize = 64 * 1024;
/// Header lines of a request. spec: TR-13
const HEADERS: usize = 100;
/// How long requests in flight may still take when the gateway stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `listener` until `stop` says so; then lets requests in flight end, but not for long. `malformed` learns whose
/// connection was closed because what came on it was no HTTP.
pub async fn serve<S, B, M>(
    listener: TcpListener,
    service: S,
    connections: u32,
    malformed: M,
    mut stop: watch::Receiver<bool>,
) where
    M: Fn(SocketAddr) + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: hyper::body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    B::Data: Send,
{
    let places = Arc::new(Semaphore::new(connections as usize));
    let mut open = JoinSet::new();
    loop {
        // A full house leaves newcomers in the system's queue instead of growing.
        let accepted = tokio::select! {
            _ = stop.changed() => break,
            place = places.clone().acquire_owned() => {
                let place = place.expect("the semaphore is never closed");
                tokio::select! {
                    _ = stop.changed() => break,
                    accepted = listener.accept() => accepted.map(|(stream, peer)| (stream, peer, place)),
                }
            }
        };
        while open.try_join_next().is_some() {}
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: wait for some to come back instead of spinning.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let with_peer = tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            service.clone().call(request)
        });
        let (mut stop, malformed) = (stop.clone(), malformed.clone());
        open.spawn(async move {
            let mut connection = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .max_buf_size(HEAD_BYTES)
                    .max_headers(HEADERS)
                    .serve_connection(TokioIo::new(Watched::new(stream)), TowerToHyperService::new(with_peer))
            );
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stop.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection broke off");
                if error.is_parse() {
                    malformed(peer);
                }
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
}
