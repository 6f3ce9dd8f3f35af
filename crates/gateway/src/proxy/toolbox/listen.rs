//! One stream of what several servers say unasked: their changes as changes of the one list, told once, and only where
//! the list that the listener sees is another than before (AG-18, AG-19).

use std::{collections::HashMap, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use portcullis_audit::{Actor, Target};
use portcullis_base::{Digest, ServerName};
use portcullis_mcp::{
    Message, Method, ProtocolError, Version,
    message::{self, Call, META_SUBSCRIPTION_ID},
    object::{Object, joined, quoted},
    scan,
    sse::{self, Event},
};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until},
};

use super::{
    Unboxed,
    gather::Freshness,
    shelf::Kind,
    staying::Staying,
    uris::{Asked, Owners, Uris},
};
use crate::{
    correlation,
    proxy::{
        answer::{self, Answer},
        ear::{Ear, URIS},
        record::Record,
        refusal::Refusal,
        relay::{Relay, Source},
        speech::{Modern, Speech, Words},
        stay::Stay,
    },
    toolbox::Search,
    upstream::AnswerBody,
};

/// How long changes are waited for that come with a change.
// spec: AG-18: "coalesced within a short window"
const WINDOW: Duration = Duration::from_millis(300);
/// How often it is looked whether other settings, people or rules are in force.
const LOOK: Duration = Duration::from_secs(2);
/// How long a server that ended its stream is left alone, at first and at last.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The longest that a stream is open.
const LONGEST: Duration = Duration::from_hours(24);
/// Events between the servers and their listener.
const QUEUE: usize = 64;
/// Our id of the stream until its listener gets it.
const SENT: &str = "1";

/// The lists whose changes can be listened for: what a client calls them, and how they are told.
const LISTS: [(&str, Kind, Method); 3] = [
    ("toolsListChanged", Kind::Tools, Method::ToolsListChanged),
    ("promptsListChanged", Kind::Prompts, Method::PromptsListChanged),
    ("resourcesListChanged", Kind::Resources, Method::ResourcesListChanged),
];

/// What a listener wants.
struct Wants {
    lists: Vec<(Kind, Method)>,
    /// The URIs at each server: its own, and how its listener asked for it.
    uris: HashMap<ServerName, Vec<(String, Asked)>>,
    /// The ids of tasks of each server, raw, as the listener has them.
    tasks: HashMap<ServerName, Vec<String>>,
    /// The raw filter that is agreed to.
    agreed: String,
}

/// What was heard of a server.
enum Heard {
    /// One of its lists changed.
    Changed(Kind),
    /// It can be heard again, and nobody knows what it said meanwhile.
    Again,
    /// A resource changed: the raw parameters.
    Updated(ServerName, String),
    /// A task changed: the raw parameters, with the listener's ids.
    Task(ServerName, String),
}

