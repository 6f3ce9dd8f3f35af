//! Providers tried from the command line, groups, and the guide to company sign-in.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::Stdio,
    thread,
};

use insta::assert_snapshot;

use super::{Sandbox, blocks, documentation, transcript};

/// A provider on this machine, as far as it can be asked without a person.
fn provider(document: impl Fn(SocketAddr) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address");
    // It lives as long as the test process: nothing waits for it.
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(&connection);
            let mut first = String::new();
            let mut line = String::new();
            if reader.read_line(&mut first).is_err() {
                continue;
            }
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let body = match first.split(' ').nth(1) {
                Some("/.well-known/openid-configuration") => document(address),
                Some("/jwks") => r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","use":"sig","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#.to_owned(),
                Some("/token") => r#"{"error":"invalid_grant"}"#.to_owned(),
                _ => String::new(),
            };
            let status = match first.split(' ').nth(1) {
                Some("/token") => "400 Bad Request",
                _ if body.is_empty() => "404 Not Found",
                _ => "200 OK",
            };
            let _ = write!(
                &connection,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

fn discovery(address: SocketAddr, issuer: &str) -> String {
    let at = format!("http://{address}");
    format!(
        r#"{{"issuer":"{issuer}","authorization_endpoint":"{at}/auth","token_endpoint":"{at}/token","jwks_uri":"{at}/jwks","response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"],"code_challenge_methods_supported":["S256"],"scopes_supported":["openid","profile","email","offline_access"],"claims_supported":["sub","name","email"],"token_endpoint_auth_methods_supported":["client_secret_basic"]}}"#
    )
}

fn settings(issuer: &str, private: &str) -> String {
    format!(
        "identity:\n  providers:\n    - {{ id: company, kind: oidc, issuer: \"{issuer}\", client_id: portcullis, client_secret: env:SECRET }}\noutbound: {{ private_hosts: [\"{private}\"] }}\n"
    )
}

#[test]
fn providers_are_tried_without_a_person() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| sandbox.run_with(arguments, "", &[("SECRET", "hunter2hunter2")]);
    assert_snapshot!(transcript(&run(&["identity", "check"])), @"
    --- stderr
    error: no identity provider is set
      add one under identity.providers; docs/guides/identity.md has a page for each kind
    --- exit 2
    ");
    assert_snapshot!(transcript(&run(&["identity", "list"])), @"
    No identity provider is set; people sign in with local accounts.
    --- exit 0
    ");

    let good = provider(|address| discovery(address, &format!("http://{address}")));
    let settled = |text: String| text.replace(&good.to_string(), "[ADDRESS]");
    sandbox.write("portcullis.yaml", &settings(&format!("http://{good}"), &good.to_string()));
    assert_snapshot!(settled(transcript(&run(&["identity", "check"]))), @"
    Company account (company, oidc)
    ✓ discovery: http://[ADDRESS]/.well-known/openid-configuration
    ! clock: the provider does not say what time it is
        compare the clocks yourself
    ✓ issuer: http://[ADDRESS]
    ✓ endpoints: token endpoint http://[ADDRESS]/token; no userinfo, end_session, revocation
        claims must all stand in the ID token; signing out here does not sign out there; tokens of people who left cannot be given back
    ✓ PKCE: S256
    ✓ keys: http://[ADDRESS]/jwks (ES256)
    ✓ client credentials: client_secret_basic, accepted
    ✓ scopes: openid profile email offline_access
    ✓ refresh tokens: asked for with offline_access
    ! groups: from the claim groups, which the provider does not list
        have the provider put the groups of a person into that claim, or name another under claims.groups
    ! back-channel logout: the provider does not say that it sends logout tokens
        a sign-out there ends nothing here until the next check; if it is right, set back_channel_logout: off
    ✓ redirect URI to register: http://127.0.0.1:7878/login/company/callback
    ✓ post-logout redirect URI to register: http://127.0.0.1:7878/logout
    ✓ back-channel logout URI to register: http://127.0.0.1:7878/login/company/back-channel
    --- stderr
    asking http://[ADDRESS] …
    --- exit 0
    ");
    assert_snapshot!(settled(transcript(&run(&["identity", "list"]))), @"
    ID       KIND  ISSUER                  REDIRECT URI TO REGISTER
    company  oidc  http://[ADDRESS]  http://127.0.0.1:7878/login/company/callback
    --- exit 0
    ");
    assert_snapshot!(transcript(&run(&["identity", "check", "compnay"])), @r#"
    --- stderr
    error: there is no provider "compnay"
      did you mean "company"?
    --- exit 2
    "#);
    let json = run(&["identity", "check", "company", "--json"]);
    assert!(json.out.lines().all(|line| line.starts_with("{\"provider\":\"company\",\"check\":")), "{}", json.out);
    assert!(!format!("{}{}", json.out, json.err).contains("hunter2"), "{}", transcript(&json));
}

#[test]
fn wrong_issuer_is_shown_beside_the_expected_one() {
    let sandbox = Sandbox::new();
    let other = provider(|address| discovery(address, &format!("http://{address}/realms/company")));
    sandbox.write("portcullis.yaml", &settings(&format!("http://{other}"), &other.to_string()));
    let ended = sandbox.run_with(&["identity", "check"], "", &[("SECRET", "s")]);
    assert_eq!(ended.code, 1);
    let shown = transcript(&ended).replace(&other.to_string(), "[ADDRESS]");
    assert!(shown.contains("http://[ADDRESS]/realms/company"), "{shown}");
    assert_snapshot!(shown, @"
    Company account (company, oidc)
    ! clock: the provider does not say what time it is
        compare the clocks yourself
    ✗ issuer: expected http://[ADDRESS], received http://[ADDRESS]/realms/company
        set issuer to exactly what the provider calls itself
        the issuer is what stands before /.well-known/openid-configuration
    ✓ redirect URI to register: http://127.0.0.1:7878/login/company/callback
    ✓ post-logout redirect URI to register: http://127.0.0.1:7878/logout
    ✓ back-channel logout URI to register: http://127.0.0.1:7878/login/company/back-channel
    --- stderr
    asking http://[ADDRESS] …
    error: one check failed; people cannot sign in like this
    --- exit 1
    ");
}

#[test]
fn provider_that_is_not_there_is_said_to_be_unreachable() {
    let sandbox = Sandbox::new();
    let gone = TcpListener::bind("127.0.0.1:0").expect("listen").local_addr().expect("address");
    sandbox.write("portcullis.yaml", &settings(&format!("http://{gone}"), &gone.to_string()));
    let ended = sandbox.run_with(&["identity", "check"], "", &[("SECRET", "s")]);
    assert_eq!(ended.code, 1);
    assert_snapshot!(transcript(&ended).replace(&gone.to_string(), "[ADDRESS]"), @"
    Company account (company, oidc)
    ✗ discovery: http://[ADDRESS]/.well-known/openid-configuration: cannot connect: Connection refused (os error 111)
        check name, network and proxy from this machine
    ✓ redirect URI to register: http://127.0.0.1:7878/login/company/callback
    ✓ post-logout redirect URI to register: http://127.0.0.1:7878/logout
    ✓ back-channel logout URI to register: http://127.0.0.1:7878/login/company/back-channel
    --- stderr
    asking http://[ADDRESS] …
    error: one check failed; people cannot sign in like this
    --- exit 1
    ");
}

#[test]
fn groups_that_nobody_has_are_found() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &["--admin", "--group", "support"]).code, 0);
    sandbox.write(
        "portcullis.yaml",
        "roles: { admin: [platfrom] }\nservers: [{ name: tickets, url: https://tickets.example.com/mcp, access: [group:support] }]\nrules:\n  - rule: contractors-stay-out\n    who: [group:contractors]\n    what: [tickets/*]\n    then: deny\n",
    );
    assert_snapshot!(transcript(&sandbox.run(&["identity", "groups"])), @"
    GROUP        MEMBERS  FROM           NAMED BY
    contractors  0        nobody has it  portcullis.yaml:5 (rule contractors-stay-out)
    platfrom     0        nobody has it  roles.admin
    support      1        here           server tickets
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["identity", "groups", "--stale"])), @"
    GROUP        MEMBERS  FROM           NAMED BY
    contractors  0        nobody has it  portcullis.yaml:5 (rule contractors-stay-out)
    platfrom     0        nobody has it  roles.admin
    --- stderr
    error: groups are named and nobody has them
      mistyped, or renamed at the provider? Correct what names them, or give somebody the group
    --- exit 1
    ");
    assert_eq!(sandbox.run(&["user", "group", "ana", "--add", "contractors", "--add", "platfrom"]).code, 0);
    assert_snapshot!(transcript(&sandbox.run(&["identity", "groups", "--stale"])), @"
    Every group that is named is a group that somebody has.
    --- exit 0
    ");
}

#[test]
fn start_tells_what_deserves_a_thought() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &["--admin", "--group", "platform"]).code, 0);
    sandbox.write("portcullis.yaml", "access_keys: { enabled: true }\nroles: { admin: [platfrom] }\n");
    let mut command = sandbox.command(&["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"]);
    let mut gateway = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start");
    let mut told = BufReader::new(gateway.stderr.take().expect("errors")).lines().map_while(Result::ok);
    let keys = told.find(|line| line.contains("caution"));
    let groups = told.find(|line| line.contains("caution"));
    let _ = gateway.kill();
    let _ = gateway.wait();
    let told = format!("{}\n{}", keys.unwrap_or_default(), groups.unwrap_or_default());
    assert_snapshot!(told, @"
    caution: access_keys.enabled: a key is a secret that is good for weeks without its person; prefer clients that sign in
    caution: nobody has platfrom, which the settings name: portcullis identity groups --stale
    ");
}

#[test]
fn settings_of_the_identity_guide_load_and_their_rules_compile() {
    let guide = documentation("docs/guides/identity.md");
    let examples = blocks(&guide, "yaml");
    assert!(examples.len() > 15, "examples are not found any more");
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["migrate"]).code, 0);
    sandbox.write("authority.pem", "");
    let names: BTreeSet<&str> = guide.split("env:").skip(1).map(secret_name).filter(|name| !name.is_empty()).collect();
    let environment: Vec<_> = names.iter().map(|name| (*name, "0123456789abcdef0123456789abcdef")).collect();
    for example in &examples {
        let authority = sandbox.path("authority.pem").display().to_string();
        sandbox.write("example.yaml", &example.replace("/tmp/provider/authority.pem", &authority));
        let arguments = ["identity", "groups", "--config", "example.yaml", "--data", "data"];
        let ended = sandbox.run_with(&arguments, "", &environment);
        assert_eq!(ended.code, 0, "{example}\n{}", transcript(&ended));
    }
    for kind in ["okta", "entra", "google", "keycloak", "auth0", "oidc", "github"] {
        assert!(examples.iter().any(|example| example.contains(&format!("kind: {kind}"))), "{kind} has no example");
    }
}

fn secret_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    &text[..end]
}
