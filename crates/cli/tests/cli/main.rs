//! The commands as people and scripts meet them: the real binary in a directory of its own, with nothing of this
//! machine's environment.

mod apis;
mod approvals;
mod documents;
mod evidence;
mod hosted;
mod identity;
mod keys;
mod machines;
mod people;
mod policy;
mod sandbox;
mod servers;
mod toolboxes;
mod trail;
mod upstreams;

use std::{fs, path::Path, thread};

use insta::assert_snapshot;

use self::{
    documents::{blocks, commands, documentation},
    sandbox::{Ended, Sandbox, transcript},
};

#[test]
fn help_teaches() {
    let sandbox = Sandbox::new();
    assert_snapshot!(transcript(&sandbox.run(&["--help"])), @"
    One URL for your MCP clients, with sign-in, rules and an audit trail in front of every server

    Usage: portcullis [OPTIONS] [COMMAND]

    Commands:
      up               Start the gateway; Ctrl-C stops it
      protect          Put an MCP server behind the gateway and print its new URL
      unprotect        Take a server away from the gateway again
      server           List the servers behind the gateway, and find out why one does not work
      toolbox          List the endpoints over several servers, and what one has and costs
      connections      See who is connected at which server, and end that
      connect          Point an MCP client at the gateway: show or write the entry in its settings
      bridge           Speak MCP on standard input and output, for clients that speak nothing else
      policy           Try rules on cases, see why a call is decided as it is, and begin rules
      user             Add, list and change the people of this gateway
      identity         Try the identity providers, and see which groups people and rules have
      offboard         End everything that a person had, with a signed report
      approvals        List and show calls that wait for people, who decide in a browser
      service-account  Add, list and change programs that call for themselves
      key              Add, list and end access keys, for clients that cannot do OAuth
      keys             List, change and retire the keys that seal what the gateway keeps
      sample           Run the sample MCP server alone, without a gateway in front of it
      audit            Search the audit trail, and check that nothing in it was changed or lost
      insight          See what goes on: calls, errors, who and what calls most, rights that nobody uses
      migrate          Update the database for this release
      config           Show the settings in force
      help             Print this message or the help of the given subcommand(s)

    Options:
          --listen <ADDR>      Address for clients and browsers [default: 127.0.0.1:7878]
          --operations <ADDR>  Address for health and metrics, without sign-in [default: 127.0.0.1:7879]
          --no-sample          Do not put the sample server behind the gateway
          --config <FILE>      Settings file of the gateway [default: portcullis.yaml in the working
                               directory, if there is one] [env: PORTCULLIS_CONFIG]
          --data <DIR>         Directory of its keys, database and journal [default: ./data]
      -h, --help               Print help
      -V, --version            Print version

    Start:
      portcullis up                                  gateway with a sample server, ready to sign in
      portcullis connect claude-code --write         point a client at it, in the client's own settings
      portcullis protect https://mcp.example.com/mcp put a server behind the gateway

    Exit codes: 0 done, 1 it was tried and did not work, 2 wrong flags or settings.
    Settings: portcullis.yaml in the working directory, or --config; `portcullis config show --origin`
    explains them.
    Without a command, `up` is run.
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "--help"])), @"
    Point an MCP client at the gateway: show or write the entry in its settings

    Without --write nothing is changed: what would be written is shown, and where. With it, comments,
    key order and line ends of the file stay as they are, and a backup is kept beside it.

    Usage: portcullis connect [OPTIONS] [CLIENT]

    Arguments:
      [CLIENT]
              The client, such as claude-code, cursor or vscode; --list shows all

    Options:
          --server <NAME>
              Which server, by its name in /mcp/NAME; needed when there are several

          --write
              Write the entry into the client's settings file

          --print
              Print the entry and nothing else

          --scope <SCOPE>
              Whose settings: your own, or those of the project in the working directory
              
              [default: user]
              [possible values: user, project]

          --file <PATH>
              Use this file instead of the client's usual one

          --list
              List all clients and their settings files

          --json
              Answer in JSON

          --config <FILE>
              Settings file of the gateway [default: portcullis.yaml in the working directory, if there
              is one]
              
              [env: PORTCULLIS_CONFIG]

          --data <DIR>
              Directory of its keys, database and journal [default: ./data]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      portcullis connect claude-code                 show what would be written, and where
      portcullis connect claude-code --write
      portcullis connect vscode --server everything --scope project --write
      portcullis connect cursor --print              the entry and nothing else
      portcullis connect --list                      all clients
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["protct"])), @"
    --- stderr
    error: unrecognized subcommand 'protct'

      tip: some similar subcommands exist: 'unprotect', 'protect'

    Usage: portcullis [OPTIONS] [COMMAND]

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(transcript(&sandbox.run(&["--listen", "127.0.0.1:0", "user", "list"])), @"
    --- stderr
    error: flags of `up` stand before another command
      write them after the command they belong to
    --- exit 2
    ");
}

