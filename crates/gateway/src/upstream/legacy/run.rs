//! One call of a legacy server, from the modern request to the modern answer, with the times in between at which it waits
//! for its person.

use std::{sync::Arc, time::Duration};

use ::http::StatusCode;
use portcullis_base::ServerName;
use portcullis_mcp::{
    Message, Method,
    dialect::{Abilities, Asked, Failure, Input, Level, Task, TaskSupport, as_task, signed, without_files},
    message::{self, Call, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CAPABILITY, Outcome, ProtocolError},
    object::{Object, quoted},
    scan,
};
use serde_json::json;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Legacy, Opener,
    counts::Reason,
    front::Front,
    parked::Return,
    pool::{Lease, Use},
    session::Session,
    wire::{Asking, Caller, Came, Events, Fault, Kind, Repeats},
};
use crate::{config::Allow, upstream::UpstreamError};

/// When a call that takes its time is answered by events, so that its client sees signs of life.
const EARLY: Duration = Duration::from_secs(3);
/// How long it is looked for further questions of the server when one has come.
const GATHER: Duration = Duration::from_millis(20);
/// Questions of one call that wait at one time.
const QUESTIONS: usize = 16;
/// How long telling the server that a call is given up may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// The waits before a call is made again whose person was sent to a page, while the server does not say that they are
/// done.
const PAGES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(10), Duration::from_secs(20)];

/// What a modern request wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub method: Method,
    pub params: Option<Box<str>>,
    /// What the method names.
    pub target: Option<Box<str>>,
    /// What the client can be asked for, of what the administrator allows.
    pub abilities: Abilities,
    /// From which level on it reads log messages.
    pub level: Option<Level>,
    /// Its raw progress token.
    pub progress: Option<Box<str>>,
    /// Whether it comes back from a page that its person agreed to open.
    pub opened: bool,
}

impl Wanted {
    /// `None` for a method that no revision knows.
    pub(super) fn of(call: &Call<'_>, allow: Allow) -> Option<Self> {
        let mut abilities = call.meta.client_capabilities.map(Abilities::read).unwrap_or_default();
        // spec: BR-76: "Offer roots, sampling and logging only where the administrator enabled them per upstream"
        abilities.sampling = abilities.sampling.filter(|_| allow.sampling);
        abilities.roots &= allow.roots;
        abilities.tasks = false;
        let agreed = |raw: &str| scan::member(raw, "action").and_then(scan::string).as_deref() == Some("accept");
        Some(Self {
            method: call.known?,
            params: call.params.map(Box::from),
            target: call.target.as_deref().map(Box::from),
            abilities,
            level: call.meta.log_level.and_then(Level::of_raw).filter(|_| allow.logging),
            progress: call.meta.progress_token.map(Box::from),
            opened: call.input_responses.is_some_and(|raw| scan::members(raw).any(|(_, answer)| agreed(answer))),
        })
    }

