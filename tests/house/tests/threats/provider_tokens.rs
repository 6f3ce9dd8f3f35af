//! ID tokens that no honest provider makes, signed where possible with the provider's own key.

use std::time::Duration;

use anyhow::Result;
use portcullis_house::provider::Provider;
use serde_json::{Value, json};

use crate::company::{Company, is_signed_in, refuses};

/// One sign-in while the provider's answers are like that; gives whether it succeeded.
async fn signs_in(company: &Company, provider: &Provider<'_>, fault: &Value) -> Result<bool> {
    provider.fault(fault.clone()).await?;
    let mut browser = company.browser()?;
    let page = browser.open("/login/company?return_to=/").await?;
    let end = browser.go_on(page, "alice").await?;
    let inside = is_signed_in(&mut browser).await?;
    assert!(inside || refuses(&end, 403) || refuses(&end, 502), "{fault}: {} {:?}", end.answer.status, end.leads_to());
    Ok(inside)
}

// spec: T-37, AS-142
#[tokio::test(flavor = "multi_thread")]
async fn t37_an_id_token_is_the_providers_own_or_nobodys() -> Result<()> {
    let Some(company) = Company::and_partner().await? else { return Ok(()) };
    let provider = company.provider();
    let jku = json!("https://evil.example/jwks");
    let forged = [
        ("alg none", json!({ "sign": "none" })),
        ("alg none, by another spelling", json!({ "sign": "none", "header": { "alg": "nOnE" } })),
        ("HMAC with the public key", json!({ "sign": "hs256" })),
        ("another provider's key under this one's name", json!({ "sign": "other" })),
        ("a broken signature", json!({ "sign": "broken" })),
        ("an unknown key", json!({ "header": { "kid": "unknown" } })),
        ("a path for a key", json!({ "header": { "kid": "../../dev/null" } })),
        ("an address for keys", json!({ "header": { "jku": jku } })),
        ("a certificate's address", json!({ "header": { "x5u": jku } })),
        ("a key in the header", json!({ "header": { "jwk": { "kty": "oct", "k": "AA" } } })),
        ("an extension we do not know", json!({ "header": { "crit": ["b64"], "b64": false } })),
        ("a logout token", json!({ "header": { "typ": "logout+jwt" } })),
        ("an access token", json!({ "header": { "typ": "at+jwt" } })),
        (
            "a logout event",
            json!({ "claims": { "events": { "http://schemas.openid.net/event/backchannel-logout": {} } } }),
        ),
        ("another client", json!({ "claims": { "aud": "somebody-else" } })),
        ("others beside us", json!({ "claims": { "aud": ["portcullis", "somebody-else"] } })),
        ("others beside us, said to be ours", json!({ "claims": { "aud": ["portcullis", "x"], "azp": "x" } })),
        ("issued to another", json!({ "claims": { "azp": "somebody-else" } })),
        ("no audience", json!({ "claims": { "aud": null } })),
        ("another issuer", json!({ "claims": { "iss": company.partner().issuer() } })),
        ("no issuer", json!({ "claims": { "iss": null } })),
        ("nobody", json!({ "claims": { "sub": null } })),
        ("an empty name", json!({ "claims": { "sub": "" } })),
        ("a number for a name", json!({ "claims": { "sub": 7 } })),
        ("a name without end", json!({ "claims": { "sub": "x".repeat(300) } })),
        ("another access token", json!({ "claims": { "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" } })),
        ("more than anybody has to say", json!({ "padding": 40_000 })),
    ];
    for (what, fault) in &forged {
        assert!(!signs_in(&company, &provider, fault).await?, "{what}");
    }
    assert_eq!(company.sign_ins().await?, 0);
    let reasons = company.house.events("signin.failed").await?;
    assert_eq!(reasons.len(), forged.len(), "{reasons:?}");
    // The same without any of it; also with our name as the authorized party, and with another algorithm.
    for honest in [json!({}), json!({ "claims": { "azp": "portcullis", "aud": ["portcullis"] } })] {
        assert!(signs_in(&company, &provider, &honest).await?, "{honest}");
    }
    company.advance(Duration::from_secs(61)).await?;
    provider.rotate(json!({ "alg": "ES256" })).await?;
    assert!(signs_in(&company, &provider, &json!({})).await?);
    company.house.stop().await
}

