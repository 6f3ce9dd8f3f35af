//! The one writer. Two locks: the *queue*, held for the microsecond in which an event becomes a line, and the *file*,
//! held for a write. Whoever gets the file takes everything that is queued, so a burst costs one write.
//!
//! If a write fails, neither what was taken nor what was queued meanwhile (its hashes build on the former) is in the
//! journal: the chain goes back to the last line in the file, and every waiting caller is told.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use portcullis_audit::{Chain, Event, Head, Kind, Signer};
use portcullis_base::{CallId, Clock, Timestamp};
use tokio::sync::Notify;

use super::{
    Durability, JournalError, JournalHealth, Limits, Position,
    follow::Followers,
    group::Group,
    segment::{Segment, Sync},
    space::{SharedSpace, Space, free},
};

/// How often the room on the disk is looked at.
const MEASURED_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    clock: Arc<dyn Clock>,
    durability: Durability,
    limits: Limits,
    signer: Signer,
    node: String,
    dir: PathBuf,
    queue: Mutex<Queue>,
    output: Mutex<Output>,
    state: Mutex<State>,
    pub(super) space: SharedSpace,
    /// When the room was looked at.
    measured: Mutex<Option<Timestamp>>,
    followers: Followers,
    /// Wakes whoever keeps the segments.
    due: Notify,
    /// Held as long as the writer lives: no other process writes here.
    _lock: File,
}

/// Lines that wait to be written.
struct Queue {
    chain: Chain,
    lines: Vec<u8>,
    /// Whose lines they are.
    group: Arc<Group>,
    /// Whether somebody has undertaken to write this group (under `power`).
    led: bool,
    /// What the lines change in `open`, to be undone if they are not written.
    changes: Vec<Change>,
    /// Calls that were let through and have not ended.
    open: HashSet<CallId>,
    /// Events that nobody waits for and that are not lines yet.
    later: VecDeque<Event>,
    lost: u64,
    unsigned: u64,
    signed_at: Timestamp,
    stopped: bool,
}

enum Change {
    Opened(CallId),
    Closed(CallId),
}

/// The file, and what was taken from the queue for it.
struct Output {
    segment: Option<Segment>,
    /// The last line in the file.
    head: Head,
    lines: Vec<u8>,
    changes: Vec<Change>,
    /// Events that nobody waits for, kept until their lines are written.
    later: Vec<Event>,
}

/// What others may ask at any time, without waiting for a write.
struct State {
    head: Head,
    failing: Option<(Timestamp, String)>,
}

/// Which calls a checkpoint lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Counted,
    Listed,
}

/// Where a writer begins.
pub(super) struct Start {
    pub(super) chain: Chain,
    pub(super) segment: Option<Segment>,
    pub(super) open: HashSet<CallId>,
    pub(super) lock: File,
    pub(super) node: String,
    pub(super) dir: PathBuf,
    pub(super) signer: Signer,
}

impl Queue {
    /// Makes `event` a line, and notes what it means for the open calls.
    fn encode(&mut self, event: &Event) -> u64 {
        let seq = self.chain.append(event, &mut self.lines);
        self.unsigned += 1;
        if let Some(call) = &event.call {
            let allowed = event.decision.as_ref().is_some_and(|decision| decision.effect == "allow");
            if event.kind == Kind::CallDecided && allowed && self.open.insert(call.clone()) {
                self.changes.push(Change::Opened(call.clone()));
            } else if event.kind == Kind::CallEnded && self.open.remove(call) {
                self.changes.push(Change::Closed(call.clone()));
            }
        }
        seq
    }
}

impl Writer {
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    pub(super) fn new(start: Start, durability: Durability, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let head = start.chain.head();
        let queue = Queue {
            chain: start.chain,
            lines: Vec::new(),
            group: Group::new(),
            led: false,
            changes: Vec::new(),
            open: start.open,
            later: VecDeque::new(),
            lost: 0,
            unsigned: 0,
            signed_at: clock.now(),
            stopped: false,
        };
        let output = Output { segment: start.segment, head, lines: Vec::new(), changes: Vec::new(), later: Vec::new() };
        let writer = Self {
            clock,
            durability,
            limits,
            signer: start.signer,
            dir: start.dir,
            queue: Mutex::new(queue),
            state: Mutex::new(State { head, failing: None }),
            space: SharedSpace::default(),
            measured: Mutex::default(),
            followers: Followers::default(),
            due: Notify::new(),
            node: start.node,
            _lock: start.lock,
            output: Mutex::new(output),
        };
        if writer.output().segment.is_none() {
            writer.checkpoint(&mut writer.queue(), Calls::Listed);
        }
        writer
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn followers(&self) -> &Followers {
        &self.followers
    }

    /// Returns when there is something to keep: a segment is full, or room has become scarce.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// Waits until everything written so far is on the disk; nobody who writes waits for that.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file = self.output().segment.as_ref().map(Segment::handle).transpose()?;
        file.map_or(Ok(()), |file| file.sync_all())
    }

