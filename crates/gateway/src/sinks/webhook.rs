//! A program that takes batches of lines, signed as Standard Webhooks says.

use std::sync::Arc;

use portcullis_audit::format::Format;
use portcullis_base::{Clock, Timestamp};

use super::{
    post::post,
    receiver::{Failure, Item},
};
use crate::{hook_signature::HookKey, outbound::Outbound};

pub(super) struct Webhook {
    url: String,
    key: HookKey,
    media_type: &'static str,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    pub fn new(url: &str, key: &HookKey, format: Format, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        let media_type = match format {
            Format::Json => "application/x-ndjson",
            Format::Cef => "text/plain; charset=utf-8",
        };
        Self { url: url.to_owned(), key: key.clone(), media_type, outbound, clock }
    }

    pub async fn send(&self, journal: &str, items: &[Item], now: Timestamp) -> Result<(), Failure> {
        let body: Vec<u8> = items.iter().flat_map(|item| &item.bytes).copied().collect();
        let headers = self.key.headers(&id(journal, items), self.clock.now(), &body).map_err(Failure::later)?;
        post(&self.outbound, &self.url, headers, (self.media_type, body), now).await.map(drop)
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