// spec: T-38, AS-142
#[tokio::test(flavor = "multi_thread")]
async fn t38_new_keys_are_followed_and_floods_are_not() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    assert!(signs_in(&company, &provider, &json!({})).await?);
    // Rotated with and without the old key beside the new one.
    for keep in [true, false] {
        company.advance(Duration::from_secs(61)).await?;
        provider.forget().await?;
        provider.rotate(json!({ "keep": keep })).await?;
        assert!(signs_in(&company, &provider, &json!({})).await?, "{keep}");
        assert_eq!(provider.seen("/jwks").await?, 1);
    }
    // Whoever knows our address can name keys as often as they like.
    company.advance(Duration::from_secs(61)).await?;
    provider.forget().await?;
    provider.fault(json!({})).await?;
    let claims = json!({ "aud": "portcullis", "sub": "company-alice", "iat": company.house.app.clock.now().as_secs(),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
    let mut refused = 0;
    for n in 0..200 {
        let token = provider.sign(json!({ "typ": "logout+jwt", "kid": format!("random-{n}") }), claims.clone()).await?;
        let answer =
            house.request("POST", "/login/company/back-channel").form(&[("logout_token", &token)]).send().await?;
        assert!([400, 429].contains(&answer.status), "{} {}", answer.status, answer.text());
        refused += 1;
    }
    for n in 0..10 {
        assert!(!signs_in(&company, &provider, &json!({ "header": { "kid": format!("other-{n}") } })).await?);
    }
    assert_eq!(refused, 200);
    assert!(provider.seen("/jwks").await? <= 1, "{} fetches", provider.seen("/jwks").await?);
    // In the midst of it, people get in.
    assert!(signs_in(&company, &provider, &json!({})).await?);

    // A set without end, or none: what is known goes on being used.
    for fault in
        [json!({ "jwks": { "huge": true } }), json!({ "jwks": { "status": 500 } }), json!({ "jwks": { "keys": [] } })]
    {
        company.advance(Duration::from_mins(11)).await?;
        assert!(signs_in(&company, &provider, &fault).await?, "{fault}");
    }
    company.house.stop().await
}

// spec: T-39, AS-142
#[tokio::test(flavor = "multi_thread")]
async fn t39_an_id_token_is_good_for_its_time_by_our_clock() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let provider = company.provider();
    // Seconds from now; the two clocks agree, and neither moves.
    let now = company.house.app.clock.now().as_secs();
    let at = |claim: &str, seconds: i64| json!({ "claims": { claim: now + seconds } });
    let table = [
        (at("exp", 1), true),
        (at("exp", -30), true),
        (at("exp", -61), false),
        (at("exp", -3600), false),
        (json!({ "claims": { "exp": null } }), false),
        (json!({ "claims": { "exp": "1900000000" } }), false),
        (at("iat", 30), true),
        (at("iat", 61), false),
        (at("iat", 3600), false),
        (json!({ "claims": { "iat": null } }), false),
        (at("nbf", 30), true),
        (at("nbf", 61), false),
        (at("nbf", -10), true),
    ];
    for (fault, good) in &table {
        assert_eq!(signs_in(&company, &provider, fault).await?, *good, "{fault}");
    }
    // The provider's clock runs two minutes ahead: refused, and the record says by how much.
    company.providers.advance(Duration::from_secs(120)).await?;
    assert!(!signs_in(&company, &provider, &json!({})).await?);
    let last = company.house.events("signin.failed").await?.pop().unwrap_or_default();
    assert!(last.to_string().contains("120 s"), "{last}");
    company.house.advance(Duration::from_secs(120)).await?;
    assert!(signs_in(&company, &provider, &json!({})).await?);
    company.house.stop().await
}
