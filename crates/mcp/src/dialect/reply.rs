//! A client's answers: checked in form, and made to fit a legacy server that waits for one.

use std::borrow::Cow;

use serde_json::json;

use super::{
    Elicits, Input, Malformed, Revision, Samples,
    content::{can_be_sampled, has, whole_content},
    meta,
};
use crate::{
    object::Object,
    scan::{self, Kind},
};

/// An answer of a client, checked in form. What is no part of it goes through.
///
/// spec: BR-47
pub(super) fn answer(input: Input, raw: &str) -> Result<Object<'_>, Malformed> {
    let mut answer = Object::read(raw).ok_or(Malformed("the answer is no object"))?;
    meta::strip(&mut answer);
    // Some clients answer as if they were servers of today.
    answer.remove("resultType");
    match input {
        Input::Elicitation => {
            if !matches!(answer.text("action").as_deref(), Some("accept" | "decline" | "cancel")) {
                return Err(Malformed("the answer's action is neither accept nor decline nor cancel"));
            }
            match answer.raw("content").map(|content| (scan::kind(content), content)) {
                None => {}
                Some((Kind::Null, _)) => {
                    answer.remove("content");
                }
                Some((Kind::Object, content)) if scan::members(content).all(|(_, value)| is_field(value)) => {}
                Some(_) => return Err(Malformed("the answer's content is no filled-in form")),
            }
        }
        Input::Sampling => {
            if !matches!(answer.text("role").as_deref(), Some("user" | "assistant")) {
                return Err(Malformed("the message's role is neither user nor assistant"));
            }
            if answer.text("model").is_none() {
                return Err(Malformed("the message does not say which model made it"));
            }
            let is_block = |raw: &str| has(raw, "type", Kind::String);
            let content = scan::member(raw, "content").unwrap_or_default();
            if !(is_block(content) || scan::kind(content) == Kind::Array && scan::elements(content).all(is_block)) {
                return Err(Malformed("the message's content is neither a block nor a list of blocks"));
            }
        }
        Input::Roots => {
            let roots = scan::member(raw, "roots").filter(|roots| scan::kind(roots) == Kind::Array);
            if !roots.is_some_and(|roots| scan::elements(roots).all(|root| has(root, "uri", Kind::String))) {
                return Err(Malformed("the roots are no list of URIs"));
            }
        }
    }
    Ok(answer)
}

fn is_field(value: &str) -> bool {
    match scan::kind(value) {
        Kind::String | Kind::Number | Kind::Bool => true,
        Kind::Array => scan::elements(value).all(|value| scan::kind(value) == Kind::String),
        Kind::Object | Kind::Null => false,
    }
}

/// An answer of a modern client for a server of `revision` that waits for it.
///
/// spec: BR-46
pub(super) fn answer_for(revision: &Revision, input: Input, raw: &str) -> Result<String, Malformed> {
    let mut answer = answer(input, raw)?;
    match input {
        Input::Elicitation if matches!(revision.elicits, Elicits::Forms(_)) => {
            let content = answer.raw("content").unwrap_or_default();
            if scan::members(content).any(|(_, value)| scan::kind(value) == Kind::Array) {
                return Err(Malformed("the server asked for no lists"));
            }
        }
        Input::Sampling => {
            let content = answer.raw("content").unwrap_or_default();
            answer.set(
                "content",
                match revision.samples {
                    Samples::One => Cow::Owned(one_block(revision, content)?),
                    Samples::Lists => whole_content(revision, content),
                },
            );
        }
        _ => {}
    }
    Ok(answer.finish().into_owned())
}

/// What a model said as the one block that there was room for before 2025-11-25: several texts become one, else the
/// first block counts.
fn one_block(revision: &Revision, content: &str) -> Result<String, Malformed> {
    let blocks: Vec<&str> = match scan::kind(content) {
        Kind::Array => scan::elements(content).filter(|block| can_be_sampled(revision, block)).collect(),
        _ if can_be_sampled(revision, content) => vec![content],
        _ => Vec::new(),
    };
    let texts: Option<Vec<_>> = blocks.iter().map(|block| scan::member(block, "text").and_then(scan::string)).collect();
    match (blocks.as_slice(), texts) {
        ([], _) => Err(Malformed("the message has nothing that the server can read")),
        ([_, _, ..], Some(texts)) => Ok(json!({ "type": "text", "text": texts.join("\n") }).to_string()),
        ([first, ..], _) => Ok((*first).to_owned()),
    }
}
