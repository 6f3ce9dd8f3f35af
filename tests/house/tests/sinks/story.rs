//! One story for every kind: traffic; the receiver is stopped in the middle of it; the gateway is killed while it is away,
//! and again while it is there; at the end everything has arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    place::{AUTHORIZATION, Place, SECRET, key},
    receivers::{Receiver, is_there, read},
};

/// What calls say, which must not leave.
const CANARY: &str = "canary-in-the-arguments";
/// How often a batch was interrupted in the story: the receiver was stopped once, the gateway killed twice.
const INTERRUPTIONS: usize = 3;

/// Waits until what is asked for is so.
pub fn wait(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let enough = Instant::now() + Duration::from_secs(90);
    while !is_so()? {
        ensure!(Instant::now() < enough, "{what}: it does not come to that");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Node and number of what a receiver has, in its order.
type Arrived = Box<dyn Fn() -> Result<Vec<(String, u64)>>>;

/// Plays the story. `stop` and `start` are the receiver's; `arrived` is what it has.
async fn play(
    place: &Place,
    stop: &mut dyn FnMut() -> Result<()>,
    start: &mut dyn FnMut() -> Result<()>,
    arrived: &Arrived,
) -> Result<()> {
    let up = place.up()?;
    let tokens = place.sign_in(&up).await?;
    let token = tokens.access.as_str();
    place.calls(token, 20, CANARY).await?;
    wait("the first lines arrive", || Ok(arrived()?.len() >= 20))?;

    stop()?;
    // Nobody waits for the receiver.
    place.calls(token, 60, CANARY).await?;
    wait("it is seen that nothing is taken", || {
        Ok(place.metric("portcullis_sink_failing{sink=\"it\"}")? == 1
            && place.metric("portcullis_sink_lag_lines{sink=\"it\"}")? > 100)
    })?;
    // A command on this machine writes a journal of its own.
    let (code, text) = place.run(&["user", "admin", "admin", "on"])?;
    ensure!(code == 0, "{text}");
    up.kill()?;
    let up = place.up()?;
    place.calls(token, 20, CANARY).await?;
    start()?;
    place.calls(token, 40, CANARY).await?;
    let before = arrived()?.len();
    wait("lines arrive again", || Ok(arrived()?.len() > before))?;
    place.calls(token, 40, CANARY).await?;
    up.kill()?;
    let up = place.up()?;
    place.calls(token, 20, CANARY).await?;
    up.stop()?;

    let expected: BTreeSet<(String, u64)> = place.trail()?.into_keys().collect();
    ensure!(expected.len() > 400, "{}", expected.len());
    ensure!(expected.iter().any(|(node, _)| node == "cli"), "the commands have a journal");
    let all = || -> Result<BTreeSet<_>> { Ok(arrived()?.into_iter().collect()) };
    // What was left when it was stopped is sent after the next start.
    if all()? != expected {
        let up = place.up()?;
        wait("the rest arrives", || Ok(all()?.is_superset(&expected)))?;
        up.stop()?;
    }
    let expected: BTreeSet<(String, u64)> = place.trail()?.into_keys().collect();
    let missing: Vec<_> = expected.difference(&all()?).cloned().collect();
    ensure!(missing.is_empty(), "these never arrived: {missing:?}");
    let invented: Vec<_> = all()?.difference(&expected).cloned().collect();
    ensure!(invented.is_empty(), "these are in no journal: {invented:?}");

    // In each journal's order, but where something was interrupted: there it goes back by one batch at most.
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut back = Vec::new();
    for (node, seq) in arrived()? {
        let last = last.entry(node).or_default();
        if seq <= *last {
            back.push(*last - seq + 1);
        }
        *last = seq;
    }
    ensure!(back.len() <= INTERRUPTIONS && back.iter().all(|lines| *lines <= 1000), "it goes back by {back:?}");
    let log = fs::read_to_string(place.log())?;
    ensure!(!log.contains(SECRET) && !log.contains(AUTHORIZATION), "{log}");
    Ok(())
}

/// What receivers have whose items have the line in `text`.
fn lines(read: impl Fn() -> Result<Vec<Value>> + 'static) -> Arrived {
    Box::new(move || {
        let line = |item: Value| {
            let text = item["text"].as_str().with_context(|| item.to_string())?;
            ensure!(!text.contains(CANARY), "{text}");
            key(&serde_json::from_str(text.trim_start_matches('\u{feff}')).with_context(|| text.to_owned())?)
        };
        read()?.into_iter().map(line).collect()
    })
}

async fn with_receiver(receiver: Receiver, place: &Place, mut sink: Value) -> Result<Receiver> {
    sink["name"] = json!("it");
    place.settings(&json!([sink]), &[receiver.host()])?;
    let out = receiver.out.clone();
    let arrived = lines(move || read(&out));
    let cell = std::cell::RefCell::new(receiver);
    play(place, &mut || cell.borrow_mut().stop(), &mut || cell.borrow_mut().start(), &arrived).await?;
    Ok(cell.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_receiver_gets_every_line() -> Result<()> {
    let place = Place::new()?;
    let Some(receiver) = Receiver::python("otlp", place.path(), &["--busy", "2"])? else { return Ok(()) };
    let url = format!("http://{}/v1/logs", receiver.host());
    let sink = json!({ "kind": "otlp", "url": url, "headers": { "Authorization": "env:SINK_AUTHORIZATION" } });
    let receiver = with_receiver(receiver, &place, sink).await?;
    let trail = place.trail()?;
    for item in receiver.received()? {
        let line: Value = serde_json::from_str(item["text"].as_str().context("a text")?)?;
        let (node, seq) = key(&line)?;
        ensure!(item["authorization"] == AUTHORIZATION, "{item}");
        ensure!(
            item["resource"]["service.name"] == "portcullis" && item["resource"]["service.instance.id"] == json!(node)
        );
        ensure!(item["event"] == line["event"] && item["attributes"]["portcullis.seq"] == json!(seq), "{item}");
        ensure!(item["attributes"].get("user.name") == line.get("person_name"), "{item}");
        ensure!(item["trace"].as_str().unwrap_or_default() == line["trace"].as_str().unwrap_or_default(), "{item}");
        ensure!(item["severity"][0].as_u64().is_some_and(|number| [9, 13, 17].contains(&number)), "{item}");
        if line["details"].get("arguments").is_none() && !trail[&(node.clone(), seq)].contains("\"arguments\"") {
            ensure!(item["text"] == json!(trail[&(node, seq)]), "where nothing is left out it is the line");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_gets_every_line_signed() -> Result<()> {
    let place = Place::new()?;
    let options = ["--secret", SECRET, "--busy", "1"];
    let Some(receiver) = Receiver::python("webhook", place.path(), &options)? else { return Ok(()) };
    // The lines stand in the body as JSON; the program writes each down as one.
    let out = receiver.out.clone();
    let arrived: Arrived = Box::new(move || {
        read(&out)?
            .into_iter()
            .map(|item| {
                ensure!(!item.to_string().contains(CANARY) && item["type"] == "audit.lines", "{item}");
                let found = key(&item["text"])?;
                ensure!(item["journal"] == json!(found.0), "{item}");
                Ok(found)
            })
            .collect()
    });
    let sink = json!({ "name": "it", "kind": "webhook", "url": format!("http://{}/audit", receiver.host()), "secret": "env:SINK_SECRET" });
    place.settings(&json!([sink]), &[receiver.host()])?;
    let cell = std::cell::RefCell::new(receiver);
    play(&place, &mut || cell.borrow_mut().stop(), &mut || cell.borrow_mut().start(), &arrived).await
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_server_gets_every_line_over_tls() -> Result<()> {
    let place = Place::new()?;
    let Some(receiver) = Receiver::rsyslog(place.path())? else { return Ok(()) };
    let tls = json!({ "ca_file": "ca.pem", "client_certificate": "client.pem", "client_key": "file:client.key" });
    let sink = json!({ "kind": "syslog", "server": receiver.host(), "tls": tls, "size": "64KiB" });
    let receiver = with_receiver(receiver, &place, sink).await?;
    for item in receiver.received()? {
        let text = item["text"].as_str().context("a text")?;
        let line: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))?;
        ensure!(
            item["host"] == line["node"] && item["app"] == "portcullis" && item["event"] == line["event"],
            "{item}"
        );
        ensure!(item["time"] == line["at"] && item["facility"] == "13", "{item}");
        let data = item["data"].as_str().unwrap_or_default();
        ensure!(data.starts_with(&format!("[portcullis@32473 seq=\"{}\"", line["seq"])), "{item}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_gets_every_line_through_rotations() -> Result<()> {
    const JQ: &str = "/usr/bin/jq";
    if !is_there(JQ) {
        return Ok(());
    }
    let place = Place::new()?;
    let folder = place.path().join("logs");
    let path = folder.join("audit.jsonl");
    let rotate = json!({ "size": "64KiB", "keep": 100 });
    let sink = json!({ "name": "it", "kind": "file", "path": path, "rotate": rotate });
    place.settings(&json!([sink]), &[])?;
    let read_by = folder.clone();
    let arrived: Arrived = Box::new(move || {
        let name = |number: usize| if number == 0 { "audit.jsonl".to_owned() } else { format!("audit.jsonl.{number}") };
        let mut files: Vec<_> =
            (0..100).map(|number| read_by.join(name(number))).filter(|file| file.exists()).collect();
        files.reverse();
        let mut found = Vec::new();
        for file in files {
            let out =
                std::process::Command::new(JQ).arg("-c").arg("[.node, .seq, .details.arguments]").arg(file).output()?;
            ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            for line in String::from_utf8(out.stdout)?.lines() {
                let (node, seq, arguments): (String, u64, Option<Value>) = serde_json::from_str(line)?;
                ensure!(arguments.is_none(), "{line}");
                found.push((node, seq));
            }
        }
        Ok(found)
    });
    // A file cannot be stopped; what is in its place can be in the way.
    let (aside, there) = (place.path().join("aside"), folder.clone());
    let mut stop = || {
        fs::rename(&there, &aside)?;
        Ok(fs::write(&there, "")?)
    };
    let mut start = || {
        fs::remove_file(&folder)?;
        Ok(fs::rename(place.path().join("aside"), &folder)?)
    };
    play(&place, &mut stop, &mut start, &arrived).await?;
    ensure!(path.with_file_name("audit.jsonl.1").exists(), "it was rotated");
    Ok(())
}
