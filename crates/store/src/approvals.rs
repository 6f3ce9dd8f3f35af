//! Calls that wait for humans: what is asked, what was said, and who runs it.
//!
//! The law decides each step, and each step is one conditional update. A call begins to run once (spec: T-81), for one run
//! of one node; what that run leaves behind when it dies is `unknown`, and stays so (spec: T-87).

use std::collections::BTreeMap;

use portcullis_base::{ApprovalId, Classes, Digest, PersonId, ServerName, Timestamp};
use portcullis_policy::approval::{Admitted, Approval, Known, State, Step, Terms, Vote, VoteError, Word};
use portcullis_policy::{Ask, Assurance};

use crate::{
    ChangeKind, Listed, Paging, Store, StoreError,
    db::{Row, Tx, params, transact},
    people::is_active,
};

/// A call that waits, or waited, and what pages show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// What the law looks at.
    pub approval: Approval,
    /// The call alone, whatever is demanded of it.
    pub call: Digest,
    /// What it is about: `tool`, `prompt`, `resource`.
    pub kind: String,
    /// Its name.
    pub target: String,
    /// The digest of its definition, if it is known.
    pub definition: Option<Digest>,
    /// Its classes.
    pub classes: Classes,
    /// The rule that asked.
    pub rule: String,
    /// The revision of the rules.
    pub revision: String,
    /// The call itself, sealed.
    pub sealed: Vec<u8>,
    /// When it was granted, refused, withdrawn or found expired.
    pub decided_at: Option<Timestamp>,
    /// By whose word, the last one.
    pub decided_by: Option<PersonId>,
    /// Why it was refused.
    pub why: Option<String>,
    /// When it began to run.
    pub began_at: Option<Timestamp>,
    /// When that ended, or was found to have.
    pub ended_at: Option<Timestamp>,
    /// How, in a word.
    pub outcome: Option<String>,
}

/// What became of a call that is to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It waits.
    New(ApprovalRow),
    /// It is one with this.
    Folded(ApprovalRow),
    /// The same was refused a short while ago.
    Refused {
        /// From when it may be asked again.
        again_at: Timestamp,
    },
    /// Too many wait.
    TooMany {
        /// When one of them ends at the latest.
        again_at: Timestamp,
    },
}

/// One run of one node: from its start to its end, however it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// The node.
    pub node: &'a str,
    /// Which of its runs.
    pub run: &'a str,
}

const APPROVAL: &str = "a.id, a.person, a.client, a.server, a.binding, a.fold, a.nonce, a.demands, a.state, a.asked_at, \
     a.expires_at, a.call_hash, a.kind, a.target, a.definition, a.classes, a.rule, a.revision, a.sealed, a.decided_at, \
     a.decided_by, a.why, a.began_at, a.ended_at, a.outcome, v.person, v.word, v.why, v.assurance, v.counts, v.instead_of, v.voted_at";

/// Those of `found`, in its order, each as many times as somebody said something of it, but at least once.
fn select(found: &str, order: &str) -> String {
    format!(
        "select {APPROVAL} from ({found}) a left join approval_votes v on v.approval = a.id \
         order by {order}, v.voted_at, v.person"
    )
}

const BY_ID: &str = "select * from approvals where id = $1";

/// Rows that one job takes at a time.
const PORTION: i64 = 500;

