//! The client's side: one message a line on standard input and output, and never anything else.

use std::{
    io::{self, BufRead, Write},
    thread,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::failure::{Failure, Result};

/// The longest line that a client may send.
pub const LONGEST: usize = 16 << 20;
/// Lines that wait to be dealt with, in each direction.
const WAITING: usize = 64;

/// What comes from the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Text(Vec<u8>),
    /// More than [`LONGEST`] without an end; it was skipped.
    TooLong,
}

/// What goes to the client.
pub type Out = mpsc::Sender<Box<str>>;

/// Says when everything was written.
pub struct Written(oneshot::Receiver<()>);

/// The lines of standard input, until its end. They are read by a thread of their own that nobody waits for: a read that
/// never returns keeps nothing from ending.
pub fn input() -> Result<mpsc::Receiver<Line>> {
    let (to, lines) = mpsc::channel(WAITING);
    let read = move || {
        let mut from = io::stdin().lock();
        while let Ok(Some(line)) = next(&mut from) {
            if to.blocking_send(line).is_err() {
                return;
            }
        }
    };
    spawn("input", read)?;
    Ok(lines)
}

/// Standard output, one message a line. It is closed when nobody reads it any more.
pub fn output() -> Result<(Out, Written)> {
    let (out, mut lines) = mpsc::channel::<Box<str>>(WAITING);
    let (done, written) = oneshot::channel();
    let write = move || {
        let mut to = io::stdout().lock();
        while let Some(line) = lines.blocking_recv() {
            if write(&mut to, &line, lines.is_empty()).is_err() {
                break;
            }
        }
        drop(lines);
        let _ = done.send(());
    };
    spawn("output", write)?;
    Ok((out, Written(written)))
}

impl Written {
    /// Waits until everything is written and nobody writes any more, but not for ever: a client may have stopped reading.
    pub async fn wait(self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.0).await;
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| Failure::new(format!("no thread can be started: {error}")))
}

/// The next line that is not empty; `None` at the end. A last line without an end counts.
fn next(from: &mut impl BufRead) -> io::Result<Option<Line>> {
    let (mut line, mut too_long) = (Vec::new(), false);
    loop {
        let piece = match from.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let at_end = piece.is_empty();
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(piece.len());
        too_long |= line.len() + taken > LONGEST;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(&piece[..taken]);
        }
        from.consume(end.map_or(taken, |end| end + 1));
        if end.is_none() && !at_end {
            continue;
        }
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Line::Text(line)));
        }
        if at_end {
            return Ok(None);
        }
        line.clear();
    }
}

/// spec: TR-150: one message per line. In checked JSON a line end can only be a blank between two tokens.
fn write(to: &mut impl Write, message: &str, last: bool) -> io::Result<()> {
    let mut rest = message.as_bytes();
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        to.write_all(&rest[..end])?;
        to.write_all(b" ")?;
        rest = &rest[end + 1..];
    }
    to.write_all(rest)?;
    to.write_all(b"\n")?;
    if last { to.flush() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Line> {
        let mut from = io::BufReader::with_capacity(7, text);
        std::iter::from_fn(|| next(&mut from).expect("memory can be read")).collect()
    }

    #[test]
    fn lines_are_read_whole_however_they_come() {
        let text = |text: &str| Line::Text(text.as_bytes().to_vec());
        assert_eq!(
            all(b"{\"a\":1}\n\n  \n{\"b\":2, \"c\":3}\r\n{}"),
            [text("{\"a\":1}"), text("{\"b\":2, \"c\":3}\r"), text("{}")]
        );
        assert_eq!(all(b""), []);
    }

    #[test]
    fn what_is_too_long_is_skipped_and_said() {
        let mut input = vec![b'x'; LONGEST + 1];
        input.extend_from_slice(b"\n{}\n");
        assert_eq!(all(&input), [Line::TooLong, Line::Text(b"{}".to_vec())]);
    }

    /// spec: TR-150
    #[test]
    fn a_message_is_one_line() {
        let mut out = Vec::new();
        write(&mut out, "{\n  \"a\":\r\n\"\\n\"}", true).expect("memory can be written");
        assert_eq!(out, b"{   \"a\":  \"\\n\"}\n");
    }
}
