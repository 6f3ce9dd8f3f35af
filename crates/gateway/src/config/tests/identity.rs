//! Company sign-in in the settings: what each kind of provider needs, what it does not have, and what is unsafe.

use insta::assert_snapshot;

use super::{super::*, SECRETS, good, problems as problems_without, sources};

fn problems(text: &str) -> String {
    match Config::load(&sources(text, &SECRETS, &[])) {
        Ok(loaded) => panic!("accepted: {:?}", loaded.config),
        Err(problems) => problems.to_string(),
    }
}

fn loaded(text: &str) -> Config {
    Config::load(&sources(text, &SECRETS, &[])).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// One provider with these lines besides what every provider needs.
fn provider(kind: &str, lines: &str) -> String {
    let lines: Vec<_> = lines.lines().map(|line| format!("      {line}\n")).collect();
    let lines = lines.concat();
    format!("identity:\n  providers:\n    - id: company\n      kind: {kind}\n      client_id: portcullis\n{lines}")
}

#[test]
fn every_kind_has_its_defaults() {
    let text = "identity:\n  providers:\n    - { id: okta, kind: okta, issuer: https://example.okta.com, client_id: a }\n    - { id: custom, kind: okta, issuer: https://example.okta.com/oauth2/default, client_id: a }\n    - { id: entra, kind: entra, tenant: 8F2B6A3E-0c1d-4e5f-9a7b-1c2d3e4f5a6b, client_id: a }\n    - { id: google, kind: google, client_id: a, client_secret: env:KEY }\n    - { id: keycloak, kind: keycloak, issuer: https://k.example.com/realms/a, client_id: a }\n    - { id: auth0, kind: auth0, issuer: https://example.eu.auth0.com/, client_id: a, offline: false }\n    - { id: oidc, kind: oidc, issuer: https://login.example.com, client_id: a }\n    - { id: github, kind: github, client_id: a, client_secret: env:KEY }\n";
    let config = loaded(text);
    let rows: Vec<_> = config
        .identity
        .providers
        .iter()
        .map(|it| format!("{}: {} {} {}", it.id, it.name, it.issuer, it.scopes.join(",")))
        .collect();
    assert_snapshot!(rows.join("\n"), @"
    okta: Okta https://example.okta.com openid,profile,email,groups,offline_access
    custom: Okta https://example.okta.com/oauth2/default openid,profile,email,offline_access
    entra: Microsoft https://login.microsoftonline.com/8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b/v2.0 openid,profile,email,User.Read,offline_access
    google: Google https://accounts.google.com openid,profile,email
    keycloak: Keycloak https://k.example.com/realms/a openid,profile,email,offline_access
    auth0: Auth0 https://example.eu.auth0.com/ openid,profile,email
    oidc: Company account https://login.example.com openid,profile,email,offline_access
    github: GitHub https://github.com read:user,user:email,read:org
    ");
    let first = &config.identity.providers[0];
    assert_eq!((first.sign_up, first.link, first.offline), (SignUp::Open, Link::None, Offline::Asked));
    assert_eq!(first.back_channel_logout, BackChannel::Everything);
    assert_eq!((&first.client_auth, &first.client_secret, &first.scim, &first.id_jag), (&None, &None, &None, &None));
    assert_eq!(first.claims.subject, "sub");
    assert_eq!(config.identity.providers[7].back_channel_logout, BackChannel::Off);
    assert_eq!(
        (config.identity.refresh, config.identity.unreachable),
        (Duration::from_mins(10), Duration::from_hours(24))
    );
    assert_eq!((config.access_keys.enabled, config.access_keys.longest), (false, Duration::from_hours(90 * 24)));
    assert_eq!(config.roles["member"], ["*"]);
}

#[test]
fn everything_that_can_be_said_arrives() {
    let config = loaded(&provider(
        "oidc",
        "name: Example\nissuer: https://login.example.com/\nclient_secret: env:COMPANY_SECRET\nclient_auth: client_secret_post\nscopes: [openid, groups]\ndomains: [Example.COM, \"@example.net\"]\nclaims: { subject: oid, groups: realm_access.roles }\nsign_up: false\nlink: verified_email\noffline: true\nback_channel_logout: session\nscim: { token: env:COMPANY_SCIM_TOKEN }\nid_jag: { clients: [a, b] }\n",
    ));
    let it = &config.identity.providers[0];
    assert_eq!((it.name.as_str(), it.issuer.as_str()), ("Example", "https://login.example.com/"));
    assert_eq!(it.client_secret.as_ref().map(Secret::reveal), Some("hunter2"));
    assert_eq!((it.client_auth, it.sign_up, it.link), (Some(ClientAuth::Post), SignUp::Closed, Link::VerifiedEmail));
    assert_eq!((it.scopes.join(" "), it.domains.join(" ")), ("openid groups".into(), "example.com example.net".into()));
    assert_eq!((it.claims.subject.as_str(), it.claims.groups.as_str()), ("oid", "realm_access.roles"));
    assert_eq!((it.back_channel_logout, it.offline), (BackChannel::Session, Offline::Asked));
    assert_eq!(it.scim.as_ref().map(|scim| scim.token.reveal()), Some("0123456789abcdef"));
    assert_eq!(it.id_jag.as_ref().map(|trust| trust.clients.join(" ")), Some("a b".into()));
}

#[test]
fn provider_without_what_it_needs_is_refused() {
    assert_snapshot!(problems("identity:\n  providers:\n    - kind: oidc\n    - id: b\n    - id: Com pany\n      kind: entra\n      client_id: c\n    - id: d\n      kind: ocid\n    - id: g\n      kind: google\n      client_id: c\n"), @r#"
    portcullis.yaml:3: identity.providers[0].id: is missing: expected a name for its addresses
        example: id: company
    portcullis.yaml:3: identity.providers[0].issuer: is missing: expected the issuer of the provider
        example: issuer: https://login.example.com
    portcullis.yaml:3: identity.providers[0].client_id: is missing: expected our client id at the provider
        example: client_id: portcullis
    portcullis.yaml:4: identity.providers[1].kind: is missing: expected one of okta, entra, google, keycloak, auth0, oidc, github
        example: kind: okta
    portcullis.yaml:5: identity.providers[2].id: "Com pany" is not an id: use 1 to 32 of a-z, 0-9 and "-"
        example: id: company
    portcullis.yaml:5: identity.providers[2].tenant: is missing: expected a directory (tenant) identifier, organizations or common
        example: tenant: 8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b
    portcullis.yaml:9: identity.providers[3].kind: expected one of okta, entra, google, keycloak, auth0, oidc, github, found "ocid"
        did you mean "oidc"?
    portcullis.yaml:10: identity.providers[4].client_secret: is missing: Google gives no tokens to a client without one
        example: client_secret: env:COMPANY_SECRET
    "#);
}

#[test]
fn issuers_are_https_urls_and_nothing_more() {
    let wrong = |kind, issuer: &str| problems(&provider(kind, &format!("issuer: {issuer}")));
    assert_snapshot!(wrong("oidc", "login.example.com"), @"
    portcullis.yaml:6: identity.providers[0].issuer: is not a URL (relative URL without a base)
        example: issuer: https://login.example.com
    ");
    // spec: SEC-10
    assert_snapshot!(wrong("oidc", "http://login.example.com"), @"
    portcullis.yaml:6: identity.providers[0].issuer: is plain http to another machine: whoever is in between could vouch for anybody
        use its https:// URL; http is for a provider on this machine
    ");
    assert_snapshot!(wrong("oidc", "https://login.example.com?tenant=a"), @"
    portcullis.yaml:6: identity.providers[0].issuer: must not have a query (?…) or a fragment (#…)
        example: issuer: https://login.example.com
    ");
    assert_snapshot!(wrong("oidc", "https://ana:secret@login.example.com"), @"
    portcullis.yaml:6: identity.providers[0].issuer: carries a name or password
        example: issuer: https://login.example.com
    ");
    assert_snapshot!(wrong("keycloak", "https://login.example.com/realms/a/.well-known/openid-configuration"), @"
    portcullis.yaml:6: identity.providers[0].issuer: is the address of a discovery document
        write what stands before /.well-known/
        example: issuer: https://login.example.com/realms/company
    ");
    assert_snapshot!(wrong("okta", "https://example-admin.okta.com"), @"
    portcullis.yaml:6: identity.providers[0].issuer: is the address of the admin console
        take the -admin out of the host name
        example: issuer: https://example.okta.com
    ");
    assert_snapshot!(wrong("auth0", "https://example.eu.auth0.com"), @"
    portcullis.yaml:6: identity.providers[0].issuer: has no slash at its end, and Auth0's issuer has one: they are compared byte for byte
        write it with the slash
        example: issuer: https://example.eu.auth0.com/
    ");
    assert_snapshot!(wrong("entra", "https://sts.windows.net/8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b/"), @"
    portcullis.yaml:6: identity.providers[0].issuer: is the issuer of version 1.0 tokens, which have other claims
        write tenant: and the directory's identifier instead
        example: issuer: https://login.microsoftonline.com/8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b/v2.0
    ");
}

// spec: SEC-11
#[test]
fn private_addresses_are_asked_only_where_they_are_named() {
    let text = provider("oidc", "issuer: http://127.0.0.1:9000");
    assert_snapshot!(problems(&text), @r#"
    portcullis.yaml:6: identity.providers[0].issuer: is at 127.0.0.1:9000, a private address, which the gateway asks only where it is named
        outbound: { private_hosts: ["127.0.0.1:9000"] }
    "#);
    assert_eq!(
        good(&format!("{text}outbound: {{ private_hosts: [\"127.0.0.1:9000\"] }}\n")).identity.providers.len(),
        1
    );
    let text = "servers:\n  - name: a\n    url: https://mcp.example.com/mcp\n    authorization:\n      issuer: https://login.example.com\n      jwks_uri: https://[fd00::1]/keys\n";
    assert_snapshot!(problems(text), @r#"
    portcullis.yaml:6: servers[0].authorization.jwks_uri: is at [fd00::1]:443, a private address, which the gateway asks only where it is named
        outbound: { private_hosts: ["[fd00::1]:443"] }
    "#);
}

// spec: T-52
#[test]
fn entra_says_which_directories_may_come() {
    let entra = |lines: &str| problems(&provider("entra", lines));
    assert_snapshot!(entra("tenant: contoso.onmicrosoft.com"), @r#"
    portcullis.yaml:6: identity.providers[0].tenant: expected a directory (tenant) identifier, organizations or common, found "contoso.onmicrosoft.com"
        the identifier stands on the overview page of the directory; its issuer has it, not the domain name
        example: tenant: 8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b
    "#);
    assert_snapshot!(entra("tenant: organizations"), @"
    portcullis.yaml:3: identity.providers[0].tenants: must name who may come: without it everybody with a directory of their own could sign in
        example: tenants: [8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b]
    ");
    assert_snapshot!(entra("tenant: common\ntenants: [contoso]"), @r#"
    portcullis.yaml:7: identity.providers[0].tenants: "contoso" is not a directory (tenant) identifier
        example: tenants: [8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b]
    "#);
    assert_snapshot!(entra("tenant: 8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b\ntenants: [8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b]"), @"
    portcullis.yaml:7: identity.providers[0].tenants: is for `tenant: organizations` or `common`; here one directory is named already
        take it out
    ");
    assert_snapshot!(entra("tenant: 8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b\nissuer: https://login.microsoftonline.com/8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b/v2.0"), @"
    portcullis.yaml:7: identity.providers[0].issuer: stands beside `tenant`, and each of the two gives the issuer
        keep one of them
    ");
    let config = loaded(&provider(
        "entra",
        "tenant: organizations\nissuer: https://login.microsoftonline.us/organizations/v2.0\ntenants: [8F2B6A3E-0c1d-4e5f-9a7b-1c2d3e4f5a6b]",
    ));
    let it = &config.identity.providers[0];
    assert_eq!(it.issuer, "https://login.microsoftonline.us/organizations/v2.0");
    assert_eq!(
        (&it.tenant, it.tenants.join(" ")),
        (&Some(Tenant::Organizations), "8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b".into())
    );
    let one = loaded(&provider(
        "entra",
        "issuer: https://login.microsoftonline.us/8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b/v2.0",
    ));
    assert_eq!(one.identity.providers[0].tenant, Some(Tenant::One("8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b".into())));
}

#[test]
fn keys_of_another_kind_say_why() {
    assert_snapshot!(problems(&provider("keycloak", "issuer: https://k.example.com/realms/a\ntenant: common\ntenants: [a]\nhosted_domains: [example.com]\norganizations: [acme]\napi_url: https://api.example.com\ndirectory: { admin: a@example.com }")), @"
    portcullis.yaml:7: identity.providers[0].tenant: is not for kind keycloak
        only Entra ID (kind: entra) has tenants; take it out
    portcullis.yaml:8: identity.providers[0].tenants: is not for kind keycloak
        only Entra ID (kind: entra) has tenants; take it out
    portcullis.yaml:9: identity.providers[0].hosted_domains: is not for kind keycloak
        only Google has hosted domains; `domains` names the e-mail domains of any provider; take it out
    portcullis.yaml:10: identity.providers[0].organizations: is not for kind keycloak
        only GitHub has organizations; take it out
    portcullis.yaml:11: identity.providers[0].api_url: is not for kind keycloak
        only Entra ID, Google and GitHub are asked through an API of their own; take it out
    portcullis.yaml:12: identity.providers[0].directory: is not for kind keycloak
        only Google needs its directory asked for groups; take it out
    ");
    assert_snapshot!(problems(&provider("github", "client_secret: env:KEY\nclaims: { groups: teams }\nback_channel_logout: everything\nscim: { token: env:COMPANY_SCIM_TOKEN }\nid_jag: { clients: [\"*\"] }\nhosted_domains: [example.com]")), @"
    portcullis.yaml:7: identity.providers[0].claims: is not for kind github
        GitHub has no claims: account, e-mail and teams come from its API; take it out
    portcullis.yaml:8: identity.providers[0].back_channel_logout: is not for kind github
        it sends no logout tokens; take it out
    portcullis.yaml:9: identity.providers[0].scim: is not for kind github
        GitHub does not provision people elsewhere; take it out
    portcullis.yaml:10: identity.providers[0].id_jag: is not for kind github
        it issues no identity assertions; take it out
    portcullis.yaml:11: identity.providers[0].hosted_domains: is not for kind github
        only Google has hosted domains; `domains` names the e-mail domains of any provider; take it out
    ");
}

// spec: AS-143
#[test]
fn nobody_is_two_providers_and_no_claim_that_changes_hands_is_a_person() {
    let text = "identity:\n  providers:\n    - { id: a, kind: oidc, issuer: https://login.example.com, client_id: c, domains: [example.com] }\n    - { id: a, kind: oidc, issuer: https://login.example.com, client_id: d, domains: [EXAMPLE.com, \"*.example.net\"] }\n    - { id: switch, kind: oidc, issuer: https://c.example.com, client_id: e, claims: { subject: email, gruops: g } }\n";
    assert_snapshot!(problems(text), @r#"
    portcullis.yaml:4: identity.providers[1].id: names a second provider
        give each provider an id of its own
    portcullis.yaml:4: identity.providers[1].issuer: is the issuer of "a" too
        one issuer is one provider: list all of its domains there
    portcullis.yaml:4: identity.providers[1].domains: "*.example.net" is not a domain
        write what stands after the @ of an address, without wildcards: example.com
    portcullis.yaml:4: identity.providers[1].domains: "example.com" is a domain of "a" too
        an address can lead to one provider only
    portcullis.yaml:5: identity.providers[2].id: "switch" cannot be the id of a provider: /login/switch is a page of the gateway
        choose another one; it is part of addresses, the sign-in page shows `name`
    portcullis.yaml:5: identity.providers[2].claims.subject: is email, which a person can change and another can get later: the newcomer would be taken for the first
        use sub, or another claim that the provider never gives to anybody else, such as oid of Entra ID
    portcullis.yaml:5: identity.providers[2].claims.gruops: unknown key; did you mean "groups"?
        known here: subject, name, display_name, email, groups
    "#);
}

#[test]
fn what_a_provider_may_do_is_checked() {
    let text = provider(
        "oidc",
        "issuer: https://login.example.com\nscopes: [profile]\nlink: verified_email\nclient_auth: private_key\nid_jag: { clients: [] }\nback_channel_logout: evrything\nsign_up: perhaps\n",
    );
    assert_snapshot!(problems(&text), @r#"
    portcullis.yaml:7: identity.providers[0].scopes: must contain openid: without it the provider gives no ID token, which says who signed in
        example: scopes: [openid, profile, email]
    portcullis.yaml:8: identity.providers[0].link: joins people that SCIM made with their first sign-in, and SCIM is off for this provider
        set `scim`, or take `link` out: without it every account of the provider is a person of its own
    portcullis.yaml:9: identity.providers[0].client_auth: expected one of client_secret_basic, client_secret_post, found "private_key"
    portcullis.yaml:10: identity.providers[0].id_jag.clients: must name the clients that may present an assertion; "*" is any
        example: clients: [https://agent.example.com/client.json]
    portcullis.yaml:11: identity.providers[0].back_channel_logout: expected one of everything, session, off, found "evrything"
        did you mean "everything"?
    portcullis.yaml:12: identity.providers[0].sign_up: expected true or false, found "perhaps"
        example: sign_up: true
    "#);
    let text = provider(
        "google",
        "client_secret: env:KEY\nhosted_domains: [\"example.com/x\"]\ndirectory: { service_account: file:missing.json, admin: ana }",
    );
    assert_snapshot!(problems(&text), @r#"
    portcullis.yaml:7: identity.providers[0].hosted_domains: "example.com/x" is not a domain
        write what stands after the @ of an address, without wildcards: example.com
    portcullis.yaml:8: identity.providers[0].directory.service_account: "file:missing.json": the file cannot be read: No such file or directory (os error 2)
        looked at missing.json
    portcullis.yaml:8: identity.providers[0].directory.admin: "ana" is not an e-mail address
        name the administrator in whose name the directory is read: admin@example.com
    "#);
    // spec: AS-145
    assert_snapshot!(problems("identity: { refresh: 1h, unreachable: 1m, provider: [] }\naccess_keys: { longest: 2y }\nroles: { admins: [a] }\n"), @r#"
    portcullis.yaml:1: identity.refresh: expected a duration from 1m to 15m, found "1h"
        example: refresh: 10m
    portcullis.yaml:1: identity.unreachable: expected a duration from 15m to 30d, found "1m"
        example: unreachable: 24h
    portcullis.yaml:1: identity.provider: unknown key; did you mean "providers"?
        known here: local_accounts, refresh, unreachable, providers, workloads
    portcullis.yaml:2: access_keys.longest: expected a duration from 1h to 366d, found "2y"
        example: longest: 90d
    portcullis.yaml:3: roles.admins: unknown role; did you mean "admin"?
        roles are: owner, admin, auditor, member
    "#);
}

#[test]
fn secrets_of_providers_stand_elsewhere_and_are_not_shown() {
    let text = provider(
        "oidc",
        "issuer: https://login.example.com\nclient_secret: hunter2\nscim: { token: hunter2hunter2hunter2 }",
    );
    let shown = problems(&text);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_snapshot!(shown, @"
    portcullis.yaml:7: identity.providers[0].client_secret: a secret must not stand in the file itself
        write client_secret: env:NAME to take it from an environment variable, or file:PATH to take it from a file
        example: client_secret: env:COMPANY_SECRET
    portcullis.yaml:8: identity.providers[0].scim.token: a secret must not stand in the file itself
        write token: env:NAME to take it from an environment variable, or file:PATH to take it from a file
        example: token: env:COMPANY_SCIM_TOKEN
    ");
    let short = provider("oidc", "issuer: https://login.example.com\nscim: { token: env:REPORT_SECRET }");
    assert_snapshot!(problems(&short), @"
    portcullis.yaml:7: identity.providers[0].scim.token: what it refers to is shorter than 16 characters: who guesses it can make and end people
        make a long random one, such as: openssl rand -hex 32
    ");
    let provider = "[{id: a, kind: google, client_id: c, client_secret: hunter2, scim: {token: hunter2hunter2hunter2}, directory: {service_account: hunter2, admin: a@example.com}}]";
    let loaded = Config::load(&sources("", &[("PORTCULLIS_IDENTITY__PROVIDERS", provider)], &[]));
    let rows = loaded.unwrap_or_else(|problems| panic!("{problems}")).origins.rows();
    assert!(
        rows.iter().any(|(key, value, _)| key == "identity.providers[0].scim.token" && value == "(secret)"),
        "{rows:?}"
    );
    assert!(!format!("{rows:?}").contains("hunter2"), "{rows:?}");
}

// spec: AS-183
#[test]
fn workloads_say_whose_tokens_they_are() {
    let text = "identity:\n  workloads:\n    - id: ci\n      issuer: https://token.actions.githubusercontent.com\n      allow:\n        - service_account: deploy\n          claims: { ref: refs/heads/main }\n          servers: [Every Thing]\n        - service_account: deploy\n          claims: { repository: acme*, ref: \"refs/*/main\" }\n        - claims: { sub: \"*\" }\n          servers: [everything]\n    - id: ci\n      issuer: http://ci.example.com\n      audience: 7\n    - id: cluster\n      issuer: https://kubernetes.example.com\n      allow: []\n";
    assert_snapshot!(problems(text), @r#"
    portcullis.yaml:7: identity.workloads[0].allow[0].claims: does not say whose token it is, and this issuer signs for everybody
        name one of sub, repository, repository_id, repository_owner, repository_owner_id, job_workflow_ref
        example: claims: { repository: acme/app, ref: refs/heads/main }
    portcullis.yaml:8: identity.workloads[0].allow[0].servers: "Every Thing" is not a server name: use 1 to 32 of a-z, 0-9 and "-", not beginning with "-"
        did you mean "every-thing"?
    portcullis.yaml:9: identity.workloads[0].allow[1].servers: must name the servers that it may use
        example: servers: [everything]
    portcullis.yaml:10: identity.workloads[0].allow[1].claims.repository: "acme*" is met by owners with a longer name too
        write the owner with its slash: acme/*
    portcullis.yaml:10: identity.workloads[0].allow[1].claims.ref: "refs/*/main" has a * that is not at its end
        a value is exact, or a prefix with * at its end: refs/heads/*
    portcullis.yaml:11: identity.workloads[0].allow[2].service_account: is missing: expected the name of a service account
        example: service_account: deploy
    portcullis.yaml:11: identity.workloads[0].allow[2].claims: must say something that not every token of the issuer says
        example: claims: { repository: acme/app, ref: refs/heads/main }
    portcullis.yaml:13: identity.workloads[1].id: names a second workload
        give each an id of its own
    portcullis.yaml:13: identity.workloads[1].allow: must say which tokens become which service account
        example: allow: [{ service_account: deploy, claims: { repository: acme/app }, servers: [everything] }]
    portcullis.yaml:14: identity.workloads[1].issuer: is plain http to another machine: whoever is in between could vouch for anybody
        use its https:// URL; http is for a provider on this machine
    portcullis.yaml:15: identity.workloads[1].audience: expected an audience, found the number 7
        example: audience: https://mcp.example.com
    portcullis.yaml:18: identity.workloads[2].allow: must say which tokens become which service account
        example: allow: [{ service_account: deploy, claims: { repository: acme/app }, servers: [everything] }]
    "#);
    let config = good(
        "identity:\n  workloads:\n    - id: ci\n      issuer: https://token.actions.githubusercontent.com\n      allow:\n        - { service_account: deploy, claims: { repository: acme/app, ref: refs/heads/* }, servers: [everything] }\n",
    );
    let ci = &config.identity.workloads[0];
    assert_eq!((ci.id.as_str(), &ci.jwks_uri, &ci.audience), ("ci", &None, &None));
    assert_eq!((ci.allow[0].service_account.as_str(), ci.allow[0].claims["ref"].as_str()), ("deploy", "refs/heads/*"));
    assert_eq!(ci.allow[0].servers[0].as_str(), "everything");
}

// spec: RS-20, T-37
#[test]
fn endpoints_with_a_foreign_authorization_server_are_strict() {
    let server = |lines: &str| {
        format!("servers:\n  - name: a\n    url: https://mcp.example.com/mcp\n    authorization:\n{lines}")
    };
    assert_snapshot!(problems(&server("      audience: a\n      algorithms: [HS256, none, RS265, ES256]\n")), @r#"
    portcullis.yaml:4: servers[0].authorization.issuer: is missing: expected the issuer of the tokens
        example: issuer: https://login.example.com
    portcullis.yaml:6: servers[0].authorization.algorithms: expected an asymmetric algorithm such as RS256 or ES256, found "HS256"
        who can check such a token could have made it, so only asymmetric algorithms are accepted
    portcullis.yaml:6: servers[0].authorization.algorithms: expected an asymmetric algorithm such as RS256 or ES256, found "none"
        who can check such a token could have made it, so only asymmetric algorithms are accepted
    portcullis.yaml:6: servers[0].authorization.algorithms: expected an asymmetric algorithm such as RS256 or ES256, found "RS265"
        did you mean "RS256"?
    "#);
    assert_snapshot!(problems(&server("      issuer: https://login.example.com\n      jwks_uri: https://login.example.com/keys\n      algorithms: []\n      introspection: { url: http://login.example.com/i, client_secret: env:MISSING }\n      claims: { person: email }\n")), @r#"
    portcullis.yaml:6: servers[0].authorization.jwks_uri: stands beside `introspection`: tokens are checked in one way
        keep one of them
    portcullis.yaml:7: servers[0].authorization.algorithms: stands beside `introspection`, where no signature is checked here
        take it out
    portcullis.yaml:7: servers[0].authorization.algorithms: must name at least one algorithm
        example: algorithms: [RS256, ES256]
    portcullis.yaml:8: servers[0].authorization.introspection.url: is plain http to another machine: whoever is in between could vouch for anybody
        use its https:// URL; http is for a provider on this machine
    portcullis.yaml:8: servers[0].authorization.introspection.client_id: is missing: expected our client id there
        example: client_id: portcullis
    portcullis.yaml:8: servers[0].authorization.introspection.client_secret: "env:MISSING": the environment variable is not set
        set it before the start: export MISSING=…
    portcullis.yaml:9: servers[0].authorization.claims.person: is email, which a person can change and another can get later: the newcomer would be taken for the first
        use sub, or another claim that the provider never gives to anybody else, such as oid of Entra ID
    "#);
    let twice = format!(
        "{}  - name: b\n    url: https://b.example.com/mcp\n    authorization: {{ issuer: https://login.example.com, audience: api }}\n",
        server("      issuer: https://login.example.com\n      audience: api\n")
    );
    assert_snapshot!(problems(&twice), @r#"
    portcullis.yaml:9: servers[1].authorization.audience: is the audience of "a" too, so a token for one would open the other
        give each server an audience of its own; without `audience` it is the URL of the endpoint
    "#);
    let config = loaded(&server(
        "      issuer: https://login.example.com\n      introspection: { url: https://login.example.com/i, client_id: c, client_secret: env:KEY }\n",
    ));
    let external = config.servers[0].authorization.as_ref().expect("external mode");
    assert!(matches!(&external.keys, ExternalKeys::Introspection { client_id, .. } if client_id == "c"));
    let config = loaded(&server("      issuer: https://login.example.com\n"));
    let external = config.servers[0].authorization.as_ref().expect("external mode");
    assert_eq!((&external.keys, &external.audience, external.algorithms.len()), (&ExternalKeys::Jwks(None), &None, 2));
    assert_eq!((external.claims.person.as_str(), external.claims.client.as_str()), ("sub", "client_id"));
}

#[test]
fn local_accounts_end_with_the_first_provider_unless_they_are_kept() {
    assert!(good("").identity.local_accounts);
    let text = provider("oidc", "issuer: https://login.example.com");
    assert!(!good(&text).identity.local_accounts);
    let kept = text.replace("identity:\n", "identity:\n  local_accounts: true\n");
    assert!(good(&kept).identity.local_accounts);
    let rows = Config::load(&sources(&text, &[], &[])).expect("loads").origins.rows();
    let row = rows.iter().find(|(key, ..)| key == "identity.local_accounts").expect("a row");
    assert_eq!((row.1.as_str(), row.2.to_string().as_str()), ("false", "from identity.providers"));
}

#[test]
fn unsafe_choices_are_told() {
    assert_eq!(good("").cautions(), [""; 0]);
    let plain = provider("oidc", "issuer: https://login.example.com");
    assert_eq!(loaded(&format!("roles: {{ owner: [leads] }}\n{plain}")).cautions(), [""; 0]);
    assert_snapshot!(loaded(&plain).cautions().join("\n"), @"roles: no group is owner or admin, so nobody who signs in administers, unless `portcullis user admin NAME on` said so");
    let text = "access_keys: { enabled: true }\nidentity:\n  local_accounts: true\n  providers:\n    - { id: e, kind: entra, tenant: common, tenants: [8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b], client_id: a, offline: false }\n    - { id: g, kind: google, client_id: a, client_secret: env:KEY }\n    - { id: h, kind: github, client_id: a, client_secret: env:KEY }\n    - { id: o, kind: oidc, issuer: https://login.example.com, client_id: a, back_channel_logout: off, id_jag: { clients: [\"*\"] } }\n";
    assert_snapshot!(loaded(text).cautions().join("\n"), @r#"
    identity.local_accounts: people with a password here sign in past the provider, and leaving the company does not end them
    access_keys.enabled: a key is a secret that is good for weeks without its person; prefer clients that sign in
    identity.providers[0] (e): sign_up is true with tenant common: everybody with an account in one of `tenants`, guests included, gets an account here
    identity.providers[0] (e): offline is false, so groups are as old as the sign-in, and a disabled account is noticed then
    identity.providers[1] (g): sign_up is true and neither hosted_domains nor domains is set: everybody with a Google account can sign in
    identity.providers[2] (h): sign_up is true and organizations is not set: everybody with a GitHub account can sign in
    identity.providers[3] (o): back_channel_logout is off, so a sign-out at the provider ends nothing here
    identity.providers[3] (o): id_jag.clients is "*": any client with an assertion of the provider gets a token without a consent page
    "#);
    assert_snapshot!(good("identity: { local_accounts: false }\n").cautions().join("\n"), @"identity: local accounts are off and no provider is set, so nobody can sign in");
    assert_eq!(problems_without("identity: { local_accounts: maybe }\n").lines().count(), 2);
}
