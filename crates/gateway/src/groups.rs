//! Which groups there are: those that people have, and those that rules, roles and servers speak of.
//!
//! A group that is spoken of and that nobody has is stale: mistyped, or renamed at the provider. Nobody is let in by it,
//! but what it was meant to allow or forbid no longer happens, so it is told at every start.

use std::collections::BTreeMap;

use portcullis_policy::Bundle;
use portcullis_store::Person;

use crate::config::{Config, Server};

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name, as it is compared.
    pub name: String,
    /// How many active people have it.
    pub members: usize,
    /// Whether this gateway gave it to anybody.
    pub given_here: bool,
    /// Whether a provider or a directory told of it.
    pub told: bool,
    /// Who speaks of it: `portcullis.yaml:12 (rule contractors-stay-out)`, `roles.admin`, `server tickets`.
    pub named_by: Vec<String>,
}

impl Group {
    /// Whether it is spoken of and nobody has it.
    pub fn is_stale(&self) -> bool {
        !self.named_by.is_empty() && self.members == 0 && !self.given_here && !self.told
    }
}

/// All groups by name. `told` are those that directories know, members or not; `servers` those of the database.
pub fn survey(config: &Config, bundle: &Bundle, servers: &[Server], people: &[Person], told: &[String]) -> Vec<Group> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for person in people {
        for name in &person.groups {
            let group = groups.entry(name).or_default();
            group.members += usize::from(person.is_active());
            if person.local_groups.contains(name) {
                group.given_here = true;
            } else {
                group.told = true;
            }
        }
    }
    for name in told {
        let group = groups.entry(name).or_default();
        group.told |= !group.given_here;
    }
    for mention in bundle.groups() {
        let place = format!("{}:{} (rule {})", mention.file, mention.line, mention.rule);
        groups.entry(&mention.name).or_default().named_by.push(place);
    }
    for (role, names) in &config.roles {
        for name in names {
            groups.entry(name).or_default().named_by.push(format!("roles.{role}"));
        }
    }
    for server in config.servers.iter().chain(servers) {
        for entry in &server.access.entries {
            groups.entry(&entry.group).or_default().named_by.push(format!("server {}", server.name));
        }
    }
    for toolbox in &config.toolboxes {
        for entry in &toolbox.access.entries {
            groups.entry(&entry.group).or_default().named_by.push(format!("toolbox {}", toolbox.name));
        }
    }
    groups.remove("*");
    groups.into_iter().map(|(name, group)| Group { name: name.to_owned(), ..group }).collect()
}

#[cfg(test)]
mod tests {
    use portcullis_base::{PersonId, Timestamp};
    use portcullis_policy::Source;
    use portcullis_store::PersonKind;

    use super::*;
    use crate::config::Sources;

    fn person(groups: &[&str], local: &[&str], disabled_at: Option<Timestamp>) -> Person {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Person {
            id: PersonId::new("usr_1"),
            kind: PersonKind::Person,
            owner: None,
            name: "ana".into(),
            display_name: "ana".into(),
            email: None,
            groups: owned(groups),
            local_groups: owned(local),
            admin_at: None,
            disabled_at,
            created_at: Timestamp::from_secs(0),
        }
    }

    #[test]
    fn group_that_is_named_and_that_nobody_has_is_stale() {
        let text = "roles: { admin: [platfrom], member: [\"*\"] }\nservers: [{ name: a, url: https://a.example/mcp, access: [group:support, group:new] }]\n";
        let sources = Sources { file: Some(("p.yaml".into(), text.into())), ..Sources::default() };
        let config = Config::load(&sources).unwrap_or_else(|problems| panic!("{problems}")).config;
        let rules = "- rule: out\n  who: [group:contractors]\n  what: [\"*\"]\n  then: deny\n";
        let bundle = Bundle::load(&[Source { name: "p.yaml", text: rules }]).expect("rules");
        let gone = Some(Timestamp::from_secs(1));
        let people = [person(&["sales", "support"], &["sales"], None), person(&["former"], &[], gone)];
        let groups = survey(&config, &bundle, &[], &people, &["new".to_owned()]);
        let names = |chosen: &dyn Fn(&Group) -> bool| {
            let chosen = groups.iter().filter(|group| chosen(group));
            chosen.map(|group| group.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(names(&|_| true), ["contractors", "former", "new", "platfrom", "sales", "support"]);
        assert_eq!(names(&Group::is_stale), ["contractors", "platfrom"]);
        assert_eq!(names(&|group| group.given_here), ["sales"]);
        assert_eq!(names(&|group| group.told), ["former", "new", "support"]);
        let contractors = groups.iter().find(|group| group.name == "contractors").expect("named");
        assert_eq!(contractors.named_by, ["p.yaml:2 (rule out)"]);
        let support = groups.iter().find(|group| group.name == "support").expect("there");
        assert_eq!((support.members, support.named_by.as_slice()), (1, ["server a".to_owned()].as_slice()));
    }
}
