use portcullis_base::PersonId;
use portcullis_oauth::grant::RevokedWhy;
use portcullis_store::{
    ChangeKind, Due, Ended, Identity, LinkBy, NewPeople, NewScimUser, PersonKind, ProviderSignIn, ScimWrite,
    SignInRefused, SignedIn,
};

use crate::{
    access_keys::access_key,
    given::{DAY, Given, HOUR, ISSUER, MINUTE, NOW, after, at_provider, directory_user, groups, new_person},
    on_both,
};

on_both!(
    nothing_but_issuer_and_subject_finds_a_person,
    groups_that_were_not_told_stay,
    groups_are_the_union_of_all_sources,
    strangers_are_refused_where_they_are_not_welcome,
    announced_person_is_linked_as_the_settings_say,
    disabled_person_is_not_signed_in,
    identity_is_asked_about_by_one_node_while_its_person_is_active,
    failing_check_is_remembered_until_one_succeeds,
    ended_identity_takes_its_sessions_grants_and_groups_along,
    sign_ins_at_once_make_one_person,
);

async fn identity(given: &Given, subject: &str) -> Identity {
    given.store.identity(ISSUER, subject).await.unwrap().unwrap()
}

/// spec: T-52
async fn nothing_but_issuer_and_subject_finds_a_person(given: &Given) {
    let local = given.person("ada").await;
    let names = groups(&["ada", "ada@example.com"]);
    let [one, two, three] = ["usr_1", "usr_2", "usr_3"].map(PersonId::new);
    let sign_in = ProviderSignIn { email: local.email.as_deref(), ..at_provider("sub-1", &one, &names) };
    let SignedIn::Created(first) = given.sign_in_identity(&sign_in, NOW).await.unwrap() else { panic!("not made") };
    assert_eq!((&first.id, first.name.as_str(), first.kind), (&one, "ada@example.com", PersonKind::Person));
    assert_eq!((first.email.as_deref(), first.is_admin()), (Some("ada@example.com"), false));

    let SignedIn::Known(again) = given.sign_in_identity(&sign_in, after(HOUR)).await.unwrap() else {
        panic!("not known")
    };
    assert_eq!(again, first);
    let kept = identity(given, "sub-1").await;
    assert_eq!((kept.created_at, kept.signed_in_at, kept.checked_at), (NOW, after(HOUR), after(HOUR)));
    assert_eq!((kept.tenant.as_deref(), kept.refresh_sealed.as_deref()), (Some("tenant"), Some(&b"sealed"[..])));

    // The same mail address and names under another subject, in another case of it, or at another issuer: somebody else.
    let other = ProviderSignIn { subject: "SUB-1", new_person: &two, ..sign_in };
    let SignedIn::Created(other) = given.sign_in_identity(&other, NOW).await.unwrap() else { panic!("not made") };
    assert_eq!((&other.id, other.name.as_str()), (&two, "ada-2"));
    let elsewhere = ProviderSignIn { issuer: "https://other.example", new_person: &three, ..sign_in };
    let SignedIn::Created(elsewhere) = given.sign_in_identity(&elsewhere, NOW).await.unwrap() else {
        panic!("not made")
    };
    assert_eq!(elsewhere.name, "ada-3");
    assert_eq!(given.identities_of(&one).await.unwrap().len(), 1);
    assert!(given.identities_of(&local.id).await.unwrap().is_empty());
}

