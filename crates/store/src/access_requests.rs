//! Wishes to use a server: one of a person and server at a time, answered once.

use std::time::Duration;

use portcullis_base::{AccessRequestId, Classes, PersonId, ServerName, Timestamp};

use crate::{
    AccessGrant, ChangeKind, Store, StoreError,
    access_grants::put,
    approvals::{damaged, json, read_json},
    db::{Row, Tx, params, transact},
    people::is_active,
};

/// Somebody's wish to use a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// Its identifier.
    pub id: AccessRequestId,
    /// Whose.
    pub person: PersonId,
    /// Which server.
    pub server: ServerName,
    /// For calls of which classes.
    pub classes: Classes,
    /// The only tool that they want; its classes are those that it has when somebody answers.
    pub tool: Option<String>,
    /// For how long.
    pub duration: Duration,
    /// Why.
    pub why: String,
    /// How far it is.
    pub state: AccessRequestState,
    /// When it was said.
    pub asked_at: Timestamp,
    /// Until when it may be answered.
    pub expires_at: Timestamp,
    /// When it was answered or taken back.
    pub decided_at: Option<Timestamp>,
    /// By whom.
    pub decided_by: Option<PersonId>,
    /// What they said to it.
    pub answer: Option<String>,
}

/// How far a wish is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRequestState {
    /// Nobody has answered.
    Open,
    /// The right was given.
    Approved,
    /// It was not.
    Refused,
    /// Whoever had it took it back.
    Withdrawn,
    /// Nobody answered in time.
    Expired,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It can be answered.
    New,
    /// They have one for this server already.
    Already(AccessRequest),
    /// They have too many that nobody has answered, or had too many in the last hour.
    TooMany,
}

/// How many wishes one person may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WishTerms {
    /// That nobody has answered.
    pub open: u32,
    /// Within an hour, answered or not.
    pub hourly: u32,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessAnswer<'a> {
    /// Here is the right.
    Approved(&'a AccessGrant),
    /// No.
    Refused,
    /// Its own person does not want it any more.
    Withdrawn,
}

const HOUR: Duration = Duration::from_hours(1);

const REQUEST: &str = "r.id, r.person, r.server, r.classes, r.tool, r.seconds, r.why, r.state, r.asked_at, r.expires_at, \
     r.decided_at, r.decided_by, r.answer";

impl Store {
    /// Takes in a wish, unless its person has too many.
    pub async fn request_access(&self, new: &AccessRequest, terms: WishTerms) -> Result<Requested, StoreError> {
        let now = new.asked_at;
        let open = format!("select {REQUEST} from access_requests r where r.person = $1 and r.state = 'open'");
        transact!(self.db, |tx| {
            if !is_active(tx, &new.person).await? {
                return Err(StoreError::Missing);
            }
            expire(tx, now).await?;
            let rows = tx.query(&open, &params![&new.person]).await?;
            let open = rows.into_iter().map(request).collect::<Result<Vec<_>, _>>()?;
            let sql = "select count(*) from access_requests where person = $1 and asked_at > $2";
            let recent = tx.query_first(sql, &params![&new.person, now.minus(HOUR)]).await?;
            let recent = recent.map_or(Ok(0), |mut row| row.take::<i64>())?;
            let full = open.len() >= terms.open as usize || recent >= i64::from(terms.hourly);
            if let Some(same) = open.into_iter().find(|request| request.server == new.server) {
                return Ok(Requested::Already(same));
            }
            if full {
                return Ok(Requested::TooMany);
            }
            let written = tx
                .execute(
                    "insert into access_requests (id, person, server, classes, tool, seconds, why, state, asked_at, expires_at) \
                     values ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9) on conflict (person, server) where state = 'open' do nothing",
                    &params![
                        &new.id,
                        &new.person,
                        &new.server,
                        json(&new.classes)?,
                        new.tool.as_deref(),
                        i64::try_from(new.duration.as_secs()).unwrap_or(i64::MAX),
                        &new.why,
                        new.asked_at,
                        new.expires_at
                    ],
                )
                .await?;
            if written == 0 {
                return Err(StoreError::Conflict);
            }
            tx.changed(ChangeKind::AccessRequest, new.id.as_str(), now);
            Ok(Requested::New)
        })
    }

