//! Rules in, decision out: who may call what, and the permit that proves it was asked.
//!
//! Promises: without a rule or an access entry the answer is no; deny wins over step-up and ask, those over allow; a rule
//! that cannot be judged never allows; a [`Permit`] comes from [`decide_call`] only. Deliberately absent: files, clocks,
//! people. Whoever calls brings the facts.

mod access;
mod bundle;
mod condition;
mod evaluate;
mod index;
mod nearest;
mod permit;
mod place;
mod read;
mod request;
mod rule;
mod source;

pub use access::{Access, AccessEntry};
pub use bundle::{Bundle, Mention};
pub use evaluate::{Decision, Reason, Shadow, decide, listed};
pub use nearest::nearest;
pub use permit::{Denial, Permit, decide_call};
pub use request::{Facts, Target};
pub use rule::{Effect, StepUp};
pub use source::{RuleError, Source};
