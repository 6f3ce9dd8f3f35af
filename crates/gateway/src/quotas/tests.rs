use portcullis_base::{Class, ClientId, Labels, ManualClock, PersonId, SeededRng, ServerName};
use portcullis_policy::{Amount, Kind, Path, Per, Sum, Target};
use portcullis_store::DatabaseSettings;

use super::*;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_hours(24);

struct House {
    _dir: tempfile::TempDir,
    store: Store,
    clock: Arc<ManualClock>,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&DatabaseSettings::Sqlite(dir.path().join("db")), START).await.expect("a database");
        Self { _dir: dir, store, clock: Arc::new(ManualClock::new(START)) }
    }

    fn node(&self, node: &str, seed: u64) -> Arc<Quotas> {
        Arc::new(Quotas::new(self.store.clone(), node.into(), self.clock.clone(), &SeededRng::new(seed)))
    }
}

fn quota(calls: Option<u64>, window: Option<Duration>, concurrent: Option<u32>, sum: Option<Sum>) -> Obligations {
    let per = [Per::Person].into();
    let quota = Quota { rule: "r".into(), place: 0, per, window, calls, sum, concurrent };
    Obligations { quotas: vec![Arc::new(quota)], ..Obligations::default() }
}

fn day(calls: u64) -> Obligations {
    quota(Some(calls), Some(DAY), None, None)
}

async fn claim(quotas: &Arc<Quotas>, obligations: &Obligations, call: &str) -> Result<Option<Held>, Untold> {
    let facts = Facts {
        person: &PersonId::new("alice"),
        name: "alice",
        kind: Kind::Person,
        groups: &[],
        roles: &[],
        client: &ClientId::new("c"),
        server: &ServerName::parse("s").expect("a name"),
        through: None,
        method: "tools/call",
        target: Target::Tool("t"),
        classes: Class::Read.into(),
        labels: Labels::NONE,
        tags: &[],
        arguments: Some(r#"{"n":1}"#),
        authenticated_at: None,
        acr: None,
        address: None,
        session_labels: &[],
        now: quotas.clock.now(),
    };
    quotas.claim(obligations, &facts, &CallId::new(call)).await
}

async fn held(quotas: &Arc<Quotas>, obligations: &Obligations, call: &str) -> Held {
    claim(quotas, obligations, call).await.expect("there is room").expect("it is limited")
}

async fn is_full(quotas: &Arc<Quotas>, obligations: &Obligations, call: &str) -> bool {
    // What was dropped is settled a moment later.
    while quotas.rows.load(Ordering::Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    matches!(claim(quotas, obligations, call).await, Err(Untold::Over(_)))
}

#[tokio::test]
async fn call_that_no_rule_limits_takes_nothing() {
    let quotas = House::new().await.node("one", 1);
    assert!(claim(&quotas, &Obligations::default(), "a").await.expect("no limit").is_none());
}

/// spec: T-79
#[tokio::test]
async fn dropped_before_it_left_is_given_back_and_after_it_is_used() {
    let house = House::new().await;
    for obligations in [day(1), quota(Some(1), Some(SHORT), None, None)] {
        let quotas = house.node("one", 1);
        drop(held(&quotas, &obligations, "a").await);
        let second = loop {
            if let Ok(Some(held)) = claim(&quotas, &obligations, "b").await {
                break held;
            }
            tokio::task::yield_now().await;
        };
        let departure = second.departure();
        departure.leave().await.expect("it is held");
        departure.leave().await.expect("once more is no harm");
        departure.undone();
        drop(second);
        let third = loop {
            if let Ok(Some(held)) = claim(&quotas, &obligations, "c").await {
                break held;
            }
            tokio::task::yield_now().await;
        };
        third.departure().leave().await.expect("it is held");
        drop(third);
        assert!(is_full(&quotas, &obligations, "d").await);
    }
}

#[tokio::test]
async fn limit_of_both_kinds_is_counted_in_both_places_and_refused_by_either_takes_nothing() {
    let house = House::new().await;
    let quotas = house.node("one", 1);
    let sum = Sum { of: Path::parse("n").expect("a path"), most: Amount::from(2), unit: None };
    let both = quota(None, Some(DAY), Some(1), Some(sum));
    let first = held(&quotas, &both, "a").await;
    assert!(matches!(claim(&quotas, &both, "b").await, Err(Untold::Over(over)) if over.retry_after == Some(SOON)));
    first.departure().leave().await.expect("it is held");
    drop(first);
    let second = held(&quotas, &both, "c").await;
    second.departure().leave().await.expect("it is held");
    drop(second);
    // Nothing runs any more, and the amount is used.
    assert!(is_full(&quotas, &both, "d").await);
    assert_eq!(quotas.short.len(), 0, "the one that was refused by the rows holds no place");
}

/// spec: T-79
#[tokio::test]
async fn nodes_leave_each_other_what_they_hold_until_one_is_not_heard_of() {
    let house = House::new().await;
    let (one, two) = (house.node("one", 1), house.node("two", 2));
    let waits = held(&one, &day(2), "a").await;
    let sent = held(&one, &day(2), "b").await;
    sent.departure().leave().await.expect("it is held");
    assert_eq!(two.settle().await.expect("a database"), 0);
    house.clock.advance(LEASE / 2);
    one.heartbeat().await.expect("a database");
    house.clock.advance(LEASE / 2);
    assert_eq!(two.settle().await.expect("a database"), 0, "it was heard of");
    assert!(matches!(claim(&two, &day(2), "c").await, Err(Untold::Over(_))));
    house.clock.advance(LEASE);
    two.heartbeat().await.expect("a database");
    // What had not been sent is another's now, so it may not be sent any more.
    let third = held(&two, &day(2), "c").await;
    assert!(waits.departure().leave().await.is_err());
    assert!(matches!(claim(&two, &day(2), "d").await, Err(Untold::Over(_))));
    drop((waits, sent));
    assert!(is_full(&one, &day(2), "e").await, "and it is not given back twice");
    // A node that begins again settles what its last run held, and nobody else's.
    let again = house.node("one", 3);
    assert_eq!(again.settle().await.expect("a database"), 0);
    let next = house.node("two", 4);
    assert_eq!(next.settle().await.expect("a database"), 1);
    assert!(third.departure().leave().await.is_err());
}