/// spec: T-52
async fn groups_that_were_not_told_stay(given: &Given) {
    let ada = given.signed_up("ada", &["b", "a", "b"]).await;
    assert_eq!(ada.groups, groups(&["a", "b"]));
    let names = groups(&["ada"]);
    let quiet = ProviderSignIn { refresh_sealed: None, ..at_provider("ada", &ada.id, &names) };
    let SignedIn::Known(ada) = given.sign_in_identity(&quiet, after(HOUR)).await.unwrap() else { panic!("not known") };
    assert_eq!(ada.groups, groups(&["a", "b"]));
    let kept = identity(given, "ada").await;
    assert_eq!(kept.refresh_sealed.as_deref(), Some(&b"sealed"[..]));
    assert_eq!(
        (kept.signed_in_at, kept.checked_at),
        (after(HOUR), NOW),
        "its provider is asked when it was to be asked"
    );

    let seen = given.revision().await.unwrap();
    assert!(!given.identity_checked(ISSUER, "ada", None, None, after(MINUTE)).await.unwrap());
    assert!(!given.identity_checked(ISSUER, "ada", Some(&groups(&["b", "a"])), None, after(MINUTE)).await.unwrap());
    assert_eq!(given.revision().await.unwrap(), seen, "nothing that a node must know");
    assert!(given.identity_checked(ISSUER, "ada", Some(&[]), Some(b"next"), after(MINUTE)).await.unwrap());
    let change = given.changes_since(seen).await.unwrap().pop().unwrap();
    assert_eq!((change.kind, change.key.as_str()), (ChangeKind::Person, "usr_ada"));
    let kept = identity(given, "ada").await;
    assert_eq!((kept.refresh_sealed.as_deref(), kept.checked_at), (Some(&b"next"[..]), after(MINUTE)));
    assert!(given.store.person(&ada.id).await.unwrap().unwrap().groups.is_empty());
    assert!(!given.identity_checked(ISSUER, "nobody", Some(&[]), None, NOW).await.unwrap());
}

async fn groups_are_the_union_of_all_sources(given: &Given) {
    let strange = "a \"quoted\",\\ {group}";
    let ada = given.signed_up("ada", &["both", strange]).await;
    assert!(given.set_local_groups(&ada.id, &groups(&["local", "both"]), NOW).await.unwrap());
    let names = groups(&["ada"]);
    let second = ProviderSignIn { issuer: "https://second.example", ..at_provider("ada", &ada.id, &names) };
    given.link_to(&second, &ada.id, &["second"]).await;
    given.announce("scu_1", "ada@example.com", None, &ada.id).await;
    given.directory_group("scg_1", "directory", &["scu_1"]).await;
    given.directory_group("scg_2", "both", &["scu_1"]).await;
    given.directory_group("scg_3", "somebody else's", &[]).await;

    let expected = groups(&[strange, "both", "directory", "local", "second"]);
    let read = given.store.person(&ada.id).await.unwrap().unwrap();
    assert_eq!((&read.groups, &read.local_groups), (&expected, &groups(&["local", "both"])));
    given.person("bob").await;
    let people = given.people().await.unwrap();
    assert_eq!(people.iter().find(|person| person.id == ada.id).unwrap().groups, expected);
    let known = given.groups_known().await.unwrap();
    assert!(known.contains(&"somebody else's".to_owned()) && known.contains(&"platform".to_owned()), "{known:?}");
    given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
    let (_, person) = given.session(&crate::given::digest("cookie"), NOW, HOUR).await.unwrap().unwrap();
    assert_eq!(person.groups, expected);
}

async fn strangers_are_refused_where_they_are_not_welcome(given: &Given) {
    let (id, names) = (PersonId::new("usr_new"), groups(&["ada"]));
    let closed = ProviderSignIn { sign_up: NewPeople::Refused, ..at_provider("ada", &id, &names) };
    let refused = given.sign_in_identity(&closed, NOW).await.unwrap();
    assert_eq!(refused, SignedIn::Refused(SignInRefused::Unknown));
    assert!(given.people().await.unwrap().is_empty());
    // Without any name there is one all the same.
    let nameless = ProviderSignIn { names: &[], ..at_provider("ada", &id, &[]) };
    let SignedIn::Created(person) = given.sign_in_identity(&nameless, NOW).await.unwrap() else { panic!("not made") };
    assert_eq!(person.name, "person-2");
}

