//! Resource indicators (RFC 8707): which of our endpoints a request is about.

use url::Url;

/// The longest `resource` value that is looked at.
const MAX_BYTES: usize = 2048;

/// The endpoints that a resource may name, as the gateway knows them just now.
pub struct Resources<'a> {
    /// Whether this canonical URL is one of our MCP endpoints.
    pub known: &'a dyn Fn(&str) -> bool,
    /// The endpoint meant by clients that name none, if the administrator chose one.
    pub default: Option<&'a str>,
}

/// The request names no endpoint of ours, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum ResourceError {
    /// Not an absolute URI without fragment that is one of our endpoints.
    Unknown,
    /// Several different ones.
    Several,
    /// None, and there is no default.
    Missing,
}

impl ResourceError {
    /// What the caller may read.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "resource is not an MCP endpoint of this gateway",
            Self::Several => "only one resource can be authorized at a time",
            Self::Missing => "resource is required",
        }
    }
}

impl Resources<'_> {
    /// The one canonical endpoint URL that `asked` means.
    pub fn select<'a>(&self, asked: impl IntoIterator<Item = &'a str>) -> Result<String, ResourceError> {
        match only(asked)? {
            // spec: AS-46: names an MCP endpoint of this gateway.
            Some(resource) if (self.known)(&resource) => Ok(resource),
            Some(_) => Err(ResourceError::Unknown),
            // spec: AS-49: the default endpoint or nothing; never a token without audience.
            None => self.default.map(str::to_owned).ok_or(ResourceError::Missing),
        }
    }
}

/// The canonical form of the one resource that is asked for; `None` if none is.
pub fn only<'a>(asked: impl IntoIterator<Item = &'a str>) -> Result<Option<String>, ResourceError> {
    let mut one: Option<String> = None;
    for text in asked {
        let resource = canonical(text).ok_or(ResourceError::Unknown)?;
        // spec: AS-48: several different ones would make a token for several audiences.
        if one.as_ref().is_some_and(|known| *known != resource) {
            return Err(ResourceError::Several);
        }
        one = Some(resource);
    }
    Ok(one)
}

/// The one way we write an endpoint URL: scheme and host in lower case, no default port, no slash at the end.
pub fn canonical(text: &str) -> Option<String> {
    // spec: AS-46, RFC8707#2: "Its value MUST be an absolute URI [...] The URI MUST NOT include a fragment component."
    if text.len() > MAX_BYTES || !is_plain(text) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    // The path and query as they were written: `Url` would resolve dots and re-encode.
    let (_, rest) = text.split_once("://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // A host that only a parser would take for ours, such as `127.1`, is not.
    if !authority.get(..host.len()).is_some_and(|written| written.eq_ignore_ascii_case(host)) {
        return None;
    }
    if rest.split(['/', '?']).any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    // spec: AS-47: with or without one trailing slash.
    Some(format!("{}://{host}{port}{}", url.scheme(), rest.strip_suffix('/').unwrap_or(rest)))
}

/// `http` or `https` with `//`, no fragment, no userinfo, no character that parsers read differently.
fn is_plain(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\' | b'"' | b'<' | b'>'))
        && !authority.contains(['@', '%'])
}
