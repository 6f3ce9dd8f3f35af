//! The base URL that clients see. It is also the issuer, so its text is fixed once and the same everywhere.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use url::{Host, Url};

/// Scheme, host and port without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: Arc<str>,
    host: Arc<str>,
    https: bool,
    derived: bool,
}

impl PublicUrl {
    /// Checks `text`; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
        let ("http" | "https", Some(host)) = (url.scheme(), url.host()) else {
            return Err("is not an https:// URL".into());
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not carry a name or password".into());
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("must end after host and port: path, query and fragment are not supported".into());
        }
        // spec: AS-3: every endpoint over HTTPS; plain HTTP only on loopback.
        if url.scheme() == "http" && !is_loopback(&host) {
            return Err("is plain http to another machine: sign-ins and tokens would travel readable".into());
        }
        Ok(Self {
            text: url.origin().ascii_serialization().into(),
            host: host.to_string().into(),
            https: url.scheme() == "https",
            derived: false,
        })
    }

    /// The URL of a listener without a configured public URL.
    pub fn derived_from(listen: SocketAddr) -> Self {
        Self {
            text: format!("http://{listen}").into(),
            host: match listen {
                SocketAddr::V4(address) => address.ip().to_string(),
                SocketAddr::V6(address) => format!("[{}]", address.ip()),
            }
            .into(),
            https: false,
            derived: true,
        }
    }

    /// The URL as text, byte-identical wherever it is shown.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether clients reach it by TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether it can only be this machine.
    pub fn is_loopback(&self) -> bool {
        Host::parse(&self.host).is_ok_and(|host| match host {
            Host::Domain(name) => is_loopback(&Host::Domain(name.as_str())),
            Host::Ipv4(address) => is_loopback(&Host::Ipv4(address)),
            Host::Ipv6(address) => is_loopback(&Host::Ipv6(address)),
        })
    }

    /// Whether it follows from `listen` instead of being configured.
    pub fn is_derived(&self) -> bool {
        self.derived
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a host can only be this machine.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: AS-3
    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["http://127.0.0.1:7878", "http://[::1]:7878", "http://localhost:1", "https://mcp.example.com"] {
            assert_eq!(PublicUrl::parse(good).expect(good).as_str(), good);
        }
        for bad in [
            "http://mcp.example.com",
            "http://10.0.0.1:7878",
            "http://0.0.0.0:7878",
            "ftp://127.0.0.1",
            "mcp.example.com",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn trailing_slash_and_default_port_are_normalised_away() {
        for text in ["https://MCP.example.com/", "https://mcp.example.com:443", "https://mcp.example.com"] {
            assert_eq!(PublicUrl::parse(text).expect(text).to_string(), "https://mcp.example.com");
        }
        for bad in ["https://a.example/base", "https://a.example/?x", "https://a.example/#x", "https://u:p@a.example"] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
