//! Passkeys, with an authenticator in software.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_audit::Actor;
use portcullis_base::Digest;
use portcullis_gateway::{
    passkeys::{Parts, PasskeyError, Passkeys},
    system,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::house::House;

const ORIGIN: &str = "http://localhost:7878";
const ID: &[u8] = b"a passkey of ada";

/// An authenticator with one passkey.
struct Authenticator {
    key: EcdsaKeyPair,
    signed: u32,
}

impl Authenticator {
    fn new() -> Self {
        let random = system::random();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { key, signed: 0 }
    }

    fn data(&mut self, flags: u8) -> Vec<u8> {
        self.signed += 1;
        [Digest::of(b"localhost").as_bytes().as_slice(), &[flags], &self.signed.to_be_bytes()].concat()
    }

    /// The answer to the options of a registration.
    fn make(&mut self, options: &str) -> String {
        let options: Value = serde_json::from_str(options).unwrap();
        let point = self.key.public_key().as_ref();
        let cose =
            [&b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"[..], &point[1..33], b"\x22\x58\x20", &point[33..]].concat();
        // Present, verified, with a credential.
        let mut data = self.data(0x45);
        data.extend([0; 16]);
        data.extend(u16::try_from(ID.len()).unwrap().to_be_bytes());
        data.extend([ID, &cose].concat());
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let attestation = [&b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"[..], &length, &data].concat();
        let client = client_data("webauthn.create", &options);
        json!({ "id": encode(ID), "rawId": encode(ID), "type": "public-key", "response": {
            "clientDataJSON": encode(client.as_bytes()), "attestationObject": encode(&attestation), "transports": ["internal"],
        }})
        .to_string()
    }

    /// The answer to the options of a proof.
    fn sign(&mut self, options: &str) -> String {
        let options: Value = serde_json::from_str(options).unwrap();
        let (client, data) = (client_data("webauthn.get", &options), self.data(0x05));
        let signed = [data.as_slice(), Digest::of(client.as_bytes()).as_bytes()].concat();
        let signature = self.key.sign(&system::random(), &signed).unwrap();
        json!({ "id": encode(ID), "rawId": encode(ID), "type": "public-key", "response": {
            "clientDataJSON": encode(client.as_bytes()), "authenticatorData": encode(&data),
            "signature": encode(signature.as_ref()),
        }})
        .to_string()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn client_data(kind: &str, options: &Value) -> String {
    json!({ "type": kind, "challenge": options["challenge"], "origin": ORIGIN, "crossOrigin": false }).to_string()
}

fn at_localhost(house: &House) -> Passkeys {
    let app = &house.app;
    let parts = Parts {
        store: app.store.clone(),
        journal: app.journal.clone(),
        keys: app.keys.clone(),
        clock: app.clock.clone(),
        rng: app.rng.clone(),
    };
    Passkeys::new(&url::Url::parse(ORIGIN).unwrap(), parts)
}

// spec: T-82
#[tokio::test]
async fn passkey_proves_one_challenge_of_its_owner_once() {
    let house = House::new().await;
    let (ada, eve) = (house.person("ada").await, house.person("eve").await);
    let passkeys = at_localhost(&house);
    let (session, other) = (Digest::of(b"session"), Digest::of(b"another session"));
    let mut authenticator = Authenticator::new();
    let offer = passkeys.offer(&ada, &session).await.unwrap().unwrap();
    let answer = authenticator.make(&offer.options);
    let made = (offer.ticket.as_str(), answer.as_str());
    let elsewhere = passkeys.add((&ada.id, &other), "Laptop", made, Actor::default()).await;
    assert!(matches!(elsewhere, Err(PasskeyError::Refused(_))), "{elsewhere:?}");
    passkeys.add((&ada.id, &session), "Laptop", made, Actor::default()).await.unwrap();
    let again = passkeys.add((&ada.id, &session), "Laptop", made, Actor::default()).await;
    assert!(matches!(again, Err(PasskeyError::Refused(_))), "{again:?}");
    assert!(passkeys.can_sign(&ada.id).await.unwrap() && !passkeys.can_sign(&eve.id).await.unwrap());
    assert!(house.events().contains(&"passkey.added".to_owned()));

    let binding = Digest::of(b"a call");
    let options = passkeys.request(&ada.id, &binding).await.unwrap().unwrap();
    let proof = authenticator.sign(&options);
    for (person, challenge) in [(&eve.id, &binding), (&ada.id, &Digest::of(b"another call"))] {
        let checked = passkeys.check(person, challenge, &proof).await;
        assert!(matches!(checked, Err(PasskeyError::Refused(_))), "{checked:?}");
    }
    passkeys.check(&ada.id, &binding, &proof).await.unwrap();
    let replayed = passkeys.check(&ada.id, &binding, &proof).await;
    assert!(matches!(replayed, Err(PasskeyError::Refused(_))), "{replayed:?}");

    let id = encode(ID);
    assert!(!passkeys.remove(&eve.id, &id, Actor::default()).await.unwrap());
    assert!(passkeys.remove(&ada.id, &id, Actor::default()).await.unwrap());
    assert!(house.events().contains(&"passkey.removed".to_owned()));
    assert_eq!(passkeys.request(&ada.id, &binding).await.unwrap(), None);
}
