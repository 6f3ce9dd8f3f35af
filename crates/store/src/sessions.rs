//! Browser sessions. The cookie's value is a credential; only its digest is here. Pages name a session by an identifier that
//! has nothing to do with it.

use std::{net::IpAddr, time::Duration};

use portcullis_base::{Digest, GrantId, PersonId, Timestamp};
use portcullis_oauth::grant::RevokedWhy;

use crate::{
    ChangeKind, Person, Store, StoreError, TOKENS_ALIVE,
    db::{Param, Row, Tx, params, transact},
    people::{PERSON, is_active, person},
};

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserSession {
    /// Digest of the cookie's value.
    pub hash: Digest,
    /// What pages call it: `bse_…`.
    pub id: String,
    /// Who signed in.
    pub person: PersonId,
    /// The provider they signed in at; `None` for a local account.
    pub provider: Option<String>,
    /// The issuer of that sign-in.
    pub issuer: Option<String>,
    /// Who they are to that issuer.
    pub subject: Option<String>,
    /// The provider's own name for its session.
    pub sid: Option<String>,
    /// When they last proved who they are.
    pub authenticated_at: Timestamp,
    /// How, in the provider's words.
    pub acr: Option<String>,
    /// What the browser calls itself.
    pub agent: String,
    /// Where it was when it signed in.
    pub address: Option<IpAddr>,
    /// What the provider wants to see when we sign out there, sealed.
    pub logout_hint: Option<Vec<u8>>,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When they were last seen, to the minute.
    pub seen_at: Timestamp,
    /// The absolute end.
    pub expires_at: Timestamp,
}

/// A session to be started.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Digest of the cookie's value.
    pub hash: &'a Digest,
    /// A fresh identifier for pages.
    pub id: &'a str,
    /// Who signed in.
    pub person: &'a PersonId,
    /// The provider they signed in at.
    pub provider: Option<&'a str>,
    /// The issuer of that sign-in.
    pub issuer: Option<&'a str>,
    /// Who they are to that issuer.
    pub subject: Option<&'a str>,
    /// The provider's own name for its session.
    pub sid: Option<&'a str>,
    /// When they proved who they are.
    pub authenticated_at: Timestamp,
    /// How, in the provider's words.
    pub acr: Option<&'a str>,
    /// What the browser calls itself; cut.
    pub agent: &'a str,
    /// Where it is.
    pub address: Option<IpAddr>,
    /// What the provider wants to see when we sign out there, sealed.
    pub logout_hint: Option<&'a [u8]>,
    /// The absolute end.
    pub expires_at: Timestamp,
}

/// What was ended with a sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many browser sessions.
    pub sessions: u64,
    /// Which grants.
    pub grants: Vec<GrantId>,
}

/// `seen_at` is written at most this often.
const SEEN_EVERY: Duration = Duration::from_mins(1);
/// So much is kept of what a browser calls itself.
const AGENT_CHARS: usize = 200;

/// The columns of a [`BrowserSession`] in the order in which [`session`] reads them.
const SESSION: &str = "s.hash, s.id, s.person, s.provider, s.issuer, s.subject, s.sid, s.authenticated_at, s.acr, s.agent, \
     s.address, s.logout_hint, s.created_at, s.seen_at, s.expires_at";

