//! Spans as OTLP has them: an `ExportTraceServiceRequest` of opentelemetry-proto 1, in the binary form of Protocol Buffers.
//!
//! Six messages with a dozen fields between them are written here; the numbers are those of `trace/v1/trace.proto`,
//! `common/v1/common.proto` and `resource/v1/resource.proto`. They never change once released.

use super::{
    protobuf::Message,
    trace::{Span, Value},
};

/// The media type of a request.
pub const MEDIA_TYPE: &str = "application/x-protobuf";

/// A request with `spans` of the gateway that calls itself `node`.
pub fn request(node: &str, spans: &[Span]) -> Vec<u8> {
    from(node, |scope_spans| {
        for span in spans {
            scope_spans.message(2, |out| write(out, span));
        }
    })
}

/// A request of the gateway that calls itself `node`, of which `write` adds what it tells: spans, or records of a log.
pub fn from(node: &str, write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let about = [("service.name", "portcullis"), ("service.version", version), ("service.instance.id", node)];
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |resource| {
            for (key, value) in about {
                resource.attribute(1, key, &Value::Text(value.to_owned()));
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.bytes(1, b"portcullis").bytes(2, version.as_bytes());
            });
            write(of_scope);
        });
    });
    request.into_bytes()
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

    /// That a receiver reads it is seen in `tests/house/tests/telemetry`; here, that a negative number has its ten bytes.
    #[test]
    fn negative_numbers_have_the_wire_form_of_protocol_buffers() {
        let place = Place { trace: [1; 16], span: [2; 8], sampled: true, state: None };
        let attributes = vec![("n", Value::Number(-1))];
        let name = "x".to_owned();
        let span =
            Span { place, parent: None, name, kind: Kind::Client, start: 1, end: 2, attributes, failed: Some("no") };
        let bytes = request("node", &[span]);
        assert!(bytes.windows(10).any(|w| w == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
    }
}
