//! Assertions of identity providers and platforms: every check, one at a time, and what comes of a good one.

use std::{collections::BTreeMap, time::Duration};

use portcullis_base::{ClientId, Secret};
use portcullis_oauth::{
    assertion::{
        self, AssertionKind,
        id_jag::{self, IdJag, IdJagError, decide, may_present},
        workload::{self, Workload, WorkloadError},
    },
    client::AuthMethod,
    error::TokenErrorCode,
    jwt::JwtError,
    machine::AssertionRequest,
    relying::issuer::IssuerRule,
    scope::Scopes,
};
use serde_json::{Value, json};

use crate::{
    foreign::{Foreign, PROVIDER, changed, secs},
    world::{ISSUER, NOW, PAYMENTS, WIKI, client_with, form, later, public_client, resources, scopes},
};

const ID_JAG: &str = "oauth-id-jag+jwt";
const PLATFORM: &str = "https://token.actions.example.com";

fn jag_claims() -> Value {
    json!({
        "iss": PROVIDER, "sub": "u1", "aud": ISSUER, "client_id": "app", "jti": "j1", "iat": secs(NOW),
        "exp": secs(later(300)), "scope": "mcp:read mcp:call", "resource": WIKI, "tenant": "t1",
        "email": "ada@example.com", "email_verified": true, "auth_time": secs(NOW), "acr": "mfa",
    })
}

fn judge(token: &str, provider: &Foreign, issuer: &IssuerRule) -> Result<IdJag, IdJagError> {
    let (client, resources) = (ClientId::new("app"), resources(None));
    let expected = id_jag::Expected { issuer, audience: ISSUER, client: &client, resources: &resources, now: NOW };
    id_jag::verify(token, &provider.keys(), &expected)
}

fn jag_as(typ: Option<&str>, changes: Value) -> Result<IdJag, IdJagError> {
    let (provider, issuer) = (Foreign::new(), IssuerRule::Exact(PROVIDER.into()));
    judge(&provider.sign(typ, &changed(&jag_claims(), &changes)), &provider, &issuer)
}

fn jag(changes: Value) -> Result<IdJag, IdJagError> {
    jag_as(Some(ID_JAG), changes)
}

// spec: AS-172, AS-173, AS-175, AS-180
#[test]
fn good_id_jag_says_who_may_use_which_client_where() {
    let good = jag(json!({})).unwrap();
    assert_eq!((good.issuer.as_str(), good.subject.as_str(), good.tenant.as_deref()), (PROVIDER, "u1", Some("t1")));
    assert_eq!((good.client.as_str(), good.resources.as_slice()), ("app", &[WIKI.to_owned()][..]));
    assert_eq!((good.scopes.clone(), good.email.as_deref()), (Some(Scopes::endpoint()), Some("ada@example.com")));
    assert_eq!((good.authenticated_at, good.acr.as_deref(), good.expires_at), (Some(NOW), Some("mfa"), later(300)));
    assert!(jag(json!({ "aud": [ISSUER] })).is_ok());
    assert_eq!(jag(json!({ "resource": [format!("{WIKI}/"), PAYMENTS] })).unwrap().resources, [WIKI, PAYMENTS]);
    let bare = jag(json!({ "resource": null, "scope": null, "tenant": null, "email_verified": null })).unwrap();
    assert_eq!((bare.resources.len(), bare.scopes, bare.tenant, bare.email), (0, None, None, None));
}