impl Store {
    /// Makes a call wait, or folds it into the one that does. `decide` may be asked more than once; what it said last was
    /// done. `new` is as it is before anybody has said anything.
    ///
    /// spec: T-84
    pub async fn ask_approval(
        &self,
        new: &ApprovalRow,
        now: Timestamp,
        mut decide: impl FnMut(&Known<'_>) -> Admitted,
    ) -> Result<Asked, StoreError> {
        let asked = &new.approval;
        transact!(self.db, |tx| {
            if !is_active(tx, &asked.person).await? {
                return Err(StoreError::Missing);
            }
            // What is over makes room, here and in the index that lets one of a fold wait.
            let due = tx
                .query(
                    "update approvals set state = 'expired', decided_at = $1 \
                     where state in ('pending', 'granted') and expires_at <= $1 \
                     and (fold = $2 or (person = $3 and client = $4)) returning id",
                    &params![now, &asked.fold, &asked.person, &asked.client],
                )
                .await?;
            announce(tx, due, now)?;
            let found = "select * from approvals where fold = $1 and state in ('pending', 'granted')";
            let same = approvals(tx.query(&select(found, "a.id"), &params![&asked.fold]).await?)?.pop();
            let refused_at = refused_at(tx, &new.call).await?;
            let sql = "select count(*), min(expires_at) from approvals \
                       where person = $1 and client = $2 and state = 'pending'";
            let (pending, next_end) = counted(tx.query_first(sql, &params![&asked.person, &asked.client]).await?)?;
            let sql = "select count(*), min(asked_at) from approvals where person = $1 and asked_at > $2";
            let since = now.minus(Terms::RECENT);
            let (recent, first_recent) = counted(tx.query_first(sql, &params![&asked.person, since]).await?)?;
            let same_approval = same.as_ref().map(|row| &row.approval);
            let known = Known { same: same_approval, refused_at, pending, next_end, recent, first_recent };
            match (decide(&known), same) {
                (Admitted::Folded, Some(row)) => Ok(Asked::Folded(row)),
                (Admitted::Refused { again_at }, _) => Ok(Asked::Refused { again_at }),
                (Admitted::TooMany { again_at }, _) => Ok(Asked::TooMany { again_at }),
                (Admitted::New, None) => {
                    insert(tx, new).await?;
                    tx.changed(ChangeKind::Approval, asked.id.as_str(), now);
                    Ok(Asked::New(new.clone()))
                }
                (Admitted::New | Admitted::Folded, _) => Err(StoreError::Conflict),
            }
        })
    }

    /// The call with this fold that was granted and waits for its run.
    pub async fn granted_approval(&self, fold: &Digest, now: Timestamp) -> Result<Option<ApprovalRow>, StoreError> {
        let found = "select * from approvals where fold = $1 and state = 'granted' and expires_at > $2";
        Ok(approvals(self.db.query(&select(found, "a.id"), &params![fold, now]).await?)?.pop())
    }

    /// Writes down what somebody says, if the law takes it. `None`: there is no such approval. The row is as it is then.
    ///
    /// spec: T-82
    pub async fn vote_approval(
        &self,
        id: &ApprovalId,
        now: Timestamp,
        mut decide: impl FnMut(&ApprovalRow) -> Result<Step, VoteError>,
    ) -> Result<Option<(Result<Step, VoteError>, ApprovalRow)>, StoreError> {
        transact!(self.db, |tx| {
            let Some(row) = by_id(tx, id).await? else { return Ok(None) };
            let step = match decide(&row) {
                Ok(step) => step,
                Err(why) => return Ok(Some((Err(why), row))),
            };
            if !is_active(tx, &step.vote.person).await? {
                return Err(StoreError::Missing);
            }
            put_vote(tx, id, &step.vote).await?;
            let (ends, why) = match &step.vote.word {
                Word::Refuse(why) => (true, Some(&**why)),
                Word::Approve => (step.state != State::Pending, None),
            };
            let written = tx
                .execute(
                    "update approvals set state = $2, decided_at = $3, decided_by = $4, why = $5 \
                     where id = $1 and state = 'pending' and expires_at > $6",
                    &params![id, step.state.as_str(), ends.then_some(now), ends.then_some(&step.vote.person), why, now],
                )
                .await?;
            if written == 0 {
                return Err(StoreError::Conflict);
            }
            tx.changed(ChangeKind::Approval, id.as_str(), now);
            let row = by_id(tx, id).await?.ok_or(StoreError::Conflict)?;
            Ok(Some((Ok(step), row)))
        })
    }

    /// Uses up a granted approval: it runs from now on, in this run of this node, which has to renew that before
    /// `leased_until`. `None`: there is no such approval. What `decide` proves is worth something only if it comes back
    /// from here.
    ///
    /// spec: T-81: "consumed atomically": of all who try at once, one begins.
    pub async fn spend_approval<T, E>(
        &self,
        id: &ApprovalId,
        run: Run<'_>,
        leased_until: Timestamp,
        now: Timestamp,
        mut decide: impl FnMut(&ApprovalRow) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>, StoreError> {
        transact!(self.db, |tx| {
            let Some(row) = by_id(tx, id).await? else { return Ok(None) };
            let spent = match decide(&row) {
                Ok(spent) => spent,
                Err(why) => return Ok(Some(Err(why))),
            };
            let begun = tx
                .execute(
                    "update approvals set state = 'running', node = $2, run = $3, leased_until = $4, began_at = $5 \
                     where id = $1 and state = 'granted' and expires_at > $5",
                    &params![id, run.node, run.run, leased_until, now],
                )
                .await?;
            if begun == 0 {
                return Err(StoreError::Conflict);
            }
            tx.changed(ChangeKind::Approval, id.as_str(), now);
            Ok(Some(Ok(spent)))
        })
    }

    /// Notes how the run ended; whether it was still the one that runs it.
    pub async fn approval_done(
        &self,
        id: &ApprovalId,
        run: Run<'_>,
        outcome: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let done = tx
                .execute(
                    "update approvals set state = 'done', ended_at = $4, outcome = $5, leased_until = null \
                     where id = $1 and state = 'running' and node = $2 and run = $3",
                    &params![id, run.node, run.run, now, outcome],
                )
                .await?;
            if done == 1 {
                tx.changed(ChangeKind::Approval, id.as_str(), now);
            }
            Ok(done == 1)
        })
    }

