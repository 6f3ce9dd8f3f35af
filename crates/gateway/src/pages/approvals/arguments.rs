//! The arguments of a call, for somebody who has to answer for it: all of them, as they are written, with nothing that hides.
//!
//! spec: T-83

use std::collections::BTreeMap;

use maud::{Markup, html};
use portcullis_base::printable;
use serde_json::value::RawValue;

/// A JSON value with its numbers as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`, `true`, `false`, or a number.
    Plain(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object, in the order of the alphabet, so that nobody chooses what is read first.
    Members(BTreeMap<String, Json>),
}

/// What is not as it was the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: String,
    /// What it was, if it was there.
    pub before: Option<String>,
    /// What it is, if it is there.
    pub after: Option<String>,
}

/// A text that is longer, or has lines, is shown as a block.
const SHORT: usize = 120;
/// Empty lines and spaces in a row that are shown as they are.
const EMPTY: usize = 2;
const SPACES: usize = 16;

impl Json {
    /// Reads the arguments of a call; none at all are an empty object.
    pub fn read(arguments: Option<&str>) -> Option<Self> {
        serde_json::from_str::<&RawValue>(arguments.unwrap_or("{}")).ok().and_then(Self::of)
    }

    fn of(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        Some(match text.as_bytes().first()? {
            b'{' => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                let read = |(name, raw)| Some((name, Self::of(raw)?));
                Self::Members(members.into_iter().map(read).collect::<Option<_>>()?)
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Self::List(items.into_iter().map(Self::of).collect::<Option<_>>()?)
            }
            b'"' => Self::Text(serde_json::from_str(text).ok()?),
            _ => Self::Plain(text.to_owned()),
        })
    }

    /// The names of its members, if it has any.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Members(members) => members.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// What is other here than `before`, in the order of places.
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
        before.flatten(String::new(), &mut old);
        self.flatten(String::new(), &mut new);
        let mut places: Vec<&String> = old.keys().chain(new.keys()).collect();
        places.sort_unstable();
        places.dedup();
        let differs = |place: &&String| old.get(*place) != new.get(*place);
        let difference = |place: &String| Difference {
            place: place.clone(),
            before: old.get(place).cloned(),
            after: new.get(place).cloned(),
        };
        places.into_iter().filter(differs).map(difference).collect()
    }

    fn flatten(&self, place: String, into: &mut BTreeMap<String, String>) {
        match self {
            Self::List(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    item.flatten(format!("{place}[{at}]"), into);
                }
            }
            Self::Members(members) if !members.is_empty() => {
                for (name, member) in members {
                    let dot = if place.is_empty() { "" } else { "." };
                    member.flatten(format!("{place}{dot}{name}"), into);
                }
            }
            Self::List(_) => drop(into.insert(place, "[]".into())),
            Self::Members(_) => drop(into.insert(place, "{}".into())),
            Self::Text(text) => drop(into.insert(place, format!("“{text}”"))),
            Self::Plain(text) => drop(into.insert(place, text.clone())),
        }
    }
}

/// The whole of it.
pub fn view(json: &Json) -> Markup {
    match json {
        Json::Plain(text) => html! { code { (text) } },
        Json::Text(text) if text.is_empty() => html! { span.muted { "empty text" } },
        Json::Text(text) => text_view(text),
        Json::List(items) if items.is_empty() => html! { span.muted { "empty list" } },
        Json::List(items) => html! {
            details.nested open {
                summary { (counted(items.len(), "entry", "entries")) }
                ol start="0" { @for item in items { li { (view(item)) } } }
            }
        },
        Json::Members(members) if members.is_empty() => html! { span.muted { "nothing" } },
        Json::Members(members) => html! {
            dl.arguments {
                @for (name, member) in members { div { dt { (revealed(name)) } dd { (view(member)) } } }
            }
        },
    }
}

