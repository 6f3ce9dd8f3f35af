//! What is answered when there is nothing to show a server for the one who calls: lists from memory, an opening that
//! holds until there is, and for everything else how to get there (UP-68).

use http::{HeaderValue, Response, StatusCode};
use portcullis_audit::Outcome;
use portcullis_mcp::{
    Era, Id, Method, Version, headers as wire,
    message::{Call, META_SERVER_INFO, META_SUBSCRIPTION_ID},
    scan,
    sse::Event,
};
use serde_json::{Value, json};

use super::{
    answer::{self, Answer},
    notices::{CHANGED, Notices, Tell, Watched},
    opening::hears,
    record::Record,
    refusal::Refusal,
    relay::Source,
    session::{Bridge, Hears, Late, Session, Terms},
    sieve::{Sieve, Whose},
    speech::{Modern, Speech, Words},
    state::Sealer,
    turn::{Turn, set},
};
use crate::{config::ToolList, connections::Lack, upstream::UpstreamError};

/// A request that its upstream is not asked.
pub(super) struct Wanting<'a> {
    pub method: Method,
    pub id: Id<'a>,
    pub era: Era,
    pub hears: Hears,
    /// Its raw parameters.
    pub params: Option<&'a str>,
    pub session: Option<&'a Session>,
    pub sealer: Option<Sealer>,
}

