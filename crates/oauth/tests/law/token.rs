//! The token endpoint, decision by decision.

use std::time::Duration;

use portcullis_base::{ClientId, Digest, Timestamp};
use portcullis_oauth::{
    client::GrantType,
    error::{TokenError, TokenErrorCode},
    grant::{Code, Grant, RefreshToken, Revoked, RevokedWhy},
    pkce::Challenge,
    token::{
        CODE_LIFETIME, RedeemFacts, Redeemed, Redemption, RefreshFacts, RefreshPolicy, RefreshRequest, Refreshed,
        TokenAnswer, TokenRequest, next_refresh_token, redeem, refresh,
    },
};
use serde_json::{Value, json};

use crate::world::{
    CALLBACK, NOW, PAYMENTS, VERIFIER, WIKI, code, form, grant, later, public_client, refresh_token, scopes,
};

fn redemption() -> Redemption {
    Redemption {
        client: ClientId::new("app"),
        may_refresh: true,
        code: "code".into(),
        verifier: Some(VERIFIER.into()),
        redirect_uri: Some(CALLBACK.into()),
        resource: Some(WIKI.into()),
    }
}

fn code_facts() -> RedeemFacts {
    RedeemFacts { code: code(), grant: grant(), person_active: true }
}

fn refused(decision: &Redeemed) -> TokenErrorCode {
    match decision {
        Redeemed::Refuse(error) => error.code,
        other => panic!("{other:?}"),
    }
}

// spec: AS-65, T-10, RFC7636#4.1, RFC7636#4.6
#[test]
fn only_the_right_verifier_redeems() {
    assert_eq!(redeem(&redemption(), Some(&code_facts()), NOW), Redeemed::Issue { with_refresh: true });
    let (short, long) = ("a".repeat(42), "a".repeat(129));
    let wrong = VERIFIER.replace('d', "e");
    let challenge = code().challenge.as_str().to_owned();
    for verifier in [None, Some(""), Some(wrong.as_str()), Some(challenge.as_str()), Some(&short), Some(&long)] {
        let request = Redemption { verifier: verifier.map(str::to_owned), ..redemption() };
        assert_eq!(refused(&redeem(&request, Some(&code_facts()), NOW)), TokenErrorCode::InvalidGrant, "{verifier:?}");
    }
}

// spec: RFC7636#4.1, T-10
#[test]
fn verifier_that_is_too_short_to_be_a_secret_never_redeems() {
    for (verifier, redeems) in [("a".repeat(42), false), ("a".repeat(43), true), ("a".repeat(128), true)]
        .into_iter()
        .chain([("a".repeat(129), false), (format!("{}+", "a".repeat(42)), false)])
    {
        let challenge = Challenge::parse(&Digest::of(verifier.as_bytes()).to_base64url()).unwrap();
        assert_eq!(challenge.is_met_by(&verifier), redeems, "{verifier}");
    }
}

// spec: AS-66, AS-68, T-8
#[test]
fn every_binding_of_a_code_is_checked() {
    let facts = code_facts();
    let other_client = Redemption { client: ClientId::new("evil"), ..redemption() };
    assert_eq!(refused(&redeem(&other_client, Some(&facts), NOW)), TokenErrorCode::InvalidGrant);
    let other_redirect = Redemption { redirect_uri: Some(format!("{CALLBACK}/")), ..redemption() };
    assert_eq!(refused(&redeem(&other_redirect, Some(&facts), NOW)), TokenErrorCode::InvalidGrant);
    let other_resource = Redemption { resource: Some(PAYMENTS.into()), ..redemption() };
    assert_eq!(refused(&redeem(&other_resource, Some(&facts), NOW)), TokenErrorCode::InvalidTarget);
    let spare = Redemption { redirect_uri: None, resource: None, ..redemption() };
    assert_eq!(redeem(&spare, Some(&facts), NOW), Redeemed::Issue { with_refresh: true });
    assert_eq!(refused(&redeem(&redemption(), None, NOW)), TokenErrorCode::InvalidGrant);
}

// spec: AS-45, T-9
#[test]
fn code_dies_after_sixty_seconds() {
    assert_eq!(CODE_LIFETIME, Duration::from_mins(1));
    let at = |now: Timestamp| redeem(&redemption(), Some(&code_facts()), now);
    assert_eq!(at(later(59)), Redeemed::Issue { with_refresh: true });
    assert_eq!(refused(&at(later(60))), TokenErrorCode::InvalidGrant);
    let revoked = Grant { revoked: Some(Revoked { at: NOW, why: RevokedWhy::Person }), ..grant() };
    let facts = RedeemFacts { grant: revoked, ..code_facts() };
    assert_eq!(refused(&redeem(&redemption(), Some(&facts), NOW)), TokenErrorCode::InvalidGrant);
}

