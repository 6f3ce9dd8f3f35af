//! Connections that are being made: one entry per flow, taken once.

use portcullis_base::{Digest, Holder, PersonId, ServerName, Timestamp};

use crate::{
    Store, StoreError,
    db::{Row, params, transact},
    people::is_active,
};

/// A connection that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFlow {
    /// Digest of the `state` that comes back, or of what the page that asks for a yes sends.
    pub state_hash: Digest,
    /// Whose the connection is to be.
    pub holder: Holder,
    /// Who makes it.
    pub person: PersonId,
    /// Where.
    pub server: ServerName,
    /// The public name of the browser session that it was begun in.
    pub session: String,
    /// Digest of the cookie of the browser that it was begun in.
    pub browser_hash: Digest,
    /// Issuer, token endpoint, verifier, resource and scopes as they were, or the tokens that arrived; sealed.
    pub sealed: Vec<u8>,
    /// How far it is.
    pub stage: FlowStage,
    /// When it is over.
    pub expires_at: Timestamp,
}

/// How far a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowStage {
    /// The person was sent to the authorization server.
    Asked,
    /// Its answer is here; the person has yet to say that it is what they meant.
    Arrived,
}

/// Flows that one person may have under way. The oldest make room.
const AT_ONCE: i64 = 20;
/// So few at a time that a node which stops meanwhile loses little.
const STALE_AT_ONCE: i64 = 10;

impl Store {
    /// Writes down what a flow was begun with. [`StoreError::Missing`] if the person is not there or is disabled.
    ///
    /// What has arrived makes no room: it is given back when it is over.
    ///
    /// spec: UP-33
    pub async fn begin_connect(&self, flow: &ConnectFlow) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            if !is_active(tx, &flow.person).await? {
                return Err(StoreError::Missing);
            }
            tx.execute(
                "delete from connect_flows where person = $1 and stage = $2 and state_hash not in (select state_hash \
                 from connect_flows where person = $1 order by expires_at desc, state_hash limit $3)",
                &params![&flow.person, FlowStage::Asked.as_str(), AT_ONCE - 1],
            )
            .await?;
            tx.execute(
                "insert into connect_flows (state_hash, holder, person, server, session, browser_hash, sealed, stage, \
                 expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &params![
                    &flow.state_hash,
                    &flow.holder,
                    &flow.person,
                    &flow.server,
                    &flow.session,
                    &flow.browser_hash,
                    &flow.sealed,
                    flow.stage.as_str(),
                    flow.expires_at
                ],
            )
            .await?;
            Ok(())
        })
    }

    /// Takes the flow that `state_hash` stands for, if it is at this stage and not over. Nobody takes it again, whatever
    /// comes of it; what has arrived and is over stays for [`Store::take_stale_arrivals`].
    ///
    /// spec: UP-36
    pub async fn take_connect(
        &self,
        state_hash: &Digest,
        stage: FlowStage,
        now: Timestamp,
    ) -> Result<Option<ConnectFlow>, StoreError> {
        let taken = transact!(self.db, |tx| {
            tx.query_first(
                "delete from connect_flows where state_hash = $1 and stage = $2 and (stage = $3 or expires_at > $4) \
                 returning state_hash, holder, person, server, session, browser_hash, sealed, expires_at",
                &params![state_hash, stage.as_str(), FlowStage::Asked.as_str(), now],
            )
            .await
        })?;
        let flow = taken.map(|row| flow(row, stage)).transpose()?;
        Ok(flow.filter(|flow| flow.expires_at > now))
    }

    /// Takes some of the flows that are over and hold what a provider gave: nobody agreed to it, so it is to be given back.
    pub async fn take_stale_arrivals(&self, now: Timestamp) -> Result<Vec<ConnectFlow>, StoreError> {
        let taken = transact!(self.db, |tx| {
            tx.query(
                "delete from connect_flows where state_hash in (select state_hash from connect_flows where stage = $1 \
                 and expires_at <= $2 limit $3) returning state_hash, holder, person, server, session, browser_hash, \
                 sealed, expires_at",
                &params![FlowStage::Arrived.as_str(), now, STALE_AT_ONCE],
            )
            .await
        })?;
        taken.into_iter().map(|row| flow(row, FlowStage::Arrived)).collect()
    }
}

impl FlowStage {
    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Arrived => "arrived",
        }
    }
}

fn flow(mut row: Row, stage: FlowStage) -> Result<ConnectFlow, StoreError> {
    Ok(ConnectFlow {
        state_hash: row.take()?,
        holder: row.take()?,
        person: row.take()?,
        server: row.take()?,
        session: row.take()?,
        browser_hash: row.take()?,
        sealed: row.take()?,
        stage,
        expires_at: row.take()?,
    })
}
