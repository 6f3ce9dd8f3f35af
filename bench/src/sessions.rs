//! Memory with many clients, each with a session of the 2025-11-25 revision.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    http::{Connection, request},
    targets::{Endpoint, House, resident},
};

/// How many sessions are open at once, and how many of them have an event stream.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    sessions: usize,
    streams: usize,
}

impl Crowd {
    /// Sessions that all have a stream.
    pub fn streams(count: usize) -> Self {
        Self { sessions: count, streams: count }
    }
}

impl FromStr for Crowd {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (sessions, streams) = text.split_once('/').context("SESSIONS/STREAMS, such as 5000/2000")?;
        let crowd = Self { sessions: sessions.parse()?, streams: streams.parse()? };
        ensure!(crowd.streams <= crowd.sessions, "each stream belongs to a session");
        Ok(crowd)
    }
}

/// Memory with so many sessions.
#[derive(Serialize)]
pub struct Sessions {
    /// What is behind the gateway.
    pub endpoint: &'static str,
    /// Open sessions.
    pub count: usize,
    /// How many of them have an event stream open.
    pub streams: usize,
    /// Resident memory of the gateway in MiB.
    pub resident_mib: f64,
}

/// Opens sessions, holds them all, and reads the gateway's memory.
pub async fn open(house: &House, endpoint: Endpoint, crowd: Crowd) -> Result<Sessions> {
    let bearer = format!("Bearer {}", house.token(endpoint));
    let mut held = Vec::with_capacity(crowd.sessions);
    for number in 0..crowd.sessions {
        let mut connection = Connection::open(&house.authority).await?;
        let session = begin(&mut connection, &house.authority, endpoint, &bearer).await?;
        if number < crowd.streams {
            let headers = [
                ("authorization", bearer.as_str()),
                ("accept", "text/event-stream"),
                ("mcp-session-id", session.as_str()),
                ("mcp-protocol-version", "2025-11-25"),
            ];
            let status = connection.open_stream(&request(&house.authority, "GET", endpoint.path, &headers, "")).await?;
            ensure!(status == 200, "the event stream of session {number} was answered with {status}");
        }
        held.push(connection);
    }
    let resident_mib = resident(house.gateway)?;
    Ok(Sessions { endpoint: endpoint.about, count: crowd.sessions, streams: crowd.streams, resident_mib })
}

/// Opens a session and gives its id.
pub async fn begin(connection: &mut Connection, authority: &str, endpoint: Endpoint, bearer: &str) -> Result<String> {
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } } });
    let headers = [
        ("authorization", bearer),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let answer = connection.exchange(&request(authority, "POST", endpoint.path, &headers, &body.to_string())).await?;
    ensure!(answer.status == 200, "initialize: {}\n{}", answer.head, String::from_utf8_lossy(&answer.body));
    Ok(answer.header("mcp-session-id").context("no session id")?.to_owned())
}
