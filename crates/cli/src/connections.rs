//! `portcullis connections`: who is connected where, and the end of it. Nothing secret is shown: not even this command
//! opens what is sealed, but to give it back.

use std::collections::HashMap;

use portcullis_base::{Holder, PersonId, ServerName, Timestamp, printable};
use portcullis_gateway::{
    authority::Revocation,
    connections::{Disconnected, explain},
};
use portcullis_store::{Connection, ConnectionKind, ConnectionState, Paging};
use serde_json::{Value, json};

use crate::{
    abroad::{self, Abroad},
    args::{ConnectionsCommand, Whose},
    failure::{Failure, Result},
    house::{House, actor},
    output::{DIM, GOOD, WARN, json as print_json, line, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &ConnectionsCommand, settings: &Settings) -> Result<()> {
    match command {
        ConnectionsCommand::List { server, person, json } => {
            list(server.as_deref(), person.as_deref(), *json, settings).await
        }
        ConnectionsCommand::Show { server, whose, json } => show(server, whose, *json, settings).await,
        ConnectionsCommand::Disconnect { server, whose, everybody, json } => {
            disconnect(server, whose, *everybody, *json, settings).await
        }
    }
}

/// Names of people, by identifier.
struct Names(HashMap<PersonId, String>);

impl Names {
    async fn of(house: &House) -> Result<Self> {
        let people = house.store.people().await.map_err(|error| house.failed(error))?;
        Ok(Self(people.into_iter().map(|person| (person.id, person.name)).collect()))
    }

    fn holder(&self, holder: &Holder) -> String {
        match holder {
            Holder::Shared => "everybody".to_owned(),
            Holder::Person(id) => self.0.get(id).cloned().unwrap_or_else(|| id.to_string()),
        }
    }
}

async fn list(server: Option<&str>, person: Option<&str>, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let failed = |error| house.failed(error);
    let mut rows = match person {
        Some(name) => house.store.connections_of(&house.person(name).await?.id).await.map_err(failed)?,
        None => house.store.all_connections(Paging::WHOLE).await.map_err(failed)?.items,
    };
    if let Some(name) = server {
        // A server that is gone may still have left something behind.
        if !rows.iter().any(|row| row.server.as_str() == name) {
            abroad::server(name, &house).await?;
        }
        rows.retain(|row| row.server.as_str() == name);
    }
    let names = Names::of(&house).await?;
    if json {
        for row in &rows {
            print_json(&described(row, &names));
        }
        return Ok(());
    }
    if rows.is_empty() {
        line("Nobody is connected.");
        return Ok(());
    }
    let cells = |row: &Connection| {
        vec![
            row.server.to_string(),
            names.holder(&row.holder),
            row.account.clone().unwrap_or_default(),
            kind(row).to_owned(),
            state(row).to_owned(),
            row.used_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        ]
    };
    table(
        &["SERVER", "WHOSE", "ACCOUNT THERE", "KIND", "STATE", "LAST USED"],
        &rows.iter().map(cells).collect::<Vec<_>>(),
    );
    Ok(())
}

async fn show(server: &str, whose: &Whose, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let row = find(server, &holder(whose, &house).await?, &house).await?;
    let names = Names::of(&house).await?;
    if json {
        print_json(&described(&row, &names));
        return Ok(());
    }
    let text = |time: Option<Timestamp>, none: &str| time.map_or_else(|| none.to_owned(), |at| at.to_string());
    line(format_args!("{} at {}", names.holder(&row.holder), row.server));
    let facts = [
        ("state", state(&row).to_owned()),
        ("why", row.why.as_deref().map(|why| explain(why).to_owned()).unwrap_or_default()),
        ("kind", kind(&row).to_owned()),
        ("account there", row.account.clone().unwrap_or_default()),
        ("issuer", row.issuer.clone().unwrap_or_default()),
        ("client", row.client_id.clone().unwrap_or_default()),
        ("resource", row.resource.clone().unwrap_or_default()),
        ("scopes", row.scopes.join(" ")),
        ("made", row.created_at.to_string()),
        ("renewed", row.refreshed_at.to_string()),
        ("expires", text(row.expires_at, "not known")),
        ("last used", text(row.used_at, "never")),
        ("identifier", row.id.to_string()),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        line(format_args!("  {name:<14} {}", printable(fact, 600)));
    }
    Ok(())
}

async fn disconnect(server: &str, whose: &Whose, everybody: bool, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let rows = if everybody {
        let mut rows = house.store.all_connections(Paging::WHOLE).await.map_err(|error| house.failed(error))?.items;
        rows.retain(|row| row.server.as_str() == server);
        rows
    } else {
        vec![find(server, &holder(whose, &house).await?, &house).await?]
    };
    if rows.is_empty() {
        return Err(Failure::new(format!("nobody is connected at \"{}\"", printable(server, 60)))
            .help("portcullis connections list shows who is connected where"));
    }
    let names = Names::of(&house).await?;
    // A server that is gone, or whose settings are broken, must not keep anybody from ending what hangs on it.
    let known = abroad::server(server, &house).await.ok();
    let servers: Vec<_> = known.iter().map(|known| &known.server).collect();
    let record = house.record().await?;
    let ended = match Abroad::open(&servers, &house, &record, settings).await {
        Ok(abroad) => end(&rows, &abroad).await,
        Err(failure) => Err(failure),
    };
    record.finish().await?;
    let ended = ended?;
    let mut left = 0;
    for (row, end) in &ended {
        left += usize::from(matches!(end.revoked, Some(Revocation::Failed(_))));
        if json {
            print_json(&json!({
                "server": row.server.as_str(), "holder": names.holder(&row.holder), "issuer": end.issuer,
                "revoked": end.told(),
            }));
        } else {
            told(row, end, &names);
        }
    }
    match left {
        0 => Ok(()),
        _ => Err(Failure::new("disconnected here, but not taken back where it was issued")
            .help("remove the gateway in the account there, too")),
    }
}

async fn end<'r>(rows: &'r [Connection], abroad: &Abroad) -> Result<Vec<(&'r Connection, Disconnected)>> {
    let mut ended = Vec::new();
    for row in rows {
        let end = abroad.connections.disconnect(actor(), &row.holder, &row.server).await;
        // `None`: somebody else was faster, which is as good.
        if let Some(end) = end.map_err(|error| Failure::new(error.to_string()))? {
            ended.push((row, end));
        }
    }
    Ok(ended)
}

