//! Sessions of the protocol revisions that have them, without a row anywhere: the id itself carries the session, sealed.
//!
//! It opens only for the person, client and server it was made for, so a stolen id is as good as none (T-48). The
//! upstream's own session id travels inside and is never shown.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{ServerName, SessionId, Timestamp};
use portcullis_mcp::Version;
use serde::{Deserialize, Serialize};

use super::{parts::Parts, speech::EventMark};
use crate::{caller::Caller, keys::Purpose};

/// How long a session id can be presented at all.
pub(super) const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The longest id we read, and the longest an upstream may give us.
const LONGEST: usize = 4096;
const LONGEST_UPSTREAM: usize = 1024;

/// An open session.
pub(super) struct Session {
    /// Names it in the set of ended sessions.
    pub id: SessionId,
    /// The upstream's id for it, if it gave one.
    pub upstream: Option<String>,
    /// The negotiated revision.
    pub version: Version,
    /// When it was opened.
    pub issued: Timestamp,
    /// What its client can do for its person.
    pub hears: Hears,
    /// What its client said of itself, if the upstream has not been told: it has no session there yet.
    pub late: Option<Late>,
    /// Who answers its requests.
    pub bridge: Bridge,
}

/// What a session is opened with.
pub(super) struct Terms {
    /// The negotiated revision.
    pub version: Version,
    /// What the client can do for its person.
    pub hears: Hears,
    /// What the client said of itself, if the upstream has not been told.
    pub late: Option<Late>,
    /// Who answers its requests.
    pub bridge: Bridge,
}

/// Whose words the requests of a session are put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Bridge {
    /// The client's own: the upstream has a session of the same revision.
    #[default]
    Passed,
    /// Those of 2026-07-28.
    Bridged,
}

/// What a client said of itself, both raw JSON objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Late {
    /// What it can do.
    pub capabilities: String,
    /// What it is.
    pub client: String,
}

/// How a client takes it that its person has to open a page before a call can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hears {
    /// As a text: whoever reads it sees the link.
    #[default]
    Text,
    /// As the error that its revision has for this.
    Link,
    /// As the request for input that its revision has for this.
    Input,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a>(
    &'a str,
    Option<&'a str>,
    &'a str,
    &'a str,
    i64,
    #[serde(default)] Hears,
    #[serde(default)] Option<Late>,
    #[serde(default)] Bridge,
);

/// An upstream's session id that cannot be carried: not visible ASCII, or too long.
pub(super) struct Uncarriable;

impl Session {
    /// A new session, and the id that carries it.
    // spec: TR-81, SEC-21: 128 random bits, sealed; characters of base64url.
    pub(super) fn open(
        parts: &Parts,
        caller: &Caller,
        server: &ServerName,
        upstream: Option<&[u8]>,
        terms: Terms,
    ) -> Result<String, Uncarriable> {
        let upstream = match upstream {
            Some(id) if id.len() <= LONGEST_UPSTREAM && id.iter().all(u8::is_ascii_graphic) => {
                std::str::from_utf8(id).ok()
            }
            Some(_) => return Err(Uncarriable),
            None => None,
        };
        let id = SessionId::random(&*parts.rng);
        let issued = parts.clock.now();
        let Terms { version, hears, late, bridge } = terms;
        let grant = caller.grant.as_str();
        let plain = Sealed(id.as_str(), upstream, version.as_str(), grant, issued.as_millis(), hears, late, bridge);
        let plain = serde_json::to_vec(&plain).map_err(|_| Uncarriable)?;
        let sealed = parts.keys.seal(Purpose::McpSession, &owner(caller, server), &plain, &*parts.rng);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The session that `presented` carries, if it is this caller's on this server and has not ended.
    // spec: TR-24, TR-84, SEC-20
    pub(super) fn resume(parts: &Parts, caller: &Caller, server: &ServerName, presented: &[u8]) -> Option<Self> {
        if presented.len() > LONGEST {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(presented).ok()?;
        let plain = parts.keys.open(Purpose::McpSession, &owner(caller, server), &sealed)?;
        let Sealed(id, upstream, version, _grant, issued, hears, late, bridge) = serde_json::from_slice(&plain).ok()?;
        let session = Self {
            id: SessionId::new(id),
            upstream: upstream.map(str::to_owned),
            version: Version::parse(version)?,
            issued: Timestamp::from_millis(issued),
            hears,
            late,
            bridge,
        };
        let alive = session.until() > parts.clock.now() && !parts.ended.has_session(&session.id);
        alive.then_some(session)
    }

    /// When its id can no longer be presented.
    pub(super) fn until(&self) -> Timestamp {
        self.issued.plus(LIFETIME)
    }

    /// What binds event ids to it.
    pub(super) fn mark(&self, parts: &Parts) -> EventMark {
        EventMark::new(parts.keys.event_mark(self.id.as_str().as_bytes()))
    }
}

/// Who can open it. The grant is not part of it: a person may sign in again in the middle of a session.
fn owner(caller: &Caller, server: &ServerName) -> Vec<u8> {
    let mut owner = Vec::with_capacity(128);
    for part in [caller.person.as_str(), caller.client.as_str(), server.as_str()] {
        owner.extend_from_slice(&(part.len() as u32).to_be_bytes());
        owner.extend_from_slice(part.as_bytes());
    }
    owner
}
