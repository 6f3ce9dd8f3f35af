//! What happens to approvals, told on one in memory: each step is what the law said, written down as a row would be.

use std::{sync::Arc, time::Duration};

use portcullis_base::{
    ApprovalId, Class, Classes, ClientId, Digest, Labels, PersonId, ServerName, StandingGrantId, Timestamp,
};
use proptest::prelude::*;

use super::*;
use crate::{
    access::Access,
    ask::Own,
    bundle::Bundle,
    permit::{Denial, Permit, decide_call},
    request::{Facts, Target},
    source::Source,
    who::{Kind, Somebody, Who},
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_mins(1);
const TENANT: &str = "https://gateway.example";
const REFUND: &str = r#"{"charge":"ch_1","amount":100}"#;
/// The caller is the first.
const PEOPLE: [&str; 5] = ["usr_alice", "usr_bob", "usr_carol", "usr_dave", "usr_robot"];

fn after(by: Duration) -> Timestamp {
    NOW.plus(by)
}

/// Bob, Carol and the robot are of finance.
fn groups(person: &str) -> &'static [Arc<str>] {
    static FINANCE: std::sync::OnceLock<[Arc<str>; 1]> = std::sync::OnceLock::new();
    if matches!(person, "usr_bob" | "usr_carol" | "usr_robot") {
        FINANCE.get_or_init(|| ["finance".into()])
    } else {
        &[]
    }
}

/// `person` says something by `means`, and has no surer ones.
fn says(approval: &Approval, person: &str, means: Means, word: Word, now: Timestamp) -> Result<Step, VoteError> {
    says_who_has(approval, person, (means, means.assurance()), word, now)
}

fn says_who_has(
    approval: &Approval,
    person: &str,
    (means, surest): (Means, Assurance),
    word: Word,
    now: Timestamp,
) -> Result<Step, VoteError> {
    let id = PersonId::new(person);
    let kind = if person == "usr_robot" { Kind::Service } else { Kind::Person };
    let somebody = Somebody { person: &id, name: person, kind, groups: groups(person), roles: &[], client: None };
    vote(approval, &Voter { somebody, means, surest, instead_of: &[] }, word, &Terms::default(), now)
}

fn no() -> Word {
    Word::Refuse("no".into())
}

fn finance() -> Ask {
    let approvers = [Who::Group("finance".into())].into();
    Ask { approvers, own: Own::Never, ..Ask::plain("refunds".into()) }
}

struct Scene {
    person: PersonId,
    client: ClientId,
    server: ServerName,
    arguments: Arguments,
    definition: Digest,
}

impl Scene {
    fn new(arguments: &str) -> Self {
        Self {
            person: PersonId::new(PEOPLE[0]),
            client: ClientId::new("agent"),
            server: ServerName::parse("shop").unwrap(),
            arguments: Arguments::read(Some(arguments)).unwrap(),
            definition: Digest::of(b"refund"),
        }
    }

    fn call(&self) -> Call<'_> {
        Call {
            tenant: TENANT,
            person: &self.person,
            client: &self.client,
            server: &self.server,
            target: Target::Tool("refund"),
            definition: Some(&self.definition),
            arguments: &self.arguments,
        }
    }

    fn asked(&self, demands: &[Ask]) -> Approval {
        let shared: Vec<Arc<Ask>> = demands.iter().cloned().map(Arc::new).collect();
        let expires_at = ends_at(&shared, &Terms::default(), NOW);
        Approval {
            id: ApprovalId::new("apr_1"),
            person: self.person.clone(),
            client: self.client.clone(),
            server: self.server.clone(),
            binding: self.call().binding("nonce", expires_at),
            fold: self.call().fold(&shared),
            nonce: "nonce".into(),
            demands: demands.into(),
            votes: Vec::new(),
            state: State::Pending,
            asked_at: NOW,
            expires_at,
        }
    }
}

impl Approval {
    fn take(&mut self, step: Step) {
        self.votes.retain(|vote| vote.person != step.vote.person);
        self.votes.push(step.vote);
        self.become_(step.state);
    }

    fn become_(&mut self, next: State) {
        assert!(self.state == next || self.state.may_become(next), "{:?} → {next:?}", self.state);
        self.state = next;
    }
}

