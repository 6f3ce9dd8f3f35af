//! `portcullis approvals`: calls that wait for people. To look at; whoever decides does so in a browser.

use portcullis_base::{ApprovalId, printable};
use portcullis_gateway::approvals::Stored;
use portcullis_store::ApprovalRow;
use serde_json::{Value, json};

use crate::{
    args::Approvals,
    failure::{Failure, Result},
    house::House,
    output::{json as print_json, line, table},
    settings::Settings,
};

/// The most that are listed.
const MOST: u32 = 500;

/// Runs the command.
pub async fn run(command: &Approvals, settings: &Settings) -> Result<()> {
    match command {
        Approvals::List { json } => list(*json, settings).await,
        Approvals::Show { id, json } => show(id, *json, settings).await,
    }
}

async fn list(json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let now = portcullis_base::Clock::now(&*house.clock);
    let found = house.store.approvals_waiting(MOST, now).await.map_err(|error| house.failed(error))?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let caller = caller(&house, row).await?;
        if json {
            print_json(&brief(row, &caller, &house));
            continue;
        }
        let approval = &row.approval;
        rows.push(vec![
            approval.id.to_string(),
            printable(&caller, 40),
            approval.server.to_string(),
            printable(&row.target, 60),
            approval.expires_at.to_string(),
        ]);
    }
    if json {
        return Ok(());
    }
    if rows.is_empty() {
        line("No call waits for anybody");
        return Ok(());
    }
    table(&["ID", "FOR", "SERVER", "WHAT", "ENDS"], &rows);
    Ok(())
}

async fn show(id: &str, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let found = house.store.approval(&ApprovalId::new(id)).await.map_err(|error| house.failed(error))?;
    let row = found.ok_or_else(|| {
        Failure::new(format!("there is no approval \"{}\"", printable(id, 64)))
            .help("portcullis approvals list shows those that wait")
    })?;
    let caller = caller(&house, &row).await?;
    let keys = house.keys().await?;
    let arguments = Stored::open(&keys, &row).map(|stored| stored.arguments.unwrap_or_else(|| "{}".to_owned()));
    let mut told = brief(&row, &caller, &house);
    if let Value::Object(members) = &mut told {
        members.insert("rule".into(), json!(row.rule));
        members.insert("binding".into(), json!(row.approval.binding.to_base64url()));
        members.insert("why".into(), json!(row.why));
        members.insert("outcome".into(), json!(row.outcome));
        members.insert("arguments".into(), json!(arguments));
    }
    if json {
        print_json(&told);
        return Ok(());
    }
    if let Value::Object(members) = &told {
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line(format_args!("{name}: {}", printable(&text, usize::MAX)));
        }
    }
    Ok(())
}

async fn caller(house: &House, row: &ApprovalRow) -> Result<String> {
    let found = house.store.person(&row.approval.person).await.map_err(|error| house.failed(error))?;
    Ok(found.map_or_else(|| row.approval.person.to_string(), |person| person.name))
}

fn brief(row: &ApprovalRow, caller: &str, house: &House) -> Value {
    let approval = &row.approval;
    let now = portcullis_base::Clock::now(&*house.clock);
    json!({
        "id": approval.id.as_str(),
        "state": approval.state_at(now).as_str(),
        "person": caller,
        "client": approval.client.as_str(),
        "server": approval.server.as_str(),
        row.kind.as_str(): row.target,
        "classes": row.classes.iter().map(portcullis_base::Class::as_str).collect::<Vec<_>>(),
        "asked_at": approval.asked_at.to_string(),
        "expires_at": approval.expires_at.to_string(),
        "page": format!("{}/approvals/{}", house.config.public_url.as_str(), approval.id),
    })
}
