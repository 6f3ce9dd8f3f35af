//! Ceremonies with the test vectors of the specification, and with an authenticator that lies.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::Digest;
use portcullis_webauthn::{
    Asserted, AssertionAnswer, KeyError, Known, Passkey, RegistrationAnswer, RelyingParty, User, UserVerification,
    WebauthnError,
};
use proptest::prelude::*;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

const CHALLENGE: &[u8] = &[7; 32];
const HANDLE: &[u8] = b"usr_ada";

fn party(url: &str, verification: UserVerification) -> Option<RelyingParty> {
    RelyingParty::of(&url.parse().unwrap(), verification)
}

fn example() -> RelyingParty {
    party("https://example.org/login", UserVerification::Preferred).unwrap()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn registration(id: &[u8], client_data: &[u8], object: &[u8]) -> RegistrationAnswer {
    let json = json!({
        "id": text(id), "rawId": text(id), "type": "public-key", "clientExtensionResults": {},
        "response": {
            "clientDataJSON": text(client_data), "attestationObject": text(object),
            "transports": ["internal", "telepathy", "usb"],
        },
    });
    RegistrationAnswer::parse(&json.to_string()).unwrap()
}

fn assertion(id: &[u8], client_data: &[u8], data: &[u8], signature: &[u8], user: Option<&[u8]>) -> AssertionAnswer {
    let json = json!({
        "id": text(id), "rawId": text(id), "type": "public-key", "clientExtensionResults": {},
        "response": {
            "clientDataJSON": text(client_data), "authenticatorData": text(data), "signature": text(signature),
            "userHandle": user.map(text),
        },
    });
    AssertionAnswer::parse(&json.to_string()).unwrap()
}

type Vector = BTreeMap<&'static str, Vec<u8>>;

fn vectors() -> Vec<(&'static str, Vector)> {
    let mut all: Vec<(&str, Vector)> = Vec::new();
    for line in include_str!("w3c.txt").lines() {
        if let Some(name) = line.strip_prefix('[') {
            all.push((name.trim_end_matches(']'), BTreeMap::new()));
        } else if let Some((name, hex)) = line.split_once(' ').filter(|(name, _)| name.contains('.') && *name != "#") {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes = (0..hex.len()).step_by(2).map(byte).collect();
            if let Some((_, vector)) = all.last_mut() {
                vector.insert(name, bytes);
            }
        }
    }
    all
}

/// The identifier in an attestation object: what a browser has in `rawId`.
fn id_in(object: &[u8]) -> Vec<u8> {
    let party = Digest::of(b"example.org");
    let at = object.windows(32).position(|window| window == party.as_bytes()).unwrap() + 53;
    let length = usize::from(u16::from_be_bytes([object[at], object[at + 1]]));
    object[at + 2..at + 2 + length].to_vec()
}

fn play(vector: &Vector, party: &RelyingParty) -> Result<Asserted, WebauthnError> {
    let of = |name: &str| vector[name].as_slice();
    let id = id_in(of("create.attestationObject"));
    let made = registration(&id, of("create.clientDataJSON"), of("create.attestationObject"));
    let passkey = party.register(of("create.challenge"), &made)?;
    let answer =
        assertion(&id, of("get.clientDataJSON"), of("get.authenticatorData"), of("get.signature"), Some(HANDLE));
    party.assert(of("get.challenge"), &passkey, HANDLE, &answer)
}

/// spec: WEBAUTHN-3#6.1, WEBAUTHN-3#7.1, WEBAUTHN-3#7.2
#[test]
fn test_vectors_of_the_specification_are_taken_or_refused_for_what_they_are() {
    let all = vectors();
    assert_eq!(all.len(), 13);
    for (name, vector) in all {
        let expected = match name {
            // In a frame of somebody else.
            "none-es256-crossOrigin" | "none-es256-topOrigin" => Err(WebauthnError::OtherOrigin),
            "packed-es384" => Err(WebauthnError::Key(KeyError::Algorithm)),
            _ => Ok(()),
        };
        let played = play(&vector, &example());
        assert_eq!(played.map(drop), expected, "{name}");
        if expected.is_ok() {
            // Each byte of a signature counts, and each challenge is for one ceremony.
            for place in ["get.signature", "get.authenticatorData", "get.challenge", "create.challenge"] {
                let mut other = vector.clone();
                *other.get_mut(place).unwrap().last_mut().unwrap() ^= 1;
                assert!(play(&other, &example()).is_err(), "{name} {place}");
            }
        }
    }
}

/// Recorded with the virtual authenticator of Chromium 156, on a page that used the options that we make; the challenges
/// were 32 times 7 and 32 times 9.
#[test]
fn answers_of_a_browser_are_taken() {
    let recorded: Value = serde_json::from_str(include_str!("chromium.json")).unwrap();
    let localhost = party(&format!("http://localhost:{}/x", recorded["port"]), UserVerification::Required).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    assert_eq!(cases.iter().map(|case| &case["alg"]).collect::<Vec<_>>(), [-7, -8, -257]);
    for case in cases {
        let made = RegistrationAnswer::parse(&case["made"].to_string()).unwrap();
        let passkey = localhost.register(&[7; 32], &made).unwrap();
        let got = AssertionAnswer::parse(&case["got"].to_string()).unwrap();
        assert_eq!((got.passkey(), &*made.transports), (&*passkey.id, &["internal".to_owned()][..]));
        let asserted = localhost.assert(&[9; 32], &passkey, HANDLE, &got).unwrap();
        assert!(asserted.verified && asserted.counter > passkey.counter);
        let again = Passkey { counter: asserted.counter, ..passkey.clone() };
        assert_eq!(localhost.assert(&[9; 32], &again, HANDLE, &got), Err(WebauthnError::Copied));
        assert_eq!(localhost.assert(&[7; 32], &passkey, HANDLE, &got), Err(WebauthnError::OtherChallenge));
        assert_eq!(localhost.assert(&[9; 32], &passkey, b"usr_bob", &got), Err(WebauthnError::OtherPasskey));
    }
}

#[test]
fn name_of_the_site_is_a_name_that_browsers_take() {
    for (url, id) in [
        ("https://gateway.example/", Some("gateway.example")),
        ("https://gateway.example:8443/x", Some("gateway.example")),
        ("http://localhost:7878", Some("localhost")),
        ("http://a.localhost:7878", Some("a.localhost")),
        ("http://gateway.example", None),
        ("https://192.0.2.1", None),
        ("http://127.0.0.1:7878", None),
        ("https://[::1]", None),
    ] {
        let found = party(url, UserVerification::Required);
        let options = found.as_ref().map(|party| party.request_options(CHALLENGE, &[]));
        assert_eq!(options.as_ref().map(|options| options["rpId"].as_str().unwrap()), id, "{url}");
    }
}

/// An authenticator, and a browser, in which everything can be changed.
struct Lying {
    kind: &'static str,
    challenge: Vec<u8>,
    origin: &'static str,
    more: Value,
    party: &'static str,
    flags: u8,
    counter: u32,
    id: Vec<u8>,
    tail: Vec<u8>,
}

impl Lying {
    /// It does not.
    fn never() -> Self {
        Self {
            kind: "webauthn.get",
            challenge: CHALLENGE.into(),
            origin: "https://example.org",
            more: json!({}),
            party: "example.org",
            flags: 0x05,
            counter: 0,
            id: b"passkey".to_vec(),
            tail: Vec::new(),
        }
    }

    fn making() -> Self {
        Self { kind: "webauthn.create", flags: 0x45, ..Self::never() }
    }

    fn client_data(&self) -> Vec<u8> {
        let mut data = json!({"type": self.kind, "challenge": text(&self.challenge), "origin": self.origin});
        for (name, value) in self.more.as_object().unwrap() {
            data[name] = value.clone();
        }
        data.to_string().into_bytes()
    }

    fn data(&self, key: Option<&[u8]>) -> Vec<u8> {
        let mut data = Digest::of(self.party.as_bytes()).as_bytes().to_vec();
        data.push(self.flags);
        data.extend(self.counter.to_be_bytes());
        if let Some(key) = key {
            data.extend([0; 16]);
            data.extend((self.id.len() as u16).to_be_bytes());
            data.extend(&self.id);
            data.extend(key);
        }
        data.extend(&self.tail);
        data
    }

    fn register(&self, key: &[u8]) -> Result<Passkey, WebauthnError> {
        self.register_as(b"passkey", key)
    }

    fn register_as(&self, id: &[u8], key: &[u8]) -> Result<Passkey, WebauthnError> {
        let data = self.data(Some(key));
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x59");
        object.extend((data.len() as u16).to_be_bytes());
        object.extend(data);
        strict().register(CHALLENGE, &registration(id, &self.client_data(), &object))
    }

    fn assert(&self, passkey: &Passkey, signs: &dyn Fn(&[u8]) -> Vec<u8>) -> Result<Asserted, WebauthnError> {
        let (client_data, data) = (self.client_data(), self.data(None));
        let signature = signs(&[&data, &Digest::of(&client_data).as_bytes()[..]].concat());
        let answer = assertion(&self.id, &client_data, &data, &signature, Some(HANDLE));
        strict().assert(CHALLENGE, passkey, HANDLE, &answer)
    }
}

fn strict() -> RelyingParty {
    party("https://example.org", UserVerification::Required).unwrap()
}

fn ed25519() -> (Ed25519KeyPair, Vec<u8>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
    let mut cose = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
    cose.extend(pair.public_key().as_ref());
    (pair, cose)
}

#[test]
fn made_passkeys_prove_what_they_sign_and_nothing_else() {
    let (pair, cose) = ed25519();
    let signs = |message: &[u8]| pair.sign(message).as_ref().to_vec();
    let passkey = Lying { counter: 4, ..Lying::making() }.register(&cose).unwrap();
    assert_eq!(passkey, Passkey { id: b"passkey".to_vec(), public_key: cose.clone(), counter: 4 });
    let proves = |lying: Lying| lying.assert(&passkey, &signs);
    let good = || Lying { counter: 5, ..Lying::never() };
    assert_eq!(proves(good()), Ok(Asserted { counter: 5, verified: true }));
    for (lying, why) in [
        (Lying { kind: "webauthn.create", ..good() }, WebauthnError::OtherKind),
        (Lying { kind: "payment.get", ..good() }, WebauthnError::OtherKind),
        (Lying { challenge: vec![8; 32], ..good() }, WebauthnError::OtherChallenge),
        (Lying { challenge: vec![7; 31], ..good() }, WebauthnError::OtherChallenge),
        (Lying { origin: "https://example.org.evil.example", ..good() }, WebauthnError::OtherOrigin),
        (Lying { origin: "https://example.org:444", ..good() }, WebauthnError::OtherOrigin),
        (Lying { origin: "http://example.org", ..good() }, WebauthnError::OtherOrigin),
        (Lying { more: json!({"crossOrigin": true}), ..good() }, WebauthnError::OtherOrigin),
        (Lying { more: json!({"topOrigin": "https://evil.example"}), ..good() }, WebauthnError::OtherOrigin),
        (Lying { party: "example.com", ..good() }, WebauthnError::OtherParty),
        (Lying { flags: 0x04, ..good() }, WebauthnError::NotPresent),
        (Lying { flags: 0x01, ..good() }, WebauthnError::NotVerified),
        (Lying { id: b"another".to_vec(), ..good() }, WebauthnError::OtherPasskey),
        (Lying { counter: 4, ..good() }, WebauthnError::Copied),
        (Lying { counter: 0, ..good() }, WebauthnError::Copied),
        (Lying { flags: 0x15, ..good() }, WebauthnError::Unreadable("a key that cannot be backed up is not backed up")),
        (Lying { tail: vec![0], ..good() }, WebauthnError::Unreadable("something follows the authenticator data")),
        (Lying { flags: 0x85, tail: vec![0], ..good() }, WebauthnError::Unreadable("extensions are a map")),
    ] {
        assert_eq!(proves(lying), Err(why));
    }
    assert!(proves(Lying { flags: 0x85, tail: vec![0xa0], ..good() }).is_ok(), "extensions may be there");
    assert!(proves(Lying { flags: 0x1d, ..good() }).is_ok(), "and so may copies that its owner made");
    // A key that never counts stays at nothing.
    let still = Lying::making().register(&cose).unwrap();
    assert_eq!(Lying::never().assert(&still, &signs), Ok(Asserted { counter: 0, verified: true }));
    let other = Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap();
    let forged = Lying::never().assert(&still, &|message| other.sign(message).as_ref().to_vec());
    assert_eq!(forged, Err(WebauthnError::Signature));
    // The authenticator knows whose passkey it is.
    let (lying, data) = (Lying::never(), Lying::never().data(None));
    let signature = signs(&[&data, &Digest::of(&lying.client_data()).as_bytes()[..]].concat());
    for (user, result) in [(None, true), (Some(&b""[..]), true), (Some(HANDLE), true), (Some(b"usr_bob"), false)] {
        let answer = assertion(&lying.id, &lying.client_data(), &data, &signature, user);
        assert_eq!(strict().assert(CHALLENGE, &still, HANDLE, &answer).is_ok(), result, "{user:?}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may draw its keys from the system")]
fn p256_signatures_of_an_own_key_are_taken() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let mut cose = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
    cose.extend(&point[1..33]);
    cose.extend([0x22, 0x58, 0x20]);
    cose.extend(&point[33..]);
    let passkey = Lying::making().register(&cose).unwrap();
    let signs = |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
    assert!(Lying::never().assert(&passkey, &signs).is_ok());
}

#[test]
fn registrations_that_are_none_are_refused() {
    let (_, cose) = ed25519();
    for (lying, why) in [
        (Lying { kind: "webauthn.get", ..Lying::making() }, WebauthnError::OtherKind),
        (Lying { challenge: vec![8; 32], ..Lying::making() }, WebauthnError::OtherChallenge),
        (Lying { origin: "https://evil.example", ..Lying::making() }, WebauthnError::OtherOrigin),
        (Lying { party: "evil.example", ..Lying::making() }, WebauthnError::OtherParty),
        (Lying { flags: 0x44, ..Lying::making() }, WebauthnError::NotPresent),
        (Lying { flags: 0x41, ..Lying::making() }, WebauthnError::NotVerified),
        (
            Lying { flags: 0x05, ..Lying::making() },
            WebauthnError::Unreadable("something follows the authenticator data"),
        ),
        (Lying { id: b"another".to_vec(), ..Lying::making() }, WebauthnError::OtherPasskey),
        (
            Lying { id: Vec::new(), ..Lying::making() },
            WebauthnError::Unreadable("the identifier of the passkey is too long"),
        ),
    ] {
        assert_eq!(lying.register(&cose), Err(why));
    }
    let long = Lying { id: vec![1; 1024], ..Lying::making() };
    assert!(matches!(long.register_as(&long.id, &cose), Err(WebauthnError::Unreadable(_))));
    let just = Lying { id: vec![1; 1023], ..Lying::making() };
    assert!(just.register_as(&just.id, &cose).is_ok());

    let mut twice = cose.clone();
    twice[0] = 0xa5;
    twice.extend([0x03, 0x27]);
    let mut short = cose.clone();
    short[9] = 0x1f;
    short.pop();
    let mut kind = cose.clone();
    kind[2] = 0x02;
    for (key, why) in [(twice, KeyError::Unreadable), (short, KeyError::Unreadable), (kind, KeyError::Unreadable)] {
        assert_eq!(Lying::making().register(&key), Err(why.into()));
    }
    assert!(Lying::making().register(b"\xa0").is_err());
    for json in ["", "{}", "[]", "{\"rawId\":\"AA\",\"type\":\"password\",\"response\":{\"clientDataJSON\":\"\"}}"] {
        assert!(RegistrationAnswer::parse(json).is_err() && AssertionAnswer::parse(json).is_err(), "{json}");
    }
    let long = |length: usize| {
        json!({"rawId": "", "type": "public-key", "response": {
            "clientDataJSON": "", "attestationObject": "A".repeat(length),
        }})
    };
    assert!(RegistrationAnswer::parse(&long(4 << 10).to_string()).is_ok());
    assert!(RegistrationAnswer::parse(&long(128 << 10).to_string()).is_err(), "it is bounded");
    assert_eq!(registration(b"x", b"{}", b"").transports, ["internal", "usb"]);
}

#[test]
fn browsers_are_asked_for_what_is_checked() {
    let user = User { handle: HANDLE, name: "ada", display_name: "Ada L." };
    let transports = ["usb".to_owned()];
    let known = [Known { id: b"old", transports: &transports }];
    let options = strict().creation_options("Portcullis", &user, CHALLENGE, &known);
    assert_eq!(options["rp"], json!({"id": "example.org", "name": "Portcullis"}));
    assert_eq!(options["challenge"], text(CHALLENGE));
    assert_eq!(options["user"]["id"], text(HANDLE));
    assert_eq!(options["attestation"], "none");
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    let algorithms: Vec<_> = options["pubKeyCredParams"].as_array().unwrap().iter().map(|one| &one["alg"]).collect();
    assert_eq!(algorithms, [-7, -8, -257]);
    let excluded = json!([{"type": "public-key", "id": text(b"old"), "transports": ["usb"]}]);
    assert_eq!(options["excludeCredentials"], excluded);
    let options = example().request_options(CHALLENGE, &known);
    assert_eq!((&options["allowCredentials"], &options["userVerification"]), (&excluded, &json!("preferred")));
}

proptest! {
    /// Whatever is sent, it is refused and nothing worse.
    #[test]
    fn noise_is_refused(object in prop::collection::vec(any::<u8>(), 0..300), at in 0..200_usize, byte: u8) {
        let answer = registration(b"passkey", &Lying::making().client_data(), &object);
        prop_assert!(strict().register(CHALLENGE, &answer).is_err());
        let (_, vector) = vectors().swap_remove(0);
        let mut bent = vector["create.attestationObject"].clone();
        let at = at % bent.len();
        bent[at] = byte;
        let made = registration(&id_in(&vector["create.attestationObject"]), &vector["create.clientDataJSON"], &bent);
        drop(example().register(&vector["create.challenge"], &made));
    }
}
