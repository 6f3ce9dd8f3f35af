//! Written rules, and the access list where none of them speaks.

use portcullis_base::{Class, Classes, Label};
use portcullis_policy::{Access, AccessEntry, Ask, Assurance, Effect, Kind, Own, Reason, Target, decide_call, listed};

use crate::scene::{Call, bundle};

fn list(allow: &[&str], ask: &[&str]) -> Access {
    let classes = |words: &[&str]| {
        let classes = words.iter().map(|word| AccessEntry::classes(word).expect("a class"));
        Some(classes.fold(Classes::NONE, Classes::or))
    };
    Access::of(vec![AccessEntry::of("*", classes(allow), classes(ask))])
}

#[test]
fn safe_default_reads_and_asks_before_everything_else() {
    for class in Class::ALL {
        let decision = Call::of(&[*class]).decided("", &Access::default());
        let effect = if *class == Class::Read { Effect::Allow } else { Effect::Ask };
        assert_eq!((decision.effect, &*decision.rule, decision.reason), (effect, "access", Reason::Rule), "{class}");
        assert_eq!(decision.obligations.asks.len(), usize::from(effect == Effect::Ask));
    }
    // What nobody looked at is unknown, and asks.
    assert_eq!(Call::of(&[]).decided("", &Access::default()).effect, Effect::Ask);
    for target in [Target::None, Target::Prompt("p"), Target::Resource("file:///x"), Target::Task("1")] {
        let call = Call { target, classes: &[], ..Call::default() };
        assert_eq!(call.decided("", &Access::default()).effect, Effect::Allow, "{target:?}");
    }
}

/// spec: T-82
#[test]
fn safe_default_takes_the_word_of_the_caller_or_of_an_administrator_on_a_page() {
    let decision = Call::of(&[Class::Write]).decided("", &Access::default());
    assert_eq!(*decision.obligations.asks[0], Ask::plain("access".into()));
    let ask = &decision.obligations.asks[0];
    assert_eq!((ask.own, ask.quorum, ask.assurance, ask.rather), (Own::Always, 1, Assurance::Session, None));
    let money = Call::default().decided("", &Access::default());
    assert_eq!(money.obligations.asks[0].rather, Some(Assurance::Passkey));
}

#[test]
fn access_list_says_what_each_class_may() {
    let access = list(&["read", "write"], &["destructive"]);
    for (classes, effect) in [
        (&[Class::Read][..], Effect::Allow),
        (&[Class::Read, Class::Write], Effect::Allow),
        (&[Class::Write, Class::Destructive], Effect::Ask),
        (&[Class::Destructive, Class::Financial], Effect::Deny),
        (&[], Effect::Deny),
    ] {
        let call = Call::of(classes);
        assert_eq!(call.decided("", &access).effect, effect, "{classes:?}");
        // What may never be called is not shown.
        assert_eq!(call.with(|facts| listed(&bundle(""), &access, facts)), effect != Effect::Deny, "{classes:?}");
    }
    let denial = Call::default().with(|facts| decide_call(&bundle(""), &access, facts, b"").unwrap_err());
    assert_eq!(&*denial.message, "The access list of this server does not allow this call.");
    assert!(denial.hidden);
}

#[test]
fn written_rule_with_an_effect_comes_before_the_access_list_both_ways() {
    let nothing = list(&[], &[]);
    for (then, effect) in [("allow", Effect::Allow), ("ask", Effect::Ask), ("deny", Effect::Deny)] {
        let rule = format!("- {{rule: r, who: '*', what: stripe, then: {then}}}");
        for access in [Access::open(), Access::default(), nothing.clone()] {
            let decision = Call::default().decided(&rule, &access);
            assert_eq!((decision.effect, &*decision.rule), (effect, "r"), "{then}");
            let shown = Call::default().with(|facts| listed(&bundle(&rule), &access, facts));
            assert_eq!(shown, effect != Effect::Deny, "{then}");
        }
    }
    // A rule that concerns somebody or something else, or only sometimes holds, leaves it to the list.
    for rule in [
        "- {rule: r, who: 'group:other', what: stripe, then: allow}",
        "- {rule: r, who: '*', what: stripe/other, then: allow}",
        "- {rule: r, who: '*', what: stripe, when: args.n > 5, then: allow}",
        "- {rule: r, who: '*', what: stripe, when: args.n < 5, then: deny, shadow: true}",
    ] {
        let call = Call { arguments: "{\"n\":1}", ..Call::default() };
        assert_eq!(call.decided(rule, &Access::default()).effect, Effect::Ask, "{rule}");
        assert_eq!(&*call.decided(rule, &Access::default()).rule, "access");
    }
}

