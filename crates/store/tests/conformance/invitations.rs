use portcullis_store::StoreError;

use crate::{
    given::{Given, HOUR, NOW, after, digest, new_admin, new_person},
    on_both,
};

on_both!(
    invitation_makes_one_administrator,
    invitation_expires,
    newer_invitation_voids_the_older,
    no_invitation_where_there_is_an_administrator,
    taken_name_does_not_use_the_invitation_up,
    parallel_uses_make_one_administrator,
);

/// spec: T-95
async fn invitation_makes_one_administrator(given: &Given) {
    let link = digest("link");
    assert!(given.issue_invitation(&link, NOW, after(HOUR)).await.unwrap());
    assert!(given.is_invitation_open(&link, NOW).await.unwrap());
    assert!(!given.is_invitation_open(&digest("guess"), NOW).await.unwrap());
    assert_eq!(given.redeem_invitation(&digest("guess"), &new_person("eve"), NOW).await.unwrap(), None);
    let ada = given.redeem_invitation(&link, &new_person("ada"), NOW).await.unwrap().unwrap();
    assert!(ada.is_admin());
    assert!(!given.is_invitation_open(&link, NOW).await.unwrap());
    assert_eq!(given.redeem_invitation(&link, &new_person("eve"), NOW).await.unwrap(), None);
    assert_eq!(given.people().await.unwrap(), [ada]);
}

async fn invitation_expires(given: &Given) {
    let link = digest("link");
    given.issue_invitation(&link, NOW, after(HOUR)).await.unwrap();
    assert!(!given.is_invitation_open(&link, after(HOUR)).await.unwrap());
    assert_eq!(given.redeem_invitation(&link, &new_person("ada"), after(HOUR)).await.unwrap(), None);
}

async fn newer_invitation_voids_the_older(given: &Given) {
    given.issue_invitation(&digest("old"), NOW, after(HOUR)).await.unwrap();
    given.issue_invitation(&digest("new"), NOW, after(HOUR)).await.unwrap();
    assert_eq!(given.redeem_invitation(&digest("old"), &new_person("ada"), NOW).await.unwrap(), None);
    assert!(given.redeem_invitation(&digest("new"), &new_person("ada"), NOW).await.unwrap().is_some());
}

/// spec: T-95
async fn no_invitation_where_there_is_an_administrator(given: &Given) {
    let link = digest("link");
    assert!(given.issue_invitation(&link, NOW, after(HOUR)).await.unwrap());
    given.create_person(&new_admin("ada"), NOW).await.unwrap();
    assert!(!given.is_invitation_open(&link, NOW).await.unwrap());
    assert_eq!(given.redeem_invitation(&link, &new_person("eve"), NOW).await.unwrap(), None);
    assert!(!given.issue_invitation(&digest("another"), NOW, after(HOUR)).await.unwrap());
}

async fn taken_name_does_not_use_the_invitation_up(given: &Given) {
    let link = digest("link");
    given.person("ada").await;
    given.issue_invitation(&link, NOW, after(HOUR)).await.unwrap();
    assert!(matches!(given.redeem_invitation(&link, &new_person("ada"), NOW).await, Err(StoreError::Taken)));
    assert!(given.redeem_invitation(&link, &new_person("eve"), NOW).await.unwrap().is_some());
}

/// spec: T-95
async fn parallel_uses_make_one_administrator(given: &Given) {
    given.issue_invitation(&digest("link"), NOW, after(HOUR)).await.unwrap();
    let mut uses = Vec::new();
    for n in 0..20 {
        let store = given.store.clone();
        let new = new_person(&format!("person{n}"));
        uses.push(tokio::spawn(async move { store.redeem_invitation(&digest("link"), &new, NOW).await.unwrap() }));
    }
    let mut made = 0;
    for one in uses {
        made += u32::from(one.await.unwrap().is_some());
    }
    assert_eq!((made, given.administrators().await.unwrap(), given.people().await.unwrap().len()), (1, 1, 1));
}