type Case = (&'static str, Ask, &'static str, Means, Result<State, VoteError>);

/// spec: T-82
#[test]
fn word_counts_of_whom_the_demand_names_and_gave_it_surely_enough() {
    let passkey = |approval: &Approval| Means::Passkey(approval.binding);
    let session = Means::Session(NOW);
    let table: [Case; 15] = [
        ("the caller, by the safe default", Ask::plain("access".into()), "usr_alice", session, Ok(State::Granted)),
        ("somebody else, by it", Ask::plain("access".into()), "usr_dave", session, Err(VoteError::NotAsked)),
        ("somebody of the group", finance(), "usr_bob", session, Ok(State::Granted)),
        ("somebody who is not", finance(), "usr_dave", session, Err(VoteError::NotAsked)),
        ("the caller, who must not", finance(), "usr_alice", session, Err(VoteError::Own)),
        ("a machine of the group", finance(), "usr_robot", session, Err(VoteError::NotAsked)),
        (
            "a sign-in of five minutes and a bit ago",
            finance(),
            "usr_bob",
            Means::Session(Timestamp::from_millis(NOW.as_millis() - 300_001)),
            Err(VoteError::SignInAgain { within: 5 * MINUTE }),
        ),
        ("one of five minutes ago", finance(), "usr_bob", Means::Session(NOW.minus(5 * MINUTE)), Ok(State::Granted)),
        (
            "a button where a page is wanted",
            finance(),
            "usr_bob",
            Means::Chat,
            Err(VoteError::TooWeak { needed: Assurance::Session }),
        ),
        (
            "the client program where a page is wanted",
            Ask::plain("access".into()),
            "usr_alice",
            Means::Elicitation,
            Err(VoteError::TooWeak { needed: Assurance::Session }),
        ),
        (
            "a page where a passkey is wanted",
            Ask { assurance: Assurance::Passkey, ..finance() },
            "usr_bob",
            session,
            Err(VoteError::TooWeak { needed: Assurance::Passkey }),
        ),
        (
            "a passkey that signed something else",
            Ask { assurance: Assurance::Passkey, ..finance() },
            "usr_bob",
            Means::Passkey(Digest::of(b"else")),
            Err(VoteError::OtherSignature),
        ),
        (
            "a button where that is enough",
            Ask { assurance: Assurance::Chat, ..finance() },
            "usr_bob",
            Means::Chat,
            Ok(State::Granted),
        ),
        (
            "the client program where that is enough",
            Ask { assurance: Assurance::Elicitation, ..Ask::plain("access".into()) },
            "usr_alice",
            Means::Elicitation,
            Ok(State::Granted),
        ),
        ("one of two", Ask { quorum: 2, ..finance() }, "usr_bob", session, Ok(State::Pending)),
    ];
    for (what, ask, who, means, result) in table {
        let approval = Scene::new(REFUND).asked(&[ask]);
        let step = says(&approval, who, means, Word::Approve, NOW).map(|step| step.state);
        assert_eq!(step, result, "{what}");
    }
    let approval = Scene::new(REFUND).asked(&[Ask { assurance: Assurance::Passkey, ..finance() }]);
    let step = says(&approval, "usr_bob", passkey(&approval), Word::Approve, NOW).unwrap();
    assert_eq!((step.state, step.vote.assurance), (State::Granted, Assurance::Passkey));
}

#[test]
fn who_has_a_passkey_uses_it_where_the_demand_would_rather_have_it() {
    let approval = Scene::new(REFUND).asked(&[Ask { rather: Some(Assurance::Passkey), ..finance() }]);
    let by_page = |surest| says_who_has(&approval, "usr_bob", (Means::Session(NOW), surest), Word::Approve, NOW);
    assert_eq!(by_page(Assurance::Session).unwrap().state, State::Granted);
    assert_eq!(by_page(Assurance::Passkey), Err(VoteError::TooWeak { needed: Assurance::Passkey }));
}

