//! Who is written to.

use std::sync::Arc;

use portcullis_policy::{Own, Somebody, approval::Approval};
use portcullis_store::{Person, PersonKind};

use crate::roles::Appointments;

/// The most people who are written to of one call.
const MOST: usize = 50;

/// Those who may decide `approval` and can be written to.
///
/// Where the word of whoever's call it is would do, only they are: others may look into the inbox, and need not be woken
/// for every call of everybody. spec: T-84
pub(super) fn of<'p>(approval: &Approval, people: &'p [Person], appointments: &Appointments) -> Vec<&'p Person> {
    let own_word_does = approval.demands.iter().all(|ask| ask.own == Own::Always && ask.quorum <= 1);
    let is_asked = |person: &&Person| {
        let roles = appointments.of_person(person);
        let groups: Vec<Arc<str>> = person.groups.iter().map(|group| group.as_str().into()).collect();
        let somebody = Somebody {
            person: &person.id,
            name: &person.name,
            kind: portcullis_policy::Kind::Person,
            groups: &groups,
            roles: roles.names(),
            client: None,
        };
        roles.admit() && approval.demands.iter().any(|ask| ask.is_approver(&somebody, &approval.person))
    };
    let reachable = |person: &&Person| {
        person.kind == PersonKind::Person
            && person.is_active()
            && person.email.as_deref().is_some_and(|to| !to.is_empty())
    };
    let alone = |person: &&Person| !own_word_does || person.id == approval.person;
    let asked = |people: &mut dyn Iterator<Item = &'p Person>| {
        people.filter(reachable).filter(is_asked).take(MOST).collect::<Vec<_>>()
    };
    let first = asked(&mut people.iter().filter(alone));
    // Somebody without an address, or a machine: then others have to hear of it.
    if first.is_empty() { asked(&mut people.iter()) } else { first }
}
