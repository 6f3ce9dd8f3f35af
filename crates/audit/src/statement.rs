//! Statements: JSON documents signed with a journal's key, so that whoever has the public key can check them without us.
//!
//! What is signed is the canonical form of the document (RFC 8785, for documents of texts, whole numbers, lists and objects):
//! pretty-printing it or sending it through another JSON program does not break the signature, changing it does.

use serde_json::{Value, json};

use crate::{PublicKeys, Signer};

/// No checkpoint begins like this, so that neither can be taken for the other.
const DOMAIN: &[u8] = b"portcullis statement\n";

/// Why a statement is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is not a signed statement at all.
    #[error("this is not a signed statement: {0}")]
    Form(String),
    /// It names a key that is not among those given.
    #[error(
        "it was signed with the key {0}, which is not among the public keys at hand: give the key file of that node"
    )]
    UnknownKey(String),
    /// The signature is not of this statement.
    #[error("the signature does not hold: the statement was changed, or never signed")]
    Changed,
}

impl Signer {
    /// Signs `statement`; the text to keep.
    pub fn state(&self, statement: &Value) -> String {
        let signature = self.sign(&message(statement));
        let signed = json!({ "statement": statement, "key": self.public().id(), "signature": signature });
        serde_json::to_string_pretty(&signed).expect("values are always JSON")
    }
}

impl PublicKeys {
    /// The statement in `text`, if one of these keys signed it.
    pub fn believe(&self, text: &[u8]) -> Result<Value, StatementError> {
        let form = |why: &str| StatementError::Form(why.to_owned());
        let mut signed: Value =
            serde_json::from_slice(text).map_err(|error| StatementError::Form(error.to_string()))?;
        let id = signed["key"].as_str().ok_or_else(|| form("\"key\" is missing"))?.to_owned();
        let signature = signed["signature"].as_str().ok_or_else(|| form("\"signature\" is missing"))?.to_owned();
        let statement = signed["statement"].take();
        if !statement.is_object() {
            return Err(form("\"statement\" is missing"));
        }
        let key = self.get(&id).ok_or(StatementError::UnknownKey(id))?;
        if key.verifies(&message(&statement), &signature) { Ok(statement) } else { Err(StatementError::Changed) }
    }
}

/// spec: RFC8785#3.2: members in the order of their names, nothing between the tokens.
fn message(statement: &Value) -> Vec<u8> {
    let canonical = serde_json_canonicalizer::to_vec(statement).expect("values are always JSON");
    [DOMAIN, &canonical].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(signer: &Signer) -> PublicKeys {
        PublicKeys::default().with(signer.public().clone())
    }

    // spec: RFC8785#3.2
    #[test]
    fn statement_holds_however_it_is_laid_out_and_not_when_it_is_changed() {
        let signer = Signer::from_seed(&[7; 32]);
        let text = signer.state(&json!({ "b": [1, "ü\n", { "z": null, "a": -5 }], "a": "x" }));
        let statement = keys(&signer).believe(text.as_bytes()).unwrap();
        assert_eq!(statement["b"][1], "ü\n");

        let other_way = format!(
            r#"{{"signature":{},"key":"{}","statement":{{"a":"\u0078","b":[1,"\u00fc\u000a",{{"a":-5,"z":null}}]}}}}"#,
            serde_json::from_str::<Value>(&text).unwrap()["signature"],
            signer.public().id()
        );
        assert_eq!(keys(&signer).believe(other_way.as_bytes()).unwrap(), statement);

        let changed = other_way.replace("-5", "-6");
        assert_eq!(keys(&signer).believe(changed.as_bytes()), Err(StatementError::Changed));
        let stranger = Signer::from_seed(&[8; 32]);
        assert!(matches!(keys(&stranger).believe(text.as_bytes()), Err(StatementError::UnknownKey(_))));
        for bad in ["", "{}", "[]", r#"{"key":"k","signature":"s"}"#] {
            assert!(matches!(keys(&signer).believe(bad.as_bytes()), Err(StatementError::Form(_))), "{bad}");
        }
    }
}
