//! Where requests begin and end on a connection, read more strictly than HTTP needs: enough to see every head whole.

use memchr::memchr;

/// The longest line that is looked into. HTTP refuses longer heads by itself, with 431.
const LINE: usize = 64 * 1024;

/// Where the bytes of a connection are.
#[derive(Default)]
pub(super) struct Framing {
    place: Place,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    Body(u64),
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailer,
}

/// What the lines of a head have said so far.
#[derive(Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

/// A head that must not be read by anybody.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where in the piece it began.
    pub head: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Framing {
    /// Follows the next bytes of the connection.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let (mut at, mut head) = (0, 0);
        while at < piece.len() {
            match self.place {
                Place::Body(left) | Place::Chunk(left) => {
                    let n = left.min((piece.len() - at) as u64);
                    at += n as usize;
                    self.place = match (self.place, left - n) {
                        (Place::Body(_), 0) => {
                            head = at;
                            Place::Head
                        }
                        (Place::Body(_), left) => Place::Body(left),
                        (_, 0) => Place::ChunkEnd,
                        (_, left) => Place::Chunk(left),
                    };
                }
                Place::Head | Place::Size | Place::ChunkEnd | Place::Trailer => {
                    let Some(end) = memchr(b'\n', &piece[at..]) else {
                        return self.keep(&piece[at..]).map_err(|why| Fault { head, why });
                    };
                    let line = &piece[at..at + end];
                    at += end + 1;
                    let taken = if self.line.is_empty() {
                        self.end_of_line(line)
                    } else {
                        let mut whole = std::mem::take(&mut self.line);
                        whole.extend_from_slice(line);
                        self.end_of_line(&whole)
                    };
                    if taken.map_err(|why| Fault { head, why })? {
                        head = at;
                    }
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), &'static str> {
        if self.line.len() + part.len() > LINE {
            return Err("a line without end");
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Takes a line up to its line feed; whether a request ended with it.
    fn end_of_line(&mut self, line: &[u8]) -> Result<bool, &'static str> {
        let Some((b'\r', line)) = line.split_last() else { return Err("a bare line feed") };
        if memchr(b'\r', line).is_some() {
            return Err("a bare carriage return");
        }
        match self.place {
            Place::Head if line.is_empty() => return Ok(self.end_of_head()),
            Place::Head if !self.head.begun => self.head.begun = true,
            Place::Head => self.head.field(line)?,
            Place::Size => {
                self.place = match chunk_size(line).ok_or("a chunk without a size")? {
                    0 => Place::Trailer,
                    size => Place::Chunk(size),
                }
            }
            Place::ChunkEnd if line.is_empty() => self.place = Place::Size,
            Place::ChunkEnd => return Err("a chunk that is longer than it says"),
            Place::Trailer if line.is_empty() => {
                self.place = Place::Head;
                return Ok(true);
            }
            Place::Trailer | Place::Body(_) | Place::Chunk(_) => {}
        }
        Ok(false)
    }

    fn end_of_head(&mut self) -> bool {
        // An empty line before the first is no head yet (RFC 9112 §2.2).
        let Head { begun, length, chunked } = std::mem::take(&mut self.head);
        self.place = match (chunked, length) {
            (true, _) => Place::Size,
            (false, Some(length @ 1..)) => Place::Body(length),
            _ => Place::Head,
        };
        begun && self.place == Place::Head
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a folded line");
        }
        let colon = memchr(b':', line).ok_or("a line without a colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return Err("a blank in a header's name");
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() || self.chunked {
                return Err("more than one length");
            }
            let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
            self.length = Some(digits.and_then(|v| v.parse().ok()).ok_or("a length that is no number")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.length.is_some() || self.chunked {
                return Err("more than one length");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("an encoding other than chunked");
            }
            self.chunked = true;
        }
        Ok(())
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = memchr(b';', line).unwrap_or(line.len());
    let digits = std::str::from_utf8(line[..end].trim_ascii_end()).ok()?;
    let plain = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of every size; the verdict must not depend on it.
    fn verdict(text: &str) -> Result<(), &'static str> {
        let mut whole = None;
        for size in 1..=text.len() {
            let mut framing = Framing::default();
            let verdict = text.as_bytes().chunks(size).try_for_each(|piece| framing.take(piece).map_err(|f| f.why));
            let verdict =
                verdict.map(|()| assert!(framing.place == Place::Head && framing.line.is_empty(), "{text:?}"));
            assert_eq!(*whole.get_or_insert(verdict), verdict, "{text:?} in pieces of {size}");
        }
        whole.expect("a text")
    }

    #[test]
    fn requests_are_followed_from_one_to_the_next() {
        let chunked =
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n\nGET \r\n0\r\nT: x\r\n\r\n";
        let sized = "POST / HTTP/1.1\r\nContent-Length: 17\r\nHost: a\r\n\r\nGET / HTTP/1.1\n\n\n";
        let empty = "\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\n\r\n";
        assert_eq!(verdict(&[chunked, sized, empty, sized].concat()), Ok(()));
    }

    /// spec: T-68
    #[test]
    fn heads_that_two_parsers_could_read_differently_are_refused() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        for (lines, why) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "more than one length"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "more than one length"),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", "more than one length"),
            ("Content-Length: 5, 5\r\n", "a length that is no number"),
            ("Content-Length: +5\r\n", "a length that is no number"),
            ("Content-Length: 0x5\r\n", "a length that is no number"),
            ("Content-Length:\r\n", "a length that is no number"),
            ("Transfer-Encoding: gzip, chunked\r\n", "an encoding other than chunked"),
            ("Transfer-Encoding: xchunked\r\n", "an encoding other than chunked"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "more than one length"),
            ("Transfer-Encoding : chunked\r\n", "a blank in a header's name"),
            ("X: a\r\n b\r\n", "a folded line"),
            ("X: a\nY: b\r\n", "a bare line feed"),
            ("X: a\rY: b\r\n", "a bare carriage return"),
            ("no colon\r\n", "a line without a colon"),
        ] {
            assert_eq!(verdict(&head(lines)), Err(why), "{lines:?}");
        }
        let chunks = |body: &str| head("Transfer-Encoding: chunked\r\n") + body;
        for (body, why) in [
            ("5\nhello\r\n0\r\n\r\n", "a bare line feed"),
            ("5;a\nb\r\nhello\r\n0\r\n\r\n", "a bare line feed"),
            ("3\r\nhello\r\n0\r\n\r\n", "a chunk that is longer than it says"),
            ("-1\r\n\r\n", "a chunk without a size"),
            ("ffffffffffffffff0\r\n\r\n", "a chunk without a size"),
        ] {
            assert_eq!(verdict(&chunks(body)), Err(why), "{body:?}");
        }
    }

    /// spec: T-68
    #[test]
    fn a_fault_names_where_its_head_began() {
        let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let bad = "GET / HTTP/1.1\r\nHost: a\n\r\n";
        let fault = Framing::default().take([good, good, bad].concat().as_bytes()).unwrap_err();
        assert_eq!(fault, Fault { head: 2 * good.len(), why: "a bare line feed" });
    }
}
