//! Explanations, cases and calls of the past.

use portcullis_base::{Class, Classes, Labels, ServerName};
use portcullis_policy::{
    About, Access, Bundle, Case, Effect, Given, Past, Side, Source, Subject, Untold, World, answers, cases, explain,
    overrules, replay,
};

use crate::scene::{Call, bundle};

const RULES: &str = "# of the house
- rule: refunds-need-finance
  who: [group:support]
  what: [stripe/create_refund]
  when: args.amount <= 50000
  then: ask
  ask: { approvers: [group:finance] }
- rule: limit
  who: '*'
  what: class:financial
  quota: { calls: 30, window: 1h }
- rule: draft
  who: '*'
  what: stripe
  then: deny
  shadow: true
- { rule: others, who: 'group:other', what: stripe, then: deny }
- { rule: elsewhere, who: '*', what: mail, then: deny }
";

#[test]
fn explanation_tells_each_rule_that_was_looked_at_and_what_it_said() {
    let call = Call { arguments: r#"{"amount":500}"#, ..Call::default() };
    let told = call.with(|facts| explain(&bundle(RULES), &Access::default(), facts));
    assert_eq!((told.effect, &*told.rule, told.others, told.listed), (Effect::Ask, "refunds-need-finance", 1, true));
    let lines: Vec<_> = told.rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "* refunds-need-finance (rules.yaml:2): group:support, stripe/create_refund; holds: args.amount <= 50000 → ask, with ask",
            "- limit (rules.yaml:8): *, class:financial → quota",
            "- draft (rules.yaml:12), in shadow: *, stripe → deny",
            "- others (rules.yaml:17): does not concern the caller",
        ]
    );
    let text = told.to_string();
    for line in [
        "ask by \"refunds-need-finance\" (rules ",
        "alice with app: tools/call create_refund at stripe; class financial\n",
        "Rules looked at: 4 of 5\n",
        "Access list: ask, which a rule overrules\n",
        "Wants 1 of group:finance, at least by session (\"refunds-need-finance\")\n",
        "Counts against limit 1 of \"limit\"\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["effect"], "ask");
    assert_eq!(json["rules"][0]["holds"], true);
    assert_eq!(json["facts"]["target"]["tool"], "create_refund");
    let large = Call { arguments: r#"{"amount":50001}"#, ..Call::default() };
    let told = large.with(|facts| explain(&bundle(RULES), &Access::default(), facts));
    assert_eq!((told.effect, &*told.rule), (Effect::Ask, "access"));
    assert!(told.rules[0].to_string().ends_with("does not hold: args.amount <= 50000"));
    let unjudged = Call::default().with(|facts| explain(&bundle(RULES), &Access::default(), facts));
    assert!(unjudged.because.as_deref().unwrap().starts_with("the rule's condition cannot be judged"));
    assert!(unjudged.rules[0].to_string().contains("; cannot be judged ("));
}

#[test]
fn facts_that_were_kept_decide_as_those_that_were_there() {
    let call = Call { through: Some("daily"), tags: &["pci"], session: &["tainted"], ..Call::default() };
    call.with(|facts| {
        let kept = Given::of(facts);
        let stored = serde_json::to_string(&kept).unwrap();
        let kept: Given = serde_json::from_str(&stored).unwrap();
        kept.with(|again| assert_eq!(format!("{again:?}"), format!("{facts:?}")));
    });
}

fn read(text: &str) -> Vec<Case> {
    cases(&Source { name: "t.yaml", text }).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn cases_pass_or_tell_the_line_and_why() {
    let text = "# cases
- name: small refunds ask finance
  given: { groups: [support], server: stripe, tool: create_refund, classes: [financial], arguments: { amount: 500 } }
  expect: { effect: ask, rule: refunds-need-finance, ask: refunds-need-finance, quota: [limit], shadow: [draft], listed: true }
- name: large ones are denied
  given:
    groups: [support]
    server: stripe
    tool: create_refund
    arguments: { amount: 50001 }
    access: [{ group: support, allow: [read] }]
  expect:
    effect: ask
    rule: refunds-need-finance
    quota: limit
    listed: false
    label: []
- name: nobody else gets in
  given: { groups: [support], server: stripe, prompt: hello, access: group:other }
  expect: { effect: deny, rule: access, listed: false }
- name: a service at night
  given: { person: ci, kind: service, server: mail, tool: send, classes: '*', time: 2026-01-05T23:00:00Z, through: daily, address: 10.0.0.1, session: tainted, signed_in: 5m, roles: [admin], tags: [x], labels: [bulk] }
  expect: { rule: elsewhere }
";
    let rules = bundle(RULES);
    let outcomes: Vec<_> = read(text).iter().map(|case| (case.line, case.run(&rules, &World::empty()))).collect();
    assert_eq!(outcomes.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5, 18, 21]);
    for passing in [0, 2, 3] {
        assert_eq!(outcomes[passing].1.failures, [], "{passing}");
    }
    let failures = &outcomes[1].1.failures;
    assert_eq!(
        failures.iter().map(|(line, why)| format!("{line}: {why}")).collect::<Vec<_>>(),
        [
            "13: expected ask, but it is deny by \"access\"",
            "14: expected rule \"refunds-need-finance\", but \"access\" decides; - refunds-need-finance (rules.yaml:2): group:support, stripe/create_refund; does not hold: args.amount <= 50000",
            "15: expected quota [limit], but it is []",
            "16: expected that it is not in lists, but it is there",
        ]
    );
    // What a case does not say of the tool and the server, the world may know.
    let world = World {
        access: &|_| Some(Access::open()),
        tool: &|_, name| (name == "create_refund").then_some((Classes::from(Class::Financial), Labels::NONE)),
    };
    let quiet =
        read("- name: x\n  given: {server: stripe, tool: create_refund}\n  expect: {effect: allow, quota: limit}");
    assert_eq!(quiet[0].run(&bundle(RULES), &world).failures, []);
    assert_eq!(quiet[0].run(&bundle(RULES), &World::empty()).failures.len(), 2);
}

#[test]
fn cases_that_cannot_be_read_tell_file_line_and_nearest() {
    let case = |given: &str, expect: &str| {
        format!("- name: x\n  given:\n    server: stripe\n    {given}\n  expect:\n    {expect}\n")
    };
    for (text, line, said) in [
        (case("grops: [a]", "effect: ask"), 4, "did you mean \"groups\"?"),
        (case("kind: machine", "effect: ask"), 4, "none of person, service"),
        (case("roles: amdin", "effect: ask"), 4, "did you mean \"admin\"?"),
        (case("classes: [destuctive]", "effect: ask"), 4, "did you mean \"destructive\"?"),
        (case("labels: [bulkk]", "effect: ask"), 4, "did you mean \"bulk\"?"),
        (case("arguments: [1]", "effect: ask"), 4, "a map of names and values"),
        (case("time: noon", "effect: ask"), 4, "a moment such as"),
        (case("address: here", "effect: ask"), 4, "an address such as"),
        (case("signed_in: now", "effect: ask"), 4, "how long ago"),
        (case("access: [{group: a, alow: [read]}]", "effect: ask"), 4, "did you mean \"allow\"?"),
        (case("through: A B", "effect: ask"), 4, "is not a server name"),
        (case("groups: []", "efect: ask"), 6, "did you mean \"effect\"?"),
        (case("groups: []", "effect: aks"), 6, "did you mean \"ask\"?"),
        (case("groups: []", "listed: maybe"), 6, "true or false"),
        (case("groups: []", "cap: {byte: 1}"), 6, "bytes, items"),
        ("- name: x\n  given: {tool: a}\n  expect: {effect: ask}".to_owned(), 2, "\"server\" is missing"),
        ("- name: x\n  given: {server: a, tool: a, prompt: b}\n  expect: {effect: ask}".to_owned(), 2, "one of tool"),
        ("- given: {server: a}\n  expect: {effect: ask}".to_owned(), 1, "no name"),
        ("- name: x\n  given: {server: a}".to_owned(), 1, "\"expect\" is missing"),
        ("- name: x\n  given: {server: a}\n  expect: {}".to_owned(), 3, "shows nothing"),
        ("name: x".to_owned(), 1, "a file of cases is a list"),
        ("- [".to_owned(), 2, "not YAML"),
    ] {
        let faults = cases(&Source { name: "t.yaml", text: &text }).expect_err(&text);
        let told = faults[0].to_string();
        assert!(told.contains(said) && faults[0].line <= line.max(2), "{text}: {told}");
        assert!(told.contains("not YAML") || faults[0].line == line, "{text}: {told}");
    }
}

#[test]
fn calls_of_the_past_tell_what_would_change_tool_by_tool() {
    let before = Bundle::default();
    let after = bundle(
        RULES
            .replace("  shadow: true\n", "")
            .replace("rule: draft\n  who: '*'", "rule: draft\n  who: 'group:support'")
            .as_str(),
    );
    let open = |_: &ServerName| Access::open();
    let call = |tool: &'static str, arguments: &'static str, untold: &[Untold]| {
        let call = Call { target: portcullis_policy::Target::Tool(tool), arguments, ..Call::default() };
        Past { given: call.with(Given::of), untold: untold.to_vec(), decided: Effect::Allow }
    };
    let masked = &[Untold::Arguments][..];
    let mut past = vec![
        call("create_refund", r#"{"amount":1}"#, &[]),
        call("create_refund", r#"{"amount":"[redacted]"}"#, masked),
        call("list", "{}", masked),
    ];
    past.extend((0..5).map(|_| call("list", "{}", &[])));
    let sides = (Side { bundle: &before, access: &open }, Side { bundle: &after, access: &open });
    let replay = replay(&sides.0, &sides.1, past);
    assert_eq!((replay.calls, replay.uncertain, replay.beyond), (8, 0, 0));
    let counts: Vec<_> = replay.changes.iter().map(|change| (change.before, change.after, change.count)).collect();
    assert_eq!(counts, [(Effect::Allow, Effect::Deny, 8)]);
    let tools: Vec<_> = replay.tools.iter().map(|tool| (&tool.target, tool.changes[0].count)).collect();
    assert_eq!(tools, [(&Subject::Tool("list".into()), 6), (&Subject::Tool("create_refund".into()), 2)]);
    let listed = &replay.tools[0].changes[0];
    assert_eq!((listed.examples.len(), &*listed.rules.0, &*listed.rules.1), (3, "access", "draft"));
    assert!(serde_json::to_string(&replay).unwrap().contains("\"after\":\"deny\""));
}

#[test]
fn calls_of_which_something_is_not_told_are_judged_where_it_does_not_matter() {
    let open = |_: &ServerName| Access::open();
    let none = Bundle::default();
    let replayed = |rules: &str, untold: &[Untold]| {
        let after = bundle(rules);
        let past = Past { given: Call::default().with(Given::of), untold: untold.to_vec(), decided: Effect::Ask };
        let (before, after) = (Side { bundle: &none, access: &open }, Side { bundle: &after, access: &open });
        replay(&before, &after, [past])
    };
    let rule = |more: &str| format!("- {{rule: x, who: '*', what: stripe, {more}}}\n");
    for (rules, untold, is_certain) in [
        (rule("when: args.amount > 1, then: ask"), Untold::Arguments, false),
        (rule("when: args.amount > 1, then: ask"), Untold::Session, true),
        (rule("when: \"'x' in session.labels\", then: deny"), Untold::Session, false),
        (rule("then: step_up"), Untold::SignIn, false),
        (rule("when: signin.age_seconds < 60, then: allow"), Untold::SignIn, false),
        (rule("then: ask"), Untold::SignIn, true),
        ("- {rule: x, who: '*', what: 'class:write', then: deny}\n".to_owned(), Untold::Risk, false),
        (rule("then: deny"), Untold::Risk, true),
        // What only puts a limit on calls decides nothing.
        (rule("when: args.amount > 1, quota: {calls: 1, window: 1h}"), Untold::Arguments, true),
        // Nor does a condition where something else denies.
        (
            rule("then: deny") + "- {rule: y, who: '*', what: stripe, when: args.a > 1, then: ask}",
            Untold::Arguments,
            true,
        ),
    ] {
        let told = replayed(&rules, &[untold]);
        assert_eq!((told.calls, told.uncertain), (1, u64::from(!is_certain)), "{rules}");
        assert_eq!(told.untold.get(&untold).copied().unwrap_or_default(), told.uncertain, "{rules}");
        assert_eq!(told.otherwise, u64::from(is_certain), "the record says ask, and the first side allows");
        assert_eq!(told.same + told.changed() + told.uncertain, 1, "{rules}");
    }
    let told = replayed(&rule("then: ask"), &[]);
    assert_eq!((told.now(Effect::Ask), told.now(Effect::Deny)), (1, 0));
}

#[test]
fn rules_are_told_as_they_were_written_and_only_those_that_are_meant() {
    let rules = bundle(
        "# of the house
- rule: refunds
  who: [group:finance, client:desk]
  what: stripe/create_refund
  when: args.amount > 500
  then: ask
  ask: { approvers: [role:admin], quorum: 2, assurance: passkey, expires: 10m }
- rule: pace
  who: '*'
  what: [class:financial, mail]
  quota: [{ calls: 30, window: 1h, per: person }, { sum: args.amount, most: 500, unit: args.currency, window: 1d }]
  cap: { items: 10 }
  redact: [args.iban]
  label: money
- { rule: fresh, who: 'person:alice', what: 'stripe/delete_*', then: step_up, shadow: true }
",
    );
    let all = rules.written(&About::default());
    let told: Vec<_> = all.iter().map(|rule| (&*rule.rule, rule.line, rule.then, rule.shadow)).collect();
    assert_eq!(
        told,
        [("refunds", 2, Some(Effect::Ask), false), ("pace", 8, None, false), ("fresh", 15, Some(Effect::StepUp), true)]
    );
    assert_eq!(all[0].obliges, ["the word of 2 of role:admin, at least by passkey, within 10m"]);
    assert_eq!(
        all[1].obliges,
        [
            "at most 30 calls in 1h per person",
            "at most 500 in args.amount of each args.currency in 1d per person",
            "masks args.iban",
            "at most 10 items of a result",
            "labels the session money",
        ]
    );
    assert_eq!(all[2].obliges, ["a sign-in in the last 15m"]);
    assert_eq!((&all[0].who[1], all[0].when.as_deref()), (&"client:desk".to_owned(), Some("args.amount > 500")));

    let names =
        |about: About<'_>| -> Vec<String> { rules.written(&about).iter().map(|rule| rule.rule.to_string()).collect() };
    let (stripe, mail) = (ServerName::parse("stripe").unwrap(), ServerName::parse("mail").unwrap());
    let desk = portcullis_base::ClientId::new("desk");
    let at = About { server: Some(&stripe), ..About::default() };
    assert_eq!(names(at), ["refunds", "pace", "fresh"]);
    assert_eq!(names(About { tool: Some("delete_it"), ..at }), ["pace", "fresh"]);
    let mild = Some((Classes::from(Class::Read), Labels::NONE));
    assert_eq!(names(About { tool: Some("delete_it"), risk: mild, ..at }), ["fresh"]);
    assert_eq!(names(About { server: Some(&mail), ..About::default() }), ["pace"]);
    Call::default().with(|facts| {
        let about = About { somebody: Some(facts.caller()), ..About::default() };
        assert_eq!(names(about), ["refunds", "pace", "fresh"], "alice may come through any client");
        let other = portcullis_base::ClientId::new("other");
        assert_eq!(names(About { client: Some(&other), ..about }), ["pace", "fresh"]);
        assert_eq!(names(About { client: Some(&desk), ..about }), ["refunds", "pace", "fresh"]);
    });
}

#[test]
fn answers_tell_each_class_and_what_they_hang_on() {
    let rules = bundle(
        "- { rule: no-deletes, who: '*', what: 'class:destructive', then: deny }
- { rule: large, who: '*', what: 'class:financial', when: args.amount > 500, then: deny }
- { rule: named, who: '*', what: stripe/list, then: deny }
- { rule: draft, who: '*', what: stripe, then: deny, shadow: true }
",
    );
    let given = Call::default().with(Given::of);
    let told = answers(&rules, &Access::default(), &given);
    let told: Vec<_> = told
        .iter()
        .map(|answer| (answer.class.as_str(), answer.effect.as_str(), &*answer.rule, answer.depends_on.len()))
        .collect();
    assert_eq!(
        told,
        [
            ("read", "allow", "access", 0),
            ("write", "ask", "access", 0),
            ("unknown", "ask", "access", 0),
            ("egress", "ask", "access", 0),
            ("execute", "ask", "access", 0),
            ("destructive", "deny", "no-deletes", 0),
            ("financial", "deny", "large", 1),
        ]
    );
}

#[test]
fn a_rule_in_shadow_would_overrule_the_access_list_and_weaker_rules() {
    for (said, decided, by_rule, changes) in [
        (Some(Effect::Deny), Effect::Allow, true, true),
        (Some(Effect::Allow), Effect::Deny, true, false),
        (Some(Effect::Allow), Effect::Ask, false, true),
        (Some(Effect::Allow), Effect::Allow, false, false),
        (None, Effect::Allow, false, false),
    ] {
        assert_eq!(overrules(said, decided, by_rule), changes, "{said:?} {decided:?} {by_rule}");
    }
}
