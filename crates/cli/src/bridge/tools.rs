//! What was seen of the server's tools: which arguments of theirs a request repeats in its headers.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis_base::printable;
use portcullis_mcp::{
    scan,
    tool::{self, Annotation},
};

use crate::output::note;

/// More tools than anybody lists; what is beyond is not remembered.
const MOST: usize = 20_000;

/// So often people are told of tools that are left out: a client lists again and again.
const TOLD: usize = 20;

/// Header annotations by the name of the tool.
#[derive(Default)]
pub struct Tools {
    known: Mutex<HashMap<String, Vec<Annotation>>>,
    told: AtomicUsize,
}

impl Tools {
    /// The annotations of a tool, as far as a list was seen.
    pub fn of(&self, name: &str) -> Vec<Annotation> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// Learns from the result of a `tools/list`. Gives the result as the client may see it, if that is not as it came: tools
    /// that nobody could call over HTTP are not in it.
    ///
    /// spec: TR-128
    pub fn learn(&self, result: &str) -> Option<String> {
        let listing = tool::listing(result)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut kept, mut left_out) = (Vec::new(), false);
        for tool in listing.tools {
            match tool.headers {
                Ok(annotations) => {
                    kept.push(tool.raw);
                    if annotations.is_empty() {
                        known.remove(&tool.name);
                    } else if known.len() < MOST || known.contains_key(&tool.name) {
                        known.insert(tool.name, annotations);
                    }
                }
                Err(why) => {
                    left_out = true;
                    if self.told.fetch_add(1, Ordering::Relaxed) < TOLD {
                        let (name, why) = (printable(&tool.name, 100), printable(&why, 200));
                        note(format_args!("portcullis bridge: the tool {name} is left out: {why}"));
                    }
                }
            }
        }
        let tools = scan::member(result, "tools").filter(|_| left_out)?;
        Some(scan::splice(result, tools, &format!("[{}]", kept.join(","))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec: TR-128
    #[test]
    fn annotations_are_remembered_and_bad_tools_left_out() {
        let tools = Tools::default();
        let schema = |header: &str| {
            format!(r#"{{"type":"object","properties":{{"a":{{"type":"string","x-mcp-header":"{header}"}}}}}}"#)
        };
        let one = |name: &str, header: &str| format!(r#"{{"name":"{name}","inputSchema":{}}}"#, schema(header));
        let result = format!(r#"{{"tools":[{},{}],"nextCursor":"x"}}"#, one("good", "Region"), one("bad", "no token"));
        let shown = tools.learn(&result).expect("one is left out");
        assert_eq!(shown, format!(r#"{{"tools":[{}],"nextCursor":"x"}}"#, one("good", "Region")));
        assert_eq!(tools.of("good").len(), 1);
        assert_eq!(tools.of("good")[0].header, "Region");
        assert_eq!(tools.of("bad"), []);
        assert_eq!(tools.learn(r#"{"tools":[{"name":"good","inputSchema":{"type":"object"}}]}"#), None);
        assert_eq!(tools.of("good"), [], "the last list counts");
    }
}
