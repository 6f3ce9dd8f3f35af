//! Requests that were turned away before anything came of them, in the record: the first at once, the rest by number.
//!
//! Promises:
//! - Every request that is answered with a 4xx and of which nothing else stands in the record leaves a `request.refused`,
//!   but for those by which nobody was refused anything: a request without a credential to what is not there (404, 405), or
//!   to what asks for one (401), with which every client begins. What is no HTTP leaves one too.
//! - Whoever floods the doors cannot fill the disk with it: of one source (or one person), reason and route there is a line at
//!   once, and then at most one a minute, which says how many there were. There are at most [`KEYS`] of these for strangers,
//!   and as many for people who are known, so that neither crowds out the other; beyond that they are counted by reason alone.
//! - No request waits for it, and one that is served costs a look at its status.

use std::{
    borrow::Cow,
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{Clock, Timestamp, printable};

use crate::{
    journal::Journal,
    limit,
    telemetry::{Request, Turned},
};

/// How often something is written that goes on and on.
pub const EVERY: Duration = Duration::from_mins(1);
/// What is told apart at a time.
const KEYS: usize = 256;
/// Characters of a reason.
const REASON: usize = 60;

/// Where a request comes from, and whether it showed a credential.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// From where, as far as that is known.
    pub address: Option<IpAddr>,
    /// Whether it showed a credential, good or bad.
    pub credential: Shown,
}

/// Whether a request showed a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A token, or the cookie of a session.
    Something,
    /// Nothing.
    Nothing,
}

impl Shown {
    /// What `headers` show; `session` is the name of the cookie of a session.
    pub fn by(headers: &HeaderMap, session: &str) -> Self {
        let mut cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let signed_in = cookies.any(|line| line.split(';').any(|pair| pair.trim_start().starts_with(session)));
        if signed_in || headers.contains_key(header::AUTHORIZATION) { Self::Something } else { Self::Nothing }
    }
}

/// What was turned away, and how often since it was last written down.
pub struct Refusals {
    journal: Journal,
    clock: Arc<dyn Clock>,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    strangers: Tally,
    known: Tally,
}

#[derive(Default)]
struct Tally(HashMap<Key, Count>);

/// What is told apart.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// The person, or the source as limits see it; nobody for all of those for whom there is no room.
    who: Option<String>,
    why: Cow<'static, str>,
    route: Option<Arc<str>>,
}

struct Count {
    written: Timestamp,
    /// How many are not written yet.
    times: i64,
    /// The last of them.
    last: Option<Event>,
}

