//! Policies of another program as a beginning.

use portcullis_base::{Class, ServerName};
use portcullis_policy::{Access, Effect, Source, Target, import_intercept};

use crate::scene::{Call, bundle};

const POLICY: &str = r#"
version: "1"
description: "Payments"
hide: [transfer_account]
tools:
  create_charge:
    rules:
      - name: "max single charge"
        conditions:
          - { path: "args.amount", op: "lte", value: 50000 }
          - { path: "args.currency", op: "in", value: ["usd", "eur"] }
          - { path: "args.note", op: "regex", value: "^ok" }
        on_deny: "Too much"
      - name: "daily spend"
        conditions: [{ path: "state.create_charge.spend", op: "lte", value: 1000000 }]
        state: { counter: "spend", window: "day", increment_from: "args.amount" }
      - name: "hourly"
        rate_limit: 5/hour
  delete_customer:
    rules:
      - { name: "block", action: "deny" }
      - { name: "block", rate_limit: 5/week }
  "update:plan":
    rules:
      - name: "only with a reason"
        conditions:
          - { path: "args.meta.reason", op: "exists", value: true }
          - { path: "args.meta.old-plan", op: "neq", value: "free" }
          - { path: "args.tags", op: "contains", value: "x" }
  "*":
    rules:
      - name: "global"
        conditions: [{ path: "state._global.calls", op: "lt", value: 61 }]
        state: { counter: "calls", window: "minute" }
"#;

fn import(text: &str) -> portcullis_policy::Imported {
    let server = ServerName::parse("stripe").expect("a name");
    import_intercept(&Source { name: "p.yaml", text }, &server).unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn what_a_policy_says_is_carried_over_or_said_to_be_missing() {
    let imported = import(POLICY);
    assert_eq!((imported.rules, bundle(&imported.text).len()), (7, 7), "{}", imported.text);
    assert_eq!(
        imported.left,
        [
            "a condition of \"max single charge\": conditions have no regular expressions; say it with startsWith, endsWith or contains",
            "the limit \"5/week\" of \"block\"",
        ]
    );
    for left in &imported.left {
        assert!(imported.text.contains(&format!("# NOT CARRIED OVER: {left}\n")), "{}", imported.text);
    }
    assert!(imported.text.contains("# Its message was: Too much\n"), "{}", imported.text);
    let ask = |tool, arguments| {
        let call = Call { target: Target::Tool(tool), classes: &[Class::Write], arguments, ..Call::default() };
        call.decided(&imported.text, &Access::open())
    };
    let effect = |tool, arguments| ask(tool, arguments).effect;
    assert_eq!(effect("create_charge", r#"{"amount":50000,"currency":"eur"}"#), Effect::Allow);
    assert_eq!(effect("create_charge", r#"{"amount":50001,"currency":"eur"}"#), Effect::Deny);
    assert_eq!(effect("create_charge", r#"{"amount":1,"currency":"chf"}"#), Effect::Deny);
    assert_eq!(effect("create_charge", "{}"), Effect::Deny);
    assert_eq!(effect("delete_customer", "{}"), Effect::Deny);
    assert_eq!(effect("transfer_account", "{}"), Effect::Deny);
    assert_eq!(effect("update:plan", r#"{"meta":{"reason":"r","old-plan":"pro"},"tags":"xy"}"#), Effect::Allow);
    assert_eq!(effect("update:plan", r#"{"meta":{"old-plan":"pro"},"tags":"xy"}"#), Effect::Deny);
    assert_eq!(effect("update:plan", r#"{"meta":{"reason":"r","old-plan":"free"},"tags":"xy"}"#), Effect::Deny);
    let quotas = ask("create_charge", r#"{"amount":1,"currency":"eur"}"#).obligations.quotas;
    let quotas: Vec<_> = quotas.iter().map(|quota| serde_json::to_value(&**quota).unwrap()).collect();
    assert_eq!(quotas.len(), 3);
    assert_eq!((&quotas[0]["sum"]["of"], &quotas[0]["sum"]["most"]), (&"amount".into(), &"1000000".into()));
    assert_eq!((&quotas[1]["calls"], &quotas[1]["window_seconds"]), (&5.into(), &3600.into()));
    assert_eq!((&quotas[2]["calls"], &quotas[2]["window_seconds"]), (&60.into(), &60.into()));
}

#[test]
fn closed_policy_opens_what_it_names_and_says_how_to_close_the_rest() {
    let imported = import("version: '1'\ndefault: deny\ntools:\n  read_file: { rules: [] }\n  '*': { rules: [] }\n");
    assert_eq!((imported.rules, imported.left.len()), (1, 1));
    assert!(imported.left[0].contains("access: [{ group: \"*\", allow: [] }]"), "{:?}", imported.left);
    let call = Call { target: Target::Tool("read_file"), ..Call::default() };
    assert_eq!(call.decided(&imported.text, &Access::default()).effect, Effect::Allow);
}

#[test]
fn what_is_no_such_policy_is_refused() {
    let server = ServerName::parse("stripe").expect("a name");
    for (text, said) in [
        ("- rule: x", "p.yaml:1: this is no policy of Intercept"),
        ("version: 2\ntools: {}", "p.yaml:1: only version"),
        ("version: [", "p.yaml:"),
    ] {
        let fault = import_intercept(&Source { name: "p.yaml", text }, &server).unwrap_err().to_string();
        assert!(fault.starts_with(said), "{fault}");
    }
}
