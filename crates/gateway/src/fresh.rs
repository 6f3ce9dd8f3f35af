//! Fresh sign-ins: which grants go on after a person signed in again because a rule asked for it.
//!
//! The next access token of the grant says so by itself; until then it stands here, filled by this node's own door and by
//! the change feed.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis_base::{GrantId, Timestamp};

use crate::ended::GRANT_MEMORY;

/// When and how somebody signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// When.
    pub at: Timestamp,
    /// How, in the provider's words.
    pub acr: Option<Arc<str>>,
}

/// Grants with a sign-in that is younger than their tokens.
#[derive(Default)]
pub struct Fresh {
    grants: RwLock<HashMap<GrantId, SignIn>>,
    /// How many, so that nothing is locked on the path of a call as long as there is none.
    count: AtomicUsize,
}

impl Fresh {
    /// The sign-in that a grant goes on with, if there is one.
    pub fn of(&self, grant: &GrantId) -> Option<SignIn> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.grants.read().unwrap_or_else(PoisonError::into_inner).get(grant).cloned()
    }

    /// Remembers a fresh sign-in.
    pub fn note(&self, grant: GrantId, sign_in: SignIn) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        if grants.get(&grant).is_none_or(|known| known.at <= sign_in.at) {
            grants.insert(grant, sign_in);
        }
        self.count.store(grants.len(), Ordering::Release);
    }

    /// Forgets what every living token says by itself.
    pub fn forget(&self, now: Timestamp) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|_, sign_in| sign_in.at.plus(GRANT_MEMORY) > now);
        self.count.store(grants.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_sign_in_counts_until_every_token_says_it() {
        let (fresh, grant) = (Fresh::default(), GrantId::new("grt_1"));
        assert_eq!(fresh.of(&grant), None);
        let at = |secs| SignIn { at: Timestamp::from_secs(secs), acr: None };
        fresh.note(grant.clone(), at(20));
        fresh.note(grant.clone(), at(10));
        assert_eq!(fresh.of(&grant), Some(at(20)));
        fresh.forget(Timestamp::from_secs(20).plus(GRANT_MEMORY));
        assert_eq!(fresh.of(&grant), None);
    }
}
