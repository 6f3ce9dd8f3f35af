//! Starts a foreign program behind walls of the kernel, and ends it together with everything that it started.
//!
//! A program that is started by somebody else's word must see nothing of this machine but what it was given: not the
//! keeper's memory and files, not another person's processes, not the network. What can be set only between `fork` and
//! `exec` would need unsafe code here, so the keeper starts its own binary once more, as a launcher: [`launch`] reads what
//! to do from its standard input, builds the walls around itself, and only then lets the program in.
//!
//! ```text
//! keeper ── outer (a session of its own, another user, new namespaces) ── inner (process 1 in there) ── the program
//! ```
//!
//! Where the kernel has no namespaces for us there is no inner process: what would be it becomes the program, behind
//! Landlock and a filter of system calls, and the outer one takes in whatever loses its parent. Which walls there are is
//! found out once, by trying ([`Ability`]); the keeper decides whether that is enough and says so in the [`Outer`] plan.
//! From then on a wall that cannot be built is a reason not to start.
//!
//! The launcher watches the pipe that it got its plan from. When its other end is closed, on purpose or because the keeper
//! was killed, it ends the program: first it waits, then it asks (SIGTERM), then it kills, and nothing is left.
//!
//! A program that may reach some hosts and no others has a network of its own with nothing in it but its loopback. On that
//! the launcher opens a listener and hands it to the keeper ([`Handed`]): whoever is behind it is the only way out.
//!
//! Deliberately absent: threads, an async runtime, any shell, any secret in arguments or the launcher's environment.

#[cfg(target_os = "linux")]
mod handover;
#[cfg(target_os = "linux")]
mod inner;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod outer;
mod plan;
#[cfg(target_os = "linux")]
mod root;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
mod steps;
#[cfg(target_os = "linux")]
mod supervise;

#[cfg(target_os = "linux")]
pub use handover::Handed;
pub use plan::{
    Ability, Code, Errand, Inner, Limits, Network, Outer, SYSTEM, Signals, Sockets, Walls, frame, read_frame,
};

/// The word by which a binary knows that it is to be the launcher.
pub const WORD: &str = "sandboxed";

/// Is the launcher: reads a plan from standard input and carries it out. `arguments` are those after [`WORD`]. The answer is
/// the exit code.
#[cfg(target_os = "linux")]
pub fn launch(arguments: &[String]) -> u8 {
    let done = match arguments.first().map(String::as_str) {
        None => outer::run(),
        Some(steps::WORD) => inner::run(arguments.get(1).map(String::as_str)),
        Some(_) => {
            Err(Trouble::new("the plan", std::io::Error::other("the launcher was called in a way it does not know")))
        }
    };
    done.unwrap_or_else(|trouble| {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "portcullis: {trouble}");
        Code::NotStarted as u8
    })
}

/// Is the launcher, on systems where there is none.
#[cfg(not(target_os = "linux"))]
pub fn launch(_: &[String]) -> u8 {
    Code::NotStarted as u8
}

/// What a keeper would get of a launcher, on systems where there is none.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct Handed {
    /// A listener.
    pub listener: std::net::TcpListener,
    /// The rest of the launcher's standard input.
    pub input: std::os::fd::OwnedFd,
}

#[cfg(not(target_os = "linux"))]
impl Handed {
    /// There is nobody to take it from.
    pub fn take(_: impl std::os::fd::AsFd) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// What could not be set up.
#[cfg(target_os = "linux")]
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
struct Trouble {
    what: String,
    error: std::io::Error,
}

#[cfg(target_os = "linux")]
impl Trouble {
    fn new(what: impl Into<String>, error: impl Into<std::io::Error>) -> Self {
        Self { what: what.into(), error: error.into() }
    }
}

/// Says what was being done when something did not work.
#[cfg(target_os = "linux")]
trait During<T> {
    fn during(self, what: &str) -> Result<T, Trouble>;
}

#[cfg(target_os = "linux")]
impl<T, E: Into<std::io::Error>> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, Trouble> {
        self.map_err(|error| Trouble::new(what, error))
    }
}
