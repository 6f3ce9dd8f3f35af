use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcullis_base::{ApprovalId, Class, Classes, ClientId, Digest, PersonId, ServerName, Timestamp};
use portcullis_policy::{
    Ask, Assurance, Kind, Own, Somebody, Target, Who,
    approval::{
        Approval, Arguments, By, Call, Means, SpendError, State, Step, Terms, VoteError, Voter, Word, admit, ends_at,
        spend, vote, withdraw,
    },
};
use portcullis_store::{ApprovalRow, Asked, ChangeKind, Extent, Paging, Purged, Run, Store, StoreError};

use crate::{
    given::{DAY, Given, HOUR, MINUTE, NOW, after},
    on_both,
};

on_both!(
    approval_is_kept_as_it_is_and_found_by_who_looks,
    twenty_identical_calls_are_one_that_waits,
    flood_of_calls_leaves_five_that_wait,
    flood_that_is_answered_ends_too,
    refused_call_is_refused_at_once_for_a_while,
    what_is_over_makes_room_for_the_same_call,
    twenty_words_of_one_person_are_one,
    words_of_several_people_at_once_all_count,
    one_refusal_and_one_word_at_once_do_not_both_win,
    twenty_who_spend_it_are_one,
    two_nodes_see_each_others_steps,
    rows_take_the_steps_of_the_law_and_no_others,
    crash_between_granted_and_running_runs_nothing,
    crash_while_running_is_unknown_for_ever,
    node_that_stops_renewing_loses_what_it_runs,
    who_leaves_takes_words_and_calls_along,
    words_that_were_lent_end_with_whoever_lent_them,
    what_is_long_over_is_forgotten,
);

const ONE: Run<'_> = Run { node: "one", run: "1" };
const TWO: Run<'_> = Run { node: "two", run: "2" };
const LEASE: Duration = Duration::from_secs(30);

/// A call of somebody, with arguments of its own.
pub struct Waiting {
    person: PersonId,
    client: ClientId,
    server: ServerName,
    arguments: Arguments,
    id: String,
}

impl Waiting {
    pub fn of(person: &PersonId, id: &str) -> Self {
        Self {
            person: person.clone(),
            client: ClientId::new("agent"),
            server: ServerName::parse("shop").unwrap(),
            arguments: Arguments::read(Some(&format!("{{\"charge\":\"{id}\"}}"))).unwrap(),
            id: id.into(),
        }
    }

    pub fn call(&self) -> Call<'_> {
        Call {
            tenant: "https://gateway.example",
            person: &self.person,
            client: &self.client,
            server: &self.server,
            target: Target::Tool("refund"),
            definition: None,
            arguments: &self.arguments,
        }
    }

    pub fn row(&self, demands: &[Ask], now: Timestamp) -> ApprovalRow {
        let shared: Vec<Arc<Ask>> = demands.iter().cloned().map(Arc::new).collect();
        let expires_at = ends_at(&shared, &Terms::default(), now);
        let approval = Approval {
            id: ApprovalId::new(format!("apr_{}", self.id)),
            person: self.person.clone(),
            client: self.client.clone(),
            server: self.server.clone(),
            binding: self.call().binding("nonce", expires_at),
            fold: self.call().fold(&shared),
            nonce: "nonce".into(),
            demands: demands.into(),
            votes: Vec::new(),
            state: State::Pending,
            asked_at: now,
            expires_at,
        };
        ApprovalRow {
            approval,
            call: self.call().digest(),
            kind: "tool".into(),
            target: "refund".into(),
            definition: Some(Digest::of(b"definition")),
            classes: Classes::from(Class::Write).with(Class::Financial),
            rule: "refunds".into(),
            revision: "rev".into(),
            sealed: b"sealed call".to_vec(),
            decided_at: None,
            decided_by: None,
            why: None,
            began_at: None,
            ended_at: None,
            outcome: None,
        }
    }
}

/// Two of whom everybody may be one.
fn two() -> Ask {
    Ask { approvers: [Who::Everybody].into(), quorum: 2, own: Own::Never, ..Ask::plain("two".into()) }
}

