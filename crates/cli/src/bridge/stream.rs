//! The messages of an answer, whether it is one JSON text or a stream of events.

use std::{collections::VecDeque, time::Duration};

use portcullis_mcp::{
    scan,
    sse::{self, Decoder, Event},
};

use super::link::Answer;

/// The longest message that is passed on.
const LONGEST: usize = 64 << 20;
/// A server's word on when to come back counts for no more.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What a message may hold: its bytes bound it already.
const LIMITS: scan::Limits = scan::Limits { depth: 512, nodes: LONGEST / 2 };

/// The messages of one answer.
pub struct Messages {
    answer: Answer,
    decoder: Option<Decoder>,
    ready: VecDeque<Event>,
    ended: bool,
    /// The id of the last event, by which the stream can be resumed.
    pub last: Option<String>,
    /// When the server wants to be asked again.
    pub retry: Option<Duration>,
}

impl Messages {
    /// Of an answer whose head was good.
    pub fn new(answer: Answer) -> Self {
        let limits = sse::Limits { line: 1 << 20, event: LONGEST };
        let decoder = answer.is_stream().then(|| Decoder::new(limits));
        Self { answer, decoder, ready: VecDeque::new(), ended: false, last: None, retry: None }
    }

    /// The next message: a checked JSON text. `None` at the end; what is no JSON is left out.
    pub async fn next(&mut self) -> Option<Result<Box<str>, String>> {
        if self.decoder.is_none() {
            return self.only().await;
        }
        loop {
            while let Some(event) = self.ready.pop_front() {
                if event.id.is_some() {
                    self.last.clone_from(&event.id);
                }
                if let Some(retry) = event.retry {
                    self.retry = Some(Duration::from_millis(retry).min(LONGEST_RETRY));
                }
                let text = event.data.as_deref().filter(|_| event.is_message());
                if let Some(text) = text.and_then(|text| scan::check(text.as_bytes(), &LIMITS).ok()) {
                    return Some(Ok(text.into()));
                }
            }
            if self.ended {
                return None;
            }
            match self.answer.piece().await {
                None => self.ended = true,
                Some(Err(why)) => {
                    self.ended = true;
                    return Some(Err(why));
                }
                Some(Ok(piece)) => {
                    let decoder = self.decoder.as_mut()?;
                    if let Err(overflow) = decoder.feed(&piece, |event| self.ready.push_back(event)) {
                        self.ended = true;
                        return Some(Err(overflow.to_string()));
                    }
                }
            }
        }
    }

    async fn only(&mut self) -> Option<Result<Box<str>, String>> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let body = match self.answer.whole(LONGEST).await {
            Ok(body) => body,
            Err(why) => return Some(Err(why)),
        };
        if body.trim_ascii().is_empty() {
            return None;
        }
        Some(scan::check(&body, &LIMITS).map(Into::into).map_err(|fault| format!("the answer is not JSON: {fault}")))
    }
}
