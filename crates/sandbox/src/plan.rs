//! What the keeper tells the launcher, in two frames on its standard input: the outer plan, then the inner one, which has
//! the secrets.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// The longest frame.
const LONGEST: usize = 1 << 20;

/// Directories with programs and libraries, and the files about this machine that these look at. Nothing here is a secret.
pub const SYSTEM: [&str; 27] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
];

/// What the launcher does before it lets anything foreign in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outer {
    /// What it is for.
    pub errand: Errand,
    /// A directory of the program's own, with `home`, `tmp` and `root` in it. It becomes the working directory.
    pub folder: PathBuf,
    /// The user to become, and the group of the same number.
    pub user: Option<u32>,
    /// Which walls are to be built.
    pub walls: Walls,
    /// What the program may take.
    pub limits: Limits,
}

/// What a launcher is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// To start a program.
    Start,
    /// To see whether the walls can be built; nothing is started.
    Try,
}

/// Which walls are built. One that is asked for and cannot be built is a reason not to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// A root directory, processes, host name and message queues of its own.
    pub namespaces: bool,
    /// Which network the program finds itself in.
    pub network: Network,
    /// Rules about paths.
    pub landlock: bool,
    /// A filter of system calls.
    pub seccomp: bool,
    /// Which sockets the filter lets through.
    pub sockets: Sockets,
    /// Which signals the filter lets through.
    pub signals: Signals,
}

impl Walls {
    /// All of them.
    pub const ALL: Self = Self {
        namespaces: true,
        network: Network::Nothing,
        landlock: true,
        seccomp: true,
        sockets: Sockets::Usual,
        signals: Signals::All,
    };
}

/// The network that a program finds itself in. One of its own there is only with `namespaces`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// That of the machine.
    Machine,
    /// One of its own, in which there is nothing.
    Nothing,
    /// One of its own, in which there is nothing but a listener that the keeper gets (see [`Handed`](crate::Handed)).
    Listener,
}

/// Sockets that a filter lets through. Pairs of connected ones are always possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sockets {
    /// Those of a network, and local ones: another wall says with whom.
    Usual,
    /// Those of a network, no local ones.
    Network,
    /// None.
    None,
}

/// Signals that a filter lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signals {
    /// All: another wall says to whom.
    All,
    /// None, not even to itself, because nothing else keeps them from the processes of others.
    None,
}

/// What a program may take, with all that it starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory: for each process by the kernel, for all together by looking.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Open files of each process.
    pub files: u32,
    /// The largest file that it may write.
    pub file_size: u64,
    /// Processors kept busy, on average.
    pub processors: f64,
    /// How long it may take to end after its input was closed, and again after it was asked to, in milliseconds.
    pub grace_ms: u64,
}

/// What the innermost process does: it has the program's secrets.
#[derive(Deserialize, Serialize)]
pub struct Inner {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// What it may read and run besides the system's directories.
    pub read: Vec<PathBuf>,
    /// What it may also write.
    pub write: Vec<PathBuf>,
    /// The walls, as in the outer plan.
    pub walls: Walls,
    /// What it may take, as in the outer plan.
    pub limits: Limits,
}

/// What walls there can be, found out by trying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// Why there are no namespaces; nothing if there are.
    pub no_namespaces: Option<String>,
    /// Why there can be no listener in a network of its own; nothing if there can.
    pub no_listener: Option<String>,
    /// The version of Landlock; 0 if there is none.
    pub landlock: u32,
    /// Whether system calls can be filtered.
    pub seccomp: bool,
}

/// Exit codes with a meaning of their own. A program could choose the same ones: they are told, and nothing hangs on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The walls could not be built, or the program could not be started.
    NotStarted = 120,
    /// Its processes together took more memory than they may.
    Memory = 121,
    /// It had to be killed because it did not end when it was asked to.
    Killed = 122,
    /// It had more processes than it may.
    Processes = 123,
}

impl Code {
    /// The code that `status` stands for.
    pub fn of(status: i32) -> Option<Self> {
        [Self::NotStarted, Self::Memory, Self::Killed, Self::Processes].into_iter().find(|code| *code as i32 == status)
    }
}

/// A plan as it goes over the pipe.
pub fn frame(plan: &impl Serialize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(serde_json::to_vec(plan)?);
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + text.len()));
    frame.extend_from_slice(&(text.len() as u32).to_be_bytes());
    frame.extend_from_slice(&text);
    Ok(frame)
}

/// Reads one plan and not a byte more: what comes after it belongs to somebody else.
pub fn read_frame<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("a plan without end"));
    }
    let mut text = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
