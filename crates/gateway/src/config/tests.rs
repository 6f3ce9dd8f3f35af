//! What people see of their settings: the messages for bad ones, and where good ones came from.

mod commands;
mod identity;
mod notify;
mod sinks;
mod toolboxes;
mod upstreams;

use insta::assert_snapshot;

use portcullis_base::{Class, Classes};
use portcullis_policy::AccessEntry;

use super::*;

fn sources(text: &str, environment: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Sources {
    Sources {
        file: Some(("portcullis.yaml".into(), text.into())),
        environment: environment.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        flags: flags.iter().map(|(flag, key, text)| (*flag, *key, (*text).into())).collect(),
    }
}

fn good(text: &str) -> Config {
    Config::load(&sources(text, &[], &[])).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn database(config: &Config) -> String {
    match &config.database {
        DatabaseSettings::Sqlite(path) => path.display().to_string(),
        DatabaseSettings::Postgres { url, .. } => url.reveal().to_owned(),
    }
}

fn problems(text: &str) -> String {
    match Config::load(&sources(text, &[], &[])) {
        Ok(loaded) => panic!("accepted: {:?}", loaded.config),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn defaults_are_complete_and_valid() {
    let config = Config::load(&Sources::default()).expect("defaults").config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:7878");
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:7878");
    assert_eq!(database(&config), "./data/portcullis.db");
    assert_eq!(config.tokens.access, Duration::from_mins(10));
    assert_eq!(config.limits.body, 4 << 20);
    assert_eq!(
        config.audit,
        Audit {
            durability: Durability::Process,
            arguments: Keep::Redacted,
            results: Keep::Digest,
            reads_without_journal: ReadsWithoutJournal::Allow,
            segment: AuditSegment { size: 64 << 20, age: Duration::from_hours(24) },
            retention: Retention::default(),
            witnesses: Vec::new(),
            free_space: 512 << 20,
            index: AuditIndex { keep: Duration::from_hours(24 * 365) }
        }
    );
    assert!(config.rules.is_none() && config.servers.is_empty() && config.root_key.is_none());
    assert!(config.identity.local_accounts);
}

const SECRETS: [(&str, &str); 15] = [
    ("WITNESS_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSy"),
    ("SIEM_SECRET", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"),
    ("PDP_TOKEN", "s"),
    ("KEY", "k"),
    ("REPORT_SECRET", "s"),
    ("COMPANY_SECRET", "hunter2"),
    ("COMPANY_SCIM_TOKEN", "0123456789abcdef"),
    ("INTROSPECTION_SECRET", "s"),
    ("SMTP_PASSWORD", "hunter2"),
    ("SLACK_BOT_TOKEN", "xoxb-1"),
    ("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5"),
    ("TEAMS_WEBHOOK", "https://example.logic.azure.com:443/workflows/1?sig=s"),
    ("OTLP_AUTHORIZATION", "Bearer 1"),
    ("PAGER_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("PAGER_DECISION_SECRET", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"),
];

/// What the example of an API is about.
const DOCUMENT: &str = r#"{ "openapi": "3.1.0", "security": [{ "key": [] }], "paths": {
    "/status": { "get": {} },
    "/orders": { "get": { "operationId": "listOrders", "tags": ["orders"] } },
    "/orders/{id}": { "delete": { "operationId": "deleteOrder" } } },
  "components": { "securitySchemes": { "key": { "type": "apiKey", "in": "query", "name": "api_key" } } } }"#;

#[test]
fn commented_examples_of_the_defaults_are_valid_too() {
    // Every "# key: value" line of the embedded file, uncommented, must be something the loader takes.
    let mut text = String::new();
    let (mut inside, mut below) = (false, false);
    for line in DEFAULTS.lines() {
        let body = line.trim_start().strip_prefix('#').unwrap_or("");
        let key = body.trim_start().split(':').next().unwrap_or("").trim_start_matches("- ");
        let is_setting = !key.is_empty()
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && body.contains(':')
            && !body.trim_end().ends_with('.');
        // A group of keys below another one.
        let grouped = line
            .strip_prefix("  # ")
            .filter(|rest| if below { rest.starts_with("  ") } else { is_setting && rest.trim_end().ends_with(':') });
        below = grouped.is_some();
        if let Some(rest) = grouped {
            text.push_str("  ");
            text.push_str(rest);
        } else if line.starts_with("#  ") && (is_setting || inside) {
            inside = true;
            text.push_str(&line.replacen('#', " ", 1));
        } else if is_setting && !line.trim_start().starts_with("#  ") {
            inside = line.starts_with("# rules");
            text.push_str(&line.replacen("# ", "", 1));
        } else if inside && line.starts_with("#   ") {
            text.push_str(&line.replacen("# ", "", 1));
        } else {
            inside = false;
            text.push_str(if line.trim_end().ends_with("[]") { line.trim_end().trim_end_matches("[]") } else { line });
        }
        text.push('\n');
    }
    let text = text.replace("root_key: file:/run/secrets/portcullis-root-key", "root_key: env:KEY");
    // There is one root key, so the other way to name it stays a comment.
    let text = text.replace("root_key_command: [", "# root_key_command: [");
    let text = text.replace("ca_file: /etc/ssl/company.pem", "ca_file: Cargo.toml");
    // Files that only the machine of whoever uncomments this has.
    let text = text.replace("tls: { ca_file: company-ca.pem", "# tls: { ca_file: company-ca.pem");
    let document = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(document.path(), DOCUMENT).expect("written");
    let text = text.replace("file: shop.yaml", &format!("file: {}", document.path().display()));
    let loaded = Config::load(&sources(&text, &SECRETS, &[]));
    let config = loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).config;
    let servers: Vec<_> = config.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(servers, ["everything", "documents", "shop"], "{text}");
    assert_eq!(config.servers[1].process.limits, ProcessLimits::default(), "{text}");
    assert_eq!((config.servers[0].allow, config.servers[1].allow), (Allow::REMOTE, Allow::LOCAL), "{text}");
    assert_eq!((config.toolboxes.len(), config.legacy_sse), (1, LegacySse::Served), "{text}");
    assert_eq!(config.clients.configured.len(), 1, "{text}");
    let kinds: Vec<_> = config.identity.providers.iter().map(|provider| provider.kind.as_str()).collect();
    assert_eq!(kinds, ["oidc", "entra", "google", "github"], "{text}");
    assert_eq!(config.identity.workloads.len(), 1, "{text}");
    assert!(config.servers[0].authorization.is_some(), "{text}");
    let notify = &config.notify;
    assert!(notify.smtp.is_some() && notify.slack.is_some() && notify.teams.is_some(), "{text}");
    assert!(notify.webhooks[0].told.is_some() && notify.webhooks[0].decisions.is_some(), "{text}");
    assert_eq!((config.servers[0].credential.kind(), config.servers[0].headers.len()), ("oauth", 1), "{text}");
    assert!(config.rules.is_some() && config.root_key.is_some() && config.outbound.ca_file.is_some());
    let sinks: Vec<_> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(sinks, ["collector", "siem", "watch", "lines"], "{text}");
    assert!(config.telemetry.traces.is_some(), "{text}");
    assert_eq!(config.public_url.as_str(), "https://mcp.example.com");
}

#[test]
fn unknown_keys_are_refused_with_place_and_nearest_name() {
    assert_snapshot!(problems("listne: 127.0.0.1:1\naudit:\n  durabilty: power\nclients: { frobnicate: 1 }\n"), @r#"
    portcullis.yaml:1: listne: unknown key; did you mean "listen"?
        known here: listen, operations, public_url, data, database, root_key, root_key_command, identity, roles, access_keys, servers, toolboxes, default_resource, legacy_sse, rules, decision_point, approvals, notify, access_requests, break_glass, sessions, tokens, clients, outbound, telemetry, trusted_proxies, limits, audit
    portcullis.yaml:3: audit.durabilty: unknown key; did you mean "durability"?
        known here: durability, arguments, results, reads_without_journal, segment, retention, witness, free_space, index, sinks
    portcullis.yaml:4: clients.frobnicate: unknown key
        known here: registration, registration_limits, metadata_documents, redirect_schemes, configured
    "#);
}

#[test]
fn wrong_types_say_what_was_found_and_what_is_expected() {
    assert_snapshot!(problems(
        "listen: 7878\ntokens:\n  access: 10\n  code: 5m\nlimits: { body: big, depth: many }\nidentity:\n  local_accounts: maybe\nservers: none\naudit:\n  durability: pwoer\n  arguments:\nroles: [admin]\n"
    ), @r#"
    portcullis.yaml:1: listen: expected an address with port, found the number 7878
        example: listen: 127.0.0.1:7878
    portcullis.yaml:3: tokens.access: expected a duration from 1s to 1h, found the number 10
        example: access: 10m
    portcullis.yaml:4: tokens.code: expected a duration from 1s to 1m, found "5m"
        example: code: 60s
    portcullis.yaml:5: limits.body: expected a size from 1KiB to 64MiB, found "big"
        example: body: 4MiB
    portcullis.yaml:5: limits.depth: expected a whole number from 8 to 512, found "many"
        example: depth: 8
    portcullis.yaml:7: identity.local_accounts: expected true or false, found "maybe"
        example: local_accounts: true
    portcullis.yaml:8: servers: expected a list of servers, found "none"
        example: servers: [{ name: github, url: https://mcp.example.com/mcp }]
    portcullis.yaml:10: audit.durability: expected one of process, power, found "pwoer"
        did you mean "power"?
    portcullis.yaml:11: audit.arguments: expected one of redacted, digest, off, full, found nothing
        example: arguments: redacted
    portcullis.yaml:12: roles: expected a group of keys, found a list
        example: roles: { admin: [platform] }
    "#);
}

#[test]
fn secrets_stand_elsewhere() {
    let text = "clients:\n  configured:\n    - id: a\n      name: A\n      redirect_uris: [https://a.example/cb]\n      secret: hunter2\n    - id: b\n      name: B\n      redirect_uris: [https://b.example/cb]\n      secret: env:MISSING\nroot_key: file:missing/key\ndatabase: env:ALSO_MISSING\n";
    let shown = problems(text);
    assert!(!shown.contains("hunter2"));
    assert_snapshot!(shown, @r#"
    portcullis.yaml:6: clients.configured[0].secret: a secret must not stand in the file itself
        write secret: env:NAME to take it from an environment variable, or file:PATH to take it from a file
        example: secret: env:REPORT_SECRET
    portcullis.yaml:10: clients.configured[1].secret: "env:MISSING": the environment variable is not set
        set it before the start: export MISSING=…
    portcullis.yaml:11: root_key: "file:missing/key": the file cannot be read: No such file or directory (os error 2)
        looked at missing/key
    portcullis.yaml:12: database: "env:ALSO_MISSING": the environment variable is not set
        set it before the start: export ALSO_MISSING=…
    "#);
}

#[test]
fn servers_are_checked_one_by_one() {
    assert_snapshot!(problems(
        "servers:\n  - name: Git Hub\n    url: https://mcp.example.com/mcp\n  - name: plain\n    url: http://mcp.internal/mcp\n  - name: local\n    command: [npx, server]\n  - url: example.com\n    credential: outh\n  - name: same\n    url: https://a.example/mcp\n    access: [support]\n  - name: same\n    url: https://b.example/mcp\n    credental: none\n    access: [{ group: \"*\", allow: [raed], deny: [write] }]\n"
    ), @r#"
    portcullis.yaml:2: servers[0].name: "Git Hub" is not a server name: use 1 to 32 of a-z, 0-9 and "-", not beginning with "-"
        did you mean "git-hub"?
    portcullis.yaml:5: servers[1].url: is plain http to another machine: whoever is in between can read and change the calls
        use https://, or allow it for a network of your own: `private: true` in the file, `--private` with protect
    portcullis.yaml:7: servers[2].command: "server" names no version, so it is whatever was published last
        write "server@1.2.3" with the version that you looked at; `npm view server version` tells the last
    portcullis.yaml:8: servers[3].name: is missing: expected the name of a server
        example: name: github
    portcullis.yaml:8: servers[3].url: is not a URL (relative URL without a base)
        example: url: https://mcp.example.com/mcp
    portcullis.yaml:9: servers[3].credential: expected one of auto, none, oauth, header, assertion, or a group of keys with a kind, found "outh"
        did you mean "oauth"?
    portcullis.yaml:12: servers[4].access[0]: expected "*" or group:NAME, found "support"
        did you mean "group:support"?
    portcullis.yaml:13: servers[5].name: "same" names a second server
        give each server a name of its own
    portcullis.yaml:15: servers[5].credental: unknown key; did you mean "credential"?
        known here: name, private, url, command, openapi, access, timeout, description, authorization, credential, headers, request_headers, tls, limits, tools, speaks, allow, audit, risk
    portcullis.yaml:16: servers[5].access[0].allow: there is no class "raed"; they are read, write, unknown, egress, execute, destructive, financial, and "*" for all
        did you mean "read"?
    portcullis.yaml:16: servers[5].access[0].deny: unknown key
        known here: group, allow, ask
    "#);
}

#[test]
fn access_lists_name_groups_and_classes() {
    let text = "servers:\n  - name: a\n    url: https://a.example/mcp\n    access:\n      - group:ops\n      - { group: dev, allow: [read, write], ask: [\"*\"] }\n      - { group: audit, allow: [read] }\n";
    let access = &good(text).servers[0].access;
    let read = Classes::from(Class::Read);
    assert_eq!(
        access.entries[1],
        AccessEntry::of("dev", Some(read.with(Class::Write)), AccessEntry::classes("*").ok())
    );
    assert_eq!(access.entries[2], AccessEntry::of("audit", Some(read), None));
    assert_eq!(access.entries[0], AccessEntry::safe("ops"));
    let unsaid = good("servers:\n  - { name: a, url: https://a.example/mcp }\n");
    assert_eq!(unsaid.servers[0].access, portcullis_policy::Access::default());
}

#[test]
fn broken_yaml_names_file_and_line() {
    assert_snapshot!(problems("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n"), @r#"portcullis.yaml:2: is not valid YAML: duplicate entry with key "listen""#);
    assert_snapshot!(problems("listen: [1\ndata: x\n"), @"portcullis.yaml:2: is not valid YAML: did not find expected ',' or ']' at line 2 column 5, while parsing a flow sequence at line 1 column 9");
    assert_snapshot!(problems("- listen\n"), @"portcullis.yaml: expected settings such as `listen: 127.0.0.1:7878`, found a list");
    assert_snapshot!(problems("listen: !!binary x\n1: x\n"), @r#"
    portcullis.yaml:1: a key must be a text, found the number 1
    portcullis.yaml:1: listen: expected an address with port, found "x"
        example: listen: 127.0.0.1:7878
    "#);
}

// spec: AS-3
#[test]
fn plain_http_to_other_machines_is_refused() {
    assert_snapshot!(problems("listen: 0.0.0.0:7878\n"), @"
    public_url: is missing: `listen` is 0.0.0.0:7878, which other machines reach, so clients need an https:// URL
        set public_url to the https:// URL of the proxy that ends TLS in front of the gateway
        example: public_url: https://mcp.example.com
        or keep the gateway on this machine: listen: 127.0.0.1:7878
    ");
    assert_snapshot!(problems("listen: 0.0.0.0:7878\npublic_url: http://127.0.0.1:7878\n"), @"
    portcullis.yaml:2: public_url: is plain http, but `listen` is 0.0.0.0:7878, which other machines reach: sign-ins and tokens would travel readable
        put a proxy that ends TLS in front and write its https:// URL
        example: public_url: https://mcp.example.com
        or keep the gateway on this machine: listen: 127.0.0.1:7878
    ");
    assert_snapshot!(problems("public_url: http://mcp.example.com\n"), @r#"
    portcullis.yaml:1: public_url: "http://mcp.example.com" is plain http to another machine: sign-ins and tokens would travel readable
        example: public_url: https://mcp.example.com
    "#);
    assert_snapshot!(problems("public_url: https://mcp.example.com/base\n"), @r#"
    portcullis.yaml:1: public_url: "https://mcp.example.com/base" must end after host and port: path, query and fragment are not supported
        example: public_url: https://mcp.example.com
    "#);
    assert_eq!(
        good("listen: 0.0.0.0:7878\npublic_url: https://mcp.example.com/\n").public_url.as_str(),
        "https://mcp.example.com"
    );
}

// spec: AS-70, AS-82, AS-85, AS-110, AS-115, AS-123
#[test]
fn lifetimes_and_limits_have_caps() {
    assert_snapshot!(problems(
        "tokens: { access: 2h, refresh_idle: 100d, refresh_grace: 2m }\nclients:\n  registration: approval\n  registration_limits: { total: 0 }\n  metadata_documents: { size: 1MiB, allow: [\"https://x\"], private_hosts: [\"*\"] }\ntrusted_proxies: [all]\noperations: 127.0.0.1:7878\n"
    ), @r#"
    portcullis.yaml:1: tokens.access: expected a duration from 1s to 1h, found "2h"
        example: access: 10m
    portcullis.yaml:1: tokens.refresh_idle: is longer than `refresh_absolute`
        a refresh token cannot be idle longer than its grant lives
    portcullis.yaml:1: tokens.refresh_grace: expected a duration from 0 to 1m, found "2m"
        example: refresh_grace: 10s
    portcullis.yaml:3: clients.registration: expected one of open, loopback, off, found "approval"
    portcullis.yaml:4: clients.registration_limits.total: expected a whole number from 1 to 10000000, found the number 0
        example: total: 1
    portcullis.yaml:5: clients.metadata_documents.allow: "https://x" is not a host name
        write a host without scheme, port or path: mcp.example.com, *.example.com, or "*"
    portcullis.yaml:5: clients.metadata_documents.private_hosts: "*" is not a host name
        write a host without scheme or path, with its port unless it is 443: mcp.internal, "mcp.internal:8443"
    portcullis.yaml:5: clients.metadata_documents.size: expected a size from 1KiB to 64KiB, found "1MiB"
        example: size: 16KiB
    portcullis.yaml:6: trusted_proxies: "all" is neither an address nor a network
        example: trusted_proxies: [10.0.0.0/8, 192.0.2.7]
    portcullis.yaml:7: operations: is the same address as `listen`
        give the operations listener a port of its own
    "#);
    assert_eq!(good("tokens: { refresh_grace: 0 }\n").tokens.refresh_grace, Duration::ZERO);
}

// spec: T-81, T-82, T-84
#[test]
fn approvals_are_short_few_and_fresh() {
    let defaults = good("").approvals;
    assert_eq!((defaults.hold, defaults.terms), (Duration::from_mins(5), Terms::default()));
    let config = good("approvals: { hold: 0, expires: 2m, pending: 2, hourly: 9, refused_again: 1m, sign_in: 30s }\n");
    let minute = Duration::from_mins(1);
    let terms =
        Terms { pending: 2, recent: 9, cool_down: minute, sign_in: Duration::from_secs(30), expires: 2 * minute };
    assert_eq!(config.approvals, Approvals { hold: Duration::ZERO, terms });
    assert_snapshot!(problems(
        "approvals:\n  hold: 20m\n  expires: 1m\n  pending: 0\n  refused_again: 0\n  sign_in: 10m\n  expire: 1h\n"
    ), @r#"
    portcullis.yaml:2: approvals.hold: expected a duration from 0 to 15m, found "20m"
        example: hold: 5m
    portcullis.yaml:4: approvals.pending: expected a whole number from 1 to 100, found the number 0
        example: pending: 1
    portcullis.yaml:5: approvals.refused_again: expected a duration from 1s to 1d, found the number 0
        example: refused_again: 10m
    portcullis.yaml:6: approvals.sign_in: expected a duration from 30s to 5m, found "10m"
        example: sign_in: 5m
    portcullis.yaml:7: approvals.expire: unknown key; did you mean "expires"?
        known here: hold, expires, pending, hourly, refused_again, sign_in
    "#);
    assert_snapshot!(problems("approvals: { expires: 1h }\n"), @r#"
    portcullis.yaml:1: approvals.expires: expected a duration from 30s to 15m, found "1h"
        example: expires: 15m
    "#);
}

// spec: T-20
#[test]
fn registration_can_be_switched_off_and_bounded() {
    let config = good("clients: { registration: off, registration_limits: { total: 5, unused: 1h } }\n");
    assert_eq!(config.clients.registration, Registration::Off);
    assert_eq!(
        (config.clients.registration_limits.total, config.clients.registration_limits.unused),
        (5, Duration::from_hours(1))
    );
}

#[test]
fn environment_overrides_the_file_and_flags_override_both() {
    let loaded = Config::load(&sources(
        "listen: 127.0.0.1:1\naudit: { durability: power }\noperations: 127.0.0.1:9\n",
        &[
            ("PORTCULLIS_LISTEN", "127.0.0.1:2"),
            ("PORTCULLIS_AUDIT__ARGUMENTS", "off"),
            ("PORTCULLIS_LIMITS__DEPTH", "32"),
            ("PORTCULLIS_IDENTITY__LOCAL_ACCOUNTS", "false"),
            ("PORTCULLIS_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
            ("PORTCULLIS_ROOT_KEY", "only-in-the-environment"),
            ("PORTCULLIS_PORT_7878_TCP_ADDR", "set by Kubernetes"),
            ("PORTCULLIS_ACCESS_KEY", "for the bridge"),
        ],
        &[("--listen", "listen", "127.0.0.1:3"), ("--data", "data", "/srv/x")],
    ))
    .unwrap_or_else(|problems| panic!("{problems}"));
    let config = &loaded.config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!(
        config.audit,
        Audit {
            durability: Durability::Power,
            arguments: Keep::Off,
            results: Keep::Digest,
            reads_without_journal: ReadsWithoutJournal::Allow,
            segment: AuditSegment { size: 64 << 20, age: Duration::from_hours(24) },
            retention: Retention::default(),
            witnesses: Vec::new(),
            free_space: 512 << 20,
            index: AuditIndex { keep: Duration::from_hours(24 * 365) }
        }
    );
    assert_eq!((config.limits.depth, config.identity.local_accounts, config.trusted_proxies.len()), (32, false, 2));
    assert_eq!(database(config), "/srv/x/portcullis.db");
    let wanted =
        ["listen", "operations", "audit.arguments", "data", "public_url", "root_key", "tokens.code", "trusted_proxies"];
    let rows = loaded.origins.rows().into_iter().filter(|(key, ..)| wanted.contains(&key.as_str()));
    let shown: Vec<_> = rows.map(|(key, value, origin)| format!("{key} = {value}  ({origin})")).collect();
    assert_snapshot!(shown.join("\n"), @"
    audit.arguments = off  (environment PORTCULLIS_AUDIT__ARGUMENTS)
    data = /srv/x  (flag --data)
    listen = 127.0.0.1:3  (flag --listen)
    operations = 127.0.0.1:9  (portcullis.yaml:3)
    public_url = http://127.0.0.1:3  (from listen)
    root_key = (secret)  (environment PORTCULLIS_ROOT_KEY)
    tokens.code = 60s  (default)
    trusted_proxies = 10.0.0.0/8, 192.0.2.7  (environment PORTCULLIS_TRUSTED_PROXIES)
    ");
}

#[test]
fn shown_settings_hide_passwords() {
    let loaded = Config::load(&sources("database: postgres://ana:hunter2@db.example/p\n", &[], &[]));
    let rows = loaded.unwrap_or_else(|problems| panic!("{problems}")).origins.rows();
    let database = rows.iter().find(|(key, ..)| key == "database").expect("database");
    assert_eq!(database.1, "(a URL with a password)");
}

#[test]
fn mistyped_variables_are_refused_by_their_own_name() {
    let refused = Config::load(&sources("", &[("PORTCULLIS_LISTN", "x"), ("PORTCULLIS_LIMITS__DEPTH", "deep")], &[]));
    assert_snapshot!(refused.expect_err("refused").to_string(), @r#"
    PORTCULLIS_LIMITS__DEPTH: limits.depth: expected a whole number from 8 to 512, found "deep"
        example: depth: 8
    PORTCULLIS_LISTN: listn: unknown key; did you mean "listen"?
        known here: listen, operations, public_url, data, database, root_key, root_key_command, identity, roles, access_keys, servers, toolboxes, default_resource, legacy_sse, rules, decision_point, approvals, notify, access_requests, break_glass, sessions, tokens, clients, outbound, telemetry, trusted_proxies, limits, audit
    "#);
}

#[test]
fn rules_keep_the_line_numbers_of_the_file() {
    let text = "listen: 127.0.0.1:1\nrules:   # ours\n  - rule: a\n    then: deny\n\n  # more\n- rule: b\ndata: /x\n";
    let refused = problems(text);
    assert!(refused.contains("not valid YAML"), "{refused}");
    let rules = good("listen: 127.0.0.1:1\nrules:\n- rule: a\n  then: deny\n\n# more\n- rule: b\ndata: /x\n")
        .rules
        .expect("rules");
    assert_eq!((rules.file.as_str(), rules.line), ("portcullis.yaml", 2));
    assert_eq!(rules.text, "\n      \n- rule: a\n  then: deny\n\n# more\n- rule: b\n");
    let rules = good("rules: [{ rule: a,\n  then: deny }]\nlisten: 127.0.0.1:1\n").rules.expect("rules");
    assert_eq!(rules.text, "       [{ rule: a,\n  then: deny }]\n");
    let json = "{\n  \"listen\": \"127.0.0.1:1\",\n  \"rules\": [\n    { \"rule\": \"a]\\\"\", \"then\": \"deny\" }\n  ],\n  \"data\": \"/x\"\n}\n";
    let rules = good(json).rules.expect("rules");
    assert_eq!(rules.text, "\n\n           [\n    { \"rule\": \"a]\\\"\", \"then\": \"deny\" }\n  ]\n");
    let rules =
        good("rules: [{ rule: it's,  # not ] here\n  then: deny }]\nlisten: 127.0.0.1:1\n").rules.expect("rules");
    assert_eq!(rules.text, "       [{ rule: it's,  # not ] here\n  then: deny }]\n");
}

#[test]
fn paths_of_the_file_start_at_its_directory() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("key"), "sekrit\n").expect("write");
    let path = dir.path().join("portcullis.yaml");
    std::fs::write(&path, "data: state\nroot_key: file:key\n").expect("write");
    let mut sources = Sources::default();
    sources.read_file(&path).expect("read");
    let config = Config::load(&sources).unwrap_or_else(|problems| panic!("{problems}")).config;
    assert_eq!(config.data, dir.path().join("state"));
    assert_eq!(config.root_key.expect("key").reveal(), "sekrit");
    assert!(sources.read_file(&dir.path().join("absent.yaml")).is_err());
}

#[test]
fn private_hosts_carry_their_port() {
    let config =
        good("outbound: { private_hosts: [MCP.internal, \"a.internal:8443\", \"[fd00::1]:80\", \"[fd00::2]\"] }\n");
    assert_eq!(config.outbound.private_hosts, ["mcp.internal:443", "a.internal:8443", "[fd00::1]:80", "[fd00::2]:443"]);
    assert!(problems("outbound: { private_hosts: [\"https://a\"] }\n").contains("not a host name"));
    assert!(problems("outbound: { private_hosts: [\"a:99999\"] }\n").contains("not a host name"));
}

#[test]
fn chosen_port_reaches_the_derived_public_url() {
    let bound = |text: &str| {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        good(text).bound_to(address(40001), address(40002)).public_url.to_string()
    };
    assert_eq!(bound("listen: 127.0.0.1:0\n"), "http://127.0.0.1:40001");
    assert_eq!(bound("public_url: https://mcp.example.com\n"), "https://mcp.example.com");
}

#[test]
fn a_decision_point_is_read_with_what_it_may_be_told() {
    assert_eq!(good("").decision_point, None);
    let named = "outbound: { private_hosts: [\"127.0.0.1:8181\"] }\n";
    let config = good(&format!("decision_point: {{ url: http://127.0.0.1:8181, for: [crm] }}\n{named}"));
    let point = config.decision_point.expect("one");
    assert_eq!((point.timeout, point.cache), (Duration::from_secs(1), Duration::from_secs(10)));
    assert_eq!((point.arguments, point.token.is_some()), (SentArguments::Nothing, false));
    let crm = ServerName::parse("crm").expect("a name");
    assert_eq!(point.servers, Some(vec![crm.clone()]));
    // A name that is mistyped would be a server that nobody asks about.
    let config = good(&format!("decision_point: {{ url: http://127.0.0.1:8181, for: [cmr] }}\n{named}"));
    let wrong = config.check_toolboxes(&[crm]).expect_err("there is none").to_string();
    assert!(wrong.contains("there is no server \"cmr\"; did you mean \"crm\"?"), "{wrong}");
    for (text, told) in [
        ("url: \"http://pdp.example.com\"", "url: is plain http to another machine"),
        ("url: https://10.0.0.7", "which the gateway asks only where it is named"),
        ("token: env:PDP", "url: is missing"),
        ("url: https://pdp.example.com, token: s3cret", "a secret must not stand in the file itself"),
        ("url: https://pdp.example.com, timout: 2s", "did you mean"),
        ("url: https://pdp.example.com, cache: 1h", "cache: expected a duration from 0 to 5m"),
        ("url: https://pdp.example.com, for: []", "for: names no server"),
    ] {
        let problems = problems(&format!("decision_point: {{ {text} }}\n"));
        assert!(problems.contains(told), "{text}: {problems}");
    }
}

#[test]
fn glass_is_broken_by_people_who_are_named_and_for_hours_at_most() {
    assert!(good("").break_glass.is_none(), "nobody may unless somebody says so");
    let config = good("break_glass: { who: ['group:on-call', 'person:ada'], servers: [billing], lasts: 2h }\n");
    let glass = config.break_glass.unwrap();
    assert_eq!((glass.who.len(), glass.lasts), (2, Duration::from_hours(2)));
    assert_eq!(glass.servers.unwrap()[0].as_str(), "billing");
    let glass = good("break_glass: { who: ['role:admin'] }\n").break_glass.unwrap();
    assert_eq!((glass.servers, glass.lasts), (None, Duration::from_hours(1)));
    for (text, told) in [
        ("break_glass: { who: [] }", "who: names nobody"),
        ("break_glass: {}", "who: names nobody"),
        ("break_glass: { who: ['*'] }", "is no person, group or role"),
        ("break_glass: { who: ['service:ci'] }", "is no person, group or role"),
        ("break_glass: { who: [on-call] }", "did you mean \"group:on-call\"?"),
        ("break_glass: { who: ['role:admin'], lasts: 5h }", "lasts: expected a duration from 5m to 4h"),
        ("break_glass: { who: ['role:admin'], server: [x] }", "did you mean"),
        ("access_requests: { longest: 1m }", "longest: expected a duration from 1h to 366d"),
    ] {
        let problems = problems(&format!("{text}\n"));
        assert!(problems.contains(told), "{text}: {problems}");
    }
}

// spec: T-99
#[test]
fn what_is_kept_of_calls_is_said_for_all_and_for_one_server() {
    let text = "audit: { arguments: full, results: off }\nservers:\n  - { name: a, url: https://a.example/mcp, audit: { results: full } }\n";
    let config = good(text);
    assert_eq!((config.audit.arguments, config.audit.results), (Keep::Full, Keep::Off));
    assert_eq!(config.servers[0].audit, super::ServerAudit { arguments: None, results: Some(Keep::Full) });
    let told: Vec<_> = config.cautions().into_iter().filter(|caution| caution.contains("secrets too")).collect();
    assert!(told.len() == 2 && told[0].starts_with("audit.arguments: ") && told[1].contains("(a)"), "{told:?}");
    let wrong = problems(
        "audit: { results: all }\nservers: [{ name: a, url: https://a.example/mcp, audit: { result: off } }]\n",
    );
    assert!(wrong.contains("audit.results: expected one of redacted, digest, off, full"), "{wrong}");
    assert!(wrong.contains("servers[0].audit.result: unknown key; did you mean \"results\"?"), "{wrong}");
}

#[test]
fn witnesses_of_the_journal_are_one_place_each() {
    let good = "audit:\n  witness:\n    - { file: heads.jsonl, every: 5s }\n    - { git: /srv/heads }\n    - { webhook: https://w.example/h, secret: env:PAGER_SECRET }\n    - { timestamp: https://t.example/tsr, every: 1h }\n";
    let config = Config::load(&sources(good, &SECRETS, &[])).unwrap_or_else(|problems| panic!("{problems}")).config;
    let every: Vec<_> = config.audit.witnesses.iter().map(|witness| witness.every.as_secs()).collect();
    assert_eq!(every, [5, 60, 60, 3600]);
    assert_snapshot!(problems("audit:\n  witness:\n    - { file: a, git: b }\n    - { every: 1m }\n    - { file: a, secret: env:X }\n    - { webhook: http://w.example/h, secret: plain }\n    - { fiel: x }\n"), @r#"
    portcullis.yaml:3: audit.witness[0]: must say where heads are noted: in one place
        write one of file: PATH, git: FOLDER, webhook: URL with secret:, timestamp: URL
    portcullis.yaml:4: audit.witness[1]: must say where heads are noted: in one place
        write one of file: PATH, git: FOLDER, webhook: URL with secret:, timestamp: URL
    portcullis.yaml:5: audit.witness[2].secret: is of no use without `webhook`
        take it out: what is noted is signed with the key of the journal
    portcullis.yaml:6: audit.witness[3].webhook: is plain http to another machine: whoever is in between can read what waits
        write an https:// URL; http is for a program on this machine
    portcullis.yaml:6: audit.witness[3].secret: a secret must not stand in the file itself
        write secret: env:NAME to take it from an environment variable, or file:PATH to take it from a file
        example: secret: env:WITNESS_SECRET
    portcullis.yaml:7: audit.witness[4]: must say where heads are noted: in one place
        write one of file: PATH, git: FOLDER, webhook: URL with secret:, timestamp: URL
    portcullis.yaml:7: audit.witness[4].fiel: unknown key; did you mean "file"?
        known here: every, file, git, webhook, timestamp, secret
    "#);
}

#[test]
fn keeping_of_the_journal_is_bounded() {
    let text = "audit:\n  segment: { size: 1MiB }\n  retention: { for: 400d, size: 50GB, archive: { folder: old } }\n  free_space: 2GiB\n  reads_without_journal: deny\n";
    let audit = good(text).audit;
    let limits = audit.limits();
    assert_eq!(
        (limits.segment_bytes, limits.segment_age, limits.free_space),
        (1 << 20, Duration::from_hours(24), 2 << 30)
    );
    assert_eq!(audit.retention.keep_for, Some(Duration::from_hours(24 * 400)));
    assert_eq!((audit.retention.size, audit.retention.archive), (Some(50_000_000_000), Some("old".into())));
    assert_eq!(audit.reads_without_journal, ReadsWithoutJournal::Deny);
    assert_snapshot!(problems("audit:\n  segment: { size: 1KiB, age: 1s }\n  retention: { for: 1h, archive: { foldr: x } }\n  reads_without_journal: refuse\n"), @r#"
    portcullis.yaml:2: audit.segment.size: expected a size from 16KiB to 1GiB, found "1KiB"
        example: size: 64MiB
    portcullis.yaml:2: audit.segment.age: expected a duration from 1m to 366d, found "1s"
        example: age: 24h
    portcullis.yaml:3: audit.retention.for: expected a duration from 1d to 36600d, found "1h"
        example: for: 400d
    portcullis.yaml:3: audit.retention.archive.folder: is missing: expected a path
        example: folder: /mnt/archive/portcullis
    portcullis.yaml:3: audit.retention.archive.foldr: unknown key; did you mean "folder"?
        known here: folder
    portcullis.yaml:4: audit.reads_without_journal: expected one of allow, deny, found "refuse"
    "#);
}
