//! The link that a call gets which needs an account at the server behind us.
//!
//! Whoever opens it signs in here, and goes on only if they are the person whose call it was. The link holds one opaque
//! value, sealed: no token, nothing about anybody, no sign-in. A node needs no memory of the links that it gave out, and
//! each is spent when its connecting begins (spec: UP-62, T-86).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{PersonId, Rng, ServerName, Timestamp, token};
use serde::{Deserialize, Serialize};

use crate::keys::{Keys, Purpose};

/// The pages of a person's connections.
pub const CONNECTIONS: &str = "/connections";
/// How long a link is good.
pub const LIFETIME: Duration = Duration::from_mins(15);

/// What a call asked its person for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Names it; spent when connecting begins.
    pub id: String,
    /// Whose call it was.
    pub person: PersonId,
    /// The server that they need an account at.
    pub server: ServerName,
    /// The scopes that the server asked for; empty if it named none.
    pub scopes: Vec<String>,
    /// The elicitation that a client of 2025-11-25 waits on.
    pub elicitation: Option<String>,
    /// When the link is too old.
    pub expires_at: Timestamp,
}

impl Ask {
    /// A new one, good for [`LIFETIME`].
    pub fn new(person: PersonId, server: ServerName, scopes: Vec<String>, now: Timestamp, rng: &dyn Rng) -> Self {
        Self { id: token::<16>(rng), person, server, scopes, elicitation: None, expires_at: now.plus(LIFETIME) }
    }

    /// The same for a client that waits to hear that it is done.
    pub fn elicited(self, elicitation: impl Into<String>) -> Self {
        Self { elicitation: Some(elicitation.into()), ..self }
    }

    /// It as it stands in a link.
    pub fn seal(&self, keys: &Keys, rng: &dyn Rng) -> String {
        let plain = serde_json::to_vec(self).expect("an ask is texts and numbers");
        URL_SAFE_NO_PAD.encode(keys.seal(Purpose::Connect, b"", &plain, rng))
    }

    /// What we once sealed; `None` if we did not, or if it is too old.
    pub fn open(keys: &Keys, sealed: &str, now: Timestamp) -> Option<Self> {
        let plain = keys.open(Purpose::Connect, b"", &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        serde_json::from_slice::<Self>(&plain).ok().filter(|ask| now < ask.expires_at)
    }

    /// The link for the person, at the gateway's public URL.
    pub fn link(&self, keys: &Keys, rng: &dyn Rng, public_url: &str) -> String {
        format!("{public_url}{}", open_again(&self.seal(keys, rng)))
    }
}

/// The path of the link whose one value this is.
pub fn open_again(sealed: &str) -> String {
    format!("{CONNECTIONS}/-/open/{sealed}")
}

/// The page on which anybody connects their account at `server`: for clients that can only show a text.
///
/// spec: UP-64
pub fn page(public_url: &str, server: &ServerName) -> String {
    format!("{public_url}{CONNECTIONS}/{server}")
}

/// The path of that page for somebody who goes on from there.
pub fn page_onward(server: &ServerName, onward: &str) -> String {
    with_way_on(&format!("{CONNECTIONS}/{server}"), onward)
}

/// The path of a page that keeps where its reader goes on.
pub fn with_way_on(page: &str, onward: &str) -> String {
    let onward: String = url::form_urlencoded::byte_serialize(onward.as_bytes()).collect();
    format!("{page}?return_to={onward}")
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;
    use zeroize::Zeroizing;

    use super::*;

    // spec: UP-62, T-86
    #[test]
    fn a_link_tells_nothing_and_opens_for_those_who_made_it() {
        let (keys, rng) = (Keys::from_root(&Zeroizing::new([7; 32])), SeededRng::new(1));
        let now = Timestamp::from_secs(1_800_000_000);
        let server = ServerName::parse("tickets").unwrap();
        let ask = Ask::new(PersonId::new("usr_ada"), server, vec!["read".into()], now, &rng).elicited("eli_1");
        let link = ask.link(&keys, &rng, "https://mcp.example.com");
        assert!(!link.contains("ada") && !link.contains("tickets"), "{link}");
        let sealed = link.strip_prefix("https://mcp.example.com/connections/-/open/").unwrap();
        assert_eq!(Ask::open(&keys, sealed, now).as_ref(), Some(&ask));
        assert_eq!(Ask::open(&keys, sealed, now.plus(LIFETIME)), None);
        assert_eq!(Ask::open(&Keys::from_root(&Zeroizing::new([8; 32])), sealed, now), None);
        for bad in ["", "x", &sealed[1..], &format!("{sealed}A")] {
            assert_eq!(Ask::open(&keys, bad, now), None, "{bad}");
        }
        let again = Ask::new(ask.person.clone(), ask.server.clone(), vec![], now, &rng);
        assert_ne!(again.id, ask.id, "each is spent by itself");
    }

    // spec: UP-64
    #[test]
    fn the_page_of_a_server_is_for_anybody() {
        let server = ServerName::parse("tickets").unwrap();
        assert_eq!(page("https://mcp.example.com", &server), "https://mcp.example.com/connections/tickets");
    }
}
