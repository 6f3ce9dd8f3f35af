//! One exchange with a server: admitted, sent, and sent once more only where nothing was done by the first.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use portcullis_mcp::headers as wire;
use portcullis_oauth::upstream::challenge;
use tokio::time::timeout;

use super::{AnswerBody, Credential, For, Upstream, UpstreamError, breaker::Resting, lower, places::Place};
use crate::correlation;

/// How long a used connection may take to become ready again.
const SETTLING: Duration = Duration::from_millis(5);
/// How long a request waits for one of those before it to end.
const QUEUE: Duration = Duration::from_secs(5);

/// Put into the extensions of a request that may be sent once more although the first may have arrived: it only reads.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

impl Upstream {
    /// Sends `request` with `credential` and waits for the head of the answer.
    // spec: UP-42: one way out for every request, so none goes without, and none of what came in goes with it.
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        credential: &Credential,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        credential.apply(request.headers_mut());
        correlation::stamp_headers(request.headers_mut());
        let place = self.place(&request).await?;
        let attempt = self.breaker.attempt(Instant::now()).map_err(|Resting(rest)| UpstreamError::Resting(rest))?;
        let outcome = timeout(self.limits.head, self.exchange(request)).await.unwrap_or(Err(UpstreamError::Late));
        match &outcome {
            Ok(response) if absent(response.status()) => attempt.failed(Instant::now()),
            Err(UpstreamError::Unreachable(_) | UpstreamError::Late | UpstreamError::Broken(_)) => {
                attempt.failed(Instant::now());
            }
            _ => attempt.went_well(),
        }
        let mut response = accept(outcome?)?;
        response.body_mut().holds(place);
        Ok(response)
    }

    /// A place among the exchanges that may be under way at one time. A stream that stays open until somebody has heard
    /// enough takes none: those who listen would keep out those who call.
    async fn place(&self, request: &Request<Bytes>) -> Result<Option<Place>, UpstreamError> {
        let listens = request.headers().get(lower(wire::METHOD)).is_some_and(|method| method == "subscriptions/listen");
        let streams = request.headers().get(header::ACCEPT).is_some_and(|accepted| accepted == "text/event-stream");
        if listens || request.method() == Method::GET && streams {
            return Ok(None);
        }
        let person = request.extensions().get::<For>().map(|For(person)| person);
        let taken = self.places.take(person, QUEUE.min(self.limits.head)).await;
        taken.map(Some).ok_or(UpstreamError::Busy)
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<AnswerBody>, UpstreamError> {
        let repeatable = request.method() == Method::GET || request.extensions().get::<Repeatable>().is_some();
        let mut request = request.map(Full::new);
        let mut copy = repeatable.then(|| request.clone());
        let mut only_fresh = false;
        loop {
            let kept = if only_fresh { None } else { self.pool.take() };
            let (mut sender, fresh) = match kept {
                Some(sender) => (sender, false),
                None => (self.connector.open().await?, true),
            };
            // An exchange has ended a moment before its connection is ready for the next.
            if !fresh && !sender.is_ready() && !matches!(timeout(SETTLING, sender.ready()).await, Ok(Ok(()))) {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = AnswerBody::new(body, &head.headers, self.pool.clone(), sender);
                    return Ok(Response::from_parts(head, body));
                }
                // Anything is repeated when hyper gives it back, which means that none of it was sent. What was sent on a
                // connection that had been idle, and that then broke without a word, may have arrived all the same:
                // only what reads is sent again, once, and on a new connection.
                Err(mut refused) => match (refused.take_message(), copy.take()) {
                    (Some(unsent), again) if !fresh => (request, copy) = (unsent, again),
                    (None, Some(again)) if !fresh => {
                        request = again;
                        only_fresh = true;
                    }
                    _ => return Err(UpstreamError::Broken(refused.into_error())),
                },
            }
        }
    }
}

/// Whether a status is about the server and not about the request: 500 is left out, or one caller's bad request would
/// be everybody's outage.
fn absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn accept(response: Response<AnswerBody>) -> Result<Response<AnswerBody>, UpstreamError> {
    // spec: T-29: "no automatic redirects to upstream MCP"
    if response.status().is_redirection() {
        return Err(UpstreamError::Unusable("a redirect"));
    }
    // spec: T-61
    let encoding = response.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(UpstreamError::Unusable("an encoded body"));
    }
    // spec: RS-22: an upstream's refusal of us is not a refusal of the client's token.
    match response.status().as_u16() {
        status @ (401 | 403 | 407) => {
            let said = response.headers().get_all(header::WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
            Err(UpstreamError::Credentials { status, challenges: challenge::parse(said) })
        }
        _ => Ok(response),
    }
}