// spec: AS-172, AS-173, AS-174, AS-175, AS-176, T-39, T-46, T-52
#[test]
fn each_check_of_an_id_jag_refuses_with_its_own_error() {
    use IdJagError::{Audience, Claim, Client, Expired, Issuer, Lifetime, NotYetValid, Resource, Type, Unsupported};
    for (changes, error) in [
        (json!({ "iss": "https://evil.example" }), Issuer),
        (json!({ "iss": null }), Claim("iss")),
        (json!({ "sub": null }), Claim("sub")),
        (json!({ "sub": "x".repeat(256) }), Claim("sub")),
        (json!({ "aud": "https://gw.example/" }), Audience),
        (json!({ "aud": "https://gw.example/oauth/token" }), Audience),
        (json!({ "aud": [ISSUER, "https://other.example"] }), Audience),
        (json!({ "aud": [ISSUER, ISSUER] }), Audience),
        (json!({ "aud": [] }), Audience),
        (json!({ "aud": null }), Claim("aud")),
        (json!({ "client_id": "other" }), Client),
        (json!({ "client_id": null }), Claim("client_id")),
        (json!({ "jti": null }), Claim("jti")),
        (json!({ "jti": "x".repeat(257) }), Claim("jti")),
        (json!({ "iat": null }), Claim("iat")),
        (json!({ "exp": null }), Claim("exp")),
        (json!({ "exp": secs(NOW.minus(Duration::from_mins(1))) }), Expired),
        (json!({ "iat": secs(later(61)) }), NotYetValid),
        (json!({ "nbf": secs(later(61)) }), NotYetValid),
        (json!({ "exp": secs(later(3601)) }), Lifetime),
        (json!({ "resource": "https://gw.example/mcp/other" }), Resource),
        (json!({ "resource": [WIKI, "https://evil.example/mcp/wiki"] }), Resource),
        (json!({ "resource": [] }), Claim("resource")),
        (json!({ "resource": [7] }), Claim("resource")),
        (json!({ "resource": { "a": 1 } }), Claim("resource")),
        (json!({ "resource": vec![WIKI; 17] }), Claim("resource")),
        (json!({ "scope": ["mcp:read"] }), Claim("scope")),
        (json!({ "scope": "mcp:\"read" }), Claim("scope")),
        (json!({ "cnf": { "jkt": "x" } }), Unsupported("cnf")),
        (json!({ "authorization_details": [] }), Unsupported("authorization_details")),
    ] {
        assert_eq!(jag(changes.clone()).err(), Some(error), "{changes}");
    }
    for typ in [None, Some("JWT"), Some("at+jwt"), Some("logout+jwt"), Some("id-jag+jwt")] {
        assert_eq!(jag_as(typ, json!({})).err(), Some(Type), "{typ:?}");
    }
    assert!(jag_as(Some("application/oauth-id-jag+jwt"), json!({})).is_ok());
}

// spec: AS-172, T-37
#[test]
fn signature_is_that_of_the_trusted_provider() {
    let (provider, another, issuer) = (Foreign::new(), Foreign::new(), IssuerRule::Exact(PROVIDER.into()));
    let header = provider.header(Some(ID_JAG));
    let err = |token: &str| judge(token, &provider, &issuer).err();
    assert_eq!(err(&another.sign(Some(ID_JAG), &jag_claims())), Some(IdJagError::UnknownKey));
    assert_eq!(err(&another.forge(&header, &jag_claims())), Some(JwtError::Signature.into()));
    let with = |changes: Value| err(&provider.forge(&changed(&header, &changes), &jag_claims()));
    for alg in ["none", "HS256"] {
        assert_eq!(with(json!({ "alg": alg })), Some(JwtError::Algorithm.into()));
    }
    assert_eq!(with(json!({ "jku": "https://evil.example/jwks" })), Some(JwtError::Header.into()));
    assert_eq!(err(&format!("{}x", provider.sign(Some(ID_JAG), &jag_claims()))), Some(JwtError::Malformed.into()));
}

// spec: T-46, AS-180
#[test]
fn other_tenants_of_the_same_provider_vouch_for_nobody() {
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned();
    let issuer = IssuerRule::EntraTenants { template: template.clone(), tenants: vec!["t1".into()] };
    let provider = Foreign::new();
    let of = |tenant: &str| {
        let changes = json!({ "iss": template.replace("{tenantid}", tenant), "tenant": null, "tid": tenant });
        judge(&provider.sign(Some(ID_JAG), &changed(&jag_claims(), &changes)), &provider, &issuer)
    };
    assert_eq!(of("t1").unwrap().tenant.as_deref(), Some("t1"));
    assert_eq!(of("t2").err(), Some(IdJagError::Issuer));
}

