//! Where a list goes on: sealed, so that it is good only for whom it was made, and only for its list.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{Clock, Rng, Timestamp};
use portcullis_mcp::{Method, scan};

use crate::{
    keys::{Keys, Purpose},
    proxy::turn::Visit,
};

/// For how long a list can be gone on with.
const LIFETIME: Duration = Duration::from_hours(1);

/// The last item that was shown. By its name and not by a number: so a list that changes between two pages shows nothing
/// twice and leaves out nothing that stayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub server: String,
    pub shown: String,
}

/// Seals and opens the cursors of one list for one caller.
pub(super) struct Cursor {
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    owner: Vec<u8>,
}

impl Cursor {
    pub(super) fn of(visit: Visit<'_>, method: Method) -> Self {
        let mut owner = Vec::with_capacity(128);
        let caller = visit.caller;
        for part in [caller.person.as_str(), caller.client.as_str(), visit.endpoint.as_str(), method.name()] {
            owner.extend_from_slice(&(part.len() as u32).to_be_bytes());
            owner.extend_from_slice(part.as_bytes());
        }
        let parts = visit.parts;
        Self { keys: parts.keys.clone(), clock: parts.clock.clone(), rng: parts.rng.clone(), owner }
    }

    // spec: AG-13: "sealed by the gateway … opaque to clients"
    pub(super) fn seal(&self, place: &Place) -> String {
        let mut plain = self.clock.now().as_millis().to_be_bytes().to_vec();
        plain.extend_from_slice(place.server.as_bytes());
        plain.push(0);
        plain.extend_from_slice(place.shown.as_bytes());
        URL_SAFE_NO_PAD.encode(self.keys.seal(Purpose::Cursor, &self.owner, &plain, &*self.rng))
    }

    /// What is in the raw cursor that a client presents.
    // spec: AG-14
    pub(super) fn open(&self, presented: &str) -> Option<Place> {
        let sealed = URL_SAFE_NO_PAD.decode(scan::string(presented)?.as_bytes()).ok()?;
        let plain = self.keys.open(Purpose::Cursor, &self.owner, &sealed)?;
        let (made, place) = plain.split_first_chunk::<8>()?;
        let made = Timestamp::from_millis(i64::from_be_bytes(*made));
        if self.clock.now() >= made.plus(LIFETIME) {
            return None;
        }
        let (server, shown) = std::str::from_utf8(place).ok()?.split_once('\0')?;
        Some(Place { server: server.to_owned(), shown: shown.to_owned() })
    }
}
