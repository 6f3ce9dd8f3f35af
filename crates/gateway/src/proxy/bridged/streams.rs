//! The streams of a bridged session beside those of its requests, and its end.

use std::time::Duration;

use http::{Response, StatusCode};
use portcullis_audit::Outcome;
use portcullis_mcp::{Headers, OwnedId, dialect::down, headers::Field, sse::Event};

use super::{
    host::{Host, internal},
    listening::listen,
    reader::{Looks, Place, Reader},
    requests::declared,
    room::UNASKED,
};
use crate::proxy::{
    answer::{self, Answer},
    decide::Deed,
    legacy::bare,
    parts::Parts,
    record::Record,
    refusal::Refusal,
    session::Session,
    stay::Stay,
    turn::Visit,
};

/// The longest that such a stream stays open; its client opens another one.
const LONGEST: Duration = Duration::from_hours(1);

impl Visit<'_> {
    /// A GET: what is said unasked, or the rest of a stream that broke.
    // spec: TR-88, TR-91
    pub(in crate::proxy) async fn listen_bridged(
        &self,
        session: &Session,
        headers: &Headers<'_>,
    ) -> Result<Response<Answer>, Refusal> {
        if !self.accepts.events {
            return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
        }
        let Some(down) = down(session.version) else { return Err(Refusal::no_session()) };
        let mark = session.mark(self.parts);
        let last = match headers.last_event {
            Field::Absent => None,
            Field::Repeated => return Err(Refusal::status(StatusCode::BAD_REQUEST)),
            // spec: T-48, SEC-22: an event id of another session is dropped, and with it the wish to resume.
            Field::One(value) => std::str::from_utf8(value).ok().and_then(|value| Place::read(&mark, value)),
        };
        let record = self.seated(&Deed { ends: true, ..bare("GET") }).await?;
        let room = self.room(session)?;
        let ear = match last.map(|place| (room.stream(&place.stream), place)) {
            Some((Some(feed), place)) => feed.attach(Some(place.number)),
            // Its node was restarted, or too much has passed: whoever waits for the answer has to know.
            Some((None, Place { about: Some(about), .. })) => return Ok(lost(about, record)),
            // spec: TR-88: "send each message on one stream only": those who listen share what is said.
            _ => room.unasked.attach(None),
        };
        let Parts { ended, clock, .. } = &**self.parts;
        let stay = if ear.feed().name == UNASKED {
            listen(Host::of(self, Some(&session.id)), down, declared(session, down), room);
            Stay::listening(self.caller, ended.clone(), &**clock, LONGEST)
        } else {
            Stay::new(self.caller, ended.clone(), &**clock, LONGEST, Duration::ZERO)
        };
        let reader = Reader::new(ear, Looks::Resumable(mark), self.parts.settings.streams).staying(stay, record);
        Ok(reader.into_response())
    }

    /// A DELETE: the client is done with its session.
    // spec: TR-85
    pub(in crate::proxy) async fn close_bridged(&self, session: &Session) -> Result<Response<Answer>, Refusal> {
        self.noted(&Deed { ends: true, ..bare("DELETE") }).await?;
        self.parts.ended.end_session(session.id.clone(), session.until());
        (self.parts.session_closed)(session.id.clone(), session.until());
        self.local.rooms.close(&session.id);
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }
}

/// The answer to whoever takes up a stream that this node does not have.
fn lost(about: OwnedId, mut record: Record) -> Response<Answer> {
    record.end(Outcome::Failure, Some("the stream is not here any more"));
    let text = "The call was lost: its stream is not here any more, since the gateway was restarted or too much time has \
        passed. Whether the server has done what was asked is not known.";
    let mut error = internal(text);
    error.id = Some(about);
    let event = Event::message(String::from_utf8(error.to_json()).unwrap_or_default());
    answer::stream(Answer::Whole(event.to_bytes().into()))
}
