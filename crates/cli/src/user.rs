//! `portcullis user`: people who sign in with a password kept by the gateway.

use std::io::Read;

use portcullis_audit::{Event, Kind, Outcome, Target, Value};
use portcullis_base::{Clock, PersonId, Secret, printable};
use portcullis_gateway::password;
use portcullis_store::{NewPerson, Person, StoreError};
use serde_json::json;

use crate::{
    args::User,
    failure::{Failure, Result},
    house::House,
    output::{GOOD, json as print_json, line, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &User, settings: &Settings) -> Result<()> {
    match command {
        User::Add { name, admin, group, .. } => add(name, *admin, group, settings).await,
        User::List { json } => list(*json, settings).await,
        User::Disable { name } => disable(name, settings).await,
    }
}

async fn add(name: &str, admin: bool, groups: &[String], settings: &Settings) -> Result<()> {
    check_name(name)?;
    if let Some(group) = groups.iter().find(|group| group.trim().is_empty() || group.as_str() == "*") {
        return Err(Failure::usage(format!("\"{}\" is not a name for a group", printable(group, 60)))
            .help("everyone is in \"*\" already; other names are free"));
    }
    let password = read_password()?;
    password::fit(&password, name).map_err(|why| Failure::usage(format!("this password is not taken: {why}")))?;
    let house = House::open(settings).await?;
    let record = house.record().await?;
    let now = house.clock.now();
    let new = NewPerson {
        id: PersonId::random(&house.rng),
        name: name.to_owned(),
        display_name: name.to_owned(),
        email: None,
        groups: groups.to_vec(),
        password_hash: Some(password::hash(&password, &house.rng)),
        admin_at: admin.then_some(now),
    };
    let person = match house.store.create_person(&new, now).await {
        Ok(person) => person,
        Err(error) => {
            record.close().await;
            return Err(match error {
                StoreError::Taken => Failure::new(format!("there is an account \"{}\" already", printable(name, 64)))
                    .help("choose another name; `portcullis user list` shows all"),
                error => house.failed(error),
            });
        }
    };
    let event = Event::new(Kind::PersonCreated, now)
        .on(Target { name: Some(person.name.clone().into()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("person", person.id.to_string())
        .detail("groups", Value::List(person.groups.clone()))
        .text("method", if admin { "command, administrator" } else { "command" });
    record.write(event).await?;
    let role = if admin { " as an administrator" } else { "" };
    line(format_args!("{} {} can sign in at {}{role}", styled(GOOD, "✓"), person.name, settings.public_url()));
    Ok(())
}

async fn list(json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let people = house.store.people().await.map_err(|error| house.failed(error))?;
    if json {
        for person in &people {
            print_json(&json!({
                "id": person.id.as_str(), "name": person.name, "groups": person.groups,
                "admin": person.admin_at.is_some(), "disabled": person.disabled_at.is_some(),
                "created_at": person.created_at.to_string(),
                "disabled_at": person.disabled_at.map(|at| at.to_string()),
            }));
        }
        return Ok(());
    }
    if people.is_empty() {
        line("No accounts yet. To make one: portcullis user add NAME --admin --password-stdin");
        return Ok(());
    }
    let state = |person: &Person| match (person.disabled_at, person.admin_at) {
        (Some(at), _) => format!("disabled {at}"),
        (None, Some(_)) => "administrator".to_owned(),
        (None, None) => "active".to_owned(),
    };
    let rows: Vec<Vec<String>> = people
        .iter()
        .map(|person| vec![person.name.clone(), state(person), person.groups.join(", "), person.created_at.to_string()])
        .collect();
    table(&["NAME", "STATE", "GROUPS", "SINCE"], &rows);
    Ok(())
}

async fn disable(name: &str, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let known = house.store.person_by_name(name).await.map_err(|error| house.failed(error))?;
    let Some((person, _)) = known else { return Err(unknown(name, &house).await?) };
    let record = house.record().await?;
    let now = house.clock.now();
    match house.store.disable_person(&person.id, now).await {
        Ok(true) => {}
        Ok(false) => {
            record.close().await;
            line(format_args!("{} is disabled already", person.name));
            return Ok(());
        }
        Err(error) => {
            record.close().await;
            return Err(match error {
                // spec: T-95: "last admin protected"
                StoreError::LastAdministrator => Failure::new(format!("{}: {error}", person.name))
                    .help("portcullis user add NAME --admin --password-stdin"),
                error => house.failed(error),
            });
        }
    }
    let event = Event::new(Kind::PersonDisabled, now)
        .on(Target { name: Some(person.name.clone().into()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("person", person.id.to_string());
    record.write(event).await?;
    line(format_args!(
        "{} {} can no longer sign in; sessions and clients are signed out",
        styled(GOOD, "✓"),
        person.name
    ));
    Ok(())
}

async fn unknown(name: &str, house: &House) -> Result<Failure> {
    let people = house.store.people().await.map_err(|error| house.failed(error))?;
    let near = portcullis_policy::nearest(name, people.iter().map(|person| person.name.as_str()));
    let failure = Failure::new(format!("there is no account \"{}\"", printable(name, 64)));
    Ok(failure.help(
        near.map_or_else(|| "portcullis user list shows all".to_owned(), |near| format!("did you mean \"{near}\"?")),
    ))
}

/// The same alphabet as the page for the first administrator.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    if name.is_empty() || name.chars().count() > 64 || !name.chars().all(allowed) {
        return Err(Failure::usage(format!("\"{}\" is not a name for an account", printable(name, 64)))
            .help("use 1 to 64 letters, digits, or . - _ @ +"));
    }
    Ok(())
}

/// The password on standard input, without its line end.
fn read_password() -> Result<Secret> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(password::LONGEST as u64 + 3).read_to_string(&mut text);
    let text = Secret::new(text);
    read.map_err(|error| Failure::usage(format!("the password on standard input cannot be read: {error}")))?;
    let one_line =
        text.reveal().strip_suffix('\n').map_or(text.reveal(), |line| line.strip_suffix('\r').unwrap_or(line));
    if one_line.is_empty() {
        return Err(Failure::usage("no password came on standard input")
            .help("example: printf '%s' \"$PASSWORD\" | portcullis user add NAME --password-stdin"));
    }
    if one_line.contains(['\n', '\r', '\0']) {
        return Err(Failure::usage("the password on standard input has more than one line"));
    }
    Ok(Secret::new(one_line.to_owned()))
}