// spec: AS-176
#[test]
fn assertion_is_spent_by_issuer_and_name() {
    let spent = |changes| jag(changes).unwrap().spend();
    assert_eq!(spent(json!({})), spent(json!({ "sub": "u2" })));
    assert_ne!(spent(json!({})).id, spent(json!({ "jti": "j2" })).id);
    assert_eq!(spent(json!({})).expires_at, later(360), "as long as it would be taken");
    let workload = workload(json!({ "iss": PLATFORM, "jti": "j1" })).unwrap().spend();
    assert_ne!(spent(json!({})).id, workload.id);
}

// spec: AS-178
#[test]
fn public_clients_present_nothing() {
    for method in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt] {
        assert_eq!(may_present(&client_with(method)), Ok(()));
    }
    let refused = may_present(&public_client()).unwrap_err();
    assert_eq!(refused.code, TokenErrorCode::UnauthorizedClient);
}

fn asked(resource: Option<&str>, scope: Option<&str>) -> AssertionRequest {
    let assertion = Secret::new("a".into());
    AssertionRequest { assertion, scopes: scope.map(scopes), resource: resource.map(str::to_owned) }
}

// spec: AS-177, T-41
#[test]
fn scopes_are_those_that_everybody_agrees_on() {
    let nothing = Err(TokenErrorCode::InvalidScope);
    let given = |text: &str| Ok(scopes(text));
    for (said, wanted, allowed, granted) in [
        (Some("mcp:read mcp:call"), None, "mcp:read mcp:call", given("mcp:read mcp:call")),
        (None, None, "mcp:read mcp:call", given("mcp:read mcp:call")),
        (Some("mcp:read"), None, "mcp:read mcp:call", given("mcp:read")),
        (Some("mcp:call"), Some("mcp:read"), "mcp:read mcp:call", given("mcp:read")),
        (Some("mcp:read mcp:call"), Some("mcp:call"), "mcp:read", given("mcp:read")),
        (Some("mcp:read"), Some("mcp:read mcp:call"), "mcp:read mcp:call", given("mcp:read")),
        (Some("mcp:read"), Some("mcp:call"), "mcp:read mcp:call", given("mcp:read")),
        (Some("openid mcp:read"), None, "mcp:read mcp:call", given("mcp:read")),
        (Some("openid"), None, "mcp:read mcp:call", nothing.clone()),
        (None, Some("mcp:read offline_access"), "mcp:read", given("mcp:read")),
        (None, Some("offline_access"), "mcp:read", given("mcp:read")),
        (None, Some("mcp:read admin"), "mcp:read", nothing.clone()),
        (None, None, "", nothing),
    ] {
        let jag = IdJag { scopes: said.map(scopes), ..jag(json!({})).unwrap() };
        let decided = decide(&jag, &asked(None, wanted), &scopes(allowed), &resources(None));
        let decided = decided.map(|granted| granted.scopes).map_err(|error| error.code);
        assert_eq!(decided, granted, "{said:?} {wanted:?} {allowed}");
    }
}

// spec: AS-175
#[test]
fn token_is_for_the_endpoint_that_the_assertion_names() {
    use TokenErrorCode::{InvalidGrant, InvalidTarget};
    for (said, wanted, default, granted) in [
        (json!(WIKI), None, None, Ok(WIKI)),
        (json!(WIKI), Some(WIKI), None, Ok(WIKI)),
        (json!(WIKI), Some(PAYMENTS), None, Err(InvalidGrant)),
        (json!(WIKI), None, Some(PAYMENTS), Ok(WIKI)),
        (json!([WIKI, PAYMENTS]), Some(PAYMENTS), None, Ok(PAYMENTS)),
        (json!([WIKI, PAYMENTS]), None, Some(WIKI), Err(InvalidTarget)),
        (Value::Null, Some(PAYMENTS), None, Ok(PAYMENTS)),
        (Value::Null, Some("https://gw.example/mcp/other"), None, Err(InvalidTarget)),
        (Value::Null, None, Some(WIKI), Ok(WIKI)),
        (Value::Null, None, None, Err(InvalidTarget)),
    ] {
        let jag = jag(json!({ "resource": said })).unwrap();
        let decided = decide(&jag, &asked(wanted, None), &Scopes::endpoint(), &resources(default));
        let decided = decided.map(|granted| granted.resource).map_err(|error| error.code);
        assert_eq!(decided, granted.map(str::to_owned), "{said} {wanted:?} {default:?}");
    }
}

