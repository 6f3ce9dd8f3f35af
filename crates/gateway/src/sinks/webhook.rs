//! A program that takes batches of lines: `{"type":"audit.lines","timestamp":…,"data":{"journal":…,"lines":[…]}}`, signed
//! as Standard Webhooks says. The libraries of that scheme read a body as one JSON text, so it is one. Lines that are JSON
//! stand in it as they are, others as texts.

use portcullis_audit::format::Format;
use portcullis_base::Timestamp;

use super::{
    post::post,
    receiver::{Failure, Item},
};
use crate::{hook_signature::HookKey, outbound::Outbound};

const MEDIA_TYPE: &str = "application/json";

pub(super) struct Webhook {
    url: String,
    key: HookKey,
    outbound: Outbound,
}

impl Webhook {
    pub fn new(url: &str, key: &HookKey, outbound: Outbound) -> Self {
        Self { url: url.to_owned(), key: key.clone(), outbound }
    }

    pub async fn send(&self, journal: &str, items: &[Item], now: Timestamp) -> Result<(), Failure> {
        let journal_json = serde_json::Value::from(journal);
        let head = format!(r#"{{"type":"audit.lines","timestamp":"{now}","data":{{"journal":{journal_json},"lines":["#);
        let mut body = head.into_bytes();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend(&item.bytes);
        }
        body.extend(b"]}}");
        let headers = self.key.headers(&id(journal, items), now, &body).map_err(Failure::later)?;
        post(&self.outbound, &self.url, headers, (MEDIA_TYPE, body), now).await.map(drop)
    }
}

/// A line as a JSON value.
pub(super) fn element(format: Format, text: String) -> Vec<u8> {
    match format {
        Format::Json | Format::Ocsf => text.into_bytes(),
        Format::Cef => serde_json::Value::String(text).to_string().into_bytes(),
    }
}

/// The same for the same lines: by it a receiver knows a batch again that it has taken although its answer was lost.
fn id(journal: &str, items: &[Item]) -> String {
    // A dot would end it where it is signed.
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let journal: String = journal.chars().take(64).map(plain).collect();
    let place = |item: Option<&Item>| item.map_or(0, |item| item.seq);
    format!("{journal}_{}-{}", place(items.first()), place(items.last()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_called_by_their_journal_and_lines() {
        let item = |seq| Item { seq, at: None, is_refusal: false, bytes: Vec::new() };
        assert_eq!(id("node-1a", &[item(7), item(9)]), "node-1a_7-9");
        assert_eq!(id("a.b c\u{e9}", &[item(7)]), "a_b_c__7-7");
    }
}
