//! A decision read back from its line: what was called, what was said of it, and how much of its arguments is left.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{event::Kind, row::RowError, secret::MASK};

/// What rules put where they want something masked in a record.
const REDACTED: &str = "[redacted]";

/// What the line of a decision tells besides its [`IndexRow`](crate::IndexRow).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The revision of the rules.
    pub revision: String,
    /// The toolbox that the call came through.
    pub through: Option<String>,
    /// The classes that the tool had; `None` where nobody wrote them down.
    pub classes: Option<Vec<String>>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Rules in shadow that applied, each with what it would have said.
    pub shadows: Vec<(String, String)>,
    /// The approval that it waits for or was run on. A call that is tried again while it waits has a line each time.
    pub approval: Option<String>,
    /// Whether it went on only because humans agreed to it, or had agreed ahead.
    pub agreed: bool,
    /// The arguments.
    pub arguments: Left,
}

/// What is left of arguments in a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Left {
    /// Nothing; or there were none.
    #[default]
    Nothing,
    /// All of them, as raw JSON.
    Whole(Box<str>),
    /// A part: the rest was masked, cut, or cleaned of characters that nobody sees.
    Part(Box<str>),
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    effect: Cow<'a, str>,
    #[serde(default)]
    revision: String,
    #[serde(borrow, default)]
    details: Option<Details<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    through: Option<String>,
    classes: Option<String>,
    labels: Option<String>,
    shadow: Option<String>,
    approval: Option<String>,
    standing: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Decided {
    /// Reads a line; `None` if it tells of something else.
    pub fn parse(line: &str) -> Result<Option<Self>, RowError> {
        let members: Members<'_> = serde_json::from_str(line).map_err(|error| RowError::new(&error))?;
        if members.event != Kind::CallDecided.as_str() {
            return Ok(None);
        }
        let Some(details) = members.details else {
            return Ok(Some(Self { revision: members.revision, ..Self::default() }));
        };
        let words = |text: String| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let shadow = |text: &str| text.rsplit_once(": ").map(|(rule, said)| (rule.to_owned(), said.to_owned()));
        Ok(Some(Self {
            revision: members.revision,
            through: details.through,
            classes: details.classes.map(words),
            labels: details.labels.map(words).unwrap_or_default(),
            shadows: details.shadow.iter().flat_map(|text| text.split(", ")).filter_map(shadow).collect(),
            agreed: members.effect == "allow" && (details.approval.is_some() || details.standing.is_some()),
            approval: details.approval,
            arguments: details.arguments.map(|kept| left(kept.get())).unwrap_or_default(),
        }))
    }
}

/// Whatever takes something out of a record leaves a mark, so what has none is as it was; what had the mark itself is taken
/// for less than it is.
fn left(kept: &str) -> Left {
    if !kept.starts_with('{') {
        return Left::Nothing;
    }
    let marked = [MASK, REDACTED].iter().any(|mark| kept.contains(mark)) || kept.contains(['…', '\u{fffd}']);
    if marked { Left::Part(kept.into()) } else { Left::Whole(kept.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Keep, Value, keep};

    fn line(arguments: &str, how: Keep) -> String {
        let mut event = Event::new(Kind::CallDecided, portcullis_base::Timestamp::from_secs(0))
            .text("through", "daily")
            .text("classes", "read egress")
            .text("labels", "bulk")
            .text("shadow", "draft: deny, counted: oblige");
        if let Some(kept) = keep(how, arguments) {
            event = event.detail("arguments", Value::Kept(kept));
        }
        let mut out = b"{\"seq\":1".to_vec();
        crate::line::members(&mut out, &event);
        out.push(b'}');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_decision_says_is_read_back() {
        let decided = Decided::parse(&line(r#"{"to":"é","n":1}"#, Keep::Redacted)).unwrap().unwrap();
        assert_eq!(decided.through.as_deref(), Some("daily"));
        assert_eq!(decided.classes, Some(vec!["read".to_owned(), "egress".to_owned()]));
        assert_eq!(decided.labels, ["bulk"]);
        let shadows = [("draft".to_owned(), "deny".to_owned()), ("counted".to_owned(), "oblige".to_owned())];
        assert_eq!(decided.shadows, shadows);
        assert_eq!(decided.arguments, Left::Whole(r#"{"to":"é","n":1}"#.into()));
        assert_eq!(Decided::parse(r#"{"event":"signout"}"#).unwrap(), None);
        assert_eq!(Decided::parse(r#"{"event":"call.decided"}"#).unwrap(), Some(Decided::default()));
        assert!(Decided::parse("{").is_err());
        for (effect, how, agreed) in [
            ("ask", "approval", false),
            ("allow", "approval", true),
            ("allow", "standing", true),
            ("allow", "note", false),
        ] {
            let line = format!(r#"{{"event":"call.decided","effect":"{effect}","details":{{"{how}":"x"}}}}"#);
            let decided = Decided::parse(&line).unwrap().unwrap();
            assert_eq!((decided.agreed, decided.approval.is_some()), (agreed, how == "approval"), "{line}");
        }
    }

    #[test]
    fn arguments_of_which_something_is_missing_are_not_taken_for_whole() {
        let left = |arguments: &str, how| Decided::parse(&line(arguments, how)).unwrap().unwrap().arguments;
        for cut in [
            r#"{"token":"abc"}"#.to_owned(),
            r#"{"name":"[redacted]"}"#.to_owned(),
            r#"{"url":"https://a:b@c/"}"#.to_owned(),
            r#"{"text":"one\ntwo"}"#.to_owned(),
            format!(r#"{{"text":"{}"}}"#, "x".repeat(300)),
            format!(r#"{{"list":[{}]}}"#, vec!["1234567890"; 400].join(",")),
        ] {
            assert!(matches!(left(&cut, Keep::Redacted), Left::Part(_)), "{cut}");
        }
        assert_eq!(left(r#"{"n":1}"#, Keep::Digest), Left::Nothing);
        assert_eq!(left(r#"{"n":1}"#, Keep::Off), Left::Nothing);
    }
}
