//! What the settings say of credentials, headers and certificates of servers, and what they refuse.

use insta::assert_snapshot;

use super::{super::*, sources};

const SECRETS: [(&str, &str); 5] = [
    ("SERVER_KEY", "sk_0123456789"),
    ("BEARER", "Bearer sk_0123456789"),
    ("BROKEN", "two\nlines"),
    ("SERVER_SECRET", "hunter2"),
    ("COMPANY_SECRET", "hunter2"),
];

const PROVIDERS: &str = "identity:\n  providers:\n    - { id: company, kind: oidc, issuer: https://login.example.com, client_id: a, client_secret: env:COMPANY_SECRET, offline: false }\n    - { id: public, kind: oidc, issuer: https://public.example.com, client_id: a }\n    - { id: entra, kind: entra, tenant: 8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b, client_id: a, client_secret: env:COMPANY_SECRET }\n    - { id: github, kind: github, client_id: a, client_secret: env:COMPANY_SECRET }\n";

/// One server with these lines besides name and URL, and the providers.
fn server(lines: &str) -> String {
    let lines: Vec<_> = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("{PROVIDERS}servers:\n  - name: tickets\n    url: https://mcp.example.com/mcp\n{}", lines.concat())
}

fn read(lines: &str) -> Server {
    let loaded = Config::load(&sources(&server(lines), &SECRETS, &[]));
    loaded.unwrap_or_else(|problems| panic!("{problems}\n{lines}")).config.servers.remove(0)
}

fn credential(text: &str) -> Credential {
    read(&format!("credential: {text}")).credential
}

