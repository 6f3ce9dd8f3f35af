//! How much a server is given at one time, and that no single person takes all of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::PersonId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Put into the extensions of a request that is made for somebody.
#[derive(Clone, Debug)]
pub struct For(pub PersonId);

/// The places of the exchanges under way with one server.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// What one person may have of them.
    share: usize,
    /// The shares of those who have or want a place.
    shares: Mutex<HashMap<PersonId, Arc<Semaphore>>>,
}

/// One place; free again when this is dropped.
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _share: Option<Share>,
}

/// A part of somebody's share, or the wish for it.
struct Share {
    places: Arc<Places>,
    person: PersonId,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    // spec: T-62: a quarter is left for others, however many calls one person has that do not end.
    pub(super) fn new(most: u32) -> Arc<Self> {
        let share = (most - most / 4) as usize;
        Arc::new(Self { all: Arc::new(Semaphore::new(most as usize)), share, shares: Mutex::default() })
    }

    /// A place for an exchange that is made for `person`, if one becomes free in time.
    pub(super) async fn take(self: &Arc<Self>, person: Option<&PersonId>, patience: Duration) -> Option<Place> {
        let taken = async {
            let share = match person {
                Some(person) => Some(self.share(person).await?),
                None => None,
            };
            let of_all = self.all.clone().acquire_owned().await.ok()?;
            Some(Place { _of_all: of_all, _share: share })
        };
        timeout(patience, taken).await.ok().flatten()
    }

    async fn share(self: &Arc<Self>, person: &PersonId) -> Option<Share> {
        let semaphore = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares.entry(person.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.share))).clone()
        };
        // Made before it is waited for: whoever goes away while they wait is forgotten too.
        let mut share = Share { places: self.clone(), person: person.clone(), permit: None };
        share.permit = Some(semaphore.acquire_owned().await.ok()?);
        Some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut shares = self.places.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.get(&self.person).is_some_and(|share| Arc::strong_count(share) == 1) {
            shares.remove(&self.person);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    /// spec: T-62
    #[tokio::test]
    async fn nobody_takes_all_the_places() {
        let places = Places::new(4);
        let (alice, bob) = (PersonId::new("alice"), PersonId::new("bob"));
        let mut taken = Vec::new();
        while let Some(place) = places.take(Some(&alice), SHORT).await {
            taken.push(place);
        }
        assert_eq!(taken.len(), 3);
        let other = places.take(Some(&bob), SHORT).await;
        assert!(other.is_some(), "hers are not his");
        assert!(places.take(None, SHORT).await.is_none(), "now there is none");
        drop(taken.pop());
        assert!(places.take(Some(&alice), SHORT).await.is_some());
    }

    #[tokio::test]
    async fn who_has_no_place_is_not_remembered() {
        let places = Places::new(1);
        let (alice, bob) = (PersonId::new("alice"), PersonId::new("bob"));
        let place = places.take(Some(&alice), SHORT).await;
        assert!(places.take(Some(&alice), SHORT).await.is_none());
        assert!(places.take(Some(&bob), SHORT).await.is_none());
        assert_eq!(places.shares.lock().unwrap().len(), 1);
        drop(place);
        assert!(places.shares.lock().unwrap().is_empty());
    }
}
