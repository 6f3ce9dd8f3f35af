//! Which name a page was asked for under.
//!
//! Sign-ins, cookies and forms are bound to the public URL. On a developer's machine the same listener also answers to
//! other loopback names; a page opened under one of those is opened again under the right one.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, Method, Uri, header};

use crate::app::App;

/// Answers pages under the public URL only. Whether a name is ours at all was checked before.
pub async fn under_public_url(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let public_url = app.config.public_url.as_str();
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_page && !is_own_host(public_url, request.uri(), request.headers()) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        return Redirect::to(&format!("{public_url}{path}")).into_response();
    }
    next.run(request).await
}

/// Whether the one `Host` (and an absolute request target, if there is one) names the public URL.
fn is_own_host(public_url: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = public_url.split_once("://").map_or(public_url, |(_, authority)| authority);
    let default_port = if public_url.starts_with("https:") { ":443" } else { ":80" };
    let own = |host: &str| host.strip_suffix(default_port).unwrap_or(host).eq_ignore_ascii_case(authority);
    let mut hosts = headers.get_all(header::HOST).iter();
    let header_is_own = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(own),
        _ => false,
    };
    header_is_own && uri.authority().is_none_or(|authority| own(authority.as_str()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // spec: T-30
    #[test]
    fn only_the_configured_name_is_ours() {
        let own = |url: &str, hosts: &[&'static str]| {
            let headers = hosts.iter().map(|host| (header::HOST, HeaderValue::from_static(host))).collect();
            is_own_host(url, &Uri::from_static("/x"), &headers)
        };
        assert!(own("http://127.0.0.1:7878", &["127.0.0.1:7878"]));
        assert!(own("https://mcp.example.com", &["MCP.example.com"]));
        assert!(own("https://mcp.example.com", &["mcp.example.com:443"]));
        for host in ["evil.example", "127.0.0.1", "127.0.0.1:7878.evil.example", "localhost:7878", ""] {
            assert!(!own("http://127.0.0.1:7878", &[host]), "{host}");
        }
        assert!(!own("http://127.0.0.1:7878", &[]));
        assert!(!own("http://127.0.0.1:7878", &["127.0.0.1:7878", "127.0.0.1:7878"]));
        let headers = [(header::HOST, HeaderValue::from_static("127.0.0.1:7878"))].into_iter().collect();
        assert!(!is_own_host("http://127.0.0.1:7878", &Uri::from_static("http://evil.example/x"), &headers));
    }
}
