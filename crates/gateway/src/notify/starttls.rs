//! The first words with a mail server, up to the point where the connection is secured; and the connection from there on.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use lettre::transport::smtp::{client::AsyncTokioStream, extension::ClientId};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// The longest line of a server, and the most lines of one answer.
const LONGEST: u64 = 2_048;
const LINES: usize = 64;

/// Asks for a secure connection, in plain words: whoever is in between can do no more than prevent it, and then there is no
/// connection.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(stream: S, we: &ClientId) -> io::Result<S> {
    let mut stream = BufReader::new(stream);
    answer(&mut stream, "220").await?;
    stream.write_all(format!("EHLO {we}\r\n").as_bytes()).await?;
    let offers = answer(&mut stream, "250").await?;
    if !offers.iter().any(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS")) {
        let why = "the mail server does not offer to secure the connection (STARTTLS)";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    answer(&mut stream, "220").await?;
    // What was said in the clear after that would be taken for an answer to something said in confidence.
    if !stream.buffer().is_empty() {
        return Err(io::Error::other("the mail server went on in the clear"));
    }
    Ok(stream.into_inner())
}

/// The texts of one answer, which has to begin with `code`.
async fn answer<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, code: &str) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for _ in 0..LINES {
        let mut line = String::new();
        let read = (&mut *stream).take(LONGEST).read_line(&mut line).await?;
        if read == 0 || !line.ends_with('\n') {
            return Err(io::Error::other("the mail server stopped in the middle of an answer"));
        }
        let rest = line.strip_prefix(code).and_then(|rest| rest.split_at_checked(1));
        let Some((mark, text)) = rest else {
            let said = portcullis_base::printable(line.trim_end(), 100);
            return Err(io::Error::other(format!("the mail server said: {said}")));
        };
        texts.push(text.trim_end().to_owned());
        if mark != "-" {
            return Ok(texts);
        }
    }
    Err(io::Error::other("the mail server says too much"))
}

/// A connection with a mail server.
pub(super) struct Line {
    stream: Stream,
    /// What is read first: a server has greeted before the connection was secured, and does not do so again.
    first: &'static [u8],
}

enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Line {
    pub fn plain(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(stream), first: b"" }
    }

    pub fn secured(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Stream::Secured(Box::new(stream)), first: b"" }
    }

    pub fn greeting(self) -> Self {
        Self { first: b"220 secured\r\n", ..self }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl AsyncTokioStream for Line {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Secured(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let (now, later) = self.first.split_at(self.first.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Secured(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secured(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(answers: &[&[u8]]) -> (io::Result<()>, String) {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let we = ClientId::Domain("gateway.example".into());
        let server = async {
            let mut said = String::new();
            for answer in answers {
                theirs.write_all(answer).await.unwrap();
                let mut buffer = [0; 256];
                let read = theirs.read(&mut buffer).await.unwrap();
                said.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            said
        };
        let client = async { upgrade(ours, &we).await.map(drop) };
        tokio::join!(client, server)
    }

    #[tokio::test]
    async fn connection_is_secured_or_not_made() {
        let offer: &[u8] = b"250-mail.example\r\n250-PIPELINING\r\n250 starttls\r\n";
        let (done, said) = told(&[b"220 mail.example\r\n", offer, b"220 go\r\n"]).await;
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(said, "EHLO gateway.example\r\nSTARTTLS\r\n");
        for (answers, why) in [
            (&[&b"220 mail.example\r\n"[..], b"250-mail.example\r\n250 PIPELINING\r\n"][..], "does not offer"),
            (&[b"220 mail.example\r\n", offer, b"454 not now\r\n"], "454 not now"),
            (&[b"220 mail.example\r\n", offer, b"220 go\r\n250 mail.example\r\n"], "in the clear"),
            (&[b"554 no\r\n"], "554 no"),
        ] {
            let (done, _) = told(answers).await;
            let error = done.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
