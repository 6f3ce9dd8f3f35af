//! What is signed when a segment is closed for good: a manifest of its lines, its compressed file and the manifest before.
//!
//! A manifest outlives its segment. When the lines were removed because their time was over, the manifests still lead from
//! the first line to the first that is left, each signed and each naming the one before.

use portcullis_base::{Digest, Timestamp};
use serde::Deserialize;
use serde_json::json;

use crate::{Head, PublicKeys, Signer, StatementError};

/// What a manifest is, so that no other statement can be taken for one.
const KIND: &str = "journal segment";

/// What is known of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Whose journal.
    pub node: String,
    /// The `seq` of its first line.
    pub first_seq: u64,
    /// Its last line.
    pub head: Head,
    /// The hash before its first line.
    pub previous: Digest,
    /// Times of its first and its last line.
    pub span: (Timestamp, Timestamp),
    /// Bytes of its lines.
    pub bytes: u64,
    /// The compressed file.
    pub packed: Packed,
    /// The digest of the manifest before; `None` for the first.
    pub before: Option<Digest>,
}

/// What is known of a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its bytes.
    pub bytes: u64,
    /// Their digest.
    pub digest: Digest,
}

#[derive(Deserialize)]
struct Members {
    kind: String,
    node: String,
    first_seq: u64,
    last_seq: u64,
    previous_hash: Digest,
    last_hash: Digest,
    from: String,
    to: String,
    bytes: u64,
    compressed_bytes: u64,
    compressed_sha256: Digest,
    manifest_before: Option<Digest>,
}

impl Manifest {
    /// The signed text that is kept beside the compressed file.
    pub fn sign(&self, signer: &Signer) -> String {
        signer.state(&json!({
            "kind": KIND,
            "node": self.node,
            "first_seq": self.first_seq,
            "last_seq": self.head.seq,
            "previous_hash": self.previous,
            "last_hash": self.head.hash,
            "from": self.span.0.to_string(),
            "to": self.span.1.to_string(),
            "bytes": self.bytes,
            "compressed_bytes": self.packed.bytes,
            "compressed_sha256": self.packed.digest,
            "manifest_before": self.before,
        }))
    }

    /// The manifest in `text`, if one of `keys` signed it.
    pub fn read(text: &[u8], keys: &PublicKeys) -> Result<Self, StatementError> {
        let form = |why: String| StatementError::Form(why);
        let members: Members = serde_json::from_value(keys.believe(text)?).map_err(|error| form(error.to_string()))?;
        if members.kind != KIND {
            return Err(form(format!("it is no manifest of a {KIND}")));
        }
        let moment = |text: &str| Timestamp::parse(text).ok_or_else(|| form("a time in it is none".into()));
        Ok(Self {
            first_seq: members.first_seq,
            head: Head { seq: members.last_seq, hash: members.last_hash },
            previous: members.previous_hash,
            span: (moment(&members.from)?, moment(&members.to)?),
            node: members.node,
            bytes: members.bytes,
            packed: Packed { bytes: members.compressed_bytes, digest: members.compressed_sha256 },
            before: members.manifest_before,
        })
    }
}
