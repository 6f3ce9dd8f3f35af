//! One open session with a legacy server: how it was opened, what the server said it can do, what was set in it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use portcullis_mcp::{
    Era, Message, Version,
    dialect::{self, Abilities, Level, TaskSupport, Up},
    message::{self, Outcome},
    object::quoted,
    scan,
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    Opener,
    cable::Cable,
    counts::Counts,
    http::Http,
    hub::Hub,
    pool::{Kept, Opens},
    wire::{Asking, Caller, Came, Fault, Ids, Kind, Repeats, Wire},
};
use crate::upstream::{Upstream, UpstreamError, ask::CLIENT_INFO, discover::Pages, line::Lines};

/// How long a line may take to answer what opens a session, and a server questions of ours within one.
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
    /// Held while a resource is subscribed to or given up, so that the server hears of it in order.
    pub subscribing: Mutex<()>,
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

/// What it takes to open one.
pub(super) struct Opening<'a> {
    pub opener: &'a Opener,
    pub caller: &'a Caller,
    pub abilities: &'a Abilities,
    pub ids: &'a Ids,
    pub counts: &'a Arc<Counts>,
}

impl Opens for Opening<'_> {
    type Kept = Session;

    async fn open(&self) -> Result<Session, UpstreamError> {
        let Opening { opener, caller, abilities, ids, counts } = *self;
        let hub = Hub::new(counts.clone());
        match opener {
            Opener::Http(upstream) => Session::over_http(upstream, caller, abilities, ids.next(), hub).await,
            Opener::Lines(lines) => Session::over_line(&**lines, caller, abilities, ids.next(), hub).await,
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
    async fn over_http(
        upstream: &Arc<Upstream>,
        caller: &Caller,
        abilities: &Abilities,
        id: u64,
        hub: Arc<Hub>,
    ) -> Result<Self, UpstreamError> {
        let known = upstream.known_versions();
        let newest = known.iter().flat_map(|known| known.iter()).find(|version| version.era() == Era::Legacy);
        let request = Http::post(upstream, caller, initialize(id, newest.copied(), abilities)?.into());
        let response = upstream.send(request, &caller.credential).await?;
        let said = upstream.said(response, Some(&id.to_string())).await?;
        if said.status.is_server_error() {
            return Err(UpstreamError::Failed(said.status.as_u16()));
        }
        let (up, initialized) = opened(said.message())?;
        let http = Http::new(upstream.clone(), up.version(), said.session.clone(), hub.clone(), caller.clone());
        let session = Self::new(up, initialized, Wire::Http(Arc::new(http)), hub);
        session.begin(caller).await?;
        Ok(session)
    }

    async fn over_line(
        lines: &dyn Lines,
        caller: &Caller,
        abilities: &Abilities,
        id: u64,
        hub: Arc<Hub>,
    ) -> Result<Self, UpstreamError> {
        let line = timeout(PATIENCE, lines.open(&caller.whose())).await.unwrap_or(Err(UpstreamError::Late))?;
        let cable = Cable::new(line, hub.clone());
        let body = initialize(id, None, abilities)?;
        let asking = Asking { id, body, kind: Kind::Plain, repeatable: Repeats::Never };
        let mut events = cable.ask(asking).await?;
        let answer = timeout(PATIENCE, async {
            loop {
                match events.recv().await {
                    Some(Came::Answer(raw)) => return Ok(raw),
                    Some(Came::Lost(error)) => return Err(error),
                    Some(_) => {}
                    None => return Err(UpstreamError::Unusable("it ended before it answered")),
                }
            }
        });
        let answer = answer.await.unwrap_or(Err(UpstreamError::Late))?;
        let (up, initialized) = opened(message::message(&answer).ok())?;
        let session = Self::new(up, initialized, Wire::Line(cable), hub);
        session.begin(caller).await?;
        Ok(session)
    }

    fn new(up: Up, initialized: Box<str>, wire: Wire, hub: Arc<Hub>) -> Self {
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
            subscribing: Mutex::default(),
            listening: Mutex::default(),
        }
    }

    // spec: TR-133: "send notifications/initialized"
    async fn begin(&self, caller: &Caller) -> Result<(), UpstreamError> {
        let message = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        match self.wire.tell(caller, message).await {
            // Some servers know nothing to answer to it.
            Ok(()) | Err(Fault::Upstream(UpstreamError::Failed(400..=499))) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
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

fn initialize(id: u64, version: Option<Version>, abilities: &Abilities) -> Result<String, UpstreamError> {
    let up = dialect::up(version.unwrap_or(Version::NEWEST_LEGACY));
    let up = up.ok_or(UpstreamError::Unusable("it speaks no older revision"))?;
    let params = up.initialize_params(abilities, CLIENT_INFO);
    Ok(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{params}}}"#))
}

/// What the server made of `initialize`.
fn opened(answer: Option<Message<'_>>) -> Result<(Up, Box<str>), UpstreamError> {
    let Some(Message::Response(response)) = answer else {
        return Err(UpstreamError::Unusable("it opens no session"));
    };
    let Outcome::Result(result) = response.outcome else {
        return Err(UpstreamError::Unusable("it refuses to open a session"));
    };
    let version = scan::member(result, "protocolVersion").and_then(scan::string);
    // spec: TR-136
    let up = version.and_then(|version| Version::parse(&version)).and_then(dialect::up);
    let up = up.ok_or(UpstreamError::Unusable("it speaks a revision that is not served here"))?;
    Ok((up, result.into()))
}
