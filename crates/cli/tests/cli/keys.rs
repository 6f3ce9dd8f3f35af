//! Root key and data keys: what stops a start and touches nothing, what goes on from an older release, and how keys change.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use insta::assert_snapshot;
use serde_json::Value;

use super::{Ended, Sandbox, commands, documentation, transcript};

const UP: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];

/// A deployment whose root key is sevens, with somebody in it.
fn house() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.root_key(&[7; 32]);
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    sandbox
}

impl Sandbox {
    fn root_key(&self, bytes: &[u8]) {
        let path = self.write("data/root.key", "");
        fs::write(&path, bytes).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("data/portcullis.db")).expect("database")
    }

    /// Whatever was to wait for a minute has waited.
    fn a_minute_later(&self) {
        self.database().execute("update key_ring set active_from = active_from - 120000", []).expect("update");
    }

    fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut tree = BTreeMap::new();
        walk(self.directory.path(), &mut tree);
        tree
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn walk(at: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(at).expect("directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            into.insert(path.clone(), Vec::new());
            walk(&path, into);
        } else {
            into.insert(path.clone(), fs::read(&path).expect("file"));
        }
    }
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("directory");
    for entry in fs::read_dir(from).expect("directory") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// The data directory of the first release, made by it: nothing in it knows of data keys.
fn before() -> Sandbox {
    let sandbox = Sandbox::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/before");
    let text = fs::read_to_string(kept.join("root.key.base64")).expect("key");
    sandbox.root_key(&STANDARD.decode(text.trim()).expect("base64"));
    copied(&kept.join("journal"), &sandbox.path("data/journal"));
    fs::copy(kept.join("node"), sandbox.path("data/node")).expect("copy");
    let database = sandbox.database();
    database.pragma_update(None, "journal_mode", "wal").expect("pragma");
    database.execute_batch(&fs::read_to_string(kept.join("portcullis.sql")).expect("SQL")).expect("restore");
    sandbox
}

fn schema(sandbox: &Sandbox) -> i64 {
    sandbox.database().query_row("select max(version) from schema", [], |row| row.get(0)).expect("version")
}

// spec: T-44
#[test]
fn wrong_or_missing_root_key_stops_everything_and_touches_nothing() {
    for (sandbox, age) in [(house(), "now"), (before(), "before")] {
        let right = fs::read(sandbox.path("data/root.key")).expect("key");
        let version = schema(&sandbox);
        let wrong = STANDARD.encode([8; 32]);
        let environment = [("PORTCULLIS_ROOT_KEY", wrong.as_str())];
        let given = |key: &str| match key {
            "missing" => fs::remove_file(sandbox.path("data/root.key")).expect("remove"),
            "wrong" => sandbox.root_key(&[8; 32]),
            "short" => sandbox.root_key(&[7; 31]),
            _ => sandbox.root_key(&right),
        };
        for key in ["missing", "wrong", "short", "in the environment"] {
            given(key);
            let there = sandbox.tree();
            for command in [&UP[..], &["migrate"], &["user", "disable", "ana"], &["keys", "list"]] {
                let environment = if key == "in the environment" { &environment[..] } else { &[] };
                let Ended { code, err, .. } = sandbox.run_with(command, "", environment);
                assert_eq!(code, 1, "{age} {key} {command:?}: {err}");
                let told = match key {
                    "missing" => "there is no root key at",
                    "short" => "31 bytes that are not a key",
                    _ => "bring back the root key that belongs to this",
                };
                assert!(err.contains(told), "{age} {key} {command:?}: {err}");
                assert!(!err.contains(&wrong), "{err}");
                let now = sandbox.tree();
                assert_eq!(there.keys().collect::<Vec<_>>(), now.keys().collect::<Vec<_>>(), "{age} {key} {command:?}");
                assert!(there == now, "{age} {key} {command:?}: something was written");
            }
        }
        given("right");
        assert_eq!(schema(&sandbox), version, "nothing was migrated");
        assert_eq!(sandbox.run(&["migrate"]).code, 0);
    }
}

// spec: T-44
#[test]
fn deployment_from_before_opens_what_it_sealed_and_goes_on() {
    let sandbox = before();
    assert_eq!(schema(&sandbox), 1);
    let kid = |sandbox: &Sandbox| -> String {
        sandbox.database().query_row("select kid from signing_keys", [], |row| row.get(0)).expect("kid")
    };
    let before = kid(&sandbox);
    let public: Vec<_> = ["cli", "node-e74c678f"]
        .iter()
        .map(|node| fs::read(sandbox.path(&format!("data/journal/{node}.pub.json"))))
        .map(Result::unwrap)
        .collect();
    let up = sandbox.start(&UP, "Ctrl-C stops");
    assert_eq!(up.stop(), 0);
    assert_eq!(kid(&sandbox), before, "the signing key opened; no other was made");
    assert_eq!(sandbox.add_person("ben", &[]).code, 0);
    for (node, before) in ["cli", "node-e74c678f"].iter().zip(public) {
        let now = fs::read(sandbox.path(&format!("data/journal/{node}.pub.json"))).expect("public key");
        assert_eq!(now, before, "the journal goes on under its key");
    }
    let verified = sandbox.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);

    // Its signing key is sealed again, after which the old one may go.
    assert_eq!(sandbox.run(&["keys", "rotate"]).code, 0);
    sandbox.a_minute_later();
    let retired = sandbox.json(&["keys", "retire", "--now", "--json"]);
    assert_eq!((&retired[0]["sealed_again"], &retired[0]["lost"]), (&1.into(), &0.into()));
    let up = sandbox.start(&UP, "Ctrl-C stops");
    assert_eq!(up.stop(), 0);
    assert_eq!(kid(&sandbox), before);
    assert_eq!(sandbox.run(&["audit", "verify"]).code, 0, "and the journal still under its key");
}

