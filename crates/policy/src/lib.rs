//! Rules in, decision out: who may call what, and the permit that proves it was asked.
//!
//! Promises: without a rule or an access entry the answer is no; deny wins over step-up and ask, those over allow; a rule
//! that cannot be judged never allows; a [`Permit`] comes from [`decide_call`] or, where that asks for a human, from
//! [`Permit::approved`], and from nowhere else. Deliberately absent: files, clocks, people. Whoever calls brings the facts.

mod access;
mod amount;
pub mod approval;
mod ask;
mod bundle;
mod check;
mod condition;
mod definition;
mod evaluate;
mod evidence;
mod import;
mod index;
mod kinds;
mod nearest;
mod obligations;
mod path;
mod pattern;
mod permit;
mod place;
mod quota;
mod read;
mod request;
mod rule;
mod schema;
mod seconds;
mod source;
mod what;
mod who;

pub use access::{Access, AccessEntry, Origin, Right};
pub use amount::Amount;
pub use ask::{Ask, Assurance, Own};
pub use bundle::{Bundle, Mention};
pub use check::{Finding, Weight};
pub use definition::{Definition, Definitions};
pub use evaluate::{Decision, Reason, Shadow, decide, hinges_on_risk, listed};
pub use evidence::{
    About, Answer, Case, Change, Changed, Considered, Explanation, Given, Outcome, Past, Replay, Replaying, Risk, Side,
    Subject, Untold, World, Written, answers, cases, explain, overrules, replay,
};
pub use import::{Imported, import_intercept};
pub use nearest::nearest;
pub use obligations::{Cap, Mask, Obligations, Redact};
pub use path::{NotJson, Path, PathStep};
pub use permit::{Denial, Permit, decide_call};
pub use quota::{Claim, Counter, Exhausted, Limit, Per, Quota, Reservation, Sum, Unclaimable};
pub use request::{Facts, Target};
pub use rule::{Effect, StepUp};
pub use schema::{CASES_SCHEMA, RULES_SCHEMA};
pub use source::{Misread, RuleError, Source};
pub use who::{Guest, Kind, Somebody, Who};
