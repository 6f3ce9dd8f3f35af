//! Redirect URIs: which may be registered, which are the same, and how an answer is put on one.

use std::fmt::Write;

use url::Url;

/// How many a client may have.
pub const MAX_URIS: usize = 10;
/// How long one may be.
pub const MAX_BYTES: usize = 2048;

/// Which redirect URIs a client may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectPolicy {
    /// Whether only this computer may be redirected to.
    pub reach: Reach,
    /// Private-use schemes that the administrator named (AS-38), such as `com.example.app` or `cursor`; none by default.
    pub private_schemes: Vec<String>,
}

/// How far redirects may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// To any `https` host, and to loopback.
    #[default]
    Any,
    /// To loopback only.
    LoopbackOnly,
}

/// Why a redirect URI may not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// More than [`MAX_BYTES`].
    #[error("a redirect URI is too long")]
    TooLong,
    /// A character, an escape or a dot segment that two readers could read differently, or a fragment.
    #[error("a redirect URI has a fragment, a wildcard, a dot segment or a character that is not allowed")]
    Ambiguous,
    /// Neither `https`, nor `http` on loopback, nor a scheme the administrator permits.
    #[error("a redirect URI must be https, or http on 127.0.0.1, [::1] or localhost")]
    Scheme,
    /// No host, userinfo, or a host that is not written the one plain way.
    #[error("a redirect URI must have a plain lower-case host and no user name")]
    Host,
    /// The administrator admits only loopback.
    #[error("this gateway only admits redirects to loopback")]
    NotLoopback,
}

impl RedirectPolicy {
    /// Schemes that run or show what they are given; no setting admits them.
    const DANGEROUS: [&'static str; 13] = [
        "about",
        "blob",
        "data",
        "file",
        "filesystem",
        "ftp",
        "http",
        "https",
        "javascript",
        "mailto",
        "vbscript",
        "view-source",
        "ws",
    ];

    /// Whether `uri` may be registered.
    ///
    /// spec: AS-37, T-11, T-14.
    pub fn check(&self, uri: &str) -> Result<(), RedirectError> {
        if uri.len() > MAX_BYTES {
            return Err(RedirectError::TooLong);
        }
        if !is_unambiguous(uri) {
            return Err(RedirectError::Ambiguous);
        }
        if is_loopback(uri) {
            return Ok(());
        }
        let (scheme, rest) = uri.split_once(':').ok_or(RedirectError::Scheme)?;
        match scheme {
            "https" if !has_plain_host(uri) => Err(RedirectError::Host),
            "https" if self.reach == Reach::LoopbackOnly => Err(RedirectError::NotLoopback),
            "https" => Ok(()),
            // spec: AS-38: off unless an administrator names the scheme.
            _ if Self::DANGEROUS.contains(&scheme.to_ascii_lowercase().as_str()) || rest.is_empty() => {
                Err(RedirectError::Scheme)
            }
            _ if self.private_schemes.iter().any(|permitted| permitted == scheme) => Ok(()),
            _ => Err(RedirectError::Scheme),
        }
    }
}

/// Whether `uri` is an `https` URL that every reader reads alike.
pub(crate) fn is_plain_https(uri: &str) -> bool {
    uri.starts_with("https://") && is_unambiguous(uri) && has_plain_host(uri)
}

/// Whether `uri` is `https` on another computer.
pub(crate) fn is_remote_https(uri: &str) -> bool {
    let local = |url: Url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => true,
    };
    uri.starts_with("https://") && Url::parse(uri).is_ok_and(|url| !local(url))
}

/// Only characters of RFC 3986, whole escapes, no fragment, no wildcard, no dot segment however it is written.
fn is_unambiguous(uri: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()+,;=%".contains(&b);
    if !uri.bytes().all(allowed) {
        return false;
    }
    let escapes = uri.split('%').skip(1).all(|after| {
        after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).is_some_and(|b| !b.is_ascii_control())
    });
    let dotted = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let path = uri.split('?').next().unwrap_or_default();
    escapes && !path.split('/').any(dotted)
}

/// A host that is written as a parser would write it; with a user name before it, it is not.
fn has_plain_host(uri: &str) -> bool {
    let Some((_, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_ok = port.is_none_or(|port| !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok());
    let parsed = Url::parse(uri).ok();
    let same = parsed.as_ref().and_then(Url::host_str).is_some_and(|parsed| parsed == host);
    port_ok && same && !host.ends_with('.')
}

/// Whether `presented` is the registered URI: byte for byte, but for the port of a loopback `http` URI.
pub fn matches(registered: &str, presented: &str) -> bool {
    // spec: AS-34, T-11: simple string comparison.
    if registered == presented {
        return true;
    }
    // spec: AS-35, AS-36, RFC8252#7.3: "The authorization server MUST allow any port to be specified at the time of the
    // request for loopback IP redirect URIs". Host names stay as they are: `localhost` is not `127.0.0.1`.
    match (Loopback::split(registered), Loopback::split(presented)) {
        (Some(a), Some(b)) => a.host == b.host && a.rest == b.rest,
        _ => false,
    }
}

/// Whether `uri` is `http` on this computer, written in one of the three ways that we take.
pub fn is_loopback(uri: &str) -> bool {
    Loopback::split(uri).is_some()
}

/// The host and port that a registered URI leads to, or the scheme of a private one: what a person should look at.
///
/// spec: AS-139.
pub fn destination(uri: &str) -> &str {
    match uri.split_once("://") {
        Some(("http" | "https", rest)) => rest.split(['/', '?']).next().unwrap_or_default(),
        _ => uri.split(':').next().unwrap_or_default(),
    }
}

/// A loopback URI cut at its port.
struct Loopback<'a> {
    host: &'a str,
    rest: &'a str,
}

impl<'a> Loopback<'a> {
    const HOSTS: [&'static str; 3] = ["127.0.0.1", "[::1]", "localhost"];

    fn split(uri: &'a str) -> Option<Self> {
        let after = uri.strip_prefix("http://")?;
        let host = Self::HOSTS.into_iter().find(|host| after.starts_with(host))?;
        let after = &after[host.len()..];
        let (port, rest) = match after.strip_prefix(':') {
            Some(after) => {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                (Some(&after[..digits]), &after[digits..])
            }
            None => (None, after),
        };
        let port_ok = port.is_none_or(|port| !port.starts_with('0') && port.parse::<u16>().is_ok());
        let rest_ok = rest.is_empty() || rest.starts_with(['/', '?']);
        (port_ok && rest_ok).then_some(Self { host, rest })
    }
}

/// Puts `pairs` on `uri`, whose own text is left as it is.
pub fn with_query(uri: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = uri.to_owned();
    for (name, value) in pairs {
        let separator = match out.find('?') {
            None => "?",
            Some(at) if at + 1 == out.len() || out.ends_with('&') => "",
            Some(_) => "&",
        };
        out.push_str(separator);
        encode(&mut out, name);
        out.push('=');
        encode(&mut out, value);
    }
    out
}

/// `pairs` as a form.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    with_query("?", pairs).split_off(1)
}

/// `text` as part of a form.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    encode(&mut out, text);
    out
}

/// Everything but the unreserved characters as `%XX`: read alike by form and by URI decoders.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}