impl Unboxed<'_> {
    /// `subscriptions/listen`
    pub(super) async fn listen(&self, call: &Call<'_>) -> Result<Response<Answer>, Refusal> {
        let visit = self.visit;
        // spec: TR-8
        if !visit.accepts.events {
            return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
        }
        let Some(id) = call.id else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let wants = self.wants(call).await?;
        // spec: T-62: the stream has a place of its own beside those of the servers.
        let Some(seat) = visit.crowd.enter(&visit.caller.person) else {
            let text = "Too many calls of this person are in flight; wait for some to end.";
            return Err(ProtocolError::internal(429, text).with_id(call.id).into());
        };
        // What is decided and recorded is each server's stream; this one only puts them together.
        let record = Record::open(visit.parts, None, Actor::default(), Target::default(), call.raw.len(), seat);
        // spec: TR-65: "the first message", with what can be agreed to
        let acknowledged =
            told("notifications/subscriptions/acknowledged", &format!("\"notifications\":{}", wants.agreed));
        let (say, said) = mpsc::channel(QUEUE);
        // Room was made for more than this.
        drop(say.try_send(acknowledged));
        tokio::spawn(correlation::carried(together(Arc::new(Staying::of(self)), wants, say)));
        let speech = Modern {
            sent: SENT.to_owned(),
            id: id.to_owned(),
            progress: None,
            logs: false,
            listens: true,
            rendering: None,
            failure: String::new(),
        };
        let (caller, parts) = (visit.caller, visit.parts);
        let stay = Stay::listening(caller, parts.ended.clone(), &*parts.clock, LONGEST);
        let (source, speech) = (Source::Upstream(AnswerBody::told(said)), Speech::new(Words::Modern(speech), None));
        Ok(answer::events(Relay::new(source, speech, stay, record, parts.settings.streams)))
    }

    async fn wants(&self, call: &Call<'_>) -> Result<Wants, Refusal> {
        let visit = self.visit;
        let wanted = call.params.and_then(|params| scan::member(params, "notifications")).unwrap_or("{}");
        // Three tools that search stay what they are.
        let fixed = self.toolbox.search == Search::On;
        let lists = LISTS.iter().filter(|(_, kind, _)| *kind != Kind::Tools || !fixed);
        let lists = lists.filter(|(name, ..)| scan::member(wanted, name) == Some("true"));
        let mut agreed = Object::new();
        lists.clone().for_each(|(name, ..)| agreed.set(name, "true"));
        let lists = lists.map(|(_, kind, method)| (*kind, *method)).collect();
        let mut uris: HashMap<ServerName, Vec<(String, Asked)>> = HashMap::new();
        let mut kept = Vec::new();
        let subscribed = scan::member(wanted, "resourceSubscriptions").into_iter().flat_map(scan::elements);
        for raw in subscribed.take(URIS) {
            let Some(uri) = scan::string(raw) else { continue };
            // What is nobody's cannot be agreed to.
            let Ok((part, own, asked)) = self.resource(&uri, |owners| owners.whose(&uri)).await? else { continue };
            // Told here, so that what is agreed to is what will be heard; the server's own stream is judged once more.
            let turn = visit.turn(part.server);
            if !turn.may_hear(&Ear::of(&turn), call, &own).await {
                continue;
            }
            uris.entry(part.server.name.clone()).or_default().push((own, asked));
            kept.push(raw);
        }
        if !kept.is_empty() {
            agreed.set("resourceSubscriptions", format!("[{}]", kept.join(",")));
        }
        // As at a server of its own, a task that is not the listener's is no wish that could be left out.
        let mut named = self.tasks(call, Method::SubscriptionsListen)?;
        named.truncate(URIS);
        let mut tasks: HashMap<ServerName, Vec<String>> = HashMap::new();
        for (raw, part) in &named {
            tasks.entry(part.server.name.clone()).or_default().push((*raw).to_owned());
        }
        if !named.is_empty() {
            let ids: Vec<_> = named.iter().map(|(raw, _)| *raw).collect();
            agreed.set("taskIds", joined(&ids));
        }
        Ok(Wants { lists, uris, tasks, agreed: agreed.finish().into_owned() })
    }

    /// A digest of the list as the caller sees it.
    async fn digest(&self, kind: Kind, freshness: Freshness) -> Option<Digest> {
        let mut all = String::new();
        let kinds: &[Kind] = if kind == Kind::Resources { &[Kind::Resources, Kind::Templates] } else { &[kind] };
        for kind in kinds {
            for entry in self.merged(*kind, freshness).await.ok()?.entries {
                all.push_str(&entry.raw);
                all.push('\n');
            }
        }
        Some(Digest::of(all.as_bytes()))
    }
}

