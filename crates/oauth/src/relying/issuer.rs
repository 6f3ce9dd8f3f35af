//! Whom a provider's tokens may be from.

use crate::jwks::PublicKey;

/// What stands for the tenant in the issuer of a provider with many tenants.
const TENANT: &str = "{tenantid}";

/// Whom tokens may be from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerRule {
    /// This issuer, byte for byte.
    Exact(String),
    /// One of these tenants of Entra, each with an issuer of its own.
    EntraTenants {
        /// Such as `https://login.microsoftonline.com/{tenantid}/v2.0`; also what the discovery document says.
        template: String,
        /// Who is let in. Empty: nobody.
        tenants: Vec<String>,
    },
}

impl IssuerRule {
    /// What is expected, for a message: the issuer, or the template of issuers.
    pub fn expected(&self) -> &str {
        match self {
            Self::Exact(issuer) => issuer,
            Self::EntraTenants { template, .. } => template,
        }
    }

    /// Whether a token of `issuer` about somebody of `tenant` may be taken.
    ///
    /// spec: AS-143, T-52: a provider with many tenants vouches only for those that an administrator named.
    pub fn admits(&self, issuer: &str, tenant: Option<&str>) -> bool {
        match self {
            Self::Exact(expected) => issuer == expected,
            Self::EntraTenants { template, tenants } => tenant.is_some_and(|tenant| {
                tenants.iter().any(|allowed| allowed.eq_ignore_ascii_case(tenant))
                    && issuer == template.replace(TENANT, tenant)
            }),
        }
    }

    /// Whether an answer in the browser may come from `issuer`: there, nobody says for which tenant.
    pub fn answers_as(&self, issuer: &str) -> bool {
        match self {
            Self::Exact(expected) => issuer == expected,
            Self::EntraTenants { tenants, .. } => tenants.iter().any(|tenant| self.admits(issuer, Some(tenant))),
        }
    }

    /// Whether `key` may sign for `issuer`: a set that many tenants share can say whose a key is.
    pub fn trusts_key(&self, key: &PublicKey, issuer: &str) -> bool {
        match (self, key.issuer()) {
            (Self::EntraTenants { template, .. }, Some(of)) => of == template || of == issuer,
            _ => true,
        }
    }
}
