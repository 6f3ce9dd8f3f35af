//! Witnesses: the head of the journal, signed, is noted where whoever holds this machine cannot take it back.
//!
//! Each note is one statement on one line (`portcullis_audit::witnessed` reads them). Whoever cuts the journal, or writes
//! it anew with the stolen key, would have to do the same everywhere it was noted. What is noted is on the disk, so that
//! no loss of power looks like a cut.

mod der;
mod git;
mod stamp;

use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_base::{Clock, Rng};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

use crate::{
    config::{self, WitnessKind},
    journal::{Journal, JournalError, Noted},
    outbound::{Ask, FetchError, Outbound},
};

/// The longest answer of a webhook that is looked at.
const ANSWER: usize = 64 << 10;
/// How long each witness has for the last head when the gateway ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a head was not noted.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The head itself is not to be had.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file or a program.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Git has refused.
    #[error("git {what}: {said}")]
    Git {
        /// What it was told.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// Nobody answered.
    #[error("{url}: {}", .error.detail())]
    Fetch {
        /// Who was asked.
        url: String,
        /// What happened.
        error: FetchError,
    },
    /// Somebody answered something else.
    #[error("{url} {why}")]
    Refused {
        /// Who was asked.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// A panic on the way.
    #[error("the work was not done")]
    Undone,
}

/// What witnesses are made of.
#[derive(Clone)]
pub struct Parts {
    /// Whose head is noted.
    pub journal: Journal,
    /// The way out.
    pub outbound: Outbound,
    /// Where time stamps are kept: a directory of this node.
    pub stamps: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// One place where heads are noted.
pub struct Witness {
    kind: WitnessKind,
    every: Duration,
    parts: Parts,
    /// The last line that was noted.
    noted: Mutex<u64>,
}

impl Witness {
    /// The witness that the settings name.
    pub fn of(settings: &config::Witness, parts: &Parts) -> Self {
        Self { kind: settings.kind.clone(), every: settings.every, parts: parts.clone(), noted: Mutex::new(0) }
    }

    /// Notes the head from time to time until `stopped` says so. A failure is told once, and tried again.
    pub async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut told = None;
        while !*stopped.borrow() {
            // Never interrupted: a commit that is would leave the clone locked.
            let trouble = self.note().await.err().map(|error| error.to_string());
            if trouble != told {
                match &trouble {
                    Some(error) => tracing::error!(error, "the head of the journal cannot be noted with a witness"),
                    None => tracing::info!("the head of the journal is noted again"),
                }
                told = trouble;
            }
            tokio::select! {
                _ = stopped.changed() => break,
                () = sleep(self.every) => {}
            }
        }
    }

    /// Notes the last head of a journal that was closed.
    pub async fn end(&self) {
        match timeout(FAREWELL, self.note()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the last head of the journal was not noted"),
            Err(_) => tracing::error!("the last head of the journal was not noted in time"),
        }
    }

    /// Notes the head if it has moved.
    async fn note(&self) -> Result<(), WitnessError> {
        let mut noted = self.noted.lock().await;
        if self.parts.journal.head().seq == *noted {
            return Ok(());
        }
        let journal = self.parts.journal.clone();
        let head = tokio::task::spawn_blocking(move || journal.note()).await.map_err(|_| WitnessError::Undone)??;
        match &self.kind {
            WitnessKind::File(path) => {
                let (path, line) = (path.clone(), head.statement);
                let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
                written.map_err(|_| WitnessError::Undone)??;
            }
            WitnessKind::Git(clone) => git::commit(clone, &head).await?,
            WitnessKind::Webhook { url, key } => self.tell(url, key, &head).await?,
            WitnessKind::Timestamp(url) => {
                stamp::stamp(&self.parts.outbound, url, &head, &*self.parts.rng, &self.parts.stamps).await?;
            }
        }
        *noted = head.seq;
        Ok(())
    }

    /// Tells a program, in a message that is signed as Standard Webhooks says; what it should keep is `data`.
    async fn tell(&self, url: &str, key: &crate::hook_signature::HookKey, head: &Noted) -> Result<(), WitnessError> {
        let refused = |why: String| WitnessError::Refused { url: url.to_owned(), why };
        let now = self.parts.clock.now();
        let data: Value = serde_json::from_str(&head.statement).map_err(|error| refused(error.to_string()))?;
        let body = json!({ "type": "journal.head", "timestamp": now.to_string(), "data": data }).to_string();
        let id = format!("head-{}-{}", head.node.replace('.', "_"), head.seq);
        let signature = key.sign(&id, now, body.as_bytes());
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| refused(error.to_string()));
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("webhook-id"), value(&id)?),
            (HeaderName::from_static("webhook-timestamp"), value(&now.as_secs().to_string())?),
            (HeaderName::from_static("webhook-signature"), value(&signature)?),
        ]);
        let ask = Ask { headers, accept: "*/*", ..Ask::json(url, body, ANSWER) };
        let answer = self.parts.outbound.fetch(ask).await;
        let status = answer.map_err(|error| WitnessError::Fetch { url: url.to_owned(), error })?.status;
        if status.is_success() { Ok(()) } else { Err(refused(format!("answered {status}"))) }
    }
}

/// Adds a line to a file, which is opened anew each time: what it is mounted on may come and go.
fn append(path: &Path, line: &str) -> Result<(), WitnessError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        // What a crash has left of a line must not spoil the next.
        if file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                text.push('\n');
            }
        }
        text.push_str(line);
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| WitnessError::File { path: path.to_owned(), error })
}
