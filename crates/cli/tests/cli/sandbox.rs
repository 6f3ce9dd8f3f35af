//! The real binary in a directory of its own, and what it prints without what differs from run to run.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// A directory with a home in it.
pub struct Sandbox {
    pub directory: tempfile::TempDir,
}

/// What a command printed, and how it ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Sandbox {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        fs::create_dir(directory.path().join("home")).expect("home");
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::write(&path, text).expect("write");
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.path("home")).env("PATH", "/nowhere");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "", &[])
    }

    pub fn run_with(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Ended {
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
    pub fn start(&self, arguments: &[&str], sign: &str) -> Staying {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
        let out = BufReader::new(child.stdout.take().expect("output"));
        let mut staying = Staying { child, out, said: String::new() };
        while !staying.said.contains(sign) {
            assert!(staying.out.read_line(&mut staying.said).expect("line") > 0, "it ended: {}", staying.said);
        }
        staying
    }

    /// Paths, ports, times and identifiers are not the same in every run.
    pub fn settled(&self, text: &str) -> String {
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

    pub fn add_person(&self, name: &str, more: &[&str]) -> Ended {
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
pub struct Staying {
    pub child: Child,
    out: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    pub said: String,
}

impl Staying {
    /// The first address it printed.
    pub fn address(&self) -> String {
        let at = self.said.find("http://").expect("a URL") + "http://".len();
        self.said[at..].split(['/', ' ', '\n']).next().expect("address").to_owned()
    }

    /// Asks it to stop, as a supervisor does.
    pub fn stop(mut self) -> i32 {
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
pub fn transcript(ended: &Ended) -> String {
    let err = if ended.err.is_empty() { String::new() } else { format!("--- stderr\n{}", ended.err) };
    format!("{}{err}--- exit {}", ended.out, ended.code)
}
