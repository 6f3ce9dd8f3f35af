//! One request of a client of an older revision, from its beginning to its answer: put as one of 2026-07-28, and put again
//! with what the client was asked for, until there is an answer (BR-24).
//!
//! It goes on by itself, whether its client's connection stays or breaks (TR-92), and ends when the client gives it up,
//! its session ends, its person loses their access or it has taken too long.

use std::{pin::pin, sync::Arc, time::Duration};

use portcullis_mcp::{
    Message, Method, OwnedId, ProtocolError,
    dialect::{Abilities, Down, Level, Stamp, Task},
    message::{self, Outcome, UNSUPPORTED_VERSION},
    object::Object,
    scan,
};
use tokio::sync::watch;

use super::{
    asking::{Asking, declined},
    feed::Feed,
    host::{Came, Heard, Hearing, Host, internal},
    room::Room,
};
use crate::{
    proxy::{
        hold::{Line, Word},
        rewrite::rewrite,
        stay::{GRACE, Stay},
    },
    upstream::CLIENT_INFO,
};

/// The id and the progress token of every request in this process; each has its own upstream.
const ID: &str = "1";
/// The longest that a call may take, its client's answers included.
const LONGEST: Duration = Duration::from_hours(1);
/// How often a server may come back with something else to ask (BR-24).
pub(super) const ROUNDS: usize = 8;
/// How often a call is put again that a server was too busy for, or that waits for a page to be done with.
const POLLS: usize = 60;
/// The wait before the first of these; each is longer than the one before.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A request under way.
pub(super) struct Drive {
    pub host: Host,
    pub down: Down,
    pub room: Arc<Room>,
    pub outlet: Outlet,
    /// Where it is said that it waits, for a client that hears only its answer, and others beside it.
    pub beside: Option<Line>,
    pub abilities: Abilities,
    pub level: Option<Level>,
    pub method: Method,
    /// The client's id.
    pub id: OwnedId,
    /// The client's progress token, raw.
    pub progress: Option<String>,
    /// The client's parameters, raw.
    pub params: Option<String>,
}

/// Where the client hears of it.
pub(super) struct Outlet {
    pub feed: Arc<Feed>,
    /// Whether it is a stream of its own.
    pub own: Own,
    /// Whether the client hears more than the answer.
    pub hears: HearsMore,
}

/// Whose a stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// That of one request, which ends with it.
    Request,
    /// That of the whole session.
    Session,
}

/// What a client hears of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HearsMore {
    /// Everything that is said on the way.
    Everything,
    /// Its answer, and nothing before.
    Answer,
}

/// Something that ended a request before its answer.
pub(super) enum Stop {
    /// This is the answer.
    Error(ProtocolError),
    /// There will be none.
    Silence,
}

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self::Error(error)
    }
}

impl Outlet {
    pub(super) async fn say(&self, text: &str) {
        if self.hears == HearsMore::Everything {
            self.feed.say(text).await;
        }
    }

    async fn answer(&self, text: &str) {
        match self.own {
            Own::Request => self.feed.answer(text),
            Own::Session => self.feed.say(text).await,
        }
    }
}

impl Drive {
    /// Goes on until there is an answer, or nobody wants it any more.
    pub(super) async fn run(self, mut cancelled: watch::Receiver<bool>) {
        let parts = self.host.parts.clone();
        let stay = Stay::new(&self.host.caller, parts.ended.clone(), &*parts.clock, LONGEST, GRACE);
        let mut over = self.room.over();
        let stopped = tokio::select! {
            biased;
            // spec: BR-34, TR-16: what is given up has no answer; dropping it tells the server.
            _ = cancelled.wait_for(|cancelled| *cancelled) => Some(Stop::Silence),
            _ = over.wait_for(|over| *over) => Some(Stop::Silence),
            why = stay => Some(internal(format!("The call was ended: {}.", why.as_str())).into()),
            answered = self.answered() => answered.err(),
        };
        match stopped {
            Some(Stop::Silence) if self.outlet.own == Own::Request => self.outlet.feed.close(),
            None | Some(Stop::Silence) => {}
            Some(Stop::Error(error)) => self.fail(error).await,
        }
    }

    /// Ends with an error of ours.
    async fn fail(&self, mut error: ProtocolError) {
        error.id = Some(self.id.clone());
        let text = String::from_utf8(error.to_json()).unwrap_or_default();
        self.outlet.answer(&text).await;
    }

    async fn answered(&self) -> Result<(), Stop> {
        let token = self.progress.is_some().then_some(ID);
        let (params, abilities) = (self.params.clone(), self.abilities.clone());
        let stamp =
            Stamp { client_info: CLIENT_INFO, abilities: &abilities, log_level: self.level, progress_token: token };
        let first = self.down.request_params(params.as_deref(), &stamp);
        let mut asking = Asking::default();
        let mut params = first.clone();
        let mut progress = Progress::default();
        let mut repaired = false;
        loop {
            let text = request(self.method, &params);
            let Some(text) = self.put(&text, self.method, &mut progress).await? else { return Ok(()) };
            let Ok(Message::Response(response)) = message::message(&text) else {
                return Err(unusable(&self.host).into());
            };
            let result = match response.outcome {
                // spec: BR-33: "repair and retry (-32022 renegotiate)"
                Outcome::Error { code: UNSUPPORTED_VERSION, .. } if !repaired => {
                    repaired = true;
                    continue;
                }
                Outcome::Error { raw, .. } => {
                    self.tell_error(raw).await;
                    return Ok(());
                }
                Outcome::Result(result) => result,
            };
            match response.result_type.as_deref() {
                None | Some("complete") => {
                    self.pages_done(&mut asking).await;
                    self.tell_result(result).await;
                    return Ok(());
                }
                Some("input_required") => {
                    let given = self.given(result, &mut asking).await?;
                    params = taken_up(&first, given.as_deref(), scan::member(result, "requestState"));
                }
                Some("task") => {
                    let Some(task) = Task::created(result) else { return Err(unusable(&self.host).into()) };
                    return self.see_through(&task, &mut asking, &mut progress).await;
                }
                // spec: TR-132
                Some(_) => return Err(unusable(&self.host).into()),
            }
        }
    }

