//! What a toolbox says of itself: what its servers can do together, what they say of themselves, and which of them are
//! missing.

use futures_util::future::join_all;
use http::Response;
use portcullis_base::printable;
use portcullis_mcp::{
    Method, Version,
    message::{Call, META_SERVER_INFO},
    scan,
};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    Part, Unboxed,
    ask::{DEADLINE, Miss},
    gather::caching,
    lists::Notice,
};
use crate::{
    proxy::{abilities::RELAYED, answer::Answer, refusal::Refusal},
    toolbox::Search,
};

/// Characters that one server's words may have, and all of them together.
// spec: AG-10: "size-capped"
const WORDS: usize = 2_000;
const ALL_WORDS: usize = 16_000;

/// What one server says of itself, or why it says nothing.
struct Said {
    result: Option<String>,
    notice: Option<Notice>,
}

impl<'a> Unboxed<'a> {
    /// `server/discover`
    pub(super) async fn discover(&self, call: &Call<'_>) -> Result<Response<Answer>, Refusal> {
        let parts: Vec<_> = self.parts().collect();
        let said = join_all(parts.iter().map(|part| self.said_of(*part))).await;
        let said: Vec<Said> = said.into_iter().collect::<Result<_, _>>()?;
        let notices: Vec<_> = said.iter().filter_map(|said| said.notice.as_ref()).collect();
        let whole = notices.is_empty() && !parts.is_empty();
        let (mut ttl, mut abilities) = (u64::MAX, Abilities::default());
        for (part, said) in parts.iter().zip(&said) {
            match &said.result {
                Some(result) => {
                    ttl = ttl.min(caching(result).0);
                    abilities.add(*part, scan::member(result, "capabilities").unwrap_or("{}"));
                }
                None => abilities.all(*part),
            }
        }
        let results = parts.iter().zip(&said).filter_map(|(part, said)| Some((part, said.result.as_deref()?)));
        let instructions = self.instructions(results.collect(), &notices);
        let versions: Vec<_> = Version::SERVED.iter().map(|version| version.as_str()).collect();
        let mut info = json!({ "name": self.toolbox.name.as_str(), "version": env!("CARGO_PKG_VERSION") });
        if let Some(description) = &self.toolbox.description {
            info["description"] = description.as_str().into();
        }
        let mut result = json!({
            "resultType": "complete",
            // spec: AG-11: "describe the gateway, not the upstreams"
            "supportedVersions": versions,
            "capabilities": abilities.merged(self.toolbox.search, &self.visit.extensions()),
            "ttlMs": if whole { ttl } else { 0 },
            "cacheScope": "private",
            "_meta": { META_SERVER_INFO: info },
        });
        if !instructions.is_empty() {
            result["instructions"] = instructions.into();
        }
        Ok(super::said(call, &result.to_string()))
    }

    // spec: AG-16, AG-17
    async fn said_of(&self, part: Part<'a>) -> Result<Said, Refusal> {
        let asked = async {
            let turn = self.visit.turn(part.server);
            let lack = turn.credential().await.err().map(|lack| turn.note(&lack));
            (lack, self.ask(part, Method::Discover, &[]).await)
        };
        let notice = |why: String| Notice { server: part.server.name.to_string(), why };
        match timeout(DEADLINE, asked).await {
            // What is said in the place of a server is not what the server says.
            Ok((Some(lack), _)) => Ok(Said { result: None, notice: Some(notice(lack)) }),
            Ok((None, Ok(result))) => Ok(Said { result: Some(result), notice: None }),
            Ok((None, Err(Miss::Refused(refusal)))) => Err(refusal),
            Ok((None, Err(Miss::Error { message, .. }))) => Ok(Said { result: None, notice: Some(notice(message)) }),
            Err(_) => {
                let why = format!("The server {} took too long to answer.", part.server.name);
                Ok(Said { result: None, notice: Some(notice(why)) })
            }
        }
    }

    // spec: AG-10: "a heading per upstream … or replace them by an administrator text; mark them as coming from that
    // upstream"
    fn instructions(&self, said: Vec<(&Part<'a>, &str)>, notices: &[&Notice]) -> String {
        let mut text = match (&self.toolbox.instructions, self.toolbox.search) {
            (Some(own), _) => own.clone(),
            (None, Search::On) => "The tools of several servers, found with search_tools.".to_owned(),
            (None, Search::Off) => String::new(),
        };
        if self.toolbox.instructions.is_none() {
            for (part, result) in said {
                let words = scan::member(result, "instructions").and_then(scan::string).unwrap_or_default();
                if words.trim().is_empty() || text.len() > ALL_WORDS {
                    continue;
                }
                let words: Vec<_> = words.lines().map(|line| printable(line, WORDS)).collect();
                let words: String = words.join("\n> ").chars().take(WORDS).collect();
                let name = &part.server.name;
                paragraph(&mut text, &format!("## {name}, in that server's own words\n> {words}"));
            }
        }
        if !notices.is_empty() {
            let lines: Vec<_> = notices.iter().map(|notice| format!("- {}: {}", notice.server, notice.why)).collect();
            paragraph(&mut text, &format!("## Not available at the moment\n{}", lines.join("\n")));
        }
        text
    }
}

fn paragraph(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

/// What several servers can do.
#[derive(Default)]
struct Abilities(Map<String, Value>);

impl Abilities {
    // spec: AG-9: "union of what can be served"
    fn add(&mut self, part: Part<'_>, capabilities: &str) {
        let theirs: Value = serde_json::from_str(capabilities).unwrap_or_default();
        let share = part.share;
        let taken = [("tools", &share.tools), ("prompts", &share.prompts), ("resources", &share.resources)];
        for (name, _) in taken.into_iter().filter(|(_, choice)| !choice.is_empty()) {
            let Value::Object(theirs) = &theirs[name] else { continue };
            let ours = self.0.entry(name).or_insert_with(|| json!({}));
            for flag in ["listChanged", "subscribe"] {
                if theirs.get(flag) == Some(&Value::Bool(true)) {
                    ours[flag] = true.into();
                }
            }
        }
        let completes = !share.prompts.is_empty() || !share.resources.is_empty();
        for (name, taken) in [("completions", completes), ("logging", true)] {
            if taken && theirs[name].is_object() {
                self.0.entry(name).or_insert_with(|| json!({}));
            }
        }
        for name in RELAYED {
            let Value::Object(settings) = &theirs["extensions"][name] else { continue };
            let ours = self.0.entry("extensions").or_insert_with(|| json!({}));
            if ours.get(name).is_none() {
                ours[name] = settings.clone().into();
            }
        }
    }

    /// Everything that there may be, since the server cannot be asked.
    fn all(&mut self, part: Part<'_>) {
        let changes = json!({ "listChanged": true });
        self.add(part, &json!({ "tools": changes, "prompts": changes, "resources": changes }).to_string());
    }

    fn merged(mut self, search: Search, extensions: &[&'static str]) -> Value {
        if search == Search::On {
            self.0.insert("tools".to_owned(), json!({}));
        }
        for name in extensions {
            self.0.entry("extensions").or_insert_with(|| json!({}))[*name] = json!({});
        }
        Value::Object(self.0)
    }
}
