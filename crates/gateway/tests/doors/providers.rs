//! Sign-ins at providers, up to the person who arrives: what each kind does its own way, and what goes wrong.

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use portcullis_base::Clock;
use portcullis_gateway::identity::{Begin, Expect, Fresh, ProviderError, RevokeError, Trouble};
use portcullis_oauth::{jwks::PublicKey, jwt::Unverified};
use ring::rsa::PublicKeyComponents;
use ring::signature::RsaKeyPair;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::json;
use url::Url;

use crate::{
    house::{CHALLENGE, House},
    vouching::{NONCE, STATE, Voucher, callback, expect, provider, verifier},
};

const SECRET: &str = "client_secret: env:REPORT_SECRET";

async fn begun(house: &House, fresh: Option<&Fresh>) -> Result<Url, ProviderError> {
    let begin = Begin { state: STATE, nonce: NONCE, challenge: CHALLENGE, login_hint: Some("ada@example.com"), fresh };
    provider(house).begin(&begin).await.map(|url| Url::parse(&url).unwrap())
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

async fn trouble(house: &House, query: &str) -> ProviderError {
    provider(house).finish(query, &expect(&verifier())).await.unwrap_err()
}

/// spec: AS-147, T-17
#[tokio::test]
async fn a_browser_is_sent_with_everything_that_binds_the_answer_to_it() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "scopes: [openid, email, offline_access]").await;
    let url = begun(&house, None).await.unwrap();
    assert!(url.as_str().starts_with(&voucher.url("/authorize?")));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "portcullis"),
        ("redirect_uri", "http://127.0.0.1:7878/login/company/callback"),
        ("scope", "openid email offline_access"),
        ("state", STATE),
        ("nonce", NONCE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("login_hint", "ada@example.com"),
        ("prompt", "consent"),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(parameter(&url, "max_age"), None);
    let fresh = Fresh { max_age: Duration::from_mins(15), acr: vec!["mfa".into(), "hwk".into()] };
    let url = begun(&house, Some(&fresh)).await.unwrap();
    assert_eq!(parameter(&url, "max_age").as_deref(), Some("900"));
    assert_eq!(parameter(&url, "acr_values").as_deref(), Some("mfa hwk"));
}

#[tokio::test]
async fn a_provider_is_not_asked_for_refresh_tokens_that_it_does_not_know() {
    let voucher = Voucher::new().await;
    voucher.describe(&json!({ "scopes_supported": ["openid", "email"] }));
    let url = begun(&voucher.house("oidc", "scopes: [openid, team, offline_access]").await, None).await.unwrap();
    assert_eq!(parameter(&url, "scope").as_deref(), Some("openid team"));
    assert_eq!(parameter(&url, "prompt"), None);
}

#[tokio::test]
async fn kinds_ask_for_refresh_tokens_and_fresh_sign_ins_their_own_way() {
    let voucher = Voucher::new().await;
    let more = format!("{SECRET}\n      hosted_domains: [example.com]");
    let google = begun(&voucher.house("google", &more).await, None).await.unwrap();
    assert_eq!(parameter(&google, "access_type").as_deref(), Some("offline"));
    assert_eq!(parameter(&google, "prompt").as_deref(), Some("consent"));
    assert_eq!(parameter(&google, "hd").as_deref(), Some("example.com"));
    let fresh = Fresh { max_age: Duration::from_mins(5), acr: Vec::new() };
    let okta = begun(&voucher.house("okta", "").await, Some(&fresh)).await.unwrap();
    assert_eq!((parameter(&okta, "prompt"), parameter(&okta, "max_age").as_deref()), (None, Some("300")));
    let entra = begun(&voucher.house("entra", "").await, Some(&fresh)).await.unwrap();
    assert_eq!(parameter(&entra, "prompt").as_deref(), Some("login"));
    let github = begun(&voucher.house("github", SECRET).await, Some(&fresh)).await.unwrap_err();
    assert_eq!(github.trouble, Trouble::NotAllowed, "GitHub cannot prove that somebody just signed in");
}