// spec: AS-67, T-9, RFC6749#4.1.2
#[test]
fn valid_replay_revokes_and_invalid_replay_does_nothing() {
    let facts = RedeemFacts { code: Code { redeemed_at: Some(NOW), ..code() }, ..code_facts() };
    // Also when the code would have expired meanwhile: somebody has it who should not.
    for now in [later(1), later(3600)] {
        match redeem(&redemption(), Some(&facts), now) {
            Redeemed::Revoke(error, why) => {
                assert_eq!((error.code, why), (TokenErrorCode::InvalidGrant, RevokedWhy::CodeReplayed));
            }
            other => panic!("{other:?}"),
        }
    }
    let ended = Grant { revoked: Some(Revoked { at: NOW, why: RevokedWhy::CodeReplayed }), ..facts.grant.clone() };
    let ended = RedeemFacts { grant: ended, ..facts.clone() };
    assert_eq!(refused(&redeem(&redemption(), Some(&ended), later(1))), TokenErrorCode::InvalidGrant);
    for invalid in [
        Redemption { verifier: Some("x".repeat(43)), ..redemption() },
        Redemption { verifier: None, ..redemption() },
        Redemption { client: ClientId::new("evil"), ..redemption() },
        Redemption { redirect_uri: Some("https://evil.example".into()), ..redemption() },
    ] {
        assert_eq!(refused(&redeem(&invalid, Some(&facts), later(1))), TokenErrorCode::InvalidGrant);
    }
}

// spec: AS-84
#[test]
fn refresh_token_comes_only_with_the_grant_type_or_the_scope() {
    let registered = redemption();
    let unregistered = Redemption { may_refresh: false, ..redemption() };
    let offline = RedeemFacts { grant: Grant { scopes: scopes("mcp:read offline_access"), ..grant() }, ..code_facts() };
    let with_refresh = |request: &Redemption, facts: &RedeemFacts| redeem(request, Some(facts), NOW);
    assert_eq!(with_refresh(&registered, &code_facts()), Redeemed::Issue { with_refresh: true });
    assert_eq!(with_refresh(&unregistered, &code_facts()), Redeemed::Issue { with_refresh: false });
    assert_eq!(with_refresh(&unregistered, &offline), Redeemed::Issue { with_refresh: true });
}

// spec: AS-86, T-53
#[test]
fn nothing_is_issued_for_a_disabled_person() {
    let facts = RedeemFacts { person_active: false, ..code_facts() };
    let decision = redeem(&redemption(), Some(&facts), NOW);
    assert!(matches!(decision, Redeemed::Revoke(_, RevokedWhy::PersonDisabled)), "{decision:?}");
    let facts = RefreshFacts { person_active: false, ..refresh_facts() };
    let decision = refresh(&request(), Some(&facts), &RefreshPolicy::default(), NOW);
    assert!(matches!(decision, Refreshed::Revoke(_, RevokedWhy::PersonDisabled)), "{decision:?}");
}

fn request() -> RefreshRequest {
    RefreshRequest {
        client: ClientId::new("app"),
        may_refresh: true,
        token: "refresh".into(),
        scopes: None,
        resource: None,
    }
}

fn refresh_facts() -> RefreshFacts {
    RefreshFacts { token: refresh_token(), grant: grant(), person_active: true }
}

fn replaced(at: Timestamp, successor_used: bool) -> RefreshFacts {
    RefreshFacts { token: RefreshToken { replaced_at: Some(at), successor_used, ..refresh_token() }, ..refresh_facts() }
}

fn decide(request: &RefreshRequest, facts: &RefreshFacts, now: Timestamp) -> Refreshed {
    refresh(request, Some(facts), &RefreshPolicy::default(), now)
}

fn refused_refresh(decision: &Refreshed) -> TokenErrorCode {
    match decision {
        Refreshed::Refuse(error) => error.code,
        other => panic!("{other:?}"),
    }
}

// spec: AS-80
#[test]
fn every_refresh_rotates() {
    assert_eq!(decide(&request(), &refresh_facts(), NOW), Refreshed::Rotate(scopes("mcp:read mcp:call")));
}

// spec: AS-81, AS-82, T-40
#[test]
fn replaced_token_is_redelivered_for_a_moment_and_then_a_breach() {
    let at = later(100);
    let again = Refreshed::Redeliver(scopes("mcp:read mcp:call"));
    assert_eq!(decide(&request(), &replaced(at, false), at), again);
    assert_eq!(decide(&request(), &replaced(at, false), at.plus(Duration::from_millis(9_999))), again);
    let breach = |decision| matches!(decision, Refreshed::Revoke(_, RevokedWhy::RefreshReplayed));
    assert!(breach(decide(&request(), &replaced(at, false), at.plus(Duration::from_secs(10)))));
    assert!(breach(decide(&request(), &replaced(at, true), at.plus(Duration::from_secs(1)))));
    let off = RefreshPolicy { grace: Duration::ZERO, ..RefreshPolicy::default() };
    assert!(breach(refresh(&request(), Some(&replaced(at, false)), &off, at)));
    // Another client learns and breaks nothing.
    let foreign = RefreshRequest { client: ClientId::new("evil"), ..request() };
    for facts in [refresh_facts(), replaced(at, false), replaced(at, true)] {
        assert_eq!(refused_refresh(&decide(&foreign, &facts, later(200))), TokenErrorCode::InvalidGrant);
    }
}

