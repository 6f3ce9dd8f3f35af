//! The launcher, told what to do by a keeper that is this test.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    process::{Child, Command, Stdio},
};

use portcullis_sandbox::{
    Ability, Code, Errand, Handed, Inner, Limits, Network, Outer, Signals, Sockets, WORD, Walls, frame,
};
use tempfile::TempDir;

struct Keeper {
    folder: TempDir,
    walls: Walls,
}

const LIMITS: Limits =
    Limits { memory: 1 << 30, processes: 64, files: 256, file_size: 1 << 20, processors: 1.0, grace_ms: 100 };

impl Keeper {
    /// One that asks for every wall that there is.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("directory");
        for part in ["home", "tmp", "root"] {
            fs::create_dir(folder.path().join(part)).expect("directory");
        }
        let walls = Walls::ALL;
        let mut keeper = Self { folder, walls };
        let told = Self::start(&keeper.outer(Errand::Try), None).wait_with_output().expect("end").stdout;
        let ability: Ability = serde_json::from_slice(&told).expect("what there is");
        let namespaces = ability.no_namespaces.is_none();
        keeper.walls = Walls {
            namespaces,
            network: if namespaces { Network::Nothing } else { Network::Machine },
            landlock: ability.landlock > 0,
            seccomp: ability.seccomp,
            ..walls
        };
        keeper
    }

    fn outer(&self, errand: Errand) -> Outer {
        let folder = self.folder.path().to_owned();
        Outer { errand, folder, user: None, walls: self.walls, limits: LIMITS }
    }

    fn inner(&self, command: &[&str]) -> Inner {
        Inner {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: vec![("ONLY".into(), "this".into())],
            directory: "/".into(),
            read: Vec::new(),
            write: Vec::new(),
            walls: self.walls,
            limits: LIMITS,
        }
    }

    fn launcher(input: Stdio) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-sandbox"));
        command.arg(WORD).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Nothing of this comes through.
        command.env("CANARY", "canary").spawn().expect("start")
    }

    fn start(outer: &Outer, inner: Option<&Inner>) -> Child {
        let mut child = Self::launcher(Stdio::piped());
        let input = child.stdin.as_mut().expect("pipe");
        input.write_all(&frame(outer).expect("frame")).expect("told");
        if let Some(inner) = inner {
            input.write_all(&frame(inner).expect("frame")).expect("told");
        }
        child
    }

    /// Starts it and lets it come to its end by itself: what it said, what it complained of, its code.
    fn run(&self, inner: &Inner) -> (String, String, Option<i32>) {
        let mut child = Self::start(&self.outer(Errand::Start), Some(inner));
        let input = child.stdin.take();
        let ended = Self::to_its_end(child);
        drop(input);
        ended
    }

    fn to_its_end(mut child: Child) -> (String, String, Option<i32>) {
        let (mut said, mut complaints) = (String::new(), String::new());
        child.stdout.take().expect("pipe").read_to_string(&mut said).expect("text");
        child.stderr.take().expect("pipe").read_to_string(&mut complaints).expect("text");
        (said, complaints, child.wait().expect("end").code())
    }
}

#[test]
fn program_is_let_in_with_what_was_planned_and_nothing_else() {
    let keeper = Keeper::new();
    let (said, complaints, code) = keeper.run(&keeper.inner(&["/usr/bin/env"]));
    assert_eq!((said.as_str(), complaints.as_str(), code), ("ready\nONLY=this\n", "", Some(0)));
    let (_, _, code) = keeper.run(&keeper.inner(&["/bin/sh", "-c", "exit 7"]));
    assert_eq!(code, Some(7));
}

#[test]
fn what_cannot_be_built_is_a_reason_not_to_start() {
    let keeper = Keeper::new();
    let inner = Inner { directory: "/nowhere".into(), ..keeper.inner(&["/usr/bin/env"]) };
    let (said, complaints, code) = keeper.run(&inner);
    assert_eq!((said.as_str(), code), ("", Some(Code::NotStarted as i32)));
    assert!(complaints.contains("the working directory /nowhere"), "{complaints}");
    let (said, complaints, code) = keeper.run(&keeper.inner(&["/nowhere/program"]));
    assert_eq!((said.as_str(), code), ("ready\n", Some(Code::NotStarted as i32)));
    assert!(complaints.contains("it is not among what this server may read"), "{complaints}");
}

