//! One message a line: what a process writes on its standard output. spec: TR-150, TR-151

use std::time::{Duration, Instant};

use serde_json::value::RawValue;

/// The longest line that is taken for a message.
const LONGEST: usize = 16 << 20;
/// Bytes a minute that may be no messages: servers write what belongs elsewhere, but not forever.
const STRAY: usize = 4 << 20;
const MINUTE: Duration = Duration::from_mins(1);

/// A process writes more that is no message than can be put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood(pub &'static str);

/// Cuts what comes into lines.
pub(super) struct Framing {
    pending: Vec<u8>,
    /// How much of it was searched for an end of line.
    searched: usize,
    minute: Instant,
    stray: usize,
    /// Lines so far that were no messages.
    pub(super) skipped: u64,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Message(Box<str>),
    Stray(Vec<u8>),
}

impl Framing {
    pub(super) fn new(now: Instant) -> Self {
        Self { pending: Vec::new(), searched: 0, minute: now, stray: 0, skipped: 0 }
    }

    /// Where the next bytes are put.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// The next line that is complete.
    pub(super) fn next(&mut self, now: Instant) -> Result<Option<Piece>, Flood> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.pending[self.searched..]) else {
                self.searched = self.pending.len();
                let long = self.searched > LONGEST;
                return if long { Err(Flood("it writes a line without end")) } else { Ok(None) };
            };
            let rest = self.pending.split_off(self.searched + end + 1);
            let mut line = std::mem::replace(&mut self.pending, rest);
            self.searched = 0;
            let size = line.len();
            line.truncate(size - 1);
            let line = match message(line) {
                Ok(message) => return Ok(Some(Piece::Message(message))),
                Err(line) => line,
            };
            if now.saturating_duration_since(self.minute) >= MINUTE {
                (self.minute, self.stray) = (now, 0);
            }
            self.stray += size;
            if self.stray > STRAY {
                return Err(Flood("it floods its output with what is no message"));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                self.skipped += 1;
                return Ok(Some(Piece::Stray(line)));
            }
        }
    }
}

/// A line that is JSON as messages are: an object, or a batch of them.
fn message(line: Vec<u8>) -> Result<Box<str>, Vec<u8>> {
    let text = String::from_utf8(line).map_err(std::string::FromUtf8Error::into_bytes)?;
    let begins = matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'['));
    if begins && serde_json::from_str::<&RawValue>(&text).is_ok() {
        let trimmed = text.trim();
        return Ok(if trimmed.len() == text.len() { text.into() } else { trimmed.into() });
    }
    Err(text.into_bytes())
}

/// A message as a line: an end of line in JSON text can only stand between its parts.
// spec: TR-150: "one JSON message per line, UTF-8, no embedded newline"
pub(super) fn line(message: &str) -> Vec<u8> {
    let mut line: Vec<u8> =
        message.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(framing: &mut Framing, bytes: &[u8]) -> Vec<Piece> {
        framing.room().extend_from_slice(bytes);
        std::iter::from_fn(|| framing.next(Instant::now()).expect("no flood")).collect()
    }

    // spec: TR-150, TR-151
    #[test]
    fn messages_are_lines_and_everything_else_is_skipped_and_counted() {
        let mut framing = Framing::new(Instant::now());
        assert_eq!(pieces(&mut framing, b"{\"id\""), []);
        assert_eq!(
            pieces(&mut framing, b":1}\r\n\nhello\n"),
            [Piece::Message("{\"id\":1}".into()), Piece::Stray(b"hello".to_vec())]
        );
        let odd = [&b"{\"id\":1} {}\n"[..], b"{\xff}\n", b"7\n", b"{\n", b"\"x\"\n"];
        for (line, n) in odd.iter().zip(2..) {
            assert!(matches!(pieces(&mut framing, line)[..], [Piece::Stray(_)]));
            assert_eq!(framing.skipped, n);
        }
        assert_eq!(line("{\"a\":\n\r\"b\\n\"}"), b"{\"a\":  \"b\\n\"}\n");
    }

    // spec: TR-151
    #[test]
    fn flood_is_noticed_with_and_without_ends_of_lines() {
        let mut framing = Framing::new(Instant::now());
        framing.room().extend(std::iter::repeat_n(b'x', LONGEST + 1));
        assert!(framing.next(Instant::now()).is_err());
        let (began, mut framing) = (Instant::now(), Framing::new(Instant::now()));
        let mut flooded = None;
        for n in 0..100 {
            framing.room().extend(std::iter::repeat_n(b'x', 100_000));
            framing.room().push(b'\n');
            flooded = flooded.or(framing.next(began).is_err().then_some(n));
        }
        assert_eq!(flooded, Some(STRAY / 100_001));
        let mut slow = Framing::new(began);
        for n in 0..100 {
            slow.room().extend(std::iter::repeat_n(b'x', 100_000));
            slow.room().push(b'\n');
            assert!(slow.next(began + MINUTE * n).is_ok());
        }
    }
}
