//! What a rule demands before a call goes on: whose word, how many of them, and how sure it is that they gave it.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    seconds,
    who::{Kind, Somebody, Who},
};
use portcullis_base::PersonId;

/// How surely somebody who approves is who they are, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assurance {
    /// The client program says that its user agreed. spec: T-107: a program can say so by itself.
    Elicitation,
    /// A signed button in a chat that knows its members.
    Chat,
    /// A page, by somebody who is signed in.
    Session,
    /// A page, and a passkey touched for this very call.
    Passkey,
}

impl Assurance {
    /// All of them, weakest first.
    pub const ALL: [Self; 4] = [Self::Elicitation, Self::Chat, Self::Session, Self::Passkey];

    /// As it stands in rules and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation",
            Self::Chat => "chat",
            Self::Session => "session",
            Self::Passkey => "passkey",
        }
    }

    /// The one called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assurance| assurance.as_str() == word)
    }
}

/// Whether somebody may approve what they themselves, or programs for them, want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// Whoever they are.
    Always,
    /// If they are among the approvers.
    AsApprover,
    /// Never: somebody else has to.
    Never,
}

/// One demand of one rule. Several rules may each have one, and all of them have to be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The rule that demands it; `access` is the server's access list.
    pub rule: Arc<str>,
    /// Who may approve.
    pub approvers: Arc<[Who]>,
    /// How many of them have to.
    pub quorum: u32,
    /// Whether the caller may.
    pub own: Own,
    /// How sure it has to be that it was they.
    pub assurance: Assurance,
    /// Asked for instead, of approvers who have the means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rather: Option<Assurance>,
    /// How long the demand stands.
    #[serde(with = "seconds", rename = "expires_seconds")]
    pub expires: Duration,
}

impl Ask {
    /// The longest that a demand may stand. spec: T-81: "expires <= 15 min"
    pub const LONGEST: Duration = Duration::from_mins(15);
    /// Less would be over before anybody has read it.
    pub const SHORTEST: Duration = Duration::from_secs(30);
    /// The most approvers that may be wanted.
    pub const MOST: u32 = 20;

    /// What a rule wants that only says `then: ask`, and what the safe default wants: the word of the person whose call
    /// it is, or of an administrator, on a page.
    pub fn plain(rule: Arc<str>) -> Self {
        Self {
            rule,
            approvers: Self::administrators(),
            quorum: 1,
            own: Own::Always,
            assurance: Assurance::Session,
            rather: None,
            expires: Self::LONGEST,
        }
    }

    /// Who may approve where nobody is named.
    pub fn administrators() -> Arc<[Who]> {
        [Who::Role("admin".into()), Who::Role("owner".into())].into()
    }

    /// Whether the word of `somebody` counts for a call of `caller`.
    // spec: T-82: the rule says whether one's own word counts; that of a machine never does.
    pub fn is_approver(&self, somebody: &Somebody<'_>, caller: &PersonId) -> bool {
        let named = || self.approvers.iter().any(|who| who.matches(somebody));
        somebody.kind == Kind::Person
            && match self.own {
                _ if somebody.person != caller => named(),
                Own::Always => true,
                Own::AsApprover => named(),
                Own::Never => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assurances_are_in_order_and_read_as_they_are_written() {
        for pair in Assurance::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for assurance in Assurance::ALL {
            assert_eq!(Assurance::parse(assurance.as_str()), Some(assurance));
            assert_eq!(serde_json::to_string(&assurance).unwrap(), format!("\"{}\"", assurance.as_str()));
        }
    }

    /// spec: T-82
    #[test]
    fn own_word_counts_only_where_the_rule_says_so_and_a_machines_never() {
        let (alice, bob) = (PersonId::new("usr_a"), PersonId::new("usr_b"));
        let finance = ["finance".into()];
        let of = |person, groups, kind| Somebody { person, name: "x", kind, groups, roles: &[], client: None };
        for (own, member, other) in
            [(Own::Always, true, true), (Own::AsApprover, true, false), (Own::Never, false, false)]
        {
            let ask = Ask { approvers: [Who::Group("finance".into())].into(), own, ..Ask::plain("r".into()) };
            assert_eq!(ask.is_approver(&of(&alice, &finance, Kind::Person), &alice), member, "{own:?}");
            assert_eq!(ask.is_approver(&of(&alice, &[], Kind::Person), &alice), other, "{own:?}");
            assert!(ask.is_approver(&of(&bob, &finance, Kind::Person), &alice));
            assert!(!ask.is_approver(&of(&bob, &[], Kind::Person), &alice));
            assert!(!ask.is_approver(&of(&bob, &finance, Kind::Service), &alice));
            assert!(!ask.is_approver(&of(&alice, &finance, Kind::Service), &alice));
            let told = serde_json::to_string(&ask).unwrap();
            assert_eq!(serde_json::from_str::<Ask>(&told).unwrap(), ask, "{told}");
        }
    }
}
