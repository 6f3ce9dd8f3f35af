//! What is kept of a sign-in between two runs: in the keyring of the desktop if there is one, else in a file for its owner
//! only. Whatever changes it holds a lock, so that the bridges of one person do not spend the same refresh token twice.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_base::{Digest, Secret, Timestamp};
use portcullis_oauth::{client::AuthMethod, upstream::token::Tokens};
use serde::{Deserialize, Serialize, Serializer};

use super::keyring::Keyring;
use crate::failure::{Failure, Result};

/// The longest file that is read: more than any token needs.
const LONGEST: u64 = 256 * 1024;
/// How often somebody looks again whether a lock is free.
const LOOK: Duration = Duration::from_millis(40);

/// A sign-in at one server, by one authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The server's address. Tokens go there and nowhere else.
    pub url: String,
    /// Who gave them.
    pub issuer: String,
    /// Who we are there.
    pub client: ClientAt,
    /// What tokens are asked for.
    pub resource: Option<String>,
    /// Which scopes were asked for; none: the authorization server chose.
    pub scopes: Vec<String>,
    /// Where tokens are renewed.
    pub token_endpoint: String,
    /// Where they are given back.
    pub revocation_endpoint: Option<String>,
    /// Goes along with requests; none: the person has to sign in.
    #[serde(serialize_with = "shown", default)]
    pub access: Option<Secret>,
    /// For the next one.
    #[serde(serialize_with = "shown", default)]
    pub refresh: Option<Secret>,
    /// When the access token ends, if that is known.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl Held {
    /// Puts new tokens in the place of old ones.
    pub fn take(&mut self, tokens: Tokens, now: Timestamp) {
        self.expires_at = tokens.expires_in.map(|lifetime| now.plus(lifetime));
        self.access = Some(tokens.access);
        // spec: RFC6749#6: a refresh token that does not come anew stays good.
        self.refresh = tokens.refresh.or(self.refresh.take());
    }
}

/// Who we are at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAt {
    /// Our name there.
    pub id: String,
    /// How it is proven.
    pub method: AuthMethod,
    /// With what, if with anything.
    #[serde(serialize_with = "shown", default)]
    pub secret: Option<Secret>,
    /// The port of the address that answers were registered to come to; none where any port will do.
    #[serde(default)]
    pub port: Option<u16>,
}

#[expect(clippy::ref_option, reason = "serde passes the field as it is")]
fn shown<S: Serializer>(secret: &Option<Secret>, to: S) -> std::result::Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::reveal).serialize(to)
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
enum Record {
    /// The sign-in itself.
    Here(Box<Held>),
    /// Only that it is in the keyring.
    Keyring,
}

/// Where a sign-in is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Keyring,
    File,
}

/// The place for one server's sign-in.
pub struct Kept {
    url: String,
    file: PathBuf,
    name: String,
    keyring: Option<Keyring>,
}

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Changing what is kept, and renewing tokens.
    Renewing,
    /// Sending the person to the browser: one window for all bridges.
    SigningIn,
}

/// A lock, held until this is dropped or the process dies.
#[derive(Debug)]
pub struct Lock(File);