/// spec: T-52
async fn announced_person_is_linked_as_the_settings_say(given: &Given) {
    for (n, email, external) in
        [(1, "ada@example.com", "ext-1"), (2, "bob@example.com", "ext-2"), (3, "BOB@example.com", "ext-3")]
    {
        let (user, name, id) = (format!("scu_{n}"), format!("user{n}"), PersonId::new(format!("usr_{n}")));
        let new = NewScimUser { external_id: Some(external), email: Some(email), ..directory_user(&user, &name) };
        given.create_scim_user(&new, LinkBy::Nothing, &id, NOW).await.unwrap();
    }
    let (new, names) = (PersonId::new("usr_new"), groups(&["x"]));
    let closed = ProviderSignIn { sign_up: NewPeople::Refused, ..at_provider("s", &new, &names) };
    let unknown = SignedIn::Refused(SignInRefused::Unknown);
    for nobody in [
        // Not linked at all; the other provider's directory; an identifier in another case.
        ProviderSignIn { external_id: Some("ext-1"), email: Some("ada@example.com"), ..closed },
        ProviderSignIn { external_id: Some("ext-1"), link: LinkBy::ExternalId, provider: "other", ..closed },
        ProviderSignIn { external_id: Some("EXT-1"), link: LinkBy::ExternalId, ..closed },
        ProviderSignIn { link: LinkBy::ExternalId, ..closed },
        ProviderSignIn { email: Some("eve@example.com"), link: LinkBy::VerifiedEmail, ..closed },
    ] {
        assert_eq!(given.sign_in_identity(&nobody, NOW).await.unwrap(), unknown);
    }
    let by_id = ProviderSignIn { external_id: Some("ext-1"), link: LinkBy::ExternalId, ..closed };
    let SignedIn::Linked(ada) = given.sign_in_identity(&by_id, NOW).await.unwrap() else { panic!("not linked") };
    assert_eq!((ada.id.as_str(), ada.name.as_str(), ada.display_name.as_str()), ("usr_1", "user1", "Somebody"));
    assert!(matches!(given.sign_in_identity(&by_id, NOW).await.unwrap(), SignedIn::Known(_)));
    // She has her identity here; a second one with the same claim is not hers.
    let taken = SignedIn::Refused(SignInRefused::LinkTaken);
    let second = ProviderSignIn { subject: "thief", ..by_id };
    assert_eq!(given.sign_in_identity(&second, NOW).await.unwrap(), taken);
    // Two with one address: neither.
    let shared =
        ProviderSignIn { email: Some("bob@EXAMPLE.com"), link: LinkBy::VerifiedEmail, subject: "bob", ..closed };
    assert_eq!(given.sign_in_identity(&shared, NOW).await.unwrap(), taken);
}

/// spec: T-53
async fn disabled_person_is_not_signed_in(given: &Given) {
    let ada = given.signed_up("ada", &[]).await;
    given.disable_person(&ada.id, NOW).await.unwrap();
    let names = groups(&["ada"]);
    let refused = SignedIn::Refused(SignInRefused::Disabled);
    assert_eq!(given.sign_in_identity(&at_provider("ada", &ada.id, &names), NOW).await.unwrap(), refused);
    assert!(given.enable_person(&ada.id, NOW).await.unwrap());
    assert!(!given.enable_person(&ada.id, NOW).await.unwrap());
    assert!(matches!(
        given.sign_in_identity(&at_provider("ada", &ada.id, &names), NOW).await.unwrap(),
        SignedIn::Known(_)
    ));
}

