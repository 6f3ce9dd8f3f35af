//! The keyring of the desktop (Secret Service: GNOME Keyring, KWallet, KeePassXC), through the program that libsecret brings
//! for that. A crate that speaks to it would bring a D-Bus implementation into every gateway for this one command.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, time::Duration};

use portcullis_base::Secret;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// How long the keyring may take: a person may have to unlock it first.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAM: &str = "secret-tool";
/// The longest entry. The program itself cuts what is longer off, and calls that a success.
const LONGEST: usize = 8_000;
/// What all entries of ours have in common.
const OURS: [&str; 2] = ["application", "portcullis-bridge"];

/// A keyring that can probably be reached.
#[derive(Debug)]
pub struct Keyring {
    program: PathBuf,
}

impl Keyring {
    /// The keyring of this session: there is one if its program is there and the session has a bus.
    pub fn find(environment: &BTreeMap<String, String>) -> Option<Self> {
        let runtime = environment.get("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("bus"));
        let has_bus = environment.contains_key("DBUS_SESSION_BUS_ADDRESS") || runtime.is_some_and(|bus| bus.exists());
        if !has_bus {
            return None;
        }
        super::browser::on_path(PROGRAM, environment).map(|program| Self { program })
    }

    /// Puts an entry in, in the place of the one that was there. The secret goes through a pipe, never among the arguments,
    /// where every process could read it.
    pub async fn store(&self, name: &str, url: &str, secret: &Secret) -> bool {
        if secret.reveal().len() > LONGEST {
            return false;
        }
        let label = format!("--label=Portcullis bridge to {url}");
        self.run(&["store", &label], name, Some(secret)).await.is_some()
    }

    /// The entry.
    pub async fn lookup(&self, name: &str) -> Option<Secret> {
        self.run(&["lookup"], name, None).await.filter(|secret| !secret.reveal().is_empty())
    }

    /// Takes the entry out.
    pub async fn clear(&self, name: &str) {
        self.run(&["clear"], name, None).await;
    }

    /// What the program prints, if it succeeds in time.
    async fn run(&self, words: &[&str], name: &str, input: Option<&Secret>) -> Option<Secret> {
        let mut command = Command::new(&self.program);
        command.args(words).args(OURS).args(["entry", name]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let ran = async {
            let mut child = command.spawn().ok()?;
            let mut pipe = child.stdin.take()?;
            if let Some(input) = input {
                // A program that does not want it says so by how it ends.
                let _ = pipe.write_all(input.reveal().as_bytes()).await;
            }
            drop(pipe);
            let output = child.wait_with_output().await.ok().filter(|output| output.status.success())?;
            String::from_utf8(output.stdout).ok().map(Secret::new)
        };
        timeout(PATIENCE, ran).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_would_be_cut_off_is_not_put_in() {
        let keyring = |program: &str| Keyring { program: program.into() };
        let secret = |length| Secret::new("x".repeat(length));
        assert!(keyring("/bin/true").store("name", "https://gw.example", &secret(LONGEST)).await);
        assert!(!keyring("/bin/true").store("name", "https://gw.example", &secret(LONGEST + 1)).await);
        assert!(!keyring("/bin/false").store("name", "https://gw.example", &secret(1)).await);
        assert!(!keyring("/nowhere/secret-tool").store("name", "https://gw.example", &secret(1)).await);
        assert_eq!(keyring("/bin/true").lookup("name").await, None);
    }
}
