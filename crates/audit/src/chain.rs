//! The chain: each line carries the hash of everything before it, and a checkpoint signs that hash now and then.
//!
//! A line is one JSON object: `seq`, `at`, `node`, `event`, what the event says, and `hash` last. With the body being the
//! line without its `hash` member, `hash = SHA-256(previous hash ‖ body)`, unpadded base64url; before the first line the
//! previous hash is 32 zero bytes. So `jq -c 'del(.hash)'` gives the body back.
//!
//! A checkpoint is a line with `previous` (the hash before it), `open` (how many calls have not ended), sometimes `calls`
//! (which ones), `key` and, before `hash`, `signature`: Ed25519 over [`SIGNED`] ‖ previous hash ‖ the line up to the
//! signature member.

use portcullis_base::{Digest, Timestamp};

use crate::{event::Event, json, line, sign::Signer};

/// The `event` of a checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// What a checkpoint's signature begins with, so that it can be taken for nothing else.
pub(crate) const SIGNED: &[u8] = b"portcullis journal checkpoint 1\0";
/// How the last member begins.
pub(crate) const HASH: &[u8] = b",\"hash\":\"";
/// How a checkpoint's last member but one begins.
pub(crate) const SIGNATURE: &[u8] = b",\"signature\":\"";

/// The last line of a chain: its place and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The `seq` of the line; 0 before the first.
    pub seq: u64,
    /// Its hash; zero before the first.
    pub hash: Digest,
}

impl Head {
    /// Before the first line.
    pub fn start() -> Self {
        Self { seq: 0, hash: Digest::from_bytes([0; 32]) }
    }
}

/// The end of a chain, to which lines are added.
pub struct Chain {
    head: Head,
    node: Vec<u8>,
}

impl Chain {
    /// Continues the journal of `node` after `head`.
    pub fn new(node: &str, head: Head) -> Self {
        let mut member = Vec::new();
        json::member(&mut member, "node", node, 128);
        Self { head, node: member }
    }

    /// The last line.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Goes back to an earlier `head`, when what was added since could not be written.
    pub fn rewind(&mut self, head: Head) {
        self.head = head;
    }

    /// Adds `event` as a line at the end of `out`; returns its `seq`.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) -> u64 {
        let start = self.begin(event.at, out);
        line::members(out, event);
        self.finish(start, out)
    }

    /// Adds a checkpoint that says how many calls are `open`, and with `calls` which ones.
    pub fn checkpoint(
        &mut self,
        at: Timestamp,
        signer: &Signer,
        open: usize,
        calls: Option<&mut dyn Iterator<Item = &str>>,
        out: &mut Vec<u8>,
    ) -> u64 {
        let start = self.begin(at, out);
        json::member(out, "event", CHECKPOINT, 32);
        json::member(out, "previous", &self.head.hash.to_base64url(), 64);
        json::key(out, "open");
        json::integer(out, open as i64);
        if let Some(calls) = calls {
            json::key(out, "calls");
            json::strings(out, calls);
        }
        json::member(out, "key", signer.public().id(), 64);
        let signature = signer.sign(&[SIGNED, self.head.hash.as_bytes(), &out[start..]].concat());
        out.extend_from_slice(SIGNATURE);
        out.extend_from_slice(signature.as_bytes());
        out.push(b'"');
        self.finish(start, out)
    }

    fn begin(&self, at: Timestamp, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(b"{\"seq\":");
        json::integer(out, self.head.seq as i64 + 1);
        json::key(out, "at");
        json::moment(out, at);
        out.extend_from_slice(&self.node);
        start
    }

    fn finish(&mut self, start: usize, out: &mut Vec<u8>) -> u64 {
        out.push(b'}');
        let hash = link(&self.head.hash, &[&out[start..]]);
        out.pop();
        out.extend_from_slice(HASH);
        out.extend_from_slice(hash.to_base64url().as_bytes());
        out.extend_from_slice(b"\"}\n");
        self.head = Head { seq: self.head.seq + 1, hash };
        self.head.seq
    }
}

/// The hash of a line whose body is the concatenation of `body`.
pub(crate) fn link(previous: &Digest, body: &[&[u8]]) -> Digest {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(previous.as_bytes());
    for part in body {
        context.update(part);
    }
    Digest::from_slice(context.finish().as_ref()).expect("SHA-256 gives 32 bytes")
}
