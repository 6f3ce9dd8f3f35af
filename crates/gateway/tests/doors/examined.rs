//! What `identity check` finds at a provider that is right, and at one that is not.

use http::StatusCode;
use portcullis_gateway::check::{Check, CheckState};
use serde_json::json;

use crate::{
    house::House,
    vouching::{Voucher, provider},
};

/// The time of a house's clock.
const NOW: &str = "Mon, 23 Nov 2026 02:13:20 GMT";

async fn examined(house: &House) -> Vec<Check> {
    provider(house).examine().await
}

fn of<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name} in {checks:#?}"))
}

/// A provider without a fault.
fn without_fault(voucher: &Voucher) {
    voucher.tells(NOW);
    voucher.describe(&json!({
        "userinfo_endpoint": voucher.url("/userinfo"),
        "end_session_endpoint": voucher.url("/end"),
        "revocation_endpoint": voucher.url("/revoke"),
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "groups"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "backchannel_logout_supported": true,
    }));
    voucher.fail("/token", StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" }));
}

#[tokio::test]
async fn a_provider_without_a_fault_has_only_good_checks_and_says_what_to_register() {
    let voucher = Voucher::new().await;
    without_fault(&voucher);
    let house = voucher.house("oidc", "client_secret: env:REPORT_SECRET").await;
    let checks = examined(&house).await;
    let others: Vec<_> = checks.iter().filter(|check| check.state != CheckState::Good).collect();
    assert!(others.is_empty(), "{others:#?}");
    for (name, text) in [
        ("issuer", voucher.issuer().as_str()),
        ("PKCE", "S256"),
        ("client credentials", "client_secret_basic, accepted"),
        ("redirect URI to register", "http://127.0.0.1:7878/login/company/callback"),
        ("back-channel logout URI to register", "http://127.0.0.1:7878/login/company/back-channel"),
        ("post-logout redirect URI to register", "http://127.0.0.1:7878/logout"),
    ] {
        assert_eq!(of(&checks, name).text, text);
    }
    assert!(of(&checks, "keys").text.ends_with("(ES256)"));
}

#[tokio::test]
async fn each_fault_is_named_with_what_to_do() {
    let voucher = Voucher::new().await;
    let house =
        voucher.house("auth0", &format!("issuer: {}/\n      client_secret: env:REPORT_SECRET", voucher.issuer())).await;
    without_fault(&voucher);
    let checks = examined(&house).await;
    let issuer = of(&checks, "issuer");
    assert_eq!(issuer.text, format!("expected {0}/, received {0}", voucher.issuer()));
    assert!(issuer.state == CheckState::Bad && issuer.advice.as_ref().unwrap().contains("slash"), "{issuer:?}");

    let house = voucher.house("oidc", "client_secret: env:REPORT_SECRET").await;
    voucher.tells("Mon, 23 Nov 2026 02:15:00 GMT");
    assert_eq!(
        (of(&examined(&house).await, "clock").state, of(&examined(&house).await, "clock").text.as_str()),
        (CheckState::Bad, "100 s apart")
    );
    voucher.tells(NOW);
    for (status, answer, state) in [
        (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }), CheckState::Bad),
        (StatusCode::BAD_REQUEST, json!({ "error": "invalid_request" }), CheckState::Warning),
        (StatusCode::BAD_GATEWAY, json!({}), CheckState::Bad),
        (StatusCode::OK, json!({ "access_token": "a", "token_type": "Bearer" }), CheckState::Bad),
    ] {
        voucher.fail("/token", status, &answer);
        assert_eq!(of(&examined(&house).await, "client credentials").state, state, "{answer}");
    }
    without_fault(&voucher);
    voucher.answer("/jwks", &json!({ "keys": [{ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" }] }));
    assert_eq!(of(&examined(&house).await, "keys").state, CheckState::Bad);
    voucher.publish_key();
    voucher.describe(&json!({ "scopes_supported": ["openid"], "code_challenge_methods_supported": null,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"], "claims_supported": ["sub"] }));
    let checks = examined(&house).await;
    for (name, state) in [
        ("scopes", CheckState::Warning),
        ("PKCE", CheckState::Warning),
        ("refresh tokens", CheckState::Warning),
        ("groups", CheckState::Warning),
        ("back-channel logout", CheckState::Warning),
        ("client credentials", CheckState::Bad),
    ] {
        assert_eq!(of(&checks, name).state, state, "{name}");
        assert!(of(&checks, name).advice.is_some(), "{name}");
    }
    assert!(of(&checks, "endpoints").text.contains("no userinfo, end_session, revocation"));
    voucher.describe(&json!({ "code_challenge_methods_supported": ["plain"] }));
    let discovery = examined(&house).await.into_iter().find(|check| check.name == "discovery").unwrap();
    assert!(discovery.state == CheckState::Bad && discovery.text.contains("S256"), "{discovery:?}");
    voucher.down("/.well-known/openid-configuration");
    assert_eq!(of(&examined(&house).await, "discovery").state, CheckState::Bad);
}

#[tokio::test]
async fn github_has_an_api_instead_of_a_document() {
    let voucher = Voucher::new().await;
    voucher.tells(NOW);
    voucher.answer("/api/v3/meta", &json!({}));
    voucher.answer("/login/oauth/access_token", &json!({ "error": "bad_verification_code" }));
    let house = voucher.house("github", "client_secret: env:REPORT_SECRET").await;
    let checks = examined(&house).await;
    assert!(checks.iter().all(|check| check.state == CheckState::Good), "{checks:#?}");
    assert!(of(&checks, "groups").text.contains("anybody with a GitHub account"));
    assert!(checks.iter().all(|check| !check.name.contains("logout")));
    voucher.answer("/login/oauth/access_token", &json!({ "error": "incorrect_client_credentials" }));
    assert_eq!(of(&examined(&house).await, "client credentials").state, CheckState::Bad);
    voucher.down("/api/v3/meta");
    assert_eq!(of(&examined(&house).await, "api").state, CheckState::Bad);
}
