//! Who may see a server at all, and what of it they may use without being asked: the `access` list of its settings.

use std::sync::Arc;

use portcullis_base::{AccessGrantId, Class, Classes, PersonId, Timestamp};

use crate::{nearest::nearest, request::Target, rule::Effect, source::Misread, who::Guest};

/// The access list of one server. Empty: nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its entries; what any of them gives somebody, they have.
    pub entries: Vec<AccessEntry>,
    /// What single people were given besides, for a while.
    pub rights: Vec<Right>,
}

/// What one person was given for a while: an entry of their own, which ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Which grant it is.
    pub id: AccessGrantId,
    /// Whose.
    pub person: PersonId,
    /// Classes that are allowed.
    pub classes: Classes,
    /// The only tool that they are allowed of.
    pub tool: Option<Arc<str>>,
    /// How they came by it.
    pub origin: Origin,
    /// Until when.
    pub ends_at: Timestamp,
}

/// How somebody came by a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They asked for it, and somebody else agreed.
    Request,
    /// They took it in an emergency.
    BreakGlass,
}

/// One entry: a group, the classes of calls that it may make, and those that it must ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEntry {
    /// The group; `*` is everybody who is signed in.
    pub group: Arc<str>,
    /// Classes that are allowed.
    pub allow: Classes,
    /// Classes that wait for a human. What is in neither is denied.
    pub ask: Classes,
}

impl AccessEntry {
    /// What an entry means that only names a group: reading is allowed, everything else asks.
    pub fn safe(group: impl Into<Arc<str>>) -> Self {
        let read = Class::Read.into();
        Self { group: group.into(), allow: read, ask: every().without(Class::Read) }
    }

    /// What an entry means that names classes: what is in neither list is denied. Naming neither is [`Self::safe`].
    pub fn of(group: impl Into<Arc<str>>, allow: Option<Classes>, ask: Option<Classes>) -> Self {
        if allow.is_none() && ask.is_none() {
            return Self::safe(group);
        }
        Self { group: group.into(), allow: allow.unwrap_or_default(), ask: ask.unwrap_or_default() }
    }

    /// Reads one word of a list of classes; `*` is every class.
    pub fn classes(word: &str) -> Result<Classes, Misread> {
        if word == "*" {
            return Ok(every());
        }
        let words = || Class::ALL.iter().map(|class| class.as_str());
        Class::parse(word).map(Classes::from).ok_or_else(|| Misread {
            message: format!(
                "there is no class \"{}\"; they are {}, and \"*\" for all",
                portcullis_base::printable(word, 32),
                words().collect::<Vec<_>>().join(", ")
            ),
            nearest: nearest(word, words()).map(Into::into),
        })
    }

    /// Everything is allowed.
    pub fn open(group: impl Into<Arc<str>>) -> Self {
        Self { group: group.into(), allow: every(), ask: Classes::NONE }
    }
}

/// What `*` stands for in a list of classes.
fn every() -> Classes {
    Class::ALL.iter().copied().collect()
}

/// The safe default for everybody.
impl Default for Access {
    fn default() -> Self {
        Self::of(vec![AccessEntry::safe("*")])
    }
}

impl Access {
    /// A list with these entries, as the settings have them.
    pub fn of(entries: Vec<AccessEntry>) -> Self {
        Self { entries, rights: Vec::new() }
    }

    /// Everybody, everything.
    pub fn open() -> Self {
        Self::of(vec![AccessEntry::open("*")])
    }

    /// Whether `guest` may see the server.
    pub fn admits(&self, guest: Guest<'_>) -> bool {
        self.entries_of(guest.groups).next().is_some() || self.rights_of(guest).next().is_some()
    }

    /// Whether it allows `guest` everything, whatever its class.
    pub fn is_open(&self, guest: Guest<'_>) -> bool {
        self.effect(guest, Target::None, every()) == Effect::Allow
    }

    /// Whether it denies something to somebody whom it lets in.
    pub fn denies(&self) -> bool {
        // Whoever has a right need not be in any entry, and may have no more than that.
        !self.rights.is_empty() || self.entries.iter().any(|entry| !every().is_within(entry.allow.or(entry.ask)))
    }

    /// What the list says about `guest` who wants something of these `classes`, the strongest answer over all of them. Of
    /// what has no class, the answer is that of being on the list at all.
    pub fn effect(&self, guest: Guest<'_>, target: Target<'_>, classes: Classes) -> Effect {
        let (mut allow, mut ask, mut admitted) = (Classes::NONE, Classes::NONE, false);
        for entry in self.entries_of(guest.groups) {
            allow = allow.or(entry.allow);
            ask = ask.or(entry.ask);
            admitted = true;
        }
        for right in self.rights_of(guest) {
            // Whoever may use one tool may find it, and so be in here; of everything else they have no class.
            if right.tool.as_deref().is_none_or(|tool| target == Target::Tool(tool)) {
                allow = allow.or(right.classes);
            }
            admitted = true;
        }
        if !admitted {
            Effect::Deny
        } else if classes.is_within(allow) {
            Effect::Allow
        } else if classes.is_within(allow.or(ask)) {
            Effect::Ask
        } else {
            Effect::Deny
        }
    }

    /// What `guest` was given besides, and still has.
    pub fn rights_of<'a>(&'a self, guest: Guest<'a>) -> impl Iterator<Item = &'a Right> {
        self.rights.iter().filter(move |right| right.person == *guest.person && guest.now < right.ends_at)
    }

