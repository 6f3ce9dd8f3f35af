//! A future can be dropped at any await: a client hangs up, a request times out. Nothing may stay open behind it.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use portcullis_store::{DatabaseSettings, Store};

use crate::{
    given::{DAY, Given, HOUR, NOW, after, digest, new_person},
    on_both,
};

on_both!(on one thread: work_dropped_at_any_await_leaves_nothing_open);
on_both!(work_waiting_for_another_process_can_be_dropped, two_handles_on_one_database_see_each_other,);

/// Polls a future until it has been pending `times` times, then drops it; whether it was done before.
async fn polled<F: Future>(future: F, times: usize) -> bool {
    let mut future = pin!(future);
    let mut pending = 0;
    std::future::poll_fn(|context| {
        if pending == times {
            return Poll::Ready(false);
        }
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => {
                pending += 1;
                if pending == times { Poll::Ready(false) } else { Poll::Pending }
            }
        }
    })
    .await
}

async fn work_dropped_at_any_await_leaves_nothing_open(given: &Given) {
    let mut dropped = 0;
    for times in 0.. {
        let ada = given.person(&format!("ada{times}")).await;
        given.granted(&format!("grt_{times}"), &ada.id, "c").await;
        given.sign_in("cookie", &ada.id, after(DAY)).await.unwrap();
        let finished = polled(given.disable_person(&ada.id, NOW), times).await;
        dropped += usize::from(!finished);

        // All or nothing. What was dropped while it committed may take a moment to show on which side it fell.
        let all_or_nothing = async {
            loop {
                let active = given.store.person(&ada.id).await.unwrap().unwrap().is_active();
                let session = given.session(&digest("cookie"), NOW, HOUR).await.unwrap().is_some();
                let grants = given.grants_of(&ada.id, NOW).await.unwrap().len();
                if session == active && grants == usize::from(active) {
                    return active;
                }
                tokio::task::yield_now().await;
            }
        };
        let active = tokio::time::timeout(Duration::from_secs(20), all_or_nothing).await.unwrap();
        // And the same rows can be written: nobody holds them.
        let again = tokio::time::timeout(Duration::from_secs(20), given.disable_person(&ada.id, NOW)).await.unwrap();
        assert!(active || !again.unwrap());
        given.end_session(&digest("cookie")).await.unwrap();
        if finished {
            assert!(!active);
            break;
        }
    }
    let postgresql = matches!(given.database.settings(), DatabaseSettings::Postgres { .. });
    assert!(dropped > if postgresql { 5 } else { 0 }, "dropped {dropped} times");
}

async fn work_waiting_for_another_process_can_be_dropped(given: &Given) {
    let DatabaseSettings::Sqlite(path) = given.database.settings() else { return };
    let foreign = rusqlite::Connection::open(path).unwrap();
    foreign.execute_batch("begin immediate").unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(50), given.person("ada")).await;
    assert!(waiting.is_err(), "somebody else holds the write lock");
    assert!(given.people().await.unwrap().is_empty(), "reading does not wait");
    foreign.execute_batch("commit").unwrap();
    given.person("ada").await;
}

async fn two_handles_on_one_database_see_each_other(given: &Given) {
    let other = Store::open(given.database.settings(), NOW).await.unwrap();
    let mut writers = Vec::new();
    for (n, store) in [given.store.clone(), other.clone()].into_iter().enumerate() {
        writers.push(tokio::spawn(async move {
            for m in 0..20 {
                store.create_person(&new_person(&format!("p{n}x{m}")), NOW).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(given.people().await.unwrap().len(), 40);
    assert_eq!(other.people().await.unwrap().len(), 40);
}
