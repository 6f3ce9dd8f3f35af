//! What is kept of a call's arguments or result: nothing, the digest, a masked and shortened copy, or all of it.
//!
//! spec: T-99, SEC-61: by default nothing that looks like a secret reaches the journal. Looking like one is a matter of
//! the member's name first and of the value second; when in doubt it is masked, since the record is for knowing what was
//! done, and a secret that is in it cannot be taken back.

use std::fmt;

use portcullis_base::{Digest, printable};
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

/// The most that is kept of one text in full, in bytes.
const FULL: usize = 64 * 1024;

/// How much of a call's arguments or result is kept.
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
    /// All of it, secrets and all, up to 64 KiB. For those who must and know what they do.
    Full,
}

/// What was kept: a JSON text made in here only, so that it can be written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(Vec<u8>);

impl Kept {
    /// The JSON text.
    pub fn as_json(&self) -> &[u8] {
        &self.0
    }
}

impl Keep {
    /// Whether a digest is kept of every byte.
    ///
    /// Not of what is masked: whoever knows the rest of a short text would only have to try what could stand in the gaps.
    pub fn digests(self) -> bool {
        matches!(self, Self::Digest | Self::Full)
    }

    /// Whether a copy is kept.
    pub fn copies(self) -> bool {
        matches!(self, Self::Redacted | Self::Full)
    }
}

/// A digest as it stands in the record.
pub fn digest_text(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

/// What `how` keeps of `text`, a raw JSON value; `None` when that is nothing but perhaps a digest.
pub fn keep(how: Keep, text: &str) -> Option<Kept> {
    match how {
        Keep::Off | Keep::Digest => None,
        Keep::Full => Some(whole(text)),
        Keep::Redacted => {
            let mut out = Vec::with_capacity(text.len().min(TOTAL) + 64);
            let mut reader = serde_json::Deserializer::from_str(text);
            let read = Copy { out: &mut out }.deserialize(&mut reader).and_then(|()| reader.end());
            Some(if read.is_ok() { Kept(out) } else { Kept::unreadable() })
        }
    }
}

impl Kept {
    /// In the place of what cannot be read.
    pub fn unreadable() -> Self {
        Self(b"\"[unreadable]\"".to_vec())
    }

    /// In the place of what was too large to be looked at.
    pub fn too_large() -> Self {
        Self(b"\"[too large]\"".to_vec())
    }
}

/// A raw JSON value with nothing taken out of it, on one line: the same value to whoever reads it.
///
/// spec: T-97: what nobody sees on a screen, or what ends lines and turns text around, stands there as an escape.
fn whole(text: &str) -> Kept {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Kept::unreadable();
    }
    if text.len() > FULL {
        let mut out = Vec::with_capacity(FULL + 64);
        let cut = text.floor_char_boundary(FULL);
        let more = text.len() - cut;
        json::string(&mut out, &format!("{}… {more} more bytes", &text[..cut]), usize::MAX);
        return Kept(out);
    }
    let (mut out, mut in_string, mut escaped) = (Vec::with_capacity(text.len()), false, false);
    for letter in text.chars() {
        if in_string && !escaped && matches!(letter, ' ' | '!' | '#'..='[' | ']'..='~') {
            out.push(letter as u8);
            continue;
        }
        match letter {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && letter == '\\' && !escaped;
        if is_visible(letter) {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
    Kept(out)
}

/// Whether a letter shows itself and changes nothing around it.
fn is_visible(letter: char) -> bool {
    let mut shown = [0; 4];
    let letter: &str = letter.encode_utf8(&mut shown);
    letter == " " || printable(letter, 4) == letter
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
        match masked_inside(value) {
            Some(masked) => json::string(self.out, &masked, TEXT),
            None => json::string(self.out, &text_without_secrets(beginning(value)), TEXT),
        }
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

/// A text that is JSON itself, if something in it has to be masked: there too, names say what is a secret.
fn masked_inside(text: &str) -> Option<String> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let (mut out, mut reader) = (Vec::new(), serde_json::Deserializer::from_str(text));
    Copy { out: &mut out }.deserialize(&mut reader).and_then(|()| reader.end()).ok()?;
    // Without a mask it is shown in its own words, so that what is whole can be told from what is not.
    String::from_utf8(out).ok().filter(|copy| copy.contains(MASK))
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

    /// spec: T-99
    #[test]
    fn secrets_are_masked_by_name_in_texts_that_are_json_too() {
        let inner = r#"{ "apiKey": ["k1"], "n": 1 }"#;
        let twice = serde_json::json!({ "body": inner }).to_string();
        let given = serde_json::json!({ "a": inner, "b": twice, "c": "{ \"n\": 1 }", "d": "{not json" }).to_string();
        let kept: serde_json::Value = serde_json::from_str(&redacted(&given)).unwrap();
        assert_eq!(kept["a"], r#"{"apiKey":"[masked]","n":1}"#);
        assert!(!kept.to_string().contains("k1"), "{kept}");
        assert_eq!((&kept["c"], &kept["d"]), (&"{ \"n\": 1 }".into(), &"{not json".into()));
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
        for how in [Keep::Off, Keep::Digest] {
            assert_eq!((keep(how, "{}"), how.copies()), (None, false));
        }
        assert!(Keep::Digest.digests() && Keep::Full.digests() && !Keep::Off.digests() && !Keep::Redacted.digests());
        let text = |text: &str| digest_text(&Digest::of(text.as_bytes()));
        assert!(text("{}").starts_with("sha256:") && text("{}") != text("{ }"));
    }

    // spec: T-97
    #[test]
    fn what_is_kept_whole_is_the_same_value_on_one_line() {
        for text in [
            r#"{ "password" : "hunter2",\n "n" : [1e400, -0.10] }"#.replace("\\n", "\n"),
            "{\"a\":\"x\u{202e}y\u{200b}z\u{2028}\u{85}\u{7f} \u{1F600} é\"}".to_owned(),
            r#"{"q":"a\"b\\","r":"\\\" : ,","s":" \u0000\n"}"#.to_owned(),
        ] {
            let kept = String::from_utf8(keep(Keep::Full, &text).unwrap().0).unwrap();
            let hidden = |c: char| c.is_control() || "\u{202e}\u{200b}\u{2028}".contains(c);
            assert!(!kept.contains(hidden), "{kept:?}");
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(&text.replace("1e400", "1")).unwrap();
            assert_eq!(read(&kept), read(&text), "{kept}");
        }
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(FULL));
        let kept = String::from_utf8(keep(Keep::Full, &long).unwrap().0).unwrap();
        assert!(kept.len() < FULL + 200 && kept.ends_with("… 8 more bytes\""), "{}", &kept[kept.len() - 60..]);
        assert_eq!(keep(Keep::Full, "{"), Some(Kept::unreadable()));
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
