//! `portcullis user`: people who sign in with a password kept by the gateway.

use std::io::Read;

use portcullis_audit::{Event, Kind, Outcome, Target, Value};
use portcullis_base::{Clock, PersonId, Secret, Timestamp, printable};
use portcullis_gateway::password;
use portcullis_store::{NewPerson, Person, PersonKind, StoreError};
use serde_json::json;

use crate::{
    args::{OnOff, User},
    failure::{Failure, Result},
    house::{House, Record},
    offboard,
    output::{GOOD, json as print_json, line, note, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &User, settings: &Settings) -> Result<()> {
    match command {
        User::Add { name, admin, group, .. } => add(name, *admin, group, settings).await,
        User::List { json } => list(*json, settings).await,
        User::Disable { name } => disable(name, settings).await,
        User::Enable { name } => enable(name, settings).await,
        User::Group { name, add, remove } => regroup(name, add, remove, settings).await,
        User::Admin { name, state } => appoint(name, *state, settings).await,
    }
}

async fn add(name: &str, admin: bool, groups: &[String], settings: &Settings) -> Result<()> {
    check_name(name)?;
    check_groups(groups)?;
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
    let mut rows = Vec::with_capacity(people.len());
    for person in &people {
        let identities = house.store.identities_of(&person.id).await.map_err(|error| house.failed(error))?;
        let providers: Vec<_> = identities.iter().map(|identity| identity.provider.as_str()).collect();
        if json {
            print_json(&json!({
                "id": person.id.as_str(), "name": person.name, "kind": person.kind.as_str(), "email": person.email,
                "providers": providers, "groups": person.groups, "local_groups": person.local_groups,
                "admin": person.admin_at.is_some(), "disabled": person.disabled_at.is_some(),
                "owner": person.owner.as_ref().map(PersonId::as_str),
                "created_at": person.created_at.to_string(),
                "disabled_at": person.disabled_at.map(|at| at.to_string()),
            }));
        } else {
            rows.push(vec![
                person.name.clone(),
                state(person),
                origin(person, &providers),
                person.groups.join(", "),
                person.created_at.to_string(),
            ]);
        }
    }
    if json {
        return Ok(());
    }
    if people.is_empty() {
        line("No accounts yet. To make one: portcullis user add NAME --admin --password-stdin");
        return Ok(());
    }
    table(&["NAME", "STATE", "FROM", "GROUPS", "SINCE"], &rows);
    Ok(())
}

fn state(person: &Person) -> String {
    match (person.disabled_at, person.admin_at) {
        (Some(at), _) => format!("disabled {at}"),
        (None, Some(_)) => "administrator".to_owned(),
        (None, None) => "active".to_owned(),
    }
}

/// Where somebody signs in.
fn origin(person: &Person, providers: &[&str]) -> String {
    match (person.kind, providers) {
        (PersonKind::Service, _) => "service account".to_owned(),
        (PersonKind::Person, []) => "here".to_owned(),
        (PersonKind::Person, providers) => providers.join(", "),
    }
}

/// The same end as `portcullis offboard`, without the questions and the table.
async fn disable(name: &str, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let person = house.person(name).await?;
    if !person.is_active() {
        line(format_args!("{} is disabled already", person.name));
        return Ok(());
    }
    let done = offboard::end(&person, &house, settings).await?;
    line(format_args!(
        "{} {} can no longer sign in; sessions and clients are signed out",
        styled(GOOD, "✓"),
        person.name
    ));
    for left in &done.report.left {
        note(format_args!("note: {} did not end: {}", printable(&left.what, 200), printable(&left.why, 400)));
    }
    Ok(())
}

async fn enable(name: &str, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let person = house.person(name).await?;
    if person.is_active() {
        line(format_args!("{} is not disabled", person.name));
        return Ok(());
    }
    let record = house.record().await?;
    let now = house.clock.now();
    let changed = house.store.enable_person(&person.id, now).await;
    done(&house, record, changed, changed_event(&person, now, Kind::PersonEnabled)).await?;
    line(format_args!("{} {} may sign in again; what was ended stays ended", styled(GOOD, "✓"), person.name));
    Ok(())
}

async fn regroup(name: &str, add: &[String], remove: &[String], settings: &Settings) -> Result<()> {
    check_groups(add)?;
    let house = House::existing(settings).await?;
    let person = house.person(name).await?;
    if let Some(group) = remove.iter().find(|group| !person.local_groups.contains(group)) {
        return Err(not_here(&person, group));
    }
    let mut groups = person.local_groups.clone();
    groups.retain(|group| !remove.contains(group));
    groups.extend(add.iter().cloned());
    groups.sort();
    groups.dedup();
    let record = house.record().await?;
    let now = house.clock.now();
    let changed = house.store.set_local_groups(&person.id, &groups, now).await;
    let event = changed_event(&person, now, Kind::PersonChanged)
        .text("what", "groups")
        .detail("groups", Value::List(groups.clone()));
    done(&house, record, changed, event).await?;
    let groups = if groups.is_empty() { "no groups".to_owned() } else { groups.join(", ") };
    line(format_args!("{} {} has {groups} here", styled(GOOD, "✓"), person.name));
    Ok(())
}

/// Only groups that this gateway gave can be taken here.
fn not_here(person: &Person, group: &str) -> Failure {
    let given = if person.local_groups.is_empty() { "none".to_owned() } else { person.local_groups.join(", ") };
    let elsewhere = person.groups.iter().any(|known| known == group);
    let help = if elsewhere {
        "it comes from a provider or a directory: change it there".to_owned()
    } else {
        format!("groups given here: {given}")
    };
    let group = printable(group, 60);
    Failure::new(format!("{} is not in the group \"{group}\" of this gateway", person.name)).help(help)
}

async fn appoint(name: &str, state: OnOff, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let person = house.person(name).await?;
    if person.kind == PersonKind::Service {
        return Err(Failure::new(format!("{} is a service account, which administers nothing", person.name)));
    }
    let record = house.record().await?;
    let now = house.clock.now();
    let (since, what) = match state {
        OnOff::On => (Some(person.admin_at.unwrap_or(now)), "made an administrator"),
        OnOff::Off => (None, "no longer an administrator"),
    };
    let changed = house.store.set_admin(&person.id, since, now).await;
    done(&house, record, changed, changed_event(&person, now, Kind::PersonChanged).text("what", what)).await?;
    line(format_args!("{} {} is {}", styled(GOOD, "✓"), person.name, what.trim_start_matches("made ")));
    Ok(())
}

fn changed_event(person: &Person, now: Timestamp, kind: Kind) -> Event {
    Event::new(kind, now)
        .on(Target { name: Some(person.name.clone().into()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("person", person.id.to_string())
}

/// Writes down a change that the database took.
async fn done(
    house: &House,
    record: Record,
    changed: std::result::Result<bool, StoreError>,
    event: Event,
) -> Result<()> {
    match changed {
        Ok(true) => record.write(event).await,
        Ok(false) => {
            record.close().await;
            Err(Failure::new("the account is gone or was changed meanwhile").help("run the command again"))
        }
        // spec: T-95: "last admin protected"
        Err(StoreError::LastAdministrator) => {
            record.close().await;
            Err(Failure::new("nobody would be left who administers")
                .help("make another person administrator first: portcullis user admin NAME on"))
        }
        Err(error) => {
            record.close().await;
            Err(house.failed(error))
        }
    }
}

fn check_groups(groups: &[String]) -> Result<()> {
    match groups.iter().find(|group| group.trim().is_empty() || group.as_str() == "*") {
        Some(group) => Err(Failure::usage(format!("\"{}\" is not a name for a group", printable(group, 60)))
            .help("everyone is in \"*\" already; other names are free")),
        None => Ok(()),
    }
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
