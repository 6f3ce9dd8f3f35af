//! `portcullis identity`: providers, tried without a person, and the groups that people and rules have.

use std::sync::Arc;

use portcullis_base::{Clock, printable};
use portcullis_gateway::{
    check::{Check, CheckState},
    config::Entry,
    groups::{Group, survey},
    identity::{Provider, Providers},
    outbound::Dialer,
    start,
};
use portcullis_store::ServerRow;
use serde::Serialize;
use serde_json::json;

use crate::{
    args::Identity,
    failure::{Failure, Result},
    house::House,
    output::{BOLD, DIM, json as print_json, line, note, print_check, styled, table},
    settings::Settings,
    stop::Stop,
};

/// What was looked at, and of which provider.
#[derive(Serialize)]
struct Found<'a> {
    provider: &'a str,
    #[serde(flatten)]
    check: &'a Check,
}

/// Runs the command.
pub async fn run(command: &Identity, settings: &Settings) -> Result<()> {
    match command {
        Identity::Check { provider, json } => check(provider.as_deref(), *json, settings).await,
        Identity::List { json } => list(*json, settings),
        Identity::Groups { stale, json } => groups(*stale, *json, settings).await,
    }
}

/// The providers of the settings, at the public URL that a running gateway has.
pub fn providers(settings: &Settings) -> Result<Providers> {
    let wrong = |error: start::StartError| Failure::usage(error.to_string());
    let dialer = Dialer::new(settings.config.outbound.ca_file.as_deref()).map_err(|error| wrong(error.into()))?;
    let outbound = start::outbound(&settings.config, dialer).map_err(wrong)?;
    let clock: Arc<dyn Clock> = Arc::new(portcullis_gateway::system::SystemClock);
    Ok(Providers::new(&settings.served(), outbound, &clock))
}

async fn check(only: Option<&str>, json: bool, settings: &Settings) -> Result<()> {
    let providers = providers(settings)?;
    let chosen = chosen(&providers, only)?;
    let mut stop = Stop::listen()?;
    let mut bad = 0;
    for (index, provider) in chosen.iter().enumerate() {
        if !json {
            note(styled(DIM, format_args!("asking {} …", provider.settings().issuer)));
        }
        let checks = tokio::select! {
            checks = provider.examine() => checks,
            () = stop.asked() => return Err(Failure::new("stopped")),
        };
        bad += checks.iter().filter(|check| check.state == CheckState::Bad).count();
        if json {
            for check in &checks {
                print_json(&json!(Found { provider: provider.id(), check }));
            }
        } else {
            if index > 0 {
                line("");
            }
            show(provider, &checks);
        }
    }
    match bad {
        0 => Ok(()),
        1 => Err(Failure::new("one check failed; people cannot sign in like this")),
        bad => Err(Failure::new(format!("{bad} checks failed; people cannot sign in like this"))),
    }
}

fn chosen<'a>(providers: &'a Providers, only: Option<&str>) -> Result<Vec<&'a Arc<Provider>>> {
    if providers.list().is_empty() {
        return Err(Failure::usage("no identity provider is set")
            .help("add one under identity.providers; docs/guides/identity.md has a page for each kind"));
    }
    let Some(id) = only else { return Ok(providers.list().iter().collect()) };
    let known = || providers.list().iter().map(|provider| provider.id());
    providers.get(id).map(|provider| vec![provider]).ok_or_else(|| {
        let near = portcullis_policy::nearest(id, known());
        Failure::usage(format!("there is no provider \"{}\"", printable(id, 60))).help(near.map_or_else(
            || format!("providers are: {}", known().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        ))
    })
}

fn show(provider: &Provider, checks: &[Check]) {
    line(styled(BOLD, format_args!("{} ({}, {})", provider.name(), provider.id(), provider.kind())));
    for check in checks {
        print_check(check, "");
    }
}

fn list(json: bool, settings: &Settings) -> Result<()> {
    let providers = providers(settings)?;
    if json {
        for provider in providers.list() {
            let settings = provider.settings();
            print_json(&json!({
                "id": provider.id(), "name": provider.name(), "kind": provider.kind().as_str(), "issuer": settings.issuer,
                "domains": settings.domains, "redirect_uri": provider.redirect_uri(),
                "back_channel_logout_uri": provider.back_channel_uri(),
                "post_logout_redirect_uri": provider.signed_out_uri(), "scim": settings.scim.is_some(),
            }));
        }
        return Ok(());
    }
    if providers.list().is_empty() {
        line("No identity provider is set; people sign in with local accounts.");
        return Ok(());
    }
    let row = |provider: &Arc<Provider>| {
        vec![
            provider.id().to_owned(),
            provider.kind().to_string(),
            provider.settings().issuer.clone(),
            provider.redirect_uri().to_owned(),
        ]
    };
    table(&["ID", "KIND", "ISSUER", "REDIRECT URI TO REGISTER"], &providers.list().iter().map(row).collect::<Vec<_>>());
    Ok(())
}

async fn groups(stale: bool, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let mut groups = all_groups(&house).await?;
    groups.retain(|group| !stale || group.is_stale());
    if json {
        for group in &groups {
            print_json(&json!({
                "group": group.name, "members": group.members, "given_here": group.given_here, "told": group.told,
                "named_by": group.named_by, "stale": group.is_stale(),
            }));
        }
    } else if groups.is_empty() {
        line(if stale { "Every group that is named is a group that somebody has." } else { "There are no groups." });
    } else {
        table(&["GROUP", "MEMBERS", "FROM", "NAMED BY"], &groups.iter().map(row).collect::<Vec<_>>());
    }
    match groups.iter().filter(|group| group.is_stale()).count() {
        0 => Ok(()),
        _ if !stale => Ok(()),
        count => {
            let what =
                if count == 1 { "a group is named and nobody has it" } else { "groups are named and nobody has them" };
            Err(Failure::new(what)
                .help("mistyped, or renamed at the provider? Correct what names them, or give somebody the group"))
        }
    }
}

fn row(group: &Group) -> Vec<String> {
    let from = match (group.given_here, group.told) {
        (true, true) => "here and provider",
        (true, false) => "here",
        (false, true) => "provider",
        (false, false) => "nobody has it",
    };
    vec![group.name.clone(), group.members.to_string(), from.to_owned(), group.named_by.join(", ")]
}

/// All groups of this house: those of people and those that settings and servers name.
pub async fn all_groups(house: &House) -> Result<Vec<Group>> {
    let bundle = start::rules(&house.config).map_err(|errors| {
        let text: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Failure::usage("the rules are wrong").help(text.join("\n"))
    })?;
    let people = house.store.people().await.map_err(|error| house.failed(error))?;
    let told = house.store.groups_known().await.map_err(|error| house.failed(error))?;
    let rows = house.store.servers().await.map_err(|error| house.failed(error))?;
    let usable = |row: &ServerRow| Entry::from_json(&row.entry_json).ok()?.server(&house.config.environment).ok();
    let servers: Vec<_> = rows.iter().filter_map(usable).collect();
    Ok(survey(&house.config, &bundle, &servers, &people, &told))
}
