//! Every key with its type, its bounds and its cross-checks, in the order of the file.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, path::Path, time::Duration};

use ipnet::IpNet;
use portcullis_audit::Keep;
use portcullis_base::ServerName;
use portcullis_oauth::redirect::RedirectPolicy;
use portcullis_policy::{Access, nearest};
use portcullis_store::DatabaseSettings;
use url::Url;

use super::{
    AccessKeys, Audit, ClientDocument, Clients, Config, ConfiguredClient, Environment, Identity, LegacySse, Limits,
    MetadataDocuments, Outbound, Place, Provider, PublicUrl, Registration, RegistrationLimits, RulesText, Server,
    Sessions, Tokens,
    external::external,
    issuers::Asked,
    more::{Around, more},
    openapi::{fits, openapi},
    processes,
    providers::provider,
    read::{Node, Section, Settings},
    toolboxes::toolboxes,
    workloads::workloads,
};
use crate::{journal::Durability, toolbox::ALL};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Values that follow from others: key, value, from which key.
type Derived = Vec<(&'static str, String, &'static str)>;

/// Reads everything. Where a problem was reported the value is a placeholder that never leaves the loader.
pub(super) fn config(settings: &Settings<'_>, environment: Environment) -> (Config, Derived) {
    let mut derived = Derived::new();
    let mut top = settings.top();
    let listen = top.take("listen").address("127.0.0.1:7878");
    let operations = operations(top.take("operations"), listen);
    let public_url = public_url(top.take("public_url"), listen, &mut derived);
    let data = top.take("data").file_path("/var/lib/portcullis");
    let database = database(top.take("database"), &data);
    let root_key =
        Some(top.take("root_key")).filter(Node::is_given).and_then(|node| node.secret("file:/run/secrets/root-key"));
    let root_key_command = Some(top.take("root_key_command")).filter(Node::is_given).and_then(|node| {
        let words = node.texts("a program and its arguments", "[vault, kv, get, -field=key, secret/portcullis]");
        if words.is_empty() {
            node.problem("names no program", "write the program and its arguments as a list; no shell reads it");
        } else if root_key.is_some() {
            node.problem("is set, and so is `root_key`", "keep one of them: there is one root key");
        }
        Some(words).filter(|words| !words.is_empty())
    });
    let mut asked = Asked::default();
    let identity_node = top.take("identity").section();
    let local_accounts_given = identity_node.has("local_accounts");
    let identity = identity(identity_node, &mut asked);
    if !local_accounts_given {
        derived.push(("identity.local_accounts", identity.local_accounts.to_string(), "identity.providers"));
    }
    let roles = roles(&top.take("roles"));
    let access_keys = access_keys(top.take("access_keys").section());
    let servers = servers(&top.take("servers"), &data, &identity.providers, &mut asked);
    let (toolboxes, named) = toolboxes(&top.take("toolboxes"), &servers);
    let default_resource =
        Some(top.take("default_resource")).filter(Node::is_given).and_then(|node| server_name(&node));
    let legacy_sse = top.take("legacy_sse");
    let legacy_sse = if legacy_sse.is_given() && legacy_sse.switch() { LegacySse::Served } else { LegacySse::Off };
    let rules = rules(&top.take("rules"));
    let sessions = sessions(top.take("sessions").section());
    let tokens = tokens(top.take("tokens").section());
    let clients = clients(top.take("clients").section());
    let outbound = outbound(top.take("outbound").section(), &public_url);
    asked.check(&outbound.private_hosts);
    let trusted_proxies = trusted_proxies(&top.take("trusted_proxies"));
    let limits = limits(top.take("limits").section());
    let audit = audit(top.take("audit").section());
    top.finish();
    let config = Config {
        listen,
        operations,
        public_url,
        data,
        database,
        root_key,
        root_key_command,
        identity,
        roles,
        access_keys,
        servers,
        toolboxes,
        named,
        default_resource,
        legacy_sse,
        rules,
        sessions,
        tokens,
        clients,
        outbound,
        trusted_proxies,
        limits,
        audit,
        environment,
    };
    (config, derived)
}