impl Turn<'_> {
    /// The answer to a request that cannot be put to its upstream.
    pub(super) async fn without(
        &self,
        lack: &Lack,
        wanting: &Wanting<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let result = match wanting.method {
            Method::Discover => self.discovered(lack).to_string(),
            Method::ToolsList => self.remembered_tools(wanting).await,
            Method::PromptsList | Method::ResourcesList | Method::ResourceTemplatesList | Method::TasksList => {
                listed(wanting.method, wanting.era, "[]")
            }
            Method::Ping | Method::SetLevel => "{}".to_owned(),
            Method::Complete => completed(json!({ "completion": { "values": [] } }), wanting.era).to_string(),
            // spec: TR-8
            Method::SubscriptionsListen if !self.accepts.events => {
                record.end(Outcome::Failure, Some("the client reads no streams"));
                return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
            }
            Method::SubscriptionsListen => return Ok(self.listens_here(wanting, record)),
            _ => return self.told(lack, wanting, record),
        };
        Ok(self.answered_here(&result, wanting, record))
    }

    /// An empty list, for a late session whose upstream does not have such lists.
    pub(super) fn nothing(&self, wanting: &Wanting<'_>, record: Record) -> Response<Answer> {
        self.answered_here(&listed(wanting.method, wanting.era, "[]"), wanting, record)
    }

    /// A raw result of ours, of which the caller sees what they may.
    fn answered_here(&self, result: &str, wanting: &Wanting<'_>, mut record: Record) -> Response<Answer> {
        let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, wanting.id.to_json());
        let sieve = self.list_sieve(wanting.method, wanting.era).of_answer(Whose::Callers, None);
        let bytes = Sieve::apply(sieve.as_ref(), message.into());
        record.sent(bytes.len());
        if let Ok(message) = std::str::from_utf8(&bytes) {
            record.says(message);
        }
        record.end(Outcome::Success, Some("answered without its upstream"));
        answer::json(StatusCode::OK, Answer::Whole(bytes))
    }

    /// A session that is opened here; the upstream's comes later.
    // spec: UP-68: "a note in instructions"
    pub(super) fn initialized_here(
        &self,
        call: &Call<'_>,
        id: Id<'_>,
        version: Version,
        lack: &Lack,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let terms =
            Terms { version, hears: hears(call, version), late: Some(Late::of(call.params)), bridge: Bridge::Passed };
        let session = Session::open(self.parts, self.caller, &self.server.name, None, terms);
        let session = session.ok().and_then(|id| HeaderValue::try_from(id).ok());
        let Some(session) = session else {
            let error = UpstreamError::Unusable("a session id that cannot be carried");
            return Err(self.failed(&error, Some(id), &mut record));
        };
        let result = json!({
            "protocolVersion": version.as_str(),
            "capabilities": capabilities(),
            "serverInfo": self.server_info(),
            "instructions": self.note(lack),
        });
        let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.to_json());
        record.sent(message.len());
        record.end(Outcome::Success, Some("answered without its upstream"));
        let mut response = answer::json(StatusCode::OK, Answer::Whole(message.into()));
        set(response.headers_mut(), wire::SESSION_ID, session);
        Ok(response)
    }

    fn discovered(&self, lack: &Lack) -> Value {
        let versions: Vec<_> = Version::SERVED.iter().map(|version| version.as_str()).collect();
        json!({
            "resultType": "complete",
            "supportedVersions": versions,
            "capabilities": capabilities(),
            "instructions": self.note(lack),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": { META_SERVER_INFO: self.server_info() },
        })
    }

    fn server_info(&self) -> Value {
        json!({ "name": self.server.name.as_str(), "version": env!("CARGO_PKG_VERSION") })
    }

    /// The tools that the caller last saw, or everybody's; none if nobody did.
    // spec: UP-68: "list tools of an upstream the user has not connected only if the list is public for it", or their own
    // last one, so that nothing vanishes from a client when a grant ends.
    async fn remembered_tools(&self, wanting: &Wanting<'_>) -> String {
        let holder = match self.server.tools {
            ToolList::Public => None,
            ToolList::Personal => Some(self.parts.connections.holder_at(self.server, &self.whom())),
        };
        let tools = self.local.remembered.tools(&self.server.name, holder.as_ref()).await;
        listed(wanting.method, wanting.era, tools.as_deref().unwrap_or("[]"))
    }

    /// A stream of ours for a listener whose upstream cannot be listened to yet. It ends when that changes, and the client
    /// listens anew.
    fn listens_here(&self, wanting: &Wanting<'_>, record: Record) -> Response<Answer> {
        let wants = scan::member(wanting.params.unwrap_or("{}"), "notifications").unwrap_or("{}");
        let names = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];
        let wanted: Vec<_> =
            names.iter().zip(CHANGED).filter(|(name, _)| scan::member(wants, name) == Some("true")).collect();
        let agreed: serde_json::Map<_, _> =
            wanted.iter().map(|(name, _)| ((**name).to_owned(), Value::Bool(true))).collect();
        let subscription: Value = serde_json::from_str(wanting.id.to_json()).unwrap_or_default();
        // spec: TR-65: "the first message", with what can be agreed to
        let acknowledged = json!({
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": { "notifications": agreed, "_meta": { META_SUBSCRIPTION_ID: subscription } },
        });
        let speech = Modern {
            sent: String::new(),
            id: wanting.id.to_owned(),
            progress: None,
            logs: false,
            listens: true,
            rendering: None,
            failure: String::new(),
        };
        let tell = Tell::Listener {
            id: wanting.id.to_owned(),
            methods: wanted.into_iter().map(|(_, method)| method).collect(),
        };
        let notices = Notices::new(self.parts.connections.watch(), self.watched(), tell);
        let speech = Speech::new(Words::Modern(speech), None);
        let relay = self.relay(Source::Ours, speech, record).saying(Some(notices));
        answer::events(relay.first(Event::message(acknowledged.to_string())))
    }

    /// Whose connections a stream waits for.
    pub(super) fn watched(&self) -> Watched {
        Watched { server: self.server.name.clone(), person: self.caller.person.clone() }
    }
}

/// Everything that there may be, since nobody can be asked.
fn capabilities() -> Value {
    let changes = json!({ "listChanged": true });
    json!({ "tools": changes, "prompts": changes, "resources": changes })
}

pub(super) fn completed(mut result: Value, era: Era) -> Value {
    if era == Era::Modern {
        result["resultType"] = "complete".into();
    }
    result
}

/// The result of a method that lists, with this raw list.
fn listed(method: Method, era: Era, list: &str) -> String {
    let member = match method {
        Method::PromptsList => "prompts",
        Method::ResourcesList => "resources",
        Method::ResourceTemplatesList => "resourceTemplates",
        Method::TasksList => "tasks",
        _ => "tools",
    };
    // spec: AG-16: "set ttlMs: 0"
    let modern = match era {
        Era::Modern => r#""resultType":"complete","ttlMs":0,"cacheScope":"private","#,
        Era::Legacy => "",
    };
    format!(r#"{{{modern}"{member}":{list}}}"#)
}
