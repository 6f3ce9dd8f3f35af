//! Which events are looked for.

use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;

use super::bucket::Field;

/// Which entries to find: those that match everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The person's identifier or account name.
    pub person: Option<String>,
    /// The client's identifier.
    pub client: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The server's name.
    pub server: Option<String>,
    /// The beginning of the kind, such as `token.` or `call.decided`.
    pub kind: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// What the rules said.
    pub effect: Option<String>,
    /// Which rule said it.
    pub rule: Option<String>,
    /// The MCP method.
    pub method: Option<String>,
    /// The tool, prompt, resource or other object.
    pub name: Option<String>,
    /// The call.
    pub call: Option<String>,
    /// The request, in hexadecimal.
    pub request: Option<String>,
    /// The trace, in hexadecimal.
    pub trace: Option<String>,
    /// The approval.
    pub approval: Option<String>,
    /// The grant, or the identifier of one of its tokens.
    pub grant: Option<String>,
    /// A part of a name: of a person, client, server, tool or rule. Small and capital letters are the same.
    pub text: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// The conditions on whole values: one of these fields has the value.
    pub(super) fn exact(&self) -> impl Iterator<Item = (&'static [Field], &str)> {
        let conditions: [(&'static [Field], &Option<String>); 14] = [
            (&[Field::Person, Field::PersonName], &self.person),
            (&[Field::Client], &self.client),
            (&[Field::Address], &self.address),
            (&[Field::Server], &self.server),
            (&[Field::Outcome], &self.outcome),
            (&[Field::Effect], &self.effect),
            (&[Field::Rule], &self.rule),
            (&[Field::Method], &self.method),
            (&[Field::Name], &self.name),
            (&[Field::Call], &self.call),
            (&[Field::Request], &self.request),
            (&[Field::Trace], &self.trace),
            (&[Field::Approval], &self.approval),
            (&[Field::Grant, Field::Token], &self.grant),
        ];
        conditions.into_iter().filter_map(|(fields, value)| value.as_deref().map(|value| (fields, value)))
    }

    /// What is set, as `name=value` with a space between: for the record of who looked at what.
    pub fn in_words(&self) -> String {
        let exact = self.exact().map(|(fields, value)| (fields[0].as_str(), value.to_owned()));
        let kind = self.kind.iter().map(|kind| ("kind", kind.clone()));
        let text = self.text.iter().map(|text| ("text", text.clone()));
        let since = self.since.iter().map(|since| ("since", since.to_string()));
        let until = self.until.iter().map(|until| ("until", until.to_string()));
        let words = exact.chain(kind).chain(text).chain(since).chain(until);
        words.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    /// Whether an event is looked for. This is the law; whatever the index says only narrows down where to look.
    pub(super) fn matches(&self, row: &IndexRow) -> bool {
        let values = Field::values(row);
        let value = |wanted: Field| values.iter().find(|(field, _)| *field == wanted).and_then(|(_, value)| *value);
        self.since.is_none_or(|since| row.at >= since)
            && self.until.is_none_or(|until| row.at < until)
            && self.kind.as_deref().is_none_or(|kind| row.kind.starts_with(kind))
            && self.exact().all(|(fields, wanted)| fields.iter().any(|field| value(*field) == Some(wanted)))
            && self.text.as_deref().is_none_or(|text| {
                let text = folded(text);
                let names = Field::NAMES.into_iter().filter(|field| *field != Field::Kind);
                names.filter_map(value).any(|name| folded(name).contains(&text))
            })
    }
}

/// A name without the difference between small and capital letters.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}
