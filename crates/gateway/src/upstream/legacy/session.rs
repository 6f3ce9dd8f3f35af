//! One open session with a legacy server: how it was opened, what the server said it can do, what was set in it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis_mcp::{
    Message,
    dialect::{Level, TaskSupport, Up},
    message::{self, Outcome},
    object::{Object, quoted},
    scan,
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    hub::Hub,
    pool::Kept,
    wire::{Asking, Caller, Came, Fault, Ids, Kind, Repeats, Wire},
};
use crate::{
    config::Allow,
    upstream::{UpstreamError, discover::Pages},
};

/// How long a server may take to answer a question of ours.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which tools run as tasks.
type Support = HashMap<Box<str>, TaskSupport>;

/// One session.
pub(super) struct Session {
    pub up: Up,
    /// The raw result of `initialize`.
    pub initialized: Box<str>,
    pub wire: Wire,
    pub hub: Arc<Hub>,
    pub offers: Offers,
    /// For lines: the one call that the server may turn to the client for.
    turn: Option<Arc<Semaphore>>,
    level: Mutex<Option<Level>>,
    /// Which tools run as tasks, of which list of them.
    support: Mutex<Option<(u64, Support)>>,
    /// The resources that the server was asked to tell of, and whether it agreed.
    subscribed: Mutex<HashMap<Box<str>, bool>>,
    /// Which state of what is wanted that comes from.
    subscribed_for: AtomicU64,
    listening: Mutex<Listening>,
}

/// How far it came with the stream of what belongs to no request.
#[derive(Default)]
enum Listening {
    #[default]
    Not,
    Open(tokio::task::AbortHandle),
    /// The server has none.
    Never,
}

/// What a server says that it can do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offers {
    pub tools_changes: bool,
    pub prompts_changes: bool,
    pub resources_changes: bool,
    pub subscriptions: bool,
    pub logging: bool,
    pub tasks: bool,
}

impl Offers {
    fn read(initialized: &str) -> Self {
        let capabilities = scan::member(initialized, "capabilities").unwrap_or("{}");
        let says = |name: &str, what: &str| {
            scan::member(capabilities, name).and_then(|offer| scan::member(offer, what)) == Some("true")
        };
        let tasks = || {
            let requests = scan::member(scan::member(capabilities, "tasks")?, "requests")?;
            scan::member(scan::member(requests, "tools")?, "call")
        };
        Self {
            tools_changes: says("tools", "listChanged"),
            prompts_changes: says("prompts", "listChanged"),
            resources_changes: says("resources", "listChanged"),
            subscriptions: says("resources", "subscribe"),
            logging: scan::member(capabilities, "logging").is_some(),
            tasks: tasks().is_some(),
        }
    }
}

impl Kept for Session {
    type Turn = Turn;

    fn turn(&self) -> Option<Turn> {
        match &self.turn {
            None => Some(Turn::Any),
            Some(turn) => turn.clone().try_acquire_owned().ok().map(Turn::Own),
        }
    }

    fn is_over(&self) -> bool {
        self.wire.is_over()
    }

    async fn close(&self) {
        if let Listening::Open(task) = &*self.listening.lock().await {
            task.abort();
        }
        self.hub.end();
        self.wire.close().await;
    }
}

impl Session {
    pub(super) fn new(up: Up, initialized: Box<str>, wire: Wire, hub: Arc<Hub>) -> Self {
        let turn = matches!(wire, Wire::Line(_)).then(|| Arc::new(Semaphore::new(1)));
        Self {
            up,
            offers: Offers::read(&initialized),
            initialized,
            wire,
            hub,
            turn,
            level: Mutex::default(),
            support: Mutex::default(),
            subscribed: Mutex::default(),
            subscribed_for: AtomicU64::new(0),
            listening: Mutex::default(),
        }
    }

    /// The result of `server/discover`, raw.
    pub(super) fn discovery(&self, allow: Allow) -> String {
        let result = self.up.discovery(&self.initialized);
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

    /// Puts a question of ours; the raw result.
    pub(super) async fn question(
        &self,
        caller: &Caller,
        id: u64,
        method: &str,
        params: &str,
    ) -> Result<Box<str>, Fault> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let asking = Asking { id, body, kind: Kind::Plain, repeatable: Repeats::Freely };
        let answered = async {
            let mut events = self.wire.ask(caller, asking).await?;
            loop {
                match events.recv().await {
                    Some(Came::Answer(raw)) => return Ok::<_, Fault>(raw),
                    Some(Came::Lost(error)) => return Err(error.into()),
                    Some(Came::Request(raw)) => self.refuse(caller, &raw).await,
                    Some(Came::Notification(_) | Came::Alive) => {}
                    None => return Err(UpstreamError::Unusable("it ended before it answered").into()),
                }
            }
        };
        let answer = timeout(PATIENCE, answered).await.unwrap_or(Err(UpstreamError::Late.into()))?;
        match message::message(&answer) {
            Ok(Message::Response(response)) => match response.outcome {
                Outcome::Result(result) => Ok(result.into()),
                Outcome::Error { .. } => Err(UpstreamError::Unusable("it answers a question with an error").into()),
            },
            _ => Err(UpstreamError::Unusable("no answer to the request").into()),
        }
    }