// spec: AS-83, T-41, RFC6749#6
#[test]
fn refresh_may_narrow_but_never_widen() {
    let asking = |text: &str| RefreshRequest { scopes: Some(scopes(text)), ..request() };
    let facts = refresh_facts();
    assert_eq!(decide(&asking("mcp:read"), &facts, NOW), Refreshed::Rotate(scopes("mcp:read")));
    assert_eq!(decide(&asking("offline_access"), &facts, NOW), Refreshed::Rotate(scopes("mcp:read mcp:call")));
    let call_only = RefreshFacts { grant: Grant { scopes: scopes("mcp:call"), ..grant() }, ..refresh_facts() };
    assert_eq!(decide(&asking("mcp:read"), &call_only, NOW), Refreshed::Rotate(scopes("mcp:read")));
    let read_only = RefreshFacts { grant: Grant { scopes: scopes("mcp:read"), ..grant() }, ..refresh_facts() };
    for wider in ["mcp:read mcp:call", "mcp:call", "admin", "mcp:*"] {
        assert_eq!(refused_refresh(&decide(&asking(wider), &read_only, NOW)), TokenErrorCode::InvalidScope, "{wider}");
    }
    let elsewhere = RefreshRequest { resource: Some(PAYMENTS.into()), ..request() };
    assert_eq!(refused_refresh(&decide(&elsewhere, &facts, NOW)), TokenErrorCode::InvalidTarget);
    let here = RefreshRequest { resource: Some(WIKI.into()), ..request() };
    assert_eq!(decide(&here, &facts, NOW), Refreshed::Rotate(scopes("mcp:read mcp:call")));
    assert_eq!(
        decide(&asking("mcp:read"), &replaced(NOW, false), NOW),
        Refreshed::Redeliver(scopes("mcp:read")),
        "a retry is narrowed alike"
    );
}

// spec: AS-85
#[test]
fn refresh_token_dies_of_disuse_and_of_age() {
    let idle = later(14 * 24 * 3600);
    let facts = refresh_facts();
    assert!(matches!(decide(&request(), &facts, idle.minus(Duration::from_millis(1))), Refreshed::Rotate(_)));
    assert_eq!(refused_refresh(&decide(&request(), &facts, idle)), TokenErrorCode::InvalidGrant);
    let aged = RefreshFacts { grant: Grant { expires_at: later(60), ..grant() }, ..refresh_facts() };
    assert!(matches!(decide(&request(), &aged, later(59)), Refreshed::Rotate(_)));
    assert_eq!(refused_refresh(&decide(&request(), &aged, later(60))), TokenErrorCode::InvalidGrant);
    let revoked = Grant { revoked: Some(Revoked { at: NOW, why: RevokedWhy::Client }), ..grant() };
    let facts = RefreshFacts { grant: revoked, ..refresh_facts() };
    assert_eq!(refused_refresh(&decide(&request(), &facts, NOW)), TokenErrorCode::InvalidGrant);
    assert_eq!(
        refused_refresh(&refresh(&request(), None, &RefreshPolicy::default(), NOW)),
        TokenErrorCode::InvalidGrant
    );
}

// spec: AS-72, AS-84
#[test]
fn clients_use_only_the_grants_they_have() {
    let unregistered = RefreshRequest { may_refresh: false, ..request() };
    assert_eq!(refused_refresh(&decide(&unregistered, &refresh_facts(), NOW)), TokenErrorCode::UnauthorizedClient);
    let none = refresh(&unregistered, None, &RefreshPolicy::default(), NOW);
    assert_eq!(refused_refresh(&none), TokenErrorCode::UnauthorizedClient);
    let offline = Grant { scopes: scopes("mcp:read offline_access"), ..grant() };
    let mut bare = public_client();
    assert!(bare.may_refresh(&scopes("mcp:read")));
    bare.metadata.grant_types = vec![GrantType::AuthorizationCode];
    assert!(!bare.may_refresh(&scopes("mcp:read")) && bare.may_refresh(&offline.scopes));
    let facts = RefreshFacts { grant: offline, ..refresh_facts() };
    assert!(matches!(decide(&unregistered, &facts, NOW), Refreshed::Rotate(_)));
}

