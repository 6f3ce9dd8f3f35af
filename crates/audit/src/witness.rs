//! Heads of a journal that were noted elsewhere. Whoever cuts the end of a journal off, or writes it anew with the stolen
//! key, cannot change what somebody else has: the journal must go through every head that was noted.

use std::collections::BTreeMap;

use portcullis_base::{Digest, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Head, PublicKeys, Signer, StatementError};

/// What a noted head is, so that no other statement can be taken for one.
const KIND: &str = "journal head";

/// Heads of one journal by their `seq`.
pub type Heads = BTreeMap<u64, Digest>;

#[derive(Deserialize)]
struct Members {
    kind: String,
    node: String,
    seq: u64,
    hash: Digest,
}

impl Signer {
    /// The head of the journal of `node` as a signed statement on one line.
    pub fn witness(&self, node: &str, head: Head, at: Timestamp) -> String {
        let text = self.state(&json!({
            "kind": KIND, "node": node, "seq": head.seq, "hash": head.hash, "at": at.to_string(),
        }));
        let value: Value = serde_json::from_str(&text).expect("a statement is JSON");
        value.to_string()
    }
}

/// Reads what was noted, one statement a line; the heads of `node` in it. The number of the line with the first error.
pub fn witnessed(text: &[u8], node: &str, keys: &PublicKeys) -> Result<Heads, (usize, StatementError)> {
    let mut heads = Heads::new();
    for (n, line) in text.split(|byte| *byte == b'\n').enumerate() {
        // What a crash has left of a line is no note; that a line is gone tells nobody anything.
        if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err() {
            continue;
        }
        let read = || {
            let value = match keys.believe(line) {
                // Other journals may be noted in the same file, under keys of their own.
                Err(StatementError::UnknownKey(_)) if names_another(line, node) => return Ok(None),
                believed => believed?,
            };
            let members: Members =
                serde_json::from_value(value).map_err(|error| StatementError::Form(error.to_string()))?;
            if members.kind != KIND {
                return Err(StatementError::Form(format!("it is no {KIND}")));
            }
            Ok((members.node == node).then_some((members.seq, members.hash)))
        };
        let Some((seq, hash)) = read().map_err(|error| (n + 1, error))? else { continue };
        if heads.insert(seq, hash).is_some_and(|other| other != hash) {
            let why = format!("line {seq} of the journal was noted with two hashes: it was written anew in between");
            return Err((n + 1, StatementError::Form(why)));
        }
    }
    Ok(heads)
}

/// Whether a statement whose key is unknown says that it is of another journal.
fn names_another(line: &[u8], node: &str) -> bool {
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    value["statement"]["node"].as_str().is_some_and(|named| named != node)
}
