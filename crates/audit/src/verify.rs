//! Proof, offline: reads the segments of a journal in order and names the first place that does not hold.
//!
//! What can be proved: no line before the last checkpoint was changed, removed, added or moved by anyone without the
//! signing key, and none after it without recomputing the rest of the chain. What cannot, without a head that was noted
//! elsewhere: that lines after the last checkpoint were not cut off. [`End`] says how many those could be.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    io::{self, BufRead, Read},
};

use portcullis_base::{CallId, Digest, Timestamp, printable};
use serde::Deserialize;

use crate::{
    chain::{CHECKPOINT, HASH, Head, SIGNATURE, SIGNED, link},
    event::Kind,
    json::read_moment,
    sign::PublicKeys,
};

/// The longest line that is read. A checkpoint that lists half a million open calls is shorter.
const LINE: u64 = 16 << 20;
/// `,"hash":"` and 43 characters and `"}`.
const TAIL: usize = HASH.len() + 43 + 2;

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The line is not what was written.
    Changed,
    /// Lines are missing before this one.
    Gap {
        /// The `seq` that should stand here.
        expected: u64,
    },
    /// The line stands here, but belongs elsewhere or stands twice.
    Reordered {
        /// The `seq` that should stand here.
        expected: u64,
    },
    /// The end is missing.
    Truncated,
    /// A checkpoint's signature is not that of its key.
    BadSignature,
    /// A checkpoint is signed by a key that the verifier was not given.
    UnknownKey {
        /// The key's identifier.
        key: String,
    },
    /// The line is of another node's journal.
    ForeignNode {
        /// That node.
        node: String,
    },
    /// The file cannot be read.
    Unreadable {
        /// Why.
        error: String,
    },
}

/// The first place that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name of the segment.
    pub segment: String,
    /// The line in it, from 1.
    pub line: u64,
    /// The `seq` that should stand there.
    pub seq: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

/// How the journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is empty.
    Empty,
    /// It was closed, and the closing is signed.
    Stopped,
    /// It ends with the head that the verifier was given.
    Expected,
    /// It goes on, or its writer died. If lines were cut off here, nothing in the journal can tell.
    Open {
        /// How many lines follow the last checkpoint.
        unsigned: u64,
    },
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose journal.
    pub node: Option<String>,
    /// Segments read.
    pub segments: u64,
    /// Lines that hold.
    pub lines: u64,
    /// Checkpoints among them, their signatures verified.
    pub checkpoints: u64,
    /// The `seq` of the first line. If it is not 1, earlier segments were not given and a checkpoint vouches for them.
    pub first_seq: u64,
    /// The last line that holds.
    pub head: Head,
    /// Time of the first and of the last line.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Calls that were let through and have not ended.
    pub open: BTreeSet<CallId>,
    /// How it ends.
    pub end: End,
    /// The first fault, if any.
    pub fault: Option<Fault>,
}

impl Report {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.fault.is_none()
    }
}

/// Verifies `segments`, given in order with their names. With `expected`, the journal must go through that head.
///
/// spec: T-98: one flipped byte, one line removed, moved or repeated, and this says where.
pub fn verify<R: BufRead>(
    segments: impl IntoIterator<Item = (String, io::Result<R>)>,
    keys: &PublicKeys,
    expected: Option<Head>,
) -> Report {
    let mut verifier = Verifier::new(keys);
    let mut place = (String::new(), 0);
    let mut buffer = Vec::new();
    let mut segments = segments.into_iter();
    let mut fault = None;
    'all: while let Some((name, reader)) = segments.next() {
        verifier.report.segments += 1;
        place = (name, 0);
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                fault = Some(FaultKind::Unreadable { error: error.to_string() });
                break;
            }
        };
        loop {
            match read_line(&mut reader, &mut buffer) {
                Ok(None) => break,
                Ok(Some(line)) => {
                    place.1 += 1;
                    match verifier.line(line).and_then(|()| verifier.passes(expected)) {
                        Ok(()) => {}
                        Err(FaultKind::Gap { expected }) => {
                            let moved = stands_later(expected, reader, segments);
                            let gap = FaultKind::Gap { expected };
                            fault = Some(if moved { FaultKind::Reordered { expected } } else { gap });
                            break 'all;
                        }
                        Err(kind) => {
                            fault = Some(kind);
                            break 'all;
                        }
                    }
                }
                Err(kind) => {
                    place.1 += 1;
                    fault = Some(kind);
                    break 'all;
                }
            }
        }
    }
    let kind = fault.or_else(|| {
        place.1 += 1;
        verifier.missing_end(expected)
    });
    let mut report = verifier.finish();
    report.fault = kind.map(|kind| Fault { segment: place.0, line: place.1, seq: report.head.seq + 1, kind });
    if report.end != End::Stopped && expected == Some(report.head) {
        report.end = End::Expected;
    }
    report
}

