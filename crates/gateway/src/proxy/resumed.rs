//! Requests of 2026-07-28 that come back after their caller was asked to connect (UP-61).

use std::{borrow::Cow, time::Duration};

use portcullis_base::Holder;
use portcullis_mcp::{ProtocolError, message::Call, scan};

use super::{
    errand::Setback,
    rewrite::rewrite,
    stay::{GRACE, Stay, Why},
    told::Reply,
    turn::Turn,
};

/// A request that comes back after its caller was asked to connect.
pub(super) struct Resumed {
    /// The version of what they had then.
    pub than: i64,
    pub reply: Reply,
}

/// How long a request waits for the connection that its caller is making: shorter than clients wait for answers.
const PATIENCE: Duration = Duration::from_secs(50);

impl Turn<'_> {
    /// Waits for what the caller is connecting. Whether it came or not is seen from what there is then.
    // spec: RS-25: whoever loses their access while they wait has lost the call too.
    pub(super) async fn await_connection(&self, than: i64) -> Result<(), Setback> {
        let holder = Holder::Person(self.caller.person.clone());
        let stay = Stay::new(self.caller, self.parts.ended.clone(), &*self.parts.clock, PATIENCE, GRACE);
        tokio::select! {
            biased;
            why = stay => match why {
                Why::TooLong => Ok(()),
                why => {
                    let text = format!("The call was ended: {}.", why.as_str());
                    Err(Setback::Wrong(ProtocolError::internal(200, text)))
                }
            },
            _ = self.parts.connections.appeared(&self.server.name, &holder, than, PATIENCE) => Ok(()),
        }
    }
}

/// The message without what its client answered us.
pub(super) fn unanswered(call: &Call<'_>) -> Option<String> {
    let params = call.params?;
    let ours = |name: &Cow<'_, str>| matches!(&**name, "requestState" | "inputResponses");
    let kept = scan::members(params).filter(|(name, _)| !ours(name));
    let kept: Vec<_> = kept.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(&*name))).collect();
    let params_left = format!("{{{}}}", kept.join(","));
    let bytes = rewrite(call.raw, &mut [(params, &params_left)])?;
    String::from_utf8(bytes.into()).ok()
}

#[cfg(test)]
mod tests {
    use portcullis_mcp::{
        Message,
        message::{self, Body},
        scan::Limits,
    };

    use super::*;
    use crate::proxy::told::KEY;

    /// spec: BR-61
    #[test]
    fn what_a_client_answered_us_does_not_go_on() {
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"requestState":"s","na\u006de":"x","inputResponses":{"connect":{"action":"accept"}},"arguments":{"requestState":1},"_meta":{}}}"#;
        let Ok(Body::One(Message::Request(call))) = message::parse(body, &Limits::default()) else {
            panic!("a request")
        };
        assert_eq!(
            unanswered(&call).unwrap(),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"requestState":1},"_meta":{}}}"#
        );
        assert_eq!(Reply::of(call.input_responses, KEY), Reply::Opened);
        assert_eq!(Reply::of(Some(r#"{"connect":{"action":"decline"}}"#), KEY), Reply::Declined);
    }
}
