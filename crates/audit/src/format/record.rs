//! A line of the journal, read for writing it in another form.

use portcullis_base::Timestamp;
use serde_json::{Map, Value};

use crate::{json::read_moment, row::RowError};

/// What of a call's arguments and results goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// Nothing: they stay in the journal.
    #[default]
    Left,
    /// What the journal has.
    Sent,
}

/// A line with its members in their order.
#[derive(Clone, Debug)]
pub struct Record(Map<String, Value>);

impl Record {
    /// Reads a line, and leaves arguments and results out unless they are sent.
    // spec: T-100: what leaves has no arguments or results unless the settings say so.
    pub fn parse(line: &[u8], contents: Contents) -> Result<Self, RowError> {
        let mut members: Map<String, Value> = serde_json::from_slice(line).map_err(|error| RowError::new(&error))?;
        if let (Contents::Left, Some(Value::Object(details))) = (contents, members.get_mut("details")) {
            details.retain(|key, _| !matches!(key.as_str(), "arguments" | "result"));
        }
        Ok(Self(members))
    }

    /// A member that is text; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its place in the journal of its node; 0 if it has none.
    pub fn seq(&self) -> u64 {
        self.0.get("seq").and_then(Value::as_u64).unwrap_or_default()
    }

    /// When.
    pub fn at(&self) -> Option<Timestamp> {
        read_moment(self.text("at"))
    }

    /// The details, if any, as JSON.
    pub fn details(&self) -> Option<String> {
        self.0.get("details").map(Value::to_string)
    }

    /// The whole as JSON on one line. Where nothing was left out that is the line of the journal, whose hash still fits.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("what was read as JSON can be written as JSON")
    }
}
