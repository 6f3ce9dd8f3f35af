//! The authorization request.

use std::time::Duration;

use portcullis_base::Timestamp;
use portcullis_oauth::{
    authorize::{AuthorizeRequest, Began, Checked, PageError, Refusal, SignInDemand, SignInFacts, Visitor, may_bounce},
    client::{Client, ClientKind, GrantType},
    error::AuthorizeCode,
    parameters::ParametersError,
};

use crate::world::{CALLBACK, CHALLENGE, ISSUER, PAYMENTS, WIKI, encoded, public_client, resources, scopes};

const GOOD: [(&str, &str); 8] = [
    ("response_type", "code"),
    ("client_id", "app"),
    ("redirect_uri", CALLBACK),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
    ("scope", "mcp:read"),
    ("resource", WIKI),
    ("state", "s t&=/?#%ü"),
];

fn check(pairs: &[(&str, &str)], client: &Client) -> Result<Checked, Refusal> {
    AuthorizeRequest::parse(&encoded(pairs)).map_err(Refusal::Page)?.check(client, &resources(None))
}

fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut pairs = without(name);
    pairs.push((name, value));
    pairs
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GOOD.into_iter().filter(|(held, _)| *held != name).collect()
}

fn redirected(pairs: &[(&str, &str)]) -> AuthorizeCode {
    match check(pairs, &public_client()) {
        Err(Refusal::Redirect(error)) => {
            assert_eq!(error.redirect_uri, CALLBACK);
            error.error
        }
        other => panic!("{other:?}"),
    }
}

fn paged(pairs: &[(&str, &str)]) -> PageError {
    match check(pairs, &public_client()) {
        Err(Refusal::Page(error)) => error,
        other => panic!("{other:?}"),
    }
}

// spec: AS-1
#[test]
fn good_request_is_read_as_it_was_meant() {
    let checked = check(&GOOD, &public_client()).unwrap();
    assert_eq!(checked.client.as_str(), "app");
    assert_eq!(checked.redirect_uri, CALLBACK);
    assert_eq!(checked.resource, WIKI);
    assert_eq!(checked.scopes, scopes("mcp:read"));
    assert_eq!(checked.challenge.as_str(), CHALLENGE);
    assert_eq!(checked.state.as_deref(), Some("s t&=/?#%ü"));
    assert!(!checked.wants_consent);
    assert!(check(&with("prompt", "login consent"), &public_client()).unwrap().wants_consent);
    let kept: Checked = serde_json::from_str(&serde_json::to_string(&checked).unwrap()).unwrap();
    assert_eq!(kept, checked);
}

// spec: RFC9470#5
#[test]
fn a_sign_in_is_as_fresh_and_as_strong_as_the_client_demands() {
    let demand = |name, value| check(&with(name, value), &public_client()).unwrap().sign_in;
    assert!(check(&GOOD, &public_client()).unwrap().sign_in.is_empty());
    assert_eq!(demand("prompt", "login").max_age, Some(Duration::ZERO));
    assert_eq!(demand("acr_values", "phr  phrh").acr, ["phr", "phrh"]);
    assert_eq!(redirected(&with("max_age", "-1")), AuthorizeCode::InvalidRequest);

    let asked_at = Timestamp::from_secs(1_800_000_000);
    let met = |demand: &SignInDemand, age: u64, acr, began| {
        let authenticated_at = asked_at.minus(Duration::from_secs(age));
        demand.is_met(&SignInFacts { authenticated_at, acr, began }, asked_at)
    };
    let recent = demand("max_age", "600");
    assert!(met(&recent, 600, None, Began::Before));
    assert!(!met(&recent, 661, None, Began::Before));
    let again = demand("prompt", "login");
    assert!(!met(&again, 0, None, Began::Before), "the same session is no new sign-in, whatever the clock says");
    assert!(met(&again, 0, None, Began::Since));
    assert!(!met(&again, 61, None, Began::Since), "a new session from an old sign-in at the provider");
    let strong = demand("acr_values", "phr phrh");
    assert!(met(&strong, 9_999, Some("phrh"), Began::Before));
    assert!(!met(&strong, 0, Some("pwd"), Began::Since) && !met(&strong, 0, None, Began::Since));
}

