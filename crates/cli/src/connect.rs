//! `portcullis connect`: the entry of an MCP client, printed or written.

use std::path::{Path, PathBuf};

use portcullis_base::{Clock, ServerName};
use portcullis_gateway::{
    client_entry::{BRIDGE, CLIENTS, Client, Format},
    feed::SAMPLE,
    system::SystemClock,
    toolbox::ALL,
};
use serde_json::json;

use self::{
    diff::{Line, diff},
    edit::Edited,
    files::Files,
    place::{Machine, Place, System},
};
use crate::{
    args::{Common, Connect, Scope},
    failure::{Failure, Result},
    house::House,
    invocation,
    output::{BAD, BOLD, DIM, GOOD, json as print_json, line, raw, styled, table},
    settings::Settings,
};

mod diff;
mod edit;
mod files;
mod place;
mod write;

/// Runs the command.
pub async fn run(args: &Connect, common: &Common, settings: &Settings) -> Result<()> {
    let machine = machine(settings)?;
    if args.list {
        list(&machine, args.json);
        return Ok(());
    }
    let typed = args.client.as_deref().unwrap_or_default();
    let client = Client::named(typed).ok_or_else(|| unknown(typed))?;
    let server = server(args.server.as_deref(), settings).await?;
    let url = format!("{}/mcp/{server}", settings.public_url());
    let entry = entry(client, &url);
    let Some(format) = client.file.map(|file| file.format) else { return explain(client, server.as_str(), &url, args) };
    let snippet = format.text(server.as_str(), &entry);
    if args.print {
        raw(&snippet);
        return Ok(());
    }
    let place = place(client, args, &machine)?;
    let Some(place) = place else { return by_hand(client, server.as_str(), &url, &snippet, args) };
    let path = place.resolve()?;
    let old = write::read(&path)?;
    let edited = edit::put(format, old.as_deref().unwrap_or_default(), server.as_str(), &entry).map_err(|why| {
        Failure::new(format!("{} cannot be edited: {why}", path.display()))
            .help(format!("insert this by hand:\n{snippet}"))
    })?;
    let new = match edited {
        Edited::Same => {
            same(client, &server, &url, &path, args);
            return Ok(());
        }
        Edited::New(new) => new,
    };
    if !args.json {
        show(&place.path, &path, old.as_deref(), &new);
    }
    let backup = if args.write {
        let backup = write::replace(&path, old.as_deref(), &new, SystemClock.now())?;
        check(format, &path, server.as_str(), &entry, backup.as_deref())?;
        backup
    } else {
        None
    };
    if args.json {
        print_json(&json!({
            "client": client.id, "server": server.as_str(), "url": url, "entry": entry, "file": path,
            "changed": args.write, "backup": backup,
        }));
        return Ok(());
    }
    line("");
    if args.write {
        line(format_args!("{} {} now has {url}", styled(GOOD, "✓"), client.label));
        if let Some(backup) = &backup {
            line(styled(DIM, format_args!("  the old file is {}", backup.display())));
        }
    } else {
        line(format_args!("Nothing is written yet. To write it: {}", styled(BOLD, again(args, client, common))));
    }
    for step in client.steps.iter().filter(|step| !args.write || !step.replaces_entry()) {
        line(format_args!("  {}", step.sentence(server.as_str(), &url)));
    }
    Ok(())
}

/// The entry for this computer.
fn entry(client: &Client, url: &str) -> serde_json::Value {
    let mut entry = (client.entry)(url);
    // Programs of the desktop do not look where a shell does, so they are told where this program is.
    if entry.get("command").is_some_and(|command| command == BRIDGE)
        && let Ok(own) = std::env::current_exe()
    {
        entry["command"] = own.display().to_string().into();
    }
    entry
}

/// Reads the file again, as a client would.
fn check(format: Format, path: &Path, name: &str, entry: &serde_json::Value, backup: Option<&Path>) -> Result<()> {
    let text = write::read(path)?.unwrap_or_default();
    if edit::holds(format, &text, name, entry) {
        return Ok(());
    }
    let old = backup
        .map_or_else(|| "there was no old file".to_owned(), |path| format!("the old text is in {}", path.display()));
    Err(Failure::new(format!("{} does not hold the entry after writing it", path.display())).help(old))
}

fn show(named: &Path, real: &Path, old: Option<&str>, new: &str) {
    let through = if named == real { String::new() } else { format!(" (through the link {})", named.display()) };
    let kind = if old.is_some() { "" } else { " (new file)" };
    line(styled(BOLD, format_args!("{}{through}{kind}", real.display())));
    for change in diff(old.unwrap_or_default(), new) {
        let clean = |text: &str| portcullis_base::printable(&text.replace('\t', "    "), 400);
        match change {
            Line::Same(text) => line(styled(DIM, format_args!("  {}", clean(text)))),
            Line::Gone(text) => line(styled(BAD, format_args!("- {}", clean(text)))),
            Line::New(text) => line(styled(GOOD, format_args!("+ {}", clean(text)))),
        }
    }
}

fn same(client: &Client, server: &ServerName, url: &str, path: &Path, args: &Connect) {
    if args.json {
        print_json(&json!({
            "client": client.id, "server": server.as_str(), "url": url, "file": path, "changed": false, "backup": null,
        }));
    } else {
        line(format_args!("{} {} already has {url} in {}", styled(GOOD, "✓"), client.label, path.display()));
    }
}