/// spec: AS-143
#[tokio::test]
async fn who_the_provider_vouches_for_arrives() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", SECRET).await;
    voucher.vouch(
        &house,
        &json!({ "sid": "s-1", "acr": "mfa", "amr": ["pwd", "otp"] }),
        &json!({ "refresh_token": "r-1" }),
    );
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(
        (arrived.issuer.as_str(), arrived.profile.subject.as_str()),
        (voucher.issuer().as_str(), "248289761001")
    );
    assert_eq!(arrived.profile.email.as_deref(), Some("ada@example.com"));
    assert_eq!(arrived.groups, Some(vec!["engineers".to_owned()]));
    assert_eq!(arrived.external_id.as_deref(), Some("248289761001"));
    assert_eq!(arrived.refresh.as_ref().unwrap().reveal(), "r-1");
    assert_eq!((arrived.sid.as_deref(), arrived.acr.as_deref()), (Some("s-1"), Some("mfa")));
    assert_eq!(house.clock.now().since(arrived.authenticated_at.unwrap()), Duration::from_secs(10));
    let asked = voucher.asked("/token").remove(0);
    assert_eq!(asked.authorization, format!("Basic {}", STANDARD.encode("portcullis:s3cret-of-the-report")));
    assert_eq!(asked.form("code").as_deref(), Some("c0de"));
    assert_eq!(asked.form("code_verifier").as_deref(), Some(verifier().reveal()));
    assert_eq!(asked.form("redirect_uri").as_deref(), Some("http://127.0.0.1:7878/login/company/callback"));
    assert_eq!(voucher.times("/userinfo"), 0, "nothing was missing");
    let status = provider(&house).status();
    assert_eq!((status.signed_in_at, status.last_problem), (Some(house.clock.now()), None));

    voucher.describe(&json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }));
    let house = voucher.house("oidc", SECRET).await;
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    let asked = voucher.asked("/token").remove(0);
    assert_eq!(
        (asked.authorization.as_str(), asked.form("client_secret").as_deref()),
        ("", Some("s3cret-of-the-report"))
    );
}

/// spec: T-17, AS-137
#[tokio::test]
async fn an_answer_of_somebody_else_sends_the_code_nowhere() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    voucher.vouch(&house, &json!({}), &json!({}));
    let foreign = format!("{}&iss=https%3A%2F%2Fevil.example", callback());
    assert_eq!(trouble(&house, &foreign).await.trouble, Trouble::Untrue);
    let error = trouble(&house, "error=access_denied&state=x&iss=https%3A%2F%2Fevil.example").await;
    assert_eq!(error.trouble, Trouble::Untrue, "an error of somebody else is no answer either");
    voucher.describe(&json!({ "authorization_response_iss_parameter_supported": true }));
    let strict = voucher.house("oidc", "").await;
    assert_eq!(trouble(&strict, &callback()).await.trouble, Trouble::Untrue, "advertised and missing");
    assert_eq!(voucher.times("/token"), 0);
    let own = format!(
        "{}&iss={}",
        callback(),
        url::form_urlencoded::byte_serialize(voucher.issuer().as_bytes()).collect::<String>()
    );
    provider(&strict).finish(&own, &expect(&verifier())).await.unwrap();
}

#[tokio::test]
async fn an_id_token_for_another_request_or_reader_is_not_believed() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    let now = house.clock.now().as_secs();
    for wrong in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "somebody-else" }),
        json!({ "iss": "https://evil.example" }),
        json!({ "exp": now - 61 }),
        json!({ "exp": null }),
        json!({ "iat": now + 61 }),
        json!({ "sub": null }),
    ] {
        voucher.vouch(&house, &wrong, &json!({}));
        assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Untrue, "{wrong}");
    }
    voucher.vouch(&house, &json!({}), &json!({ "id_token": null }));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Misconfigured);
    let fresh = Fresh { max_age: Duration::from_mins(5), acr: vec!["mfa".into()] };
    let verifier = verifier();
    let strict = Expect { fresh: Some(&fresh), ..expect(&verifier) };
    for (claims, good) in [
        (json!({ "acr": "mfa" }), true),
        (json!({ "acr": "pwd" }), false),
        (json!({ "acr": "mfa", "auth_time": now - 400 }), false),
        (json!({ "acr": "mfa", "auth_time": null }), false),
    ] {
        voucher.vouch(&house, &claims, &json!({}));
        match provider(&house).finish(&callback(), &strict).await {
            Ok(_) => assert!(good, "{claims}"),
            Err(error) => assert!(!good && matches!(error.trouble, Trouble::Refused(_)), "{claims}: {error:?}"),
        }
    }
}

