//! Requests for tokens at an upstream's authorization server, and its answers.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::Secret;
use portcullis_oauth::upstream::token::{
    self, AnswerError, ClientProof, Exchange, Grant, ProviderClient, Refused, Revoke, TokenForm, TokenType, Tokens,
};
use serde_json::{Value, json};

const RESOURCE: &str = "https://mcp.example.com/mcp";
const CLIENT: ProviderClient<'_> = ProviderClient { id: "us", proof: ClientProof::Public };

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn pairs(form: &TokenForm) -> Vec<(String, String)> {
    url::form_urlencoded::parse(form.body.reveal().as_bytes()).into_owned().collect()
}

fn sent(grant: &Grant<'_>) -> Vec<(String, String)> {
    let mut all = pairs(&token::form(&CLIENT, grant));
    let client = all.iter().position(|(name, value)| name == "client_id" && value == "us").unwrap();
    all.remove(client);
    all
}

fn owned(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

// spec: UP-30, RFC8707#2
#[test]
fn codes_and_refresh_tokens_travel_with_the_resource() {
    let (code, verifier) = (secret("c&d"), secret("v"));
    let redeem =
        |resource| Grant::Code { code: &code, redirect_uri: "https://gw.example/cb", verifier: &verifier, resource };
    let base = [
        ("grant_type", "authorization_code"),
        ("code", "c&d"),
        ("redirect_uri", "https://gw.example/cb"),
        ("code_verifier", "v"),
    ];
    assert_eq!(sent(&redeem(None)), owned(&base));
    assert_eq!(sent(&redeem(Some(RESOURCE))), owned(&[&base[..], &[("resource", RESOURCE)]].concat()));
    let refresh = sent(&Grant::Refresh { token: &code, resource: Some(RESOURCE) });
    assert_eq!(refresh, owned(&[("grant_type", "refresh_token"), ("refresh_token", "c&d"), ("resource", RESOURCE)]));
    let scopes = vec!["a".to_owned(), "b".to_owned()];
    let own = sent(&Grant::ClientCredentials { scopes: &scopes, resource: Some(RESOURCE) });
    assert_eq!(own, owned(&[("grant_type", "client_credentials"), ("scope", "a b"), ("resource", RESOURCE)]));
}

// spec: UP-81, RFC8693#2.1
#[test]
fn exchange_names_both_kinds_of_token() {
    let subject = secret("idt");
    let scopes = vec!["a".to_owned()];
    let exchange = Exchange {
        subject: &subject,
        subject_type: TokenType::IdToken,
        requested: TokenType::IdJag,
        audience: Some("https://auth.example.com"),
        resource: Some(RESOURCE),
        scopes: &scopes,
    };
    assert_eq!(
        sent(&Grant::Exchange(exchange)),
        owned(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", "idt"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
            ("audience", "https://auth.example.com"),
            ("scope", "a"),
            ("resource", RESOURCE),
        ])
    );
    let bare =
        Exchange { audience: None, resource: None, scopes: &[], subject_type: TokenType::RefreshToken, ..exchange };
    let names: Vec<String> = sent(&Grant::Exchange(bare)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["grant_type", "subject_token", "subject_token_type", "requested_token_type"]);
}

// spec: UP-82, RFC7523#2.1
#[test]
fn assertions_of_providers_are_redeemed_in_two_dialects() {
    let assertion = secret("jag");
    let scopes = vec!["api://x/.default".to_owned()];
    let bearer = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(
        sent(&Grant::Assertion { assertion: &assertion, scopes: &[], resource: None }),
        owned(&[bearer, ("assertion", "jag")])
    );
    assert_eq!(
        sent(&Grant::OnBehalfOf { assertion: &assertion, scopes: &scopes }),
        owned(&[bearer, ("assertion", "jag"), ("requested_token_use", "on_behalf_of"), ("scope", "api://x/.default")])
    );
}

