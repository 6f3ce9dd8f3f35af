//! Server-sent events as the HTML standard reads them, for streams that are rewritten as they pass (TR-11, T-63).

use std::fmt;

/// One block of a stream: what stands between two empty lines.
///
/// A block without data is given too, since it can carry an `id` or `retry` that matters to whoever passes the stream
/// on; a browser would not dispatch it ([`Event::dispatched`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The name; `None` means `message`.
    pub event: Option<String>,
    /// The lines of data, joined by line feeds; `None` if there was no `data` field.
    pub data: Option<String>,
    /// The id of this very block.
    pub id: Option<String>,
    /// The reconnection time in milliseconds.
    pub retry: Option<u64>,
}

/// Bounds of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one line that is not data.
    pub line: usize,
    /// Bytes of one event, its data lines included.
    pub event: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 1 << 20, event: 8 << 20 }
    }
}

/// A stream went over its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// A line is too long.
    Line,
    /// An event is too long.
    Event,
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "a line of the event stream is too long",
            Self::Event => "an event of the stream is too long",
        })
    }
}

impl std::error::Error for Overflow {}

impl Event {
    /// A message: an unnamed event with `data`.
    pub fn message(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// Whether a reader would be given this event: it has data that is not empty.
    pub fn dispatched(&self) -> bool {
        self.data.as_deref().is_some_and(|data| !data.is_empty())
    }

    /// Whether this is a `message` with data, the only kind that carries JSON-RPC.
    pub fn is_message(&self) -> bool {
        self.dispatched() && self.event.as_deref().is_none_or(|name| name.is_empty() || name == "message")
    }

    /// Appends the event to `out` as it stands on the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut field = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.push(b'\n');
        };
        if let Some(name) = &self.event {
            field("event", &one_line(name));
        }
        if let Some(id) = &self.id {
            field("id", &one_line(id));
        }
        if let Some(retry) = self.retry {
            field("retry", &retry.to_string());
        }
        if let Some(data) = &self.data {
            let mut rest = data.as_str();
            while let Some(end) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
                field("data", &rest[..end]);
                let ending = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
                rest = &rest[end + ending..];
            }
            field("data", rest);
        }
        out.push(b'\n');
    }

    /// The event as it stands on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.as_ref().map_or(0, String::len) + 64);
        self.encode(&mut out);
        out
    }
}

/// A line that readers skip: it keeps an idle stream open.
pub const COMMENT: &[u8] = b":\n\n";

/// A value that can end neither its line nor the reader's trust in ids.
fn one_line(value: &str) -> String {
    value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect()
}

/// Bytes in, events out; how the bytes are cut into pieces makes no difference.
///
/// spec: TR-11
///
/// What stands after the last empty line when the stream ends is no event, as the standard has it.
pub struct Decoder {
    limits: Limits,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    returned: bool,
    /// No line has been read yet: it may begin with a byte order mark.
    first: bool,
    data: Option<Vec<u8>>,
    event: Event,
    /// The block has had a field.
    begun: bool,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        let event = Event::default();
        Self { limits, line: Vec::new(), returned: false, first: true, data: None, event, begun: false }
    }

    /// Takes the next piece and gives `each` the events that it completes.
    pub fn feed(&mut self, mut piece: &[u8], mut each: impl FnMut(Event)) -> Result<(), Overflow> {
        if piece.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.returned) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', piece) {
            if self.line.is_empty() {
                self.line_ended(&piece[..end], &mut each)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&piece[..end]);
                self.line_ended(&line, &mut each)?;
                line.clear();
                self.line = line;
            }
            let returned = piece[end] == b'\r';
            piece = &piece[end + 1..];
            if returned {
                self.returned = piece.is_empty();
                piece = piece.strip_prefix(b"\n").unwrap_or(piece);
            }
        }
        self.line.extend_from_slice(piece);
        self.bounded(&self.line)
    }

    /// spec: T-63
    fn bounded(&self, line: &[u8]) -> Result<(), Overflow> {
        // A result is one line of data, so data is held to the size of an event.
        let is_data = line.starts_with(b"data:") || (self.first && line.starts_with(b"\xef\xbb\xbfdata:"));
        if !is_data && line.len() > self.limits.line {
            return Err(Overflow::Line);
        }
        if line.len() + self.data.as_ref().map_or(0, Vec::len) > self.limits.event {
            return Err(Overflow::Event);
        }
        Ok(())
    }

    fn line_ended(&mut self, line: &[u8], each: &mut impl FnMut(Event)) -> Result<(), Overflow> {
        self.bounded(line)?;
        let line =
            if std::mem::take(&mut self.first) { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            if std::mem::take(&mut self.begun) {
                let mut event = std::mem::take(&mut self.event);
                event.data = self.data.take().map(text);
                each(event);
            }
            return Ok(());
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(colon) => (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])),
            None => (line, &b""[..]),
        };
        match name {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"event" => self.event.event = Some(text(value.to_vec())),
            b"id" if !value.contains(&0) => self.event.id = Some(text(value.to_vec())),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.event.retry = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            _ => return Ok(()),
        }
        self.begun = true;
        Ok(())
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned())
}