fn told(row: &Connection, end: &Disconnected, names: &Names) {
    let whose = names.holder(&row.holder);
    line(format_args!("{} {whose}: disconnected from {}", styled(GOOD, "✓"), row.server));
    let issuer = end.issuer.as_deref().unwrap_or_default();
    match &end.revoked {
        Some(Revocation::Done) => line(styled(DIM, format_args!("  {issuer} has taken its tokens back"))),
        Some(Revocation::NotOffered) => line(format_args!(
            "  {} {issuer} takes no tokens back: remove the gateway in the account there, too",
            styled(WARN, "!")
        )),
        Some(Revocation::Failed(why)) => {
            line(format_args!(
                "  {} {issuer} has not taken its tokens back: {}",
                styled(WARN, "!"),
                printable(why, 300)
            ));
        }
        None if row.kind == ConnectionKind::Key => {
            line(styled(DIM, "  The key is gone from here; it is good at the server until it is ended there."));
        }
        None => {}
    }
}

async fn holder(whose: &Whose, house: &House) -> Result<Holder> {
    match &whose.person {
        Some(name) => Ok(Holder::Person(house.person(name).await?.id)),
        None if whose.shared => Ok(Holder::Shared),
        None => Err(Failure::usage("whose connection?").help("name a person with --person NAME, or say --shared")),
    }
}

async fn find(server: &str, holder: &Holder, house: &House) -> Result<Connection> {
    let none = || {
        Failure::new(format!("there is no such connection at \"{}\"", printable(server, 60)))
            .help(format!("who is connected there: portcullis connections list --server {}", printable(server, 60)))
    };
    let name = ServerName::parse(server).map_err(|_| none())?;
    let found = house.store.connection(holder, &name).await.map_err(|error| house.failed(error))?;
    found.ok_or_else(none)
}

fn kind(row: &Connection) -> &'static str {
    match row.kind {
        ConnectionKind::OAuth => "oauth",
        ConnectionKind::Key => "key",
    }
}

fn state(row: &Connection) -> &'static str {
    match row.state {
        ConnectionState::Good if row.failing_since.is_some() => "cannot be renewed",
        ConnectionState::Good => "good",
        ConnectionState::NeedsSignIn => "needs sign-in",
    }
}

fn described(row: &Connection, names: &Names) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "id": row.id.as_str(), "server": row.server.as_str(), "holder": names.holder(&row.holder),
        "person": row.holder.person().map(PersonId::as_str), "shared": row.holder == Holder::Shared, "kind": kind(row),
        "state": state(row), "why": row.why, "account": row.account, "issuer": row.issuer, "client_id": row.client_id,
        "resource": row.resource, "scopes": row.scopes, "created_at": row.created_at.to_string(),
        "renewed_at": row.refreshed_at.to_string(), "expires_at": time(row.expires_at), "used_at": time(row.used_at),
    })
}