// spec: AS-179
#[test]
fn assertions_come_in_the_form_and_are_never_shown() {
    let request = AssertionRequest::parse(&form(&[("assertion", "eyJh.eyJp.c2ln"), ("resource", WIKI)])).unwrap();
    assert_eq!((request.assertion.reveal(), request.resource.as_deref()), ("eyJh.eyJp.c2ln", Some(WIKI)));
    assert!(!format!("{request:?}").contains("eyJh"));
    for (pairs, code) in [
        (&[("resource", WIKI)][..], TokenErrorCode::InvalidRequest),
        (&[("assertion", "a"), ("resource", WIKI), ("resource", PAYMENTS)], TokenErrorCode::InvalidTarget),
        (&[("assertion", "a"), ("scope", "\"")], TokenErrorCode::InvalidScope),
    ] {
        assert_eq!(AssertionRequest::parse(&form(pairs)).unwrap_err().code, code);
    }
}

fn workload_claims() -> Value {
    json!({
        "iss": PLATFORM, "sub": "repo:acme/app:ref:refs/heads/main", "aud": ISSUER, "jti": "w1", "iat": secs(NOW),
        "exp": secs(later(600)), "repository": "acme/app", "ref": "refs/heads/main", "run_attempt": 2,
        "kubernetes.io": { "namespace": "ci" }, "groups": ["a", "b"], "empty": "",
    })
}

fn workload_as(typ: Option<&str>, changes: Value) -> Result<Workload, WorkloadError> {
    let platform = Foreign::new();
    let audiences = [ISSUER.to_owned(), format!("{ISSUER}/oauth/token")];
    let expected = workload::Expected { issuer: PLATFORM, audiences: &audiences, now: NOW };
    workload::verify(&platform.sign(typ, &changed(&workload_claims(), &changes)), &platform.keys(), &expected)
}

fn workload(changes: Value) -> Result<Workload, WorkloadError> {
    workload_as(Some("JWT"), changes)
}

// spec: AS-182, AS-183, T-39, T-46
#[test]
fn each_check_of_a_workload_refuses_with_its_own_error() {
    use WorkloadError::{Audience, Claim, Expired, Issuer, Lifetime, NotYetValid, Type};
    for (changes, error) in [
        (json!({ "iss": "https://evil.example" }), Issuer),
        (json!({ "iss": null }), Claim("iss")),
        (json!({ "sub": null }), Claim("sub")),
        (json!({ "aud": null }), Claim("aud")),
        (json!({ "aud": "https://other.example" }), Audience),
        (json!({ "aud": [ISSUER, "https://other.example"] }), Audience),
        (json!({ "aud": [] }), Audience),
        (json!({ "exp": null }), Claim("exp")),
        (json!({ "iat": null }), Claim("iat")),
        (json!({ "jti": null }), Claim("jti")),
        (json!({ "jti": "x".repeat(257) }), Claim("jti")),
        (json!({ "exp": secs(NOW.minus(Duration::from_mins(1))) }), Expired),
        (json!({ "iat": secs(later(61)) }), NotYetValid),
        (json!({ "nbf": secs(later(61)) }), NotYetValid),
        (json!({ "exp": secs(later(24 * 3600 + 1)) }), Lifetime),
    ] {
        assert_eq!(workload(changes.clone()).err(), Some(error), "{changes}");
    }
    for typ in ["at+jwt", ID_JAG, "logout+jwt"] {
        assert_eq!(workload_as(Some(typ), json!({})).err(), Some(Type), "{typ}");
    }
    for good in [json!({}), json!({ "aud": [ISSUER] }), json!({ "aud": "https://gw.example/oauth/token" })] {
        assert!(workload(good.clone()).is_ok(), "{good}");
    }
    let (platform, another) = (Foreign::new(), Foreign::new());
    let expected = workload::Expected { issuer: PLATFORM, audiences: &[ISSUER.into()], now: NOW };
    let err = |token: &str| workload::verify(token, &platform.keys(), &expected).err();
    assert_eq!(err(&another.sign(None, &workload_claims())), Some(WorkloadError::UnknownKey));
    assert_eq!(err(&another.forge(&platform.header(None), &workload_claims())), Some(JwtError::Signature.into()));
}

