//! `portcullis server`: which servers there are, and one of them looked at step by step, as if somebody connected.

use portcullis_base::printable;
use portcullis_gateway::{
    check::{CheckState, Step},
    config::{Network, Server},
    upstream::{Credential, DiscoverError, UpstreamError, stdio::Host},
};
use serde_json::json;

use crate::{
    abroad::{self, Abroad, From, Known, Unusable},
    args::ServerCommand,
    failure::{Failure, Result},
    house::House,
    output::{BAD, BOLD, DIM, WARN, json as print_json, line, note, print_check, styled, table},
    protect::{facts, probe},
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
        server.place.to_string(),
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
        "upstream": server.place.to_string(), "credential": server.credential.kind(), "groups": groups,
        "from": origin(*from), "cautions": server.cautions(),
    }));
}

async fn check(name: &str, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let known = abroad::server(name, &house).await?;
    if known.server.place.command().is_some() {
        return command(&known.server, json, &house).await;
    }
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

/// Looks at a server that is a command: what would be between it and everything else, and whether it answers.
async fn command(server: &Server, json: bool, house: &House) -> Result<()> {
    let host = Host::with_launcher(Host::THIS.into(), &house.config.data);
    let standing = host.standing(&server.process).await;
    let answer = match &standing {
        Ok(_) => Some(probe(server, house, &Credential::none()).await),
        Err(_) => None,
    };
    let wants = |error: &DiscoverError| {
        matches!(error, DiscoverError::Upstream(UpstreamError::Credentials { .. }))
            .then_some("it needs a key of its person, so it was not started")
    };
    let failed = answer.as_ref().and_then(|answer| answer.as_ref().err()).filter(|error| wants(error).is_none());
    if json {
        let lacks = standing.as_ref().map_or_else(|why| vec![why.clone()], |standing| standing.lacks.clone());
        print_json(&json!({
            "command": server.place.to_string(), "walled_off": standing.is_ok(), "lacks": lacks, "network": server.process.network.to_string(),
            "works": answer.is_some() && failed.is_none(), "error": failed.map(ToString::to_string),
        }));
    } else {
        line(format_args!("{} {}", styled(BOLD, &server.name), server.place));
        match &standing {
            Ok(standing) if standing.lacks.is_empty() => line("  ✓ it can be walled off completely"),
            Ok(standing) => {
                line("  ✓ it can be walled off as its settings want it");
                standing.lacks.iter().for_each(|lack| line(format_args!("  {} {lack}", styled(WARN, "!"))));
            }
            Err(why) => line(format_args!("  {} {why}", styled(BAD, "✗"))),
        }
        line(format_args!("  {} it reaches {}", styled(DIM, "·"), whom(&server.process.network)));
        match &answer {
            Some(Ok(found)) => line(format_args!("  ✓ it answers: {}", facts(found, &server.place))),
            Some(Err(error)) => match wants(error) {
                Some(why) => line(format_args!("  {} {why}", styled(WARN, "!"))),
                None => line(format_args!("  {} {}", styled(BAD, "✗"), printable(&error.to_string(), 600))),
            },
            None => {}
        }
    }
    if standing.is_ok() && failed.is_none() {
        Ok(())
    } else {
        Err(Failure::new("it does not work; calls fail like this"))
    }
}

/// Whom a server may reach, as a sentence goes on.
fn whom(network: &Network) -> String {
    match network {
        Network::None => "nobody".to_owned(),
        Network::Hosts(hosts) => format!("{hosts}, and nobody else"),
        Network::All => "whatever this machine reaches".to_owned(),
    }
}

fn counted(bad: usize) -> String {
    if bad == 1 { "one check".to_owned() } else { format!("{bad} checks") }
}

async fn examined(abroad: &Abroad, known: &Known, json: bool) -> Result<Vec<Step>> {
    let Some(server) = abroad.server(&known.server.name) else { return Ok(Vec::new()) };
    let mut stop = Stop::listen()?;
    if !json {
        note(styled(DIM, format_args!("asking {} …", known.server.place)));
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
