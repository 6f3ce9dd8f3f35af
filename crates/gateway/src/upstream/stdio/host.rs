//! Where processes are started, and what there is to wall them off with.

use std::{
    io,
    os::{fd::OwnedFd, unix::net},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{Clock, printable};
use portcullis_sandbox::{self as sandbox, Ability, Errand, Handed, Network, Outer, Walls};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{TcpListener, UnixStream},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::OnceCell,
    time::timeout,
};

use super::{
    START,
    folder::{self, Folder},
    walls::{self, Kernel, Standing, kernel},
};
use crate::{
    config::{Process, meet},
    journal::Journal,
};

/// Where processes are started: by which program, and where their own directories are.
pub struct Host {
    launcher: PathBuf,
    data: PathBuf,
    folder: PathBuf,
    kernel: OnceCell<Kernel>,
    record: Option<(Journal, Arc<dyn Clock>)>,
}

impl Host {
    /// The binary of this process, whatever happened to its file since it was started.
    pub const THIS: &str = "/proc/self/exe";

    /// A host that keeps the processes' own directories within `data`, the gateway's data directory, and shows them nothing
    /// else of that; `launcher` is a binary that calls [`sandbox::launch`].
    pub fn with_launcher(launcher: PathBuf, data: &Path) -> Arc<Self> {
        Arc::new(Self::new(launcher, data, None))
    }

    /// The same, which writes down what it starts.
    pub fn recording(launcher: PathBuf, data: &Path, journal: Journal, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self::new(launcher, data, Some((journal, clock))))
    }

    fn new(launcher: PathBuf, data: &Path, record: Option<(Journal, Arc<dyn Clock>)>) -> Self {
        let (data, folder) = (data.to_owned(), data.join("servers"));
        Self { launcher, data, folder, kernel: OnceCell::new(), record }
    }

    /// Writes down that something was started. What cannot be written is told, and holds nothing up: the call that it was
    /// started for is held to its own record.
    pub(super) async fn write_down(&self, event: impl FnOnce(Event) -> Event) {
        let Some((journal, clock)) = &self.record else { return };
        let event = event(Event::new(Kind::ProcessStarted, clock.now()).outcome(Outcome::Success));
        if let Err(error) = journal.append(event).await {
            tracing::error!(%error, "the start of a server cannot be written down");
        }
    }

    /// Where the processes' own directories are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
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
            walls: Walls::ALL,
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

    /// Starts a launcher for a program that is to be in this network.
    pub(super) fn launch(&self, network: Network) -> io::Result<Launcher> {
        let mut command = self.launcher();
        let socket = match network {
            Network::Machine | Network::Nothing => None,
            Network::Listener => {
                let (ours, theirs) = net::UnixStream::pair()?;
                ours.set_nonblocking(true)?;
                command.stdin(OwnedFd::from(theirs));
                Some(UnixStream::from_std(ours)?)
            }
        };
        let mut process = command.spawn()?;
        let input = match socket {
            Some(socket) => Some(Input::Socket(socket)),
            None => process.stdin.take().map(Input::Pipe),
        };
        let (Some(input), Some(output), Some(errors)) = (input, process.stdout.take(), process.stderr.take()) else {
            return Err(io::Error::other("it has no standard streams"));
        };
        Ok(Launcher { process, input, output, errors })
    }
}

/// A launcher that was started and told nothing yet.
pub(super) struct Launcher {
    pub(super) process: Child,
    pub(super) input: Input,
    pub(super) output: ChildStdout,
    pub(super) errors: ChildStderr,
}

/// How a launcher is told its plans.
pub(super) enum Input {
    Pipe(ChildStdin),
    /// It gives back a listener and the pipe for what comes then.
    Socket(UnixStream),
}

impl Input {
    /// Tells the first plan; what comes back is where the rest goes, and the listener if there is to be one.
    pub(super) async fn tell(self, plan: &Outer) -> io::Result<(ChildStdin, Option<TcpListener>)> {
        let plan = sandbox::frame(plan)?;
        match self {
            Self::Pipe(mut pipe) => {
                pipe.write_all(&plan).await?;
                Ok((pipe, None))
            }
            Self::Socket(mut socket) => {
                socket.write_all(&plan).await?;
                let Handed { listener, input } = socket.async_io(Interest::READABLE, || Handed::take(&socket)).await?;
                listener.set_nonblocking(true)?;
                Ok((ChildStdin::from_std(input.into())?, Some(TcpListener::from_std(listener)?)))
            }
        }
    }
}
