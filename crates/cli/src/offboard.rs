//! `portcullis offboard`: the end of a person's access, and the signed report of it.

use std::{
    fs,
    io::{BufRead, IsTerminal},
    path::{Path, PathBuf},
};

use portcullis_audit::PublicKeys;
use portcullis_base::{Clock, PersonId, printable};
use portcullis_gateway::offboard::{Done, How, OffboardError, Offboarding, Report, ReportError};
use portcullis_store::{Extent, Person, PersonKind};
use serde_json::{Value, json};

use crate::{
    abroad::{self, Abroad},
    args::Offboard,
    failure::{Failure, Result},
    house::House,
    identity::providers,
    output::{BOLD, DIM, GOOD, WARN, json as print_json, line, note, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(args: &Offboard, settings: &Settings) -> Result<()> {
    if let Some(file) = &args.verify {
        return verify(file, args, settings);
    }
    let house = House::existing(settings).await?;
    let person = find(args.person.as_deref().unwrap_or_default(), &house).await?;
    if !args.yes {
        announce(&person, &house).await?;
        confirm(&person)?;
    }
    let done = end(&person, &house, settings).await?;
    if let Some(path) = &args.report {
        fs::write(path, &done.text).map_err(|error| {
            Failure::new(format!(
                "{} is offboarded, but the report cannot be written to {}: {error}",
                person.name,
                path.display()
            ))
            .help(format!("it is kept as {}", done.report.id))
        })?;
    }
    if args.json {
        print_json(&serde_json::from_str(&done.text).unwrap_or(Value::Null));
    } else {
        show(&done.report);
        if let Some(path) = &args.report {
            line(styled(DIM, format_args!("The signed report is in {}.", path.display())));
        }
    }
    match done.report.left.len() {
        0 => Ok(()),
        1 => Err(Failure::new(format!("{} is offboarded, but one thing did not end", person.name))),
        left => Err(Failure::new(format!("{} is offboarded, but {left} things did not end", person.name))),
    }
}

/// The person of this account name, identifier or e-mail address.
async fn find(who: &str, house: &House) -> Result<Person> {
    let by_id = house.store.person(&PersonId::new(who)).await.map_err(|error| house.failed(error))?;
    let found = match by_id {
        Some(person) => person,
        None => match house.person(who).await {
            Ok(person) => person,
            Err(unknown) if !who.contains('@') => return Err(unknown),
            Err(unknown) => by_email(who, house, unknown).await?,
        },
    };
    if found.kind == PersonKind::Service {
        return Err(Failure::new(format!("{} is a service account and no person", found.name))
            .help(format!("portcullis service-account disable {}", found.name)));
    }
    Ok(found)
}

/// An address identifies somebody only where nobody else has it.
async fn by_email(address: &str, house: &House, unknown: Failure) -> Result<Person> {
    let mut people = house.store.people().await.map_err(|error| house.failed(error))?;
    people.retain(|person| person.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(address)));
    match people.len() {
        0 => Err(unknown),
        1 => Ok(people.remove(0)),
        count => {
            let names: Vec<_> = people.iter().map(|person| format!("{} ({})", person.name, person.id)).collect();
            Err(Failure::new(format!("{count} people have the address {}", printable(address, 100)))
                .help(format!("name one of them: {}", names.join(", "))))
        }
    }
}

/// Says what will end.
async fn announce(person: &Person, house: &House) -> Result<()> {
    let now = house.clock.now();
    let failed = |error| house.failed(error);
    let sessions = house.store.sessions_of(&person.id, now).await.map_err(failed)?.len();
    let keys = house.store.access_keys_of(&person.id, now).await.map_err(failed)?.len();
    let clients = house.store.grants_of(&person.id, now).await.map_err(failed)?.len().saturating_sub(keys);
    let connections = house.store.connections_of(&person.id).await.map_err(failed)?.len();
    let identities = house.store.identities_of(&person.id).await.map_err(failed)?;
    let providers: Vec<_> = identities.iter().map(|identity| identity.provider.as_str()).collect();
    let address = person.email.as_ref().map(|email| format!(", {email}")).unwrap_or_default();
    note(format_args!("{} ({}{address})", styled(BOLD, printable(&person.name, 100)), person.id));
    note(format_args!(
        "  {}, {}, {}, {} will end{}",
        counted(sessions, "signed-in browser"),
        counted(clients, "client"),
        counted(keys, "access key"),
        counted(connections, "connection"),
        if providers.is_empty() { String::new() } else { format!("; {} will be told", providers.join(", ")) },
    ));
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn confirm(person: &Person) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nobody is there to be asked").help("run it on a terminal, or say --yes"));
    }
    note(format_args!("End all of it? Write the account name to go on:"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim().eq_ignore_ascii_case(&person.name) {
        return Ok(());
    }
    Err(Failure::new("nothing was ended"))
}

/// Ends a person's access with everything that hangs on it.
pub async fn end(person: &Person, house: &House, settings: &Settings) -> Result<Done> {
    let keys = house.keys().await?;
    let providers = providers(settings)?;
    let (known, _) = abroad::servers(house).await?;
    let servers: Vec<_> = known.iter().map(|known| &known.server).collect();
    let record = house.record().await?;
    let abroad = Abroad::as_far_as_possible(&servers, house, &record, settings).await;
    let mut offboarding = Offboarding::new(record.desk(house), &keys).through(&providers);
    if let Some(abroad) = &abroad {
        offboarding = offboarding.connections(&abroad.connections);
    }
    let done = offboarding.end(&person.id, Extent::Account, &How::Command).await;
    drop(offboarding);
    record.finish().await?;
    match done {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(Failure::new(format!("{} is gone already", person.name))),
        Err(OffboardError::Store(error)) => Err(house.failed(error)),
        Err(OffboardError::Desk(error)) => Err(house.undone(error)),
        // spec: T-95: "last admin protected"
        Err(error @ OffboardError::LastAdministrator(_)) => {
            Err(Failure::new(error.to_string()).help("portcullis user admin NAME on"))
        }
    }
}

fn show(report: &Report) {
    line(format_args!("{} {} is offboarded", styled(GOOD, "✓"), printable(&report.name, 100)));
    let ended = &report.ended;
    let clients: Vec<_> = ended.grants.iter().map(|grant| format!("{} at {}", grant.client, grant.resource)).collect();
    let rows = [
        ("signed-in browsers", ended.sessions.to_string(), String::new()),
        ("grants of clients", (ended.grants.len() as u64 - ended.access_keys).to_string(), clients.join(", ")),
        ("access keys", ended.access_keys.to_string(), String::new()),
        ("remembered consents", ended.consents.to_string(), String::new()),
        (
            "connections to servers",
            ended.connections.len().to_string(),
            ended
                .connections
                .iter()
                .map(|one| format!("{} ({})", one.server, one.revoked))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("calls that waited for a word", ended.rights.approvals.to_string(), String::new()),
        ("approvals ahead", ended.rights.standing.to_string(), String::new()),
        ("wishes for access", ended.rights.wishes.to_string(), String::new()),
        ("rights for a time", ended.rights.access.to_string(), String::new()),
        ("words lent", ended.rights.delegations.to_string(), String::new()),
        ("passkeys", ended.rights.passkeys.to_string(), String::new()),
        ("tokens given back to providers", ended.given_back.len().to_string(), ended.given_back.join(", ")),
    ];
    let rows = rows.into_iter().map(|(what, count, which)| vec![what.to_owned(), count, which]);
    table(&["ENDED", "HOW MANY", "WHICH"], &rows.collect::<Vec<_>>());
    for left in &report.left {
        line(format_args!(
            "{} not ended: {}: {}",
            styled(WARN, "!"),
            printable(&left.what, 200),
            printable(&left.why, 400)
        ));
    }
    line(styled(
        DIM,
        format_args!("Report {} is kept; portcullis offboard --verify FILE checks a copy of it.", report.id),
    ));
}

/// Checks that a report was written by this deployment, or by the one whose public keys are named.
fn verify(file: &Path, args: &Offboard, settings: &Settings) -> Result<()> {
    let text = fs::read(file).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
    let mut why = None;
    for path in key_files(args, settings)? {
        let keys =
            fs::read(&path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        let keys = PublicKeys::parse(&keys).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        match Report::verify(&text, &keys) {
            Ok(report) => {
                said(&report, &path, args.json);
                return Ok(());
            }
            Err(error) => why = Some(error),
        }
    }
    let why = why
        .map_or_else(|| "there is no public key to check it with".to_owned(), |error: ReportError| error.to_string());
    if args.json {
        print_json(&json!({ "genuine": false, "why": why }));
    }
    Err(Failure::new(format!("{} is not to be believed: {why}", file.display())))
}

/// The public keys of the journals of this data directory, or the file that was named.
fn key_files(args: &Offboard, settings: &Settings) -> Result<Vec<PathBuf>> {
    if let Some(path) = &args.key {
        return Ok(vec![path.clone()]);
    }
    let directory = settings.config.data.join("journal");
    let entries = fs::read_dir(&directory).map_err(|error| {
        Failure::new(format!("the public keys of this gateway are needed: {}: {error}", directory.display()))
            .help("name the data directory with --data DIR, or the key with --key FILE")
    })?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".pub.json"));
    files.sort();
    Ok(files)
}

fn said(report: &Report, key: &Path, json: bool) {
    if json {
        print_json(&json!({
            "genuine": true, "key": key.display().to_string(), "id": report.id, "at": report.at.to_string(),
            "person": report.person.as_str(), "name": report.name, "not_ended": report.left.len(),
        }));
        return;
    }
    let by = report.by.name.as_deref().unwrap_or("the gateway");
    line(format_args!("{} genuine, signed with {}", styled(GOOD, "✓"), key.display()));
    line(format_args!(
        "  {} ({}) at {}, by {} ({})",
        printable(&report.name, 100),
        report.person,
        report.at,
        printable(by, 100),
        report.by.how.as_str()
    ));
    let ended = &report.ended;
    line(format_args!(
        "  ended: {}, {}, {}; not ended: {}",
        counted(usize::try_from(ended.sessions).unwrap_or(usize::MAX), "signed-in browser"),
        counted(ended.grants.len(), "grant"),
        counted(usize::try_from(ended.consents).unwrap_or(usize::MAX), "consent"),
        report.left.len()
    ));
    for left in &report.left {
        line(format_args!("  {} {}: {}", styled(WARN, "!"), printable(&left.what, 200), printable(&left.why, 400)));
    }
}