// spec: RFC7523#2.2
#[test]
fn signed_proof_goes_into_the_form_and_nothing_else_does() {
    let assertion = secret("signed");
    let client = ProviderClient { id: "us", proof: ClientProof::Assertion(&assertion) };
    let form = token::form(&client, &Grant::ClientCredentials { scopes: &[], resource: None });
    assert_eq!(form.authorization, None);
    assert_eq!(
        pairs(&form),
        owned(&[
            ("grant_type", "client_credentials"),
            ("client_id", "us"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", "signed"),
        ])
    );
    assert!(!format!("{form:?}").contains("signed"));
}

// spec: UP-47, RFC7009#2.1
#[test]
fn tokens_are_given_up_by_their_kind() {
    let token = secret("t");
    for (revoke, hint) in [(Revoke::Refresh(&token), "refresh_token"), (Revoke::Access(&token), "access_token")] {
        let form = token::revocation(&CLIENT, revoke);
        assert_eq!(pairs(&form), owned(&[("token", "t"), ("token_type_hint", hint), ("client_id", "us")]));
    }
}

fn read(members: &Value) -> Result<Tokens, AnswerError> {
    token::parse(members.to_string().as_bytes())
}

// spec: UP-48, RFC6749#7.1
#[test]
fn token_answers_are_read_narrowly() {
    let good = json!({
        "access_token": "a.b", "token_type": "bEARER", "refresh_token": "r", "expires_in": "3600", "scope": "x y",
        "unknown": { "deep": [1] },
    });
    let tokens = read(&good).unwrap();
    assert_eq!(tokens.access, secret("a.b"));
    assert_eq!(tokens.refresh, Some(secret("r")));
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(3600)));
    assert_eq!(tokens.scopes, Some(vec!["x".into(), "y".into()]));
    let with = |name: &str, value: Value| {
        let mut members = good.clone();
        members[name] = value;
        read(&members)
    };
    for (name, value, error) in [
        ("access_token", json!(null), AnswerError::Malformed),
        ("access_token", json!(""), AnswerError::Malformed),
        ("access_token", json!("a\r\nX-Evil: 1"), AnswerError::Malformed),
        ("access_token", json!("a b"), AnswerError::Malformed),
        ("access_token", json!("\u{e4}"), AnswerError::Malformed),
        ("access_token", json!("x".repeat(33 * 1024)), AnswerError::Malformed),
        ("refresh_token", json!("a\nb"), AnswerError::Malformed),
        ("token_type", json!("DPoP"), AnswerError::TokenType),
        ("token_type", json!("N_A"), AnswerError::TokenType),
        ("token_type", json!(null), AnswerError::TokenType),
    ] {
        assert_eq!(with(name, value.clone()), Err(error), "{name} {value}");
    }
    for (lifetime, expected) in [
        (json!(u64::MAX), Some(Duration::from_hours(24 * 366))),
        (json!(0), Some(Duration::ZERO)),
        (json!(3600.0), Some(Duration::from_hours(1))),
        (json!(-1), None),
        (json!(-0.5), None),
        (json!(1e300), None),
        (json!("soon"), None),
        (json!(null), None),
    ] {
        assert_eq!(with("expires_in", lifetime.clone()).unwrap().expires_in, expected, "{lifetime}");
    }
    for bytes in [&b""[..], b"access_token=a&token_type=bearer", br#"{"access_token":"a","access_token":"b"}"#] {
        assert_eq!(token::parse(bytes), Err(AnswerError::Malformed));
    }
    assert_eq!(token::parse(&vec![b' '; token::MAX_BYTES + 1]), Err(AnswerError::Malformed));
}

