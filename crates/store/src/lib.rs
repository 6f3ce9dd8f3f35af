//! Every SQL statement of Portcullis, written once for SQLite and PostgreSQL.
//!
//! Promises:
//! - **load → decide → apply.** A method opens a serializable transaction, loads facts, asks a pure synchronous closure,
//!   applies what it decided, commits, and runs again from the start when it collided. There is no other way to write.
//! - **What is single-use changes by one conditional statement** whose row count is the answer.
//! - **No half transactions.** A future that is dropped rolls back.
//! - **No usable credential is in here**: codes, refresh tokens, browser sessions, invitations and client secrets are
//!   digests, passwords are argon2id, signing keys are sealed before they come here (spec: AS-87, T-44).
//! - **Other nodes learn of every change that concerns them** from a feed written in the same commit ([`Change`]).
//!
//! Durability: PostgreSQL as it is set up. SQLite runs in WAL mode with `synchronous = normal`: a commit survives the
//! death of the process at once; a power cut can lose the last moments but never tears a commit. The worst of it for a
//! redeemed code or a rotated token is that it is good once more, for the one who has it, until its seconds are over.
//!
//! Deliberately absent: storage traits, mocks, SQL built from values, time from the database, and law: who may do what
//! is decided by the caller's closure. The journal is not here either, only an index of it.

mod access_grants;
mod access_keys;
mod access_requests;
mod approvals;
mod audit_index;
mod changes;
mod clients;
mod connect_flows;
mod connections;
mod consents;
mod db;
mod delegations;
mod ended_sessions;
mod error;
#[cfg(feature = "fixture")]
pub mod fixture;
mod grants;
mod groups;
mod identities;
mod insight;
mod invitations;
mod key_ring;
mod keys;
mod last_use;
mod machine;
mod meta;
mod offboard;
mod passkeys;
mod people;
mod purge;
mod quotas;
mod reports;
mod restored;
mod rule_hits;
mod schema;
mod scim_groups;
mod scim_users;
mod sealed;
mod server_facts;
mod servers;
mod session_labels;
mod sessions;
mod spent;
mod standing_grants;
mod tokens;
mod upstream_clients;

use portcullis_base::Timestamp;

pub use self::{
    access_grants::{AccessGrant, AccessGrantKind},
    access_keys::{ACCESS_KEY, AccessKeyRow, NewAccessKey},
    access_requests::{AccessAnswer, AccessRequest, AccessRequestState, Requested, WishTerms},
    approvals::{ApprovalRow, Asked, Run},
    audit_index::{AuditCursor, AuditEntry, AuditFilter, AuditPage},
    changes::{Change, ChangeKind},
    clients::{ClientLife, StoredClient},
    connect_flows::{ConnectFlow, FlowStage},
    connections::{
        Connection, ConnectionKind, ConnectionState, ConnectionsDue, Leased, MadeConnection, NewConnection,
        RefreshedConnection,
    },
    db::DatabaseSettings,
    delegations::Delegation,
    error::StoreError,
    grants::{Approval, Approved, FreshGrant, GrantRow, TOKENS_ALIVE},
    groups::{GroupOrigin, GroupSource},
    identities::{Due, Identity, LinkBy, NewPeople, ProviderSignIn, SignInRefused, SignedIn},
    insight::{Counts, First, Histogram, OTHERS, Thing, Top, TopBy, Unused, UnusedKind},
    key_ring::KeyRingRow,
    keys::SigningKeyRow,
    machine::{MachineGrant, NewServiceAccount, ServiceAccount},
    offboard::{EndedGrant, EndedIdentity, EndedRights, Extent, Offboarded},
    passkeys::PasskeyRow,
    people::{NewPerson, Person, PersonKind},
    purge::Purged,
    quotas::QuotaHold,
    reports::ReportRow,
    restored::EndedByRestore,
    rule_hits::RuleHits,
    schema::{KNOWN_VERSION, SchemaStatus},
    scim_groups::{Members, NewScimGroup, ScimGroup, ScimGroupLookup, ScimMember},
    scim_users::{Listed, NewScimUser, Paging, ScimState, ScimUser, ScimUserLookup, ScimWrite},
    sealed::{SealedOwner, SealedPlace, SealedRow},
    server_facts::{ServerFacts, ToolList},
    servers::ServerRow,
    sessions::{BrowserSession, Ended, NewSession},
    standing_grants::StandingRow,
    tokens::FirstRefresh,
    upstream_clients::UpstreamClientRow,
};

/// The database. Cheap to clone; open it again for a runtime of its own.
#[derive(Clone)]
pub struct Store {
    db: db::Db,
}

impl Store {
    /// Opens the database and migrates it forward; refuses one that a newer release wrote.
    pub async fn open(settings: &DatabaseSettings, now: Timestamp) -> Result<Self, StoreError> {
        let store = Self { db: db::Db::open(settings).await? };
        store.migrate(now).await?;
        Ok(store)
    }

    /// Opens the database as it is: for [`Store::status`] and [`Store::migrate`], and for [`SchemaStatus::check`].
    pub async fn open_without_migrating(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        Ok(Self { db: db::Db::open(settings).await? })
    }

    /// Migrates forward; the version it had before.
    pub async fn migrate(&self, now: Timestamp) -> Result<i64, StoreError> {
        schema::migrate(&self.db, now).await
    }

    /// The version of the schema, found and known.
    pub async fn status(&self) -> Result<SchemaStatus, StoreError> {
        schema::status(&self.db).await
    }

    /// Whether the database answers: for the readiness check.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.query("select 1", &[]).await.map(drop)
    }
}