impl Refusals {
    /// Nothing was turned away yet.
    pub fn new(journal: Journal, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, counted: Mutex::default() }
    }

    /// `request` is about to be answered with `status`.
    pub fn answered(&self, request: &Request, visitor: Visitor, status: StatusCode) {
        if !status.is_client_error() {
            return;
        }
        let nothing_refused = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        let Some(Turned { actor, server, method, route, why }) = request.turned_away() else { return };
        let is_stranger = visitor.credential == Shown::Nothing && actor.person.is_none() && actor.client.is_none();
        if is_stranger && nothing_refused.contains(&status) {
            return;
        }
        let why = why.map_or(Cow::Borrowed(reason(status)), |why| match why {
            Cow::Borrowed(why) => Cow::Borrowed(why),
            Cow::Owned(why) => Cow::Owned(printable(&why, REASON)),
        });
        let address = actor.address.or(visitor.address);
        let route: Arc<str> = format!("{method} {route}").into();
        let event = Event::new(Kind::RequestRefused, self.clock.now())
            .by(Actor { address, ..actor })
            .on(Target { server, ..Target::default() })
            .outcome(Outcome::Denied)
            .of(request.correlation())
            .text("why", why.clone())
            .number("status", i64::from(status.as_u16()))
            .text("route", route.to_string());
        self.count(event, why, Some(route));
    }

    /// What came from `address` was no HTTP, or a head without end.
    pub fn malformed(&self, address: IpAddr) {
        let actor = Actor { address: Some(address), ..Actor::default() };
        let event = Event::new(Kind::RequestRefused, self.clock.now())
            .by(actor)
            .outcome(Outcome::Denied)
            .text("why", "not http");
        self.count(event, "not http".into(), None);
    }

    /// Writes what has waited for its minute; to be called a few times a minute.
    pub fn round(&self) {
        let now = self.clock.now();
        self.write(|tally| tally.due(now));
    }

    /// Writes all that waits: nobody is refused any more.
    pub fn close(&self) {
        self.write(Tally::all);
    }

    fn count(&self, event: Event, why: Cow<'static, str>, route: Option<Arc<str>>) {
        let Actor { person, address, .. } = &event.actor;
        let source = || address.map_or_else(|| "unknown".to_owned(), limit::source);
        let who = person.as_ref().map_or_else(source, |person| person.as_str().to_owned());
        let is_known = person.is_some();
        let key = Key { who: Some(who), why, route };
        let due = {
            let mut counted = self.counted();
            let tally = if is_known { &mut counted.known } else { &mut counted.strangers };
            tally.count(key, event, self.clock.now())
        };
        if let Some(event) = due {
            self.journal.append_later(event);
        }
    }

    fn write(&self, taken: impl Fn(&mut Tally) -> Vec<Event>) {
        let events = {
            let mut counted = self.counted();
            let known = taken(&mut counted.known);
            known.into_iter().chain(taken(&mut counted.strangers)).collect::<Vec<_>>()
        };
        for event in events {
            self.journal.append_later(event);
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// Counts `event`; gives what is to be written now.
    fn count(&mut self, key: Key, event: Event, now: Timestamp) -> Option<Event> {
        if self.0.len() >= KEYS && !self.0.contains_key(&key) {
            self.0.retain(|_, count| count.times > 0 || now.since(count.written) < EVERY);
        }
        let crowded = self.0.len() >= KEYS && !self.0.contains_key(&key);
        // Of whom there are too many to tell apart, nobody is named.
        let (key, event) = if crowded {
            let actor = Actor::default();
            (Key { who: None, route: None, ..key }, event.by(actor).text("note", "from many sources"))
        } else {
            (key, event)
        };
        match self.0.get_mut(&key) {
            None => {
                self.0.insert(key, Count { written: now, times: 0, last: None });
                Some(event.number("times", 1))
            }
            Some(count) => {
                count.times += 1;
                count.last = Some(event);
                if now.since(count.written) < EVERY { None } else { count.take(now) }
            }
        }
    }

    fn due(&mut self, now: Timestamp) -> Vec<Event> {
        self.0.retain(|_, count| count.times > 0 || now.since(count.written) < EVERY);
        let late = self.0.values_mut().filter(|count| now.since(count.written) >= EVERY);
        late.filter_map(|count| count.take(now)).collect()
    }

    fn all(&mut self) -> Vec<Event> {
        self.0.drain().filter_map(|(_, mut count)| count.take(count.written)).collect()
    }
}

impl Count {
    fn take(&mut self, now: Timestamp) -> Option<Event> {
        self.written = now;
        let times = mem::take(&mut self.times);
        Some(self.last.take()?.number("times", times))
    }
}

/// Why, where nobody said more than the status.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "malformed",
        StatusCode::UNAUTHORIZED => "credential",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not found",
        StatusCode::METHOD_NOT_ALLOWED => "method",
        StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => "media type",
        StatusCode::REQUEST_TIMEOUT => "too slow",
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "too large",
        StatusCode::MISDIRECTED_REQUEST => "host",
        StatusCode::TOO_MANY_REQUESTS => "too many",
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => "conflict",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(who: &str) -> Key {
        Key { who: Some(who.to_owned()), why: "host".into(), route: None }
    }

    fn event() -> Event {
        Event::new(Kind::RequestRefused, Timestamp::from_secs(0))
    }

    fn times(event: &Event) -> String {
        format!("{:?}", event.details.last())
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_by_number_once_a_minute() {
        let mut tally = Tally::default();
        let start = Timestamp::from_secs(1_000);
        assert_eq!(times(&tally.count(key("a"), event(), start).unwrap()), r#"Some(("times", Number(1)))"#);
        for _ in 0..1_000 {
            assert!(tally.count(key("a"), event(), start).is_none());
        }
        assert!(tally.due(start.plus(EVERY / 2)).is_empty());
        assert!(tally.count(key("b"), event(), start).is_some(), "another source is told of at once");
        let due = tally.due(start.plus(EVERY));
        assert_eq!((due.len(), times(&due[0]).as_str()), (1, r#"Some(("times", Number(1000)))"#));
        assert!(tally.due(start.plus(2 * EVERY)).is_empty() && tally.0.is_empty(), "what has stopped is forgotten");
        tally.count(key("a"), event(), start);
        tally.count(key("a"), event(), start);
        assert_eq!(times(&tally.count(key("a"), event(), start.plus(EVERY)).unwrap()), r#"Some(("times", Number(2)))"#);
        tally.count(key("a"), event(), start.plus(EVERY));
        assert_eq!(tally.all().len(), 1);
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_in_lines_and_in_memory() {
        let mut tally = Tally::default();
        let start = Timestamp::from_secs(1_000);
        let mut lines = 0;
        for n in 0..100_000 {
            lines += usize::from(tally.count(key(&n.to_string()), event(), start).is_some());
        }
        assert_eq!((lines, tally.0.len()), (KEYS + 1, KEYS + 1));
        let due = tally.due(start.plus(EVERY));
        assert_eq!((due.len(), times(&due[0])), (1, format!("Some((\"times\", Number({})))", 100_000 - KEYS - 1)));
        assert!(format!("{:?}", due[0].details).contains("from many sources"));
    }

    #[test]
    fn a_token_and_the_cookie_of_a_session_are_credentials() {
        let shown = |name: &'static str, value: &'static str| {
            let headers = [(http::HeaderName::from_static(name), http::HeaderValue::from_static(value))];
            Shown::by(&headers.into_iter().collect(), "__Host-session")
        };
        assert_eq!(shown("authorization", "Bearer x"), Shown::Something);
        assert_eq!(shown("cookie", "a=b; __Host-session=x"), Shown::Something);
        assert_eq!(shown("cookie", "visit=__Host-session"), Shown::Nothing);
        assert_eq!(Shown::by(&HeaderMap::new(), "s"), Shown::Nothing);
    }
}
