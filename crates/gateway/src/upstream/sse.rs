//! HTTP+SSE of 2024-11-05: everything a server says comes on one stream, everything for it goes to the address that the
//! stream's first event names.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body;
use portcullis_mcp::sse::{Decoder, Event, Limits};
use tokio::time::timeout;
use url::Position;

use super::{
    AnswerBody, Credential, For, Upstream, UpstreamError,
    ask::whole,
    line::{Ear, Ended, Line, Lines, Mouth, Whose},
};

/// Opens streams of one server.
pub(super) struct Streams(Weak<Upstream>);

impl Streams {
    pub(super) fn of(upstream: &Arc<Upstream>) -> Self {
        Self(Arc::downgrade(upstream))
    }
}

impl Lines for Streams {
    fn open<'a>(&'a self, who: &'a Whose) -> BoxFuture<'a, Result<Line, UpstreamError>> {
        Box::pin(async move {
            let upstream = self.0.upgrade().ok_or(UpstreamError::Unusable("it is no longer in the settings"))?;
            upstream.stream(who).await
        })
    }
}

/// What a server says on one stream.
struct Saying {
    body: AnswerBody,
    decoder: Decoder,
    waiting: VecDeque<Event>,
}

impl Saying {
    /// The next event; nothing at the end.
    async fn next(&mut self) -> Result<Option<Event>, UpstreamError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await else { return Ok(None) };
            let Ok(data) = frame.map_err(UpstreamError::Torn)?.into_data() else { continue };
            let waiting = &mut self.waiting;
            self.decoder
                .feed(&data, |event| waiting.push_back(event))
                .map_err(|_| UpstreamError::Unusable("a line or event without end"))?;
        }
    }

    /// Where messages for the server go: said before anything else.
    async fn endpoint(&mut self) -> Result<String, UpstreamError> {
        while let Some(event) = self.next().await? {
            match (event.event.as_deref(), event.data) {
                (Some("endpoint"), Some(data)) => return Ok(data.trim().to_owned()),
                (_, None) => {}
                _ => break,
            }
        }
        Err(UpstreamError::Unusable("a stream that names no endpoint"))
    }
}

impl Upstream {
    /// A new stream for `who`, with the way back.
    // spec: TR-123: "GET and wait for endpoint"
    pub(super) async fn stream(self: &Arc<Self>, who: &Whose) -> Result<Line, UpstreamError> {
        let mut request = self.request(Method::GET, Bytes::new());
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        named(&mut request, who);
        let (head, body) = self.send(request, &who.credential).await?.into_parts();
        let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let events = media_type.is_some_and(|value| value.to_ascii_lowercase().starts_with("text/event-stream"));
        match head.status {
            StatusCode::OK if events => {}
            status if status.is_server_error() => return Err(UpstreamError::Failed(status.as_u16())),
            _ => return Err(UpstreamError::Unusable("no stream of events")),
        }
        let mut saying = Saying { body, decoder: Decoder::new(Limits::default()), waiting: VecDeque::new() };
        let told = timeout(self.limits().head, saying.endpoint()).await.unwrap_or(Err(UpstreamError::Late))?;
        let endpoint = self.beside(&told).ok_or(UpstreamError::Unusable("an endpoint that is elsewhere"))?;
        let (line, far) = Line::new();
        let (ear, mouth) = far.split();
        let (upstream, who) = (self.clone(), who.clone());
        tokio::spawn(async move {
            // Whichever ends first ends the other.
            let ended = tokio::select! {
                () = mouth.let_go() => Ended::Closed,
                ended = say(saying, &mouth) => ended,
                ended = upstream.hear(ear, &endpoint, &who) => ended,
            };
            mouth.because(ended);
        });
        Ok(line)
    }

    /// The path and query of `told`, if that is an address at this very server.
    // spec: TR-124: "only on the same origin as the SSE URL"
    fn beside(&self, told: &str) -> Option<Uri> {
        let own = self.connector.url()?;
        let url = own.join(told).ok().filter(|url| url.origin() == own.origin() && url.username().is_empty())?;
        Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).ok()
    }

    /// Gives the server what is given to the line, one message after the other.
    async fn hear(self: Arc<Self>, mut ear: Ear, endpoint: &Uri, who: &Whose) -> Ended {
        while let Some(message) = ear.hear().await {
            let mut request = self.request(Method::POST, Bytes::from(String::from(message)));
            *request.uri_mut() = endpoint.clone();
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            named(&mut request, who);
            if let Err(error) = self.post(request, &who.credential).await {
                return Ended::Broke(error.to_string().into());
            }
        }
        Ended::Closed
    }

    async fn post(&self, request: Request<Bytes>, credential: &Credential) -> Result<(), UpstreamError> {
        let (head, body) = self.send(request, credential).await?.into_parts();
        if !head.status.is_success() {
            return Err(UpstreamError::Failed(head.status.as_u16()));
        }
        // There is nothing in it; read to the end, its connection can be used again.
        timeout(self.limits().head, whole(body)).await.map_err(|_| UpstreamError::Late)??;
        Ok(())
    }
}

/// Passes on what the server says.
// spec: TR-112: what is not a `message` event is not a message.
async fn say(mut saying: Saying, mouth: &Mouth) -> Ended {
    loop {
        match saying.next().await {
            Ok(Some(event)) => {
                let message = event.is_message().then_some(event.data).flatten();
                let Some(message) = message.filter(|text| !text.trim().is_empty()) else { continue };
                if mouth.say(message.into()).await.is_err() {
                    return Ended::Closed;
                }
            }
            Ok(None) => return Ended::Closed,
            Err(error) => return Ended::Broke(error.to_string().into()),
        }
    }
}

fn named(request: &mut Request<Bytes>, who: &Whose) {
    if let Some(person) = &who.person {
        request.extensions_mut().insert(For(person.clone()));
    }
}
