//! Lines that a receiver refuses for good: they are set aside, counted and recorded, and the others go on.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    place::{Place, SECRET, key},
    receivers::Receiver,
    story::wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn line_that_is_refused_is_set_aside_and_recorded_and_the_others_arrive() -> Result<()> {
    let place = Place::new()?;
    let options = ["--secret", SECRET, "--refuse", "poison"];
    let Some(receiver) = Receiver::python("webhook", place.path(), &options)? else { return Ok(()) };
    let url = format!("http://{}/audit", receiver.host());
    let sink = json!({ "name": "it", "kind": "webhook", "url": url, "secret": "env:SINK_SECRET", "arguments": true });
    place.settings(&json!([sink]), &[receiver.host()])?;
    let up = place.up()?;
    let tokens = place.sign_in(&up).await?;
    for _ in 0..3 {
        place.calls(&tokens.access, 10, "plain").await?;
        place.calls(&tokens.access, 1, "poison").await?;
    }
    place.calls(&tokens.access, 10, "plain").await?;
    wait("three lines are refused", || Ok(place.metric("portcullis_sink_refused_lines_total{sink=\"it\"}")? == 3))?;
    wait("nothing is failing", || Ok(place.metric("portcullis_sink_failing{sink=\"it\"}")? == 0))?;
    up.stop()?;
    let trail = place.trail()?;
    let refused: BTreeSet<_> =
        trail.iter().filter(|(_, line)| line.contains("poison")).map(|(place, _)| place.clone()).collect();
    ensure!(refused.len() == 3, "{refused:?}");
    let arrived: BTreeSet<_> = receiver.received()?.iter().map(|item| key(&item["text"])).collect::<Result<_>>()?;
    let missing: BTreeSet<_> = trail.keys().filter(|place| !arrived.contains(*place)).cloned().collect();
    ensure!(missing == refused, "{missing:?} are missing, {refused:?} are refused");
    // Each is in the record, by its number and the reason.
    let mut told = BTreeSet::new();
    for line in trail.values().filter(|line| line.contains("\"sink.refused\"")) {
        let line: Value = serde_json::from_str(line)?;
        ensure!(line["details"]["sink"] == "it" && line["details"]["why"] == "it answered 400 Bad Request", "{line}");
        let journal = line["details"]["journal"].as_str().context("a journal")?;
        told.insert((journal.to_owned(), line["details"]["line"].as_u64().context("a number")?));
    }
    ensure!(told == refused, "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_set_aside_where_the_receiver_refuses_everything() -> Result<()> {
    let place = Place::new()?;
    let options = ["--secret", SECRET, "--refuse", "audit.lines"];
    let Some(mut receiver) = Receiver::python("webhook", place.path(), &options)? else { return Ok(()) };
    let sink = json!({ "name": "it", "kind": "webhook", "url": format!("http://{}/audit", receiver.host()), "secret": "env:SINK_SECRET" });
    place.settings(&json!([sink]), &[receiver.host()])?;
    let up = place.up()?;
    let tokens = place.sign_in(&up).await?;
    place.calls(&tokens.access, 30, "plain").await?;
    wait("it is seen", || Ok(place.metric("portcullis_sink_failing{sink=\"it\"}")? == 1))?;
    ensure!(place.metric("portcullis_sink_refused_lines_total{sink=\"it\"}")? == 0, "a line was set aside");
    // It is set right, and takes everything.
    receiver.stop()?;
    receiver.takes_everything();
    receiver.start()?;
    wait("it takes lines", || Ok(place.metric("portcullis_sink_failing{sink=\"it\"}")? == 0))?;
    up.stop()?;
    let arrived: BTreeSet<_> = receiver.received()?.iter().map(|item| key(&item["text"])).collect::<Result<_>>()?;
    let trail = place.trail()?;
    ensure!(trail.keys().all(|place| arrived.contains(place)), "lines are missing");
    ensure!(!trail.values().any(|line| line.contains("\"sink.refused\"")), "a line was set aside");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_otlp_receiver_takes_in_part_is_counted() -> Result<()> {
    let place = Place::new()?;
    let Some(receiver) = Receiver::python("otlp", place.path(), &["--partial", "settings.loaded"])? else {
        return Ok(());
    };
    let sink = json!({ "name": "it", "kind": "otlp", "url": format!("http://{}/v1/logs", receiver.host()) });
    place.settings(&json!([sink]), &[receiver.host()])?;
    let up = place.up()?;
    wait("it is counted", || Ok(place.metric("portcullis_sink_refused_lines_total{sink=\"it\"}")? == 1))?;
    up.stop()
}
