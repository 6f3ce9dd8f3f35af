//! What an authenticator says: authenticator data and attestation objects (WebAuthn §6.1, §6.5.4).

use cbor4ii::core::{
    Value,
    dec::{Decode, Read},
    utils::SliceReader,
};

use crate::WebauthnError;

/// A user touched it.
const USER_PRESENT: u8 = 0x01;
/// It made sure of who that was.
const USER_VERIFIED: u8 = 0x04;
/// The key may be in more places than one.
const BACKUP_ELIGIBLE: u8 = 0x08;
/// It is.
const BACKED_UP: u8 = 0x10;
/// A credential follows.
const ATTESTED: u8 = 0x40;
/// Extensions follow.
const EXTENSIONS: u8 = 0x80;

/// The longest identifier of a credential (§5.8.3).
const LONGEST_ID: usize = 1023;

/// Authenticator data, read.
pub(crate) struct AuthenticatorData<'a> {
    pub(crate) party: &'a [u8],
    flags: u8,
    pub(crate) counter: u32,
    pub(crate) credential: Option<Credential<'a>>,
}

/// A credential that was made.
pub(crate) struct Credential<'a> {
    pub(crate) id: &'a [u8],
    /// COSE, as it stands.
    pub(crate) key: &'a [u8],
}

const fn unreadable(what: &'static str) -> WebauthnError {
    WebauthnError::Unreadable(what)
}

impl<'a> AuthenticatorData<'a> {
    /// Reads it; nothing may be left over.
    ///
    /// spec: WEBAUTHN-3#6.1
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let short = || unreadable("the authenticator data is too short");
        let (party, rest) = bytes.split_at_checked(32).ok_or_else(short)?;
        let (&[flags, a, b, c, d], mut rest) = rest.split_first_chunk::<5>().ok_or_else(short)?;
        let mut credential = None;
        if flags & ATTESTED != 0 {
            let (_make, after) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or_else(short)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if length == 0 || length > LONGEST_ID {
                return Err(unreadable("the identifier of the passkey is too long"));
            }
            let (id, after) = after.split_at_checked(length).ok_or_else(short)?;
            let (_, left) = value(after)?;
            credential = Some(Credential { id, key: &after[..after.len() - left.len()] });
            rest = left;
        }
        if flags & EXTENSIONS != 0 {
            let (extensions, left) = value(rest)?;
            if !matches!(extensions, Value::Map(_)) {
                return Err(unreadable("extensions are a map"));
            }
            rest = left;
        }
        if !rest.is_empty() {
            return Err(unreadable("something follows the authenticator data"));
        }
        // "If the BE bit is not set, verify that the BS bit is not set."
        if flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0 {
            return Err(unreadable("a key that cannot be backed up is not backed up"));
        }
        Ok(Self { party, flags, counter: u32::from_be_bytes([a, b, c, d]), credential })
    }

    pub(crate) fn is_user_present(&self) -> bool {
        self.flags & USER_PRESENT != 0
    }

    pub(crate) fn is_user_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }
}

/// The authenticator data in an attestation object. The statement beside it is not looked at.
pub(crate) fn attested(object: &[u8]) -> Result<Vec<u8>, WebauthnError> {
    let (Value::Map(members), []) = value(object)? else {
        return Err(unreadable("an attestation object is a map"));
    };
    let mut data = members.into_iter().filter_map(|member| match member {
        (Value::Text(name), Value::Bytes(bytes)) if name == "authData" => Some(bytes),
        _ => None,
    });
    match (data.next(), data.next()) {
        (Some(data), None) => Ok(data),
        _ => Err(unreadable("an attestation object has authenticator data, once")),
    }
}

/// One CBOR value, and what follows it.
pub(crate) fn value(bytes: &[u8]) -> Result<(Value, &[u8]), WebauthnError> {
    let mut reader = SliceReader::new(bytes);
    let value = Value::decode(&mut reader).map_err(|_| unreadable("this is no CBOR"))?;
    let left = reader.fill(bytes.len()).map_or(0, |left| left.as_ref().len());
    Ok((value, &bytes[bytes.len() - left..]))
}
