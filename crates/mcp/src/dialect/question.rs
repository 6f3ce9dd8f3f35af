//! A server's questions: an entry of `inputRequests` as a request to a legacy client, and the request of a legacy server
//! as such an entry.

use std::borrow::Cow;

use super::{
    Abilities, Ask, Asked, CANCELLED, Elicits, Input, Malformed, Revision, Samples, Sampling,
    content::{self, can_be_sampled, has, whole_content},
    meta,
};
use crate::{
    error::{INVALID_PARAMS, METHOD_NOT_FOUND, ProtocolError},
    message::Call,
    method::Method,
    object::{Object, edit_elements, joined, quoted},
    scan::{self, Kind},
};

/// The error that ends a call which needs this of a client.
fn unable(capability: &str) -> Ask {
    let text = format!("This needs a capability that the client did not declare: {capability}");
    Ask::Unable(ProtocolError::new(INVALID_PARAMS, 200, text))
}

/// An entry of `inputRequests` as a request of `revision` to a client that can do `abilities`.
///
/// spec: BR-50, BR-63
pub(super) fn ask(revision: &Revision, entry: &str, abilities: &Abilities, id: &str) -> Result<Ask, Malformed> {
    let method = scan::member(entry, "method").and_then(scan::string).and_then(|name| Method::parse(&name));
    let input = method.and_then(Input::of).ok_or(Malformed("the server asks for something that no client gives"))?;
    let raw = scan::member(entry, "params").unwrap_or("{}");
    let mut params = Object::read(raw).ok_or(Malformed("the parameters of what the server asks for are no object"))?;
    meta::strip_request(&mut params, None);
    Ok(match input {
        Input::Elicitation => match elicitation(revision, params, abilities, id) {
            Some(params) => Ask::Request { input, params },
            None => Ask::Answer(CANCELLED),
        },
        Input::Sampling => match abilities.sampling {
            Some(ways) => sampling(revision, params, ways)?,
            None => unable("sampling"),
        },
        Input::Roots if abilities.roots => Ask::Request { input, params: params.finish().into_owned() },
        Input::Roots => unable("roots"),
    })
}

/// `None` if the client has no such form or its revision no words for it.
fn elicitation(revision: &Revision, mut params: Object<'_>, abilities: &Abilities, id: &str) -> Option<String> {
    match (mode(&params)?.as_ref(), revision.elicits) {
        // spec: BR-28: "add a generated elicitationId"; "never send it to a client of an older revision"
        ("url", Elicits::FormsAndPages) if abilities.pages => {
            params.text("url")?;
            params.set("elicitationId", quoted(id));
        }
        ("form", Elicits::FormsAndPages) if abilities.forms => {
            params.get("requestedSchema")?;
        }
        ("form", Elicits::Forms(field)) if abilities.forms => {
            // spec: BR-27: "drop mode"
            params.remove("mode");
            let schema = form(field, params.raw("requestedSchema")?)?;
            params.set("requestedSchema", schema);
        }
        _ => return None,
    }
    Some(params.finish().into_owned())
}

/// What kind of question it is; `None` if it says so in no string.
fn mode<'p>(params: &'p Object<'_>) -> Option<Cow<'p, str>> {
    params.get("mode").map_or(Some(Cow::Borrowed("form")), scan::string)
}

fn form(write: fn(&str) -> Option<Cow<'_, str>>, raw: &str) -> Option<Cow<'_, str>> {
    let mut schema = Object::read(raw)?;
    let mut properties = schema.raw("properties").and_then(Object::read)?;
    let mut expressible = true;
    properties.each(|_, field| {
        let written = write(field);
        expressible &= written.is_some();
        written.map(|field| Cow::Owned(field.into_owned()))
    });
    schema.set("properties", properties.finish());
    expressible.then(|| schema.finish())
}

fn sampling(revision: &Revision, mut params: Object<'_>, ways: Sampling) -> Result<Ask, Malformed> {
    if !ways.tools && wants_tools(&params) {
        return Ok(unable("sampling.tools"));
    }
    keep_context_private(&mut params, ways);
    let messages = params.raw("messages").filter(|raw| scan::kind(raw) == Kind::Array);
    let messages = messages.ok_or(Malformed("the server asks for a message and gives none before it"))?;
    let told = match revision.samples {
        Samples::Lists => edit_elements(messages, |_, raw| Some(whole_message(revision, raw))),
        Samples::One => Cow::Owned(split(revision, messages)),
    };
    if scan::elements(&told).next().is_none() && scan::elements(messages).next().is_some() {
        let text = "The server asks the client's model about nothing that the client's revision has words for";
        return Ok(Ask::Unable(ProtocolError::new(INVALID_PARAMS, 200, text)));
    }
    params.set("messages", told);
    if let Some(tools) = params.raw("tools") {
        params.set("tools", content::tools(tools));
    }
    Ok(Ask::Request { input: Input::Sampling, params: params.finish().into_owned() })
}

fn wants_tools(params: &Object<'_>) -> bool {
    params.get("tools").is_some() || params.get("toolChoice").is_some()
}

/// A message of 2025-11-25: as today's.
fn whole_message<'a>(revision: &Revision, raw: &'a str) -> Cow<'a, str> {
    let Some(mut message) = Object::read(raw) else { return Cow::Borrowed(raw) };
    if let Some(content) = message.raw("content") {
        message.set("content", whole_content(revision, content));
    }
    message.finish()
}

