//! What the gateway tells of what goes on: numbers, traces, lines of requests. Read by programs that are not ours.

mod numbers;
mod requests;
mod traces;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/receivers/bin/python");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../receivers/");

/// A program of `tests/receivers` that was started, and the first line it said.
struct Program(Child, String);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Program {
    fn start(script: &str, arguments: &[&str]) -> Result<Self> {
        ensure!(Path::new(PYTHON).exists(), "{PYTHON} is missing: `./test` makes it");
        let mut child = Command::new(PYTHON)
            .arg(format!("{SCRIPTS}{script}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("its output")?;
        let first = BufReader::new(out).lines().next().context("it said nothing")??;
        Ok(Self(child, first))
    }
}

/// What a program of `tests/receivers` makes of `input`.
fn read_by(script: &str, input: &str) -> Result<String> {
    ensure!(Path::new(PYTHON).exists(), "{PYTHON} is missing: `./test` makes it");
    let mut child = Command::new(PYTHON)
        .arg(format!("{SCRIPTS}{script}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
    let ended = child.wait_with_output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Ok(String::from_utf8(ended.stdout)?)
}
