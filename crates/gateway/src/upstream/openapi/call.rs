//! One call of a tool as one request to the API.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Uri, header};
use http_body::Body;
use portcullis_openapi::{Answer, Api, Tool, answered, failed};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::Document;
use crate::upstream::{AnswerBody, Credential, For, Upstream, UpstreamError};

/// The largest answer that becomes a result.
const LARGEST: usize = 4 << 20;

/// The result of calling `tool`.
pub(super) async fn call(
    upstream: &Arc<Upstream>,
    document: &Document,
    (api, tool): (&Api, &Tool),
    arguments: &Map<String, Value>,
    credential: &Credential,
    who: Option<For>,
) -> Result<Map<String, Value>, UpstreamError> {
    let made = match tool.request(&api.base, arguments) {
        Ok(made) => made,
        // For the model to read: it can mend its arguments.
        Err(refused) => return Ok(failed(&format!("Nothing was sent to the API: {refused}"))),
    };
    let (made, credential) = match document.key_in_query().and_then(|name| Some((name, credential.taken_out()?))) {
        Some((name, (key, rest))) => {
            let key = key.to_str().map_err(|_| UpstreamError::Unusable("a key that is no text"))?;
            (made.with_key(name, key), rest)
        }
        None => (made, credential.clone()),
    };
    let unsendable = |_| UpstreamError::Unusable("a request that cannot be sent");
    let method = Method::from_bytes(made.method.as_bytes()).map_err(|_| UpstreamError::Unusable("an odd method"))?;
    let (bytes, media_type) = made.body.map_or_else(Default::default, |body| (body.bytes, Some(body.media_type)));
    let mut request = upstream.request(method, Bytes::from(bytes));
    *request.uri_mut() =
        Uri::try_from(made.target).map_err(|_| UpstreamError::Unusable("a path that cannot be sent"))?;
    let headers = request.headers_mut();
    for (name, value) in made.headers {
        let name = HeaderName::try_from(name).map_err(|_| UpstreamError::Unusable("an odd header"))?;
        // What an administrator says of every request stays.
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::try_from(value).map_err(unsendable)?);
        }
    }
    if let Some(media_type) = media_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(media_type).map_err(unsendable)?);
    }
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    let response = upstream.send(request, &credential).await?;
    let (head, body) = response.into_parts();
    let read = timeout(upstream.limits().head, whole(body)).await.map_err(|_| UpstreamError::Late)?;
    let Some(body) = read? else {
        // spec: AG-36: "over-limit results end with an error"
        let status = head.status.as_u16();
        let what = format!("The API answered {status} with more than {} MiB, which is not passed on.", LARGEST >> 20);
        return Ok(failed(&what));
    };
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Ok(answered(tool, Answer { status: head.status.as_u16(), media_type, body: &body }))
}

/// The whole body, or nothing if it is too large.
async fn whole(mut body: AnswerBody) -> Result<Option<Bytes>, UpstreamError> {
    if body.announced().is_some_and(|length| length > LARGEST as u64) {
        return Ok(None);
    }
    let mut out = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(UpstreamError::Torn)?.into_data() {
            if out.len() + data.len() > LARGEST {
                return Ok(None);
            }
            out.extend_from_slice(&data);
        }
    }
    Ok(Some(out.freeze()))
}
