//! Registering a passkey (WebAuthn §7.1) and proving that one has it (§7.2).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use portcullis_base::Digest;
use serde::Deserialize;
use url::{Host, Url};

use crate::{
    WebauthnError,
    authenticator::{AuthenticatorData, attested},
    client_data::{self, Kind},
    key::PublicKey,
};

/// Browsers leave the padding out; some libraries put it in.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who we are to authenticators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    pub(crate) id: Box<str>,
    origin: Box<str>,
    pub(crate) verification: UserVerification,
}

/// Whether an authenticator has to make sure of its user: by a PIN, a fingerprint, a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserVerification {
    /// It has to.
    Required,
    /// It does if it can; a touch is enough.
    Preferred,
}

/// A passkey that was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its identifier.
    pub id: Vec<u8>,
    /// Its public key, as the authenticator gave it (COSE).
    pub public_key: Vec<u8>,
    /// How often it has signed, if it counts.
    pub counter: u32,
}

/// What the browser answers to a registration: `PublicKeyCredential.toJSON()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationAnswer {
    id: Vec<u8>,
    client_data: Vec<u8>,
    attestation: Vec<u8>,
    /// How the authenticator can be reached, as the browser tells.
    pub transports: Vec<String>,
}

/// What the browser answers when it was asked for a proof: `PublicKeyCredential.toJSON()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionAnswer {
    id: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    user: Option<Vec<u8>>,
}

/// What a proof says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// How often the passkey has signed by now; whoever keeps it writes this down, if it grew still.
    pub counter: u32,
    /// Whether the authenticator made sure of its user.
    pub verified: bool,
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(rename = "rawId")]
    id: String,
    #[serde(rename = "type")]
    kind: String,
    response: RawResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    attestation_object: Option<String>,
    authenticator_data: Option<String>,
    signature: Option<String>,
    user_handle: Option<String>,
    #[serde(default)]
    transports: Vec<String>,
}

/// The longest answer that is read.
const LONGEST: usize = 128 << 10;
/// Ways to reach an authenticator that are kept.
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

impl RelyingParty {
    /// Who the site at `url` is. `None`: there are no passkeys for it, because it is neither reached by `https` nor on
    /// `localhost`, or has an address in the place of a name.
    pub fn of(url: &Url, verification: UserVerification) -> Option<Self> {
        let Host::Domain(name) = url.host()? else { return None };
        let local = name == "localhost" || name.ends_with(".localhost");
        let secure = url.scheme() == "https" || (url.scheme() == "http" && local);
        secure.then(|| Self { id: name.into(), origin: url.origin().ascii_serialization().into(), verification })
    }

    /// The passkey that was made in answer to `challenge`, which is used up by now.
    ///
    /// spec: WEBAUTHN-3#7.1
    pub fn register(&self, challenge: &[u8], answer: &RegistrationAnswer) -> Result<Passkey, WebauthnError> {
        client_data::check(&answer.client_data, Kind::Create, challenge, &self.origin)?;
        let data = attested(&answer.attestation)?;
        let data = AuthenticatorData::read(&data)?;
        self.check(&data)?;
        let credential = data.credential.ok_or(WebauthnError::Unreadable("there is no passkey in it"))?;
        if credential.id != answer.id {
            return Err(WebauthnError::OtherPasskey);
        }
        PublicKey::read(credential.key)?;
        Ok(Passkey { id: answer.id.clone(), public_key: credential.key.into(), counter: data.counter })
    }

    /// Checks the proof that somebody whose handle is `user` has `passkey`, in answer to `challenge`.
    ///
    /// spec: WEBAUTHN-3#7.2; T-82: "WebAuthn with challenge = binding hash"
    pub fn assert(
        &self,
        challenge: &[u8],
        passkey: &Passkey,
        user: &[u8],
        answer: &AssertionAnswer,
    ) -> Result<Asserted, WebauthnError> {
        if answer.id != passkey.id || answer.user.as_ref().is_some_and(|handle| handle != user) {
            return Err(WebauthnError::OtherPasskey);
        }
        client_data::check(&answer.client_data, Kind::Get, challenge, &self.origin)?;
        let data = AuthenticatorData::read(&answer.authenticator_data)?;
        self.check(&data)?;
        let signed = [answer.authenticator_data.as_slice(), Digest::of(&answer.client_data).as_bytes()].concat();
        PublicKey::read(&passkey.public_key)?.verify(&signed, &answer.signature)?;
        // "If authData.signCount is nonzero or credentialRecord.signCount is nonzero": it has to have grown.
        if (data.counter != 0 || passkey.counter != 0) && data.counter <= passkey.counter {
            return Err(WebauthnError::Copied);
        }
        Ok(Asserted { counter: data.counter, verified: data.is_user_verified() })
    }

    fn check(&self, data: &AuthenticatorData<'_>) -> Result<(), WebauthnError> {
        if data.party != Digest::of(self.id.as_bytes()).as_bytes() {
            return Err(WebauthnError::OtherParty);
        }
        if !data.is_user_present() {
            return Err(WebauthnError::NotPresent);
        }
        if self.verification == UserVerification::Required && !data.is_user_verified() {
            return Err(WebauthnError::NotVerified);
        }
        Ok(())
    }
}

impl RegistrationAnswer {
    /// Reads it.
    pub fn parse(json: &str) -> Result<Self, WebauthnError> {
        let (id, response) = answer(json)?;
        let transports = response.transports.into_iter().filter(|way| TRANSPORTS.contains(&way.as_str())).collect();
        Ok(Self {
            id,
            client_data: decode(&response.client_data)?,
            attestation: decode(&response.attestation_object.ok_or(WebauthnError::OtherKind)?)?,
            transports,
        })
    }
}

impl AssertionAnswer {
    /// Reads it.
    pub fn parse(json: &str) -> Result<Self, WebauthnError> {
        let (id, response) = answer(json)?;
        let (data, signature) = response.authenticator_data.zip(response.signature).ok_or(WebauthnError::OtherKind)?;
        let user = response.user_handle.filter(|handle| !handle.is_empty());
        Ok(Self {
            id,
            client_data: decode(&response.client_data)?,
            authenticator_data: decode(&data)?,
            signature: decode(&signature)?,
            user: user.as_deref().map(decode).transpose()?,
        })
    }

    /// Of which passkey it says that it is.
    pub fn passkey(&self) -> &[u8] {
        &self.id
    }
}

fn answer(json: &str) -> Result<(Vec<u8>, RawResponse), WebauthnError> {
    let unreadable = WebauthnError::Unreadable("it is no credential");
    if json.len() > LONGEST {
        return Err(unreadable);
    }
    let raw: RawAnswer = serde_json::from_str(json).map_err(|_| unreadable)?;
    if raw.kind != "public-key" {
        return Err(WebauthnError::OtherKind);
    }
    Ok((decode(&raw.id)?, raw.response))
}

fn decode(text: &str) -> Result<Vec<u8>, WebauthnError> {
    BASE64URL.decode(text).map_err(|_| WebauthnError::Unreadable("a value is not base64url"))
}
