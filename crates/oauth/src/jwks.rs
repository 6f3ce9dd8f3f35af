//! Keys: ours to sign with, in overlapping turns, and those of others to verify with (RFC 7517, RFC 7518, RFC 8037).

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{Digest, Timestamp};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaKeyPair,
        KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::json;

/// The largest JWK set of a client that is read, the largest of an identity provider, and the most keys one may have.
///
/// spec: T-38.
pub const MAX_SET_BYTES: usize = 64 * 1024;
/// See [`MAX_SET_BYTES`].
pub const MAX_PROVIDER_SET_BYTES: usize = 256 * 1024;
const MAX_SET_KEYS: usize = 64;

/// The signature algorithms we know: all asymmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
}

/// Why a key or a set of keys is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a JSON Web Key, or not a set of them.
    #[error("not a JSON Web Key Set")]
    Malformed,
    /// Too large, or too many.
    #[error("the key set is too large")]
    TooLarge,
    /// It would let its reader sign.
    #[error("the key set contains private or symmetric key material")]
    Private,
    /// A key type, curve or use that we do not take.
    #[error("the key is of an unsupported kind")]
    Unsupported,
    /// The stored key is damaged.
    #[error("the signing key is damaged")]
    Damaged,
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    NoRandomness,
}

/// A key to verify with, parsed once.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    issuer: Option<String>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    /// Uncompressed point.
    P256([u8; 65]),
    /// Uncompressed point.
    P384([u8; 97]),
    Ed25519([u8; 32]),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

/// Keys somebody published: a client's, or those of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys(Vec<PublicKey>);

/// One of our keys to sign access tokens with, parsed once.
pub struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
    public: PublicKey,
    random: SystemRandom,
}

/// One of our keys and its turn.
#[derive(Debug)]
pub struct ScheduledKey {
    /// The key.
    pub key: SigningKey,
    /// From when on it signs; it is published and verifies before that.
    pub activates_at: Timestamp,
    /// From when on nothing it signed is good.
    pub retires_at: Timestamp,
}

/// All of our keys. One signs, those before it verify until they retire, the next is published ahead of its turn.
#[derive(Debug, Default)]
pub struct KeySet(Vec<ScheduledKey>);

/// The document at `jwks_uri`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeySetDocument {
    /// The public keys.
    pub keys: Vec<Value>,
}

impl Algorithm {
    /// All that we can verify.
    pub const ALL: [Self; 7] =
        [Self::Es256, Self::EdDsa, Self::Rs256, Self::Es384, Self::Rs384, Self::Rs512, Self::Ps256];
    /// What we take from clients, in the order in which metadata lists them.
    pub const CLIENTS: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The registered value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
            Self::Es384 => "ES384",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
        }
    }

    /// Reads [`Algorithm::as_str`] back, exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

impl PublicKey {
    /// Reads a JSON Web Key that is meant for verifying signatures.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        // spec: AS-107, T-24: no private and no symmetric material.
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].into_iter().any(|name| jwk.contains_key(name)) {
            return Err(KeyError::Private);
        }
        let bytes = |name| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(KeyError::Malformed);
        let material = match (text("kty").ok_or(KeyError::Malformed)?, text("crv")) {
            ("EC", Some("P-256")) => {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&fixed::<32>(bytes("x")?)?);
                point[33..].copy_from_slice(&fixed::<32>(bytes("y")?)?);
                Material::P256(point)
            }
            ("EC", Some("P-384")) => {
                let mut point = [4; 97];
                point[1..49].copy_from_slice(&fixed::<48>(bytes("x")?)?);
                point[49..].copy_from_slice(&fixed::<48>(bytes("y")?)?);
                Material::P384(point)
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(fixed(bytes("x")?)?),
            ("RSA", _) => {
                let strip =
                    |bytes: Vec<u8>| bytes.iter().position(|b| *b != 0).map_or(Vec::new(), |at| bytes[at..].to_vec());
                let (n, e) = (strip(bytes("n")?), strip(bytes("e")?));
                // spec: RFC7518#3.3: "A key of size 2048 bits or larger MUST be used with these algorithms."
                if n.len() < 256 || n.len() > 1024 || e.is_empty() {
                    return Err(KeyError::Unsupported);
                }
                Material::Rsa { n, e }
            }
            ("oct", _) => return Err(KeyError::Private),
            _ => return Err(KeyError::Unsupported),
        };
        // spec: RFC7517#4.2, RFC7517#4.4: a key that says what it is for is for nothing else.
        if text("use").is_some_and(|usage| usage != "sig") {
            return Err(KeyError::Unsupported);
        }
        // spec: RFC8725#3.1: one key, one algorithm. A key that names none has the usual one of its kind.
        let algorithm = match text("alg") {
            None => material.algorithms()[0],
            Some(alg) => {
                let named = material.algorithms().iter().find(|algorithm| algorithm.as_str() == alg);
                *named.ok_or(KeyError::Unsupported)?
            }
        };
        let (kid, issuer) = (text("kid").map(str::to_owned), text("issuer").map(str::to_owned));
        Ok(Self { kid, algorithm, issuer, material })
    }

    /// The one algorithm this key is used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whose tokens it signs, where a set that several issuers share says so.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Its name, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether `signature` over `message` was made with the other half of this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            Material::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature).is_ok(),
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(rsa_parameters(self.algorithm), message, signature).is_ok()
            }
        }
    }

    /// The key as a JSON Web Key.
    pub fn to_jwk(&self) -> Value {
        let mut jwk = self.required_members();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().as_str().into();
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        jwk
    }

    /// The SHA-256 thumbprint of the key.
    ///
    /// spec: RFC7638#3: the required members, in lexicographic order, without whitespace.
    pub fn thumbprint(&self) -> Digest {
        Digest::of(self.required_members().to_string().as_bytes())
    }

    fn required_members(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.material {
            Material::P256(point) => {
                json!({ "crv": "P-256", "kty": "EC", "x": b64(&point[1..33]), "y": b64(&point[33..]) })
            }
            Material::P384(point) => {
                json!({ "crv": "P-384", "kty": "EC", "x": b64(&point[1..49]), "y": b64(&point[49..]) })
            }
            Material::Ed25519(point) => json!({ "crv": "Ed25519", "kty": "OKP", "x": b64(point) }),
            Material::Rsa { n, e } => json!({ "e": b64(e), "kty": "RSA", "n": b64(n) }),
        }
    }
}

