//! A strict check of JSON in one pass, and cheap finding of members in what was checked (RFC 8259, T-57, T-58).
//!
//! Parsers differ in what they make of duplicate names, lone surrogates, numbers out of range or bytes after the end;
//! a message that two of them read differently can be judged as one thing and executed as another. So such texts are
//! refused whole, before anything is read. Nesting costs no stack: the open containers are a list with a limit.

mod find;

use std::{borrow::Cow, fmt};

pub use self::find::{Elements, Kind, Members, elements, kind, member, members, splice, string};
use self::find::{blanks_end, hex, plain_end, unescape};

/// Bounds of one document.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Containers open at once.
    pub depth: usize,
    /// Values in the document, containers included.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, nodes: 100_000 }
    }
}

/// Why a text is not strict JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The byte at which it was noticed.
    pub at: usize,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Not UTF-8.
    Utf8,
    /// Begins with a byte order mark.
    ByteOrderMark,
    /// Does not follow the grammar of JSON.
    Syntax,
    /// Ends before the value does.
    Truncated,
    /// Goes on after the value.
    TrailingData,
    /// An object has two members of one name.
    DuplicateName,
    /// A string has half of a surrogate pair.
    LoneSurrogate,
    /// A number that no double can hold.
    NumberRange,
    /// Too many containers inside each other.
    TooDeep,
    /// Too many values.
    TooMany,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Utf8 => "not UTF-8",
            FaultKind::ByteOrderMark => "begins with a byte order mark",
            FaultKind::Syntax => "not JSON",
            FaultKind::Truncated => "ends too early",
            FaultKind::TrailingData => "goes on after its end",
            FaultKind::DuplicateName => "has two members of one name",
            FaultKind::LoneSurrogate => "has half of a surrogate pair",
            FaultKind::NumberRange => "has a number out of range",
            FaultKind::TooDeep => "nested too deeply",
            FaultKind::TooMany => "has too many values",
        };
        write!(f, "{what} (at byte {})", self.at)
    }
}

impl std::error::Error for Fault {}

/// Checks that `bytes` are exactly one JSON value within `limits`; gives it back as text, without blanks around it.
///
/// spec: TR-4, T-57, T-58
pub fn check<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|err| Fault { kind: FaultKind::Utf8, at: err.valid_up_to() })?;
    if text.starts_with('\u{feff}') {
        return Err(Fault { kind: FaultKind::ByteOrderMark, at: 0 });
    }
    Checker { text, bytes: text.as_bytes(), at: 0, nodes: 0, limits, open: Vec::new(), names: Vec::new() }.document()
}

struct Open {
    /// Where the names of this object begin in the list of all; `None` for an array.
    names: Option<usize>,
}

struct Checker<'a, 'l> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
    limits: &'l Limits,
    open: Vec<Open>,
    names: Vec<Cow<'a, str>>,
}

impl<'a> Checker<'a, '_> {
    fn document(mut self) -> Result<&'a str, Fault> {
        self.blanks();
        let start = self.at;
        'value: loop {
            self.nodes += 1;
            if self.nodes > self.limits.nodes {
                return Err(self.fault(FaultKind::TooMany));
            }
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{') => {
                    self.enter(Some(self.names.len()))?;
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue 'value;
                    }
                }
                Some(b'[') => {
                    self.enter(None)?;
                    if self.peek() != Some(b']') {
                        continue 'value;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.unexpected()),
            }
            loop {
                let Some(open) = self.open.last() else { break 'value };
                let names = open.names;
                self.blanks();
                match (self.peek(), names) {
                    (Some(b','), _) => {
                        self.at += 1;
                        self.blanks();
                        if names.is_some() {
                            self.name()?;
                        }
                        continue 'value;
                    }
                    (Some(b'}'), Some(first)) => {
                        self.distinct(first)?;
                        self.leave();
                    }
                    (Some(b']'), None) => self.leave(),
                    _ => return Err(self.unexpected()),
                }
            }
        }
        let end = self.at;
        self.blanks();
        if self.at < self.bytes.len() {
            return Err(self.fault(FaultKind::TrailingData));
        }
        Ok(&self.text[start..end])
    }

    fn enter(&mut self, names: Option<usize>) -> Result<(), Fault> {
        if self.open.len() == self.limits.depth {
            return Err(self.fault(FaultKind::TooDeep));
        }
        self.open.push(Open { names });
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn leave(&mut self) {
        self.open.pop();
        self.at += 1;
    }

    /// A member's name, the colon and the blanks around it.
    fn name(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let raw = &self.text[start..self.at - 1];
        self.names.push(if escaped { unescape(raw) } else { Cow::Borrowed(raw) });
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// Names are compared as what they say, not as how they are escaped.
    fn distinct(&mut self, first: usize) -> Result<(), Fault> {
        let names = &mut self.names[first..];
        let repeated = if names.len() <= 12 {
            names.iter().enumerate().any(|(index, name)| names[..index].contains(name))
        } else {
            names.sort_unstable();
            names.windows(2).any(|pair| pair[0] == pair[1])
        };
        self.names.truncate(first);
        if repeated { Err(self.fault(FaultKind::DuplicateName)) } else { Ok(()) }
    }

    /// A string from its first quote to behind its last; tells whether it has escapes.
    fn string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit()? {
                0xD800..=0xDBFF => {
                    let here = self.at;
                    let follows = self.bytes[here..].starts_with(b"\\u");
                    if !follows || !matches!(self.unit()?, 0xDC00..=0xDFFF) {
                        return Err(Fault { kind: FaultKind::LoneSurrogate, at: here });
                    }
                }
                0xDC00..=0xDFFF => return Err(self.fault(FaultKind::LoneSurrogate)),
                _ => {}
            },
            Some(_) => return Err(self.fault(FaultKind::Syntax)),
            None => return Err(self.fault(FaultKind::Truncated)),
        }
        Ok(())
    }

    /// The four digits of `\uXXXX`.
    fn unit(&mut self) -> Result<u16, Fault> {
        let Some(digits) = self.bytes.get(self.at + 2..self.at + 6) else {
            return Err(self.fault(FaultKind::Truncated));
        };
        let Some(unit) = hex(digits) else { return Err(self.fault(FaultKind::Syntax)) };
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        let mut doubtful = self.at - start > 300;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            doubtful = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let finite = || self.text[start..self.at].parse::<f64>().is_ok_and(f64::is_finite);
        if doubtful && !finite() {
            return Err(Fault { kind: FaultKind::NumberRange, at: start });
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected()) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        let kind = if word.starts_with(rest) { FaultKind::Truncated } else { FaultKind::Syntax };
        Err(self.fault(kind))
    }

    fn blanks(&mut self) {
        self.at = blanks_end(self.bytes, self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        Fault { kind, at: self.at }
    }

    fn unexpected(&self) -> Fault {
        self.fault(if self.at < self.bytes.len() { FaultKind::Syntax } else { FaultKind::Truncated })
    }
}