/// Reads a line of a segment into `buffer` and gives it without its line end; `None` at the end of the file.
///
/// A last line without a line end is [`FaultKind::Truncated`]; one longer than any that is written is
/// [`FaultKind::Changed`], and the next reading goes on behind the part in `buffer`.
pub fn read_line<'b>(reader: &mut impl BufRead, buffer: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, FaultKind> {
    buffer.clear();
    let read = reader.take(LINE).read_until(b'\n', buffer);
    match read.map_err(|error| FaultKind::Unreadable { error: error.to_string() })? {
        0 => Ok(None),
        length if buffer[length - 1] == b'\n' => Ok(Some(&buffer[..length - 1])),
        length if length as u64 == LINE => Err(FaultKind::Changed),
        _ => Err(FaultKind::Truncated),
    }
}

/// Whether a line that claims the place `seq` stands somewhere in what follows: then it was moved, not removed.
fn stands_later<R: BufRead>(seq: u64, mut rest: R, segments: impl Iterator<Item = (String, io::Result<R>)>) -> bool {
    let claims = format!("{{\"seq\":{seq},");
    let mut buffer = Vec::new();
    let mut found = |reader: &mut R| {
        while let Ok(Some(line)) = read_line(reader, &mut buffer) {
            if line.starts_with(claims.as_bytes()) {
                return true;
            }
        }
        false
    };
    found(&mut rest) || segments.filter_map(|(_, reader)| reader.ok()).any(|mut reader| found(&mut reader))
}

/// Verification line by line.
pub struct Verifier<'a> {
    keys: &'a PublicKeys,
    report: Report,
    /// Lines since the last checkpoint.
    unsigned: u64,
    /// Whether the last line that is not a checkpoint closes the journal.
    stopped: bool,
}

#[derive(Deserialize)]
struct Members<'a> {
    seq: u64,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    call: Option<Cow<'a, str>>,
    effect: Option<Cow<'a, str>>,
    previous: Option<Cow<'a, str>>,
    calls: Option<Vec<Cow<'a, str>>>,
    key: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
}

impl<'a> Verifier<'a> {
    /// Begins before the first line.
    pub fn new(keys: &'a PublicKeys) -> Self {
        let report = Report {
            node: None,
            segments: 0,
            lines: 0,
            checkpoints: 0,
            first_seq: 0,
            head: Head::start(),
            span: None,
            open: BTreeSet::new(),
            end: End::Empty,
            fault: None,
        };
        Self { keys, report, unsigned: 0, stopped: false }
    }

