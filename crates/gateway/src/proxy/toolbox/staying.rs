//! A visit that outlives its request: a stream goes on asking for its caller, as the settings and people are by then.

use std::{net::IpAddr, sync::Arc};

use http::HeaderMap;
use portcullis_base::{ServerName, SessionId};

use super::{Part, Unboxed};
use crate::{
    caller::Caller,
    proxy::{
        Local,
        crowd::Crowd,
        decide::Calls,
        inbound::Inbound,
        parts::Parts,
        receive::Accepts,
        turn::{Place, Visit},
    },
    snapshot::Snapshot,
};

/// What a visit is made of, to be kept.
pub(super) struct Staying {
    parts: Arc<Parts>,
    calls: Arc<Calls>,
    crowd: Arc<Crowd>,
    local: Arc<Local>,
    caller: Caller,
    endpoint: ServerName,
    conversation: Option<SessionId>,
    headers: HeaderMap,
    address: Option<IpAddr>,
    meta: String,
}

/// The same at one moment.
pub(super) struct Moment {
    snapshot: Arc<Snapshot>,
    caller: Caller,
}

impl Staying {
    pub(super) fn of(unboxed: &Unboxed<'_>) -> Self {
        let Visit { parts, calls, crowd, local, caller, endpoint, conversation, inbound, address, .. } = unboxed.visit;
        Self {
            parts: parts.clone(),
            calls: calls.clone(),
            crowd: crowd.clone(),
            local: local.clone(),
            caller: caller.clone(),
            endpoint: endpoint.clone(),
            conversation: conversation.cloned(),
            headers: inbound.headers().clone(),
            address,
            meta: unboxed.meta.clone(),
        }
    }

    /// The present settings, and the caller with the groups they have now.
    pub(super) fn moment(&self) -> Moment {
        let snapshot = self.parts.snapshot.load_full();
        let mut caller = self.caller.clone();
        if let Some(person) = snapshot.people.get(&caller.person) {
            (caller.groups, caller.roles) = (person.groups.clone(), person.roles);
        }
        Moment { snapshot, caller }
    }

    /// Whether something else is in force than at `moment`.
    pub(super) fn is_later_than(&self, moment: &Moment) -> bool {
        !Arc::ptr_eq(&moment.snapshot, &self.parts.snapshot.load())
    }

    /// The toolbox at `moment`, if the caller may still use it.
    pub(super) fn unboxed<'a>(&'a self, moment: &'a Moment) -> Option<Unboxed<'a>> {
        let place = Place::of(&moment.snapshot, &self.endpoint)?;
        let Place::Toolbox(toolbox) = place else { return None };
        let visit = Visit {
            parts: &self.parts,
            calls: &self.calls,
            crowd: &self.crowd,
            snapshot: &moment.snapshot,
            caller: &moment.caller,
            endpoint: &self.endpoint,
            place,
            conversation: self.conversation.as_ref(),
            asker: None,
            did: None,
            line: None,
            waited: None,
            accepts: Accepts { json: true, events: true },
            inbound: Inbound::of(&self.headers),
            local: &self.local,
            address: self.address,
        };
        let admitted = place.access().admits(moment.caller.guest(self.parts.clock.now()));
        admitted.then(|| Unboxed { visit, toolbox, meta: self.meta.clone() })
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }
}

impl<'a> Unboxed<'a> {
    /// The server called `name`, if the caller may still use it.
    pub(super) fn part(&self, name: &ServerName) -> Option<Part<'a>> {
        self.parts().find(|part| part.server.name == *name)
    }
}