/// spec: AS-146, T-19
#[tokio::test]
async fn the_words_of_a_provider_stay_in_the_log() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    for (code, trouble_of_it) in [
        ("access_denied", Trouble::Refused("access_denied".into())),
        ("server_error", Trouble::Unavailable),
        ("temporarily_unavailable", Trouble::Unavailable),
        ("invalid_scope", Trouble::Misconfigured),
        ("%3Cb%3E", Trouble::Misconfigured),
    ] {
        let error = trouble(&house, &format!("error={code}&error_description=INNARDS%0A%E2%80%AE&state={STATE}")).await;
        assert_eq!(error.trouble, trouble_of_it, "{code}");
        assert!(!error.to_string().contains("INNARDS") && !error.to_string().contains('<'), "{error}");
        assert!(error.detail.contains("INNARDS") && !error.detail.contains(['\n', '\u{202e}']), "{}", error.detail);
    }
    for (status, body, trouble_of_it) in [
        (StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant" }), Trouble::Untrue),
        (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }), Trouble::Misconfigured),
        (StatusCode::BAD_GATEWAY, json!("bad gateway"), Trouble::Unavailable),
        (StatusCode::OK, json!({ "token_type": "mac" }), Trouble::Unavailable),
    ] {
        voucher.fail("/token", status, &body);
        assert_eq!(trouble(&house, &callback()).await.trouble, trouble_of_it, "{body}");
    }
    assert!(provider(&house).status().last_problem.unwrap().1.contains("/token"));
}

/// spec: T-17
#[tokio::test]
async fn a_document_of_another_issuer_is_named_with_both_and_followed_when_mended() {
    let voucher = Voucher::new().await;
    voucher.describe(&json!({ "issuer": format!("{}/", voucher.issuer()) }));
    let house = voucher.house("oidc", "").await;
    let error = begun(&house, None).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Misconfigured);
    let told = provider(&house).status().last_problem.unwrap().1;
    assert!(
        told.contains(&format!("\"{}/\"", voucher.issuer())) && told.contains(&format!("\"{}\"", voucher.issuer())),
        "{told}"
    );
    voucher.describe(&json!({}));
    house.clock.advance(Duration::from_secs(5));
    begun(&house, None).await.unwrap();
    assert_eq!(provider(&house).status().discovered_at, Some(house.clock.now()));
}

#[tokio::test]
async fn a_provider_that_is_down_is_not_asked_by_everybody_and_its_last_word_stands() {
    let voucher = Voucher::new().await;
    voucher.down("/.well-known/openid-configuration");
    let house = voucher.house("oidc", "").await;
    for _ in 0..10 {
        assert_eq!(begun(&house, None).await.unwrap_err().trouble, Trouble::Unavailable);
    }
    assert_eq!(voucher.times("/.well-known"), 1);
    voucher.describe(&json!({}));
    house.clock.advance(Duration::from_secs(5));
    begun(&house, None).await.unwrap();
    begun(&house, None).await.unwrap();
    assert_eq!(voucher.times("/.well-known"), 1, "kept");
    voucher.down("/.well-known/openid-configuration");
    house.clock.advance(Duration::from_hours(1));
    begun(&house, None).await.unwrap();
    begun(&house, None).await.unwrap();
    assert_eq!(voucher.times("/.well-known"), 1, "asked again after an hour");
    assert!(provider(&house).status().last_problem.unwrap().1.contains("503"));
}

/// spec: T-38
#[tokio::test]
async fn keys_are_followed_and_a_flood_of_unknown_ones_fetches_once() {
    let mut voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    voucher.vouch(&house, &json!({}), &json!({}));
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(voucher.times("/jwks"), 1);
    voucher.rotate();
    house.clock.advance(Duration::from_mins(1));
    voucher.vouch(&house, &json!({}), &json!({}));
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(voucher.times("/jwks"), 1, "the new key was fetched without a restart");

    house.clock.advance(Duration::from_mins(1));
    let stranger = Voucher::new().await;
    for _ in 0..50 {
        let token = stranger.sign("logout+jwt", &json!({ "iss": voucher.issuer() }));
        provider(&house).logout_token(&token).await.unwrap_err();
    }
    assert_eq!(voucher.times("/jwks"), 1, "one fetch for all of them");

    voucher.down("/jwks");
    house.clock.advance(Duration::from_hours(2));
    voucher.vouch(&house, &json!({}), &json!({}));
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(voucher.times("/jwks"), 1, "the last keys serve while the provider is down");
    house.clock.advance(Duration::from_hours(24));
    voucher.vouch(&house, &json!({}), &json!({}));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Unavailable, "but not for ever");
}

