//! Replacing parts of a message where they stand, so that every other byte is what was checked.

use bytes::Bytes;
use portcullis_mcp::object::Object;

use crate::correlation;

/// `outer` with each `(inner, replacement)` applied. Every `inner` must be a slice of `outer`, as the readers of `mcp`
/// give it; one that is not is a fault of this program, and the message is then not sent at all (`None`).
pub(super) fn rewrite(outer: &str, edits: &mut [(&str, &str)]) -> Option<Bytes> {
    edits.sort_unstable_by_key(|(inner, _)| inner.as_ptr() as usize);
    let added: usize = edits.iter().map(|(_, replacement)| replacement.len()).sum();
    let mut out = Vec::with_capacity(outer.len() + added);
    let mut from = 0;
    for (inner, replacement) in edits.iter() {
        let start = (inner.as_ptr() as usize).checked_sub(outer.as_ptr() as usize)?;
        out.extend_from_slice(outer.as_bytes().get(from..start)?);
        out.extend_from_slice(replacement.as_bytes());
        from = start.checked_add(inner.len())?;
    }
    out.extend_from_slice(outer.as_bytes().get(from..)?);
    Some(out.into())
}

/// A request or notification as its server gets it: its `_meta` says where it stands in the trace, and nothing of baggage.
/// Whatever else it is stays as it is.
///
/// spec: TR-73, BR-70
pub(super) fn stamped(raw: &Bytes) -> Bytes {
    let edited = || {
        let text = std::str::from_utf8(raw).ok()?;
        let mut message = Object::read(text)?;
        let (method, id) = (message.get("method").is_some(), message.get("id").is_some());
        let mut params = message.raw("params").map_or_else(|| Some(Object::new()), Object::read)?;
        let meta = params.raw("_meta");
        // A response says nothing of its own, and a notification only if its client did.
        if !method || meta.is_none() && (!id || correlation::place().is_none()) {
            return None;
        }
        let mut meta = meta.map_or_else(|| Some(Object::new()), Object::read)?;
        correlation::stamp(&mut meta);
        let meta = meta.finish();
        params.set("_meta", meta);
        message.set("params", params.finish());
        Some(Bytes::from(message.finish().into_owned()))
    };
    edited().unwrap_or_else(|| raw.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_replaced_in_place_in_any_order() {
        let text = String::from(r#"{"id":1,"params":{"token":"a"}}"#);
        let (id, token) = (&text[6..7], &text[26..29]);
        let out = rewrite(&text, &mut [(token, "12"), (id, "\"x\"")]).unwrap();
        assert_eq!(&out[..], br#"{"id":"x","params":{"token":12}}"#);
        assert_eq!(rewrite(&text, &mut [("foreign", "x")]), None);
        assert_eq!(rewrite(&text, &mut [(id, "1"), (id, "2")]), None);
    }
}
