//! A receiver of logs over OTLP/HTTP: each line a `LogRecord` of opentelemetry-proto 1.

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_audit::format::{Record, severity};
use portcullis_base::{Secret, Timestamp};

use super::{
    post::post,
    receiver::{Failure, Item},
};
use crate::{
    outbound::Outbound,
    telemetry::{
        Value,
        otlp::{self, MEDIA_TYPE},
        protobuf::{Field, Message, field},
    },
};

/// Members of a line and the attributes that say them: names of OpenTelemetry where it has some, ours elsewhere.
const ATTRIBUTES: [(&str, &str); 12] = [
    ("call", "portcullis.call"),
    ("request", "portcullis.request"),
    ("person", "user.id"),
    ("person_name", "user.name"),
    ("client", "portcullis.client"),
    ("address", "client.address"),
    ("server", "portcullis.server"),
    ("method", "mcp.method.name"),
    ("name", "portcullis.name"),
    ("outcome", "portcullis.outcome"),
    ("effect", "portcullis.effect"),
    ("rule", "portcullis.rule"),
];

pub(super) struct Otlp {
    url: String,
    headers: HeaderMap,
    outbound: Outbound,
}

impl Otlp {
    pub fn new(url: &str, headers: &[(HeaderName, Secret)], outbound: Outbound) -> Self {
        let header = |(name, value): &(HeaderName, Secret)| {
            let mut value = HeaderValue::try_from(value.reveal()).ok()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        };
        Self { url: url.to_owned(), headers: headers.iter().filter_map(header).collect(), outbound }
    }

    /// Sends records; says how many of them the receiver told that it refused.
    pub async fn send(&self, journal: &str, items: &[Item], now: Timestamp) -> Result<u64, Failure> {
        let request = otlp::from(journal, |of_scope| {
            for item in items {
                of_scope.bytes(2, &item.bytes);
            }
        });
        let answer = post(&self.outbound, &self.url, self.headers.clone(), (MEDIA_TYPE, request), now).await?;
        Ok(rejected(&answer))
    }
}

/// The line as a record, with `text` as its body.
pub(super) fn record(record: &Record, text: &str) -> Vec<u8> {
    let mut out = Message::default();
    let nanos = record.at().map_or(0, |at| at.as_millis().unsigned_abs() * 1_000_000);
    let (number, name) = level(severity(record));
    out.fixed64(1, nanos).fixed64(11, nanos).number(2, number).bytes(3, name.as_bytes());
    out.message(5, |body| {
        body.bytes(1, text.as_bytes());
    });
    out.attribute(6, "portcullis.seq", &Value::Number(record.seq() as i64));
    for (member, key) in ATTRIBUTES {
        let text = record.text(member);
        if !text.is_empty() {
            out.attribute(6, key, &Value::Text(text.to_owned()));
        }
    }
    if let Some(trace) = bytes(record.text("trace")) {
        out.bytes(9, &trace);
    }
    out.bytes(12, record.text("event").as_bytes());
    out.into_bytes()
}

/// From 0 to 10 to OpenTelemetry's number and text.
fn level(grave: u8) -> (u64, &'static str) {
    match grave {
        0..=4 => (9, "INFO"),
        5..=6 => (13, "WARN"),
        _ => (17, "ERROR"),
    }
}

/// The sixteen bytes of a trace.
fn bytes(hex: &str) -> Option<[u8; 16]> {
    let plain = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(hex, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// `partial_success.rejected_log_records` of an `ExportLogsServiceResponse`.
fn rejected(answer: &[u8]) -> u64 {
    let Some(Field::Bytes(partial)) = field(answer, 1) else { return 0 };
    match field(partial, 1) {
        Some(Field::Number(rejected)) => rejected,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_of_a_batch_that_was_taken_is_read() {
        assert_eq!(rejected(&[]), 0);
        assert_eq!(rejected(&[0x0a, 0]), 0);
        assert_eq!(rejected(&[0x0a, 5, 0x08, 3, 0x12, 1, b'x']), 3);
        assert_eq!(rejected(br#"{"partialSuccess":{}}"#), 0);
    }

    #[test]
    fn traces_are_bytes_or_nothing() {
        assert_eq!(bytes("000102030405060708090a0b0c0d0e0f").map(|trace| trace[15]), Some(15));
        assert_eq!((bytes(""), bytes("+00102030405060708090a0b0c0d0e0f")), (None, None));
    }
}