    /// Appends and writes in this thread, unless somebody who held the file in between has done it.
    pub(super) fn append_here(&self, event: &Event) -> Result<Position, JournalError> {
        let (position, group) = {
            let mut queue = self.queue();
            (self.enqueue(&mut queue, event)?, Arc::clone(&queue.group))
        };
        self.write_out(&group)?;
        Ok(position)
    }

    /// Appends and waits for a blocking thread that writes this event's group, starting it if nobody has.
    pub(super) async fn append_behind(writer: &Arc<Self>, event: &Event) -> Result<Position, JournalError> {
        let (position, group, leads) = {
            let mut queue = writer.queue();
            let position = writer.enqueue(&mut queue, event)?;
            let leads = !std::mem::replace(&mut queue.led, true);
            (position, Arc::clone(&queue.group), leads)
        };
        if leads {
            let (writer, group) = (Arc::clone(writer), Arc::clone(&group));
            tokio::task::spawn_blocking(move || writer.write_out(&group));
        }
        group.wait().await?;
        Ok(position)
    }

    pub(super) fn append_later(&self, event: Event) {
        let mut queue = self.queue();
        if queue.stopped || queue.later.len() >= self.limits.waiting_events {
            queue.lost += 1;
            if let Some(call) = &event.call {
                queue.open.remove(call);
            }
        } else {
            queue.later.push_back(event);
        }
    }

    pub(super) fn tick(&self) {
        self.measure();
        let failing = self.state().failing.is_some();
        let mut output = self.output();
        {
            let mut queue = self.queue();
            if queue.stopped {
                return;
            }
            let age = self.clock.now().since(queue.signed_at);
            let nothing_waits = queue.later.is_empty() && queue.lines.is_empty();
            // While failing, a checkpoint is the line that tries whether the file can be written again.
            if (queue.unsigned > 0 && age >= self.limits.checkpoint_after) || (failing && nothing_waits) {
                self.checkpoint(&mut queue, Calls::Listed);
            }
        }
        self.flush(&mut output);
    }

    pub(super) fn stop(&self) -> Result<(), JournalError> {
        let mut output = self.output();
        let group = {
            let mut queue = self.queue();
            if queue.stopped {
                return Ok(());
            }
            self.encode_later(&mut queue, &mut output.later);
            queue.encode(&Event::new(Kind::JournalStopped, self.clock.now()));
            self.checkpoint(&mut queue, Calls::Listed);
            queue.stopped = true;
            Arc::clone(&queue.group)
        };
        self.flush(&mut output);
        let written = group.result().unwrap_or(Ok(())).and_then(|()| match &output.segment {
            Some(segment) => segment.sync().map_err(|error| JournalError::Write(Arc::new(error))),
            None => Ok(()),
        });
        // Not stopped after all: it may be tried again.
        self.queue().stopped = written.is_ok();
        written
    }

    pub(super) fn health(&self) -> JournalHealth {
        let (open_calls, waiting, lost) = {
            let queue = self.queue();
            (queue.open.len(), queue.later.len(), queue.lost)
        };
        let state = self.state();
        JournalHealth {
            failing: state.failing.clone(),
            head: state.head,
            open_calls,
            waiting,
            lost,
            space: self.space.get(),
        }
    }

    fn enqueue(&self, queue: &mut Queue, event: &Event) -> Result<Position, JournalError> {
        if queue.stopped {
            return Err(JournalError::Stopped);
        }
        // Ends of calls are left for later and do not come this way.
        if self.space.get() == Space::Reserved {
            return Err(JournalError::NoRoom);
        }
        let seq = queue.encode(event);
        if queue.unsigned >= self.limits.checkpoint_lines {
            self.checkpoint(queue, Calls::Counted);
        }
        Ok(Position { seq })
    }

    /// Looks how much room there is, at most once a second, and leaves an event when that has changed.
    fn measure(&self) {
        let now = self.clock.now();
        let mut measured = self.measured.lock().expect("no holder of the measure panics");
        if measured.is_some_and(|at| now.since(at) < MEASURED_EVERY) {
            return;
        }
        *measured = Some(now);
        // A file system that does not say how full it is will refuse when it is.
        let Ok(bytes) = free(&self.dir) else { return };
        let before = self.space.get();
        let space = Space::of(bytes, self.limits.free_space, self.limits.reserve, before);
        self.space.set(space);
        let kind = match (before, space) {
            (Space::Ample, Space::Scarce | Space::Reserved) => Kind::JournalScarce,
            (Space::Scarce | Space::Reserved, Space::Ample) => Kind::JournalAmple,
            _ => return,
        };
        if kind == Kind::JournalScarce {
            tracing::warn!(
                free_bytes = bytes,
                wanted_bytes = self.limits.free_space,
                "the disk of the journal is nearly full"
            );
            self.due.notify_one();
        }
        self.append_later(Event::new(kind, now).number("free_bytes", bytes as i64));
    }