impl Material {
    /// The algorithms that such a key can be for, the usual one first.
    const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::P256(_) => &[Algorithm::Es256],
            Self::P384(_) => &[Algorithm::Es384],
            Self::Ed25519(_) => &[Algorithm::EdDsa],
            Self::Rsa { .. } => &[Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256],
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> &'static RsaParameters {
    match algorithm {
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    }
}

fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Malformed)
}

impl PublicKeys {
    /// Reads a client's fetched JWK set.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::parse_within(bytes, MAX_SET_BYTES)
    }

    /// Reads the fetched JWK set of an identity provider, which may bring certificates along.
    pub fn parse_provider(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::parse_within(bytes, MAX_PROVIDER_SET_BYTES)
    }

    fn parse_within(bytes: &[u8], limit: usize) -> Result<Self, KeyError> {
        if bytes.len() > limit {
            return Err(KeyError::TooLarge);
        }
        Self::from_members(&json::object(bytes).ok_or(KeyError::Malformed)?)
    }

    /// Reads a JWK set that is part of a checked document.
    pub fn from_value(set: &Value) -> Result<Self, KeyError> {
        Self::from_members(set.as_object().ok_or(KeyError::Malformed)?)
    }

    fn from_members(set: &Map<String, Value>) -> Result<Self, KeyError> {
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeyError::Malformed)?;
        if keys.len() > MAX_SET_KEYS {
            return Err(KeyError::TooLarge);
        }
        let mut usable = Vec::new();
        for key in keys {
            match PublicKey::from_jwk(key.as_object().ok_or(KeyError::Malformed)?) {
                Ok(key) => usable.push(key),
                // spec: RFC7517#5: "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" (key type) values
                // that are not understood by them".
                Err(KeyError::Unsupported) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(usable))
    }

    /// Whether there is nothing to verify with.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key of that name is among them.
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid() == Some(kid))
    }

    /// The algorithms that the keys are for.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(|algorithm| self.0.iter().any(|key| key.algorithm() == *algorithm))
    }

    /// The key of that exact name and algorithm; without a name, the only key of that algorithm.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting =
            self.0.iter().filter(|key| key.algorithm() == algorithm && (kid.is_none() || key.kid() == kid));
        let first = fitting.next();
        first.filter(|_| fitting.next().is_none())
    }
}

impl SigningKey {
    /// A new ES256 key as PKCS#8, to be sealed and stored.
    pub fn generate(random: &SystemRandom) -> Result<Vec<u8>, KeyError> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random)
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| KeyError::NoRandomness)
    }

    /// Parses a stored key, once. Its name is its thumbprint, so it is the same on every node.
    pub fn from_pkcs8(pkcs8: &[u8], random: SystemRandom) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|_| KeyError::Damaged)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Damaged)?;
        let material = Material::P256(point);
        let mut public = PublicKey { kid: None, algorithm: Algorithm::Es256, issuer: None, material };
        let kid = public.thumbprint().to_base64url();
        public.kid = Some(kid.clone());
        Ok(Self { kid, pair, public, random })
    }

    /// The same key under a name that somebody else gave it.
    #[must_use]
    pub fn named(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self.public.kid = Some(kid.to_owned());
        self
    }

    /// Its name in token headers and in the key set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The half that others may have.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs with ES256; the signature is `r || s` (RFC 7518 §3.4).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&self.random, message).map_err(|_| KeyError::NoRandomness)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl KeySet {
    /// Our keys in any order.
    pub fn new(mut keys: Vec<ScheduledKey>) -> Self {
        keys.sort_by(|a, b| (a.activates_at, a.key.kid()).cmp(&(b.activates_at, b.key.kid())));
        Self(keys)
    }

    /// The key that signs now: of those whose turn has come, the last.
    pub fn current(&self, now: Timestamp) -> Option<&SigningKey> {
        self.0.iter().rev().find(|key| key.activates_at <= now && now < key.retires_at).map(|key| &key.key)
    }

    /// The key of that exact name, if it has not retired.
    ///
    /// spec: T-37, AS-74: exact `kid`, only in our own set. A key whose turn has not come here verifies already: another
    /// node's clock may be ahead.
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.key.kid == kid && now < key.retires_at).map(|key| &key.key.public)
    }

    /// What `jwks_uri` answers: every key that verifies, the next one included.
    ///
    /// spec: AS-74: rotation with overlap.
    pub fn document(&self, now: Timestamp) -> KeySetDocument {
        let published = self.0.iter().filter(|key| now < key.retires_at);
        KeySetDocument { keys: published.map(|key| key.key.public.to_jwk()).collect() }
    }

    /// Whether a successor must be made now, so that it is published for `ahead` before the last key has signed for
    /// `turn`.
    pub fn needs_successor(&self, now: Timestamp, turn: Duration, ahead: Duration) -> bool {
        self.0.last().is_none_or(|last| now >= last.retires_at || now.plus(ahead) >= last.activates_at.plus(turn))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
