//! Older revisions, from outside. What is translated is printed with the name of its definition, so that it can be held
//! against the published schemas: `cargo test -p portcullis-mcp dialect -- --nocapture`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the tools of these tests, and what they print to be read"
)]

mod abilities;
mod answers;
mod faults;
mod inputs;
mod properties;
mod requests;
mod results;
mod tasks;

use portcullis_mcp::{
    Method, Version,
    dialect::{Down, Up, down, up},
    message::{Call, Message, message},
    scan::{self, Limits},
};
use serde_json::Value;

const OLDER: [Version; 4] = [Version::V2025_11_25, Version::V2025_06_18, Version::V2025_03_26, Version::V2024_11_05];

fn to(version: Version) -> Down {
    down(version).unwrap()
}

fn from(version: Version) -> Up {
    up(version).unwrap()
}

/// What came out, which has to be strict JSON.
fn shown(version: Version, definition: &str, text: &str) -> Value {
    println!("schema {version} {definition} {text}");
    scan::check(text.as_bytes(), &Limits::default()).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    serde_json::from_str(text).unwrap()
}

fn call(raw: &str) -> Call<'_> {
    match message(raw).unwrap() {
        Message::Request(call) | Message::Notification(call) => call,
        Message::Response(_) => panic!("{raw}"),
    }
}

/// The definition of the result of a method.
fn definition(method: Method) -> &'static str {
    match method {
        Method::ToolsCall => "CallToolResult",
        Method::ToolsList => "ListToolsResult",
        Method::PromptsList => "ListPromptsResult",
        Method::PromptsGet => "GetPromptResult",
        Method::ResourcesList => "ListResourcesResult",
        Method::ResourceTemplatesList => "ListResourceTemplatesResult",
        Method::ResourcesRead => "ReadResourceResult",
        Method::Complete => "CompleteResult",
        _ => "Result",
    }
}

/// spec: BR-1
#[test]
fn every_older_revision_has_both_directions_and_todays_has_none() {
    for version in Version::KNOWN.iter().copied() {
        let older = OLDER.contains(&version);
        assert_eq!(down(version).map(Down::version), older.then_some(version));
        assert_eq!(up(version).map(Up::version), older.then_some(version));
    }
}
