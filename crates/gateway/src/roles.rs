//! What a person is at this gateway: owner, admin, auditor, member. By group, as the settings say; an account that was
//! made an administrator is one whatever its groups are.

use std::{collections::BTreeMap, sync::Arc};

use portcullis_store::{Person, PersonKind};

/// One role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May everything, and names the administrators. Whoever is one is an admin too.
    Owner,
    /// May change people, servers and settings.
    Admin,
    /// May read the record, arguments and results included.
    Auditor,
    /// May sign in and use what the rules allow. Whoever has no role at all may not.
    Member,
}

/// The roles of one person: a small value that is made once and copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

/// How far somebody may go behind the doors of administration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not at all.
    Member,
    /// May look.
    Auditor,
    /// May look and change.
    Administrator,
}

/// Which groups have which role.
#[derive(Clone, Debug, Default)]
pub struct Appointments(Vec<(Role, Arc<[Box<str>]>)>);

/// The names of every set of roles, in the order of its bits.
const NAMES: [&[&str]; 16] = [
    &[],
    &["owner"],
    &["admin"],
    &["owner", "admin"],
    &["auditor"],
    &["owner", "auditor"],
    &["admin", "auditor"],
    &["owner", "admin", "auditor"],
    &["member"],
    &["owner", "member"],
    &["admin", "member"],
    &["owner", "admin", "member"],
    &["auditor", "member"],
    &["owner", "auditor", "member"],
    &["admin", "auditor", "member"],
    &["owner", "admin", "auditor", "member"],
];

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Auditor, Self::Member];

    /// As it stands in settings and rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Owner => 0b0011,
            Self::Admin => 0b0010,
            Self::Auditor => 0b0100,
            Self::Member => 0b1000,
        }
    }
}

impl Roles {
    /// These roles and one more.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bits())
    }

    /// These roles and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether this role is among them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bits() == role.bits()
    }

    /// Their names, as rules have them.
    pub fn names(self) -> &'static [&'static str] {
        NAMES[usize::from(self.0 & 0b1111)]
    }

    /// Whether somebody with these roles may come in at all.
    pub const fn admit(self) -> bool {
        self.0 != 0
    }

    /// How far they lead behind the doors of administration.
    pub const fn standing(self) -> Standing {
        if self.has(Role::Admin) {
            Standing::Administrator
        } else if self.has(Role::Auditor) {
            Standing::Auditor
        } else {
            Standing::Member
        }
    }
}

impl Appointments {
    /// As the settings have them: groups by role. `*` is everybody.
    pub fn new(settings: &BTreeMap<String, Vec<String>>) -> Self {
        let groups = |role: Role| settings.get(role.as_str()).map(Vec::as_slice).unwrap_or_default();
        let of = |role| (role, groups(role).iter().map(|group| group.as_str().into()).collect());
        Self(Role::ALL.map(of).to_vec())
    }

    /// The roles of somebody in these groups.
    pub fn of(&self, groups: &[Arc<str>]) -> Roles {
        let holds = |named: &str| named == "*" || groups.iter().any(|group| &**group == named);
        let held = self.0.iter().filter(|(_, named)| named.iter().any(|named| holds(named)));
        held.fold(Roles::default(), |roles, (role, _)| roles.with(*role))
    }

    /// The roles of `person`: by group, and as an administrator if they were made one here.
    ///
    /// spec: T-95: a role comes from the settings, by the exact name of a group, never from a claim that names the role.
    pub fn of_person(&self, person: &Person) -> Roles {
        let groups: Vec<Arc<str>> = person.groups.iter().map(|group| group.as_str().into()).collect();
        let roles = self.of(&groups);
        if person.is_admin() { roles.with(Role::Admin) } else { roles }
    }

    /// Whether `person` may come in: with any role at all. A service account has an owner instead.
    pub fn admit(&self, person: &Person) -> bool {
        person.kind == PersonKind::Service || self.of_person(person).admit()
    }

    /// The groups that have `role`.
    pub fn groups_with(&self, role: Role) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| *of == role).flat_map(|(_, groups)| groups.iter().map(|group| &**group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_from_groups_and_an_owner_is_an_admin() {
        let settings = [("owner", "founders"), ("auditor", "security"), ("member", "*")];
        let settings = settings.map(|(role, group)| (role.to_owned(), vec![group.to_owned()])).into();
        let appointments = Appointments::new(&settings);
        let of = |groups: &[&str]| {
            let groups: Vec<Arc<str>> = groups.iter().map(|group| (*group).into()).collect();
            appointments.of(&groups)
        };
        assert_eq!(of(&[]).names(), ["member"]);
        assert_eq!(of(&["security"]).names(), ["auditor", "member"]);
        assert_eq!(of(&["founders", "x"]).names(), ["owner", "admin", "member"]);
        assert!(of(&["founders"]).has(Role::Admin) && !of(&["security"]).has(Role::Admin));
        assert!(!Roles::default().with(Role::Admin).has(Role::Owner));
        for role in Role::ALL {
            assert!(Roles::default().with(role).names().contains(&role.as_str()));
        }
    }

    // spec: T-95
    #[test]
    fn administration_is_open_to_exactly_the_groups_that_the_settings_name() {
        let settings = [("admin", "platform"), ("auditor", "security"), ("owner", "founders")];
        let settings = settings.map(|(role, group)| (role.to_owned(), vec![group.to_owned()])).into();
        let appointments = Appointments::new(&settings);
        let of = |groups: &[&str]| {
            let groups: Vec<Arc<str>> = groups.iter().map(|group| (*group).into()).collect();
            appointments.of(&groups).standing()
        };
        for group in ["platform", "founders"] {
            assert_eq!(of(&[group]), Standing::Administrator, "{group}");
        }
        assert_eq!(of(&["security"]), Standing::Auditor);
        assert_eq!(of(&["security", "platform"]), Standing::Administrator);
        for none in ["admin", "owner", "auditor", "Platform", "platform ", "platforms", "*"] {
            assert_eq!(of(&[none]), Standing::Member, "{none}");
        }
        assert_eq!(appointments.groups_with(Role::Admin).collect::<Vec<_>>(), ["platform"]);
    }
}
