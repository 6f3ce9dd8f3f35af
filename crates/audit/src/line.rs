//! What an event says, as members of its line.

use std::{borrow::Cow, io::Write};

use portcullis_base::{CallId, ClientId, PersonId, ServerName};

use crate::{
    event::{Event, Outcome, Value},
    json::{NAME, TEXT, integer, key, member, string, strings},
    secret::text_without_secrets,
};

/// The most details of an event, and the most texts of a list.
const ITEMS: usize = 32;

/// Writes the members of `event` after `seq`, without the closing brace.
pub(crate) fn members(out: &mut Vec<u8>, event: &Event) {
    member(out, "event", event.kind.as_str(), TEXT);
    optional(out, "call", event.call.as_ref().map(CallId::as_str), NAME);
    hexadecimal(out, "request", event.correlation.request);
    hexadecimal(out, "trace", event.correlation.trace);
    let actor = &event.actor;
    optional(out, "person", actor.person.as_ref().map(PersonId::as_str), NAME);
    optional(out, "person_name", actor.name.as_deref(), TEXT);
    optional(out, "client", actor.client.as_ref().map(ClientId::as_str), NAME);
    if let Some(address) = actor.address {
        key(out, "address");
        write!(out, "\"{address}\"").expect("writing to memory succeeds");
    }
    let target = &event.target;
    optional(out, "server", target.server.as_ref().map(ServerName::as_str), TEXT);
    optional(out, "method", target.method.as_deref(), TEXT);
    optional(out, "name", target.name.as_deref().map(address_without_secrets).as_deref(), NAME);
    optional(out, "outcome", event.outcome.map(Outcome::as_str), TEXT);
    if let Some(decision) = &event.decision {
        member(out, "effect", decision.effect, TEXT);
        member(out, "rule", &decision.rule, TEXT);
        member(out, "revision", &decision.revision, TEXT);
    }
    if !event.details.is_empty() {
        key(out, "details");
        for (index, (name, value)) in event.details.iter().take(ITEMS).enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            string(out, name, TEXT);
            out.push(b':');
            detail(out, value);
        }
        out.push(b'}');
    }
}

fn detail(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => string(out, &address_without_secrets(text), TEXT),
        Value::Number(number) => integer(out, *number),
        Value::Kept(kept) => out.extend_from_slice(kept.as_json()),
        Value::List(texts) => strings(out, texts.iter().take(ITEMS).map(String::as_str)),
    }
}

/// Addresses carry credentials now and then: in the user part, in the query.
fn address_without_secrets(text: &str) -> Cow<'_, str> {
    if text.contains("://") { text_without_secrets(text) } else { text.into() }
}

fn hexadecimal<const N: usize>(out: &mut Vec<u8>, name: &'static str, bytes: Option<[u8; N]>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let Some(bytes) = bytes else { return };
    key(out, name);
    out.push(b'"');
    out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
    out.push(b'"');
}

fn optional(out: &mut Vec<u8>, name: &'static str, text: Option<&str>, limit: usize) {
    if let Some(text) = text {
        member(out, name, text, limit);
    }
}
