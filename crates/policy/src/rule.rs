//! One rule: whom and what it concerns, when it holds, and what it says.

use std::{sync::Arc, time::Duration};

use portcullis_base::ServerName;

use crate::{
    condition::Condition,
    nearest::nearest,
    request::{Facts, Target},
};

/// What a rule says, weakest first: the strongest of all that apply is the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Let it through.
    Allow,
    /// A human has to agree.
    Ask,
    /// The caller has to sign in afresh, or get more scope.
    StepUp,
    /// Refuse it.
    Deny,
}

impl Effect {
    /// As it stands in rules and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::StepUp => "step_up",
            Self::Deny => "deny",
        }
    }
}

/// One rule, checked and compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) who: Vec<Who>,
    pub(crate) what: Vec<What>,
    pub(crate) when: Option<Condition>,
    pub(crate) then: Effect,
    /// What kind of sign-in is fresh enough, where `then` asks for one.
    pub(crate) step_up: StepUp,
    /// Judged and recorded, not enforced.
    pub(crate) shadow: bool,
}

/// What kind of sign-in a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// How long ago at most; `None`: any time.
    pub max_age: Option<Duration>,
    /// In one of these ways; empty: in any.
    pub acr: Vec<Arc<str>>,
}

impl Default for StepUp {
    fn default() -> Self {
        Self { max_age: Some(Duration::from_mins(15)), acr: Vec::new() }
    }
}

impl StepUp {
    /// Whether the caller signed in like that. What is not known is not so.
    pub fn is_met(&self, facts: &Facts<'_>) -> bool {
        let recent = |max_age| facts.authenticated_at.is_some_and(|at| facts.now.since(at) <= max_age);
        let sure = || facts.acr.is_some_and(|acr| self.acr.iter().any(|wanted| **wanted == *acr));
        self.max_age.is_none_or(recent) && (self.acr.is_empty() || sure())
    }
}

/// Roles that a person can have.
pub(crate) const ROLES: &[&str] = &["owner", "admin", "auditor", "member"];

/// Whom a rule concerns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Everybody,
    Person(Box<str>),
    Group(Box<str>),
    Client(Box<str>),
    Role(Box<str>),
}

/// What a rule concerns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) server: Pattern,
    pub(crate) object: Object,
}

/// What on the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// Everything, listings and handshakes too.
    Whole,
    Tool(Pattern),
    Prompt(Pattern),
    Resource(Pattern),
}

/// A name, or part of one: `*` stands for any text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Any,
    Exact(Box<str>),
    /// The texts between the stars, at least two.
    Glob(Vec<Box<str>>),
}

/// Why a text is no [`Who`] or [`What`].
#[derive(Debug)]
pub(crate) struct Misread {
    pub(crate) message: String,
    pub(crate) nearest: Option<String>,
}

fn misread(message: impl Into<String>) -> Misread {
    Misread { message: message.into(), nearest: None }
}

impl Rule {
    /// What it says to this caller: a sign-in that is fresh already is not asked for.
    pub(crate) fn effect(&self, facts: &Facts<'_>) -> Effect {
        match self.then {
            Effect::StepUp if self.step_up.is_met(facts) => Effect::Allow,
            then => then,
        }
    }

    /// Whether the rule concerns the caller and the target of `facts`; its condition is another matter.
    pub(crate) fn concerns(&self, facts: &Facts<'_>) -> bool {
        self.who.iter().any(|who| who.is(facts)) && self.what.iter().any(|what| what.is(facts))
    }
}

impl Who {
    /// Reads `*`, `person:NAME`, `group:NAME`, `client:ID` or `role:NAME`.
    pub(crate) fn parse(text: &str) -> Result<Self, Misread> {
        if text == "*" {
            return Ok(Self::Everybody);
        }
        let kinds = ["person", "group", "client", "role"];
        let Some((kind, name)) = text.split_once(':') else {
            let message = format!("\"{text}\" does not say whether it is a person, a group, a client or a role");
            return Err(Misread { message, nearest: Some(format!("group:{text}")) });
        };
        if name.is_empty() || name.trim() != name {
            return Err(misread(format!("\"{text}\" names nobody")));
        }
        if name.contains('*') && kind != "client" {
            return Err(misread(format!("\"{text}\": a {kind} is named in full; \"*\" alone is everybody")));
        }
        match kind {
            "person" => Ok(Self::Person(name.into())),
            "group" => Ok(Self::Group(name.into())),
            "client" => Ok(Self::Client(name.into())),
            "role" if ROLES.contains(&name) => Ok(Self::Role(name.into())),
            "role" => Err(Misread {
                message: format!("there is no role \"{name}\""),
                nearest: nearest(name, ROLES.iter().copied()).map(|role| format!("role:{role}")),
            }),
            _ => Err(Misread {
                message: format!("\"{kind}\" is none of person, group, client, role"),
                nearest: nearest(kind, kinds).map(|kind| format!("{kind}:{name}")),
            }),
        }
    }

