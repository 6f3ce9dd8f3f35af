//! What is sealed of a connection.

use std::borrow::Cow;

use portcullis_base::{Rng, Secret, Timestamp};
use portcullis_store::Connection;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    authority::Held,
    keys::Keys,
    vault::{self, Owner},
};

/// A connection, opened.
pub(super) struct Kept {
    /// The origin that it may be sent to.
    pub at: String,
    /// When its holder made it.
    pub connected_at: Timestamp,
    /// What it is.
    pub contents: Contents,
}

/// What a connection is.
#[expect(clippy::large_enum_variant, reason = "opened, used, and dropped; never kept in numbers")]
pub(super) enum Contents {
    /// Tokens.
    Tokens(Held),
    /// A key, and what stands before it.
    Key { key: Secret, prefix: String },
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    at: Cow<'a, str>,
    connected_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<Cow<'a, str>>,
}

/// Whose the sealed part of a row is: it opens for this holder at this server, by this issuer. spec: T-51
pub(super) fn owner(row: &Connection) -> Owner<'_> {
    Owner::connection(&row.holder, &row.server, row.issuer.as_deref())
}

impl Kept {
    /// Seals it for its owner.
    pub(super) fn seal(&self, keys: &Keys, owner: &Owner<'_>, rng: &dyn Rng) -> Vec<u8> {
        vault::seal(keys, owner, &self.to_sealed_text(), rng)
    }

    /// What is sealed in a row, as that of its holder.
    pub(super) fn open(keys: &Keys, row: &Connection) -> Option<Self> {
        Self::from_sealed_text(&vault::open(keys, &owner(row), row.sealed.as_deref()?)?)
    }

    fn to_sealed_text(&self) -> Secret {
        let mut written = Written {
            at: self.at.as_str().into(),
            connected_at: self.connected_at,
            tokens: None,
            key: None,
            prefix: None,
        };
        let tokens;
        match &self.contents {
            Contents::Tokens(held) => {
                tokens = held.to_sealed_text();
                written.tokens = Some(tokens.reveal().into());
            }
            Contents::Key { key, prefix } => {
                written.key = Some(key.reveal().into());
                written.prefix = Some(prefix.as_str().into());
            }
        }
        Secret::new(serde_json::to_string(&written).expect("texts and numbers have a JSON form"))
    }

    fn from_sealed_text(opened: &Secret) -> Option<Self> {
        let written: Written<'_> = serde_json::from_str(opened.reveal()).ok()?;
        let contents = match (written.tokens, written.key) {
            (Some(tokens), None) => {
                let tokens = Zeroizing::new(tokens.into_owned());
                Contents::Tokens(Held::from_sealed_text(&Secret::new(tokens.to_string()))?)
            }
            (None, Some(key)) => Contents::Key {
                key: Secret::new(key.into_owned()),
                prefix: written.prefix.map(Cow::into_owned).unwrap_or_default(),
            },
            _ => return None,
        };
        Some(Self { at: written.at.into_owned(), connected_at: written.connected_at, contents })
    }
}
