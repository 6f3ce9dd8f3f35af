//! Whom a process may reach, one host and port at a time.

use std::fmt;

use portcullis_base::printable;
use url::{Host, Url};

use super::{public_url::is_loopback, read::Node};

/// The port that is meant when none is said.
const HTTPS: u16 = 443;
/// Hosts that one process may be given.
const MOST: usize = 200;

/// The hosts that a process may reach; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<Reachable>);

/// One host and port, or all hosts below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachable {
    named: Named,
    port: u16,
    /// Whether it may be on a private network.
    private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    One(Host),
    /// Every name that has one label or more before this one, and not this one itself.
    Below(String),
}

impl Hosts {
    /// What was said of `host` at `port`, if it may be reached.
    pub fn find(&self, host: &Host, port: u16) -> Option<&Reachable> {
        let found = self.0.iter().filter(|known| known.port == port && known.named.has(host));
        // One entry may name it, and another one all that is around it.
        found.max_by_key(|known| known.private)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Reachable> {
        self.0.iter()
    }

    /// Whether `host` may be reached at some port.
    pub fn has(&self, host: &Host) -> bool {
        self.0.iter().any(|known| known.named.has(host))
    }
}

impl Reachable {
    /// Whether it may be on a private network: said so, or written as this machine.
    pub fn may_be_private(&self) -> bool {
        self.private || self.named.is_loopback()
    }
}

impl Named {
    fn has(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::One(known), host) => known == host,
            (Self::Below(above), Host::Domain(name)) => name
                .strip_suffix(above.as_str())
                .and_then(|left| left.strip_suffix('.'))
                .is_some_and(|left| !left.is_empty()),
            (Self::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }

    fn is_loopback(&self) -> bool {
        matches!(self, Self::One(host) if is_loopback(&borrowed(host)))
    }
}

impl fmt::Display for Reachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.named {
            Named::One(host) => write!(f, "{host}:{}", self.port),
            Named::Below(name) => write!(f, "*.{name}:{}", self.port),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}

/// A host as it is compared: names in lower case and without the dot at their end, addresses as numbers.
pub(crate) fn host(text: &str) -> Option<Host> {
    match Host::parse(text.strip_suffix('.').unwrap_or(text)).ok()? {
        Host::Domain(name) if name.is_empty() || name.ends_with('.') => None,
        host => Some(host),
    }
}

/// The same host, for those who only look at it.
pub(crate) fn borrowed(host: &Host) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

/// Reads a list of hosts; `None` after reporting.
pub(super) fn hosts(node: &Node<'_>) -> Option<Hosts> {
    let items = node.list("none, all or a list of hosts", EXAMPLE);
    let mut hosts: Vec<Reachable> = Vec::with_capacity(items.len().min(MOST));
    for item in &items {
        let Some(reachable) = reachable(item) else { continue };
        if hosts.iter().any(|known| (&known.named, known.port) == (&reachable.named, reachable.port)) {
            item.problem(format!("{reachable} is named twice"), "keep one of the two");
        }
        hosts.push(reachable);
    }
    if items.is_empty() {
        node.problem("names no host", format!("example: network: {EXAMPLE}; nobody at all is network: none"));
    }
    if items.len() > MOST {
        node.problem(format!("names more than {MOST} hosts"), "name what is above them: \"*.example.com\"");
    }
    (!hosts.is_empty()).then_some(Hosts(hosts))
}

const EXAMPLE: &str = "[api.github.com, \"*.npmjs.org\", db.example.com:5432]";

fn reachable(node: &Node<'_>) -> Option<Reachable> {
    let (text, private) = if let Some(text) = node.as_text() {
        (text.to_owned(), false)
    } else {
        let mut section = node.clone().section();
        let (host, private) = (section.take("host"), section.take("private"));
        let text = host.text("a host, with a port if that is not 443", "db.internal:5432");
        let private = private.is_given() && private.switch();
        section.finish();
        (text, private)
    };
    if text.is_empty() {
        return None;
    }
    match parse(text.trim()) {
        Err((what, help)) => {
            node.problem(format!("\"{}\" {what}", printable(&text, 100)), help);
            None
        }
        Ok((named, port)) => {
            let reachable = Reachable { named, port, private };
            if is_private(&reachable.named) && !reachable.may_be_private() {
                node.problem(
                    format!("{reachable} is on a private network"),
                    format!("if that is meant: {{ host: \"{reachable}\", private: true }}"),
                );
            }
            Some(reachable)
        }
    }
}

/// Reads `host`, `host:port` or `*.above:port`; the error says what is wrong, and what to write instead.
fn parse(text: &str) -> Result<(Named, u16), (String, String)> {
    if let Some((_, rest)) = text.split_once("://") {
        let known = Url::parse(text).ok();
        let port = known.as_ref().and_then(Url::port_or_known_default).filter(|port| *port != HTTPS);
        let host = known.as_ref().and_then(Url::host_str).unwrap_or(rest);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        return Err(("is a URL".into(), format!("write the host alone: {}{port}", printable(host, 100))));
    }
    if text.contains(|c: char| "/?#@\\ ".contains(c)) {
        return Err((
            "is no host".into(),
            "write its name, with a port if that is not 443: db.example.com:5432".into(),
        ));
    }
    if text == "*" {
        return Err(("is every host".into(), "network: all, if that is meant".into()));
    }
    if ["all", "none"].contains(&text) {
        return Err(("stands in a list".into(), format!("write network: {text}")));
    }
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (format!("[{address}]"), None),
        Some((address, rest)) => (format!("[{address}]"), Some(rest.strip_prefix(':').unwrap_or_default())),
        None if text.matches(':').count() > 1 => {
            return Err((
                "is no host and port".into(),
                format!("an address of IPv6 stands in brackets: \"[{}]:443\"", printable(text, 60)),
            ));
        }
        None => {
            text.split_once(':').map_or_else(|| (text.to_owned(), None), |(name, port)| (name.to_owned(), Some(port)))
        }
    };
    let port = match port.map(str::parse::<u16>) {
        None => HTTPS,
        Some(Ok(port @ 1..)) => port,
        Some(_) => {
            return Err((
                "has no port behind its colon".into(),
                "a number from 1 to 65535: db.example.com:5432".into(),
            ));
        }
    };
    let plain = (
        "is no name of a host".to_owned(),
        "letters, digits, hyphens and dots, or an address: api.example.com".to_owned(),
    );
    if let Some(above) = name.strip_prefix("*.") {
        return match host(above) {
            Some(Host::Domain(above)) if !above.contains('*') && above.contains('.') => Ok((Named::Below(above), port)),
            Some(Host::Domain(_)) if !above.contains('*') => Err((
                "is every host of a whole domain of the first level".into(),
                "name one of them: \"*.example.com\"".into(),
            )),
            _ => Err(plain),
        };
    }
    if name.contains('*') {
        return Err((
            "has a star that is not its first part".into(),
            "a star stands for whatever is left of a dot: \"*.example.com\"".into(),
        ));
    }
    let host = host(&name).ok_or(plain)?;
    if is_never_reached(&host) {
        return Err((
            "is never reached: it is for this network only, for many at once, or for nobody".into(),
            "take it out".into(),
        ));
    }
    Ok((Named::One(host), port))
}

