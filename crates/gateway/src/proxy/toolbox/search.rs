//! A large list that is searched instead of shown: three tools stand for all others (AG-28). Whatever is called through
//! them is the tool itself, judged and recorded as such.

use http::Response;
use portcullis_base::printable;
use portcullis_mcp::{
    Version,
    message::Call,
    object::quoted,
    scan::{self, Kind as Json},
};
use serde_json::{Value, json};

use super::{Unboxed, gather::Freshness, said, shelf::Kind, unknown};
use crate::{
    proxy::{answer::Answer, refusal::Refusal},
    toolbox::{MOST, SEARCHING, definitions},
};

/// Tools that one search finds, if it does not say how many.
const HITS: usize = 10;
/// Characters of a description that a search shows.
const SHOWN: usize = 300;

/// The list of a toolbox that is searched.
pub(super) fn listed() -> String {
    let tools = definitions();
    format!(r#"{{"resultType":"complete","ttlMs":300000,"cacheScope":"private","tools":{tools}}}"#)
}

impl Unboxed<'_> {
    /// One of the three.
    pub(super) async fn searching(
        &self,
        name: &str,
        call: &Call<'_>,
        version: Version,
    ) -> Result<Response<Answer>, Refusal> {
        let wrong = |text: &str| unknown(text, call);
        let arguments = call.arguments.unwrap_or("{}");
        let text = |name: &str| scan::member(arguments, name).and_then(scan::string);
        let [search, describe, _] = SEARCHING;
        if name == search {
            let query = text("query").ok_or_else(|| wrong("query is a text."))?;
            let limit = scan::member(arguments, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(HITS);
            return self.search(call, &query, limit.clamp(1, MOST)).await;
        }
        let tool = text("name").ok_or_else(|| wrong("name is a text."))?;
        if name == describe {
            return self.describe(call, &tool).await;
        }
        let inner = scan::member(arguments, "arguments");
        if inner.is_some_and(|inner| scan::kind(inner) != Json::Object) {
            return Err(wrong("arguments is an object."));
        }
        // What a client can send as headers is named by the definitions that it was listed, and this is none of them.
        self.call_tool(None, call, version, &tool, inner).await
    }

    async fn search(&self, call: &Call<'_>, query: &str, limit: usize) -> Result<Response<Answer>, Refusal> {
        let merged = self.merged(Kind::Tools, Freshness::Recent).await?;
        let index = self.visit.local.shelf.index(merged.entries.iter().map(|entry| entry.raw.as_str()));
        let found = index.search(query, limit).into_iter().filter_map(|hit| merged.entries.get(hit.tool));
        let tools: Vec<Value> = found
            .map(|entry| {
                let description = scan::member(&entry.raw, "description").and_then(scan::string).unwrap_or_default();
                json!({ "name": entry.shown, "description": printable(&description, SHOWN) })
            })
            .collect();
        let mut found = json!({ "tools": tools, "of": merged.entries.len() });
        if !merged.notices.is_empty() {
            let missing = merged.notices.iter().map(|notice| json!({ "server": notice.server, "why": notice.why }));
            found["missing"] = missing.collect();
        }
        Ok(told(call, &found.to_string()))
    }

    async fn describe(&self, call: &Call<'_>, name: &str) -> Result<Response<Answer>, Refusal> {
        let merged = self.merged(Kind::Tools, Freshness::Recent).await?;
        if let Some(entry) = merged.entries.iter().find(|entry| entry.shown == name) {
            return Ok(told(call, &entry.raw));
        }
        let text = format!("There is no tool {} here. Search with search_tools.", printable(name, 100));
        let result =
            json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": true });
        Ok(said(call, &result.to_string()))
    }
}

/// The result of a tool of ours: `value` for programs, and as a text for models.
fn told(call: &Call<'_>, value: &str) -> Response<Answer> {
    let text = quoted(value);
    let result = format!(
        r#"{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"structuredContent":{value}}}"#
    );
    said(call, &result)
}
