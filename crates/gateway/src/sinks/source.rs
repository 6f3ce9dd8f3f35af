//! One journal that a sink follows: its lines, the batch that is under way, and how far everything was passed on.

use std::{io, ops::Range, path::PathBuf};

use portcullis_base::{Digest, Timestamp};

use super::{
    COMMANDS, Parts, folder,
    progress::{Failing, Progress},
    receiver::Item,
};
use crate::journal::{Follower, Journal, Lines};

/// Lines of a batch, and about its bytes.
const LINES: usize = 1000;
const BYTES: usize = 1 << 20;
/// A batch of which nothing at all was taken grows, up to so many times as large: it may be that others follow.
const GROWTH: usize = 16;
/// Lines that are read at a time, of which few may be for this sink.
const READ: usize = 20_000;
/// Lines that are not for this sink are remembered as passed over after so many.
const PASSED: u64 = 1000;
/// How far it goes back in a journal that was cut back: more than a machine keeps in memory before it writes it.
const BACK: u64 = 100_000;

/// What is to be sent of one journal.
pub(super) struct Source {
    pub journal: String,
    own: Option<Own>,
    dir: PathBuf,
    file: PathBuf,
    lines: Option<Lines>,
    progress: Progress,
    /// What of the progress is on the disk.
    saved: Option<Progress>,
    /// The last line that was read, and its digest.
    read: (u64, Option<String>),
    pub batch: Vec<Item>,
    bytes: usize,
    pub round: Round,
    /// How often nothing of the batch was taken.
    held: u32,
}

/// The journal that this process writes, and its word that nothing is removed before we have it.
struct Own {
    journal: Journal,
    mark: Follower,
}

/// How far the attempts at one batch have come.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// What is still to be tried, the next one last.
    pub pending: Vec<Range<usize>>,
    /// Whether anything was taken.
    pub taken: bool,
    /// Lines that were refused by themselves, and why.
    pub refused: Vec<(usize, String)>,
    /// Requests that were refused.
    pub refusals: u32,
}

impl Round {
    /// Before the first attempt at so many lines.
    fn of(lines: usize) -> Self {
        Self { pending: std::iter::once(0..lines).collect(), ..Self::default() }
    }
}

impl Source {
    pub fn new(parts: &Parts<'_>, sink: &str, journal: &str) -> Self {
        let file = folder(parts.data, sink).join(format!("{journal}.json"));
        let progress = Progress::read(&file).unwrap_or_default();
        let own = (journal != COMMANDS).then(|| Own {
            mark: parts.journal.follower(&format!("sink {sink}"), progress.seq),
            journal: parts.journal.clone(),
        });
        Self {
            journal: journal.to_owned(),
            own,
            dir: parts.data.join("journal"),
            file,
            lines: None,
            progress,
            saved: None,
            read: (0, None),
            batch: Vec::new(),
            bytes: 0,
            round: Round::default(),
            held: 0,
        }
    }

    /// Reads on, unless a part of the batch was sent already; `item` makes of a line what is to be sent of it. Says whether
    /// there is more.
    pub fn fill(&mut self, mut item: impl FnMut(&[u8]) -> Option<Item>) -> io::Result<bool> {
        if self.round.taken || !self.round.refused.is_empty() {
            return Ok(true);
        }
        let head = self.own.as_ref().map(|own| own.journal.head().seq);
        let mut lines = match self.lines.take() {
            Some(lines) => lines,
            None => self.open(head)?,
        };
        lines.set_head(head);
        let room = GROWTH.min(1 << self.held.min(8));
        let mut read = 0;
        let is_full = loop {
            if read == READ || self.batch.len() >= LINES * room || self.bytes >= BYTES * room {
                break true;
            }
            let Some(line) = lines.next_line()? else { break false };
            read += 1;
            self.read = (line.seq, Some(Digest::of(line.bytes).to_string()));
            if let Some(item) = item(line.bytes) {
                self.bytes += item.bytes.len();
                self.batch.push(item);
            }
        };
        self.lines = Some(lines);
        self.round = Round::of(self.batch.len());
        Ok(is_full)
    }

