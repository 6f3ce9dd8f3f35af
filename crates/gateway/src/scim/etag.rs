//! Versions (RFC 7644 section 3.14, RFC 9110 section 13): who changes a resource may say which version they know.

use http::{HeaderMap, HeaderName, header};

use super::error::ScimError;

/// Refuses a change of a version other than those that the client knows.
pub fn unchanged(headers: &HeaderMap, version: &str) -> Result<(), ScimError> {
    if names(headers, &header::IF_MATCH, version) == Some(false) {
        return Err(ScimError::changed());
    }
    Ok(())
}

/// Whether the client knows this version already.
pub fn is_known(headers: &HeaderMap, version: &str) -> bool {
    names(headers, &header::IF_NONE_MATCH, version) == Some(true)
}

/// Whether a header names this version, or any; `None` without one. All our versions are weak, so they are compared as such.
fn names(headers: &HeaderMap, name: &HeaderName, version: &str) -> Option<bool> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = opaque(version);
    let matches = |tag: &str| tag.trim() == "*" || opaque(tag) == wanted;
    Some(lines.filter_map(|line| line.to_str().ok()).any(|line| line.split(',').any(matches)))
}
