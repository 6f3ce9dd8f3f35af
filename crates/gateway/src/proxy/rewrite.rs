//! Replacing parts of a message where they stand, so that every other byte is what was checked.

use bytes::Bytes;

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