// spec: AS-183
#[test]
fn workload_spends_its_name_once() {
    let spent = |changes| workload(changes).unwrap().spend();
    assert_eq!(spent(json!({})), spent(json!({ "run_attempt": 3 })));
    assert_ne!(spent(json!({})).id, spent(json!({ "jti": "w2" })).id);
    assert_eq!(spent(json!({})).expires_at, later(660));
}

// spec: AS-182
#[test]
fn rules_name_every_claim_that_matters() {
    let workload = workload(json!({})).unwrap();
    let matches = |rule: &[(&str, &str)]| {
        let rule: BTreeMap<String, String> =
            rule.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        workload.matches(&rule)
    };
    for rule in [
        &[("repository", "acme/app")][..],
        &[("repository", "acme/app"), ("ref", "refs/heads/*")],
        &[("repository", "acme/*")],
        &[("kubernetes.io.namespace", "ci")],
        &[("run_attempt", "2")],
        &[("groups", "b")],
        &[("sub", "repo:acme/app:ref:refs/heads/main")],
    ] {
        assert!(matches(rule), "{rule:?}");
    }
    for rule in [
        &[][..],
        &[("repository", "acme/ap")],
        &[("repository", "acme/app2")],
        &[("repository", "ACME/app")],
        &[("repository", "acme/app"), ("ref", "refs/tags/*")],
        &[("ref", "*main")],
        &[("nothing", "*")],
        &[("empty", "*")],
        &[("kubernetes.io", "*")],
        &[("groups", "c")],
    ] {
        assert!(!matches(rule), "{rule:?}");
    }
}

// spec: AS-184, RFC8725#3.11
#[test]
fn kinds_are_told_apart_by_type_and_by_nothing_else() {
    let foreign = Foreign::new();
    // A workload with everything that a person has.
    let person_like = changed(&jag_claims(), &json!({ "iss": PLATFORM, "preferred_username": "ada" }));
    let kind = |typ: Option<&str>, claims: &Value| assertion::kind(&foreign.sign(typ, claims));
    let found = kind(Some("JWT"), &person_like).unwrap();
    assert_eq!((found.kind, found.issuer.as_str()), (AssertionKind::Workload, PLATFORM));
    assert!(found.kid.is_some());
    assert_eq!(kind(None, &person_like).unwrap().kind, AssertionKind::Workload);
    assert_eq!(kind(Some(ID_JAG), &workload_claims()).unwrap().kind, AssertionKind::IdJag);
    for typ in ["at+jwt", "client-authentication+jwt", "logout+jwt", "dpop+jwt", ""] {
        assert_eq!(kind(Some(typ), &person_like), None, "{typ}");
    }
    assert_eq!(kind(Some(ID_JAG), &changed(&jag_claims(), &json!({ "iss": null }))), None);
    assert_eq!(assertion::kind("not a token"), None);
    // Neither passes for the other.
    assert_eq!(jag_as(Some("JWT"), json!({})).err(), Some(IdJagError::Type));
    assert_eq!(workload_as(Some(ID_JAG), json!({})).err(), Some(WorkloadError::Type));
    assert_eq!(assertion::refused().code, TokenErrorCode::InvalidGrant);
}