/// Listens to all servers until nobody listens here.
async fn together(staying: Arc<Staying>, wants: Wants, say: mpsc::Sender<Bytes>) {
    let mut moment = staying.moment();
    let (tell, mut heard) = mpsc::channel(QUEUE);
    let mut listening = Listening { staying: staying.clone(), tasks: HashMap::new(), set: JoinSet::new(), tell };
    let mut news = staying.parts().connections.watch();
    let mut look = interval(LOOK);
    // What the client was shown last counts as known; the first look tells whether it still holds.
    let mut known = HashMap::new();
    if let Some(unboxed) = staying.unboxed(&moment) {
        for (kind, _) in &wants.lists {
            known.insert(*kind, unboxed.digest(*kind, Freshness::Seen).await);
        }
        listening.keep(&unboxed, &wants);
    }
    let mut changed: Vec<Kind> = wants.lists.iter().map(|(kind, _)| *kind).collect();
    let mut due = Some(Instant::now());
    loop {
        let wait = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let all = || wants.lists.iter().map(|(kind, _)| *kind);
        tokio::select! {
            () = say.closed() => return,
            () = wait => {
                due = None;
                let Some(unboxed) = staying.unboxed(&moment) else { return };
                changed.sort_unstable();
                changed.dedup();
                for kind in changed.drain(..) {
                    let Some((_, method)) = wants.lists.iter().find(|(wanted, _)| *wanted == kind) else { continue };
                    let Some(digest) = unboxed.digest(kind, Freshness::Asked).await else { continue };
                    // spec: AG-18: "none when the visible list is equal"
                    let before = known.insert(kind, Some(digest)).flatten();
                    if before != Some(digest) && say.send(told(method.name(), "")).await.is_err() {
                        return;
                    }
                }
            }
            Some(heard) = heard.recv() => match heard {
                Heard::Changed(kind) => changed.push(kind),
                Heard::Again => changed.extend(all()),
                Heard::Updated(server, params) => {
                    if let Some(event) = updated(&wants, &server, &params) && say.send(event).await.is_err() {
                        return;
                    }
                }
                Heard::Task(server, params) => {
                    let Some(unboxed) = staying.unboxed(&moment) else { return };
                    if say.send(unboxed.worked(&server, &params)).await.is_err() {
                        return;
                    }
                }
            },
            // spec: AG-19: "also when policy, connection state or configuration changes what a user sees"
            appeared = news.recv() => match appeared {
                Ok(_) | Err(RecvError::Lagged(_)) => changed.extend(all()),
                Err(RecvError::Closed) => return,
            },
            _ = look.tick() => if staying.is_later_than(&moment) {
                moment = staying.moment();
                let Some(unboxed) = staying.unboxed(&moment) else { return };
                listening.keep(&unboxed, &wants);
                changed.extend(all());
            }
        }
        if !changed.is_empty() && due.is_none() {
            due = Some(Instant::now() + WINDOW);
        }
    }
}

/// The streams of the servers, each read by a task that ends with this.
struct Listening {
    staying: Arc<Staying>,
    tasks: HashMap<ServerName, tokio::task::AbortHandle>,
    set: JoinSet<()>,
    tell: mpsc::Sender<Heard>,
}

