//! The numbers, read by Prometheus' own parser; and that the dashboard, the alerts and the guide know them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::request,
};
use serde_json::{Value, json};

use crate::read_by;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");

type Families = BTreeMap<String, Value>;

async fn families(house: &TestGateway) -> Result<Families> {
    let answer = request(&house.app.config.operations.to_string(), "GET", "/metrics").send().await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let kind = answer.header("content-type").context("a media type")?;
    ensure!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    Ok(serde_json::from_str(&read_by("openmetrics.py", &answer.text())?)?)
}

/// The value of the sample with these labels.
fn sample(families: &Families, family: &str, name: &str, labels: &Value) -> Option<f64> {
    let samples = families.get(family)?["samples"].as_array()?;
    samples.iter().find(|sample| sample["name"] == name && sample["labels"] == *labels)?["value"].as_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_say_what_happened_in_the_form_that_is_standard() -> Result<()> {
    let house = TestGateway::start().await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    // A tool has a label of its own as soon as its definition is known.
    house.modern("sample", &tokens.access, 1, "tools/list", json!({})).send().await?;
    for _ in 0..3 {
        let call = house.call("sample", &tokens.access, "echo", json!({ "message": "x" }));
        ensure!(call.send().await?.status == 200);
    }
    house.call("sample", "bad", "echo", json!({})).send().await?;
    house.app.journal.tick().await;
    let families = families(&house).await?;
    let calls = json!({ "server": "sample", "method": "tools/call", "tool": "echo", "outcome": "success" });
    ensure!(sample(&families, "portcullis_calls", "portcullis_calls_total", &calls) == Some(3.0), "{families:#?}");
    for (family, labels) in [
        ("portcullis_call_duration_seconds", json!({ "server": "sample", "tool": "echo" })),
        ("portcullis_decision_duration_seconds", json!({ "server": "sample" })),
        ("portcullis_upstream_duration_seconds", json!({ "server": "sample" })),
    ] {
        let count = sample(&families, family, &format!("{family}_count"), &labels);
        ensure!(count.is_some_and(|count| count >= 3.0), "{family}: {count:?}");
        ensure!(families[family]["unit"] == "seconds" && families[family]["type"] == "histogram", "{family}");
    }
    let http = json!({ "route": "/mcp/{name}", "method": "POST", "status": "401" });
    let refused = sample(&families, "portcullis_http_requests", "portcullis_http_requests_total", &http);
    ensure!(refused == Some(1.0), "{refused:?}");
    for (family, least) in
        [("portcullis_sessions", 1.0), ("portcullis_database_up", 1.0), ("process_resident_memory_bytes", 1.0e6)]
    {
        let value = sample(&families, family, family, &json!({}));
        ensure!(value.is_some_and(|value| value >= least), "{family}: {value:?}");
    }
    ensure!(families.values().all(|family| family["help"].as_str().is_some_and(|help| !help.is_empty())));
    house.stop().await
}

/// What somebody makes up never becomes a label: neither tools, nor methods, nor addresses.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_names_adds_no_labels() -> Result<()> {
    let house = TestGateway::with("limits: { sign_ins_per_minute: 10000 }\n").await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let count = |families: &Families| -> usize {
        families.values().filter_map(|family| family["samples"].as_array()).map(Vec::len).sum()
    };
    let flood = async |numbers: std::ops::Range<u32>| -> Result<()> {
        for number in numbers {
            let name = format!("made-up-{number}");
            house.call("sample", &tokens.access, &name, json!({})).send().await?;
            house.modern("sample", &tokens.access, 1, &name, json!({})).send().await?;
            house.request("GET", &format!("/{name}")).send().await?;
            house.request("POST", &format!("/mcp/{name}")).send().await?;
            house.request(&format!("MADE{number}"), "/").send().await?;
        }
        Ok(())
    };
    flood(0..5).await?;
    let before = count(&families(&house).await?);
    flood(5..200).await?;
    let after = families(&house).await?;
    ensure!(count(&after) == before, "{before} samples became {}", count(&after));
    ensure!(!serde_json::to_string(&after)?.contains("made-up"));
    house.stop().await
}

/// Names of ours in a text, as the parser calls their families.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let ours = |word: &&str| word.starts_with("portcullis_") && word.len() > "portcullis_".len();
    let family = |word: &str| {
        let ends = ["_total", "_bucket", "_count", "_sum", "_info"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    text.split(|c| !word(c)).filter(ours).map(family).collect()
}

/// Whoever draws or warns by a number that is not there sees nothing, and never learns it.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_the_alerts_and_the_guide_name_numbers_that_there_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sinks = format!("audit: {{ sinks: [{{ name: it, kind: file, path: {}/out }}] }}\n", folder.path().display());
    let traces = "telemetry: { traces: { otlp: \"https://otel.example.com/v1/traces\", sample: 0 } }\n";
    let house = TestGateway::with(&format!("{sinks}{traces}")).await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
    let known: BTreeSet<String> =
        families(&house).await?.into_keys().filter(|name| name.starts_with("portcullis_")).collect();
    let guide = fs::read_to_string(format!("{ROOT}docs/guides/telemetry.md"))?;
    let dashboard = fs::read_to_string(format!("{ROOT}deploy/grafana/portcullis.json"))?;
    let alerts = fs::read_to_string(format!("{ROOT}deploy/prometheus/alerts.yaml"))?;
    for (what, text) in [("the guide", &guide), ("the dashboard", &dashboard), ("the alerts", &alerts)] {
        let strangers: Vec<String> = names(text).difference(&known).cloned().collect();
        ensure!(strangers.is_empty(), "{what} names {strangers:?}, of which nothing is told");
    }
    let untold: Vec<String> = known.difference(&names(&guide)).cloned().collect();
    ensure!(untold.is_empty(), "the guide does not name {untold:?}");
    let dashboard: Value = serde_json::from_str(&dashboard)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    ensure!(panels.iter().all(|panel| panel["type"] == "row" || panel["targets"][0]["expr"].is_string()));
    house.stop().await
}

/// By Prometheus' own tool: the rules are well formed, and each waits for what it should.
#[test]
fn alerts_go_off_when_they_should() -> Result<()> {
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let ended = Command::new("promtool")
            .args(arguments)
            .current_dir(format!("{ROOT}deploy/prometheus"))
            .output()
            .context("promtool is missing: `./test` installs it")?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()));
    }
    Ok(())
}
