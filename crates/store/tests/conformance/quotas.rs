use std::{sync::Arc, time::Duration};

use portcullis_base::{CallId, Timestamp};
use portcullis_policy::{Amount, Claim, Exhausted, Path, Per, Quota, Sum};
use portcullis_store::{Purged, QuotaHold, Run, Store};

use crate::{
    given::{DAY, Given, HOUR, NOW, after},
    on_both,
};

on_both!(
    fifty_who_take_at_once_never_take_more_than_there_is,
    hundred_who_take_at_once_all_get_what_there_is_room_for,
    call_takes_all_that_it_needs_or_nothing,
    what_is_given_back_is_there_again_and_what_is_used_is_not,
    node_that_dies_gives_back_what_it_had_not_sent,
    limit_over_another_time_is_another_one,
    what_counts_no_more_is_forgotten,
);

const ONE: Run<'_> = Run { node: "one", run: "1" };
const TWO: Run<'_> = Run { node: "two", run: "2" };
const LEASE: Duration = Duration::from_secs(30);

/// 500 a day, in which 0.1 is a tenth.
fn euros(amount: &str, window: Duration) -> Claim {
    let sum = Sum { of: Path::parse("amount").unwrap(), most: Amount::from(500), unit: None };
    let quota = Quota {
        rule: "refunds".into(),
        place: 0,
        per: [Per::Person].into(),
        window: Some(window),
        calls: None,
        sum: Some(sum),
        concurrent: None,
    };
    Claim {
        quota: Arc::new(quota),
        key: "[\"refunds\",\"0\",\"usr_a\"]".into(),
        amount: Amount::parse(amount).unwrap(),
        unit: None,
    }
}

fn calls(most: u64) -> Claim {
    let per = [Per::Rule].into();
    let quota =
        Quota { rule: "all".into(), place: 1, per, window: Some(HOUR), calls: Some(most), sum: None, concurrent: None };
    Claim { quota: Arc::new(quota), key: "[\"all\",\"1\"]".into(), amount: Amount::ZERO, unit: None }
}

async fn take(store: &Store, call: &str, run: Run<'_>, claims: &[Claim], now: Timestamp) -> Result<(), Exhausted> {
    let call = CallId::new(call);
    store.reserve_quota(&QuotaHold { call: &call, run, lease: LEASE, claims }, now).await.unwrap()
}

/// spec: T-79
async fn fifty_who_take_at_once_never_take_more_than_there_is(given: &Given) {
    let other = given.database.open().await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..50 {
        let store = if n % 2 == 0 { given.store.clone() } else { other.clone() };
        tasks.push(tokio::spawn(async move {
            take(&store, &format!("call_{n}"), if n % 2 == 0 { ONE } else { TWO }, &[euros("33.4", DAY)], NOW).await
        }));
    }
    let mut taken = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => taken += 1,
            Err(why) => {
                let retry = why.retry_at.unwrap();
                assert!(retry > after(DAY) && retry <= after(DAY + 2 * HOUR), "{why}");
                assert!(why.to_string().contains("500 in 1d"), "{why}");
            }
        }
    }
    assert_eq!(taken, 14, "14 times 33.4 is 467.6");
    assert!(take(given, "exact", ONE, &[euros("32.4", DAY)], NOW).await.is_ok(), "to the last cent");
    assert!(take(given, "over", ONE, &[euros("0.000000000001", DAY)], NOW).await.is_err());
    let never = take(given, "never", ONE, &[euros("500.01", DAY)], NOW).await.unwrap_err();
    assert_eq!(never.retry_at, None);
    assert!(take(given, "later", ONE, &[euros("500", DAY)], after(DAY + 2 * HOUR)).await.is_ok());
}

