//! Hosts that may resolve to a private address.

use super::read::Node;

/// Single hosts, each with the port that may be reached there; that of https unless named.
pub(super) fn private_hosts(node: &Node<'_>) -> Vec<String> {
    let mut named = Vec::new();
    for text in node.texts("a list of hosts", "[mcp.internal, \"mcp.internal:8443\"]") {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
            _ => (text.as_str(), Some(443)),
        };
        match port.filter(|_| is_host(host)) {
            Some(port) => named.push(format!("{}:{port}", host.to_ascii_lowercase())),
            None => node.problem(
                format!("\"{}\" is not a host name", portcullis_base::printable(&text, 60)),
                "write a host without scheme or path, with its port unless it is 443: mcp.internal, \"mcp.internal:8443\"",
            ),
        }
    }
    named
}

/// Whether it is the name of one host, as URLs write it.
pub(super) fn is_host(text: &str) -> bool {
    !text.contains('*') && url::Host::parse(text).is_ok_and(|host| host.to_string().eq_ignore_ascii_case(text))
}