    /// Takes back an approval, if the law lets them; `None`: there is no such approval.
    pub async fn withdraw_approval(
        &self,
        id: &ApprovalId,
        person: &PersonId,
        now: Timestamp,
        mut decide: impl FnMut(&ApprovalRow) -> Result<State, VoteError>,
    ) -> Result<Option<Result<State, VoteError>>, StoreError> {
        transact!(self.db, |tx| {
            let Some(row) = by_id(tx, id).await? else { return Ok(None) };
            let state = match decide(&row) {
                Ok(state) => state,
                Err(why) => return Ok(Some(Err(why))),
            };
            let written = tx
                .execute(
                    "update approvals set state = $2, decided_at = $3, decided_by = $4 \
                     where id = $1 and state in ('pending', 'granted') and expires_at > $3",
                    &params![id, state.as_str(), now, person],
                )
                .await?;
            if written == 0 {
                return Err(StoreError::Conflict);
            }
            tx.changed(ChangeKind::Approval, id.as_str(), now);
            Ok(Some(Ok(state)))
        })
    }

    /// Marks what waited until its time was over, or was granted and not run; which.
    ///
    /// spec: T-81
    pub async fn expire_approvals(&self, now: Timestamp) -> Result<Vec<ApprovalId>, StoreError> {
        transact!(self.db, |tx| {
            let rows = tx
                .query(
                    "update approvals set state = 'expired', decided_at = $1 where id in (select id from approvals \
                     where state in ('pending', 'granted') and expires_at <= $1 limit $2) \
                     and state in ('pending', 'granted') returning id",
                    &params![now, PORTION],
                )
                .await?;
            announce(tx, rows, now)
        })
    }

    /// Says that this run goes on until `until` at least: what it runs is its own.
    pub async fn renew_run(&self, run: Run<'_>, until: Timestamp) -> Result<u64, StoreError> {
        transact!(self.db, |tx| {
            let sql = "update approvals set leased_until = $3 where state = 'running' and node = $1 and run = $2";
            let running = tx.execute(sql, &params![run.node, run.run, until]).await?;
            let sql = "update quota_holds set leased_until = $3 where node = $1 and run = $2";
            Ok(running + tx.execute(sql, &params![run.node, run.run, until]).await?)
        })
    }

    /// Marks as unknown what earlier runs of this node left running, and what any node runs that did not renew it in time;
    /// which. Nothing is run again.
    ///
    /// spec: T-87
    pub async fn lose_runs(&self, run: Run<'_>, now: Timestamp) -> Result<Vec<ApprovalId>, StoreError> {
        transact!(self.db, |tx| {
            let rows = tx
                .query(
                    "update approvals set state = 'unknown', ended_at = $3, leased_until = null where state = 'running' \
                     and ((node = $1 and run <> $2) or leased_until <= $3) returning id",
                    &params![run.node, run.run, now],
                )
                .await?;
            announce(tx, rows, now)
        })
    }

    /// The approval of this identifier.
    pub async fn approval(&self, id: &ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        Ok(approvals(self.db.query(&select(BY_ID, "a.id"), &params![id]).await?)?.pop())
    }

    /// What waits for somebody, the oldest first: those who may decide are named in the demands.
    pub async fn approvals_waiting(&self, limit: u32, now: Timestamp) -> Result<Vec<ApprovalRow>, StoreError> {
        let found =
            "select * from approvals where state = 'pending' and expires_at > $1 order by asked_at, id limit $2";
        let sql = select(found, "a.asked_at, a.id");
        approvals(self.db.query(&sql, &params![now, i64::from(limit)]).await?)
    }

    /// How many calls wait for humans.
    pub async fn count_waiting_approvals(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "select count(*) from approvals where state = 'pending' and expires_at > $1";
        let row = self.db.query_first(sql, &params![now]).await?;
        Ok(row.map_or(Ok(0_i64), |mut row| row.take())?.unsigned_abs())
    }

