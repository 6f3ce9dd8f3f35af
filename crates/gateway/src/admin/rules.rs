//! `/admin/rules`: the rules in force with what they did. Read only: rules are files.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use portcullis_audit::Decided;
use portcullis_policy::{About, Effect, Finding, Weight, Written, overrules};
use portcullis_store::{AuditEntry, StoreError};
use serde::Deserialize;

use crate::{
    app::App,
    error::PageError,
    extract::Auditor,
    pages::admin::{
        people::Paging,
        rules::{Counted, DAYS, Example, FindingRow, Hits, RuleRow, Rules, ShadowRow, rules},
    },
};

/// Rules on a page.
const PER_PAGE: usize = 100;
/// Decisions that are counted at most, and decisions under rules in shadow that are read.
const MOST: u32 = 200_000;
const SHADOWED: u32 = 5_000;
/// Calls that are told of each rule in shadow.
const EXAMPLES: usize = 5;
/// The name under which access lists decide.
const ACCESS: &str = "access";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/rules", get(show))
}

/// What is asked for.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub days: u32,
    #[serde(default)]
    pub page: usize,
}

/// What was found.
pub(super) struct Found {
    pub rules: Vec<RuleRow>,
    pub lists: Hits,
    pub shadows: Vec<ShadowRow>,
    pub gone: Vec<(String, u64)>,
    pub findings: Vec<FindingRow>,
    pub counted: Counted,
}

async fn show(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let Found { rules: all, lists, shadows, gone, findings, counted } =
        found(&app, wanted.days).await.map_err(PageError::unavailable)?;
    let paging = Paging::of(all.len(), PER_PAGE, wanted.page);
    let snapshot = app.snapshot.load();
    let mut servers: Vec<_> = snapshot.servers.keys().map(ToString::to_string).collect();
    servers.sort_unstable();
    let view = Rules {
        account: who.account(),
        revision: snapshot.bundle.revision(),
        servers,
        rules: all.into_iter().skip((paging.page - 1) * PER_PAGE).take(PER_PAGE).collect(),
        paging,
        lists,
        shadows,
        gone,
        findings,
        counted,
        now: app.clock.now(),
    };
    Ok(rules(&view).into_response())
}

/// The rules in force, and what the index tells of them.
pub(super) async fn found(app: &App, days: u32) -> Result<Found, StoreError> {
    let bundle = app.snapshot.load().bundle.clone();
    let days = if DAYS.contains(&days) { days } else { DAYS[1] };
    let since = app.clock.now().minus(Duration::from_hours(24) * days);
    let written = bundle.written(&About::default());
    let mut hits: BTreeMap<String, Hits> = BTreeMap::new();
    for found in app.store.rule_hits(since, MOST).await? {
        if let Some(effect) = Effect::parse(&found.effect) {
            hits.entry(found.rule).or_default().add(effect, found.count, found.last);
        }
    }
    let decisions = hits.values().map(Hits::all).sum();
    let counted = Counted { days, decisions, capped: (decisions >= u64::from(MOST)).then_some(MOST) };
    let shadowed = if written.iter().any(|rule| rule.shadow) {
        app.store.shadowed(since, MOST, SHADOWED).await?
    } else {
        Vec::new()
    };
    let lists = hits.remove(ACCESS).unwrap_or_default();
    let shadows = shadows(&written, &shadowed);
    let rules = written.into_iter().map(|rule| RuleRow { hits: hits.remove(&*rule.rule).unwrap_or_default(), rule });
    let rules = rules.collect();
    let gone = hits.into_iter().map(|(rule, hits)| (rule, hits.all())).collect();
    let finding = |Finding { weight, error }: &Finding| FindingRow {
        weight: *weight,
        place: format!("{}:{}", error.file, error.line),
        text: match &error.nearest {
            Some(nearest) => format!("{}; did you mean \"{nearest}\"?", error.message),
            None => error.message.clone(),
        },
    };
    let odd = app.inspection.findings();
    let findings = odd.iter().filter(|finding| finding.weight > Weight::Note).map(finding).collect();
    Ok(Found { rules, lists, shadows, gone, findings, counted })
}

/// What each rule in shadow would have made of the calls that it applied to.
fn shadows(written: &[Written], calls: &[AuditEntry]) -> Vec<ShadowRow> {
    let shadow =
        |rule: &Written| ShadowRow { rule: rule.rule.to_string(), applied: 0, changed: 0, examples: Vec::new() };
    let mut rows: Vec<_> = written.iter().filter(|rule| rule.shadow).map(shadow).collect();
    for entry in calls {
        let Ok(Some(decided)) = Decided::parse(&entry.line) else { continue };
        let Some(was) = entry.row.effect.as_deref().and_then(Effect::parse) else { continue };
        for (rule, said) in &decided.shadows {
            let Some(row) = rows.iter_mut().find(|row| row.rule == *rule) else { continue };
            row.applied += 1;
            let said = Effect::parse(said);
            let Some(would) = said.filter(|_| overrules(said, was, entry.row.rule.as_deref() != Some(ACCESS))) else {
                continue;
            };
            row.changed += 1;
            if row.examples.len() < EXAMPLES {
                row.examples.push(example(entry, was, would));
            }
        }
    }
    rows
}

fn example(entry: &AuditEntry, was: Effect, would: Effect) -> Example {
    let row = &entry.row;
    let person = row.person_name.as_ref().or(row.person.as_ref()).cloned().unwrap_or_default();
    let what = row.name.as_ref().or(row.method.as_ref()).cloned().unwrap_or_default();
    let what = format!("{}/{what}", row.server.as_deref().unwrap_or_default());
    Example { at: row.at, person, what, was, would }
}
