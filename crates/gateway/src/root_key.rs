//! The root key: 32 bytes that open the data keys of this deployment, and nothing else.
//!
//! It comes from a file of its owner's (mode 0600, made at the first start), from the settings as a reference, or from a
//! command that asks a key service. It never goes into the database; what does is its name, which says nothing of it.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::{Rng, Secret, printable};
use ring::{aead, hkdf};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// The key service may take this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A key is 44 characters of base64; whatever is much longer is something else.
const LONGEST: usize = 4096;

/// Where the root key comes from.
#[derive(Clone, Debug)]
pub enum RootKeySource {
    /// A file, which the first start makes.
    File(PathBuf),
    /// The settings: base64.
    Text(Secret),
    /// A command that prints it as base64: program and arguments, no shell.
    Command(Vec<String>),
}

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("root key {path}: {error}")]
    File {
        /// Where the key was looked for.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than its owner may read the file. spec: T-44
    #[error(
        "root key {path} can be read by others (mode {mode:03o}): run `chmod 600 {path}`, and think about who had it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The setting is not a key.
    #[error("root_key is not 32 bytes as base64: make one with `openssl rand -base64 32`, and keep it")]
    Text,
    /// The file is not a key.
    #[error(
        "root key {path} holds {found} bytes that are not a key: restore it from your backup; without it sealed data is lost"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: usize,
    },
    /// The command cannot be run.
    #[error("root_key_command: {program} cannot be run: {error}")]
    Command {
        /// The program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The command ended badly. Its standard error went to ours; its output is not shown, it may be the key.
    #[error("root_key_command: {program} ended with {status}; what it said on standard error is above")]
    CommandFailed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The command did not end.
    #[error("root_key_command: {program} did not answer within {} s and was stopped", PATIENCE.as_secs())]
    CommandSlow {
        /// The program.
        program: String,
    },
    /// The command printed something else.
    #[error(
        "root_key_command: {program} printed {found} bytes that are not 32 bytes as base64 (what it printed is not shown)"
    )]
    CommandText {
        /// The program.
        program: String,
        /// How much it printed.
        found: usize,
    },
}

/// The root key in memory. Cannot be printed.
pub struct RootKey {
    bytes: Zeroizing<[u8; 32]>,
    wrapping: aead::LessSafeKey,
    name: String,
}

impl RootKey {
    /// The root key of `source`; `None` if its file is not there. Makes nothing.
    pub async fn find(source: &RootKeySource) -> Result<Option<Self>, KeyError> {
        match source {
            RootKeySource::File(path) => Self::read(path),
            RootKeySource::Text(text) => Self::from_text(text).map(Some),
            RootKeySource::Command(words) => ask(words, PATIENCE).await.map(Some),
        }
    }