    /// Part of what one person asked for, the newest first.
    pub async fn approvals_of(&self, person: &PersonId, paging: Paging) -> Result<Listed<ApprovalRow>, StoreError> {
        let counted = self.db.query_first("select count(*) from approvals where person = $1", &params![person]).await?;
        let total: i64 = counted.map_or(Ok(0), |mut row| row.take())?;
        let found = "select * from approvals where person = $1 order by asked_at desc, id limit $2 offset $3";
        let sql = select(found, "a.asked_at desc, a.id");
        let rows = self.db.query(&sql, &params![person, i64::from(paging.take), i64::from(paging.skip)]).await?;
        Ok(Listed { total: total.unsigned_abs(), items: approvals(rows)? })
    }

    /// The last call of this person to the same target that was approved and run: what a new one is compared with.
    pub async fn last_approved(
        &self,
        person: &PersonId,
        server: &ServerName,
        (kind, target): (&str, &str),
    ) -> Result<Option<ApprovalRow>, StoreError> {
        let found = "select * from approvals where person = $1 and server = $2 and kind = $3 and target = $4 \
                     and state = 'done' order by ended_at desc, id limit 1";
        Ok(approvals(self.db.query(&select(found, "a.id"), &params![person, server, kind, target]).await?)?.pop())
    }
}