/// spec: T-82
#[test]
fn every_demand_is_met_by_different_people_and_one_word_counts_for_several() {
    let two = Ask { quorum: 2, ..finance() };
    let sure = Ask { assurance: Assurance::Passkey, ..finance() };
    let mut approval = Scene::new(REFUND).asked(&[two, sure]);
    let session = Means::Session(NOW);
    approval.take(says(&approval, "usr_bob", session, Word::Approve, NOW).unwrap());
    assert_eq!(says(&approval, "usr_bob", session, Word::Approve, NOW), Err(VoteError::Already));
    approval.take(says(&approval, "usr_carol", session, Word::Approve, NOW).unwrap());
    assert_eq!(approval.state, State::Pending, "two pages are no passkey");
    let means = Means::Passkey(approval.binding);
    approval.take(says(&approval, "usr_bob", means, Word::Approve, NOW).unwrap());
    assert_eq!(approval.state, State::Granted);
    let have: Vec<u32> = approval.progress().map(|(_, progress)| progress.have).collect();
    assert_eq!(have, [2, 1], "the word of Bob counts for both, and once for each");
    let approvers: Vec<_> = approval.approvers().collect();
    assert_eq!(approvers.len(), 2);
    assert!(approvers.contains(&(&PersonId::new("usr_bob"), Assurance::Passkey)));
    // Should a row be there twice, it is one person still.
    let twice = Approval { votes: vec![approval.votes[0].clone(), approval.votes[0].clone()], ..approval.clone() };
    assert_eq!(twice.progress().next().unwrap().1, Progress { have: 1, want: 2 });
}

#[test]
fn word_that_is_given_anew_stands_in_place_of_the_old_one() {
    let chat = Ask { assurance: Assurance::Chat, own: Own::AsApprover, ..finance() };
    let mut approval = Scene::new(REFUND).asked(&[chat, Ask::plain("access".into())]);
    let says_as = |approval: &Approval, groups, means: Means| {
        let somebody =
            Somebody { person: &approval.person, name: "alice", kind: Kind::Person, groups, roles: &[], client: None };
        let voter = Voter { somebody, means, surest: means.assurance(), instead_of: &[] };
        vote(approval, &voter, Word::Approve, &Terms::default(), NOW).unwrap()
    };
    approval.take(says_as(&approval, groups("usr_bob"), Means::Chat));
    // She is not of the group any more when she says it again.
    approval.take(says_as(&approval, &[], Means::Session(NOW)));
    assert_eq!((approval.state, approval.is_met()), (State::Pending, false));
}

#[test]
fn refusal_of_anybody_who_is_asked_ends_it_and_so_does_the_callers() {
    for (who, result) in [
        ("usr_bob", Ok(State::Refused)),
        ("usr_alice", Ok(State::Refused)),
        ("usr_dave", Err(VoteError::NotAsked)),
        ("usr_robot", Err(VoteError::NotAsked)),
    ] {
        let mut approval = Scene::new(REFUND).asked(&[Ask { quorum: 2, ..finance() }]);
        approval.take(says(&approval, "usr_carol", Means::Session(NOW), Word::Approve, NOW).unwrap());
        // However it was said: stopping something needs no fresh sign-in.
        let step = says(&approval, who, Means::Session(NOW.minus(60 * MINUTE)), no(), NOW);
        assert_eq!(step.clone().map(|step| step.state), result, "{who}");
        if let Ok(step) = step {
            approval.take(step);
            let late = says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, NOW);
            assert_eq!(late, Err(VoteError::Over(State::Refused)));
            assert_eq!(spend(&approval, &Scene::new(REFUND).call(), NOW), Err(SpendError::Not(State::Refused)));
        }
    }
    let approval = Scene::new(REFUND).asked(&[finance()]);
    assert_eq!(withdraw(&approval, &PersonId::new("usr_alice"), NOW), Ok(State::Withdrawn));
    assert_eq!(withdraw(&approval, &PersonId::new("usr_bob"), NOW), Err(VoteError::NotAsked));
    assert_eq!(
        withdraw(&approval, &PersonId::new("usr_alice"), approval.expires_at),
        Err(VoteError::Over(State::Expired))
    );
}

