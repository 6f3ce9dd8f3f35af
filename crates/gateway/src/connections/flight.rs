//! What several calls want at the same moment is done once, and goes on when all of them have gone away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::memory::Key;
use crate::correlation;

/// The longest that a call waits for what was begun.
const PATIENCE: Duration = Duration::from_secs(25);

type UnderWay<V> = Arc<Mutex<HashMap<Key, watch::Receiver<Option<V>>>>>;

/// What is under way, by whose and where.
pub(super) struct Flights<V> {
    under_way: UnderWay<V>,
}

/// Takes a flight off the board when it has ended, however it ended.
struct Landing<V> {
    under_way: UnderWay<V>,
    key: Key,
}

impl<V: Clone + Send + Sync + 'static> Flights<V> {
    pub(super) fn new() -> Self {
        Self { under_way: Arc::default() }
    }

    /// Waits for what is under way for `key`, or for `flight`, which is begun if there is nothing; `None` if it failed to
    /// come to any end.
    pub(super) async fn wait<F>(&self, key: &Key, flight: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut landed = self.board(key, flight);
        let value = tokio::time::timeout(PATIENCE, landed.wait_for(Option::is_some)).await.ok()?.ok()?;
        value.clone()
    }

    /// Begins `flight` unless there is one for `key`, and returns with the way to its end.
    ///
    /// spec: UP-43: one for each connection; callers share what it comes to.
    pub(super) fn board<F>(&self, key: &Key, flight: impl FnOnce() -> F) -> watch::Receiver<Option<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landed) = under_way.get(key) {
            return landed.clone();
        }
        let (ended, landed) = watch::channel(None);
        under_way.insert(key.clone(), landed.clone());
        let landing = Landing { under_way: self.under_way.clone(), key: key.clone() };
        let flight = flight();
        // Not part of any call: a client that goes away must not take a refresh token with it that was just spent.
        // The record still says which request it began in.
        tokio::spawn(correlation::carried(async move {
            let value = flight.await;
            // First: whoever comes after the value must find what it says in memory, not an old flight.
            drop(landing);
            ended.send_replace(Some(value));
        }));
        landed
    }
}

impl<V> Drop for Landing<V> {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
