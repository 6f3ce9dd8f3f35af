//! A small MCP server on its standard streams, of the era that its first argument names: `modern` knows nothing but
//! requests that stand alone, `legacy` nothing but sessions.
//!
//! Its tools: `whoami` gives the key that it was given, `keep` writes a note into its home, `notes` lists what is there,
//! `count` counts its own calls, `crash` ends the program.

use std::{
    env, fs,
    io::{self, BufRead, Write},
    process::{ExitCode, exit},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

static COUNTED: AtomicU32 = AtomicU32::new(0);

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
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(id) = message.get("id") else { continue };
        let answer = match answer(era, &message) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(code) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": "no" } }),
        };
        let mut out = io::stdout().lock();
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
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
            list["tools"].as_array_mut().expect("an array").push(tool("keep", Some("note")));
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
    match params["name"].as_str().unwrap_or_default() {
        "whoami" => variable("SERVER_KEY"),
        "keep" => fs::write(params["arguments"]["note"].as_str().unwrap_or_default(), "").map(|()| "kept".into()),
        "notes" => {
            let names = fs::read_dir(".")?.filter_map(Result::ok).map(|entry| entry.file_name());
            Ok(names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
        }
        "count" => Ok((COUNTED.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
        "crash" => exit(3),
        _ => Err(io::Error::other("there is no such tool")),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what the environment is for in a server")]
fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(io::Error::other)
}
