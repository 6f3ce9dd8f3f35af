use portcullis_base::PersonId;
use portcullis_store::{
    ChangeKind, Extent, LinkBy, NewScimUser, Paging, ProviderSignIn, ScimState, ScimUser, ScimUserLookup, ScimWrite,
    SignedIn,
};

use crate::{
    given::{DAY, Given, MINUTE, NOW, PROVIDER, after, at_provider, directory_user, groups},
    on_both,
};

on_both!(
    announced_user_is_a_person_without_a_password,
    user_names_are_unique_per_directory_without_regard_to_case,
    change_of_an_old_version_changes_nothing,
    reactivated_person_is_let_in_and_one_ended_here_is_not,
    deleted_user_is_found_again_by_external_id_only,
    person_who_was_here_first_is_recognised_as_the_settings_say,
    users_are_listed_in_parts,
    changes_at_once_are_made_one_after_the_other,
);

fn done<T>(write: ScimWrite<T>) -> T {
    match write {
        ScimWrite::Done(value) => value,
        ScimWrite::Missing | ScimWrite::Stale | ScimWrite::Taken | ScimWrite::NoSuchMember(_) => panic!("not stored"),
    }
}

impl Given {
    async fn announced(&self, id: &str, name: &str) -> ScimUser {
        let person = PersonId::new(format!("usr_{name}"));
        let new = directory_user(id, name);
        done(self.create_scim_user(&new, LinkBy::Nothing, &person, NOW).await.unwrap())
    }

    async fn active(&self, id: &PersonId) -> bool {
        self.store.person(id).await.unwrap().unwrap().is_active()
    }
}

async fn announced_user_is_a_person_without_a_password(given: &Given) {
    let new = NewScimUser {
        external_id: Some("ext"),
        email: Some("Ada@example.com"),
        display_name: "Ada L.",
        attributes: "{\"title\":\"ü\"}",
        ..directory_user("scu_1", "Ada@example.com")
    };
    let seen = given.revision().await.unwrap();
    let user = done(given.create_scim_user(&new, LinkBy::Nothing, &PersonId::new("usr_1"), NOW).await.unwrap());
    assert_eq!((user.version, user.created_at, user.is_active()), (1, NOW, true));
    assert_eq!((user.external_id.as_deref(), user.attributes.as_str()), (Some("ext"), "{\"title\":\"ü\"}"));
    let (person, password) = given.person_by_name("ada@EXAMPLE.com").await.unwrap().unwrap();
    assert_eq!((person.id.as_str(), person.name.as_str(), password), ("usr_1", "Ada@example.com", None));
    assert_eq!((person.display_name.as_str(), person.email.as_deref()), ("Ada L.", Some("Ada@example.com")));
    assert!(given.changes_since(seen).await.unwrap().iter().all(|change| change.kind == ChangeKind::Person));

    let inactive = NewScimUser { state: ScimState::Inactive, ..directory_user("scu_2", "bob") };
    let user = done(given.create_scim_user(&inactive, LinkBy::Nothing, &PersonId::new("usr_2"), NOW).await.unwrap());
    assert!(!user.is_active() && !given.active(&user.person).await);

    let changed = NewScimUser { display_name: "Ada K.", email: None, ..NewScimUser { user_name: "ada.k", ..new } };
    let user = done(given.change_scim_user(&changed, 1, after(MINUTE)).await.unwrap());
    assert_eq!((user.version, user.changed_at, user.user_name.as_str()), (2, after(MINUTE), "ada.k"));
    let person = given.store.person(&user.person).await.unwrap().unwrap();
    assert_eq!((person.name.as_str(), person.display_name.as_str(), person.email), ("ada.k", "Ada K.", None));
    // What a sign-in says of a name is not heard against the directory.
    let names = groups(&["x"]);
    given.announce("scu_3", "eve", Some("e"), &given.person("local eve").await.id).await;
    let sign_in =
        ProviderSignIn { external_id: Some("ext"), link: LinkBy::ExternalId, ..at_provider("a", &person.id, &names) };
    let SignedIn::Linked(linked) = given.sign_in_identity(&sign_in, NOW).await.unwrap() else { panic!("not linked") };
    assert_eq!(linked.display_name, "Ada K.");
}

async fn user_names_are_unique_per_directory_without_regard_to_case(given: &Given) {
    let local = given.person("zoë").await;
    let first = given.announced("scu_1", "Zoë").await;
    assert_ne!(first.person, local.id, "an account of the same name is not taken over");
    assert_eq!(given.store.person(&first.person).await.unwrap().unwrap().name, "Zoë-2");
    let twin = directory_user("scu_2", "ZOË");
    let write = given.create_scim_user(&twin, LinkBy::Nothing, &PersonId::new("usr_2"), NOW).await.unwrap();
    assert_eq!(write, ScimWrite::Taken);
    let elsewhere = NewScimUser { provider: "other", ..twin };
    done(given.create_scim_user(&elsewhere, LinkBy::Nothing, &PersonId::new("usr_3"), NOW).await.unwrap());
    let second = given.announced("scu_4", "ada").await;
    let rename = NewScimUser { user_name: "zoË", ..directory_user("scu_4", "") };
    assert_eq!(given.change_scim_user(&rename, second.version, NOW).await.unwrap(), ScimWrite::Taken);
    let own = NewScimUser { user_name: "ADA", ..rename };
    assert_eq!(done(given.change_scim_user(&own, second.version, NOW).await.unwrap()).user_name, "ADA");
    assert_eq!(given.store.person(&second.person).await.unwrap().unwrap().name, "ADA");
}

