//! Changes of resources that a caller listens for: who may not read a resource is not told that it changes either. Judged
//! when the stream is opened, and again at each change, by the rules and people of that moment (T-108).

use std::{net::IpAddr, sync::Arc};

use portcullis_base::ServerName;
use portcullis_mcp::{
    Method,
    message::Call,
    object::{joined, quoted},
    scan,
};
use portcullis_policy::{Effect, Target};

use super::{
    decide::{At, Deed, facts},
    parts::Parts,
    tasks::Edits,
    turn::{Turn, deed},
};
use crate::caller::Caller;

/// URIs that one listener may subscribe to.
pub(super) const URIS: usize = 1_000;

/// What one caller may hear of one server.
pub(super) struct Ear {
    parts: Arc<Parts>,
    caller: Caller,
    server: ServerName,
    /// Where it is heard: at the server's own endpoint, or at a toolbox.
    endpoint: ServerName,
    address: Option<IpAddr>,
}

impl Ear {
    pub(super) fn of(turn: &Turn<'_>) -> Self {
        Self {
            parts: turn.parts.clone(),
            caller: turn.caller.clone(),
            server: turn.server.name.clone(),
            endpoint: turn.endpoint.clone(),
            address: turn.address,
        }
    }

    /// Whether the rules of now let the caller hear of `uri`.
    pub(super) fn may_hear(&self, uri: &str) -> bool {
        let snapshot = self.parts.snapshot.load();
        let Some(server) = snapshot.servers.get(&self.server) else { return false };
        let at = At { server: &self.server, endpoint: &self.endpoint, address: self.address };
        let mut facts = facts(&self.caller, at, Method::SubscriptionsListen.name(), self.parts.clock.now());
        let person = snapshot.people.get(&self.caller.person);
        if let Some(person) = person {
            (facts.groups, facts.roles) = (&person.groups, person.roles.names());
        }
        facts.target = Target::Resource(uri);
        portcullis_policy::decide(&snapshot.bundle, &server.access, &facts).effect == Effect::Allow
    }
}

impl Turn<'_> {
    /// Whether the caller may hear of one resource. A no is written down as that to any other wish.
    pub(super) async fn may_hear(&self, ear: &Ear, call: &Call<'_>, uri: &str) -> bool {
        let deed = Deed { target: Target::Resource(uri), ends: false, ..deed(call, Method::SubscriptionsListen) };
        ear.may_hear(uri) || self.decide(&deed).await.is_ok()
    }

    /// The URIs in `call`, raw, and those of them that its caller may hear of; nothing if these are all.
    // spec: TR-65: "with the honoured subset"
    pub(super) async fn heard_of<'c>(&self, call: &Call<'c>) -> Edits<'c> {
        let wanted = call.params.and_then(|params| scan::member(params, "notifications"));
        let Some(list) = wanted.and_then(|wanted| scan::member(wanted, "resourceSubscriptions")) else {
            return Vec::new();
        };
        let ear = Ear::of(self);
        let (mut kept, mut all) = (Vec::new(), 0);
        for raw in scan::elements(list) {
            all += 1;
            if let Some(uri) = scan::string(raw)
                && all <= URIS
                && self.may_hear(&ear, call, &uri).await
            {
                kept.push(quoted(&uri));
            }
        }
        if kept.len() == all { Vec::new() } else { vec![(list, joined(&kept))] }
    }
}
