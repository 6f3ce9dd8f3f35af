//! A request that waits for a human, seen from its client: as soon as it begins to wait, its answer becomes a stream of
//! events. What is left of the request goes on inside that stream, so whoever closes it gives the request up, and nothing
//! is done for nobody.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use http_body::Body;
use portcullis_mcp::{
    Message, OwnedId, ProtocolError, message,
    scan::{self, Kind},
    sse::Event,
};
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep},
};

use super::{
    answer::{self, Answer},
    document::Document,
    receive::Accepts,
    refusal::Refusal,
    turn::{Form, form},
};

/// Words that wait for a client which does not read; the oldest are the least worth.
const WORDS: usize = 16;

/// What is said to the client of a request before its answer, and what the client says to that.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Inner>);

#[derive(Default)]
struct Inner {
    said: Mutex<Said>,
    declined: Notify,
}

#[derive(Default)]
struct Said {
    words: VecDeque<Word>,
    reader: Option<Waker>,
}

/// Something that is said before the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The request with this id waits from now on.
    Waits(OwnedId),
    /// A whole message.
    Message(String),
    /// Its person should open a page: a raw entry of `inputRequests`, for clients in this process.
    Page(String),
}

impl Line {
    /// Says something. It never waits.
    pub(super) fn say(&self, word: Word) {
        let mut said = self.said();
        if said.words.len() == WORDS {
            said.words.pop_front();
        }
        said.words.push_back(word);
        let reader = said.reader.take();
        drop(said);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next that is said.
    pub(super) async fn next(&self) -> Word {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Word> {
        let mut said = self.said();
        if let Some(word) = said.words.pop_front() {
            return Poll::Ready(word);
        }
        if !said.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            said.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The client's person would not open the page.
    pub(super) fn decline(&self) {
        self.0.declined.notify_one();
    }

    /// Waits for that.
    pub(super) async fn declined(&self) {
        self.0.declined.notified().await;
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being served.
pub(super) type Serving = BoxFuture<'static, Result<Response<Answer>, Refusal>>;

/// The answer of `serving`, or a stream in which it will be, if it begins to wait and the client reads streams.
pub(super) async fn serve(
    mut serving: Serving,
    line: Line,
    accepts: Accepts,
    keep_alive: Duration,
) -> Result<Response<Answer>, Refusal> {
    enum First {
        Served(Result<Response<Answer>, Refusal>),
        Said(Word),
    }
    let first = poll_fn(|cx| {
        if let Poll::Ready(served) = serving.as_mut().poll(cx) {
            return Poll::Ready(First::Served(served));
        }
        if accepts.events { line.poll(cx).map(First::Said) } else { Poll::Pending }
    });
    match first.await {
        First::Served(served) => served,
        First::Said(word) => {
            let tick = Box::pin(sleep(keep_alive));
            let mut held = Held { line, part: Part::Waits(serving), id: None, begun: Vec::new(), tick, keep_alive };
            let mut begun = ALIVE.to_vec();
            held.write(word, &mut begun);
            held.begun = begun;
            Ok(answer::stream(Answer::Held(Box::new(held))))
        }
    }
}

/// A sign of life.
const ALIVE: &[u8] = b":\n\n";

/// The stream of a request that waits, and of its answer.
pub struct Held {
    line: Line,
    part: Part,
    /// The request's id.
    id: Option<OwnedId>,
    /// What it begins with.
    begun: Vec<u8>,
    tick: Pin<Box<Sleep>>,
    keep_alive: Duration,
}

enum Part {
    Waits(Serving),
    /// The answer is a stream of its own.
    Stream(Answer),
    /// The answer is one large document.
    Document(Box<Document>, Begun),
    Over,
}

/// Whether anything of a document was passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Not,
    Yes,
}

impl Held {
    /// The next bytes for the client.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.begun.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.begun).into())));
        }
        loop {
            match &mut self.part {
                Part::Waits(serving) => {
                    let served = serving.as_mut().poll(cx);
                    // What was said before the answer comes before it.
                    let mut out = Vec::new();
                    while let Poll::Ready(word) = self.line.poll(cx) {
                        self.write(word, &mut out);
                    }
                    let waits = served.is_pending();
                    if let Poll::Ready(served) = served {
                        self.answer(served.unwrap_or_else(Refusal::into_response), &mut out);
                    }
                    if !out.is_empty() {
                        return Poll::Ready(Some(Ok(out.into())));
                    }
                    if waits {
                        return self.tick(cx);
                    }
                }
                Part::Stream(body) => {
                    let frame = Pin::new(body).poll_frame(cx);
                    return frame
                        .map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())));
                }
                Part::Document(document, begun) => {
                    let Poll::Ready(piece) = document.poll_piece(cx) else { return Poll::Pending };
                    let first = std::mem::replace(begun, Begun::Yes) == Begun::Not;
                    return Poll::Ready(Some(match piece {
                        Some(Ok(piece)) => Ok(in_event(&piece, first)),
                        Some(Err(error)) => Err(error),
                        None => {
                            self.part = Part::Over;
                            Ok(Bytes::from_static(b"\n\n"))
                        }
                    }));
                }
                Part::Over => return Poll::Ready(None),
            }
        }
    }

    /// A sign of life, when it is time for one.
    fn tick(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.tick.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.tick.as_mut().reset(Instant::now() + self.keep_alive);
        Poll::Ready(Some(Ok(Bytes::from_static(ALIVE))))
    }

    fn write(&mut self, word: Word, out: &mut Vec<u8>) {
        match word {
            Word::Waits(id) => self.id = Some(id),
            Word::Message(text) => Event::message(text).encode(out),
            // For clients in this process only.
            Word::Page(_) => {}
        }
    }

    /// The answer has come. Its status is sent already, so whatever it says, it says as a message.
    fn answer(&mut self, response: Response<Answer>, out: &mut Vec<u8>) {
        let (head, body) = response.into_parts();
        self.part = Part::Over;
        match body {
            Answer::Document(document) => self.part = Part::Document(document, Begun::Not),
            body if head.status == StatusCode::OK && matches!(form(&head.headers), Form::Events) => {
                self.part = Part::Stream(body);
            }
            Answer::Whole(bytes) if is_answer(&bytes) => {
                Event::message(String::from_utf8_lossy(&bytes).trim()).encode(out);
            }
            _ => {
                let text = format!("The request was refused with status {}.", head.status.as_u16());
                let mut error = ProtocolError::internal(200, text);
                error.id.clone_from(&self.id);
                Event::message(String::from_utf8(error.to_json()).unwrap_or_default()).encode(out);
            }
        }
    }
}

/// Whether these bytes are an answer to a request, or to a batch of them.
fn is_answer(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let text = text.trim();
    scan::kind(text) == Kind::Array
        || matches!(message::message(text), Ok(Message::Response(response)) if response.id.is_some())
}

/// A piece of a document as part of one event. Between its tokens a line may end; there a blank does as well.
fn in_event(piece: &[u8], first: bool) -> Bytes {
    let mut out = Vec::with_capacity(piece.len() + 8);
    if first {
        out.extend_from_slice(b"data: ");
    }
    out.extend(piece.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.into()
}
