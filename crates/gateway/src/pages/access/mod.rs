//! Rights that end: asking for one, answering a wish, taking every right in an emergency.

pub mod answer;
pub mod ask;
pub mod glass;

use std::{fmt, time::Duration};

use maud::{Markup, html};
use portcullis_base::{Class, Classes, Timestamp};
use portcullis_store::AccessRequestState;

use super::{approvals::class_words, foreign};

/// A wish, as lists and its page show it.
pub struct Wish {
    /// Its identifier.
    pub id: String,
    /// Which server or toolbox, as its asker wrote it.
    pub server: String,
    /// What for.
    pub what: What,
    /// Whose it is.
    pub who: String,
    /// For how long.
    pub lasts: Duration,
    /// Why.
    pub why: String,
    /// How far it is.
    pub state: AccessRequestState,
    /// Since when.
    pub asked_at: Timestamp,
    /// Until when it can be answered.
    pub expires_at: Timestamp,
    /// What was said to it.
    pub answer: Option<String>,
}

/// What somebody has, until when.
pub struct Held {
    /// What for.
    pub what: What,
    /// Until when.
    pub ends_at: Timestamp,
}

/// What a right is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One tool.
    Tool(String),
    /// Calls of these classes.
    Classes(Classes),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(tool) => write!(f, "tool {tool}"),
            Self::Classes(classes) => f.write_str(&classes.iter().map(Class::as_str).collect::<Vec<_>>().join(" ")),
        }
    }
}

impl What {
    /// In words for people.
    pub(in crate::pages) fn shown(&self) -> Markup {
        match self {
            Self::Tool(tool) => html! { "the tool " code { (foreign(tool)) } },
            Self::Classes(classes) if Class::ALL.iter().all(|class| classes.contains(*class)) => html! { "everything" },
            Self::Classes(classes) => {
                html! { "what " (classes.iter().map(|class| class_words(class).0).collect::<Vec<_>>().join(", ")) }
            }
        }
    }
}

/// How far a wish is, in a word for people.
pub(in crate::pages) const fn wish_word(state: AccessRequestState) -> (&'static str, &'static str) {
    match state {
        AccessRequestState::Open => ("Waits", "tag warn"),
        AccessRequestState::Approved => ("Given", "tag good"),
        AccessRequestState::Refused => ("Refused", "tag bad"),
        AccessRequestState::Withdrawn => ("Taken back", "tag"),
        AccessRequestState::Expired => ("Nobody answered", "tag"),
    }
}

/// A duration as a person would say it.
pub(in crate::pages) fn spoken(lasts: Duration) -> String {
    let hours = lasts.as_secs() / 3600;
    match hours {
        0 => format!("{} minutes", lasts.as_secs() / 60),
        1 => "an hour".to_owned(),
        2..=23 => format!("{hours} hours"),
        24..=47 => "a day".to_owned(),
        _ => format!("{} days", hours / 24),
    }
}
