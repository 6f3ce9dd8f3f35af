//! Step one: bytes, within bounds, of the one media type there is.

use std::{future::poll_fn, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;

use super::refusal::Refusal;

/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a request's body.
pub(super) async fn body<B>(headers: &HeaderMap, body: B, limit: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    // spec: TR-8: "answer 415 to a body that is not JSON media type"
    if !is_json(headers) {
        return Err(Refusal::status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    // spec: T-61: "inbound Content-Encoding refused (415)"
    let encoded = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().any(encoded) {
        return Err(Refusal::status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let too_large = || Refusal::status(StatusCode::PAYLOAD_TOO_LARGE);
    // spec: T-58, TR-13: "body cap (default 4 MiB => 413)", told before reading where the length is announced.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let expected = body.size_hint().exact().unwrap_or(1024) as usize;
    let mut body = pin!(body);
    let read = async {
        let mut gathered = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let Ok(frame) = frame else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
            let Ok(data) = frame.into_data() else { continue };
            // One piece is the rule, and then nothing is copied.
            if first.is_none() && gathered.is_empty() && data.len() == expected {
                first = Some(data);
                continue;
            }
            if let Some(first) = first.take() {
                gathered.extend_from_slice(&first);
            }
            if gathered.len() + data.len() > limit {
                return Err(too_large());
            }
            gathered.extend_from_slice(&data);
        }
        Ok(first.unwrap_or_else(|| gathered.freeze()))
    };
    // spec: T-62: a body that trickles in is not waited for.
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| Err(Refusal::status(StatusCode::REQUEST_TIMEOUT)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    essence(value.as_bytes()).eq_ignore_ascii_case(b"application/json")
}

/// A media type without its parameters.
pub(super) fn essence(value: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    value[..end].trim_ascii()
}

/// What a client says it can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts {
    pub json: bool,
    pub events: bool,
}

impl Accepts {
    // spec: TR-8: "Tolerate an Accept header that is missing or */*"
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut accepts = Self { json: false, events: false };
        let mut values = headers.get_all(header::ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return Self { json: true, events: true };
        }
        for value in values {
            for range in value.as_bytes().split(|byte| *byte == b',') {
                if range.to_ascii_lowercase().split(|byte| *byte == b';').skip(1).any(|p| p.trim_ascii() == b"q=0") {
                    continue;
                }
                match essence(range).to_ascii_lowercase().as_slice() {
                    b"*/*" => accepts = Self { json: true, events: true },
                    b"application/json" | b"application/*" => accepts.json = true,
                    b"text/event-stream" | b"text/*" => accepts.events = true,
                    _ => {}
                }
            }
        }
        accepts
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    /// spec: TR-8
    #[test]
    fn accept_is_read_with_tolerance() {
        let of = |value: &'static str| Accepts::of(&headers(&[("accept", value)]));
        assert_eq!(Accepts::of(&HeaderMap::new()), Accepts { json: true, events: true });
        assert_eq!(of("*/*"), Accepts { json: true, events: true });
        assert_eq!(of("application/json, text/event-stream"), Accepts { json: true, events: true });
        assert_eq!(of("Application/JSON;q=0.9"), Accepts { json: true, events: false });
        assert_eq!(of("text/event-stream, application/json;q=0"), Accepts { json: false, events: true });
        assert_eq!(of("text/html"), Accepts { json: false, events: false });
    }

    /// spec: TR-8, T-58, T-61, TR-13
    #[tokio::test]
    async fn only_plain_json_within_bounds_is_read() {
        let read = async |pairs: &[(&'static str, &'static str)], text: &'static str| match body(
            &headers(pairs),
            Full::new(Bytes::from(text)),
            8,
        )
        .await
        {
            Ok(bytes) => Ok(bytes),
            Err(refusal) => Err(refusal.into_response().status().as_u16()),
        };
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(read(&[json], "{}").await, Ok(Bytes::from("{}")));
        assert_eq!(read(&[], "{}").await, Err(415));
        assert_eq!(read(&[("content-type", "text/plain")], "{}").await, Err(415));
        assert_eq!(read(&[json, ("content-encoding", "gzip")], "{}").await, Err(415));
        assert_eq!(read(&[json, ("content-encoding", "identity")], "{}").await, Ok(Bytes::from("{}")));
        assert_eq!(read(&[json], "123456789").await, Err(413));
    }
}
