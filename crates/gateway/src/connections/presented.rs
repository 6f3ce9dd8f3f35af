//! What a call shows, and what is remembered of where it came from.

use crate::upstream::Credential;

/// A credential for one call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presented {
    /// What the request carries.
    pub credential: Credential,
    pub(super) version: i64,
    pub(super) from: From,
    pub(super) tried: Tried,
}

/// Where a credential came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// There is none.
    Nowhere,
    /// The settings.
    Settings,
    /// A connection.
    Connection,
    /// It was made for this person, and can be made again.
    Minted,
}

/// Whether the server has refused what was shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// No.
    First,
    /// Yes; this is the one other try. spec: UP-45
    Again,
}

impl Presented {
    /// Nothing.
    pub fn none() -> Self {
        Self { credential: Credential::none(), version: 0, from: From::Nowhere, tried: Tried::First }
    }

    /// Grows when what the holder has at the server is replaced: what was learned with an older one may not be true any
    /// more (T-50).
    pub fn version(&self) -> i64 {
        self.version
    }

    pub(super) fn again(self) -> Self {
        Self { tried: Tried::Again, ..self }
    }
}
