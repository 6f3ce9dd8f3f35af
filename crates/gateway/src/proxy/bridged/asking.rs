//! What a server asks of the client in the middle of a call, put to a client of an older revision as requests of ours on
//! the stream of its call.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use portcullis_base::token;
use portcullis_mcp::{
    ProtocolError,
    dialect::{Ask, CANCELLED, Input},
    message::INVALID_PARAMS,
    object::{Object, quoted},
    scan,
};

use super::{
    drive::{Drive, ROUNDS, Stop, Waits, unusable},
    host::internal,
    room::Reply,
};

/// How long a client has for an answer.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many things a server may ask for at one time.
const ENTRIES: usize = 16;

/// What was asked in one call so far.
#[derive(Default)]
pub(super) struct Asking {
    rounds: usize,
    waits: Waits,
    /// Pages that the person went to: by address, the ids under which the client knows them.
    pages: HashMap<String, String>,
}

/// One entry on its way to its answer.
enum Way {
    /// The answer is known.
    Known(String),
    /// The person has gone to the page and is perhaps not done with it.
    Waiting,
    /// The client is asked.
    Asked(Asked),
}

struct Asked {
    input: Input,
    id: String,
    answer: tokio::sync::oneshot::Receiver<Reply>,
    /// The page that it is about.
    page: Option<(String, String)>,
}

/// A page that the client was asked to have opened while a call waits.
pub(super) struct Page {
    asked: Asked,
    answered: Answered,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Not,
    Yes,
}

/// Waits until the client says that its person would not open the page. That they would approves nothing.
// spec: T-107
pub(super) async fn declined(page: &mut Option<Page>) {
    if let Some(page) = page.as_mut().filter(|page| page.answered == Answered::Not) {
        let reply = (&mut page.asked.answer).await;
        page.answered = Answered::Yes;
        if let Ok(Reply::Result(result)) = reply
            && matches!(scan::member(&result, "action").and_then(scan::string).as_deref(), Some("decline" | "cancel"))
        {
            return;
        }
    }
    std::future::pending::<()>().await;
}

impl Drive {
    /// What the client gives for the `inputRequests` of a raw result, raw; `None` if nothing was asked for.
    pub(super) async fn given(&self, result: &str, asking: &mut Asking) -> Result<Option<String>, Stop> {
        let Some(requests) = scan::member(result, "inputRequests") else {
            // spec: BR-26: "requestState without inputRequests: retry after a short backoff without asking the client"
            return if asking.waits.next().await { Ok(None) } else { Err(self.endless()) };
        };
        self.gathered(requests, asking).await.map(Some)
    }

    /// The answers to raw `inputRequests`, by the same keys.
    pub(super) async fn gathered(&self, requests: &str, asking: &mut Asking) -> Result<String, Stop> {
        let entries: Vec<_> = scan::members(requests).collect();
        if entries.len() > ENTRIES {
            return Err(unusable(&self.host).into());
        }
        let mut ways = Vec::with_capacity(entries.len());
        for (key, entry) in &entries {
            ways.push((key, self.begin(entry, asking).await?));
        }
        let asks = ways.iter().any(|(_, way)| matches!(way, Way::Asked(_)));
        let waits = ways.iter().any(|(_, way)| matches!(way, Way::Waiting));
        asking.rounds += usize::from(asks || !waits);
        if asking.rounds > ROUNDS {
            return Err(self.endless());
        }
        // spec: BR-28: "after accept retry upstream with bounded polling"
        if waits && !asks && !asking.waits.next().await {
            return Err(self.endless());
        }
        let answers = join_all(ways.into_iter().map(|(key, way)| async move { (key, self.finish(way).await) })).await;
        let mut responses = Object::new();
        for (key, answer) in answers {
            let (text, page) = answer?;
            asking.pages.extend(page);
            responses.set(key, text);
        }
        Ok(responses.finish().into_owned())
    }