impl Listening {
    /// Listens to the servers that there are now, and to no others.
    fn keep(&mut self, unboxed: &Unboxed<'_>, wants: &Wants) {
        let present: Vec<_> = unboxed.parts().map(|part| part.server.name.clone()).collect();
        self.tasks.retain(|name, task| {
            let stays = present.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        for name in present {
            if !self.tasks.contains_key(&name)
                && let Some(filter) = wants.filter(&name)
            {
                let task = one(self.staying.clone(), name.clone(), filter, self.tell.clone());
                self.tasks.insert(name, self.set.spawn(task));
            }
        }
        while self.set.try_join_next().is_some() {}
    }
}

impl Wants {
    /// The raw filter for one server; `None` if nothing is wanted of it.
    fn filter(&self, server: &ServerName) -> Option<String> {
        let mut filter = Object::new();
        for (name, kind, _) in LISTS {
            if self.lists.iter().any(|(wanted, _)| *wanted == kind) {
                filter.set(name, "true");
            }
        }
        if let Some(uris) = self.uris.get(server) {
            let uris: Vec<_> = uris.iter().map(|(uri, _)| quoted(uri)).collect();
            filter.set("resourceSubscriptions", joined(&uris));
        }
        if let Some(tasks) = self.tasks.get(server) {
            filter.set("taskIds", joined(tasks));
        }
        (!filter.is_empty()).then(|| filter.finish().into_owned())
    }
}

/// Listens to one server, again and again.
async fn one(staying: Arc<Staying>, server: ServerName, filter: String, tell: mpsc::Sender<Heard>) {
    let mut pause = PAUSE;
    let mut first = true;
    while !tell.is_closed() {
        let opened = {
            let moment = staying.moment();
            let Some(unboxed) = staying.unboxed(&moment) else { return };
            unboxed.opened(&server, &filter).await
        };
        if let Some(body) = opened {
            if !first && tell.send(Heard::Again).await.is_err() {
                return;
            }
            if heard(body, &server, &tell).await {
                pause = PAUSE;
            }
        }
        first = false;
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Unboxed<'_> {
    /// The stream of one server, decided and recorded as its own.
    async fn opened(&self, server: &ServerName, filter: &str) -> Option<Answer> {
        let part = self.part(server)?;
        let params = format!(r#"{{"_meta":{},"notifications":{filter}}}"#, self.meta);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{SENT},"method":"subscriptions/listen","params":{params}}}"#);
        let Ok(message @ Message::Request(_)) = message::message(&text) else { return None };
        let turn = self.visit.turn(part.server);
        let method = Some(Method::SubscriptionsListen);
        let opened = Box::pin(turn.modern(None, &message, Version::V2026_07_28, method)).await.ok()?;
        matches!(opened.body(), Answer::Events(_)).then(|| opened.into_body())
    }

    /// A change of a task, which is told as it came: its ids are the listener's already.
    fn worked(&self, server: &ServerName, params: &str) -> Bytes {
        let written = Uris::new(server, self.owners_seen(), Asked::Otherwise).of_task(params);
        let params = written.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or(params);
        let method = Method::TaskChanged.name();
        Event::message(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)).to_bytes().into()
    }
}

/// Reads one stream to its end. Whether anything was heard on it.
async fn heard(mut body: Answer, server: &ServerName, tell: &mpsc::Sender<Heard>) -> bool {
    let mut decoder = sse::Decoder::new(sse::Limits::default());
    let mut any = false;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.into_data() else { continue };
        let mut said = Vec::new();
        let fed = decoder.feed(&data, |event| said.extend(event.data.as_deref().and_then(|data| read(data, server))));
        any |= !said.is_empty();
        for heard in said {
            if tell.send(heard).await.is_err() {
                return any;
            }
        }
        if fed.is_err() {
            return any;
        }
    }
    any
}

fn read(data: &str, server: &ServerName) -> Option<Heard> {
    let method = scan::member(data, "method").and_then(scan::string)?;
    match Method::parse(&method)? {
        Method::ResourceUpdated => Some(Heard::Updated(server.clone(), scan::member(data, "params")?.to_owned())),
        Method::TaskChanged => Some(Heard::Task(server.clone(), scan::member(data, "params")?.to_owned())),
        method => LISTS.iter().find(|(.., known)| *known == method).map(|(_, kind, _)| Heard::Changed(*kind)),
    }
}

/// An update as the listener knows the resource.
// spec: AG-33: "An update for a sub-resource of a subscribed URI is relayed with the mapped URI"
fn updated(wants: &Wants, server: &ServerName, params: &str) -> Option<Bytes> {
    let uri = scan::member(params, "uri").and_then(scan::string)?;
    let subscribed = wants.uris.get(server)?.iter().filter(|(own, _)| uri.starts_with(own.as_str()));
    let (_, asked) = subscribed.max_by_key(|(own, _)| own.len())?;
    let uris = Uris::new(server, Owners::default(), *asked);
    Some(told(Method::ResourceUpdated.name(), &format!("\"uri\":{}", quoted(&uris.write(&uri)))))
}

/// A notification of ours, as one event.
fn told(method: &str, members: &str) -> Bytes {
    let comma = if members.is_empty() { "" } else { "," };
    let params = format!(r#"{{{members}{comma}"_meta":{{"{META_SUBSCRIPTION_ID}":{SENT}}}}}"#);
    Event::message(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)).to_bytes().into()
}
