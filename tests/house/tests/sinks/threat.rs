//! An exporter as a way out: to addresses of the network, with arguments, with secrets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::{
    place::{Place, SECRET},
    receivers::Receiver,
    story::wait,
};

// spec: T-100
#[tokio::test(flavor = "multi_thread")]
async fn t100_no_sink_reaches_a_metadata_address_even_where_it_is_named() -> Result<()> {
    let sinks = [
        ("otlp", json!({ "kind": "otlp", "url": "https://169.254.169.254/v1/logs" })),
        ("webhook", json!({ "kind": "webhook", "url": "https://169.254.169.254/x", "secret": "" })),
        ("syslog", json!({ "kind": "syslog", "server": "169.254.169.254:6514" })),
    ];
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), SECRET)?;
    for (name, mut sink) in sinks {
        sink["name"] = json!(name);
        if name == "webhook" {
            sink["secret"] = json!(format!("file:{}", secret.path().display()));
        }
        let audit = format!("audit: {}\n", json!({ "sinks": [sink] }));
        // Not named, it is refused when the settings are read.
        let refused = TestGateway::with(&audit).await.err().context("it was accepted")?.to_string();
        ensure!(refused.contains("a private address"), "{refused}");
        // Named, it is refused when it is dialled.
        let hosts: Vec<_> = [443, 6514].map(|port| format!("169.254.169.254:{port}")).into();
        let house = TestGateway::with(&format!("{audit}outbound: {}\n", json!({ "private_hosts": hosts }))).await?;
        let (_, tokens) = house.client("sample", ALICE).await?;
        let status = house.app.sinks[0].clone();
        for _ in 0..200 {
            if status.read().is_failing {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let reading = status.read();
        ensure!(reading.is_failing && reading.sent == 0 && reading.lag > 0, "{reading:?}");
        // And calls go on.
        let answer = house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
        ensure!(answer.status == 200, "{}", answer.text());
        let written = String::from_utf8_lossy(&house.written()).into_owned();
        ensure!(written.contains("the address 169.254.169.254 is not one that may be reached"), "{name}");
        house.stop().await?;
    }
    Ok(())
}

// spec: T-100
#[tokio::test(flavor = "multi_thread")]
async fn t100_receiver_cannot_send_the_record_elsewhere() -> Result<()> {
    let place = Place::new()?;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
    let to = format!("http://{}/v1/logs", elsewhere.local_addr()?);
    let Some(receiver) = Receiver::python("otlp", place.path(), &["--redirect", &to])? else { return Ok(()) };
    let url = format!("http://{}/v1/logs", receiver.host());
    let sink =
        json!({ "name": "it", "kind": "otlp", "url": url, "headers": { "Authorization": "env:SINK_AUTHORIZATION" } });
    // Even where that other place may be reached.
    place.settings(&json!([sink]), &[receiver.host(), elsewhere.local_addr()?.to_string()])?;
    let up = place.up()?;
    wait("it is seen", || Ok(place.metric("portcullis_sink_failing{sink=\"it\"}")? == 1))?;
    let heard = tokio::time::timeout(Duration::from_millis(200), async {
        let (mut stream, _) = elsewhere.accept().await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        anyhow::Ok(bytes)
    });
    ensure!(heard.await.is_err(), "it was followed");
    up.stop()
}
