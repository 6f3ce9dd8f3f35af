//! Service accounts: programs that call for themselves. Each has an owner, groups and roles like a person, and one way to
//! prove who it is: a key of its own, or a secret as the weaker choice.

use portcullis_audit::{Kind, Value};
use portcullis_base::{ClientId, Digest, PersonId, Secret, printable, token};
use portcullis_oauth::{
    client::{AuthMethod, Client, ClientKind, ClientMetadata, GrantType},
    grant::RevokedWhy,
    jwks::PublicKeys,
};
use portcullis_store::{NewServiceAccount, Person, PersonKind, StoreError};
use serde_json::Value as Json;
use url::Url;

use crate::desk::{Desk, DeskError};

/// A service account to be made.
pub struct New<'a> {
    /// Its account name.
    pub name: &'a str,
    /// The person who answers for it.
    pub owner: &'a PersonId,
    /// Its groups.
    pub groups: Vec<String>,
    /// How it proves who it is.
    pub proof: Proof,
}

/// How a service account proves who it is.
pub enum Proof {
    /// By a secret that we make and show once.
    Secret,
    /// By signing with a key; the public half stands here, as a JWK set.
    Keys(Json),
    /// By signing with a key; the public half is at this URL.
    KeysAt(String),
}

/// What was made.
pub struct Made {
    /// The account, which is also its `client_id`.
    pub id: PersonId,
    /// Its secret, if it has one: shown once.
    pub secret: Option<Secret>,
}

/// Makes a service account.
pub async fn create(desk: &Desk<'_>, new: New<'_>) -> Result<Made, DeskError> {
    let New { name, owner, groups, proof } = new;
    check_name(name)?;
    let person = desk.store.person(owner).await?.filter(|person| person.kind == PersonKind::Person);
    let owner = person.ok_or_else(|| DeskError::refused("a service account needs a person who answers for it"))?;
    let id = PersonId::new(format!("svc_{}", token::<16>(desk.rng)));
    let (client, secret) = client(desk, &id, name, &proof)?;
    let account = NewServiceAccount { id: id.clone(), name, owner: &owner.id, groups: &groups };
    match desk.store.create_service_account(&account, &client, desk.now()).await {
        Ok(_) => {}
        Err(StoreError::Taken) => return Err(DeskError::refused(format!("there is an account \"{name}\" already"))),
        Err(StoreError::Missing) => return Err(DeskError::refused("whoever is to answer for it may not sign in")),
        Err(error) => return Err(error.into()),
    }
    let event = desk
        .event(Kind::ServiceAccountCreated, None, name)
        .text("account", id.to_string())
        .text("owner", owner.name)
        .text("method", client.metadata.token_endpoint_auth_method.as_str())
        .detail("groups", Value::List(groups));
    desk.write(event).await?;
    Ok(Made { id, secret })
}

/// Replaces the proof of a service account; what was granted on the old one ends.
pub async fn rotate(desk: &Desk<'_>, id: &PersonId, proof: Proof) -> Result<Made, DeskError> {
    let account = account(desk, id).await?;
    let (client, secret) = client(desk, id, &account.name, &proof)?;
    desk.store.put_configured(&client, desk.now()).await?;
    for grant in desk.store.grants_of(id, desk.now()).await? {
        desk.store.revoke_grant(&grant.id, RevokedWhy::Administrator, desk.now()).await?;
    }
    let event = desk
        .event(Kind::ServiceAccountChanged, None, &account.name)
        .text("account", id.to_string())
        .text("method", client.metadata.token_endpoint_auth_method.as_str());
    desk.write(event).await?;
    Ok(Made { id: id.clone(), secret })
}

/// Switches a service account off, with all that it was granted.
pub async fn disable(desk: &Desk<'_>, id: &PersonId) -> Result<(), DeskError> {
    let account = account(desk, id).await?;
    if !desk.store.disable_person(id, desk.now()).await? {
        return Err(DeskError::refused(format!("\"{}\" is switched off already", account.name)));
    }
    let event = desk.event(Kind::ServiceAccountDisabled, None, &account.name).text("account", id.to_string());
    desk.write(event).await
}

async fn account(desk: &Desk<'_>, id: &PersonId) -> Result<Person, DeskError> {
    let found = desk.store.person(id).await?.filter(|person| person.kind == PersonKind::Service);
    found.ok_or_else(|| DeskError::refused("there is no such service account"))
}

/// The client that a service account authenticates as. spec: AS-163: client and subject are one.
fn client(desk: &Desk<'_>, id: &PersonId, name: &str, proof: &Proof) -> Result<(Client, Option<Secret>), DeskError> {
    let mut metadata = ClientMetadata {
        client_name: Some(name.to_owned()),
        grant_types: vec![GrantType::ClientCredentials],
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        ..ClientMetadata::public(Vec::new())
    };
    let mut secret = None;
    match proof {
        Proof::Secret => {
            metadata.token_endpoint_auth_method = AuthMethod::ClientSecretBasic;
            secret = Some(Secret::new(token::<32>(desk.rng)));
        }
        Proof::Keys(set) => {
            let keys = PublicKeys::from_value(set).map_err(|error| DeskError::refused(error.to_string()))?;
            if keys.is_empty() {
                return Err(DeskError::refused(
                    "there is no key in the set that can be used: take ES256, EdDSA or RS256",
                ));
            }
            metadata.jwks = Some(set.clone());
        }
        Proof::KeysAt(url) => {
            let loopback =
                |url: &Url| url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
            let usable =
                Url::parse(url).is_ok_and(|url| url.scheme() == "https" || url.scheme() == "http" && loopback(&url));
            if !usable {
                return Err(DeskError::refused("the address of the keys must be an https:// URL"));
            }
            metadata.jwks_uri = Some(url.clone());
        }
    }
    // spec: T-27, AS-87: only its digest is stored.
    let digest = secret.as_ref().map(|secret| Digest::of(secret.reveal().as_bytes()));
    let client = Client::new(ClientId::new(id.as_str()), ClientKind::Service, metadata, digest, desk.now());
    Ok((client, secret))
}

/// A name that can stand in settings and commands without quotes.
fn check_name(name: &str) -> Result<(), DeskError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        return Err(DeskError::refused(format!(
            "\"{}\" is not a name for a service account: use 1 to 64 of letters, digits, \"-\", \"_\" and \".\"",
            printable(name, 64)
        )));
    }
    Ok(())
}
