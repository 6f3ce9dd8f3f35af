//! Whom rules name: those who call, and those who may approve.

use std::{fmt, sync::Arc};

use portcullis_base::{ClientId, PersonId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{nearest::nearest, source::Misread};

/// Somebody, as access lists ask for them.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// Who.
    pub person: &'a PersonId,
    /// Their groups.
    pub groups: &'a [Arc<str>],
    /// Now: rights end.
    pub now: Timestamp,
}

/// Roles that somebody can have.
pub(crate) const ROLES: &[&str] = &["owner", "admin", "auditor", "member"];
/// The words before a name.
pub(crate) const KINDS: &[&str] = &["person", "group", "client", "agent", "role", "service"];

/// One or many, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everybody who is signed in.
    Everybody,
    /// A person, by the name they sign in with or by their identifier.
    Person(Box<str>),
    /// The members of a group.
    Group(Box<str>),
    /// Whoever calls through an OAuth client; `agent:` is another word for it.
    Client(Box<str>),
    /// Those with a role.
    Role(Box<str>),
    /// A service account.
    Service(Box<str>),
}

/// Whether somebody is a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody who signs in.
    #[default]
    Person,
    /// A machine, which somebody owns.
    Service,
}

impl Kind {
    /// As it stands in conditions and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

/// Somebody, as rules look at them.
#[derive(Clone, Copy, Debug)]
pub struct Somebody<'a> {
    /// Who.
    pub person: &'a PersonId,
    /// The name they sign in with.
    pub name: &'a str,
    /// Whether they are a human.
    pub kind: Kind,
    /// Their groups.
    pub groups: &'a [Arc<str>],
    /// Their roles: `owner`, `admin`, `auditor`, `member`.
    pub roles: &'a [&'a str],
    /// The OAuth client that calls for them; somebody who sits before a page has none.
    pub client: Option<&'a ClientId>,
}

impl Who {
    /// Reads `*`, `person:NAME`, `group:NAME`, `role:NAME`, `service:NAME`, `client:ID` or `agent:ID`.
    pub fn parse(text: &str) -> Result<Self, Misread> {
        if text == "*" {
            return Ok(Self::Everybody);
        }
        let Some((kind, name)) = text.split_once(':') else {
            let message = format!("\"{text}\" does not say whether it is a person, a group, a client or a role");
            return Err(Misread { message, nearest: Some(format!("group:{text}")) });
        };
        if name.is_empty() || name.trim() != name {
            return Err(Misread::new(format!("\"{text}\" names nobody")));
        }
        if name.contains('*') && !matches!(kind, "client" | "agent") {
            return Err(Misread::new(format!("\"{text}\": a {kind} is named in full; \"*\" alone is everybody")));
        }
        match kind {
            "person" => Ok(Self::Person(name.into())),
            "group" => Ok(Self::Group(name.into())),
            "client" | "agent" => Ok(Self::Client(name.into())),
            "service" => Ok(Self::Service(name.into())),
            "role" if ROLES.contains(&name) => Ok(Self::Role(name.into())),
            "role" => Err(Misread {
                message: format!("there is no role \"{name}\""),
                nearest: nearest(name, ROLES.iter().copied()).map(|role| format!("role:{role}")),
            }),
            _ => Err(Misread {
                message: format!("\"{kind}\" is none of {}", KINDS.join(", ")),
                nearest: nearest(kind, KINDS.iter().copied()).map(|kind| format!("{kind}:{name}")),
            }),
        }
    }

    /// Whether `somebody` is one of them.
    pub fn matches(&self, somebody: &Somebody<'_>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Person(name) => somebody.kind == Kind::Person && named(name, somebody),
            Self::Service(name) => somebody.kind == Kind::Service && named(name, somebody),
            Self::Group(name) => somebody.groups.iter().any(|group| **group == **name),
            Self::Client(id) => somebody.client.is_some_and(|client| **id == *client.as_str()),
            Self::Role(name) => somebody.roles.contains(&&**name),
        }
    }
}

fn named(name: &str, somebody: &Somebody<'_>) -> bool {
    name == somebody.name || name == somebody.person.as_str()
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Everybody => return f.write_str("*"),
            Self::Person(name) => ("person", name),
            Self::Group(name) => ("group", name),
            Self::Client(id) => ("client", id),
            Self::Role(name) => ("role", name),
            Self::Service(name) => ("service", name),
        };
        write!(f, "{kind}:{name}")
    }
}

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_are_read_or_refused_with_the_nearest() {
        for text in
            ["*", "person:alice", "group:finance", "role:admin", "service:ci", "client:https://a.example/c.json"]
        {
            assert_eq!(Who::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Who::parse("agent:x").unwrap(), Who::Client("x".into()));
        for (text, nearest) in [
            ("finance", Some("group:finance")),
            ("grp:finance", Some("group:finance")),
            ("role:admn", Some("role:admin")),
            ("servce:ci", Some("service:ci")),
            ("group:", None),
            ("group:fin*", None),
        ] {
            assert_eq!(Who::parse(text).unwrap_err().nearest.as_deref(), nearest, "{text}");
        }
    }

    #[test]
    fn service_account_is_no_person_of_its_name() {
        let (person, client) = (PersonId::new("usr_1"), ClientId::new("app"));
        let mut somebody = Somebody {
            person: &person,
            name: "ci",
            kind: Kind::Service,
            groups: &["ops".into()],
            roles: &["member"],
            client: Some(&client),
        };
        let is = |text: &str, somebody: &Somebody<'_>| Who::parse(text).unwrap().matches(somebody);
        for (text, service, human) in [
            ("service:ci", true, false),
            ("person:ci", false, true),
            ("person:usr_1", false, true),
            ("group:ops", true, true),
            ("agent:app", true, true),
        ] {
            somebody.kind = Kind::Service;
            assert_eq!(is(text, &somebody), service, "{text}");
            somebody.kind = Kind::Person;
            assert_eq!(is(text, &somebody), human, "{text}");
        }
        somebody.client = None;
        assert!(!is("client:app", &somebody));
    }
}
