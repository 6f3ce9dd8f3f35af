//! Calls that wait for a word: the inbox, one of them, and what was approved ahead.

pub mod arguments;
pub mod grants;
pub mod inbox;
pub mod one;
mod stakes;

use portcullis_base::Class;
use portcullis_policy::approval::State;

/// How far it is, in a word for people.
pub(super) fn state_word(state: State) -> (&'static str, &'static str) {
    match state {
        State::Pending => ("Waits", "tag warn"),
        State::Granted => ("Approved, not run yet", "tag good"),
        State::Refused => ("Refused", "tag bad"),
        State::Expired => ("Time was over", "tag"),
        State::Withdrawn => ("Taken back", "tag"),
        State::Running => ("Runs", "tag warn"),
        State::Done => ("Run", "tag good"),
        State::Unknown => ("Nobody knows whether it was run", "tag bad"),
    }
}

/// What a class means, in a word and a sentence of ours.
pub(crate) const fn class_words(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::Read => ("reads", "It only reads."),
        Class::Write => ("writes", "It creates or changes something that can be put back."),
        Class::Unknown => ("unknown", "Nothing tells what it does."),
        Class::Egress => ("sends out", "It sends something out, to whom the caller chose."),
        Class::Execute => ("executes", "It runs code, commands or queries."),
        Class::Destructive => ("destroys", "It removes, overwrites, revokes or stops something."),
        Class::Financial => ("money", "It moves or commits money."),
    }
}
