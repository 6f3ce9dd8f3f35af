//! What rules concern: servers, what is on them, and what is known of it.

use std::fmt;

use portcullis_base::{Class, Label, ServerName};

use crate::{
    definition::Definition,
    nearest::nearest,
    pattern::Pattern,
    request::{Facts, Target},
    source::Misread,
};

/// What a rule concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) place: Place,
    pub(crate) object: Object,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Server(Pattern),
    /// Whatever is reached through a toolbox.
    Toolbox(Pattern),
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// Everything, listings and handshakes too.
    Whole,
    Tool(Pattern),
    Prompt(Pattern),
    Resource(Pattern),
    /// Tools of a class; prompts and resources are read.
    Class(Class),
    /// Tools with a label.
    Label(Label),
    /// Tools with a tag.
    Tag(Box<str>),
}

const OBJECTS: &[&str] = &["tool", "prompt", "resource", "class", "label", "tag"];
/// What can stand without a server in front.
const ANYWHERE: &[&str] = &["class", "label", "tag", "toolbox"];

impl What {
    /// Reads `*`, `SERVER`, `SERVER/TOOL`, `SERVER/prompt:NAME`, `SERVER/resource:URI`, `SERVER/class:CLASS`,
    /// `SERVER/label:LABEL` and `SERVER/tag:TAG`, with stars in names; `toolbox:NAME` in the place of the server; and
    /// `class:CLASS`, `label:LABEL` and `tag:TAG` of every server.
    pub(crate) fn parse(text: &str) -> Result<Self, Misread> {
        let (place, object) = match text.split_once('/') {
            None => (text, None),
            Some((place, object)) => (place, Some(object)),
        };
        let place = match place.split_once(':') {
            None => Place::Server(name(place)?),
            Some(("toolbox", toolbox)) => Place::Toolbox(name(toolbox)?),
            Some((kind, _)) if ANYWHERE.contains(&kind) => {
                return Ok(Self { place: Place::Server(Pattern::Any), object: Object::parse(text)? });
            }
            Some((kind, name)) => {
                return Err(Misread {
                    message: format!("\"{kind}\" is none of {}", ANYWHERE.join(", ")),
                    nearest: nearest(kind, ANYWHERE.iter().copied()).map(|kind| format!("{kind}:{name}")),
                });
            }
        };
        let object = match object {
            None => Object::Whole,
            Some("") => return Err(Misread::new(format!("\"{text}\" ends where a tool should be named"))),
            Some(object) => Object::parse(object)?,
        };
        Ok(Self { place, object })
    }

    /// Whether it surely concerns whatever `other` does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let place = match (&self.place, &other.place) {
            (Place::Server(all), Place::Server(one)) | (Place::Toolbox(all), Place::Toolbox(one)) => all.covers(one),
            (Place::Server(all), Place::Toolbox(_)) => *all == Pattern::Any,
            (Place::Toolbox(_), Place::Server(_)) => false,
        };
        place
            && match (&self.object, &other.object) {
                (Object::Whole, _) | (Object::Tool(Pattern::Any), Object::Label(_) | Object::Tag(_)) => true,
                (Object::Tool(all), Object::Tool(one))
                | (Object::Prompt(all), Object::Prompt(one))
                | (Object::Resource(all), Object::Resource(one)) => all.covers(one),
                // Prompts and resources are read, so a class other than that is one of tools.
                (Object::Tool(Pattern::Any), Object::Class(class)) => *class != Class::Read,
                (all, one) => all == one,
            }
    }

    /// Whether it concerns a tool of a server, whichever way it is reached.
    pub(crate) fn is_about(&self, server: &str, tool: &str, known: &Definition) -> bool {
        let here = match &self.place {
            Place::Server(pattern) => pattern.is(server),
            Place::Toolbox(_) => true,
        };
        here && match &self.object {
            Object::Whole => true,
            Object::Tool(pattern) => pattern.is(tool),
            Object::Class(class) => known.classes.contains(*class),
            Object::Label(label) => known.labels.contains(*label),
            Object::Tag(tag) => known.tags.iter().any(|of| **of == **tag),
            Object::Prompt(_) | Object::Resource(_) => false,
        }
    }

    pub(crate) fn is(&self, facts: &Facts<'_>) -> bool {
        let here = match &self.place {
            Place::Server(pattern) => pattern.is(facts.server.as_str()),
            Place::Toolbox(pattern) => facts.through.is_some_and(|through| pattern.is(through.as_str())),
        };
        here && match (&self.object, facts.target) {
            (Object::Whole, _) => true,
            (Object::Tool(pattern), Target::Tool(name))
            | (Object::Prompt(pattern), Target::Prompt(name))
            | (Object::Resource(pattern), Target::Resource(name)) => pattern.is(name),
            (Object::Class(class), _) => facts.risk().contains(*class),
            (Object::Label(label), Target::Tool(_)) => facts.labels.contains(*label),
            (Object::Tag(tag), Target::Tool(_)) => facts.tags.iter().any(|of| **of == **tag),
            _ => false,
        }
    }
}