fn plain() -> Ask {
    Ask::plain("access".into())
}

async fn ask(store: &Store, row: &ApprovalRow, now: Timestamp) -> Asked {
    store.ask_approval(row, now, |known| admit(known, &Terms::default(), now)).await.unwrap()
}

async fn say(store: &Store, id: &ApprovalId, who: &PersonId, word: Word, now: Timestamp) -> Result<Step, VoteError> {
    let somebody = Somebody { person: who, name: "x", kind: Kind::Person, groups: &[], roles: &[], client: None };
    let voter = Voter { somebody, means: Means::Session(now), surest: Assurance::Session, instead_of: &[] };
    let decide = |row: &ApprovalRow| vote(&row.approval, &voter, word.clone(), &Terms::default(), now);
    store.vote_approval(id, now, decide).await.unwrap().unwrap().0
}

async fn run(store: &Store, waiting: &Waiting, id: &ApprovalId, by: Run<'_>, now: Timestamp) -> Result<By, SpendError> {
    let decide = |row: &ApprovalRow| spend(&row.approval, &waiting.call(), now).map(|spent| spent.by().clone());
    store.spend_approval(id, by, now.plus(LEASE), now, decide).await.unwrap().unwrap()
}

impl Given {
    pub async fn asked(&self, row: &ApprovalRow, now: Timestamp) -> Asked {
        ask(self, row, now).await
    }

    async fn state(&self, id: &ApprovalId) -> State {
        self.approval(id).await.unwrap().unwrap().approval.state
    }

    /// Ada's call, to which she agreed.
    pub async fn agreed(&self, ada: &PersonId, id: &str, now: Timestamp) -> (Waiting, ApprovalId) {
        let waiting = Waiting::of(ada, id);
        let row = waiting.row(&[plain()], now);
        assert!(matches!(self.asked(&row, now).await, Asked::New(_)));
        assert_eq!(say(self, &row.approval.id, ada, Word::Approve, now).await.unwrap().state, State::Granted);
        (waiting, row.approval.id)
    }
}

async fn approval_is_kept_as_it_is_and_found_by_who_looks(given: &Given) {
    let (ada, bob, eve) = (given.person("ada").await, given.person("bob").await, given.person("eve").await);
    let waiting = Waiting::of(&ada.id, "1");
    let row = waiting.row(&[two(), plain()], NOW);
    let id = &row.approval.id;
    let seen = given.revision().await.unwrap();
    assert_eq!(given.asked(&row, NOW).await, Asked::New(row.clone()));
    assert_eq!(given.approval(id).await.unwrap().as_ref(), Some(&row));
    assert_eq!(given.approvals_waiting(9, NOW).await.unwrap(), std::slice::from_ref(&row));
    assert_eq!(given.approval(&ApprovalId::new("apr_x")).await.unwrap(), None);

    say(given, id, &bob.id, Word::Approve, NOW).await.unwrap();
    say(given, id, &eve.id, Word::Approve, after(MINUTE)).await.unwrap();
    let found = given.approval(id).await.unwrap().unwrap();
    assert_eq!((found.approval.state, found.decided_at), (State::Pending, None));
    let words: Vec<_> = found.approval.votes.iter().map(|vote| (&vote.person, &*vote.counts, vote.at)).collect();
    assert_eq!(words, [(&bob.id, &[0][..], NOW), (&eve.id, &[0][..], after(MINUTE))]);
    assert_eq!(given.approvals_waiting(9, NOW).await.unwrap(), [found], "one, however many have said something");
    say(given, id, &ada.id, Word::Approve, after(MINUTE)).await.unwrap();
    let found = given.approval(id).await.unwrap().unwrap();
    assert_eq!((found.decided_by.as_ref(), found.decided_at), (Some(&ada.id), Some(after(MINUTE))));
    assert!(given.approvals_waiting(9, NOW).await.unwrap().is_empty());

    assert_eq!(given.last_approved(&ada.id, &waiting.server, ("tool", "refund")).await.unwrap(), None);
    assert_eq!(run(given, &waiting, id, ONE, after(MINUTE)).await, Ok(By::Approval(id.clone())));
    assert!(given.approval_done(id, ONE, "ok", after(2 * MINUTE)).await.unwrap());
    let found = given.approval(id).await.unwrap().unwrap();
    assert_eq!((found.began_at, found.ended_at), (Some(after(MINUTE)), Some(after(2 * MINUTE))));
    assert_eq!((found.outcome.as_deref(), found.approval.votes.len()), (Some("ok"), 3));
    let last = given.last_approved(&ada.id, &waiting.server, ("tool", "refund")).await.unwrap();
    assert_eq!(last.as_ref(), Some(&found));
    assert_eq!(given.last_approved(&bob.id, &waiting.server, ("tool", "refund")).await.unwrap(), None);
    let paging = Paging { skip: 0, take: 5 };
    let of = given.approvals_of(&ada.id, paging).await.unwrap();
    assert_eq!((of.total, of.items), (1, vec![found]));
    assert_eq!(given.approvals_of(&bob.id, paging).await.unwrap().total, 0);
    let told = given.changes_since(seen).await.unwrap();
    assert_eq!(told.len(), 6, "each step is told");
    assert!(told.iter().all(|change| change.kind == ChangeKind::Approval && change.key == id.as_str()));
}