    /// Refuses a request of the server that no call is the cause of.
    pub(super) async fn refuse(&self, caller: &Caller, raw: &str) {
        if let Ok(Message::Request(call)) = message::message(raw)
            && let Some(answer) = self.hub.unsolicited(&call)
        {
            drop(self.wire.tell(caller, answer).await);
        }
    }

    /// Has the server send log messages from `level` on, for those who asked for more before too.
    // spec: BR-73: "becomes logging/setLevel upstream at the most verbose level in use, then filtered per request"
    pub(super) async fn log_from(&self, caller: &Caller, id: u64, level: Level) {
        if !self.offers.logging {
            return;
        }
        let mut now = self.level.lock().await;
        if now.is_some_and(|now| now <= level) {
            return;
        }
        let params = format!(r#"{{"level":{}}}"#, quoted(level.as_str()));
        match self.question(caller, id, "logging/setLevel", &params).await {
            Ok(_) => *now = Some(level),
            // The call goes on without its log.
            Err(error) => tracing::debug!(?error, "the log level could not be set"),
        }
    }

    /// Whether the tool called `name` runs as a task.
    pub(super) async fn support(&self, caller: &Caller, ids: &Ids, name: &str) -> TaskSupport {
        if !self.offers.tasks {
            return TaskSupport::Forbidden;
        }
        let mut support = self.support.lock().await;
        let now = self.hub.tools();
        if support.as_ref().is_none_or(|(of, _)| *of != now) {
            *support = self.tools(caller, ids).await.map(|found| (now, found));
        }
        support.as_ref().and_then(|(_, found)| found.get(name).copied()).unwrap_or(TaskSupport::Forbidden)
    }

    async fn tools(&self, caller: &Caller, ids: &Ids) -> Option<Support> {
        let (mut found, mut pages) = (Support::new(), Pages::default());
        loop {
            let result = self.question(caller, ids.next(), "tools/list", &pages.params()).await.ok()?;
            for tool in scan::elements(scan::member(&result, "tools").unwrap_or_default()) {
                if let Some(name) = scan::member(tool, "name").and_then(scan::string) {
                    found.insert(name.into(), TaskSupport::of_tool(tool));
                }
            }
            let next = scan::member(&result, "nextCursor").and_then(scan::string);
            if !pages.turn(next.map(std::borrow::Cow::into_owned)) {
                return Some(found);
            }
        }
    }

    /// Has the server tell of the resources that somebody wants to hear of by now, and of no others.
    // spec: BR-42: "for URIs call resources/subscribe … and resources/unsubscribe at the end"
    pub(super) async fn subscribe(&self, caller: &Caller, ids: &Ids) -> Result<(), Fault> {
        let is_current = || self.subscribed_for.load(Ordering::Acquire) == self.hub.ears().version();
        if !self.offers.subscriptions || is_current() {
            return Ok(());
        }
        let mut subscribed = self.subscribed.lock().await;
        let (version, wanted) = self.hub.ears().wanted();
        let ask = async |method: &str, uri: &str| {
            let params = format!(r#"{{"uri":{}}}"#, quoted(uri));
            self.question(caller, ids.next(), method, &params).await
        };
        let unwanted: Vec<_> = subscribed.extract_if(|uri, _| !wanted.contains(uri)).collect();
        for (uri, agreed) in unwanted {
            if agreed && !self.is_over() {
                drop(ask("resources/unsubscribe", &uri).await);
            }
        }
        for uri in wanted {
            if subscribed.contains_key(&uri) {
                continue;
            }
            let agreed = match ask("resources/subscribe", &uri).await {
                Ok(_) => true,
                Err(Fault::Gone) => return Err(Fault::Gone),
                Err(Fault::Upstream(_)) => false,
            };
            subscribed.insert(uri, agreed);
        }
        self.subscribed_for.store(version, Ordering::Release);
        Ok(())
    }

    /// The resources that the server tells of.
    pub(super) async fn subscribed(&self) -> HashSet<Box<str>> {
        let subscribed = self.subscribed.lock().await;
        subscribed.iter().filter(|(_, agreed)| **agreed).map(|(uri, _)| uri.clone()).collect()
    }

    /// Sees to it that what belongs to no request is heard; `false` if the server has no way to say it.
    // spec: BR-43
    pub(super) async fn listens(&self, caller: &Caller) -> Result<bool, Fault> {
        let Wire::Http(http) = &self.wire else { return Ok(true) };
        let mut listening = self.listening.lock().await;
        match &*listening {
            Listening::Never => return Ok(false),
            Listening::Open(task) if !task.is_finished() => return Ok(true),
            Listening::Open(_) | Listening::Not => {}
        }
        let Some(body) = http.listen(caller, None).await? else {
            *listening = Listening::Never;
            return Ok(false);
        };
        let task = tokio::spawn(http.clone().overhear(caller.clone(), body));
        *listening = Listening::Open(task.abort_handle());
        Ok(true)
    }
}

/// Leave to be the call that the server turns to the client for.
pub(super) enum Turn {
    /// Where any number of calls can be that.
    Any,
    /// Where one can.
    Own(#[expect(dead_code, reason = "held until the call ends")] OwnedSemaphorePermit),
}
