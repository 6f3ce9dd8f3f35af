//! Who takes the lines of a sink, and in which form.

use std::time::Duration;

use portcullis_audit::format::{Format, Record};
use portcullis_base::Timestamp;

use super::{
    Parts,
    file::Files,
    otlp::{self, Otlp},
    syslog::Syslog,
    webhook::{self, Webhook},
};
use crate::{
    config::{self, SinkTo, Tls},
    outbound::{Certificates, CertificatesError, Outbound},
};

/// How long a batch may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A line that is to be sent.
pub(super) struct Item {
    pub seq: u64,
    pub at: Option<Timestamp>,
    /// Whether it tells that a receiver refused something: that such a one is refused is not recorded again.
    pub is_refusal: bool,
    /// In the form that the receiver wants.
    pub bytes: Vec<u8>,
}

/// Why a batch was not taken. The texts are for the log and the record; they name no secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be later, not before so long if the receiver said that.
    Later { why: String, after: Option<Duration> },
    /// Something in it is wrong, or it is too large.
    Refused { why: String },
}

impl Failure {
    pub fn later(why: impl ToString) -> Self {
        Self::Later { why: why.to_string(), after: None }
    }
}

/// A receiver.
pub(super) enum Receiver {
    File(Files),
    Otlp(Otlp),
    Syslog(Syslog),
    Webhook(Webhook),
}

impl Receiver {
    pub fn of(sink: &config::Sink, parts: &Parts<'_>) -> Result<Self, CertificatesError> {
        Ok(match &sink.to {
            SinkTo::File { path, rotation } => Self::File(Files::new(path, *rotation)),
            SinkTo::Otlp { url, headers, tls } => Self::Otlp(Otlp::new(url, headers, outbound(parts, tls)?)),
            SinkTo::Syslog { server, security, tls, size } => {
                Self::Syslog(Syslog::new(server, *security, *size, outbound(parts, tls)?))
            }
            SinkTo::Webhook { url, key, tls } => Self::Webhook(Webhook::new(url, key, outbound(parts, tls)?)),
        })
    }

    /// The line as it is sent.
    pub fn encode(&self, record: &Record, format: Format) -> Vec<u8> {
        let text = format.write(record);
        match self {
            Self::File(_) => {
                let mut line = text.into_bytes();
                line.push(b'\n');
                line
            }
            Self::Otlp(_) => otlp::record(record, &text),
            Self::Webhook(_) => webhook::element(format, text),
            Self::Syslog(syslog) => syslog.message(record, &text),
        }
    }

    /// Sends lines of one journal, all or none; says how many of them it was told were refused all the same.
    pub async fn send(&self, journal: &str, items: &[Item], now: Timestamp) -> Result<u64, Failure> {
        match self {
            Self::File(files) => files.write(items, now).map(|()| 0).map_err(Failure::later),
            Self::Otlp(otlp) => otlp.send(journal, items, now).await,
            Self::Syslog(syslog) => syslog.send(items).await.map(|()| 0).map_err(Failure::later),
            Self::Webhook(webhook) => webhook.send(journal, items, now).await.map(|()| 0),
        }
    }
}

/// The guarded client with the certificates of one receiver.
fn outbound(parts: &Parts<'_>, tls: &Tls) -> Result<Outbound, CertificatesError> {
    let outbound = parts.outbound.clone().with_total(PATIENCE);
    if *tls == Tls::default() {
        return Ok(outbound);
    }
    Ok(outbound.with_certificates(&Certificates::read(tls)?))
}