fn operations(node: Node<'_>, listen: SocketAddr) -> SocketAddr {
    let operations = node.address("127.0.0.1:7879");
    if operations == listen && operations.port() != 0 {
        node.problem("is the same address as `listen`", "give the operations listener a port of its own");
    }
    operations
}

fn public_url(node: Node<'_>, listen: SocketAddr, derived: &mut Derived) -> PublicUrl {
    let from_listen = PublicUrl::derived_from(listen);
    let example = "https://mcp.example.com";
    if !node.is_given() {
        // spec: AS-3: without a public URL the gateway is for this machine only.
        if !listen.ip().is_loopback() {
            node.problem(
                format!("is missing: `listen` is {listen}, which other machines reach, so clients need an https:// URL"),
                format!("set public_url to the https:// URL of the proxy that ends TLS in front of the gateway\nexample: public_url: {example}\nor keep the gateway on this machine: listen: 127.0.0.1:{}", listen.port()),
            );
        }
        derived.push(("public_url", from_listen.to_string(), "listen"));
        return from_listen;
    }
    let text = node.text("the URL that clients see", example);
    match PublicUrl::parse(&text) {
        _ if text.is_empty() => from_listen,
        // spec: AS-3: "plain HTTP is allowed only on a loopback listener".
        Ok(url) if !url.is_https() && !listen.ip().is_loopback() => {
            node.problem(
                format!("is plain http, but `listen` is {listen}, which other machines reach: sign-ins and tokens would travel readable"),
                format!("put a proxy that ends TLS in front and write its https:// URL\nexample: public_url: {example}\nor keep the gateway on this machine: listen: 127.0.0.1:{}", listen.port()),
            );
            from_listen
        }
        Ok(url) => url,
        Err(wrong) => {
            node.problem(
                format!("\"{}\" {wrong}", portcullis_base::printable(&text, 100)),
                format!("example: public_url: {example}"),
            );
            from_listen
        }
    }
}

fn database(node: Node<'_>, data: &std::path::Path) -> DatabaseSettings {
    let sqlite = || DatabaseSettings::Sqlite(data.join("portcullis.db"));
    let text = node.text("sqlite or a PostgreSQL URL", "postgres://portcullis@db.example.com/portcullis");
    let is_postgres = |text: &str| text.starts_with("postgres://") || text.starts_with("postgresql://");
    match text.as_str() {
        "" | "sqlite" => sqlite(),
        text if is_postgres(text) && Url::parse(text).is_ok() => DatabaseSettings::postgres(text),
        text if text.starts_with("env:") || text.starts_with("file:") => match node.referenced(text) {
            Some(secret) if is_postgres(secret.reveal()) => DatabaseSettings::postgres(secret.reveal()),
            Some(secret) if secret.reveal() == "sqlite" => sqlite(),
            Some(_) => {
                node.problem(
                    "what it refers to is not a postgres:// URL",
                    "example: postgres://portcullis:PASSWORD@db.example.com/portcullis",
                );
                sqlite()
            }
            None => sqlite(),
        },
        _ => {
            node.problem(
                "expected sqlite, a postgres:// URL, or a reference to one (env:NAME, file:PATH), found something else",
                "example: database: postgres://portcullis@db.example.com/portcullis",
            );
            sqlite()
        }
    }
}

fn identity<'a>(mut section: Section<'a>, asked: &mut Asked<'a>) -> Identity {
    let local = section.take("local_accounts");
    let local = local.is_given().then(|| local.switch());
    // spec: AS-145: groups are never older than this while somebody is active.
    let refresh = section.take("refresh").duration(MINUTE..=15 * MINUTE, "10m");
    let unreachable = section.take("unreachable").duration(15 * MINUTE..=30 * DAY, "24h");
    let mut providers = Vec::new();
    for item in section.take("providers").list("a list of providers", "[{ id: company, kind: oidc, … }]") {
        if let Some(provider) = provider(item, &providers, asked) {
            providers.push(provider);
        }
    }
    let workloads = workloads(&section.take("workloads"), asked);
    section.finish();
    Identity { local_accounts: local.unwrap_or(providers.is_empty()), refresh, unreachable, providers, workloads }
}

