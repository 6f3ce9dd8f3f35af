//! `portcullis protect` and `unprotect`: a server put behind the gateway, and taken away again.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use portcullis_audit::{Event, Kind, Outcome, Target, Value as Detail};
use portcullis_base::{Class, Classes, Clock, ServerName, printable};
use portcullis_gateway::{
    authority::Found,
    config::{self, Entry, Granted, Holders, NamedClasses, Place, Problems, Server},
    connections::GivenBack,
    feed::SAMPLE,
    outbound::Dialer,
    snapshot,
    toolbox::ALL,
    upstream::{Credential, DiscoverError, Discovery, Limits, Upstream, stdio::Host},
};
use portcullis_oauth::grant::RevokedWhy;
use portcullis_policy::{AccessEntry, Misread};
use portcullis_store::ServerRow;
use serde_json::{Value, json};

use self::asks::Asked;
use crate::{
    abroad::{self, Abroad},
    args::{Common, Protect},
    failure::{Failure, Result},
    house::{House, Record},
    invocation,
    output::{BOLD, DIM, GOOD, LINK, WARN, json as print_json, line, styled},
    settings::Settings,
};

mod api;
mod asks;

/// Registers a server.
pub async fn protect(args: &Protect, common: &Common, settings: &Settings) -> Result<()> {
    let named = args.name.as_deref().map(parse_name).transpose()?;
    let described = args.openapi.as_deref().map(|file| api::read(file, args)).transpose()?;
    let place = match &described {
        Some(described) => Place::OpenApi(described.document.clone()),
        None => place(args)?,
    };
    let house = House::open(settings).await?;
    let known = known(&house).await?;
    let same = known.iter().find(|server| is_same(&server.place, &place)).cloned();
    let same = same.as_ref();
    if let (Some(server), Some(named)) = (same, &named)
        && server.name != *named
    {
        return Err(Failure::new(format!("{place} is protected already, as \"{}\"", server.name))
            .help(format!("use that name, or run first: portcullis unprotect {}", server.name)));
    }
    if let Some(named) = &named {
        free(named, &place, &known)?;
    }
    let mut entry = Entry {
        name: same.map_or_else(placeholder, |same| same.name.clone()),
        // Without a word about its credential, it stays as it is.
        place: same.filter(|_| !asks::is_said(args)).map_or(place, |same| same.place.clone()),
        access: access(args)?,
        timeout: Server::TIMEOUT,
        private: args.private,
        description: args.description.clone(),
        more: match same {
            Some(same) => said_before(&same.name, &house).await?,
            None => BTreeMap::new(),
        },
    };
    entry.more.extend(said_of_command(args)?);
    let asked = if let Some(described) = described {
        api::ask(described, &mut entry, args, &house, settings).await?
    } else {
        if let Some(credential) = asks::chosen(args)? {
            entry.more.insert("credential".into(), credential);
        }
        asks::ask(&mut entry, args, &house, settings).await?
    };
    entry.name = match (same, named) {
        (Some(same), _) => same.name.clone(),
        (None, Some(named)) => named,
        (None, None) => proposed(&asked, &entry.place, &known)?,
    };
    let server = entry.server(&house.config.environment).map_err(|problems| unusable(&problems))?;
    let changed = same.is_none_or(|same| *same != server);
    let in_file = house.config.servers.iter().any(|other| other.name == server.name);
    if changed && in_file {
        return Err(Failure::new(format!(
            "\"{}\" stands in the settings file, which this command does not change",
            server.name
        ))
        .help("change it there"));
    }
    let toolboxes = house.config.toolboxes.iter().map(|toolbox| toolbox.name.as_str());
    if changed && toolboxes.chain([ALL]).any(|name| name == server.name.as_str()) {
        return Err(Failure::new(format!("\"{}\" is the name of a toolbox", server.name))
            .help("give the server another name with --name"));
    }
    if changed {
        register(&entry, &house).await?;
    }
    let url = format!("{}/mcp/{}", settings.public_url(), server.name);
    let report = Report { server: &server, asked: &asked, url: &url, changed };
    if args.json {
        report.print_json();
    } else {
        report.print(common, settings);
    }
    Ok(())
}

/// Where the flags say that the server is.
fn place(args: &Protect) -> Result<Place> {
    let Some(url) = &args.url else { return Ok(Place::Command(args.command.clone())) };
    let url = Server::check_url(url, args.private).map_err(|(what, help)| {
        let help = help.replace("example: url: ", "example: portcullis protect ");
        Failure::usage(format!("{} {what}", printable(url, 200))).help(help)
    })?;
    Ok(Place::Url(url))
}

