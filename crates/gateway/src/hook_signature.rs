//! What proves that a message came from whom it says, unchanged and just now: the scheme of Standard Webhooks, which ours
//! are signed with too, and that of Slack.
//!
//! Both sign the time of the message with its body, so an old one is refused for its age; within that age, whoever takes
//! messages remembers them. spec: T-85

use std::{fmt, time::Duration};

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use portcullis_base::Timestamp;
use ring::hmac;

/// How far the clock of whoever signed may be from ours.
pub const LEEWAY: Duration = Duration::from_mins(5);

/// What every secret of Standard Webhooks begins with, though not everybody writes it.
const PREFIX: &str = "whsec_";
/// The bytes of a key.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The longest identifier of a message.
const LONGEST: usize = 128;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key of Standard Webhooks.
#[derive(Clone)]
pub struct HookKey(hmac::Key);

/// The signing secret of a Slack app.
#[derive(Clone)]
pub struct SlackKey(hmac::Key);

/// What came with a message in its headers.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`; Slack has none.
    pub id: &'a str,
    /// The time, in seconds.
    pub at: &'a str,
    /// The signature, or several of them.
    pub signature: &'a str,
}

/// Why a message proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The identifier is none.
    #[error(
        "the identifier of the message is missing, too long, or has other characters than letters, digits, - and _"
    )]
    Id,
    /// The time is none, or too far from ours.
    #[error("the time of the message is missing, or more than five minutes from ours")]
    Time,
    /// No signature fits.
    #[error("the signature is not that of the message")]
    Signature,
}

impl HookKey {
    /// Reads `whsec_` and base64, or the base64 alone.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.trim().trim_start_matches(PREFIX)).ok()?;
        BYTES.contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Whether both sign alike.
    pub fn is_same(&self, other: &Self) -> bool {
        hmac::verify(&other.0, b"", hmac::sign(&self.0, b"").as_ref()).is_ok()
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &standard(id, &at.as_secs().to_string(), body));
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// What a message of ours has in its headers. An identifier that cannot stand there is none.
    pub fn headers(&self, id: &str, at: Timestamp, body: &[u8]) -> Result<HeaderMap, InvalidHeaderValue> {
        Ok(HeaderMap::from_iter([
            (HeaderName::from_static("webhook-id"), HeaderValue::from_str(id)?),
            (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(at.as_secs())),
            (HeaderName::from_static("webhook-signature"), HeaderValue::from_str(&self.sign(id, at, body))?),
        ]))
    }

    /// Whether one of the signatures is ours.
    pub fn verify(&self, signed: Signed<'_>, body: &[u8], now: Timestamp) -> Result<(), Unproven> {
        let Signed { id, at, signature } = signed;
        // What is signed are three texts with dots between them, so none but the last may have one.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if id.is_empty() || id.len() > LONGEST || !id.bytes().all(plain) {
            return Err(Unproven::Id);
        }
        in_time(at, now)?;
        let message = standard(id, at, body);
        let fits = |one: &str| {
            let tag = one.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
            tag.is_some_and(|tag| hmac::verify(&self.0, &message, &tag).is_ok())
        };
        if signature.split(' ').take(8).any(fits) { Ok(()) } else { Err(Unproven::Signature) }
    }
}

impl PartialEq for HookKey {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for HookKey {}

impl SlackKey {
    /// The one with this text.
    pub fn new(text: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
    }

    /// Whether the signature is Slack's.
    pub fn verify(&self, signed: Signed<'_>, body: &[u8], now: Timestamp) -> Result<(), Unproven> {
        in_time(signed.at, now)?;
        let message = [b"v0:", signed.at.as_bytes(), b":", body].concat();
        let tag = signed.signature.strip_prefix("v0=").and_then(bytes).ok_or(Unproven::Signature)?;
        hmac::verify(&self.0, &message, &tag).map_err(|_| Unproven::Signature)
    }
}

impl fmt::Debug for HookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookKey")
    }
}

impl fmt::Debug for SlackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlackKey")
    }
}

fn standard(id: &str, at: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", at.as_bytes(), b".", body].concat()
}

