//! `portcullis up`: the gateway, from the first line on the terminal to the last checkpoint of the journal.

use std::{io::IsTerminal, time::Duration};

use portcullis_base::ServerName;
use portcullis_gateway::{
    Running, StartError, Surroundings, config::LogFormat, feed::SAMPLE, journal::JournalError, start,
};
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    args::{Common, Up},
    failure::{Failure, Result},
    house::House,
    identity::all_groups,
    invocation,
    output::{BOLD, DIM, GOOD, LINK, WARN, line, note, styled},
    policy,
    settings::Settings,
    stop::Stop,
};

/// How long stopping may take. The listeners give requests in flight ten seconds of it; servers that are processes, and the
/// journal, are closed after them.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the gateway until it is asked to stop.
pub async fn run(args: &Up, common: &Common, settings: &Settings) -> Result<()> {
    log(settings)?;
    let mut stop = Stop::listen()?;
    let starting = start(settings.config.clone(), Surroundings::real(!args.no_sample));
    let running = tokio::select! {
        started = starting => started.map_err(failed)?,
        () = stop.asked() => return Err(Failure::new("stopped before the gateway was ready")),
    };
    leave_note(&running, settings);
    greet(&running, common);
    warn(settings).await;
    running.app.inspection.findings().iter().filter_map(policy::told).for_each(note);
    stop.asked().await;
    note("stopping: requests in flight may end, once more Ctrl-C does not wait");
    tokio::select! {
        stopped = tokio::time::timeout(PATIENCE, running.stop()) => {
            let Ok(stopped) = stopped else {
                note(format_args!("not everything ended within {} s; what did not was cut off", PATIENCE.as_secs()));
                return Ok(());
            };
            stopped.map_err(|error| Failure::new(format!("the journal could not be closed: {error}")))
        }
        () = stop.asked() => Err(Failure::new("stopped without waiting for requests in flight")),
    }
}

fn greet(running: &Running, common: &Common) {
    let config = &running.app.config;
    let url = &config.public_url;
    line(format_args!(
        "{} Portcullis {} is ready at {}",
        styled(GOOD, "✓"),
        env!("CARGO_PKG_VERSION"),
        styled(LINK, url)
    ));
    if let Some(token) = &running.invitation {
        line("");
        line(styled(BOLD, "There is no administrator yet. Open this link within an hour to become the first:"));
        line(format_args!("  {}", styled(LINK, format_args!("{url}/welcome/{token}"))));
    }
    line("");
    let servers = running.app.snapshot.load();
    let mut names: Vec<&ServerName> = servers.servers.keys().collect();
    names.sort();
    if names.is_empty() {
        line("No server is behind the gateway yet.");
    } else {
        line("Servers:");
    }
    for name in names.iter().take(20) {
        line(format_args!("  {}", styled(LINK, config.server_url(name))));
    }
    if names.len() > 20 {
        line(format_args!("  and {} more", names.len() - 20));
    }
    line("");
    line("Next:");
    let (command, flags) = (invocation::program(), invocation::flags(common));
    let which = names.iter().find(|name| name.as_str() == SAMPLE).or(names.first());
    if let Some(name) = which {
        let server = if names.len() > 1 { format!(" --server {name}") } else { String::new() };
        line(format_args!("  {command} connect claude-code{server} --write{flags}"));
        line(styled(DIM, "    or cursor, vscode, codex, gemini-cli, …: `connect --list` names all"));
    }
    line(format_args!("  {command} protect https://mcp.example.com/mcp{flags}"));
    line(styled(DIM, "    puts a server of yours behind the gateway"));
    line("");
    line(styled(
        DIM,
        format_args!(
            "Health and metrics at http://{}, data in {}. Ctrl-C stops.",
            config.operations,
            config.data.display()
        ),
    ));
}

/// Says what is allowed but deserves a thought.
async fn warn(settings: &Settings) {
    for caution in settings.config.cautions() {
        note(format_args!("{}: {caution}", styled(WARN, "caution")));
    }
    let groups = match House::existing(settings).await {
        Ok(house) => all_groups(&house).await,
        Err(failure) => Err(failure),
    };
    let Ok(groups) = groups else { return };
    // Before anybody has a group, none of them can be mistyped.
    if groups.iter().all(|group| group.members == 0) {
        return;
    }
    let stale: Vec<_> = groups.iter().filter(|group| group.is_stale()).map(|group| group.name.as_str()).collect();
    if !stale.is_empty() {
        note(format_args!(
            "{}: nobody has {}, which the settings name: portcullis identity groups --stale",
            styled(WARN, "caution"),
            portcullis_base::printable(&stale.join(", "), 300)
        ));
    }
}

/// Leaves the public URL for commands that are run beside the gateway: `--listen` is not in the settings they read.
fn leave_note(running: &Running, settings: &Settings) {
    let text = format!("{}\n", running.app.config.public_url);
    if let Err(error) = std::fs::write(settings.note(), text) {
        tracing::warn!(%error, "commands beside the gateway may print another URL");
    }
}

fn failed(error: StartError) -> Failure {
    match error {
        StartError::Rules(errors) => {
            let text: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Failure::usage(if errors.len() == 1 { "a rule is wrong" } else { "rules are wrong" }).help(text.join("\n"))
        }
        StartError::PrivateHost(_) | StartError::Certificates(_) => Failure::usage(error.to_string()),
        StartError::Journal(JournalError::InUse(_)) => Failure::new(error.to_string())
            .help("a gateway runs on this data directory already: stop it, or choose another with --data DIR"),
        other => Failure::new(other.to_string()),
    }
}

/// Logs go to standard error, in the form that `telemetry.log` says; `PORTCULLIS_LOG` sets how much: error, warn, info (the usual), debug, trace.
fn log(settings: &Settings) -> Result<()> {
    let level = settings.environment.get("PORTCULLIS_LOG").map_or("info", String::as_str);
    let parsed = level.parse::<tracing::level_filters::LevelFilter>();
    let level = parsed.map_err(|_| {
        Failure::usage(format!("PORTCULLIS_LOG is \"{}\"", portcullis_base::printable(level, 60)))
            .help("use error, warn, info, debug or trace")
    })?;
    let ours = Targets::new()
        .with_default(level.min(tracing::level_filters::LevelFilter::WARN))
        .with_target("portcullis", level)
        .with_target("portcullis_gateway", level)
        .with_target("portcullis_store", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let on_terminal = std::io::stderr().is_terminal();
    let lines = match settings.config.telemetry.log {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Auto if !on_terminal => lines.json().flatten_event(true).boxed(),
        LogFormat::Auto | LogFormat::Text => lines.with_ansi(on_terminal).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
    Ok(())
}