/// spec: T-84
async fn twenty_identical_calls_are_one_that_waits(given: &Given) {
    let ada = given.person("ada").await;
    let row = Waiting::of(&ada.id, "1").row(&[plain()], NOW);
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (store, mut row) = (given.store.clone(), row.clone());
        row.approval.id = ApprovalId::new(format!("apr_{n}"));
        tasks.push(tokio::spawn(async move { ask(&store, &row, NOW).await }));
    }
    let (mut new, mut folded) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            Asked::New(row) => new.push(row),
            Asked::Folded(row) => folded.push(row),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new.len(), folded.len()), (1, 19));
    assert!(folded.iter().all(|row| *row == new[0]));
    assert_eq!(given.approvals_waiting(99, NOW).await.unwrap(), new);
    // Others' calls, and those with other arguments or demands, are others.
    let bob = given.person("bob").await;
    assert!(matches!(given.asked(&Waiting::of(&bob.id, "2").row(&[plain()], NOW), NOW).await, Asked::New(_)));
    let mut other = Waiting::of(&ada.id, "1").row(&[two()], NOW);
    other.approval.id = ApprovalId::new("apr_two");
    assert!(matches!(given.asked(&other, NOW).await, Asked::New(_)));
}

/// spec: T-84
async fn flood_of_calls_leaves_five_that_wait(given: &Given) {
    let ada = given.person("ada").await;
    let mut tasks = Vec::new();
    for n in 0..40 {
        let (store, row) = (given.store.clone(), Waiting::of(&ada.id, &n.to_string()).row(&[plain()], NOW));
        tasks.push(tokio::spawn(async move { ask(&store, &row, NOW).await }));
    }
    let (mut new, mut many) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Asked::New(_) => new += 1,
            Asked::TooMany { again_at } => {
                assert_eq!(again_at, after(15 * MINUTE));
                many += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, many), (5, 35));
    assert_eq!(given.approvals_waiting(99, NOW).await.unwrap().len(), 5);
    // Another client of the same person, and the time, make room.
    let row = Waiting { client: ClientId::new("other"), ..Waiting::of(&ada.id, "x") }.row(&[plain()], NOW);
    assert!(matches!(given.asked(&row, NOW).await, Asked::New(_)));
    let later = after(15 * MINUTE);
    let row = Waiting::of(&ada.id, "y").row(&[plain()], later);
    assert!(matches!(given.asked(&row, later).await, Asked::New(_)));
}