// spec: AS-30, AS-31, AS-32, T-10, RFC7636#4.2, RFC7636#4.3
#[test]
fn challenge_is_required_in_the_one_form() {
    assert_eq!(redirected(&without("code_challenge")), AuthorizeCode::InvalidRequest);
    assert_eq!(redirected(&without("code_challenge_method")), AuthorizeCode::InvalidRequest);
    for method in ["plain", "s256", "S512", "none"] {
        assert_eq!(redirected(&with("code_challenge_method", method)), AuthorizeCode::InvalidRequest, "{method}");
    }
    let (short, long) = ("a".repeat(42), "a".repeat(129));
    let plus = format!("{}+", &CHALLENGE[..42]);
    for challenge in [short.as_str(), long.as_str(), plus.as_str()] {
        assert_eq!(redirected(&with("code_challenge", challenge)), AuthorizeCode::InvalidRequest, "{challenge}");
    }
}

// spec: AS-33, T-11, T-13
#[test]
fn nothing_is_sent_to_an_unproven_address() {
    assert_eq!(paged(&without("client_id")), PageError::MissingClient);
    assert_eq!(paged(&with("client_id", "other")), PageError::UnknownClient);
    for uri in ["https://evil.example/callback", "https://app.example/callback/", "javascript:alert(1)", " "] {
        assert_eq!(paged(&with("redirect_uri", uri)), PageError::UnmatchedRedirect, "{uri}");
    }
    // An unproven address wins over every other mistake.
    let mut worse = with("redirect_uri", "https://evil.example/");
    worse.retain(|(name, _)| *name != "response_type" && *name != "code_challenge");
    assert_eq!(paged(&worse), PageError::UnmatchedRedirect);

    assert_eq!(check(&without("redirect_uri"), &public_client()).unwrap().redirect_uri, CALLBACK);
    let mut two = public_client();
    two.metadata.redirect_uris.push("https://app.example/second".into());
    assert_eq!(check(&without("redirect_uri"), &two), Err(Refusal::Page(PageError::MissingRedirect)));
}

// spec: AS-41, T-11, RFC6749#3.1
#[test]
fn repeated_parameters_are_a_page_and_empty_ones_are_absent() {
    for (name, value) in GOOD.into_iter().filter(|(name, _)| *name != "resource") {
        let mut twice = GOOD.to_vec();
        twice.push((name, value));
        assert_eq!(paged(&twice), PageError::Unreadable(ParametersError::Repeated), "{name}");
        twice.pop();
        twice.push((name, ""));
        assert_eq!(paged(&twice), PageError::Unreadable(ParametersError::Repeated), "{name}, second empty");
    }
    assert_eq!(redirected(&with("code_challenge", "")), AuthorizeCode::InvalidRequest);
    assert_eq!(check(&with("state", ""), &public_client()).unwrap().state, None);
    assert_eq!(check(&with("scope", ""), &public_client()).unwrap().scopes, scopes("mcp:read mcp:call"));
    let unknown = with("something_else", "x");
    assert!(check(&unknown, &public_client()).is_ok());
}

#[test]
fn queries_that_cannot_be_read_in_one_way_are_a_page() {
    for query in ["client_id=%zz", "client_id=%f", "client_id=%", "client_id=%ff%fe", "client_id=a%+1"] {
        let refused = AuthorizeRequest::parse(query);
        assert_eq!(refused.unwrap_err(), PageError::Unreadable(ParametersError::Malformed), "{query}");
    }
    let long = format!("client_id=app&state={}", "a".repeat(8 * 1024));
    assert_eq!(AuthorizeRequest::parse(&long).unwrap_err(), PageError::Unreadable(ParametersError::TooLong));
    let state = "x".repeat(512);
    assert_eq!(check(&with("state", &state), &public_client()).unwrap().state.as_deref(), Some(state.as_str()));
}