    /// Answers a wish, once; whether it was open. The right comes in the same commit.
    pub async fn answer_access_request(
        &self,
        id: &AccessRequestId,
        by: &PersonId,
        answer: &AccessAnswer<'_>,
        words: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = match answer {
            AccessAnswer::Approved(_) => AccessRequestState::Approved,
            AccessAnswer::Refused => AccessRequestState::Refused,
            AccessAnswer::Withdrawn => AccessRequestState::Withdrawn,
        };
        transact!(self.db, |tx| {
            let answered = tx
                .execute(
                    "update access_requests set state = $2, decided_at = $3, decided_by = $4, answer = $5 \
                     where id = $1 and state = 'open' and expires_at > $3",
                    &params![id, state.as_str(), now, by, words],
                )
                .await?;
            if answered == 0 {
                return Ok(false);
            }
            if let AccessAnswer::Approved(grant) = answer {
                put(tx, grant).await?;
            }
            tx.changed(ChangeKind::AccessRequest, id.as_str(), now);
            Ok(true)
        })
    }

    /// The wish of this identifier.
    pub async fn access_request(&self, id: &AccessRequestId) -> Result<Option<AccessRequest>, StoreError> {
        let sql = format!("select {REQUEST} from access_requests r where r.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(request).transpose()
    }

    /// What nobody has answered, the oldest first.
    pub async fn open_access_requests(&self, limit: u32, now: Timestamp) -> Result<Vec<AccessRequest>, StoreError> {
        let sql = format!(
            "select {REQUEST} from access_requests r where r.state = 'open' and r.expires_at > $1 \
             order by r.asked_at, r.id limit $2"
        );
        self.db.query(&sql, &params![now, i64::from(limit)]).await?.into_iter().map(request).collect()
    }

    /// What one person wished for, the newest first.
    pub async fn access_requests_of(&self, person: &PersonId) -> Result<Vec<AccessRequest>, StoreError> {
        let sql = format!(
            "select {REQUEST} from access_requests r where r.person = $1 order by r.asked_at desc, r.id limit 200"
        );
        self.db.query(&sql, &params![person]).await?.into_iter().map(request).collect()
    }

    /// Marks what nobody answered in time; how many.
    pub async fn expire_access_requests(&self, now: Timestamp) -> Result<u64, StoreError> {
        transact!(self.db, |tx| expire(tx, now).await)
    }
}

/// Nobody waits any more for what somebody wished whose account ends; how many wishes there were.
pub(crate) async fn end_access_requests(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "update access_requests set state = 'withdrawn', decided_at = $2 where person = $1 and state = 'open' \
               returning id";
    let mut ended = 0;
    for mut row in tx.query(sql, &params![person, now]).await? {
        tx.changed(ChangeKind::AccessRequest, row.take::<String>()?, now);
        ended += 1;
    }
    Ok(ended)
}

async fn expire(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "update access_requests set state = 'expired', decided_at = $1 where state = 'open' and expires_at <= $1 \
               returning id";
    let mut expired = 0;
    for mut row in tx.query(sql, &params![now]).await? {
        tx.changed(ChangeKind::AccessRequest, row.take::<String>()?, now);
        expired += 1;
    }
    Ok(expired)
}

impl AccessRequest {
    /// How far it is now: what nobody has answered ends with its time.
    pub fn state_at(&self, now: Timestamp) -> AccessRequestState {
        match self.state {
            AccessRequestState::Open if self.expires_at <= now => AccessRequestState::Expired,
            state => state,
        }
    }
}

impl AccessRequestState {
    const ALL: [Self; 5] = [Self::Open, Self::Approved, Self::Refused, Self::Withdrawn, Self::Expired];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

fn request(mut row: Row) -> Result<AccessRequest, StoreError> {
    Ok(AccessRequest {
        id: row.take()?,
        person: row.take()?,
        server: row.take()?,
        classes: read_json(&row.take::<String>()?, "the classes of a wish")?,
        tool: row.take()?,
        duration: Duration::from_secs(row.take::<i64>()?.unsigned_abs()),
        why: row.take()?,
        state: {
            let text: String = row.take()?;
            let known = AccessRequestState::ALL.into_iter().find(|state| state.as_str() == text);
            known.ok_or_else(|| damaged("the state of a wish"))?
        },
        asked_at: row.take()?,
        expires_at: row.take()?,
        decided_at: row.take()?,
        decided_by: row.take()?,
        answer: row.take()?,
    })
}
