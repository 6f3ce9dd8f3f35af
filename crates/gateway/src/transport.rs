//! The bytes of a client's connection before HTTP is read from them, and the time it takes to give some back.
//!
//! Request smuggling lives on what two parsers read differently, so what leaves room for that never reaches ours: a head
//! with a bare line feed or carriage return, a folded line, two lengths, a length next to an encoding, or any encoding
//! but `chunked` (RFC 9112 §2.2, §5, §6; T-68). Such a connection gets a 400 and ends. And a client that takes nothing of
//! its answer for too long is let go (T-62).

mod framing;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use self::framing::Framing;

/// How long a client may take to accept one more byte of its answer.
const STALL: Duration = Duration::from_secs(30);
/// What follows a head that is not let through: wherever it lands, no HTTP parser takes it for part of a request.
const POISON: &[u8] = b"\0\r\n\r\n";

/// A client's connection, watched.
pub struct Watched<S> {
    stream: S,
    framing: Framing,
    poisoned: bool,
    stalled: Option<Pin<Box<Sleep>>>,
    stall: Duration,
}

impl<S> Watched<S> {
    /// Watches `stream` from its first byte.
    pub fn new(stream: S) -> Self {
        Self { stream, framing: Framing::default(), poisoned: false, stalled: None, stall: STALL }
    }

    /// The same with another patience for clients that do not read.
    pub fn with_stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    // spec: T-62: "bounded channel with disconnect on lag, write timeout"
    fn patience(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stall = self.stall;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.poisoned {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        // spec: T-68: "reject TE+CL, obs-fold, duplicate CL, bare LF"
        if let Err(fault) = self.framing.take(&out.filled()[before..]) {
            tracing::info!(why = fault.why, "connection refused for its framing");
            self.poisoned = true;
            // What came before the bad head stands; of the head itself nothing more is passed on.
            out.set_filled(before + fault.head);
            if out.remaining() < POISON.len() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault.why)));
            }
            out.put_slice(POISON);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patience(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.patience(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// spec: T-62
    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go() {
        let (ours, _theirs) = duplex(64);
        let mut watched = Watched::new(ours).with_stall(Duration::from_millis(50));
        let error = watched.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// spec: T-68
    #[tokio::test]
    async fn what_came_before_a_bad_head_stands_and_the_head_is_spoilt() {
        let good = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
        for cut in [1000, 7] {
            let (ours, mut theirs) = duplex(cut);
            let sent = format!("{good}GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n");
            let writing = tokio::spawn(async move { drop(theirs.write_all(sent.as_bytes()).await) });
            let mut seen = Vec::new();
            Watched::new(ours).read_to_end(&mut seen).await.unwrap();
            let seen = String::from_utf8(seen).unwrap();
            assert!(seen.starts_with(good) && seen.ends_with("\0\r\n\r\n") && !seen.contains("X: b"), "{seen:?}");
            writing.await.unwrap();
        }
    }
}
