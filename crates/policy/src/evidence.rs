//! Why a decision is what it is, and what another set of rules would say: explanations, cases that rules are tried on, and
//! calls of the past judged again.

pub(crate) mod case;
mod explain;
mod given;
mod replay;
mod written;

pub use self::{
    case::{Case, Outcome, Risk, World, cases},
    explain::{Considered, Explanation, explain},
    given::{Given, Subject},
    replay::{Change, Changed, Past, Replay, Replaying, Side, Untold, replay},
    written::{About, Answer, Written, answers, overrules},
};