/// However fast they are answered, and through whichever client.
///
/// spec: T-84
async fn flood_that_is_answered_ends_too(given: &Given) {
    let ada = given.person("ada").await;
    let wait = async |n: u32, now| {
        let client = ClientId::new(format!("agent {}", n % 2));
        let row = Waiting { client, ..Waiting::of(&ada.id, &n.to_string()) }.row(&[plain()], now);
        let asked = given.asked(&row, now).await;
        if matches!(asked, Asked::New(_)) {
            say(given, &row.approval.id, &ada.id, Word::Refuse("no".into()), now).await.unwrap();
        }
        asked
    };
    for n in 0..60 {
        assert!(matches!(wait(n, after(n * Duration::from_secs(1))).await, Asked::New(_)), "{n}");
    }
    assert_eq!(wait(60, after(MINUTE)).await, Asked::TooMany { again_at: after(HOUR) });
    assert!(matches!(wait(61, after(HOUR)).await, Asked::New(_)));
}

/// spec: T-84
async fn refused_call_is_refused_at_once_for_a_while(given: &Given) {
    let ada = given.person("ada").await;
    let waiting = Waiting::of(&ada.id, "1");
    let row = waiting.row(&[plain()], NOW);
    given.asked(&row, NOW).await;
    say(given, &row.approval.id, &ada.id, Word::Refuse("not this".into()), NOW).await.unwrap();
    let found = given.approval(&row.approval.id).await.unwrap().unwrap();
    assert_eq!((found.approval.state, found.why.as_deref()), (State::Refused, Some("not this")));
    assert_eq!(found.approval.votes[0].word, Word::Refuse("not this".into()));
    // Whatever is demanded by now.
    let mut again = waiting.row(&[two()], NOW);
    again.approval.id = ApprovalId::new("apr_again");
    let last = Timestamp::from_millis(after(10 * MINUTE).as_millis() - 1);
    assert_eq!(given.asked(&again, last).await, Asked::Refused { again_at: after(10 * MINUTE) });
    let other = Waiting::of(&ada.id, "2").row(&[plain()], last);
    assert!(matches!(given.asked(&other, last).await, Asked::New(_)));
    assert!(matches!(given.asked(&again, after(10 * MINUTE)).await, Asked::New(_)));
}

/// spec: T-81
async fn what_is_over_makes_room_for_the_same_call(given: &Given) {
    let ada = given.person("ada").await;
    let (waiting, id) = given.agreed(&ada.id, "1", NOW).await;
    let last = Timestamp::from_millis(after(15 * MINUTE).as_millis() - 1);
    let mut again = waiting.row(&[plain()], last);
    again.approval.id = ApprovalId::new("apr_again");
    assert!(matches!(given.asked(&again, last).await, Asked::Folded(row) if row.approval.id == id));
    let late = after(15 * MINUTE);
    assert_eq!(run(given, &waiting, &id, ONE, late).await, Err(SpendError::Not(State::Expired)));
    assert!(matches!(given.asked(&again, late).await, Asked::New(_)));
    assert_eq!(given.state(&id).await, State::Expired);

    let told = given.revision().await.unwrap();
    assert_eq!(given.expire_approvals(late).await.unwrap(), []);
    assert_eq!(given.expire_approvals(again.approval.expires_at).await.unwrap(), [again.approval.id.clone()]);
    assert_eq!(given.changes_since(told).await.unwrap()[0].key, "apr_again");
    assert_eq!(
        say(given, &again.approval.id, &ada.id, Word::Approve, late).await,
        Err(VoteError::Over(State::Expired))
    );
}

/// spec: T-82
async fn twenty_words_of_one_person_are_one(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    let row = Waiting::of(&ada.id, "1").row(&[two()], NOW);
    given.asked(&row, NOW).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (store, id, bob) = (given.store.clone(), row.approval.id.clone(), bob.id.clone());
        tasks.push(tokio::spawn(async move { say(&store, &id, &bob, Word::Approve, NOW).await }));
    }
    let mut counted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(step) => {
                assert_eq!(step.state, State::Pending);
                counted += 1;
            }
            Err(why) => assert_eq!(why, VoteError::Already),
        }
    }
    assert_eq!(counted, 1);
    let found = given.approval(&row.approval.id).await.unwrap().unwrap();
    assert_eq!((found.approval.state, found.approval.votes.len()), (State::Pending, 1));
}