async fn identity_is_asked_about_by_one_node_while_its_person_is_active(given: &Given) {
    let due = async |at| -> Vec<String> {
        let due = Due {
            checked_before: at_minus(at, 10),
            unasked_before: at_minus(at, 60),
            active_since: at_minus(at, 15),
            lease_until: at_plus(at, 2),
            limit: 10,
        };
        given.identities_due(&due, at).await.unwrap().into_iter().map(|identity| identity.subject).collect()
    };
    for name in ["browser", "client", "key", "asleep", "gone"] {
        given.signed_up(name, &[]).await;
    }
    // There is nothing to ask about this one with, until it is time to say so.
    let (id, names) = (PersonId::new("usr_unasked"), groups(&["unasked"]));
    let without = ProviderSignIn { refresh_sealed: None, ..at_provider("unasked", &id, &names) };
    given.sign_in_identity(&without, NOW).await.unwrap();
    given.create_access_key(&access_key("unasked key", "grt_3", &id), NOW).await.unwrap();
    let person = |name: &str| PersonId::new(format!("usr_{name}"));
    given.sign_in("browser", &person("browser"), after(DAY)).await.unwrap();
    given.sign_in("gone", &person("gone"), after(DAY)).await.unwrap();
    let grant = given.granted("grt_1", &person("client"), "c").await;
    given.create_access_key(&access_key("key", "grt_2", &person("key")), NOW).await.unwrap();
    assert!(due(after(5 * MINUTE)).await.is_empty(), "vouched for five minutes ago");

    let at = after(20 * MINUTE);
    given.session(&crate::given::digest("browser"), at, HOUR).await.unwrap();
    given.session(&crate::given::digest("gone"), at, HOUR).await.unwrap();
    given.touch_grants(&[(grant.id, at)]).await.unwrap();
    given.disable_person(&person("gone"), at).await.unwrap();
    // Two nodes at the same moment share them.
    let (mut first, second) = tokio::join!(due(at), due(at));
    first.extend(second);
    first.sort_unstable();
    assert_eq!(first, ["browser", "client", "key"]);
    assert!(due(at).await.is_empty(), "leased");
    given.identity_checked(ISSUER, "browser", None, None, at).await.unwrap();
    given.identity_failing(ISSUER, "client", at).await.unwrap();
    assert!(due(at).await.is_empty(), "what fails is tried again when its lease is over");
    let mut later = due(at.plus(3 * MINUTE)).await;
    later.sort_unstable();
    assert_eq!(later, ["client", "key"]);
    let mut much_later = due(after(2 * HOUR)).await;
    much_later.sort_unstable();
    assert_eq!(much_later, ["key", "unasked"], "nobody was seen since, but keys count");
}

fn at_minus(at: portcullis_base::Timestamp, minutes: u32) -> portcullis_base::Timestamp {
    at.minus(minutes * MINUTE)
}

fn at_plus(at: portcullis_base::Timestamp, minutes: u32) -> portcullis_base::Timestamp {
    at.plus(minutes * MINUTE)
}

async fn failing_check_is_remembered_until_one_succeeds(given: &Given) {
    given.signed_up("ada", &["a"]).await;
    assert_eq!(given.identity_failing(ISSUER, "ada", after(MINUTE)).await.unwrap(), Some(after(MINUTE)));
    assert_eq!(given.identity_failing(ISSUER, "ada", after(HOUR)).await.unwrap(), Some(after(MINUTE)));
    assert_eq!(given.identity_failing(ISSUER, "nobody", NOW).await.unwrap(), None);
    assert_eq!(identity(given, "ada").await.failing_since, Some(after(MINUTE)));
    given.identity_checked(ISSUER, "ada", None, None, after(HOUR)).await.unwrap();
    let kept = identity(given, "ada").await;
    assert_eq!((kept.failing_since, kept.groups), (None, groups(&["a"])));
}