/// What is said about these lines, without the place.
fn refused(lines: &str) -> String {
    match Config::load(&sources(&server(lines), &SECRETS, &[])) {
        Ok(loaded) => panic!("accepted: {:?}", loaded.config.servers),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn nothing_said_means_oauth_when_the_server_asks() {
    let server = read("");
    assert_eq!(server.credential, Credential::Auto(OAuth::default()));
    assert_eq!((server.tools, server.concurrent), (ToolList::Personal, 64));
    assert!(server.headers.is_empty() && server.request_headers.is_empty() && server.tls == Tls::default());
    assert_eq!(server.speaks, Speaks::Auto);
    assert_eq!(read("speaks: sse").speaks, Speaks::Sse);
    assert!(refused("speaks: see").contains("did you mean \"sse\"?"), "{}", refused("speaks: see"));
    assert_eq!(credential("none"), Credential::None);
    assert_eq!(credential("oauth"), Credential::OAuth(OAuth::default()));
    assert_eq!(credential("header"), credential("{ kind: header }"));
    assert_eq!(credential("assertion"), credential("{ kind: assertion }"));
    assert_eq!(credential("{ kind: auto, shared: true }").holders(), Some(Holders::Shared));
}

// spec: UP-8, UP-9, UP-11, UP-31, UP-37
#[test]
fn every_choice_of_oauth_is_read() {
    let read = credential(
        "{ kind: oauth, shared: true, issuer: \"https://login.example.com\", client_id: ours, client_secret: env:SERVER_SECRET, client_auth: client_secret_post, scopes: [read, write], resource: none, resource_prefix: true, assume_s256: true, legacy_paths: true, endpoints: [OAuth2.example.net], register: no }",
    );
    let how = Some(ClientAuth::Post);
    let proof = ClientProof::Secret { secret: Secret::new("hunter2".into()), how };
    let expected = OAuth {
        holders: Holders::Shared,
        issuer: Some("https://login.example.com".into()),
        client: Some(OAuthClient { id: "ours".into(), proof }),
        scopes: Some(vec!["read".into(), "write".into()]),
        resource: ResourceParameter::None,
        resource_match: ResourceMatch::Prefix,
        s256: S256::Assumed,
        legacy_paths: LegacyPaths::Tried,
        endpoints: vec!["oauth2.example.net".into()],
        register: Register::No,
    };
    assert_eq!(read, Credential::OAuth(expected));
    let client =
        |text: &str| credential(&format!("{{ kind: oauth, issuer: \"https://a.example\", client_id: c{text} }}"));
    let proof = |text: &str| client(text).oauth().and_then(|it| it.client.clone()).expect("client").proof;
    assert_eq!(proof(""), ClientProof::None);
    assert_eq!(proof(", client_auth: none"), ClientProof::None);
    assert_eq!(proof(", client_auth: private_key_jwt"), ClientProof::Key(ClientKey::Own));
    assert!(matches!(proof(", client_secret: env:SERVER_SECRET"), ClientProof::Secret { how: None, .. }));
}

#[test]
fn keys_come_from_settings_administrator_or_person() {
    let Credential::Header(each) = credential(
        "{ kind: header, header: X-Api-Key, label: Token, help: \"Ask Ana\", pattern: \"sk_[0-9]+\", options: [{ name: Personal, prefix: \"token \" }] }",
    ) else {
        panic!("no header")
    };
    assert_eq!((each.header.as_str(), each.prefix.as_str(), &each.key), ("x-api-key", "", &KeySource::Each));
    let pattern = each.pattern.expect("pattern");
    assert!(pattern.fits("sk_12") && !pattern.fits("xsk_12") && !pattern.fits("sk_12 "));
    assert_eq!(each.options, [KeyOption { name: "Personal".into(), prefix: "token ".into() }]);
    let Credential::Header(given) = credential("{ kind: header, value: env:SERVER_KEY }") else { panic!("no header") };
    assert_eq!((given.header.as_str(), given.prefix.as_str()), ("authorization", "Bearer "));
    assert_eq!(given.key, KeySource::Settings(Secret::new("sk_0123456789".into())));
    assert_eq!(credential("{ kind: header, shared: true }").holders(), Some(Holders::Shared));
    assert_eq!(credential("{ kind: header, value: env:SERVER_KEY }").holders(), None);
}

// spec: UP-80, UP-83, UP-85
#[test]
fn kinds_that_live_on_a_sign_in_name_its_provider() {
    let read = credential("{ kind: exchange, provider: company, audience: tickets, subject: id_token }");
    let Credential::Exchange(exchange) = &read else { panic!("{read:?}") };
    assert_eq!((&exchange.resource, exchange.subject), (&ResourceParameter::None, SubjectToken::IdToken));
    assert_eq!(read.provider(), Some("company"));
    let Credential::Exchange(exchange) = credential("{ kind: exchange, provider: company }") else { panic!() };
    assert_eq!(exchange.resource, ResourceParameter::Exact);
    let read = credential(
        "{ kind: on_behalf_of, provider: entra, scopes: [\"api://t/.default\"], subject_scope: \"api://p/access\" }",
    );
    assert_eq!(read.provider(), Some("entra"));
    let read = credential(
        "{ kind: id_jag, provider: company, issuer: \"https://as.example\", client_id: p, client_secret: env:SERVER_SECRET, fallback: oauth }",
    );
    assert_eq!((read.provider(), read.holders()), (Some("company"), Some(Holders::Each)));
    let read = credential("{ kind: id_jag, provider: company, issuer: \"https://as.example\", client_id: p }");
    assert_eq!(read.holders(), None);
    let read = credential(
        "{ kind: client_credentials, token_endpoint: \"https://as.example/token\", client_id: p, client_auth: private_key_jwt, scopes: [a] }",
    );
    assert_eq!((read.kind(), read.holders()), ("client_credentials", None));
    let Credential::Assertion(made) = credential("{ kind: assertion, lifetime: 30s, claims: [name, groups] }") else {
        panic!()
    };
    assert_eq!(made.claims, [AssertionClaim::Name, AssertionClaim::Groups]);
}

// spec: UP-21, UP-85
#[test]
fn wrong_credentials_say_what_to_write() {
    let all: Vec<_> = [
        "outh",
        "exchange",
        "[oauth]",
        "{ knid: oauth }",
        "{ kind: oauth2 }",
        "{ kind: oauth, issuer: \"http://login.example.com\" }",
        "{ kind: oauth, issuer: \"https://10.0.0.1\" }",
        "{ kind: oauth, client_id: ours }",
        "{ kind: oauth, client_secret: env:SERVER_SECRET }",
        "{ kind: oauth, issuer: \"https://a.example\", client_id: a, client_secret: hunter2 }",
        "{ kind: oauth, issuer: \"https://a.example\", client_id: a, client_auth: client_secret_basic }",
        "{ kind: oauth, issuer: \"https://a.example\", client_id: a, client_key: env:SERVER_SECRET }",
        "{ kind: oauth, issuer: \"https://a.example\", client_id: a, register: auto }",
        "{ kind: oauth, scopes: [\"read write\"], endpoints: [\"*.example.com\"], resource: exakt }",
        "{ kind: header, header: Mcp-Session-Id }",
        "{ kind: header, value: env:BEARER }",
        "{ kind: header, value: env:BROKEN }",
        "{ kind: header, pattern: \"(\" }",
        "{ kind: header, value: env:SERVER_KEY, pattern: \"pk_.*\" }",
        "{ kind: client_credentials, issuer: \"https://a.example\" }",
        "{ kind: client_credentials, issuer: \"https://a.example\", client_id: a }",
        "{ kind: exchange, provider: compny }",
        "{ kind: exchange, provider: public }",
        "{ kind: exchange, provider: github }",
        "{ kind: on_behalf_of, provider: company, scopes: [], subject_scope: access }",
        "{ kind: id_jag, provider: company, subject: refresh_token }",
        "{ kind: assertion, lifetime: 1h, claims: [mail] }",
    ]
    .map(|text| {
        let said = refused(&format!("credential: {text}"));
        format!("{text}\n{}", said.replace("portcullis.yaml:10: servers[0].", "  ").replace("\n    ", "\n      "))
    })
    .into();
    assert_snapshot!(all.join("\n"), @r#"
    outh
      credential: expected one of auto, none, oauth, header, assertion, or a group of keys with a kind, found "outh"
          did you mean "oauth"?
    exchange
      credential: exchange needs to know more than its name
          write its keys below `credential:`, beginning with `kind: exchange`
    [oauth]
      credential: expected a group of keys, found a list
      credential.kind: is missing: expected one of auto, none, oauth, header, client_credentials, exchange, on_behalf_of, id_jag, assertion
          example: kind: auto
    { knid: oauth }
      credential.kind: is missing: expected one of auto, none, oauth, header, client_credentials, exchange, on_behalf_of, id_jag, assertion
          example: kind: auto
    { kind: oauth2 }
      credential.kind: expected one of auto, none, oauth, header, client_credentials, exchange, on_behalf_of, id_jag, assertion, found "oauth2"
          did you mean "oauth"?
    { kind: oauth, issuer: "http://login.example.com" }
      credential.issuer: is plain http to another machine: whoever is in between could vouch for anybody
          use its https:// URL; http is for a provider on this machine
    { kind: oauth, issuer: "https://10.0.0.1" }
      credential.issuer: is at 10.0.0.1:443, a private address, which the gateway asks only where it is named
          outbound: { private_hosts: ["10.0.0.1:443"] }
    { kind: oauth, client_id: ours }
      credential.client_id: does not say where it is a client
          name the authorization server beside it, as its metadata does: issuer: https://login.example.com
    { kind: oauth, client_secret: env:SERVER_SECRET }
      credential.client_secret: has no client that it belongs to
          write client_id beside it, as the authorization server gave it
    { kind: oauth, issuer: "https://a.example", client_id: a, client_secret: hunter2 }
      credential.client_secret: a secret must not stand in the file itself
          write client_secret: env:NAME to take it from an environment variable, or file:PATH to take it from a file
          example: client_secret: env:UPSTREAM_CLIENT_SECRET
    { kind: oauth, issuer: "https://a.example", client_id: a, client_auth: client_secret_basic }
      credential.client_auth: needs client_secret, and nothing else
          example: client_auth: client_secret_basic, client_secret: env:UPSTREAM_CLIENT_SECRET
    { kind: oauth, issuer: "https://a.example", client_id: a, client_key: env:SERVER_SECRET }
      credential.client_key: what it refers to is not an EC key on P-256 in PKCS#8 PEM form (-----BEGIN PRIVATE KEY-----)
          make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out client-key.pem
    { kind: oauth, issuer: "https://a.example", client_id: a, register: auto }
      credential.register: stands beside `client_id`, so there is nothing to register
          take it out
    { kind: oauth, scopes: ["read write"], endpoints: ["*.example.com"], resource: exakt }
      credential.scopes: "read write" is not a scope
          write scopes one by one, without spaces: scopes: [read, write]
      credential.resource: expected exact, none, or a URL without fragment, found "exakt"
          did you mean "exact"?
      credential.endpoints: "*.example.com" is not a host name
          write hosts without scheme, port, path or wildcard: [oauth2.googleapis.com]
    { kind: header, header: Mcp-Session-Id }
      credential.header: "mcp-session-id" belongs to the protocol: the gateway writes it itself
          use a header that the server reads for this purpose
    { kind: header, value: env:BEARER }
      credential.value: what it refers to begins with "Bearer" already, which `prefix` puts before it
          leave it to one of them, such as: prefix: ""
    { kind: header, value: env:BROKEN }
      credential.value: cannot stand in a header: there is a line break or a character beyond ASCII in it
          check that it is the key alone, without anything around it
    { kind: header, pattern: "(" }
      credential.pattern: is not a regular expression: found open group without closing ')'
          it must fit the whole key: pattern: "sk_[a-z0-9]{24}"
    { kind: header, value: env:SERVER_KEY, pattern: "pk_.*" }
      credential.value: what it refers to does not look as `pattern` says
          check both
    { kind: client_credentials, issuer: "https://a.example" }
      credential.client_id: is missing: a token for the gateway itself needs a client that somebody registered
          example: client_id: portcullis
    { kind: client_credentials, issuer: "https://a.example", client_id: a }
      credential.client_id: has nothing that proves it, and whoever knows a client_id could use it
          add client_secret: env:NAME, client_key: file:PATH, or client_auth: private_key_jwt for the gateway's own key
    { kind: exchange, provider: compny }
      credential.provider: there is no identity provider "compny"
          did you mean "company"?
    { kind: exchange, provider: public }
      credential.provider: is a provider where we have no client_secret, and it exchanges tokens only with a client it can recognise (public)
          give the provider a client_secret
    { kind: exchange, provider: github }
      credential.provider: is GitHub, which gives no token for anybody else
          use `kind: oauth`: people connect once
    { kind: on_behalf_of, provider: company, scopes: [], subject_scope: access }
      credential.provider: is not of kind entra, and on-behalf-of is Entra's own way
          use `kind: exchange` (RFC 8693)
      credential.scopes: must name the API of the server, as Entra ID knows it
          example: scopes: ["api://6f1c…/.default"]
      credential.subject_scope: "access" is not a scope of an API
          it stands under "Expose an API" of the gateway's registration: api://CLIENT-ID/access
    { kind: id_jag, provider: company, subject: refresh_token }
      credential.provider: gives no refresh token: its `offline` is false
          set offline: true there, or subject: id_token here
    { kind: assertion, lifetime: 1h, claims: [mail] }
      credential.lifetime: expected a duration from 5s to 5m, found "1h"
          example: lifetime: 60s
      credential.claims[0]: expected one of name, email, groups, found "mail"
          did you mean "email"?
    "#);
}

// spec: T-35, SEC-3
#[test]
fn no_credential_of_a_client_can_be_let_through() {
    for name in [
        "Authorization",
        "Cookie",
        "Proxy-Authorization",
        "X-Api-Key",
        "X-Auth-Request-Email",
        "X-Access-Token",
        "X-Amz-Security-Token",
        "X-Forwarded-User",
        "Forwarded",
        "Remote-User",
        "X-Session",
        "X-Goog-Iap-Jwt-Assertion",
        "Mcp-Session-Id",
        "Host",
        "Content-Length",
        "X-Real-IP",
        "X-CSRF-Token",
        "Portcullis-Identity",
        "X-Password",
    ] {
        let said = refused(&format!("request_headers: [{name}]"));
        assert!(said.contains("request_headers[0]") && said.contains(&name.to_ascii_lowercase()), "{said}");
    }
    assert_eq!(read("request_headers: [Accept-Language, traceparent]").request_headers.len(), 2);
}

#[test]
fn headers_and_certificates_are_checked() {
    let server = read("headers: { X-Team: platform, X-Key: env:SERVER_KEY }");
    let headers: Vec<_> = server.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("x-team", "platform"), ("x-key", "sk_0123456789")]);
    assert_eq!(read("limits: { concurrent: 3 }").concurrent, 3);
    assert_eq!(read("tools: public").tools, ToolList::Public);
    let all: Vec<_> = [
        "headers: { Authorization: env:SERVER_KEY }",
        "headers: { X-Api-Key: sk_0123456789 }",
        "headers: { \"X Team\": a }",
        "headers: { X-Team: a }\nrequest_headers: [X-Team]",
        "headers: { X-Team: a }\ncredential: { kind: header, header: X-Team }",
        "limits: { concurrent: 0, answers: 1 }",
        "tools: privat",
        "tls: { client_certificate: Cargo.toml }",
        "tls: { ca_file: absent.pem }",
        "tls: { ca_file: Cargo.toml, client_certificate: Cargo.toml, client_key: env:SERVER_KEY }",
    ]
    .map(|text| format!("{text}\n{}", refused(text).replace("portcullis.yaml:", "  ").replace("\n    ", "\n      ")))
    .into();
    assert_snapshot!(all.join("\n"), @r#"
    headers: { Authorization: env:SERVER_KEY }
      10: servers[0].headers.Authorization: "authorization" says on whose behalf a request is made, so it is set by `credential`
          example: credential: { kind: header, value: env:SERVER_KEY }
    headers: { X-Api-Key: sk_0123456789 }
      10: servers[0].headers.X-Api-Key: looks like a secret, and a secret must not stand in the file itself
          write x-api-key: env:NAME to take it from an environment variable, or file:PATH
    headers: { "X Team": a }
      10: servers[0].headers.X Team: "X Team" is not the name of a header
          write the name alone, such as X-Api-Key
    headers: { X-Team: a }
    request_headers: [X-Team]
      11: servers[0].request_headers[0]: "x-team" is set by the gateway for this server already
          keep one of the two
    headers: { X-Team: a }
    credential: { kind: header, header: X-Team }
      10: servers[0].headers: "x-team" is what `credential` is sent in
          keep one of the two
    limits: { concurrent: 0, answers: 1 }
      10: servers[0].limits.concurrent: expected a whole number from 1 to 100000, found the number 0
          example: concurrent: 1
      10: servers[0].limits.answers: unknown key
          known here: concurrent
    tools: privat
      10: servers[0].tools: expected one of personal, public, found "privat"
    tls: { client_certificate: Cargo.toml }
      10: servers[0].tls.client_certificate: is of no use without `client_key`
          write client_key: beside it
    tls: { ca_file: absent.pem }
      10: servers[0].tls.ca_file: cannot be read as certificates: I/O error: No such file or directory (os error 2)
          name a PEM file that the gateway's user may read
    tls: { ca_file: Cargo.toml, client_certificate: Cargo.toml, client_key: env:SERVER_KEY }
      10: servers[0].tls.ca_file: there is no certificate in this file
          it must have the PEM form: -----BEGIN CERTIFICATE-----
      10: servers[0].tls.client_certificate: there is no certificate in this file
          it must have the PEM form: -----BEGIN CERTIFICATE-----
      10: servers[0].tls.client_key: what it refers to is not a private key in PEM form, or is one with a password
          example: client_key: file:gateway-key.pem
    "#);
    let plain = server_text_with_http("tls: { ca_file: Cargo.toml }");
    assert!(plain.contains("is for https"), "{plain}");
}

fn server_text_with_http(lines: &str) -> String {
    let text = server(lines).replace("https://mcp.example.com/mcp", "http://127.0.0.1:1/mcp");
    Config::load(&sources(&text, &SECRETS, &[])).expect_err("refused").to_string()
}

// spec: UP-31, UP-3, UP-9
#[test]
fn weaker_choices_are_told_at_every_start() {
    let told = |lines: &str| read(lines).cautions();
    assert!(told("").is_empty());
    assert_snapshot!(
        [
            told("credential: { kind: oauth, shared: true, resource: none, resource_prefix: true, assume_s256: true, legacy_paths: true }"),
            told("credential: { kind: auto, resource: \"https://mcp.example.com\" }"),
            told("credential: { kind: header, value: env:SERVER_KEY }"),
            told("credential: { kind: id_jag, provider: company, fallback: oauth }"),
        ]
        .concat()
        .join("\n"),
        @r#"
    resource is none: tokens do not say for which server they are, so another one that gets them could use them
    resource_prefix is true: metadata of a whole host is taken for that of this server
    assume_s256 is true: if the authorization server ignores PKCE after all, a stolen code can be redeemed
    legacy_paths is true: where metadata is missing, /authorize and /token are taken on trust
    shared is true: the server sees one account, and cannot tell who called
    resource is not the server's own URL: its tokens may be good elsewhere too
    one key for everybody: the server sees one account, and cannot tell who called
    fallback is oauth: whom the provider refuses may connect by hand all the same
    "#
    );
    let text = server("private: true\ncredential: oauth").replace("https://mcp.example.com", "http://mcp.internal");
    let loaded = Config::load(&sources(&text, &SECRETS, &[])).unwrap_or_else(|problems| panic!("{problems}"));
    let told = loaded.config.cautions();
    assert!(told.iter().any(|caution| caution.starts_with("servers (tickets): private is true")), "{told:?}");
}

// spec: UP-23
#[test]
fn client_document_is_offered_where_it_can_be_fetched() {
    let of = |text: &str| Config::load(&sources(text, &[], &[])).map(|loaded| loaded.config.outbound.client_document);
    let https = "public_url: https://mcp.example.com\n";
    assert_eq!(of("").expect("loaded"), ClientDocument::Off);
    assert_eq!(of(https).expect("loaded"), ClientDocument::Offered);
    assert_eq!(of("public_url: https://localhost:8443\n").expect("loaded"), ClientDocument::Off);
    let chosen = |value: &str| of(&format!("{https}outbound: {{ client_document: {value} }}\n"));
    assert_eq!(chosen("false").expect("loaded"), ClientDocument::Off);
    assert!(of("outbound: { client_document: true }\n").is_err());
}

#[test]
fn entries_of_the_database_are_read_like_the_file() {
    let entry = |credential: &str| {
        let text = format!(r#"{{"name":"tickets","url":"https://mcp.example.com/mcp","credential":{credential}}}"#);
        let variables = SECRETS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Entry::from_json(&text).expect("json").server(&Environment::new(&variables))
    };
    let read = entry(r#"{"kind":"header","value":"env:SERVER_KEY"}"#).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(read.credential, credential("{ kind: header, value: env:SERVER_KEY }"));
    let said = entry(r#"{"kind":"header","value":"sk_0123456789"}"#).expect_err("refused").to_string();
    assert!(said.contains("must not stand in the file itself") && !said.contains("sk_0123456789"), "{said}");
    assert!(entry(r#"{"kind":"header","value":"env:ABSENT"}"#).expect_err("refused").to_string().contains("not set"));
}

// spec: T-75
#[test]
fn who_is_not_asked_is_told_at_every_start() {
    let told = |access: &str| read(&format!("access: {access}")).cautions().join("\n");
    for quiet in
        ["['*']", "[group:ops]", "[{ group: ops, allow: [read, write], ask: ['*'] }]", "[{ group: ops, ask: ['*'] }]"]
    {
        assert_eq!(told(quiet), "", "{quiet}");
    }
    assert_snapshot!(told("[{ group: '*', allow: ['*'] }, { group: ops, allow: [write, destructive, unknown] }]"), @"
    access: everybody may call every tool, and nobody is asked before one destroys, executes, sends or spends
    access: group:ops may call tools that are unknown, destructive, and nobody is asked before
    ");
}

#[test]
fn an_administrator_says_what_a_tool_is_and_why_and_is_reminded_of_it() {
    let digest = portcullis_base::Digest::of(b"a definition").to_base64url();
    let lines = format!(
        "risk:\n  refresh_cache: {{ classes: [write], labels: [cost], reason: the cache is ours }}\n  run_report: {{ classes: [read], reason: it only reads, definition: {digest} }}"
    );
    let server = read(&lines);
    let cache = &server.risk["refresh_cache"];
    assert_eq!((cache.classes, cache.definition), (portcullis_base::Class::Write.into(), None));
    assert_eq!(cache.labels, Some(portcullis_base::Label::Cost.into()));
    assert_eq!(server.risk["run_report"].definition.map(|digest| digest.to_base64url()), Some(digest));
    assert_snapshot!(server.cautions().join("\n"), @"
    risk: refresh_cache counts as write (the cache is ours), whatever the server makes of it; with `definition` it counts for one definition only
    risk: run_report counts as read (it only reads)
    ");
    let wrong = "risk:\n  a: { classes: [raed], reason: x }\n  b: { classes: [read] }\n  c: { classes: [read], labels: [privat_data], reason: x, definition: abc }";
    assert_snapshot!(refused(wrong), @r#"
    portcullis.yaml:11: servers[0].risk.a.classes: there is no class "raed"; they are read, write, unknown, egress, execute, destructive, financial, and "*" for all
        did you mean "read"?
    portcullis.yaml:12: servers[0].risk.b.reason: gives no reason
        say why the tool is not what it looks like; whoever comes after you will ask
    portcullis.yaml:13: servers[0].risk.c.labels: there is no label "privat_data"
        did you mean "private_data"?
    portcullis.yaml:13: servers[0].risk.c.definition: "abc" is no digest of a definition
        copy it from the record of a call of this tool
    "#);
}

#[test]
fn what_a_program_says_of_a_tool_is_said_of_one_definition() {
    let entry = |verdict: &str| {
        let entry = format!(r#"{{"name":"a","url":"https://a.example/mcp","risk":{{"x":{verdict}}}}}"#);
        Entry::from_json(&entry).expect("an entry").server(&Environment::default())
    };
    let digest = portcullis_base::Digest::of(b"a definition");
    let bound = entry(&format!(r#"{{"classes":["read"],"reason":"r","definition":"{digest}"}}"#)).expect("a server");
    assert_eq!(bound.risk["x"].definition, Some(digest));
    let blind = entry(r#"{"classes":["read"],"reason":"r"}"#).expect_err("refused").to_string();
    assert!(blind.contains("definition: …"), "{blind}");
}
