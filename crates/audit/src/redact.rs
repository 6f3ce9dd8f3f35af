//! What is kept of a call's arguments: nothing, their digest, or a masked and shortened copy.
//!
//! spec: T-99, SEC-61: by default nothing that looks like a secret reaches the journal. Looking like one is a matter of
//! the member's name first and of the value second; when in doubt it is masked, since the record is for knowing what was
//! done, and a secret that is in it cannot be taken back.

use std::fmt;

use portcullis_base::Digest;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    json,
    secret::{MASK, looks_secret, names_secret, text_without_secrets},
};

/// About how much is kept of one call's arguments, in bytes.
const TOTAL: usize = 2048;
/// The most that is kept of one text, in characters.
const TEXT: usize = 256;
/// The most that is kept of one member's name, in characters.
const NAME: usize = 64;

/// How much of a call's arguments is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Nothing.
    Off,
    /// Their SHA-256 digest: two calls can be compared, neither can be read.
    Digest,
    /// A copy with secrets masked and long parts cut.
    #[default]
    Redacted,
}

/// What was kept: a JSON text made by [`keep`] only, so that it can be written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(Vec<u8>);

impl Kept {
    /// The JSON text.
    pub fn as_json(&self) -> &[u8] {
        &self.0
    }
}

/// What `how` keeps of `arguments`, a raw JSON value; `None` when that is nothing.
pub fn keep(how: Keep, arguments: &str) -> Option<Kept> {
    match how {
        Keep::Off => None,
        Keep::Digest => Some(Kept(format!("\"sha256:{}\"", Digest::of(arguments.as_bytes())).into_bytes())),
        Keep::Redacted => {
            let mut out = Vec::with_capacity(arguments.len().min(TOTAL) + 64);
            let mut reader = serde_json::Deserializer::from_str(arguments);
            let read = Copy { out: &mut out }.deserialize(&mut reader).and_then(|()| reader.end());
            Some(Kept(if read.is_ok() { out } else { b"\"[unreadable]\"".to_vec() }))
        }
    }
}

/// Copies one JSON value into `out`, masked and cut.
struct Copy<'o> {
    out: &'o mut Vec<u8>,
}

impl Copy<'_> {
    fn full(&self) -> bool {
        self.out.len() >= TOTAL
    }
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        json::integer(self.out, value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        serde_json::to_writer(self.out, &value).expect("a number that was JSON is JSON");
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        json::string(self.out, &text_without_secrets(beginning(value)), TEXT);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let mut first = true;
        while !self.full() {
            let before = self.out.len();
            if !first {
                self.out.push(b',');
            }
            if items.next_element_seed(Copy { out: self.out })?.is_none() {
                self.out.truncate(before);
                self.out.push(b']');
                return Ok(());
            }
            first = false;
        }
        let mut more = 0_usize;
        while items.next_element::<IgnoredAny>()?.is_some() {
            more += 1;
        }
        if more > 0 {
            self.out.extend_from_slice(if first { b"" } else { b"," });
            json::string(self.out, &format!("… {more} more"), TEXT);
        }
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let mut first = true;
        while !self.full() {
            let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? else {
                self.out.push(b'}');
                return Ok(());
            };
            self.out.extend_from_slice(if first { b"" } else { b"," });
            let shown = if looks_secret(&name) { MASK } else { &name };
            json::string(self.out, shown, NAME);
            self.out.push(b':');
            if names_secret(&name) {
                members.next_value::<IgnoredAny>()?;
                json::string(self.out, MASK, TEXT);
            } else {
                members.next_value_seed(Copy { out: self.out })?;
            }
            first = false;
        }
        let mut more = 0_usize;
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            more += 1;
        }
        if more > 0 {
            self.out.extend_from_slice(if first { b"" } else { b"," });
            self.out.extend_from_slice("\"…\":".as_bytes());
            json::string(self.out, &format!("{more} more"), TEXT);
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// As much of `text` as can be shown, and as much again: a secret that is cut through must still be known as one.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(2 * TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(arguments: &str) -> String {
        String::from_utf8(keep(Keep::default(), arguments).unwrap().0).unwrap()
    }

    /// spec: T-99, SEC-61
    #[test]
    fn secrets_are_masked_by_name_and_by_look() {
        let kept = redacted(
            r#"{"path":"/tmp/a.txt","password":"hunter2","db":{"Api-Key":"k","clientSecret":{"a":["b"]},"port":5432},
            "max_tokens":100,"header":"Authorization: Bearer abc.def.ghi","note":"my key is ghp_0123456789abcdefghij now",
            "url":"https://bob:pw@host/x?token=t0p&page=2","cmd":"login --token=hunter3 -u bob","ok":true,"none":null,"pin":1234}"#,
        );
        assert_eq!(
            kept,
            r#"{"path":"/tmp/a.txt","password":"[masked]","db":{"Api-Key":"[masked]","clientSecret":"[masked]","port":5432},"max_tokens":100,"header":"Authorization: Bearer [masked]","note":"my key is [masked] now","url":"https://[masked]@host/x?token=[masked]&page=2","cmd":"login --token=[masked] -u bob","ok":true,"none":null,"pin":"[masked]"}"#
        );
    }

    #[test]
    fn long_arguments_are_cut_and_stay_json() {
        let long = format!(
            r#"{{"text":"{}","list":[{}],"z":1}}"#,
            "word ".repeat(1000),
            (0..5000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
        );
        let kept = redacted(&long);
        assert!(kept.len() < TOTAL + 400, "{}", kept.len());
        let value: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(value["text"].as_str().unwrap().chars().count(), TEXT + 1);
        assert_eq!(value["…"], "1 more");
        assert!(value["list"].as_array().unwrap().last().unwrap().as_str().unwrap().ends_with("more"));
    }

    #[test]
    fn digest_tells_calls_apart_and_off_keeps_nothing() {
        assert_eq!(keep(Keep::Off, "{}"), None);
        assert_ne!(keep(Keep::Digest, "{}"), keep(Keep::Digest, "{ }"));
        let digest = keep(Keep::Digest, r#"{"a":"secret"}"#).unwrap();
        assert!(digest.as_json().starts_with(b"\"sha256:") && !digest.as_json().windows(6).any(|w| w == b"secret"));
    }

    proptest! {
        #[test]
        fn whatever_comes_in_json_on_one_line_comes_out(text in r#"[\[\]{}":,a-z0-9\\ \n\u{1b}]{0,60}|\PC{0,40}"#) {
            let kept = redacted(&text);
            prop_assert!(!kept.chars().any(char::is_control));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok(), "{}", kept);
        }
    }
}