#[test]
fn data_keys_change_while_the_gateway_runs() {
    let sandbox = house();
    let run = |arguments: &[&str]| transcript(&sandbox.run(arguments));
    let up = sandbox.start(&UP, "Ctrl-C stops");
    assert_snapshot!(run(&["keys", "list"]), @"
    DATA KEY  STATE  MADE                      SEALS FROM                VALUES
    1         seals  [TIME]  [TIME]  1

    ROOT KEY      STATE
    330ca0eff85e  in use here
    --- exit 0
    ");
    assert_snapshot!(run(&["keys", "retire"]), @"
    --- stderr
    error: no data key is older than 1, which seals
      portcullis keys rotate makes a new one
    --- exit 1
    ");
    assert_snapshot!(run(&["keys", "rotate"]), @"
    ✓ data key 2 seals from [TIME] on
      Running gateways know it by then, and seal again with it what is in the database.
      The older keys go on opening. In a week: portcullis keys retire
    --- exit 0
    ");
    assert_snapshot!(run(&["keys", "list"]), @"
    DATA KEY  STATE       MADE                      SEALS FROM                VALUES
    1         seals       [TIME]  [TIME]  1
    2         seals soon  [TIME]  [TIME]  0

    ROOT KEY      STATE
    330ca0eff85e  in use here
    --- exit 0
    ");
    assert_snapshot!(run(&["keys", "retire"]), @"
    --- stderr
    error: data key 2 seals only from [TIME] on
      until then an older one seals and cannot be retired
    --- exit 1
    ");
    sandbox.a_minute_later();
    assert_snapshot!(run(&["keys", "retire"]), @"
    --- stderr
    error: clients may have sessions that an older key sealed until [TIME]
      wait until then, or use --now: they open new ones, and links and sign-ins under way begin again
    --- exit 1
    ");
    assert_snapshot!(run(&["keys", "retire", "--now"]), @"
    ✓ data key 1 opens nothing any more; 2 seals
    --- exit 0
    ");
    assert_snapshot!(run(&["keys", "list"]), @"
    DATA KEY  STATE    MADE                      SEALS FROM                VALUES
    1         retired  [TIME]  [TIME]  0
    2         seals    [TIME]  [TIME]  1

    ROOT KEY      STATE
    330ca0eff85e  in use here
    --- exit 0
    ");
    let listed = sandbox.json(&["keys", "list", "--json"]);
    let states: Vec<_> = listed.iter().map(|line| line["state"].as_str().unwrap_or("root")).collect();
    assert_eq!(states, ["retired", "seals", "root"]);
    assert_eq!(up.stop(), 0, "the gateway went on");
    let up = sandbox.start(&UP, "Ctrl-C stops");
    assert_eq!(up.stop(), 0);
    let told = sandbox.json(&["audit", "query", "--kind", "key_ring.", "--json"]);
    let kinds: Vec<_> = told.iter().map(|event| event["event"].as_str().expect("kind")).collect();
    assert_eq!(kinds, ["key_ring.retired", "key_ring.added"]);
}

#[test]
fn root_key_changes_with_an_overlap() {
    let sandbox = house();
    let run = |arguments: &[&str]| transcript(&sandbox.run(arguments));
    let new = sandbox.write("new.key", &format!("{}\n", STANDARD.encode([9; 32])));
    assert_snapshot!(run(&["keys", "rotate", "--root-key", "file:new.key"]), @"
    --- stderr
    error: root key new.key can be read by others (mode 644): run `chmod 600 new.key`, and think about who had it
    --- exit 1
    ");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("mode");
    assert_snapshot!(run(&["keys", "rotate", "--root-key", "file:absent.key"]), @"
    --- stderr
    error: absent.key does not exist
      make one: (umask 077; openssl rand -base64 32 > PATH)
    --- exit 1
    ");
    assert_snapshot!(run(&["keys", "rotate", "--root-key", "hunter2"]), @r#"
    --- stderr
    error: "hunter2" is not a reference to a key
      write file:PATH or env:NAME; a key on the command line would be seen by everybody here
    --- exit 2
    "#);
    assert_snapshot!(run(&["keys", "rotate", "--root-key", "file:new.key"]), @"
    ✓ root key 7f49a6b5bf25 opens the data keys too
      Give it to every node in place of the old one and restart them, one after the other.
      Then: portcullis keys retire --root-key 330ca0eff85e
    --- exit 0
    ");
    assert_snapshot!(run(&["keys", "list"]), @"
    DATA KEY  STATE  MADE                      SEALS FROM                VALUES
    1         seals  [TIME]  [TIME]  0

    ROOT KEY      STATE
    330ca0eff85e  in use here
    7f49a6b5bf25  opens the data keys too
    --- exit 0
    ");
    assert_snapshot!(run(&["keys", "rotate"]), @"
    --- stderr
    error: root keys 330ca0eff85e and 7f49a6b5bf25 both open the ring: retire the one that no node uses any more first
      portcullis keys list shows all
    --- exit 1
    ");
    let roots = sandbox.json(&["keys", "list", "--json"]);
    let old = roots.iter().find(|line| line["in_use_here"] == true).expect("one in use")["root_key"].clone();
    let old = old.as_str().expect("name");
    assert_snapshot!(run(&["keys", "retire", "--root-key", old]), @"
    --- stderr
    error: root key 330ca0eff85e is the one in use here: put the new one into the settings first
    --- exit 1
    ");
    fs::rename(&new, sandbox.path("data/root.key")).expect("move");
    assert_snapshot!(run(&["keys", "retire", "--root-key", old]), @"
    ✓ root key 330ca0eff85e opens nothing any more
      Backups from before still open with it: destroy it when they are gone.
    --- exit 0
    ");
    assert_eq!(sandbox.start(&UP, "Ctrl-C stops").stop(), 0);
    sandbox.root_key(&[7; 32]);
    assert_eq!(sandbox.run(&UP).code, 1, "the old one opens nothing any more");
}

#[test]
fn root_key_comes_from_a_command() {
    let sandbox = Sandbox::new();
    sandbox.write("key.txt", &STANDARD.encode([7; 32]));
    sandbox.write("portcullis.yaml", "root_key_command: [/bin/cat, key.txt]\n");
    assert_eq!(sandbox.start(&UP, "Ctrl-C stops").stop(), 0);
    assert!(!sandbox.path("data/root.key").exists());
    sandbox.write("portcullis.yaml", "root_key_command: [/bin/cat, absent.txt]\n");
    let there = sandbox.tree();
    assert_snapshot!(transcript(&sandbox.run(&UP)), @"
    --- stderr
    /bin/cat: absent.txt: No such file or directory
    error: root_key_command: /bin/cat ended with exit status: 1; what it said on standard error is above
    --- exit 1
    ");
    assert!(there == sandbox.tree());
    sandbox.write("portcullis.yaml", "root_key_command: [/bin/cat, key.txt]\nroot_key: env:KEY\n");
    let ended = sandbox.run_with(&UP, "", &[("KEY", "x")]);
    assert!(ended.code == 2 && ended.err.contains("there is one root key"), "{}", ended.err);
}

// spec: T-45
#[cfg(target_os = "linux")]
#[test]
fn gateway_leaves_no_core_dump() {
    let sandbox = house();
    let up = sandbox.start(&UP, "Ctrl-C stops");
    let limits = fs::read_to_string(format!("/proc/{}/limits", up.child.id())).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("core");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert_eq!(up.stop(), 0);
}

#[test]
fn commands_of_the_guide_change_both_keys() {
    let sandbox = house();
    let guide = documentation("docs/guides/keys.md");
    let new = sandbox.write("new-root.key", &format!("{}\n", STANDARD.encode([9; 32])));
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("mode");
    let roots = |sandbox: &Sandbox| -> Vec<String> {
        let lines = sandbox.json(&["keys", "list", "--json"]);
        lines.iter().filter_map(|line| line["root_key"].as_str().map(str::to_owned)).collect()
    };
    let old = roots(&sandbox).remove(0);
    let commands = commands(&guide);
    for command in &commands {
        let (words, past) = (command.replace("3f9c0a71be24", &old), command.contains("keys retire"));
        if past && !command.contains("--root-key") {
            // The week in which clients may come back with what the older key sealed.
            sandbox
                .database()
                .execute("update key_ring set active_from = active_from - 691200000", [])
                .expect("update");
        }
        if past && command.contains("--root-key") {
            fs::copy(&new, sandbox.path("data/root.key")).expect("every node has the new one");
        }
        let arguments: Vec<&str> = words.split_whitespace().skip(1).collect();
        let ended = sandbox.run(&arguments);
        assert_eq!(ended.code, 0, "{command}\n{}", transcript(&ended));
    }
    assert!(
        commands.iter().any(|it| it.contains("rotate")) && commands.len() > 4,
        "the commands are not found any more"
    );
    let states: Vec<_> = sandbox
        .json(&["keys", "list", "--json"])
        .iter()
        .filter_map(|line| line["state"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(states, ["retired", "seals"]);
    assert!(!roots(&sandbox).contains(&old), "the old root key opens nothing");
    assert_eq!(sandbox.start(&UP, "Ctrl-C stops").stop(), 0);
}