impl Kept {
    /// The place for `url` under `state`, the directory for what programs keep.
    pub fn open(url: &str, state: &Path, keyring: Option<Keyring>) -> Result<Self> {
        let directory = state.join("portcullis/bridge");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| Failure::new(format!("{} cannot be made: {error}", directory.display())))?;
        let name = Digest::of(url.as_bytes()).to_base64url();
        Ok(Self { url: url.to_owned(), file: directory.join(format!("{name}.json")), name, keyring })
    }

    /// The file, for people.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What is kept, if anything.
    pub async fn read(&self) -> Result<Option<Held>> {
        let held = match self.record()? {
            None => return Ok(None),
            Some(Record::Here(held)) => *held,
            Some(Record::Keyring) => {
                let Some(keyring) = &self.keyring else { return Ok(None) };
                let Some(text) = keyring.lookup(&self.name).await else { return Ok(None) };
                match serde_json::from_str(text.reveal()) {
                    Ok(held) => held,
                    Err(_) => return Ok(None),
                }
            }
        };
        // What was given for another address is not shown here, whoever put it into this place.
        Ok(Some(held).filter(|held| held.url == self.url))
    }

    fn record(&self) -> Result<Option<Record>> {
        let bad = |why: String| {
            Failure::new(format!("the sign-in kept in {} is not used: {why}", self.file.display()))
                .help(format!("remove it, and sign in again: rm {}", crate::invocation::shell(&self.file)))
        };
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        let file = match options.open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
        };
        let about = file.metadata().map_err(|error| bad(error.to_string()))?;
        if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() {
            return Err(bad("it is not a file of yours".into()));
        }
        if about.mode() & 0o077 != 0 {
            return Err(bad(format!("others can read it (mode {:o})", about.mode() & 0o777)));
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(|error| bad(error.to_string()))?;
        let text = Secret::new(text);
        serde_json::from_str(text.reveal()).map(Some).map_err(|_| bad("it cannot be read".into()))
    }

    /// Keeps a sign-in where it was before, or for a new one in the keyring if that can be reached. Gives where it is now.
    pub async fn write(&self, held: &Held, _lock: &Lock) -> Result<Place> {
        let text = Secret::new(serde_json::to_string(held).expect("names, texts and numbers have a JSON form"));
        let before = self.record().ok().flatten();
        if let Some(keyring) = &self.keyring
            && !matches!(before, Some(Record::Here(_)))
            && keyring.store(&self.name, &self.url, &text).await
        {
            self.put(&Record::Keyring)?;
            return Ok(Place::Keyring);
        }
        self.put(&Record::Here(Box::new(held.clone())))?;
        Ok(Place::File)
    }

    /// Forgets it.
    pub async fn forget(&self, _lock: &Lock) -> Result<()> {
        if let Some(keyring) = &self.keyring {
            keyring.clear(&self.name).await;
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::new(format!("{} cannot be removed: {error}", self.file.display())))
            }
            _ => Ok(()),
        }
    }

    /// Whole or not at all, whenever the process dies.
    fn put(&self, record: &Record) -> Result<()> {
        let text = Secret::new(serde_json::to_string(record).expect("names, texts and numbers have a JSON form"));
        let new = self.file.with_extension("new");
        let written = || -> std::io::Result<()> {
            // Left by somebody who died while writing.
            let _ = fs::remove_file(&new);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.reveal().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.file)?;
            self.file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        written().map_err(|error| Failure::new(format!("{} cannot be written: {error}", self.file.display())))
    }

    /// The lock, if nobody has it.
    pub fn try_lock(&self, what: For) -> Result<Option<Lock>> {
        let path = self.file.with_extension(match what {
            For::Renewing => "lock",
            For::SigningIn => "sign-in.lock",
        });
        let bad = |error: std::io::Error| Failure::new(format!("{} cannot be locked: {error}", path.display()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(bad)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(bad(error)),
        }
    }

    /// The lock, as soon as nobody else has it.
    pub async fn lock(&self, what: For) -> Result<Lock> {
        loop {
            if let Some(lock) = self.try_lock(what)? {
                return Ok(lock);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Lock {
    /// Leaves a word for whoever waits for this lock: when it last came to nothing.
    pub fn leave(&mut self, at: Timestamp) {
        let _ = self.0.set_len(0).and_then(|()| self.0.write_all(at.as_millis().to_string().as_bytes()));
    }

    /// The word that was left.
    pub fn left(&mut self) -> Option<Timestamp> {
        let mut text = String::new();
        (&self.0).take(32).read_to_string(&mut text).ok()?;
        text.trim().parse().ok().map(Timestamp::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const URL: &str = "https://gw.example/mcp/acme";

    fn held() -> Held {
        Held {
            url: URL.into(),
            issuer: "https://gw.example".into(),
            client: ClientAt { id: "one".into(), method: AuthMethod::None, secret: None, port: Some(4) },
            resource: Some(URL.into()),
            scopes: vec!["mcp:call".into()],
            token_endpoint: "https://gw.example/oauth/token".into(),
            revocation_endpoint: None,
            access: Some(Secret::new("access".into())),
            refresh: Some(Secret::new("refresh".into())),
            expires_at: Some(Timestamp::from_secs(7)),
        }
    }

    #[tokio::test]
    async fn a_sign_in_is_kept_for_its_owner_only() {
        let state = tempfile::tempdir().expect("directory");
        let kept = Kept::open(URL, state.path(), None).expect("place");
        assert_eq!(kept.read().await.expect("nothing is nothing"), None);
        let lock = kept.lock(For::Renewing).await.expect("lock");
        assert_eq!(kept.write(&held(), &lock).await.expect("kept"), Place::File);
        assert_eq!(kept.read().await.expect("readable"), Some(held()));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(kept.file()), mode(kept.file().parent().expect("parent"))), (0o600, 0o700));
        for seen in [0o640, 0o604, 0o620] {
            fs::set_permissions(kept.file(), fs::Permissions::from_mode(seen)).expect("mode");
            let error = kept.read().await.expect_err("others could read it");
            assert!(error.what.contains("others can read it"), "{error}");
        }
        fs::set_permissions(kept.file(), fs::Permissions::from_mode(0o600)).expect("mode");
        let elsewhere = kept.file().with_extension("elsewhere");
        fs::rename(kept.file(), &elsewhere).expect("rename");
        std::os::unix::fs::symlink(&elsewhere, kept.file()).expect("link");
        kept.read().await.expect_err("a link leads elsewhere");
        kept.forget(&lock).await.expect("forgotten");
        assert_eq!(kept.read().await.expect("nothing"), None);
    }

    #[tokio::test]
    async fn tokens_of_one_address_are_not_those_of_another() {
        let state = tempfile::tempdir().expect("directory");
        let kept = Kept::open(URL, state.path(), None).expect("place");
        let lock = kept.lock(For::Renewing).await.expect("lock");
        kept.write(&held(), &lock).await.expect("kept");
        let other = Kept::open("https://gw.example/mcp/other", state.path(), None).expect("place");
        assert_eq!(other.read().await.expect("nothing"), None);
        fs::copy(kept.file(), other.file()).expect("copy");
        assert_eq!(other.read().await.expect("of another address"), None);
    }

    #[test]
    fn a_lock_is_held_by_one_and_carries_a_word() {
        let state = tempfile::tempdir().expect("directory");
        let kept = Kept::open(URL, state.path(), None).expect("place");
        let mut lock = kept.try_lock(For::SigningIn).expect("lockable").expect("free");
        assert!(kept.try_lock(For::SigningIn).expect("lockable").is_none());
        assert!(kept.try_lock(For::Renewing).expect("lockable").is_some(), "signing in keeps nobody from renewing");
        assert_eq!(lock.left(), None);
        lock.leave(Timestamp::from_secs(5));
        drop(lock);
        assert_eq!(
            kept.try_lock(For::SigningIn).expect("lockable").expect("free").left(),
            Some(Timestamp::from_secs(5))
        );
    }
}
