//! The least HTTP client that a load generator needs: one keep-alive connection, prepared bytes out, one answer back.

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What an answer with a result has in its first bytes.
const RESULT: &[u8] = b"\"result\":";
const BEGINNING: usize = 64;

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer: status, head as text, body.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, as received.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, in lower case.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// All headers of this name.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.lines().filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Connection {
    /// Connects to `authority` (`host:port`).
    pub async fn open(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1024) })
    }

    /// Sends `request` and reads the whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        let end = self.read_head().await?;
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let status = status(&self.buffer)?;
        let length =
            content_length(&self.buffer[..end]).with_context(|| format!("an answer of unknown length:\n{head}"))?;
        while self.buffer.len() < end + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the answer broke off");
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.clear();
        Ok(Answer { status, head, body })
    }

    /// Sends `request`, checks for a result and throws the answer away: the inner loop of the load.
    pub async fn call(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        let end = self.read_head().await?;
        let length = content_length(&self.buffer[..end]).context("an answer of unknown length")?;
        while self.buffer.len() < end + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the answer broke off");
        }
        // An error of the call has that status too.
        let begins = &self.buffer[end..(end + BEGINNING).min(end + length)];
        if status(&self.buffer)? != 200 || !begins.windows(RESULT.len()).any(|window| window == RESULT) {
            bail!("unexpected answer: {}", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.clear();
        Ok(())
    }

    /// Sends `request` and reads only the head: the connection then holds an open stream.
    pub async fn open_stream(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.read_head().await?;
        status(&self.buffer)
    }

    async fn read_head(&mut self) -> Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(at + 4);
            }
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
        }
    }
}

/// One request on a connection of its own.
pub async fn once(authority: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    Connection::open(authority).await?.exchange(&request(authority, method, path, headers, body)).await
}

/// The bytes of a request.
pub fn request(authority: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn status(head: &[u8]) -> Result<u16> {
    let code = head.get(9..12).and_then(|code| std::str::from_utf8(code).ok()).context("no status line")?;
    Ok(code.parse()?)
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let at = head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))? + NAME.len();
    let line = head[at..].split(|&byte| byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}
