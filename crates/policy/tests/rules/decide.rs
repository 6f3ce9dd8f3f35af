//! One call, the rules, and the answer.

use std::sync::Arc;

use portcullis_base::{Classes, ClientId, Digest, Labels, PersonId, ServerName, Timestamp};
use portcullis_policy::{
    Access, AccessEntry, Bundle, Decision, Denial, Effect, Facts, Kind, Permit, Reason, Source, Target, decide,
    decide_call, listed,
};

fn bundle(text: &str) -> Bundle {
    Bundle::load(&[Source { name: "rules.yaml", text }]).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn with_facts<T>(
    groups: &[&str],
    target: Target<'_>,
    arguments: Option<&str>,
    then: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let groups: Vec<Arc<str>> = groups.iter().map(|group| (*group).into()).collect();
    then(&Facts {
        person: &PersonId::new("usr_1"),
        name: "alice",
        kind: Kind::Person,
        groups: &groups,
        roles: &["admin"],
        client: &ClientId::new("https://app.example/client.json"),
        server: &ServerName::parse("stripe").expect("a name"),
        through: None,
        method: "tools/call",
        target,
        classes: Classes::NONE,
        labels: Labels::NONE,
        tags: &[],
        arguments,
        authenticated_at: None,
        acr: None,
        address: None,
        session_labels: &[],
        now: Timestamp::from_secs(1_795_400_000),
    })
}

fn ask_about(bundle: &Bundle, tool: &str, arguments: &str) -> Decision {
    with_facts(&["support"], Target::Tool(tool), Some(arguments), |facts| decide(bundle, &Access::open(), facts))
}

fn call(bundle: &Bundle, tool: &str, arguments: &str) -> Result<Permit, Denial> {
    with_facts(&["support"], Target::Tool(tool), Some(arguments), |facts| {
        decide_call(bundle, &Access::open(), facts, b"{\"the\":\"call\"}")
    })
}

fn only(groups: &[&str]) -> Access {
    let entry = |group: &&str| AccessEntry::open(*group);
    Access::of(groups.iter().map(entry).collect())
}

const REFUNDS: &str = "
- rule: refunds-need-finance
  who: [group:support]
  what: [stripe/create_refund]
  when: args.amount <= 50000 && args.currency in [\"eur\", \"usd\"]
  then: ask
  ask: { approvers: [group:finance], quorum: 1, not_self: true, assurance: passkey, expires: 15m }
";

#[test]
fn access_alone_allows_and_its_absence_denies() {
    let bundle = Bundle::default();
    let decision = ask_about(&bundle, "list", "{}");
    assert_eq!((decision.effect, &*decision.rule, decision.reason), (Effect::Allow, "access", Reason::Rule));
    for access in [only(&["finance"]), only(&[])] {
        let denial = with_facts(&["support"], Target::None, None, |facts| {
            decide_call(&bundle, &access, facts, b"").unwrap_err()
        });
        assert_eq!((denial.decision.effect, denial.decision.reason), (Effect::Deny, Reason::NoAccess));
        assert!(denial.hidden);
    }
    with_facts(&["finance"], Target::None, None, |facts| {
        assert!(decide_call(&bundle, &only(&["finance"]), facts, b"").is_ok());
    });
}

#[test]
fn allow_rule_opens_no_server_to_those_without_access() {
    let open = bundle("- {rule: open, who: '*', what: '*', then: allow}");
    with_facts(&["support"], Target::Tool("list"), None, |facts| {
        assert_eq!(decide(&open, &only(&["finance"]), facts).reason, Reason::NoAccess);
        assert_eq!(&*decide(&open, &Access::open(), facts).rule, "open");
    });
}

#[test]
fn rule_of_the_handbook_asks_for_small_refunds() {
    let bundle = bundle(REFUNDS);
    let denial = call(&bundle, "create_refund", r#"{"amount":500,"currency":"eur"}"#).unwrap_err();
    assert_eq!((denial.decision.effect, &*denial.decision.rule), (Effect::Ask, "refunds-need-finance"));
    assert_eq!(&*denial.message, "Rule \"refunds-need-finance\" wants a person to approve this call first.");
    assert!(!denial.hidden);
    assert_eq!(ask_about(&bundle, "create_refund", r#"{"amount":500,"currency":"chf"}"#).effect, Effect::Allow);
    assert_eq!(ask_about(&bundle, "list", "{}").effect, Effect::Allow);
}

#[test]
fn strongest_effect_wins_and_among_equals_the_first() {
    let text = |effects: &[&str]| -> String {
        let rule = |(n, then): (usize, &&str)| format!("- {{rule: r{n}, who: '*', what: stripe, then: {then}}}\n");
        effects.iter().enumerate().map(rule).collect::<Vec<_>>().concat()
    };
    for (effects, rule, effect) in [
        (&["allow", "allow"][..], "r0", Effect::Allow),
        (&["allow", "ask"], "r1", Effect::Ask),
        (&["ask", "step_up", "allow"], "r1", Effect::StepUp),
        (&["ask", "deny", "step_up", "deny"], "r1", Effect::Deny),
    ] {
        let decision = ask_about(&bundle(&text(effects)), "x", "{}");
        assert_eq!((&*decision.rule, decision.effect), (rule, effect), "{effects:?}");
    }
}

/// spec: T-60: what cannot be judged is denied, asked about, or at least not allowed by the rule.
#[test]
fn condition_that_fails_never_allows() {
    let rule = |then: &str| bundle(&format!("- {{rule: r, who: '*', what: '*', when: args.n > 5, then: {then}}}"));
    for arguments in ["{}", r#"{"n":"six"}"#, r#"{"n":null}"#] {
        assert_eq!(&*ask_about(&rule("allow"), "x", arguments).rule, "access");
        for then in ["ask", "step_up", "deny"] {
            let decision = ask_about(&rule(then), "x", arguments);
            assert_eq!((&*decision.rule, decision.effect.as_str()), ("r", then));
            assert!(matches!(decision.reason, Reason::Unjudged(_)));
        }
    }
    let large = format!("{{\"n\":1,\"text\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(ask_about(&rule("deny"), "x", &large).effect, Effect::Deny);
    assert_eq!(ask_about(&rule("deny"), "x", r#"{"n":1}"#).effect, Effect::Allow);
}

/// spec: T-60, T-57
#[test]
fn arguments_of_an_unexpected_type_are_denied_even_without_rules() {
    for arguments in ["\"x\"", "[]", "null", "5", ""] {
        let denial = call(&Bundle::default(), "x", arguments).unwrap_err();
        assert_eq!(&*denial.message, "The call cannot be judged: its arguments are not an object.");
    }
    let conditional = bundle("- {rule: r, who: '*', what: '*', when: args.n > 5, then: allow}");
    for arguments in [r#"{"n":1,"n":9}"#, "{\"n\":9", "{\"n\":9}]"] {
        assert_eq!(ask_about(&conditional, "x", arguments).effect, Effect::Deny, "{arguments}");
    }
}

/// spec: T-54: a rule about a server holds for every kind of thing on it, one about a tool for nothing else.
#[test]
fn rule_about_a_server_holds_whatever_the_road() {
    let targets =
        [Target::None, Target::Tool("a"), Target::Prompt("a"), Target::Resource("file:///a"), Target::Task("1")];
    for (what, denied) in [
        ("stripe", [true; 5]),
        ("'*'", [true; 5]),
        ("str*", [true; 5]),
        ("stripe/*", [false, true, false, false, false]),
        ("'*/prompt:*'", [false, false, true, false, false]),
        ("stripe/resource:file:*", [false, false, false, true, false]),
        ("other", [false; 5]),
    ] {
        let bundle = bundle(&format!("- {{rule: r, who: '*', what: {what}, then: deny}}"));
        for (target, denied) in targets.into_iter().zip(denied) {
            let effect = with_facts(&[], target, None, |facts| decide(&bundle, &Access::open(), facts).effect);
            assert_eq!(effect == Effect::Deny, denied, "{what} {target:?}");
        }
    }
}

#[test]
fn rules_concern_whom_they_name() {
    for (who, concerned) in [
        ("person:alice", true),
        ("person:usr_1", true),
        ("person:Alice", false),
        ("group:support", true),
        ("group:finance", false),
        ("role:admin", true),
        ("role:auditor", false),
        ("client:https://app.example/client.json", true),
        ("client:https://app.example/", false),
    ] {
        let bundle = bundle(&format!("- {{rule: r, who: ['{who}'], what: '*', then: deny}}"));
        assert_eq!(ask_about(&bundle, "x", "{}").effect == Effect::Deny, concerned, "{who}");
    }
}

#[test]
fn rule_in_shadow_is_told_and_not_enforced() {
    let bundle = bundle(
        "- {rule: draft, who: '*', what: [stripe/x, stripe/*], then: deny, shadow: true}
- {rule: unjudged, who: '*', what: stripe, when: args.n > 1, then: ask, shadow: true}
- {rule: real, who: '*', what: stripe/x, then: allow}",
    );
    let permit = call(&bundle, "x", "{}").unwrap();
    assert_eq!(&**permit.rule(), "real");
    let mut shadows: Vec<_> = permit.shadows().iter().map(|shadow| (&*shadow.rule, shadow.effect)).collect();
    shadows.sort_unstable();
    assert_eq!(shadows, [("draft", Some(Effect::Deny)), ("unjudged", Some(Effect::Ask))]);
}

/// spec: RS-29: scopes are no part of the facts; who came here with any of them is still judged.
#[test]
fn permit_names_its_rule_revision_server_and_exact_call() {
    let bundle = bundle("- {rule: r, who: 'person:alice', what: stripe/x, then: allow}");
    let permit = call(&bundle, "x", "{}").unwrap();
    assert_eq!((&**permit.rule(), permit.server().as_str()), ("r", "stripe"));
    assert_eq!(permit.revision(), bundle.revision());
    assert_eq!(*permit.call(), Digest::of(b"{\"the\":\"call\"}"));
    let denied = self::bundle("- {rule: no, who: 'person:alice', what: stripe/x, then: deny}");
    assert_eq!(call(&denied, "x", "{}").unwrap_err().message.as_ref(), "Rule \"no\" does not allow this call.");
    let step_up = self::bundle("- {rule: fresh, who: '*', what: stripe/x, then: step_up}");
    assert!(call(&step_up, "x", "{}").unwrap_err().message.contains("\"fresh\" wants a fresh sign-in"));
}

/// spec: RS-27
#[test]
fn what_is_denied_whatever_the_arguments_is_not_listed() {
    for (rule, shown) in [
        ("{rule: r, who: '*', what: stripe/x, then: deny}", false),
        ("{rule: r, who: '*', what: stripe/x, when: '!(\"finance\" in person.groups)', then: deny}", false),
        ("{rule: r, who: '*', what: stripe/x, when: '\"support\" in person.nothing.x', then: allow}", true),
        ("{rule: r, who: '*', what: stripe/x, when: '\"finance\" in person.groups', then: deny}", true),
        ("{rule: r, who: '*', what: stripe/x, when: args.n > 5, then: deny}", true),
        ("{rule: r, who: '*', what: stripe/x, then: ask}", true),
        ("{rule: r, who: '*', what: stripe/x, then: deny, shadow: true}", true),
        ("{rule: r, who: '*', what: stripe/y, then: deny}", true),
    ] {
        let Ok(bundle) = Bundle::load(&[Source { name: "r", text: &format!("- {rule}") }]) else {
            assert!(rule.contains("person.nothing"), "{rule}");
            continue;
        };
        with_facts(&["support"], Target::Tool("x"), None, |facts| {
            assert_eq!(listed(&bundle, &Access::open(), facts), shown, "{rule}");
            assert!(!listed(&bundle, &only(&["finance"]), facts));
            if let Err(denial) = decide_call(&bundle, &Access::open(), facts, b"") {
                assert_eq!(denial.hidden, !shown, "{rule}");
            }
        });
    }
}

/// spec: T-99
#[test]
fn what_is_masked_in_records_is_masked_whatever_is_decided() {
    let rules = bundle(
        "
- { rule: closed, who: '*', what: [stripe/pay], then: deny }
- { rule: masked, who: '*', what: [stripe/pay], redact: [args.card, result.iban], quota: { calls: 1, window: 1h } }
- { rule: maybe, who: '*', what: [stripe/pay], when: args.big, redact: [args.big] }
- { rule: others, who: [group:others], what: [stripe/pay], redact: [args.other] }
- { rule: only-watched, who: '*', what: [stripe], redact: [args.watched], cap: { items: 1 }, shadow: true }
- { rule: elsewhere, who: '*', what: [crm], redact: [result.elsewhere], cap: { items: 2 } }",
    );
    let masks = |decision: &Decision| {
        let redactions: Vec<_> = decision.obligations.redactions.iter().map(ToString::to_string).collect();
        (redactions.join(" "), decision.obligations.quotas.len())
    };
    let denied = ask_about(&rules, "pay", r#"{"big":false}"#);
    assert_eq!((denied.effect, masks(&denied)), (Effect::Deny, ("args.card result.iban".into(), 0)));
    // Where nothing is judged, whatever could apply does.
    let all = "args.card result.iban args.big";
    for arguments in [r#"["a"]"#, r#"{"a":1,"a":2"#] {
        let unread = ask_about(&rules, "pay", arguments);
        assert!(matches!(unread.reason, Reason::Unreadable(_)), "{arguments}");
        assert_eq!(masks(&unread), (all.into(), 0), "{arguments}");
    }
    let outside =
        with_facts(&["support"], Target::Tool("pay"), Some("{}"), |facts| decide(&rules, &only(&["staff"]), facts));
    assert_eq!((&outside.reason, masks(&outside)), (&Reason::NoAccess, (all.into(), 0)));
    // Of an answer of which nobody knows what it is to.
    let name = |text| ServerName::parse(text).expect("a name");
    let here = rules.veils(&name("stripe"));
    let told: Vec<_> = here.redactions.iter().map(ToString::to_string).collect();
    assert_eq!((told.join(" ").as_str(), here.cap.items), ("args.card result.iban args.big args.other", None));
    assert_eq!(rules.veils(&name("crm")).cap.items, Some(2));
    assert!(rules.veils(&name("other")).is_empty() && !rules.reads_session());
    assert!(bundle("- { rule: r, who: '*', what: '*', when: \"'x' in session.labels\", then: deny }").reads_session());
}
