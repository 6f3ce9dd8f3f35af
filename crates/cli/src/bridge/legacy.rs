//! Requests in a session, which can be lost and opened again, and whose streams can be resumed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, StatusCode};
use portcullis_mcp::{
    Message, Method,
    message::{self},
};

use super::{
    answers::{REFUSAL, broken},
    asked::{Asked, Came},
    door::Asking,
    link::Answer,
    session::{self, Session},
    stream::Messages,
    talk::Talk,
};
use crate::failure::{Failure, Result};

/// How often a broken stream is taken up again without anything new on it.
const RESUMPTIONS: u32 = 5;
/// When a stream is taken up again, if the server does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

impl Talk {
    /// A request in a session.
    pub(super) async fn legacy(self: &Arc<Self>, asked: &Asked) -> Result<Box<str>> {
        let opens = asked.method == Some(Method::Initialize);
        let mut renewed = false;
        loop {
            let session = if opens { Arc::default() } else { self.sessions.now() };
            let answer = self.road.send(Verb::POST, session.headers(), asked.body(), Asking::Person).await?;
            // spec: TR-133: "on 404 open a new session once and retry the unprocessed request".
            if answer.status == StatusCode::NOT_FOUND && session.id.is_some() && !renewed {
                renewed = true;
                drop(answer);
                self.renew(&session).await?;
                continue;
            }
            let id = session::given(&answer.headers);
            let text = match self.read_in(asked, answer, &session).await? {
                Came::Answer(text) => text,
                Came::Broken(why) => return Err(broken(&why)),
            };
            if opens && let Some(opened) = Session::of(&text, id) {
                let before = self.sessions.opened(opened);
                let talk = self.clone();
                tokio::spawn(async move { talk.end(&before).await });
            }
            return Ok(text);
        }
    }

    /// Opens the session again that the server has forgotten.
    pub(super) async fn renew(self: &Arc<Self>, lost: &Arc<Session>) -> Result<()> {
        let _turn = self.sessions.turn.lock().await;
        if !Arc::ptr_eq(&self.sessions.now(), lost) {
            return Ok(());
        }
        let (Some(opening), ready) = self.sessions.opening() else {
            return Err(Failure::new("the server has ended the session"));
        };
        let Ok(Message::Request(call)) = message::message(&opening) else {
            return Err(Failure::new("the server has ended the session"));
        };
        let Some(id) = call.id.map(|id| id.to_owned()) else {
            return Err(Failure::new("the server has ended the session"));
        };
        let asked = Asked::of(opening.clone(), &call, id);
        let answer = self.road.send(Verb::POST, session::plain(), asked.body(), Asking::Person).await?;
        let id = session::given(&answer.headers);
        let Came::Answer(text) = self.read_quietly(&asked, answer).await? else {
            return Err(Failure::new("the server has ended the session and opens no other"));
        };
        let opened = Session::of(&text, id).filter(|opened| opened.revision == lost.revision);
        let Some(opened) = opened else {
            return Err(
                Failure::new("the server has ended the session and opens no other like it").help("restart the client")
            );
        };
        self.sessions.opened(opened);
        if let Some(ready) = ready {
            self.ready(&ready).await;
        }
        Ok(())
    }

    /// Says that the client is ready, and from then on listens for what the server says unasked.
    pub(super) async fn ready(self: &Arc<Self>, text: &Arc<str>) {
        let session = self.sessions.now();
        let body = Bytes::copy_from_slice(text.as_bytes());
        match self.road.send(Verb::POST, session.headers(), body, Asking::Person).await {
            Ok(mut answer) => drop(answer.whole(REFUSAL).await),
            Err(failure) => return self.complain(&failure),
        }
        let talk = self.clone();
        let listening = tokio::spawn(async move { talk.listen(&session).await });
        self.sessions.listens(listening.abort_handle());
    }

    /// The stream of what the server says unasked, taken up again for as long as the session lives.
    ///
    /// spec: TR-134
    pub(super) async fn listen(&self, session: &Session) {
        let (mut last, mut pause): (Option<String>, _) = (None, PAUSE);
        loop {
            let mut retry = None;
            match self.road.send(Verb::GET, resuming(session, last.as_deref()), Bytes::new(), Asking::Nobody).await {
                Ok(answer) if answer.status == StatusCode::OK && answer.is_stream() => {
                    pause = PAUSE;
                    let mut messages = Messages::new(answer);
                    while let Some(Ok(text)) = messages.next().await {
                        self.pass_on(&text, false).await;
                    }
                    last = messages.last.or(last);
                    retry = messages.retry;
                }
                Ok(answer) if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS => {}
                // There is no such stream, or no such session any more.
                Ok(_) => return,
                Err(_) => {}
            }
            tokio::time::sleep(retry.unwrap_or(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The same in a session, whose streams can be resumed.
    ///
    /// spec: TR-134
    pub(super) async fn read_in(&self, asked: &Asked, answer: Answer, session: &Session) -> Result<Came> {
        if answer.status != StatusCode::OK {
            return self.refused(asked, answer).await.map(Came::Answer);
        }
        let mut messages = Messages::new(answer);
        let (mut last, mut tries, mut retry) = (None, 0, PAUSE);
        loop {
            let mut why = "it ended before the answer".to_owned();
            while let Some(message) = messages.next().await {
                match message {
                    Ok(text) => {
                        tries = 0;
                        if let Some(text) = self.sorted(asked, text, false).await {
                            return Ok(Came::Answer(text));
                        }
                    }
                    Err(error) => why = error,
                }
            }
            last = messages.last.take().or(last);
            retry = messages.retry.unwrap_or(retry);
            let Some(id) = last.as_deref().filter(|_| tries < RESUMPTIONS) else { return Ok(Came::Broken(why)) };
            tries += 1;
            tokio::time::sleep(retry).await;
            let headers = resuming(session, Some(id));
            match self.road.send(Verb::GET, headers, Bytes::new(), Asking::Person).await {
                Ok(answer) if answer.status == StatusCode::OK && answer.is_stream() => messages = Messages::new(answer),
                Ok(answer) if answer.status.is_client_error() => return Ok(Came::Broken(why)),
                _ => {}
            }
        }
    }
}

/// The headers that take a stream up again.
fn resuming(session: &Session, last: Option<&str>) -> HeaderMap {
    let mut all = session.headers();
    all.remove(http::header::CONTENT_TYPE);
    all.insert(http::header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(last) = last.and_then(|last| HeaderValue::try_from(last).ok()) {
        all.insert("last-event-id", last);
    }
    all
}
