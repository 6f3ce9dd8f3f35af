//! `portcullis toolbox`: the endpoints over several servers, and what is in one.

use portcullis_base::ServerName;
use portcullis_gateway::toolbox::{Choice, Cost, Glob, Search, Share, Toolbox, cost};
use serde_json::{Value, json};

use crate::{
    args::ToolboxCommand,
    failure::{Failure, Result},
    house::House,
    output::{BOLD, DIM, WARN, json as print_json, line, note, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &ToolboxCommand, settings: &Settings) -> Result<()> {
    match command {
        ToolboxCommand::List { json } => list(*json, settings).await,
        ToolboxCommand::Show { name, json } => show(name, *json, settings).await,
    }
}

/// The toolboxes of the settings, and the one over everything.
async fn toolboxes(settings: &Settings) -> Result<(Vec<Toolbox>, Vec<ServerName>)> {
    let servers = House::server_names(settings).await?;
    let mut toolboxes = settings.config.toolboxes.clone();
    toolboxes.push(Toolbox::clone(&Toolbox::all(servers.clone())));
    Ok((toolboxes, servers))
}

async fn list(json: bool, settings: &Settings) -> Result<()> {
    let (toolboxes, _) = toolboxes(settings).await?;
    if json {
        for toolbox in &toolboxes {
            print_json(&described(toolbox, settings));
        }
        return Ok(());
    }
    let row = |toolbox: &Toolbox| {
        let servers: Vec<_> = toolbox.shares.iter().map(|share| share.server.as_str()).collect();
        vec![
            toolbox.name.to_string(),
            settings_url(settings, &toolbox.name),
            servers.join(", "),
            groups(toolbox).join(", "),
            word(toolbox.search).to_owned(),
        ]
    };
    table(&["NAME", "URL", "SERVERS", "GROUPS", "SEARCH"], &toolboxes.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

async fn show(name: &str, json: bool, settings: &Settings) -> Result<()> {
    let (toolboxes, servers) = toolboxes(settings).await?;
    let Some(toolbox) = toolboxes.iter().find(|toolbox| toolbox.name.as_str() == name) else {
        let names: Vec<_> = toolboxes.iter().map(|toolbox| toolbox.name.as_str()).collect();
        let help = match portcullis_policy::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("toolboxes: {}", names.join(", ")),
        };
        let name = portcullis_base::printable(name, 60);
        return Err(Failure::new(format!("there is no toolbox \"{name}\"")).help(help));
    };
    let house = House::existing(settings).await?;
    let cost = cost(&house.store, toolbox).await.map_err(|error| house.failed(error))?;
    if json {
        let mut value = described(toolbox, settings);
        value["cost"] = json!({ "tools": cost.tools, "list_tokens": cost.list, "search_tokens": cost.search,
            "unseen": cost.unseen.iter().map(ServerName::as_str).collect::<Vec<_>>() });
        print_json(&value);
        return Ok(());
    }
    line(styled(BOLD, settings_url(settings, &toolbox.name)));
    if let Some(description) = &toolbox.description {
        line(description);
    }
    line("");
    table(&["SERVER", "TOOLS", "PROMPTS", "RESOURCES"], &toolbox.shares.iter().map(row).collect::<Vec<_>>());
    for (tool, edit) in toolbox.shares.iter().flat_map(|share| share.edits.keys().map(move |tool| (tool, share))) {
        line(styled(DIM, format_args!("{}: {tool} is shown as {}", edit.server, edit.tool_name(tool))));
    }
    line("");
    costs(&cost, toolbox);
    for share in toolbox.shares.iter().filter(|share| !servers.contains(&share.server)) {
        note(format_args!("{} there is no server {}", styled(WARN, "!"), share.server));
    }
    Ok(())
}

fn costs(cost: &Cost, toolbox: &Toolbox) {
    line(format_args!("Search is {}. Of {} that anybody has seen:", word(toolbox.search), counted(cost.tools)));
    line(format_args!("  the whole list costs a model about {} tokens", cost.list));
    line(format_args!("  the three tools that search cost about {}", cost.search));
    if !cost.unseen.is_empty() {
        let names: Vec<_> = cost.unseen.iter().map(ServerName::as_str).collect();
        line(styled(DIM, format_args!("Not counted, because nobody has seen their tools yet: {}", names.join(", "))));
    }
}

fn counted(tools: usize) -> String {
    if tools == 1 { "the one tool".to_owned() } else { format!("the {tools} tools") }
}

fn row(share: &Share) -> Vec<String> {
    vec![share.server.to_string(), chosen(&share.tools), chosen(&share.prompts), chosen(&share.resources)]
}

fn chosen(choice: &Choice) -> String {
    let globs: Vec<_> = choice.include.iter().map(Glob::as_str).collect();
    let not: Vec<_> = choice.exclude.iter().map(Glob::as_str).collect();
    let included = match globs.as_slice() {
        [] => "none".to_owned(),
        ["*"] => "all".to_owned(),
        globs => globs.join(", "),
    };
    if not.is_empty() { included } else { format!("{included} but {}", not.join(", ")) }
}

fn described(toolbox: &Toolbox, settings: &Settings) -> Value {
    let share = |share: &Share| {
        json!({ "server": share.server.as_str(), "tools": chosen(&share.tools), "prompts": chosen(&share.prompts),
            "resources": chosen(&share.resources) })
    };
    json!({ "name": toolbox.name.as_str(), "url": settings_url(settings, &toolbox.name),
        "description": toolbox.description, "groups": groups(toolbox), "search": word(toolbox.search),
        "servers": toolbox.shares.iter().map(share).collect::<Vec<_>>() })
}

fn groups(toolbox: &Toolbox) -> Vec<&str> {
    toolbox.access.entries.iter().map(|entry| &*entry.group).collect()
}

fn settings_url(settings: &Settings, name: &ServerName) -> String {
    format!("{}/mcp/{name}", settings.public_url())
}

fn word(search: Search) -> &'static str {
    match search {
        Search::On => "on",
        Search::Off => "off",
    }
}
