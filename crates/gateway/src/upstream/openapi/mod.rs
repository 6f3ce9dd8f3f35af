//! An API that an OpenAPI document describes, seen as an MCP server of 2026-07-28.

mod call;
mod document;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use portcullis_base::Digest;
use portcullis_mcp::{
    Call, Message, Method, ProtocolError, Version,
    message::{self, META_SERVER_INFO},
    scan,
};
use portcullis_openapi::{Api, Tool};
use serde_json::{Map, Value, json};

pub(super) use self::document::Document;
use super::{AnswerBody, Credential, Upstream, UpstreamError};

/// Tools on one page of the list.
const PAGE: usize = 100;
/// How long a list may be kept: the document may be written anew at any time.
const TTL_MS: u64 = 60_000;

/// Answers one request of 2026-07-28 for the API that `document` describes.
pub(super) async fn serve(
    upstream: &Arc<Upstream>,
    document: &Document,
    request: Request<Bytes>,
    credential: &Credential,
) -> Result<Response<AnswerBody>, UpstreamError> {
    let (head, body) = request.into_parts();
    let call = match message::parse(&body, &scan::Limits::default()) {
        Ok(message::Body::One(Message::Request(call))) => call,
        Ok(message::Body::One(Message::Notification(_))) => return Ok(answer(StatusCode::ACCEPTED, Bytes::new())),
        _ => return Err(UpstreamError::Unusable("a request that is none")),
    };
    let Some(id) = call.id else { return Err(UpstreamError::Unusable("a request without an id")) };
    let api = document.current(upstream.name()).await?;
    let said = match call.known {
        Some(Method::Discover) => Ok(discover(&api)),
        Some(Method::ToolsList) => {
            let cursor = scan::member(call.params.unwrap_or("{}"), "cursor").and_then(scan::string);
            list(&api, cursor.as_deref())
        }
        Some(Method::ToolsCall) => match meant(&api, &call) {
            Ok((tool, arguments)) => {
                let who = head.extensions.get().cloned();
                let result = call::call(upstream, document, (&api, tool), &arguments, credential, who).await?;
                Ok(complete(result).to_string())
            }
            Err(error) => Err(error),
        },
        _ => Err(ProtocolError::method_not_found(&call.method)),
    };
    Ok(match said {
        Ok(result) => {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.to_json());
            answer(StatusCode::OK, body.into())
        }
        Err(error) => {
            let status = StatusCode::from_u16(error.http).unwrap_or(StatusCode::BAD_REQUEST);
            answer(status, error.with_id(Some(id)).to_json().into())
        }
    })
}

/// The tool that is called, and with what.
fn meant<'a>(api: &'a Api, call: &Call<'_>) -> Result<(&'a Tool, Map<String, Value>), ProtocolError> {
    // spec: AG-8
    let tool = api.tool(call.target.as_deref().unwrap_or_default());
    let tool = tool.ok_or_else(|| ProtocolError::invalid_params("Unknown tool"))?;
    let arguments = serde_json::from_str(call.arguments.unwrap_or("{}"));
    let arguments = arguments.map_err(|_| ProtocolError::invalid_params("params.arguments is an object"))?;
    Ok((tool, arguments))
}

fn answer(status: StatusCode, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn discover(api: &Api) -> String {
    let mut result = json!({
        "supportedVersions": [Version::V2026_07_28.as_str()],
        "capabilities": { "tools": {} },
        "ttlMs": TTL_MS,
        "cacheScope": "public",
        "resultType": "complete",
        "_meta": { META_SERVER_INFO: { "name": api.title, "version": api.version } },
    });
    if !api.description.is_empty() {
        result["instructions"] = api.description.as_str().into();
    }
    result.to_string()
}

/// One page. A cursor says where it begins and in which list, so that one of another document is none.
// spec: AG-12, AG-14
fn list(api: &Api, cursor: Option<&str>) -> Result<String, ProtocolError> {
    let from = match cursor {
        None => 0,
        Some(cursor) => {
            let from = cursor.strip_prefix(&mark(api)).and_then(|from| from.strip_prefix('.')?.parse().ok());
            from.filter(|from| *from < api.tools.len() && *from > 0).ok_or_else(|| {
                ProtocolError::invalid_params("The cursor is none of this list; begin anew without one")
            })?
        }
    };
    let to = api.tools.len().min(from + PAGE);
    let tools: Vec<_> = api.tools[from..to].iter().map(|tool| tool.definition.as_str()).collect();
    let next = if to < api.tools.len() { format!(r#","nextCursor":"{}.{to}""#, mark(api)) } else { String::new() };
    let tools = tools.join(",");
    Ok(format!(r#"{{"tools":[{tools}]{next},"ttlMs":{TTL_MS},"cacheScope":"public","resultType":"complete"}}"#))
}

fn mark(api: &Api) -> String {
    let names: Vec<_> = api.tools.iter().map(|tool| tool.name.as_str()).collect();
    Digest::of(names.join(" ").as_bytes()).to_base64url()[..16].to_owned()
}

fn complete(mut result: Map<String, Value>) -> Value {
    result.insert("resultType".into(), "complete".into());
    result.into()
}
