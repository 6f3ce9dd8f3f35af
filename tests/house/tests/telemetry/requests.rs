//! One line in the log for each request, with what one asks for first and nothing that must not be there.

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    overheard::{holds, overheard},
};
use serde_json::json;

#[test]
fn each_request_is_one_line_without_secrets() -> Result<()> {
    overheard(async |log| {
        let house = TestGateway::start().await?;
        let (_, tokens) = house.client("sample", ALICE).await?;
        let lines = |log: &portcullis_house::overheard::Log| -> Vec<String> {
            let text = String::from_utf8_lossy(&log.bytes()).into_owned();
            text.lines().filter(|line| line.contains("portcullis::request")).map(str::to_owned).collect()
        };
        let before = lines(&log).len();
        let answers = [
            house.call("sample", &tokens.access, "echo", json!({ "message": "canary-of-arguments" })).send().await?,
            house.call("sample", "canary-of-a-bad-token", "echo", json!({ "message": "x" })).send().await?,
            house.request("GET", "/no/such/canary-path?secret=canary-of-the-query").send().await?,
            house.request("GET", "/account").header("cookie", "portcullis_session=canary-cookie").send().await?,
        ];
        let lines = lines(&log).split_off(before);
        ensure!(lines.len() == answers.len(), "{lines:#?}");
        for (line, answer) in lines.iter().zip(&answers) {
            let id = answer.header("x-request-id").context("an identifier")?;
            ensure!(line.contains(id) && line.contains(&format!("http.status={}", answer.status)), "{line}");
            ensure!(line.contains("duration_ms=") && line.contains("response_bytes="), "{line}");
        }
        for told in ["mcp.method=\"tools/call\"", "server.name=\"sample\"", "tool.name=\"echo\"", "outcome=\"success\""]
        {
            ensure!(lines[0].contains(told), "{told} in {}", lines[0]);
        }
        let all = lines.join("\n");
        for secret in ["canary", tokens.access.as_str()] {
            ensure!(!holds(all.as_bytes(), secret), "{secret} in {all}");
        }
        house.stop().await
    })
}

#[test]
fn lines_of_requests_can_be_turned_off() -> Result<()> {
    overheard(async |log| {
        let house = TestGateway::with("telemetry: { requests: false }\n").await?;
        let answer = house.request("GET", "/").send().await?;
        ensure!(answer.header("x-request-id").is_some_and(|id| id.len() == 24), "{answer:?}");
        ensure!(!holds(&log.bytes(), "portcullis::request"), "a line of a request");
        house.stop().await
    })
}
