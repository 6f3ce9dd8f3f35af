//! Personal access keys: for clients that cannot do OAuth. Off unless the settings switch them on.
//!
//! A key is for one endpoint, has scopes and an end, and is sent in `Authorization` and nowhere else (RS-35). Only its
//! digest is stored. Behind each is a grant of its own, so that what ends grants ends keys. A call finds its key here in
//! memory; the change feed keeps that up to date.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use portcullis_audit::Kind;
use portcullis_base::{ClientId, Digest, GrantId, PersonId, Secret, ServerName, Timestamp, token};
use portcullis_oauth::{grant::RevokedWhy, scope::Scopes};
use portcullis_store::{ACCESS_KEY, AccessKeyRow, NewAccessKey, StoreError};

use crate::{
    desk::{Desk, DeskError},
    fresh::SignIn,
};

/// How the text of a key begins.
pub const PREFIX: &str = "pck_";

/// The keys that are good, by digest.
#[derive(Default)]
pub struct AccessKeys {
    held: ArcSwap<HashMap<Digest, Arc<AccessKey>>>,
}

/// One key.
#[derive(Debug)]
pub struct AccessKey {
    /// The grant it dies with.
    pub grant: GrantId,
    /// Whose it is.
    pub person: PersonId,
    /// The one endpoint it is for.
    pub resource: String,
    /// What it may do there.
    pub scopes: Scopes,
    /// Its end.
    pub expires_at: Timestamp,
    /// How its person had signed in when it was made.
    pub sign_in: Option<SignIn>,
    /// When it was last used here, in milliseconds; zero once that was noted.
    used: AtomicI64,
}

impl AccessKey {
    /// The client that calls with keys are recorded as.
    pub fn client() -> ClientId {
        ClientId::new(ACCESS_KEY)
    }
}

impl From<AccessKeyRow> for AccessKey {
    fn from(row: AccessKeyRow) -> Self {
        let AccessKeyRow { grant, person, resource, scopes, expires_at, authenticated_at, .. } = row;
        let sign_in = authenticated_at.map(|at| SignIn { at, acr: None });
        Self { grant, person, resource, scopes, expires_at, sign_in, used: AtomicI64::new(0) }
    }
}

impl AccessKeys {
    /// Replaces all keys by these; one that was held before stays the same, with what is remembered of its use.
    pub fn hold(&self, rows: Vec<AccessKeyRow>) {
        let before = self.held.load();
        let kept = |row: AccessKeyRow| {
            let digest = row.hash;
            (digest, before.get(&digest).cloned().unwrap_or_else(|| Arc::new(row.into())))
        };
        self.held.store(Arc::new(rows.into_iter().map(kept).collect()));
    }

    /// Forgets the keys of revoked grants.
    pub fn forget(&self, revoked: &[GrantId]) {
        let held = self.held.load();
        let alive = |key: &AccessKey| !revoked.contains(&key.grant);
        if !held.values().all(|key| alive(key)) {
            let alive = held.iter().filter(|(_, key)| alive(key));
            self.held.store(Arc::new(alive.map(|(digest, key)| (*digest, key.clone())).collect()));
        }
    }

    /// The key that `text` is, used at this endpoint at this moment.
    // spec: RS-35: "endpoint-bound, scoped, expiring"
    pub fn find(&self, text: &str, resource: &str, now: Timestamp) -> Option<Arc<AccessKey>> {
        let held = self.held.load();
        let key = held.get(&Digest::of(text.as_bytes()))?;
        if key.resource != resource || now >= key.expires_at {
            return None;
        }
        key.used.store(now.as_millis(), Ordering::Relaxed);
        Some(key.clone())
    }

    /// What was used since the last time this was asked.
    pub fn take_used(&self) -> Vec<(GrantId, Timestamp)> {
        let used = |key: &Arc<AccessKey>| match key.used.swap(0, Ordering::Relaxed) {
            0 => None,
            at => Some((key.grant.clone(), Timestamp::from_millis(at))),
        };
        self.held.load().values().filter_map(used).collect()
    }
}

/// A key to be made.
pub struct NewKey<'a> {
    /// Whose it will be.
    pub person: &'a PersonId,
    /// What its owner calls it.
    pub name: &'a str,
    /// The server whose endpoint it is for.
    pub server: &'a ServerName,
    /// That endpoint's URL.
    pub resource: String,
    /// What it may do there.
    pub scopes: Scopes,
    /// How long it lives; never longer than the settings allow.
    pub lifetime: Duration,
    /// When its person last proved who they are.
    pub sign_in: Option<Timestamp>,
}

/// What was made.
pub struct MadeKey {
    /// Names it, to end it later.
    pub grant: GrantId,
    /// The key itself: shown once.
    pub key: Secret,
    /// Its end.
    pub expires_at: Timestamp,
}

