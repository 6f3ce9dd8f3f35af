//! The least HTTP client that an attack needs: every byte of the request is the test's own, nothing is tidied up on the way.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request under construction.
#[derive(Clone)]
pub struct Request {
    authority: String,
    method: String,
    target: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    trust: Option<Trust>,
}

/// The authority that a server's certificate must be of.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the authority in a PEM file and no other.
    pub fn of(file: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, without transfer coding.
    pub body: Vec<u8>,
}

/// A request to `authority` (`host:port`) for `target` (path and query).
pub fn request(authority: &str, method: &str, target: &str) -> Request {
    Request {
        authority: authority.to_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        host: Some(authority.to_owned()),
        headers: Vec::new(),
        body: Vec::new(),
        trust: None,
    }
}

impl Request {
    /// Adds a header line; the same name may come twice.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another `Host`, or none.
    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    /// Over TLS.
    pub fn over(mut self, trust: &Trust) -> Self {
        self.trust = Some(trust.clone());
        self
    }

    /// The bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// A body of any kind.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// A form body.
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// The bytes as they go out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if let Some(host) = &self.host {
            head.extend(["host: ", host, "\r\n"]);
        }
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !self.body.is_empty() || self.method == "POST" {
            head.extend(["content-length: ", &self.body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub async fn send(&self) -> Result<Answer> {
        let what = || format!("{} {}", self.method, self.target);
        exchange(connect(&self.authority, self.trust.as_ref()).await?, &self.bytes()).await.with_context(what)
    }

    /// Sends it and reads the head; the body stays to be read event by event.
    pub async fn stream(&self) -> Result<Stream> {
        let mut stream = connect(&self.authority, self.trust.as_ref()).await?;
        stream.write_all(&self.bytes()).await?;
        let mut reader = Reader { stream, buffer: Vec::new() };
        let (status, headers) = timeout(PATIENCE, reader.head()).await.context("no answer in time")??;
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        Ok(Stream { status, headers, reader, chunked, text: Vec::new() })
    }
}

/// Sends bytes as they are and reads one answer.
pub async fn send_raw(authority: &str, bytes: &[u8]) -> Result<Answer> {
    exchange(connect(authority, None).await?, bytes).await
}

async fn connect(authority: &str, trust: Option<&Trust>) -> Result<Box<dyn Wire>> {
    let stream = TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
    let Some(Trust(config)) = trust else { return Ok(Box::new(stream)) };
    let name = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned();
    let stream = TlsConnector::from(config.clone()).connect(ServerName::try_from(name)?, stream).await?;
    Ok(Box::new(stream))
}

async fn exchange(mut stream: Box<dyn Wire>, bytes: &[u8]) -> Result<Answer> {
    // A server may answer and close before it has read everything: the answer is still worth reading.
    let written = stream.write_all(bytes).await;
    let mut reader = Reader { stream, buffer: Vec::new() };
    match timeout(PATIENCE, reader.answer()).await.context("no answer in time")? {
        Ok(answer) => Ok(answer),
        Err(error) => {
            written?;
            Err(error)
        }
    }
}

impl Answer {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON: of a JSON answer, or of the last message of an event stream.
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        let event = text.lines().rev().find_map(|line| line.strip_prefix("data:"));
        serde_json::from_str(event.unwrap_or(&text)).unwrap_or_default()
    }
}

/// An answer whose body is still coming.
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    reader: Reader,
    chunked: bool,
    text: Vec<u8>,
}

impl Stream {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The data of the next event that has some, as JSON; `None` when the stream ends.
    pub async fn event(&mut self) -> Result<Option<serde_json::Value>> {
        loop {
            if let Some(end) = self.text.windows(2).position(|window| window == b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                let event = String::from_utf8(event)?;
                let data: Vec<_> =
                    event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
                if data.iter().any(|line| !line.is_empty()) {
                    return Ok(Some(serde_json::from_str(&data.join("\n"))?));
                }
                continue;
            }
            let chunk = if self.chunked {
                timeout(PATIENCE, self.reader.chunk()).await.context("no event in time")??
            } else {
                timeout(PATIENCE, self.reader.more())
                    .await
                    .context("no event in time")??
                    .then(|| self.reader.buffer.split_off(0))
            };
            match chunk {
                Some(chunk) => self.text.extend(chunk),
                None => return Ok(None),
            }
        }
    }
}

/// A connection, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

struct Reader {
    stream: Box<dyn Wire>,
    buffer: Vec<u8>,
}

impl Reader {
    async fn more(&mut self) -> Result<bool> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(read) => Ok(read > 0),
            // Many close a TLS connection without saying so; the lengths tell whether something is missing.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn head(&mut self) -> Result<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            ensure!(self.more().await?, "closed before an answer: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).take(end).collect())?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok((status, headers))
    }

    async fn answer(&mut self) -> Result<Answer> {
        let (mut status, mut headers) = self.head().await?;
        while status == 100 {
            (status, headers) = self.head().await?;
        }
        let find = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        let mut body = Vec::new();
        if find("transfer-encoding").as_deref() == Some("chunked") {
            while let Some(chunk) = self.chunk().await? {
                body.extend(chunk);
            }
        } else if let Some(length) = find("content-length") {
            let length: usize = length.parse()?;
            while self.buffer.len() < length {
                ensure!(self.more().await?, "the answer broke off");
            }
            body = self.buffer.drain(..length).collect();
        } else if status != 204 && status != 304 {
            while self.more().await? {}
            body = std::mem::take(&mut self.buffer);
        }
        Ok(Answer { status, headers, body })
    }

    async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if !self.more().await? {
                return Ok(None);
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[..end])?, 16)?;
        while self.buffer.len() < end + 2 + size + 2 {
            if !self.more().await? {
                bail!("a chunk broke off");
            }
        }
        let chunk = self.buffer[end + 2..end + 2 + size].to_vec();
        self.buffer.drain(..end + 2 + size + 2);
        Ok((size > 0).then_some(chunk))
    }
}
