//! Addresses that somebody else wrote down and that secrets or people would be sent to.

use url::{Host, Url};

/// The longest address that is looked at.
const MAX_BYTES: usize = 2048;

/// How far an address may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// `https` only.
    Public,
    /// Also `http` on this computer: for development, and where the one who wrote it is there as well.
    Loopback,
}

impl Reach {
    /// How far the addresses that `url` names may lead: nobody far away may point at this computer.
    ///
    /// spec: UP-10, T-28.
    pub fn of(url: &str) -> Self {
        match Url::parse(url) {
            Ok(url) if url.scheme() == "http" && is_loopback(&url) => Self::Loopback,
            _ => Self::Public,
        }
    }

    /// Whether tokens and people may go to `url`.
    ///
    /// spec: UP-10: "`https` (loopback only in development), no `javascript:`/`data:`/`file:` and the like".
    pub fn admits(self, url: &str) -> bool {
        let plain = url.len() <= MAX_BYTES && url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"'));
        let Some(url) = plain.then(|| Url::parse(url).ok()).flatten() else { return false };
        let host = url.host_str().is_some_and(|host| !host.is_empty() && !host.ends_with('.'));
        let clean = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        host && clean
            && (url.scheme() == "https" || (self == Self::Loopback && url.scheme() == "http" && is_loopback(&url)))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether two addresses have the same scheme, host and port.
pub fn same_origin(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin().is_tuple() && a.origin() == b.origin(),
        _ => false,
    }
}

/// Whether two addresses belong to the same owner, as far as names tell: the same host, or the same registrable domain
/// (`auth.example.com` and `api.example.com`, but not two customers of a hosting company, whose names are on the list of
/// public suffixes).
///
/// spec: T-18: same-site. Equal hosts alone would refuse most honest services; the last two labels alone would make one
/// owner of everybody under `co.uk` or `workers.dev`.
pub fn same_site(a: &str, b: &str) -> bool {
    let parse = |url: &str| Url::parse(url).ok();
    let Some((a, b)) = parse(a).zip(parse(b)) else { return false };
    match (a.host(), b.host()) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
            a == b || registrable(a).is_some_and(|site| registrable(b) == Some(site))
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn registrable(host: &str) -> Option<&str> {
    psl::domain_str(host)
}
