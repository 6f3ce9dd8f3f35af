//! The first check of every request: does it name us, and may the page it comes from talk to us (T-30).
//!
//! A browser can be made to send requests here by any page, and by DNS rebinding even under a name that resolves to us.
//! `Host` tells of the second, `Origin` of the first. Nothing else is ever derived from `Host`.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use url::Url;

/// What a request may call us, and the pages that may call.
#[derive(Clone, Debug)]
pub struct Origins {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Whether a page of a foreign origin may read a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Only pages of allowed origins.
    Guarded,
    /// Public documents, such as metadata: any page (RS-8). The host is checked all the same.
    Open,
}

impl Origins {
    /// From the public URL, the address we listen on, and further origins an administrator allowed.
    pub fn new<'a>(public_url: &Url, listen: SocketAddr, allowed: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hosts = vec![authority_of(public_url)];
        if listen.ip().is_loopback() || listen.ip().is_unspecified() {
            // spec: TR-2: "a loopback name or the configured public name"
            hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{}", listen.port())));
        }
        let mut origins = vec![public_url.origin().ascii_serialization()];
        origins.extend(allowed.into_iter().map(|text| text.trim_end_matches('/').to_ascii_lowercase()));
        Self { hosts, origins }
    }

    /// `421` when the request is not for us, `403` when its page may not call us.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap, exposure: Exposure) -> Result<(), StatusCode> {
        // spec: T-30: Host against configured names (421), then Origin (403), before any processing.
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next(), uri.authority()) {
            (Some(host), None, None) => host.to_str().ok(),
            (Some(host), None, Some(target)) => host.to_str().ok().filter(|host| target.as_str() == *host),
            _ => None,
        };
        if !host.is_some_and(|host| self.is_ours(host)) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        match exposure {
            Exposure::Open => Ok(()),
            Exposure::Guarded => {
                let mut origins = headers.get_all(header::ORIGIN).iter();
                // spec: TR-1: "present and not allowed gives 403; absent is accepted"
                match (origins.next(), origins.next()) {
                    (None, _) => Ok(()),
                    (Some(origin), None) if self.allows(origin) => Ok(()),
                    _ => Err(StatusCode::FORBIDDEN),
                }
            }
        }
    }

    /// Whether pages of `origin` may call us.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origins.iter().any(|allowed| allowed == origin))
    }

    fn is_ours(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
            || host.parse::<Authority>().is_ok_and(|a| {
                matches!(a.port_u16(), Some(80 | 443))
                    && self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(a.host()))
            })
    }
}

fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        map
    }

    /// spec: T-30, TR-1, TR-2
    #[test]
    fn requests_for_other_hosts_and_from_other_pages_are_refused() {
        let public = Url::parse("https://mcp.example.com").unwrap();
        let origins = Origins::new(&public, "127.0.0.1:7878".parse().unwrap(), ["https://app.example.com/"]);
        let uri = Uri::from_static("/mcp/sample");
        let check = |pairs: &[(&str, &str)]| origins.check(&uri, &headers(pairs), Exposure::Guarded);
        for host in [
            "mcp.example.com",
            "MCP.example.com",
            "mcp.example.com:443",
            "127.0.0.1:7878",
            "localhost:7878",
            "[::1]:7878",
        ] {
            assert_eq!(check(&[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1", "127.0.0.1:1", "mcp.example.com:8443", "mcp.example.com.evil.example", ""]
        {
            assert_eq!(check(&[("host", host)]), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        assert_eq!(check(&[]), Err(StatusCode::MISDIRECTED_REQUEST));
        let twice = [("host", "mcp.example.com"), ("host", "evil.example")];
        assert_eq!(check(&twice), Err(StatusCode::MISDIRECTED_REQUEST));

        let from = |origin: &'static str| check(&[("host", "mcp.example.com"), ("origin", origin)]);
        assert_eq!(from("https://mcp.example.com"), Ok(()));
        assert_eq!(from("https://app.example.com"), Ok(()));
        for origin in
            ["https://evil.example", "http://mcp.example.com", "null", "", "https://mcp.example.com.evil.example"]
        {
            assert_eq!(from(origin), Err(StatusCode::FORBIDDEN), "{origin}");
        }
        let absolute = Uri::from_static("http://evil.example/mcp/sample");
        let ours = headers(&[("host", "mcp.example.com")]);
        assert_eq!(origins.check(&absolute, &ours, Exposure::Guarded), Err(StatusCode::MISDIRECTED_REQUEST));
    }

    /// spec: RS-8
    #[test]
    fn public_documents_are_readable_by_every_page_but_only_under_our_name() {
        let public = Url::parse("http://127.0.0.1:7878").unwrap();
        let origins = Origins::new(&public, "127.0.0.1:7878".parse().unwrap(), []);
        let uri = Uri::from_static("/.well-known/oauth-authorization-server");
        let foreign = headers(&[("host", "127.0.0.1:7878"), ("origin", "https://evil.example")]);
        assert_eq!(origins.check(&uri, &foreign, Exposure::Open), Ok(()));
        let misdirected = headers(&[("host", "evil.example")]);
        assert_eq!(origins.check(&uri, &misdirected, Exposure::Open), Err(StatusCode::MISDIRECTED_REQUEST));
    }
}