/// Whether it is one server at both: an API is itself, wherever its key goes.
fn is_same(one: &Place, other: &Place) -> bool {
    match (one.openapi(), other.openapi()) {
        (Some(one), Some(other)) => (&one.file, &one.url) == (&other.file, &other.url),
        _ => one == other,
    }
}

/// What the flags say of a command, as the settings would write it. The gateway may run in another directory than this
/// program, so paths are written whole.
fn said_of_command(args: &Protect) -> Result<Vec<(String, Value)>> {
    let mut said = Vec::new();
    for (key, paths) in [("read", &args.read), ("write", &args.write)] {
        let whole = |path: &PathBuf| {
            std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        };
        let paths = paths.iter().map(whole).collect::<Result<Vec<_>>>()?;
        if !paths.is_empty() {
            said.push((key.to_owned(), json!(paths)));
        }
    }
    let public = args.reach.iter().map(|host| json!(host));
    let private = args.reach_private.iter().map(|host| json!({ "host": host, "private": true }));
    let hosts: Vec<_> = public.chain(private).collect();
    if args.network {
        said.push(("network".to_owned(), json!("all")));
    } else if !hosts.is_empty() {
        said.push(("network".to_owned(), json!(hosts)));
    }
    if let Some(name) = &args.key_variable {
        said.push(("credential".to_owned(), json!({ "kind": "env", "name": name, "shared": args.shared })));
    }
    Ok(said)
}

/// What was said of a server before, beyond the flags of this command.
async fn said_before(name: &ServerName, house: &House) -> Result<BTreeMap<String, Value>> {
    let rows = house.store.servers().await.map_err(|error| house.failed(error))?;
    let row = rows.into_iter().find(|row| row.name == *name);
    Ok(row.and_then(|row| Entry::from_json(&row.entry_json).ok()).map(|entry| entry.more).unwrap_or_default())
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
    // A gateway whose settings name a server that is not there does not start.
    if let Some(toolbox) = house.config.toolboxes.iter().find(|toolbox| toolbox.share(name.as_str()).is_some()) {
        return Err(Failure::new(format!("the toolbox \"{}\" has tools of \"{name}\"", toolbox.name))
            .help("take it out of the toolbox in the settings first"));
    }
    let gone = abroad::server(name.as_str(), &house).await.ok();
    let servers: Vec<_> = gone.iter().map(|known| &known.server).collect();
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
    let given_back = end_connections(&name, &servers, &house, &record, settings).await;
    let event = Event::new(Kind::ServerRemoved, now)
        .on(Target { server: Some(name.clone()), ..Target::default() })
        .outcome(Outcome::Success)
        .number("grants_ended", ended.len() as i64);
    record.write(event).await?;
    line(format_args!("{} {name} is no longer served; tokens for it are worth nothing now", styled(GOOD, "✓")));
    for given in given_back? {
        let account = given.account.as_deref().map(|account| format!(" as {}", printable(account, 100)));
        line(format_args!(
            "  a connection{} was deleted; at its issuer: {}",
            account.unwrap_or_default(),
            given.end.told()
        ));
    }
    Ok(())
}

/// Nobody comes back to what was given for a server that is gone. spec: UP-47
async fn end_connections(
    name: &ServerName,
    servers: &[&Server],
    house: &House,
    record: &Record,
    settings: &Settings,
) -> Result<Vec<GivenBack>> {
    let undone = || {
        Failure::new(format!("{name} is gone, but what people had there could not be ended"))
            .help(format!("portcullis connections disconnect {name} --everybody"))
    };
    let abroad = Abroad::as_far_as_possible(servers, house, record, settings).await.ok_or_else(undone)?;
    let ended = abroad.connections.disconnect_all(&record.desk(house).by, name).await;
    ended.map_err(|error| undone().help(error.to_string()))
}