fn roles(node: &Node<'_>) -> BTreeMap<String, Vec<String>> {
    const ROLES: [&str; 4] = ["owner", "admin", "auditor", "member"];
    let mut roles = BTreeMap::new();
    for (role, groups) in node.entries("{ admin: [platform] }") {
        if !ROLES.contains(&role.as_str()) {
            let near = nearest(&role, ROLES).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            groups.problem(format!("unknown role{near}"), format!("roles are: {}", ROLES.join(", ")));
        }
        roles.insert(role, groups.texts("a list of groups", "[platform]"));
    }
    roles
}

fn access_keys(mut section: Section<'_>) -> AccessKeys {
    let keys = AccessKeys {
        enabled: section.take("enabled").switch(),
        longest: section.take("longest").duration(HOUR..=366 * DAY, "90d"),
    };
    section.finish();
    keys
}

pub(super) fn server_name(node: &Node<'_>) -> Option<ServerName> {
    let text = node.text("the name of a server", "github");
    match ServerName::parse(&text) {
        Ok(name) => Some(name),
        Err(_) if text.is_empty() => None,
        Err(error) => {
            let near = ServerName::nearest(&text).map(|name| format!("did you mean \"{name}\"?")).unwrap_or_default();
            node.problem(error.to_string(), near);
            None
        }
    }
}

fn servers<'a>(node: &Node<'a>, data: &Path, providers: &[Provider], asked: &mut Asked<'a>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for item in node.list("a list of servers", "[{ name: github, url: https://mcp.example.com/mcp }]") {
        let mut section = item.section();
        let name_node = section.take("name");
        let name = server_name(&name_node);
        let private = Some(section.take("private")).filter(Node::is_given).is_some_and(|node| node.switch());
        let (url_node, command_node) = (section.take("url"), section.take("command"));
        let api_node = section.take("openapi");
        let place = match (url_node.is_given(), command_node.is_given(), api_node.is_given()) {
            (true, true, _) => {
                command_node.problem("stands beside `url`: a server is at one place", "keep one of the two");
                None
            }
            (_, true, true) => {
                command_node.problem("stands beside `openapi`: a server is at one place", "keep one of the two");
                None
            }
            (_, true, _) => processes::command(&command_node).map(Place::Command),
            (true, _, true) => {
                api_node.problem(
                    "stands beside `url`",
                    "keep one of them; where an API is, is said inside: openapi: { file: …, url: … }",
                );
                None
            }
            (_, _, true) => openapi(api_node.clone(), private).map(Place::OpenApi),
            _ => server_url(&url_node, private).map(Place::Url),
        };
        let access = access(&section.take("access"));
        let timeout = section.take("timeout");
        let timeout = if timeout.is_given() { timeout.duration(SECOND..=DAY, "5m") } else { Server::TIMEOUT };
        let description =
            Some(section.take("description")).filter(Node::is_given).map(|node| node.text("a text", "Tickets"));
        let authorization = external(section.take("authorization"), &servers, asked);
        let url = place.as_ref().and_then(Place::url);
        let command = place.as_ref().and_then(Place::command);
        let around = Around { url, command, data: Some(data), private, providers: Some(providers) };
        let more = more(&mut section, &around, asked);
        section.finish();
        let (Some(name), Some(place)) = (name, place) else { continue };
        if name.as_str() == ALL {
            name_node.problem(
                "\"all\" is the name of the endpoint with everything that its caller may use",
                "give the server another name",
            );
        }
        if place.openapi().is_some_and(|api| !fits(api, &more.credential)) {
            api_node.problem(
                "key_in_query needs a credential that is a key and nothing else",
                "write beside it: credential: { kind: header, prefix: \"\" }",
            );
        }
        if servers.iter().any(|other| other.name == name) {
            name_node.problem(format!("\"{name}\" names a second server"), "give each server a name of its own");
        }
        servers.push(Server {
            name,
            tools: more.tools_of(&place),
            place,
            access,
            timeout,
            private,
            description,
            authorization,
            credential: more.credential,
            headers: more.headers,
            request_headers: more.request_headers,
            tls: more.tls,
            concurrent: more.concurrent,
            process: more.process,
            speaks: more.speaks,
            allow: more.allow,
        });
    }
    servers
}

