//! The commands as people and scripts meet them: the real binary in a directory of its own, with nothing of this
//! machine's environment.

mod hosted;
mod identity;
mod keys;
mod machines;
mod people;
mod toolboxes;
mod upstreams;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use insta::assert_snapshot;

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// A directory with a home in it.
struct Sandbox {
    directory: tempfile::TempDir,
}

/// What a command printed, and how it ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Sandbox {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        fs::create_dir(directory.path().join("home")).expect("home");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::write(&path, text).expect("write");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.path("home")).env("PATH", "/nowhere");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "", &[])
    }

    fn run_with(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Ended {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start");
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().expect("input").write_all(input.as_bytes());
        let pid = rustix::process::Pid::from_child(&child);
        let (ended, ending) = mpsc::channel::<()>();
        // What should have ended and did not must fail its test instead of holding up all others.
        let watch = thread::spawn(move || {
            if ending.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("end");
        drop(ended);
        watch.join().expect("watch");
        let text = |bytes: Vec<u8>| self.settled(&String::from_utf8(bytes).expect("UTF-8"));
        Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts a command that stays, and waits for a line that contains `sign`; the lines up to it.
    fn start(&self, arguments: &[&str], sign: &str) -> Staying {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
        let out = BufReader::new(child.stdout.take().expect("output"));
        let mut staying = Staying { child, out, said: String::new() };
        while !staying.said.contains(sign) {
            assert!(staying.out.read_line(&mut staying.said).expect("line") > 0, "it ended: {}", staying.said);
        }
        staying
    }

    /// Paths, ports, times and identifiers are not the same in every run.
    fn settled(&self, text: &str) -> String {
        let text = without_identifiers(text)
            .replace(&self.directory.path().display().to_string(), "[DIR]")
            .replace(BINARY, "portcullis");
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("20") {
            let moment =
                rest.get(at..at + 24).filter(|moment| moment.ends_with('Z') && moment.get(10..11) == Some("T"));
            out.push_str(&rest[..at]);
            out.push_str(moment.map_or("20", |_| "[TIME]"));
            rest = &rest[at + moment.map_or(2, str::len)..];
        }
        out + rest
    }

    fn add_person(&self, name: &str, more: &[&str]) -> Ended {
        let arguments = [&["user", "add", name, "--password-stdin"], more].concat();
        self.run_with(&arguments, "correct horse battery\n", &[])
    }
}

/// The text with every random identifier as its kind alone: `[usr]`, padded to the width that it had.
fn without_identifiers(text: &str) -> String {
    let mut out = text.to_owned();
    for kind in ["usr_", "svc_", "grt_", "rpt_", "pck_"] {
        let mut from = 0;
        while let Some(at) = out[from..].find(kind).map(|at| at + from) {
            let random = out[at + 4..].bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)).count();
            if random >= 16 {
                out.replace_range(at..at + 4 + random, &format!("[{}]", &kind[..3]));
            }
            from = at + 4;
        }
    }
    out
}

/// A command that runs until it is told to stop.
struct Staying {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    said: String,
}

impl Staying {
    /// The first address it printed.
    fn address(&self) -> String {
        let at = self.said.find("http://").expect("a URL") + "http://".len();
        self.said[at..].split(['/', ' ', '\n']).next().expect("address").to_owned()
    }

    /// Asks it to stop, as a supervisor does.
    fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
        self.child.wait().expect("end").code().unwrap_or(-1)
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both streams and the exit code, as one text.
fn transcript(ended: &Ended) -> String {
    let err = if ended.err.is_empty() { String::new() } else { format!("--- stderr\n{}", ended.err) };
    format!("{}{err}--- exit {}", ended.out, ended.code)
}

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
      user             Add, list and change the people of this gateway
      identity         Try the identity providers, and see which groups people and rules have
      offboard         End everything that a person had, with a signed report
      service-account  Add, list and change programs that call for themselves
      key              Add, list and end access keys, for clients that cannot do OAuth
      keys             List, change and retire the keys that seal what the gateway keeps
      sample           Run the sample MCP server alone, without a gateway in front of it
      audit            Search the audit trail, and check that nothing in it was changed or lost
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
          known here: listen, operations, public_url, data, database, root_key, root_key_command, identity, roles, access_keys, servers, toolboxes, default_resource, legacy_sse, rules, sessions, tokens, clients, outbound, trusted_proxies, limits, audit
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
    ✓ cli: 15 lines in 1 segment, 4 signed checkpoints, [TIME] to [TIME]
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
    ✗ cli: 0000000000000001.jsonl line 15: the end is missing
      what is before it holds: 14 lines, up to number 14
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
fn client_entries_are_shown_written_and_left_alone() {
    let sandbox = Sandbox::new();
    let existing = "{\n\t// mine\n\t\"mcpServers\": {}\n}\n";
    let file = sandbox.write("home/.cursor/mcp.json", existing);
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor"])), @r#"
    [DIR]/home/.cursor/mcp.json
      {
          // mine
    -     "mcpServers": {}
    +     "mcpServers": {
    +         "sample": {
    +             "url": "http://127.0.0.1:7878/mcp/sample"
    +         }
    +     }
      }

    Nothing is written yet. To write it: portcullis connect cursor --write
      or open: cursor://anysphere.cursor-deeplink/mcp/install?name=sample&config=eyJ1cmwiOiJodHRwOi8vMTI3LjAuMC4xOjc4NzgvbWNwL3NhbXBsZSJ9
    --- exit 0
    "#);
    assert_eq!(fs::read_to_string(&file).expect("read"), existing, "nothing is written without --write");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor", "--print"])), @r#"
    {
      "mcpServers": {
        "sample": {
          "url": "http://127.0.0.1:7878/mcp/sample"
        }
      }
    }
    --- exit 0
    "#);
    let written = sandbox.run(&["connect", "cursor", "--write", "--json"]);
    assert!(written.out.contains("\"changed\":true") && written.out.contains(".bak"), "{}", transcript(&written));
    let new = fs::read_to_string(&file).expect("read");
    assert!(new.starts_with("{\n\t// mine\n"), "{new}");
    let again = sandbox.run(&["connect", "cursor", "--write"]);
    assert_snapshot!(transcript(&again), @"
    ✓ Cursor already has http://127.0.0.1:7878/mcp/sample in [DIR]/home/.cursor/mcp.json
    --- exit 0
    ");
    assert_eq!(fs::read_to_string(&file).expect("read"), new);
    let backup = fs::read_dir(sandbox.path("home/.cursor")).expect("directory").flatten().map(|entry| entry.path());
    let backup = backup.into_iter().find(|path| path.extension().is_some_and(|end| end == "bak")).expect("backup");
    assert_eq!(fs::read_to_string(backup).expect("backup"), existing);

    let project = sandbox.run(&["connect", "vscode", "--scope", "project", "--write"]);
    assert_eq!(project.code, 0, "{}", transcript(&project));
    assert!(sandbox.path(".vscode/mcp.json").exists());
    assert!(sandbox.run(&["connect", "--list"]).out.contains("claude-code"));
}

#[test]
fn unknown_clients_and_servers_are_refused_with_the_nearest_name() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", "servers:\n  - { name: tickets, url: https://tickets.example/mcp }\n  - { name: notes, url: https://notes.example/mcp }\n");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "claud-code"])), @r#"
    --- stderr
    error: "claud-code" is not a client that is known here
      did you mean "claude-code"?
      known: claude-code, claude-desktop, cursor, vscode, vscode-insiders, vscodium, copilot-cli, copilot-jetbrains, copilot-xcode, visual-studio, codex, gemini-cli, qwen-code, antigravity, windsurf, zed, continue, cline, roo, goose, lmstudio, kiro, amazon-q, opencode, crush, junie, warp, amp, trae, qoder, factory, kimi, mistral-vibe, abacus, librechat, claude-ai, chatgpt
      for any other client: its entry is the URL of the server, sign-in is found by itself
    --- exit 2
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor"])), @"
    --- stderr
    error: there are several servers: say which one
      --server notes
      --server tickets
    --- exit 2
    ");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor", "--server", "ticket"])), @r#"
    --- stderr
    error: there is no server "ticket"
      did you mean "tickets"?
    --- exit 1
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["connect", "chatgpt", "--server", "notes"])), @"
    Settings > Connectors > developer mode > add http://127.0.0.1:7878/mcp/notes with OAuth
    the connection comes from the cloud: the gateway needs a public https URL
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "windsurf", "--server", "notes", "--scope", "project"])), @"
    --- stderr
    error: Windsurf has no settings per project
      leave --scope out
    --- exit 2
    ");
    sandbox.write("home/.cursor/mcp.json", "{ \"mcpServers\": [] }");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor", "--server", "notes", "--write"])), @r#"
    --- stderr
    error: [DIR]/home/.cursor/mcp.json cannot be edited: "mcpServers" in it is not an object
      insert this by hand:
      {
        "mcpServers": {
          "notes": {
            "url": "http://127.0.0.1:7878/mcp/notes"
          }
        }
      }
    --- exit 1
    "#);
}