/// spec: T-38
#[tokio::test]
async fn keys_without_a_name_are_followed_as_seldom() {
    let mut voucher = Voucher::without_key_names().await;
    let house = voucher.house("oidc", "").await;
    voucher.vouch(&house, &json!({}), &json!({}));
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    voucher.asked("/jwks");
    voucher.rotate();
    voucher.vouch(&house, &json!({}), &json!({}));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Untrue);
    assert_eq!(voucher.times("/jwks"), 0, "not so soon");
    house.clock.advance(Duration::from_mins(1));
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(voucher.times("/jwks"), 1);
}

/// spec: T-38
#[tokio::test]
async fn many_who_meet_a_new_key_at_once_are_one_fetch() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    let url = voucher.url("/jwks");
    let all =
        (0..20).map(|_| house.app.providers.keys().keys_for(&url, Some("new"), &house.app.outbound, &*house.clock));
    for keys in futures_util::future::join_all(all).await {
        assert!(!keys.unwrap().is_empty());
    }
    assert_eq!(voucher.times("/jwks"), 1);
}

/// spec: T-52
#[tokio::test]
async fn what_the_id_token_lacks_is_asked_for_and_must_be_about_the_same_person() {
    let voucher = Voucher::new().await;
    voucher.describe(&json!({ "userinfo_endpoint": voucher.url("/userinfo") }));
    let house = voucher.house("oidc", "").await;
    voucher.vouch(&house, &json!({ "groups": null }), &json!({}));
    voucher.answer("/userinfo", &json!({ "sub": "248289761001", "groups": ["from-userinfo"] }));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.groups, Some(vec!["from-userinfo".to_owned()]));
    assert_eq!(voucher.asked("/userinfo")[0].authorization, "Bearer access-1");

    voucher.answer("/userinfo", &json!({ "sub": "somebody-else", "groups": ["admins"] }));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Untrue);
    voucher.down("/userinfo");
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Unavailable, "not learned is not none");
    voucher.answer("/userinfo", &json!({ "sub": "248289761001" }));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.groups, Some(Vec::new()));
    assert_eq!(provider(&house).status().missing_claims, ["groups"]);
}

/// spec: T-52
#[tokio::test]
async fn an_address_and_the_word_that_it_is_verified_come_from_one_place() {
    let voucher = Voucher::new().await;
    voucher.describe(&json!({ "userinfo_endpoint": voucher.url("/userinfo") }));
    let house = voucher.house("oidc", "").await;
    voucher.vouch(&house, &json!({ "email": "root@example.com", "email_verified": null }), &json!({}));
    voucher.answer("/userinfo", &json!({ "sub": "248289761001", "email": "ada@example.com", "email_verified": true }));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.profile.email.as_deref(), Some("ada@example.com"));
    voucher.answer("/userinfo", &json!({ "sub": "248289761001", "email_verified": true }));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.profile.email, None);
}

/// spec: T-52, AS-147
#[tokio::test]
async fn domains_lead_to_a_provider_and_bound_its_addresses() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "domains: [example.com, example.org]").await;
    for (email, leads) in
        [("ada@example.com", true), (" Ada@EXAMPLE.org ", true), ("ada@evil.example", false), ("example.com", false)]
    {
        assert_eq!(house.app.providers.for_email(email).is_some(), leads, "{email}");
    }
    voucher.vouch(&house, &json!({ "email": "ada@evil.example" }), &json!({}));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::NotAllowed);
    voucher.vouch(&house, &json!({ "email": "ada@Example.ORG" }), &json!({}));
    provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert!(house.app.providers.by_issuer(&voucher.issuer()).is_some());
    assert!(house.app.providers.by_issuer("https://evil.example").is_none());
}

