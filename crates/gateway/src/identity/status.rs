//! How a provider is, for the administrator's page.

use std::sync::{Mutex, PoisonError};

use portcullis_base::{Timestamp, printable};
use portcullis_oauth::relying::profile::Groups;

use super::Arrived;
use crate::config::ClaimNames;

/// How a provider is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When its discovery document was last fetched; GitHub has none.
    pub discovered_at: Option<Timestamp>,
    /// When somebody last signed in through this node.
    pub signed_in_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_problem: Option<(Timestamp, String)>,
    /// Claims that the settings name and that the last sign-in through this node did not bring.
    pub missing_claims: Vec<String>,
}

/// What is noted about one provider while the gateway runs.
#[derive(Default)]
pub(super) struct Notes(Mutex<Status>);

impl Notes {
    pub(super) fn signed_in(&self, at: Timestamp, arrived: &Arrived, names: &ClaimNames) {
        let profile = &arrived.profile;
        let expected = [
            (&names.display_name, profile.display_name.is_some()),
            (&names.email, profile.email.is_some()),
            (&names.groups, profile.groups != Groups::Absent),
        ];
        let missing = expected.into_iter().filter(|(_, there)| !there).map(|(name, _)| name.clone());
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        status.signed_in_at = Some(at);
        status.missing_claims = missing.collect();
    }

    pub(super) fn problem(&self, at: Timestamp, text: &str) {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        status.last_problem = Some((at, printable(text, 400)));
    }

    pub(super) fn status(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
