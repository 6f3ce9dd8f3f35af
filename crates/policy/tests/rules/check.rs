//! Rules held against the tools that there are.

use portcullis_base::{Class, ServerName};
use portcullis_policy::{Definition, Definitions, Weight};

use crate::scene::bundle;

const REFUND: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"},"currency":{"enum":["eur","usd"]},
    "reason":{"type":"string"},"to":{"type":"array","items":{"type":"string"}},"meta":{"type":"object"}}}"#;
const LIST: &str = r#"{"type":"object","properties":{"limit":{"type":"integer"}}}"#;

fn definitions() -> Definitions {
    let mut definitions = Definitions::default();
    let name = |name| ServerName::parse(name).expect("a name");
    let mut refund = Definition::new(REFUND);
    refund.classes = Class::Financial.into();
    definitions.tool(name("stripe"), "create_refund", refund);
    definitions.tool(name("stripe"), "list_charges", Definition::new(LIST));
    definitions.tool(name("mail"), "send", Definition::new("{}"));
    definitions.server(name("tickets"));
    definitions
}

/// What is found in one rule: its weight and text.
fn found(who: &str, what: &str, rest: &str) -> Vec<(Weight, String)> {
    let rules = format!("- rule: r\n  who: '{who}'\n  what: {what}\n  {rest}\n");
    let findings = bundle(&rules).check(&definitions());
    findings.iter().map(|finding| (finding.weight, finding.error.to_string())).collect()
}

#[test]
fn tools_and_servers_that_are_not_there_are_told_with_the_nearest() {
    for (what, weight, said) in [
        (
            "stripe/create_refnd",
            Weight::Fault,
            "rules.yaml:3: no tool of \"stripe\" is called \"create_refnd\"; did you mean \"stripe/create_refund\"?",
        ),
        ("[mail/send, stripe/x_y_z]", Weight::Fault, "rules.yaml:3: no tool of \"stripe\" is called \"x_y_z\""),
        ("stripe/delete_*", Weight::Caution, "rules.yaml:3: no tool of \"stripe\" is called \"delete_*\""),
        ("strip", Weight::Caution, "rules.yaml:3: there is no server \"strip\"; did you mean \"stripe\"?"),
        (
            "tickets/x",
            Weight::Note,
            "rules.yaml:3: the tools of \"tickets\" are not known, so what rules say of them is not checked",
        ),
    ] {
        assert_eq!(found("*", what, "then: deny"), [(weight, said.to_owned())], "{what}");
    }
    for what in
        ["stripe", "stripe/*", "'*'", "'*/send'", "stripe/list_*", "class:write", "toolbox:x", "stripe/prompt:p"]
    {
        assert_eq!(found("*", what, "then: deny"), [], "{what}");
    }
}

#[test]
fn arguments_and_values_that_a_tool_does_not_have_are_told_with_the_nearest() {
    for (when, said) in [
        ("args.amout > 5", "stripe/create_refund has no argument \"amout\"; did you mean \"amount\"?"),
        ("has(args.amout) && args.amount > 5", "no argument \"amout\"; did you mean \"amount\"?"),
        ("args[\"amout\"] > 5", "no argument \"amout\"; did you mean \"amount\"?"),
        ("args.amount == \"5\"", "a number is compared with a text"),
        ("args.amount > \"5\"", "a number is compared with a text"),
        ("args.reason < 5", "a text is compared with a number"),
        ("args.amount.startsWith(\"5\")", "startsWith is for a text, and this is a number"),
        ("args.currency == \"eru\"", "\"eru\" is none of eur, usd; did you mean \"eur\"?"),
        ("args.currency in [\"eur\", \"chf\", \"gbp\"]", "\"chf\" is none of eur, usd"),
        ("!(args.currency in [\"eur\", \"uds\"])", "did you mean \"usd\"?"),
        ("args.to.exists(m, m > 5)", "a text is compared with a number"),
        ("args.to.size > 5", "a list has no member \"size\""),
        ("args.to == \"a@x\"", "a list is compared with a text"),
        ("args.amount in args.to", "a number is compared with a text"),
        ("args.reason", "the condition is a text, and not true or false"),
        ("\"secret\" in session.labels", "\"secret\" can never be there"),
    ] {
        let found = found("*", "stripe/create_refund", &format!("when: '{when}'\n  then: deny"));
        let [(Weight::Fault, told)] = found.as_slice() else { panic!("{when}: {found:?}") };
        assert!(told.starts_with("rules.yaml:4: ") && told.contains(said), "{when}: {told}");
    }
    for when in [
        "args.amount > 5 && args.currency == \"eur\"",
        "args.amount > 5.5 || args.amount == null",
        "args.meta.anything.at.all == 5",
        "size(args.to) > 3 && args.to[0].endsWith(\"@x\") && args.to.all(m, m.contains(args.reason))",
        "args.currency in [\"eur\"] && [1, 2].exists(n, n == args.amount)",
        "has(args.reason) && args.reason + args.currency != \"\"",
        "args.currency == args.reason",
    ] {
        let found = found("*", "stripe/create_refund", &format!("when: '{when}'\n  then: deny"));
        assert_eq!(found, [], "{when}");
    }
    // What takes anything, or is not known, has every argument.
    assert_eq!(found("*", "mail/send", "when: args.anything == 5\n  then: deny"), []);
    assert_eq!(found("*", "tickets", "when: args.anything == 5\n  then: deny"), []);
}