    /// The lines after the last one that was read, in this run or before.
    fn open(&mut self, head: Option<u64>) -> io::Result<Lines> {
        if self.saved.is_some() {
            return Lines::open(&self.dir, &self.journal, self.read.0, head);
        }
        self.progress = Progress::read(&self.file)?;
        let seq = self.progress.seq;
        // The line at which it stopped, to see whether it is still that one.
        let mut lines = Lines::open(&self.dir, &self.journal, seq.saturating_sub(1), head)?;
        let found = if seq == 0 { None } else { lines.next_line()?.map(|line| (line.seq, Digest::of(line.bytes))) };
        let is_there = match found {
            _ if seq == 0 => true,
            Some((at, digest)) if at == seq => {
                self.progress.line.as_ref().is_none_or(|known| *known == digest.to_string())
            }
            // It was removed because its time was over.
            Some(_) => {
                lines = Lines::open(&self.dir, &self.journal, seq, head)?;
                true
            }
            None => false,
        };
        if !is_there {
            let back = head.map_or(seq, |head| head.min(seq)).saturating_sub(BACK);
            tracing::warn!(
                journal = self.journal,
                seq,
                back,
                "the journal has lost lines that this sink had sent; it goes back and sends what follows again"
            );
            self.progress.seq = back;
            lines = Lines::open(&self.dir, &self.journal, back, head)?;
        }
        self.read = (self.progress.seq, self.progress.line.clone());
        self.saved = Some(self.progress.clone());
        Ok(lines)
    }

    /// Begins the batch anew, because nothing of it was taken.
    pub fn hold(&mut self) {
        self.held += 1;
        self.round = Round::of(self.batch.len());
    }

    /// Whether nothing of the batch was taken the last time either.
    pub fn is_held(&self) -> bool {
        self.held > 0
    }

    /// Counts lines that will never be passed on.
    pub fn count_refused(&mut self, lines: u64) {
        self.progress.refused += lines;
    }

    /// Notes that the whole batch was passed on, and all that was read with it.
    pub fn done(&mut self) {
        self.batch.clear();
        (self.bytes, self.held, self.round) = (0, 0, Round::default());
        (self.progress.seq, self.progress.line) = self.read.clone();
    }

    /// Remembers how far it has come, if that is worth a write; then the journal may remove what is behind.
    pub fn save(&mut self, when: When) -> io::Result<()> {
        let Some(saved) = &self.saved else { return Ok(()) };
        let passed = self.progress.seq - saved.seq.min(self.progress.seq);
        if *saved == self.progress || (when == When::Worth && passed < PASSED) {
            return Ok(());
        }
        self.progress.write(&self.file)?;
        self.saved = Some(self.progress.clone());
        if let Some(own) = &self.own {
            own.mark.taken(self.progress.seq);
        }
        Ok(())
    }

    /// Remembers why nothing goes on, or that it does.
    pub fn note(&mut self, failing: Option<&Failing>) {
        self.progress.failing = failing.cloned();
        if let Err(error) = self.save(When::Now) {
            tracing::warn!(%error, file = %self.file.display(), "how a sink is cannot be written down");
        }
    }

    /// Lines that were not passed on.
    pub fn lag(&self) -> u64 {
        let place = self.batch.first().map_or(self.read.0, |item| item.seq.saturating_sub(1));
        match &self.own {
            Some(own) => own.journal.head().seq.saturating_sub(place),
            None => self.read.0.saturating_sub(place),
        }
    }

    /// When the first line that waits is from.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.batch.first().and_then(|item| item.at)
    }
}

/// When progress is written to the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Something was sent, or it is the end.
    Now,
    /// Lines were passed over.
    Worth,
}
