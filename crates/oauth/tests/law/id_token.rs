//! ID tokens: every check, one at a time.

use std::time::Duration;

use portcullis_base::{Digest, Secret, Timestamp};
use portcullis_oauth::{
    jwks::PublicKeys,
    jwt::JwtError,
    relying::{
        id_token::{Expected, IdToken, IdTokenError, verify},
        issuer::IssuerRule,
    },
};
use serde_json::{Value, json};

use crate::{
    foreign::{Foreign, P384, PROVIDER, US_THERE, changed, secs},
    world::{NOW, later},
};

const NONCE: &str = "n-0S6_WzA2Mj";
const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
const TENANT: &str = "9122040d-6c67-4c5b-b112-36a304b66dad";

fn rule() -> IssuerRule {
    IssuerRule::Exact(PROVIDER.into())
}

fn entra() -> IssuerRule {
    IssuerRule::EntraTenants { template: TEMPLATE.into(), tenants: vec![TENANT.into()] }
}

fn expected(issuer: &IssuerRule) -> Expected<'_> {
    Expected {
        issuer,
        client_id: US_THERE,
        nonce: Some(NONCE),
        max_age: None,
        acr: None,
        subject: None,
        access_token: None,
        now: NOW,
    }
}

fn claims() -> Value {
    json!({
        "iss": PROVIDER, "sub": "248289761001", "aud": US_THERE, "nonce": NONCE,
        "iat": secs(NOW), "exp": secs(later(300)), "auth_time": secs(NOW), "acr": "mfa", "amr": ["pwd", "otp"],
        "sid": "s1", "groups": ["eng"],
    })
}

fn with(changes: Value, expected: &Expected<'_>) -> Result<IdToken, IdTokenError> {
    let provider = Foreign::new();
    verify(&provider.sign(Some("JWT"), &changed(&claims(), &changes)), &provider.keys(), expected)
}

// spec: AS-142, OIDCC#3.1.3.7
#[test]
fn good_token_says_who_signed_in_when_and_how() {
    let token = with(json!({ "azp": US_THERE }), &expected(&rule())).unwrap();
    assert_eq!((token.issuer.as_str(), token.subject.as_str()), (PROVIDER, "248289761001"));
    assert_eq!(
        (token.authenticated_at, token.acr.as_deref(), token.sid.as_deref()),
        (Some(NOW), Some("mfa"), Some("s1"))
    );
    assert_eq!((token.issued_at, token.expires_at, token.tenant), (NOW, later(300), None));
    assert_eq!(token.amr, ["pwd", "otp"]);
    assert_eq!(token.claims["groups"], json!(["eng"]));
    assert!(with(json!({ "aud": [US_THERE] }), &expected(&rule())).is_ok());
    for missing in ["sid", "acr", "amr", "auth_time"] {
        assert!(with(json!({ missing: null }), &expected(&rule())).is_ok(), "{missing}");
    }
}

// spec: AS-142, T-37, T-39, OIDCC#2, OIDCC#3.1.3.7
#[test]
fn each_check_refuses_with_its_own_error() {
    use IdTokenError::{Audience, AuthorizedParty, Claim, Expired, Issuer, Nonce, NotYetValid};
    let issuer = |received: &str, tenant: Option<&str>| Issuer {
        expected: PROVIDER.into(),
        received: received.into(),
        tenant: tenant.map(Into::into),
    };
    let audience = |received: &str| Audience { expected: US_THERE.into(), received: received.into() };
    let seconds = Duration::from_secs;
    for (changes, error) in [
        (json!({ "iss": "https://login.example.com/" }), issuer("https://login.example.com/", None)),
        (json!({ "iss": "https://evil.example", "tid": "t" }), issuer("https://evil.example", Some("t"))),
        (json!({ "iss": null }), Claim("iss")),
        (json!({ "aud": "other" }), audience("other")),
        (json!({ "aud": [US_THERE, "other"] }), audience("portcullis\", \"other")),
        (json!({ "aud": [] }), audience("")),
        (json!({ "aud": null }), Claim("aud")),
        (json!({ "aud": 7 }), Claim("aud")),
        (json!({ "azp": "other" }), AuthorizedParty),
        (json!({ "azp": 7 }), AuthorizedParty),
        (json!({ "sub": null }), Claim("sub")),
        (json!({ "sub": "" }), Claim("sub")),
        (json!({ "sub": "x".repeat(256) }), Claim("sub")),
        (json!({ "exp": null }), Claim("exp")),
        (json!({ "exp": "soon" }), Claim("exp")),
        (json!({ "iat": null }), Claim("iat")),
        (json!({ "exp": secs(NOW.minus(seconds(60))) }), Expired(seconds(60))),
        (json!({ "iat": secs(later(61)) }), NotYetValid(seconds(61))),
        (json!({ "nbf": secs(later(90)) }), NotYetValid(seconds(90))),
        (json!({ "nbf": "x" }), Claim("nbf")),
        (json!({ "nonce": null }), Nonce),
        (json!({ "nonce": "n-0S6_WzA2Mk" }), Nonce),
        (json!({ "nonce": [NONCE] }), Nonce),
    ] {
        assert_eq!(with(changes.clone(), &expected(&rule())), Err(error), "{changes}");
    }
    for close in [json!({ "exp": secs(NOW.minus(seconds(59))) }), json!({ "iat": secs(later(60)) })] {
        assert!(with(close.clone(), &expected(&rule())).is_ok(), "{close}: clocks differ by a minute");
    }
}