    fn encode_later(&self, queue: &mut Queue, kept: &mut Vec<Event>) {
        while let Some(event) = queue.later.pop_front() {
            queue.encode(&event);
            kept.push(event);
            if queue.unsigned >= self.limits.checkpoint_lines {
                self.checkpoint(queue, Calls::Counted);
            }
        }
    }

    fn checkpoint(&self, queue: &mut Queue, calls: Calls) {
        let now = self.clock.now();
        let Queue { chain, lines, open, .. } = queue;
        if calls == Calls::Listed {
            let mut listed: Vec<&str> = open.iter().map(CallId::as_str).collect();
            listed.sort_unstable();
            chain.checkpoint(now, &self.signer, open.len(), Some(&mut listed.into_iter()), lines);
        } else {
            chain.checkpoint(now, &self.signer, open.len(), None, lines);
        }
        queue.unsigned = 0;
        queue.signed_at = now;
    }

    /// Gets the file and writes what is queued, unless the holder before has already decided `group`.
    fn write_out(&self, group: &Group) -> Result<(), JournalError> {
        let mut output = self.output();
        if let Some(result) = group.result() {
            return result;
        }
        self.flush(&mut output);
        drop(output);
        group.result().expect("an undecided group is the queued one, and it was just written")
    }

    /// Writes everything that is queued and decides its group.
    fn flush(&self, output: &mut Output) {
        let (group, head, full) = {
            let mut queue = self.queue();
            self.encode_later(&mut queue, &mut output.later);
            let now = self.clock.now();
            let is_old = output.segment.as_ref().is_some_and(|segment| segment.is_older(self.limits.segment_age, now));
            if queue.lines.is_empty() && !is_old {
                return;
            }
            let length = output.segment.as_ref().map_or(0, Segment::length) + queue.lines.len() as u64;
            let full = is_old || length >= self.limits.segment_bytes;
            if full {
                self.checkpoint(&mut queue, Calls::Listed);
            }
            std::mem::swap(&mut queue.lines, &mut output.lines);
            std::mem::swap(&mut queue.changes, &mut output.changes);
            queue.led = false;
            let group = std::mem::replace(&mut queue.group, Group::new());
            let head = queue.chain.head();
            if full {
                // The first line of the next segment, which is made when this line is written.
                self.checkpoint(&mut queue, Calls::Listed);
            }
            (group, head, full)
        };
        match self.write(output) {
            Ok(()) => {
                if let Some(segment) = &mut output.segment {
                    segment.count(head.seq - output.head.seq);
                }
                output.head = head;
                output.lines.clear();
                output.changes.clear();
                output.later.clear();
                if full {
                    output.segment = None;
                    self.due.notify_one();
                }
                self.written(head);
                group.decide(Ok(()));
            }
            Err(error) => {
                let error = Arc::new(error);
                self.failed(output, &error);
                group.decide(Err(error));
            }
        }
    }

    fn write(&self, output: &mut Output) -> io::Result<()> {
        let sync = match self.durability {
            Durability::Process => Sync::Never,
            Durability::Power => Sync::Each,
        };
        let mut segment = match output.segment.take() {
            Some(segment) => segment,
            None => Segment::create(&self.dir, output.head.seq + 1, self.clock.now(), sync)?,
        };
        let written = segment.append(&output.lines, sync);
        // A new file that could not take its first lines is made again, under the same name.
        if written.is_ok() || segment.length() > 0 {
            output.segment = Some(segment);
        }
        written
    }

    fn written(&self, head: Head) {
        let failed_since = {
            let mut state = self.state();
            state.head = head;
            state.failing.take()
        };
        if let Some((since, error)) = failed_since {
            let mut queue = self.queue();
            let resumed = Event::new(Kind::JournalResumed, self.clock.now())
                .text("failing_since", since.to_string())
                .text("error", error)
                .number("lost", queue.lost as i64);
            queue.later.push_back(resumed);
        }
    }

    /// Brings chain and open calls back to what is in the file, and tells those whose lines are not.
    fn failed(&self, output: &mut Output, error: &Arc<io::Error>) {
        let mut queue = self.queue();
        let queue = &mut *queue;
        for change in queue.changes.drain(..).rev().chain(output.changes.drain(..).rev()) {
            match change {
                Change::Opened(call) => queue.open.remove(&call),
                Change::Closed(call) => queue.open.insert(call),
            };
        }
        for event in output.later.drain(..).rev() {
            queue.later.push_front(event);
        }
        queue.lines.clear();
        output.lines.clear();
        queue.chain.rewind(output.head);
        if output.segment.is_none() {
            self.checkpoint(queue, Calls::Listed);
        }
        queue.led = false;
        std::mem::replace(&mut queue.group, Group::new()).decide(Err(Arc::clone(error)));
        self.state().failing.get_or_insert_with(|| (self.clock.now(), error.to_string()));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of the queue panics")
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().expect("no holder of the file panics")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the state panics")
    }
}
