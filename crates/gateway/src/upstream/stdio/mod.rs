//! Servers that are processes of this machine: started when somebody wants them, behind walls, one for each person, and
//! ended with everything that they started.
//!
//! A process is a [`Line`] like any other. Nothing goes through a shell, nothing of the gateway's own environment is passed
//! on, and a person's key is given to that person's process alone (UP-88).

mod child;
mod complaints;
mod folder;
mod framing;
mod host;
mod lively;
mod redact;
mod rest;
mod walls;
mod way_out;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use portcullis_audit::{Actor, Event, Target};
use portcullis_base::{Digest, Secret, ServerName, printable};
use portcullis_sandbox::{self as sandbox, Errand, Inner, Outer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use self::{child::Child, folder::Folder, redact::Redact, rest::Rests, way_out::WayOut};
pub use self::{host::Host, walls::Standing};
use super::{
    UpstreamError,
    line::{Line, Lines, Whose},
};
use crate::{
    config::{Network, Process, Sharing},
    outbound::Dialer,
};

/// Processes of one server at one time.
const MOST: usize = 256;
/// How long building the walls may take.
const START: Duration = Duration::from_secs(20);
/// How long a process may take to end by itself, and again when it was asked to. spec: TR-158
const GRACE: Duration = Duration::from_secs(2);
/// What a launcher may say when it cannot start something.
const LAST_WORDS: u64 = 4096;
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The processes of one server.
pub struct Processes {
    name: ServerName,
    argv: Arc<[String]>,
    process: Arc<Process>,
    host: Weak<Host>,
    /// For those of them that may reach some hosts.
    dialer: Dialer,
    places: Arc<Semaphore>,
    rests: Arc<Rests>,
}

impl Processes {
    /// None yet: they are started when somebody wants one.
    pub fn new(name: ServerName, argv: Arc<[String]>, process: Arc<Process>, host: &Arc<Host>, dialer: Dialer) -> Self {
        let (places, rests) = (Arc::new(Semaphore::new(MOST)), Arc::default());
        Self { name, argv, process, host: Arc::downgrade(host), dialer, places, rests }
    }

    async fn start(&self, whose: &Whose) -> Result<Line, UpstreamError> {
        let host = self.host.upgrade().ok_or_else(|| failed("the gateway is stopping"))?;
        let key = key(whose, self.process.sharing);
        // spec: TR-159
        self.rests.look(&key, Instant::now()).map_err(failed)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| UpstreamError::Busy)?;
        let environment = self.environment(whose)?;
        // spec: T-89: what has to be there and is not is a reason not to start
        let standing = host.standing(&self.process).await.map_err(failed)?;
        let secrets = self.process.environment.iter().map(|(_, secret)| secret.clone());
        let own = whose.credential.alone().and_then(|value| value.to_str().ok()).map(|text| Secret::new(text.into()));
        let redact = Redact::new(secrets.chain(own));
        let started = self.launch(&host, &key, &standing, environment, redact, place).await;
        let (line, child) = match started {
            Ok(started) => started,
            Err(error) => {
                self.rests.failed(&key, Instant::now(), &error);
                return Err(failed(error));
            }
        };
        // spec: SEC-33: who had what started, and behind what
        host.write_down(|event| self.written(event, whose, &standing)).await;
        tracing::info!(
            server.name = %self.name,
            process.id = child.id(),
            process.command = %printable(&self.argv.join(" "), 300),
            person.id = whose.person.as_ref().map(tracing::field::display),
            process.lacks = standing.lacks.join("; "),
            process.network = %self.process.network,
            "a server was started"
        );
        tokio::spawn(child.keep());
        Ok(line)
    }

    async fn launch(
        &self,
        host: &Host,
        key: &str,
        standing: &Standing,
        mut environment: Vec<(String, String)>,
        redact: Redact,
        place: OwnedSemaphorePermit,
    ) -> Result<(Line, Child), String> {
        let user = standing.own_user.then(|| folder::user_of(self.name.as_str(), key));
        let told = |error: io::Error| format!("its own directory cannot be made: {error}");
        let folder = Folder::of(host.folder(), self.name.as_str(), key, user).map_err(told)?;
        let (home, scratch) = folder.as_seen(standing.walls);
        for (name, value) in [("HOME", &home), ("TMPDIR", &scratch)] {
            environment.insert(0, (name.to_owned(), value.display().to_string()));
        }
        let limits = walls::limits(&self.process);
        let outer =
            Outer { errand: Errand::Start, folder: folder.path().to_owned(), user, walls: standing.walls, limits };
        let mut child =
            host.launch(standing.walls.network).map_err(|error| format!("the launcher cannot be started: {error}"))?;
        let ready = async {
            let (mut input, listener) = child.input.tell(&outer).await?;
            let way_out = match (&self.process.network, listener) {
                (Network::Hosts(hosts), Some(listener)) => {
                    environment.extend(way_out::variables(listener.local_addr()?, hosts));
                    Some((WayOut::new(self.name.clone(), hosts.clone(), self.dialer.clone()), listener))
                }
                _ => None,
            };
            let inner = Inner {
                command: resolved(&self.argv),
                environment,
                directory: self.process.directory.clone().unwrap_or(home),
                read: self.readable(),
                write: self.process.write.clone(),
                walls: standing.walls,
                limits,
            };
            input.write_all(&sandbox::frame(&inner)?).await?;
            let mut word = [0; READY.len()];
            child.output.read_exact(&mut word).await?;
            if word == *READY { Ok((input, way_out)) } else { Err(io::Error::other("it is no launcher")) }
        };
        let (input, way_out) = match timeout(START, ready).await.unwrap_or_else(|late| Err(io::Error::other(late))) {
            Ok(told) => told,
            Err(error) => {
                let mut words = Vec::new();
                let _ = timeout(GRACE, (&mut child.errors).take(LAST_WORDS).read_to_end(&mut words)).await;
                let _ = child.process.start_kill();
                let _ = child.process.wait().await;
                let words = redact.cleaned(&String::from_utf8_lossy(&words), 500);
                return Err(if words.is_empty() { error.to_string() } else { words });
            }
        };
        let (line, far) = Line::new();
        let child = Child {
            name: self.name.clone(),
            key: key.to_owned(),
            process: child.process,
            streams: (input, child.output, child.errors),
            way_out,
            far,
            redact,
            rests: self.rests.clone(),
            began: Instant::now(),
            place,
        };
        Ok((line, child))
    }

    fn written(&self, event: Event, whose: &Whose, standing: &Standing) -> Event {
        let walls = if standing.lacks.is_empty() { "all".to_owned() } else { standing.lacks.join("; ") };
        event
            .by(Actor { person: whose.person.clone(), ..Actor::default() })
            .on(Target { server: Some(self.name.clone()), ..Target::default() })
            .text("command", self.argv.join(" "))
            .text("command_digest", Digest::of(self.argv.join("\0").as_bytes()).to_base64url())
            .text("network", self.process.network.to_string())
            .text("walls", walls)
    }

    /// What a process finds in its environment: what every one gets, and its own.
    fn environment(&self, whose: &Whose) -> Result<Vec<(String, String)>, UpstreamError> {
        let usual = [
            ("PATH", PATH),
            ("LANG", "C.UTF-8"),
            ("USER", "server"),
            // spec: T-90: what a package does when it is installed was looked at by nobody
            ("npm_config_ignore_scripts", "true"),
            ("npm_config_update_notifier", "false"),
            ("npm_config_fund", "false"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ];
        let mut all: Vec<(String, String)> = usual.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let own = self.process.environment.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        all.retain(|(name, _)| self.process.environment.iter().all(|(own, _)| own != name));
        all.extend(own);
        // spec: UP-88: "pass credentials through environment or files created for that child only"
        if let Some(name) = &self.process.key_variable {
            let key = whose.credential.alone().and_then(|value| value.to_str().ok());
            let key = key.ok_or(UpstreamError::Credentials { status: 401, challenges: Vec::new() })?;
            all.push((name.clone(), key.to_owned()));
        }
        Ok(all)
    }

    /// What it may read: what the settings say, and the program itself wherever it is.
    fn readable(&self) -> Vec<PathBuf> {
        let program = PathBuf::from(&self.argv[0]);
        let elsewhere = program.is_absolute() && sandbox::SYSTEM.iter().all(|known| !program.starts_with(known));
        self.process.read.iter().cloned().chain(elsewhere.then_some(program)).collect()
    }
}

const READY: &[u8; 6] = b"ready\n";

impl Lines for Processes {
    fn open<'a>(&'a self, who: &'a Whose) -> BoxFuture<'a, Result<Line, UpstreamError>> {
        self.start(who).boxed()
    }

    fn sharing(&self) -> Sharing {
        self.process.sharing
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").field("name", &self.name).field("argv", &self.argv).finish_non_exhaustive()
    }
}

/// Whose directory and user a process gets. Sessions of one person share both.
fn key(whose: &Whose, sharing: Sharing) -> String {
    match (sharing, &whose.person) {
        (Sharing::Person | Sharing::Session, Some(person)) => person.to_string(),
        (Sharing::Person | Sharing::Session, None) => "nobody".to_owned(),
        (Sharing::Shared, _) => "shared".to_owned(),
    }
}

/// The command with the file of its program, where that can be said.
fn resolved(argv: &[String]) -> Vec<String> {
    let mut argv = argv.to_vec();
    if !argv[0].contains('/') {
        let found = PATH.split(':').map(|folder| PathBuf::from(folder).join(&argv[0])).find(|path| path.is_file());
        argv[0] = found.map_or_else(|| argv[0].clone(), |path| path.display().to_string());
    }
    argv
}

fn failed(why: impl Into<Arc<str>>) -> UpstreamError {
    UpstreamError::Start(why.into())
}