/// spec: T-53
async fn ended_identity_takes_its_sessions_grants_and_groups_along(given: &Given) {
    let ada = given.signed_up("ada", &["company"]).await;
    given.set_local_groups(&ada.id, &groups(&["local"]), NOW).await.unwrap();
    given.session_from_provider("cookie", &ada, None).await;
    let born = given.granted_in("grt_1", "cookie", &ada.id).await;
    given.create_access_key(&access_key("key", "grt_key", &ada.id), NOW).await.unwrap();
    let other = given.signed_up("bob", &[]).await;
    given.session_from_provider("other", &other, None).await;

    let seen = given.revision().await.unwrap();
    let ended = given.end_identity(ISSUER, "ada", RevokedWhy::IdentityEnded, after(MINUTE)).await.unwrap();
    assert_eq!((ended.sessions, ended.grants.len()), (1, 2), "the key too: nobody vouches for her any more");
    assert_eq!(given.grant(&born.id).await.unwrap().unwrap().revoked.unwrap().why, RevokedWhy::IdentityEnded);
    assert!(given.access_keys_alive(NOW).await.unwrap().is_empty());
    assert!(!given.is_signed_in("cookie").await && given.is_signed_in("other").await);
    let kinds: Vec<_> = given.changes_since(seen).await.unwrap().into_iter().map(|change| change.kind).collect();
    assert!(kinds.contains(&ChangeKind::Person) && kinds.contains(&ChangeKind::GrantRevoked));
    let kept = identity(given, "ada").await;
    assert_eq!((kept.ended_at, kept.refresh_sealed), (Some(after(MINUTE)), None));
    let person = given.store.person(&ada.id).await.unwrap().unwrap();
    assert_eq!((person.is_active(), person.groups), (true, groups(&["local"])), "the account stays open");
    assert!(!given.identity_checked(ISSUER, "ada", Some(&groups(&["x"])), None, NOW).await.unwrap(), "it is over");
    let again = given.end_identity(ISSUER, "ada", RevokedWhy::IdentityEnded, after(HOUR)).await.unwrap();
    assert_eq!(again, Ended::default());
    assert_eq!(given.end_identity(ISSUER, "nobody", RevokedWhy::IdentityEnded, NOW).await.unwrap(), Ended::default());

    // A new sign-in begins anew.
    let names = groups(&["ada"]);
    given.sign_in_identity(&at_provider("ada", &ada.id, &names), after(HOUR)).await.unwrap();
    assert_eq!(identity(given, "ada").await.ended_at, None);

    // Who has a password can be asked in another way: their keys stay.
    let local = given.create_person(&new_person("eve"), NOW).await.unwrap();
    let names = groups(&["eve"]);
    given.link_to(&at_provider("eve", &local.id, &names), &local.id, &[]).await;
    given.create_access_key(&access_key("eve's", "grt_eve", &local.id), NOW).await.unwrap();
    let ended = given.end_identity(ISSUER, "eve", RevokedWhy::IdentityEnded, NOW).await.unwrap();
    assert_eq!(ended, Ended::default());
    assert_eq!(given.access_keys_of(&local.id, NOW).await.unwrap().len(), 1);
}

async fn sign_ins_at_once_make_one_person(given: &Given) {
    let mut tries = Vec::new();
    for n in 0..10 {
        let store = given.store.clone();
        tries.push(tokio::spawn(async move {
            let (id, names) = (PersonId::new(format!("usr_{n}")), groups(&["ada"]));
            store.sign_in_identity(&at_provider("ada", &id, &names), NOW).await.unwrap()
        }));
    }
    let mut created = 0;
    for one in tries {
        created += u32::from(matches!(one.await.unwrap(), SignedIn::Created(_)));
    }
    assert_eq!((created, given.people().await.unwrap().len()), (1, 1));
}

impl Given {
    /// Makes `sign_in` one more identity of somebody, beside the store.
    async fn link_to(&self, sign_in: &ProviderSignIn<'_>, person: &PersonId, member_of: &[&str]) {
        let (spare, member_of) = (PersonId::new("usr_spare"), groups(member_of));
        let sign_in = ProviderSignIn { new_person: &spare, groups: Some(&member_of), ..*sign_in };
        assert!(matches!(self.sign_in_identity(&sign_in, NOW).await.unwrap(), SignedIn::Created(_)));
        self.database
            .run(&format!(
                "update identities set person = '{person}' where person = '{spare}'; delete from people where id = '{spare}'"
            ))
            .await;
    }

    /// Announces somebody who is there already: a fresh one, made theirs beside the store.
    pub async fn announce(&self, user: &str, name: &str, external_id: Option<&str>, person: &PersonId) {
        let new = NewScimUser { external_id, ..directory_user(user, name) };
        let fresh = PersonId::new(format!("usr_of_{user}"));
        let made = self.create_scim_user(&new, LinkBy::Nothing, &fresh, NOW).await.unwrap();
        assert!(matches!(made, ScimWrite::Done(_)), "{made:?}");
        self.database
            .run(&format!(
                "update scim_users set person = '{person}' where id = '{user}'; delete from people where id = '{fresh}'"
            ))
            .await;
    }
}
