//! The link that a call gets which needs a fresh sign-in.
//!
//! A rule that asks for one denies the call and hands out a link. Whoever opens it signs in freshly, sees which
//! application at which server may go on, and confirms. The demand travels in the link, sealed: nobody can ask a person to
//! confirm for a grant that no rule has asked about, and a node needs no memory of the links that it gave out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{GrantId, Rng, Timestamp};
use serde::{Deserialize, Serialize};

use crate::keys::{Keys, Purpose};

/// The page that the link leads to.
pub const FRESH: &str = "/login/fresh";
/// How long a link is good.
pub const LIFETIME: Duration = Duration::from_mins(15);

/// What a rule demands before the calls of a grant go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Whose calls.
    pub grant: GrantId,
    /// How old the sign-in may be.
    pub max_age: Option<Duration>,
    /// Which kinds of sign-in are strong enough; empty if any is.
    pub acr: Vec<String>,
    /// When the link is too old.
    pub expires_at: Timestamp,
}

impl Demand {
    /// The demand as it stands in a link.
    pub fn seal(&self, keys: &Keys, rng: &dyn Rng) -> String {
        let plain = serde_json::to_vec(self).expect("a demand is texts and numbers");
        URL_SAFE_NO_PAD.encode(keys.seal(Purpose::StepUp, b"", &plain, rng))
    }

    /// The demand that we once sealed; `None` if we did not, or if the link is too old.
    pub fn open(keys: &Keys, sealed: &str, now: Timestamp) -> Option<Self> {
        let plain = keys.open(Purpose::StepUp, b"", &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        serde_json::from_slice::<Self>(&plain).ok().filter(|demand| now < demand.expires_at)
    }

    /// The link for the person, at the gateway's public URL.
    pub fn link(&self, keys: &Keys, rng: &dyn Rng, public_url: &str) -> String {
        format!("{public_url}{FRESH}?grant={}", self.seal(keys, rng))
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::SeededRng;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn a_link_opens_for_those_who_made_it_and_not_for_long() {
        let (keys, rng) = (Keys::from_root(&Zeroizing::new([7; 32])), SeededRng::new(1));
        let now = Timestamp::from_secs(1_800_000_000);
        let demand = Demand {
            grant: GrantId::new("grt_1"),
            max_age: Some(Duration::from_mins(15)),
            acr: vec!["phr".into()],
            expires_at: now.plus(LIFETIME),
        };
        let link = demand.link(&keys, &rng, "https://mcp.example.com");
        let sealed = link.strip_prefix("https://mcp.example.com/login/fresh?grant=").unwrap();
        assert_eq!(Demand::open(&keys, sealed, now).as_ref(), Some(&demand));
        assert_eq!(Demand::open(&keys, sealed, now.plus(LIFETIME)), None);
        assert_eq!(Demand::open(&Keys::from_root(&Zeroizing::new([8; 32])), sealed, now), None);
        for bad in ["", "x", &sealed[1..], &format!("{sealed}A")] {
            assert_eq!(Demand::open(&keys, bad, now), None, "{bad}");
        }
    }
}
