//! How often rules decided, counted in the index of the journals: for pages, never for a call.

use std::collections::BTreeMap;

use portcullis_audit::Kind;
use portcullis_base::Timestamp;

use crate::{AuditEntry, AuditFilter, Store, StoreError};

/// How often a rule said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHits {
    /// The rule; `access` is the access list of a server.
    pub rule: String,
    /// What it said.
    pub effect: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

/// How a line shows that a rule in shadow said something.
const SHADOW: &str = "\"shadow\":";

impl Store {
    /// What rules said since then, of the newest `most` decisions; so that it takes its time from nobody.
    pub async fn rule_hits(&self, since: Timestamp, most: u32) -> Result<Vec<RuleHits>, StoreError> {
        let mut hits: BTreeMap<(String, String), RuleHits> = BTreeMap::new();
        let count = |entry: AuditEntry| {
            let at = entry.row.at;
            if let (Some(rule), Some(effect)) = (entry.row.rule, entry.row.effect) {
                let key = (rule, effect);
                let hits = hits.entry(key).or_insert_with_key(|(rule, effect)| RuleHits {
                    rule: rule.clone(),
                    effect: effect.clone(),
                    count: 0,
                    last: at,
                });
                hits.count += 1;
            }
        };
        self.each_audit(&decided(since), most, count).await?;
        Ok(hits.into_values().collect())
    }

    /// Decisions of which a rule in shadow said something, of the newest `most` since then: the newest `take` of them.
    pub async fn shadowed(&self, since: Timestamp, most: u32, take: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let mut shadowed = Vec::new();
        let keep = |entry: AuditEntry| {
            if shadowed.len() < take as usize && entry.line.contains(SHADOW) {
                shadowed.push(entry);
            }
        };
        self.each_audit(&decided(since), most, keep).await?;
        Ok(shadowed)
    }
}

fn decided(since: Timestamp) -> AuditFilter {
    let kind = Some(Kind::CallDecided.as_str().to_owned());
    AuditFilter { kind, since: Some(since), ..AuditFilter::default() }
}
