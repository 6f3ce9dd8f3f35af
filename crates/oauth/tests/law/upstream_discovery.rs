//! What upstreams and their authorization servers say about themselves, and how little of it is believed.

use portcullis_oauth::{
    client::AuthMethod,
    relying::{
        callback::{self, CallbackError, IssPolicy},
        issuer::IssuerRule,
    },
    upstream::{
        Reach,
        challenge::{self, Challenge, Wanted},
        issuer_id,
        resource::{self, ProtectedResource, ResourceError, Source, Tolerance},
        same_origin, same_site,
        scopes::{self, Known, ScopesError},
        server::{self, Choice, ChoiceError, Expected, Pkce, ServerError, ServerMetadata},
    },
};
use serde_json::{Value, json};

const SERVER: &str = "https://mcp.example.com/v1/mcp";
const ISSUER: &str = "https://auth.example.com/t";

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

fn challenges(lines: &[&str]) -> Vec<Challenge> {
    challenge::parse(lines.iter().map(|line| line.as_bytes()))
}

fn wanted(metadata: &str) -> Wanted {
    Wanted { resource_metadata: Some(metadata.into()), ..Wanted::default() }
}

// spec: UP-1, RFC9110#11.6.1, RFC9110#5.6.2, RFC9110#5.6.4
#[test]
fn challenges_are_read_from_any_lawful_spelling() {
    let challenge = |scheme: &str, params: &[(&str, &str)]| Challenge {
        scheme: scheme.into(),
        params: params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    for (lines, expected) in [
        (&["Bearer"][..], vec![challenge("Bearer", &[])]),
        (&[r#"Bearer realm="a, b", scope="x y""#], vec![challenge("Bearer", &[("realm", "a, b"), ("scope", "x y")])]),
        (
            &[r#"bearer Realm = "say \"hi\"\\" , error=invalid_token"#],
            vec![challenge("bearer", &[("realm", r#"say "hi"\"#), ("error", "invalid_token")])],
        ),
        (
            &[r#"Basic realm="Bearer scope=\"x\"", Bearer error="e""#],
            vec![challenge("Basic", &[("realm", r#"Bearer scope="x""#)]), challenge("Bearer", &[("error", "e")])],
        ),
        (
            &["Negotiate YWJj+/==, Bearer scope=a", "NTLM"],
            vec![challenge("Negotiate", &[]), challenge("Bearer", &[("scope", "a")]), challenge("NTLM", &[])],
        ),
        (&["Negotiate, Basic realm=x"], vec![challenge("Negotiate", &[]), challenge("Basic", &[("realm", "x")])]),
        // The first of two counts.
        (&["Bearer scope=a, SCOPE=b"], vec![challenge("Bearer", &[("scope", "a")])]),
        // An address that somebody forgot to quote.
        (
            &["Bearer resource_metadata=https://h/x?a=b, error=e"],
            vec![challenge("Bearer", &[("resource_metadata", "https://h/x?a=b"), ("error", "e")])],
        ),
        (&[",, ,Bearer ,"], vec![challenge("Bearer", &[])]),
    ] {
        assert_eq!(challenges(lines), expected, "{lines:?}");
    }
}

// spec: UP-1, UP-48
#[test]
fn damaged_challenges_yield_nothing_that_was_not_said() {
    for line in ["", ",", "=x", "\"x\"", "Bearer scope=\"open", "Bearer scope=\"x\\", "a=b", "\u{e4}"] {
        let read = challenges(&[line]);
        assert!(read.iter().all(|challenge| challenge.params.is_empty()), "{line}: {read:?}");
    }
    let many = "Bearer scope=a, ".repeat(100);
    assert_eq!(challenges(&[&many]).len(), 16);
    let wide = format!("Bearer {}", (0..100).map(|n| format!("a{n}=b")).collect::<Vec<_>>().join(","));
    assert_eq!(challenges(&[&wide])[0].params.len(), 32);
    let long = format!("Bearer scope=\"{}\"", "x".repeat(16 * 1024));
    assert_eq!(challenges(&["Basic realm=a", &long]).len(), 1);
}

// spec: UP-1
#[test]
fn what_is_wanted_is_read_from_the_bearer_challenge() {
    assert_eq!(Wanted::of(&challenges(&["Basic realm=x", "DPoP algs=ES256"])), None);
    let read = Wanted::of(&challenges(&[
        "Bearer realm=x",
        "BEARER error=\"insufficient_scope\", scope=\"a b a  c\", resource_metadata=\"https://h/m\", error_description=\"\u{202e}no\"",
    ]));
    let read = read.unwrap();
    assert_eq!(read.resource_metadata.as_deref(), Some("https://h/m"));
    assert_eq!(read.scope, Some(texts(&["a", "b", "c"])));
    assert!(read.needs_more_scope());
    assert!(!read.description.unwrap().contains('\u{202e}'));
    let plain = Wanted::of(&challenges(&["Bearer scope=\"\""])).unwrap();
    assert!(plain.scope.is_none() && !plain.needs_more_scope());
}

// spec: UP-2
#[test]
fn metadata_is_looked_for_where_the_challenge_says_or_in_two_places() {
    let at = |url: &str, wanted: Option<&Wanted>| -> Vec<(String, Source)> {
        let all = resource::lookup(url, wanted).unwrap();
        all.into_iter().map(|place| (place.url, place.source)).collect()
    };
    assert_eq!(
        at(SERVER, None),
        [
            ("https://mcp.example.com/.well-known/oauth-protected-resource/v1/mcp".to_owned(), Source::Path),
            ("https://mcp.example.com/.well-known/oauth-protected-resource".to_owned(), Source::Root),
        ]
    );
    assert_eq!(at("https://mcp.example.com/", None).len(), 1);
    let named = wanted("https://mcp.example.com/meta");
    assert_eq!(at(SERVER, Some(&named)), [("https://mcp.example.com/meta".to_owned(), Source::Challenge)]);
    assert_eq!(at(SERVER, Some(&Wanted::default())).len(), 2);
}

// spec: T-28, UP-10
#[test]
fn metadata_of_another_origin_is_not_fetched() {
    for named in [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:2379/",
        "https://evil.example/m",
        "https://mcp.example.com:8443/m",
        "http://mcp.example.com/m",
        "https://mcp.example.com@evil.example/m",
        "https://user@mcp.example.com/m",
        "https://mcp.example.com./m",
        "https://mcp.example.com\\@evil.example/m",
        "https://mcp.example.com/m#x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "/m",
        "",
        " https://mcp.example.com/m",
    ] {
        let result = resource::lookup(SERVER, Some(&wanted(named)));
        assert!(matches!(result, Err(ResourceError::ForeignMetadata(_))), "{named}: {result:?}");
    }
    assert!(matches!(resource::lookup("not a url", None), Err(ResourceError::Url(_))));
}

fn document() -> Value {
    json!({ "resource": SERVER, "authorization_servers": [ISSUER], "scopes_supported": ["a", "b"], "resource_name": "X" })
}

fn read(document: &Value, source: Source, tolerance: Tolerance) -> Result<ProtectedResource, ResourceError> {
    resource::parse(document.to_string().as_bytes(), SERVER, source, tolerance)
}

// spec: UP-3, T-28, RFC9728#3.3
#[test]
fn metadata_must_be_that_of_the_server_that_was_asked() {
    let of = |name: &str, source, tolerance| {
        let mut document = document();
        document["resource"] = json!(name);
        read(&document, source, tolerance).map(|read| read.resource)
    };
    for source in [Source::Challenge, Source::Path, Source::Root] {
        for same in [SERVER, "https://mcp.example.com/v1/mcp/", "https://MCP.example.com:443/v1/mcp"] {
            assert_eq!(of(same, source, Tolerance::Exact), Ok(same.to_owned()));
        }
        for foreign in [
            "https://mcp.example.com/v1/mc",
            "https://mcp.example.com/v1/mcp/x",
            "https://mcp.example.com/v1/../v1/mcp",
            "https://mcp.example.com/v1/mcp#x",
            "https://mcp.example.com:8443/v1/mcp",
            "http://mcp.example.com/v1/mcp",
            "https://evil.example/v1/mcp",
            "https://example.com",
            "https://mcp.example.com.evil.example",
            "https://mcp.example.co",
            "urn:x",
            "",
        ] {
            for tolerance in [Tolerance::Exact, Tolerance::Prefix] {
                let result = of(foreign, source, tolerance);
                assert!(matches!(result, Err(ResourceError::Resource { .. })), "{foreign} {source:?}: {result:?}");
            }
        }
    }
    let (origin, part) = ("https://mcp.example.com", "https://mcp.example.com/v1");
    for (name, source, tolerance, good) in [
        (origin, Source::Root, Tolerance::Exact, true),
        (origin, Source::Path, Tolerance::Exact, false),
        (origin, Source::Challenge, Tolerance::Exact, false),
        (part, Source::Root, Tolerance::Exact, false),
        (origin, Source::Challenge, Tolerance::Prefix, true),
        (part, Source::Path, Tolerance::Prefix, true),
    ] {
        assert_eq!(of(name, source, tolerance).is_ok(), good, "{name} {source:?} {tolerance:?}");
    }
}

// spec: RFC9728#2, UP-10, UP-48, T-28
#[test]
fn resource_documents_have_one_refusal_for_each_fault() {
    let with = |name: &str, value: Value| {
        let mut document = document();
        document[name] = value;
        read(&document, Source::Path, Tolerance::Exact)
    };
    let good = read(&document(), Source::Path, Tolerance::Exact).unwrap();
    assert_eq!(good.authorization_servers, [ISSUER]);
    assert_eq!(good.scopes_supported, Some(texts(&["a", "b"])));
    for (name, value, error) in [
        ("bearer_methods_supported", json!(["body", "query"]), ResourceError::Header),
        ("bearer_methods_supported", json!("header"), ResourceError::Malformed),
        ("authorization_servers", json!([]), ResourceError::Issuers),
        ("authorization_servers", json!(vec![ISSUER; 17]), ResourceError::Issuers),
        ("authorization_servers", json!(ISSUER), ResourceError::Malformed),
        ("authorization_servers", json!([1]), ResourceError::Malformed),
        ("scopes_supported", json!("a"), ResourceError::Malformed),
        ("resource", json!(["x"]), ResourceError::Malformed),
    ] {
        assert_eq!(with(name, value.clone()), Err(error), "{name} {value}");
    }
    for issuer in [
        "http://127.0.0.1:2379",
        "http://auth.example.com",
        "https://auth.example.com/?x",
        "https://auth.example.com/#x",
        "https://a@auth.example.com",
        "https://auth.example.com.",
        "https://",
        "javascript:alert(1)",
        "data:,x",
        "file:///x",
        "",
    ] {
        // One bad name spoils the list: its author is not to be trusted with the others.
        let result = with("authorization_servers", json!([ISSUER, issuer]));
        assert_eq!(result, Err(ResourceError::Issuer(issuer.into())), "{issuer}");
    }
    let parse = |bytes: &[u8]| resource::parse(bytes, SERVER, Source::Path, Tolerance::Exact);
    assert_eq!(parse(b"[]"), Err(ResourceError::Malformed));
    assert_eq!(parse(br#"{"resource":"a","resource":"b"}"#), Err(ResourceError::Malformed));
    assert_eq!(parse(&vec![b' '; resource::MAX_BYTES + 1]), Err(ResourceError::TooLarge));
    assert!(matches!(with("authorization_servers", Value::Null), Err(ResourceError::Malformed)));
}

// spec: UP-10, T-28
#[test]
fn only_what_is_on_this_computer_may_name_this_computer() {
    let local = "http://127.0.0.1:9/mcp";
    let document = json!({ "resource": local, "authorization_servers": ["http://localhost:1"] }).to_string();
    let read = resource::parse(document.as_bytes(), local, Source::Path, Tolerance::Exact);
    assert_eq!(read.unwrap().authorization_servers, ["http://localhost:1"]);
    for (from, to, good) in [
        (local, "http://127.0.0.1:1/x", true),
        (local, "http://[::1]:1/x", true),
        (local, "http://10.0.0.1/x", false),
        (local, "http://localhost.evil.example/x", false),
        (SERVER, "http://127.0.0.1:1/x", false),
        (SERVER, "https://auth.example.com/x", true),
    ] {
        assert_eq!(Reach::of(from).admits(to), good, "{from} {to}");
    }
}

// spec: UP-4, T-18
#[test]
fn issuer_is_pinned_or_in_use_or_permitted() {
    let (first, second, foreign) = ("https://a.example.com", "https://b.example.com", "https://login.evil.example");
    let allowed = texts(&["https://github.com/login/oauth"]);
    let choice = Choice { url: SERVER, allowed: &allowed, ..Choice::default() };
    let choose = |listed: &[&str], choice| server::choose_issuer(&texts(listed), choice);
    assert_eq!(choose(&[first, second], &choice).as_deref(), Ok(first));
    assert_eq!(choose(&[foreign, second], &choice).as_deref(), Ok(second));
    assert_eq!(choose(&["https://github.com/login/oauth"], &choice).as_deref(), Ok("https://github.com/login/oauth"));
    let used = Choice { in_use: Some(second), ..choice };
    assert_eq!(choose(&[first, second], &used).as_deref(), Ok(second));
    assert_eq!(choose(&[first], &used).as_deref(), Ok(first));
    let pinned = Choice { pinned: Some(foreign), ..used };
    assert_eq!(choose(&[first, second], &pinned).as_deref(), Ok(foreign));
    assert_eq!(choose(&[], &pinned).as_deref(), Ok(foreign));
    assert_eq!(choose(&[], &choice), Err(ChoiceError::None));
    let none = Choice { in_use: Some(foreign), ..choice };
    assert_eq!(choose(&[foreign], &none), Err(ChoiceError::Foreign(texts(&[foreign]))));
}

// spec: UP-5, UP-6, RFC8414#3.1
#[test]
fn issuer_with_a_path_is_not_looked_for_at_the_root() {
    assert_eq!(
        server::lookup("https://a.example/t"),
        [
            "https://a.example/.well-known/oauth-authorization-server/t",
            "https://a.example/.well-known/openid-configuration/t",
            "https://a.example/t/.well-known/openid-configuration",
        ]
    );
    let root = [
        "https://a.example/.well-known/oauth-authorization-server",
        "https://a.example/.well-known/openid-configuration",
    ];
    assert_eq!(server::lookup("https://a.example"), root);
    assert_eq!(server::lookup("https://a.example/"), root);
}

fn metadata() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://auth.example.com/authorize",
        "token_endpoint": "https://api.example.com/token",
        "registration_endpoint": "https://auth.example.com/register",
        "code_challenge_methods_supported": ["plain", "S256"],
        "response_types_supported": ["code"],
    })
}

const EXPECTED: Expected<'_> = Expected { issuer: ISSUER, hosts: &[], pkce: Pkce::Listed, reach: Reach::Public };

fn read_server(document: &Value, expected: &Expected<'_>) -> Result<ServerMetadata, ServerError> {
    server::parse(document.to_string().as_bytes(), expected)
}

fn with(name: &str, value: Value) -> Value {
    let mut document = metadata();
    document[name] = value;
    document
}

// spec: UP-7, UP-8, T-17, RFC8414#3.3
#[test]
fn issuer_must_be_identical_and_a_pin_replaces_what_is_expected() {
    assert_eq!(read_server(&metadata(), &EXPECTED).unwrap().issuer, ISSUER);
    for other in ["https://auth.example.com/t/", "https://auth.example.com/T", "https://AUTH.example.com/t", "", "x"] {
        let result = read_server(&with("issuer", json!(other)), &EXPECTED);
        assert_eq!(result, Err(ServerError::Issuer { expected: ISSUER.into(), received: other.into() }));
        let pinned = Expected { issuer: other, ..EXPECTED };
        assert!(matches!(read_server(&metadata(), &pinned), Err(ServerError::Issuer { .. })), "{other}");
    }
    let slash = "https://auth.example.com/t/";
    let pinned = Expected { issuer: slash, ..EXPECTED };
    assert_eq!(read_server(&with("issuer", json!(slash)), &pinned).unwrap().issuer, slash);
}

// spec: UP-9
#[test]
fn s256_must_be_listed_or_asserted_by_an_administrator() {
    let mut silent = metadata();
    silent.as_object_mut().unwrap().remove("code_challenge_methods_supported");
    let plain = with("code_challenge_methods_supported", json!(["plain"]));
    let assumed = Expected { pkce: Pkce::Assumed, ..EXPECTED };
    assert_eq!(read_server(&silent, &EXPECTED), Err(ServerError::Pkce));
    assert!(read_server(&silent, &assumed).is_ok());
    for expected in [EXPECTED, assumed] {
        assert_eq!(read_server(&plain, &expected), Err(ServerError::Pkce));
        assert!(read_server(&metadata(), &expected).is_ok());
    }
    let machines = Expected { pkce: Pkce::Unused, ..EXPECTED };
    let bare = json!({ "issuer": ISSUER, "token_endpoint": "https://auth.example.com/token" });
    assert!(read_server(&bare, &machines).is_ok());
    assert_eq!(read_server(&bare, &EXPECTED), Err(ServerError::Missing("authorization_endpoint")));
}

// spec: T-18, T-28, UP-10
#[test]
fn endpoints_belong_to_the_issuer() {
    const MEMBERS: [&str; 5] =
        ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "jwks_uri"];
    // Nobody is sent there, and nothing.
    assert!(read_server(&with("userinfo_endpoint", json!("https://graph.elsewhere.example/x")), &EXPECTED).is_ok());
    let hosts = texts(&["tokens.elsewhere.example"]);
    let named = Expected { hosts: &hosts, ..EXPECTED };
    for member in MEMBERS {
        for foreign in ["https://evil.example/x", "https://example.com.evil.example/x", "https://auth-example.com/x"] {
            let result = read_server(&with(member, json!(foreign)), &named);
            assert_eq!(result, Err(ServerError::CrossSite { member, url: foreign.into() }));
        }
        assert!(read_server(&with(member, json!("https://x.example.com/y")), &EXPECTED).is_ok(), "{member}");
        let elsewhere = with(member, json!("https://tokens.elsewhere.example/x"));
        assert!(read_server(&elsewhere, &named).is_ok(), "{member}");
        assert!(matches!(read_server(&elsewhere, &EXPECTED), Err(ServerError::CrossSite { .. })), "{member}");
        for unsafe_url in [
            "http://auth.example.com/x",
            "http://127.0.0.1:2379/x",
            "http://169.254.169.254/x",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://user:pass@auth.example.com/x",
            "https://auth.example.com/x#y",
            "https://auth.example.com/\u{7f}x",
            "//auth.example.com/x",
        ] {
            let result = read_server(&with(member, json!(unsafe_url)), &named);
            assert!(
                matches!(result, Err(ServerError::Endpoint { member: at, .. }) if at == member),
                "{unsafe_url}: {result:?}"
            );
        }
    }
}

// spec: T-18
#[test]
fn google_is_known_and_its_hosts_are_its_own_only() {
    let google = json!({
        "issuer": "https://accounts.google.com",
        "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_endpoint": "https://oauth2.googleapis.com/token",
        "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
        "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        "code_challenge_methods_supported": ["S256"],
    });
    let expected = Expected { issuer: "https://accounts.google.com", ..EXPECTED };
    assert!(read_server(&google, &expected).is_ok());
    let borrowed = with("token_endpoint", json!("https://oauth2.googleapis.com/token"));
    assert!(matches!(read_server(&borrowed, &EXPECTED), Err(ServerError::CrossSite { .. })));
}

// spec: T-18
#[test]
fn sites_are_told_apart_by_who_may_register_names() {
    for (a, b, same) in [
        ("https://auth.example.com", "https://api.example.com/x", true),
        ("https://example.com", "https://example.com:8443", true),
        ("https://one.co.uk", "https://two.co.uk", false),
        ("https://one.workers.dev", "https://two.workers.dev", false),
        ("https://one.github.io", "https://github.io", false),
        ("https://a.corp.internal", "https://b.corp.internal", true),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
        ("http://127.0.0.1", "http://127.0.0.2", false),
        ("http://localhost:1", "http://localhost:2", true),
        ("http://localhost", "http://127.0.0.1", false),
        ("https://com", "https://net", false),
        ("https://example.com", "urn:example.com", false),
    ] {
        assert_eq!(same_site(a, b), same, "{a} {b}");
        assert_eq!(same_site(b, a), same, "{b} {a}");
    }
    assert!(same_origin("https://a.example", "https://A.example:443/x"));
    assert!(!same_origin("data:,x", "data:,x"));
}

// spec: UP-48
#[test]
fn server_documents_have_one_refusal_for_each_fault() {
    for (document, error) in [
        (with("token_endpoint", json!("")), ServerError::Missing("token_endpoint")),
        (with("token_endpoint", json!(1)), ServerError::Malformed),
        (with("code_challenge_methods_supported", json!("S256")), ServerError::Malformed),
        (with("response_types_supported", json!(["token"])), ServerError::Unsupported("the authorization code flow")),
        (
            with("grant_types_supported", json!(["client_credentials"])),
            ServerError::Unsupported("the authorization code grant"),
        ),
    ] {
        assert_eq!(read_server(&document, &EXPECTED), Err(error), "{document}");
    }
    assert_eq!(server::parse(b"null", &EXPECTED), Err(ServerError::Malformed));
    assert_eq!(server::parse(br#"{"issuer":"a","issuer":"b"}"#, &EXPECTED), Err(ServerError::Malformed));
    assert_eq!(server::parse(&vec![b' '; server::MAX_BYTES + 1], &EXPECTED), Err(ServerError::TooLarge));
}

// spec: UP-11
#[test]
fn server_without_documents_has_the_default_paths() {
    let legacy = server::legacy("https://old.example/");
    assert_eq!(legacy.issuer, "https://old.example");
    assert_eq!(legacy.authorization_endpoint.as_deref(), Some("https://old.example/authorize"));
    assert_eq!(legacy.token_endpoint, "https://old.example/token");
    assert_eq!(legacy.registration_endpoint.as_deref(), Some("https://old.example/register"));
}

// spec: UP-83, RFC8414#2
#[test]
fn metadata_says_what_it_says_and_has_defaults() {
    let silent = read_server(&metadata(), &EXPECTED).unwrap();
    assert!(!silent.takes_id_jag());
    assert!(silent.takes(AuthMethod::ClientSecretBasic) && !silent.takes(AuthMethod::None));
    let mut document = with("token_endpoint_auth_methods_supported", json!(["none", "unheard_of"]));
    document["authorization_grant_profiles_supported"] = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    let said = read_server(&document, &EXPECTED).unwrap();
    assert!(said.takes_id_jag() && said.takes(AuthMethod::None) && !said.takes(AuthMethod::ClientSecretBasic));
    let provider = |kinds: Value| {
        let document = json!({
            "issuer": ISSUER, "authorization_endpoint": "https://a.example", "token_endpoint": "https://a.example",
            "jwks_uri": "https://a.example", "identity_chaining_requested_token_types_supported": kinds,
        });
        let rule = IssuerRule::Exact(ISSUER.into());
        portcullis_oauth::relying::discovery::parse(document.to_string().as_bytes(), &rule).unwrap().gives_id_jag()
    };
    assert!(
        provider(json!(["urn:ietf:params:oauth:token-type:id-jag"])) && !provider(json!([])) && !provider(Value::Null)
    );
}

// spec: UP-34, UP-35, T-17
#[test]
fn answers_name_the_issuer_that_was_asked_or_nothing_is_read_of_them() {
    let rule = IssuerRule::Exact(ISSUER.into());
    let advertised =
        read_server(&with("authorization_response_iss_parameter_supported", json!(true)), &EXPECTED).unwrap();
    let silent = read_server(&metadata(), &EXPECTED).unwrap();
    assert_eq!((advertised.iss_policy(), silent.iss_policy()), (IssPolicy::Required, IssPolicy::IfPresent));
    let read = |query: &str, server: &ServerMetadata| callback::parse(query, &rule, server.iss_policy());
    let same = "code=c&state=s&iss=https%3A%2F%2Fauth.example.com%2Ft";
    let absent = "code=c&state=s";
    let slash = "code=c&state=s&iss=https%3A%2F%2Fauth.example.com%2Ft%2F";
    let other = "code=c&state=s&iss=https%3A%2F%2Fevil.example";
    let upper = "code=c&state=s&iss=https%3A%2F%2FAUTH.example.com%2Ft";
    for (query, server, good) in [
        (same, &advertised, true),
        (absent, &advertised, false),
        (other, &advertised, false),
        (same, &silent, true),
        (absent, &silent, true),
        (other, &silent, false),
        (slash, &silent, false),
        (upper, &silent, false),
    ] {
        let result = read(query, server);
        assert_eq!(result.is_ok(), good, "{query}: {result:?}");
        assert!(good || matches!(result, Err(CallbackError::Issuer { .. })), "{query}");
    }
    let told = read("error=access_denied&error_description=call+me&iss=https%3A%2F%2Fevil.example&state=s", &silent);
    assert!(!told.unwrap_err().to_string().contains("call me"));
}

// spec: UP-27, T-17
#[test]
fn issuers_have_callbacks_of_their_own() {
    let id = issuer_id(ISSUER);
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_ne!(id, issuer_id("https://auth.example.com/t/"));
    assert_eq!(issuer_id("https://as.example"), issuer_id("https://as.example"));
}

// spec: UP-37
#[test]
fn scopes_come_from_the_challenge_then_from_the_metadata_within_the_cap() {
    let (challenged, listed, cap) = (texts(&["a", "b", "a"]), texts(&["b", "c"]), texts(&["b", "z"]));
    let all = Known { challenged: Some(&challenged), listed: Some(&listed), cap: None };
    let choose = |known: Known<'_>| scopes::choose(&known);
    assert_eq!(choose(all), Ok(texts(&["a", "b"])));
    assert_eq!(choose(Known { challenged: None, ..all }), Ok(texts(&["b", "c"])));
    assert_eq!(choose(Known::default()), Ok(vec![]));
    assert_eq!(choose(Known { cap: Some(&cap), ..all }), Ok(texts(&["b"])));
    assert_eq!(choose(Known { cap: Some(&cap), ..Known::default() }), Ok(cap.clone()));
    let none = texts(&["z"]);
    assert_eq!(choose(Known { cap: Some(&none), ..all }), Err(ScopesError::Capped(texts(&["a", "b"]))));
}

// spec: UP-46, T-42
#[test]
fn step_up_asks_for_the_union_and_never_in_vain() {
    let (asked, cap) = (texts(&["read", "offline_access"]), texts(&["read", "write"]));
    let up = |challenged: &[&str], cap: Option<&[String]>| scopes::step_up(&asked, &texts(challenged), cap);
    assert_eq!(up(&["write"], None), Ok(texts(&["read", "offline_access", "write"])));
    assert_eq!(up(&["read", "write"], Some(&cap)), Ok(texts(&["read", "offline_access", "write"])));
    assert_eq!(up(&["write", "admin"], Some(&cap)), Err(ScopesError::Capped(texts(&["admin"]))));
    assert_eq!(up(&["read"], None), Err(ScopesError::Held(texts(&["read"]))));
    assert_eq!(up(&[], None), Err(ScopesError::Unnamed));
}

// spec: T-3: whose account it is can be shown only if the provider tells.
#[test]
fn name_of_the_account_is_asked_for_where_that_is_known_and_allowed() {
    let supported = texts(&["email", "openid", "offline_access", "profile"]);
    let with = |cap: Option<&[String]>, scopes: &[&str]| scopes::with_our_own(texts(scopes), Some(&supported), cap);
    assert_eq!(with(None, &["a"]), texts(&["a", "offline_access", "openid", "email"]));
    assert_eq!(with(Some(&texts(&["a"])), &["a"]), texts(&["a", "offline_access"]));
    assert_eq!(with(Some(&texts(&["a", "openid"])), &["a"]), texts(&["a", "offline_access", "openid"]));
    assert_eq!(with(Some(&texts(&["a", "email"])), &["a"]), texts(&["a", "offline_access"]));
    assert_eq!(with(None, &[]), Vec::<String>::new());
    let mail_alone = texts(&["a", "email"]);
    assert_eq!(scopes::with_our_own(texts(&["a"]), Some(&mail_alone), None), texts(&["a"]));
}

// spec: UP-38, UP-48, RFC6749#3.3
#[test]
fn offline_access_is_added_only_where_it_is_known_and_beside_others() {
    let (offline, other) = (texts(&["offline_access", "a"]), texts(&["a"]));
    let with = |scopes: &[&str], supported: &[String]| scopes::with_our_own(texts(scopes), Some(supported), None);
    assert_eq!(with(&["a"], &offline), texts(&["a", "offline_access"]));
    assert_eq!(with(&["offline_access", "a"], &offline), offline);
    assert_eq!(with(&["a"], &other), texts(&["a"]));
    assert_eq!(scopes::with_our_own(texts(&["a"]), None, None), texts(&["a"]));
    assert_eq!(with(&[], &offline), Vec::<String>::new());
    assert_eq!(scopes::split("a \"b\" c\u{e4} d\\ e"), texts(&["a", "e"]));
    let many: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(scopes::split(&many.join(" ")).len(), 256);
}
