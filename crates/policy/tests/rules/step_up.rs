//! Rules that ask for a fresh sign-in, and whom rules name.

use std::{sync::Arc, time::Duration};

use portcullis_base::{Classes, ClientId, Labels, PersonId, ServerName, Timestamp};
use portcullis_policy::{Access, Bundle, Denial, Facts, Kind, Permit, RuleError, Source, StepUp, Target, decide_call};

const NOW: Timestamp = Timestamp::from_secs(1_795_400_000);

fn load(text: &str) -> Result<Bundle, Vec<RuleError>> {
    Bundle::load(&[Source { name: "rules.yaml", text }])
}

/// A call of somebody who signed in so many seconds ago, in that way.
fn call(rules: &str, signed_in: Option<u64>, acr: Option<&str>) -> Result<Permit, Denial> {
    let bundle = load(rules).unwrap_or_else(|faults| panic!("{rules}: {faults:?}"));
    let facts = Facts {
        person: &PersonId::new("usr_1"),
        name: "alice",
        kind: Kind::Person,
        groups: &["support".into()],
        roles: &["member"],
        client: &ClientId::new("app"),
        server: &ServerName::parse("stripe").expect("a name"),
        through: None,
        method: "tools/call",
        target: Target::Tool("create_refund"),
        classes: Classes::NONE,
        labels: Labels::NONE,
        tags: &[],
        arguments: Some("{\"amount\":1}"),
        authenticated_at: signed_in.map(|ago| NOW.minus(Duration::from_secs(ago))),
        acr,
        address: None,
        session_labels: &[],
        now: NOW,
    };
    decide_call(&bundle, &Access::open(), &facts, b"call")
}

#[test]
fn sign_in_that_is_fresh_and_strong_enough_is_not_asked_for() {
    let rule = |wanted: &str| format!("- {{rule: fresh, who: '*', what: stripe, then: step_up{wanted}}}");
    let (age, acr) = (", step_up: {max_age: 1h}", ", step_up: {acr: [mfa, hwk]}");
    let both = ", step_up: {max_age: 5m, acr: mfa}";
    for (wanted, signed_in, how, passes) in [
        // Without more words: a quarter of an hour.
        ("", Some(15 * 60), None, true),
        ("", Some(15 * 60 + 1), None, false),
        ("", None, Some("mfa"), false),
        (age, Some(3600), None, true),
        (age, Some(3601), None, false),
        (age, None, None, false),
        (acr, Some(999_999), Some("hwk"), true),
        (acr, None, Some("mfa"), true),
        (acr, Some(1), Some("pwd"), false),
        (acr, Some(1), None, false),
        (both, Some(300), Some("mfa"), true),
        (both, Some(301), Some("mfa"), false),
        (both, Some(300), Some("pwd"), false),
    ] {
        match call(&rule(wanted), signed_in, how) {
            Ok(permit) => assert!(passes && &**permit.rule() == "fresh", "{wanted} {signed_in:?} {how:?}"),
            Err(denial) => assert!(!passes && denial.step_up.is_some(), "{wanted} {signed_in:?} {how:?}"),
        }
    }
}

#[test]
fn denial_says_what_kind_of_sign_in_it_wants() {
    let rules = "- {rule: fresh, who: '*', what: stripe, then: step_up, step_up: {max_age: 90s, acr: [mfa]}}";
    let denial = call(rules, Some(91), Some("mfa")).unwrap_err();
    assert_eq!(
        denial.step_up,
        Some(Box::new(StepUp { max_age: Some(Duration::from_secs(90)), acr: vec![Arc::from("mfa")] }))
    );
    assert_eq!(&*denial.message, "Rule \"fresh\" wants a fresh sign-in for this call. Sign in again, then repeat it.");
    assert!(!denial.hidden);
    let deny = "- {rule: no, who: '*', what: stripe, then: deny}\n";
    assert_eq!(call(&format!("{rules}\n{deny}"), Some(91), None).unwrap_err().step_up, None);
}