#[tokio::test]
async fn keycloak_groups_are_paths_and_roles_are_inside() {
    let voucher = Voucher::new().await;
    let house = voucher.house("keycloak", "").await;
    voucher.vouch(&house, &json!({ "groups": ["/engineers", "/sales/emea"] }), &json!({}));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.groups, Some(vec!["engineers".to_owned(), "sales/emea".to_owned()]));
    let house = voucher.house("keycloak", "claims: { groups: realm_access.roles }").await;
    voucher.vouch(&house, &json!({ "realm_access": { "roles": ["mcp"] } }), &json!({}));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.groups, Some(vec!["mcp".to_owned()]));
}

/// spec: T-52, AS-143
#[tokio::test]
async fn entra_admits_named_tenants_and_its_overage_is_every_page_of_graph_or_no_sign_in() {
    const OURS: &str = "8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b";
    const THEIRS: &str = "00000000-0c1d-4e5f-9a7b-1c2d3e4f5a6b";
    let voucher = Voucher::new().await;
    let more = format!(
        "issuer: {}\n      tenant: organizations\n      tenants: [{OURS}]\n      api_url: {}",
        voucher.url("/organizations/v2.0"),
        voucher.url("/graph")
    );
    let mut document = json!({ "issuer": voucher.url("/{tenantid}/v2.0") });
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        let path = match name {
            "authorization_endpoint" => "/authorize",
            "token_endpoint" => "/token",
            _ => "/jwks",
        };
        document[name] = voucher.url(path).into();
    }
    voucher.answer("/organizations/v2.0/.well-known/openid-configuration", &document);
    let house = voucher.house("entra", &more).await;
    let of = |tenant: &str| {
        json!({ "iss": voucher.url(&format!("/{tenant}/v2.0")), "tid": tenant, "oid": "oid-1", "groups": null,
                "_claim_names": { "groups": "src1" },
                "_claim_sources": { "src1": { "endpoint": "https://evil.example/" } } })
    };
    let first = "/graph/v1.0/me/transitiveMemberOf";
    let second = voucher.url("/graph/v1.0/me/transitiveMemberOf?$skiptoken=2");
    voucher.answer(
        first,
        &json!({ "value": [{ "@odata.type": "#microsoft.graph.group", "id": "g-1" },
                           { "@odata.type": "#microsoft.graph.directoryRole", "id": "r-1" }],
                 "@odata.nextLink": second }),
    );
    voucher.answer(
        "/graph/v1.0/me/transitiveMemberOf?$skiptoken=2",
        &json!({ "value": [{ "@odata.type": "#microsoft.graph.group", "id": "g-2" }] }),
    );
    voucher.vouch(&house, &of(THEIRS), &json!({}));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Untrue, "another tenant");
    voucher.vouch(&house, &of(OURS), &json!({}));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!(arrived.groups, Some(vec!["g-1".to_owned(), "g-2".to_owned()]));
    assert_eq!((arrived.external_id.as_deref(), arrived.profile.tenant.as_deref()), (Some("oid-1"), Some(OURS)));
    assert_eq!(arrived.issuer, voucher.url(&format!("/{OURS}/v2.0")));
    assert!(house.app.providers.by_issuer(&arrived.issuer).is_some());
    assert!(voucher.asked("/graph").iter().all(|asked| asked.authorization == "Bearer access-1"));

    voucher.answer(first, &json!({ "value": [], "@odata.nextLink": "https://evil.example/v1.0/me" }));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Misconfigured, "the token goes to Graph only");
    voucher.answer(first, &json!({ "value": [], "@odata.nextLink": voucher.url("/graph/v1.0/me/transitiveMemberOf") }));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Unavailable, "pages without an end");
    voucher.fail(first, StatusCode::FORBIDDEN, &json!({ "error": { "code": "Authorization_RequestDenied" } }));
    let error = trouble(&house, &callback()).await;
    assert!(error.trouble == Trouble::Misconfigured && error.detail.contains("User.Read"), "{error:?}");
    voucher.down(first);
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Unavailable);
    let other = voucher.house("oidc", "").await;
    voucher.vouch(&other, &json!({ "groups": null, "hasgroups": true }), &json!({}));
    assert_eq!(trouble(&other, &callback()).await.trouble, Trouble::Misconfigured, "nobody else has a Graph");
}

