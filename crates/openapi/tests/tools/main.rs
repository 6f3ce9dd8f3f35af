//! Documents from outside: what becomes a tool, what is left out, and which requests arguments make.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod answers;
mod documents;
mod hostile;
mod requests;
mod schemas;

use portcullis_openapi::{Api, Choices, Outgoing, Problem, Refused};
use serde_json::Value;

/// A document with these paths.
fn with_paths(paths: &str) -> String {
    format!(
        "openapi: 3.0.3\ninfo: {{title: Test, version: '1'}}\nservers: [{{url: 'https://api.example.com/v1'}}]\npaths:\n{}",
        paths.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    )
}

fn read(document: &str) -> Api {
    Api::read(document, &Choices::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn refused(document: &str) -> Vec<Problem> {
    Api::read(document, &Choices::default()).map(|api| format!("{api:?}")).expect_err("it is read")
}

fn definition(api: &Api, name: &str) -> Value {
    let tool = api.tool(name).unwrap_or_else(|| panic!("no tool {name}, but {:?}", names(api)));
    serde_json::from_str(&tool.definition).unwrap()
}

fn names(api: &Api) -> Vec<&str> {
    api.tools.iter().map(|tool| tool.name.as_str()).collect()
}

fn request(api: &Api, name: &str, arguments: Value) -> Result<Outgoing, Refused> {
    api.tool(name).unwrap().request(&api.base, arguments.as_object().unwrap())
}

fn header<'o>(request: &'o Outgoing, name: &str) -> Option<&'o str> {
    request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
