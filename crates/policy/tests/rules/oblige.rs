//! What rules put on calls that go on.

use std::time::Duration;

use portcullis_base::Class;
use portcullis_policy::{
    Access, Amount, Assurance, Bundle, Cap, Effect, Obligations, Own, Per, Source, Target, Who, decide_call,
};

use crate::scene::{Call, bundle, faults};

fn obligations(rules: &str) -> Obligations {
    Call::default().decided(rules, &Access::open()).obligations
}

#[test]
fn rule_without_an_effect_opens_nothing_and_limits_what_others_open() {
    let limit = "- {rule: limit, who: '*', what: '*', quota: {calls: 30, window: 1h}}\n";
    let asked = Call::default().decided(limit, &Access::default());
    assert_eq!((asked.effect, &*asked.rule), (Effect::Ask, "access"));
    assert_eq!((asked.obligations.quotas.len(), asked.obligations.asks.len()), (1, 1));
    let allowed = Call::default().decided(limit, &Access::open());
    assert_eq!((allowed.effect, allowed.obligations.quotas[0].calls), (Effect::Allow, Some(30)));
    let denied =
        Call::default().decided(&format!("{limit}- {{rule: no, who: '*', what: '*', then: deny}}"), &Access::open());
    assert_eq!((denied.effect, denied.obligations.is_empty()), (Effect::Deny, true));
}

#[test]
fn obligations_of_every_rule_that_applies_add_up() {
    let rules = "
- {rule: a, who: '*', what: '*', quota: [{calls: 60, window: 1m}, {per: [tool, person], concurrent: 5}], label: seen}
- {rule: b, who: '*', what: stripe, then: allow, cap: {bytes: 64KiB, items: 50}, redact: [args.card, result.customer.mail]}
- {rule: c, who: '*', what: class:financial, cap: {bytes: 4096}, label: [paid, seen], redact: args.card}
- {rule: d, who: '*', what: '*', when: args.missing > 1, quota: {per: rule, calls: 1, window: 1d}}
- {rule: e, who: '*', what: '*', when: args.missing > 1, then: allow, label: unjudged}
- {rule: f, who: '*', what: '*', when: 'has(args.missing)', label: never}
- {rule: g, who: '*', what: other, label: never}
- {rule: h, who: '*', what: '*', label: never, shadow: true}
";
    let decision = Call::default().decided(rules, &Access::open());
    assert_eq!((decision.effect, &*decision.rule), (Effect::Allow, "b"));
    let Obligations { asks, quotas, redactions, cap, labels } = decision.obligations;
    assert!(asks.is_empty());
    let quotas: Vec<_> = quotas.iter().map(|quota| (&*quota.rule, quota.place, &*quota.per)).collect();
    assert_eq!(quotas, [("a", 0, &[Per::Person][..]), ("a", 1, &[Per::Person, Per::Tool]), ("d", 0, &[Per::Rule])]);
    assert_eq!(redactions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["args.card", "result.customer.mail"]);
    assert_eq!(cap, Cap { bytes: Some(4096), items: Some(50) });
    // What cannot be judged restricts, and so it labels too.
    assert_eq!(labels.iter().map(|label| &**label).collect::<Vec<_>>(), ["seen", "paid", "unjudged"]);
    assert_eq!(decision.shadows.iter().map(portcullis_policy::Shadow::as_str).collect::<Vec<_>>(), ["oblige"]);
    let permit = Call::default().with(|facts| decide_call(&bundle(rules), &Access::open(), facts, b"").unwrap());
    assert_eq!(permit.obligations().cap, cap);
}

#[test]
fn each_rule_that_asks_is_a_demand_of_its_own() {
    let rules = "
- {rule: open, who: '*', what: '*', then: allow}
- {rule: money, who: '*', what: stripe, then: ask, ask: {approvers: [group:finance], quorum: 2, assurance: passkey, expires: 5m}}
- {rule: plain, who: '*', what: stripe, then: ask}
- {rule: other, who: '*', what: other, then: ask}
";
    let decision = Call::default().decided(rules, &Access::open());
    assert_eq!((decision.effect, &*decision.rule), (Effect::Ask, "money"));
    let [money, plain] = decision.obligations.asks.as_slice() else { panic!("{decision:?}") };
    assert_eq!((&*money.rule, money.quorum, money.own), ("money", 2, Own::Never));
    assert_eq!((money.assurance, money.expires), (Assurance::Passkey, Duration::from_mins(5)));
    assert_eq!(*money.approvers, [Who::Group("finance".into())]);
    assert_eq!((&*plain.rule, plain.quorum, plain.own), ("plain", 1, Own::Always));
    assert_eq!(*plain.approvers, [Who::Role("admin".into()), Who::Role("owner".into())]);
    assert_eq!((plain.assurance, plain.expires), (Assurance::Session, Duration::from_mins(15)));
}

