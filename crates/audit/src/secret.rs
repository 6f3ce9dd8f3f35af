//! What looks like a secret: names of members that hold one, and texts that are one.
//!
//! spec: T-99

use std::borrow::Cow;

use base64::{
    Engine,
    engine::GeneralPurpose,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};

/// What stands where a secret stood.
pub(crate) const MASK: &str = "[masked]";

/// Parts of a member's name, without case and separators, that say it holds a secret.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "credential",
    "authorization",
    "cookie",
    "sessionid",
    "bearer",
    "signature",
    "cardnumber",
];
/// Names that say so only as a whole.
const WHOLE_NAMES: &[&str] =
    &["pwd", "pass", "pin", "otp", "totp", "cvv", "cvc", "ssn", "auth", "jwt", "sid", "mfa", "dsn", "iban"];
/// How well-known credentials begin.
const PREFIXES: &[&str] = &[
    "sk-",
    "sk_",
    "pk_live_",
    "rk_live_",
    "whsec_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "npm_",
    "hf_",
    "dop_v1_",
    "shpat_",
    "SG.",
    "pypi-",
    "eyJ",
    "ATATT",
    "lin_api_",
    "sq0",
    "r8_",
    "dapi",
];
/// Words after which a credential follows.
const SCHEMES: &[&str] = &["bearer", "basic", "digest", "dpop", "negotiate"];

/// Whether a member of this name holds a secret.
pub(crate) fn names_secret(name: &str) -> bool {
    if name.len() > 128 {
        return false;
    }
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    // A budget of language model tokens is no secret.
    let counts = plain.ends_with("tokens");
    WHOLE_NAMES.contains(&plain.as_str()) || (!counts && NAMES.iter().any(|part| plain.contains(part)))
}

/// Whether a word is a credential: by a well-known beginning, or by being long and without sense.
pub(crate) fn looks_secret(word: &str) -> bool {
    if word.len() < 12 {
        return false;
    }
    if PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
        return true;
    }
    if wraps_secret(word) {
        return true;
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-');
    if word.len() < 20 || !word.bytes().all(allowed) || is_uuid(word) {
        return false;
    }
    if word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return true;
    }
    // Words change their kind of letter now and then, random letters two times out of three.
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let bytes = word.as_bytes();
    let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    let has = |wanted| bytes.iter().any(|byte| class(*byte) == wanted);
    has(0) && has(1) && has(2) && changes * 5 >= word.len() * 2
}

/// Whether a word is the base64 of a text with a secret in it.
fn wraps_secret(word: &str) -> bool {
    // What is longer is cut before it is shown, and is no credential that somebody pastes.
    if !(16..=4096).contains(&word.len()) {
        return false;
    }
    let bare = word.trim_end_matches('=');
    let engine: &GeneralPurpose =
        if bare.contains(['-', '_']) { &BASE64_URL_SAFE_NO_PAD } else { &BASE64_STANDARD_NO_PAD };
    let text = engine.decode(bare).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // `name:password`, as in the header of that scheme, is a secret without more words.
    text.is_some_and(|text| {
        !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace())
            && (is_pair(&text) || matches!(text_without_secrets(&text), Cow::Owned(_)))
    })
}

fn is_pair(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, value)| {
        !name.is_empty() && value.len() >= 4 && !value.starts_with("//") && !text.contains(char::is_whitespace)
    })
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `text` with every word masked that is a secret, follows a scheme such as `Bearer`, is the value of a secret's name
/// (`token=…`, `password: …`), or is the user part of an address.
pub(crate) fn text_without_secrets(text: &str) -> Cow<'_, str> {
    if text.contains("PRIVATE KEY-----") {
        return MASK.into();
    }
    let mut masked = String::new();
    // How much of the text is in `masked`, or needs no masking.
    let mut copied = 0;
    let mut before = "";
    let mut next_is_secret = false;
    let mut start = 0;
    for end in (0..=text.len()).filter(|at| text.as_bytes().get(*at).is_none_or(|byte| ends_word(*byte))) {
        let word = &text[start..end];
        if !word.is_empty() {
            let scheme = is_scheme(word);
            let shown = if next_is_secret && !scheme { Some(MASK.into()) } else { word_without_secret(word) };
            if let Some(shown) = shown {
                masked.push_str(&text[copied..start]);
                masked.push_str(&shown);
                copied = end;
            }
            next_is_secret = scheme || announces_secret(word) || (matches!(word, ":" | "=") && names_secret(before));
            before = word;
        }
        start = end + 1;
    }
    if copied == 0 {
        return text.into();
    }
    masked.push_str(&text[copied..]);
    masked.into()
}

