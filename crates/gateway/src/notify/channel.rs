//! One way of telling, with a queue of its own.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::{PersonId, Rng, Secret, Timestamp, printable, token};
use portcullis_policy::approval::State as Stage;
use portcullis_store::ApprovalRow;
use tokio::sync::{mpsc, watch};

use super::{House, mail::Mails, slack::Room, teams, webhook::Told};

/// How much may wait for one channel.
const WAITING: usize = 256;
/// How much is told at a time by one channel.
const AT_ONCE: usize = 8;
/// How long the next try is put off, after each that failed.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25), Duration::from_mins(2)];

/// One way of telling.
pub(super) struct Channel {
    name: String,
    way: Way,
    put: mpsc::Sender<Job>,
    queue: Mutex<Option<mpsc::Receiver<Job>>>,
    told: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// Of those, how many are in the record.
    noted: AtomicU64,
    last: Mutex<Option<(Timestamp, String)>>,
}

/// Which.
pub(super) enum Way {
    Mail(Mails),
    Slack(Room),
    Teams(Secret),
    Webhook(Told),
}

/// How a channel does, since this process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name in the settings.
    pub name: String,
    /// What waits to be told.
    pub waiting: usize,
    /// What was told.
    pub told: u64,
    /// What was given up.
    pub failed: u64,
    /// What found the queue full.
    pub dropped: u64,
    /// The last failure: when, and what it was.
    pub last: Option<(Timestamp, String)>,
}

/// Something to be told.
#[derive(Clone)]
pub(super) struct Job {
    /// The identifier of the message, the same however often it is tried.
    pub id: Arc<str>,
    pub subject: Subject,
    /// Those who were written to already, whether or not it arrived.
    pub done: Arc<Mutex<HashSet<PersonId>>>,
}

/// What it is.
#[derive(Clone)]
pub(super) enum Subject {
    /// A call waits.
    Asked { row: Arc<ApprovalRow>, link: Arc<str> },
    /// It waits no more.
    Decided { row: Arc<ApprovalRow> },
    /// What came of somebody's click.
    Whisper { address: Arc<str>, text: Arc<str> },
}

/// Why something could not be told. For the log and the record; it names no secret.
#[derive(Debug)]
pub(super) struct Failure {
    pub why: String,
    pub again: Again,
}

/// Whether it is of use to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Perhaps,
    Never,
}

impl Failure {
    pub fn new(why: impl ToString) -> Self {
        Self { why: printable(&why.to_string(), 300), again: Again::Perhaps }
    }

    pub fn for_good(why: impl ToString) -> Self {
        Self { again: Again::Never, ..Self::new(why) }
    }
}

impl Job {
    pub fn new(subject: Subject, rng: &dyn Rng) -> Self {
        Self { id: format!("msg_{}", token::<16>(rng)).into(), subject, done: Arc::default() }
    }

    fn row(&self) -> Option<&ApprovalRow> {
        match &self.subject {
            Subject::Asked { row, .. } | Subject::Decided { row } => Some(row),
            Subject::Whisper { .. } => None,
        }
    }
}

impl Channel {
    pub fn new(name: &str, way: Way) -> Arc<Self> {
        let (put, queue) = mpsc::channel(WAITING);
        Arc::new(Self {
            name: name.to_owned(),
            way,
            put,
            queue: Mutex::new(Some(queue)),
            told: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            last: Mutex::default(),
        })
    }

    /// The end of the queue that is worked on: there is one.
    pub fn queue(&self) -> Option<mpsc::Receiver<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// To be told some time, if there is room.
    pub fn put(&self, job: Job) {
        if self.put.try_send(job).is_err() {
            self.dropped.fetch_add(1, Relaxed);
            tracing::warn!(
                channel = self.name,
                "too much waits to be told; what waits for approval is in the inbox only"
            );
        }
    }

    pub fn state(&self) -> State {
        State {
            name: self.name.clone(),
            waiting: WAITING - self.put.capacity(),
            told: self.told.load(Relaxed),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            last: self.last().clone(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(Timestamp, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, house: &House, job: &Job) {
        let mut pauses = PAUSES.into_iter();
        loop {
            let failure = match self.try_once(house, job).await {
                Ok(()) => {
                    self.told.fetch_add(1, Relaxed);
                    break;
                }
                Err(failure) => failure,
            };
            *self.last() = Some((house.0.clock.now(), failure.why.clone()));
            let Some(pause) = pauses.next().filter(|_| failure.again == Again::Perhaps) else {
                self.failed.fetch_add(1, Relaxed);
                tracing::warn!(channel = self.name, why = failure.why, "nobody could be told of what waits");
                self.note(house, Some(job), &failure.why).await;
                break;
            };
            tracing::info!(channel = self.name, why = failure.why, "nobody could be told; it is tried again");
            tokio::time::sleep(pause).await;
            if !is_news(house, job).await {
                break;
            }
        }
        let dropped = self.dropped.load(Relaxed);
        let noted = self.noted.swap(dropped, Relaxed);
        if dropped > noted {
            self.note(house, None, &format!("too much was to be told at a time: {} were not", dropped - noted)).await;
        }
    }

    async fn try_once(&self, house: &House, job: &Job) -> Result<(), Failure> {
        match &self.way {
            Way::Mail(mails) => mails.tell(house, job).await,
            Way::Slack(room) => room.tell(house, job).await,
            Way::Teams(url) => teams::tell(url, house, job).await,
            Way::Webhook(hook) => hook.tell(house, job).await,
        }
    }

    async fn note(&self, house: &House, job: Option<&Job>, why: &str) {
        let parts = &house.0;
        let mut event = Event::new(Kind::ApprovalUntold, parts.clock.now())
            .outcome(Outcome::Failure)
            .text("channel", self.name.clone())
            .text("why", why.to_owned());
        if let Some(row) = job.and_then(Job::row) {
            let name = Some(row.target.clone().into());
            event = event
                .on(Target { server: Some(row.approval.server.clone()), name, ..Target::default() })
                .text("approval", row.approval.id.as_str().to_owned());
        }
        if let Err(error) = parts.journal.append(event).await {
            tracing::error!(%error, "that nobody was told cannot be noted");
        }
    }
}

/// Whether it is still of use to tell it: what is decided or over needs nobody's word.
async fn is_news(house: &House, job: &Job) -> bool {
    let Subject::Asked { row, .. } = &job.subject else { return true };
    match house.0.store.approval(&row.approval.id).await {
        Ok(Some(row)) => row.approval.state_at(house.0.clock.now()) == Stage::Pending,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Tells what is put into the queue, a few at a time.
pub(super) async fn work(
    channel: Arc<Channel>,
    house: Arc<House>,
    mut queue: mpsc::Receiver<Job>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            job = queue.recv(), if under_way.len() < AT_ONCE => {
                let Some(job) = job else { break };
                let (channel, house) = (&channel, &house);
                under_way.push(async move { channel.tell(house, &job).await });
            }
        }
    }
}
