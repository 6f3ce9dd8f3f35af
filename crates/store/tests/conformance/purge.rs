use portcullis_base::SessionId;
use portcullis_oauth::{
    grant::RevokedWhy,
    token::{Redeemed, Refreshed},
};
use portcullis_store::Purged;

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, after, digest},
    on_both,
};

on_both!(
    what_is_over_is_forgotten,
    what_is_not_over_stays,
    redeemed_code_is_remembered_for_a_day,
    large_backlog_is_purged_in_portions,
);

async fn what_is_over_is_forgotten(given: &Given) {
    let ada = given.person("ada").await;
    given.sign_in("cookie", &ada.id, after(HOUR)).await.unwrap();
    given.issue_invitation(&digest("link"), NOW, after(HOUR)).await.unwrap();
    given.end_mcp_session(&SessionId::new("ses_1"), NOW, after(HOUR)).await.unwrap();
    let expired = given.granted("grt_1", &ada.id, "c").await;
    let revoked = given.granted("grt_2", &ada.id, "c").await;
    given.redeem_code("code of grt_1", "c", NOW).await;
    given.refresh_token("first after code of grt_1", "c", NOW).await;
    given.revoke_grant(&revoked.id, RevokedWhy::Person, NOW).await.unwrap();

    given.purge(after(4 * HOUR)).await.unwrap();
    assert_eq!(given.grant(&revoked.id).await.unwrap(), None);
    assert!(given.grant(&expired.id).await.unwrap().is_some());
    given.purge(after(31 * DAY)).await.unwrap();
    assert_eq!(given.grant(&expired.id).await.unwrap(), None);
    assert_eq!(given.grant_of_refresh(&digest("first after code of grt_1")).await.unwrap(), None);
    assert_eq!(given.purge(after(31 * DAY)).await.unwrap(), Purged { rows: 0 });

    let dump = given.database.dump().await;
    let left = String::from_utf8_lossy(&dump);
    if !matches!(given.database.settings(), portcullis_store::DatabaseSettings::Sqlite(_)) {
        // SQLite's file keeps the bytes of deleted rows until they are overwritten.
        assert!(!left.contains("ses_1,") && !left.contains("code of"), "{left}");
    }
    assert!(given.spend("page of grt_1", after(32 * DAY)).await.unwrap(), "long after the page itself expired");
}

async fn what_is_not_over_stays(given: &Given) {
    let ada = given.person("ada").await;
    given.sign_in("cookie", &ada.id, after(HOUR)).await.unwrap();
    given.issue_invitation(&digest("link"), NOW, after(HOUR)).await.unwrap();
    given.end_mcp_session(&SessionId::new("ses_1"), NOW, after(HOUR)).await.unwrap();
    given.granted("grt_1", &ada.id, "c").await;
    assert_eq!(given.purge(after(MINUTE)).await.unwrap(), Purged { rows: 0 });
    assert!(given.session(&digest("cookie"), after(MINUTE), HOUR).await.unwrap().is_some());
    assert!(given.is_invitation_open(&digest("link"), after(MINUTE)).await.unwrap());
    assert_eq!(given.ended_mcp_sessions(after(MINUTE)).await.unwrap().len(), 1);
    assert!(!given.spend("page of grt_1", after(HOUR)).await.unwrap());
    assert!(matches!(given.redeem_code("code of grt_1", "c", NOW).await, Redeemed::Issue { .. }));
}

/// spec: AS-67
async fn redeemed_code_is_remembered_for_a_day(given: &Given) {
    let ada = given.person("ada").await;
    let grant = given.granted("grt_1", &ada.id, "c").await;
    given.redeem_code("code of grt_1", "c", NOW).await;
    given.purge(after(DAY)).await.unwrap();
    assert!(matches!(given.redeem_code("code of grt_1", "c", after(DAY)).await, Redeemed::Revoke(..)));
    assert!(given.is_revoked(&grant).await);
    assert!(matches!(given.refresh_token("first after code of grt_1", "c", after(DAY)).await, Refreshed::Refuse(_)));
}

async fn large_backlog_is_purged_in_portions(given: &Given) {
    let rows: Vec<String> = (0..1_203).map(|n| format!("('ses_{n}', 0, 0)")).collect();
    given
        .database
        .run(&format!("insert into ended_sessions (id, ended_at, expires_at) values {}", rows.join(",")))
        .await;
    assert_eq!(given.purge(NOW).await.unwrap(), Purged { rows: 1_203 });
}
