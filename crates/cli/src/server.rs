//! `portcullis server`: which servers there are, and one of them looked at step by step, as if somebody connected.

use portcullis_base::printable;
use portcullis_gateway::check::{CheckState, Step};
use serde_json::json;

use crate::{
    abroad::{self, Abroad, From, Known, Unusable},
    args::ServerCommand,
    failure::{Failure, Result},
    house::House,
    output::{BAD, BOLD, DIM, WARN, json as print_json, line, note, print_check, styled, table},
    settings::Settings,
    stop::Stop,
};

/// Runs the command.
pub async fn run(command: &ServerCommand, settings: &Settings) -> Result<()> {
    match command {
        ServerCommand::List { json } => list(*json, settings).await,
        ServerCommand::Check { name, json } => check(name, *json, settings).await,
    }
}

async fn list(json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let (known, unusable) = abroad::servers(&house).await?;
    if json {
        for known in &known {
            print_server(known, settings);
        }
        for Unusable { name, why } in &unusable {
            print_json(&json!({ "name": name.as_str(), "unusable": why }));
        }
        return Ok(());
    }
    if known.is_empty() && unusable.is_empty() {
        line("No server is registered: portcullis protect URL puts one behind the gateway.");
        return Ok(());
    }
    table(&["NAME", "URL", "CREDENTIAL", "GROUPS", "FROM"], &known.iter().map(row).collect::<Vec<_>>());
    for Unusable { name, why } in &unusable {
        note(format_args!("{} {name} is not served: {}", styled(BAD, "✗"), printable(why, 600)));
    }
    for Known { server, .. } in &known {
        for caution in server.cautions() {
            note(format_args!("{} {}: {caution}", styled(WARN, "!"), server.name));
        }
    }
    Ok(())
}

fn row(known: &Known) -> Vec<String> {
    let Known { server, from } = known;
    let groups: Vec<_> = server.access.entries.iter().map(|entry| &*entry.group).collect();
    vec![
        server.name.to_string(),
        server.url[..url::Position::AfterPath].to_owned(),
        server.credential.kind().to_owned(),
        groups.join(", "),
        origin(*from).to_owned(),
    ]
}

fn origin(from: From) -> &'static str {
    match from {
        From::Settings => "settings",
        From::Database => "database",
    }
}

fn print_server(known: &Known, settings: &Settings) {
    let Known { server, from } = known;
    let groups: Vec<_> = server.access.entries.iter().map(|entry| &*entry.group).collect();
    print_json(&json!({
        "name": server.name.as_str(), "url": format!("{}/mcp/{}", settings.public_url(), server.name),
        "upstream": &server.url[..url::Position::AfterPath], "credential": server.credential.kind(), "groups": groups,
        "from": origin(*from), "cautions": server.cautions(),
    }));
}

async fn check(name: &str, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let known = abroad::server(name, &house).await?;
    let record = house.record().await?;
    let abroad = Abroad::open(&[&known.server], &house, &record, settings).await;
    let steps = match abroad {
        Ok(abroad) => examined(&abroad, &known, json).await,
        Err(failure) => Err(failure),
    };
    record.close().await;
    let steps = steps?;
    if json {
        for step in &steps {
            print_json(&json!(step));
        }
    } else {
        let heading = format!("{} ({})", known.server.name, known.server.credential.kind());
        line(styled(BOLD, heading));
        for (index, step) in steps.iter().enumerate() {
            show(index + 1, step);
        }
    }
    let bad = steps.iter().flat_map(|step| &step.checks).filter(|check| check.state == CheckState::Bad).count();
    match bad {
        0 => Ok(()),
        _ if known.server.credential.holders().is_some() => {
            Err(Failure::new(format!("{} failed; nobody can connect like this", counted(bad))))
        }
        _ => Err(Failure::new(format!("{} failed; calls fail like this", counted(bad)))),
    }
}

fn counted(bad: usize) -> String {
    if bad == 1 { "one check".to_owned() } else { format!("{bad} checks") }
}

async fn examined(abroad: &Abroad, known: &Known, json: bool) -> Result<Vec<Step>> {
    let Some(server) = abroad.server(&known.server.name) else { return Ok(Vec::new()) };
    let mut stop = Stop::listen()?;
    if !json {
        note(styled(DIM, format_args!("asking {} …", &known.server.url[..url::Position::AfterPath])));
    }
    tokio::select! {
        steps = abroad.authority.examine(&server) => Ok(steps),
        () = stop.asked() => Err(Failure::new("stopped")),
    }
}

fn show(number: usize, step: &Step) {
    line("");
    line(format_args!("{number}. {}", styled(BOLD, step.title)));
    if let Some(request) = &step.request {
        line(styled(DIM, format_args!("   → {}", printable(request, 600))));
    }
    for (index, text) in step.answer.iter().flat_map(|answer| answer.lines()).enumerate() {
        let arrow = if index == 0 { "←" } else { " " };
        line(styled(DIM, format_args!("   {arrow} {}", printable(text, 600))));
    }
    for check in &step.checks {
        print_check(check, "   ");
    }
}
