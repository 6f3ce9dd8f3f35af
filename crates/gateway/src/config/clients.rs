//! Reads `clients`: how they make themselves known, and those that are named.

use std::time::Duration;

use portcullis_oauth::redirect::RedirectPolicy;
use url::Url;

use super::{
    Clients, ConfiguredClient, MetadataDocuments, Registration, RegistrationLimits,
    private_hosts::{is_host, private_hosts},
    read::{Node, Section},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const KIB: usize = 1 << 10;

/// Reads the section.
pub(super) fn clients(mut section: Section<'_>) -> Clients {
    let registration = section.take("registration").choice(&[
        ("open", Registration::Open),
        ("loopback", Registration::Loopback),
        ("off", Registration::Off),
    ]);
    let registration_limits = registration_limits(section.take("registration_limits").section());
    let metadata_documents = metadata_documents(section.take("metadata_documents").section());
    let redirect_schemes = redirect_schemes(&section.take("redirect_schemes"));
    let configured = configured(&section.take("configured"));
    section.finish();
    Clients { registration, registration_limits, metadata_documents, redirect_schemes, configured }
}

/// spec: AS-38: none unless named, and never one that runs or shows what it is given.
fn redirect_schemes(node: &Node<'_>) -> Vec<String> {
    let schemes = node.texts("a list of schemes", "[cursor]");
    for scheme in &schemes {
        let plain =
            scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'));
        let policy = RedirectPolicy { private_schemes: vec![scheme.clone()], ..RedirectPolicy::default() };
        if !plain || policy.check(&format!("{scheme}:/callback")).is_err() {
            node.problem(
                format!("\"{}\" is not a scheme that can be allowed", portcullis_base::printable(scheme, 60)),
                "write the scheme alone, in lower case, such as cursor or com.example.app",
            );
        }
    }
    schemes
}

fn registration_limits(mut section: Section<'_>) -> RegistrationLimits {
    // spec: AS-123, T-20: rate, cap, expiry.
    let limits = RegistrationLimits {
        per_minute: section.take("per_minute").number(1..=100_000),
        total: section.take("total").number(1..=10_000_000),
        unused: section.take("unused").duration(MINUTE..=365 * DAY, "24h"),
        idle: section.take("idle").duration(HOUR..=3650 * DAY, "90d"),
    };
    section.finish();
    limits
}

fn metadata_documents(mut section: Section<'_>) -> MetadataDocuments {
    // spec: AS-115: any, allow list with wildcards, deny list.
    let documents = MetadataDocuments {
        enabled: section.take("enabled").switch(),
        allow: hosts(&section.take("allow")),
        deny: hosts(&section.take("deny")),
        private_hosts: private_hosts(&section.take("private_hosts")),
        // spec: AS-110: a maximum size up to 64 KiB and a total timeout.
        size: section.take("size").size(KIB..=64 * KIB, "16KiB"),
        timeout: section.take("timeout").duration(SECOND..=MINUTE, "5s"),
    };
    section.finish();
    documents
}

/// Host patterns: exact, `*.example.com`, or `*`.
fn hosts(node: &Node<'_>) -> Vec<String> {
    let hosts = node.texts("a list of host names", "[mcp.example.com]");
    for host in hosts.iter().filter(|host| *host != "*" && !is_host(host.strip_prefix("*.").unwrap_or(host))) {
        node.problem(
            format!("\"{}\" is not a host name", portcullis_base::printable(host, 60)),
            "write a host without scheme, port or path: mcp.example.com, *.example.com, or \"*\"",
        );
    }
    hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect()
}

fn configured(node: &Node<'_>) -> Vec<ConfiguredClient> {
    let mut clients: Vec<ConfiguredClient> = Vec::new();
    for item in node.list(
        "a list of clients",
        "[{ id: report, name: Report, redirect_uris: [https://report.example.com/callback] }]",
    ) {
        let mut section = item.section();
        let id_node = section.take("id");
        let id = id_node.text("the client_id", "nightly-report");
        let name = section.take("name").text("the name on the consent page", "Nightly report");
        let redirect_uris = redirect_uris(&section.take("redirect_uris"));
        let secret =
            Some(section.take("secret")).filter(Node::is_given).and_then(|node| node.secret("env:REPORT_SECRET"));
        let method_node = section.take("token_endpoint_auth_method");
        let token_endpoint_auth_method = auth_method(&method_node, secret.is_some());
        let grant_types = grant_types(&section.take("grant_types"));
        section.finish();
        if clients.iter().any(|other| other.id == id) {
            id_node.problem("names a second client", "give each client an id of its own");
        }
        clients.push(ConfiguredClient { id, name, redirect_uris, secret, token_endpoint_auth_method, grant_types });
    }
    clients
}

fn redirect_uris(node: &Node<'_>) -> Vec<String> {
    let uris = node.texts("a list of redirect URIs", "[https://report.example.com/callback]");
    if uris.is_empty() {
        node.problem(
            "expected at least one redirect URI",
            "example: redirect_uris: [https://report.example.com/callback]",
        );
    }
    for uri in &uris {
        if !Url::parse(uri).is_ok_and(|url| url.fragment().is_none()) {
            node.problem(
                format!("\"{}\" is not an absolute URI without fragment", portcullis_base::printable(uri, 100)),
                "example: redirect_uris: [https://report.example.com/callback]",
            );
        }
    }
    uris
}

fn auth_method(node: &Node<'_>, has_secret: bool) -> String {
    let fitting = if has_secret { "client_secret_basic" } else { "none" };
    if !node.is_given() {
        return fitting.to_owned();
    }
    let method = node.choice(&[
        ("none", "none"),
        ("client_secret_basic", "client_secret_basic"),
        ("client_secret_post", "client_secret_post"),
    ]);
    match (method, has_secret) {
        ("none", true) => {
            node.problem("is none, but the client has a secret", "use client_secret_basic, or take the secret out");
        }
        ("client_secret_basic" | "client_secret_post", false) => {
            node.problem(format!("is {method}, but the client has no secret"), "example: secret: env:REPORT_SECRET");
        }
        _ => {}
    }
    method.to_owned()
}

fn grant_types(node: &Node<'_>) -> Vec<String> {
    const KNOWN: [&str; 2] = ["authorization_code", "refresh_token"];
    if !node.is_given() {
        return KNOWN.map(str::to_owned).to_vec();
    }
    let types = node.texts("a list of grant types", "[authorization_code, refresh_token]");
    for kind in types.iter().filter(|kind| !KNOWN.contains(&kind.as_str())) {
        let what = if kind == "client_credentials" {
            "is not available yet in this version"
        } else {
            "is not a grant type of this gateway"
        };
        node.problem(
            format!("\"{}\" {what}", portcullis_base::printable(kind, 60)),
            format!("known: {}", KNOWN.join(", ")),
        );
    }
    types
}