// spec: OIDCC#3.1.2.1, OIDCC#12.2
#[test]
fn what_was_asked_for_must_come_back() {
    let issuer = rule();
    let old = |max_age| Expected { max_age: Some(Duration::from_secs(max_age)), ..expected(&issuer) };
    let at = |at: Timestamp| json!({ "auth_time": secs(at) });
    let ago = |seconds| NOW.minus(Duration::from_secs(seconds));
    assert!(with(at(ago(600)), &old(600)).is_ok());
    assert!(with(at(ago(660)), &old(600)).is_ok(), "clocks differ by a minute");
    assert_eq!(with(at(ago(661)), &old(600)), Err(IdTokenError::TooOld));
    assert_eq!(with(at(later(61)), &old(600)), Err(IdTokenError::NotYetValid(Duration::from_secs(61))));
    assert_eq!(with(json!({ "auth_time": null }), &old(600)), Err(IdTokenError::Claim("auth_time")));

    let strong = ["mfa".to_owned(), "hwk".to_owned()];
    let strong = Expected { acr: Some(&strong), ..expected(&issuer) };
    assert!(with(json!({}), &strong).is_ok());
    assert_eq!(with(json!({ "acr": "pwd" }), &strong), Err(IdTokenError::Acr("pwd".into())));
    assert_eq!(with(json!({ "acr": null }), &strong), Err(IdTokenError::Acr(String::new())));
    assert!(with(json!({ "acr": null }), &Expected { acr: Some(&[]), ..expected(&issuer) }).is_ok());

    let again = Expected { nonce: None, subject: Some("248289761001"), ..expected(&issuer) };
    assert!(with(json!({ "nonce": null }), &again).is_ok());
    assert_eq!(with(json!({ "sub": "248289761002" }), &again), Err(IdTokenError::Subject));
}

// spec: OIDCC#3.1.3.8
#[test]
fn hash_of_the_access_token_counts_if_it_is_there() {
    let (issuer, secret) = (rule(), Secret::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y".into()));
    let expected = Expected { access_token: Some(&secret), ..expected(&issuer) };
    // OpenID Connect Core 1.0, appendix A.3.
    assert!(with(json!({ "at_hash": "77QmUPtjPfzWtF2AnpK9RQ" }), &expected).is_ok());
    assert!(with(json!({}), &expected).is_ok());
    let whole = Digest::of(secret.reveal().as_bytes()).to_base64url();
    for wrong in [json!("77QmUPtjPfzWtF2AnpK9RR"), json!(whole), json!(7)] {
        assert_eq!(with(json!({ "at_hash": wrong }), &expected), Err(IdTokenError::AccessToken), "{wrong}");
    }
    let p384 = P384::new();
    let keys = PublicKeys::from_value(&json!({ "keys": [p384.jwk()] })).unwrap();
    let sha384 = ring::digest::digest(&ring::digest::SHA384, secret.reveal().as_bytes());
    let half = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &sha384.as_ref()[..24]);
    let signed = |hash: &str| p384.sign(&changed(&claims(), &json!({ "at_hash": hash })));
    assert!(verify(&signed(&half), &keys, &expected).is_ok());
    assert_eq!(verify(&signed("77QmUPtjPfzWtF2AnpK9RQ"), &keys, &expected), Err(IdTokenError::AccessToken));
}