/// spec: T-52, AS-143
#[tokio::test]
async fn google_checks_the_hosted_domain_and_reads_groups_from_the_directory() {
    let voucher = Voucher::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("account.json");
    let key = include_str!("directory.key");
    let account = json!({ "type": "service_account", "client_email": "reader@project.iam.example",
        "private_key": key, "private_key_id": "k1", "token_uri": voucher.url("/google/token") });
    std::fs::write(&file, account.to_string()).unwrap();
    let more = format!(
        "{SECRET}\n      hosted_domains: [example.com]\n      api_url: {}\n      directory: {{ service_account: \"file:{}\", \
         admin: admin@example.com }}",
        voucher.url("/admin-sdk"),
        file.display()
    );
    let house = voucher.house("google", &more).await;
    voucher.answer("/google/token", &json!({ "access_token": "directory-token", "expires_in": 3600 }));
    let list = "/admin-sdk/admin/directory/v1/groups";
    let page = format!("{list}?userKey=248289761001&maxResults=200");
    voucher.answer(&page, &json!({ "groups": [{ "email": "eng@example.com" }], "nextPageToken": "two" }));
    voucher.answer(&format!("{page}&pageToken=two"), &json!({ "groups": [{ "email": "all@example.com" }] }));
    for foreign in [json!({ "hd": null }), json!({ "hd": "evil.example" })] {
        voucher.vouch(&house, &foreign, &json!({}));
        assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::NotAllowed, "{foreign}");
    }
    voucher.describe(&json!({ "userinfo_endpoint": voucher.url("/userinfo") }));
    let told = voucher.house("google", &more).await;
    voucher.vouch(&told, &json!({}), &json!({}));
    voucher.down("/userinfo");
    assert_eq!(trouble(&told, &callback()).await.trouble, Trouble::Unavailable, "not asked is not foreign");
    voucher.answer("/userinfo", &json!({ "sub": "248289761001", "hd": "example.com" }));
    provider(&told).finish(&callback(), &expect(&verifier())).await.unwrap();
    voucher.asked("/google/token");
    voucher.vouch(&house, &json!({ "hd": "example.com", "groups": ["made-up"] }), &json!({}));
    for _ in 0..2 {
        let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
        assert_eq!(arrived.groups, Some(vec!["eng@example.com".to_owned(), "all@example.com".to_owned()]));
    }
    let asked = voucher.asked("/google/token");
    assert_eq!(asked.len(), 1, "the token is kept");
    let assertion = asked[0].form("assertion").unwrap();
    assert!(signed_with(key, &assertion));
    let claims = crate::house::claims(&assertion);
    assert_eq!(
        (claims["iss"].as_str(), claims["sub"].as_str()),
        (Some("reader@project.iam.example"), Some("admin@example.com"))
    );
    assert_eq!(claims["aud"], voucher.url("/google/token"));
    assert!(voucher.asked(list).iter().all(|asked| asked.authorization == "Bearer directory-token"));
    voucher.down(&page);
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Unavailable);
    voucher.fail(&page, StatusCode::UNAUTHORIZED, &json!({}));
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Misconfigured);
    voucher.answer(&page, &json!({}));
    let arrived = provider(&house).finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!((arrived.groups, voucher.times("/google/token")), (Some(Vec::new()), 1), "a refused token is not kept");
}

/// Whether the key file's key made the assertion.
fn signed_with(pem: &str, assertion: &str) -> bool {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
    let jwk = json!({ "kty": "RSA", "n": part(&public.n), "e": part(&public.e) });
    let key = PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap();
    Unverified::split(assertion).unwrap().verify(&key).is_ok()
}

#[tokio::test]
async fn a_key_file_that_is_none_stops_sign_ins_of_that_provider_only() {
    let voucher = Voucher::new().await;
    let more = format!("{SECRET}\n      directory: {{ service_account: env:REPORT_SECRET, admin: admin@example.com }}");
    let house = voucher.house("google", &more).await;
    voucher.vouch(&house, &json!({}), &json!({}));
    let error = trouble(&house, &callback()).await;
    assert!(error.trouble == Trouble::Misconfigured && error.detail.contains("service_account"), "{error:?}");
    assert!(!error.detail.contains("s3cret"));
}