/// spec: T-81
#[test]
fn nothing_stands_longer_than_its_shortest_demand() {
    let short = Ask { expires: MINUTE, ..finance() };
    let mut approval = Scene::new(REFUND).asked(&[finance(), short]);
    assert_eq!(approval.expires_at, after(MINUTE));
    let long = Ask { expires: 60 * MINUTE, ..finance() };
    assert_eq!(Scene::new(REFUND).asked(&[long]).expires_at, after(15 * MINUTE));

    let last = Timestamp::from_millis(after(MINUTE).as_millis() - 1);
    let late = says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, after(MINUTE));
    assert_eq!(late, Err(VoteError::Over(State::Expired)));
    approval.take(says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, last).unwrap());
    let scene = Scene::new(REFUND);
    assert_eq!(spend(&approval, &scene.call(), after(MINUTE)), Err(SpendError::Not(State::Expired)));
    assert!(spend(&approval, &scene.call(), last).is_ok());
}

/// spec: T-80
#[test]
fn what_runs_is_what_was_approved() {
    let mut approval = Scene::new(REFUND).asked(&[finance()]);
    approval.take(says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, NOW).unwrap());
    let same = Scene::new(r#" {"amount":1.0e2, "charge":"ch_1"}"#);
    assert!(spend(&approval, &same.call(), NOW).is_ok());
    let other = Scene::new(r#"{"charge":"ch_1","amount":1000}"#);
    assert_eq!(spend(&approval, &other.call(), NOW), Err(SpendError::Changed));
    let redefined = Scene { definition: Digest::of(b"refund, and more"), ..Scene::new(REFUND) };
    assert_eq!(spend(&approval, &redefined.call(), NOW), Err(SpendError::Changed));
    let others = Scene { person: PersonId::new("usr_bob"), ..Scene::new(REFUND) };
    assert_eq!(spend(&approval, &others.call(), NOW), Err(SpendError::Changed));
    // A row that says it was granted and has no votes is not believed.
    approval.votes.clear();
    assert_eq!(spend(&approval, &same.call(), NOW), Err(SpendError::Unmet));
    approval.demands = [].into();
    assert_eq!(spend(&approval, &same.call(), NOW), Err(SpendError::Unmet));
}

/// spec: T-84
#[test]
fn flood_of_calls_becomes_few_that_wait() {
    let terms = Terms::default();
    let approval = Scene::new(REFUND).asked(&[finance()]);
    let known = Known { same: None, refused_at: None, pending: 0, next_end: None, recent: 59, first_recent: Some(NOW) };
    assert_eq!(admit(&known, &terms, NOW), Admitted::New);
    let full = Known { pending: 5, next_end: Some(after(MINUTE)), ..known };
    assert_eq!(admit(&full, &terms, NOW), Admitted::TooMany { again_at: after(MINUTE) });
    // An identical one takes no room, until it is over.
    let same = Known { same: Some(&approval), ..full };
    assert_eq!(admit(&same, &terms, NOW), Admitted::Folded);
    assert_eq!(admit(&same, &terms, approval.expires_at), Admitted::TooMany { again_at: approval.expires_at });
    let running = Approval { state: State::Running, ..approval.clone() };
    assert_eq!(admit(&Known { same: Some(&running), ..known }, &terms, NOW), Admitted::New);
    let busy = Known { recent: 60, ..known };
    assert_eq!(admit(&busy, &terms, NOW), Admitted::TooMany { again_at: after(60 * MINUTE) });
    let refused = Known { refused_at: Some(NOW), ..known };
    let again_at = after(10 * MINUTE);
    let last = Timestamp::from_millis(again_at.as_millis() - 1);
    assert_eq!(admit(&refused, &terms, last), Admitted::Refused { again_at });
    assert_eq!(admit(&refused, &terms, again_at), Admitted::New);
}

/// spec: T-84, T-82
#[test]
fn approval_ahead_covers_what_it_says_and_ends() {
    let scene = Scene::new(REFUND);
    let demands: Vec<Arc<Ask>> = vec![Arc::new(finance())];
    let mut approval = scene.asked(&[finance()]);
    let bob = PersonId::new("usr_bob");
    let somebody = |person| Somebody {
        person,
        name: "x",
        kind: Kind::Person,
        groups: groups("usr_bob"),
        roles: &[],
        client: None,
    };
    let (means, surest) = (Means::Session(NOW), Assurance::Session);
    let voter = Voter { somebody: somebody(&bob), means, surest, instead_of: &[] };
    let wish = |scope, uses, ends_at| (StandingGrantId::new("stg_1"), scope, uses, ends_at);
    let exact = || Scope::of(&scene.call(), &[]).unwrap();
    let hour = after(60 * MINUTE);
    assert_eq!(
        stand(&approval, &scene.call(), &voter, wish(exact(), None, hour), NOW),
        Err(StandError::NotAlone),
        "nobody has agreed yet"
    );
    approval.take(says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, NOW).unwrap());
    let made = |scope, uses, ends_at| stand(&approval, &scene.call(), &voter, wish(scope, uses, ends_at), NOW);
    for (uses, ends_at) in [
        (Some(0), hour),
        (Some(Standing::MOST + 1), hour),
        (None, NOW),
        (None, Timestamp::from_millis(after(Standing::LONGEST).as_millis() + 1)),
    ] {
        assert_eq!(made(exact(), uses, ends_at), Err(StandError::TooMuch));
    }
    let carol = PersonId::new("usr_carol");
    let other = Voter { somebody: somebody(&carol), ..voter };
    assert_eq!(
        stand(&approval, &scene.call(), &other, wish(exact(), None, hour), NOW),
        Err(StandError::NotAlone),
        "it was not she who agreed"
    );
    let unknown = Call { definition: None, ..scene.call() };
    assert_eq!(stand(&approval, &unknown, &voter, wish(exact(), None, hour), NOW), Err(StandError::NotAlone));
    assert_eq!(Scope::of(&scene.call(), &["nothing"]), Err(StandError::NoArgument));
    let mut two = Scene::new(REFUND).asked(&[Ask { quorum: 2, ..finance() }]);
    for who in ["usr_bob", "usr_carol"] {
        two.take(says(&two, who, Means::Session(NOW), Word::Approve, NOW).unwrap());
    }
    assert_eq!(stand(&two, &scene.call(), &voter, wish(exact(), None, hour), NOW), Err(StandError::NotAlone));

    let standing = made(exact(), Some(3), hour).unwrap();
    let members = made(Scope::of(&scene.call(), &["charge"]).unwrap(), None, hour).unwrap();
    let more = Scene::new(r#"{"charge":"ch_1","amount":1e2,"note":"x"}"#);
    let far = Scene::new(r#"{"charge":"ch_2","amount":100}"#);
    let covers = |standing: &Standing, scene: &Scene, at| cover(standing, &scene.call(), &demands, at).is_some();
    assert!(covers(&standing, &scene, NOW) && covers(&members, &scene, NOW));
    assert!(!covers(&standing, &more, NOW) && covers(&members, &more, NOW));
    assert!(!covers(&standing, &far, NOW) && !covers(&members, &far, NOW));
    assert!(!covers(&standing, &scene, hour));
    assert!(!covers(&Standing { revoked_at: Some(NOW), ..standing.clone() }, &scene, NOW));
    assert!(!covers(&Standing { uses_left: Some(0), ..standing.clone() }, &scene, NOW));
    assert!(!covers(&standing, &Scene { definition: Digest::of(b"x"), ..Scene::new(REFUND) }, NOW));
    assert!(!covers(&standing, &Scene { client: ClientId::new("x"), ..Scene::new(REFUND) }, NOW));
    assert!(!covers(&standing, &Scene { person: bob.clone(), ..Scene::new(REFUND) }, NOW));
    // spec: T-96: what is demanded now has to be what was met.
    let stricter = [Arc::new(Ask { assurance: Assurance::Passkey, ..finance() })];
    assert_eq!(cover(&standing, &scene.call(), &stricter, NOW), None);
    assert_eq!(cover(&standing, &scene.call(), &[], NOW), None);
    let text = serde_json::to_string(&members.scope).unwrap();
    assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), members.scope);
}