// spec: AS-143, T-52
#[test]
fn provider_of_many_tenants_vouches_for_those_that_are_named() {
    let of = |tenant: &str| TEMPLATE.replace("{tenantid}", tenant);
    let good = json!({ "iss": of(TENANT), "tid": TENANT });
    let token = with(good.clone(), &expected(&entra())).unwrap();
    assert_eq!(token.tenant.as_deref(), Some(TENANT));
    let other = "11111111-6c67-4c5b-b112-36a304b66dad";
    for (iss, tid) in [
        (of(other), Some(other)),
        (of(other), Some(TENANT)),
        (of(TENANT), Some(other)),
        (of(TENANT), None),
        (TEMPLATE.to_owned(), Some("{tenantid}")),
        (PROVIDER.to_owned(), Some(TENANT)),
    ] {
        let refused = with(json!({ "iss": iss, "tid": tid }), &expected(&entra()));
        assert!(matches!(refused, Err(IdTokenError::Issuer { .. })), "{iss} {tid:?}: {refused:?}");
    }
    let nobody = IssuerRule::EntraTenants { template: TEMPLATE.into(), tenants: vec![] };
    assert!(with(good, &expected(&nobody)).is_err());
}

// spec: AS-143, T-37
#[test]
fn key_of_one_tenant_signs_for_no_other() {
    let (provider, tenant) = (Foreign::new(), TEMPLATE.replace("{tenantid}", TENANT));
    let token = provider.sign(Some("JWT"), &changed(&claims(), &json!({ "iss": tenant, "tid": TENANT })));
    for (of, good) in
        [(json!(TEMPLATE), true), (json!(tenant), true), (json!("https://login.microsoftonline.com/other/v2.0"), false)]
    {
        let mut jwk = provider.jwk();
        jwk["issuer"] = of.clone();
        let keys = PublicKeys::from_value(&json!({ "keys": [jwk] })).unwrap();
        assert_eq!(verify(&token, &keys, &expected(&entra())).is_ok(), good, "{of}");
    }
}

// spec: T-37, RFC8725#3.11, RFC7515#4, RFC7515#4.1.9
#[test]
fn headers_that_play_tricks_are_refused() {
    let provider = Foreign::new();
    let (issuer, keys) = (rule(), provider.keys());
    let judge = |header: &Value| verify(&provider.forge(header, &claims()), &keys, &expected(&issuer)).err();
    let header = |changes: Value| changed(&provider.header(Some("JWT")), &changes);
    for good in [json!({}), json!({ "typ": null }), json!({ "typ": "jwt" }), json!({ "x5t": "thumbprint" })] {
        assert_eq!(judge(&header(good.clone())), None, "{good}");
    }
    for name in ["jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc", "cty"] {
        assert_eq!(judge(&header(json!({ name: "x" }))), Some(JwtError::Header.into()), "{name}");
    }
    for typ in ["at+jwt", "logout+jwt", "oauth-id-jag+jwt", "application/at+jwt", "JOSE"] {
        assert_eq!(judge(&header(json!({ "typ": typ }))), Some(IdTokenError::Type), "{typ}");
    }
    for alg in ["none", "None", "HS256", "RS1", ""] {
        assert_eq!(judge(&header(json!({ "alg": alg }))), Some(JwtError::Algorithm.into()), "{alg}");
    }
    assert_eq!(judge(&header(json!({ "alg": null }))), Some(JwtError::Malformed.into()));
    for kid in [json!("other"), json!("../../etc/passwd"), json!("' or 1=1")] {
        let named = kid.as_str().map(str::to_owned);
        assert_eq!(judge(&header(json!({ "kid": kid }))), Some(IdTokenError::UnknownKey { kid: named }));
    }
    let rs256 = header(json!({ "alg": "RS256" }));
    assert!(matches!(judge(&rs256), Some(IdTokenError::UnknownKey { .. })), "a key has one algorithm");
    let another = Foreign::new();
    let forged = another.forge(&provider.header(Some("JWT")), &claims());
    assert_eq!(verify(&forged, &keys, &expected(&issuer)), Err(JwtError::Signature.into()));
    // A logout token without a type.
    let logout = changed(&claims(), &json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }));
    assert_eq!(verify(&provider.sign(None, &logout), &keys, &expected(&issuer)), Err(IdTokenError::Type));
}

// spec: T-37
#[test]
fn token_may_name_many_groups_but_not_any_number() {
    let groups = |n: usize| json!({ "groups": vec!["0123456789abcdef"; n] });
    assert!(with(groups(500), &expected(&rule())).is_ok());
    assert_eq!(with(groups(900), &expected(&rule())), Err(JwtError::TooLong.into()));
}

#[test]
fn administrator_reads_what_was_expected_and_what_came() {
    let told = with(json!({ "iss": "https://evil.example\n" }), &expected(&rule())).unwrap_err().to_string();
    assert_eq!(
        told,
        "the ID token is from \"https://evil.example\u{fffd}\", the settings say \"https://login.example.com\""
    );
    let told = with(json!({ "iat": secs(later(400)) }), &expected(&rule())).unwrap_err().to_string();
    assert_eq!(told, "the ID token was made 400 s from now");
}