    /// Whether the server may turn to the client for it.
    // spec: BR-44, BR-64
    pub(super) fn is_interactive(&self) -> bool {
        matches!(self.method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
    }

    fn may_repeat(&self) -> Repeats {
        if self.method == Method::ToolsCall { Repeats::Never } else { Repeats::Freely }
    }
}

/// A request of the server that waits for its answer.
struct Question {
    key: String,
    input: Input,
    raw: Box<str>,
}

/// A call under way.
pub(super) struct Run {
    pub(super) legacy: Arc<Legacy>,
    pub(super) lease: Lease<Session>,
    pub(super) caller: Caller,
    pub(super) wanted: Wanted,
    /// The id that the server knows it by, which is its progress token too.
    pub(super) id: u64,
    pub(super) events: Events,
    /// The task that it runs as.
    pub(super) task: Option<Box<str>>,
    questions: Vec<Question>,
    asked: u32,
    /// What the server asked for and the client cannot give.
    lacking: Option<Input>,
    /// The answer, if it came while nobody waited for it.
    ready: Option<Box<str>>,
    /// How often it was made again for the sake of a page.
    pages: usize,
}

/// Where following a call led.
enum Followed {
    /// The server wants to know something.
    Asked,
    /// It is over.
    Over,
}

impl Run {
    /// Makes the call and follows it to its end.
    pub(super) async fn begin(legacy: Arc<Legacy>, opener: Opener, caller: Caller, wanted: Wanted, mut front: Front) {
        let name = legacy.name.clone();
        let purpose = if wanted.is_interactive() { Use::Interactive } else { Use::Plain };
        for attempt in 0.. {
            let lease = tokio::select! {
                () = front.gone() => return,
                lease = legacy.session(&opener, &caller, &wanted, purpose) => lease,
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(error) => return front.fail(error, &name).await,
            };
            if wanted.method == Method::Discover {
                let result = discovery(&lease, legacy.allow);
                let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, front.id());
                return front.finish(StatusCode::OK, message).await;
            }
            match Self::ask(&legacy, &lease, &caller, &wanted, &mut front).await {
                Ok(Some((id, events))) => {
                    let run = Self {
                        legacy,
                        lease,
                        caller,
                        wanted,
                        id,
                        events,
                        task: None,
                        questions: Vec::new(),
                        asked: 0,
                        lacking: None,
                        ready: None,
                        pages: 0,
                    };
                    return run.run(front).await;
                }
                Ok(None) => return,
                // spec: BR-57: "Reopen a lost upstream session transparently before the call is sent"
                Err(Fault::Gone) if attempt == 0 => lease.lose(),
                Err(fault) => return front.fail(fault.into(), &name).await,
            }
        }
    }

    /// Says the call to the server; nothing if the client has gone.
    async fn ask(
        legacy: &Legacy,
        lease: &Lease<Session>,
        caller: &Caller,
        wanted: &Wanted,
        front: &mut Front,
    ) -> Result<Option<(u64, Events)>, Fault> {
        let id = legacy.next_id();
        let said = async {
            if let Some(level) = wanted.level {
                lease.log_from(caller, legacy.next_id(), level).await;
            }
            let token = wanted.progress.as_ref().map(|_| id.to_string());
            let mut params = lease.up.request_params(wanted.params.as_deref(), token.as_deref());
            // spec: BR-98: "call it with task"
            if wanted.method == Method::ToolsCall
                && let Some(name) = &wanted.target
                && lease.support(caller, &legacy.ids, name).await == TaskSupport::Required
            {
                params = as_task(&params, legacy.limits.total);
            }
            let method = wanted.method.name();
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            let kind = if wanted.is_interactive() { Kind::Interactive } else { Kind::Plain };
            let asking = Asking { id, body, kind, repeatable: wanted.may_repeat() };
            lease.wire.ask(caller, asking).await
        };
        let said = tokio::select! {
            () = front.gone() => None,
            said = said => Some(said),
        };
        match said {
            Some(Ok(events)) => Ok(Some((id, events))),
            Some(Err(Fault::Upstream(UpstreamError::Late))) => {
                cancel(lease, caller, id, "it took too long").await;
                Err(UpstreamError::Late.into())
            }
            Some(Err(fault)) => Err(fault),
            None => {
                cancel(lease, caller, id, "the client has gone").await;
                Ok(None)
            }
        }
    }

    async fn run(mut self, mut front: Front) {
        loop {
            match self.follow(&mut front).await {
                Followed::Over => return,
                Followed::Asked => match self.wait(front).await {
                    Some(back) => front = back,
                    None => return,
                },
            }
        }
    }

