//! What a rule file may say, and what it hears when it says something else.

use std::fmt::Write;

use portcullis_policy::{Bundle, Source};

fn load(text: &str) -> Result<Bundle, Vec<String>> {
    Bundle::load(&[Source { name: "p.yaml", text }]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn faults(text: &str) -> Vec<String> {
    load(text).expect_err("the file has faults")
}

#[test]
fn every_fault_is_told_with_file_line_and_nearest() {
    let text = "# rules of the house
- rule: one
  who: [group:eng, grop:ops]
  whn: args.a > 1
  what: stripe/x
  then: alow

- rule: two
  who: '*'
  what:
    - stripe/x
    - Stripe/y
  when: arg.amount > 5
  then: ask
  ask: { aprovers: [group:finance] }
  quota: 5
- {rule: three, who: '*', what: '*',
   then: deny, shadow: maybe}
- rule: four
  who: '*'
";
    assert_eq!(
        faults(text),
        [
            "p.yaml:4: there is no key \"whn\" here; the keys are rule, who, what, when, then, shadow, ask, step_up, quota, redact, cap, label; did you mean \"when\"?",
            "p.yaml:3: \"grop\" is none of person, group, client, agent, role, service; did you mean \"group:ops\"?",
            "p.yaml:6: \"alow\" is none of allow, ask, step_up, deny; did you mean \"allow\"?",
            "p.yaml:12: \"Stripe\" is not a server name: use 1 to 32 of a-z, 0-9 and \"-\", not beginning with \"-\"",
            "p.yaml:13: there is no variable \"arg\" in conditions; did you mean \"args\"?",
            "p.yaml:15: there is no key \"aprovers\" here; the keys are approvers, quorum, not_self, assurance, expires; did you mean \"approvers\"?",
            "p.yaml:16: a limit has the keys per, calls, sum, most, unit, window, concurrent",
            "p.yaml:18: \"shadow\" is true or false",
            "p.yaml:19: this rule does not say what; \"what: '*'\" is everything",
            "p.yaml:19: this rule does not say what then: allow, ask, step_up or deny; nor has it one of quota, redact, cap, label",
        ]
    );
}

#[test]
fn file_that_is_no_list_of_rules_is_refused() {
    for (text, said) in [
        ("rule: x", "p.yaml:1: a rule file is a list"),
        ("- a: [", "p.yaml:"),
        ("- x", "p.yaml:1: this is not a rule"),
        ("- {rule: x, rule: y, who: '*', what: '*', then: deny}", "p.yaml:1: this is not YAML"),
        ("- &a [*a]", "p.yaml:1: this is not YAML"),
        ("- {rule: '', who: '*', what: '*', then: deny}", "p.yaml:1: a rule's name"),
        ("- {rule: x, who: [], what: '*', then: deny}", "p.yaml:1: \"who\" is a text or a list"),
        ("- {rule: x, who: [1], what: '*', then: deny}", "p.yaml:1: this is not a text"),
        ("- {rule: x, who: '*', what: '*', when: 1, then: deny}", "p.yaml:1: a condition is a text"),
        ("- {rule: x, who: '*', what: '*', then: deny, ask: {}}", "p.yaml:1: \"ask\" says how to ask"),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {quorum: 0}}", "p.yaml:1: \"quorum\""),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {assurance: passky}}", "did you mean \"passkey\"?"),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {expires: soon}}", "p.yaml:1: \"expires\""),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {expires: 30m}}", "did you mean \"15m\"?"),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {expires: 1s}}", "did you mean \"30s\"?"),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {approvers: [self], not_self: true}}", "takes back"),
        ("- {rule: x, who: '*', what: '*', then: ask, ask: {approvers: ['service:ci']}}", "only a person can"),
        ("- {rule: x, who: '*', what: '*', then: deny, quota: {calls: 1, window: 1h}}", "nothing that \"quota\""),
    ] {
        let faults = faults(text);
        assert!(faults[0].contains(said), "{text}: {faults:?}");
    }
}

#[test]
fn rule_names_are_unique_over_all_files_and_access_is_taken() {
    let text = "- {rule: x, who: '*', what: '*', then: deny}\n";
    let sources = [Source { name: "a.yaml", text }, Source { name: "b.yaml", text }];
    let faults = Bundle::load(&sources).expect_err("the name is taken");
    assert_eq!(faults[0].to_string(), "b.yaml:1: the name \"x\" belongs to a.yaml:1");
    let faults = self::faults(&text.replace("rule: x", "rule: access"));
    assert_eq!(faults[0], "p.yaml:1: the name \"access\" belongs to the access lists of servers");
}

#[test]
fn revision_follows_the_texts() {
    let rule = "- {rule: x, who: '*', what: '*', then: deny}\n";
    let one = load(rule).expect("it is a rule");
    assert_eq!((one.len(), one.revision().len()), (1, 12));
    assert_eq!(load(rule).expect("it is a rule").revision(), one.revision());
    assert_ne!(load("").expect("no rules").revision(), one.revision());
    assert!(load("# nothing\n").expect("no rules").is_empty());
}

#[test]
fn alias_bomb_is_refused_and_does_not_hang() {
    let mut text = String::from("- &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let before = format!("*a{}, ", n - 1).repeat(9);
        let _ = writeln!(text, "- &a{n} [{}]", before.trim_end_matches(", "));
    }
    assert!(load(&text).is_err());
}