fn github_world(voucher: &Voucher) {
    voucher.answer(
        "/login/oauth/access_token",
        &json!({ "access_token": "gho_1", "token_type": "bearer", "scope": "read:org" }),
    );
    voucher.answer(
        "/api/v3/user",
        &json!({ "id": 583_231, "login": "octocat", "name": "Mona", "email": "public@evil.example" }),
    );
    voucher.answer(
        "/api/v3/user/emails",
        &json!([{ "email": "old@example.com", "primary": false, "verified": true },
                { "email": "mona@example.com", "primary": true, "verified": true }]),
    );
    voucher.answer("/api/v3/user/orgs", &json!([]));
    voucher.answer("/api/v3/user/orgs?per_page=100&page=1", &json!(vec![json!({ "login": "Acme" }); 100]));
    voucher.answer("/api/v3/user/orgs?per_page=100&page=2", &json!([{ "login": "last" }]));
    voucher.answer("/api/v3/user/teams", &json!([{ "slug": "platform", "organization": { "login": "Acme" } }]));
}

/// spec: T-52, AS-143, AS-86
#[tokio::test]
async fn github_is_asked_who_it_is_and_asked_again_with_the_token_it_gave() {
    let voucher = Voucher::new().await;
    github_world(&voucher);
    let house = voucher.house("github", &format!("{SECRET}\n      organizations: [acme]")).await;
    let github = provider(&house);
    let arrived = github.finish(&callback(), &expect(&verifier())).await.unwrap();
    assert_eq!((arrived.issuer.as_str(), arrived.profile.subject.as_str()), (voucher.issuer().as_str(), "583231"));
    assert_eq!(arrived.profile.email.as_deref(), Some("mona@example.com"));
    let groups = arrived.groups.unwrap();
    assert!(groups.contains(&"Acme/platform".to_owned()) && groups.contains(&"last".to_owned()), "{groups:?}");
    assert_eq!((arrived.authenticated_at, arrived.profile.names.as_slice()), (None, ["octocat".to_owned()].as_slice()));
    let asked = voucher.asked("/login/oauth/access_token").remove(0);
    assert_eq!(asked.form("client_secret").as_deref(), Some("s3cret-of-the-report"));
    assert_eq!(asked.form("code_verifier").as_deref(), Some(verifier().reveal()));

    let kept = arrived.refresh.unwrap();
    assert!(github.again(&kept, "583231").await.unwrap().refresh.is_none());
    assert!(voucher.asked("/api/v3/user").iter().all(|asked| asked.authorization == "Bearer gho_1"));
    assert!(ended(&house, &kept, "1").await, "somebody else's token");
    voucher.fail("/api/v3/user/teams", StatusCode::FORBIDDEN, &json!({ "message": "rate limit" }));
    assert!(!ended(&house, &kept, "583231").await);
    github_world(&voucher);
    for page in [1, 2] {
        voucher.answer(&format!("/api/v3/user/orgs?per_page=100&page={page}"), &json!([{ "login": "elsewhere" }]));
    }
    voucher.answer("/api/v3/user/teams", &json!([]));
    assert!(ended(&house, &kept, "583231").await, "not a member any more");
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::NotAllowed);
    github_world(&voucher);
    voucher.fail("/api/v3/user", StatusCode::UNAUTHORIZED, &json!({ "message": "Bad credentials" }));
    assert!(ended(&house, &kept, "583231").await, "the person took it back");

    voucher.fail("/api/v3/applications/portcullis/grant", StatusCode::NO_CONTENT, &json!({}));
    github.revoke(&kept).await.unwrap();
    let asked = voucher.asked("/api/v3/applications").remove(0);
    assert!(
        asked.line.starts_with("DELETE ") && asked.body.contains("gho_1") && asked.authorization.starts_with("Basic ")
    );
    voucher.answer(
        "/login/oauth/access_token",
        &json!({ "error": "bad_verification_code", "error_description": "spent" }),
    );
    assert_eq!(trouble(&house, &callback()).await.trouble, Trouble::Untrue);
}

async fn ended(house: &House, kept: &portcullis_base::Secret, subject: &str) -> bool {
    use portcullis_gateway::identity::AgainError;
    matches!(provider(house).again(kept, subject).await, Err(AgainError::Ended(_)))
}

