//! A Git repository as a witness: one file a node, one commit a note, pushed where the clone has a remote.
//!
//! The program gets a fixed list of arguments and nothing of our environment; it runs no hooks and asks nobody. What it
//! needs to push (a credential helper, an SSH command) stands in the clone's own configuration.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use portcullis_base::printable;
use tokio::{process::Command, time::timeout};

use super::{WitnessError, append};
use crate::journal::Noted;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds the note to the file of its node, commits it, and pushes what was not pushed yet.
pub(super) async fn commit(clone: &Path, head: &Noted) -> Result<(), WitnessError> {
    let name = format!("{}.jsonl", head.node);
    let (path, line) = (clone.join(&name), head.statement.clone());
    let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
    written.map_err(|_| WitnessError::Undone)??;
    let message = format!("{} {}", head.node, head.seq);
    git(clone, "add", &["--".as_ref(), name.as_ref()]).await?;
    let commit = ["--quiet", "--no-verify", "--message", &message, "--", &name].map(OsStr::new);
    git(clone, "commit", &commit).await?;
    if git(clone, "remote", &[]).await?.trim().is_empty() {
        return Ok(());
    }
    git(clone, "push", &["--quiet".as_ref()]).await.map(drop)
}

/// Runs one command; gives what it printed.
async fn git(clone: &Path, what: &'static str, arguments: &[&OsStr]) -> Result<String, WitnessError> {
    let failed = |said: String| WitnessError::Git { what, said };
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(clone)
        .args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"])
        .args(["-c", "user.name=Portcullis", "-c", "user.email=portcullis@localhost"])
        .arg(what)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = timeout(PATIENCE, command.output()).await;
    let ended = ended.map_err(|_| failed("it took too long".into()))?.map_err(|error| failed(error.to_string()))?;
    if !ended.status.success() {
        return Err(failed(printable(String::from_utf8_lossy(&ended.stderr).trim(), 400)));
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}
