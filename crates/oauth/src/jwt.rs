//! Compact JWS (RFC 7515) as far as we use it, read as narrowly as RFC 8725 asks.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    json,
    jwks::{Algorithm, KeyError, PublicKey, SigningKey},
};

/// The longest token that is looked at.
///
/// spec: T-37: at most 8 KiB.
pub const MAX_BYTES: usize = 8 * 1024;
/// The same for ID tokens, which may name every group of a person and never come from a caller.
pub const MAX_ID_TOKEN_BYTES: usize = 16 * 1024;

/// What the type of a token may begin with.
const APPLICATION: &str = "application/";
/// Header members that bring a key along or change what the token means.
const KEY_OR_MEANING: [&str; 9] = ["jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc", "cty"];

/// Why a text is not a token that we can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// More than [`MAX_BYTES`], or [`MAX_ID_TOKEN_BYTES`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url with JSON objects in the first two, or a member twice.
    #[error("the token is not a compact JWS")]
    Malformed,
    /// An `alg` that is not on our list.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// A header member that we do not know, such as one that brings its own key.
    #[error("the token's header has a member that is not accepted")]
    Header,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
}

/// A token taken apart but not believed.
pub struct Unverified<'a> {
    /// The algorithm its header names.
    pub algorithm: Algorithm,
    /// Its type, if it names one.
    pub typ: Option<String>,
    /// The name of its key, if it names one.
    pub kid: Option<String>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// What a token says, after its signature was checked.
pub struct Claims(Map<String, Value>);

impl<'a> Unverified<'a> {
    /// Takes a token apart that is ours or that a client of ours made.
    pub fn split(token: &'a str) -> Result<Self, JwtError> {
        // spec: T-37, RFC7515#4.1.11: `jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`, `zip`, `enc` and whatever else: refused.
        Self::parts(token, MAX_BYTES, |_| false)
    }

    /// Takes a token of at most `limit` bytes apart that somebody else's authorization server made.
    pub fn split_foreign(token: &'a str, limit: usize) -> Result<Self, JwtError> {
        // spec: T-37, RFC7515#4: what is not understood is ignored, such as a thumbprint; what brings a key along, or would
        // change how the token is to be read, is refused.
        Self::parts(token, limit, |name| !KEY_OR_MEANING.contains(&name))
    }

    fn parts(token: &'a str, limit: usize, ignored: fn(&str) -> bool) -> Result<Self, JwtError> {
        if token.len() > limit {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        // spec: T-37, RFC7515#4: "The Header Parameter names within the JOSE Header MUST be unique"; RFC7519#4 asks the
        // same of claims. Decoding refuses padding, foreign characters and stray bits, so a token has one spelling.
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtError::Malformed);
        let members = |text: &str| json::object(&part(text)?).ok_or(JwtError::Malformed);
        let (mut header, claims) = (members(header)?, members(claims)?);
        let mut text = |name| match header.remove(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwtError::Malformed),
            None => Ok(None),
        };
        let (alg, typ, kid) = (text("alg")?.ok_or(JwtError::Malformed)?, text("typ")?, text("kid")?);
        if !header.keys().all(|name| ignored(name)) {
            return Err(JwtError::Header);
        }
        // spec: T-37, RFC8725#3.1: never `none`, never a symmetric algorithm.
        let algorithm = Algorithm::parse(&alg).ok_or(JwtError::Algorithm)?;
        Ok(Self { algorithm, typ, kid, claims, signed, signature: part(signature)? })
    }

    /// Whether it is of this type.
    ///
    /// spec: RFC7515#4.1.9: a media type, whose case does not matter, and "RECOMMENDED that "application/" be omitted".
    pub(crate) fn is_a(&self, typ: &str) -> bool {
        let Some(named) = self.typ.as_deref() else { return false };
        let prefixed =
            named.split_at_checked(APPLICATION.len()).filter(|(kind, _)| kind.eq_ignore_ascii_case(APPLICATION));
        prefixed.map_or(named, |(_, rest)| rest).eq_ignore_ascii_case(typ)
    }

    /// Whether it names no type, or only that it is a JWT.
    pub(crate) fn is_plain(&self) -> bool {
        self.typ.is_none() || self.is_a("JWT")
    }

    /// A claim before anything is proven: only to find out whose key to ask.
    pub fn claimed(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// The claims, if `key` made the signature with the algorithm that is the key's own.
    pub fn verify(self, key: &PublicKey) -> Result<Claims, JwtError> {
        // spec: RFC8725#3.1: "each key MUST be used with exactly one algorithm, and this MUST be checked".
        if key.algorithm() != self.algorithm {
            return Err(JwtError::Algorithm);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(JwtError::Signature);
        }
        Ok(Claims(self.claims))
    }
}

impl Claims {
    /// A claim that is a text with something in it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A claim that is a moment: seconds since the epoch, a fraction cut off (RFC 7519 §2, NumericDate).
    pub fn moment(&self, name: &str) -> Option<Timestamp> {
        let number = self.0.get(name)?;
        let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64));
        seconds.map(Timestamp::from_secs)
    }

    /// Whether a claim is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What an introspection endpoint told instead of a token.
    pub(crate) const fn told(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// All of them.
    pub const fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// All of them, to keep.
    pub fn into_members(self) -> Map<String, Value> {
        self.0
    }

    /// The audiences: one text or a list of texts; `None` if it is neither.
    pub fn audiences(&self) -> Option<Vec<&str>> {
        match self.0.get("aud")? {
            Value::String(one) => Some(vec![one]),
            Value::Array(all) => all.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }
}

/// Signs `claims` with ES256 under the header `{"typ":…,"alg":"ES256","kid":…}`.
pub fn sign(key: &SigningKey, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
    #[derive(Serialize)]
    struct Header<'a> {
        typ: &'a str,
        alg: &'a str,
        kid: &'a str,
    }
    let part = |json: Result<Vec<u8>, serde_json::Error>| {
        URL_SAFE_NO_PAD.encode(json.expect("headers and claims have text keys and plain values"))
    };
    let header = Header { typ, alg: Algorithm::Es256.as_str(), kid: key.kid() };
    let mut token = part(serde_json::to_vec(&header));
    token.push('.');
    token.push_str(&part(serde_json::to_vec(claims)));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}
