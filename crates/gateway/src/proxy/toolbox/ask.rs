//! One request to one server of a toolbox, made here, and its answer read whole.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::BytesMut;
use http::{Response, StatusCode};
use http_body::Body;
use portcullis_mcp::{
    Message, Method, Version,
    message::{self, INTERNAL_ERROR, Outcome},
    object::Object,
    scan,
};

use super::{Part, Unboxed};
use crate::proxy::{answer::Answer, receive::Accepts, refusal::Refusal, turn::Visit};

/// How long a server may take for its part of an answer that is made of several.
// spec: AG-17: "a per-upstream deadline for lists (default 5 s)"
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// The largest part of an answer.
const LARGEST: usize = 16 << 20;
/// Bounds of the JSON in it.
const JSON: scan::Limits = scan::Limits { depth: 128, nodes: 2_000_000 };

/// Why a part is missing.
pub(super) enum Miss {
    /// The whole request is refused: its token does not reach that far.
    Refused(Refusal),
    /// The server answered with an error, or could not be asked.
    Error { code: i64, message: String },
}

impl Miss {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Error { code: INTERNAL_ERROR, message: message.into() }
    }
}

impl<'a> Unboxed<'a> {
    /// The raw result of `method` at one server.
    pub(super) async fn ask(&self, part: Part<'a>, method: Method, members: &[(&str, String)]) -> Result<String, Miss> {
        let broken = || Miss::failed("The request could not be made.");
        let mut params = Object::new();
        params.set("_meta", self.meta.as_str());
        for (name, value) in members {
            params.set(name, value.as_str());
        }
        let params = params.finish();
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":{params}}}"#, method.name());
        let message = message::message(&text).map_err(|_| broken())?;
        let visit = Visit { accepts: Accepts { json: true, events: false }, ..self.visit };
        let turn = visit.turn(part.server);
        let asked = Box::pin(turn.modern(None, &message, Version::V2026_07_28, Some(method)));
        let response = asked.await.unwrap_or_else(Refusal::into_response);
        read(response, part).await
    }
}

async fn read(response: Response<Answer>, part: Part<'_>) -> Result<String, Miss> {
    if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(Miss::Refused(Refusal::answered(response)));
    }
    let unusable = || Miss::failed(format!("The server {} gave no usable answer.", part.server.name));
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| unusable())?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > LARGEST {
            return Err(unusable());
        }
    }
    // What several servers say is put together here, so each part is one strict document.
    let text = scan::check(&bytes, &JSON).map_err(|_| unusable())?;
    match message::message(text) {
        Ok(Message::Response(response)) => match response.outcome {
            Outcome::Result(result) => Ok(result.to_owned()),
            Outcome::Error { code, message, .. } => {
                Err(Miss::Error { code, message: portcullis_base::printable(&message, 500) })
            }
        },
        _ => Err(unusable()),
    }
}