/// spec: T-81
#[test]
fn ends_with_the_shortest_demand_and_never_later_than_the_terms_or_the_law_say() {
    let minutes = |minutes| Duration::from_mins(minutes);
    let asks = |lengths: &[u64]| -> Vec<Arc<Ask>> {
        lengths.iter().map(|length| Arc::new(Ask { expires: minutes(*length), ..finance() })).collect()
    };
    for (demands, expires, lasts) in
        [(&[9, 4][..], 15, 4), (&[9, 4], 3, 3), (&[60], 60, 15), (&[], 15, 15), (&[], 2, 2)]
    {
        let terms = Terms { expires: minutes(expires), ..Terms::default() };
        assert_eq!(ends_at(&asks(demands), &terms, NOW), NOW.plus(minutes(lasts)), "{demands:?} {expires}");
    }
}

fn denied(rules: &str, scene: &Scene, arguments: &str) -> Denial {
    let bundle = Bundle::load(&[Source { name: "rules.yaml", text: rules }]).unwrap();
    let facts = Facts {
        person: &scene.person,
        name: "alice",
        kind: Kind::Person,
        groups: &[],
        roles: &[],
        client: &scene.client,
        server: &scene.server,
        through: None,
        method: "tools/call",
        target: Target::Tool("refund"),
        classes: Classes::from(Class::Write),
        labels: Labels::NONE,
        tags: &[],
        arguments: Some(arguments),
        authenticated_at: None,
        acr: None,
        address: None,
        session_labels: &[],
        now: NOW,
    };
    decide_call(&bundle, &Access::open(), &facts, arguments.as_bytes()).unwrap_err()
}

