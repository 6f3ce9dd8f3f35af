//! What a caller is told when a rule asks for a fresh sign-in: which rule, and where to sign in.
//!
//! The link is in the text for every revision, since whoever reads the answer of a call, a person or a model, can show it.
//! The revision of 2025-11-25 has an error of its own for pages that a person must open; clients that declared it get that
//! one. (In 2026-07-28 such a page would be part of the answer to the call, and the retry would carry what the person
//! answered to the upstream, which never asked.)

use portcullis_mcp::{
    ProtocolError,
    message::{INVALID_PARAMS, URL_ELICITATION_REQUIRED},
};
use portcullis_policy::StepUp;
use serde_json::json;

use super::{decide::Deed, parts::Parts, refusal::Refusal, session::Hears};
use crate::{
    caller::{Caller, Renewal},
    step_up::{self, Demand},
};

/// The answer to a call that needs a fresh sign-in; `why` is the sentence that names the rule.
// spec: RS-23: an error of the call, not of the token: the token is good, and no new one would help.
pub(super) fn refusal(parts: &Parts, caller: &Caller, wanted: &StepUp, why: &str, deed: &Deed<'_>) -> Refusal {
    let status = if deed.id.is_some() { 200 } else { 403 };
    let told = |text: String| ProtocolError::new(INVALID_PARAMS, status, text).with_id(deed.id).into();
    match caller.renewal {
        Renewal::Nowhere => told(format!("{why} A service account cannot sign in afresh.")),
        Renewal::Elsewhere => told(format!("{why} Sign in again at your application, then repeat the call.")),
        Renewal::Here => {
            let link = link(parts, caller, wanted);
            let text = format!("{why} Open {link} in a browser, sign in, then repeat the call.");
            match deed.hears {
                Hears::Text | Hears::Input => told(text),
                Hears::Link => required(parts, why, &link, deed),
            }
        }
    }
}

fn link(parts: &Parts, caller: &Caller, wanted: &StepUp) -> String {
    let demand = Demand {
        grant: caller.grant.clone(),
        max_age: wanted.max_age,
        acr: wanted.acr.iter().map(ToString::to_string).collect(),
        expires_at: parts.clock.now().plus(step_up::LIFETIME),
    };
    demand.link(&parts.keys, &*parts.rng, &parts.settings.public_url)
}

/// The error of 2025-11-25 for a page that a person must open.
fn required(parts: &Parts, why: &str, link: &str, deed: &Deed<'_>) -> Refusal {
    let id = portcullis_base::token::<16>(&*parts.rng);
    let elicitation = json!({ "mode": "url", "elicitationId": id, "url": link, "message": why });
    let text = format!("{why} Open {link} in a browser, sign in, then repeat the call.");
    let mut error = ProtocolError::new(URL_ELICITATION_REQUIRED, 200, text).with_id(deed.id);
    error.data = Some(Box::new(json!({ "elicitations": [elicitation] })));
    error.into()
}