// spec: AS-82, AS-87
#[test]
fn successor_is_the_same_for_every_retry_and_for_nobody_else() {
    let successor = next_refresh_token(b"key", "presented");
    assert_eq!(successor, next_refresh_token(b"key", "presented"));
    assert_eq!(successor.len(), 43);
    assert_ne!(successor, next_refresh_token(b"other key", "presented"));
    assert_ne!(successor, next_refresh_token(b"key", "presented2"));
    assert_ne!(successor, next_refresh_token(b"key", &successor));
}

fn parse(pairs: &[(&str, &str)]) -> Result<TokenRequest, TokenErrorCode> {
    TokenRequest::parse(&form(pairs), &public_client()).map_err(|error| error.code)
}

// spec: AS-2, AS-72
#[test]
fn grant_types_we_do_not_have_are_named_as_such() {
    for grant_type in ["password", "implicit", "urn:ietf:params:oauth:grant-type:saml2-bearer"] {
        assert_eq!(
            parse(&[("grant_type", grant_type), ("username", "a"), ("password", "b")]),
            Err(TokenErrorCode::UnsupportedGrantType)
        );
    }
    assert_eq!(parse(&[("code", "x")]), Err(TokenErrorCode::InvalidRequest));
    assert_eq!(parse(&[("grant_type", "authorization_code")]), Err(TokenErrorCode::InvalidRequest));
    assert_eq!(parse(&[("grant_type", "refresh_token"), ("refresh_token", "")]), Err(TokenErrorCode::InvalidRequest));
}

// spec: AS-68
#[test]
fn form_is_read_into_what_it_asks() {
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", "code"),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
        ("resource", "HTTPS://gw.example:443/mcp/wiki/"),
        ("unknown", "harmless"),
    ];
    assert_eq!(parse(&pairs), Ok(TokenRequest::Redeem(redemption())));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "refresh"), ("scope", "mcp:read")];
    let expected = RefreshRequest { scopes: Some(scopes("mcp:read")), ..request() };
    assert_eq!(parse(&refresh), Ok(TokenRequest::Refresh(expected)));
    let mut two = refresh.to_vec();
    two.extend([("resource", WIKI), ("resource", PAYMENTS)]);
    assert_eq!(parse(&two), Err(TokenErrorCode::InvalidTarget));
    assert_eq!(
        parse(&[("grant_type", "refresh_token"), ("refresh_token", "r"), ("scope", "a\"b")]),
        Err(TokenErrorCode::InvalidScope)
    );
    let mut unregistered = public_client();
    unregistered.metadata.grant_types = vec![GrantType::AuthorizationCode];
    let Ok(TokenRequest::Redeem(request)) = TokenRequest::parse(&form(&pairs), &unregistered) else {
        panic!("was refused")
    };
    assert!(!request.may_refresh);
    let shown = format!("{request:?} {:?}", form(&pairs));
    assert!(!shown.contains(VERIFIER) && !shown.contains("\"code\": \"code\""), "{shown}");
}

// spec: AS-71, RFC6749#5.1
#[test]
fn answer_has_the_members_clients_read() {
    let answer = TokenAnswer::bearer("a.b.c".into(), Duration::from_mins(10), &scopes("mcp:call mcp:read"), None);
    assert_eq!(
        serde_json::to_value(answer).unwrap(),
        json!({ "access_token": "a.b.c", "token_type": "Bearer", "expires_in": 600, "scope": "mcp:read mcp:call" })
    );
    let answer = TokenAnswer::bearer("a.b.c".into(), Duration::from_mins(10), &scopes("mcp:read"), Some("r".into()));
    assert_eq!(serde_json::to_value(answer).unwrap()["refresh_token"], "r");
}

// spec: AS-71, RFC6749#5.2
#[test]
fn errors_are_json_in_the_allowed_characters() {
    let error = TokenError::new(TokenErrorCode::InvalidGrant, "a \"b\" \\ ü\n");
    assert_eq!((error.status(), error.challenge()), (400, None));
    let body: Value = serde_json::from_str(&error.body()).unwrap();
    assert_eq!(body, json!({ "error": "invalid_grant", "error_description": "a 'b' ' ''" }));
    assert_eq!(TokenError::new(TokenErrorCode::TemporarilyUnavailable, "").status(), 503);
}

#[test]
fn reasons_survive_storage() {
    for why in [
        RevokedWhy::CodeReplayed,
        RevokedWhy::RefreshReplayed,
        RevokedWhy::Client,
        RevokedWhy::Person,
        RevokedWhy::Administrator,
        RevokedWhy::PersonDisabled,
        RevokedWhy::ClientRemoved,
        RevokedWhy::ServerRemoved,
    ] {
        assert_eq!(RevokedWhy::parse(why.as_str()), Some(why));
        assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
    }
    assert_eq!(RevokedWhy::parse("other"), None);
}