#[test]
fn who_may_approve_their_own_follows_from_who_is_named() {
    for (ask, own) in [
        ("{quorum: 1}", Own::Always),
        ("{not_self: true}", Own::Never),
        ("{not_self: false}", Own::Always),
        ("{approvers: group:finance}", Own::Never),
        ("{approvers: group:finance, not_self: false}", Own::AsApprover),
        ("{approvers: [self, 'group:finance']}", Own::Always),
        ("{approvers: self}", Own::Always),
    ] {
        let rule = format!("- {{rule: r, who: '*', what: '*', then: ask, ask: {ask}}}");
        assert_eq!(obligations(&rule).asks[0].own, own, "{ask}");
    }
}

/// spec: T-107
#[test]
fn word_of_a_client_program_is_not_enough_where_much_is_at_stake() {
    let rule = "- {rule: r, who: '*', what: '*', then: ask, ask: {assurance: elicitation}}";
    for class in Class::ALL {
        let least = match class {
            Class::Destructive | Class::Execute | Class::Financial => Assurance::Chat,
            _ => Assurance::Elicitation,
        };
        let decision = Call::of(&[Class::Read, *class]).decided(rule, &Access::open());
        assert_eq!(decision.obligations.asks[0].assurance, least, "{class}");
    }
}

#[test]
fn limits_are_read_exactly() {
    let rule = "- {rule: r, who: '*', what: '*', quota: {per: [tool, person], sum: 'args.lines[*].amount', most: 499.90, unit: args.currency, window: 7d}}";
    let Obligations { quotas, .. } = obligations(rule);
    let sum = quotas[0].sum.as_ref().unwrap();
    assert_eq!(sum.most, Amount::parse("499.9").unwrap());
    assert_eq!(
        (sum.of.to_string(), sum.unit.as_ref().unwrap().to_string()),
        ("lines[*].amount".into(), "currency".into())
    );
    assert_eq!(quotas[0].window, Some(Duration::from_hours(7 * 24)));
    let told = serde_json::to_string(&quotas[0]).unwrap();
    assert_eq!(serde_json::from_str::<portcullis_policy::Quota>(&told).unwrap(), *quotas[0], "{told}");
}

#[test]
fn what_cannot_be_put_on_a_call_is_refused_with_its_line() {
    for (key, wanted, line, said) in [
        ("quota", "{calls: 0, window: 1h}", 4, "\"calls\" is a number"),
        ("quota", "{calls: 5}", 4, "\"window\" is missing"),
        ("quota", "{calls: 5, window: 90}", 4, "\"window\" is a time"),
        ("quota", "{calls: 5, window: 40d}", 4, "at most 31d"),
        ("quota", "{concurrent: 5, window: 1h}", 4, "there is neither"),
        ("quota", "{per: person}", 4, "\"calls\", \"sum\" or \"concurrent\""),
        ("quota", "{per: persn, concurrent: 1}", 4, "did you mean \"person\"?"),
        ("quota", "{per: [rule, person], concurrent: 1}", 4, "stands alone"),
        ("quota", "{sum: amount, most: 5, window: 1d}", 4, "such as args.amount"),
        ("quota", "{sum: args.amount, window: 1d}", 4, "\"most\" is missing"),
        ("quota", "{most: 5, window: 1d}", 4, "\"sum\" is missing"),
        ("quota", "{calls: 5, unit: args.currency, window: 1d}", 4, "\"sum\" is missing"),
        ("quota", "{sum: args.amount, most: -5, window: 1d}", 4, "\"most\" is a number"),
        ("quota", "{sum: args.amount, most: 12345678901234.5678, window: 1d}", 4, "\"most\" is a number"),
        ("quota", "[]", 4, "a list of 1 to 16"),
        ("quota", "\n    - {concurrent: 1}\n    - {cals: 5}", 6, "did you mean \"calls\"?"),
        ("redact", "card", 4, "did you mean \"result.card\"?"),
        ("redact", "[args.card, 'args.a b']", 4, "is no path"),
        ("redact", "'/(/'", 4, "no pattern"),
        ("cap", "{}", 4, "bytes, items"),
        ("cap", "{bytes: 0}", 4, "\"bytes\" is a size"),
        ("cap", "{bytes: 1TB}", 4, "\"bytes\" is a size"),
        ("cap", "{items: many}", 4, "\"items\" is a number"),
        ("cap", "{byte: 1}", 4, "did you mean \"bytes\"?"),
        ("label", "Tainted", 4, "a label is"),
        ("label", "[]", 4, "a text or a list"),
    ] {
        let text = format!("- rule: r\n  who: '*'\n  what: '*'\n  {key}: {wanted}\n  then: allow\n");
        let faults = faults(&text);
        assert!(
            faults.len() == 1 && faults[0].starts_with(&format!("r.yaml:{line}: ")) && faults[0].contains(said),
            "{wanted}: {faults:?}"
        );
    }
    let idle = "- {rule: r, who: '*', what: '*'}";
    assert!(faults(idle)[0].contains("nor has it one of quota, redact, cap, label"));
    assert!(Bundle::load(&[Source { name: "r", text: "- {rule: r, who: '*', what: '*', label: x}" }]).is_ok());
}

