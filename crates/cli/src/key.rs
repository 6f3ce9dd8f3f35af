//! `portcullis key`: access keys, for clients that cannot do OAuth.

use std::{collections::HashMap, time::Duration};

use portcullis_base::{Clock, PersonId, Secret, ServerName, printable};
use portcullis_gateway::{
    access_keys::{self, NewKey},
    toolbox::ALL,
};
use portcullis_oauth::scope::Scopes;
use portcullis_store::Person;
use serde_json::json;

use crate::{
    args::Key,
    failure::{Failure, Result},
    house::House,
    output::{BOLD, DIM, GOOD, json as print_json, line, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &Key, settings: &Settings) -> Result<()> {
    match command {
        Key::Add { person, server, scope, days, name, json } => {
            let wanted = Wanted { person, server, scope, days: *days, name };
            add(&wanted, *json, settings).await
        }
        Key::List { person, json } => list(person.as_deref(), *json, settings).await,
        Key::Revoke { id } => revoke(id, settings).await,
    }
}

struct Wanted<'a> {
    person: &'a str,
    server: &'a str,
    scope: &'a [String],
    days: Option<u16>,
    name: &'a str,
}

async fn add(wanted: &Wanted<'_>, json: bool, settings: &Settings) -> Result<()> {
    let keys = settings.config.access_keys;
    if !keys.enabled {
        return Err(Failure::new("access keys are switched off").help(
            "prefer clients that sign in; to allow keys all the same: access_keys: { enabled: true } in the settings",
        ));
    }
    let house = House::existing(settings).await?;
    let person = house.person(wanted.person).await?;
    let mut names = House::endpoint_names(settings).await?;
    names.extend(ServerName::parse(ALL));
    let server =
        names.iter().find(|name| name.as_str() == wanted.server).ok_or_else(|| unknown(wanted.server, &names))?;
    let new = NewKey {
        person: &person.id,
        name: wanted.name,
        server,
        resource: format!("{}/mcp/{server}", settings.public_url()),
        scopes: scopes(wanted.scope)?,
        lifetime: wanted.days.map_or(keys.longest, |days| Duration::from_hours(24 * u64::from(days))),
        sign_in: None,
    };
    let record = house.record().await?;
    let made = access_keys::create(&record.desk(&house), new, keys.longest).await;
    record.finish().await?;
    let made = made.map_err(|error| house.undone(error))?;
    if json {
        print_json(&json!({
            "id": made.grant.as_str(), "key": made.key.reveal(), "person": person.name, "server": server.as_str(),
            "expires_at": made.expires_at.to_string(),
        }));
        return Ok(());
    }
    line(format_args!(
        "{} {} may use {server} with this key until {}",
        styled(GOOD, "✓"),
        person.name,
        made.expires_at
    ));
    line(format_args!("  {}", styled(BOLD, Secret::reveal(&made.key))));
    line(styled(DIM, "  It is shown this once. The client sends it as: Authorization: Bearer KEY"));
    line(styled(DIM, format_args!("  To end it: portcullis key revoke {}", made.grant)));
    Ok(())
}

fn unknown(name: &str, names: &[ServerName]) -> Failure {
    let near = portcullis_policy::nearest(name, names.iter().map(ServerName::as_str));
    let all: Vec<_> = names.iter().map(ServerName::as_str).collect();
    Failure::usage(format!("there is no server \"{}\"", printable(name, 60)))
        .help(near.map_or_else(|| format!("servers: {}", all.join(", ")), |near| format!("did you mean \"{near}\"?")))
}

fn scopes(wanted: &[String]) -> Result<Scopes> {
    if wanted.is_empty() {
        return Ok(Scopes::endpoint());
    }
    let scopes = Scopes::parse(&wanted.join(" ")).ok().filter(|scopes| Scopes::endpoint().satisfies(scopes));
    scopes.ok_or_else(|| {
        Failure::usage(format!("\"{}\" is not for a key", printable(&wanted.join(" "), 100)))
            .help(format!("scopes are: {}", Scopes::endpoint()))
    })
}

async fn list(person: Option<&str>, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let only = match person {
        Some(name) => Some(house.person(name).await?.id),
        None => None,
    };
    let now = house.clock.now();
    let people = house.store.people().await.map_err(|error| house.failed(error))?;
    let people: HashMap<PersonId, Person> = people.into_iter().map(|person| (person.id.clone(), person)).collect();
    let mut keys = house.store.access_keys_alive(now).await.map_err(|error| house.failed(error))?;
    keys.retain(|key| only.as_ref().is_none_or(|only| key.person == *only));
    keys.sort_by(|a, b| a.expires_at.cmp(&b.expires_at).then_with(|| a.grant.cmp(&b.grant)));
    let name = |id: &PersonId| people.get(id).map_or_else(|| id.to_string(), |person| person.name.clone());
    let server = |resource: &str| resource.rsplit('/').next().unwrap_or(resource).to_owned();
    if json {
        for key in keys {
            print_json(&json!({
                "id": key.grant.as_str(), "name": key.name, "person": name(&key.person), "server": server(&key.resource),
                "scope": key.scopes.to_string(), "created_at": key.created_at.to_string(),
                "expires_at": key.expires_at.to_string(), "last_used_at": key.last_used_at.map(|at| at.to_string()),
            }));
        }
        return Ok(());
    }
    if keys.is_empty() {
        line("No access keys.");
        return Ok(());
    }
    let row = |key: &portcullis_store::AccessKeyRow| {
        vec![
            key.grant.to_string(),
            key.name.clone(),
            name(&key.person),
            server(&key.resource),
            key.scopes.to_string(),
            key.expires_at.to_string(),
            key.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        ]
    };
    table(
        &["ID", "NAME", "PERSON", "SERVER", "SCOPE", "UNTIL", "LAST USED"],
        &keys.iter().map(row).collect::<Vec<_>>(),
    );
    Ok(())
}

async fn revoke(id: &str, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let keys = house.store.access_keys_alive(house.clock.now()).await.map_err(|error| house.failed(error))?;
    let Some(key) = keys.into_iter().find(|key| key.grant.as_str() == id) else {
        return Err(Failure::new(format!("there is no access key \"{}\" that is good", printable(id, 64)))
            .help("portcullis key list shows all"));
    };
    let record = house.record().await?;
    let revoked = access_keys::revoke(&record.desk(&house), &key.person, &key.grant).await;
    record.finish().await?;
    revoked.map_err(|error| house.undone(error))?;
    line(format_args!("{} {} is worth nothing now", styled(GOOD, "✓"), key.name));
    Ok(())
}