/// What a person waits for whose account ends is over, and their words count no more: what was granted by them and not run
/// is taken back, what waits waits for others. How many calls wait or may run no longer.
pub(crate) async fn end_approvals(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<u64, StoreError> {
    let rows = tx
        .query(
            "update approvals set state = 'withdrawn', decided_at = $2 where (state in ('pending', 'granted') and person = $1) \
             or (state = 'granted' and id in (select approval from approval_votes where person = $1)) returning id",
            &params![person, now],
        )
        .await?;
    let ended = announce(tx, rows, now)?.len() as u64;
    let rows = tx
        .query(
            "delete from approval_votes where person = $1 \
             and approval in (select id from approvals where state = 'pending') returning approval",
            &params![person],
        )
        .await?;
    announce(tx, rows, now)?;
    Ok(ended + end_lent_words(tx, person, now).await?)
}

/// The same of what others said in their stead.
async fn end_lent_words(tx: &mut Tx, owner: &PersonId, now: Timestamp) -> Result<u64, StoreError> {
    let rows = tx
        .query(
            "select v.approval, v.person, v.instead_of from approval_votes v join approvals a on a.id = v.approval \
             where a.state in ('pending', 'granted') and v.instead_of <> '{}' order by v.approval, v.person",
            &[],
        )
        .await?;
    let mut ended = 0;
    for mut row in rows {
        let (approval, voter): (ApprovalId, PersonId) = (row.take()?, row.take()?);
        let instead_of: BTreeMap<u32, PersonId> = read_json(&row.take::<String>()?, "whose word it is")?;
        if !instead_of.values().any(|lender| lender == owner) {
            continue;
        }
        let withdrawn = tx
            .query(
                "update approvals set state = 'withdrawn', decided_at = $2 where id = $1 and state = 'granted' returning id",
                &params![&approval, now],
            )
            .await?;
        ended += announce(tx, withdrawn, now)?.len() as u64;
        let forgotten = tx
            .query(
                "delete from approval_votes where approval = $1 and person = $2 \
                 and approval in (select id from approvals where state = 'pending') returning approval",
                &params![&approval, &voter],
            )
            .await?;
        announce(tx, forgotten, now)?;
    }
    Ok(ended)
}

fn announce(tx: &mut Tx, rows: Vec<Row>, now: Timestamp) -> Result<Vec<ApprovalId>, StoreError> {
    let mut ids = rows.into_iter().map(|mut row| row.take()).collect::<Result<Vec<ApprovalId>, _>>()?;
    ids.sort_unstable();
    for id in &ids {
        tx.changed(ChangeKind::Approval, id.as_str(), now);
    }
    Ok(ids)
}

async fn refused_at(tx: &mut Tx, call: &Digest) -> Result<Option<Timestamp>, StoreError> {
    let sql = "select max(decided_at) from approvals where call_hash = $1 and state = 'refused'";
    tx.query_first(sql, &params![call]).await?.map_or(Ok(None), |mut row| row.take())
}

fn counted(row: Option<Row>) -> Result<(u32, Option<Timestamp>), StoreError> {
    let Some(mut row) = row else { return Ok((0, None)) };
    Ok((u32::try_from(row.take::<i64>()?).unwrap_or(u32::MAX), row.take()?))
}

async fn insert(tx: &mut Tx, new: &ApprovalRow) -> Result<(), StoreError> {
    let asked = &new.approval;
    let written = tx
        .execute(
            "insert into approvals (id, person, client, server, kind, target, definition, classes, rule, revision, \
             binding, fold, call_hash, nonce, demands, sealed, state, asked_at, expires_at) values \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'pending', $17, $18) \
             on conflict (fold) where state in ('pending', 'granted') do nothing",
            &params![
                &asked.id,
                &asked.person,
                &asked.client,
                &asked.server,
                &new.kind,
                &new.target,
                new.definition.as_ref(),
                json(&new.classes)?,
                &new.rule,
                &new.revision,
                &asked.binding,
                &asked.fold,
                &new.call,
                &*asked.nonce,
                json(&asked.demands)?,
                &new.sealed,
                asked.asked_at,
                asked.expires_at
            ],
        )
        .await?;
    // Another one of the same fold was first.
    if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

async fn put_vote(tx: &mut Tx, id: &ApprovalId, vote: &Vote) -> Result<(), StoreError> {
    let (word, why) = match &vote.word {
        Word::Approve => ("approve", None),
        Word::Refuse(why) => ("refuse", Some(&**why)),
    };
    tx.execute(
        "insert into approval_votes (approval, person, word, why, assurance, counts, instead_of, voted_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (approval, person) do update set word = excluded.word, \
         why = excluded.why, assurance = excluded.assurance, counts = excluded.counts, \
         instead_of = excluded.instead_of, voted_at = excluded.voted_at",
        &params![
            id,
            &vote.person,
            word,
            why,
            vote.assurance.as_str(),
            json(&vote.counts)?,
            json(&vote.instead_of)?,
            vote.at
        ],
    )
    .await
    .map(drop)
}

async fn by_id(tx: &mut Tx, id: &ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
    Ok(approvals(tx.query(&select(BY_ID, "a.id"), &params![id]).await?)?.pop())
}

fn approvals(rows: Vec<Row>) -> Result<Vec<ApprovalRow>, StoreError> {
    let mut all: Vec<ApprovalRow> = Vec::new();
    for mut row in rows {
        let mut found = approval(&mut row)?;
        let vote = vote(row)?;
        match all.last_mut() {
            Some(last) if last.approval.id == found.approval.id => last.approval.votes.extend(vote),
            _ => {
                found.approval.votes.extend(vote);
                all.push(found);
            }
        }
    }
    Ok(all)
}

fn vote(mut row: Row) -> Result<Option<Vote>, StoreError> {
    let Some(person) = row.take()? else { return Ok(None) };
    let (word, why): (String, Option<String>) = (row.take()?, row.take()?);
    let word = match (word.as_str(), why) {
        ("approve", _) => Word::Approve,
        ("refuse", why) => Word::Refuse(why.unwrap_or_default().into()),
        _ => return Err(damaged("a word about an approval")),
    };
    let assurance = Assurance::parse(&row.take::<String>()?).ok_or_else(|| damaged("an assurance"))?;
    let counts = read_json(&row.take::<String>()?, "what a word counts for")?;
    let instead_of = read_json(&row.take::<String>()?, "whose word it is")?;
    Ok(Some(Vote { person, word, assurance, counts, instead_of, at: row.take()? }))
}

fn approval(row: &mut Row) -> Result<ApprovalRow, StoreError> {
    let (id, person, client, server) = (row.take()?, row.take()?, row.take()?, row.take()?);
    let (binding, fold) = (row.take()?, row.take()?);
    let nonce = row.take::<String>()?.into();
    let demands: Vec<Ask> = read_json(&row.take::<String>()?, "the demands of an approval")?;
    let state = State::parse(&row.take::<String>()?).ok_or_else(|| damaged("the state of an approval"))?;
    let (asked_at, expires_at) = (row.take()?, row.take()?);
    let demands = demands.into();
    let approval = Approval {
        id,
        person,
        client,
        server,
        binding,
        fold,
        nonce,
        demands,
        votes: Vec::new(),
        state,
        asked_at,
        expires_at,
    };
    Ok(ApprovalRow {
        approval,
        call: row.take()?,
        kind: row.take()?,
        target: row.take()?,
        definition: row.take()?,
        classes: read_json(&row.take::<String>()?, "the classes of an approval")?,
        rule: row.take()?,
        revision: row.take()?,
        sealed: row.take()?,
        decided_at: row.take()?,
        decided_by: row.take()?,
        why: row.take()?,
        began_at: row.take()?,
        ended_at: row.take()?,
        outcome: row.take()?,
    })
}

pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} cannot be read"))
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged("something cannot be written as JSON".into()))
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| damaged(what))
}