async fn words_of_several_people_at_once_all_count(given: &Given) {
    let ada = given.person("ada").await;
    let row = Waiting::of(&ada.id, "1").row(&[Ask { quorum: 8, ..two() }], NOW);
    given.asked(&row, NOW).await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let (store, id) = (given.store.clone(), row.approval.id.clone());
        let who = given.person(&format!("p{n}")).await.id;
        tasks.push(tokio::spawn(async move { say(&store, &id, &who, Word::Approve, NOW).await.unwrap().state }));
    }
    let mut granted = 0;
    for task in tasks {
        granted += u32::from(task.await.unwrap() == State::Granted);
    }
    assert_eq!((granted, given.state(&row.approval.id).await), (1, State::Granted), "by the last of them");
}

async fn one_refusal_and_one_word_at_once_do_not_both_win(given: &Given) {
    let (ada, bob) = (given.person("ada").await, given.person("bob").await);
    for n in 0..6 {
        let row = Waiting::of(&ada.id, &n.to_string()).row(&[Ask { quorum: 1, ..two() }], after(n * HOUR));
        let (now, id) = (after(n * HOUR), row.approval.id.clone());
        given.asked(&row, now).await;
        let tasks =
            [(bob.id.clone(), Word::Approve), (ada.id.clone(), Word::Refuse("no".into()))].map(|(who, word)| {
                let (store, id) = (given.store.clone(), id.clone());
                tokio::spawn(async move { say(&store, &id, &who, word, now).await })
            });
        let [yes, no] = tasks;
        let (yes, no) = (yes.await.unwrap(), no.await.unwrap());
        let state = given.state(&id).await;
        assert_eq!((yes.is_ok(), no.is_ok()), (state == State::Granted, state == State::Refused), "{yes:?} {no:?}");
    }
}

/// spec: T-81
async fn twenty_who_spend_it_are_one(given: &Given) {
    let ada = given.person("ada").await;
    let (waiting, id) = given.agreed(&ada.id, "1", NOW).await;
    let other = given.database.open().await.unwrap();
    let waiting = Arc::new(waiting);
    let mut tasks = Vec::new();
    for n in 0..20 {
        let store = if n % 2 == 0 { given.store.clone() } else { other.clone() };
        let (waiting, id, by) = (Arc::clone(&waiting), id.clone(), if n % 2 == 0 { ONE } else { TWO });
        tasks.push(tokio::spawn(async move { run(&store, &waiting, &id, by, NOW).await }));
    }
    let mut runs = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => runs += 1,
            Err(why) => assert_eq!(why, SpendError::Not(State::Running)),
        }
    }
    assert_eq!((runs, given.state(&id).await), (1, State::Running));
}

async fn two_nodes_see_each_others_steps(given: &Given) {
    let (ada, other) = (given.person("ada").await, given.database.open().await.unwrap());
    let waiting = Waiting::of(&ada.id, "1");
    let row = waiting.row(&[plain()], NOW);
    let id = &row.approval.id;
    let seen = given.revision().await.unwrap();
    given.asked(&row, NOW).await;
    assert!(matches!(ask(&other, &row, NOW).await, Asked::Folded(_)));
    say(&other, id, &ada.id, Word::Approve, NOW).await.unwrap();
    let told = given.changes_since(seen).await.unwrap();
    assert_eq!(
        told.iter().map(|change| (change.kind, &*change.key)).collect::<Vec<_>>(),
        [(ChangeKind::Approval, "apr_1"); 2]
    );
    run(given, &waiting, id, ONE, NOW).await.unwrap();
    assert_eq!(run(&other, &waiting, id, TWO, NOW).await, Err(SpendError::Not(State::Running)));
    assert!(!other.approval_done(id, TWO, "ok", NOW).await.unwrap(), "it is not theirs");
    assert!(given.approval_done(id, ONE, "ok", NOW).await.unwrap());
    assert!(!given.approval_done(id, ONE, "ok", NOW).await.unwrap());
    let mut again = row.clone();
    again.approval.id = ApprovalId::new("apr_2");
    assert!(matches!(ask(&other, &again, NOW).await, Asked::New(_)), "it is asked about anew");
}

