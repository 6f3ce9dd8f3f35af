//! Servers that are processes of this machine: started when somebody wants them, behind walls, one for each person, and
//! ended with everything that they started.
//!
//! A process is a [`Line`] like any other. Nothing goes through a shell, nothing of the gateway's own environment is passed
//! on, and a person's key is given to that person's process alone (UP-88).

mod child;
mod complaints;
mod folder;
mod framing;
mod redact;
mod rest;
mod walls;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use portcullis_base::{Secret, ServerName, printable};
use portcullis_sandbox::{self as sandbox, Ability, Errand, Inner, Outer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

pub use walls::Standing;

use self::{
    child::Child,
    folder::Folder,
    redact::Redact,
    rest::Rests,
    walls::{Kernel, kernel},
};
use super::{
    UpstreamError,
    line::{Line, Lines, Whose},
};
use crate::config::{Process, Sharing, meet};

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

/// Where processes are started: by which program, and where their own directories are.
pub struct Host {
    launcher: PathBuf,
    data: PathBuf,
    folder: PathBuf,
    kernel: OnceCell<Kernel>,
}

impl Host {
    /// The binary of this process, whatever happened to its file since it was started.
    pub const THIS: &str = "/proc/self/exe";

    /// A host that keeps the processes' own directories within `data`, the gateway's data directory, and shows them nothing
    /// else of that; `launcher` is a binary that calls [`sandbox::launch`].
    pub fn with_launcher(launcher: PathBuf, data: &Path) -> Arc<Self> {
        let (data, folder) = (data.to_owned(), data.join("servers"));
        Arc::new(Self { launcher, data, folder, kernel: OnceCell::new() })
    }

    /// What there would be between a process with these settings and everything else; the error says what is missing.
    pub async fn standing(&self, process: &Process) -> Result<Standing, String> {
        let kernel = self.kernel().await.map_err(|error| error.to_string())?;
        self.keep_to_ourselves(process)?;
        walls::decide(process, kernel)
    }

    /// Refuses to show anybody what is the gateway's own. It is looked at before each start: links may have changed.
    // spec: T-89
    fn keep_to_ourselves(&self, process: &Process) -> Result<(), String> {
        if let Some(path) = process.reaching(&self.data) {
            return Err(format!(
                "{} leads to the gateway's own data directory, {}, which no server may see. Name only the directories that \
                 it needs under `read` and `write`",
                path.display(),
                self.data.display()
            ));
        }
        match sandbox::SYSTEM.iter().find(|known| meet(&self.data, Path::new(known))) {
            Some(known) => Err(format!(
                "the gateway's data directory, {}, is in {known}, which every server may read: move it, for instance to \
                 /var/lib/portcullis",
                self.data.display()
            )),
            None => Ok(()),
        }
    }

    /// What the kernel has, found out once by trying.
    async fn kernel(&self) -> io::Result<&Kernel> {
        self.kernel
            .get_or_try_init(|| async {
                if !cfg!(target_os = "linux") {
                    return Err(io::Error::other("servers with a command can be run on Linux only"));
                }
                let mut kernel = kernel();
                let user = kernel.root.then(|| folder::user_of("", ""));
                kernel.ability = match self.attempt(user).await {
                    Err(_) if user.is_some() => {
                        kernel.own_users = false;
                        self.attempt(None).await?
                    }
                    tried => tried?,
                };
                Ok(kernel)
            })
            .await
    }

    async fn attempt(&self, user: Option<u32>) -> io::Result<Ability> {
        let folder = Folder::make(&self.folder.join(".try"), user)?;
        let plan = Outer {
            errand: Errand::Try,
            folder: folder.path().to_owned(),
            user,
            walls: walls::all(),
            limits: walls::limits(&Process::default()),
        };
        let mut launcher = self.launcher().spawn()?;
        let mut input = launcher.stdin.take().ok_or_else(|| io::Error::other("no pipe"))?;
        input.write_all(&sandbox::frame(&plan)?).await?;
        drop(input);
        let told = timeout(START, launcher.wait_with_output()).await.map_err(io::Error::other)??;
        serde_json::from_slice(&told.stdout).map_err(|_| {
            io::Error::other(format!(
                "the kernel could not be asked for its walls: {}",
                printable(String::from_utf8_lossy(&told.stderr).trim(), 300)
            ))
        })
    }

    fn launcher(&self) -> Command {
        let mut command = Command::new(&self.launcher);
        // What is secret goes over the pipe: arguments and environment can be seen by others.
        command.arg0("portcullis").arg(sandbox::WORD).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The processes of one server.
pub struct Processes {
    name: ServerName,
    argv: Arc<[String]>,
    process: Arc<Process>,
    host: Weak<Host>,
    places: Arc<Semaphore>,
    rests: Arc<Rests>,
}

impl Processes {
    /// None yet: they are started when somebody wants one.
    pub fn new(name: ServerName, argv: Arc<[String]>, process: Arc<Process>, host: &Arc<Host>) -> Self {
        let (places, rests) = (Arc::new(Semaphore::new(MOST)), Arc::default());
        Self { name, argv, process, host: Arc::downgrade(host), places, rests }
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
        // Who started what, and behind what.
        tracing::info!(
            server.name = %self.name,
            process.id = child.id(),
            process.command = %printable(&self.argv.join(" "), 300),
            person.id = whose.person.as_ref().map(tracing::field::display),
            process.lacks = standing.lacks.join("; "),
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
        let folder = Folder::of(&host.folder, self.name.as_str(), key, user).map_err(told)?;
        let (home, scratch) = folder.as_seen(standing.walls);
        for (name, value) in [("HOME", &home), ("TMPDIR", &scratch)] {
            environment.insert(0, (name.to_owned(), value.display().to_string()));
        }
        let limits = walls::limits(&self.process);
        let outer =
            Outer { errand: Errand::Start, folder: folder.path().to_owned(), user, walls: standing.walls, limits };
        let inner = Inner {
            command: resolved(&self.argv),
            environment,
            directory: self.process.directory.clone().unwrap_or(home),
            read: self.readable(),
            write: self.process.write.clone(),
            walls: standing.walls,
            limits,
        };
        let mut child = host.launcher().spawn().map_err(|error| format!("the launcher cannot be started: {error}"))?;
        let (Some(mut input), Some(mut output), Some(mut errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no standard streams".into());
        };
        let plans = sandbox::frame(&outer).and_then(|outer| Ok((outer, sandbox::frame(&inner)?)));
        let (outer, inner) = plans.map_err(|error| error.to_string())?;
        let ready = async {
            input.write_all(&outer).await?;
            input.write_all(&inner).await?;
            let mut word = [0; READY.len()];
            output.read_exact(&mut word).await?;
            if word == *READY { Ok(()) } else { Err(io::Error::other("it is no launcher")) }
        };
        if let Err(error) = timeout(START, ready).await.unwrap_or_else(|late| Err(io::Error::other(late))) {
            drop(input);
            let mut words = Vec::new();
            let _ = timeout(GRACE, (&mut errors).take(LAST_WORDS).read_to_end(&mut words)).await;
            let _ = child.start_kill();
            let _ = child.wait().await;
            let words = redact.cleaned(&String::from_utf8_lossy(&words), 500);
            return Err(if words.is_empty() { error.to_string() } else { words });
        }
        let (line, far) = Line::new();
        let child = Child {
            name: self.name.clone(),
            key: key.to_owned(),
            process: child,
            streams: (input, output, errors),
            far,
            redact,
            rests: self.rests.clone(),
            began: Instant::now(),
            place,
        };
        Ok((line, child))
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
