//! `portcullis service-account`: programs that call for themselves.

use portcullis_base::{Secret, printable};
use portcullis_gateway::service_accounts::{self, Made, New, Proof};
use portcullis_store::{Person, PersonKind};
use serde_json::json;

use crate::{
    args::{self, ServiceAccount},
    failure::{Failure, Result},
    house::House,
    output::{BOLD, DIM, GOOD, json as print_json, line, styled, table},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &ServiceAccount, settings: &Settings) -> Result<()> {
    match command {
        ServiceAccount::Add { name, owner, group, proof, json } => {
            let proof = read(proof)?;
            let house = House::existing(settings).await?;
            let owner = house.person(owner).await?;
            let record = house.record().await?;
            let new = New { name, owner: &owner.id, groups: group.clone(), proof };
            let made = service_accounts::create(&record.desk(&house), new).await;
            record.finish().await?;
            show(name, &made.map_err(|error| house.undone(error))?, *json, settings);
            Ok(())
        }
        ServiceAccount::Rotate { name, proof, json } => {
            let proof = read(proof)?;
            let house = House::existing(settings).await?;
            let account = account(name, &house).await?;
            let record = house.record().await?;
            let made = service_accounts::rotate(&record.desk(&house), &account.id, proof).await;
            record.finish().await?;
            show(&account.name, &made.map_err(|error| house.undone(error))?, *json, settings);
            Ok(())
        }
        ServiceAccount::Disable { name } => {
            let house = House::existing(settings).await?;
            let account = account(name, &house).await?;
            let record = house.record().await?;
            let disabled = service_accounts::disable(&record.desk(&house), &account.id).await;
            record.finish().await?;
            disabled.map_err(|error| house.undone(error))?;
            line(format_args!(
                "{} {} gets no more tokens; those it had are worth nothing now",
                styled(GOOD, "✓"),
                account.name
            ));
            Ok(())
        }
        ServiceAccount::List { json } => list(*json, settings).await,
    }
}

async fn list(json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let accounts = house.store.service_accounts().await.map_err(|error| house.failed(error))?;
    let mut rows = Vec::with_capacity(accounts.len());
    for account in &accounts {
        let person = &account.person;
        let client = account.client.as_ref();
        let method = client.map_or("none", |client| client.client.metadata.token_endpoint_auth_method.as_str());
        let used = client.and_then(|client| client.last_used_at).map(|at| at.to_string());
        if json {
            print_json(&json!({
                "name": person.name, "client_id": person.id.as_str(), "owner": account.owner_name, "groups": person.groups,
                "method": method, "disabled": !person.is_active(), "last_used_at": used,
                "created_at": person.created_at.to_string(),
            }));
            continue;
        }
        rows.push(vec![
            person.name.clone(),
            person.id.to_string(),
            account.owner_name.clone().unwrap_or_else(|| "nobody".to_owned()),
            person.groups.join(", "),
            method.to_owned(),
            if person.is_active() { "active" } else { "disabled" }.to_owned(),
            used.unwrap_or_else(|| "never".to_owned()),
        ]);
    }
    if json {
        return Ok(());
    }
    if rows.is_empty() {
        line("No service accounts yet. To make one: portcullis service-account add NAME --owner PERSON");
        return Ok(());
    }
    table(&["NAME", "CLIENT ID", "OWNER", "GROUPS", "PROOF", "STATE", "LAST USED"], &rows);
    Ok(())
}

async fn account(name: &str, house: &House) -> Result<Person> {
    let accounts = house.store.service_accounts().await.map_err(|error| house.failed(error))?;
    let mut people = accounts.into_iter().map(|account| account.person);
    let found = people.find(|person| person.name.eq_ignore_ascii_case(name) || person.id.as_str() == name);
    if let Some(person) = found {
        return Ok(person);
    }
    let person = house.person(name).await;
    Err(match person {
        Ok(person) if person.kind == PersonKind::Person => {
            Failure::new(format!("{} is a person and no service account", person.name))
        }
        _ => Failure::new(format!("there is no service account \"{}\"", printable(name, 64))),
    }
    .help("portcullis service-account list shows all"))
}

/// How the account will prove who it is.
fn read(proof: &args::Proof) -> Result<Proof> {
    if let Some(url) = &proof.jwks_uri {
        return Ok(Proof::KeysAt(url.clone()));
    }
    let Some(path) = &proof.jwks else { return Ok(Proof::Secret) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    let set = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is not JSON: {error}", path.display())))?;
    Ok(Proof::Keys(set))
}

fn show(name: &str, made: &Made, json: bool, settings: &Settings) {
    let secret = made.secret.as_ref().map(Secret::reveal);
    if json {
        print_json(&json!({ "name": name, "client_id": made.id.as_str(), "client_secret": secret }));
        return;
    }
    line(format_args!("{} {name} gets tokens at {}/oauth/token", styled(GOOD, "✓"), settings.public_url()));
    line(format_args!("  client id      {}", made.id));
    match secret {
        Some(secret) => {
            line(format_args!("  client secret  {}", styled(BOLD, secret)));
            line(styled(DIM, "  The secret is shown this once: put it where the program reads it."));
        }
        None => line(styled(DIM, "  It proves itself with its key: private_key_jwt.")),
    }
}
