//! The transport of 2024-11-05, for clients that know no other: one stream on which everything is said, and an address for
//! what the client says, which names the stream. Off unless the settings say otherwise (TR-110).
//!
//! The session lives as long as its stream, and on the node that has it.

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode, Uri};
use portcullis_mcp::{
    Message, Method, ProtocolError, Version,
    dialect::{Down, down},
    headers as wire,
    message::Call,
    scan,
    sse::Event,
};

use super::{
    drive::{Drive, HearsMore, Outlet, Own},
    host::{Host, internal},
    listening::listen,
    reader::{Looks, Reader, Tied},
    requests::driven,
    room::{Begun, Opened, Room},
};
use crate::proxy::{
    answer::{self, Answer},
    decide::Deed,
    legacy::bare,
    parts::Parts,
    refusal::Refusal,
    session::{Bridge, Hears, Session, Terms},
    stay::Stay,
    turn::Visit,
};

/// The longest that a stream stays open.
const LONGEST: Duration = Duration::from_hours(8);
/// What names the stream in the address for what its client says.
const NAME: &str = "session";

impl Visit<'_> {
    /// A GET of the stream.
    // spec: TR-111: "first an endpoint event whose data is the POST URI with an unguessable per-stream token"
    // spec: TR-113: the token is sealed for this person, client and endpoint.
    pub(in crate::proxy) async fn open_old(&self) -> Result<Response<Answer>, Refusal> {
        if !self.accepts.events {
            return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
        }
        let record = self.seated(&Deed { ends: true, ..bare("GET") }).await?;
        let terms = Terms { version: Version::V2024_11_05, hears: Hears::Text, late: None, bridge: Bridge::Bridged };
        let token = Session::open(self.parts, self.caller, self.endpoint, None, terms);
        let token = token.map_err(|_| Refusal::status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let session = Session::resume(self.parts, self.caller, self.endpoint, token.as_bytes());
        let Some(session) = session else { return Err(Refusal::status(StatusCode::INTERNAL_SERVER_ERROR)) };
        let room = self.room(&session)?;
        let tied = Tied { local: self.local.clone(), session: session.id.clone() };
        let path = format!("/mcp/{}/messages?{NAME}={token}", self.endpoint);
        let endpoint = Event { event: Some("endpoint".to_owned()), ..Event::message(path) };
        let Parts { ended, clock, settings, .. } = &**self.parts;
        let stay = Stay::new(self.caller, ended.clone(), &**clock, LONGEST, Duration::ZERO);
        let reader = Reader::new(room.unasked.attach(None), Looks::Plain, settings.streams).staying(stay, record);
        Ok(reader.beginning(&endpoint).tied(tied).into_response())
    }

    /// A POST to the address that a stream named.
    // spec: TR-112: "answer POSTs 202", TR-113: "Other user's POST: 404"
    pub(in crate::proxy) async fn post_old(
        &self,
        uri: &Uri,
        message: &Message<'_>,
    ) -> Result<Response<Answer>, Refusal> {
        let token = uri.query().and_then(|query| {
            url::form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| (name == NAME).then_some(value))
        });
        let session = token
            .and_then(|token| Session::resume(self.parts, self.caller, self.endpoint, token.as_bytes()))
            .filter(|session| session.version == Version::V2024_11_05 && session.late.is_none());
        let room = session.as_ref().and_then(|session| self.local.rooms.find(&session.id));
        let (Some(session), Some(room)) = (session, room) else { return Err(Refusal::no_session()) };
        let opened = room.opened();
        let version = opened.as_ref().map_or(Version::V2024_11_05, |opened| opened.version);
        match message {
            Message::Request(call) if call.known == Some(Method::Initialize) => {
                self.initialized_old(&room, call).await?;
            }
            Message::Request(call) => self.requested_old(&session, &room, opened.as_ref(), call).await?,
            Message::Notification(call) => {
                self.notified(&room, call, version).await?;
                // spec: TR-95: nothing is said unasked before the client says that it is ready.
                if let (Some(Method::Initialized), Some(down)) = (call.known, down(version)) {
                    let declared = opened.as_ref().map_or("{}", |opened| &*opened.capabilities);
                    let abilities = driven(down.abilities(declared));
                    listen(Host::of(self, Some(&session.id)), down, abilities, room);
                }
            }
            Message::Response(response) => self.replied(&room, response).await?,
        }
        Ok(answer::empty(StatusCode::ACCEPTED))
    }

    async fn initialized_old(&self, room: &Arc<Room>, call: &Call<'_>) -> Result<(), Refusal> {
        let Some(id) = call.id else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let asked = call.params.and_then(|params| scan::member(params, "protocolVersion")).and_then(scan::string);
        let asked = asked.and_then(|asked| Version::parse(&asked)).filter(|v| *v <= Version::NEWEST_LEGACY);
        // spec: TR-80
        let version = asked.unwrap_or(Version::NEWEST_LEGACY);
        let Some(down) = down(version) else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let text = match self.initialized(call, down).await? {
            Ok(result) => {
                let declared = call.params.and_then(|params| scan::member(params, "capabilities")).unwrap_or("{}");
                room.open(Opened { version, capabilities: declared.into() });
                format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.to_json())
            }
            Err(error) => format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.to_json()),
        };
        room.unasked.say(&text).await;
        Ok(())
    }

    async fn requested_old(
        &self,
        session: &Session,
        room: &Arc<Room>,
        opened: Option<&Opened>,
        call: &Call<'_>,
    ) -> Result<(), Refusal> {
        let Some(opened) = opened else {
            return Err(ProtocolError::invalid_request("No session: send initialize first").into());
        };
        let Some(down) = down(opened.version) else { return Err(Refusal::no_session()) };
        let said = match self.begun_old(session, room, (down, opened), call).await {
            Ok(said) => said,
            Err(error) => Some(String::from_utf8(error.with_id(call.id).to_json()).unwrap_or_default()),
        };
        if let Some(said) = said {
            room.unasked.say(&said).await;
        }
        Ok(())
    }

    /// Begins a request, or gives its answer if that is known at once.
    async fn begun_old(
        &self,
        session: &Session,
        room: &Arc<Room>,
        (down, opened): (Down, &Opened),
        call: &Call<'_>,
    ) -> Result<Option<String>, ProtocolError> {
        let (Some(method), Some(id)) = (wire::admit(call, opened.version)?, call.id) else {
            return Err(ProtocolError::invalid_request("Not a request"));
        };
        let abilities = driven(down.abilities(&opened.capabilities));
        match self.answered_here(room, (down, &abilities), call, method).await {
            Ok(Some(Ok(()))) => return Ok(Some(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.to_json()))),
            Ok(Some(Err(error))) => return Err(error),
            Ok(None) => {}
            // What is said on a stream has no status, only words.
            Err(refusal) => {
                let status = refusal.code().as_u16();
                let said = refusal.said().map(str::to_owned);
                return said
                    .map(Some)
                    .ok_or_else(|| internal(format!("The request was refused with status {status}.")));
            }
        }
        let id = id.to_owned();
        let cancelled = match room.begin(&id, call.raw, self.parts) {
            Begun::New(_, cancelled) => cancelled,
            // Its answer comes on the one stream there is.
            Begun::Again(_) => return Ok(None),
            Begun::Clash => return Err(ProtocolError::invalid_request("Another request with this id is under way")),
            Begun::TooMany => return Err(internal("Too many requests of this session are under way")),
        };
        let drive = Drive {
            host: Host::of(self, Some(&session.id)),
            down,
            room: room.clone(),
            outlet: Outlet { feed: room.unasked.clone(), own: Own::Session, hears: HearsMore::Everything },
            beside: None,
            abilities,
            level: room.level(),
            method,
            id: id.clone(),
            progress: call.meta.progress_token.map(str::to_owned),
            params: call.params.map(str::to_owned),
        };
        let room = room.clone();
        tokio::spawn(crate::correlation::carried(async move {
            drive.run(cancelled).await;
            room.cancel(&id);
        }));
        Ok(None)
    }
}