/// spec: AS-86, AS-145
#[tokio::test]
async fn asked_again_a_provider_vouches_or_ends_or_says_nothing() {
    use portcullis_gateway::identity::AgainError;
    let voucher = Voucher::new().await;
    voucher.describe(&json!({ "userinfo_endpoint": voucher.url("/userinfo") }));
    let house = voucher.house("oidc", "").await;
    let kept = portcullis_base::Secret::new("r-1".into());
    let again = || async { provider(&house).again(&kept, "248289761001").await };
    voucher.vouch(&house, &json!({ "nonce": null, "groups": ["fewer"] }), &json!({ "refresh_token": "r-2" }));
    let told = again().await.unwrap();
    assert_eq!((told.groups, told.refresh.unwrap().reveal()), (Some(vec!["fewer".to_owned()]), "r-2"));
    assert_eq!(voucher.asked("/token")[0].form("refresh_token").as_deref(), Some("r-1"));
    // Without an ID token userinfo says it.
    voucher.vouch(&house, &json!({}), &json!({ "id_token": null, "refresh_token": "r-3" }));
    voucher.answer("/userinfo", &json!({ "sub": "248289761001", "groups": ["told"] }));
    assert_eq!(again().await.unwrap().groups, Some(vec!["told".to_owned()]));
    voucher.answer("/userinfo", &json!({ "sub": "somebody-else", "groups": ["told"] }));
    assert!(matches!(again().await, Err(AgainError::Ended(_))));
    voucher.down("/userinfo");
    match again().await {
        Err(AgainError::Unavailable { rotated, .. }) => {
            assert_eq!(rotated.unwrap().reveal(), "r-3", "the successor is kept");
        }
        other => panic!("{other:?}"),
    }
    voucher.vouch(&house, &json!({ "sub": "somebody-else" }), &json!({}));
    assert!(ended(&house, &kept, "248289761001").await);
    for (status, body, over) in [
        (StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant", "error_description": "disabled" }), true),
        (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }), false),
        (StatusCode::BAD_REQUEST, json!({ "error": "temporarily_unavailable" }), false),
        (StatusCode::BAD_GATEWAY, json!({ "error": "invalid_grant" }), false),
        (StatusCode::TOO_MANY_REQUESTS, json!("slow down"), false),
        (StatusCode::NOT_FOUND, json!("nothing here"), false),
    ] {
        voucher.fail("/token", status, &body);
        assert_eq!(ended(&house, &kept, "248289761001").await, over, "{status} {body}");
    }
}

#[tokio::test]
async fn signing_out_reaches_the_provider_and_its_own_word_is_checked() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    assert_eq!(provider(&house).logout_url(None).await, None);
    assert_eq!(provider(&house).revoke(&verifier()).await, Err(RevokeError::NotOffered));
    voucher.describe(
        &json!({ "end_session_endpoint": voucher.url("/end?tenant=1"), "revocation_endpoint": voucher.url("/revoke") }),
    );
    let house = voucher.house("oidc", "").await;
    let hint = portcullis_base::Secret::new("the.id.token".into());
    let url = Url::parse(&provider(&house).logout_url(Some(&hint)).await.unwrap()).unwrap();
    for (name, value) in [
        ("tenant", "1"),
        ("id_token_hint", "the.id.token"),
        ("client_id", "portcullis"),
        ("post_logout_redirect_uri", "http://127.0.0.1:7878/logout"),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    voucher.answer("/revoke", &json!({}));
    provider(&house).revoke(&portcullis_base::Secret::new("r-1".into())).await.unwrap();
    assert_eq!(voucher.asked("/revoke")[0].form("token").as_deref(), Some("r-1"));
    voucher.down("/revoke");
    assert!(matches!(provider(&house).revoke(&verifier()).await, Err(RevokeError::Failed(_))));

    let now = house.clock.now().as_secs();
    let claims = json!({ "iss": voucher.issuer(), "aud": "portcullis", "iat": now, "exp": now + 120, "jti": "j-1", "sid": "s-1",
        "sub": "248289761001", "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
    let told = provider(&house).logout_token(&voucher.sign("logout+jwt", &claims)).await.unwrap();
    assert_eq!((told.sid.as_deref(), told.subject.as_deref()), (Some("s-1"), Some("248289761001")));
    let mut passed_off = claims.clone();
    passed_off["nonce"] = NONCE.into();
    assert!(provider(&house).logout_token(&voucher.sign("logout+jwt", &passed_off)).await.is_err());
    let stranger = Voucher::new().await;
    assert!(provider(&house).logout_token(&stranger.sign("logout+jwt", &claims)).await.is_err());
}
