//! The story of one call: everything in the record that tells of it, in the order of time. And what of an event is shown to
//! those who may not see arguments and results.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_store::{AuditEntry, AuditFilter, AuditPage, Store, StoreError};
use serde_json::{Map, Value};

/// The most events that one tie adds: a request of a long session can have many.
const MOST: u32 = 200;
/// Details that only those see who may read arguments and results.
const PRIVATE: [&str; 2] = ["arguments", "result"];

/// The events of a call, the oldest first: its decisions and its end, what came of the same requests (sign-ins, tokens,
/// processes), and what became of the approvals that it waited for or ran on. Empty if nobody knows the call.
pub async fn story(store: &Store, call: &str) -> Result<Vec<AuditEntry>, StoreError> {
    let own = AuditFilter { call: Some(call.to_owned()), ..AuditFilter::default() };
    let mut events = Events::default();
    events.add(store.audit(&own, &AuditPage::first(MOST)).await?);
    let approvals = events.all(|entry| entry.row.approval.clone());
    for approval in approvals {
        let filter = AuditFilter { approval: Some(approval), ..AuditFilter::default() };
        events.add(store.audit(&filter, &AuditPage::first(MOST)).await?);
    }
    let requests = events.of_call(call, |entry| entry.row.request.clone());
    for request in requests {
        let filter = AuditFilter { request: Some(request), ..AuditFilter::default() };
        let mut found = store.audit(&filter, &AuditPage::first(MOST)).await?;
        // Other calls of the same request have stories of their own.
        found.retain(|entry| entry.row.call.as_deref().is_none_or(|other| other == call));
        events.add(found);
    }
    Ok(events.0.into_values().collect())
}

/// Events by time, each once.
#[derive(Default)]
struct Events(BTreeMap<(i64, String, i64), AuditEntry>);

impl Events {
    fn add(&mut self, found: Vec<AuditEntry>) {
        let place = |entry: &AuditEntry| (entry.row.at.as_millis(), entry.row.node.clone(), entry.row.seq);
        self.0.extend(found.into_iter().map(|entry| (place(&entry), entry)));
    }

    fn all(&self, tie: impl Fn(&AuditEntry) -> Option<String>) -> BTreeSet<String> {
        self.0.values().filter_map(tie).collect()
    }

    fn of_call(&self, call: &str, tie: impl Fn(&AuditEntry) -> Option<String>) -> BTreeSet<String> {
        self.0.values().filter(|entry| entry.row.call.as_deref() == Some(call)).filter_map(tie).collect()
    }
}

/// What a reader may see of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    Whole,
    /// All but arguments and results.
    WithoutContent,
}

/// The members of an event's line, as far as they may be seen.
pub fn members(entry: &AuditEntry, sight: Sight) -> Map<String, Value> {
    let mut line: Map<String, Value> = serde_json::from_str(&entry.line).unwrap_or_default();
    if sight == Sight::WithoutContent
        && let Some(Value::Object(details)) = line.get_mut("details")
    {
        for private in PRIVATE {
            details.shift_remove(private);
        }
    }
    line
}

/// Whether an event has arguments or results.
pub fn has_content(entry: &AuditEntry) -> bool {
    let whole = members(entry, Sight::Whole);
    whole.get("details").is_some_and(|details| PRIVATE.iter().any(|private| details.get(private).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_audit::IndexRow;

    #[test]
    fn arguments_and_results_are_left_out_and_nothing_else() {
        let line = r#"{"seq":2,"at":"2026-11-23T02:13:20.123Z","node":"n","event":"call.decided","name":"arguments","details":{"arguments":{"a":1},"arguments_digest":"x","result":[2],"note":"result"},"hash":"h"}"#;
        let row = IndexRow::parse(line.as_bytes()).unwrap().1.unwrap();
        let entry = AuditEntry { row, line: line.into() };
        let without = Value::Object(members(&entry, Sight::WithoutContent)).to_string();
        assert_eq!(without, line.replace(r#""arguments":{"a":1},"#, "").replace(r#""result":[2],"#, ""));
        assert_eq!(Value::Object(members(&entry, Sight::Whole)).to_string(), line);
        assert!(has_content(&entry));
    }
}
