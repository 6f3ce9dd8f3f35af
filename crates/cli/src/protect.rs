//! `portcullis protect` and `unprotect`: a server put behind the gateway, and taken away again.

use std::{sync::Arc, time::Duration};

use portcullis_audit::{Event, Kind, Outcome, Target, Value};
use portcullis_base::{Clock, ServerName, printable};
use portcullis_gateway::{
    config::Server,
    feed::SAMPLE,
    outbound::{DialError, Dialer, Reach},
    upstream::{DiscoverError, Discovery, Limits, Location, Upstream, UpstreamError, UpstreamUrl},
};
use portcullis_oauth::grant::RevokedWhy;
use portcullis_store::ServerRow;
use serde_json::json;

use crate::{
    args::{Common, Protect},
    failure::{Failure, Result},
    house::House,
    invocation,
    output::{BOLD, DIM, GOOD, LINK, json as print_json, line, styled},
    settings::Settings,
};

/// Registers a server.
pub async fn protect(args: &Protect, common: &Common, settings: &Settings) -> Result<()> {
    let named = args.name.as_deref().map(parse_name).transpose()?;
    let url = Server::check_url(&args.url, args.private).map_err(|(what, help)| {
        let help = help.replace("example: url: ", "example: portcullis protect ");
        Failure::usage(format!("{} {what}", printable(&args.url, 200))).help(help)
    })?;
    let house = House::open(settings).await?;
    let known = known(&house).await?;
    let same = known.iter().find(|server| server.url == url);
    if let (Some(server), Some(named)) = (same, &named)
        && server.name != *named
    {
        return Err(Failure::new(format!("{url} is protected already, as \"{}\"", server.name))
            .help(format!("use that name, or run first: portcullis unprotect {}", server.name)));
    }
    if let Some(named) = &named {
        free(named, &url, &known)?;
    }
    let mut server = Server {
        name: placeholder(),
        url,
        access: if args.group.is_empty() {
            portcullis_policy::Access::default()
        } else {
            Server::access_of(args.group.iter().map(String::as_str))
        },
        timeout: Server::TIMEOUT,
        private: args.private,
        description: args.description.clone(),
        authorization: None,
    };
    let found = probe(&server, &house).await?;
    server.name = match (same, named) {
        (Some(same), _) => same.name.clone(),
        (None, Some(named)) => named,
        (None, None) => proposed(&found, &server, &known)?,
    };
    let changed = same.is_none_or(|same| *same != server);
    let in_file = house.config.servers.iter().any(|other| other.name == server.name);
    if changed && in_file {
        return Err(Failure::new(format!(
            "\"{}\" stands in the settings file, which this command does not change",
            server.name
        ))
        .help("change it there"));
    }
    if changed {
        register(&server, &house).await?;
    }
    let url = format!("{}/mcp/{}", settings.public_url(), server.name);
    if args.json {
        print_report(&server, &found, &url, changed);
    } else {
        print(&server, &found, &url, changed, common);
    }
    Ok(())
}

/// Takes a server away.
pub async fn unprotect(name: &str, settings: &Settings) -> Result<()> {
    let name = parse_name(name)?;
    let house = House::existing(settings).await?;
    if house.config.servers.iter().any(|server| server.name == name) {
        return Err(Failure::new(format!(
            "\"{name}\" stands in the settings file, which this command does not change"
        ))
        .help("take it out there and start the gateway again"));
    }
    let record = house.record().await?;
    let now = house.clock.now();
    match house.store.remove_server(&name, now).await {
        Ok(true) => {}
        Ok(false) => {
            record.close().await;
            return Err(unknown(&name, &known(&house).await?));
        }
        Err(error) => {
            record.close().await;
            return Err(house.failed(error));
        }
    }
    // spec: T-34: a server that comes to stand under this name later is another one, for which nobody consented.
    let resource = format!("{}/mcp/{name}", settings.public_url());
    let ended = match house.store.revoke_grants_at(&resource, RevokedWhy::ServerRemoved, now).await {
        Ok(ended) => ended,
        Err(error) => {
            record.close().await;
            return Err(house.failed(error));
        }
    };
    let event = Event::new(Kind::ServerRemoved, now)
        .on(Target { server: Some(name.clone()), ..Target::default() })
        .outcome(Outcome::Success)
        .number("grants_ended", ended.len() as i64);
    record.write(event).await?;
    line(format_args!("{} {name} is no longer served; tokens for it are worth nothing now", styled(GOOD, "✓")));
    Ok(())
}