    /// Hands on what comes until the server wants to know something, or to the end.
    async fn follow(&mut self, front: &mut Front) -> Followed {
        let (began, limits) = (Instant::now(), self.legacy.limits);
        let mut heard = began;
        loop {
            if let Some(answer) = self.ready.take() {
                if self.answered(&answer, front).await {
                    return Followed::Over;
                }
                heard = Instant::now();
                continue;
            }
            if !self.questions.is_empty() {
                return Followed::Asked;
            }
            // spec: TR-14
            let late = (heard + limits.idle).min(began + limits.total);
            let came = tokio::select! {
                biased;
                () = front.gone() => {
                    // spec: BR-56: "send notifications/cancelled upstream for an unparked call"
                    self.give_up("the client has gone").await;
                    return Followed::Over;
                }
                came = self.events.recv() => came,
                () = sleep_until(began + EARLY), if front.is_waiting() => {
                    front.begin();
                    continue;
                }
                () = sleep_until(late) => {
                    self.give_up("it took too long").await;
                    front.fail(UpstreamError::Late, &self.legacy.name).await;
                    return Followed::Over;
                }
            };
            heard = Instant::now();
            match came {
                Some(Came::Answer(raw)) => self.ready = Some(raw),
                Some(Came::Notification(raw)) => {
                    if let Some(message) = self.notified(&raw) {
                        front.say(message).await;
                    }
                }
                Some(Came::Request(raw)) => {
                    self.requested(&raw).await;
                    self.gather().await;
                }
                Some(Came::Alive) => {}
                Some(Came::Lost(error)) => {
                    front.fail(error, &self.legacy.name).await;
                    return Followed::Over;
                }
                None => {
                    front.fail(UpstreamError::Unusable("it ended before it answered"), &self.legacy.name).await;
                    return Followed::Over;
                }
            }
        }
    }

    /// Looks whether the server asks for more than one thing.
    async fn gather(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        let until = Instant::now() + GATHER;
        while self.ready.is_none() {
            let came = tokio::select! {
                came = self.events.recv() => came,
                () = sleep_until(until) => return,
            };
            if !self.meanwhile(came).await {
                return;
            }
        }
    }

    /// Takes in what comes while nobody listens; `false` if nothing more will.
    async fn meanwhile(&mut self, came: Option<Came>) -> bool {
        match came {
            Some(Came::Request(raw)) => self.requested(&raw).await,
            Some(Came::Answer(raw)) => self.ready = Some(raw),
            Some(Came::Notification(raw)) => self.withdrawn(&raw),
            Some(Came::Alive) => {}
            Some(Came::Lost(_)) | None => return false,
        }
        true
    }

