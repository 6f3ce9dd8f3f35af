//! Questions the gateway itself puts to an upstream: small, whole, answered by one message.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use portcullis_mcp::{
    Message, Version, headers as wire,
    message::{self, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION},
    scan, sse,
};
use tokio::time::timeout;

use super::{AnswerBody, Credential, Repeatable, Upstream, UpstreamError};

/// What the gateway says of itself.
pub(crate) const CLIENT_INFO: &str = concat!(r#"{"name":"portcullis","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// The largest answer to a question of ours.
const LARGEST: usize = 16 << 20;

/// Answers are read generously: they are results, not orders.
pub(super) const LOOSE: scan::Limits = scan::Limits { depth: 256, nodes: 2_000_000 };

/// By which way something is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server itself.
    Straight,
    /// To whoever answers for it.
    Asked,
}

/// What came back.
pub(super) struct Said {
    pub status: StatusCode,
    /// The session that was opened.
    pub session: Option<HeaderValue>,
    body: Vec<u8>,
    /// What the body was said to be.
    media_type: String,
}

impl Said {
    /// The message in it.
    pub(super) fn message(&self) -> Option<Message<'_>> {
        match message::parse(&self.body, &LOOSE).ok()? {
            message::Body::One(message) => Some(message),
            message::Body::Batch(_) => None,
        }
    }

    /// What it looks like to somebody who expected a message.
    pub(super) fn describe(&self) -> String {
        let media_type = if self.media_type.is_empty() { "no body" } else { self.media_type.as_str() };
        format!("status {}, {}", self.status.as_u16(), portcullis_base::printable(media_type, 60))
    }
}

/// A header's name as the `http` crate keeps it.
pub(crate) fn lower(name: &'static str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).expect("the protocol's header names are header names")
}

impl Upstream {
    /// Puts one modern question. `members` are further members of its `params`.
    pub(super) async fn ask_statelessly(
        self: &Arc<Self>,
        way: Way,
        method: &str,
        members: &str,
        credential: &Credential,
    ) -> Result<Said, UpstreamError> {
        let version = Version::V2026_07_28;
        let comma = if members.is_empty() { "" } else { "," };
        let params = format!(
            r#"{{{members}{comma}"_meta":{{"{META_PROTOCOL_VERSION}":"{version}","{META_CLIENT_INFO}":{CLIENT_INFO},"{META_CLIENT_CAPABILITIES}":{{}}}}}}"#
        );
        let value = HeaderValue::try_from(method).map_err(|_| UpstreamError::Unusable("a method that is no header"))?;
        let headers = [(wire::PROTOCOL_VERSION, HeaderValue::from_static(version.as_str())), (wire::METHOD, value)];
        let id = self.next_id();
        let request = self.question(id, method, &params, &headers);
        // Whoever answers for it may have to ask it what it speaks first, which asks in this way too.
        let response = Box::pin(self.put(way, request, credential)).await?;
        self.said(response, Some(&id.to_string())).await
    }

    /// Puts a request by the one way or the other.
    pub(crate) async fn put(
        self: &Arc<Self>,
        way: Way,
        request: Request<Bytes>,
        credential: &Credential,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        match way {
            Way::Straight => self.send(request, credential).await,
            Way::Asked => self.ask(request, credential).await,
        }
    }

    /// Puts one question to the server itself; `params` is raw JSON.
    pub(super) async fn inquire(
        &self,
        method: &str,
        params: &str,
        headers: &[(&'static str, HeaderValue)],
        credential: &Credential,
    ) -> Result<Said, UpstreamError> {
        let id = self.next_id();
        let request = self.question(id, method, params, headers);
        self.said(self.send(request, credential).await?, Some(&id.to_string())).await
    }

    /// Tells it something that has no answer.
    pub(super) async fn tell(
        &self,
        method: &str,
        headers: &[(&'static str, HeaderValue)],
        credential: &Credential,
    ) -> Result<Said, UpstreamError> {
        let request = self.message(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#), headers);
        self.said(self.send(request, credential).await?, None).await
    }

    fn question(&self, id: u64, method: &str, params: &str, headers: &[(&'static str, HeaderValue)]) -> Request<Bytes> {
        self.message(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#), headers)
    }

    fn message(&self, body: String, headers: &[(&'static str, HeaderValue)]) -> Request<Bytes> {
        let mut request = self.request(Method::POST, Bytes::from(body));
        // All that we ask for ourselves only reads, but for the beginning of a session, and one too many of those dies.
        request.extensions_mut().insert(Repeatable);
        let out = request.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        out.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        for (name, value) in headers {
            out.insert(lower(name), value.clone());
        }
        request
    }

    pub(super) async fn said(&self, response: Response<AnswerBody>, id: Option<&str>) -> Result<Said, UpstreamError> {
        let (head, body) = response.into_parts();
        let media_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let media_type = String::from_utf8_lossy(media_type).to_ascii_lowercase();
        let read = async {
            if media_type.starts_with("text/event-stream") { answer_in(body, id).await } else { whole(body).await }
        };
        let body = timeout(self.limits().head, read).await.map_err(|_| UpstreamError::Late)??;
        let session = head.headers.get(lower(wire::SESSION_ID)).cloned();
        Ok(Said { status: head.status, session, body, media_type })
    }
}

/// A whole body.
pub(crate) async fn whole(mut body: AnswerBody) -> Result<Vec<u8>, UpstreamError> {
    let mut out = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(UpstreamError::Torn)?;
        if let Ok(data) = frame.into_data() {
            out.extend_from_slice(&data);
        }
        if out.len() > LARGEST {
            return Err(UpstreamError::Unusable("an answer without end"));
        }
    }
    Ok(out.into())
}

/// The answer to `id` in a stream of events; empty if the stream ends without it.
pub(crate) async fn answer_in(mut body: AnswerBody, id: Option<&str>) -> Result<Vec<u8>, UpstreamError> {
    let mut decoder = sse::Decoder::new(sse::Limits::default());
    let (mut answer, mut bytes) = (None, 0);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(UpstreamError::Torn)?;
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        let fed = decoder.feed(&data, |event| {
            let Some(data) = event.data.filter(|_| answer.is_none()) else { return };
            let answers = scan::member(data.trim(), "method").is_none() && scan::member(data.trim(), "id") == id;
            if answers {
                answer = Some(data.trim().as_bytes().to_vec());
            }
        });
        fed.map_err(|_| UpstreamError::Unusable("an event without end"))?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        if bytes > LARGEST {
            return Err(UpstreamError::Unusable("a stream without end"));
        }
    }
    Ok(Vec::new())
}
