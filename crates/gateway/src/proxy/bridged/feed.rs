//! What is said to a client of an older revision on one stream, kept until it was heard and a little longer.
//!
//! The client's connection may break; what goes on behind it does not (TR-92). So the one who speaks writes here and the
//! connection reads here, and another connection can read on where the first broke off. A reader that is slow slows the
//! speaker; with no reader at all, only so much is kept.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use portcullis_mcp::OwnedId;
use tokio::sync::Notify;

/// Bytes that wait to be read before their speaker has to.
const AHEAD: usize = 256 * 1024;
/// Bytes that were read and are kept for whoever lost them on the way.
const BEHIND: usize = 64 * 1024;
/// Bytes that are kept while nobody reads.
const UNHEARD: usize = 512 * 1024;
/// How long a stream is kept that has ended.
pub(super) const KEEP: Duration = Duration::from_mins(5);

/// Bytes that all streams of this node keep together beyond what is being read.
pub(super) struct Budget {
    most: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0) })
    }

    fn has(&self, bytes: usize) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.most
    }
}

/// One stream.
pub(super) struct Feed {
    /// Names it within its session, and after a restart of this node too.
    pub name: String,
    /// The request that it answers.
    pub about: Option<OwnedId>,
    inner: Mutex<Inner>,
    read: Notify,
    budget: Arc<Budget>,
}

struct Inner {
    kept: VecDeque<Arc<str>>,
    /// The number of the first that is kept.
    first: u32,
    /// The number of the next to be read.
    next: u32,
    /// Bytes that are kept, and those of them that nobody has read.
    bytes: usize,
    unread: usize,
    /// When it ended.
    closed: Option<Instant>,
    /// Whether the last of it was an answer.
    answered: bool,
    /// Its end was read, or handed over as a whole.
    heard: bool,
    refusal: Option<Refused>,
    /// Readers of an older turn have been followed by another one.
    turn: u32,
    readers: usize,
    wakers: Vec<Waker>,
}

/// A refusal that is more than an error of the protocol: a status with headers.
pub(super) struct Refused {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// How a stream begins.
pub(super) enum First {
    /// With its answer, and nothing else.
    Answer(Arc<str>),
    /// With a refusal, and nothing else.
    Refused(Refused),
    /// With something else than the answer.
    Talk,
    /// It has ended without a word.
    Nothing,
}

impl Feed {
    pub(super) fn new(name: String, about: Option<OwnedId>, budget: Arc<Budget>) -> Arc<Self> {
        let inner = Inner {
            kept: VecDeque::new(),
            first: 1,
            next: 1,
            bytes: 0,
            unread: 0,
            closed: None,
            answered: false,
            heard: false,
            refusal: None,
            turn: 0,
            readers: 0,
            wakers: Vec::new(),
        };
        Arc::new(Self { name, about, inner: Mutex::new(inner), read: Notify::new(), budget })
    }

    /// Says something, as soon as there is room for it.
    pub(super) async fn say(&self, text: &str) {
        loop {
            // Asked for before the look, so that no reading falls between the two.
            let read = self.read.notified();
            {
                let mut inner = self.inner();
                if inner.closed.is_some() {
                    return;
                }
                if inner.readers == 0 || inner.unread < AHEAD {
                    self.keep(&mut inner, text);
                    return;
                }
            }
            read.await;
        }
    }

    /// Says the last of it.
    pub(super) fn answer(&self, text: &str) {
        let mut inner = self.inner();
        if inner.closed.is_some() {
            return;
        }
        // Nobody listens, and too much is kept for others: it is lost, and not the memory of this node.
        if inner.readers > 0 || self.budget.has(text.len()) {
            self.keep(&mut inner, text);
            inner.answered = true;
        }
        Self::end(&mut inner);
    }

    /// Ends it with a refusal.
    pub(super) fn refuse(&self, refused: Refused) {
        let mut inner = self.inner();
        if inner.closed.is_none() {
            inner.refusal = Some(refused);
            Self::end(&mut inner);
        }
    }

    /// Ends it.
    pub(super) fn close(&self) {
        let mut inner = self.inner();
        if inner.closed.is_none() {
            Self::end(&mut inner);
        }
        drop(inner);
        self.read.notify_waiters();
    }

    /// Whether it has ended, and its end was heard.
    pub(super) fn is_heard(&self) -> bool {
        let inner = self.inner();
        inner.closed.is_some() && inner.heard
    }

    /// Whether it ended so long ago that nobody will ask for it.
    pub(super) fn is_past(&self) -> bool {
        self.inner().closed.is_some_and(|at| at.elapsed() > KEEP)
    }

    /// Whether anything was said.
    pub(super) fn has_begun(&self) -> bool {
        let inner = self.inner();
        inner.first > 1 || !inner.kept.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner().closed.is_some()
    }

    /// How many read it.
    pub(super) fn readers(&self) -> usize {
        self.inner().readers
    }

    /// Becomes one of its readers. Who says up to which number it was read takes the place of the others.
    pub(super) fn attach(self: &Arc<Self>, after: Option<u32>) -> Ear {
        let mut inner = self.inner();
        inner.readers += 1;
        if let Some(after) = after {
            inner.turn = inner.turn.wrapping_add(1);
            let end = inner.first + inner.kept.len() as u32;
            inner.next = after.saturating_add(1).clamp(inner.first, end);
            let from = (inner.next - inner.first) as usize;
            inner.unread = inner.kept.iter().skip(from).map(|text| text.len()).sum();
            inner.wake();
        }
        let turn = inner.turn;
        drop(inner);
        Ear { feed: self.clone(), turn }
    }