impl Store {
    /// Starts a session; [`StoreError::Missing`] if there is no such person, or they may no longer sign in.
    pub async fn start_session(&self, new: &NewSession<'_>, now: Timestamp) -> Result<(), StoreError> {
        let agent: String = new.agent.chars().take(AGENT_CHARS).collect();
        transact!(self.db, |tx| {
            if !is_active(tx, new.person).await? {
                return Err(StoreError::Missing);
            }
            tx.execute(
                "insert into sessions (hash, id, person, provider, issuer, subject, sid, authenticated_at, acr, agent, \
                 address, logout_hint, created_at, seen_at, expires_at) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14)",
                &params![
                    new.hash,
                    new.id,
                    new.person,
                    new.provider,
                    new.issuer,
                    new.subject,
                    new.sid,
                    new.authenticated_at,
                    new.acr,
                    &agent,
                    new.address.map(|address| address.to_string()),
                    new.logout_hint,
                    now,
                    new.expires_at
                ],
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
            "select {SESSION}, {PERSON} from sessions s join people p on p.id = s.person \
             where s.hash = $1 and s.expires_at > $2 and s.seen_at > $3 and p.disabled_at is null"
        );
        let Some(mut row) = self.db.query_first(&sql, &params![hash, now, now.minus(idle)]).await? else {
            return Ok(None);
        };
        let mut session = session(&mut row)?;
        let person = person(&mut row)?;
        if now.since(session.seen_at) >= SEEN_EVERY {
            transact!(self.db, |tx| {
                tx.execute("update sessions set seen_at = $2 where hash = $1 and seen_at < $2", &params![hash, now])
                    .await
            })?;
            session.seen_at = now;
        }
        Ok(Some((session, person)))
    }

    /// How many sessions have not expired.
    pub async fn count_sessions(&self, now: Timestamp) -> Result<u64, StoreError> {
        let row = self.db.query_first("select count(*) from sessions where expires_at > $1", &params![now]).await?;
        Ok(row.map_or(Ok(0_i64), |mut row| row.take())?.unsigned_abs())
    }

    /// A person's sessions that have not reached their end, the last seen first.
    pub async fn sessions_of(&self, person: &PersonId, now: Timestamp) -> Result<Vec<BrowserSession>, StoreError> {
        let sql = format!(
            "select {SESSION} from sessions s where s.person = $1 and s.expires_at > $2 order by s.seen_at desc, s.id"
        );
        self.db.query(&sql, &params![person, now]).await?.iter_mut().map(session).collect()
    }

    /// Notes that the holder of a session has proved again who they are; whether there is such a session.
    pub async fn authenticated_again(
        &self,
        hash: &Digest,
        authenticated_at: Timestamp,
        acr: Option<&str>,
    ) -> Result<bool, StoreError> {
        let noted = transact!(self.db, |tx| {
            tx.execute(
                "update sessions set authenticated_at = $2, acr = $3 where hash = $1",
                &params![hash, authenticated_at, acr],
            )
            .await
        })?;
        Ok(noted == 1)
    }

    /// Ends a session; whether there was one.
    pub async fn end_session(&self, hash: &Digest) -> Result<bool, StoreError> {
        Ok(transact!(self.db, |tx| tx.execute("delete from sessions where hash = $1", &params![hash]).await)? == 1)
    }

    /// Ends one of a person's own sessions by the name that pages give it; whether there was one. What was granted in it
    /// stays.
    pub async fn end_session_by_id(&self, person: &PersonId, id: &str) -> Result<bool, StoreError> {
        let ended = transact!(self.db, |tx| {
            tx.execute("delete from sessions where person = $1 and id = $2", &params![person, id]).await
        })?;
        Ok(ended == 1)
    }

    /// Ends every session of a person; how many there were.
    pub async fn end_sessions_of(&self, person: &PersonId) -> Result<u64, StoreError> {
        transact!(self.db, |tx| tx.execute("delete from sessions where person = $1", &params![person]).await)
    }

    /// Ends the sessions that came from a provider's sign-in, by who it was or by the provider's name for its session, with
    /// every grant that was approved in them, also long ago.
    ///
    /// A provider that names neither ends nothing.
    pub async fn end_sign_ins(
        &self,
        issuer: &str,
        subject: Option<&str>,
        sid: Option<&str>,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        let born = match (subject, sid) {
            (Some(subject), Some(sid)) => BornOf::Both(issuer, subject, sid),
            (Some(subject), None) => BornOf::Subject(issuer, subject),
            (None, Some(sid)) => BornOf::Sid(issuer, sid),
            (None, None) => return Ok(Ended::default()),
        };
        transact!(self.db, |tx| end_born_of(tx, &born, RevokedWhy::SignedOutAtProvider, now).await)
    }
}

/// Sessions and grants by the sign-in that they came from.
pub(crate) enum BornOf<'a> {
    Subject(&'a str, &'a str),
    Sid(&'a str, &'a str),
    Both(&'a str, &'a str, &'a str),
}

impl BornOf<'_> {
    fn condition(&self) -> &'static str {
        match self {
            Self::Subject(..) => "issuer = $1 and subject = $2",
            Self::Sid(..) => "issuer = $1 and sid = $2",
            Self::Both(..) => "issuer = $1 and subject = $2 and sid = $3",
        }
    }

    fn params(&self) -> Vec<Param<'_>> {
        match self {
            Self::Subject(issuer, subject) => params![*issuer, *subject].into(),
            Self::Sid(issuer, sid) => params![*issuer, *sid].into(),
            Self::Both(issuer, subject, sid) => params![*issuer, *subject, *sid].into(),
        }
    }
}

pub(crate) async fn end_born_of(
    tx: &mut Tx,
    born: &BornOf<'_>,
    why: RevokedWhy,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let condition = born.condition();
    let sessions = tx.execute(&format!("delete from sessions where {condition}"), &born.params()).await?;
    let sql = format!("select id from grants where {condition} and revoked_at is null");
    let mut ended = Ended { sessions, grants: Vec::new() };
    for mut row in tx.query(&sql, &born.params()).await? {
        let id: GrantId = row.take()?;
        // A grant at its end may have tokens that are not.
        let revoked = tx
            .execute(
                "update grants set revoked_at = $2, revoked_why = $3 \
                 where id = $1 and revoked_at is null and expires_at > $4",
                &params![&id, now, why.as_str(), now.minus(TOKENS_ALIVE)],
            )
            .await?;
        if revoked == 1 {
            tx.changed(ChangeKind::GrantRevoked, id.as_str(), now);
            ended.grants.push(id);
        }
    }
    Ok(ended)
}

fn session(row: &mut Row) -> Result<BrowserSession, StoreError> {
    Ok(BrowserSession {
        hash: row.take()?,
        id: row.take()?,
        person: row.take()?,
        provider: row.take()?,
        issuer: row.take()?,
        subject: row.take()?,
        sid: row.take()?,
        authenticated_at: row.take()?,
        acr: row.take()?,
        agent: row.take()?,
        address: row.take::<Option<String>>()?.and_then(|text| text.parse().ok()),
        logout_hint: row.take()?,
        created_at: row.take()?,
        seen_at: row.take()?,
        expires_at: row.take()?,
    })
}
