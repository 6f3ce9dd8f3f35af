//! A syslog server: RFC 5424 messages in a TLS connection (RFC 5425).
//!
//! Nobody acknowledges a message in this protocol, and what is written to a connection may never be read. So each batch has
//! a connection of its own: it is taken when the server has read up to our end of it and then ends it itself, as RFC 5425
//! section 4.4 demands ("it MUST reply with a close_notify"); servers that end it without those words are believed if
//! nothing of what they were sent comes back as undelivered.

use std::{io, time::Duration};

use portcullis_audit::format::{Record, framed, syslog};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use url::{Host, Url};

use super::receiver::{Item, PATIENCE};
use crate::{config::SyslogSecurity, outbound::Outbound};

/// How long it may take until it is known that a server was gone when it was written to.
const ECHO: Duration = Duration::from_millis(200);

pub(super) struct Syslog {
    server: Url,
    security: SyslogSecurity,
    size: usize,
    outbound: Outbound,
}

/// How the server ended a connection.
#[derive(PartialEq, Eq)]
enum End {
    InWords,
    Silent,
}

impl Syslog {
    pub fn new(server: &Url, security: SyslogSecurity, size: usize, outbound: Outbound) -> Self {
        Self { server: server.clone(), security, size, outbound }
    }

    /// The line as a message in its frame.
    pub fn message(&self, record: &Record, text: &str) -> Vec<u8> {
        framed(&syslog(record, text, self.size))
    }

    pub async fn send(&self, items: &[Item]) -> io::Result<()> {
        let bytes: Vec<u8> = items.iter().flat_map(|item| &item.bytes).copied().collect();
        match timeout(PATIENCE, self.deliver(&bytes)).await {
            Ok(delivered) => delivered,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not read everything and end the connection")),
        }
    }

    async fn deliver(&self, bytes: &[u8]) -> io::Result<()> {
        let host = self.server.host().ok_or(io::ErrorKind::InvalidInput)?;
        let port = self.server.port_or_known_default().unwrap_or_default();
        // spec: T-100: the address is vetted like that of every other connection.
        let tcp = self.outbound.dial(&host, port).await.map_err(io::Error::other)?;
        match self.security {
            SyslogSecurity::Tls => self.over_tls(&host, tcp, bytes).await,
            SyslogSecurity::None => {
                if !tcp.peer_addr()?.ip().is_loopback() {
                    return Err(io::Error::other("plain syslog beyond this machine"));
                }
                let mut tcp = tcp;
                exchange(&mut tcp, bytes).await?;
                undelivered(&tcp).await
            }
        }
    }

    async fn over_tls(&self, host: &Host<&str>, tcp: TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut tls = self.outbound.secure(host, tcp).await.map_err(io::Error::other)?;
        match exchange(&mut tls, bytes).await? {
            End::InWords => Ok(()),
            End::Silent => undelivered(tls.get_ref().0).await,
        }
    }
}

/// Writes everything and the end, and waits for the other end.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<End> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut said = [0; 512];
    loop {
        match stream.read(&mut said).await {
            Ok(0) => return Ok(End::InWords),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(End::Silent),
            Err(error) => return Err(error),
        }
    }
}

/// An error if the other machine says that nobody was there to read.
async fn undelivered(tcp: &TcpStream) -> io::Result<()> {
    sleep(ECHO).await;
    tcp.take_error()?.map_or(Ok(()), Err)
}
