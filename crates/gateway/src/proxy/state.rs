//! `requestState`: what a server that asked for input wants to find again in the retry (MRTR of 2026-07-28).
//!
//! The server's own state travels sealed inside ours and comes back byte for byte, but only from the person and client it
//! was given to, for the same method, name and arguments, and not for ever. So nobody can finish what another began, and
//! what was judged is what is continued.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{ApprovalId, Clock, Digest, Rng, Timestamp};
use portcullis_mcp::{Method, message::Call, scan, tool::canonical};

use super::{
    decide::{Deed, target_name},
    turn::Turn,
};
use crate::keys::{Keys, Purpose};

/// How long a person may take to give the input.
// spec: T-65: "expiry <= 15 min"
pub(super) const LIFETIME: Duration = Duration::from_mins(15);

/// What a client brings back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The upstream's own state, raw JSON.
    Theirs(String),
    /// A mark of ours: the caller was asked to connect, and what they had then was of this version.
    Ours(i64),
    /// A mark of ours: the caller was told so often of the page where this can be approved.
    Awaits(ApprovalId, u32),
}

impl State {
    /// The upstream's own.
    pub(super) fn theirs(self) -> Option<String> {
        match self {
            Self::Theirs(state) => Some(state),
            Self::Ours(_) | Self::Awaits(..) => None,
        }
    }
}

/// Where the state of an upstream begins, a mark of ours has what no JSON begins with.
const OURS: char = '\0';
/// What of these is about an approval.
const AWAITS: char = 'a';

/// Seals and opens the state of one request.
pub(super) struct Sealer {
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// Whose it is and what it is about, without the arguments.
    owner: Vec<u8>,
    arguments: Option<Box<str>>,
}

impl Sealer {
    /// For `call`; `None` for a method that never asks for input.
    // spec: BR-64: "only for tools/call, prompts/get, resources/read"
    pub(super) fn of(turn: &Turn<'_>, call: &Call<'_>, method: Method) -> Option<Self> {
        if !matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead) {
            return None;
        }
        Some(Self::new(turn, method.name(), call.target.as_deref().unwrap_or_default(), call.arguments))
    }

    /// For a deed that may wait for a human.
    pub(super) fn of_deed(turn: &Turn<'_>, deed: &Deed<'_>) -> Self {
        Self::new(turn, &deed.method, target_name(&deed.target).unwrap_or_default(), deed.arguments)
    }

    fn new(turn: &Turn<'_>, method: &str, target: &str, arguments: Option<&str>) -> Self {
        let mut owner = Vec::with_capacity(192);
        let (parts, caller, endpoint, server) = (turn.parts, turn.caller, turn.endpoint, &turn.server.name);
        let who = [caller.person.as_str(), caller.client.as_str()];
        for part in who.into_iter().chain([endpoint.as_str(), server.as_str(), method, target]) {
            owner.extend_from_slice(&(part.len() as u32).to_be_bytes());
            owner.extend_from_slice(part.as_bytes());
        }
        Self {
            keys: parts.keys.clone(),
            clock: parts.clock.clone(),
            rng: parts.rng.clone(),
            owner,
            arguments: arguments.map(Into::into),
        }
    }

    /// The state of the upstream, raw JSON, as the client gets it: a JSON string.
    // spec: BR-60: "Seal every requestState given to a client with AEAD"
    pub(super) fn seal(&self, state: &[u8]) -> String {
        let mut plain = self.clock.now().as_millis().to_be_bytes().to_vec();
        plain.extend_from_slice(state);
        let sealed = self.keys.seal(Purpose::RequestState, &self.binding(), &plain, &*self.rng);
        format!("\"{}\"", URL_SAFE_NO_PAD.encode(sealed))
    }

    /// A mark of ours, as the client gets it: a JSON string.
    pub(super) fn mark(&self, version: i64) -> String {
        self.seal(format!("{OURS}{version}").as_bytes())
    }

    /// A mark of ours about an approval, as the client gets it: a JSON string.
    pub(super) fn awaits(&self, id: &ApprovalId, round: u32) -> String {
        self.seal(format!("{OURS}{AWAITS}{round}:{id}").as_bytes())
    }

    /// What is in the state that the client presents, raw JSON.
    // spec: BR-60: another person, client, tool, argument or a bit of it changed: refused. BR-61: restored exactly.
    pub(super) fn open(&self, presented: &str) -> Option<State> {
        let sealed = URL_SAFE_NO_PAD.decode(scan::string(presented)?.as_bytes()).ok()?;
        let plain = self.keys.open(Purpose::RequestState, &self.binding(), &sealed)?;
        let (issued, state) = plain.split_first_chunk::<8>()?;
        let issued = Timestamp::from_millis(i64::from_be_bytes(*issued));
        let state = String::from_utf8(state.to_vec()).ok()?;
        if self.clock.now() >= issued.plus(LIFETIME) {
            return None;
        }
        let Some(mark) = state.strip_prefix(OURS) else { return Some(State::Theirs(state)) };
        match mark.strip_prefix(AWAITS) {
            Some(awaits) => {
                let (round, id) = awaits.split_once(':')?;
                Some(State::Awaits(ApprovalId::new(id), round.parse().ok()?))
            }
            None => mark.parse().ok().map(State::Ours),
        }
    }

    /// Arguments count by what they say, not by how a client happens to write them.
    fn binding(&self) -> Vec<u8> {
        let arguments = self.arguments.as_deref().and_then(canonical).unwrap_or_default();
        [self.owner.as_slice(), Digest::of(&arguments).as_bytes()].concat()
    }
}
