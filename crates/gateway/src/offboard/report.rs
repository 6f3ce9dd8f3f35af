//! The report: who was ended, at whose word, when, what ended, and what did not.

use std::net::IpAddr;

use portcullis_audit::{PublicKeys, StatementError};
use portcullis_base::{PersonId, Timestamp, printable};
use portcullis_store::{Connection, Extent, Offboarded};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{authority::Revocation, connections::GivenBack};

/// What the statement calls itself.
const TYPE: &str = "portcullis offboarding report";

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its identifier.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Whose access ended.
    pub person: PersonId,
    /// Their account name.
    pub name: String,
    /// At whose word.
    pub by: By,
    /// Whether the account was closed, or only what it was signed in to.
    pub account_closed: bool,
    /// What ended.
    pub ended: Ended,
    /// What did not.
    pub left: Vec<Left>,
}

/// At whose word somebody's access ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// What happened.
    pub how: How,
    /// The person who did it, if it was one.
    pub person: Option<PersonId>,
    /// The name of who did it: an account, or `cli`.
    pub name: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// What happened that ended somebody's access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// `portcullis offboard`.
    Command,
    /// An administrator, on a page.
    Administrator,
    /// The provider's directory deactivated or deleted them (SCIM).
    Directory(String),
    /// The provider said that they were signed out everywhere.
    ProviderLogout(String),
    /// The provider said, when it was asked again, that the account is closed.
    ProviderCheck(String),
}

impl How {
    /// The text for records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Administrator => "administrator",
            Self::Directory(_) => "directory",
            Self::ProviderLogout(_) => "provider_logout",
            Self::ProviderCheck(_) => "provider_check",
        }
    }

    /// The provider whose word it was.
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::Command | Self::Administrator => None,
            Self::Directory(provider) | Self::ProviderLogout(provider) | Self::ProviderCheck(provider) => {
                Some(provider)
            }
        }
    }

    fn parse(how: &str, provider: Option<String>) -> Option<Self> {
        match (how, provider) {
            ("command", None) => Some(Self::Command),
            ("administrator", None) => Some(Self::Administrator),
            ("directory", Some(provider)) => Some(Self::Directory(provider)),
            ("provider_logout", Some(provider)) => Some(Self::ProviderLogout(provider)),
            ("provider_check", Some(provider)) => Some(Self::ProviderCheck(provider)),
            _ => None,
        }
    }
}

/// What ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Signed-in browsers.
    pub sessions: u64,
    /// Grants, and with each its access and refresh tokens, its connections and its streams.
    pub grants: Vec<EndedGrant>,
    /// How many of the grants were access keys.
    pub access_keys: u64,
    /// Consents that were remembered.
    pub consents: u64,
    /// Providers that took back the refresh token they gave us.
    pub given_back: Vec<String>,
    /// What they had at servers, and what became of it where it was issued.
    #[serde(default)]
    pub connections: Vec<EndedConnection>,
    /// What they could do with the word of a human, or say as one.
    #[serde(default)]
    pub rights: EndedRights,
}

/// How much of each there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRights {
    /// Calls that waited for approval, or were approved by them and not run.
    pub approvals: u64,
    /// Approvals ahead, theirs and those that they gave others.
    pub standing: u64,
    /// Wishes for access.
    pub wishes: u64,
    /// Rights that would have ended by themselves.
    pub access: u64,
    /// Words that they lent, or were lent.
    pub delegations: u64,
    /// Passkeys.
    pub passkeys: u64,
}

impl EndedRights {
    pub(super) fn of(rights: &portcullis_store::EndedRights) -> Self {
        let portcullis_store::EndedRights { approvals, standing, wishes, access, delegations, passkeys } = *rights;
        Self { approvals, standing, wishes, access, delegations, passkeys }
    }

    /// Each with its name.
    pub fn counts(&self) -> [(&'static str, u64); 6] {
        let Self { approvals, standing, wishes, access, delegations, passkeys } = *self;
        [
            ("approvals", approvals),
            ("standing", standing),
            ("wishes", wishes),
            ("access", access),
            ("delegations", delegations),
            ("passkeys", passkeys),
        ]
    }
}

/// What somebody had at a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedConnection {
    /// The server.
    pub server: String,
    /// Whose account it was there, if that was known.
    pub account: Option<String>,
    /// Who had issued it; none for a key.
    pub issuer: Option<String>,
    /// What became of it there.
    pub revoked: String,
}

/// A grant that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedGrant {
    /// Its identifier, as in the journal.
    pub id: String,
    /// The client.
    pub client: String,
    /// The endpoint.
    pub resource: String,
}

/// Something that did not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Why a report is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The signature.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// It was signed, and is something else.
    #[error("this is signed, but it is not an offboarding report: {0}")]
    Other(String),
}

/// The report on paper.
#[derive(Serialize, Deserialize)]
struct Written {
    r#type: String,
    id: String,
    at: String,
    person: Who,
    by: WrittenBy,
    account_closed: bool,
    ended: Ended,
    not_ended: Vec<Left>,
}