#[test]
fn bad_settings_say_what_where_and_the_nearest_choice() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", "listne: 127.0.0.1:1\naudit: { durability: pwoer }\nroot_key: env:MISSING\n");
    assert_snapshot!(transcript(&sandbox.run(&["up"])), @r#"
    --- stderr
    error: 3 settings are wrong
      portcullis.yaml:1: listne: unknown key; did you mean "listen"?
          known here: listen, operations, public_url, data, database, root_key, root_key_command, identity, roles, access_keys, servers, toolboxes, default_resource, legacy_sse, rules, decision_point, approvals, notify, access_requests, break_glass, sessions, tokens, clients, outbound, telemetry, trusted_proxies, limits, audit
      portcullis.yaml:2: audit.durability: expected one of process, power, found "pwoer"
          did you mean "power"?
      portcullis.yaml:3: root_key: "env:MISSING": the environment variable is not set
          set it before the start: export MISSING=…
    --- exit 2
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["user", "list", "--config", "absent.yaml"])), @"
    --- stderr
    error: a setting is wrong
      absent.yaml: the settings file cannot be read: No such file or directory (os error 2)
    --- exit 2
    ");
    sandbox.write("portcullis.yaml", "rules:\n  - rule: r\n    who: [\"*\"]\n    what: [\"*\"]\n    thne: deny\n");
    let ended = sandbox.run(&["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("portcullis.yaml:5"), "{}", ended.err);
}

#[test]
fn settings_tell_where_they_come_from() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", "listen: 127.0.0.1:4000\naudit:\n  durability: power\n");
    let environment = [("PORTCULLIS_AUDIT__ARGUMENTS", "digest"), ("PORTCULLIS_CONFIG", "portcullis.yaml")];
    let ended = sandbox.run_with(&["config", "show", "--origin", "--data", "d"], "", &environment);
    let wanted = ["KEY", "audit.", "data ", "listen", "public_url", "tokens.access"];
    let lines: Vec<_> = ended.out.lines().filter(|line| wanted.iter().any(|start| line.starts_with(start))).collect();
    assert_snapshot!(lines.join("\n"), @"
    KEY                                       VALUE                  ORIGIN
    audit.arguments                           digest                 environment PORTCULLIS_AUDIT__ARGUMENTS
    audit.durability                          power                  portcullis.yaml:3
    audit.free_space                          512MiB                 default
    audit.index.keep                          365d                   default
    audit.reads_without_journal               allow                  default
    audit.results                             digest                 default
    audit.segment.age                         24h                    default
    audit.segment.size                        64MiB                  default
    data                                      d                      flag --data
    listen                                    127.0.0.1:4000         portcullis.yaml:1
    public_url                                http://127.0.0.1:4000  from listen
    tokens.access                             10m                    default
    ");
    let defaults = sandbox.run(&["config", "show", "--defaults"]);
    assert!(defaults.out.contains("listen: 127.0.0.1:7878"));
}

#[test]
fn people_are_added_listed_and_disabled() {
    let sandbox = Sandbox::new();
    assert_snapshot!(transcript(&sandbox.run(&["user", "list"])), @"
    --- stderr
    error: ./data/portcullis.db does not exist
      name the data directory with --data DIR; `portcullis up` makes a new one
    --- exit 1
    ");
    assert_eq!(sandbox.run(&["migrate"]).code, 0);
    assert_snapshot!(transcript(&sandbox.run(&["user", "list"])), @"
    No accounts yet. To make one: portcullis user add NAME --admin --password-stdin
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.add_person("ana", &["--admin"])), @"
    ✓ ana can sign in at http://127.0.0.1:7878 as an administrator
    --- exit 0
    ");
    assert_eq!(sandbox.add_person("ben", &["--group", "support", "--group", "sales"]).code, 0);
    assert_snapshot!(transcript(&sandbox.run(&["user", "list"])), @"
    NAME  STATE          FROM  GROUPS          SINCE
    ana   administrator  here                  [TIME]
    ben   active         here  sales, support  [TIME]
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.add_person("Ana", &[])), @r#"
    --- stderr
    error: there is an account "Ana" already
      choose another name; `portcullis user list` shows all
    --- exit 1
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["user", "disable", "bem"])), @r#"
    --- stderr
    error: there is no account "bem"
      did you mean "ben"?
    --- exit 1
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["user", "disable", "ben"])), @"
    ✓ ben can no longer sign in; sessions and clients are signed out
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["user", "disable", "ben"])), @"
    ben is disabled already
    --- exit 0
    ");
    // spec: T-95
    assert_snapshot!(transcript(&sandbox.run(&["user", "disable", "ana"])), @"
    --- stderr
    error: ana is the last administrator and cannot be offboarded: make another person administrator first
      portcullis user admin NAME on
    --- exit 1
    ");
    let json = sandbox.run(&["user", "list", "--json"]).out;
    assert_eq!(json.lines().count(), 2, "{json}");
    assert!(json.contains("\"groups\":[\"sales\",\"support\"]"), "{json}");
    assert!(!json.contains("argon2"), "{json}");
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["migrate"]).code, 0);
    thread::scope(|scope| {
        let added: Vec<_> = (0..8)
            .map(|n| {
                let sandbox = &sandbox;
                scope.spawn(move || sandbox.add_person(&format!("person-{n}"), &[]))
            })
            .collect();
        for ended in added.into_iter().map(|thread| thread.join().expect("join")) {
            assert_eq!(ended.code, 0, "{}", transcript(&ended));
        }
    });
    assert_eq!(sandbox.run(&["audit", "query", "--kind", "person.created", "--json"]).out.lines().count(), 8);
    assert_eq!(sandbox.run(&["audit", "verify"]).code, 0);
}