fn ends_word(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'..=b'\r' | b'&' | b'?' | b';' | b',' | b'"' | b'\'' | b'\\' | b'<' | b'>' | b'|' | b'(' | b')'
    )
}

fn is_scheme(word: &str) -> bool {
    (4..=9).contains(&word.len()) && SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// `password:` and `--token`: the value is the next word.
fn announces_secret(word: &str) -> bool {
    if !word.ends_with(':') && !word.starts_with('-') {
        return false;
    }
    let option = word.starts_with("--") && !word.contains('=');
    word.strip_suffix(':').or_else(|| option.then_some(word)).is_some_and(names_secret)
}

/// What is shown for `word` if it is not shown as it is.
fn word_without_secret(word: &str) -> Option<Cow<'static, str>> {
    let Some(mark) = word.bytes().position(|byte| matches!(byte, b':' | b'=')) else {
        return looks_secret(word).then_some(MASK.into());
    };
    let (name, value) = (&word[..mark], &word[mark + 1..]);
    if let Some(rest) = value.strip_prefix("//") {
        return address_without_secrets(name, rest);
    }
    if !value.is_empty() && (names_secret(name) || looks_secret(value)) {
        return Some(format!("{}{MASK}", &word[..=mark]).into());
    }
    looks_secret(word).then_some(MASK.into())
}

fn address_without_secrets(scheme: &str, rest: &str) -> Option<Cow<'static, str>> {
    let (authority, path) = rest.split_at(rest.find(['/', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map(|(_, host)| host);
    if host.is_none() && !path.split('/').any(looks_secret) {
        return None;
    }
    let authority = host.map_or(authority.into(), |host| format!("{MASK}@{host}"));
    let path: Vec<_> = path.split('/').map(|part| if looks_secret(part) { MASK } else { part }).collect();
    Some(format!("{scheme}://{authority}{}", path.join("/")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_look_secret_and_spoken_ones_do_not() {
        for secret in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        ] {
            assert!(looks_secret(secret), "{secret}");
            assert!(!text_without_secrets(&format!("it is {secret}, really")).contains(secret));
        }
        for plain in [
            "internationalization",
            "2026-11-23T02-13-20",
            "550e8400-e29b-41d4-a716-446655440000",
            "src/components/button-group/index",
            "claude-opus-4-5-preview-long-name",
            "hello",
        ] {
            assert!(!looks_secret(plain), "{plain}");
        }
        assert_eq!(text_without_secrets("a plain sentence: 5 words"), "a plain sentence: 5 words");
        assert_eq!(text_without_secrets("password: hunter2"), "password: [masked]");
        assert_eq!(text_without_secrets(r#"{"password": "x", "a": 1}"#), r#"{"password": "[masked]", "a": 1}"#);
        let escaped = r#"{\"client_secret\":\"x\",\"a\":1}"#;
        assert_eq!(text_without_secrets(escaped), r#"{\"client_secret\":\"[masked]\",\"a\":1}"#);
        for wrapped in ["Authorization: Bearer abc", "alice:hunter2hunter2", "password=x y z 1 2 3"] {
            let word = BASE64_STANDARD_NO_PAD.encode(wrapped);
            assert_eq!(text_without_secrets(&word), MASK, "{wrapped}");
        }
        let plain = BASE64_STANDARD_NO_PAD.encode("just some words of a letter");
        assert!(!wraps_secret(&plain), "{plain}");
        assert_eq!(text_without_secrets("-----BEGIN PRIVATE KEY-----\nMIIE"), "[masked]");
    }
}
