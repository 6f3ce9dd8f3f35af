//! Sealing again what an older data key sealed, in the background, so that the older key can be retired.

use portcullis_base::Rng;
use portcullis_store::{SealedOwner, SealedPlace, SealedRow, Store, StoreError};

use crate::{
    keys::{Keys, Purpose, identity},
    vault::{self, Owner},
};

/// Rows that are read at once.
const PORTION: u32 = 100;

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Values that the newest key sealed.
    pub done: u64,
    /// Values that no living key opens. They were lost before.
    pub lost: u64,
}

/// Seals with the newest key whatever it has not sealed. What changes meanwhile is sealed by who changes it.
pub async fn round(store: &Store, keys: &Keys, rng: &dyn Rng) -> Result<Resealed, StoreError> {
    let prefix = Keys::prefix(keys.sealing());
    let mut result = Resealed::default();
    for place in SealedPlace::ALL {
        let mut skip = 0;
        loop {
            let rows = store.sealed_otherwise(place, &prefix, (skip, PORTION)).await?;
            for row in &rows {
                let Some(again) = again(keys, row, rng) else {
                    result.lost += 1;
                    skip += 1;
                    continue;
                };
                result.done += u64::from(store.seal_again(row, &again).await?);
            }
            if rows.len() < PORTION as usize {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(result)
}

fn again(keys: &Keys, row: &SealedRow, rng: &dyn Rng) -> Option<Vec<u8>> {
    let (purpose, owner) = match &row.owner {
        SealedOwner::SigningKey(kid) => (Purpose::SigningKey, kid.as_bytes().to_vec()),
        SealedOwner::Identity { issuer, subject } | SealedOwner::Session { issuer, subject, .. } => {
            (Purpose::ProviderToken, identity(issuer, subject))
        }
        SealedOwner::Connection { holder, server, issuer, .. } => {
            let owner = Owner::connection(holder, server, issuer.as_deref());
            return vault::again(keys, &owner, &row.sealed, rng);
        }
        SealedOwner::Approval(id) => (Purpose::WaitingCall, id.as_str().as_bytes().to_vec()),
        SealedOwner::Client(issuer) => return vault::again(keys, &Owner::client(issuer), &row.sealed, rng),
    };
    let plain = zeroize::Zeroizing::new(keys.open(purpose, &owner, &row.sealed)?);
    Some(keys.seal(purpose, &owner, &plain, rng))
}