fn text_view(text: &str) -> Markup {
    let (letters, lines) = (text.chars().count(), text.lines().count());
    if letters <= SHORT && lines <= 1 && !text.contains('\r') {
        return html! { span.said { "“" (revealed(text)) "”" } };
    }
    html! {
        details.nested open {
            summary { "Text of " (counted(letters, "character", "characters")) ", " (counted(lines, "line", "lines")) }
            pre.code.whole-text { (revealed(text)) }
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A text with what cannot be seen in it named, and floods of nothing counted.
pub fn revealed(text: &str) -> Markup {
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut push = |named: bool, text: &str| match parts.last_mut() {
        Some((last, so_far)) if *last == named && !named => so_far.push_str(text),
        _ => parts.push((named, text.to_owned())),
    };
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut run = 1;
        while matches!(letter, '\n' | ' ') && letters.next_if_eq(&letter).is_some() {
            run += 1;
        }
        match letter {
            '\n' if run > EMPTY + 1 => {
                push(false, "\n");
                push(true, &format!("{} empty lines", run - 1));
                push(false, "\n");
            }
            ' ' if run > SPACES => push(true, &format!("{run} spaces")),
            '\n' | ' ' => push(false, &letter.to_string().repeat(run)),
            '\t' => push(false, "\t"),
            _ if is_hidden(letter) => push(true, &format!("U+{:04X}", u32::from(letter))),
            _ => push(false, letter.encode_utf8(&mut [0; 4])),
        }
    }
    html! {
        @for (named, text) in &parts {
            @if *named { mark.unseen { (text) } } @else { (text) }
        }
    }
}

fn is_hidden(letter: char) -> bool {
    letter != '\u{fffd}' && printable(letter.encode_utf8(&mut [0; 4]), 1) == "\u{fffd}"
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-83
    #[test]
    fn nothing_hides_in_arguments() {
        let hostile = r#"{"b":"<b>x</b>\u202egpj.exe","a":9007199254740993,
            "note":"pay\n\n\n\n\n\n\n\nto mallory","list":[{"to":"eve@example.com"},1.10,null],"pad":"a                                  z"}"#;
        let shown = view(&Json::read(Some(hostile)).unwrap()).0;
        for needed in [
            "&lt;b&gt;x&lt;/b&gt;",
            "<mark class=\"unseen\">U+202E</mark>gpj.exe",
            "<code>9007199254740993</code>",
            "<mark class=\"unseen\">7 empty lines</mark>",
            "to mallory",
            "eve@example.com",
            "<code>1.10</code>",
            "<mark class=\"unseen\">34 spaces</mark>",
            "3 entries",
        ] {
            assert!(shown.contains(needed), "{needed} in {shown}");
        }
        assert!(!shown.contains("<b>") && !shown.contains('\u{202e}'), "{shown}");
        let long = "x".repeat(100_000);
        let text = format!("{{\"t\":\"{long}\"}}");
        let shown = view(&Json::read(Some(&text)).unwrap()).0;
        assert!(shown.contains(&long) && shown.contains("100000 characters"));
    }

    #[test]
    fn differences_are_told_by_their_place() {
        let old = Json::read(Some(r#"{"to":[{"mail":"a"}],"amount":1,"gone":true}"#)).unwrap();
        let new = Json::read(Some(r#"{"to":[{"mail":"b"}],"amount":1,"new":{}}"#)).unwrap();
        let found: Vec<_> = new.differences(&old).into_iter().map(|one| (one.place, one.before, one.after)).collect();
        let told = |place: &str, before: Option<&str>, after: Option<&str>| {
            (place.to_owned(), before.map(str::to_owned), after.map(str::to_owned))
        };
        assert_eq!(
            found,
            [
                told("gone", Some("true"), None),
                told("new", None, Some("{}")),
                told("to[0].mail", Some("“a”"), Some("“b”"))
            ]
        );
        assert_eq!(new.differences(&new), []);
    }
}
