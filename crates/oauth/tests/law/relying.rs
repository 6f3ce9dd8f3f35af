//! From a provider's document to its tokens.

use std::time::Duration;

use portcullis_base::Secret;
use portcullis_oauth::relying::{
    callback::{self, CallbackError, IssPolicy, state_of},
    discovery::{self, DiscoveryError, ProviderMetadata, document_url},
    issuer::IssuerRule,
    request::AuthorizationRequest,
    token::{self, ClientProof, ProviderClient, Refusal, TokenAnswerError, TokenForm, Wanted},
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    foreign::{PROVIDER, US_THERE, changed},
    world::{CHALLENGE, VERIFIER},
};

const BACK: &str = "https://gw.example/login/company/callback";

fn rule() -> IssuerRule {
    IssuerRule::Exact(PROVIDER.into())
}

fn document() -> Value {
    json!({
        "issuer": PROVIDER,
        "authorization_endpoint": "https://login.example.com/authorize?realm=x",
        "token_endpoint": "https://login.example.com/token",
        "jwks_uri": "https://keys.example.com/jwks",
        "userinfo_endpoint": "https://login.example.com/me",
        "end_session_endpoint": "https://login.example.com/bye",
        "response_types_supported": ["code", "id_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "something_else": { "entirely": true },
    })
}

fn parse(document: &Value) -> Result<ProviderMetadata, DiscoveryError> {
    discovery::parse(document.to_string().as_bytes(), &rule())
}

fn with(changes: Value) -> Result<ProviderMetadata, DiscoveryError> {
    parse(&changed(&document(), &changes))
}

// spec: OIDCD#4.1, OIDCD#4.3, T-17
#[test]
fn document_speaks_for_the_issuer_that_was_asked() {
    assert_eq!(document_url(PROVIDER), "https://login.example.com/.well-known/openid-configuration");
    assert_eq!(document_url("https://a.example/t/"), "https://a.example/t/.well-known/openid-configuration");
    let metadata = with(json!({})).unwrap();
    assert_eq!(metadata.userinfo_endpoint.as_deref(), Some("https://login.example.com/me"));
    assert!(metadata.authorization_response_iss_parameter_supported && metadata.backchannel_logout_supported);
    assert!(!metadata.backchannel_logout_session_supported);
    for issuer in ["https://login.example.com/", "https://LOGIN.example.com", "http://login.example.com", ""] {
        let expected = DiscoveryError::Issuer { expected: PROVIDER.into(), received: issuer.into() };
        assert_eq!(with(json!({ "issuer": issuer })), Err(expected));
    }
    assert_eq!(
        with(json!({ "issuer": "https://evil.example" })).unwrap_err().to_string(),
        "the provider calls itself \"https://evil.example\", the settings say \"https://login.example.com\""
    );
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let entra = IssuerRule::EntraTenants { template: template.into(), tenants: vec!["t".into()] };
    let common = changed(&document(), &json!({ "issuer": template })).to_string();
    assert!(discovery::parse(common.as_bytes(), &entra).is_ok());
    assert!(discovery::parse(document().to_string().as_bytes(), &entra).is_err());
}

// spec: AS-142
#[test]
fn document_that_nobody_can_sign_in_by_is_refused_with_the_reason() {
    use DiscoveryError::{Endpoint, Malformed, Missing, Unsupported};
    let endpoint = |member, url: &str| Endpoint { member, url: url.into() };
    for (changes, error) in [
        (json!({ "jwks_uri": null }), Missing("jwks_uri")),
        (json!({ "token_endpoint": "" }), Missing("token_endpoint")),
        (json!({ "authorization_endpoint": null }), Missing("authorization_endpoint")),
        (json!({ "token_endpoint": 7 }), Malformed),
        (json!({ "token_endpoint": "http://a.example/t" }), endpoint("token_endpoint", "http://a.example/t")),
        (json!({ "userinfo_endpoint": "file:///etc/passwd" }), endpoint("userinfo_endpoint", "file:///etc/passwd")),
        (json!({ "jwks_uri": "/jwks" }), endpoint("jwks_uri", "/jwks")),
        (json!({ "response_types_supported": ["id_token"] }), Unsupported("the authorization code flow")),
        (json!({ "code_challenge_methods_supported": ["plain"] }), Unsupported("PKCE with S256")),
    ] {
        assert_eq!(with(changes.clone()), Err(error), "{changes}");
    }
    assert!(with(json!({ "code_challenge_methods_supported": null })).is_ok(), "many have it and do not say");
    for loopback in ["http://127.0.0.1:8080/t", "http://localhost/t", "http://[::1]:9/t"] {
        assert!(with(json!({ "token_endpoint": loopback })).is_ok(), "{loopback}");
    }
    for bytes in [&b"[]"[..], b"", b"<html>", br#"{"issuer":"a","issuer":"b"}"#] {
        assert_eq!(discovery::parse(bytes, &rule()), Err(Malformed));
    }
    assert_eq!(discovery::parse(&vec![b' '; 64 * 1024 + 1], &rule()), Err(DiscoveryError::TooLarge));
}

// spec: AS-142, OIDCC#3.1.2.1
#[test]
fn request_is_the_code_flow_with_state_nonce_and_challenge() {
    let metadata = with(json!({})).unwrap();
    let scopes = ["openid".to_owned(), "profile".to_owned()];
    let request = AuthorizationRequest {
        endpoint: &metadata.authorization_endpoint,
        client_id: US_THERE,
        redirect_uri: BACK,
        scopes: &scopes,
        resource: None,
        state: "s&t",
        nonce: Some("n"),
        challenge: CHALLENGE,
        max_age: Some(0),
        acr_values: Some("mfa hwk"),
        prompt: None,
        login_hint: Some("ada@example.com"),
        extra: &[("hd", "example.com"), ("state", "forged"), ("prompt", "none"), ("response_type", "token")],
    };
    let url = Url::parse(&request.url()).unwrap();
    assert_eq!(url.path(), "/authorize");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let expected = [
        ("realm", "x"),
        ("response_type", "code"),
        ("client_id", US_THERE),
        ("redirect_uri", BACK),
        ("scope", "openid profile"),
        ("state", "s&t"),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("max_age", "0"),
        ("acr_values", "mfa hwk"),
        ("login_hint", "ada@example.com"),
        ("hd", "example.com"),
    ];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let plain = AuthorizationRequest { nonce: None, scopes: &[], max_age: None, extra: &[], ..request };
    for name in ["nonce", "scope", "max_age"] {
        assert!(!Url::parse(&plain.url()).unwrap().query_pairs().any(|(held, _)| held == name), "{name}");
    }
}

// spec: AS-142, T-17, RFC9207#2.4
#[test]
fn answer_of_another_provider_leads_nowhere() {
    use IssPolicy::{IfPresent, Required};
    let issuer = |received: Option<&str>| {
        Err(CallbackError::Issuer { expected: PROVIDER.into(), received: received.map(Into::into) })
    };
    let answer = |query: &str, iss| callback::parse(query, &rule(), iss).map(|callback| callback.code);
    let code = || Ok(Secret::new("c".into()));
    assert_eq!(answer("code=c&state=s&iss=https%3A%2F%2Flogin.example.com", Required), code());
    assert_eq!(answer("code=c&state=s", IfPresent), code());
    assert_eq!(answer("code=c&state=s", Required), issuer(None));
    assert_eq!(answer("code=c&state=s&iss=", Required), issuer(None));
    for other in ["https://evil.example", "https://login.example.com/", "https://LOGIN.example.com"] {
        for iss in [IfPresent, Required] {
            assert_eq!(answer(&format!("code=c&state=s&iss={other}"), iss), issuer(Some(other)));
            // An error of somebody else is not the provider's either.
            assert_eq!(answer(&format!("error=access_denied&state=s&iss={other}"), iss), issuer(Some(other)));
        }
    }
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let entra = IssuerRule::EntraTenants { template: template.into(), tenants: vec!["t".into()] };
    let of = |tenant| {
        callback::parse(&format!("code=c&state=s&iss={}", template.replace("{tenantid}", tenant)), &entra, Required)
    };
    assert!(of("t").is_ok() && of("u").is_err() && of("{tenantid}").is_err());
}

// spec: AS-137
#[test]
fn answer_is_read_in_one_way_or_not_at_all() {
    assert_eq!(state_of("code=c&state=s").as_deref(), Some("s"));
    assert_eq!(state_of("error=x&state=a%20b").as_deref(), Some("a b"));
    for none in ["", "code=c", "state=", "state=a&state=b", "state=%zz", &format!("state={}", "x".repeat(9000))] {
        assert_eq!(state_of(none), None, "{none}");
    }
    let answer = |query: &str| callback::parse(query, &rule(), IssPolicy::IfPresent);
    for damaged in ["", "code=c", "state=s", "code=c&code=d&state=s", "code=&state=s", "code=%ff&state=s"] {
        assert_eq!(answer(damaged), Err(CallbackError::Malformed), "{damaged}");
    }
    let error = answer("error=access_denied%0a&error_description=no%1b%5b31m&state=s&code=c").unwrap_err();
    assert_eq!(error.to_string(), "the provider answered access_denied\u{fffd}: no\u{fffd}[31m");
    let read = answer("code=SECRET&state=s&session_state=x").unwrap();
    assert!(!format!("{read:?}").contains("SECRET"));
}

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

// spec: AS-142, RFC6749#2.3.1
#[test]
fn forms_carry_the_verifier_and_one_proof() {
    let (code, verifier, key) = (secret("c/d"), secret(VERIFIER), secret("s e:cret%"));
    let redeem = Wanted::Redeem { code: &code, redirect_uri: BACK, verifier: &verifier };
    let of = |proof, wanted: &Wanted<'_>| TokenForm::new(&ProviderClient { id: "a:b", proof }, wanted);
    let body = "grant_type=authorization_code&code=c%2Fd\
        &redirect_uri=https%3A%2F%2Fgw.example%2Flogin%2Fcompany%2Fcallback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let basic = of(ClientProof::Basic(&key), &redeem);
    assert_eq!(basic.body.reveal(), body);
    // `a%3Ab:s%20e%3Acret%25`
    assert_eq!(basic.authorization.unwrap().reveal(), "Basic YSUzQWI6cyUyMGUlM0FjcmV0JTI1");
    let post = of(ClientProof::Post(&key), &redeem);
    assert_eq!(post.body.reveal(), format!("{body}&client_id=a%3Ab&client_secret=s%20e%3Acret%25"));
    assert_eq!(post.authorization, None);
    let public = of(ClientProof::Public, &Wanted::Refresh(&code));
    assert_eq!(public.body.reveal(), "grant_type=refresh_token&refresh_token=c%2Fd&client_id=a%3Ab");
    let revoke = of(ClientProof::Public, &Wanted::Revoke(&code));
    assert_eq!(revoke.body.reveal(), "token=c%2Fd&token_type_hint=refresh_token&client_id=a%3Ab");
    let ask = of(ClientProof::Public, &Wanted::Introspect(&code));
    assert_eq!(ask.body.reveal(), "token=c%2Fd&token_type_hint=access_token&client_id=a%3Ab");
    assert!(!format!("{post:?}").contains("dBjft"));
}

// spec: T-45
#[test]
fn refusals_do_not_say_again_what_was_shown() {
    let (code, verifier, key) = (secret("code c/d+e"), secret(VERIFIER), secret("s e:cret%/"));
    let redeem = Wanted::Redeem { code: &code, redirect_uri: BACK, verifier: &verifier };
    for proof in [ClientProof::Basic(&key), ClientProof::Post(&key)] {
        let form = TokenForm::new(&ProviderClient { id: "a:b", proof }, &redeem);
        let shown = form.authorization.as_ref().map_or("", |shown| shown.reveal()).replace("Basic ", "");
        let said = format!("{} {} {VERIFIER} {} {shown} for a:b", code.reveal(), key.reveal(), form.body.reveal());
        let refusal = json!({ "error": "invalid_grant", "error_description": said, "error_uri": said, "n": 1 });
        // However its slashes are written.
        for answer in [refusal.to_string(), refusal.to_string().replace('/', "\\/")] {
            let hushed = String::from_utf8(form.hushed(answer.as_bytes()).unwrap()).unwrap();
            for part in ["c/d", "c%2Fd", "cret%", "cret%25", "dBjft", "YSUzQWI6"] {
                assert!(!hushed.contains(part), "{part} in {hushed}");
            }
            assert!(hushed.contains("for a:b") && hushed.contains("gw.example") && hushed.contains("\"n\":1"));
        }
        // Tokens come as they are, and what is no answer at all too.
        for answer in
            [json!({ "access_token": "x", "refresh_token": code.reveal() }).to_string(), code.reveal().to_owned()]
        {
            assert_eq!(form.hushed(answer.as_bytes()), None);
        }
    }
}

// spec: RFC6749#7.1
#[test]
fn answers_are_tokens_or_reasons() {
    let read = |value: Value| token::parse(value.to_string().as_bytes());
    let good = json!({
        "access_token": "at", "token_type": "bearer", "expires_in": "3600", "id_token": "it", "refresh_token": "rt",
        "scope": "openid",
    });
    let tokens = read(good.clone()).unwrap();
    assert_eq!((tokens.access_token.reveal(), tokens.expires_in), ("at", Some(Duration::from_hours(1))));
    assert_eq!(tokens.id_token.as_ref().map(Secret::reveal), Some("it"));
    assert_eq!(tokens.refresh_token.as_ref().map(Secret::reveal), Some("rt"));
    assert_eq!(tokens.scope.as_deref(), Some("openid"));
    let few = read(json!({ "access_token": "at", "token_type": "Bearer", "refresh_token": "" })).unwrap();
    assert_eq!((few.id_token, few.refresh_token, few.expires_in), (None, None, None));
    for bad in [json!({ "access_token": null }), json!({ "token_type": "DPoP" }), json!({ "token_type": null })] {
        assert_eq!(read(changed(&good, &bad)), Err(TokenAnswerError::Malformed), "{bad}");
    }
    for bytes in [&b""[..], b"access_token=at&token_type=bearer", br#"{"access_token":"a","access_token":"b"}"#] {
        assert_eq!(token::parse(bytes), Err(TokenAnswerError::Malformed));
    }
    // There are those that refuse with status 200.
    let refused = read(json!({ "error": "bad_verification_code", "error_description": "expired\n" }));
    assert_eq!(
        refused,
        Err(TokenAnswerError::Refused(Refusal::Other("bad_verification_code: expired\u{fffd}".into())))
    );
    for (body, refusal) in [
        (r#"{"error":"invalid_grant"}"#, Refusal::InvalidGrant(None)),
        (r#"{"error":"invalid_grant","error_description":"revoked"}"#, Refusal::InvalidGrant(Some("revoked".into()))),
        (r#"{"error":"bad_refresh_token"}"#, Refusal::InvalidGrant(None)),
        (r#"{"error":"invalid_client"}"#, Refusal::Other("invalid_client".into())),
        (r#"{"error":7}"#, Refusal::Other("an error without a code".into())),
        ("<html>", Refusal::Other("an answer that says no reason".into())),
    ] {
        assert_eq!(token::refusal(body.as_bytes()), refusal, "{body}");
    }
}
