//! The sample MCP server: a small notebook and a make-believe company that every client can talk to, in every revision of
//! Streamable HTTP.
//!
//! It stands behind the gateway as a foreign server would: it knows nothing of it, and is reached by HTTP, over a TCP
//! listener or over a pipe in the same process. Revision 2026-07-28 is served request by request, 2025-03-26 to
//! 2025-11-25 in sessions, on one path, `/mcp`.
//!
//! Promises: memory is bounded (notes, ledger, sessions, streams, bodies), nothing is written to disk, and nothing goes out
//! but answers: no money moves and no mail leaves. Deliberately absent: sign-in. All callers share one notebook and one
//! company; it is a sample.

mod answer;
mod ask;
mod company;
mod door;
mod legacy;
mod modern;
mod notebook;
mod prompts;
mod resources;
mod seal;
mod session;
mod shared;
mod stream;
mod tools;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_base::{Clock, Rng};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};

use crate::{door::Guard, shared::Shared};

/// Connections that [`Sample::serve`] holds open at once.
const CONNECTIONS: usize = 256;

/// The sample server. Clones share one notebook and one company.
#[derive(Clone)]
pub struct Sample {
    shared: Arc<Shared>,
}

impl Sample {
    /// A server with a fresh notebook and a fresh company.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { shared: Arc::new(Shared::new(clock, rng)) }
    }

    /// Serves one connection until its peer closes it. Whoever made the connection is trusted to be the right one.
    pub async fn serve_connection<Io>(&self, io: Io)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.converse(io, Guard::None).await;
    }

    /// Serves every connection of `listener`; ends only with an error of the listener.
    ///
    /// Requests must be addressed to a loopback name and come from no foreign web page.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let connection = match listener.accept().await {
                Ok((connection, _)) => connection,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let sample = self.clone();
            tokio::spawn(async move {
                sample.converse(connection, Guard::Loopback).await;
                drop(place);
            });
        }
    }

    /// Ends what would otherwise go on: subscriptions get their result, streams of sessions end.
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
        self.shared.sessions.close();
    }

    async fn converse<Io>(&self, io: Io, guard: Guard)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let shared = Arc::clone(&self.shared);
            async move { Ok::<_, Infallible>(door::serve(shared, guard, request).await) }
        });
        let mut server = http1::Builder::new();
        server.max_buf_size(64 * 1024);
        if guard == Guard::Loopback {
            // It also ends idle connections, which a pool in this process would rather keep.
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        }
        let served = server.serve_connection(TokioIo::new(io), service).await;
        if let Err(error) = served {
            tracing::debug!(%error, "connection to the sample ended");
        }
    }
}
