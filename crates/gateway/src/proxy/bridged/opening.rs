//! How a bridged session begins.

use http::{HeaderValue, Response, StatusCode};
use portcullis_mcp::{
    Id, Message, Method, ProtocolError, Version,
    dialect::{Down, Stamp, down},
    headers as wire,
    message::{self, Call, Outcome},
    object::quoted,
    scan,
    sse::Event,
};

use super::{
    drive::request,
    host::{Came, Heard, Host, internal},
};
use crate::{
    proxy::{
        answer::{self, Answer},
        refusal::Refusal,
        session::{Bridge, Hears, Late, Session, Terms},
        turn::{Visit, set},
    },
    upstream::CLIENT_INFO,
};

/// Revisions in whose words nothing can be said.
fn unspoken(version: Version, id: Option<Id<'_>>) -> Refusal {
    internal(format!("Revision {version} is not spoken here.")).with_id(id).into()
}

impl Visit<'_> {
    /// Opens a session whose requests are bridged.
    // spec: BR-20: "Answer initialize from the upstreams' discover results"
    pub(in crate::proxy) async fn open_bridged(
        &self,
        call: &Call<'_>,
        version: Version,
    ) -> Result<Response<Answer>, Refusal> {
        let Some(id) = call.id else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let Some(down) = down(version) else { return Err(unspoken(version, call.id)) };
        let result = match self.initialized(call, down).await? {
            Ok(result) => result,
            Err(error) => {
                return Ok(self.written(&format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.to_json())));
            }
        };
        let terms = Terms { version, hears: Hears::Text, late: Some(Late::of(call.params)), bridge: Bridge::Bridged };
        let session = Session::open(self.parts, self.caller, self.endpoint, None, terms).ok();
        let Some(session) = session.and_then(|id| HeaderValue::try_from(id).ok()) else {
            return Err(internal("The session could not be opened.").with_id(call.id).into());
        };
        let mut response = self.written(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.to_json()));
        set(response.headers_mut(), wire::SESSION_ID, session);
        Ok(response)
    }

    /// The raw result of `initialize`, or the raw error.
    pub(super) async fn initialized(&self, call: &Call<'_>, down: Down) -> Result<Result<String, String>, Refusal> {
        let declared = call.params.and_then(|params| scan::member(params, "capabilities")).unwrap_or("{}");
        let abilities = down.abilities(declared);
        let stamp = Stamp { client_info: CLIENT_INFO, abilities: &abilities, log_level: None, progress_token: None };
        let text = request(Method::Discover, &down.request_params(None, &stamp));
        let host = Host::of(self, None).doing(Method::Initialize);
        let mut hearing = host.ask(&text, Method::Discover).await;
        let came = loop {
            if let Heard::Last(came) = hearing.next().await {
                break came;
            }
        };
        let text = match came {
            Came::Answer(text) => text,
            Came::Refused(refused) => return Err(Refusal::of(refused.status, refused.headers, refused.body)),
            Came::Broken => {
                return Err(super::drive::unusable(&host).with_id(call.id).into());
            }
        };
        let Ok(Message::Response(response)) = message::message(&text) else {
            return Err(super::drive::unusable(&host).with_id(call.id).into());
        };
        Ok(match response.outcome {
            Outcome::Result(discovery) => {
                // spec: BR-12: "its own serverInfo downstream"
                let name = quoted(self.endpoint.as_str());
                let info = format!(r#"{{"name":{name},"version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
                Ok(down.initialize_result(discovery, &info))
            }
            Outcome::Error { raw, .. } => Err(down.error(Method::Discover, raw).into_owned()),
        })
    }

    /// A message as the whole answer, in the form that the client reads.
    pub(super) fn written(&self, text: &str) -> Response<Answer> {
        if self.accepts.json {
            return answer::json(StatusCode::OK, Answer::Whole(text.to_owned().into()));
        }
        answer::stream(Answer::Whole(Event::message(text).to_bytes().into()))
    }

    /// An error of the protocol as the whole answer.
    pub(super) fn written_error(&self, error: ProtocolError, id: Option<Id<'_>>) -> Response<Answer> {
        self.written(&String::from_utf8(error.with_id(id).to_json()).unwrap_or_default())
    }
}