fn server_url(node: &Node<'_>, private: bool) -> Option<Url> {
    let text = node.text("the URL of an MCP endpoint", "https://mcp.example.com/mcp");
    if text.is_empty() {
        return None;
    }
    Server::check_url(&text, private).map_err(|(wrong, help)| node.problem(wrong, help)).ok()
}

pub(super) fn access(node: &Node<'_>) -> Access {
    if !node.is_given() {
        return Access::default();
    }
    let mut groups = Vec::new();
    for item in node.list("a list of groups", "[group:support]") {
        if let Some(text) = item.as_text() {
            match text.strip_prefix("group:").unwrap_or(if text == "*" { text } else { "" }) {
                "" => item.problem(
                    format!("expected \"*\" or group:NAME, found \"{}\"", portcullis_base::printable(text, 60)),
                    format!("did you mean \"group:{}\"?", portcullis_base::printable(text, 60)),
                ),
                group => groups.push(group.to_owned()),
            }
            continue;
        }
        let mut section = item.section();
        groups.push(section.take("group").text("the name of a group", "support"));
        // Taking these and not asking would let through what somebody wanted to be asked about.
        let narrower = "who is listed may call everything; write a rule under `rules` to narrow that";
        section.later(&[("allow", narrower), ("ask", narrower), ("deny", narrower)]);
        section.finish();
    }
    Server::access_of(groups.iter().map(String::as_str))
}

fn rules(node: &Node<'_>) -> Option<RulesText> {
    if !node.is_given()
        || node.list("a list of rules", "[{ rule: name, who: [\"*\"], what: [\"*\"], then: deny }]").is_empty()
    {
        return None;
    }
    let Some((file, text, line)) = node.file_line() else {
        node.problem("can only be written in the settings file", "");
        return None;
    };
    Some(RulesText { text: rules_block(text, line), file: file.to_owned(), line })
}

/// The value of the key on `line`, every other line emptied so that line numbers stay those of the file.
fn rules_block(text: &str, line: usize) -> String {
    let mut out = String::new();
    let mut inside = false;
    for (number, content) in text.lines().enumerate() {
        if number + 1 == line {
            inside = true;
            let after = content.find(':').map_or(content.len(), |colon| colon + 1);
            out.push_str(&" ".repeat(after));
            out.push_str(&content[after..]);
        } else if inside && content.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '#' | '-' | ']' | '}')) {
            break;
        } else if inside {
            out.push_str(content);
        }
        out.push('\n');
    }
    out
}

fn sessions(mut section: Section<'_>) -> Sessions {
    let idle = section.take("idle").duration(MINUTE..=365 * DAY, "12h");
    let absolute_node = section.take("absolute");
    let absolute = absolute_node.duration(MINUTE..=365 * DAY, "7d");
    if idle > absolute && !absolute.is_zero() {
        absolute_node.problem("is shorter than `idle`", "a session cannot be idle longer than it lives");
    }
    section.finish();
    Sessions { idle, absolute }
}

