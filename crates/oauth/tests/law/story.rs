//! Stories of clients, thieves and one server.

use std::time::Duration;

use portcullis_base::{ClientId, Clock};
use portcullis_oauth::{
    access::{AccessClaims, TokenRejection},
    client::{AuthMethod, Client, GrantType},
    error::TokenErrorCode,
    grant::RevokedWhy,
    introspection::{self, GrantState},
    revocation::{self, Known},
    token::RefreshFacts,
};
use serde_json::{Value, json};

use crate::{
    pair::Pair,
    world::{
        CALLBACK, ISSUER, NOW, PAYMENTS, SECRET, VERIFIER, WIKI, client_with, grant, later, public_client,
        refresh_token,
    },
};

fn evil() -> Client {
    Client { id: ClientId::new("evil"), ..public_client() }
}

fn pair() -> Pair {
    Pair::new([public_client(), evil()])
}

// spec: AS-1, AS-69
#[test]
fn public_client_signs_in_and_calls_its_endpoint() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    let tokens = pair.redeem("app", &code).unwrap();
    assert_eq!(tokens.scope, "mcp:read");
    assert_eq!(pair.call(&tokens.access, WIKI), Ok(true));
    assert_eq!(pair.call(&tokens.access, PAYMENTS), Err(TokenRejection::Audience));
    pair.clock.advance(Duration::from_mins(10));
    assert_eq!(pair.call(&tokens.access, WIKI), Err(TokenRejection::Expired));
}

// spec: AS-1, AS-64
#[test]
fn confidential_client_signs_in_with_its_secret_and_not_without() {
    let mut pair = Pair::new([client_with(AuthMethod::ClientSecretPost)]);
    let code = pair.authorize("app", "mcp:read");
    assert_eq!(pair.redeem("app", &code), Err(TokenErrorCode::InvalidClient));
    let with_secret = |secret| {
        [
            ("grant_type", "authorization_code"),
            ("client_id", "app"),
            ("client_secret", secret),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ]
    };
    assert_eq!(pair.post(&with_secret("wrong")), Err(TokenErrorCode::InvalidClient));
    assert!(pair.post(&with_secret(SECRET)).is_ok());
}

// spec: AS-67, T-9
#[test]
fn replayed_code_revokes_the_family() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    let tokens = pair.redeem("app", &code).unwrap();
    assert_eq!(pair.redeem("app", &code), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.revoked(), Some(RevokedWhy::CodeReplayed));
    assert_eq!(pair.call(&tokens.access, WIKI), Ok(false));
    assert_eq!(pair.refresh("app", &tokens.refresh.unwrap()), Err(TokenErrorCode::InvalidGrant));
}

// spec: AS-65, AS-66, AS-67, T-8, T-9
#[test]
fn thief_without_the_verifier_neither_gets_tokens_nor_breaks_anything() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    assert_eq!(pair.redeem_with("app", &code, &"x".repeat(43)), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.redeem("evil", &code), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.redeem("app", &format!("{code}x")), Err(TokenErrorCode::InvalidGrant));
    let tokens = pair.redeem("app", &code).expect("the code was not consumed");
    assert_eq!(pair.redeem("evil", &code), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.redeem_with("app", &code, &"x".repeat(43)), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.revoked(), None);
    assert_eq!(pair.call(&tokens.access, WIKI), Ok(true));
}

// spec: AS-80, AS-81, T-40
#[test]
fn stolen_refresh_token_ends_the_family_when_the_owner_comes_back() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    let first = pair.redeem("app", &code).unwrap().refresh.unwrap();
    pair.clock.advance(Duration::from_mins(1));
    let stolen = pair.refresh("app", &first).unwrap();
    assert_ne!(stolen.refresh.as_deref(), Some(first.as_str()));
    pair.clock.advance(Duration::from_mins(1));
    assert_eq!(pair.refresh("app", &first), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.revoked(), Some(RevokedWhy::RefreshReplayed));
    assert_eq!(pair.refresh("app", &stolen.refresh.unwrap()), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.call(&stolen.access, WIKI), Ok(false));
}

// spec: AS-82, T-40
#[test]
fn lost_answer_is_given_again_until_the_successor_is_used() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    let first = pair.redeem("app", &code).unwrap().refresh.unwrap();
    let lost = pair.refresh("app", &first).unwrap();
    pair.clock.advance(Duration::from_secs(5));
    let again = pair.refresh("app", &first).unwrap();
    assert_eq!(again.refresh, lost.refresh);
    assert_ne!(again.access, lost.access);
    let third = pair.refresh("app", &again.refresh.unwrap()).unwrap();
    assert_eq!(pair.refresh("app", &first), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.revoked(), Some(RevokedWhy::RefreshReplayed));
    assert_eq!(pair.call(&third.access, WIKI), Ok(false));
}

// spec: AS-85
#[test]
fn refreshing_every_day_ends_at_the_absolute_age() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    let mut current = pair.redeem("app", &code).unwrap().refresh.unwrap();
    for day in 1..30 {
        pair.clock.advance(Duration::from_hours(24));
        current = pair.refresh("app", &current).unwrap_or_else(|code| panic!("day {day}: {code:?}")).refresh.unwrap();
    }
    pair.clock.advance(Duration::from_hours(24));
    assert_eq!(pair.refresh("app", &current), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.revoked(), None);
}

