//! A stream on which it is noticed when nothing has been said for too long.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

/// The stream.
pub(super) struct Lively<S> {
    stream: S,
    last: Arc<Mutex<Instant>>,
}

/// The silence on it.
pub(super) struct Silence {
    last: Arc<Mutex<Instant>>,
    most: Duration,
}

impl<S> Lively<S> {
    /// `stream`, and what comes about when nothing was said on it for `most`.
    pub(super) fn new(stream: S, most: Duration) -> (Self, Silence) {
        let last = Arc::new(Mutex::new(Instant::now()));
        (Self { stream, last: last.clone() }, Silence { last, most })
    }

    fn said(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Silence {
    /// Waits until it has lasted too long.
    pub(super) async fn lasts(&self) {
        loop {
            let until = *self.last.lock().unwrap_or_else(PoisonError::into_inner) + self.most;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lively<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, into));
        self.said();
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lively<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, from));
        self.said();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn silence_begins_anew_with_each_word() {
        const MOST: Duration = Duration::from_secs(20);
        let (near, mut far) = duplex(64);
        let (mut near, silence) = Lively::new(near, MOST);
        let long_ago = || *silence.last.lock().expect("held by nobody") = Instant::now() - MOST;
        let lasts = || silence.lasts().now_or_never().is_some();
        assert!(!lasts());
        long_ago();
        assert!(lasts());
        far.write_all(b"word").await.expect("said");
        assert!(lasts(), "it has not been heard yet");
        near.read_exact(&mut [0; 4]).await.expect("heard");
        assert!(!lasts());
        long_ago();
        near.write_all(b"word").await.expect("said");
        assert!(!lasts());
    }
}
