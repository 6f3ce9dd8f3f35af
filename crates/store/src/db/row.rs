//! Values on their way into a statement and out of a row, the same for both engines: text, 64-bit integers and bytes.

use std::{borrow::Cow, fmt};

use portcullis_base::{
    AccessGrantId, AccessRequestId, ApprovalId, CallId, ClientId, ConnectionId, DelegationId, Digest, GrantId, Holder,
    PersonId, ServerName, SessionId, StandingGrantId, Timestamp,
};

use crate::StoreError;

/// A parameter of a statement.
pub(crate) enum Param<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

/// Makes the parameter list of a statement: `params![id, now, None::<i64>]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::db::Param::from($value)),*] };
}
pub(crate) use params;

impl fmt::Debug for Param<'_> {
    /// Shows the kind only: the value may be a credential's digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Int(_) => "Int",
            Self::Text(_) => "Text",
            Self::Bytes(_) => "Bytes",
        })
    }
}

impl<'a> From<&'a str> for Param<'a> {
    /// PostgreSQL refuses U+0000 in text. What a stranger sends must give the same answer on both engines, so it becomes
    /// U+FFFD on its way in, for looking up as for storing.
    fn from(text: &'a str) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() })
    }
}

impl From<String> for Param<'_> {
    fn from(text: String) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() })
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Digest> for Param<'a> {
    fn from(digest: &'a Digest) -> Self {
        Self::Bytes(digest.as_bytes())
    }
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Param<'_> {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.as_millis())
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! id_params {
    ($($id:ident),* $(,)?) => {
        $(
            impl<'a> From<&'a $id> for Param<'a> {
                fn from(id: &'a $id) -> Self {
                    id.as_str().into()
                }
            }
        )*
    };
}
id_params!(
    AccessGrantId,
    DelegationId,
    AccessRequestId,
    ApprovalId,
    CallId,
    ClientId,
    ConnectionId,
    GrantId,
    Holder,
    PersonId,
    ServerName,
    SessionId,
    StandingGrantId,
);

/// One value of a row.
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row, read from left to right: `Person { id: row.take()?, name: row.take()?, … }`.
pub(crate) struct Row(std::vec::IntoIter<Cell>);

impl Row {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self(cells.into_iter())
    }

    /// The next column.
    pub(crate) fn take<T: FromCell>(&mut self) -> Result<T, StoreError> {
        let cell = self.0.next().ok_or_else(|| StoreError::Damaged("a row is too short".into()))?;
        T::from_cell(cell)
    }
}

/// What a column can be read as.
pub(crate) trait FromCell: Sized {
    fn from_cell(cell: Cell) -> Result<Self, StoreError>;
}

fn unexpected(wanted: &str) -> StoreError {
    StoreError::Damaged(format!("a column is not {wanted}"))
}

impl FromCell for i64 {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        if let Cell::Int(number) = cell { Ok(number) } else { Err(unexpected("a number")) }
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        if let Cell::Text(text) = cell { Ok(text) } else { Err(unexpected("a text")) }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        if let Cell::Bytes(bytes) = cell { Ok(bytes) } else { Err(unexpected("bytes")) }
    }
}

impl FromCell for Timestamp {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        i64::from_cell(cell).map(Timestamp::from_millis)
    }
}

impl FromCell for Digest {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        Digest::from_slice(&Vec::from_cell(cell)?).ok_or_else(|| unexpected("a digest"))
    }
}

impl FromCell for ServerName {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        ServerName::parse(&String::from_cell(cell)?).map_err(|_| unexpected("a server name"))
    }
}

impl FromCell for Holder {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        String::from_cell(cell).map(|text| Self::from_stored(&text))
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell) -> Result<Self, StoreError> {
        if matches!(cell, Cell::Null) { Ok(None) } else { T::from_cell(cell).map(Some) }
    }
}

macro_rules! id_cells {
    ($($id:ident),* $(,)?) => {
        $(
            impl FromCell for $id {
                fn from_cell(cell: Cell) -> Result<Self, StoreError> {
                    String::from_cell(cell).map($id::new)
                }
            }
        )*
    };
}
id_cells!(
    AccessGrantId,
    DelegationId,
    AccessRequestId,
    ApprovalId,
    CallId,
    ClientId,
    ConnectionId,
    GrantId,
    PersonId,
    SessionId,
    StandingGrantId,
);