    fn is(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Person(name) => **name == *facts.name || **name == *facts.person.as_str(),
            Self::Group(name) => facts.groups.iter().any(|group| **group == **name),
            Self::Client(id) => **id == *facts.client.as_str(),
            Self::Role(name) => facts.roles.contains(&&**name),
        }
    }
}

impl What {
    /// Reads `*`, `server`, `server/tool`, `server/prompt:name` or `server/resource:uri`, each with stars.
    pub(crate) fn parse(text: &str) -> Result<Self, Misread> {
        let (server, object) = match text.split_once('/') {
            None => (text, None),
            Some((server, object)) => (server, Some(object)),
        };
        let server = Pattern::parse(server);
        let named = match &server {
            Pattern::Any => Ok(()),
            Pattern::Exact(name) => ServerName::parse(name).map(drop),
            Pattern::Glob(parts) => {
                // A star may stand for nothing, so the parts together must be able to be a name.
                let joined = parts.concat();
                ServerName::parse(joined.strip_prefix('-').unwrap_or(&joined)).map(drop)
            }
        };
        named.map_err(|error| misread(error.to_string()))?;
        let object = match object {
            None => Object::Whole,
            Some("") => return Err(misread(format!("\"{text}\" ends where a tool should be named"))),
            Some(object) => match object.split_once(':') {
                None => Object::Tool(Pattern::parse(object)),
                Some((_, "")) => return Err(misread(format!("\"{text}\" ends where a name should stand"))),
                Some(("tool", name)) => Object::Tool(Pattern::parse(name)),
                Some(("prompt", name)) => Object::Prompt(Pattern::parse(name)),
                Some(("resource", uri)) => Object::Resource(Pattern::parse(uri)),
                Some((kind, _)) => {
                    return Err(Misread {
                        message: format!("\"{kind}\" is none of tool, prompt, resource"),
                        nearest: nearest(kind, ["tool", "prompt", "resource"]).map(Into::into),
                    });
                }
            },
        };
        Ok(Self { server, object })
    }

    pub(crate) fn is(&self, facts: &Facts<'_>) -> bool {
        self.server.is(facts.server.as_str())
            && match (&self.object, facts.target) {
                (Object::Whole, _) => true,
                (Object::Tool(pattern), Target::Tool(name))
                | (Object::Prompt(pattern), Target::Prompt(name))
                | (Object::Resource(pattern), Target::Resource(name)) => pattern.is(name),
                _ => false,
            }
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        if text == "*" {
            Self::Any
        } else if text.contains('*') {
            Self::Glob(text.split('*').map(Into::into).collect())
        } else {
            Self::Exact(text.into())
        }
    }

    /// Whether `name` fits: the first and last part at its ends, those in between in order.
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *name,
            Self::Glob(parts) => {
                let [first, between @ .., last] = parts.as_slice() else { return false };
                let Some(mut rest) = name.strip_prefix(&**first) else { return false };
                for part in between {
                    match rest.find(&**part) {
                        Some(at) => rest = &rest[at + part.len()..],
                        None => return false,
                    }
                }
                rest.ends_with(&**last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_and_targets_are_read_or_refused_with_the_nearest() {
        assert_eq!(Who::parse("*").unwrap(), Who::Everybody);
        assert_eq!(
            Who::parse("client:https://a.example/c.json").unwrap(),
            Who::Client("https://a.example/c.json".into())
        );
        for (text, nearest) in [
            ("finance", Some("group:finance")),
            ("grp:finance", Some("group:finance")),
            ("role:admn", Some("role:admin")),
            ("group:", None),
            ("group:fin*", None),
        ] {
            assert_eq!(Who::parse(text).unwrap_err().nearest.as_deref(), nearest, "{text}");
        }
        for text in ["", "Server", "a_b/x", "sample/", "sample/promt:x", "sample/prompt:", "a b"] {
            assert!(What::parse(text).is_err(), "{text}");
        }
        assert_eq!(What::parse("sample/promt:x").unwrap_err().nearest.as_deref(), Some("prompt"));
        for text in [
            "*",
            "sample",
            "prod-*",
            "*-eu/x",
            "sample/*",
            "*/delete_*",
            "s/prompt:p",
            "s/resource:file:///a/*",
            "s/a/b",
        ] {
            assert!(What::parse(text).is_ok(), "{text}");
        }
        let resource = What::parse("s/resource:file:///a/*").unwrap();
        assert_eq!(resource.object, Object::Resource(Pattern::parse("file:///a/*")));
    }

    proptest! {
        #[test]
        fn globs_agree_with_trying_everything(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            fn naive(pattern: &[u8], name: &[u8]) -> bool {
                match pattern {
                    [] => name.is_empty(),
                    [b'*', rest @ ..] => (0..=name.len()).any(|n| naive(rest, &name[n..])),
                    [byte, rest @ ..] => name.first() == Some(byte) && naive(rest, &name[1..]),
                }
            }
            prop_assert_eq!(Pattern::parse(&pattern).is(&name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
