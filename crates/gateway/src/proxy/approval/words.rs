//! What callers are told of calls that wait for a human.

use http::StatusCode;
use portcullis_base::{Timestamp, printable};
use portcullis_mcp::{Method, ProtocolError, message::INVALID_PARAMS, object::quoted};
use portcullis_policy::{Denial, approval::State};
use serde_json::json;

use crate::{
    approvals::{Decided, Waiting},
    proxy::{
        answer::{self, Answer},
        decide::Deed,
        here::completed,
        refusal::Refusal,
    },
};

/// The longest reason of a person that is told.
const LONGEST: usize = 500;

/// The answer to a call that is not made: where a model reads it, if it is that of a tool.
// spec: RS-23: an error of the call, not of the token or the connection: nothing is thrown away because somebody said no.
pub(super) fn unmade(deed: &Deed<'_>, text: &str) -> Refusal {
    if deed.method != Method::ToolsCall.name() {
        return ProtocolError::new(INVALID_PARAMS, 200, text).with_id(deed.id).into();
    }
    let id = deed.id.map_or("null", |id| id.to_json());
    let result = completed(json!({ "content": [{ "type": "text", "text": text }], "isError": true }), deed.era);
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    Refusal::answered(answer::json(StatusCode::OK, Answer::Whole(message.into())))
}

/// Nobody has decided yet.
pub(super) fn undecided(denial: &Denial, waiting: &Waiting) -> String {
    format!("{} Nobody has decided yet. {}", denial.message, how(waiting))
}

/// The client's person would not open the page.
pub(super) fn declined(denial: &Denial, waiting: &Waiting) -> String {
    format!("{} The page for that was not opened. {}", denial.message, how(waiting))
}

/// The call cannot wait here any longer.
pub(super) fn stopped(why: &str, waiting: &Waiting) -> String {
    format!("The call was ended: {why}. It was not made, and goes on waiting for approval. {}", how(waiting))
}

fn how(waiting: &Waiting) -> String {
    let Waiting { link, expires_at, .. } = waiting;
    let until = clock(*expires_at);
    format!(
        "It can be approved at {link} until {until}. Make the same call again then: it is made as soon as it is approved."
    )
}

/// It is decided, and not for this call.
pub(super) fn over(decided: &Decided) -> String {
    let by = decided.by.as_deref().map_or_else(|| "A person".to_owned(), |name| printable(name, 100));
    match decided.state {
        State::Refused => {
            let why = decided.why.as_deref().map(|why| printable(why, LONGEST)).filter(|why| !why.is_empty());
            let why = why.map_or_else(|| ", without a reason.".to_owned(), |why| format!(": {why}"));
            format!("The call was not made. {by} refused it{why}")
        }
        State::Withdrawn => "The call was not made. The person for whom it was to be made took it back.".to_owned(),
        State::Unknown => {
            "This call was approved and begun, and nobody knows whether it was made. Look at what it was \
                           to change before it is made again."
                .to_owned()
        }
        State::Running | State::Done => "This call was approved once, and another request has made it, so it was not \
                                         made again. If it is to be made a second time, call again: it will be asked \
                                         about again."
            .to_owned(),
        State::Expired | State::Pending | State::Granted => {
            "The call was not made. Nobody approved it in time. Call again to have it asked about again.".to_owned()
        }
    }
}

/// It may not even wait.
pub(super) fn not_asked(why: &str, again_at: Timestamp) -> String {
    format!("The call was not made. {why} It can be asked about again from {}.", clock(again_at))
}

/// A step of a call that waits, for a client that wants to hear of steps. The numbers are small, so that those of the
/// server go on from there.
pub(super) fn step(token: &str, step: u32, waiting: &Waiting) -> String {
    let message = quoted(&format!("Waits for approval at {}", waiting.link));
    let params = format!(r#"{{"progressToken":{token},"progress":{step}e-6,"message":{message}}}"#);
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#)
}

/// The page to be opened, as a request for input.
pub(super) fn page(denial: &Denial, waiting: &Waiting) -> serde_json::Value {
    let message = format!("{} Open the page to look at the call and decide.", denial.message);
    json!({ "mode": "url", "url": waiting.link, "message": message })
}

/// A time of day for people who read it soon.
fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(11..16).map_or(text.clone(), |time| format!("{time} UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn times_are_those_of_a_clock() {
        assert_eq!(clock(Timestamp::from_secs(1_800_000_000)), "08:00 UTC");
    }
}