impl Object {
    fn parse(text: &str) -> Result<Self, Misread> {
        let Some((kind, name)) = text.split_once(':') else { return Ok(Self::Tool(Pattern::parse(text))) };
        if name.is_empty() {
            return Err(Misread::new(format!("\"{text}\" ends where a name should stand")));
        }
        let unknown = |what: &str, words: &mut dyn Iterator<Item = &'static str>| {
            let words: Vec<_> = words.collect();
            Misread {
                message: format!("there is no {what} \"{name}\"; they are {}", words.join(", ")),
                nearest: nearest(name, words).map(|word| format!("{what}:{word}")),
            }
        };
        match kind {
            "tool" => Ok(Self::Tool(Pattern::parse(name))),
            "prompt" => Ok(Self::Prompt(Pattern::parse(name))),
            "resource" => Ok(Self::Resource(Pattern::parse(name))),
            "class" => Class::parse(name)
                .map(Self::Class)
                .ok_or_else(|| unknown("class", &mut Class::ALL.iter().map(|class| class.as_str()))),
            "label" => Label::parse(name)
                .map(Self::Label)
                .ok_or_else(|| unknown("label", &mut Label::ALL.iter().map(|label| label.as_str()))),
            "tag" if name.contains('*') => Err(Misread::new(format!("\"{text}\": a tag is named in full"))),
            "tag" => Ok(Self::Tag(name.into())),
            _ => Err(Misread {
                message: format!("\"{kind}\" is none of {}", OBJECTS.join(", ")),
                nearest: nearest(kind, OBJECTS.iter().copied()).map(Into::into),
            }),
        }
    }
}

/// The name of a server or toolbox.
fn name(text: &str) -> Result<Pattern, Misread> {
    let pattern = Pattern::parse(text);
    let named = match &pattern {
        Pattern::Any => Ok(()),
        Pattern::Exact(name) => ServerName::parse(name).map(drop),
        Pattern::Glob(parts) => {
            // A star may stand for nothing, so the parts together must be able to be a name.
            let joined = parts.concat();
            ServerName::parse(joined.strip_prefix('-').unwrap_or(&joined)).map(drop)
        }
    };
    named.map(|()| pattern).map_err(|error| Misread::new(error.to_string()))
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let everywhere = self.place == Place::Server(Pattern::Any);
        match &self.object {
            Object::Class(_) | Object::Label(_) | Object::Tag(_) if everywhere => {}
            object => {
                match &self.place {
                    Place::Server(pattern) => write!(f, "{pattern}")?,
                    Place::Toolbox(pattern) => write!(f, "toolbox:{pattern}")?,
                }
                if *object != Object::Whole {
                    f.write_str("/")?;
                }
            }
        }
        match &self.object {
            Object::Whole => Ok(()),
            Object::Tool(pattern) if pattern.to_string().contains(':') => write!(f, "tool:{pattern}"),
            Object::Tool(pattern) => write!(f, "{pattern}"),
            Object::Prompt(pattern) => write!(f, "prompt:{pattern}"),
            Object::Resource(pattern) => write!(f, "resource:{pattern}"),
            Object::Class(class) => write!(f, "class:{class}"),
            Object::Label(label) => write!(f, "label:{label}"),
            Object::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_they_are_read_or_refused_with_the_nearest() {
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
            "s/tool:a:b",
            "class:destructive",
            "s/class:write",
            "label:private_data",
            "prod-*/label:bulk",
            "tag:pci",
            "toolbox:daily",
            "toolbox:daily/delete_*",
            "toolbox:*/class:egress",
        ] {
            assert_eq!(What::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(What::parse("*/class:read").unwrap(), What::parse("class:read").unwrap());
        let resource = What::parse("s/resource:file:///a/*").unwrap();
        assert_eq!(resource.object, Object::Resource(Pattern::parse("file:///a/*")));
        for (text, nearest) in [
            ("sample/promt:x", Some("prompt")),
            ("class:destuctive", Some("class:destructive")),
            ("s/label:privat_data", Some("label:private_data")),
            ("clas:read", Some("class:read")),
            ("toolboks:daily", Some("toolbox:daily")),
            ("", None),
            ("Server", None),
            ("a_b/x", None),
            ("sample/", None),
            ("sample/prompt:", None),
            ("class:", None),
            ("tag:p*", None),
            ("a b", None),
        ] {
            assert_eq!(What::parse(text).unwrap_err().nearest.as_deref(), nearest, "{text}");
        }
    }
}
