//! Browser sessions. The cookie's value is a credential; only its digest is here.

use std::time::Duration;

use portcullis_base::{Digest, PersonId, Timestamp};

use crate::{
    Person, Store, StoreError,
    db::{params, transact},
    people::{PERSON, person},
};

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserSession {
    /// Digest of the cookie's value.
    pub hash: Digest,
    /// Who signed in.
    pub person: PersonId,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When they were last seen, to the minute.
    pub seen_at: Timestamp,
    /// The absolute end.
    pub expires_at: Timestamp,
}

/// `seen_at` is written at most this often.
const SEEN_EVERY: Duration = Duration::from_mins(1);

impl Store {
    /// Starts a session; [`StoreError::Missing`] if there is no such person.
    pub async fn start_session(
        &self,
        hash: &Digest,
        person: &PersonId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            tx.execute(
                "insert into sessions (hash, person, created_at, seen_at, expires_at) values ($1, $2, $3, $3, $4)",
                &params![hash, person, now, expires_at],
            )
            .await
        })
        .map(drop)
    }

    /// The session and its person, unless it ended, was idle for `idle`, or the person was disabled.
    pub async fn session(
        &self,
        hash: &Digest,
        now: Timestamp,
        idle: Duration,
    ) -> Result<Option<(BrowserSession, Person)>, StoreError> {
        let sql = format!(
            "select s.created_at, s.seen_at, s.expires_at, {PERSON} \
             from sessions s join people p on p.id = s.person \
             where s.hash = $1 and s.expires_at > $2 and s.seen_at > $3 and p.disabled_at is null"
        );
        let Some(mut row) = self.db.query_first(&sql, &params![hash, now, now.minus(idle)]).await? else {
            return Ok(None);
        };
        let (created_at, seen_at, expires_at) = (row.take()?, row.take()?, row.take()?);
        let person = person(&mut row)?;
        let mut session = BrowserSession { hash: *hash, person: person.id.clone(), created_at, seen_at, expires_at };
        if now.since(session.seen_at) >= SEEN_EVERY {
            transact!(self.db, |tx| {
                tx.execute("update sessions set seen_at = $2 where hash = $1 and seen_at < $2", &params![hash, now])
                    .await
            })?;
            session.seen_at = now;
        }
        Ok(Some((session, person)))
    }

    /// Ends a session; whether there was one.
    pub async fn end_session(&self, hash: &Digest) -> Result<bool, StoreError> {
        Ok(transact!(self.db, |tx| tx.execute("delete from sessions where hash = $1", &params![hash]).await)? == 1)
    }

    /// Ends every session of a person; how many there were.
    pub async fn end_sessions_of(&self, person: &PersonId) -> Result<u64, StoreError> {
        transact!(self.db, |tx| tx.execute("delete from sessions where person = $1", &params![person]).await)
    }
}
