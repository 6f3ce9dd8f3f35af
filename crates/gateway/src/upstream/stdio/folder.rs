//! A directory for each server and person: what a process writes there is there again when it is started once more, and
//! nobody else's process sees it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, chown},
    path::{Path, PathBuf},
};

use portcullis_base::Digest;
use portcullis_sandbox::Walls;

/// Users that processes get when the gateway is root: nobody else is given numbers in this range.
const USERS: u32 = 0x6000_0000;
const USERS_BITS: u32 = 0x0fff_ffff;

/// One of them.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// That of `key`'s processes of `server`.
    pub(super) fn of(all: &Path, server: &str, key: &str, user: Option<u32>) -> io::Result<Self> {
        let name = Digest::of(key.as_bytes()).to_base64url();
        Self::make(&all.join(server).join(name), user)
    }

    /// The directory at `path`.
    pub(super) fn make(path: &Path, user: Option<u32>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        for part in ["home", "tmp", "root"] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(part))?;
            if user.is_some() {
                chown(path.join(part), user, user)?;
            }
        }
        if user.is_some() {
            chown(&path, user, user)?;
        }
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Home and scratch directory as the process sees them.
    pub(super) fn as_seen(&self, walls: Walls) -> (PathBuf, PathBuf) {
        if walls.namespaces {
            ("/home/server".into(), "/tmp".into())
        } else {
            (self.0.join("home"), self.0.join("tmp"))
        }
    }
}

/// The number of the user that `key`'s processes of `server` run as.
pub(super) fn user_of(server: &str, key: &str) -> u32 {
    let digest = Digest::of(format!("{server}\n{key}").as_bytes());
    let [a, b, c, d, ..] = *digest.as_bytes();
    USERS | (u32::from_be_bytes([a, b, c, d]) & USERS_BITS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // spec: T-89
    #[test]
    fn everybody_has_a_directory_and_a_user_of_their_own() {
        let all = tempfile::tempdir().expect("directory");
        let paths =
            ["ana", "../bob", "ana/../bob"].map(|key| Folder::of(all.path(), "files", key, None).expect("made").0);
        for path in &paths {
            assert_eq!(path.parent(), Some(all.path().join("files").as_path()));
            assert_eq!(fs::metadata(path.join("home")).expect("there").permissions().mode() & 0o777, 0o700);
        }
        assert!(paths[0] != paths[1] && paths[1] != paths[2]);
        assert!(user_of("files", "ana") != user_of("files", "bob") && user_of("files", "ana") >= USERS);
    }
}
