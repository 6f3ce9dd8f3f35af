//! Nothing happens unrecorded: every route with every outcome is played against a whole gateway, and the journal is read.
//!
//! The table is spread over the modules of the stories: each row is a route, what becomes of a request to it, and the kind and
//! outcome of the event that this leaves. It is incomplete, and this fails, when
//! - a route of the router is in no row and not among [`quiet::QUIET`],
//! - a row is not played, or leaves no such event,
//! - a kind of event is in no row and not in [`elsewhere::ELSEWHERE`], which names the test that produces it.
//!
//! What needs no event: pages and documents that change nothing, opened by somebody who may. What does all the same: looks at
//! what others asked for and got, and everything that is taken away as a file.

#[path = "../threats/account_site.rs"]
#[expect(dead_code, reason = "the threats need more of it")]
mod account_site;
mod accounts;
mod administration;
#[path = "../threats/asked.rs"]
#[expect(dead_code, reason = "the threats need more of it")]
mod asked;
#[path = "../threats/behind.rs"]
#[expect(dead_code, reason = "the threats need more of it")]
mod behind;
mod company;
mod directory;
mod doors;
mod elsewhere;
mod endpoint;
mod quiet;
mod refused;
mod routes;
mod tour;
mod waiting;
#[path = "../console/walk.rs"]
mod walk;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use portcullis_audit::Kind;

use tour::Row;

/// The whole table.
const TABLE: [&[Row]; 7] =
    [doors::ROWS, endpoint::ROWS, administration::ROWS, waiting::ROWS, directory::ROWS, company::ROWS, accounts::ROWS];

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.into_iter().flatten()
}

#[test]
fn every_route_is_in_the_table_or_changes_nothing() -> Result<()> {
    let routes = routes::all()?;
    assert!(routes.len() > 100, "{routes:?}");
    let told: BTreeSet<_> = rows().map(|row| row.0).chain(quiet::QUIET).collect();
    let untold: Vec<_> = routes.iter().filter(|route| !told.contains(route.as_str())).collect();
    assert!(untold.is_empty(), "no row says what these leave in the record: {untold:#?}");
    let gone: Vec<_> = told.into_iter().filter(|told| told.contains('/') && !routes.contains(*told)).collect();
    assert!(gone.is_empty(), "there are no such routes: {gone:#?}");
    Ok(())
}

#[test]
fn every_kind_is_in_the_table_or_another_test_produces_it() -> Result<()> {
    let told: BTreeSet<_> = rows().map(|row| row.2).collect();
    let elsewhere: BTreeSet<_> = elsewhere::checked()?.into_iter().collect();
    let kinds = Kind::ALL.iter().map(|kind| kind.as_str());
    let untold: Vec<_> = kinds.clone().filter(|kind| !told.contains(kind) && !elsewhere.contains(kind)).collect();
    assert!(untold.is_empty(), "nothing produces these: {untold:?}");
    let kinds: BTreeSet<_> = kinds.collect();
    let unknown: Vec<_> = told.iter().chain(&elsewhere).filter(|told| !kinds.contains(*told)).collect();
    assert!(unknown.is_empty(), "there are no such kinds: {unknown:?}");
    Ok(())
}

/// The guide has a row for each kind, and for nothing else.
#[test]
fn the_guide_tells_of_every_kind() -> Result<()> {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/audit.md"))?;
    let (_, table) = guide.split_once("### Kinds of events").context("the section")?;
    let table = table.split("\n## ").next().unwrap_or_default();
    let told: BTreeSet<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let kinds: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let (untold, unknown): (Vec<_>, Vec<_>) = (kinds.difference(&told).collect(), told.difference(&kinds).collect());
    assert!(untold.is_empty(), "docs/guides/audit.md has no row for {untold:?}");
    assert!(unknown.is_empty(), "docs/guides/audit.md tells of {unknown:?}, which nothing writes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_leave_their_events() -> Result<()> {
    Box::pin(doors::play()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_leave_their_events() -> Result<()> {
    Box::pin(endpoint::play()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_leaves_its_events() -> Result<()> {
    Box::pin(administration::play()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_people_leaves_its_events() -> Result<()> {
    Box::pin(waiting::play()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_leave_their_events() -> Result<()> {
    Box::pin(directory::play()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_leave_their_events() -> Result<()> {
    Box::pin(company::play()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_their_events() -> Result<()> {
    Box::pin(accounts::play()).await
}
