//! `portcullis audit query`: events found in the index.

use std::time::Duration;

use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{Clock, Timestamp, printable};
use portcullis_gateway::{config, system::SystemClock};
use portcullis_store::{AuditEntry, AuditFilter, AuditPage};

use crate::{
    args::{Events, Query},
    failure::{Failure, Result},
    house::House,
    output::{line, raw, table},
    settings::Settings,
};

/// Rows of one page of the index.
const PAGE: u32 = 1000;
/// Rows for people, and for scripts, when nobody says how many.
const SHOWN: u32 = 50;
const PRINTED: u32 = 100_000;

/// Finds events and shows them.
pub(super) async fn find(query: &Query, settings: &Settings) -> Result<()> {
    let filter = filter(&query.events)?;
    let house = House::existing(settings).await?;
    if query.json {
        // The lines have arguments and results in them.
        looked(&house, Event::new(Kind::AuditViewed, house.clock.now()).text("filter", told(&filter))).await?;
    }
    let mut left = query.limit.unwrap_or(if query.json { PRINTED } else { SHOWN });
    let mut before = None;
    let mut rows = Vec::new();
    while left > 0 {
        let page = AuditPage { limit: left.min(PAGE), before: before.take() };
        let found = house.store.audit(&filter, &page).await.map_err(|error| house.failed(error))?;
        left -= found.len().min(left as usize) as u32;
        let full = found.len() == page.limit as usize;
        before = found.last().map(|entry| (entry.row.at, entry.row.node.clone(), entry.row.seq));
        if query.json {
            // As they stand in the journal: JSON, with everything foreign escaped by its writer.
            raw(&found.iter().flat_map(|entry| [entry.line.as_str(), "\n"]).collect::<String>());
        } else {
            rows.extend(found.iter().map(row));
        }
        if !full {
            break;
        }
    }
    if !query.json && rows.is_empty() {
        line("Nothing was found.");
    } else if !query.json {
        table(&["TIME", "EVENT", "WHO", "WHAT", "OUTCOME", "RULE"], &rows);
    }
    Ok(())
}

/// The filter that flags ask for.
pub(super) fn filter(events: &Events) -> Result<AuditFilter> {
    let (events, now) = (events.clone(), SystemClock.now());
    Ok(AuditFilter {
        since: events.since.as_deref().map(|text| moment(text, now)).transpose()?,
        until: events.until.as_deref().map(|text| moment(text, now)).transpose()?,
        person: events.person,
        client: events.client,
        address: events.address,
        server: events.server,
        kind: events.kind,
        outcome: events.outcome,
        effect: events.effect,
        rule: events.rule,
        method: events.method,
        name: events.name,
        call: events.call,
        request: events.request,
        trace: events.trace,
        approval: events.approval,
        grant: events.grant,
        text: events.text,
    })
}

/// A filter in words, for the record of who looked at what.
pub(super) fn told(filter: &AuditFilter) -> String {
    let words = filter.in_words();
    if words.is_empty() { "everything".into() } else { words }
}

/// Writes down that somebody looked.
pub(super) async fn looked(house: &House, event: Event) -> Result<()> {
    house.record().await?.write(event.outcome(Outcome::Success)).await
}

pub(super) fn row(entry: &AuditEntry) -> Vec<String> {
    let row = &entry.row;
    let some = |text: &Option<String>| text.clone().unwrap_or_default();
    let who = row.person_name.clone().or_else(|| row.client.clone()).or_else(|| row.address.clone());
    let what: Vec<&str> =
        [&row.server, &row.method, &row.name].into_iter().filter_map(|part| part.as_deref()).collect();
    let outcome = row.outcome.clone().or_else(|| row.effect.clone());
    vec![row.at.to_string(), row.kind.clone(), who.unwrap_or_default(), what.join(" "), some(&outcome), some(&row.rule)]
}

/// A moment, or how long ago.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp> {
    let ago = config::duration(text).map(|ago: Duration| now.minus(ago));
    ago.or_else(|| Timestamp::parse(text)).ok_or_else(|| {
        Failure::usage(format!("\"{}\" is neither a moment nor a duration", printable(text, 60)))
            .help("examples: 2026-11-23T04:00:00Z, 15m, 24h, 7d")
    })
}