    /// Takes the next line, without its line end. After a fault the verifier is where it was before.
    pub fn line(&mut self, line: &[u8]) -> Result<(), FaultKind> {
        let members: Members<'_> = serde_json::from_slice(line).map_err(|_| FaultKind::Changed)?;
        let at = read_moment(&members.at).ok_or(FaultKind::Changed)?;
        let is_checkpoint = members.event == CHECKPOINT;
        let expected = self.report.head.seq + 1;
        let mut previous = self.report.head.hash;
        if members.seq != expected {
            // A journal whose beginning was archived starts with a checkpoint, which signs the hash before it.
            let starts_here = self.report.lines == 0 && is_checkpoint && members.seq > 1;
            previous = match &members.previous {
                Some(hash) if starts_here => read_hash(hash).ok_or(FaultKind::Changed)?,
                _ if members.seq > expected => return Err(FaultKind::Gap { expected }),
                _ => return Err(FaultKind::Reordered { expected }),
            };
        }
        let hash = linked(&previous, line).ok_or(FaultKind::Changed)?;
        if let Some(node) = &self.report.node
            && *node != members.node
        {
            return Err(FaultKind::ForeignNode { node: printable(&members.node, 128) });
        }
        if is_checkpoint {
            self.signed(line, &members, &previous)?;
        }

        let report = &mut self.report;
        if report.lines == 0 {
            report.node = Some(members.node.into_owned());
            report.first_seq = members.seq;
            report.open.extend(members.calls.iter().flatten().map(|call| CallId::new(call.as_ref())));
        }
        report.lines += 1;
        report.head = Head { seq: members.seq, hash };
        report.span = Some((report.span.map_or(at, |(first, _)| first), at));
        if is_checkpoint {
            report.checkpoints += 1;
            self.unsigned = 0;
            return Ok(());
        }
        self.unsigned += 1;
        self.stopped = members.event == Kind::JournalStopped.as_str();
        if let Some(call) = members.call {
            if members.event == Kind::CallDecided.as_str() && members.effect.as_deref() == Some("allow") {
                report.open.insert(CallId::new(call.as_ref()));
            } else if members.event == Kind::CallEnded.as_str() {
                report.open.remove(&CallId::new(call.as_ref()));
            }
        }
        Ok(())
    }

    fn signed(&self, line: &[u8], members: &Members<'_>, previous: &Digest) -> Result<(), FaultKind> {
        let (Some(key), Some(signature)) = (&members.key, &members.signature) else { return Err(FaultKind::Changed) };
        let key = self.keys.get(key).ok_or_else(|| FaultKind::UnknownKey { key: printable(key, 64) })?;
        let begins = line.len().checked_sub(TAIL + SIGNATURE.len() + signature.len() + 1).ok_or(FaultKind::Changed)?;
        let message = [SIGNED, previous.as_bytes(), &line[..begins]].concat();
        if members.previous.as_deref() != Some(&previous.to_base64url()) || !key.verifies(&message, signature) {
            return Err(FaultKind::BadSignature);
        }
        Ok(())
    }

    fn passes(&self, expected: Option<Head>) -> Result<(), FaultKind> {
        match expected {
            Some(expected) if expected.seq == self.report.head.seq && expected.hash != self.report.head.hash => {
                Err(FaultKind::Changed)
            }
            _ => Ok(()),
        }
    }

    /// What must still follow where the lines end.
    fn missing_end(&self, expected: Option<Head>) -> Option<FaultKind> {
        let too_short = expected.is_some_and(|expected| self.report.head.seq < expected.seq);
        let unsigned_stop = self.stopped && self.unsigned > 0;
        (too_short || unsigned_stop).then_some(FaultKind::Truncated)
    }

    /// What was found.
    pub fn finish(mut self) -> Report {
        self.report.end = match self.report.lines {
            0 => End::Empty,
            _ if self.stopped && self.unsigned == 0 => End::Stopped,
            _ => End::Open { unsigned: self.unsigned },
        };
        self.report
    }
}

/// The hash of `line` after `previous`, if it is the one that stands in its last member.
fn linked(previous: &Digest, line: &[u8]) -> Option<Digest> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let stands = tail.strip_prefix(HASH)?.strip_suffix(b"\"}")?;
    let hash = link(previous, &[body, b"}"]);
    (hash.to_base64url().as_bytes() == stands).then_some(hash)
}

fn read_hash(text: &str) -> Option<Digest> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Digest::from_slice(&bytes))
}
