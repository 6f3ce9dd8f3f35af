//! One house, and what was done in it, held against the rows of the table.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use portcullis_house::gateway::TestGateway;
use serde_json::Value;

/// A route (or what happens by itself), what becomes of it, and the kind and outcome of the event that this leaves.
///
/// Several rows with the same beginning are several events of one case. Without an outcome, the event has none.
pub type Row = (&'static str, &'static str, &'static str, &'static str);

/// A walk through a house.
pub struct Tour {
    pub house: TestGateway,
    rows: &'static [Row],
    left: BTreeSet<usize>,
    seen: usize,
}

impl Tour {
    /// Nothing of `rows` was played yet. What is in the journal by now belongs to the first case.
    pub fn new(house: TestGateway, rows: &'static [Row]) -> Self {
        Self { house, rows, left: (0..rows.len()).collect(), seen: 0 }
    }

    /// The same rows go on in another house.
    pub async fn moves(self, house: TestGateway) -> Result<Self> {
        let Self { house: last, rows, left, .. } = self;
        last.stop().await?;
        Ok(Self { house, rows, left, seen: 0 })
    }

    /// Whatever was done since the last word is not what this is about.
    pub async fn meanwhile(&mut self) -> Result<()> {
        self.seen = self.house.journal().await?.len();
        Ok(())
    }

    /// What was done since the last word is this case: its events are in the journal. Gives them.
    pub async fn done(&mut self, route: &str, case: &str) -> Result<Vec<Value>> {
        let journal = self.house.journal().await?;
        let lines = &journal[self.seen..];
        let wanted = |(_, row): &(usize, &Row)| row.0 == route && row.1 == case;
        let wanted: Vec<_> = self.rows.iter().enumerate().filter(wanted).collect();
        ensure!(!wanted.is_empty(), "no row of the table is {route}: {case}");
        let mut found = Vec::new();
        for (at, (_, _, kind, outcome)) in wanted {
            let text = |line: &Value, member: &str| line[member].as_str().unwrap_or_default().to_owned();
            let event = lines.iter().find(|line| text(line, "event") == *kind && text(line, "outcome") == *outcome);
            let short =
                |line: &Value| format!("{} {}: {}", text(line, "event"), text(line, "outcome"), line["details"]);
            let told: Vec<_> = lines.iter().map(short).collect();
            ensure!(event.is_some(), "{route}, {case}: {kind} {outcome} is not in the journal, but {told:#?}");
            found.extend(event.cloned());
            self.left.remove(&at);
        }
        self.seen = journal.len();
        Ok(found)
    }

    /// The same for a request that is turned away before anything comes of it; `why` is the reason in the record.
    pub async fn refused(&mut self, route: &str, case: &str, why: &str) -> Result<()> {
        let events = self.done(route, case).await?;
        ensure!(events.iter().any(|event| event["details"]["why"] == why), "{route}, {case}: {events:#?}");
        Ok(())
    }

    /// Every row was played.
    pub async fn finish(self) -> Result<()> {
        self.house.stop().await?;
        let left: Vec<_> = self.left.iter().map(|at| self.rows[*at]).collect();
        ensure!(left.is_empty(), "these were not played: {left:#?}");
        Ok(())
    }
}
