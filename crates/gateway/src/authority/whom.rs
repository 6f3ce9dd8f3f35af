//! For whom something is done at a server.

use std::sync::Arc;

use portcullis_base::PersonId;
use portcullis_store::PersonKind;

/// Somebody who uses a server, as the gateway knows them at this moment.
#[derive(Clone, Debug)]
pub struct Whom {
    /// Who.
    pub person: PersonId,
    /// A person or a service account.
    pub kind: PersonKind,
    /// Their account name.
    pub name: Arc<str>,
    /// Their groups.
    pub groups: Arc<[Arc<str>]>,
}
