//! Rules tried, explained, described and begun from the command line.

use super::Sandbox;

const SETTINGS: &str = "servers:
  - { name: stripe, url: https://stripe.example/mcp, access: [{ group: support, allow: [read], ask: [financial] }] }
rules:
  - rule: no-deletes
    who: '*'
    what: stripe/delete_*
    then: deny
";

#[test]
fn cases_pass_or_fail_with_their_line_and_the_exit_code_says_which() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", SETTINGS);
    let case = |tool: &str, class: &str, effect: &str| {
        format!(
            "- name: {tool}\n  given: {{ groups: [support], server: stripe, tool: {tool}, classes: {class} }}\n  expect:\n    effect: {effect}\n"
        )
    };
    let good = [case("list", "read", "allow"), case("refund", "financial", "ask"), case("delete_it", "read", "deny")];
    sandbox.write("good.yaml", &good.concat());
    let ended = sandbox.run(&["policy", "test", "good.yaml"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "ok list\nok refund\nok delete_it\n"), "{}", ended.err);
    sandbox.write("bad.yaml", &case("list", "read", "deny"));
    let ended = sandbox.run(&["policy", "test", "good.yaml", "bad.yaml"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.ends_with("failed list\n  bad.yaml:4: expected deny, but it is allow by \"access\"\n"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("1 of 4 cases are not as expected"), "{}", ended.err);
    // A draft in a file takes the place of the rules of the settings.
    sandbox.write("draft.yaml", "- {rule: nothing, who: '*', what: stripe, then: deny}\n");
    assert_eq!(sandbox.run(&["policy", "test", "bad.yaml", "--rules", "draft.yaml"]).code, 0);
    sandbox
        .write("torn.yaml", "- {rule: a, who: '*', what: x, then: deny}\n- {rule: b, who: '*', what: x, then: ask}\n");
    let torn = sandbox.run(&["policy", "test", "bad.yaml", "--rules", "torn.yaml"]);
    assert!(
        torn.code == 2 && torn.err.contains("torn.yaml:2: this says ask of what \"a\" at torn.yaml:1 says deny"),
        "{}",
        torn.err
    );
    let json = sandbox.run(&["policy", "test", "bad.yaml", "--json"]);
    assert!(json.out.contains("\"passed\":false") && json.out.contains("\"line\":4"), "{}", json.out);
    sandbox.write("broken.yaml", "- name: x\n  given: { servr: stripe }\n  expect: { effect: allow }\n");
    let ended = sandbox.run(&["policy", "test", "broken.yaml"]);
    assert!(
        ended.code == 2 && ended.err.contains("broken.yaml:2:") && ended.err.contains("did you mean \"server\"?"),
        "{}",
        ended.err
    );
}

#[test]
fn one_call_is_explained_with_every_rule_that_was_looked_at() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", SETTINGS);
    let ended = sandbox.run(&[
        "policy",
        "explain",
        "stripe",
        "delete_customer",
        "--group",
        "support",
        "--class",
        "destructive",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for told in [
        "deny by \"no-deletes\" (rules ",
        "alice with client: tools/call delete_customer at stripe; class destructive\n",
        "* no-deletes (portcullis.yaml:4): *, stripe/delete_* → deny\n",
        "In lists it is not shown.\n",
    ] {
        assert!(ended.out.contains(told), "{told}: {}", ended.out);
    }
    let json = sandbox.run(&[
        "policy",
        "explain",
        "stripe",
        "refund",
        "--group",
        "support",
        "--class",
        "financial",
        "--arguments",
        "{\"amount\":5}",
        "--json",
    ]);
    let told: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&told["effect"], &told["rule"]), (&"ask".into(), &"access".into()));
    let wrong = sandbox.run(&["policy", "explain", "stripe", "x", "--class", "destuctive"]);
    assert!(wrong.code == 2 && wrong.err.contains("there is no class \"destuctive\""), "{}", wrong.err);
}

#[test]
fn schemas_are_printed_and_other_policies_are_a_beginning() {
    let sandbox = Sandbox::new();
    for (of, title) in [("rules", "Portcullis rules"), ("cases", "Portcullis policy cases")] {
        let schema: serde_json::Value =
            serde_json::from_str(&sandbox.run(&["policy", "schema", of]).out).expect("JSON");
        assert_eq!(schema["title"], title);
    }
    sandbox.write(
        "theirs.yaml",
        "version: '1'\nhide: [drop]\ntools: { list: { rules: [{ name: r, rate_limit: 5/week }] } }\n",
    );
    let ended = sandbox.run(&["policy", "import", "theirs.yaml", "--server", "db"]);
    assert!(ended.code == 0 && ended.out.contains("what: \"db/drop\"\n  then: deny\n"), "{}", ended.out);
    assert!(ended.err.contains("not carried over: the limit \"5/week\" of \"r\""), "{}", ended.err);
    sandbox.write("ours.yaml", &ended.out);
    assert_eq!(sandbox.run(&["policy", "explain", "db", "drop", "--rules", "ours.yaml"]).code, 0);
}

#[test]
fn rules_are_checked_against_each_other_and_against_the_servers_there_are() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", SETTINGS);
    let ended = sandbox.run(&["policy", "check"]);
    // Nobody listed its tools yet.
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended.out.starts_with("note: ") && ended.out.contains("the tools of \"stripe\" are not known"),
        "{}",
        ended.out
    );
    let draft = "- {rule: a, who: '*', what: strip, then: deny}\n- {rule: b, who: '*', what: '*', then: allow}\n";
    sandbox.write("draft.yaml", draft);
    let ended = sandbox.run(&["policy", "check", "--rules", "draft.yaml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let first = "caution: draft.yaml:1: there is no server \"strip\"; did you mean \"stripe\"?\n";
    assert!(ended.out.starts_with(first), "{}", ended.out);
    assert!(ended.out.contains("caution: draft.yaml:2: this allows everything on every server"), "{}", ended.out);
    let json = sandbox.run(&["policy", "check", "--rules", "draft.yaml", "--json"]);
    assert!(json.out.contains("\"weight\":\"caution\"") && json.out.contains("\"line\":1"), "{}", json.out);
    sandbox
        .write("torn.yaml", "- {rule: a, who: '*', what: x, then: deny}\n- {rule: b, who: '*', what: x, then: ask}\n");
    assert_eq!(sandbox.run(&["policy", "check", "--rules", "torn.yaml"]).code, 2);
}
