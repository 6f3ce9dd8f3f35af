//! The stream of a session: what its upstream says unasked, and what the gateway has to say itself.

use bytes::Bytes;
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode, header};
use portcullis_audit::Outcome;
use portcullis_mcp::{
    Headers,
    headers::{self as wire, Field},
};
use tokio::sync::broadcast::Receiver;

use super::{
    answer::{self, Answer},
    aside::Aside,
    decide::Deed,
    errand::{Errand, Setback},
    legacy::{bare, useless},
    notices::{Lists, Notices, Tell},
    record::Record,
    refusal::Refusal,
    relay::Source,
    session::{Hears, Session},
    sieve::Sieve,
    speech::{Legacy, Speech, Words},
    turn::{Form, Turn, form, set},
};
use crate::{connections::Appeared, upstream::AnswerBody};

type News = Receiver<Appeared>;

impl Turn<'_> {
    /// The stream of what the upstream says unasked, or the rest of a stream that broke.
    pub(super) async fn listen(&self, session: &Session, headers: &Headers<'_>) -> Result<Response<Answer>, Refusal> {
        if !self.accepts.events {
            return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
        }
        let last = match headers.last_event {
            Field::Absent => None,
            Field::Repeated => return Err(Refusal::status(StatusCode::BAD_REQUEST)),
            // spec: T-48, SEC-22: an event id of another session is dropped, and with it the wish to resume.
            Field::One(value) => std::str::from_utf8(value).ok().map(str::to_owned),
        };
        let mark = session.mark(self.parts);
        let last = last.as_deref().and_then(|last| mark.strip(last)).and_then(|last| HeaderValue::try_from(last).ok());
        let (permit, mut record) = self.decide(&Deed { ends: true, ..bare("GET") }).await?;
        // Listened for before anything is asked, so that no appearance falls between the two.
        let news = self.parts.connections.watch();
        let mut errand = Errand::new(self, permit, &record).map_err(|error| self.failed(&error, None, &mut record))?;
        let (response, aside) = match self.listened(session, last.as_ref(), &mut errand).await {
            Ok(listened) => listened,
            Err(Setback::Lack(_)) => return Ok(self.waits_here(session, news, Lists::Ours, record)),
            Err(setback) => return Err(self.set_back(setback, None, &mut record)),
        };
        let (head, body) = response.into_parts();
        match (head.status, form(&head.headers)) {
            (StatusCode::OK, Form::Events) => {
                let notices = self.tells(session).then(|| self.notices(session, news, Lists::Theirs));
                let speech = Legacy { resumes: last.is_some(), aside: Some(aside), ..self.speech(session) };
                let speech = Speech::new(Words::Legacy(speech), self.veil_of_all().map(Sieve::veiling));
                Ok(answer::events(self.relay(Source::Upstream(body), speech, record).saying(notices)))
            }
            // The upstream has nothing to say unasked; we may.
            (StatusCode::METHOD_NOT_ALLOWED, _) if self.tells(session) && session.hears == Hears::Link => {
                Ok(self.waits_here(session, news, Lists::Theirs, record))
            }
            (StatusCode::METHOD_NOT_ALLOWED, _) => {
                record.end(Outcome::Success, Some("the upstream has no such stream"));
                Err(Refusal::method("POST, DELETE"))
            }
            (StatusCode::NOT_FOUND, _) => {
                self.local.late.forget(&session.id);
                record.end(Outcome::Failure, Some("the upstream's session has ended"));
                Err(Refusal::no_session())
            }
            (status, _) if status.is_client_error() => {
                record.end(Outcome::Failure, Some("the upstream refused the stream"));
                Err(Refusal::status(if status == StatusCode::CONFLICT { status } else { StatusCode::BAD_REQUEST }))
            }
            (status, _) => Err(self.failed(&useless(status), None, &mut record)),
        }
    }

    async fn listened(
        &self,
        session: &Session,
        last: Option<&HeaderValue>,
        errand: &mut Errand<'_>,
    ) -> Result<(Response<AnswerBody>, Aside), Setback> {
        errand.equip().await?;
        let joined = self.joined(session, errand).await?;
        let built = || {
            let mut request = self.request(HttpMethod::GET, Bytes::new());
            let out = request.headers_mut();
            out.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
            if let Some(last) = last {
                set(out, wire::LAST_EVENT_ID, last.clone());
            }
            joined.write(out);
            Ok(request)
        };
        let response = errand.send(built).await?;
        Ok((response, self.aside(&joined, errand)))
    }

    /// A stream of ours while there is nothing behind it. It ends when its person has connected, and the client listens
    /// anew.
    fn waits_here(&self, session: &Session, news: News, lists: Lists, record: Record) -> Response<Answer> {
        let speech = Speech::new(Words::Legacy(self.speech(session)), None);
        let notices = self.notices(session, news, lists);
        answer::events(self.relay(Source::Ours, speech, record).saying(Some(notices)))
    }

    fn notices(&self, session: &Session, news: News, lists: Lists) -> Notices {
        Notices::new(news, self.watched(), Tell::Session { id: session.id.clone(), local: self.local.clone(), lists })
    }

    /// Whether anything can appear that its client is to hear of.
    fn tells(&self, session: &Session) -> bool {
        self.server.credential.holders().is_some() && (session.late.is_some() || session.hears == Hears::Link)
    }
}