    /// The key in the file at `path`; `None` if there is no file.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let file = |error| KeyError::File { path: path.to_owned(), error };
        let open = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(file)?,
        };
        let mode = open.metadata().map_err(file)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
        open.take(LONGEST as u64).read_to_end(&mut bytes).map_err(file)?;
        let key = match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(raw) => Some(Zeroizing::new(raw)),
            Err(_) => decode(&bytes),
        };
        let key = key.ok_or_else(|| KeyError::Damaged { path: path.to_owned(), found: bytes.len() })?;
        Ok(Some(Self::new(key)))
    }

    /// The key at `path`, made if there is none.
    pub fn read_or_make(path: &Path, rng: &dyn Rng) -> Result<Self, KeyError> {
        if let Some(there) = Self::read(path)? {
            return Ok(there);
        }
        let file = |error| KeyError::File { path: path.to_owned(), error };
        make(path, rng).map_err(file)?;
        Self::read(path)?.ok_or_else(|| file(io::ErrorKind::NotFound.into()))
    }

    /// A key given as base64.
    pub fn from_text(text: &Secret) -> Result<Self, KeyError> {
        decode(text.reveal().as_bytes()).map(Self::new).ok_or(KeyError::Text)
    }

    /// The key with these bytes.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis wrapping");
        let root = salt.extract(bytes.as_slice());
        let wrapping = aead::UnboundKey::new(&aead::AES_256_GCM, expand(&root, b"wrap data keys").as_slice());
        let name = expand(&root, b"name");
        let name = name[..6].iter().fold(String::new(), |name, byte| name + &format!("{byte:02x}"));
        Self { wrapping: aead::LessSafeKey::new(wrapping.expect("AES-256 takes 32 bytes")), name, bytes }
    }

    /// What it is called. The name is derived from it and tells nothing of it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes: the first data key of deployments from before there were data keys.
    pub(crate) fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.bytes
    }

    /// Wraps the data key of this number.
    pub(crate) fn wrap(&self, id: i64, key: &Zeroizing<[u8; 32]>, rng: &dyn Rng) -> Vec<u8> {
        let mut nonce = [0; aead::NONCE_LEN];
        rng.fill(&mut nonce);
        let mut wrapped = Vec::with_capacity(nonce.len() + key.len() + aead::MAX_TAG_LEN);
        wrapped.extend_from_slice(key.as_slice());
        self.wrapping
            .seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), self.about(id), &mut wrapped)
            .expect("a key is far below AES-GCM's limit");
        wrapped.splice(0..0, nonce);
        wrapped
    }

    /// Opens what [`wrap`](Self::wrap) made for this number.
    pub(crate) fn unwrap(&self, id: i64, wrapped: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let (nonce, body) = wrapped.split_at_checked(aead::NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = self.wrapping.open_in_place(nonce, self.about(id), &mut body).ok()?;
        <[u8; 32]>::try_from(&*plain).ok().map(Zeroizing::new)
    }

    fn about(&self, id: i64) -> aead::Aad<Vec<u8>> {
        aead::Aad::from(format!("portcullis data key {id} under {}", self.name).into_bytes())
    }
}

/// Runs the key service's command. No shell sees it, and it gets no input.
async fn ask(words: &[String], patience: Duration) -> Result<RootKey, KeyError> {
    let [program, arguments @ ..] = words else { return Err(KeyError::Text) };
    let shown = || printable(program, 200);
    let failed = |error| KeyError::Command { program: shown(), error };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut printed = Zeroizing::new(Vec::with_capacity(LONGEST));
    let ended = tokio::time::timeout(patience, async {
        if let Some(output) = child.stdout.take() {
            output.take(LONGEST as u64).read_to_end(&mut printed).await?;
        }
        child.wait().await
    });
    let status = ended.await.map_err(|_| KeyError::CommandSlow { program: shown() })?.map_err(failed)?;
    if !status.success() {
        return Err(KeyError::CommandFailed { program: shown(), status });
    }
    let found = printed.len();
    decode(&printed).map(RootKey::new).ok_or_else(|| KeyError::CommandText { program: shown(), found })
}

fn decode(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).ok()?);
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}

fn expand(root: &hkdf::Prk, label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    root.expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA256 gives 32 bytes");
    out
}

/// Makes a root key. Two who start at the same moment agree on one: it appears under its name whole, and only once.
fn make(path: &Path, rng: &dyn Rng) -> io::Result<()> {
    let mut name = [0; 8];
    rng.fill(&mut name);
    let aside = path.with_extension(format!("{:016x}", u64::from_be_bytes(name)));
    let mut root = Zeroizing::new([0; 32]);
    rng.fill(&mut *root);
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let written = new.write_all(&*root).and_then(|()| new.sync_all());
    let made = match written.and_then(|()| fs::hard_link(&aside, path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without links: whoever makes the file there first writes it, and a key cut short by a crash is
        // refused at the next start instead of being taken for one.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            write_new(path, &root)
        }
        made => made,
    };
    fs::remove_file(&aside)?;
    made
}

