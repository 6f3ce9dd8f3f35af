use std::collections::BTreeSet;

use portcullis_base::PersonId;
use portcullis_store::{ChangeKind, LinkBy, Members, NewScimGroup, Paging, ScimGroup, ScimGroupLookup, ScimWrite};

use crate::{
    given::{Given, MINUTE, NOW, PROVIDER, after, directory_user, groups},
    on_both,
};

on_both!(
    members_have_the_group_as_long_as_they_are_in_it,
    group_with_a_stranger_is_not_stored,
    groups_have_one_name_per_directory,
    groups_are_listed_with_and_without_members,
);

fn ids(members: &[&str]) -> BTreeSet<String> {
    members.iter().map(|id| (*id).to_owned()).collect()
}

fn group<'a>(id: &'a str, display_name: &'a str, members: &'a BTreeSet<String>) -> NewScimGroup<'a> {
    NewScimGroup { id, provider: PROVIDER, display_name, external_id: None, members }
}

impl Given {
    pub async fn directory_group(&self, id: &str, name: &str, members: &[&str]) -> ScimGroup {
        match self.create_scim_group(&group(id, name, &ids(members)), NOW).await.unwrap() {
            ScimWrite::Done(group) => group,
            other => panic!("{other:?}"),
        }
    }

    async fn users(&self, names: &[&str]) {
        for name in names {
            let (id, person) = (format!("scu_{name}"), PersonId::new(format!("usr_{name}")));
            let user = directory_user(&id, name);
            self.create_scim_user(&user, LinkBy::Nothing, &person, NOW).await.unwrap();
        }
    }

    async fn groups_of_person(&self, name: &str) -> Vec<String> {
        self.store.person(&PersonId::new(format!("usr_{name}"))).await.unwrap().unwrap().groups
    }
}

async fn members_have_the_group_as_long_as_they_are_in_it(given: &Given) {
    given.users(&["ada", "bob"]).await;
    let made = given.directory_group("scg_1", "platform team", &["scu_ada", "scu_bob"]).await;
    assert_eq!((made.version, made.members.len()), (1, 2));
    assert_eq!((made.members[0].id.as_str(), made.members[0].user_name.as_str()), ("scu_ada", "ada"));
    assert_eq!(given.groups_of_person("ada").await, groups(&["platform team"]));
    let user = given.scim_user(PROVIDER, "scu_ada").await.unwrap().unwrap();
    assert_eq!((user.version, user.groups), (2, vec![("scg_1".to_owned(), "platform team".to_owned())]));

    let seen = given.revision().await.unwrap();
    let only_bob = ids(&["scu_bob"]);
    let change = given.change_scim_group(&group("scg_1", "platform team", &only_bob), 1, after(MINUTE)).await.unwrap();
    assert!(matches!(&change, ScimWrite::Done(group) if group.version == 2 && group.members.len() == 1), "{change:?}");
    assert!(given.groups_of_person("ada").await.is_empty());
    assert_eq!(given.changes_since(seen).await.unwrap()[0].kind, ChangeKind::Person);
    assert_eq!(given.scim_user(PROVIDER, "scu_ada").await.unwrap().unwrap().version, 3, "it looks different");
    assert_eq!(given.scim_user(PROVIDER, "scu_bob").await.unwrap().unwrap().version, 2, "it does not");

    let stale = given.change_scim_group(&group("scg_1", "x", &only_bob), 1, NOW).await.unwrap();
    assert_eq!(stale, ScimWrite::Stale);
    given.change_scim_group(&group("scg_1", "operators", &only_bob), 2, NOW).await.unwrap();
    assert_eq!(given.groups_of_person("bob").await, groups(&["operators"]));

    let seen = given.revision().await.unwrap();
    assert_eq!(given.delete_scim_group(PROVIDER, "scg_1", 1, NOW).await.unwrap(), ScimWrite::Stale);
    assert_eq!(given.delete_scim_group("other", "scg_1", 3, NOW).await.unwrap(), ScimWrite::Missing);
    assert!(matches!(given.delete_scim_group(PROVIDER, "scg_1", 3, NOW).await.unwrap(), ScimWrite::Done(_)));
    assert!(given.groups_of_person("bob").await.is_empty() && given.revision().await.unwrap() > seen);
}