#[test]
fn rule_over_several_tools_is_right_if_it_fits_one_and_tells_what_it_does_to_the_others() {
    let when = "when: args.amount > 5";
    let [(Weight::Caution, told)] = &found("*", "stripe/*", &format!("{when}\n  then: deny"))[..] else { panic!() };
    assert_eq!(
        told,
        "rules.yaml:4: stripe/list_charges has no argument \"amount\": there the condition has no answer and the rule denies every call; has(args.…) asks first"
    );
    assert_eq!(found("*", "stripe/*", &format!("{when}\n  then: allow")), []);
    assert_eq!(found("*", "stripe/*", "when: has(args.amount) && args.amount > 5\n  then: deny"), []);
    assert_eq!(found("*", "class:financial", &format!("{when}\n  then: deny")), []);
    let nowhere = found("*", "stripe/*", "when: args.amuont > 5\n  then: allow");
    assert!(
        matches!(&nowhere[..], [(Weight::Fault, told)] if told.contains("nor does it fit 1 others")),
        "{nowhere:?}"
    );
    // Where some tools are not known, nobody can say that it fits none.
    assert_eq!(found("*", "'*'", "when: args.amuont > 5\n  then: allow"), []);
}

#[test]
fn limits_and_masks_are_held_against_the_arguments_too() {
    for (rest, weight, said) in [
        ("quota: {sum: args.amout, most: 5, window: 1d}", Weight::Fault, "did you mean \"amount\"?"),
        ("quota: {sum: args.reason, most: 5, window: 1d}", Weight::Fault, "is a text, and not a number"),
        (
            "quota: {sum: args.amount, most: 5, window: 1d, unit: args.curency}",
            Weight::Fault,
            "did you mean \"currency\"?",
        ),
        ("redact: [args.meta.x, args.card]", Weight::Fault, "no argument \"card\""),
    ] {
        let found = found("*", "stripe/create_refund", rest);
        assert!(matches!(&found[..], [(is, told)] if *is == weight && told.contains(said)), "{rest}: {found:?}");
    }
    let rest = "quota: {sum: args.amount, most: 5, window: 1d}";
    assert_eq!(found("*", "stripe/create_refund", rest), []);
    let some = found("*", "stripe", rest);
    assert!(
        matches!(&some[..], [(Weight::Caution, told)] if told.ends_with("the limit lets no call through")),
        "{some:?}"
    );
}

#[test]
fn rules_that_never_decide_and_those_that_contradict_are_told() {
    let told = |rules: &str| -> Vec<String> {
        let findings = bundle(rules).check(&Definitions::default());
        findings.iter().map(|finding| format!("{:?} {}", finding.weight, finding.error)).collect()
    };
    let deny = "- {rule: no, who: '*', what: 'stripe', then: deny}\n";
    for (rule, never) in [
        ("who: 'group:a', what: stripe/x, then: allow", true),
        ("who: 'group:a', what: [stripe/x, stripe/class:write], when: args.n > 1, then: ask", true),
        ("who: 'group:a', what: [stripe/x, mail/y], then: allow", false),
        ("who: 'group:a', what: '*', then: allow", false),
        ("who: 'group:a', what: class:write, then: allow", false),
        ("who: 'group:a', what: toolbox:t, then: allow", false),
        ("who: 'group:a', what: stripe/x, then: allow, shadow: true", false),
    ] {
        let mut found = told(&format!("{deny}- {{rule: r, {rule}}}"));
        found.retain(|finding| finding.contains("never decides"));
        let expected =
            "Caution rules.yaml:2: this rule never decides: \"no\" at rules.yaml:1 denies all that it concerns";
        assert_eq!(found, if never { vec![expected] } else { vec![] }, "{rule}");
    }
    for lesser in [
        "{rule: no, who: '*', what: stripe, when: args.n > 1, then: deny}",
        "{rule: no, who: 'group:b', what: stripe, then: deny}",
        "{rule: no, who: '*', what: stripe, then: deny, shadow: true}",
    ] {
        let rules = format!("- {lesser}\n- {{rule: r, who: 'group:a', what: stripe/x, then: allow}}");
        assert_eq!(told(&rules), Vec::<String>::new(), "{lesser}");
    }
    let first =
        "- rule: one\n  who: ['group:a', 'group:b']\n  what: [stripe/x, stripe/y]\n  when: args.n > 1\n  then: allow\n";
    let second = |then: &str| {
        format!(
            "{first}- rule: two\n  who: ['group:b', 'group:a']\n  what: [stripe/y, stripe/x]\n  when: args.n > 1\n  then: {then}\n"
        )
    };
    assert_eq!(
        told(&second("ask")),
        ["Fault rules.yaml:10: this says ask of what \"one\" at rules.yaml:1 says allow of"]
    );
    assert_eq!(bundle(&second("ask")).consistent().unwrap_err()[0].line, 10);
    assert!(bundle(&second("allow")).consistent().is_ok());
    assert_eq!(told(&second("allow")), ["Caution rules.yaml:6: this says the same as \"one\" at rules.yaml:1"]);
    assert_eq!(told(&second("allow\n  label: x")), Vec::<String>::new());
    assert_eq!(told(&second("allow").replacen("args.n > 1", "args.n > 2", 1)), Vec::<String>::new());
}

#[test]
fn a_rule_that_opens_everything_is_told() {
    let said = "rules.yaml:3: this allows everything on every server, and nobody is asked before a tool destroys, executes, sends or spends";
    for what in ["'*'", "[mail, '*']"] {
        assert_eq!(found("*", what, "then: allow"), [(Weight::Caution, said.to_owned())], "{what}");
    }
    for (what, rest) in [
        ("'*'", "then: ask"),
        ("'*'", "then: allow\n  shadow: true"),
        ("'*'", "then: allow\n  when: person.kind == 'person'"),
        ("class:read", "then: allow"),
        ("stripe", "then: allow"),
    ] {
        assert_eq!(found("*", what, rest), [], "{what} {rest}");
    }
}