/// A limit that everybody shares is no reason to fail.
async fn hundred_who_take_at_once_all_get_what_there_is_room_for(given: &Given) {
    let other = given.database.open().await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..100 {
        let store = if n % 2 == 0 { given.store.clone() } else { other.clone() };
        tasks.push(tokio::spawn(async move {
            let name = format!("call_{n}");
            take(&store, &name, ONE, &[calls(100)], NOW).await.unwrap();
            let call = CallId::new(name);
            assert!(store.quota_sent(&call, NOW).await.unwrap());
            assert!(
                if n % 4 == 0 { store.roll_back_quota(&call).await } else { store.commit_quota(&call).await }.unwrap()
            );
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for n in 0..25 {
        take(given, &format!("more_{n}"), ONE, &[calls(100)], NOW).await.unwrap();
    }
    assert!(take(given, "over", ONE, &[calls(100)], NOW).await.is_err());
}

async fn call_takes_all_that_it_needs_or_nothing(given: &Given) {
    assert!(take(given, "a", ONE, &[calls(2), euros("500", DAY)], NOW).await.is_ok());
    let why = take(given, "b", ONE, &[calls(2), euros("1", DAY)], NOW).await.unwrap_err();
    assert_eq!(&*why.rule, "refunds");
    assert!(take(given, "c", ONE, &[calls(2)], NOW).await.is_ok(), "b took none of the calls");
    assert_eq!(&*take(given, "d", ONE, &[calls(2)], NOW).await.unwrap_err().rule, "all");
}

async fn what_is_given_back_is_there_again_and_what_is_used_is_not(given: &Given) {
    take(given, "a", ONE, &[euros("300.1", DAY), calls(9)], NOW).await.unwrap();
    take(given, "b", ONE, &[euros("199.9", DAY), calls(9)], NOW).await.unwrap();
    let (a, b) = (CallId::new("a"), CallId::new("b"));
    assert!(given.commit_quota(&a).await.unwrap());
    assert!(!given.commit_quota(&a).await.unwrap() && !given.roll_back_quota(&a).await.unwrap(), "it is settled");
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let (store, b) = (given.store.clone(), b.clone());
        tasks.push(tokio::spawn(async move { store.roll_back_quota(&b).await.unwrap() }));
    }
    let mut back = 0;
    for task in tasks {
        back += u32::from(task.await.unwrap());
    }
    assert_eq!(back, 1, "ten times is once");
    assert!(take(given, "c", ONE, &[euros("200", DAY)], NOW).await.is_err());
    assert!(take(given, "d", ONE, &[euros("199.9", DAY)], NOW).await.is_ok());
}

/// spec: T-79
async fn node_that_dies_gives_back_what_it_had_not_sent(given: &Given) {
    take(given, "waits", ONE, &[euros("100", DAY)], NOW).await.unwrap();
    take(given, "sent", ONE, &[euros("200", DAY)], NOW).await.unwrap();
    take(given, "other", TWO, &[euros("200", DAY)], NOW).await.unwrap();
    assert!(given.quota_sent(&CallId::new("sent"), NOW).await.unwrap());
    assert!(!given.quota_sent(&CallId::new("nobody"), NOW).await.unwrap());
    let full = async |now| take(given, "more", TWO, &[euros("100", DAY)], now).await.is_err();
    let last = Timestamp::from_millis(NOW.plus(LEASE).as_millis() - 1);
    assert_eq!(given.release_quotas(TWO, last).await.unwrap(), 0);
    assert!(full(last).await);
    // Node two goes on, node one does not.
    assert_eq!(given.renew_run(TWO, after(HOUR)).await.unwrap(), 1);
    assert_eq!(given.release_quotas(TWO, NOW.plus(LEASE)).await.unwrap(), 2);
    assert!(!full(NOW.plus(LEASE)).await, "what had not left is there again");
    assert!(take(given, "again", TWO, &[euros("1", DAY)], NOW).await.is_err(), "what had is not");
    assert!(!given.roll_back_quota(&CallId::new("waits")).await.unwrap(), "it is settled already");
    // A node that starts again settles at once what its last run held.
    let next = Run { node: "two", run: "3" };
    assert_eq!(given.release_quotas(next, NOW.plus(LEASE)).await.unwrap(), 2);
    assert!(take(given, "after", next, &[euros("300", DAY)], NOW).await.is_ok());
}

async fn limit_over_another_time_is_another_one(given: &Given) {
    take(given, "a", ONE, &[euros("500", HOUR)], NOW).await.unwrap();
    assert!(take(given, "b", ONE, &[euros("1", HOUR)], NOW).await.is_err());
    // The rule was changed: what was counted by the hour says nothing of a day.
    take(given, "c", ONE, &[euros("500", DAY)], NOW).await.unwrap();
    let full = take(given, "d", ONE, &[euros("1", DAY)], NOW).await.unwrap_err();
    assert!(full.retry_at.unwrap() <= after(DAY + 2 * HOUR));
}

async fn what_counts_no_more_is_forgotten(given: &Given) {
    take(given, "a", ONE, &[euros("500", HOUR)], NOW).await.unwrap();
    given.commit_quota(&CallId::new("a")).await.unwrap();
    assert_eq!(given.purge_rights(NOW, after(HOUR)).await.unwrap(), Purged { rows: 0 });
    assert!(take(given, "b", ONE, &[euros("1", HOUR)], after(HOUR / 2)).await.is_err());
    assert_eq!(given.purge_rights(NOW, after(3 * HOUR)).await.unwrap(), Purged { rows: 1 });
    assert!(take(given, "c", ONE, &[euros("500", HOUR)], after(3 * HOUR)).await.is_ok());
}
