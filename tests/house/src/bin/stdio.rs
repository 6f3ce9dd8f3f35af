//! A small MCP server on its standard streams, of the era that its first argument names: `modern` knows nothing but
//! requests that stand alone, `legacy` nothing but sessions.
//!
//! Of its client it asks what its tool `ask` is told to ask, in the middle of that call, or with `late` after it; `heard` gives what
//! was answered to that, and how many lines were no messages.
//!
//! Its other tools: `whoami` gives the key that it was given, `keep` writes a note into its home, `notes` lists what is there,
//! `count` counts its own calls, `crash` ends the program, `greet` says hello to a host by the proxy that it was given, `dial`
//! connects to one by itself.

use std::{
    env, fs,
    io::{self, BufRead, Write},
    net::TcpStream,
    process::{ExitCode, exit},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

#[path = "../proxied.rs"]
mod proxied;

static COUNTED: AtomicU32 = AtomicU32::new(0);
static TORN: AtomicU32 = AtomicU32::new(0);
static HEARD: Mutex<String> = Mutex::new(String::new());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    Modern,
    Legacy,
}

fn main() -> ExitCode {
    let era = match env::args().nth(1).as_deref() {
        Some("modern") => Era::Modern,
        Some("legacy") => Era::Legacy,
        _ => return ExitCode::FAILURE,
    };
    while let Some(message) = hear() {
        let Some(id) = message.get("id") else { continue };
        if message["method"].is_null() {
            *HEARD.lock().expect("held by nobody") = message.to_string();
            continue;
        }
        let answer = match answer(era, &message) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(code) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": "no" } }),
        };
        let params = &message["params"];
        let late = |()| if params["name"] == "late" { asked(&params["arguments"]) } else { Ok(()) };
        if say(&answer).and_then(late).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The next message.
fn hear() -> Option<Value> {
    loop {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        match serde_json::from_str(&line) {
            Ok(message) => return Some(message),
            Err(_) => TORN.fetch_add(1, Ordering::Relaxed),
        };
    }
}

fn say(message: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{message}").and_then(|()| out.flush())
}

/// Asks its client what these arguments say.
fn asked(arguments: &Value) -> io::Result<()> {
    say(&json!({ "jsonrpc": "2.0", "id": "asked", "method": arguments["method"], "params": arguments["params"] }))
}

fn answer(era: Era, message: &Value) -> Result<Value, i64> {
    let about = json!({ "name": "small", "version": "1.0.0" });
    let mut result = match (message["method"].as_str().unwrap_or_default(), era) {
        ("server/discover", Era::Modern) => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            "serverInfo": about, "ttlMs": 0, "cacheScope": "private" })
        }
        ("initialize", Era::Legacy) => {
            json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": about })
        }
        ("ping", Era::Legacy) => json!({}),
        ("tools/list", _) => {
            let tool = |name: &str, argument: Option<&str>| {
                let properties: serde_json::Map<_, _> =
                    argument.map(|name| (name.to_owned(), json!({ "type": "string" }))).into_iter().collect();
                json!({ "name": name, "inputSchema": { "type": "object", "properties": properties } })
            };
            let others = ["whoami", "notes", "count", "crash"].map(|name| tool(name, None));
            let mut list = json!({ "tools": others });
            let more = [("keep", "note"), ("greet", "whom"), ("dial", "whom")];
            let more = more.map(|(name, argument)| tool(name, Some(argument)));
            let asking = ["ask", "late", "heard"].map(|name| tool(name, None));
            list["tools"].as_array_mut().expect("an array").extend(more.into_iter().chain(asking));
            if era == Era::Modern {
                (list["ttlMs"], list["cacheScope"]) = (json!(0), json!("private"));
            }
            list
        }
        ("tools/call", _) => {
            let done = call(&message["params"]);
            json!({ "content": [{ "type": "text", "text": done.as_ref().map_or_else(ToString::to_string, Clone::clone) }],
                "isError": done.is_err() })
        }
        _ => return Err(-32601),
    };
    if era == Era::Modern {
        result["resultType"] = json!("complete");
    }
    Ok(result)
}

fn call(params: &Value) -> io::Result<String> {
    let whom = params["arguments"]["whom"].as_str().unwrap_or_default();
    match params["name"].as_str().unwrap_or_default() {
        "whoami" => variable("SERVER_KEY"),
        "keep" => fs::write(params["arguments"]["note"].as_str().unwrap_or_default(), "").map(|()| "kept".into()),
        "notes" => {
            let names = fs::read_dir(".")?.filter_map(Result::ok).map(|entry| entry.file_name());
            Ok(names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
        }
        "greet" => proxied::greet(whom),
        "dial" => TcpStream::connect(whom).map(|_| "connected".into()),
        "ask" => {
            asked(&params["arguments"])?;
            let answer = std::iter::from_fn(hear).find(|message| message["id"] == "asked");
            Ok(answer.unwrap_or_default().to_string())
        }
        "late" => Ok("later".into()),
        "heard" => Ok(format!("{} {}", TORN.load(Ordering::Relaxed), HEARD.lock().expect("held by nobody"))),
        "count" => Ok((COUNTED.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
        "crash" => exit(3),
        _ => Err(io::Error::other("there is no such tool")),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what the environment is for in a server")]
fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(io::Error::other)
}