    async fn begin(&self, entry: &str, asking: &Asking) -> Result<Way, Stop> {
        let page = page(entry);
        if page.as_ref().is_some_and(|page| asking.pages.contains_key(page)) {
            return Ok(Way::Waiting);
        }
        let named = token::<16>(&*self.host.parts.rng);
        match self.down.ask(entry, &self.abilities, &named) {
            Err(malformed) => {
                tracing::warn!(server.name = %self.host.endpoint, why = %malformed, "a server asks for what nobody gives");
                Err(unusable(&self.host).into())
            }
            Ok(Ask::Answer(answer)) => {
                // spec: BR-27, BR-112: "answer the upstream with action: cancel for that entry and log"
                tracing::info!(server.name = %self.host.endpoint, "a request for input has no form in the client's revision");
                Ok(Way::Known(answer.to_owned()))
            }
            Ok(Ask::Unable(error)) => Err(error.into()),
            Ok(Ask::Request { input, params }) => {
                let Ok((id, answer)) = self.room.ask(&self.host.parts) else {
                    return Err(internal("Too much is asked of the client at one time.").into());
                };
                let text = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"method":"{}","params":{params}}}"#,
                    quoted(&id),
                    input.method().name()
                );
                self.outlet.say(&text).await;
                Ok(Way::Asked(Asked { input, id, answer, page: page.map(|page| (page, named)) }))
            }
        }
    }

    /// The answer, and the page that the person went to.
    async fn finish(&self, way: Way) -> Result<(String, Option<(String, String)>), Stop> {
        let Asked { input, id, answer, page } = match way {
            Way::Known(answer) => return Ok((answer, None)),
            Way::Waiting => return Ok((r#"{"action":"accept"}"#.to_owned(), None)),
            Way::Asked(asked) => asked,
        };
        let reply = tokio::time::timeout(PATIENCE, answer).await;
        let in_time = reply.is_ok();
        let result = match reply {
            Ok(Ok(Reply::Result(result))) => self.down.answer(input, &result).ok(),
            _ => None,
        };
        let Some(result) = result else {
            if !in_time {
                let params = format!(r#"{{"requestId":{},"reason":"it took too long"}}"#, quoted(&id));
                self.outlet.say(&notification("notifications/cancelled", &params)).await;
            }
            // spec: BR-31: "elicitation becomes action: cancel; sampling and roots failures end the call"
            return match input {
                Input::Elicitation => Ok((CANCELLED.to_owned(), None)),
                Input::Sampling | Input::Roots => Err(no_answer(input).into()),
            };
        };
        let accepted = scan::member(&result, "action") == Some(r#""accept""#);
        Ok((result, page.filter(|_| accepted)))
    }

    /// Tells the client that the pages it opened are done with.
    pub(super) async fn pages_done(&self, asking: &mut Asking) {
        for (_, id) in asking.pages.drain() {
            let params = format!(r#"{{"elicitationId":{}}}"#, quoted(&id));
            self.outlet.say(&notification("notifications/elicitation/complete", &params)).await;
        }
    }

    /// Asks for a page to be opened while a call waits. `None` if the client cannot, or too much is asked of it.
    pub(super) async fn page_asked(&self, entry: &str) -> Option<Page> {
        match self.begin(entry, &Asking::default()).await {
            Ok(Way::Asked(asked)) => Some(Page { asked, answered: Answered::Not }),
            _ => None,
        }
    }

    /// The call that the page was about waits no longer.
    pub(super) async fn page_over(&self, page: &Page) {
        if let Some((_, id)) = &page.asked.page {
            let params = format!(r#"{{"elicitationId":{}}}"#, quoted(id));
            self.outlet.say(&notification("notifications/elicitation/complete", &params)).await;
        }
    }

    fn endless(&self) -> Stop {
        internal(format!("The server {} asks for input again and again, so the call was given up.", self.host.endpoint))
            .into()
    }
}

pub(super) fn notification(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
}

/// The page that a raw entry asks to be opened.
fn page(entry: &str) -> Option<String> {
    let params = scan::member(entry, "params")?;
    let mode = scan::member(params, "mode").and_then(scan::string)?;
    if mode == "url" { scan::member(params, "url").and_then(scan::string).map(Into::into) } else { None }
}

fn no_answer(input: Input) -> ProtocolError {
    let wanted = match input {
        Input::Elicitation => "its person's input",
        Input::Sampling => "a message of its model",
        Input::Roots => "its roots",
    };
    ProtocolError::new(INVALID_PARAMS, 200, format!("The call needs {wanted}, and the client did not give it."))
}
