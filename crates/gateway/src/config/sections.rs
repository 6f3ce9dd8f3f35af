//! Every key with its type, its bounds and its cross-checks, in the order of the file.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, time::Duration};

use ipnet::IpNet;
use portcullis_policy::nearest;
use portcullis_store::DatabaseSettings;
use url::Url;

use super::{
    AccessKeys, ClientDocument, Config, Environment, Identity, LegacySse, Limits, Outbound, PublicUrl, RulesText,
    Sessions, Tokens,
    access::{access_requests, break_glass},
    approvals::approvals,
    audit::audit,
    clients::clients,
    decision_point::decision_point,
    issuers::Asked,
    layers::Settings,
    notify::notify,
    private_hosts::private_hosts,
    providers::provider,
    read::{Node, Section},
    servers::{server_name, servers},
    telemetry::telemetry,
    toolboxes::toolboxes,
    workloads::workloads,
};

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
    let (toolboxes, mut named) = toolboxes(&top.take("toolboxes"), &servers);
    let default_resource =
        Some(top.take("default_resource")).filter(Node::is_given).and_then(|node| server_name(&node));
    let legacy_sse = top.take("legacy_sse");
    let legacy_sse = if legacy_sse.is_given() && legacy_sse.switch() { LegacySse::Served } else { LegacySse::Off };
    let rules = rules(&top.take("rules"));
    let decision_point = decision_point(top.take("decision_point"), &mut asked, &mut named);
    let approvals = approvals(top.take("approvals").section());
    let notify = notify(top.take("notify").section(), &mut asked);
    let access_requests = access_requests(top.take("access_requests").section());
    let break_glass = break_glass(top.take("break_glass"));
    let sessions = sessions(top.take("sessions").section());
    let tokens = tokens(top.take("tokens").section());
    let clients = clients(top.take("clients").section());
    let outbound = outbound(top.take("outbound").section(), &public_url);
    let telemetry = telemetry(top.take("telemetry").section(), &mut asked);
    let trusted_proxies = trusted_proxies(&top.take("trusted_proxies"));
    let limits = limits(top.take("limits").section());
    let (audit, sinks) = audit(top.take("audit").section(), &mut asked);
    asked.check(&outbound.private_hosts);
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
        decision_point,
        approvals,
        notify,
        access_requests,
        break_glass,
        sessions,
        tokens,
        clients,
        outbound,
        trusted_proxies,
        limits,
        audit,
        sinks,
        telemetry,
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

/// The value of `rules`, which stands on `line`; every other line emptied so that line numbers stay those of the file.
fn rules_block(text: &str, line: usize) -> String {
    let above: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let first = text[above..].lines().next().unwrap_or_default();
    let key = first.find("rules").unwrap_or_default();
    let after = first[key..].find(':').map_or(first.len(), |colon| key + colon + 1);
    let value = &text[above + after..];
    let value = if value.trim_start().starts_with('[') {
        &value[..in_brackets(value)]
    } else {
        let next = |line: &&str| !line.starts_with(|c: char| c.is_whitespace() || matches!(c, '#' | '-' | ']' | '}'));
        let lines = value.split_inclusive('\n').enumerate();
        let inside = lines.take_while(|(number, line)| *number == 0 || !next(line)).map(|(_, line)| line.len());
        value[..inside.sum()].trim_end_matches(['\r', '\n'])
    };
    format!("{}{}{value}\n", "\n".repeat(line - 1), " ".repeat(after))
}

/// Where the list ends that begins in `text`: so a whole file may be written as JSON, too.
fn in_brackets(text: &str) -> usize {
    let (mut depth, mut quote, mut before) = (0_usize, None, ' ');
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some('"'), '\\') => {
                letters.next();
            }
            (Some(open), _) if letter == open => quote = None,
            // Within a word quotes are letters like others.
            (None, '"' | '\'') if before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':') => {
                quote = Some(letter);
            }
            (None, '#') if before.is_whitespace() => quote = Some('\n'),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') if depth <= 1 => return at + 1,
            (None, ']' | '}') => depth -= 1,
            _ => {}
        }
        before = letter;
    }
    text.len()
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
