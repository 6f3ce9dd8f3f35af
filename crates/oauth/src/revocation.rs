//! Token revocation (RFC 7009).

use portcullis_base::{ClientId, GrantId};

use crate::{access::AccessClaims, token::RefreshFacts};

/// What we found out about a presented token.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// An access token of ours, its signature checked.
    Access(&'a AccessClaims),
    /// A refresh token in the store.
    Refresh(&'a RefreshFacts),
    /// Neither.
    Unknown,
}

impl<'a> Known<'a> {
    /// Whose it is and the grant behind it.
    pub(crate) const fn owner(self) -> Option<(&'a ClientId, &'a GrantId)> {
        match self {
            Self::Access(claims) => Some((&claims.client, &claims.grant)),
            Self::Refresh(facts) => Some((&facts.grant.client, &facts.grant.id)),
            Self::Unknown => None,
        }
    }
}

/// The grant that ends when `client` gives up a token; the answer is 200 in any case.
///
/// spec: AS-88, T-43, RFC7009#2.1, RFC7009#2.2: only the client it was issued to gives a token up, and an unknown token is
/// no error. spec: AS-89: the whole grant ends, and every token of it.
pub fn revoke(client: &ClientId, token: Known<'_>) -> Option<GrantId> {
    token.owner().filter(|(owner, _)| *owner == client).map(|(_, grant)| grant.clone())
}
