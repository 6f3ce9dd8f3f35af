//! What a client says within a bridged session.

use std::{future::poll_fn, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use portcullis_audit::Outcome as End;
use portcullis_mcp::{
    Id, Message, Method, ProtocolError, Version,
    dialect::{Abilities, Down, Level, Stamp, down},
    headers as wire,
    message::{Call, Outcome, Response as Answered},
    scan,
};
use tokio::time::timeout;

use super::{
    drive::{Drive, HearsMore, Outlet, Own},
    feed::{Ear, First},
    host::{Host, internal},
    reader::{Looks, Reader},
    room::{Begun, Reply, Room},
};
use crate::proxy::{
    answer::{self, Answer},
    decide::{Deed, admit},
    legacy::bare,
    record::Record,
    refusal::Refusal,
    session::Session,
    toolbox::Unboxed,
    turn::{Place, Visit, deed},
};
use crate::{correlation, upstream::CLIENT_INFO};

/// How long an answer is waited for before a stream is opened for it, so that whoever loses the connection then can take
/// it up again.
const BRIEFLY: Duration = Duration::from_secs(5);

impl Visit<'_> {
    /// Serves a message within a bridged session.
    pub(in crate::proxy) async fn within_bridged(
        &self,
        session: &Session,
        message: &Message<'_>,
    ) -> Result<Response<Answer>, Refusal> {
        let Some(down) = down(session.version) else { return Err(Refusal::no_session()) };
        let room = self.room(session)?;
        match message {
            Message::Request(call) => {
                let (Some(method), Some(id)) = (wire::admit(call, session.version)?, call.id) else {
                    return Err(Refusal::status(StatusCode::BAD_REQUEST));
                };
                // spec: BR-25: "no text/event-stream in Accept: treat its capabilities as empty"
                let abilities =
                    if self.accepts.events { declared(session, down) } else { driven(Abilities::default()) };
                if let Some(answered) = self.answered_here(&room, (down, &abilities), call, method).await? {
                    return Ok(match answered {
                        Ok(()) => self.written(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.to_json())),
                        Err(error) => self.written_error(error, call.id),
                    });
                }
                if !self.accepts.json && !self.accepts.events {
                    return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
                }
                let ear = match self.begun(&room, session, down, abilities, (call, method, id)) {
                    Ok(ear) => ear,
                    Err(error) => return Ok(self.written_error(error, call.id)),
                };
                self.answering(session, ear).await
            }
            Message::Notification(call) => {
                self.notified(&room, call, session.version).await?;
                Ok(answer::empty(StatusCode::ACCEPTED))
            }
            Message::Response(response) => {
                self.replied(&room, response).await?;
                Ok(answer::empty(StatusCode::ACCEPTED))
            }
        }
    }

    /// What is kept of the session.
    pub(super) fn room(&self, session: &Session) -> Result<Arc<Room>, Refusal> {
        self.local.rooms.enter(&session.id, self.parts).map_err(|_| {
            tracing::warn!("too many sessions are in use");
            Refusal::status(StatusCode::SERVICE_UNAVAILABLE)
        })
    }

    /// What has no counterpart on the other side; `None` if the request is to be put there.
    // spec: BR-5: "Answer locally: ping, logging/setLevel, resources/subscribe, resources/unsubscribe"
    pub(super) async fn answered_here(
        &self,
        room: &Room,
        (down, abilities): (Down, &Abilities),
        call: &Call<'_>,
        method: Method,
    ) -> Result<Option<Result<(), ProtocolError>>, Refusal> {
        match method {
            Method::Ping
            | Method::SetLevel
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::TasksGet
            | Method::TasksResult
            | Method::TasksList
            | Method::TasksCancel => {}
            _ => return Ok(None),
        }
        // Decided before it has an effect: who may not read a resource may not be told of its changes either.
        match (method, self.place) {
            (Method::ResourcesSubscribe, Place::Toolbox(toolbox)) => {
                let stamp = Stamp { client_info: CLIENT_INFO, abilities, log_level: None, progress_token: None };
                let asking = down.request_params(None, &stamp);
                Unboxed::asking(*self, toolbox, &asking).subscribed(call).await?.end(End::Success, None);
            }
            _ => self.noted(&deed(call, method)).await?,
        }
        Ok(Some(match method {
            Method::Ping => Ok(()),
            // spec: BR-73
            Method::SetLevel => match call.params.and_then(Level::of_params) {
                Some(level) => {
                    room.set_level(level);
                    Ok(())
                }
                None => Err(ProtocolError::invalid_params("params.level is no level of a log")),
            },
            Method::ResourcesSubscribe => room
                .subscribe(call.target.as_deref().unwrap_or_default())
                .map_err(|_| ProtocolError::invalid_params("This session has too many subscriptions")),
            Method::ResourcesUnsubscribe => {
                room.unsubscribe(call.target.as_deref().unwrap_or_default());
                Ok(())
            }
            // spec: BR-89: not offered, so there is none to ask about
            _ => Err(ProtocolError::method_not_found(method.name())),
        }))
    }

    /// Decides about something that is done here, and writes down that it was.
    pub(super) async fn noted(&self, deed: &Deed<'_>) -> Result<(), Refusal> {
        self.seated(deed).await?.end(End::Success, None);
        Ok(())
    }

    /// Decides about something that is done here.
    pub(super) async fn seated(&self, deed: &Deed<'_>) -> Result<Record, Refusal> {
        match self.place {
            Place::Server(server) => {
                let (permit, record) = self.turn(server).decide(deed).await?;
                drop(permit);
                Ok(record)
            }
            // What is done at a toolbox is decided at the servers in it.
            Place::Toolbox(_) => admit(self, deed).await,
        }
    }

    /// Begins the request, or finds the one that was begun; who hears it from its beginning.
    fn begun(
        &self,
        room: &Arc<Room>,
        session: &Session,
        down: Down,
        abilities: Abilities,
        (call, method, id): (&Call<'_>, Method, Id<'_>),
    ) -> Result<Ear, ProtocolError> {
        let id = id.to_owned();
        let (feed, cancelled) = match room.begin(&id, call.raw, self.parts) {
            // Whoever sends a request again has lost what was said before.
            Begun::Again(feed) => return Ok(feed.attach(Some(0))),
            Begun::Clash => {
                return Err(ProtocolError::invalid_request("Another request with this id is under way"));
            }
            Begun::TooMany => return Err(internal("Too many requests of this session are under way")),
            Begun::New(feed, cancelled) => (feed, cancelled),
        };
        let hears = if self.accepts.events { HearsMore::Everything } else { HearsMore::Answer };
        let drive = Drive {
            host: Host::of(self, Some(&session.id)),
            down,
            room: room.clone(),
            outlet: Outlet { feed: feed.clone(), own: Own::Request, hears },
            beside: self.line.filter(|_| !self.accepts.events).cloned(),
            abilities,
            level: room.level().filter(|_| self.accepts.events),
            method,
            id,
            progress: call.meta.progress_token.map(str::to_owned).filter(|_| self.accepts.events),
            params: call.params.map(str::to_owned),
        };
        let ear = feed.attach(Some(0));
        tokio::spawn(correlation::carried(drive.run(cancelled)));
        Ok(ear)
    }

    /// The answer to a POST whose request is under way: JSON if there is nothing else to say, or a stream.
    // spec: TR-7, BR-25
    async fn answering(&self, session: &Session, mut ear: Ear) -> Result<Response<Answer>, Refusal> {
        let first = if self.accepts.json {
            let first = poll_fn(|cx| ear.poll_first(cx));
            if self.accepts.events { timeout(BRIEFLY, first).await.ok() } else { Some(first.await) }
        } else {
            None
        };
        Ok(match first {
            Some(First::Answer(text)) => answer::json(StatusCode::OK, Answer::Whole(text.as_bytes().to_vec().into())),
            Some(First::Refused(refused)) => Refusal::of(refused.status, refused.headers, refused.body).into_response(),
            // It was given up.
            Some(First::Nothing) if !self.accepts.events => answer::empty(StatusCode::ACCEPTED),
            Some(First::Nothing | First::Talk) | None => {
                let looks = Looks::Resumable(session.mark(self.parts));
                let reader = Reader::new(ear, looks, self.parts.settings.streams);
                // spec: TR-90
                let reader = if session.version >= Version::V2025_11_25 { reader.primed() } else { reader };
                reader.into_response()
            }
        })
    }

    // spec: BR-5: none of these reaches a modern server.
    pub(super) async fn notified(&self, room: &Room, call: &Call<'_>, version: Version) -> Result<(), Refusal> {
        let Some(method) = wire::admit(call, version)? else { return Ok(()) };
        self.noted(&deed(call, method)).await?;
        if method == Method::Cancelled
            && let Some(id) = call.params.and_then(|params| scan::member(params, "requestId")).and_then(Id::parse)
        {
            room.cancel(&id.to_owned());
        }
        Ok(())
    }

    // spec: T-49, T-64
    pub(super) async fn replied(&self, room: &Room, response: &Answered<'_>) -> Result<(), Refusal> {
        self.noted(&Deed { raw: response.raw.as_bytes(), ..bare("response") }).await?;
        let Some(id) = response.id.and_then(|id| scan::string(id.to_json())) else { return Ok(()) };
        let reply = match response.outcome {
            Outcome::Result(result) => Reply::Result(result.to_owned()),
            Outcome::Error { .. } => Reply::Error,
        };
        room.answered(&id, reply);
        Ok(())
    }
}

/// What the client of a session declared when it opened it.
pub(super) fn declared(session: &Session, down: Down) -> Abilities {
    driven(down.abilities(session.late.as_ref().map_or("{}", |late| late.capabilities.as_str())))
}

/// With tasks, which are seen through for whoever cannot take them.
// spec: BR-88
pub(super) fn driven(abilities: Abilities) -> Abilities {
    Abilities { tasks: true, ..abilities }
}
