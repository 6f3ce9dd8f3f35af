//! Minds a running program: takes in what lost its parent, holds all of it to its limits together, and ends it all.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    param::page_size,
    process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open, wait},
    stdio::stdin,
    thread::nanosleep,
};

use crate::{Code, Limits};

/// Between two looks at what is taken.
const LOOK: Duration = Duration::from_millis(500);
/// How much processor time may be saved up for a busy moment.
const SAVED: Duration = Duration::from_secs(10);
/// Between two rounds of killing, and how many there are.
const ROUND: Duration = Duration::from_millis(10);
const ROUNDS: u32 = 500;
/// Clock ticks a second, as the kernel tells times to programs.
const TICKS: f64 = 100.0;

/// Who is minded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charges {
    /// Everybody there is: this is process 1 of a name space.
    Everybody,
    /// What this process started, and what that started.
    Descendants,
}

/// How far the end has come.
enum Phase {
    Running,
    /// Nothing more will come on its standard input.
    Closed(Instant),
    /// It was asked to end.
    Asked(Instant),
}

/// What one process has taken.
struct Taken {
    parent: i32,
    ticks: u64,
    memory: u64,
    threads: u32,
}

/// Waits until `program` has ended, or ends it when the keeper lets go of it; then ends whatever is left.
pub fn until_the_end(program: Pid, charges: Charges, limits: &Limits) -> u8 {
    let grace = Duration::from_millis(limits.grace_ms);
    let ended = pidfd_open(program, PidfdFlags::empty()).ok();
    let mut phase = Phase::Running;
    let mut watch = Watch::new(limits);
    let code = loop {
        rest(ended.as_ref(), &phase, watch.wait());
        if let Some(status) = reap(program) {
            break code(status);
        }
        let now = Instant::now();
        phase = match phase {
            Phase::Running if let_go() => Phase::Closed(now + grace),
            // spec: TR-158: "closing stdin, waiting, SIGTERM, then SIGKILL of the whole process group"
            Phase::Closed(until) if now >= until => {
                let all = charges.all();
                signal(&all, Signal::TERM);
                signal(&all, Signal::CONT);
                Phase::Asked(now + grace)
            }
            Phase::Asked(until) if now >= until => break Code::Killed as u8,
            phase => phase,
        };
        if let Some(over) = watch.look(charges, now) {
            break over as u8;
        }
    };
    if charges == Charges::Descendants {
        end_all();
    }
    // Process 1 takes everybody with it.
    code
}

/// What is told of how a process ended: its exit code, or 128 and the number of the signal.
pub fn code(status: WaitStatus) -> u8 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(signal).unwrap_or(0) as u8
}

/// Waits for whatever comes first: the end of the program, the end of its input, or the next look.
fn rest(ended: Option<&rustix::fd::OwnedFd>, phase: &Phase, most: Duration) {
    let (input, time) = (stdin(), Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() });
    let mut events: Vec<_> = ended.iter().map(|end| PollFd::new(end, PollFlags::IN)).collect();
    if matches!(phase, Phase::Running) {
        events.push(PollFd::new(&input, PollFlags::empty()));
    }
    let _ = poll(&mut events, Some(&time));
}

/// Whether nobody holds the other end of standard input any more.
fn let_go() -> bool {
    let (input, now) = (stdin(), Timespec { tv_sec: 0, tv_nsec: 0 });
    let mut events = [PollFd::new(&input, PollFlags::empty())];
    poll(&mut events, Some(&now)).is_ok()
        && events[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Takes leave of everybody who has ended; the answer is how the program did.
fn reap(program: Pid) -> Option<WaitStatus> {
    let mut ended = None;
    while let Ok(Some((who, status))) = wait(WaitOptions::NOHANG) {
        if who == program {
            ended = Some(status);
        }
    }
    ended
}

/// Ends what is left of what this process started: whoever is in the middle of starting another is met in the next round.
fn end_all() {
    for _ in 0..ROUNDS {
        let left = Charges::Descendants.all();
        signal(&left, Signal::STOP);
        signal(&left, Signal::KILL);
        let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: ROUND.subsec_nanos().into() });
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if left.is_empty() {
            return;
        }
    }
}