/// Makes a key; `longest` is how long one may live at most (`access_keys.longest`).
// spec: RS-35: "hashed at rest, endpoint-bound, scoped, expiring"
pub async fn create(desk: &Desk<'_>, new: NewKey<'_>, longest: Duration) -> Result<MadeKey, DeskError> {
    new.check(longest)?;
    let key = Secret::new(format!("{PREFIX}{}", token::<32>(desk.rng)));
    let (grant, now) = (GrantId::random(desk.rng), desk.now());
    let expires_at = now.plus(new.lifetime);
    let row = NewAccessKey {
        hash: Digest::of(key.reveal().as_bytes()),
        grant: grant.clone(),
        person: new.person,
        name: new.name.trim(),
        resource: &new.resource,
        scopes: &new.scopes,
        expires_at,
        authenticated_at: new.sign_in,
        // It outlives the browser session: whoever signs out goes on working in their editor.
        session: None,
    };
    match desk.store.create_access_key(&row, now).await {
        Ok(()) => {}
        Err(StoreError::Missing) => return Err(DeskError::refused("whose key it would be may not sign in")),
        Err(error) => return Err(error.into()),
    }
    let event = desk
        .event(Kind::AccessKeyCreated, Some(new.server.clone()), row.name)
        .text("person", new.person.to_string())
        .text("grant", grant.to_string())
        .text("scope", new.scopes.to_string())
        .text("expires_at", expires_at.to_string());
    desk.write(event).await?;
    Ok(MadeKey { grant, key, expires_at })
}

/// Ends a key of this person at once; whether there was one.
pub async fn revoke(desk: &Desk<'_>, person: &PersonId, grant: &GrantId) -> Result<bool, DeskError> {
    let keys = desk.store.access_keys_of(person, desk.now()).await?;
    let Some(key) = keys.into_iter().find(|key| key.grant == *grant) else { return Ok(false) };
    if !desk.store.revoke_grant(grant, RevokedWhy::AccessKeyRevoked, desk.now()).await? {
        return Ok(false);
    }
    let event = desk
        .event(Kind::AccessKeyRevoked, None, &key.name)
        .text("person", person.to_string())
        .text("grant", grant.to_string());
    desk.write(event).await?;
    Ok(true)
}

impl NewKey<'_> {
    fn check(&self, longest: Duration) -> Result<(), DeskError> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(DeskError::refused("give the key a name of 1 to 64 characters, by which you know it later"));
        }
        if self.scopes.is_empty() || !Scopes::endpoint().satisfies(&self.scopes) {
            return Err(DeskError::refused(format!("a key is for some of these scopes: {}", Scopes::endpoint())));
        }
        if self.lifetime.is_zero() || self.lifetime > longest {
            let hours = longest.as_secs() / (60 * 60);
            return Err(DeskError::refused(format!("a key lives for {hours} hours at most (access_keys.longest)")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://h/mcp/a";

    fn row(text: &str, grant: &str) -> AccessKeyRow {
        AccessKeyRow {
            hash: Digest::of(text.as_bytes()),
            grant: GrantId::new(grant),
            person: PersonId::new("usr_1"),
            name: "mine".into(),
            resource: HERE.into(),
            scopes: Scopes::endpoint(),
            created_at: Timestamp::from_secs(1),
            expires_at: Timestamp::from_secs(1_000),
            last_used_at: None,
            authenticated_at: None,
        }
    }

    // spec: RS-35
    #[test]
    fn key_opens_its_endpoint_until_its_end() {
        let keys = AccessKeys::default();
        let (end, before) = (Timestamp::from_secs(1_000), Timestamp::from_millis(999_999));
        keys.hold(vec![row("pck_one", "grt_1"), row("pck_two", "grt_2")]);
        assert!(keys.find("pck_one", "https://h/mcp/b", before).is_none());
        assert!(keys.find("pck_three", HERE, before).is_none());
        assert!(keys.find("pck_one", HERE, end).is_none());
        assert!(keys.take_used().is_empty());
        assert_eq!(keys.find("pck_one", HERE, before).unwrap().grant, GrantId::new("grt_1"));
        assert_eq!(keys.take_used(), [(GrantId::new("grt_1"), before)]);
        assert!(keys.take_used().is_empty());
    }

    // spec: RS-35
    #[test]
    fn revoked_key_is_gone_and_the_others_keep_their_use() {
        let keys = AccessKeys::default();
        let before = Timestamp::from_millis(999_999);
        keys.hold(vec![row("pck_one", "grt_1"), row("pck_two", "grt_2")]);
        keys.find("pck_one", HERE, before).unwrap();
        keys.hold(vec![row("pck_one", "grt_1")]);
        assert!(keys.find("pck_two", HERE, before).is_none());
        assert_eq!(keys.take_used(), [(GrantId::new("grt_1"), before)]);
        keys.forget(&[GrantId::new("grt_2")]);
        assert!(keys.find("pck_one", HERE, before).is_some());
        keys.forget(&[GrantId::new("grt_1")]);
        assert!(keys.find("pck_one", HERE, before).is_none());
    }
}
