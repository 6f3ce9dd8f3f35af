//! Forms of lines, read by parsers that are not ours.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    place::Place,
    receivers::{PYTHON, is_there, read},
};

/// Reads CEF lines with `pycef` and gives each as JSON.
const CEF: &str = "import json, sys, pycef
for line in open(sys.argv[1], encoding='utf-8'):
    print(json.dumps(pycef.parse(line.rstrip('\\n'))))";

/// What would be a field, an escape or a header of its own.
const HOSTILE: &str = "a=b src=9.9.9.9|CEF:0|\\x\\\\";

#[tokio::test(flavor = "multi_thread")]
async fn cef_and_ocsf_files_say_what_the_journal_says() -> Result<()> {
    if !is_there(PYTHON) {
        return Ok(());
    }
    let place = Place::new()?;
    let (cef, ocsf) = (place.path().join("audit.cef"), place.path().join("audit.ocsf"));
    let sink =
        |name: &str, path| json!({ "name": name, "kind": "file", "format": name, "path": path, "events": ["call."] });
    place.settings(&json!([sink("cef", &cef), sink("ocsf", &ocsf)]), &[])?;
    let up = place.up()?;
    let tokens = place.sign_in(&up).await?;
    place.calls(&tokens.access, 5, "canary").await?;
    place.call_of(&tokens.access, HOSTILE, "canary").send().await?;
    up.stop()?;
    let calls: Vec<Value> = place
        .trail()?
        .values()
        .filter(|line| line.contains("\"event\":\"call."))
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    ensure!(calls.len() == 12, "{}", calls.len());
    for file in [&cef, &ocsf] {
        ensure!(!fs::read_to_string(file)?.contains("canary"), "arguments left");
    }

    let parsed = Command::new(PYTHON).args(["-c", CEF]).arg(&cef).output()?;
    ensure!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let parsed: Vec<Value> =
        String::from_utf8(parsed.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(parsed.len() == calls.len(), "{parsed:?}");
    for (event, line) in parsed.iter().zip(&calls) {
        ensure!(event["DeviceEventClassID"] == line["event"] && event["DeviceVendor"] == "Portcullis", "{event}");
        ensure!(event["src"] == line["address"] && event["suser"] == line["person_name"], "{event}");
        ensure!(event["externalId"] == json!(format!("{}-{}", line["node"].as_str().context("a node")?, line["seq"])));
        let call = event.get("cs1").or(event.get("call"));
        ensure!(call == line.get("call"), "{event}");
    }

    let events = read(&ocsf)?;
    ensure!(events.len() == calls.len(), "{events:?}");
    for (event, line) in events.iter().zip(&calls) {
        ensure!(event["class_uid"] == 6003 && event["metadata"]["sequence"] == line["seq"], "{event}");
        ensure!(
            event["resources"][0]["name"] == line["name"] && event["src_endpoint"]["ip"] == line["address"],
            "{event}"
        );
        ensure!(event["actor"]["user"]["name"] == line["person_name"], "{event}");
    }

    // How far it has come is told beside a gateway that does not run.
    let (code, text) = place.run(&["audit", "sinks", "--json"])?;
    ensure!(code == 0, "{text}");
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(rows.len() == 2, "{text}");
    for row in rows {
        ensure!(row["waiting"] == 0 && row["refused"] == 0 && row["why"].is_null(), "{row}");
    }
    Ok(())
}
