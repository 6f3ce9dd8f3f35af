//! Ed25519 keys of the journal's checkpoints (RFC 8032), and the file in which their public halves travel.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::Digest;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// The private key that signs checkpoints.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: PublicKey,
}

impl Signer {
    /// The key that grows from `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed");
        let key = PublicKey::new(pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"));
        Self { pair, key }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.key
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(message).as_ref())
    }
}

/// A public key and the identifier that checkpoints name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    bytes: [u8; 32],
}

impl PublicKey {
    /// A key from its 32 bytes; its identifier is the beginning of their digest.
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut id = Digest::of(&bytes).to_base64url();
        id.truncate(16);
        Self { id, bytes }
    }

    /// The identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(signature)
            .is_ok_and(|signature| UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, &signature).is_ok())
    }
}

/// The public keys of a journal: a JWK set (RFC 7517, RFC 8037) with the node's name.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys {
    keys: HashMap<String, PublicKey>,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("this is not a journal's key file: {0}")]
pub struct PublicKeysError(String);

#[derive(Serialize, Deserialize)]
struct KeyFile {
    node: String,
    keys: Vec<Jwk>,
}

#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    kid: String,
    x: String,
}

impl PublicKeys {
    /// With one more key.
    pub fn with(mut self, key: PublicKey) -> Self {
        self.keys.insert(key.id.clone(), key);
        self
    }

    /// Whether there is a key of this identifier.
    pub fn contains(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&PublicKey> {
        self.keys.get(id)
    }

    /// Reads a key file.
    pub fn parse(json: &[u8]) -> Result<Self, PublicKeysError> {
        let file: KeyFile = serde_json::from_slice(json).map_err(|error| PublicKeysError(error.to_string()))?;
        let mut keys = Self::default();
        for jwk in file.keys {
            if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
                return Err(PublicKeysError(format!("{} {} is not an Ed25519 key", jwk.kty, jwk.crv)));
            }
            let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).ok().and_then(|bytes| bytes.try_into().ok());
            let key = PublicKey::new(bytes.ok_or_else(|| PublicKeysError("\"x\" is not 32 bytes".into()))?);
            if key.id != jwk.kid {
                return Err(PublicKeysError(format!("the key named {} is {}", jwk.kid, key.id)));
            }
            keys = keys.with(key);
        }
        Ok(keys)
    }

    /// The key file of `node`.
    pub fn to_json(&self, node: &str) -> Vec<u8> {
        let mut keys: Vec<Jwk> = self
            .keys
            .values()
            .map(|key| Jwk {
                kty: "OKP".into(),
                crv: "Ed25519".into(),
                kid: key.id.clone(),
                x: URL_SAFE_NO_PAD.encode(key.bytes),
            })
            .collect();
        keys.sort_by(|a, b| a.kid.cmp(&b.kid));
        let mut json =
            serde_json::to_vec_pretty(&KeyFile { node: node.into(), keys }).expect("plain text is always JSON");
        json.push(b'\n');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_reads_back_and_refuses_a_key_under_another_name() {
        let signer = Signer::from_seed(&[7; 32]);
        let json = PublicKeys::default().with(signer.public().clone()).to_json("n1");
        let keys = PublicKeys::parse(&json).unwrap();
        let key = keys.get(signer.public().id()).unwrap();
        assert!(key.verifies(b"x", &signer.sign(b"x")));
        assert!(!key.verifies(b"y", &signer.sign(b"x")));
        let renamed = String::from_utf8(json).unwrap().replace(signer.public().id(), "AAAAAAAAAAAAAAAA");
        assert!(PublicKeys::parse(renamed.as_bytes()).is_err());
    }
}