/// From each state every step is tried.
///
/// spec: T-87
async fn rows_take_the_steps_of_the_law_and_no_others(given: &Given) {
    for (n, from) in State::ALL.into_iter().enumerate() {
        let ada = given.person(&format!("ada{n}")).await;
        for (m, to) in State::ALL.into_iter().enumerate() {
            let waiting = Waiting::of(&ada.id, &format!("{n}x{m}"));
            let row = waiting.row(&[plain()], NOW);
            let id = &row.approval.id;
            assert!(matches!(given.asked(&row, NOW).await, Asked::New(_)));
            // What a row is given from outside: the law is asked about each step, and its answer overruled.
            let (sql, lease) = (from.as_str(), NOW.as_millis());
            given
                .database
                .run(&format!(
                    "update approvals set state = '{sql}', node = 'one', run = '1', leased_until = {lease} \
                     where id = '{id}'"
                ))
                .await;
            let force = |_: &ApprovalRow| Ok(to);
            let late = row.approval.expires_at;
            let took = match to {
                State::Pending => continue,
                State::Granted | State::Refused => {
                    let word = if to == State::Granted { Word::Approve } else { Word::Refuse("".into()) };
                    let vote = portcullis_policy::approval::Vote {
                        person: ada.id.clone(),
                        word,
                        assurance: Assurance::Session,
                        counts: vec![0],
                        instead_of: BTreeMap::new(),
                        at: NOW,
                    };
                    let forced = |_: &ApprovalRow| Ok(Step { vote: vote.clone(), state: to });
                    given.vote_approval(id, NOW, forced).await.map(|_| true)
                }
                State::Withdrawn => given.withdraw_approval(id, &ada.id, NOW, force).await.map(|_| true),
                State::Expired => given.expire_approvals(late).await.map(|ids| ids.contains(id)),
                State::Running => {
                    given.spend_approval(id, ONE, after(HOUR), NOW, |_| Ok::<_, SpendError>(())).await.map(|_| true)
                }
                State::Done => given.approval_done(id, ONE, "ok", NOW).await,
                State::Unknown => given.lose_runs(TWO, NOW).await.map(|ids| ids.contains(id)),
            };
            let took = match took {
                Ok(took) => took,
                Err(StoreError::Conflict) => false,
                Err(why) => panic!("{why}"),
            };
            let step = format!("{from:?} → {to:?}");
            assert_eq!(took, from.may_become(to), "{step}");
            assert_eq!(given.state(id).await, if took { to } else { from }, "{step}");
            given.database.run("update approvals set state = 'done' where state <> 'done'").await;
        }
    }
}

/// spec: T-87
async fn crash_between_granted_and_running_runs_nothing(given: &Given) {
    let ada = given.person("ada").await;
    let (waiting, id) = given.agreed(&ada.id, "1", NOW).await;
    // The node dies here. What it does at its next start finds nothing that ran, and the call can be run still, in time.
    let again = given.database.open().await.unwrap();
    let next = Run { node: "one", run: "2" };
    assert_eq!(again.lose_runs(next, after(MINUTE)).await.unwrap(), []);
    assert_eq!(given.state(&id).await, State::Granted);
    run(&again, &waiting, &id, next, after(MINUTE)).await.unwrap();
}

/// spec: T-87
async fn crash_while_running_is_unknown_for_ever(given: &Given) {
    let ada = given.person("ada").await;
    let (waiting, id) = given.agreed(&ada.id, "1", NOW).await;
    run(given, &waiting, &id, ONE, NOW).await.unwrap();
    assert_eq!(given.lose_runs(ONE, NOW).await.unwrap(), [], "its own run is alive");
    assert_eq!(given.lose_runs(TWO, NOW).await.unwrap(), [], "so is that of another node");
    let (next, seen) = (Run { node: "one", run: "2" }, given.revision().await.unwrap());
    assert_eq!(
        given.lose_runs(next, NOW).await.unwrap(),
        std::slice::from_ref(&id),
        "at once, when the node starts again"
    );
    assert_eq!(given.changes_since(seen).await.unwrap().len(), 1);
    assert_eq!(given.state(&id).await, State::Unknown);
    for by in [ONE, next] {
        assert_eq!(run(given, &waiting, &id, by, NOW).await, Err(SpendError::Not(State::Unknown)));
        assert!(!given.approval_done(&id, by, "ok", NOW).await.unwrap());
    }
    assert_eq!(given.lose_runs(next, after(HOUR)).await.unwrap(), []);
    assert_eq!(given.approval(&id).await.unwrap().unwrap().ended_at, Some(NOW));
}