fn unknown(name: &ServerName, known: &[Server]) -> Failure {
    let names: Vec<_> = known.iter().map(|server| server.name.as_str()).collect();
    let failure = Failure::new(format!("there is no server \"{name}\""));
    match portcullis_policy::nearest(name.as_str(), names.iter().copied()) {
        Some(near) => failure.help(format!("did you mean \"{near}\"?")),
        None if names.is_empty() => failure.help("no server is registered"),
        None => failure.help(format!("servers: {}", names.join(", "))),
    }
}

/// Asks the server what it speaks.
async fn probe(server: &Server, house: &House) -> Result<Discovery> {
    let url = UpstreamUrl::parse(server.url.as_str()).map_err(|error| Failure::usage(error.to_string()))?;
    let dialer = Dialer::new(house.config.outbound.ca_file.as_deref())
        .map_err(|error| Failure::new(error.to_string()).help("check `outbound.ca_file` in the settings"))?;
    let reach = if server.may_be_private() { Reach::Private } else { Reach::Global };
    let limits =
        Limits { head: Duration::from_secs(10), idle: Duration::from_secs(10), total: Duration::from_secs(20) };
    let upstream = Arc::new(Upstream::new(server.name.clone(), Location::Url { url, reach }, &dialer, limits));
    upstream.discover().await.map_err(|error| refused(server, &error))
}

fn refused(server: &Server, error: &DiscoverError) -> Failure {
    let url = &server.url;
    let text = printable(&error.to_string(), 400);
    match error {
        DiscoverError::Upstream(UpstreamError::Unreachable(DialError::Refused(_))) if !server.private => {
            Failure::new(format!("{url} is on a private network: {text}"))
                .help("if that network is yours, add --private")
        }
        DiscoverError::Upstream(UpstreamError::Credentials(_)) => {
            Failure::new(format!("{url} asks for a credential: {text}"))
                .help("servers that need one cannot be protected in this version")
        }
        DiscoverError::Upstream(UpstreamError::Unreachable(_)) => {
            Failure::new(format!("{url} cannot be reached: {text}"))
                .help("check address and port, and that the server runs")
        }
        DiscoverError::Upstream(UpstreamError::Late) | DiscoverError::Unavailable(_) => {
            Failure::new(format!("{url} does not answer as it should: {text}"))
                .help("try again when the server is well")
        }
        DiscoverError::Upstream(_) | DiscoverError::NotMcp(_) => {
            Failure::new(format!("{url} is not an MCP endpoint: {text}"))
                .help("the URL must be that of the Streamable HTTP endpoint; it often ends in /mcp")
        }
        DiscoverError::Version(_) => Failure::new(format!("{url} cannot be served: {text}"))
            .help("bring the server to revision 2025-03-26 of MCP or later"),
    }
}

/// Every server that is known: of the settings, then of the database.
async fn known(house: &House) -> Result<Vec<Server>> {
    let mut servers = house.config.servers.clone();
    for row in house.store.servers().await.map_err(|error| house.failed(error))? {
        match Server::from_json(&row.entry_json) {
            Ok(server) if servers.iter().all(|other| other.name != server.name) => servers.push(server),
            Ok(_) => {}
            Err(error) => {
                return Err(Failure::new(format!(
                    "the entry of \"{}\" in the database cannot be read: {error}",
                    row.name
                )));
            }
        }
    }
    Ok(servers)
}

fn parse_name(text: &str) -> Result<ServerName> {
    ServerName::parse(text).map_err(|error| {
        let failure = Failure::usage(error.to_string());
        match ServerName::nearest(text) {
            Some(near) => failure.help(format!("did you mean \"{near}\"?")),
            None => failure,
        }
    })
}

