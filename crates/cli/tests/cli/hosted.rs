//! Servers that are commands: put behind the gateway, checked, and set up as the guide says.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use super::{Ended, Sandbox, blocks, commands, documentation, transcript};

const PACKAGE: &str = "@modelcontextprotocol/server-filesystem@2025.8.21";
const UP: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];

/// A server of the revisions with sessions, for a shell.
const SERVER: &str = r#"while read -r line; do
  case "$line" in *'"id":'*) ;; *) continue ;; esac
  id=${line#*'"id":'}
  id=${id%%[,\}]*}
  case "$line" in
    *'"method":"initialize"'*)
      answer='"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"documents","version":"1"}}' ;;
    *'"method":"tools/list"'*) answer='"result":{"tools":[]}' ;;
    *) answer='"error":{"code":-32601,"message":"no such method"}' ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer"
done
"#;

/// A sandbox with a directory of documents and a server for it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("documents/server.sh", SERVER);
    sandbox.write("key", "canary-of-tickets");
    // It may be run as another user.
    fs::set_permissions(sandbox.directory.path(), fs::Permissions::from_mode(0o755)).expect("open to others");
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    sandbox
}

/// What the guide says, with a server and paths that are there.
fn there(text: &str, sandbox: &Sandbox) -> String {
    let (documents, key) = (sandbox.path("documents"), sandbox.path("key"));
    let server = documents.join("server.sh").display().to_string();
    text.replace(&format!("npx -y {PACKAGE}"), &format!("/bin/sh {server}"))
        .replace(&format!("npx, -y, \"{PACKAGE}\""), &format!("/bin/sh, {server}"))
        .replace("/srv/documents", &documents.display().to_string())
        .replace("env:TICKETS_KEY", &format!("file:{}", key.display()))
}

/// Whether it worked, or this machine has too few walls and that is what was said.
#[track_caller]
fn worked(command: &str, ended: &Ended) -> bool {
    let said = format!("{}{}", ended.out, ended.err);
    let refused = ["cannot wall it off", "cannot hold it to a list of hosts"].iter().any(|why| said.contains(why));
    assert_eq!(ended.code, i32::from(refused), "{command}\n{}", transcript(ended));
    !refused
}

#[test]
fn the_guide_can_be_followed() {
    let guide = documentation("docs/guides/stdio.md");
    let sandbox = sandbox();
    let typed = commands(&guide);
    assert!(typed.iter().any(|command| command.starts_with("portcullis protect ")), "it is not shown any more");
    for command in typed {
        let real = there(&command, &sandbox);
        assert_ne!(real, command, "nothing of it is there on this machine");
        let ended = sandbox.run(&real.split_whitespace().skip(1).collect::<Vec<_>>());
        if worked(&command, &ended) {
            assert!(ended.out.contains("documents is behind the gateway"), "{}", transcript(&ended));
        }
    }
    let settings = blocks(&guide, "yaml");
    assert!(settings.len() >= 3, "the settings are not found any more");
    for text in settings {
        let sandbox = self::sandbox();
        sandbox.write("portcullis.yaml", &there(&text, &sandbox));
        let listed = sandbox.run(&["server", "list"]);
        assert_eq!(listed.code, 0, "{text}\n{}", transcript(&listed));
        assert!(!listed.out.contains("canary"), "{}", transcript(&listed));
        if text.contains("name: documents") {
            let check = ["server", "check", "documents"];
            let ended = sandbox.run(&check);
            if worked(&text, &ended) {
                assert!(ended.out.contains("✓ it answers: documents 1, 0 tools"), "{}", transcript(&ended));
                let told = sandbox.run(&[&check[..], &["--json"]].concat());
                let told: Value = serde_json::from_str(&told.out).expect("JSON");
                assert_eq!((&told["works"], &told["walled_off"]), (&true.into(), &true.into()), "{told}");
                assert_eq!(told["network"], "registry.npmjs.org:443");
                assert!(ended.out.contains("it reaches registry.npmjs.org:443, and nobody else"), "{}", ended.out);
            }
        }
        assert_eq!(sandbox.start(&UP, "Ctrl-C stops").stop(), 0, "{text}");
    }
}

#[test]
fn server_that_wants_a_key_of_each_person_is_registered_without_one() {
    let sandbox = sandbox();
    let server = sandbox.path("documents/server.sh").display().to_string();
    let documents = sandbox.path("documents").display().to_string();
    let words = ["protect", "--name", "keyed", "--read", &documents, "--key-variable", "SERVER_KEY", "--"];
    let ended = sandbox.run(&[&words[..], &["/bin/sh", &server]].concat());
    assert_eq!(ended.code, 0, "{}", transcript(&ended));
    assert!(ended.out.contains("Each person connects once"), "{}", transcript(&ended));
    let ended = sandbox.run(&["server", "check", "keyed"]);
    if worked("server check", &ended) {
        assert!(ended.out.contains("it needs a key of its person, so it was not started"), "{}", transcript(&ended));
    }
}

// spec: T-89
#[test]
fn what_does_not_work_is_told_when_it_is_tried() {
    let sandbox = sandbox();
    let (documents, data) = (sandbox.path("documents"), sandbox.path("data"));
    let (documents, data) = (documents.to_str().expect("text"), data.to_str().expect("text"));
    let server = format!("{documents}/server.sh");
    let protect = |read: &str, words: &[&str]| {
        sandbox.run(&[&["protect", "--name", "documents", "--read", read, "--"], words].concat())
    };
    let ended = protect(data, &["/bin/sh", &server]);
    assert_eq!(ended.code, 1, "{}", transcript(&ended));
    assert!(ended.err.contains("leads to the gateway's own data directory"), "{}", transcript(&ended));
    let ended = protect(documents, &["/bin/sh", "/nowhere/server.sh"]);
    assert_eq!(ended.code, 1, "{}", transcript(&ended));
    assert!(!ended.err.contains("leads to"), "{}", transcript(&ended));
    let ended = protect(documents, &["npx", "-y", "server-without-a-version"]);
    assert!(ended.code != 0 && ended.err.contains("whatever"), "{}", transcript(&ended));
    for (words, said) in [
        (["--reach", "https://api.example.com"], "write the host alone: api.example.com"),
        (["--reach", "10.0.0.7:5432"], "private: true"),
        (["--network", "--reach-private=10.0.0.7:5432"], "cannot be used with"),
    ] {
        let ended = sandbox.run(&[&["protect", "--read", documents][..], &words, &["--", "/bin/sh", &server]].concat());
        assert!(ended.code != 0 && ended.err.contains(said), "{}", transcript(&ended));
    }
    let listed = sandbox.run(&["server", "list"]);
    assert!(listed.out.contains("No server is registered"), "{}", transcript(&listed));
}