/// spec: RFC7644#3.14
async fn change_of_an_old_version_changes_nothing(given: &Given) {
    let user = given.announced("scu_1", "ada").await;
    let change = NewScimUser { display_name: "Ada", ..directory_user("scu_1", "ada") };
    assert_eq!(done(given.change_scim_user(&change, 1, NOW).await.unwrap()).version, 2);
    let late = NewScimUser { display_name: "Late", ..change };
    assert_eq!(given.change_scim_user(&late, 1, NOW).await.unwrap(), ScimWrite::Stale);
    assert_eq!(given.delete_scim_user(PROVIDER, "scu_1", 1, NOW).await.unwrap(), ScimWrite::Stale);
    let other = NewScimUser { provider: "other", ..late };
    assert_eq!(given.change_scim_user(&other, 2, NOW).await.unwrap(), ScimWrite::Missing);
    assert_eq!(given.delete_scim_user("other", "scu_1", 2, NOW).await.unwrap(), ScimWrite::Missing);
    assert_eq!(given.scim_user("other", "scu_1").await.unwrap(), None);
    assert_eq!(given.store.person(&user.person).await.unwrap().unwrap().display_name, "Ada");
}

/// spec: T-53
async fn reactivated_person_is_let_in_and_one_ended_here_is_not(given: &Given) {
    let user = given.announced("scu_1", "ada").await;
    let active = directory_user("scu_1", "ada");
    let inactive = NewScimUser { state: ScimState::Inactive, ..active };
    given.store.offboard(&user.person, Extent::Account, NOW).await.unwrap();
    let user = done(given.change_scim_user(&inactive, user.version, NOW).await.unwrap());
    assert!(user.deactivated_at.is_some() && !user.is_active());
    let user = done(given.change_scim_user(&active, user.version, NOW).await.unwrap());
    assert!(user.is_active() && given.active(&user.person).await);

    given.store.offboard(&user.person, Extent::Account, NOW).await.unwrap();
    let user = done(given.change_scim_user(&active, user.version, NOW).await.unwrap());
    assert!(!user.is_active() && user.deactivated_at.is_none(), "the directory never said otherwise");
    assert!(!given.active(&user.person).await);
}

/// spec: T-52
async fn deleted_user_is_found_again_by_external_id_only(given: &Given) {
    let with = |id, name, external_id| NewScimUser { external_id: Some(external_id), ..directory_user(id, name) };
    let spare = PersonId::new("usr_spare");
    let new = async |user: &NewScimUser<'_>, person: &PersonId, at| {
        done(given.create_scim_user(user, LinkBy::ExternalId, person, at).await.unwrap())
    };
    let first = new(&with("scu_1", "ada", "ext-1"), &PersonId::new("usr_1"), NOW).await;
    given.directory_group("scg_1", "platform", &["scu_1"]).await;
    let version = given.scim_user(PROVIDER, "scu_1").await.unwrap().unwrap().version;
    given.store.offboard(&first.person, Extent::Account, NOW).await.unwrap();
    let seen = given.revision().await.unwrap();
    assert_eq!(
        given.delete_scim_user(PROVIDER, "scu_1", version, NOW).await.unwrap(),
        ScimWrite::Done(first.person.clone())
    );
    assert!(given.revision().await.unwrap() > seen);
    assert_eq!(given.scim_user(PROVIDER, "scu_1").await.unwrap(), None);
    let all = given.scim_users(PROVIDER, ScimUserLookup::All, Paging::WHOLE).await.unwrap();
    assert_eq!((all.total, all.items.len()), (0, 0));

    let reused = new(&with("scu_2", "ada", "ext-2"), &PersonId::new("usr_2"), after(MINUTE)).await;
    assert_eq!(reused.person.as_str(), "usr_2", "the name alone is nobody's");
    let back = new(&with("scu_3", "ada2", "ext-1"), &spare, after(MINUTE)).await;
    assert_eq!((&back.person, back.is_active(), back.groups.len()), (&first.person, true, 0));

    // Who was disabled here after that stays so, whatever the directory does.
    let version = back.version;
    given.store.offboard(&back.person, Extent::Account, after(MINUTE)).await.unwrap();
    given.delete_scim_user(PROVIDER, "scu_3", version, after(MINUTE)).await.unwrap();
    given.enable_person(&back.person, after(MINUTE)).await.unwrap();
    given.disable_person(&back.person, after(2 * MINUTE)).await.unwrap();
    let back = new(&with("scu_4", "ada3", "ext-1"), &spare, after(3 * MINUTE)).await;
    assert_eq!((&back.person, back.is_active()), (&first.person, false));
    // One who is forgotten altogether is somebody new.
    let version = back.version;
    given.delete_scim_user(PROVIDER, "scu_4", version, after(3 * MINUTE)).await.unwrap();
    given.purge(after(500 * DAY)).await.unwrap();
    let new_one = new(&with("scu_5", "ada3", "ext-1"), &spare, after(500 * DAY)).await;
    assert_eq!(new_one.person, spare);
}