#[test]
fn fresh_sign_in_weakens_no_other_rule() {
    let fresh = "- {rule: fresh, who: '*', what: stripe, then: step_up}\n";
    for (then, rule) in [("ask", "other"), ("deny", "other")] {
        let rules = format!("{fresh}- {{rule: other, who: '*', what: stripe, then: {then}}}");
        assert_eq!(&*call(&rules, Some(1), None).unwrap_err().decision.rule, rule);
    }
    let stricter = format!("{fresh}- {{rule: other, who: '*', what: stripe, then: step_up, step_up: {{max_age: 1m}}}}");
    assert_eq!(&*call(&stricter, Some(61), None).unwrap_err().decision.rule, "other");
    // A rule that cannot be judged wants its sign-in, and allows nothing by itself.
    let unjudged = "- {rule: fresh, who: '*', what: stripe, when: args.nothing > 1, then: step_up}";
    assert_eq!(&*call(unjudged, None, None).unwrap_err().decision.rule, "fresh");
    assert_eq!(&**call(unjudged, Some(1), None).unwrap().rule(), "access");
}

#[test]
fn conditions_on_a_sign_in_that_is_not_known_have_no_answer() {
    for (when, signed_in, how, passes) in [
        ("signin.age_seconds > 60", Some(60), None, true),
        ("signin.age_seconds > 60", Some(61), None, false),
        ("signin.age_seconds > 60", None, None, false),
        ("signin.acr != \"mfa\"", Some(1), Some("mfa"), true),
        ("signin.acr != \"mfa\"", Some(1), None, false),
        ("has(signin.acr) && signin.acr == \"pwd\"", Some(1), None, true),
    ] {
        let rules = format!("- {{rule: r, who: '*', what: stripe, when: '{when}', then: deny}}");
        assert_eq!(call(&rules, signed_in, how).is_ok(), passes, "{when} {signed_in:?} {how:?}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_its_line() {
    let rule =
        |wanted: &str| format!("- rule: fresh\n  who: '*'\n  what: stripe\n  then: step_up\n  step_up: {wanted}\n");
    for (wanted, said) in [
        ("{max_age: soon}", "\"max_age\" is a time"),
        ("{max_age: 29s}", "at least 30s"),
        ("{max_age: 15}", "\"max_age\" is a time"),
        ("{acr: []}", "\"acr\" is a text"),
        ("{acr: ''}", "\"acr\" is a text"),
        ("{acr: 'a b'}", "\"acr\" is a text"),
        ("{acr: [a, 1]}", "\"acr\" is a text"),
        ("{maxage: 1h}", "did you mean \"max_age\"?"),
        ("{}", "has the keys max_age, acr"),
        ("15m", "has the keys max_age, acr"),
    ] {
        let faults = load(&rule(wanted)).unwrap_err();
        let told = faults[0].to_string();
        assert!(faults[0].line == 5 && told.contains(said), "{wanted}: {told}");
    }
    let other = rule("{max_age: 1h}").replace("then: step_up", "then: deny");
    assert!(load(&other).unwrap_err()[0].message.contains("does not say \"then: step_up\""));
}

#[test]
fn every_group_and_role_is_told_with_its_rule_and_line() {
    let rules = "- rule: one
  who: [group:eng, person:alice, 'role:auditor']
  what: stripe
  then: ask
  ask:
    approvers:
      - group:finance
      - role:owner
- {rule: two, who: 'group:eng', what: '*', then: allow}
- {rule: three, who: 'role:member', what: '*', then: deny}
";
    let bundle = load(rules).unwrap();
    let told = |mentions: &[portcullis_policy::Mention]| -> Vec<String> {
        mentions.iter().map(|m| format!("{}:{} {} {}", m.file, m.line, m.rule, m.name)).collect()
    };
    assert_eq!(told(bundle.groups()), ["rules.yaml:2 one eng", "rules.yaml:7 one finance", "rules.yaml:9 two eng"]);
    assert_eq!(
        told(bundle.roles()),
        ["rules.yaml:2 one auditor", "rules.yaml:8 one owner", "rules.yaml:10 three member"]
    );
}