/// spec: T-87
async fn node_that_stops_renewing_loses_what_it_runs(given: &Given) {
    let ada = given.person("ada").await;
    let (first, lost) = given.agreed(&ada.id, "1", NOW).await;
    run(given, &first, &lost, ONE, NOW).await.unwrap();
    let (second, kept) = given.agreed(&ada.id, "2", NOW).await;
    run(given, &second, &kept, TWO, NOW).await.unwrap();
    let last = Timestamp::from_millis(NOW.plus(LEASE).as_millis() - 1);
    assert_eq!(given.lose_runs(TWO, last).await.unwrap(), []);
    assert_eq!(given.renew_run(TWO, after(2 * MINUTE)).await.unwrap(), 1);
    assert_eq!(given.lose_runs(TWO, NOW.plus(LEASE)).await.unwrap(), std::slice::from_ref(&lost));
    // The slow one comes to its end, too late to say so.
    assert!(!given.approval_done(&lost, ONE, "ok", after(MINUTE)).await.unwrap());
    assert_eq!(given.renew_run(ONE, after(HOUR)).await.unwrap(), 0);
    assert!(given.approval_done(&kept, TWO, "ok", after(MINUTE)).await.unwrap());
    assert_eq!((given.state(&lost).await, given.state(&kept).await), (State::Unknown, State::Done));
}

/// spec: T-53, T-82
async fn who_leaves_takes_words_and_calls_along(given: &Given) {
    let (ada, bob, eve) = (given.person("ada").await, given.person("bob").await, given.person("eve").await);
    let by_two = Waiting::of(&ada.id, "1").row(&[two()], NOW);
    let by_one = Waiting::of(&ada.id, "2").row(&[Ask { quorum: 1, ..two() }], NOW);
    let bobs = Waiting::of(&bob.id, "3").row(&[plain()], NOW);
    for row in [&by_two, &by_one, &bobs] {
        given.asked(row, NOW).await;
    }
    for row in [&by_two, &by_one] {
        say(given, &row.approval.id, &bob.id, Word::Approve, NOW).await.unwrap();
    }
    let running = Waiting::of(&ada.id, "4");
    let row = running.row(&[Ask { quorum: 1, ..two() }], NOW);
    given.asked(&row, NOW).await;
    say(given, &row.approval.id, &bob.id, Word::Approve, NOW).await.unwrap();
    run(given, &running, &row.approval.id, ONE, NOW).await.unwrap();

    given.store.offboard(&bob.id, Extent::Account, NOW).await.unwrap();
    assert_eq!(given.state(&by_one.approval.id).await, State::Withdrawn);
    assert_eq!(given.state(&bobs.approval.id).await, State::Withdrawn);
    assert_eq!(given.state(&row.approval.id).await, State::Running, "what runs cannot be taken back");
    assert!(given.approval(&by_two.approval.id).await.unwrap().unwrap().approval.votes.is_empty());
    let step = say(given, &by_two.approval.id, &eve.id, Word::Approve, NOW).await.unwrap();
    assert_eq!(step.state, State::Pending, "one of two");
    // Who is gone says nothing any more, and asks for nothing.
    let somebody = Somebody { person: &bob.id, name: "x", kind: Kind::Person, groups: &[], roles: &[], client: None };
    let voter = Voter { somebody, means: Means::Session(NOW), surest: Assurance::Session, instead_of: &[] };
    let decide = |row: &ApprovalRow| vote(&row.approval, &voter, Word::Approve, &Terms::default(), NOW);
    let late = given.vote_approval(&by_two.approval.id, NOW, decide).await;
    assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
    let more = Waiting::of(&bob.id, "5").row(&[plain()], NOW);
    let late = given.ask_approval(&more, NOW, |known| admit(known, &Terms::default(), NOW)).await;
    assert!(matches!(late, Err(StoreError::Missing)), "{late:?}");
    // Ada takes back what still waits.
    let id = &by_two.approval.id;
    let own = |who: &PersonId| {
        let who = who.clone();
        move |row: &ApprovalRow| withdraw(&row.approval, &who, NOW)
    };
    let not_hers = given.withdraw_approval(id, &eve.id, NOW, own(&eve.id)).await.unwrap();
    assert_eq!(not_hers, Some(Err(VoteError::NotAsked)));
    assert_eq!(given.withdraw_approval(id, &ada.id, NOW, own(&ada.id)).await.unwrap(), Some(Ok(State::Withdrawn)));
    assert_eq!(given.state(id).await, State::Withdrawn);
}