/// Messages of one block each. What else a message of several says is not said again with each of them, else a short
/// list of long messages became a long list of long messages.
///
/// spec: BR-30: "send one message per content block when content is an array; drop block types that revision lacks"
fn split(revision: &Revision, messages: &str) -> String {
    let mut out = Vec::new();
    for raw in scan::elements(messages) {
        let content = scan::member(raw, "content").unwrap_or_default();
        if scan::kind(content) == Kind::Array {
            let role = if scan::member(raw, "role") == Some("\"assistant\"") { "assistant" } else { "user" };
            let blocks = scan::elements(content).filter(|block| can_be_sampled(revision, block));
            out.extend(blocks.map(|block| Cow::Owned(format!(r#"{{"role":"{role}","content":{block}}}"#))));
        } else if can_be_sampled(revision, content) {
            out.push(Cow::Borrowed(raw));
        }
    }
    joined(&out)
}

/// spec: BR-77: "Replace sampling includeContext thisServer or allServers by none unless the client declared sampling.context"
fn keep_context_private(params: &mut Object<'_>, ways: Sampling) {
    if !ways.context && params.get("includeContext").is_some() {
        params.set("includeContext", "\"none\"");
    }
}

/// A request of a server of `revision` as an entry of `inputRequests` for a client that can do `abilities`.
///
/// spec: BR-44, BR-50, BR-51
pub(super) fn asked(request: &Call<'_>, abilities: &Abilities) -> Asked {
    if request.known == Some(Method::Ping) {
        return Asked::Answer("{}");
    }
    let refused = |code, text: &str| Asked::Refused(ProtocolError::new(code, 200, text).with_id(request.id));
    let Some(input) = request.known.and_then(Input::of) else {
        return Asked::Refused(ProtocolError::method_not_found(&request.method).with_id(request.id));
    };
    let raw = request.params.unwrap_or("{}");
    let mut params = Object::read(raw).unwrap_or_default();
    meta::strip_request(&mut params, None);
    // spec: BR-116: no client runs a task for a server, and who does not say that it would may overlook the wish
    params.remove("task");
    match input {
        Input::Elicitation => match mode(&params).as_deref() {
            Some("form") if !abilities.forms => return Asked::Answer(CANCELLED),
            Some("url") if !abilities.pages => return Asked::Answer(CANCELLED),
            Some("form") if has(raw, "message", Kind::String) && has(raw, "requestedSchema", Kind::Object) => {}
            Some("url") if has(raw, "message", Kind::String) && has(raw, "url", Kind::String) => {
                // spec: BR-53: "Strip elicitationId from bridged URL elicitations"
                params.remove("elicitationId");
            }
            _ => return refused(INVALID_PARAMS, "The elicitation is not complete"),
        },
        Input::Sampling => {
            let Some(ways) = abilities.sampling else {
                return refused(METHOD_NOT_FOUND, "The client does not support sampling");
            };
            if !has(raw, "messages", Kind::Array) || !has(raw, "maxTokens", Kind::Number) {
                return refused(INVALID_PARAMS, "The request for a message is not complete");
            }
            if !ways.tools && wants_tools(&params) {
                return refused(INVALID_PARAMS, "The client does not support sampling with tools");
            }
            keep_context_private(&mut params, ways);
        }
        Input::Roots if !abilities.roots => {
            return refused(METHOD_NOT_FOUND, "The client does not support roots");
        }
        Input::Roots => {}
    }
    let params = (!params.is_empty()).then(|| params.finish());
    Asked::Entry(input, input.entry(params.as_deref()))
}
