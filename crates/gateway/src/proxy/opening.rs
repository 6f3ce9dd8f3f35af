//! How a session begins (TR-22, TR-80, TR-81).

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode};
use portcullis_audit::Outcome;
use portcullis_mcp::{
    Id, Message, Method, Version, headers as wire,
    message::{self, Call},
    scan,
};

use super::{
    abilities,
    answer::Answer,
    errand::{Errand, Setback},
    refusal::Refusal,
    restore::Restorer,
    rewrite::{rewrite, stamped},
    session::{Bridge, Hears, Session, Terms},
    turn::{Form, Turn, deed, form, session_of, set},
};
use crate::upstream::{AnswerBody, UpstreamError, answer_in, whole};

impl Turn<'_> {
    /// Opens a session.
    // spec: TR-22, TR-80, TR-81
    pub(super) async fn initialize(&self, call: &Call<'_>, version: Version) -> Result<Response<Answer>, Refusal> {
        let Some(id) = call.id else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let spoken = self.spoken().await.map_err(|error| self.unavailable(&error, call.id))?;
        if !spoken.contains(&version) {
            return Box::pin(self.open_bridged(call, version)).await;
        }
        let (permit, mut record) = self.decide(&deed(call, Method::Initialize)).await?;
        let asked = call.params.and_then(|params| scan::member(params, "protocolVersion"));
        let wanted = format!("\"{version}\"");
        let mut edits = Vec::with_capacity(2);
        edits.extend(asked.filter(|asked| *asked != wanted).map(|asked| (asked, wanted.as_str())));
        let declared = call.params.and_then(|params| scan::member(params, "capabilities"));
        let told = declared.map(|raw| abilities::declared(raw, self.server.allow, &[]));
        edits.extend(declared.zip(told.as_deref()));
        let Some(body) = rewrite(call.raw, &mut edits) else {
            return Err(self.failed(
                &UpstreamError::Unusable("the message could not be rebuilt"),
                call.id,
                &mut record,
            ));
        };
        let mut errand =
            Errand::new(self, permit, &record).map_err(|error| self.failed(&error, call.id, &mut record))?;
        let opened = async {
            errand.equip().await?;
            self.opened(errand.send(|| Ok(self.post(stamped(&body)))).await?, id).await.map_err(Setback::from)
        };
        let (status, bytes, session) = match opened.await {
            Ok(opened) => opened,
            Err(Setback::Lack(lack)) => return self.initialized_here(call, id, version, &lack, record),
            Err(setback) => return Err(self.set_back(setback, call.id, &mut record)),
        };
        let mut restorer = Restorer::new(id.to_json(), id.to_json());
        let mut out = BytesMut::with_capacity(bytes.len());
        restorer.feed(&bytes, &mut out);
        let seen = restorer.seen();
        if !(seen.result && status == StatusCode::OK) {
            return self.whole(status, out.freeze(), seen, id, record);
        }
        let negotiated = negotiated(&bytes);
        if negotiated != Some(version) {
            // Whatever it is that it speaks, it is not what the client asked for.
            self.left(session.as_deref(), negotiated, &mut errand).await;
            record.end(Outcome::Success, Some("the upstream speaks another revision, so the session is bridged"));
            return Box::pin(self.open_bridged(call, version)).await;
        }
        let session = negotiated
            .ok_or("a revision that is not served here")
            .and_then(|version| {
                let terms = Terms { version, hears: hears(call, version), late: None, bridge: Bridge::Passed };
                Session::open(self.parts, self.caller, &self.server.name, session.as_deref(), terms)
                    .map_err(|_| "a session id that cannot be carried")
            })
            .and_then(|id| HeaderValue::try_from(id).map_err(|_| "a session id that cannot be carried"));
        match session {
            Ok(session) => {
                let mut response = self.whole(status, out.freeze(), seen, id, record)?;
                set(response.headers_mut(), wire::SESSION_ID, session);
                Ok(response)
            }
            // spec: TR-136
            Err(why) => Err(self.failed(&UpstreamError::Unusable(why), call.id, &mut record)),
        }
    }

    /// Ends a session of the upstream's that is of no use.
    // spec: TR-135: "DELETE legacy upstream sessions that are no longer needed"
    async fn left(&self, session: Option<&[u8]>, version: Option<Version>, errand: &mut Errand<'_>) {
        let Some(session) = session.and_then(|id| HeaderValue::from_bytes(id).ok()) else { return };
        let built = || {
            let mut request = self.request(HttpMethod::DELETE, Bytes::new());
            set(request.headers_mut(), wire::SESSION_ID, session.clone());
            if let Some(version) = version.filter(|version| *version >= Version::V2025_06_18) {
                set(request.headers_mut(), wire::PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
            }
            Ok(request)
        };
        drop(errand.send(built).await);
    }

    /// The answer to `initialize`, whichever way it comes: the session id has to go out before it.
    async fn opened(
        &self,
        response: Response<AnswerBody>,
        id: Id<'_>,
    ) -> Result<(StatusCode, Vec<u8>, Option<Vec<u8>>), UpstreamError> {
        let (head, body) = response.into_parts();
        let session = session_of(&head.headers).map(|value| value.as_bytes().to_vec());
        let read = async {
            match form(&head.headers) {
                Form::Json => whole(body).await,
                Form::Events => answer_in(body, Some(id.to_json())).await,
                Form::Nothing => Err(UpstreamError::Unusable("neither JSON nor events")),
            }
        };
        let limit = self.upstream.limits().head;
        let bytes = tokio::time::timeout(limit, read).await.unwrap_or(Err(UpstreamError::Late))?;
        Ok((head.status, bytes, session))
    }
}

/// What a client can do for its person: it says so when it opens a session. The error that asks for a page is for clients
/// of the revision that has it, and of those for the ones that declared `elicitation.url`.
pub(super) fn hears(call: &Call<'_>, version: Version) -> Hears {
    let declared = || {
        let capabilities = scan::member(call.params?, "capabilities")?;
        scan::member(scan::member(capabilities, "elicitation")?, "url")
    };
    if version == Version::V2025_11_25 && declared().is_some() { Hears::Link } else { Hears::Text }
}

/// The revision that the upstream answered with, if sessions of it are served here.
pub(super) fn negotiated(bytes: &[u8]) -> Option<Version> {
    let message = message::message(std::str::from_utf8(bytes).ok()?.trim()).ok()?;
    let Message::Response(response) = message else { return None };
    let message::Outcome::Result(result) = response.outcome else { return None };
    let version = Version::parse(&scan::string(scan::member(result, "protocolVersion")?)?)?;
    (Version::SERVED.contains(&version) && version <= Version::NEWEST_LEGACY).then_some(version)
}
