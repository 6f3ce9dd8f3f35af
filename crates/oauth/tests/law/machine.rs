//! Client credentials: who may, and what they get.

use portcullis_oauth::{
    client::{AuthMethod, Client, ClientKind, ClientMetadata, GrantType},
    error::TokenErrorCode,
    machine::{Granted, MachineRequest, client_credentials},
    scope::Scopes,
    token::TokenRequest,
};

use crate::world::{PAYMENTS, WIKI, client_with, form, public_client, resources, scopes};

fn client(kind: ClientKind, method: AuthMethod, grants: &[GrantType]) -> Client {
    let client = client_with(method);
    Client { kind, metadata: ClientMetadata { grant_types: grants.to_vec(), ..client.metadata }, ..client }
}

fn service() -> Client {
    client(ClientKind::Service, AuthMethod::PrivateKeyJwt, &[GrantType::ClientCredentials])
}

fn decide(client: &Client, pairs: &[(&str, &str)], allowed: &str) -> Result<Granted, TokenErrorCode> {
    let request = MachineRequest::parse(&form(pairs)).map_err(|error| error.code)?;
    client_credentials(&request, client, &scopes(allowed), &resources(None)).map_err(|error| error.code)
}

// spec: AS-160, T-22, RFC6749#4.4
#[test]
fn only_confidential_clients_that_an_administrator_made_act_for_themselves() {
    let (basic, post, signed) =
        (AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt);
    let both = [GrantType::AuthorizationCode, GrantType::ClientCredentials];
    let code = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    for (client, may) in [
        (client(ClientKind::Service, signed, &both[1..]), true),
        (client(ClientKind::Service, basic, &both[1..]), true),
        (client(ClientKind::Configured, post, &both), true),
        (client(ClientKind::Configured, basic, &code), false),
        (client(ClientKind::Configured, AuthMethod::None, &both), false),
        (client(ClientKind::Service, AuthMethod::None, &both), false),
        (client(ClientKind::Registered, basic, &both), false),
        (client(ClientKind::Document, signed, &both), false),
        (public_client(), false),
    ] {
        let decided = decide(&client, &[("resource", WIKI)], "mcp:read");
        let refused = Err(TokenErrorCode::UnauthorizedClient);
        let expected = if may { Ok(Granted { resource: WIKI.into(), scopes: scopes("mcp:read") }) } else { refused };
        assert_eq!(decided, expected, "{client:?}");
    }
}

// spec: AS-163, T-41
#[test]
fn token_is_for_one_endpoint_and_what_was_granted_there() {
    use TokenErrorCode::{InvalidScope, InvalidTarget};
    let all = "mcp:read mcp:call";
    for (pairs, allowed, granted) in [
        (&[("resource", WIKI)][..], all, Ok((WIKI, all))),
        (&[("resource", PAYMENTS), ("scope", "mcp:read")], all, Ok((PAYMENTS, "mcp:read"))),
        (&[("resource", WIKI), ("scope", "mcp:read mcp:call")], "mcp:read", Ok((WIKI, "mcp:read"))),
        (&[("resource", WIKI), ("scope", "mcp:read offline_access")], all, Ok((WIKI, "mcp:read"))),
        (&[("resource", WIKI), ("scope", "mcp:call")], "mcp:read", Ok((WIKI, "mcp:read"))),
        (&[("resource", WIKI), ("scope", "admin")], all, Err(InvalidScope)),
        (&[("resource", WIKI)], "", Err(InvalidScope)),
        (&[], all, Err(InvalidTarget)),
        (&[("resource", "https://gw.example/mcp/other")], all, Err(InvalidTarget)),
        (&[("resource", WIKI), ("resource", PAYMENTS)], all, Err(InvalidTarget)),
    ] {
        let decided = decide(&service(), pairs, allowed);
        let expected = granted.map(|(resource, text)| Granted { resource: resource.into(), scopes: scopes(text) });
        assert_eq!(decided, expected, "{pairs:?} {allowed}");
    }
}

#[test]
fn token_endpoint_reads_both_grants_of_machines() {
    let parse = |pairs: &[(&str, &str)]| TokenRequest::parse(&form(pairs), &service());
    let credentials = parse(&[("grant_type", "client_credentials"), ("resource", WIKI), ("scope", "mcp:read")]);
    let expected = MachineRequest { scopes: Some(scopes("mcp:read")), resource: Some(WIKI.into()) };
    assert_eq!(credentials, Ok(TokenRequest::ClientCredentials(expected)));
    let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let assertion = parse(&[("grant_type", jwt_bearer), ("assertion", "a")]);
    assert!(matches!(assertion, Ok(TokenRequest::JwtBearer(request)) if request.assertion.reveal() == "a"));
    let missing = parse(&[("grant_type", jwt_bearer)]).unwrap_err();
    assert_eq!(missing.code, TokenErrorCode::InvalidRequest);
}

#[test]
fn kinds_and_grants_survive_storage() {
    for kind in [ClientKind::Configured, ClientKind::Registered, ClientKind::Document, ClientKind::Service] {
        assert_eq!(ClientKind::parse(kind.as_str()), Some(kind));
    }
    let grants = [GrantType::ClientCredentials, GrantType::JwtBearer];
    let text = serde_json::to_string(&grants).unwrap();
    assert_eq!(text, r#"["client_credentials","urn:ietf:params:oauth:grant-type:jwt-bearer"]"#);
    assert_eq!(serde_json::from_str::<[GrantType; 2]>(&text).unwrap(), grants);
    assert!(Scopes::endpoint().intersection(&Scopes::none()).is_empty());
}