async fn group_with_a_stranger_is_not_stored(given: &Given) {
    given.users(&["ada"]).await;
    let with_stranger = ids(&["scu_ada", "scu_nobody"]);
    let no = ScimWrite::NoSuchMember("scu_nobody".into());
    assert_eq!(given.create_scim_group(&group("scg_1", "x", &with_stranger), NOW).await.unwrap(), no);
    assert_eq!(given.scim_group(PROVIDER, "scg_1", Members::Read).await.unwrap(), None);
    given.directory_group("scg_2", "y", &[]).await;
    assert_eq!(given.change_scim_group(&group("scg_2", "y", &with_stranger), 1, NOW).await.unwrap(), no);
    assert!(given.groups_of_person("ada").await.is_empty(), "nothing was half done");
    // Another directory's user is a stranger too, and so is one who was deleted.
    let ada = ids(&["scu_ada"]);
    let other = NewScimGroup { provider: "other", ..group("scg_3", "z", &ada) };
    assert_eq!(given.create_scim_group(&other, NOW).await.unwrap(), ScimWrite::NoSuchMember("scu_ada".into()));
    given.delete_scim_user(PROVIDER, "scu_ada", 1, NOW).await.unwrap();
    let gone = given.create_scim_group(&group("scg_4", "z", &ada), NOW).await.unwrap();
    assert_eq!(gone, ScimWrite::NoSuchMember("scu_ada".into()));
}

async fn groups_have_one_name_per_directory(given: &Given) {
    given.directory_group("scg_1", "Plattform Österreich", &[]).await;
    let none = BTreeSet::new();
    let twin = group("scg_2", "PLATTFORM ÖSTERREICH", &none);
    assert_eq!(given.create_scim_group(&twin, NOW).await.unwrap(), ScimWrite::Taken);
    let elsewhere = NewScimGroup { provider: "other", ..twin };
    assert!(matches!(given.create_scim_group(&elsewhere, NOW).await.unwrap(), ScimWrite::Done(_)));
    given.directory_group("scg_3", "x", &[]).await;
    let rename = NewScimGroup { id: "scg_3", ..twin };
    assert_eq!(given.change_scim_group(&rename, 1, NOW).await.unwrap(), ScimWrite::Taken);
    let own = group("scg_1", "plattform österreich", &none);
    assert!(matches!(given.change_scim_group(&own, 1, NOW).await.unwrap(), ScimWrite::Done(_)));
}

async fn groups_are_listed_with_and_without_members(given: &Given) {
    given.users(&["ada", "bob"]).await;
    for n in 0..4 {
        given.directory_group(&format!("scg_{n}"), &format!("group {n}"), &["scu_ada", "scu_bob"]).await;
    }
    let list = async |which, paging, members| given.scim_groups(PROVIDER, which, paging, members).await.unwrap();
    let part = list(ScimGroupLookup::All, Paging { skip: 1, take: 2 }, Members::Read).await;
    assert_eq!((part.total, part.items.len(), part.items[0].id.as_str()), (4, 2, "scg_1"));
    assert_eq!(part.items[0].members.len(), 2);
    let bare = list(ScimGroupLookup::DisplayName("GROUP 3"), Paging::WHOLE, Members::Skipped).await;
    assert_eq!((bare.total, bare.items[0].id.as_str(), bare.items[0].members.len()), (1, "scg_3", 0));
    assert_eq!(list(ScimGroupLookup::ExternalId("x"), Paging::WHOLE, Members::Read).await.total, 0);
}