/// spec: T-80, T-96
#[test]
fn permit_comes_of_the_denial_and_the_approval_of_the_same_call() {
    let rules = "- {rule: refunds, who: '*', what: shop/refund, then: ask, ask: {approvers: [group:finance]}}\n";
    let scene = Scene::new(REFUND);
    let denial = denied(rules, &scene, REFUND);
    let granted = |denial: &Denial| {
        let demands: Vec<Ask> = denial.decision.obligations.asks.iter().map(|ask| (**ask).clone()).collect();
        let mut approval = scene.asked(&demands);
        approval.take(says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, NOW).unwrap());
        spend(&approval, &scene.call(), NOW).unwrap()
    };
    let permit = Permit::approved(denial.clone(), granted(&denial)).unwrap();
    assert_eq!(
        (&**permit.rule(), permit.call(), permit.server()),
        ("refunds", &Digest::of(REFUND.as_bytes()), &scene.server)
    );
    assert_eq!(permit.by(), Some(&By::Approval(ApprovalId::new("apr_1"))));
    assert_eq!(permit.obligations().asks.len(), 1);

    // An approval of something else, of weaker demands, or of what is forbidden by now lets nothing through.
    let other = denied(rules, &scene, r#"{"charge":"ch_1","amount":101}"#);
    assert!(Permit::approved(other, granted(&denial)).is_err());
    let more = format!("{rules}- {{rule: big, who: '*', what: shop/*, then: ask, ask: {{approvers: [group:boss]}}}}\n");
    assert!(Permit::approved(denied(&more, &scene, REFUND), granted(&denial)).is_err());
    let never = format!("{rules}- {{rule: stop, who: '*', what: shop/*, then: deny}}\n");
    assert!(Permit::approved(denied(&never, &scene, REFUND), granted(&denial)).is_err());
}

