//! The tools with which a toolbox is searched instead of read (AG-28).

use serde_json::{Value, json};

/// The tools that stand for all others: to search, to describe, to call.
pub const SEARCHING: [&str; 3] = ["search_tools", "describe_tool", "call_tool"];

/// Tools that one search finds at most.
pub const MOST: usize = 50;

/// Their definitions.
pub fn definitions() -> Value {
    let [search, describe, call] = SEARCHING;
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!([
        {
            "name": search,
            "title": "Search tools",
            "description": "Finds tools of this toolbox by words. Look here first: the tools are not listed. Gives names and what they are for.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "query": text("What the tool should do, in a few words"),
                    "limit": { "type": "integer", "minimum": 1, "maximum": MOST, "description": "How many to give, 10 if left out" },
                },
                "required": ["query"],
            },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        },
        {
            "name": describe,
            "title": "Describe a tool",
            "description": "Gives the whole definition of a tool that was found: what it does and which arguments it takes.",
            "inputSchema": { "type": "object", "properties": { "name": text("The tool's name") }, "required": ["name"] },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        },
        {
            "name": call,
            "title": "Call a tool",
            "description": "Calls a tool that was found, with arguments as its definition has them. Its answer is the answer.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "name": text("The tool's name"),
                    "arguments": { "type": "object", "description": "The tool's arguments" },
                },
                "required": ["name"],
            },
        },
    ])
}
