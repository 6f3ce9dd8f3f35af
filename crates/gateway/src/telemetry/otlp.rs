//! Spans as OTLP has them: an `ExportTraceServiceRequest` of opentelemetry-proto 1, in the binary form of Protocol Buffers.
//!
//! Six messages with a dozen fields between them are written here; the numbers are those of `trace/v1/trace.proto`,
//! `common/v1/common.proto` and `resource/v1/resource.proto`. They never change once released.

use super::trace::{Span, Value};

/// The media type of a request.
pub const MEDIA_TYPE: &str = "application/x-protobuf";

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// A field of wire type 0.
    fn number(&mut self, field: u64, number: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    /// A field of wire type 1.
    fn fixed64(&mut self, field: u64, number: u64) -> &mut Self {
        self.varint((field << 3) | 1);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// A field of wire type 5.
    fn fixed32(&mut self, field: u64, number: u32) -> &mut Self {
        self.varint((field << 3) | 5);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// A field of wire type 2.
    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint((field << 3) | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0)
    }

    /// A `KeyValue`.
    fn attribute(&mut self, field: u64, key: &str, value: &Value) -> &mut Self {
        self.message(field, |pair| {
            pair.bytes(1, key.as_bytes()).message(2, |any| {
                match value {
                    Value::Text(text) => any.bytes(1, text.as_bytes()),
                    Value::Number(number) => any.number(3, *number as u64),
                };
            });
        })
    }
}

/// A request with `spans` of the gateway that calls itself `node`.
pub fn request(node: &str, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let about = [("service.name", "portcullis"), ("service.version", version), ("service.instance.id", node)];
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            for (key, value) in about {
                resource.attribute(1, key, &Value::Text(value.to_owned()));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"portcullis").bytes(2, version.as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |out| write(out, span));
            }
        });
    });
    request.0
}

fn write(out: &mut Message, span: &Span) {
    let place = &span.place;
    out.bytes(1, &place.trace).bytes(2, &place.span);
    if let Some(state) = &place.state {
        out.bytes(3, state.as_bytes());
    }
    if let Some(parent) = &span.parent {
        out.bytes(4, parent);
    }
    out.bytes(5, span.name.as_bytes()).number(6, span.kind as u64).fixed64(7, span.start).fixed64(8, span.end);
    for (key, value) in &span.attributes {
        out.attribute(9, key, value);
    }
    if let Some(why) = span.failed {
        // STATUS_CODE_ERROR
        out.message(15, |status| {
            status.bytes(2, why.as_bytes()).number(3, 2);
        });
    }
    out.fixed32(16, u32::from(place.sampled));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Kind, Place};

    /// That a receiver reads it is seen in `tests/house/tests/telemetry`; here, that every kind of field has its form.
    #[test]
    fn fields_have_the_wire_form_of_protocol_buffers() {
        let mut message = Message::default();
        message.number(1, 300).fixed64(7, 1).fixed32(16, 1).bytes(5, b"x");
        assert_eq!(message.0, [0x08, 0xac, 0x02, 0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x85, 0x01, 1, 0, 0, 0, 0x2a, 1, b'x']);
        let place = Place { trace: [1; 16], span: [2; 8], sampled: true, state: None };
        let attributes = vec![("n", Value::Number(-1))];
        let name = "x".to_owned();
        let span =
            Span { place, parent: None, name, kind: Kind::Client, start: 1, end: 2, attributes, failed: Some("no") };
        let bytes = request("node", &[span]);
        assert!(bytes.windows(10).any(|w| w == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
    }
}