/// spec: T-60
#[test]
fn what_can_be_read_in_two_ways_is_not_asked_about() {
    let rules = "- {rule: refunds, who: '*', what: shop/refund, then: ask}\n";
    let denial = denied(rules, &Scene::new(REFUND), r#"{"amount":1,"amount":1000}"#);
    assert_eq!(denial.decision.effect, crate::rule::Effect::Deny);
    assert!(denial.message.contains("more than one way"), "{}", denial.message);
}

/// What anybody may try, in any order.
#[derive(Clone, Debug)]
enum Try {
    Say(usize, usize, bool),
    Spend(bool),
    Withdraw(usize),
    Finish,
    Crash,
    Wait(u64),
}

fn some_try() -> impl Strategy<Value = Try> {
    prop_oneof![
        8 => (0..PEOPLE.len(), 0..5_usize, prop::bool::weighted(0.05)).prop_map(|(who, how, no)| Try::Say(who, how, no)),
        6 => prop::bool::weighted(0.2).prop_map(Try::Spend),
        1 => (0..PEOPLE.len()).prop_map(Try::Withdraw),
        1 => Just(Try::Finish),
        1 => Just(Try::Crash),
        1 => (1..400_u64).prop_map(Try::Wait),
    ]
}

fn some_ask() -> impl Strategy<Value = Ask> {
    let own = prop::sample::select(vec![Own::Always, Own::AsApprover, Own::Never]);
    let assurance = prop::sample::select(Assurance::ALL.to_vec());
    (own, assurance, 1..3_u32, 60..1200_u64).prop_map(|(own, assurance, quorum, expires)| {
        let expires = Duration::from_secs(expires);
        Ask { quorum, own, assurance, expires, ..finance() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// spec: T-81, T-82, T-87
    #[test]
    fn whatever_is_tried_it_runs_once_agreed_and_in_time(
        demands in prop::collection::vec(some_ask(), 1..4),
        tries in prop::collection::vec(some_try(), 1..60),
    ) {
        let (scene, other) = (Scene::new(REFUND), Scene::new("{}"));
        let mut approval = scene.asked(&demands);
        // What was truly said, kept apart from what the law made of it.
        let mut said: Vec<(usize, Assurance)> = Vec::new();
        let (mut now, mut runs, mut refused) = (NOW, 0, false);
        for what in tries {
            match what {
                Try::Say(who, how, refuses) => {
                    let means = [
                        Means::Elicitation,
                        Means::Chat,
                        Means::Session(now.minus(MINUTE)),
                        Means::Session(now.minus(6 * MINUTE)),
                        Means::Passkey(if who == 3 { Digest::of(b"x") } else { approval.binding }),
                    ][how];
                    let word = if refuses { no() } else { Word::Approve };
                    if let Ok(step) = says(&approval, PEOPLE[who], means, word, now) {
                        prop_assert!(how != 3 || refuses, "an old sign-in approves nothing");
                        if refuses { refused = true } else { said.push((who, means.assurance())) }
                        approval.take(step);
                    }
                }
                Try::Spend(changed) => {
                    if let Ok(spent) = spend(&approval, &if changed { other.call() } else { scene.call() }, now) {
                        prop_assert_eq!(spent.by(), &By::Approval(approval.id.clone()));
                        runs += 1;
                        prop_assert!(!changed && !refused && runs == 1 && now < approval.expires_at);
                        prop_assert!(now.since(NOW) < Ask::LONGEST);
                        for ask in &demands {
                            let counts = |who: usize| {
                                let named = match (who, ask.own) {
                                    (0, own) => own == Own::Always,
                                    (1 | 2, _) => true,
                                    _ => false,
                                };
                                named && said.iter().any(|(whose, sure)| *whose == who && *sure >= ask.assurance)
                            };
                            prop_assert!((0..PEOPLE.len()).filter(|who| counts(*who)).count() >= ask.quorum as usize);
                        }
                        approval.become_(State::Running);
                    }
                }
                Try::Withdraw(who) => {
                    if let Ok(state) = withdraw(&approval, &PersonId::new(PEOPLE[who]), now) {
                        prop_assert_eq!(who, 0);
                        approval.become_(state);
                    }
                }
                Try::Finish if approval.state == State::Running => approval.become_(State::Done),
                Try::Crash if approval.state == State::Running => approval.become_(State::Unknown),
                Try::Finish | Try::Crash => {}
                Try::Wait(seconds) => now = now.plus(Duration::from_secs(seconds)),
            }
        }
    }
}

/// `person`, of no group themselves, says yes in the stead of `owners`.
fn stands_in(approval: &Approval, person: &str, owners: &[&str]) -> Result<Step, VoteError> {
    says_instead(approval, person, owners, Word::Approve)
}

fn says_instead(approval: &Approval, person: &str, owners: &[&str], word: Word) -> Result<Step, VoteError> {
    let (id, owners) = (PersonId::new(person), owners.iter().map(|owner| PersonId::new(*owner)).collect::<Vec<_>>());
    let kind = |person: &PersonId| if person.as_str() == "usr_robot" { Kind::Service } else { Kind::Person };
    let of = |person, groups| Somebody { person, name: "x", kind: kind(person), groups, roles: &[], client: None };
    let owners: Vec<_> = owners.iter().map(|owner| of(owner, groups(owner.as_str()))).collect();
    let voter = Voter {
        somebody: of(&id, groups(person)),
        means: Means::Session(NOW),
        surest: Assurance::Session,
        instead_of: &owners,
    };
    vote(approval, &voter, word, &Terms::default(), NOW)
}

/// spec: T-82
#[test]
fn word_that_was_lent_is_worth_one_and_never_lets_through_what_either_of_them_wants() {
    let (dave, bob) = (PersonId::new("usr_dave"), PersonId::new("usr_bob"));
    let asked = |quorum| Scene::new(REFUND).asked(&[Ask { quorum, ..finance() }]);
    assert_eq!(stands_in(&asked(1), "usr_dave", &[]).unwrap_err(), VoteError::NotAsked);
    let step = stands_in(&asked(1), "usr_dave", &["usr_bob"]).unwrap();
    assert_eq!((step.state, &step.vote.person, step.vote.owner(0)), (State::Granted, &dave, &bob));

    // Of two who are wanted, Bob and whoever stands in for him are one, in whichever order they say so.
    let mut approval = asked(2);
    approval.take(stands_in(&approval, "usr_dave", &["usr_bob"]).unwrap());
    approval.take(says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, NOW).unwrap());
    assert_eq!((approval.state, approval.progress().next().unwrap().1.have), (State::Pending, 1));
    let mut approval = asked(2);
    approval.take(says(&approval, "usr_bob", Means::Session(NOW), Word::Approve, NOW).unwrap());
    assert_eq!(stands_in(&approval, "usr_dave", &["usr_bob"]).unwrap_err(), VoteError::NotAsked);
    let step = stands_in(&approval, "usr_dave", &["usr_bob", "usr_carol"]).unwrap();
    assert_eq!((step.state, step.vote.owner(0).as_str()), (State::Granted, "usr_carol"));
    // Nor does Carol count twice who has a word of her own and one of Bob's.
    let mut approval = asked(2);
    approval.take(stands_in(&approval, "usr_carol", &["usr_bob"]).unwrap());
    assert_eq!((approval.state, approval.votes[0].instead_of.len()), (State::Pending, 0));

    // The caller gets no word on their own call, and lends none on it, whatever the rule says of one's own.
    for own in [Own::Always, Own::AsApprover, Own::Never] {
        let approvers = [Who::Group("finance".into()), Who::Person("usr_alice".into())].into();
        let approval = Scene::new(REFUND).asked(&[Ask { approvers, own, ..finance() }]);
        assert_eq!(stands_in(&approval, "usr_dave", &["usr_alice"]).unwrap_err(), VoteError::NotAsked, "{own:?}");
        let owners = ["usr_alice", "usr_bob"];
        assert_eq!(stands_in(&approval, "usr_dave", &owners).unwrap().vote.owner(0), &bob);
    }
    assert_eq!(stands_in(&asked(1), "usr_alice", &["usr_bob"]).unwrap_err(), VoteError::Own);
    assert_eq!(stands_in(&asked(1), "usr_robot", &["usr_bob"]).unwrap_err(), VoteError::NotAsked, "a machine");
    assert_eq!(stands_in(&asked(1), "usr_dave", &["usr_robot"]).unwrap_err(), VoteError::NotAsked, "of a machine");
    let no = says_instead(&approval, "usr_dave", &["usr_bob"], no()).unwrap();
    assert_eq!(no.state, State::Refused, "whoever may say yes may say no");
}

/// spec: T-82, T-84
#[test]
fn what_was_lent_approves_nothing_ahead() {
    let scene = Scene::new(REFUND);
    let mut approval = scene.asked(&[finance()]);
    approval.take(stands_in(&approval, "usr_dave", &["usr_bob"]).unwrap());
    let dave = PersonId::new("usr_dave");
    let somebody =
        Somebody { person: &dave, name: "x", kind: Kind::Person, groups: groups("usr_bob"), roles: &[], client: None };
    let voter = Voter { somebody, means: Means::Session(NOW), surest: Assurance::Session, instead_of: &[] };
    let wish = (StandingGrantId::new("stg_1"), Scope::of(&scene.call(), &[]).unwrap(), None, after(MINUTE));
    assert_eq!(stand(&approval, &scene.call(), &voter, wish, NOW), Err(StandError::NotAlone));
}