    fn keep(&self, inner: &mut Inner, text: &str) {
        inner.kept.push_back(text.into());
        inner.bytes += text.len();
        inner.unread += text.len();
        self.budget.used.fetch_add(text.len(), Ordering::Relaxed);
        self.trim(inner);
        inner.wake();
    }

    /// Forgets the oldest of what need not be kept.
    fn trim(&self, inner: &mut Inner) {
        loop {
            let spare = self.budget.has(0);
            let read = inner.bytes - inner.unread;
            let behind = inner.first < inner.next;
            let too_much = match (behind, inner.readers) {
                (true, _) => read > BEHIND || !spare,
                // Nobody has read it, and nobody reads: the oldest is the least worth.
                (false, 0) => inner.kept.len() > 1 && (inner.bytes > UNHEARD || !spare),
                (false, _) => false,
            };
            let Some(oldest) = too_much.then(|| inner.kept.pop_front()).flatten() else { return };
            inner.bytes -= oldest.len();
            self.budget.used.fetch_sub(oldest.len(), Ordering::Relaxed);
            if !behind {
                inner.unread -= oldest.len();
                inner.next += 1;
            }
            inner.first += 1;
        }
    }

    fn end(inner: &mut Inner) {
        inner.closed = Some(Instant::now());
        inner.wake();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn unread_text(&self) -> Option<&Arc<str>> {
        self.kept.get((self.next - self.first) as usize)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let bytes = self.inner().bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A reader of one stream.
pub(super) struct Ear {
    feed: Arc<Feed>,
    turn: u32,
}

impl Ear {
    pub(super) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The next of it with its number; `None` at its end, and when another reader has taken this one's place.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u32, Arc<str>)>> {
        let mut inner = self.feed.inner();
        if inner.turn != self.turn {
            return Poll::Ready(None);
        }
        if let Some(text) = inner.unread_text().cloned() {
            let number = inner.next;
            inner.next += 1;
            inner.unread -= text.len();
            if inner.closed.is_some() && inner.unread_text().is_none() {
                inner.heard = true;
            }
            self.feed.trim(&mut inner);
            drop(inner);
            self.feed.read.notify_waiters();
            return Poll::Ready(Some((number, text)));
        }
        if inner.closed.is_some() {
            inner.heard = true;
            return Poll::Ready(None);
        }
        if !inner.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            inner.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// How the stream begins, which takes nothing from it but an answer or a refusal.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<First> {
        let mut inner = self.feed.inner();
        if inner.turn != self.turn {
            return Poll::Ready(First::Nothing);
        }
        if let Some(refused) = inner.refusal.take() {
            inner.heard = true;
            return Poll::Ready(First::Refused(refused));
        }
        let waiting = inner.kept.len() - (inner.next - inner.first) as usize;
        if inner.answered && waiting == 1 {
            drop(inner);
            return match self.poll_next(cx) {
                Poll::Ready(Some((_, text))) => Poll::Ready(First::Answer(text)),
                _ => Poll::Ready(First::Nothing),
            };
        }
        if waiting > 0 {
            return Poll::Ready(First::Talk);
        }
        if inner.closed.is_some() {
            inner.heard = true;
            return Poll::Ready(First::Nothing);
        }
        if !inner.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            inner.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut inner = self.feed.inner();
        inner.readers -= 1;
        if inner.readers == 0 {
            self.feed.trim(&mut inner);
        }
        drop(inner);
        self.feed.read.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(ear: &mut Ear) -> Option<(u32, String)> {
        poll_fn(|cx| ear.poll_next(cx)).await.map(|(number, text)| (number, text.to_string()))
    }

    /// spec: TR-91, TR-92
    #[tokio::test]
    async fn another_reader_reads_on_where_the_first_broke_off() {
        let feed = Feed::new("s".into(), None, Budget::new(1 << 20));
        let mut first = feed.attach(None);
        feed.say("a").await;
        feed.say("b").await;
        assert_eq!(next(&mut first).await, Some((1, "a".into())));
        assert_eq!(next(&mut first).await, Some((2, "b".into())));
        let mut second = feed.attach(Some(1));
        assert_eq!(next(&mut first).await, None);
        drop(first);
        assert_eq!(next(&mut second).await, Some((2, "b".into())));
        drop(second);
        feed.say("c").await;
        feed.answer("d");
        let mut third = feed.attach(Some(2));
        assert!(!feed.is_heard());
        assert_eq!(next(&mut third).await, Some((3, "c".into())));
        assert_eq!(next(&mut third).await, Some((4, "d".into())));
        assert_eq!(next(&mut third).await, None);
        assert!(feed.is_heard());
    }

    #[tokio::test]
    async fn memory_is_bounded_with_and_without_readers() {
        let budget = Budget::new(1000);
        let feed = Feed::new("s".into(), None, budget.clone());
        let text = "x".repeat(300);
        for _ in 0..50 {
            feed.say(&text).await;
        }
        assert!(budget.used.load(Ordering::Relaxed) <= 1000);
        let mut ear = feed.attach(None);
        let (number, _) = next(&mut ear).await.unwrap();
        assert!(number > 40, "{number}");
        // Too large an answer for nobody is lost, and its stream ends all the same.
        let lost = Feed::new("t".into(), None, budget.clone());
        lost.answer(&"x".repeat(2000));
        assert_eq!(next(&mut lost.attach(Some(0))).await, None);
        drop((ear, feed, lost));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
