//! W3C Trace Context as it travels in `_meta`: only what has its form is passed on.

use crate::scan;

/// Whether a member of `_meta` may go on to a server as far as tracing is concerned: what has the form of a trace context
/// may, and baggage may not, which was not said to this server.
///
/// spec: TR-73, BR-70
pub fn travels(name: &str, raw: &str) -> bool {
    match name {
        "traceparent" => scan::string(raw).is_some_and(|text| is_traceparent(&text)),
        "tracestate" => scan::string(raw).is_some_and(|text| is_tracestate(&text)),
        "baggage" => false,
        _ => true,
    }
}

/// Whether `text` is a `traceparent` of version 00: `00-{trace-id}-{parent-id}-{flags}`, neither id all zeros.
///
/// spec: TR-73
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, parent, flags] if id(trace, 32) && id(parent, 16) && hex(flags, 2))
}

/// The id of the trace that a `traceparent` of version 00 belongs to; `None` where it is none.
///
/// spec: TR-73
pub fn trace_id(traceparent: &str) -> Option<[u8; 16]> {
    let digits = is_traceparent(traceparent).then(|| &traceparent[3..35])?;
    Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

/// Whether `text` is a `tracestate`: at most 32 members `key=value` of printable ASCII, 512 characters in all.
pub fn is_tracestate(text: &str) -> bool {
    let member = |member: &str| {
        member.split_once('=').is_some_and(|(key, value)| {
            let key_fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
            !key.is_empty()
                && key.len() <= 256
                && key.bytes().all(key_fits)
                && !value.is_empty()
                && !value.contains('=')
        })
    };
    let members: Vec<&str> = text.split(',').map(str::trim_ascii).filter(|member| !member.is_empty()).collect();
    text.len() <= 512 && is_visible(text) && (1..=32).contains(&members.len()) && members.into_iter().all(member)
}

/// Whether `text` can be W3C `baggage`: members `key=value` of printable ASCII, 8192 characters in all.
pub fn is_baggage(text: &str) -> bool {
    let member = |member: &str| member.split_once('=').is_some_and(|(key, _)| !key.trim_ascii().is_empty());
    !text.is_empty() && text.len() <= 8192 && is_visible(text) && text.split(',').all(member)
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}