    /// Takes in a request of the server.
    async fn requested(&mut self, raw: &str) {
        let Ok(Message::Request(call)) = message::message(raw) else { return };
        let Some(id) = call.id else { return };
        if !self.wanted.is_interactive() || self.questions.len() >= QUESTIONS {
            self.lease.refuse(&self.caller, raw).await;
            return;
        }
        let input = call.known.and_then(Input::of);
        let answer = match self.lease.up.asked(&call, &self.wanted.abilities) {
            Asked::Entry(input, _) => {
                self.asked += 1;
                let key = format!("{}-{}", word(input), self.asked);
                self.questions.push(Question { key, input, raw: raw.into() });
                return;
            }
            Asked::Answer(result) => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.to_json()),
            Asked::Refused(error) => String::from_utf8(error.with_id(Some(id)).to_json()).unwrap_or_default(),
        };
        // spec: BR-50: "if the legacy upstream asks anyway, answer it"
        if let Some(input) = input {
            self.legacy.counts.add(Reason::Undeclared);
            self.lacking = Some(input);
        }
        drop(self.lease.wire.tell(&self.caller, answer).await);
    }

    /// What the client is told of a notification.
    fn notified(&mut self, raw: &str) -> Option<String> {
        let Ok(Message::Notification(call)) = message::message(raw) else { return None };
        let params = call.params?;
        match call.known? {
            Method::Progress => {
                // spec: BR-6: "restore the client's token downstream, only while the request is open"
                let token = scan::member(params, "progressToken").filter(|token| **token == *self.id.to_string())?;
                let theirs = self.wanted.progress.as_deref()?;
                let message = self.lease.up.notification(&call)?;
                match &message {
                    std::borrow::Cow::Borrowed(same) => Some(scan::splice(same, token, theirs)),
                    std::borrow::Cow::Owned(text) => {
                        let token = scan::member(scan::member(text, "params")?, "progressToken")?;
                        Some(scan::splice(text, token, theirs))
                    }
                }
            }
            // spec: BR-74: "and passes the level"
            Method::LogMessage => {
                let level = Level::of_params(params)?;
                let message = level.passes(self.wanted.level).then(|| self.lease.up.notification(&call)).flatten()?;
                Some(message.into_owned())
            }
            Method::Cancelled => {
                self.withdrawn(raw);
                None
            }
            _ => None,
        }
    }

    /// The server may have taken a question back.
    fn withdrawn(&mut self, raw: &str) {
        let Ok(Message::Notification(call)) = message::message(raw) else { return };
        if call.known != Some(Method::Cancelled) {
            return;
        }
        let id = call.params.and_then(|params| scan::member(params, "requestId"));
        self.questions.retain(|question| scan::member(&question.raw, "id") != id);
    }

    /// Hands the answer on; `false` if it was not the last.
    async fn answered(&mut self, raw: &str, front: &mut Front) -> bool {
        let Ok(Message::Response(response)) = message::message(raw) else {
            front.fail(UpstreamError::Unusable("no answer to the request"), &self.legacy.name).await;
            return true;
        };
        let (status, inner) = match response.outcome {
            Outcome::Result(result) => match Task::created_in_2025(result).filter(|_| self.task.is_none()) {
                Some(task) => return self.go_through(&task, front).await,
                // spec: BR-8, BR-55
                None => (StatusCode::OK, format!(r#""result":{}"#, self.lease.up.result(self.wanted.method, result))),
            },
            Outcome::Error { raw: error, .. } => {
                let params = self.wanted.params.as_deref();
                match self.lease.up.error(self.wanted.method, params, error, &self.wanted.abilities) {
                    Failure::Error(text) => self.failed(text),
                    Failure::Input(entries) => {
                        if self.again_after_pages(error, front).await {
                            return false;
                        }
                        (StatusCode::OK, format!(r#""result":{}"#, pages(&entries, &self.legacy.name)))
                    }
                }
            }
        };
        front.finish(status, format!(r#"{{"jsonrpc":"2.0","id":{},{inner}}}"#, front.id())).await;
        true
    }

    /// An error of the server, brought up.
    fn failed(&self, text: String) -> (StatusCode, String) {
        // spec: BR-50: "if the call cannot succeed, -32021"
        // spec: BR-111
        if let Some(input) = self.lacking {
            let said = scan::member(&text, "message").and_then(scan::string).unwrap_or_default();
            let said = portcullis_base::printable(&said, 200);
            let wanted = match input {
                Input::Elicitation => json!({ "elicitation": {} }),
                Input::Sampling => json!({ "sampling": {} }),
                Input::Roots => json!({ "roots": {} }),
            };
            let message = format!("The server needs {} of the client for this: {said}", word(input));
            let error =
                json!({ "code": MISSING_CAPABILITY, "message": message, "data": { "requiredCapabilities": wanted } });
            return (StatusCode::BAD_REQUEST, format!(r#""error":{error}"#));
        }
        let status = match scan::member(&text, "code").and_then(|code| code.parse().ok()) {
            Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            Some(MISSING_CAPABILITY) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        (status, format!(r#""error":{text}"#))
    }

    /// Makes a call again whose person has opened the pages that it needs, when they are done there or after a while.
    // spec: BR-52: "The retry re-sends the original call"
    // spec: BR-53: "consume notifications/elicitation/complete (use it to wake ...)"
    async fn again_after_pages(&mut self, error: &str, front: &mut Front) -> bool {
        let listed =
            scan::member(error, "data").and_then(|data| scan::member(data, "elicitations")).unwrap_or_default();
        for page in scan::elements(listed) {
            if let Some(id) = scan::member(page, "elicitationId").and_then(scan::string) {
                self.lease.hub.sent_to(&id);
            }
        }
        if !self.wanted.opened || self.pages >= PAGES.len() {
            self.lease.hub.forget_pages();
            return false;
        }
        let mut waiting = self.lease.hub.pages();
        let done = async {
            // A server that names none of its pages says nothing when somebody is done with one.
            if waiting.borrow().is_empty() || waiting.wait_for(std::collections::HashSet::is_empty).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = front.gone() => return false,
            () = done => {}
            () = sleep(PAGES[self.pages]) => {}
        }
        self.pages += 1;
        match Self::ask(&self.legacy, &self.lease, &self.caller, &self.wanted, front).await {
            Ok(Some((id, events))) => {
                (self.id, self.events) = (id, events);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Lets the call wait for its client to come back with what the server wants to know; nothing if it ended meanwhile.
    // spec: BR-44: "park the open upstream call, return inputRequests with one generated key per pending request"
    async fn wait(&mut self, mut front: Front) -> Option<Front> {
        let person = self.caller.person.clone();
        loop {
            let entries = self.entries().await;
            if entries.is_empty() {
                return Some(front);
            }
            let Some((ticket, mut back)) = self.legacy.parked.park(person.as_ref()) else {
                self.legacy.counts.add(Reason::TooManyParked);
                self.give_up("too many calls wait for their people").await;
                let text = format!(
                    "Too many of your calls at {} wait for input. Answer or drop some first.",
                    self.legacy.name
                );
                front.refuse(&ProtocolError::internal(200, text)).await;
                return None;
            };
            let result = format!(
                r#"{{"resultType":"input_required","inputRequests":{{{}}},"requestState":{}}}"#,
                entries.join(","),
                quoted(&ticket.handle)
            );
            front.finish(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, front.id())).await;
            let until = Instant::now() + self.legacy.limits.bridging.park;
            let returned = self.parked(&mut back, until).await?;
            front = match self.take(returned).await {
                Ok(front) => front,
                // spec: BR-47: "malformed answers are -32602"; the state that brought them is used up, so nobody can come
                // back with better ones.
                Err((mut front, malformed)) => {
                    front.refuse(&malformed).await;
                    self.give_up("its answers were malformed").await;
                    return None;
                }
            };
            if self.ready.is_some() || self.questions.is_empty() {
                return Some(front);
            }
        }
    }

    /// Waits for the client; nothing if the call is over.
    async fn parked(&mut self, back: &mut oneshot::Receiver<Return>, until: Instant) -> Option<Return> {
        loop {
            tokio::select! {
                biased;
                returned = &mut *back => return returned.ok(),
                came = self.events.recv(), if self.ready.is_none() => {
                    // spec: BR-57: "if it dies with calls parked, fail them as BR-48"
                    if !self.meanwhile(came).await {
                        return None;
                    }
                }
                // spec: BR-48: "A parked call expires (default 10 min): cancel it upstream"
                () = sleep_until(until) => {
                    self.legacy.counts.add(Reason::Expired);
                    self.give_up("nobody answered").await;
                    return None;
                }
            }
        }
    }

    /// The entries for `inputRequests`. What this client cannot be asked for is answered at once.
    async fn entries(&mut self) -> Vec<String> {
        let mut entries = Vec::new();
        for question in std::mem::take(&mut self.questions) {
            let Ok(Message::Request(call)) = message::message(&question.raw) else { continue };
            // spec: BR-50: "Send no entry for a capability the client did not declare on this very request"
            match self.lease.up.asked(&call, &self.wanted.abilities) {
                Asked::Entry(_, entry) => {
                    let entry = signed(&entry, self.legacy.name.as_str());
                    entries.push(format!("{}:{entry}", quoted(&question.key)));
                    self.questions.push(question);
                }
                _ => self.requested(&question.raw).await,
            }
        }
        entries
    }

    /// Takes what the client came back with to the server.
    // spec: BR-46: "deliver each inputResponses entry as the JSON-RPC response to the parked server request"
    async fn take(&mut self, returned: Return) -> Result<Front, (Front, ProtocolError)> {
        let Return { caller, wanted, answers, mut front } = returned;
        let mut results = Vec::new();
        for question in &self.questions {
            let Some(entry) = answers.as_deref().and_then(|answers| scan::member(answers, &question.key)) else {
                continue;
            };
            match self.lease.up.answer(question.input, entry) {
                Ok(result) => results.push((question.key.clone(), self.kept_private(question.input, result))),
                Err(malformed) => return Err((front, malformed.into())),
            }
        }
        self.wanted = Wanted { params: self.wanted.params.take(), ..wanted };
        self.caller = caller;
        for (key, result) in results {
            let Some(at) = self.questions.iter().position(|question| question.key == key) else { continue };
            let question = self.questions.remove(at);
            let id = scan::member(&question.raw, "id").unwrap_or("null");
            let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
            if let Err(fault) = self.lease.wire.tell(&self.caller, message).await {
                tracing::warn!(server.name = %self.legacy.name, ?fault, "an answer could not be delivered");
                self.give_up("an answer could not be delivered").await;
                front.refuse(&expired(&self.legacy.name)).await;
                self.events.close();
                return Ok(front);
            }
        }
        Ok(front)
    }

    // spec: BR-75: "filter file:// URIs by policy before they reach a remote upstream"
    fn kept_private(&self, input: Input, result: String) -> String {
        if input == Input::Roots && !self.legacy.allow.files { without_files(&result).into_owned() } else { result }
    }

    /// Tells the server that nobody wants the answer any more.
    // spec: BR-7: "notifications/cancelled (stdio, legacy HTTP), tasks/cancel (tasks)"
    pub(super) async fn give_up(&self, why: &str) {
        match &self.task {
            Some(task) => self.cancel_task(task).await,
            None => cancel(&self.lease, &self.caller, self.id, why).await,
        }
    }
}

async fn cancel(lease: &Lease<Session>, caller: &Caller, id: u64, why: &str) {
    let params = format!(r#"{{"requestId":{id},"reason":{}}}"#, quoted(why));
    let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
    drop(timeout(FAREWELL, lease.wire.tell(caller, message)).await);
}

/// The answer to one who comes back for a call that does not wait, or no longer.
// spec: BR-48: "-32602 telling that the interaction expired"
// spec: BR-49
pub(super) fn expired(name: &ServerName) -> ProtocolError {
    let text = format!(
        "This interaction with {name} has expired or was already continued. Make the call again without requestState."
    );
    ProtocolError::new(INVALID_PARAMS, 400, text)
}

fn discovery(lease: &Lease<Session>, allow: Allow) -> String {
    let result = lease.up.discovery(&lease.initialized);
    if allow.logging {
        return result;
    }
    let (Some(mut whole), Some(mut offered)) =
        (Object::read(&result), scan::member(&result, "capabilities").and_then(Object::read))
    else {
        return result;
    };
    offered.remove("logging");
    whole.set("capabilities", offered.finish());
    whole.finish().into_owned()
}

/// An unfinished result that asks for pages to be opened; the call is made anew after that.
fn pages(entries: &[String], name: &ServerName) -> String {
    let entries = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| format!(r#""page-{}":{}"#, index + 1, signed(entry, name.as_str())));
    format!(r#"{{"resultType":"input_required","inputRequests":{{{}}}}}"#, entries.collect::<Vec<_>>().join(","))
}

fn word(input: Input) -> &'static str {
    match input {
        Input::Elicitation => "elicitation",
        Input::Sampling => "sampling",
        Input::Roots => "roots",
    }
}

/// Whether a client of these abilities can be asked for anything.
pub(super) fn can_be_asked(abilities: &Abilities) -> bool {
    abilities.forms || abilities.pages || abilities.roots || abilities.sampling.is_some()
}
