//! Memory with many clients: each has a session of the 2025-11-25 revision and its event stream open.

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    http::{Connection, request},
    targets::{House, resident},
};

/// Memory with so many sessions.
#[derive(Serialize)]
pub struct Sessions {
    /// Sessions with an open event stream.
    pub count: usize,
    /// Resident memory of the gateway in MiB.
    pub resident_mib: f64,
}

/// Opens `count` sessions, holds them all, and reads the gateway's memory.
pub async fn open(house: &House, count: usize) -> Result<Sessions> {
    let bearer = format!("Bearer {}", house.token);
    let mut held = Vec::with_capacity(count);
    for id in 0..count {
        let mut connection = Connection::open(&house.authority).await?;
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } } });
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let answer =
            connection.exchange(&request(&house.authority, "POST", "/mcp/bench", &headers, &body.to_string())).await?;
        ensure!(answer.status == 200, "initialize: {}\n{}", answer.head, String::from_utf8_lossy(&answer.body));
        let session = answer.header("mcp-session-id").context("no session id")?.to_owned();
        let headers = [
            ("authorization", bearer.as_str()),
            ("accept", "text/event-stream"),
            ("mcp-session-id", session.as_str()),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        let status = connection.open_stream(&request(&house.authority, "GET", "/mcp/bench", &headers, "")).await?;
        ensure!(status == 200, "the event stream of session {id} was answered with {status}");
        held.push(connection);
    }
    Ok(Sessions { count, resident_mib: resident(house.gateway)? })
}
