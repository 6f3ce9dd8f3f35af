//! A server that the gateway runs itself: what its processes may see and take.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use portcullis_base::Secret;

use super::Hosts;

/// What is said of a server's processes besides the command that starts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// What its environment has besides what every process gets.
    pub environment: Vec<(String, Secret)>,
    /// The variable that a person's own key is given in.
    pub key_variable: Option<String>,
    /// Who may be on one process together.
    pub sharing: Sharing,
    /// Its working directory; its own home if nothing is said.
    pub directory: Option<PathBuf>,
    /// What it may read and run besides the system's programs and libraries.
    pub read: Vec<PathBuf>,
    /// What it may also write besides its own home.
    pub write: Vec<PathBuf>,
    /// Whom it may reach.
    pub network: Network,
    /// How much has to be between it and everything else.
    pub sandbox: Sandbox,
    /// What it may take.
    pub limits: ProcessLimits,
}

impl Process {
    /// The first path of its settings through which it would see something of `folder`: one in there, or one above it.
    pub fn reaching(&self, folder: &Path) -> Option<&Path> {
        self.read.iter().chain(&self.write).map(PathBuf::as_path).find(|path| meet(path, folder))
    }
}

/// Whether one of two paths is within the other, wherever symbolic links lead.
pub(crate) fn meet(one: &Path, other: &Path) -> bool {
    let (one, other) = (real(one), real(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// A path without symbolic links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|above| {
        let (real, rest) = (above.canonicalize().ok()?, path.strip_prefix(above).ok()?);
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    there.unwrap_or(path)
}

/// Who may be on one process together. spec: TR-161
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// One person, in all their conversations.
    #[default]
    Person,
    /// Everybody: the server keeps no state and is given nobody's credential.
    Shared,
    /// One legacy session of one person.
    Session,
}

/// Whom a process may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nobody.
    #[default]
    None,
    /// These, by the proxy that it is given and by no other way.
    Hosts(Hosts),
    /// Everybody whom this machine reaches, this machine included.
    All,
}

/// As people are shown it.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Hosts(hosts) => hosts.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

/// How much has to be between a process and everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Everything that we know how to build.
    Strict,
    /// As much as keeps it from files, processes and networks that are not its own, by whatever means there are.
    #[default]
    Standard,
    /// What there happens to be.
    Weak,
}

/// What a process may take, with all that it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes of memory.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Open files of each process.
    pub files: u32,
    /// Bytes of the largest file that it may write.
    pub file_size: u64,
    /// Hundredths of a processor, on average.
    pub processors: u32,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self { memory: 1 << 30, processes: 128, files: 1024, file_size: 1 << 30, processors: 100 }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    // spec: T-89
    #[test]
    fn path_that_leads_to_the_gateways_data_is_found_whatever_it_is_called() {
        let folder = tempfile::tempdir().expect("directory");
        let at = |name: &str| folder.path().join(name);
        let (data, other) = (at("data"), at("other"));
        fs::create_dir_all(data.join("servers")).expect("made");
        fs::create_dir_all(&other).expect("made");
        symlink(&data, at("link")).expect("made");
        let reaching = |path: PathBuf, data: &Path| {
            let read = Process { read: vec![other.clone(), path.clone()], ..Process::default() };
            let write = Process { write: vec![path.clone()], ..Process::default() };
            assert_eq!(read.reaching(data).is_some(), write.reaching(data).is_some());
            read.reaching(data).is_some_and(|found| found == path)
        };
        for path in
            ["data", "data/servers", "data/not-there-yet", "link", "link/servers", "link/new/er", "other/../data", ""]
        {
            assert!(reaching(at(path), &data), "{path}");
            assert!(reaching(at(path), &at("link")), "{path}");
        }
        for path in ["other", "database", "other/data", "datum/x"] {
            assert!(!reaching(at(path), &data), "{path}");
        }
    }
}
