//! Who looks at an authorization request: a person, or a visitor who signs in only after having agreed.

use portcullis_audit::Actor;

use crate::{
    extract::{LoggedIn, Session, Source},
    pages::Account,
};

/// Whose browser shows the consent page.
#[derive(Clone, Copy)]
pub enum Reader<'a> {
    /// Somebody who is signed in.
    Person(&'a LoggedIn),
    /// Nobody is signed in.
    Visitor {
        /// What the forms of the page are bound to.
        session: &'a Session,
        /// From where.
        source: Source,
    },
}

impl<'a> Reader<'a> {
    /// What the forms of the page are bound to.
    pub fn session(self) -> &'a Session {
        match self {
            Self::Person(who) => &who.session,
            Self::Visitor { session, .. } => session,
        }
    }

    /// The person, if there is one.
    pub fn person(self) -> Option<&'a LoggedIn> {
        match self {
            Self::Person(who) => Some(who),
            Self::Visitor { .. } => None,
        }
    }

    /// For the head of the page.
    pub fn account(self) -> Option<Account<'a>> {
        self.person().map(LoggedIn::account)
    }

    /// For the record.
    pub fn actor(self) -> Actor {
        match self {
            Self::Person(who) => who.actor(),
            Self::Visitor { source, .. } => Actor { address: Some(source.0), ..Actor::default() },
        }
    }
}

/// On whose account something is fetched.
pub struct Asker {
    /// The key of limits on what is fetched.
    pub limit_key: String,
    /// For the record.
    pub actor: Actor,
}

impl From<Reader<'_>> for Asker {
    fn from(reader: Reader<'_>) -> Self {
        let limit_key = match reader {
            Reader::Person(who) => who.person.id.as_str().to_owned(),
            Reader::Visitor { source, .. } => source.key(),
        };
        Self { limit_key, actor: reader.actor() }
    }
}

impl From<Source> for Asker {
    fn from(source: Source) -> Self {
        Self { limit_key: source.key(), actor: Actor { address: Some(source.0), ..Actor::default() } }
    }
}