/// spec: T-52
async fn person_who_was_here_first_is_recognised_as_the_settings_say(given: &Given) {
    let names = groups(&["ada"]);
    let mut people = Vec::new();
    for (subject, external, email) in
        [("s1", "ext-1", "ada@example.com"), ("s2", "ext-2", "two@example.com"), ("s3", "ext-3", "TWO@example.com")]
    {
        let id = PersonId::new(format!("usr_{subject}"));
        let sign_in =
            ProviderSignIn { external_id: Some(external), email: Some(email), ..at_provider(subject, &id, &names) };
        given.sign_in_identity(&sign_in, NOW).await.unwrap();
        people.push(id);
    }
    let mut n = 0;
    let mut announce = async |external: &str, email: &str, link, provider| {
        n += 1;
        let (id, person, name) = (format!("scu_{n}"), PersonId::new(format!("usr_new{n}")), format!("user{n}"));
        let named = directory_user(&id, &name);
        let new = NewScimUser { provider, external_id: Some(external), email: Some(email), ..named };
        (done(given.create_scim_user(&new, link, &person, NOW).await.unwrap()).person, person)
    };
    for (external, email, link, provider) in [
        ("ext-1", "ada@example.com", LinkBy::Nothing, PROVIDER),
        ("ext-1", "ada@example.com", LinkBy::ExternalId, "other"),
        ("ext-9", "ada@example.com", LinkBy::ExternalId, PROVIDER),
        ("ext-1", "two@example.com", LinkBy::VerifiedEmail, PROVIDER),
    ] {
        let (found, new) = announce(external, email, link, provider).await;
        assert_eq!(found, new, "{external} {email} {link:?} {provider}");
    }
    assert_eq!(announce("ext-9", "ADA@example.com", LinkBy::VerifiedEmail, PROVIDER).await.0, people[0]);
    assert_eq!(announce("ext-2", "x@example.com", LinkBy::ExternalId, PROVIDER).await.0, people[1]);
    let (found, new) = announce("ext-2", "x@example.com", LinkBy::ExternalId, PROVIDER).await;
    assert_eq!(found, new, "she is announced already");
}

async fn users_are_listed_in_parts(given: &Given) {
    for n in 0..7 {
        given.announced(&format!("scu_{n}"), &format!("user{n}")).await;
    }
    let other = NewScimUser { provider: "other", ..directory_user("scu_x", "user0") };
    done(given.create_scim_user(&other, LinkBy::Nothing, &PersonId::new("usr_x"), NOW).await.unwrap());
    let list = async |which, skip, take| {
        let list = given.scim_users(PROVIDER, which, Paging { skip, take }).await.unwrap();
        (list.total, list.items.into_iter().map(|user| user.id).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(list(ScimUserLookup::All, 2, 3).await, (7, "scu_2 scu_3 scu_4".into()));
    assert_eq!(list(ScimUserLookup::All, 6, 9).await, (7, "scu_6".into()));
    assert_eq!(list(ScimUserLookup::All, 9, 9).await, (7, String::new()));
    assert_eq!(list(ScimUserLookup::All, 0, 0).await, (7, String::new()));
    assert_eq!(list(ScimUserLookup::UserName("USER3"), 0, 9).await, (1, "scu_3".into()));
    assert_eq!(list(ScimUserLookup::ExternalId("x"), 0, 9).await, (0, String::new()));
}

async fn changes_at_once_are_made_one_after_the_other(given: &Given) {
    given.announced("scu_1", "ada").await;
    let mut tries = Vec::new();
    for n in 0..10 {
        let store = given.store.clone();
        tries.push(tokio::spawn(async move {
            let name = format!("Ada {n}");
            let change = NewScimUser {
                id: "scu_1",
                provider: PROVIDER,
                user_name: "ada",
                external_id: None,
                email: None,
                display_name: &name,
                attributes: "{}",
                state: ScimState::Active,
            };
            store.change_scim_user(&change, 1, NOW).await.unwrap()
        }));
    }
    let mut stored = 0;
    for one in tries {
        stored += u32::from(matches!(one.await.unwrap(), ScimWrite::Done(_)));
    }
    assert_eq!(stored, 1);
}
