//! What comes back from a provider through the browser.

use portcullis_base::{Secret, printable};

use super::issuer::IssuerRule;
use crate::parameters::Parameters;

/// Whether an answer must say who sends it (RFC 9207).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssPolicy {
    /// The provider says that all of its answers do.
    Required,
    /// It is compared if it is there.
    IfPresent,
}

/// An answer with a code. The state was found to be ours before; see [`state_of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The code.
    pub code: Secret,
    /// Our state.
    pub state: String,
}

/// Why an answer leads nowhere. None of these is followed by a request for tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The provider says that it did not work.
    #[error("the provider answered {error}{}", .description.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Provider {
        /// Its code, printable.
        error: String,
        /// Its words, printable; for the log.
        description: Option<String>,
    },
    /// It is from another provider than the one that was asked, or does not say although it should.
    #[error("the answer is from {}, the request went to \"{expected}\"", .received.as_ref().map_or("nobody".into(), |iss| format!("\"{iss}\"")))]
    Issuer {
        /// Who was asked.
        expected: String,
        /// Who says to answer, printable.
        received: Option<String>,
    },
    /// It cannot be read in one way only, or says nothing.
    #[error("the provider's answer is damaged")]
    Malformed,
}

/// The state of an answer, to find out before anything else whether this browser asked for it.
///
/// spec: AS-137: a query with two of them has none.
pub fn state_of(query: &str) -> Option<String> {
    Parameters::parse(query).ok()?.take("state")
}

/// Reads an answer.
pub fn parse(query: &str, expected: &IssuerRule, iss: IssPolicy) -> Result<Callback, CallbackError> {
    let answer = Parameters::parse(query).map_err(|_| CallbackError::Malformed)?;
    // spec: AS-142, UP-34, UP-35, T-17, RFC9207#2.4: "clients MUST extract the value of the "iss" parameter from authorization responses
    // they receive if the parameter is present. Clients MUST then [...] compare": before anything else, errors included.
    let received = answer.get("iss");
    let good = match received {
        Some(issuer) => expected.answers_as(issuer),
        // spec: RFC9207#2.4: "Clients MUST reject authorization responses without the "iss" parameter from authorization
        // servers that do support the parameter".
        None => iss == IssPolicy::IfPresent,
    };
    if !good {
        let received = received.map(|issuer| printable(issuer, 200));
        return Err(CallbackError::Issuer { expected: expected.expected().to_owned(), received });
    }
    if let Some(error) = answer.get("error") {
        let description = answer.get("error_description").map(|text| printable(text, 200));
        return Err(CallbackError::Provider { error: printable(error, 64), description });
    }
    let (code, state) = answer.take("code").zip(answer.take("state")).ok_or(CallbackError::Malformed)?;
    Ok(Callback { code: Secret::new(code), state })
}
