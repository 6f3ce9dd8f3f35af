use std::collections::BTreeSet;

use portcullis_base::PersonId;
use portcullis_store::{GroupOrigin, GroupSource, LinkBy, NewPeople, NewScimGroup, ProviderSignIn};

use crate::{
    given::{Given, NOW, new_person},
    on_both,
};

on_both!(every_group_is_known_with_each_of_its_sources,);

async fn every_group_is_known_with_each_of_its_sources(given: &Given) {
    assert_eq!(given.group_origins().await.unwrap(), []);
    let mut ada = new_person("ada");
    ada.groups = vec!["support".into(), "local, with a comma".into()];
    given.create_person(&ada, NOW).await.unwrap();
    let sign_in = ProviderSignIn {
        provider: "company",
        issuer: "https://login.example",
        subject: "1",
        tenant: None,
        external_id: None,
        email: None,
        names: &["bea".into()],
        display_name: "Bea",
        groups: Some(&["support".into(), "staff".into()]),
        refresh_sealed: None,
        sign_up: NewPeople::Welcome,
        link: LinkBy::Nothing,
        new_person: &PersonId::new("usr_bea"),
    };
    given.sign_in_identity(&sign_in, NOW).await.unwrap();
    let nobody = BTreeSet::new();
    let group =
        NewScimGroup { id: "sgr_1", provider: "company", display_name: "staff", external_id: None, members: &nobody };
    given.create_scim_group(&group, NOW).await.unwrap();

    let (provider, directory) = (GroupSource::Provider("company".into()), GroupSource::Directory("company".into()));
    let expected = [
        ("local, with a comma", GroupSource::Here),
        ("staff", provider.clone()),
        ("staff", directory),
        ("support", GroupSource::Here),
        ("support", provider),
    ];
    let found = given.group_origins().await.unwrap();
    assert_eq!(found, expected.map(|(name, source)| GroupOrigin { name: name.into(), source }));

    given
        .end_identity("https://login.example", "1", portcullis_oauth::grant::RevokedWhy::IdentityEnded, NOW)
        .await
        .unwrap();
    let left = given.group_origins().await.unwrap();
    assert!(left.iter().all(|origin| !matches!(origin.source, GroupSource::Provider(_))), "{left:?}");
}