#[test]
fn program_ends_when_its_keeper_is_gone() {
    let keeper = Keeper::new();
    let ends = |command: &[&str]| {
        let mut child = Keeper::start(&keeper.outer(Errand::Start), Some(&keeper.inner(command)));
        let mut word = [0; 6];
        child.stdout.as_mut().expect("pipe").read_exact(&mut word).expect("it is let in");
        drop(child.stdin.take());
        child.wait().expect("end").code()
    };
    assert_eq!(ends(&["/bin/cat"]), Some(0), "by itself");
    assert!(ends(&["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]).is_some_and(|code| code != 0));
}

#[test]
fn plan_that_is_none_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-sandbox"));
    command.arg(WORD).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    child.stdin.take().expect("pipe").write_all(&[0xff; 4]).expect("told");
    let ended = child.wait_with_output().expect("end");
    assert_eq!(ended.status.code(), Some(Code::NotStarted as i32));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("a plan without end"));
}

// spec: T-89
#[test]
fn program_that_gets_a_listener_comes_to_its_keeper_and_to_nobody_else() {
    let mut keeper = Keeper::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("listener");
    other.set_nonblocking(true).expect("set");
    let possible = keeper.walls.namespaces;
    keeper.walls.network = Network::Listener;
    let (mut control, input) = UnixStream::pair().expect("pair");
    let child = Keeper::launcher(OwnedFd::from(input).into());
    control.write_all(&frame(&keeper.outer(Errand::Start)).expect("frame")).expect("told");
    let handed = Handed::take(&control);
    if !possible {
        assert!(handed.is_err());
        let (said, complaints, code) = Keeper::to_its_end(child);
        assert_eq!((said.as_str(), code), ("", Some(Code::NotStarted as i32)));
        assert!(complaints.contains("there is none without name spaces"), "{complaints}");
        return;
    }
    let Handed { listener, input } = handed.expect("handed over");
    let port = listener.local_addr().expect("address").port();
    let others = other.local_addr().expect("address").port();
    let way = |whom: &str| format!("(exec 3<>/dev/tcp/{whom} && head -n1 <&3) 2>/dev/null || echo no;");
    let script = [
        way(&format!("127.0.0.1/{port}")),
        way(&format!("127.0.0.1/{others}")),
        way("169.254.169.254/80"),
        way("[::1]/80"),
        "test -S /dev/stdin && echo socket; cat".to_owned(),
    ];
    let inner = keeper.inner(&["/bin/bash", "-c", &script.concat()]);
    let mut input = fs::File::from(input);
    input.write_all(&frame(&inner).expect("frame")).expect("told");
    input.write_all(b"its input\n").expect("told");
    let (mut stream, from) = listener.accept().expect("the program");
    assert!(from.ip().is_loopback());
    stream.write_all(b"welcome\n").expect("said");
    drop((stream, input));
    let (said, complaints, code) = Keeper::to_its_end(child);
    assert_eq!((said.as_str(), complaints.as_str(), code), ("ready\nwelcome\nno\nno\nno\nits input\n", "", Some(0)));
    assert!(other.accept().is_err());
}

/// As in a container that gives no name spaces: what is left are Landlock and the filter.
// spec: T-89
#[test]
fn without_name_spaces_rules_and_a_filter_stand_in_for_them() {
    let mut keeper = Keeper::new();
    let Walls { landlock, seccomp, .. } = keeper.walls;
    keeper.walls = Walls {
        namespaces: false,
        network: Network::Machine,
        sockets: Sockets::None,
        signals: Signals::None,
        ..keeper.walls
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let others = tempfile::tempdir().expect("directory");
    let note = others.path().join("note");
    fs::write(&note, "canary").expect("written");
    for path in [others.path(), &note, keeper.folder.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("open to everybody");
    }
    let script = format!(
        "cat {}; kill -0 {}; exec 3<>/dev/tcp/127.0.0.1/{} && echo connected; echo end",
        note.display(),
        std::process::id(),
        listener.local_addr().expect("address").port()
    );
    let root = rustix::process::geteuid().is_root();
    for user in root.then_some(65_534).into_iter().map(Some).chain([None]) {
        let outer = Outer { user, ..keeper.outer(Errand::Start) };
        let mut child = Keeper::start(&outer, Some(&keeper.inner(&["/bin/bash", "-c", &script])));
        let input = child.stdin.take();
        let (said, complaints, code) = Keeper::to_its_end(child);
        drop(input);
        assert_eq!(code, Some(0), "{complaints}");
        assert_eq!(said.contains("canary"), !landlock, "{user:?}: {said}{complaints}");
        assert_eq!(said.contains("connected"), !seccomp, "{user:?}: {said}{complaints}");
        assert_eq!(complaints.contains("kill: "), seccomp || user.is_some(), "{user:?}: {said}{complaints}");
        assert!(said.ends_with("end\n"), "{said}");
    }
}