fn unusable(problems: &Problems) -> Failure {
    Failure::usage("the server cannot be set up so").help(problems.to_string())
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
pub(crate) async fn probe(
    server: &Server,
    house: &House,
    credential: &Credential,
) -> std::result::Result<Discovery, DiscoverError> {
    // What cannot be set up was refused before: certificates of an entry and the authority of the settings.
    let unset = |_| DiscoverError::NotMcp("its entry or outbound.ca_file cannot be used".into());
    let seen = snapshot::Server::of(server).map_err(|error| DiscoverError::NotMcp(error.to_string()))?;
    let dialer = Dialer::new(house.config.outbound.ca_file.as_deref()).map_err(unset)?;
    // A program may have to be fetched before it answers.
    let (head, total) = if server.place.command().is_some() { (60, 80) } else { (10, 20) };
    let (head, total) = (Duration::from_secs(head), Duration::from_secs(total));
    let limits = Limits { head, idle: head, total, ..Limits::default() };
    // In a directory of its own: what it writes while it is tried is nobody's.
    let host = Host::with_launcher(Host::THIS.into(), &house.config.data);
    Arc::new(Upstream::hosted(seen.name, seen.location, &dialer, limits, Some(&host))).look(credential).await
}

/// Every server that is known: of the settings, then of the database.
async fn known(house: &House) -> Result<Vec<Server>> {
    let mut servers = house.config.servers.clone();
    for row in house.store.servers().await.map_err(|error| house.failed(error))? {
        let entry = Entry::from_json(&row.entry_json).map_err(|error| error.to_string());
        let server = entry.and_then(|entry| entry.server(&house.config.environment).map_err(|error| error.to_string()));
        match server {
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
fn free(name: &ServerName, place: &Place, known: &[Server]) -> Result<()> {
    let other = known.iter().find(|server| server.name == *name && !is_same(&server.place, place));
    let taken = other
        .map(|server| server.place.to_string())
        .or_else(|| (name.as_str() == SAMPLE).then(|| "the sample server".to_owned()));
    match taken {
        None => Ok(()),
        Some(what) => Err(Failure::new(format!("the name \"{name}\" is taken by {what}"))
            .help(format!("choose another: --name {}", numbered(name, known)))),
    }
}

/// The name a server gives itself, or that of its host, made free.
fn proposed(asked: &Asked, place: &Place, known: &[Server]) -> Result<ServerName> {
    let own = match asked {
        Asked::Open(found) => found.name.as_deref(),
        Asked::Described(described, _) => Some(described.api.title.as_str()),
        Asked::OAuth(_) | Asked::Closed => None,
    };
    let own = own.and_then(|name| ServerName::nearest(name.rsplit('/').next().unwrap_or(name)));
    let host = || match place.command() {
        Some(argv) => argv.first()?.rsplit('/').next().and_then(ServerName::nearest),
        None => place.url()?.host_str().and_then(ServerName::nearest),
    };
    let name = own
        .or_else(host)
        .ok_or_else(|| Failure::usage("no name can be made for this server").help("give it one: --name NAME"))?;
    Ok(if free(&name, place, known).is_ok() { name } else { numbered(&name, known) })
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

/// Who may use it: what they may not do without being asked asks.
fn access(args: &Protect) -> Result<Vec<Granted>> {
    let groups = if args.group.is_empty() { vec!["*".to_owned()] } else { args.group.clone() };
    if args.allow.is_empty() {
        return Ok(groups.into_iter().map(Granted::Safely).collect());
    }
    let mut allow = Classes::from(Class::Read);
    for word in &args.allow {
        let classes = AccessEntry::classes(word).map_err(|Misread { message, nearest }| {
            let failure = Failure::usage(format!("--allow: {message}"));
            match nearest {
                Some(nearest) => failure.help(format!("did you mean \"{nearest}\"?")),
                None => failure,
            }
        });
        allow = allow.or(classes?);
    }
    let rest: Classes = Class::ALL.iter().copied().filter(|class| !allow.contains(*class)).collect();
    let ask = (!rest.is_empty()).then_some(NamedClasses(rest));
    let granted = |group| Granted::Named { group, allow: Some(NamedClasses(allow)), ask };
    Ok(groups.into_iter().map(granted).collect())
}

async fn register(entry: &Entry, house: &House) -> Result<()> {
    let record = house.record().await?;
    let now = house.clock.now();
    let row =
        ServerRow { name: entry.name.clone(), entry_json: entry.to_json(), created_at: now, created_by: "cli".into() };
    if let Err(error) = house.store.put_server(&row, now).await {
        record.close().await;
        return Err(house.failed(error));
    }
    let groups = entry.access.iter().map(|granted| granted.group().to_owned()).collect();
    let event = Event::new(Kind::ServerProtected, now)
        .on(Target { server: Some(entry.name.clone()), ..Target::default() })
        .outcome(Outcome::Success)
        .text("url", entry.place.to_string())
        .detail("groups", Detail::List(groups));
    record.write(event).await
}

/// What a server says of itself.
pub(crate) fn facts(found: &Discovery, place: &Place) -> String {
    let own = [found.name.as_deref(), found.version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let tools = match found.tools {
        Some(1) => "1 tool".to_owned(),
        Some(tools) => format!("{tools} tools"),
        None => String::new(),
    };
    // A command is spoken to in whatever it speaks, and nobody else sees that.
    let versions: Vec<_> = match place {
        Place::Command(_) => Vec::new(),
        Place::Url(_) | Place::OpenApi(_) => found.versions.iter().map(ToString::to_string).collect(),
    };
    let spoken = if versions.is_empty() { String::new() } else { format!("MCP {}", versions.join(", ")) };
    let facts: Vec<_> = [own, tools, spoken].into_iter().filter(|text| !text.is_empty()).collect();
    printable(&facts.join(", "), 300)
}

/// What was done.
struct Report<'a> {
    server: &'a Server,
    asked: &'a Asked,
    url: &'a str,
    changed: bool,
}

impl Report<'_> {
    fn print_json(&self) {
        let server = match self.asked {
            Asked::Open(found) => {
                let versions: Vec<_> = found.versions.iter().map(ToString::to_string).collect();
                json!({ "name": found.name, "version": found.version, "tools": found.tools, "revisions": versions })
            }
            Asked::Described(described, _) => described.to_json(),
            Asked::OAuth(_) | Asked::Closed => Value::Null,
        };
        print_json(&json!({
            "name": self.server.name.as_str(), "url": self.url, "upstream": self.server.place.to_string(),
            "changed": self.changed, "credential": self.server.credential.kind(),
            "issuer": self.server.credential.oauth().and_then(|oauth| oauth.issuer.as_deref()),
            "cautions": self.server.cautions(), "server": server,
        }));
    }

    fn print(&self, common: &Common, settings: &Settings) {
        let (name, url) = (&self.server.name, self.url);
        let state = if self.changed { "is behind the gateway" } else { "is behind the gateway already" };
        line(format_args!("{} {} {state}: {}", styled(GOOD, "✓"), styled(BOLD, name), styled(LINK, url)));
        match self.asked {
            Asked::Open(found) => self.print_facts(found),
            Asked::OAuth(found) => self.print_accounts(found, settings),
            Asked::Closed => self.print_way_in(settings),
            Asked::Described(described, found) => {
                described.print(&self.server.place);
                match found {
                    Some(found) => self.print_accounts(found, settings),
                    // What asks for nothing is connected by nobody, until it answers otherwise.
                    None if matches!(self.server.credential, config::Credential::Auto(_)) => {}
                    None => self.print_way_in(settings),
                }
            }
        }
        for caution in self.server.cautions() {
            line(format_args!("  {} {caution}", styled(WARN, "!")));
        }
        let (program, flags) = (invocation::program(), invocation::flags(common));
        let open = matches!(self.asked, Asked::Open(_) | Asked::Described(_, None));
        if !open {
            line(format_args!("  Whether that will work, step by step: {program} server check {name}{flags}"));
        }
        line("");
        line("Put it into a client:");
        line(format_args!("  {program} connect claude-code --server {name} --write{flags}"));
        line(styled(DIM, "    or cursor, vscode, codex, gemini-cli, …: `connect --list` names all"));
        line("or paste this into the settings of any other:");
        line(format_args!("  {}", json!({ "mcpServers": { name.as_str(): { "type": "http", "url": url } } })));
    }

    fn print_accounts(&self, found: &Found, settings: &Settings) {
        line(format_args!("  People have their accounts for it at {} (OAuth).", printable(&found.issuer, 300)));
        self.print_way_in(settings);
        if let Some(left) = asks::left_to_do(found, settings) {
            left.lines().for_each(|text| line(format_args!("  {} {}", styled(WARN, "!"), printable(text, 600))));
        }
    }

    fn print_facts(&self, found: &Discovery) {
        line(styled(DIM, format_args!("  {}: {}", self.server.place, facts(found, &self.server.place))));
    }

    /// How people come to what the server wants to see.
    fn print_way_in(&self, settings: &Settings) {
        let name = &self.server.name;
        match self.server.credential.holders() {
            Some(Holders::Each) => line(format_args!(
                "  Each person connects once: when they first call it, or at {}/connections/{name}",
                settings.public_url()
            )),
            Some(Holders::Shared) => line(format_args!(
                "  An administrator connects it once, for everybody: {}/connections/{name}",
                settings.public_url()
            )),
            None => {}
        }
    }
}
