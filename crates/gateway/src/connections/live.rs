//! What is known of one holder at one server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use portcullis_base::{ConnectionId, Timestamp};

use super::presented::{From, Presented, Tried};
use crate::{
    config,
    snapshot::Server,
    upstream::{Credential, Location},
};

/// A credential that ends so soon is renewed before it is used.
const LATE: Duration = Duration::from_secs(10);
/// The use of a credential is noted this often.
const NOTE: Duration = Duration::from_mins(1);
/// The longest time before its end at which a credential is renewed.
const LEAD: Duration = Duration::from_mins(10);

/// What is known.
#[derive(Clone)]
pub(super) enum Known {
    /// There is nothing.
    Missing,
    /// There was something; its holder must sign in again.
    Lost { id: ConnectionId, version: i64, why: Arc<str> },
    /// There is something.
    Live(Arc<Live>),
}

/// A credential in memory.
pub(super) struct Live {
    /// Which connection; `None` if it was minted.
    pub id: Option<ConnectionId>,
    /// Which version of it.
    pub version: i64,
    /// What a request carries.
    pub credential: Credential,
    /// The scopes that it has, as far as that is known.
    pub scopes: Vec<String>,
    /// The origin that it may be sent to.
    pub at: String,
    /// As which settings it was made or read.
    pub settings: Arc<config::Credential>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it is renewed behind the calls.
    pub renew_at: Option<Timestamp>,
    /// When it is renewed before a call.
    pub late_at: Option<Timestamp>,
    /// Whether it can be renewed at all.
    pub renewing: Renewing,
    /// When its holder connected.
    pub connected_at: Timestamp,
    /// After a renewal that came to nothing: no other before this.
    pub not_before: AtomicI64,
    /// Whether the last of these was because we are not known there any more.
    pub forgotten: AtomicBool,
    /// When its use was last noted.
    pub noted: AtomicI64,
}

/// Whether a credential can be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewing {
    /// It can.
    Possible,
    /// Nothing came with it to do so.
    Impossible,
}

/// What is to be done with a credential before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Fresh,
    /// It is renewed, and the call does not wait for that.
    Due,
    /// It is renewed, and the call waits.
    Late,
    /// It has ended for good.
    Over,
    /// The settings have changed since it was read.
    Outdated,
    /// It is for another place. spec: UP-41
    Elsewhere,
}

impl Live {
    /// spec: UP-44: "Refresh ahead of expiry with jitter, and never fail a call that a refresh could save."
    pub(super) fn standing(&self, server: &Server, now: Timestamp) -> Standing {
        // What was given for one origin goes to no other, whatever the settings say by now.
        if !is_at(&self.at, server) {
            return Standing::Elsewhere;
        }
        if !Arc::ptr_eq(&self.settings, &server.credential) && self.settings != server.credential {
            return Standing::Outdated;
        }
        let is_past = |moment: Option<Timestamp>| moment.is_some_and(|moment| now >= moment);
        match self.renewing {
            Renewing::Impossible if is_past(self.expires_at) => Standing::Over,
            Renewing::Possible if is_past(self.late_at) => Standing::Late,
            Renewing::Possible if is_past(self.renew_at) => Standing::Due,
            _ => Standing::Fresh,
        }
    }

    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether it is too soon to try again.
    pub(super) fn rests(&self, now: Timestamp) -> bool {
        now.as_millis() < self.not_before.load(Ordering::Relaxed)
    }

    pub(super) fn rest_until(&self, moment: Timestamp) {
        self.not_before.store(moment.as_millis(), Ordering::Relaxed);
    }

    /// Whether its use at `now` is to be noted; for one caller of all that ask in the same minute.
    pub(super) fn is_to_be_noted(&self, now: Timestamp) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        now.as_millis().saturating_sub(noted) >= NOTE.as_millis() as i64
            && self.noted.compare_exchange(noted, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn presented(&self) -> Presented {
        Presented {
            credential: self.credential.clone(),
            version: self.version,
            from: if self.id.is_some() { From::Connection } else { From::Minted },
            tried: Tried::First,
        }
    }
}

/// Whether `server` is at this origin, or is this command.
pub(super) fn is_at(at: &str, server: &Server) -> bool {
    match server.url() {
        // Its end is a slash.
        Some(url) => url.as_str().starts_with(at),
        None => origin(server).is_some_and(|own| own == at),
    }
}

/// The origin that a credential for `server` may be sent to, with a slash at its end, or the command that may be started
/// with it: another one is another program, of which nobody said that it may have the key.
pub(super) fn origin(server: &Server) -> Option<String> {
    if let Location::Command { argv, .. } = &server.location {
        return Some(format!("command:{}", serde_json::to_string(&**argv).ok()?));
    }
    let url = url::Url::parse(server.url()?.as_str()).ok()?;
    Some(format!("{}/", url.origin().ascii_serialization()))
}

/// When a credential that is good from `from` to `end` is renewed behind the calls, and when before them. `share` is from 0
/// to 255 and drawn: so many credentials that were made in the same moment are not renewed in the same moment.
pub(super) fn moments(from: Timestamp, end: Timestamp, share: u8) -> (Timestamp, Timestamp) {
    let lifetime = end.since(from);
    let lead = LEAD.min(lifetime / 5);
    let jittered = lead * (192 + u32::from(share) / 2) / 256;
    (end.minus(jittered), end.minus(LATE.min(lifetime / 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: UP-44
    #[test]
    fn credentials_are_renewed_ahead_of_their_end_and_not_all_at_once() {
        let start = Timestamp::from_secs(1_000_000);
        for lifetime in [4, 60, 3_600, 86_400, 86_400 * 60] {
            let end = start.plus(Duration::from_secs(lifetime));
            let (early, late) = moments(start, end, 255);
            let (later, _) = moments(start, end, 0);
            assert!(start < early && early < later && later < late && late < end, "{lifetime}");
        }
        let hour = start.plus(Duration::from_hours(1));
        let (_, late) = moments(start, hour, 0);
        assert!(hour.minus(Duration::from_secs(5)) > late, "five seconds are too few");
    }
}
