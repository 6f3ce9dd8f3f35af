//! `portcullis audit show`: the story of one call.

use portcullis_audit::{Event, Kind};
use portcullis_base::{Clock, printable};
use portcullis_gateway::story::{Sight, has_content, members, story};
use portcullis_store::AuditEntry;
use serde_json::Value;

use super::query::{looked, row};
use crate::{
    failure::{Failure, Result},
    house::House,
    output::{BOLD, DIM, json as print_json, line, styled},
    settings::Settings,
};

/// The longest detail that is shown, in characters.
const SHOWN: usize = 2000;

/// Tells the story of `call`.
pub(super) async fn tell(call: &str, arguments: bool, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let events = story(&house.store, call).await.map_err(|error| house.failed(error))?;
    if events.is_empty() {
        return Err(Failure::new(format!("no event tells of a call \"{}\"", printable(call, 80)))
            .help("`portcullis audit query --kind call. --json` shows calls; the index may lag, and it forgets what is too old"));
    }
    let sight = if arguments { Sight::Whole } else { Sight::WithoutContent };
    if arguments && events.iter().any(has_content) {
        let event = Event::new(Kind::AuditViewed, house.clock.now()).text("viewed", call.to_owned());
        looked(&house, event.text("with", "arguments and results")).await?;
    }
    for entry in &events {
        let members = members(entry, sight);
        if json {
            print_json(&Value::Object(members));
        } else {
            show(entry, members.get("details"));
        }
    }
    Ok(())
}

fn show(entry: &AuditEntry, details: Option<&Value>) {
    let cells = row(entry);
    let said: Vec<String> =
        cells[2..].iter().filter(|cell| !cell.is_empty()).map(|cell| printable(cell, 120)).collect();
    line(format_args!("{}  {}  {}", styled(DIM, &cells[0]), styled(BOLD, printable(&cells[1], 60)), said.join("  ")));
    for (name, value) in details.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line(format_args!("    {}: {}", printable(name, 60), printable(&value, SHOWN)));
    }
}
