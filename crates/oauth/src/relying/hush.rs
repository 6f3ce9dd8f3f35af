//! What a refusal may repeat of the request that it answers: nothing that was secret in it. Its words go to logs and pages.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::token::TokenForm;

/// Fields of a request that prove or open something.
const SECRET: [&str; 9] = [
    "assertion",
    "actor_token",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "refresh_token",
    "subject_token",
    "token",
];
/// What is shorter stands in any sentence.
const SHORTEST: usize = 6;

impl TokenForm {
    /// An answer to it as it may be read, if that is not as it came: a refusal without what it says again of the request.
    ///
    /// spec: T-45
    pub fn hushed(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let mut members: Map<String, Value> = serde_json::from_slice(answer).ok()?;
        if !members.contains_key("error") {
            return None;
        }
        let secrets = self.secrets();
        for member in members.values_mut() {
            if let Value::String(text) = member {
                for secret in &secrets {
                    *text = text.replace(secret.as_str(), "…");
                }
            }
        }
        serde_json::to_vec(&members).ok()
    }

    /// Whatever is secret in it, in each way that it is written.
    fn secrets(&self) -> Vec<String> {
        let mut all = Vec::new();
        for pair in self.body.reveal().split('&') {
            let Some((_, written)) = pair.split_once('=').filter(|(name, _)| SECRET.contains(name)) else {
                continue;
            };
            all.extend([plain(written), written.to_owned()]);
        }
        if let Some(shown) = self.authorization.as_ref().and_then(|shown| shown.reveal().split_once(' ')) {
            all.push(shown.1.to_owned());
            let pair = STANDARD.decode(shown.1).ok().and_then(|pair| String::from_utf8(pair).ok());
            if let Some((_, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                all.extend([plain(secret), secret.to_owned()]);
            }
        }
        all.retain(|secret| secret.len() >= SHORTEST);
        all
    }
}

/// A value as it was before it was written into a form.
fn plain(written: &str) -> String {
    let pair = format!("v={written}");
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
