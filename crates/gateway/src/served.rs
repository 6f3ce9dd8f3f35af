//! The answer to a request on its way out: whatever is done while it is written is part of the request, and when it has
//! ended, or nobody waits for it any more, the request is over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};

use crate::{
    correlation,
    telemetry::{Request, StreamOpen, Telemetry},
};

/// The header with the request's identifier in our record; what a client calls its request is not repeated.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that is over when this is dropped.
pub struct Served {
    telemetry: Arc<Telemetry>,
    request: Arc<Request>,
    status: u16,
    sent: u64,
}

/// The body of an answer, which counts itself.
pub struct Told<B> {
    body: B,
    served: Served,
    _stream: Option<StreamOpen>,
}

impl Served {
    /// A request that has arrived.
    pub fn new(telemetry: &Arc<Telemetry>, request: &Arc<Request>) -> Self {
        Self { telemetry: telemetry.clone(), request: request.clone(), status: 0, sent: 0 }
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Its answer, with its identifier.
    pub fn answer<B>(mut self, mut response: Response<B>) -> Response<Told<B>> {
        self.status = response.status().as_u16();
        self.request.answered(self.status);
        if let Ok(id) = HeaderValue::try_from(self.request.id()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let media_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let streams = media_type.is_some_and(|media_type| media_type.starts_with(b"text/event-stream"));
        let stream = streams.then(|| self.telemetry.metrics.stream());
        response.map(|body| Told { body, served: self, _stream: stream })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.status == 0 {
            self.request.answered(0);
        }
        self.request.ended(self.status, self.sent);
    }
}

impl<B: Body + Unpin> Body for Told<B>
where
    B::Data: bytes::Buf,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { body, served, .. } = &mut *self;
        let polled = correlation::part_of(&served.request, || Pin::new(body).poll_frame(cx));
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            served.sent += bytes::Buf::remaining(data) as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
