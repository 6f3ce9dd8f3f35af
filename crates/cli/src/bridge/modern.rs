//! Requests of the stateless revision: each stands alone, with headers that are made from its body.

use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderName, HeaderValue, Method as Verb};
use portcullis_mcp::{Method, OwnedId, Version, headers, message::HEADER_MISMATCH, method::Effect, scan};

use super::{
    answers::{broken, error_code, over},
    asked::{Asked, Came},
    door::Asking,
    session,
    talk::Talk,
};
use crate::failure::{Failure, Result};

/// Pages of a tool list that are read for one call.
const PAGES: usize = 20;

impl Talk {
    /// A request of the stateless revision.
    pub(super) async fn modern(&self, asked: &Asked) -> Result<Box<str>> {
        let (mut repeated, mut learned) = (false, false);
        loop {
            let headers = self.headers_of(asked)?;
            let answer = self.road.send(Verb::POST, headers, asked.body(), Asking::Person).await?;
            match self.read(asked, answer).await? {
                Came::Answer(text) => {
                    // spec: TR-129: the tool's schema is another than the one that was seen, or none was.
                    if !learned && asked.method == Some(Method::ToolsCall) && error_code(&text) == Some(HEADER_MISMATCH)
                    {
                        learned = true;
                        self.learn(asked).await?;
                        continue;
                    }
                    return Ok(self.listed(asked, text));
                }
                // spec: TR-157: on these streams the client learns by a cancellation that its subscription is over.
                Came::Broken(_) if asked.is_subscription() => return Ok(over(&asked.id)),
                // spec: TR-137
                Came::Broken(_) if !repeated && asked.method.is_some_and(|method| method.effect() == Effect::Read) => {
                    repeated = true;
                }
                Came::Broken(why) => return Err(broken(&why)),
            }
        }
    }

    /// What a client may see of a list of tools; and what it says is remembered.
    pub(super) fn listed(&self, asked: &Asked, text: Box<str>) -> Box<str> {
        if asked.method != Some(Method::ToolsList) {
            return text;
        }
        let shown = scan::member(&text, "result")
            .and_then(|result| self.tools.learn(result).map(|shown| scan::splice(&text, result, &shown)));
        shown.map_or(text, String::into)
    }

    /// Reads the server's list of tools, as `asked` would.
    pub(super) async fn learn(&self, asked: &Asked) -> Result<()> {
        let meta = scan::member(&asked.text, "params").and_then(|params| scan::member(params, "_meta"));
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let id = OwnedId::string(&format!("portcullis-{}", self.own_ids.fetch_add(1, Ordering::Relaxed)));
            let at = cursor.as_ref().map(|cursor| format!("\"cursor\":{},", serde_json::Value::from(cursor.as_str())));
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{},"method":"tools/list","params":{{{}"_meta":{}}}}}"#,
                id.to_json(),
                at.unwrap_or_default(),
                meta.unwrap_or("{}")
            );
            let list = Asked {
                text: text.into(),
                id,
                name: Method::ToolsList.name().to_owned(),
                method: Some(Method::ToolsList),
                target: None,
                version: asked.version.clone(),
            };
            let answer = self.road.send(Verb::POST, self.headers_of(&list)?, list.body(), Asking::Person).await?;
            let Came::Answer(text) = self.read(&list, answer).await? else { return Ok(()) };
            let Some(result) = scan::member(&text, "result") else { return Ok(()) };
            self.tools.learn(result);
            cursor = scan::member(result, "nextCursor").and_then(scan::string).map(std::borrow::Cow::into_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// spec: TR-127
    pub(super) fn headers_of(&self, asked: &Asked) -> Result<HeaderMap> {
        let version = asked.version.as_deref().unwrap_or_default();
        let arguments = scan::member(&asked.text, "params").and_then(|params| scan::member(params, "arguments"));
        let target = asked.target.as_deref();
        let mut pairs = match asked.method {
            Some(method) => {
                let annotations = match (method, target) {
                    (Method::ToolsCall, Some(name)) => self.tools.of(name),
                    _ => Vec::new(),
                };
                let known = Version::parse(version).unwrap_or(Version::V2026_07_28);
                headers::upstream(known, method, target, &annotations, arguments)
            }
            None => vec![(headers::METHOD.to_owned(), asked.name.clone())],
        };
        pairs.retain(|(name, _)| name != headers::PROTOCOL_VERSION);
        pairs.push((headers::PROTOCOL_VERSION.to_owned(), version.to_owned()));
        let mut all = session::plain();
        for (name, value) in pairs {
            let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
            let (name, value) =
                header.ok_or_else(|| Failure::new(format!("the request cannot be sent: its {name} fits no header")))?;
            all.insert(name, value);
        }
        Ok(all)
    }
}