fn tokens(mut section: Section<'_>) -> Tokens {
    // spec: AS-70: "hard cap 60 minutes".
    let access = section.take("access").duration(SECOND..=HOUR, "10m");
    // spec: AS-85: idle and absolute age, both configurable.
    let refresh_idle_node = section.take("refresh_idle");
    let refresh_idle = refresh_idle_node.duration(SECOND..=3650 * DAY, "30d");
    let refresh_absolute = section.take("refresh_absolute").duration(SECOND..=3650 * DAY, "90d");
    if refresh_idle > refresh_absolute && !refresh_absolute.is_zero() {
        refresh_idle_node
            .problem("is longer than `refresh_absolute`", "a refresh token cannot be idle longer than its grant lives");
    }
    // spec: AS-82: a few seconds, switchable off.
    let refresh_grace = section.take("refresh_grace").duration(Duration::ZERO..=MINUTE, "10s");
    let code = section.take("code").duration(SECOND..=MINUTE, "60s");
    section.finish();
    Tokens { access, refresh_idle, refresh_absolute, refresh_grace, code }
}

fn clients(mut section: Section<'_>) -> Clients {
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

/// Single hosts, each with the port that may be reached there; that of https unless named.
fn private_hosts(node: &Node<'_>) -> Vec<String> {
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

pub(super) fn is_host(text: &str) -> bool {
    !text.contains('*') && url::Host::parse(text).is_ok_and(|host| host.to_string().eq_ignore_ascii_case(text))
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

fn outbound(mut section: Section<'_>, public_url: &PublicUrl) -> Outbound {
    let ca_node = section.take("ca_file");
    let ca_file = ca_node.is_given().then(|| ca_node.file_path("/etc/ssl/company.pem"));
    if let Some(Err(error)) = ca_file.as_ref().map(std::fs::File::open) {
        ca_node.problem(format!("cannot be read: {error}"), "name a PEM file that the gateway's user may read");
    }
    let private_hosts = private_hosts(&section.take("private_hosts"));
    let client_document = client_document(&section.take("client_document"), public_url);
    section.finish();
    Outbound { ca_file, private_hosts, client_document }
}

/// spec: UP-23: offered where others can fetch it, unless somebody knows better.
fn client_document(node: &Node<'_>, public_url: &PublicUrl) -> ClientDocument {
    let reachable = public_url.is_https() && !public_url.is_loopback();
    if !node.is_given() {
        return if reachable { ClientDocument::Offered } else { ClientDocument::Off };
    }
    if !node.switch() {
        return ClientDocument::Off;
    }
    if !public_url.is_https() {
        node.problem(
            "is true, but the public URL is not https: nobody would take a client's word from there",
            "set public_url to an https:// URL, or take it out",
        );
    }
    ClientDocument::Offered
}

fn trusted_proxies(node: &Node<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in node.texts("a list of addresses or networks", "[10.0.0.0/8]") {
        match text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => node.problem(
                format!("\"{}\" is neither an address nor a network", portcullis_base::printable(&text, 60)),
                "example: trusted_proxies: [10.0.0.0/8, 192.0.2.7]",
            ),
        }
    }
    networks
}

fn limits(mut section: Section<'_>) -> Limits {
    let count = |node: Node<'_>, range: RangeInclusive<u32>| node.number(range);
    let limits = Limits {
        body: section.take("body").size(KIB..=64 * MIB, "4MiB"),
        answer: section.take("answer").size(64 * KIB..=256 * MIB, "8MiB"),
        depth: count(section.take("depth"), 8..=512) as usize,
        nodes: count(section.take("nodes"), 100..=10_000_000) as usize,
        concurrent_calls: count(section.take("concurrent_calls"), 1..=1_000_000),
        connections: count(section.take("connections"), 1..=10_000_000),
        sign_ins_per_minute: count(section.take("sign_ins_per_minute"), 1..=100_000),
    };
    section.finish();
    limits
}

fn audit(mut section: Section<'_>) -> Audit {
    let audit = Audit {
        durability: section
            .take("durability")
            .choice(&[("process", Durability::Process), ("power", Durability::Power)]),
        arguments: section.take("arguments").choice(&[
            ("redacted", Keep::Redacted),
            ("digest", Keep::Digest),
            ("off", Keep::Off),
        ]),
    };
    section.finish();
    audit
}