    fn entries_of(&self, groups: &[Arc<str>]) -> impl Iterator<Item = &AccessEntry> {
        self.entries.iter().filter(|entry| &*entry.group == "*" || groups.contains(&entry.group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Classes {
        words.iter().fold(Classes::NONE, |all, word| all.or(AccessEntry::classes(word).unwrap()))
    }

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn effect(access: &Access, groups: &[Arc<str>], classes: Classes) -> Effect {
        let person = PersonId::new("usr_1");
        access.effect(Guest { person: &person, groups, now: NOW }, Target::Tool("x"), classes)
    }

    #[test]
    fn entries_give_what_they_name_and_the_strongest_answer_over_all_classes_counts() {
        let entry =
            |group: &str, allow: &[&str], ask: &[&str]| AccessEntry::of(group, Some(list(allow)), Some(list(ask)));
        let access =
            Access::of(vec![entry("*", &["read"], &["write"]), entry("ops", &["write", "execute"], &["destructive"])]);
        let (ops, other) = (&["ops".into()][..], &[][..]);
        for (classes, to_ops, to_others) in [
            (&["read"][..], Effect::Allow, Effect::Allow),
            (&["write"], Effect::Allow, Effect::Ask),
            (&["read", "write"], Effect::Allow, Effect::Ask),
            (&["execute", "destructive"], Effect::Ask, Effect::Deny),
            (&["write", "financial"], Effect::Deny, Effect::Deny),
            (&["unknown"], Effect::Deny, Effect::Deny),
            (&[], Effect::Allow, Effect::Allow),
        ] {
            assert_eq!(effect(&access, ops, list(classes)), to_ops, "{classes:?}");
            assert_eq!(effect(&access, other, list(classes)), to_others, "{classes:?}");
        }
        let nobody = Access::of(vec![AccessEntry::open("ops")]);
        let guest = Guest { person: &PersonId::new("usr_1"), groups: other, now: NOW };
        assert_eq!((effect(&nobody, other, Classes::NONE), nobody.admits(guest)), (Effect::Deny, false));
    }

    #[test]
    fn safe_default_reads_and_asks_for_everything_else() {
        let safe = Access::default();
        for class in Class::ALL {
            let expected = if *class == Class::Read { Effect::Allow } else { Effect::Ask };
            assert_eq!(effect(&safe, &[], Classes::from(*class).with(Class::Read)), expected, "{class}");
            assert_eq!(effect(&Access::open(), &[], Classes::from(*class)), Effect::Allow);
        }
        assert_eq!(AccessEntry::of("g", None, None), AccessEntry::safe("g"));
        assert!(!safe.denies() && !Access::open().denies());
        assert!(Access::of(vec![AccessEntry::of("g", Some(list(&["read"])), None)]).denies());
        assert_eq!(AccessEntry::classes("destuctive").unwrap_err().nearest.as_deref(), Some("destructive"));
    }

    fn right(person: &str, classes: &[&str], tool: Option<&str>) -> Right {
        Right {
            id: AccessGrantId::new("acg_1"),
            person: PersonId::new(person),
            classes: list(classes),
            tool: tool.map(Into::into),
            origin: Origin::Request,
            ends_at: NOW,
        }
    }

    /// spec: T-53
    #[test]
    fn right_is_one_persons_and_is_over_when_its_time_is() {
        let access = Access {
            rights: vec![right("usr_1", &["read", "write"], None)],
            ..Access::of(vec![AccessEntry::safe("ops")])
        };
        let before = Timestamp::from_millis(NOW.as_millis() - 1);
        let answer = |person: &str, groups: &[Arc<str>], now, class: &str| {
            let person = PersonId::new(person);
            let guest = Guest { person: &person, groups, now };
            (access.admits(guest), access.effect(guest, Target::Tool("x"), list(&[class])))
        };
        assert_eq!(answer("usr_1", &[], before, "write"), (true, Effect::Allow));
        assert_eq!(answer("usr_1", &[], before, "financial"), (true, Effect::Deny));
        assert_eq!(answer("usr_1", &["ops".into()], before, "financial"), (true, Effect::Ask), "as the entry says");
        assert_eq!(answer("usr_1", &["ops".into()], before, "write"), (true, Effect::Allow), "the better of both");
        assert_eq!(answer("usr_1", &[], NOW, "read"), (false, Effect::Deny));
        assert_eq!(answer("usr_1", &["ops".into()], NOW, "write"), (true, Effect::Ask));
        assert_eq!(answer("usr_2", &[], before, "read"), (false, Effect::Deny));
        assert!(access.denies() && !Access::of(vec![AccessEntry::safe("ops")]).denies());
    }

    #[test]
    fn right_to_one_tool_is_to_no_other_and_not_to_what_the_tool_becomes() {
        let access = Access { rights: vec![right("usr_1", &["write"], Some("send"))], ..Access::of(Vec::new()) };
        let person = PersonId::new("usr_1");
        let guest = Guest { person: &person, groups: &[], now: Timestamp::from_secs(1) };
        let effect = |target, class: &str| access.effect(guest, target, list(&[class]));
        assert_eq!(effect(Target::Tool("send"), "write"), Effect::Allow);
        assert_eq!(effect(Target::Tool("send"), "destructive"), Effect::Deny);
        for other in [Target::Tool("sendall"), Target::Prompt("send"), Target::Resource("send")] {
            assert_eq!(effect(other, "write"), Effect::Deny);
        }
        assert_eq!(access.effect(guest, Target::None, Classes::NONE), Effect::Allow, "lists and handshakes");
        assert!(access.admits(guest) && !access.is_open(guest));
    }
}