fn claimed(quota: &str, call: &Call<'_>) -> Result<Option<(String, String)>, String> {
    let rules = format!("- {{rule: r, who: '*', what: '*', quota: {quota}}}");
    let quota = call.decided(&rules, &Access::open()).obligations.quotas[0].clone();
    let claim = call.with(|facts| quota.claim(facts)).map_err(|error| error.to_string())?;
    Ok(claim.map(|claim| (claim.key.into(), claim.amount.to_string())))
}

#[test]
fn counters_are_named_by_whom_they_count_for() {
    let call = Call { arguments: r#"{"currency":"EUR","amount":1.10}"#, ..Call::default() };
    for (quota, key) in [
        ("{calls: 1, window: 1h}", r#"["r","0","usr_1"]"#),
        ("{per: rule, calls: 1, window: 1h}", r#"["r","0"]"#),
        (
            "{per: [class, tool, client], calls: 1, window: 1h}",
            r#"["r","0","app","stripe","tool","create_refund","financial"]"#,
        ),
        ("{per: server, sum: args.amount, most: 5, unit: args.currency, window: 1d}", r#"["r","0","stripe","eur"]"#),
    ] {
        assert_eq!(claimed(quota, &call).unwrap().unwrap().0, key, "{quota}");
    }
    for target in [Target::None, Target::Task("t")] {
        let list = Call { target, classes: &[], ..Call::default() };
        assert_eq!(claimed("{sum: args.amount, most: 5, window: 1d}", &list), Ok(None), "{target:?}");
    }
    let prompt = Call { target: Target::Prompt("p"), classes: &[], ..Call::default() };
    assert_eq!(
        claimed("{per: tool, calls: 5, window: 1d}", &prompt).unwrap().unwrap().0,
        r#"["r","0","stripe","prompt","p"]"#
    );
}

/// spec: T-60, T-79
/// spec: T-79: "loop detection on identical args"
#[test]
fn identical_calls_are_told_however_they_are_written() {
    let quota = "{per: [person, arguments], calls: 3, window: 1m}";
    let key = |arguments| claimed(quota, &Call { arguments, ..Call::default() }).unwrap().unwrap().0;
    let one = key(r#"{"id":7,"why":"é"}"#);
    for same in [r#"{ "why": "\u00e9", "id": 7 }"#, r#"{"id":7.0,"why":"é"}"#, r#"{"id":70e-1,"wh\u0079":"é"}"#] {
        assert_eq!(key(same), one, "{same}");
    }
    for other in ["{}", r#"{"id":8,"why":"é"}"#, r#"{"id":"7","why":"é"}"#, r#"{"id":7,"why":"é","x":null}"#] {
        assert_ne!(key(other), one, "{other}");
    }
    assert!(one.len() < 100, "of one length: {one}");
    let told = claimed(quota, &Call { arguments: r#"{"id":7,"id":8}"#, ..Call::default() }).unwrap_err();
    assert_eq!(told, "Rule \"r\" counts what this call does not tell: the arguments can be read in more than one way.");
}

#[test]
fn amount_that_cannot_be_told_is_not_let_through() {
    let sum = "{sum: 'args.lines[*].amount', most: 500, unit: args.currency, window: 1d}";
    let ask = |arguments| claimed(sum, &Call { arguments, ..Call::default() });
    for (arguments, amount) in [
        (r#"{"lines":[{"amount":0.1},{"amount":0.2}],"currency":"eur"}"#, "0.3"),
        (r#"{"lines":[{"amount":1e2},{"amount":2.50}],"currency":"eUr"}"#, "102.5"),
    ] {
        assert_eq!(ask(arguments), Ok(Some((r#"["r","0","usr_1","eur"]"#.to_owned(), amount.to_owned()))));
    }
    for arguments in [
        "{}",
        r#"{"lines":[],"currency":"eur"}"#,
        r#"{"lines":[{"amount":-1}],"currency":"eur"}"#,
        r#"{"lines":[{"amount":"5"}],"currency":"eur"}"#,
        r#"{"lines":[{"amount":5},{"amount":null}],"currency":"eur"}"#,
        r#"{"lines":[{"amount":1e300}],"currency":"eur"}"#,
        r#"{"lines":[{"amount":0.0000000000001}],"currency":"eur"}"#,
        r#"{"lines":[{"amount":5}]}"#,
        r#"{"lines":[{"amount":5}],"currency":""}"#,
        r#"{"lines":[{"amount":5}],"currency":"e u"}"#,
        r#"{"lines":[{"amount":5}],"currency":["eur"]}"#,
        r#"{"lines":[{"amount":5}],"currency":"eur","currency":"usd"}"#,
    ] {
        let told = ask(arguments).unwrap_err();
        assert!(told.starts_with("Rule \"r\" counts what this call does not tell: args."), "{arguments}: {told}");
    }
}
