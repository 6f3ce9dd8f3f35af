//! Public keys of authenticators: COSE (RFC 9052, RFC 9053), as far as it is needed.

use cbor4ii::core::Value;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use crate::{WebauthnError, authenticator::value};

/// ECDSA with SHA-256 on P-256.
pub(crate) const ES256: i128 = -7;
/// Ed25519.
pub(crate) const EDDSA: i128 = -8;
/// RSASSA-PKCS1-v1_5 with SHA-256.
pub(crate) const RS256: i128 = -257;

/// Why a public key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no key.
    #[error("the key of the passkey cannot be read")]
    Unreadable,
    /// It is for an algorithm that we do not ask for.
    #[error("the passkey uses an algorithm that is not supported")]
    Algorithm,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// The point, uncompressed.
    Es256([u8; 65]),
    Ed25519([u8; 32]),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a COSE key.
    pub(crate) fn read(cose: &[u8]) -> Result<Self, WebauthnError> {
        let (Value::Map(members), []) = value(cose)? else { return Err(KeyError::Unreadable.into()) };
        // What stands twice could be read in two ways.
        let member = |label: i128| {
            let mut found = members.iter().filter(|(name, _)| *name == Value::Integer(label)).map(|(_, value)| value);
            found.next().filter(|_| found.next().is_none())
        };
        let number = |label| if let Some(Value::Integer(number)) = member(label) { Some(*number) } else { None };
        let bytes = |label| if let Some(Value::Bytes(bytes)) = member(label) { Some(bytes.as_slice()) } else { None };
        let coordinate = |label| bytes(label).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let (kind, algorithm, curve) = (number(1), number(3).ok_or(KeyError::Unreadable)?, number(-1));
        let key = match (kind, algorithm, curve) {
            (Some(2), ES256, Some(1)) => coordinate(-2).zip(coordinate(-3)).map(|(x, y)| {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&x);
                point[33..].copy_from_slice(&y);
                Self::Es256(point)
            }),
            (Some(1), EDDSA, Some(6)) => coordinate(-2).map(Self::Ed25519),
            (Some(3), RS256, _) => bytes(-1)
                .filter(|n| (256..=1024).contains(&n.len()))
                .zip(bytes(-2).filter(|e| (1..=8).contains(&e.len())))
                .map(|(n, e)| Self::Rs256 { n: n.into(), e: e.into() }),
            (_, ES256 | EDDSA | RS256, _) => None,
            _ => return Err(KeyError::Algorithm.into()),
        };
        key.ok_or_else(|| KeyError::Unreadable.into())
    }

    /// Whether `signature` is of this key over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), WebauthnError> {
        let verified = match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            Self::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.map_err(|_| WebauthnError::Signature)
    }
}
