//! Logout tokens: every check, one at a time.

use std::time::Duration;

use portcullis_oauth::{
    jwt::JwtError,
    relying::{
        issuer::IssuerRule,
        logout_token::{Expected, LogoutToken, LogoutTokenError, verify},
    },
};
use serde_json::{Value, json};

use crate::{
    foreign::{Foreign, PROVIDER, US_THERE, changed, secs},
    world::{NOW, later},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn claims() -> Value {
    json!({
        "iss": PROVIDER, "sub": "248289761001", "aud": US_THERE, "iat": secs(NOW), "exp": secs(later(120)),
        "jti": "bWJq", "sid": "08a5019c", "events": { EVENT: {} },
    })
}

fn as_type(typ: Option<&str>, changes: Value) -> Result<LogoutToken, LogoutTokenError> {
    let provider = Foreign::new();
    let issuer = IssuerRule::Exact(PROVIDER.into());
    let expected = Expected { issuer: &issuer, client_id: US_THERE, now: NOW };
    verify(&provider.sign(typ, &changed(&claims(), &changes)), &provider.keys(), &expected)
}

fn with(changes: Value) -> Result<LogoutToken, LogoutTokenError> {
    as_type(Some("logout+jwt"), changes)
}

// spec: AS-148, OIDCBCL#2.4, OIDCBCL#2.6
#[test]
fn good_token_says_who_signed_out_where() {
    let token = with(json!({})).unwrap();
    assert_eq!((token.subject.as_deref(), token.sid.as_deref()), (Some("248289761001"), Some("08a5019c")));
    assert_eq!((token.issuer.as_str(), token.id.as_str(), token.expires_at), (PROVIDER, "bWJq", later(120)));
    assert_eq!(with(json!({ "sid": null })).unwrap().sid, None);
    assert_eq!(with(json!({ "sub": null })).unwrap().subject, None);
    for typ in [None, Some("JWT"), Some("application/logout+jwt")] {
        assert!(as_type(typ, json!({})).is_ok(), "{typ:?}");
    }
}

// spec: AS-148, OIDCBCL#2.6, T-37, T-39
#[test]
fn each_check_refuses_with_its_own_error() {
    use LogoutTokenError::{Audience, Claim, Expired, Issuer, Nobody, Nonce, NotYetValid, Type};
    for (changes, error) in [
        (json!({ "iss": "https://evil.example" }), Issuer),
        (json!({ "iss": null }), Claim("iss")),
        (json!({ "aud": "other" }), Audience),
        (json!({ "aud": [US_THERE, "other"] }), Audience),
        (json!({ "aud": null }), Claim("aud")),
        (json!({ "iat": null }), Claim("iat")),
        (json!({ "iat": secs(later(61)) }), NotYetValid),
        (json!({ "exp": null }), Claim("exp")),
        (json!({ "exp": secs(NOW.minus(Duration::from_mins(1))) }), Expired),
        (json!({ "events": null }), Claim("events")),
        (json!({ "events": { "other": {} } }), Claim("events")),
        (json!({ "events": { EVENT: true } }), Claim("events")),
        (json!({ "events": [EVENT] }), Claim("events")),
        (json!({ "nonce": "n" }), Nonce),
        (json!({ "sub": null, "sid": null }), Nobody),
        (json!({ "sub": "", "sid": 7 }), Nobody),
        (json!({ "jti": null }), Claim("jti")),
        (json!({ "jti": "x".repeat(257) }), Claim("jti")),
    ] {
        assert_eq!(with(changes.clone()), Err(error), "{changes}");
    }
    for typ in ["at+jwt", "oauth-id-jag+jwt", "secevent+jwt"] {
        assert_eq!(as_type(Some(typ), json!({})), Err(Type), "{typ}");
    }
    let (provider, another, issuer) = (Foreign::new(), Foreign::new(), IssuerRule::Exact(PROVIDER.into()));
    let expected = Expected { issuer: &issuer, client_id: US_THERE, now: NOW };
    let foreign = another.sign(Some("logout+jwt"), &claims());
    assert_eq!(verify(&foreign, &provider.keys(), &expected), Err(LogoutTokenError::UnknownKey));
    let forged = another.forge(&provider.header(Some("logout+jwt")), &claims());
    assert_eq!(verify(&forged, &provider.keys(), &expected), Err(JwtError::Signature.into()));
}

// spec: OIDCBCL#2.6
#[test]
fn same_token_spends_the_same_and_another_spends_another() {
    let spent = |changes| with(changes).unwrap().spend();
    assert_eq!(spent(json!({})), spent(json!({ "sid": "other" })));
    assert_ne!(spent(json!({})).id, spent(json!({ "jti": "other" })).id);
    assert_eq!(spent(json!({})).expires_at, later(180), "as long as it would be taken");
}