fn explain(client: &Client, name: &str, url: &str, args: &Connect) -> Result<()> {
    if args.write || args.file.is_some() {
        return Err(Failure::usage(format!("{} has no settings file to write", client.label))
            .help(steps(client, name, url).join("\n")));
    }
    if args.json {
        print_json(&json!({ "client": client.id, "server": name, "url": url, "steps": steps(client, name, url) }));
        return Ok(());
    }
    steps(client, name, url).iter().for_each(line);
    Ok(())
}

fn by_hand(client: &Client, name: &str, url: &str, snippet: &str, args: &Connect) -> Result<()> {
    if args.write {
        return Err(Failure::usage(format!(
            "it is not known where {} keeps its settings on this system",
            client.label
        ))
        .help("name the file with --file PATH, or print the entry with --print"));
    }
    if args.json {
        print_json(&json!({ "client": client.id, "server": name, "url": url, "entry": entry(client, url) }));
        return Ok(());
    }
    line(format_args!("Insert this into the settings of {}:", client.label));
    raw(snippet);
    steps(client, name, url).iter().for_each(line);
    Ok(())
}

fn steps(client: &Client, name: &str, url: &str) -> Vec<String> {
    client.steps.iter().map(|step| step.sentence(name, url)).collect()
}

fn place(client: &Client, args: &Connect, machine: &Machine<'_>) -> Result<Option<Place>> {
    if let Some(path) = &args.file {
        return Ok(Some(Place::given(path.clone(), machine)));
    }
    match args.scope {
        Scope::User => Ok(machine.user_file(client)),
        Scope::Project => machine.project_file(client).map(Some).ok_or_else(|| {
            Failure::usage(format!("{} has no settings per project", client.label)).help("leave --scope out")
        }),
    }
}

/// The server that is meant: the named one, or the only one there is.
async fn server(named: Option<&str>, settings: &Settings) -> Result<ServerName> {
    let known = House::endpoint_names(settings).await?;
    let listed = known.iter().map(ServerName::as_str).collect::<Vec<_>>();
    let Some(named) = named else {
        return match known.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(Failure::usage("there are several servers: say which one")
                .help(listed.iter().map(|name| format!("--server {name}")).collect::<Vec<_>>().join("\n"))),
        };
    };
    let name = ServerName::parse(named).map_err(|error| Failure::usage(error.to_string()))?;
    if known.contains(&name) || named == SAMPLE || named == ALL {
        return Ok(name);
    }
    let near = portcullis_policy::nearest(named, listed.iter().copied());
    Err(Failure::new(format!("there is no server \"{name}\"")).help(match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("servers: {}", listed.join(", ")),
    }))
}

fn unknown(typed: &str) -> Failure {
    let typed = portcullis_base::printable(typed, 60);
    let list = CLIENTS.iter().map(|client| client.id).collect::<Vec<_>>().join(", ");
    let near = Client::nearest(&typed).map(|near| format!("did you mean \"{near}\"?\n")).unwrap_or_default();
    Failure::usage(format!("\"{typed}\" is not a client that is known here")).help(format!(
        "{near}known: {list}\nfor any other client: its entry is the URL of the server, sign-in is found by itself"
    ))
}

/// The same command with `--write`.
fn again(args: &Connect, client: &Client, common: &Common) -> String {
    let server = args.server.as_ref().map(|server| format!(" --server {server}"));
    let scope = (args.scope == Scope::Project).then(|| " --scope project".to_owned());
    let file = args.file.as_ref().map(|file| format!(" --file {}", invocation::shell(file)));
    let more: String = [server, scope, file].into_iter().flatten().collect();
    format!("{} connect {} --write{more}{}", invocation::program(), client.id, invocation::flags(common))
}

fn list(machine: &Machine<'_>, json: bool) {
    let file = |client: &Client| machine.user_file(client).map(|place| place.path);
    if json {
        for client in CLIENTS {
            print_json(&json!({
                "client": client.id, "title": client.label, "file": file(client), "project_file": Files::of(client).project,
                "found": file(client).is_some_and(|path| path.exists()),
            }));
        }
        return;
    }
    let rows: Vec<Vec<String>> = CLIENTS
        .iter()
        .map(|client| {
            let path = file(client);
            let found = if path.as_ref().is_some_and(|path| path.exists()) { "yes" } else { "" };
            let shown = path.map_or_else(|| "-".to_owned(), |path| tilde(&path, &machine.home));
            vec![client.id.to_owned(), client.label.to_owned(), found.to_owned(), shown]
        })
        .collect();
    table(&["CLIENT", "NAME", "FOUND", "FILE"], &rows);
}

fn tilde(path: &Path, home: &Path) -> String {
    path.strip_prefix(home).map_or_else(|_| path.display().to_string(), |rest| format!("~/{}", rest.display()))
}

fn machine(settings: &Settings) -> Result<Machine<'_>> {
    let variable = if System::this() == System::Windows { "USERPROFILE" } else { "HOME" };
    let home = settings.environment.get(variable).filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.ok_or_else(|| {
        Failure::usage(format!("the environment variable {variable} is not set, so the home directory is unknown"))
    })?;
    let project = std::env::current_dir()
        .map_err(|error| Failure::new(format!("the working directory cannot be used: {error}")))?;
    Ok(Machine { system: System::this(), home, environment: &settings.environment, project })
}