fn write_new(path: &Path, key: &[u8; 32]) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut new) => new.write_all(key).and_then(|()| new.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use portcullis_base::SeededRng;

    use super::*;

    fn root(byte: u8) -> RootKey {
        RootKey::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn root_key_may_come_as_text() {
        let key = RootKey::from_text(&Secret::new(format!("{}\n", STANDARD.encode([7; 32])))).unwrap();
        assert_eq!(key.name(), root(7).name());
        for bad in ["", "short", &STANDARD.encode([7; 31])] {
            assert!(matches!(RootKey::from_text(&Secret::new(bad.into())), Err(KeyError::Text)), "{bad}");
        }
    }

    // spec: T-44
    #[test]
    fn root_key_is_made_once_for_its_owner_and_refused_when_others_can_read_it() {
        let rng = SeededRng::new(2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        assert!(RootKey::read(&path).unwrap().is_none() && !path.exists());
        let first = RootKey::read_or_make(&path, &rng).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(first.name(), RootKey::read_or_make(&path, &rng).unwrap().name());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(RootKey::read_or_make(&path, &rng), Err(KeyError::Exposed { mode: 0o640, .. })));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, format!("{}\n", STANDARD.encode([7; 32]))).unwrap();
        assert_eq!(RootKey::read(&path).unwrap().unwrap().name(), root(7).name());
        fs::write(&path, b"short").unwrap();
        assert!(matches!(RootKey::read_or_make(&path, &rng), Err(KeyError::Damaged { found: 5, .. })));
    }

    // spec: T-44
    #[test]
    fn root_key_is_not_written_over_where_there_are_no_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        write_new(&path, &[1; 32]).unwrap();
        write_new(&path, &[2; 32]).unwrap();
        assert_eq!(RootKey::read(&path).unwrap().unwrap().name(), root(1).name());
    }

    // spec: T-44
    #[test]
    fn wrapped_key_opens_under_its_root_key_and_number_only() {
        let (rng, key) = (SeededRng::new(1), Zeroizing::new([9; 32]));
        let wrapped = root(1).wrap(1, &key, &rng);
        assert_eq!(root(1).unwrap(1, &wrapped).as_ref(), Some(&key));
        assert_eq!(root(1).unwrap(2, &wrapped), None);
        assert_eq!(root(2).unwrap(1, &wrapped), None);
        assert!(!wrapped.windows(8).any(|part| part == [9; 8]));
        for at in 0..wrapped.len() {
            let mut touched = wrapped.clone();
            touched[at] ^= 1;
            assert_eq!(root(1).unwrap(1, &touched), None, "byte {at}");
        }
    }

    fn words(of: &[&str]) -> RootKeySource {
        RootKeySource::Command(of.iter().map(|&word| word.to_owned()).collect())
    }

    #[tokio::test]
    async fn key_service_is_asked_without_a_shell_and_its_failures_are_told_without_its_words() {
        let text = STANDARD.encode([7; 32]);
        let key = RootKey::find(&words(&["printf", "%s\n", &text])).await.unwrap().unwrap();
        assert_eq!(key.name(), root(7).name());
        let said = async |of: &[&str]| RootKey::find(&words(of)).await.err().unwrap().to_string();
        assert!(said(&["/nonexistent/vault"]).await.contains("/nonexistent/vault cannot be run"));
        assert!(said(&["false"]).await.contains("false ended with exit status: 1"));
        let canary = said(&["printf", "canary"]).await;
        assert!(canary.contains("printed 6 bytes") && !canary.contains("canary"), "{canary}");
        let shell = said(&["printf", "%s", "$(echo x)"]).await;
        assert!(shell.contains("printed 9 bytes"), "nothing expanded it: {shell}");
    }

    #[tokio::test]
    async fn key_service_that_does_not_answer_is_stopped() {
        let slow = ask(&["sleep", "600"].map(Into::into), Duration::from_millis(20)).await;
        assert!(matches!(slow, Err(KeyError::CommandSlow { .. })));
    }
}
