//! What comes from elsewhere: connections that other nodes, pages and commands made, renewed or ended, and who waits for
//! one.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use portcullis_base::{ConnectionId, Holder, ServerName};
use portcullis_store::{Connection, ConnectionState, StoreError};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, timeout_at},
};

use super::{Connections, contents::Kept, memory::Key};
use crate::feed::Follower;

/// A connection made so lately is news, also when another node's page made it.
const NEWS: Duration = Duration::from_mins(1);

/// What is remembered is never older than what the feed has brought.
impl Follower for Connections {
    fn changed<'a>(&'a self, ids: &'a [ConnectionId]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.take_in(ids).boxed()
    }

    fn forget_all(&self) {
        self.memory.clear();
    }
}

/// Somebody has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appeared {
    /// Where.
    pub server: ServerName,
    /// Who.
    pub holder: Holder,
}

impl Connections {
    /// Every connection that appears from now on, on whichever node it was made.
    pub fn watch(&self) -> broadcast::Receiver<Appeared> {
        self.news.subscribe()
    }

    /// Waits until `holder` has a connection at `server` that works and is later than `than`; not longer than `longest`.
    /// Whether it came.
    pub async fn appeared(&self, server: &ServerName, holder: &Holder, than: i64, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut news = self.watch();
        let key = Key { holder: holder.clone(), server: server.clone() };
        loop {
            if self.is_there(&key, than).await {
                return true;
            }
            loop {
                match timeout_at(until, news.recv()).await {
                    Err(_) | Ok(Err(RecvError::Closed)) => return false,
                    // Some news were missed: this may have been among them.
                    Ok(Err(RecvError::Lagged(_))) => break,
                    Ok(Ok(appeared)) if appeared.server == key.server && appeared.holder == key.holder => break,
                    Ok(Ok(_)) => {}
                }
            }
        }
    }

    async fn is_there(&self, key: &Key, than: i64) -> bool {
        let row = self.parts.store.connection(&key.holder, &key.server).await;
        row.is_ok_and(|row| row.is_some_and(|row| row.state == ConnectionState::Good && row.version > than))
    }

    async fn take_in(&self, ids: &[ConnectionId]) -> Result<(), StoreError> {
        for id in ids {
            let begun = self.memory.stir();
            let Some(row) = self.parts.store.connection_by_id(id).await? else {
                if let Some(key) = self.memory.find(id) {
                    self.memory.forget(&key);
                }
                continue;
            };
            let key = Key { holder: row.holder.clone(), server: row.server.clone() };
            if self.memory.get(&key).is_some() {
                self.learn(&key, Some(&row), begun);
            }
            self.tell_of(&row);
        }
        Ok(())
    }

    /// A connection that was renewed is no news.
    fn tell_of(&self, row: &Connection) {
        // Whoever waits looks for themselves, so that nothing needs to be opened for nobody.
        if self.news.receiver_count() == 0 || row.state != ConnectionState::Good {
            return;
        }
        if let Some(Kept { connected_at, .. }) = self.open(row)
            && self.parts.clock.now().since(connected_at) < NEWS
        {
            self.tell(&row.holder, &row.server);
        }
    }

    pub(super) fn tell(&self, holder: &Holder, server: &ServerName) {
        // Nobody listening is no failure.
        let _ = self.news.send(Appeared { server: server.clone(), holder: holder.clone() });
    }
}
