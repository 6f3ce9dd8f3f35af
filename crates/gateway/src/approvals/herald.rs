//! Telling people that something waits for them.

use portcullis_store::ApprovalRow;

/// Tells people. It must not take long: what takes long it does beside.
pub trait Herald: Send + Sync {
    /// A call began to wait; `link` is where people decide.
    fn asked(&self, row: &ApprovalRow, link: &str);

    /// What waits has changed: it was granted, refused or taken back.
    fn decided(&self, row: &ApprovalRow);
}

/// Tells nobody.
pub struct Nobody;

impl Herald for Nobody {
    fn asked(&self, _: &ApprovalRow, _: &str) {}

    fn decided(&self, _: &ApprovalRow) {}
}