// spec: AS-86, T-53
#[test]
fn disabled_person_gets_no_further() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read");
    let tokens = pair.redeem("app", &code).unwrap();
    pair.active = false;
    assert_eq!(pair.refresh("app", &tokens.refresh.unwrap()), Err(TokenErrorCode::InvalidGrant));
    assert_eq!(pair.revoked(), Some(RevokedWhy::PersonDisabled));
    assert_eq!(pair.call(&tokens.access, WIKI), Ok(false));
}

// spec: AS-84, AS-72
#[test]
fn client_without_the_grant_type_refreshes_only_with_offline_access() {
    let mut bare = public_client();
    bare.metadata.grant_types = vec![GrantType::AuthorizationCode];
    let mut pair = Pair::new([bare]);
    let code = pair.authorize("app", "mcp:read");
    assert_eq!(pair.redeem("app", &code).unwrap().refresh, None);
    assert_eq!(pair.refresh("app", "anything"), Err(TokenErrorCode::UnauthorizedClient));
    let code = pair.authorize("app", "mcp:read offline_access");
    let tokens = pair.redeem("app", &code).unwrap();
    assert_eq!(tokens.scope, "mcp:read offline_access");
    assert!(pair.refresh("app", &tokens.refresh.unwrap()).is_ok());
}

// spec: AS-88, AS-89, T-43, RFC7009#2.1, RFC7009#2.2
#[test]
fn client_gives_up_its_own_tokens_and_nobody_elses() {
    for give_up_access in [true, false] {
        let mut pair = pair();
        let code = pair.authorize("app", "mcp:read");
        let tokens = pair.redeem("app", &code).unwrap();
        let refresh = tokens.refresh.unwrap();
        let presented = if give_up_access { &tokens.access } else { &refresh };
        pair.give_up("evil", presented);
        pair.give_up("app", "never seen");
        assert_eq!(pair.call(&tokens.access, WIKI), Ok(true));
        pair.give_up("app", presented);
        assert_eq!(pair.call(&tokens.access, WIKI), Ok(false));
        assert_eq!(pair.refresh("app", &refresh), Err(TokenErrorCode::InvalidGrant));
    }
    assert_eq!(revocation::revoke(&ClientId::new("app"), Known::Unknown), None);
}

// spec: AS-90, T-43, RFC7662#2.1, RFC7662#2.2
#[test]
fn introspection_tells_an_authenticated_client_about_its_own_live_tokens() {
    let owner = client_with(AuthMethod::ClientSecretBasic);
    let stranger = Client { id: ClientId::new("evil"), ..owner.clone() };
    assert!(introspection::may_ask(&owner).is_ok());
    assert_eq!(introspection::may_ask(&public_client()).unwrap_err().status(), 401);

    let rng = portcullis_base::SeededRng::new(1);
    let claims = AccessClaims::of(&grant(), &grant().scopes, NOW, Duration::from_mins(10), &rng);
    let facts = RefreshFacts { token: refresh_token(), grant: grant(), person_active: true };
    let replaced = RefreshFacts {
        token: portcullis_oauth::grant::RefreshToken { replaced_at: Some(NOW), ..refresh_token() },
        ..facts.clone()
    };
    let disabled = RefreshFacts { person_active: false, ..facts.clone() };
    let ask = |client, token, state, now| -> Value {
        serde_json::to_value(introspection::answer(client, token, state, ISSUER, now)).unwrap()
    };
    let alive = GrantState::Alive;
    let answer = ask(&owner, Known::Access(&claims), alive, NOW);
    assert_eq!(answer["active"], true);
    assert_eq!((&answer["aud"], &answer["client_id"], &answer["iss"]), (&json!(WIKI), &json!("app"), &json!(ISSUER)));
    assert_eq!(answer["exp"], later(600).as_secs());
    assert_eq!(ask(&owner, Known::Refresh(&facts), alive, NOW)["active"], true);
    let inactive = json!({ "active": false });
    for answer in [
        ask(&stranger, Known::Access(&claims), alive, NOW),
        ask(&owner, Known::Access(&claims), GrantState::Revoked, NOW),
        ask(&owner, Known::Access(&claims), alive, later(600)),
        ask(&owner, Known::Unknown, alive, NOW),
        ask(&stranger, Known::Refresh(&facts), alive, NOW),
        ask(&owner, Known::Refresh(&replaced), alive, NOW),
        ask(&owner, Known::Refresh(&disabled), alive, NOW),
        ask(&owner, Known::Refresh(&facts), alive, facts.token.expires_at),
    ] {
        assert_eq!(answer, inactive);
    }
}

// spec: AS-83
#[test]
fn narrowed_refresh_leaves_the_grant_as_wide_as_it_was() {
    let mut pair = pair();
    let code = pair.authorize("app", "mcp:read mcp:call");
    let first = pair.redeem("app", &code).unwrap().refresh.unwrap();
    let narrowed = pair
        .post(&[
            ("grant_type", "refresh_token"),
            ("client_id", "app"),
            ("refresh_token", &first),
            ("scope", "mcp:read"),
        ])
        .unwrap();
    assert_eq!(narrowed.scope, "mcp:read");
    let full = pair.refresh("app", &narrowed.refresh.unwrap()).unwrap();
    assert_eq!(full.scope, "mcp:read mcp:call");
    assert_eq!(pair.clock.now(), NOW);
}