#[test]
fn passwords_come_by_standard_input_only_and_are_not_weak() {
    let sandbox = Sandbox::new();
    let add = |input: &str| sandbox.run_with(&["user", "add", "ana", "--password-stdin"], input, &[]);
    assert_snapshot!(transcript(&add("")), @r#"
    --- stderr
    error: no password came on standard input
      example: printf '%s' "$PASSWORD" | portcullis user add NAME --password-stdin
    --- exit 2
    "#);
    assert_snapshot!(transcript(&add("short\n")), @"
    --- stderr
    error: this password is not taken: use at least 8 characters
    --- exit 2
    ");
    assert_snapshot!(transcript(&add("two\nlines of text\n")), @"
    --- stderr
    error: the password on standard input has more than one line
    --- exit 2
    ");
    assert_snapshot!(transcript(&add(&"x".repeat(5000))), @"
    --- stderr
    error: this password is not taken: use at most 1024 bytes
    --- exit 2
    ");
    assert_snapshot!(transcript(&sandbox.run(&["user", "add", "ana"])), @"
    --- stderr
    error: the following required arguments were not provided:
      --password-stdin

    Usage: portcullis user add --password-stdin <NAME>

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(transcript(&sandbox.run_with(&["user", "add", "a na", "--password-stdin"], "long enough 1\n", &[])), @r#"
    --- stderr
    error: "a na" is not a name for an account
      use 1 to 64 letters, digits, or . - _ @ +
    --- exit 2
    "#);
    assert!(!sandbox.path("data").exists(), "nothing was made for what was refused");
    assert_eq!(add("12345678\r\n").code, 0);
}

#[test]
fn commands_leave_a_trail_that_can_be_proved() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    assert_eq!(sandbox.add_person("ben", &[]).code, 0);
    assert_eq!(sandbox.run(&["user", "disable", "ben"]).code, 0);
    assert_snapshot!(transcript(&sandbox.run(&["audit", "query", "--kind", "person."])), @"
    TIME                      EVENT            WHO  WHAT  OUTCOME  RULE
    [TIME]  person.disabled  cli  ben   success
    [TIME]  person.created   cli  ben   success
    [TIME]  person.created   cli  ana   success
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["audit", "query", "--since", "yesterday"])), @r#"
    --- stderr
    error: "yesterday" is neither a moment nor a duration
      examples: 2026-11-23T04:00:00Z, 15m, 24h, 7d
    --- exit 2
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["audit", "query", "--name", "nobody"])), @"
    Nothing was found.
    --- exit 0
    ");
    assert_eq!(
        sandbox
            .run(&["audit", "query", "--json", "--kind", "person.", "--since", "1h", "--limit", "2"])
            .out
            .lines()
            .count(),
        2
    );
    assert_snapshot!(transcript(&sandbox.run(&["audit", "verify"])), @"
    ✓ cli: 20 lines in 1 segment, 5 signed checkpoints, [TIME] to [TIME]
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["audit", "verify", "elsewhere"])), @"
    --- stderr
    error: there is no journal in elsewhere
      name its directory, or the data directory with --data
    --- exit 1
    ");
    let report = sandbox.run(&["audit", "verify", "--json"]).out;
    assert!(report.contains("\"holds\":true"), "{report}");

    // spec: T-98: "flip one byte => verify fails"
    let segment = fs::read_dir(sandbox.path("data/journal/cli"))
        .expect("journal")
        .next()
        .expect("segment")
        .expect("entry")
        .path();
    let text = fs::read_to_string(&segment).expect("read");
    fs::write(&segment, text.replacen("ben", "bon", 1)).expect("write");
    let ended = sandbox.run(&["audit", "verify"]);
    assert_eq!(ended.code, 1);
    assert_snapshot!(transcript(&ended), @"
    ✗ cli: 0000000000000001.jsonl line 7: the line is not what was written
      what is before it holds: 6 lines, up to number 6
    --- stderr
    error: 1 of 1 journal failed
      keep the files as they are and compare them with a backup or an exported copy
    --- exit 1
    ");

    fs::write(&segment, &text[..text.len() - 10]).expect("write");
    assert_snapshot!(transcript(&sandbox.run(&["audit", "verify"])), @"
    ✗ cli: 0000000000000001.jsonl line 20: the end is missing
      what is before it holds: 19 lines, up to number 19
    --- stderr
    error: 1 of 1 journal failed
      keep the files as they are and compare them with a backup or an exported copy
    --- exit 1
    ");

    // A line that is being written by somebody else is no fault.
    fs::write(&segment, format!("{text}{{\"seq\":14,\"at\"")).expect("write");
    let ended = sandbox.run(&["audit", "verify"]);
    assert_eq!(ended.code, 0, "{}", transcript(&ended));
    assert!(ended.out.contains("the last line is unfinished (14 bytes)"), "{}", ended.out);
}

#[test]
fn database_is_brought_to_this_release() {
    let sandbox = Sandbox::new();
    assert_snapshot!(transcript(&sandbox.run(&["migrate", "--check"])), @"
    --- stderr
    error: ./data/portcullis.db does not exist yet
      `portcullis migrate` or `portcullis up` makes it
    --- exit 1
    ");
    assert_eq!(sandbox.run(&["migrate"]).code, 0);
    let again = sandbox.run(&["migrate"]);
    assert!(again.out.contains("already"), "{}", again.out);
    assert_eq!(sandbox.run(&["migrate", "--check"]).code, 0);
    sandbox.write("blocked", "a file");
    let ended = sandbox.run(&["migrate", "--data", "blocked/deeper"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("blocked/deeper"), "{}", ended.err);
}

#[test]
fn gateway_starts_says_what_is_next_and_stops() {
    let sandbox = Sandbox::new();
    let arguments = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];
    let gateway = sandbox.start(&arguments, "Ctrl-C stops");
    let address = gateway.address();
    let said = &gateway.said;
    assert!(said.contains(&format!("http://{address}/welcome/")), "{said}");
    assert!(said.contains(&format!("http://{address}/mcp/sample")), "{said}");
    // Commands beside it know its address, although no settings name it.
    let connect = sandbox.run(&["connect", "claude-code", "--print"]);
    assert!(connect.out.contains(&format!("http://{address}/mcp/sample")), "{}", transcript(&connect));
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);

    let taken = sandbox.run(&["up", "--data", "other", "--listen", &address, "--operations", "127.0.0.1:0"]);
    assert_eq!(taken.code, 1);
    assert_snapshot!(taken.err.replace(&address, "[ADDRESS]"), @"error: cannot listen on [ADDRESS] (listen): Address already in use (os error 98); another program has this port: stop it, or choose another with --listen or in the settings");
    let same = sandbox.run(&arguments);
    assert_eq!(same.code, 1, "a second gateway on the same journal");
    assert!(same.err.contains("a gateway runs on this data directory already"), "{}", same.err);

    assert_eq!(gateway.stop(), 0);
    let verified = sandbox.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{}", transcript(&verified));
    let second = sandbox.start(&arguments, "Ctrl-C stops");
    assert!(!second.said.contains("/welcome/"), "{}", second.said);
    assert_eq!(second.stop(), 0);
}

#[test]
fn database_of_a_newer_release_is_refused() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["migrate"]).code, 0);
    make_newer(&sandbox.path("data/portcullis.db"));
    for arguments in [
        &["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"][..],
        &["user", "list"],
        &["migrate", "--check"],
    ] {
        let ended = sandbox.run(arguments);
        assert_eq!(ended.code, 1, "{}", transcript(&ended));
        assert!(ended.err.contains("the newer portcullis that wrote it"), "{}", ended.err);
    }
}

fn make_newer(path: &Path) {
    let database = rusqlite::Connection::open(path).expect("open");
    database.execute("insert into schema (version, applied_at) values (999, 0)", []).expect("insert");
}
