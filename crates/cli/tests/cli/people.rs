//! People: their groups and rights, and the end of their access.

use insta::assert_snapshot;

use super::{Sandbox, transcript};

fn house() -> Sandbox {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    assert_eq!(sandbox.add_person("ben", &["--group", "sales"]).code, 0);
    sandbox
}

#[test]
fn groups_and_rights_of_people_change() {
    let sandbox = house();
    let run = |arguments: &[&str]| transcript(&sandbox.run(arguments));
    assert_snapshot!(run(&["user", "group", "ben", "--add", "support", "--remove", "sales"]), @"
    ✓ ben has support here
    --- exit 0
    ");
    assert_snapshot!(run(&["user", "group", "ben", "--remove", "support"]), @"
    ✓ ben has no groups here
    --- exit 0
    ");
    assert_snapshot!(run(&["user", "group", "ben", "--remove", "support"]), @r#"
    --- stderr
    error: ben is not in the group "support" of this gateway
      groups given here: none
    --- exit 1
    "#);
    assert_snapshot!(run(&["user", "group", "ben", "--add", "*"]), @r#"
    --- stderr
    error: "*" is not a name for a group
      everyone is in "*" already; other names are free
    --- exit 2
    "#);
    assert_eq!(sandbox.run(&["user", "group", "ben"]).code, 2);
    // spec: T-95
    assert_snapshot!(run(&["user", "admin", "ana", "off"]), @"
    --- stderr
    error: nobody would be left who administers
      make another person administrator first: portcullis user admin NAME on
    --- exit 1
    ");
    assert_snapshot!(run(&["user", "admin", "ben", "on"]), @"
    ✓ ben is an administrator
    --- exit 0
    ");
    assert_snapshot!(run(&["user", "admin", "ana", "off"]), @"
    ✓ ana is no longer an administrator
    --- exit 0
    ");
    assert_snapshot!(run(&["user", "enable", "ana"]), @"
    ana is not disabled
    --- exit 0
    ");
    assert_eq!(sandbox.run(&["user", "disable", "ana"]).code, 0);
    assert_snapshot!(run(&["user", "enable", "ana"]), @"
    ✓ ana may sign in again; what was ended stays ended
    --- exit 0
    ");
    assert_snapshot!(run(&["user", "list"]), @"
    NAME  STATE          FROM  GROUPS  SINCE
    ana   active         here          [TIME]
    ben   administrator  here          [TIME]
    --- exit 0
    ");
    let events = |kind| sandbox.run(&["audit", "query", "--kind", kind, "--json"]).out.lines().count();
    assert_eq!((events("person.changed"), events("person.enabled")), (4, 1));
}

// spec: T-53
#[test]
fn person_is_offboarded_and_the_report_verifies() {
    let sandbox = house();
    let run = |arguments: &[&str]| transcript(&sandbox.run(arguments));
    assert_snapshot!(run(&["offboard", "bem"]), @r#"
    --- stderr
    error: there is no account "bem"
      did you mean "ben"?
    --- exit 1
    "#);
    assert_snapshot!(run(&["offboard", "ben"]), @"
    --- stderr
    ben ([usr])
      0 signed-in browsers, 0 clients, 0 access keys, 0 connections will end
    error: nobody is there to be asked
      run it on a terminal, or say --yes
    --- exit 2
    ");
    assert_snapshot!(run(&["offboard", "ben", "--yes", "--report", "ben.json"]), @"
    ✓ ben is offboarded
    ENDED                           HOW MANY  WHICH
    signed-in browsers              0
    grants of clients               0
    access keys                     0
    remembered consents             0
    connections to servers          0
    calls that waited for a word    0
    approvals ahead                 0
    wishes for access               0
    rights for a time               0
    words lent                      0
    passkeys                        0
    tokens given back to providers  0
    Report [rpt] is kept; portcullis offboard --verify FILE checks a copy of it.
    The signed report is in ben.json.
    --- exit 0
    ");
    assert_snapshot!(run(&["offboard", "--verify", "ben.json"]), @"
    ✓ genuine, signed with ./data/journal/cli.pub.json
      ben ([usr]) at [TIME], by cli (command)
      ended: 0 signed-in browsers, 0 grants, 0 consents; not ended: 0
    --- exit 0
    ");
    let listed = sandbox.run(&["user", "list"]).out;
    assert!(listed.contains("ben   disabled"), "{listed}");
    // An auditor has the public key and nothing else.
    let arguments = ["offboard", "--verify", "ben.json", "--key", "data/journal/cli.pub.json", "--data", "nowhere"];
    assert_eq!(sandbox.run(&arguments).code, 0);
    let written = std::fs::read_to_string(sandbox.path("ben.json")).expect("report");
    sandbox.write("changed.json", &written.replace("\"ben\"", "\"bob\""));
    assert_snapshot!(run(&["offboard", "--verify", "changed.json"]), @"
    --- stderr
    error: changed.json is not to be believed: the signature does not hold: the statement was changed, or never signed
    --- exit 1
    ");
    let json = sandbox.run(&["offboard", "--verify", "changed.json", "--json"]).out;
    assert!(json.contains("\"genuine\":false"), "{json}");
    sandbox.write("other.json", "{}");
    assert_snapshot!(run(&["offboard", "--verify", "other.json"]), @r#"
    --- stderr
    error: other.json is not to be believed: this is not a signed statement: "key" is missing
    --- exit 1
    "#);
    assert_snapshot!(run(&["offboard", "--verify", "ben.json", "--data", "nowhere"]), @"
    --- stderr
    error: the public keys of this gateway are needed: nowhere/journal: No such file or directory (os error 2)
      name the data directory with --data DIR, or the key with --key FILE
    --- exit 1
    ");
    assert_eq!(sandbox.run(&["audit", "verify"]).code, 0);
}

#[test]
fn last_administrator_and_strangers_are_not_offboarded() {
    let sandbox = house();
    let run = |arguments: &[&str]| transcript(&sandbox.run(arguments));
    // spec: T-95
    assert_snapshot!(run(&["offboard", "ana", "--yes"]), @"
    --- stderr
    error: ana is the last administrator and cannot be offboarded: make another person administrator first
      portcullis user admin NAME on
    --- exit 1
    ");
    let database = rusqlite::Connection::open(sandbox.path("data/portcullis.db")).expect("open");
    let give = |name: &str, email: &str| {
        database.execute("update people set email = ?2 where name = ?1", [name, email]).expect("update");
    };
    give("ben", "ben@example.com");
    assert_eq!(sandbox.run(&["offboard", "nobody@example.com", "--yes"]).code, 1);
    give("ana", "BEN@example.com");
    assert_snapshot!(run(&["offboard", "ben@example.com", "--yes"]), @"
    --- stderr
    error: 2 people have the address ben@example.com
      name one of them: ana ([usr]), ben ([usr])
    --- exit 1
    ");
    give("ana", "ana@example.com");
    let json = sandbox.run(&["offboard", "Ben@Example.com", "--yes", "--json"]);
    assert_eq!(json.code, 0, "{}", transcript(&json));
    assert!(json.out.contains("portcullis offboarding report"), "{}", json.out);
    drop(database);
}
