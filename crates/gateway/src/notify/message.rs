//! What is told of a call that waits: sentences of ours, with the names of others in them, cleaned.

use portcullis_base::printable;
use portcullis_store::{ApprovalRow, StoreError};

use super::{House, channel::Failure};
use crate::{
    approvals::{Stored, check_value},
    config::Arguments,
    pages::approvals::class_words,
};

/// The longest name of something of others.
const NAME: usize = 100;
/// The longest arguments that are told: more is not read in a message.
const ARGUMENTS: usize = 2_500;

/// What people are told.
pub(super) struct Words {
    /// The tool, prompt or resource, and at which server.
    pub what: String,
    /// Who wants to make the call.
    pub whose: String,
    /// Through which client.
    pub client: String,
    /// Its classes, each in a few words.
    pub risk: String,
    /// When it ends by itself.
    pub until: String,
    /// The beginning of what it is bound to, as the page shows it. spec: T-85
    pub check: String,
    /// Its arguments, as far as they are told.
    pub arguments: Told,
}

/// What is told of arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: so it is set.
    Kept,
    /// All of them.
    Whole(String),
    /// Nothing: they are too long, or have something in them that cannot be seen.
    Unreadable,
}

impl Words {
    pub async fn of(house: &House, row: &ApprovalRow, arguments: Arguments) -> Result<Self, Failure> {
        let approval = &row.approval;
        let (whose, client) = names(house, row).await.map_err(Failure::new)?;
        let risk = row.classes.iter().map(|class| class_words(class).1.trim_end_matches('.')).collect::<Vec<_>>();
        Ok(Self {
            what: format!("{} {} at {}", row.kind, printable(&row.target, NAME), approval.server),
            whose,
            client,
            risk: risk.join("; "),
            until: approval.expires_at.to_string(),
            check: check_value(&approval.binding),
            arguments: match arguments {
                Arguments::Kept => Told::Kept,
                Arguments::Told => told(Stored::open(&house.0.keys, row)),
            },
        })
    }

    /// What is told in every channel, line by line: a label and a text.
    pub fn lines(&self) -> [(&'static str, &str); 6] {
        [
            ("What", &self.what),
            ("Who", &self.whose),
            ("Through", &self.client),
            ("Risk", &self.risk),
            ("Until", &self.until),
            ("Check value", &self.check),
        ]
    }
}

/// The names of whoever's call it is, and of their client.
pub(super) async fn names(house: &House, row: &ApprovalRow) -> Result<(String, String), StoreError> {
    let (store, approval) = (&house.0.store, &row.approval);
    let person = store.person(&approval.person).await?.map(|person| person.name);
    let client = store.client(&approval.client).await?.and_then(|known| known.client.metadata.client_name);
    let person = person.unwrap_or_else(|| approval.person.as_str().to_owned());
    let client = client.unwrap_or_else(|| approval.client.as_str().to_owned());
    Ok((printable(&person, NAME), printable(&client, NAME)))
}

/// spec: T-83: all of it, or nothing.
fn told(stored: Option<Stored>) -> Told {
    let Some(stored) = stored else { return Told::Unreadable };
    let text = stored.arguments.unwrap_or_else(|| "{}".to_owned());
    // In JSON, line breaks stand between values only.
    let line = text.replace(['\n', '\r', '\t'], " ");
    if line == printable(&line, ARGUMENTS) { Told::Whole(line) } else { Told::Unreadable }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-83
    #[test]
    fn arguments_are_told_whole_or_not_at_all() {
        let of = |arguments: &str| {
            let arguments = Some(arguments.to_owned());
            told(Some(Stored { arguments, through: None, description: None, evidence: Vec::new() }))
        };
        assert_eq!(of("{\n  \"a\": 1\n}"), Told::Whole("{   \"a\": 1 }".into()));
        assert_eq!(of("{\"a\":\"x\u{202e}y\"}"), Told::Unreadable);
        assert_eq!(of(&format!("{{\"a\":\"{}\"}}", "x".repeat(ARGUMENTS))), Told::Unreadable);
        assert_eq!(told(None), Told::Unreadable);
    }
}
