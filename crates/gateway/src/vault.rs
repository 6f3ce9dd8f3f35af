//! Credentials for servers, sealed for exactly one owner: tenant, holder, server, issuer and what it is. A row that is
//! moved to another holder, server or issuer does not open there. spec: T-44, T-51, UP-40

use portcullis_base::{Holder, Rng, Secret, ServerName};

use crate::keys::{Keys, Purpose};

/// The one tenant there is. Part of what is sealed all the same, so that a second one cannot open the first one's.
pub const TENANT: &str = "default";

/// What exactly a sealed credential belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    tenant: &'a str,
    holder: &'a str,
    server: &'a str,
    issuer: &'a str,
    what: &'static str,
}

impl<'a> Owner<'a> {
    /// What `holder` has at `server`: tokens of `issuer`, or a key that they typed.
    pub fn connection(holder: &'a Holder, server: &'a ServerName, issuer: Option<&'a str>) -> Self {
        let (holder, server, issuer) = (holder.as_str(), server.as_str(), issuer.unwrap_or_default());
        Self { tenant: TENANT, holder, server, issuer, what: "connection" }
    }

    /// A flow in which `holder` gets connected at `server`.
    pub fn flow(holder: &'a Holder, server: &'a ServerName) -> Self {
        Self { tenant: TENANT, holder: holder.as_str(), server: server.as_str(), issuer: "", what: "flow" }
    }

    /// Our own secret at the authorization server `issuer`.
    pub fn client(issuer: &'a str) -> Self {
        Self { tenant: TENANT, holder: "", server: "", issuer, what: "client" }
    }

    /// Each part after its length, so that no two owners read the same.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.tenant, self.holder, self.server, self.issuer, self.what] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Seals a credential with `keys` for its owner.
pub fn seal(keys: &Keys, owner: &Owner<'_>, plain: &Secret, rng: &dyn Rng) -> Vec<u8> {
    keys.seal(Purpose::Vault, &owner.bytes(), plain.reveal().as_bytes(), rng)
}

/// Opens with `keys` what was sealed for this very owner; `None` for any other, or if it was touched.
pub fn open(keys: &Keys, owner: &Owner<'_>, sealed: &[u8]) -> Option<Secret> {
    let plain = keys.open(Purpose::Vault, &owner.bytes(), sealed)?;
    String::from_utf8(plain).ok().map(Secret::new)
}

/// Seals for `owner` once more what `sealed` holds, with the key that seals now.
pub fn again(keys: &Keys, owner: &Owner<'_>, sealed: &[u8], rng: &dyn Rng) -> Option<Vec<u8>> {
    Some(seal(keys, owner, &open(keys, owner, sealed)?, rng))
}

#[cfg(test)]
mod tests {
    use portcullis_base::{PersonId, SeededRng};
    use zeroize::Zeroizing;

    use super::*;

    fn keys() -> Keys {
        Keys::from_root(&Zeroizing::new([7; 32]))
    }

    fn holders(ids: &[&str]) -> Vec<Holder> {
        ids.iter().map(|id| Holder::from_stored(id)).collect()
    }

    // spec: T-44, T-51, UP-40
    #[test]
    fn credential_opens_for_its_owner_and_for_nobody_else() {
        let (keys, rng) = (keys(), SeededRng::new(1));
        let holders = holders(&["usr_a", "usr_ab", "shared", ""]);
        let servers = ["a", "ab", "b"].map(|name| ServerName::parse(name).unwrap());
        let issuers = [None, Some("https://a.example"), Some("https://b.example")];
        let mut owners = Vec::new();
        for holder in &holders {
            for server in &servers {
                owners.extend(issuers.map(|issuer| Owner::connection(holder, server, issuer)));
                owners.push(Owner::flow(holder, server));
            }
        }
        owners.extend(issuers.into_iter().flatten().map(Owner::client));
        // Another tenant's, with everything else the same.
        let foreign: Vec<_> = owners.iter().map(|owner| Owner { tenant: "other", ..*owner }).collect();
        owners.extend(foreign);
        let secret = Secret::new("the credential".into());
        for (n, owner) in owners.iter().enumerate() {
            let sealed = seal(&keys, owner, &secret, &rng);
            assert!(!sealed.windows(10).any(|part| part == b"credential"));
            for (m, other) in owners.iter().enumerate() {
                let opened = open(&keys, other, &sealed);
                assert_eq!(opened.is_some(), n == m, "{owner:?} {other:?}");
            }
        }
    }

    // spec: T-51
    #[test]
    fn parts_of_an_owner_cannot_run_into_each_other() {
        let one = Owner { tenant: "t", holder: "ab", server: "c", issuer: "", what: "connection" };
        let other = Owner { holder: "a", server: "bc", ..one };
        assert_ne!(one.bytes(), other.bytes());
        let person = Holder::Person(PersonId::new("usr_a"));
        let server = ServerName::parse("a").unwrap();
        let flow = Owner::flow(&person, &server);
        assert_eq!(open(&keys(), &flow, b"short"), None);
    }
}