#[test]
fn refusals_are_told_apart_by_what_follows_from_them() {
    let said = || Some("why".to_owned());
    for (code, expected) in [
        ("invalid_grant", Refused::InvalidGrant(said())),
        ("bad_refresh_token", Refused::InvalidGrant(said())),
        ("invalid_client", Refused::InvalidClient(said())),
        ("unauthorized_client", Refused::UnauthorizedClient(said())),
        ("invalid_scope", Refused::InvalidScope(said())),
        ("invalid_target", Refused::InvalidTarget(said())),
        ("access_denied", Refused::AccessDenied(said())),
        ("interaction_required", Refused::Interaction(said())),
        ("consent_required", Refused::Interaction(said())),
        ("temporarily_unavailable", Refused::Temporary("temporarily_unavailable".into())),
        ("x\u{202e}", Refused::Other { code: "x\u{fffd}".into(), description: said() }),
    ] {
        // A token beside a refusal is none.
        let body = json!({ "error": code, "error_description": "why", "access_token": "a", "token_type": "bearer" });
        assert_eq!(read(&body), Err(AnswerError::Refused(expected.clone())), "{code}");
        assert_eq!(token::refusal(body.to_string().as_bytes()), expected);
    }
    assert!(matches!(token::refusal(b"<html>"), Refused::Other { .. }));
}

// spec: RFC8693#2.2.1
#[test]
fn exchange_yields_an_access_token_or_nothing() {
    let exchanged = |kind: Value| {
        let body = json!({ "access_token": "a", "token_type": "Bearer", "issued_token_type": kind }).to_string();
        token::parse_exchanged(body.as_bytes()).map(|tokens| tokens.access)
    };
    for good in [TokenType::AccessToken, TokenType::Jwt] {
        assert_eq!(exchanged(json!(good.as_str())), Ok(secret("a")));
    }
    for bad in [json!(TokenType::IdToken.as_str()), json!(TokenType::IdJag.as_str()), json!("x"), json!(null)] {
        assert_eq!(exchanged(bad), Err(AnswerError::IssuedType));
    }
}

// spec: UP-82, RFC8693#2.2.1
#[test]
fn id_jag_is_taken_for_nothing_else_and_nothing_else_for_it() {
    let jag = |kind: &str, token_type: &str| {
        let body =
            json!({ "access_token": "j", "token_type": token_type, "issued_token_type": kind, "expires_in": 300 });
        token::parse_id_jag(body.to_string().as_bytes()).map(|jag| (jag.assertion, jag.expires_in))
    };
    let kind = TokenType::IdJag.as_str();
    assert_eq!(jag(kind, "N_A"), Ok((secret("j"), Some(Duration::from_secs(300)))));
    assert_eq!(jag(kind, "Bearer"), Err(AnswerError::TokenType));
    assert_eq!(jag(TokenType::AccessToken.as_str(), "N_A"), Err(AnswerError::IssuedType));
    let refused = token::parse_id_jag(br#"{"error":"access_denied"}"#);
    assert_eq!(refused.map(|_| ()), Err(AnswerError::Refused(Refused::AccessDenied(None))));
}

// spec: UP-48
#[test]
fn accounts_have_a_name_that_can_be_shown() {
    let id_token = |claims: Value| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let named = |more: Value| {
        let mut members = json!({ "access_token": "a", "token_type": "Bearer" });
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&members).unwrap().account
    };
    for (more, expected) in [
        (
            json!({ "id_token": id_token(json!({ "email": "ann@example.com", "name": "Ann" })) }),
            Some("ann@example.com"),
        ),
        (json!({ "id_token": id_token(json!({ "sub": "7" })), "email": "x@example.com" }), Some("7")),
        (json!({ "id_token": "broken", "email": "x@example.com" }), Some("x@example.com")),
        (json!({ "workspace_name": "Acme" }), Some("Acme")),
        (json!({ "team": { "name": "Acme" }, "authed_user": { "id": "U1" } }), Some("U1")),
        (json!({ "email": " \u{202e}x " }), Some("\u{fffd}x")),
        (json!({ "email": " ", "login": 7 }), None),
        (json!({}), None),
    ] {
        assert_eq!(named(more.clone()).as_deref(), expected, "{more}");
    }
    let long = named(json!({ "email": "x".repeat(1000) })).unwrap();
    assert_eq!(long.chars().count(), 81);
}
