//! Finding members and elements in checked text, without building anything.

use std::borrow::Cow;

/// The kind of a JSON value, seen from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// The kind of the value that `raw` is.
pub fn kind(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// What a raw JSON string says, or `None` if `raw` is another value.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    Some(if memchr::memchr(b'\\', inner.as_bytes()).is_some() { unescape(inner) } else { Cow::Borrowed(inner) })
}

/// The members of a raw object in their order, values raw; nothing if `raw` is another value.
///
/// Meant for checked text. On other text it never panics, and ends where it no longer understands.
pub fn members(raw: &str) -> Members<'_> {
    Members { text: raw, at: usize::from(kind(raw) == Kind::Object) }
}

/// The elements of a raw array; nothing if `raw` is another value.
pub fn elements(raw: &str) -> Elements<'_> {
    Elements { text: raw, at: usize::from(kind(raw) == Kind::Array) }
}

/// The raw value of the member called `name`.
pub fn member<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    members(raw).find(|(found, _)| found == name).map(|(_, value)| value)
}

/// `outer` with the part `inner` of it replaced.
///
/// `inner` must be a slice of `outer`, as the functions here give it; any other text leaves `outer` as it is.
pub fn splice(outer: &str, inner: &str, replacement: &str) -> String {
    let start = (inner.as_ptr() as usize).wrapping_sub(outer.as_ptr() as usize);
    let parts = start.checked_add(inner.len()).and_then(|end| Some((outer.get(..start)?, outer.get(end..)?)));
    match parts {
        Some((before, after)) => [before, replacement, after].concat(),
        None => outer.to_owned(),
    }
}

/// See [`members`].
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        if self.at == 0 {
            return None;
        }
        let start = separated(bytes, self.at)?;
        if bytes.get(start) != Some(&b'"') {
            return None;
        }
        let end = string_end(bytes, start);
        let name = string(self.text.get(start..end)?)?;
        let colon = blanks_end(bytes, end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = blanks_end(bytes, colon + 1);
        let end = value_end(bytes, start);
        self.at = end;
        Some((name, self.text.get(start..end).filter(|value| !value.is_empty())?))
    }
}

/// See [`elements`].
pub struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        if self.at == 0 {
            return None;
        }
        let start = separated(bytes, self.at)?;
        self.at = value_end(bytes, start);
        self.text.get(start..self.at).filter(|value| !value.is_empty())
    }
}

/// Where the next member or element begins, or `None` at the end of the container.
fn separated(bytes: &[u8], at: usize) -> Option<usize> {
    let at = blanks_end(bytes, at);
    match bytes.get(at)? {
        b',' => Some(blanks_end(bytes, at + 1)),
        b'}' | b']' => None,
        _ => Some(at),
    }
}

pub(super) fn blanks_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The first byte from `at` on that is a quote, a backslash or a control character.
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at once: the lowest marked byte is exact, marks above it may be echoes of a borrow.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let marks = control | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

/// Behind the last quote of the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at = bytes.len().min(at + 2),
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

/// Bytes that change the depth, or begin a string in which none does.
static SHAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut marks: &[u8] = br#""{}[]"#;
    while let [mark, rest @ ..] = marks {
        table[*mark as usize] = true;
        marks = rest;
    }
    table
};

/// Behind the value that begins at `at`.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => return string_end(bytes, at),
        Some(b'{' | b'[') => at += 1,
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let rest = bytes.get(at..).unwrap_or_default();
            return at + rest.iter().position(ends).unwrap_or(rest.len());
        }
    }
    let mut depth = 1usize;
    loop {
        let Some(run) = bytes[at..].iter().position(|byte| SHAPE[usize::from(*byte)]) else { return bytes.len() };
        at += run;
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            _ => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
    }
}

pub(super) fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

/// What the inside of a string says. Wrong escapes, which checked text has not, become U+FFFD.
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.chars().next() else { break };
        rest = &rest[letter.len_utf8()..];
        out.push(match letter {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = take_unit(&mut rest).unwrap_or(0xFFFD);
                if (0xD800..=0xDBFF).contains(&high) {
                    let low = rest.strip_prefix("\\u").and_then(|mut tail| take_unit(&mut tail));
                    match low.and_then(|low| char::decode_utf16([high, low]).next()?.ok()) {
                        Some(pair) => {
                            rest = &rest[6..];
                            pair
                        }
                        None => '\u{fffd}',
                    }
                } else {
                    char::from_u32(u32::from(high)).unwrap_or('\u{fffd}')
                }
            }
            other => other,
        });
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn take_unit(rest: &mut &str) -> Option<u16> {
    let unit = hex(rest.as_bytes().get(..4)?)?;
    *rest = &rest[4..];
    Some(unit)
}