/// Refuses a name that something else has.
fn free(name: &ServerName, url: &url::Url, known: &[Server]) -> Result<()> {
    let other = known.iter().find(|server| server.name == *name && server.url != *url);
    let taken = other
        .map(|server| server.url.to_string())
        .or_else(|| (name.as_str() == SAMPLE).then(|| "the sample server".to_owned()));
    match taken {
        None => Ok(()),
        Some(what) => Err(Failure::new(format!("the name \"{name}\" is taken by {what}"))
            .help(format!("choose another: --name {}", numbered(name, known)))),
    }
}

/// The name a server gives itself, or that of its host, made free.
fn proposed(found: &Discovery, server: &Server, known: &[Server]) -> Result<ServerName> {
    let own = found.name.as_deref().and_then(|name| ServerName::nearest(name.rsplit('/').next().unwrap_or(name)));
    let host = || server.url.host_str().and_then(ServerName::nearest);
    let name = own
        .or_else(host)
        .ok_or_else(|| Failure::usage("no name can be made for this server").help("give it one: --name NAME"))?;
    Ok(if free(&name, &server.url, known).is_ok() { name } else { numbered(&name, known) })
}

/// `name-2`, or the first number after it that is free.
fn numbered(name: &ServerName, known: &[Server]) -> ServerName {
    let names = (2..).filter_map(|n| {
        let stem = &name.as_str()[..name.as_str().len().min(27)];
        ServerName::parse(&format!("{}-{n}", stem.trim_end_matches('-'))).ok()
    });
    let mut free = names.filter(|name| known.iter().all(|server| server.name != *name));
    free.next().unwrap_or_else(placeholder)
}

/// A name for a server that has none yet.
fn placeholder() -> ServerName {
    ServerName::parse("server").expect("these letters make a server name")
}

async fn register(server: &Server, house: &House) -> Result<()> {
    let record = house.record().await?;
    let now = house.clock.now();
    let row = ServerRow {
        name: server.name.clone(),
        entry_json: server.to_json(),
        created_at: now,
        created_by: "cli".into(),
    };
    if let Err(error) = house.store.put_server(&row, now).await {
        record.close().await;
        return Err(house.failed(error));
    }
    let groups = server.access.entries.iter().map(|entry| entry.group.to_string()).collect();
    let event = Event::new(Kind::ServerProtected, now)
        .on(Target { server: Some(server.name.clone()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("url", address(&server.url))
        .detail("groups", Value::List(groups));
    record.write(event).await
}

/// A URL without its query, which may be a secret of somebody.
fn address(url: &url::Url) -> String {
    url[..url::Position::AfterPath].to_owned()
}

fn print_report(server: &Server, found: &Discovery, url: &str, changed: bool) {
    let versions: Vec<_> = found.versions.iter().map(ToString::to_string).collect();
    print_json(&json!({
        "name": server.name.as_str(), "url": url, "upstream": server.url.as_str(), "changed": changed,
        "server": { "name": found.name, "version": found.version, "tools": found.tools, "revisions": versions },
    }));
}

fn print(server: &Server, found: &Discovery, url: &str, changed: bool, common: &Common) {
    let name = &server.name;
    let state = if changed { "is behind the gateway" } else { "is behind the gateway already" };
    line(format_args!("{} {} {state}: {}", styled(GOOD, "✓"), styled(BOLD, name), styled(LINK, url)));
    let own = [found.name.as_deref(), found.version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let tools = found.tools.map(|tools| format!("{tools} tools")).unwrap_or_default();
    let versions: Vec<_> = found.versions.iter().map(ToString::to_string).collect();
    let facts = [own, tools, format!("MCP {}", versions.join(", "))];
    let facts: Vec<_> = facts.into_iter().filter(|text| !text.is_empty()).collect();
    line(styled(DIM, format_args!("  {}: {}", server.url, printable(&facts.join(", "), 300))));
    let (program, flags) = (invocation::program(), invocation::flags(common));
    line("");
    line("Put it into a client:");
    line(format_args!("  {program} connect claude-code --server {name} --write{flags}"));
    line(styled(DIM, "    or cursor, vscode, codex, gemini-cli, …: `connect --list` names all"));
    line("or paste this into the settings of any other:");
    line(format_args!("  {}", json!({ "mcpServers": { name.as_str(): { "type": "http", "url": url } } })));
}
