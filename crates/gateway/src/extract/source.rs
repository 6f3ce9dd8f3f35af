//! Where a request came from, as far as it can be known.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, HeaderName, request::Parts};
use ipnet::IpNet;

use crate::{
    app::App,
    error::{ApiError, PageError},
    limit,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(pub IpAddr);

impl Source {
    /// The key of limits per source.
    pub fn key(self) -> String {
        limit::source(self.0)
    }
}

/// Turns away a program that floods the doors. spec: SEC-75
pub async fn calls_not_too_often(
    State(app): State<Arc<App>>,
    source: Source,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    app.limits.door_source.take(&source.key())?;
    Ok(next.run(request).await)
}

/// Turns away a browser that floods the doors. spec: SEC-75
pub async fn pages_not_too_often(
    State(app): State<Arc<App>>,
    source: Source,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    app.limits.door_source.take(&source.key())?;
    Ok(next.run(request).await)
}

impl FromRequestParts<Arc<App>> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let address = address_of(&parts.extensions, &parts.headers, &app.config.trusted_proxies);
        Ok(Self(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// The address of whoever sent a request that the listener accepted.
pub fn address_of(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(behind_proxies(peer.ip().to_canonical(), headers, trusted))
}

/// The nearest address that is not a proxy of ours.
///
/// spec: T-32, RS-32: the header is read only as far as trusted proxies wrote it, from the right; what stands left of the
/// first stranger is that stranger's invention.
fn behind_proxies(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut nearest = peer;
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_proxy(nearest) {
            break;
        }
        let entry = entry.trim();
        let address = entry.parse().ok().or_else(|| entry.parse().ok().map(|at: SocketAddr| at.ip()));
        let Some(address) = address else { break };
        nearest = IpAddr::to_canonical(&address);
    }
    nearest
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // spec: T-32, RS-32
    #[test]
    fn forwarded_addresses_count_only_behind_trusted_proxies() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let from = |peer: &str, lines: &[&'static str]| {
            let headers = lines.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line))).collect();
            behind_proxies(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(from("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(from("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["1.2.3.4", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }
}