fn signal(whom: &HashMap<i32, Taken>, what: Signal) {
    for pid in whom.keys().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, what);
    }
}

impl Charges {
    fn all(self) -> HashMap<i32, Taken> {
        let own = getpid().as_raw_nonzero().get();
        let mut all: HashMap<i32, Taken> = processes().filter(|(pid, _)| *pid != own).collect();
        if self == Self::Descendants {
            let parents: HashMap<i32, i32> = all.iter().map(|(pid, taken)| (*pid, taken.parent)).collect();
            let mine = |pid: i32| {
                let mut above =
                    std::iter::successors(Some(pid), |pid| parents.get(pid).copied()).take(parents.len() + 1);
                above.any(|pid| pid == own)
            };
            all.retain(|pid, _| mine(*pid));
        }
        all
    }
}

/// Every process that can be seen. What has ended and was not taken leave of is none any more.
fn processes() -> impl Iterator<Item = (i32, Taken)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name is in brackets and may have any character.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
        if fields.first() == Some(&"Z") && number(17)? <= 1 {
            return None;
        }
        let pages = fs::read_to_string(entry.path().join("statm")).unwrap_or_default();
        let mut pages = pages.split_whitespace().skip(1).map(|text| text.parse::<u64>().unwrap_or(0));
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        let taken = Taken {
            parent: number(1)? as i32,
            ticks: (11..15).filter_map(number).sum(),
            memory: resident.saturating_sub(shared) * page_size() as u64,
            threads: number(17)? as u32,
        };
        Some((pid, taken))
    })
}

/// Looks now and then at what is taken together, where no control group does.
struct Watch {
    limits: Limits,
    last: Option<(Instant, u64)>,
    /// Processor time used beyond what was due; negative when some is saved up.
    debt: f64,
    /// Everybody is held until then.
    held: Option<Instant>,
    next: Instant,
}

impl Watch {
    fn new(limits: &Limits) -> Self {
        Self { limits: *limits, last: None, debt: 0.0, held: None, next: Instant::now() + LOOK }
    }

    fn wait(&self) -> Duration {
        let next = self.held.map_or(self.next, |until| until.min(self.next));
        next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn look(&mut self, charges: Charges, now: Instant) -> Option<Code> {
        if let Some(until) = self.held
            && now >= until
        {
            self.held = None;
            signal(&charges.all(), Signal::CONT);
        }
        if now < self.next {
            return None;
        }
        self.next = now + LOOK;
        let all = charges.all();
        if all.values().map(|taken| taken.memory).sum::<u64>() > self.limits.memory {
            return Some(Code::Memory);
        }
        // The kernel holds it to this too; where it counts by user, it may have had room for more.
        if all.values().map(|taken| taken.threads).sum::<u32>() > 2 * self.limits.processes {
            return Some(Code::Processes);
        }
        self.hold(&all, now);
        None
    }

    /// Who used more processor time than is due is held until that has evened out.
    fn hold(&mut self, all: &HashMap<i32, Taken>, now: Instant) {
        let ticks = all.values().map(|taken| taken.ticks).sum::<u64>();
        if let Some((before, had)) = self.last {
            let used = ticks.saturating_sub(had) as f64 / TICKS;
            let due = (now - before).as_secs_f64() * self.limits.processors;
            self.debt = (self.debt + used - due).max(-SAVED.as_secs_f64() * self.limits.processors);
        } else {
            self.debt = -SAVED.as_secs_f64() * self.limits.processors;
        }
        self.last = Some((now, ticks));
        if self.debt > 0.0 && self.held.is_none() {
            signal(all, Signal::STOP);
            self.held =
                Some(now + Duration::from_secs_f64((self.debt / self.limits.processors).min(LOOK.as_secs_f64())));
        }
    }
}