/// spec: T-53, T-82
async fn words_that_were_lent_end_with_whoever_lent_them(given: &Given) {
    let (ada, bob, eve) = (given.person("ada").await, given.person("bob").await, given.person("eve").await);
    let named = |quorum| Ask { approvers: [Who::Person("bob".into())].into(), quorum, ..two() };
    let waits = Waiting::of(&ada.id, "1").row(&[named(2)], NOW);
    let granted = Waiting::of(&ada.id, "2").row(&[named(1)], NOW);
    let other = Waiting::of(&ada.id, "3").row(&[Ask { quorum: 1, ..two() }], NOW);
    for row in [&waits, &granted, &other] {
        given.asked(row, NOW).await;
        let of = |person, name| Somebody { person, name, kind: Kind::Person, groups: &[], roles: &[], client: None };
        let bobs = [of(&bob.id, "bob")];
        let (means, surest) = (Means::Session(NOW), Assurance::Session);
        let voter = Voter { somebody: of(&eve.id, "eve"), means, surest, instead_of: &bobs };
        let decide = |row: &ApprovalRow| vote(&row.approval, &voter, Word::Approve, &Terms::default(), NOW);
        let (step, row) = given.vote_approval(&row.approval.id, NOW, decide).await.unwrap().unwrap();
        assert_eq!(step.unwrap().vote, row.approval.votes[0], "it is read as it was written");
    }
    given.store.offboard(&bob.id, Extent::Account, NOW).await.unwrap();
    assert_eq!(given.state(&granted.approval.id).await, State::Withdrawn);
    assert_eq!(given.state(&waits.approval.id).await, State::Pending);
    assert!(given.approval(&waits.approval.id).await.unwrap().unwrap().approval.votes.is_empty());
    assert_eq!(given.state(&other.approval.id).await, State::Granted, "where her own word counts she used that");
}

async fn what_is_long_over_is_forgotten(given: &Given) {
    let ada = given.person("ada").await;
    let (waiting, done) = given.agreed(&ada.id, "1", NOW).await;
    run(given, &waiting, &done, ONE, NOW).await.unwrap();
    let (running, runs) = given.agreed(&ada.id, "2", NOW).await;
    run(given, &running, &runs, ONE, NOW).await.unwrap();
    given.approval_done(&done, ONE, "ok", after(DAY)).await.unwrap();
    let open = Waiting::of(&ada.id, "3").row(&[plain()], NOW);
    given.asked(&open, NOW).await;
    assert_eq!(given.purge_rights(after(DAY), after(9 * DAY)).await.unwrap(), Purged { rows: 0 });
    let just_after = Timestamp::from_millis(after(DAY).as_millis() + 1);
    assert_eq!(given.purge_rights(just_after, after(9 * DAY)).await.unwrap(), Purged { rows: 1 });
    assert_eq!(given.approval(&done).await.unwrap(), None);
    assert_eq!(given.state(&runs).await, State::Running);
    assert_eq!(given.state(&open.approval.id).await, State::Pending);
}