#[derive(Serialize, Deserialize)]
struct Who {
    id: PersonId,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenBy {
    how: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
}

impl Report {
    pub(super) fn new(id: &str, at: Timestamp, by: By, offboarded: &Offboarded, extent: Extent) -> Self {
        let grant = |grant: &portcullis_store::EndedGrant| EndedGrant {
            id: grant.id.to_string(),
            client: grant.client.to_string(),
            resource: grant.resource.clone(),
        };
        let ended = Ended {
            sessions: offboarded.sessions,
            grants: offboarded.grants.iter().map(grant).collect(),
            access_keys: offboarded.access_keys,
            consents: offboarded.consents,
            given_back: Vec::new(),
            connections: offboarded.connections.iter().map(waiting_connection).collect(),
            rights: EndedRights::of(&offboarded.rights),
        };
        let waiting = offboarded.identities.iter().filter(|identity| identity.refresh_sealed.is_some());
        let waiting = waiting.map(|identity| Left {
            what: token_of(&identity.provider, &identity.issuer),
            why: "the provider had not answered when this was written".into(),
        });
        let owned = offboarded.owned.iter().map(|name| Left {
            what: format!("the service account {name}"),
            why: "it calls for itself and goes on: give it another owner, or disable it".into(),
        });
        Self {
            id: id.to_owned(),
            at,
            person: offboarded.person.clone(),
            name: offboarded.name.clone(),
            by,
            account_closed: extent == Extent::Account,
            ended,
            left: owned.chain(waiting).collect(),
        }
    }

    /// Notes what became of the token that a provider was to take back.
    pub(super) fn given_back(&mut self, provider: &str, issuer: &str, told: Result<(), String>) {
        let what = token_of(provider, issuer);
        self.left.retain(|left| left.what != what);
        match told {
            Ok(()) => self.ended.given_back.push(issuer.to_owned()),
            Err(why) => {
                let why = format!("{}; it was deleted here", printable(&why, 300));
                self.left.push(Left { what, why });
            }
        }
    }

    /// Notes what became of what they had at servers. spec: UP-47
    pub(super) fn disconnected(&mut self, all: Vec<GivenBack>) {
        for given in &all {
            if let Some(Revocation::Failed(why)) = &given.end.revoked {
                let what = format!("the access to {} where it was issued", given.server);
                self.left.push(Left { what, why: format!("{}; it was deleted here", printable(why, 300)) });
            }
        }
        self.ended.connections = all
            .into_iter()
            .map(|given| EndedConnection {
                server: given.server.to_string(),
                revoked: given.end.told(),
                issuer: given.end.issuer,
                account: given.account,
            })
            .collect();
    }

    /// The document that is signed.
    pub(super) fn statement(&self) -> Value {
        let written = Written {
            r#type: TYPE.into(),
            id: self.id.clone(),
            at: self.at.to_string(),
            person: Who { id: self.person.clone(), name: self.name.clone() },
            by: WrittenBy {
                how: self.by.how.as_str().into(),
                provider: self.by.how.provider().map(str::to_owned),
                person: self.by.person.clone(),
                name: self.by.name.clone(),
                address: self.by.address,
            },
            account_closed: self.account_closed,
            ended: self.ended.clone(),
            not_ended: self.left.clone(),
        };
        serde_json::to_value(written).expect("plain values are always JSON")
    }

    /// The report in `text`, if one of `keys` signed it: the public halves of the journals' keys.
    pub fn verify(text: &[u8], keys: &PublicKeys) -> Result<Self, ReportError> {
        Self::read(keys.believe(text)?)
    }

    /// The report in `text`, which we stored ourselves, without asking who signed it.
    pub fn stored(text: &str) -> Result<Self, ReportError> {
        let signed: Value = serde_json::from_str(text).map_err(|error| ReportError::Other(error.to_string()))?;
        Self::read(signed["statement"].clone())
    }

    fn read(statement: Value) -> Result<Self, ReportError> {
        let other = |why: &str| ReportError::Other(why.to_owned());
        let written: Written =
            serde_json::from_value(statement).map_err(|error| ReportError::Other(error.to_string()))?;
        if written.r#type != TYPE {
            return Err(other("its type says so"));
        }
        let by = written.by;
        Ok(Self {
            id: written.id,
            at: Timestamp::parse(&written.at).ok_or_else(|| other("\"at\" is not a time"))?,
            person: written.person.id,
            name: written.person.name,
            by: By {
                how: How::parse(&by.how, by.provider).ok_or_else(|| other("\"by\" is not known here"))?,
                person: by.person,
                name: by.name,
                address: by.address,
            },
            account_closed: written.account_closed,
            ended: written.ended,
            left: written.not_ended,
        })
    }
}

fn waiting_connection(row: &Connection) -> EndedConnection {
    EndedConnection {
        server: row.server.to_string(),
        account: row.account.clone(),
        issuer: row.issuer.clone(),
        revoked: "not known when this was written".into(),
    }
}

fn token_of(provider: &str, issuer: &str) -> String {
    format!("the refresh token of {provider} ({issuer})")
}
