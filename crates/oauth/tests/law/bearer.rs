//! Bearer tokens on the wire.

use portcullis_oauth::{
    bearer::{Denied, Fresh, extract, step_up_challenge},
    metadata::resource_metadata_url,
    scope::Scopes,
};

use crate::world::{WIKI, scopes};

fn found(headers: &[&str], query: Option<&'static str>) -> Result<String, Denied> {
    extract(headers.iter().map(|header| header.as_bytes()), query).map(str::to_owned)
}

// spec: RS-18, RFC9110#11.1, RFC6750#2.1
#[test]
fn token_is_found_in_the_authorization_header() {
    for header in ["Bearer a.b-c_d~e+f/g==", "bEaReR a.b-c_d~e+f/g==", "BEARER   a.b-c_d~e+f/g== "] {
        assert_eq!(found(&[header], None).as_deref(), Ok("a.b-c_d~e+f/g=="), "{header}");
    }
    for header in ["Bearer", "Bearer ", "Bearer =", "Bearer a b", "Bearer a, Bearer b", "Bearer \"a\"", "Bearer ä"] {
        assert_eq!(found(&[header], None), Err(Denied::InvalidToken), "{header}");
    }
    assert_eq!(extract([&b"Bearer \xff"[..]], None), Err(Denied::InvalidToken));
    for header in ["Basic YTpi", "DPoP a.b.c", "a.b.c", "", "Bearera.b.c"] {
        assert_eq!(found(&[header], None), Err(Denied::NoToken), "{header}");
    }
    assert_eq!(found(&[], None), Err(Denied::NoToken));
}

// spec: RS-16, RFC6750#3.1
#[test]
fn token_sent_twice_is_an_invalid_request() {
    assert_eq!(found(&["Bearer a", "Bearer a"], None), Err(Denied::Repeated));
    assert_eq!(found(&["Bearer a", "Basic YTpi"], None), Err(Denied::Repeated));
    assert_eq!(found(&["Bearer a"], Some("access_token=a")), Err(Denied::Repeated));
    assert_eq!((Denied::Repeated.status(), Denied::Repeated.code()), (400, Some("invalid_request")));
}

// spec: RS-17, T-36
#[test]
fn token_in_the_query_is_never_used() {
    assert_eq!(found(&[], Some("access_token=a")), Err(Denied::NoToken));
    assert_eq!(found(&["Bearer a"], Some("acc%65ss_token=a")), Err(Denied::Repeated));
    assert_eq!(found(&["Bearer a"], Some("access_token=%zz")), Err(Denied::Repeated));
    assert_eq!(found(&["Bearer a"], Some("x=access_token&access_token=")).as_deref(), Ok("a"));
}

fn challenge(denied: Denied) -> String {
    denied.challenge(&resource_metadata_url(WIKI), &scopes("mcp:read mcp:call offline_access"))
}

// spec: RS-10, RS-11, RS-12, RS-7, RFC9728#5.1
#[test]
fn challenge_without_a_token_names_no_error() {
    assert_eq!(
        challenge(Denied::NoToken),
        "Bearer scope=\"mcp:read mcp:call\", \
         resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp/wiki\""
    );
    assert_eq!(Denied::NoToken.status(), 401);
}

// spec: RS-10, RS-12
#[test]
fn refused_token_is_an_invalid_token() {
    let text = challenge(Denied::InvalidToken);
    assert!(text.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{text}");
    assert!(text.contains("resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp/wiki\""));
    assert_eq!(Denied::InvalidToken.status(), 401);
}

// spec: RS-13, RS-14, T-42
#[test]
fn one_challenge_names_every_scope_the_operation_needs() {
    let text = challenge(Denied::InsufficientScope);
    assert_eq!(Denied::InsufficientScope.status(), 403);
    assert!(text.contains("error=\"insufficient_scope\""), "{text}");
    assert!(text.contains("scope=\"mcp:read mcp:call\""), "{text}");
}

// spec: RFC9470#3
#[test]
fn sign_in_that_is_too_old_or_too_weak_is_asked_for_by_name() {
    let metadata = "https://gw.example/.well-known/oauth-protected-resource/mcp/wiki";
    let both = Fresh { max_age: Some(900), acr_values: &["mfa", "hw\"k"] };
    assert_eq!(
        step_up_challenge(metadata, &both),
        format!(
            "Bearer error=\"insufficient_user_authentication\", \
             error_description=\"a more recent or stronger sign-in is required\", \
             acr_values=\"mfa hw\\\"k\", max_age=\"900\", resource_metadata=\"{metadata}\""
        )
    );
    let age = step_up_challenge(metadata, &Fresh { max_age: Some(0), acr_values: &[] });
    assert!(age.contains("max_age=\"0\"") && !age.contains("acr_values"), "{age}");
    let acr = step_up_challenge(metadata, &Fresh { max_age: None, acr_values: &["mfa"] });
    assert!(acr.contains("acr_values=\"mfa\"") && !acr.contains("max_age"), "{acr}");
}

// spec: RS-33, RFC9110#5.6.4
#[test]
fn values_cannot_leave_their_quotes() {
    let text = Denied::NoToken.challenge("https://gw.example/\"\\, error=\"x\r\nSet-Cookie: ü", &Scopes::none());
    assert_eq!(text, "Bearer resource_metadata=\"https://gw.example/\\\"\\\\, error=\\\"x??Set-Cookie: ?\"");
}

// spec: RS-15
#[test]
fn calling_implies_reading() {
    assert!(scopes("mcp:call").satisfies(&scopes("mcp:read")));
    assert!(scopes("mcp:call").satisfies(&scopes("mcp:read mcp:call")));
    assert!(!scopes("mcp:read").satisfies(&scopes("mcp:call")));
    assert!(!scopes("offline_access").satisfies(&scopes("mcp:read")));
    assert!(Scopes::none().satisfies(&Scopes::none()));
}