#[test]
fn tool_that_a_rule_may_allow_is_shown_though_the_access_list_denies_it() {
    for (rule, shown) in [
        ("- {rule: r, who: '*', what: stripe, when: args.n > 5, then: allow}", true),
        ("- {rule: r, who: '*', what: stripe, when: 'tool == \"x\"', then: allow}", false),
        ("- {rule: r, who: 'group:other', what: stripe, then: ask}", false),
        ("- {rule: r, who: '*', what: stripe, quota: {calls: 1, window: 1h}}", false),
        ("- {rule: r, who: '*', what: stripe, then: allow, shadow: true}", false),
    ] {
        assert_eq!(Call::default().with(|facts| listed(&bundle(rule), &list(&[], &[]), facts)), shown, "{rule}");
    }
}

#[test]
fn rules_concern_classes_labels_tags_and_toolboxes() {
    let call = Call {
        classes: &[Class::Write, Class::Destructive],
        labels: Label::Bulk.into(),
        tags: &["pci"],
        through: Some("daily"),
        ..Call::default()
    };
    for (what, concerned) in [
        ("class:destructive", true),
        ("class:write", true),
        ("class:read", false),
        ("stripe/class:destructive", true),
        ("other/class:destructive", false),
        ("label:bulk", true),
        ("label:cost", false),
        ("'*/label:bulk'", true),
        ("tag:pci", true),
        ("tag:pc", false),
        ("toolbox:daily", true),
        ("toolbox:d*", true),
        ("toolbox:other", false),
        ("toolbox:daily/create_*", true),
        ("toolbox:daily/class:read", false),
    ] {
        let rule = format!("- {{rule: r, who: '*', what: {what}, then: deny}}");
        assert_eq!(call.decided(&rule, &Access::open()).effect == Effect::Deny, concerned, "{what}");
    }
    let direct = Call { through: None, ..call };
    assert_eq!(
        direct.decided("- {rule: r, who: '*', what: toolbox:daily, then: deny}", &Access::open()).effect,
        Effect::Allow
    );
    let prompt = Call { target: Target::Prompt("p"), classes: &[], ..Call::default() };
    assert_eq!(
        prompt.decided("- {rule: r, who: '*', what: class:read, then: deny}", &Access::open()).effect,
        Effect::Deny
    );
    let list = Call { target: Target::None, classes: &[], ..Call::default() };
    assert_eq!(
        list.decided("- {rule: r, who: '*', what: class:read, then: deny}", &Access::open()).effect,
        Effect::Allow
    );
}

#[test]
fn conditions_see_what_is_known_of_the_tool_and_the_session() {
    let call = Call { session: &["tainted"], classes: &[Class::Egress], kind: Kind::Service, ..Call::default() };
    let rule = "- {rule: r, who: '*', what: '*', when: '\"tainted\" in session.labels && \"egress\" in classes && person.kind == \"service\"', then: deny}";
    assert_eq!(call.decided(rule, &Access::open()).effect, Effect::Deny);
    assert_eq!(Call { session: &[], ..call }.decided(rule, &Access::open()).effect, Effect::Allow);
    // Where the client is, is not known here: what allows by it does not, what denies by it does.
    let inside = |then: &str| {
        format!("- {{rule: r, who: '*', what: '*', when: network.address.within('10.0.0.0/8'), then: {then}}}")
    };
    assert_eq!(&*Call::default().decided(&inside("allow"), &Access::open()).rule, "access");
    assert_eq!(Call::default().decided(&inside("deny"), &Access::open()).effect, Effect::Deny);
}