// spec: AS-2, AS-42, RFC6749#4.1.2.1
#[test]
fn every_error_that_travels_has_its_registered_code() {
    assert_eq!(redirected(&without("response_type")), AuthorizeCode::InvalidRequest);
    for response_type in ["token", "id_token", "code token", "CODE"] {
        assert_eq!(redirected(&with("response_type", response_type)), AuthorizeCode::UnsupportedResponseType);
    }
    assert_eq!(redirected(&with("response_mode", "fragment")), AuthorizeCode::InvalidRequest);
    assert_eq!(redirected(&with("request", "eyJ")), AuthorizeCode::InvalidRequest);
    assert_eq!(redirected(&with("request_uri", "urn:x")), AuthorizeCode::InvalidRequest);
    let mut wordless = public_client();
    wordless.metadata.grant_types = vec![GrantType::RefreshToken];
    let Err(Refusal::Redirect(error)) = check(&GOOD, &wordless) else { panic!("was let through") };
    assert_eq!(error.error, AuthorizeCode::UnauthorizedClient);

    let registered = [
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "invalid_target",
        "server_error",
        "temporarily_unavailable",
    ];
    assert_eq!(AuthorizeCode::ALL.map(AuthorizeCode::as_str), registered);
    for code in AuthorizeCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}

// spec: AS-46, AS-48, AS-49, RFC8707#2
#[test]
fn resource_must_be_one_endpoint() {
    assert_eq!(redirected(&with("resource", "https://gw.example/mcp/none")), AuthorizeCode::InvalidTarget);
    assert_eq!(redirected(&without("resource")), AuthorizeCode::InvalidTarget);
    let mut both = GOOD.to_vec();
    both.push(("resource", PAYMENTS));
    assert_eq!(redirected(&both), AuthorizeCode::InvalidTarget);
    let request = AuthorizeRequest::parse(&encoded(&without("resource"))).unwrap();
    assert_eq!(request.check(&public_client(), &resources(Some(PAYMENTS))).unwrap().resource, PAYMENTS);
}

// spec: AS-50, T-41, RFC6749#3.3
#[test]
fn unknown_scopes_are_refused_and_none_means_the_default() {
    for scope in ["mcp:read admin", "mcp:*", "*", "openid", "mcp:read\"", "mcp:reäd"] {
        assert_eq!(redirected(&with("scope", scope)), AuthorizeCode::InvalidScope, "{scope}");
    }
    for (asked, granted) in [
        ("mcp:call", "mcp:call"),
        ("mcp:call mcp:read mcp:call", "mcp:read mcp:call"),
        ("mcp:read offline_access", "mcp:read offline_access"),
        ("offline_access", "mcp:read mcp:call offline_access"),
        (" ", "mcp:read mcp:call"),
    ] {
        assert_eq!(check(&with("scope", asked), &public_client()).unwrap().scopes.to_string(), granted);
    }
}

// spec: AS-39, AS-40, T-17, RFC6749#4.1.2, RFC9207#2
#[test]
fn every_answer_carries_issuer_and_the_state_it_was_given() {
    let checked = check(&GOOD, &public_client()).unwrap();
    let answers = [
        (checked.redirect_with_code("the code", ISSUER), vec![("code", "the code")]),
        (
            checked.refuse(AuthorizeCode::AccessDenied, "no").location(ISSUER),
            vec![("error", "access_denied"), ("error_description", "no")],
        ),
    ];
    for (location, mut expected) in answers {
        expected.extend([("state", "s t&=/?#%ü"), ("iss", ISSUER)]);
        let (address, query) = location.split_once('?').unwrap();
        assert_eq!(address, CALLBACK);
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let expected: Vec<_> = expected.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        assert_eq!(pairs, expected);
    }
    let silent = check(&without("state"), &public_client()).unwrap();
    assert!(!silent.redirect_with_code("c", ISSUER).contains("state"));
    let Err(Refusal::Redirect(error)) = check(&with("scope", "admin"), &public_client()) else { panic!("let through") };
    assert!(error.location(ISSUER).ends_with("&iss=https%3A%2F%2Fgw.example"));
}

// spec: AS-43
#[test]
fn errors_do_not_bounce_an_anonymous_visitor_to_a_self_named_client() {
    for kind in [ClientKind::Registered, ClientKind::Document] {
        assert!(!may_bounce(kind, Visitor::Anonymous));
        assert!(may_bounce(kind, Visitor::SignedIn));
    }
    assert!(may_bounce(ClientKind::Configured, Visitor::Anonymous));
}
