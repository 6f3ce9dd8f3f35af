//! A trace, from a client through the gateway to a server, as a receiver made of OpenTelemetry's own messages has it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    upstream::Upstreams,
};
use serde_json::{Value, json};

use crate::Program;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "7b3e07f6d1a84c1e9a55f3c2b8d0e111";
const PARENT: &str = "00f067aa0ba902b7";
const STATE: &str = "congo=t61rcWkgMzE";

/// Spans of `trace` as soon as there are so many.
async fn spans(file: &Path, trace: &str, count: usize) -> Result<Vec<Value>> {
    let enough = Instant::now() + Duration::from_secs(30);
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let spans = whole.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let of_it: Vec<Value> = spans.into_iter().filter(|span| span["trace"] == trace).collect();
        if of_it.len() >= count {
            return Ok(of_it);
        }
        ensure!(Instant::now() < enough, "{count} spans of {trace} do not come: {of_it:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn named<'a>(spans: &'a [Value], name: &str) -> Result<&'a Value> {
    spans.iter().find(|span| span["name"] == name).with_context(|| format!("{name} in {spans:#?}"))
}

/// spec: TR-73, BR-70
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_through_the_gateway_in_headers_and_in_meta() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("spans");
    let receiver = Program::start("traces.py", &[&out.display().to_string()])?;
    let port = &receiver.1;
    let key = json!({ "kind": "key", "keys": { "canary-key": "the key of the house" } });
    let mut older = key.clone();
    older["sdk"] = json!(1);
    let servers = json!({ "now": key, "before": older });
    let Some(upstreams) = Upstreams::start(json!({}), servers).await? else { return Ok(()) };
    let hosts: Vec<String> =
        upstreams.hosts().into_iter().map(str::to_owned).chain([format!("127.0.0.1:{port}")]).collect();
    let telemetry = json!({ "traces": { "otlp": format!("http://127.0.0.1:{port}/v1/traces"), "sample": 1.0,
        "headers": { "Authorization": format!("file:{}", folder.path().join("secret").display()) } } });
    fs::write(folder.path().join("secret"), "Bearer canary-of-traces")?;
    let house = TestGateway::with(&format!(
        "outbound: {}\ntelemetry: {telemetry}\n",
        json!({ "private_hosts": hosts, "ca_file": upstreams.authority() })
    ))
    .await?;
    for name in ["now", "before"] {
        let entry = json!({ "name": name, "url": upstreams.get(name).url(), "credential": { "kind": "header", "header": "Authorization", "prefix": "Bearer ", "value": format!("file:{}", folder.path().join("key").display()) } });
        fs::write(folder.path().join("key"), "canary-key")?;
        house.protect_as(entry).await?;
    }
    for (server, trace) in [("now", TRACE), ("before", OTHER)] {
        let (_, tokens) = house.client(server, ALICE).await?;
        let params = json!({ "name": "whoami", "arguments": {} });
        let called = house.modern(server, &tokens.access, 1, "tools/call", params);
        let called = called
            .header("traceparent", &format!("00-{trace}-{PARENT}-01"))
            .header("tracestate", STATE)
            .header("baggage", "canary=of-baggage");
        let answer = called.send().await?;
        ensure!(answer.text().contains("the key of the house"), "{}", answer.text());
        let spans = spans(&out, trace, 3).await?;
        let outer = named(&spans, "POST /mcp/{name}")?;
        ensure!(outer["parent"] == PARENT && outer["state"] == STATE && outer["kind"] == 2, "{outer}");
        ensure!(outer["authorization"] == "Bearer canary-of-traces" && outer["path"] == "/v1/traces", "{outer}");
        ensure!(outer["resource"]["service.name"] == "portcullis" && outer["error"] == false, "{outer}");
        let about = &outer["attributes"];
        ensure!(about["http.response.status_code"] == 200 && about["mcp.server.name"] == server, "{outer}");
        ensure!(about["mcp.method.name"] == "tools/call" && about["gen_ai.tool.name"] == "whoami", "{outer}");
        ensure!(about["portcullis.request.id"] == answer.header("x-request-id").context("an identifier")?, "{outer}");
        let decide = named(&spans, "decide")?;
        let inner = named(&spans, "tools/call")?;
        ensure!(decide["parent"] == outer["span"] && inner["parent"] == outer["span"], "{spans:#?}");
        ensure!(inner["kind"] == 3 && inner["start"].as_u64() >= outer["start"].as_u64(), "{inner}");
        ensure!(inner["end"].as_u64() <= outer["end"].as_u64(), "{inner} {outer}");

        // The server is told that our span is its parent, where its revision looks for it.
        let parent = format!("00-{trace}-{}-01", inner["span"].as_str().context("a span")?);
        let requests = upstreams.get(server).requests().await?;
        let seen = requests
            .iter()
            .find(|request| request["body"].as_str().is_some_and(|body| body.contains("\"tools/call\"")))
            .context("the server was called")?;
        ensure!(seen["headers"]["traceparent"] == parent && seen["headers"]["tracestate"] == STATE, "{seen}");
        let body: Value = serde_json::from_str(seen["body"].as_str().context("a body")?)?;
        ensure!(body["params"]["_meta"]["traceparent"] == parent, "{body}");
        ensure!(!seen.to_string().contains("of-baggage"), "{seen}");
        // The record names the trace and the request.
        let decided = house.events("call.decided").await?;
        let line = decided.iter().find(|line| line["trace"] == trace).context("in the record")?;
        ensure!(line["request"] == answer.header("x-request-id").context("an identifier")?, "{line}");
    }
    let text = fs::read_to_string(&out)?;
    ensure!(!text.contains("canary-key"), "a credential is in a span");
    house.stop().await
}

/// Where the message and the header say different things, the message is nearer to whoever asks.
// spec: TR-73
#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_counts_more_and_nothing_is_recorded_of_what_is_not_sampled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("spans");
    let receiver = Program::start("traces.py", &[&out.display().to_string()])?;
    let port = &receiver.1;
    let house = TestGateway::with(&format!(
        "outbound: {{ private_hosts: [\"127.0.0.1:{port}\"] }}\ntelemetry: {{ traces: {{ otlp: \"http://127.0.0.1:{port}/v1/traces\", sample: 0 }} }}\n"
    ))
    .await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let call = async |header: &str, meta: &str| -> Result<()> {
        let params = json!({ "name": "echo", "arguments": { "message": "x" } });
        let request = house.modern("sample", &tokens.access, 1, "tools/call", params);
        // The house's own `_meta` gets one member more.
        let body = String::from_utf8(request.bytes())?;
        let body = body.split_once("\r\n\r\n").context("a body")?.1;
        let mut body: Value = serde_json::from_str(body)?;
        body["params"]["_meta"]["traceparent"] = json!(format!("00-{meta}-{PARENT}-01"));
        let request = house
            .request("POST", "/mcp/sample")
            .bearer(&tokens.access)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "echo")
            .header("traceparent", &format!("00-{header}-{PARENT}-00"))
            .json(&body);
        let answer = request.send().await?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    };
    call(TRACE, OTHER).await?;
    let of_meta = spans(&out, OTHER, 3).await?;
    ensure!(named(&of_meta, "POST /mcp/{name}")?["parent"] == PARENT, "{of_meta:#?}");
    let text = fs::read_to_string(&out)?;
    ensure!(!text.contains(TRACE), "what the header says was not sampled: {text}");
    // Sign-in and pages began their own traces, none of which is recorded at a share of 0.
    ensure!(text.lines().all(|line| line.contains(OTHER)), "{text}");
    house.stop().await
}
