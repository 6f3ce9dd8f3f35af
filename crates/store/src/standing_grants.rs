//! Calls approved ahead: for a while, so many times, and until somebody takes it back. spec: T-84

use portcullis_base::{ApprovalId, ClientId, PersonId, ServerName, StandingGrantId, Timestamp};
use portcullis_policy::approval::Standing;

use crate::{
    ChangeKind, Store, StoreError,
    approvals::{json, read_json},
    db::{Row, Tx, params, transact},
    people::is_active,
};

/// An approval ahead, and what pages show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRow {
    /// What the law looks at.
    pub standing: Standing,
    /// The approval on whose page it was made.
    pub approval: ApprovalId,
    /// Who gave it.
    pub given_by: PersonId,
    /// When.
    pub made_at: Timestamp,
    /// When it was last used.
    pub used_at: Option<Timestamp>,
    /// Who took it back.
    pub revoked_by: Option<PersonId>,
}

const STANDING: &str = "s.id, s.person, s.client, s.server, s.tool, s.definition, s.scope, s.demands, s.uses_left, s.ends_at, \
     s.revoked_at, s.approval, s.given_by, s.made_at, s.used_at, s.revoked_by";

impl Store {
    /// Keeps an approval ahead that the law made.
    pub async fn put_standing_grant(&self, row: &StandingRow) -> Result<(), StoreError> {
        let standing = &row.standing;
        transact!(self.db, |tx| {
            if !is_active(tx, &standing.person).await? || !is_active(tx, &row.given_by).await? {
                return Err(StoreError::Missing);
            }
            tx.execute(
                "insert into standing_grants (id, person, client, server, tool, definition, scope, demands, approval, \
                 given_by, made_at, ends_at, uses_left) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                &params![
                    &standing.id,
                    &standing.person,
                    &standing.client,
                    &standing.server,
                    &*standing.tool,
                    &standing.definition,
                    json(&standing.scope)?,
                    json(&standing.demands)?,
                    &row.approval,
                    &row.given_by,
                    row.made_at,
                    standing.ends_at,
                    standing.uses_left.map(i64::from)
                ],
            )
            .await?;
            tx.changed(ChangeKind::StandingGrant, standing.id.as_str(), row.made_at);
            Ok(())
        })
    }

    /// Those that a call of this person may be covered by: alive, of this client, server and tool, the last to end first.
    pub async fn standing_grants_for(
        &self,
        person: &PersonId,
        client: &ClientId,
        (server, tool): (&ServerName, &str),
        now: Timestamp,
    ) -> Result<Vec<StandingRow>, StoreError> {
        let sql = format!(
            "select {STANDING} from standing_grants s where s.person = $1 and s.server = $2 and s.client = $3 \
             and s.tool = $4 and s.ends_at > $5 and s.revoked_at is null and (s.uses_left is null or s.uses_left > 0) \
             order by s.ends_at desc, s.id"
        );
        let rows = self.db.query(&sql, &params![person, server, client, tool, now]).await?;
        rows.into_iter().map(standing).collect()
    }

    /// All that are alive.
    pub async fn standing_grants_alive(&self, now: Timestamp) -> Result<Vec<StandingRow>, StoreError> {
        let sql = format!(
            "select {STANDING} from standing_grants s where s.ends_at > $1 and s.revoked_at is null \
             and (s.uses_left is null or s.uses_left > 0) order by s.ends_at desc, s.id"
        );
        self.db.query(&sql, &params![now]).await?.into_iter().map(standing).collect()
    }

    /// One of them, dead or alive.
    pub async fn standing_grant(&self, id: &StandingGrantId) -> Result<Option<StandingRow>, StoreError> {
        let sql = format!("select {STANDING} from standing_grants s where s.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(standing).transpose()
    }

    /// Takes one use off an approval ahead, if the law says that it covers the call. `None`: it is gone, used up, or does
    /// not cover it. What `decide` proves is worth something only if it comes back from here.
    pub async fn use_standing_grant<T>(
        &self,
        id: &StandingGrantId,
        now: Timestamp,
        mut decide: impl FnMut(&Standing) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let sql = format!("select {STANDING} from standing_grants s where s.id = $1");
        transact!(self.db, |tx| {
            let Some(row) = tx.query_first(&sql, &params![id]).await? else { return Ok(None) };
            let Some(covered) = decide(&standing(row)?.standing) else { return Ok(None) };
            let used = tx
                .execute(
                    "update standing_grants set uses_left = uses_left - 1, used_at = $2 where id = $1 \
                     and ends_at > $2 and revoked_at is null and (uses_left is null or uses_left > 0)",
                    &params![id, now],
                )
                .await?;
            Ok((used == 1).then_some(covered))
        })
    }

    /// What was approved ahead for one person, the newest first.
    pub async fn standing_grants_of(&self, person: &PersonId) -> Result<Vec<StandingRow>, StoreError> {
        let sql = format!(
            "select {STANDING} from standing_grants s where s.person = $1 order by s.made_at desc, s.id limit 200"
        );
        self.db.query(&sql, &params![person]).await?.into_iter().map(standing).collect()
    }

    /// Takes back an approval ahead; whether it was there.
    pub async fn revoke_standing_grant(
        &self,
        id: &StandingGrantId,
        by: &PersonId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let sql =
                "update standing_grants set revoked_at = $2, revoked_by = $3 where id = $1 and revoked_at is null";
            let revoked = tx.execute(sql, &params![id, now, by]).await?;
            if revoked == 1 {
                tx.changed(ChangeKind::StandingGrant, id.as_str(), now);
            }
            Ok(revoked == 1)
        })
    }
}

/// What somebody whose account ends has, and what they gave others, is over; how much that was.
pub(crate) async fn end_standing_grants(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<u64, StoreError> {
    let rows = tx
        .query(
            "update standing_grants set revoked_at = $2 where (person = $1 or given_by = $1) and revoked_at is null \
             and ends_at > $2 returning id",
            &params![person, now],
        )
        .await?;
    let ended = rows.len() as u64;
    for mut row in rows {
        tx.changed(ChangeKind::StandingGrant, row.take::<String>()?, now);
    }
    Ok(ended)
}

fn standing(mut row: Row) -> Result<StandingRow, StoreError> {
    let standing = Standing {
        id: row.take()?,
        person: row.take()?,
        client: row.take()?,
        server: row.take()?,
        tool: row.take::<String>()?.into(),
        definition: row.take()?,
        scope: read_json(&row.take::<String>()?, "the scope of an approval ahead")?,
        demands: read_json(&row.take::<String>()?, "the demands of an approval ahead")?,
        uses_left: row.take::<Option<i64>>()?.map(|left| u32::try_from(left).unwrap_or(0)),
        ends_at: row.take()?,
        revoked_at: row.take()?,
    };
    Ok(StandingRow {
        standing,
        approval: row.take()?,
        given_by: row.take()?,
        made_at: row.take()?,
        used_at: row.take()?,
        revoked_by: row.take()?,
    })
}