    /// Puts a request, and passes on what is said before the answer; `None` if the client was told of a refusal already.
    pub(super) async fn put(
        &self,
        text: &str,
        method: Method,
        progress: &mut Progress,
    ) -> Result<Option<String>, Stop> {
        let mut hearing = self.heard(text, method, progress).await;
        loop {
            match hearing.next().await {
                Heard::Notification(text) => {
                    if let Some(text) = self.translated(&text, progress) {
                        self.outlet.say(&text).await;
                    }
                }
                Heard::Last(Came::Answer(text)) => return Ok(Some(text)),
                Heard::Last(Came::Refused(refused)) => {
                    if self.outlet.own == Own::Request && !self.outlet.feed.has_begun() {
                        self.outlet.feed.refuse(refused);
                        return Ok(None);
                    }
                    let status = refused.status;
                    return Err(internal(format!("The request was refused with status {}.", status.as_u16())).into());
                }
                Heard::Last(Came::Broken) => return Err(unusable(&self.host).into()),
            }
        }
    }

    /// The beginning of an answer. What is said before it, because a human has to agree first, the client hears.
    async fn heard(&self, text: &str, method: Method, progress: &mut Progress) -> Hearing {
        let line = Line::default();
        let mut page = None;
        let hearing = {
            let mut hearing = pin!(self.host.ask_hearing(text, method, Some(&line)));
            loop {
                tokio::select! {
                    biased;
                    hearing = &mut hearing => break hearing,
                    word = line.next() => match word {
                        Word::Waits(_) => {
                            if let Some(beside) = &self.beside {
                                beside.say(Word::Waits(self.id.clone()));
                            }
                        }
                        Word::Message(text) => {
                            if let Some(text) = self.translated(&text, progress) {
                                self.outlet.say(&text).await;
                            }
                        }
                        Word::Page(entry) => page = self.page_asked(&entry).await,
                    },
                    () = declined(&mut page) => line.decline(),
                }
            }
        };
        if let Some(page) = page {
            self.page_over(&page).await;
        }
        hearing
    }

    // spec: BR-6: "restore the client's token downstream, only while the request is open, keeping values increasing"
    fn translated(&self, text: &str, progress: &mut Progress) -> Option<String> {
        let Ok(Message::Notification(call)) = message::message(text) else { return None };
        let told = self.down.notification(&call)?.into_owned();
        if call.known != Some(Method::Progress) {
            return Some(told);
        }
        let Ok(Message::Notification(call)) = message::message(&told) else { return None };
        let token = scan::member(call.params?, "progressToken")?;
        let at = scan::member(call.params?, "progress").and_then(|raw| raw.parse::<f64>().ok())?;
        if !progress.advances(at) {
            return None;
        }
        let out = rewrite(&told, &mut [(token, self.progress.as_deref()?)])?;
        String::from_utf8(out.into()).ok()
    }

    pub(super) async fn tell_result(&self, result: &str) {
        let result = self.down.result(self.method, result);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.id.to_json());
        self.outlet.answer(&text).await;
    }

    pub(super) async fn tell_error(&self, error: &str) {
        let error = self.down.error(self.method, error);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, self.id.to_json());
        self.outlet.answer(&text).await;
    }
}

/// How far a request has come, as its client was told.
#[derive(Default)]
pub(super) struct Progress {
    at: Option<f64>,
}

impl Progress {
    fn advances(&mut self, at: f64) -> bool {
        let advances = self.at.is_none_or(|before| at > before);
        if advances {
            self.at = Some(at);
        }
        advances
    }

    /// A step without a measure of its own.
    pub(super) fn step(&mut self) -> f64 {
        let next = self.at.map_or(1.0, |at| at + 1.0);
        self.advances(next);
        next
    }
}

/// Waits that grow, so many of them.
#[derive(Default)]
pub(super) struct Waits(usize);

impl Waits {
    /// Waits; `false` if it was waited often enough.
    pub(super) async fn next(&mut self) -> bool {
        if self.0 >= POLLS {
            return false;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.0.min(6)).min(LONGEST_WAIT);
        self.0 += 1;
        tokio::time::sleep(wait).await;
        true
    }
}

/// A request of 2026-07-28 with these raw parameters.
pub(super) fn request(method: Method, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{ID},"method":"{}","params":{params}}}"#, method.name())
}

/// The parameters of a request that takes up an unfinished one.
// spec: BR-24: "inputResponses under the same keys, the exact requestState (absent if absent)"
fn taken_up(first: &str, responses: Option<&str>, state: Option<&str>) -> String {
    let mut params = Object::read(first).unwrap_or_default();
    if let Some(responses) = responses {
        params.set("inputResponses", responses);
    }
    if let Some(state) = state {
        params.set("requestState", state);
    }
    params.finish().into_owned()
}

/// What is said of a server that says nothing that can be used.
// spec: BR-10
pub(super) fn unusable(host: &Host) -> ProtocolError {
    internal(format!("The server {} gave an answer that cannot be used.", host.endpoint))
}
