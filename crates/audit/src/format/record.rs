//! A line of the journal, read for writing it in another form.

use std::ops::Range;

use portcullis_base::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

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

/// A line with its members.
#[derive(Clone, Debug)]
pub struct Record {
    line: String,
    members: Map<String, Value>,
}

/// Where in a line that is which is left out.
#[derive(Deserialize)]
struct Places<'l> {
    #[serde(borrow)]
    details: Option<Details<'l>>,
}

#[derive(Deserialize)]
struct Details<'l> {
    #[serde(borrow)]
    arguments: Option<&'l RawValue>,
    #[serde(borrow)]
    result: Option<&'l RawValue>,
}

impl Record {
    /// Reads a line, and leaves arguments and results out unless they are sent.
    // spec: T-100: what leaves has no arguments or results unless the settings say so.
    pub fn parse(line: &[u8], contents: Contents) -> Result<Self, RowError> {
        let mut line = std::str::from_utf8(line).map_err(|error| RowError::said(&error))?.to_owned();
        if contents == Contents::Left {
            for find in [
                |details: Details| details.arguments.map(RawValue::get).map(place_of),
                |details: Details| details.result.map(RawValue::get).map(place_of),
            ] {
                let places: Places = serde_json::from_str(&line).map_err(|error| RowError::new(&error))?;
                if let Some(value) = places.details.and_then(find) {
                    let start = value.start - place_of(&line).start;
                    let cut = member(&line, start..start + value.len())
                        .ok_or_else(|| RowError::said(&"it is not written as lines of journals are"))?;
                    line.replace_range(cut, "");
                }
            }
        }
        let members = serde_json::from_str(&line).map_err(|error| RowError::new(&error))?;
        Ok(Self { line, members })
    }

    /// A member that is text; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.members.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A detail, if there is one of that name.
    pub fn detail(&self, key: &str) -> Option<&Value> {
        self.members.get("details")?.get(key)
    }

    /// The members but these.
    pub fn others<'r>(&'r self, but: &'r [&str]) -> impl Iterator<Item = (String, Value)> + 'r {
        let others = self.members.iter().filter(|(key, _)| !but.contains(&key.as_str()));
        others.map(|(key, value)| (key.clone(), value.clone()))
    }

    /// Its place in the journal of its node; 0 if it has none.
    pub fn seq(&self) -> u64 {
        self.members.get("seq").and_then(Value::as_u64).unwrap_or_default()
    }

    /// When.
    pub fn at(&self) -> Option<Timestamp> {
        read_moment(self.text("at"))
    }

    /// The details, if any, as JSON.
    pub fn details(&self) -> Option<String> {
        self.members.get("details").map(Value::to_string)
    }

    /// The line byte for byte as it stands in the journal, where nothing was left out: its hash still fits. Else the same
    /// without that.
    pub fn to_json(&self) -> &str {
        &self.line
    }
}

/// Where a text is in memory: what was borrowed from a line says by that where in the line it stands.
fn place_of(text: &str) -> Range<usize> {
    let start = text.as_ptr() as usize;
    start..start + text.len()
}

/// The member whose value stands there, with its name and one comma.
fn member(line: &str, value: Range<usize>) -> Option<Range<usize>> {
    let before = line.get(..value.start)?.strip_suffix("\":")?;
    let start = before.rfind('"')?;
    Some(match (line.as_bytes().get(value.end)?, line.as_bytes().get(start.checked_sub(1)?)?) {
        (b',', _) => start..value.end + 1,
        (_, b',') => start - 1..value.end,
        _ => start..value.end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(details: &str) -> String {
        let line = format!(r#"{{"seq":1,"event":"call.decided","details":{details},"hash":"h"}}"#);
        let record = Record::parse(line.as_bytes(), Contents::Left).unwrap();
        let whole = Record::parse(line.as_bytes(), Contents::Sent).unwrap();
        assert_eq!(whole.to_json(), line);
        assert!(record.detail("arguments").is_none() && record.detail("result").is_none());
        let (before, after) = (r#"{"seq":1,"event":"call.decided","details":"#, r#","hash":"h"}"#);
        record.to_json().strip_prefix(before).unwrap().strip_suffix(after).unwrap().to_owned()
    }

    // spec: T-100
    #[test]
    fn contents_are_cut_out_and_every_other_byte_stays() {
        // Numbers that no double holds, and names inside of values, are what they were.
        assert_eq!(
            left(r#"{"a":1.10,"arguments":{"arguments":[1]},"b":12345678901234567890123}"#),
            r#"{"a":1.10,"b":12345678901234567890123}"#
        );
        assert_eq!(left(r#"{"arguments":"x\"","result":{"y":"\"result\":"}}"#), "{}");
        assert_eq!(left(r#"{"x":"\",\"arguments\":1","result":2}"#), r#"{"x":"\",\"arguments\":1"}"#);
        assert_eq!(left(r#"{"result":0,"arguments":"","z":{"result":1}}"#), r#"{"z":{"result":1}}"#);
    }

    // spec: T-100
    #[test]
    fn what_cannot_be_cut_surely_is_no_record() {
        for line in
            [r#"{"details":{"arguments" : 1}}"#, r#"{"details":{"arguments":1,"arguments":2}}"#, r#"{"details":7}"#]
        {
            assert!(Record::parse(line.as_bytes(), Contents::Left).is_err(), "{line}");
        }
    }
}
