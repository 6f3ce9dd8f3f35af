//! The lines of one node's journal from a place on: over plain and sealed segments, while the journal grows, while segments
//! are being sealed and removed. For whatever follows the journal: the index, what is sent elsewhere, exports.
//!
//! A cursor is a `seq` and nothing else. To find it again costs one segment read up to it (at most some 64 MiB; a tenth of
//! a second), so whoever follows keeps its [`Lines`] and asks it again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use portcullis_audit::{FaultKind, read_line};

use super::stored::{SegmentReader, Stored, stored};

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// Its place.
    pub seq: u64,
    /// Its bytes as they stand in the journal, without the line end.
    pub bytes: &'l [u8],
}

/// Reads a journal line by line.
pub struct Lines {
    dir: PathBuf,
    /// The last line that was given, or that nobody wants.
    after: u64,
    head: Option<u64>,
    segment: Option<Open>,
    buffer: Vec<u8>,
    skipped: u64,
}

/// The segment that is being read.
struct Open {
    first_seq: u64,
    reader: SegmentReader,
    /// Bytes of it that were read as lines.
    offset: u64,
}

/// What the next reading has found.
enum Found {
    Wanted(u64),
    Unwanted,
    Beyond,
    End,
}

impl Lines {
    /// The journal of `node` in `dir`, the directory of all journals, after the line `after_seq` (0: from its beginning).
    ///
    /// With `head`, lines beyond it are not given: the writer may still take them back. `None` is for a journal that
    /// another process writes, or nobody. A journal that is not there yet is an empty one. Where what follows
    /// `after_seq` was removed, the first line is a later one.
    pub fn open(dir: &Path, node: &str, after_seq: u64, head: Option<u64>) -> io::Result<Self> {
        let dir = dir.join(node);
        match fs::metadata(&dir) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { dir, after: after_seq, head, segment: None, buffer: Vec::new(), skipped: 0 })
    }

    /// Lines up to this one may be given now.
    pub fn set_head(&mut self, head: Option<u64>) {
        self.head = head;
    }

    /// The last line that was given: the cursor.
    pub fn seq(&self) -> u64 {
        self.after
    }

    /// Lines that have no place of their own and were passed over: nothing the journal writes, so the file was damaged.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next line; `None` when there is none yet. Ask again later: nothing is lost by that.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.head.is_some_and(|head| self.after >= head) {
            return Ok(None);
        }
        // Once more after an end at which nothing followed: lines may have come between the reading and the look around.
        let mut looked = None;
        loop {
            if self.segment.is_none() && !self.enter(None)? {
                return Ok(None);
            }
            match self.read()? {
                Found::Wanted(seq) => {
                    self.after = seq;
                    return Ok(Some(Line { seq, bytes: &self.buffer[..self.buffer.len() - 1] }));
                }
                Found::Unwanted => {}
                Found::Beyond => return Ok(None),
                Found::End => {
                    let place = self.segment.as_ref().map(|open| (open.first_seq, open.offset));
                    let next = self.following()?;
                    match next {
                        None => {
                            // A file that never had a whole line is made anew by a writer that begins again.
                            if self.segment.as_ref().is_some_and(|open| open.offset == 0) {
                                self.segment = None;
                            }
                            return Ok(None);
                        }
                        // Named by the line that comes next, so nothing can be added to this one any more.
                        Some(first) if first == self.after + 1 || looked == place => {
                            if !self.enter(Some(first))? {
                                return Ok(None);
                            }
                        }
                        Some(_) => looked = place,
                    }
                }
            }
        }
    }

    /// Reads one line into the buffer.
    fn read(&mut self) -> io::Result<Found> {
        let Some(open) = &mut self.segment else { return Ok(Found::End) };
        match read_line(&mut open.reader, &mut self.buffer) {
            Ok(Some(line)) => {
                let length = line.len() as u64 + 1;
                let seq = place(line);
                if let Some(seq) = seq
                    && self.head.is_some_and(|head| seq > head)
                {
                    open.reader.reread(open.offset)?;
                    return Ok(Found::Beyond);
                }
                open.offset += length;
                match seq {
                    Some(seq) if seq > self.after => Ok(Found::Wanted(seq)),
                    Some(_) => Ok(Found::Unwanted),
                    None => {
                        self.skipped += 1;
                        tracing::warn!(journal = %self.dir.display(), segment = open.first_seq, offset = open.offset - length, "a journal line has no place and is passed over");
                        Ok(Found::Unwanted)
                    }
                }
            }
            // The end, or a line that is being written, or one that its writer has taken back meanwhile.
            Ok(None) | Err(FaultKind::Truncated) => {
                if open.reader.length()?.is_some_and(|length| length < open.offset) {
                    open.offset = 0;
                }
                open.reader.reread(open.offset)?;
                Ok(Found::End)
            }
            Err(FaultKind::Unreadable { error }) => Err(io::Error::other(error)),
            // A line longer than any we write: over it in portions, each counted.
            Err(_) => {
                self.skipped += 1;
                open.offset += self.buffer.len() as u64;
                Ok(Found::Unwanted)
            }
        }
    }

    /// The first segment after the one that is being read.
    fn following(&self) -> io::Result<Option<u64>> {
        let Some(open) = &self.segment else { return Ok(None) };
        let later = |stored: &&Stored| stored.first_seq > open.first_seq && stored.has_lines();
        Ok(list(&self.dir)?.iter().find(later).map(|stored| stored.first_seq))
    }

    /// Opens the segment that begins with `first`, or else the one in which the wanted line is or would be.
    fn enter(&mut self, first: Option<u64>) -> io::Result<bool> {
        loop {
            let all: Vec<_> = list(&self.dir)?.into_iter().filter(Stored::has_lines).collect();
            let wanted = match first {
                Some(first) => all.iter().find(|stored| stored.first_seq >= first),
                None => all.iter().rev().find(|stored| stored.first_seq <= self.after + 1).or_else(|| all.first()),
            };
            let Some(stored) = wanted else { return Ok(false) };
            match SegmentReader::open(stored) {
                Ok(reader) => {
                    self.segment = Some(Open { first_seq: stored.first_seq, reader, offset: 0 });
                    return Ok(true);
                }
                // Sealed or removed since the listing: look again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The segments; none where there is no directory yet.
fn list(dir: &Path) -> io::Result<Vec<Stored>> {
    match stored(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// The place that a line claims in its first member.
fn place(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let end = digits.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}
