//! Statements of the gateway about people, for servers of one's own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::HeaderName;
use portcullis_base::{Clock, PersonId};
use portcullis_gateway::{
    authority::{ASSERTION_TYPE, Whom},
    config::{Assertion, AssertionClaim, Credential},
    snapshot::{Person, Snapshot},
};
use portcullis_oauth::{jwks::PublicKeys, jwt::Unverified};
use portcullis_store::PersonKind;
use serde_json::{Value, json};

use super::street::{Street, authority, put, tickets};
use crate::house::{House, ISSUER};

fn credential(claims: &[AssertionClaim]) -> Credential {
    Credential::Assertion(Assertion {
        header: HeaderName::from_static("portcullis-identity"),
        lifetime: Duration::from_secs(60),
        claims: claims.to_vec(),
    })
}

fn ada() -> Whom {
    let groups = ["staff".into(), "ops".into()].into();
    Whom { person: PersonId::new("usr_ada"), kind: PersonKind::Person, name: "ada".into(), groups }
}

/// As a server of one's own would read it: with the published keys.
async fn read(house: &House, token: &str) -> Value {
    let keys = PublicKeys::parse_provider(house.get("/oauth/jwks").await.text.as_bytes()).unwrap();
    let unverified = Unverified::split(token).unwrap();
    assert_eq!(unverified.typ.as_deref(), Some(ASSERTION_TYPE), "spec: RFC8725#3.11");
    let key = keys.find(unverified.kid.as_deref(), unverified.algorithm).unwrap();
    Value::Object(unverified.verify(key).unwrap().into_members())
}

#[tokio::test]
async fn a_server_of_ones_own_learns_who_calls() {
    let street = Street::new().await;
    let house = street.house(credential(&[AssertionClaim::Name, AssertionClaim::Groups])).await;
    let (value, until) = authority(&house).assertion(&tickets(&house), &ada()).unwrap();
    assert!(value.is_sensitive());
    let now = house.clock.now();
    assert_eq!(until, now.plus(Duration::from_secs(60)));
    let said = read(&house, value.to_str().unwrap()).await;
    let expected = json!({
        "iss": ISSUER, "aud": street.url("/mcp"), "sub": "usr_ada", "kind": "person", "name": "ada",
        "groups": ["staff", "ops"], "iat": now.as_secs(), "exp": now.as_secs() + 60, "jti": said["jti"],
    });
    assert_eq!(said, expected);
    let (again, _) = authority(&house).assertion(&tickets(&house), &ada()).unwrap();
    assert_ne!(read(&house, again.to_str().unwrap()).await["jti"], said["jti"]);
}

/// spec: AS-72, T-35: what opens somebody else's door does not open ours.
#[tokio::test]
async fn a_statement_is_no_access_token() {
    let street = Street::new().await;
    let house = street.house(credential(&[])).await;
    let (value, _) = authority(&house).assertion(&tickets(&house), &ada()).unwrap();
    let form = [("token", value.to_str().unwrap()), ("client_id", "nobody")];
    assert!(!house.post("/oauth/introspect", &form).await.text.contains("\"active\":true"));
    assert_ne!(ASSERTION_TYPE, "at+jwt");
}

#[tokio::test]
async fn an_address_is_said_if_somebody_vouched_for_it() {
    let street = Street::new().await;
    let house = street.house(credential(&[AssertionClaim::Email])).await;
    let (value, _) = authority(&house).assertion(&tickets(&house), &ada()).unwrap();
    assert_eq!(read(&house, value.to_str().unwrap()).await.get("email"), None);

    let before = house.app.snapshot.load_full();
    let person = Person {
        name: "ada".into(),
        email: Some("ada@example.com".into()),
        groups: Arc::default(),
        roles: portcullis_gateway::roles::Roles::default(),
        shut_out: false,
        kind: PersonKind::Person,
    };
    house.app.snapshot.store(Arc::new(Snapshot {
        servers: before.servers.clone(),
        toolboxes: before.toolboxes.clone(),
        people: HashMap::from([(PersonId::new("usr_ada"), Arc::new(person))]),
        service_accounts: 0,
        bundle: before.bundle.clone(),
        revision: before.revision,
    }));
    let (value, _) = authority(&house).assertion(&tickets(&house), &ada()).unwrap();
    assert_eq!(read(&house, value.to_str().unwrap()).await["email"], "ada@example.com");
    put(&house, street.server(Credential::None));
    assert!(authority(&house).assertion(&tickets(&house), &ada()).is_err());
}
