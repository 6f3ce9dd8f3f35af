//! How a session with a legacy server begins.

use std::{sync::Arc, time::Duration};

use portcullis_mcp::{
    Era, Message, Version,
    dialect::{self, Abilities, Up},
    message::{self, Outcome},
    scan,
};
use tokio::time::timeout;

use super::{
    Opener,
    cable::Cable,
    counts::Counts,
    ears::Ears,
    http::Http,
    hub::Hub,
    pool::Opens,
    session::Session,
    wire::{Asking, Caller, Came, Fault, Ids, Kind, Repeats, Wire},
};
use crate::upstream::{Upstream, UpstreamError, ask::CLIENT_INFO, line::Lines};

/// How long a line may take to answer what opens a session.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it takes to open one.
pub(super) struct Opening<'a> {
    pub opener: &'a Opener,
    pub caller: &'a Caller,
    pub abilities: &'a Abilities,
    pub ids: &'a Ids,
    pub counts: &'a Arc<Counts>,
    /// Those who listen.
    pub ears: Arc<Ears>,
}

impl Opens for Opening<'_> {
    type Kept = Session;

    async fn open(&self) -> Result<Session, UpstreamError> {
        let Opening { opener, caller, abilities, ids, counts, ref ears } = *self;
        let hub = Hub::new(ears.clone(), counts.clone());
        match opener {
            Opener::Http(upstream) => Session::over_http(upstream, caller, abilities, ids.next(), hub).await,
            Opener::Lines(lines) => Session::over_line(&**lines, caller, abilities, ids.next(), hub).await,
        }
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

    // spec: TR-133: "send notifications/initialized"
    async fn begin(&self, caller: &Caller) -> Result<(), UpstreamError> {
        let message = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        match self.wire.tell(caller, message).await {
            // Some servers know nothing to answer to it.
            Ok(()) | Err(Fault::Upstream(UpstreamError::Failed(400..=499))) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }
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