#[test]
fn servers_are_probed_registered_and_taken_away() {
    let sandbox = Sandbox::new();
    let sample = sandbox.start(&["sample", "--listen", "127.0.0.1:0"], "sample server is at");
    let url = format!("http://{}/mcp?key=s3cret", sample.address());
    let shown = |ended: Ended| transcript(&ended).replace(&sample.address(), "[SAMPLE]");
    let first = sandbox.run(&["protect", &url, "--name", "notebook"]);
    assert_eq!(first.code, 0, "{}", transcript(&first));
    assert!(first.out.contains("http://127.0.0.1:7878/mcp/notebook"), "{}", first.out);
    let again = sandbox.run(&["protect", &url, "--json"]);
    assert!(
        again.out.contains("\"changed\":false") && again.out.contains("\"name\":\"notebook\""),
        "{}",
        transcript(&again)
    );
    assert_snapshot!(shown(sandbox.run(&["protect", &url, "--name", "other"])), @r#"
    --- stderr
    error: http://[SAMPLE]/mcp is protected already, as "notebook"
      use that name, or run first: portcullis unprotect notebook
    --- exit 1
    "#);
    let changed = sandbox.run(&["protect", &url, "--group", "support", "--json"]);
    assert!(changed.out.contains("\"changed\":true"), "{}", transcript(&changed));

    let free = TcpListener::bind("127.0.0.1:0").expect("port");
    let nobody = free.local_addr().expect("address").to_string();
    drop(free);
    let unreachable = sandbox.run(&["protect", &format!("http://{nobody}/mcp"), "--name", "gone"]);
    assert_eq!(unreachable.code, 1);
    assert_snapshot!(unreachable.err.replace(&nobody, "[NOBODY]"), @"
    error: http://[NOBODY]/mcp cannot be reached: cannot connect: Connection refused (os error 111)
      check address and port, and that the server runs
    ");
    let elsewhere = sandbox.run(&["protect", &url.replace("/mcp?key=s3cret", "/nothing")]);
    assert_eq!(elsewhere.code, 1);
    assert_snapshot!(elsewhere.err.replace(&sample.address(), "[SAMPLE]"), @"
    error: http://[SAMPLE]/nothing is not an MCP endpoint: it does not answer as an MCP server: status 404, text/plain; charset=utf-8
      the URL must be that of the Streamable HTTP endpoint; it often ends in /mcp
    ");
    assert_snapshot!(shown(sandbox.run(&["protect", "https://other.example/mcp", "--name", "notebook"])), @r#"
    --- stderr
    error: the name "notebook" is taken by http://[SAMPLE]/mcp
      choose another: --name notebook-2
    --- exit 1
    "#);
    assert_snapshot!(shown(sandbox.run(&["protect", "http://mcp.internal/mcp"])), @"
    --- stderr
    error: http://mcp.internal/mcp is plain http to another machine: whoever is in between can read and change the calls
      use https://, or allow it for a network of your own: `private: true` in the file, `--private` with protect
    --- exit 2
    ");
    assert_snapshot!(shown(sandbox.run(&["protect", "notes"])), @"
    --- stderr
    error: notes is not a URL (relative URL without a base)
      example: portcullis protect https://mcp.example.com/mcp
    --- exit 2
    ");
    assert_snapshot!(shown(sandbox.run(&["protect", "https://a.example/mcp", "--name", "Git Hub"])), @r#"
    --- stderr
    error: "Git Hub" is not a server name: use 1 to 32 of a-z, 0-9 and "-", not beginning with "-"
      did you mean "git-hub"?
    --- exit 2
    "#);

    assert_snapshot!(shown(sandbox.run(&["unprotect", "notebok"])), @r#"
    --- stderr
    error: there is no server "notebok"
      did you mean "notebook"?
    --- exit 1
    "#);
    assert_snapshot!(shown(sandbox.run(&["unprotect", "notebook"])), @"
    ✓ notebook is no longer served; tokens for it are worth nothing now
    --- exit 0
    ");
    let events = sandbox.run(&["audit", "query", "--kind", "server.", "--json"]).out;
    assert_eq!(events.lines().count(), 3, "{events}");
    assert!(!events.contains("s3cret"), "the query of a URL may be a secret: {events}");
    assert_eq!(sample.stop(), 0);
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

/// A file of the repository.
fn documentation(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What stands in the fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The commands in the blocks of a guide, without their comments.
fn commands(guide: &str) -> Vec<String> {
    let blocks = blocks(guide, "sh");
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| line.starts_with("portcullis "));
    lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
}

/// Also those within sentences.
fn mentioned(guide: &str) -> Vec<String> {
    let text = guide.replace('\n', " ");
    let spans = text.split('`').skip(1).step_by(2).filter(|span| span.starts_with("portcullis "));
    spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn commands_of_the_readme_work_as_they_stand() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("bin")).expect("directory");
    std::os::unix::fs::symlink(BINARY, sandbox.path("bin/portcullis")).expect("link");
    let sample = sandbox.start(&["sample", "--listen", "127.0.0.1:0"], "sample server is at");
    let address = format!("http://{}/mcp", sample.address());
    let readme = documentation("README.md");
    let lines: Vec<String> = blocks(&readme, "sh")
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| line.split_whitespace().any(|word| word == "portcullis"))
        .map(|line| line.replace("http://127.0.0.1:3001/mcp", &address))
        .collect();
    assert!(lines.iter().any(|line| line.contains(&address)), "no command protects the server of the example");
    for line in &lines {
        let command = line.split(" #").next().unwrap_or_default().trim();
        let stays =
            command == "portcullis" || ["portcullis up", "portcullis sample"].iter().any(|it| command.contains(it));
        assert!(!stays, "this does not end by itself, so this test cannot run it: {line}");
        // A shell reads them as the reader's would: quotes, pipes and comments.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).current_dir(sandbox.directory.path()).env_clear().stdin(Stdio::null());
        shell.env("HOME", sandbox.path("home")).env("PATH", format!("{}:/usr/bin:/bin", sandbox.path("bin").display()));
        let output = shell.output().expect("run");
        assert_eq!(output.status.code(), Some(0), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let written = fs::read_to_string(sandbox.path("home/.cursor/mcp.json")).expect("the entry is written");
    assert!(written.contains("http://127.0.0.1:7878/mcp/everything"), "{written}");
    assert_eq!(sample.stop(), 0);
}

#[test]
fn the_readme_names_every_command_and_no_other() {
    let sandbox = Sandbox::new();
    let readme = documentation("README.md");
    let help = sandbox.run(&["--help"]).out;
    let listed = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    for command in listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(readme.contains(&format!("`portcullis {command}")), "{command} is not in README.md");
    }
    let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| `portcullis ")).collect();
    assert!(rows.len() > 5, "the table of commands is not found any more");
    for row in rows {
        let words = row.split('`').next().expect("command").split(' ');
        // Words in capitals stand for what a person fills in.
        let arguments: Vec<&str> = words.filter(|word| *word != word.to_uppercase()).chain(["--help"]).collect();
        let ended = sandbox.run(&arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", transcript(&ended));
    }
    for flag in ["--config FILE", "--data DIR"] {
        assert!(readme.contains(flag), "{flag}");
    }
}

#[test]
fn settings_of_the_readme_load_and_their_rules_compile() {
    let sandbox = Sandbox::new();
    let examples = blocks(&documentation("README.md"), "yaml");
    assert!(!examples.is_empty(), "no example of settings is found any more");
    for example in examples {
        sandbox.write("example.yaml", &example);
        let secret = [("COMPANY_SECRET", "0123456789abcdef")];
        let shown = sandbox.run_with(&["config", "show", "--config", "example.yaml"], "", &secret);
        assert_eq!(shown.code, 0, "{}", transcript(&shown));
        // There is no PostgreSQL here, and secrets come from a file; a start reads the rules too.
        sandbox.write("secret", "0123456789abcdef");
        let lines = example.lines().map(|line| match line.split_once(':') {
            Some(("database", _)) => "database: sqlite",
            _ => line,
        });
        let local = lines.collect::<Vec<_>>().join("\n").replace("env:COMPANY_SECRET", "file:secret");
        sandbox.write("local.yaml", &local);
        let arguments =
            ["up", "--config", "local.yaml", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--data", "up"];
        let gateway = sandbox.start(&arguments, "Ctrl-C stops");
        assert!(gateway.said.contains("https://mcp.example.com/mcp/wiki"), "{}", gateway.said);
        assert_eq!(gateway.stop(), 0);
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let pages = ["docs", "docs/guides"].map(|directory| fs::read_dir(repository().join(directory)).expect("directory"));
    let pages = pages.into_iter().flatten().map(|entry| entry.expect("entry").path());
    let pages =
        pages.filter(|path| path.extension().is_some_and(|end| end == "md")).chain([repository().join("README.md")]);
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("page");
        for rest in text.split("](").skip(1) {
            let link = rest.split(')').next().expect("target");
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let there = if target.is_empty() { page.clone() } else { page.parent().expect("directory").join(target) };
            let leads = there.exists() && (anchor.is_empty() || anchors(&there).any(|known| known == anchor));
            if !leads {
                broken.push(format!("{}: {link}", page.file_name().expect("name").display()));
            }
        }
    }
    assert!(seen > 20, "links are not found any more");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What the headings of a page are linked by.
fn anchors(page: &Path) -> impl Iterator<Item = String> + use<> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix('#')).map(str::to_owned).collect();
    headings.into_iter().map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        kept.collect::<String>().replace(' ', "-")
    })
}

#[test]
fn commands_in_sentences_of_the_guides_are_commands() {
    let sandbox = Sandbox::new();
    for guide in [
        "docs/guides/stdio.md",
        "docs/guides/upstreams.md",
        "docs/guides/keys.md",
        "docs/guides/identity.md",
        "docs/guides/bridge.md",
        "docs/guides/toolboxes.md",
    ] {
        let found = mentioned(&documentation(guide));
        assert!(!found.is_empty(), "{guide}: no command is found any more");
        for command in found {
            // Words in capitals stand for what a person fills in; what a command asks of them is not asked here.
            let words = command.split_whitespace().skip(1).chain(["--help"]);
            let ended = sandbox.run(&words.collect::<Vec<_>>());
            assert_eq!(ended.code, 0, "{guide}: {command}: {}", transcript(&ended));
        }
    }
}
