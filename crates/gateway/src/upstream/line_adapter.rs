//! A server behind lines: a child process, of whichever era. What it speaks is found out on the first line to it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use portcullis_base::{PersonId, ServerName, SessionId};
use portcullis_mcp::{
    Era, Message, Version,
    message::{
        self, HEADER_MISMATCH, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION, MISSING_CAPABILITY,
        Outcome, UNSUPPORTED_VERSION,
    },
    scan,
};
use tokio::{sync::Mutex as Door, time::timeout};

use super::{
    AnswerBody, Credential, Limits, UpstreamError,
    adapter::{Adapter, Answering},
    ask::{CLIENT_INFO, LOOSE},
    credential::Mark,
    legacy::{Counts, Legacy, Opener, wire::Caller},
    line::{Line, Lines, Sharing, Whose},
    modern_line::Stateless,
};
use crate::config::Allow;

/// How long a server has to say that it speaks today's revision.
const PATIENCE: Duration = Duration::from_secs(5);

/// What answers for a server behind lines.
pub struct LineAdapter {
    lines: Arc<Found>,
    legacy: Arc<Legacy>,
    stateless: Arc<Stateless>,
}

/// Lines of which it is known what is spoken on them.
pub(super) struct Found {
    lines: Arc<dyn Lines>,
    era: Mutex<Option<Era>>,
    /// Held while it is found out.
    asking: Door<()>,
    /// The line on which it was found out, for the one whose it is.
    spare: Mutex<Option<(Whose, Line)>>,
}

impl LineAdapter {
    /// What answers for the server called `name`.
    pub fn new(name: ServerName, lines: Arc<dyn Lines>, limits: Limits, allow: Allow) -> Self {
        let (era, asking, spare) = (Mutex::default(), Door::default(), Mutex::default());
        let lines = Arc::new(Found { lines, era, asking, spare });
        let legacy = Legacy::new(name.clone(), limits, allow);
        Self { stateless: Stateless::new(name, lines.clone(), limits), legacy, lines }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Bytes>,
        credential: Credential,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let caller = Caller::of(&request, credential.clone());
        match self.lines.era(&caller.whose()).await? {
            Era::Modern => self.stateless.clone().serve(request, caller).await,
            Era::Legacy => {
                let opener = Opener::Lines(self.lines.clone());
                let answer = self.legacy.clone().serve(opener, request, credential).await;
                // It may have been slow to say what it speaks.
                if matches!(answer, Err(UpstreamError::Unusable(_))) {
                    self.lines.doubt();
                }
                answer
            }
        }
    }
}

impl Adapter for LineAdapter {
    fn serve(self: Arc<Self>, request: Request<Bytes>, credential: Credential) -> Answering {
        Box::pin(self.answer(request, credential))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            drop(self.lines.spare.lock().unwrap_or_else(PoisonError::into_inner).take());
            self.legacy.close().await;
            self.stateless.close().await;
        })
    }

    fn counts(&self) -> Option<&Arc<Counts>> {
        Some(self.legacy.counts())
    }
}

impl Found {
    /// What is spoken on them.
    async fn era(&self, whose: &Whose) -> Result<Era, UpstreamError> {
        if let Some(era) = self.known() {
            return Ok(era);
        }
        let _asking = self.asking.lock().await;
        if let Some(era) = self.known() {
            return Ok(era);
        }
        let mut line = self.lines.open(whose).await?;
        let era = probe(&mut line).await;
        if line.ended().is_none() {
            *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some((whose.clone(), line));
        }
        *self.era.lock().unwrap_or_else(PoisonError::into_inner) = Some(era);
        Ok(era)
    }

    fn known(&self) -> Option<Era> {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It does not answer as it did: it is asked anew.
    // spec: TR-125: "re-probe when the cached assumption fails"
    pub(super) fn doubt(&self) {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The line on which it was found out what is spoken, if it is theirs.
    fn spare(&self, whose: &Whose) -> Option<Line> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let (other, line) = spare.take()?;
        if of(&other, self.sharing()) == of(whose, self.sharing()) {
            return Some(line).filter(|line| line.ended().is_none());
        }
        *spare = Some((other, line));
        None
    }
}

/// Who may be on one line together.
fn of(whose: &Whose, sharing: Sharing) -> (Option<&str>, Mark, Option<&str>) {
    let person = whose.person.as_ref().filter(|_| sharing != Sharing::Shared).map(PersonId::as_str);
    let conversation = whose.conversation.as_ref().filter(|_| sharing == Sharing::Session);
    (person, whose.credential.mark(), conversation.map(SessionId::as_str))
}

impl Lines for Found {
    fn open<'a>(&'a self, whose: &'a Whose) -> BoxFuture<'a, Result<Line, UpstreamError>> {
        match self.spare(whose) {
            Some(line) => Box::pin(async { Ok(line) }),
            None => self.lines.open(whose),
        }
    }

    fn sharing(&self) -> Sharing {
        self.lines.sharing()
    }
}

/// Asks what is spoken on `line`.
// spec: TR-153: "modern on DiscoverResult or a recognized modern error; on any other error, or no answer within a set time
// (default 5 s), use initialize; never key on one error code"
async fn probe(line: &mut Line) -> Era {
    let version = Version::V2026_07_28;
    let question = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{{"_meta":{{"{META_PROTOCOL_VERSION}":"{version}","{META_CLIENT_INFO}":{CLIENT_INFO},"{META_CLIENT_CAPABILITIES}":{{}}}}}}}}"#
    );
    let answered = async {
        line.send(question.into()).await.ok()?;
        while let Some(raw) = line.receive().await {
            if let Some(era) = judge(&raw) {
                return Some(era);
            }
        }
        None
    };
    timeout(PATIENCE, answered).await.ok().flatten().unwrap_or(Era::Legacy)
}

/// What the answer to our question says; nothing if it is another message.
fn judge(raw: &str) -> Option<Era> {
    let Ok(message::Body::One(Message::Response(response))) = message::parse(raw.as_bytes(), &LOOSE) else {
        return None;
    };
    response.id.filter(|id| id.to_json() == "0")?;
    let names_today = |versions: Option<&str>| {
        scan::elements(versions.unwrap_or_default())
            .filter_map(scan::string)
            .any(|name| Version::parse(&name).is_some_and(|version| version.era() == Era::Modern))
    };
    let modern = match response.outcome {
        Outcome::Result(result) => names_today(scan::member(result, "supportedVersions")),
        Outcome::Error { code: UNSUPPORTED_VERSION, raw, .. } => {
            names_today(scan::member(raw, "data").and_then(|data| scan::member(data, "supported")))
        }
        Outcome::Error { code, .. } => matches!(code, HEADER_MISMATCH | MISSING_CAPABILITY),
    };
    Some(if modern { Era::Modern } else { Era::Legacy })
}