fn is_never_reached(host: &Host) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(ip) => ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
        Host::Ipv6(ip) => {
            ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified() || ip.to_ipv4_mapped().is_some()
        }
    }
}

/// Whether the address that is named is one of a private network, as far as it is one.
fn is_private(named: &Named) -> bool {
    match named {
        Named::One(Host::Ipv4(ip)) => ip.is_private(),
        Named::One(Host::Ipv6(ip)) => ip.is_unique_local(),
        Named::One(Host::Domain(_)) | Named::Below(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reachable {
        let (named, port) = parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
        Reachable { named, port, private: false }
    }

    // spec: T-89
    #[test]
    fn host_is_found_by_its_name_and_port_however_it_is_written() {
        let hosts =
            Hosts(["Api.GitHub.com", "*.npmjs.org", "db.internal:5432", "127.0.0.1:80", "[::1]:81"].map(read).into());
        assert_eq!(hosts.to_string(), "api.github.com:443, *.npmjs.org:443, db.internal:5432, 127.0.0.1:80, [::1]:81");
        let find = |name: &str, port| host(name).is_some_and(|host| hosts.find(&host, port).is_some());
        for (name, port) in [
            ("api.github.com", 443),
            ("API.GITHUB.COM.", 443),
            ("registry.npmjs.org", 443),
            ("a.b.npmjs.org", 443),
            ("db.internal", 5432),
            ("127.1", 80),
            ("0x7f000001", 80),
            ("[0:0:0:0:0:0:0:1]", 81),
        ] {
            assert!(find(name, port), "{name}:{port}");
        }
        for (name, port) in [
            ("api.github.com", 80),
            ("github.com", 443),
            ("x.api.github.com", 443),
            ("npmjs.org", 443),
            (".npmjs.org", 443),
            ("evilnpmjs.org", 443),
            ("registry.npmjs.org.evil.example", 443),
            ("db.internal", 443),
            ("db.internal..", 5432),
            ("localhost", 80),
            ("::1", 81),
            ("", 443),
        ] {
            assert!(!find(name, port), "{name}:{port}");
        }
    }

    #[test]
    fn only_what_was_said_to_be_private_or_is_this_machine_may_be() {
        let private = Reachable { private: true, ..read("db.corp.example:5432") };
        let hosts = Hosts(vec![read("*.corp.example:5432"), private, read("localhost:80"), read("a.localhost:80")]);
        let may = |name: &str, port| hosts.find(&host(name).expect("host"), port).map(Reachable::may_be_private);
        assert_eq!(may("db.corp.example", 5432), Some(true));
        assert_eq!(may("other.corp.example", 5432), Some(false));
        assert_eq!((may("localhost", 80), may("a.localhost", 80)), (Some(true), Some(true)));
        assert_eq!(may("localhost", 5432), None);
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
        for (text, help) in [
            ("https://api.github.com/v3", "api.github.com"),
            ("http://db.example.com:8080", "db.example.com:8080"),
            ("http://db.example.com", "db.example.com:80"),
            ("api.github.com/v3", "db.example.com:5432"),
            ("user@example.com", "db.example.com:5432"),
            ("*", "network: all"),
            ("all", "network: all"),
            ("*.com", "*.example.com"),
            ("*.*.com", "letters"),
            ("api.*.com", "*.example.com"),
            ("a*.example.com", "*.example.com"),
            ("*.10.0.0.1", "letters"),
            ("example.com:", "1 to 65535"),
            ("example.com:0", "1 to 65535"),
            ("example.com:99999", "1 to 65535"),
            ("example.com:https", "1 to 65535"),
            ("::1", "\"[::1]:443\""),
            ("[::1]443", "1 to 65535"),
            ("[::g]", "letters"),
            ("1.2.3.256", "letters"),
            ("..", "letters"),
            ("169.254.169.254:80", "take it out"),
            ("0.0.0.0", "take it out"),
            ("[ff02::1]", "take it out"),
            ("[::ffff:127.0.0.1]", "take it out"),
        ] {
            let (_, said) = parse(text).expect_err(text);
            assert!(said.contains(help), "{text}: {said}");
        }
    }
}
