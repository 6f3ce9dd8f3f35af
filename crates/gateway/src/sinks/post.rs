//! A batch as the body of a request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use portcullis_base::Timestamp;

use super::receiver::Failure;
use crate::outbound::{Ask, Outbound};

/// The most bytes of an answer.
const ANSWER: usize = 64 << 10;
/// Receivers are not kept waiting for longer than this, whatever they ask for.
const LONGEST: Duration = Duration::from_hours(1);

/// Posts a batch; gives the body of the answer.
pub(super) async fn post(
    outbound: &Outbound,
    url: &str,
    headers: HeaderMap,
    body: (&'static str, Vec<u8>),
    now: Timestamp,
) -> Result<Bytes, Failure> {
    let (media_type, bytes) = body;
    let ask =
        Ask { method: Method::POST, body: Some((media_type, bytes.into())), headers, ..Ask::get(url, "*/*", ANSWER) };
    let answer = outbound.fetch(ask).await.map_err(|error| Failure::later(error.detail()))?;
    match answer.status {
        status if status.is_success() => Ok(answer.body),
        // What is wrong with a request is wrong with it again. All else is the receiver's: another key, a path that is not
        // there yet. That nothing is lost counts for more than that nobody asks in vain.
        status @ (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY) => {
            Err(Failure::Refused { why: format!("it answered {status}") })
        }
        status => Err(Failure::Later { why: format!("it answered {status}"), after: wait(&answer.headers, now) }),
    }
}

/// How long a receiver wants to be left alone: in seconds, or until a date.
fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Timestamp::parse_http_date(text)?.since(now),
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_left_alone_for_as_long_as_they_say_within_bounds() {
        let now = Timestamp::parse("2026-11-23T02:13:20Z").unwrap();
        let said = |text: &str| wait(&HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(said("7"), Some(Duration::from_secs(7)));
        assert_eq!(said("Mon, 23 Nov 2026 02:14:20 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(said("Mon, 23 Nov 2026 02:12:20 GMT"), Some(Duration::ZERO));
        assert_eq!(said("99999999999"), Some(LONGEST));
        assert_eq!((said("-1"), said("soon"), wait(&HeaderMap::new(), now)), (None, None, None));
    }
}
