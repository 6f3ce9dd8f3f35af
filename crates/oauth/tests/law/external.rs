//! Tokens of a company's own authorization server, and what its introspection endpoint says of them.

use portcullis_oauth::{
    external::{ExternalClaims, ExternalError, ExternalToken, Rule, introspected, verify},
    jwks::{Algorithm, PublicKeys},
    jwt::JwtError,
    relying::profile::Groups,
};
use serde_json::{Value, json};

use crate::{
    foreign::{Foreign, P384, PROVIDER, changed, secs},
    world::{NOW, PAYMENTS, WIKI, later, scopes},
};

fn with_rule<T>(then: impl FnOnce(&Rule<'_>) -> T) -> T {
    let claims = ExternalClaims { groups: "realm_access.roles".into(), ..ExternalClaims::default() };
    let algorithms = [Algorithm::Rs256, Algorithm::Es256];
    then(&Rule { issuer: PROVIDER, audience: WIKI, algorithms: &algorithms, claims: &claims, now: NOW })
}

fn claims() -> Value {
    json!({
        "iss": PROVIDER, "sub": "u1", "aud": WIKI, "client_id": "agent", "jti": "j", "iat": secs(NOW),
        "exp": secs(later(300)), "scope": "mcp:read", "preferred_username": "ada",
        "realm_access": { "roles": ["eng"] }, "auth_time": secs(NOW), "acr": "mfa",
    })
}

fn as_type(typ: Option<&str>, changes: Value) -> Result<ExternalToken, ExternalError> {
    let issuer = Foreign::new();
    let token = issuer.sign(typ, &changed(&claims(), &changes));
    with_rule(|rule| verify(&token, &issuer.keys(), rule))
}

fn with(changes: Value) -> Result<ExternalToken, ExternalError> {
    as_type(Some("at+jwt"), changes)
}

fn told(changes: Value) -> Result<ExternalToken, ExternalError> {
    let answer = changed(&claims(), &json!({ "active": true, "token_type": "Bearer" }));
    let answer = changed(&answer, &changes).to_string();
    with_rule(|rule| introspected(answer.as_bytes(), rule))
}

// spec: RS-21, RFC9068#4, RFC7662#2.2
#[test]
fn good_token_says_who_calls_by_which_program() {
    for token in [with(json!({})).unwrap(), told(json!({})).unwrap()] {
        assert_eq!((token.subject.as_str(), token.name.as_deref()), ("u1", Some("ada")));
        assert_eq!(token.groups, Groups::Given(vec!["eng".into()]));
        assert_eq!(token.client.as_ref().map(portcullis_base::ClientId::as_str), Some("agent"));
        assert_eq!((token.scopes.clone(), token.expires_at), (Some(scopes("mcp:read")), later(300)));
        assert_eq!(
            (token.id.as_deref(), token.authenticated_at, token.acr.as_deref()),
            (Some("j"), Some(NOW), Some("mfa"))
        );
    }
    for typ in [None, Some("JWT"), Some("application/at+jwt"), Some("AT+JWT")] {
        assert!(as_type(typ, json!({})).is_ok(), "{typ:?}");
    }
    let bare = with(json!({
        "client_id": null, "azp": "by-azp", "scope": null, "scp": ["mcp:read", "mcp:call"], "realm_access": null,
        "preferred_username": null, "jti": null, "iat": null,
    }));
    let bare = bare.unwrap();
    assert_eq!(bare.client.as_ref().map(portcullis_base::ClientId::as_str), Some("by-azp"));
    assert_eq!((bare.scopes, bare.groups, bare.name), (Some(scopes("mcp:read mcp:call")), Groups::Absent, None));
    assert_eq!(with(json!({ "_claim_names": { "realm_access.roles": "src1" } })).unwrap().groups, Groups::Overage);
}

// spec: RS-20, T-34
#[test]
fn token_is_for_this_endpoint_alone() {
    for (audience, good) in [
        (json!(WIKI), true),
        (json!([WIKI]), true),
        (json!([WIKI, "https://login.example.com/userinfo"]), true),
        (json!([WIKI, PROVIDER]), true),
        (json!([WIKI, PAYMENTS]), false),
        (json!([WIKI, "https://login.example.com.evil.example/"]), false),
        (json!(["https://login.example.com/userinfo"]), false),
        (json!(PAYMENTS), false),
        (json!("https://gw.example/mcp/wiki/"), false),
        (json!("https://gw.example"), false),
        (json!("portcullis"), false),
        (json!([]), false),
        (json!([WIKI, 7]), false),
        (json!({}), false),
        (Value::Null, false),
    ] {
        let changes = json!({ "aud": audience });
        let refused = (!good).then_some(ExternalError::Audience);
        assert_eq!(with(changes.clone()).err(), refused, "{audience}");
        assert_eq!(told(changes).err(), refused, "{audience}");
    }
}

// spec: RS-19, T-37, T-39
#[test]
fn each_check_refuses_with_its_own_error() {
    use ExternalError::{Bound, Claim, Expired, Issuer, NotYetValid};
    let claim = |name: &str| Claim(name.into());
    for (changes, error) in [
        (json!({ "iss": "https://login.example.com/" }), Issuer),
        (json!({ "sub": null }), claim("sub")),
        (json!({ "sub": 7 }), claim("sub")),
        (json!({ "exp": null }), claim("exp")),
        (json!({ "exp": secs(NOW) }), Expired),
        (json!({ "iat": secs(later(61)) }), NotYetValid),
        (json!({ "nbf": secs(later(61)) }), NotYetValid),
        (json!({ "nbf": "x" }), claim("nbf")),
        (json!({ "cnf": { "jkt": "x" } }), Bound),
        (json!({ "scope": 7 }), claim("scope")),
        (json!({ "realm_access": { "roles": 7 } }), claim("realm_access.roles")),
    ] {
        assert_eq!(with(changes.clone()), Err(error.clone()), "{changes}");
        assert_eq!(told(changes.clone()), Err(error), "{changes}");
    }
    assert_eq!(with(json!({ "iss": null })), Err(Issuer));
    assert!(told(json!({ "iss": null })).is_ok(), "who was asked is who answers");
    assert!(with(json!({ "exp": secs(later(1)), "iat": secs(later(60)) })).is_ok());
}

// spec: T-37, RFC9068#4
#[test]
fn tokens_of_other_kinds_and_other_keys_are_refused() {
    for typ in ["logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", ""] {
        assert_eq!(as_type(Some(typ), json!({})), Err(ExternalError::Type), "{typ}");
    }
    for name in ["nonce", "at_hash", "c_hash", "events"] {
        assert_eq!(as_type(Some("JWT"), json!({ name: "x" })), Err(ExternalError::Type), "{name}: an ID token");
        assert!(as_type(Some("at+jwt"), json!({ name: "x" })).is_ok(), "{name}");
    }
    let (issuer, another, p384) = (Foreign::new(), Foreign::new(), P384::new());
    let keys = PublicKeys::from_value(&json!({ "keys": [issuer.jwk(), p384.jwk()] })).unwrap();
    let err = |token: &str| with_rule(|rule| verify(token, &keys, rule)).err();
    let header = issuer.header(Some("at+jwt"));
    assert_eq!(err(&p384.sign(&claims())), Some(ExternalError::Algorithm(Algorithm::Es384)), "not on the list");
    assert_eq!(err(&another.sign(Some("at+jwt"), &claims())), Some(ExternalError::UnknownKey));
    assert_eq!(err(&another.forge(&header, &claims())), Some(JwtError::Signature.into()));
    for alg in ["none", "HS256"] {
        let forged = issuer.forge(&changed(&header, &json!({ "alg": alg })), &claims());
        assert_eq!(err(&forged), Some(JwtError::Algorithm.into()));
    }
    let forged = issuer.forge(&changed(&header, &json!({ "jwk": another.jwk() })), &claims());
    assert_eq!(err(&forged), Some(JwtError::Header.into()));
    assert_eq!(err(&"x".repeat(9000)), Some(JwtError::TooLong.into()));
}

// spec: RFC7662#2.2
#[test]
fn only_an_active_bearer_token_is_one() {
    assert_eq!(told(json!({ "active": false })), Err(ExternalError::Inactive));
    for active in [json!("true"), json!(1), Value::Null] {
        assert_eq!(told(json!({ "active": active })), Err(ExternalError::Answer), "{active}");
    }
    assert_eq!(told(json!({ "token_type": "DPoP" })), Err(ExternalError::Bound));
    assert!(told(json!({ "token_type": null })).is_ok());
    let long = vec![b' '; 64 * 1024 + 1];
    for bytes in [&b""[..], b"[]", br#"{"active":true,"active":true}"#, &long] {
        assert_eq!(with_rule(|rule| introspected(bytes, rule)), Err(ExternalError::Answer));
    }
}