/// Only digits: what is signed is the text, and no two texts may mean one time.
fn in_time(text: &str, now: Timestamp) -> Result<(), Unproven> {
    let is_number = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let at: i64 = text.parse().ok().filter(|_| is_number).ok_or(Unproven::Time)?;
    if now.as_secs().abs_diff(at) > LEEWAY.as_secs() { Err(Unproven::Time) } else { Ok(()) }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of Standard Webhooks are tested with.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const AT: i64 = 1_614_265_330;

    /// The example of Slack's documentation.
    const SLACK: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const SLACK_AT: i64 = 1_531_420_618;
    const SLACK_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const SLACK_BODY: &[u8] =
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F\
hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    // spec: T-85
    #[test]
    fn published_examples_are_signed_and_verified() {
        let (key, at) = (HookKey::parse(KEY).unwrap(), Timestamp::from_secs(AT));
        assert_eq!(key.sign(ID, at, BODY), SIGNATURE);
        let signed = Signed { id: ID, at: "1614265330", signature: SIGNATURE };
        assert_eq!(key.verify(signed, BODY, at), Ok(()));
        let several = format!("v1a,AAAA v1,bm9wZQ== {SIGNATURE}");
        assert_eq!(key.verify(Signed { signature: &several, ..signed }, BODY, at), Ok(()));
        let signed = Signed { id: "", at: "1531420618", signature: SLACK_SIGNATURE };
        assert_eq!(SlackKey::new(SLACK).verify(signed, SLACK_BODY, Timestamp::from_secs(SLACK_AT)), Ok(()));
    }

    // spec: T-85
    #[test]
    fn what_is_changed_old_or_somebody_elses_proves_nothing() {
        let (key, now) = (HookKey::parse(KEY).unwrap(), Timestamp::from_secs(AT));
        let good = Signed { id: ID, at: "1614265330", signature: SIGNATURE };
        let refused = |signed, body: &[u8], now| key.verify(signed, body, now).unwrap_err();
        assert_eq!(refused(good, b"{}", now), Unproven::Signature);
        assert_eq!(refused(Signed { id: "msg_other", ..good }, BODY, now), Unproven::Signature);
        assert_eq!(refused(Signed { at: "1614265331", ..good }, BODY, now), Unproven::Signature);
        let older = SIGNATURE.replace("v1", "v0");
        for signature in ["", "v1,", "v1", &SIGNATURE[3..], &older, "v1,AAAA"] {
            assert_eq!(refused(Signed { signature, ..good }, BODY, now), Unproven::Signature, "{signature}");
        }
        let other = HookKey::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(other.verify(good, BODY, now), Err(Unproven::Signature));
        for (off, fits) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            assert_eq!(key.verify(good, BODY, Timestamp::from_secs(AT + off)).is_ok(), fits, "{off}");
        }
        for at in ["", "-1", "+1614265330", " 1614265330", "1614265330.0", "9999999999999"] {
            assert_eq!(refused(Signed { at, ..good }, BODY, now), Unproven::Time, "{at}");
        }
        // `a.1` and `2.x` would be signed as `a` and `1.2.x` are.
        let long = "a".repeat(129);
        for id in ["", "a.1614265330", "a b", "ü", &long] {
            assert_eq!(refused(Signed { id, ..good }, BODY, now), Unproven::Id, "{id}");
        }

        let (key, now) = (SlackKey::new(SLACK), Timestamp::from_secs(SLACK_AT));
        let good = Signed { id: "", at: "1531420618", signature: SLACK_SIGNATURE };
        let refused = |signed, body: &[u8], now| key.verify(signed, body, now).unwrap_err();
        assert_eq!(refused(good, b"payload=", now), Unproven::Signature);
        assert_eq!(refused(Signed { at: "1531420619", ..good }, SLACK_BODY, now), Unproven::Signature);
        assert_eq!(refused(good, SLACK_BODY, Timestamp::from_secs(SLACK_AT + 301)), Unproven::Time);
        let (signs, letters) = (SLACK_SIGNATURE.replace("a2", "+2"), SLACK_SIGNATURE.replace("a2", "ü"));
        for signature in ["", "v0=", &SLACK_SIGNATURE[3..], &SLACK_SIGNATURE[..66], &signs, &letters] {
            assert_eq!(refused(Signed { signature, ..good }, SLACK_BODY, now), Unproven::Signature, "{signature}");
        }
        assert!(SlackKey::new("another").verify(good, SLACK_BODY, now).is_err());
    }

    #[test]
    fn keys_are_long_enough_and_never_shown() {
        assert!(HookKey::parse(&KEY[6..]).is_some());
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, whatever it may be!"] {
            assert!(HookKey::parse(text).is_none(), "{text}");
        }
        assert!(HookKey::parse(&STANDARD.encode([1; 65])).is_none());
        assert_eq!(format!("{:?} {:?}", HookKey::parse(KEY).unwrap(), SlackKey::new(SLACK)), "HookKey SlackKey");
    }
}
