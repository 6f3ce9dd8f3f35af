//! The outer process: leaves what the keeper is in, and waits for the end of what it starts.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::Mode,
    process::{
        DumpableBehavior, Gid, Pid, Uid, getegid, geteuid, set_child_subreaper, set_dumpable_behavior, setsid, umask,
    },
    thread::{self, CapabilitySet, CapabilitySets, UnshareFlags},
};

use crate::{
    Ability, Code, During, Errand, Outer, Trouble, WORD, handover, landlock, limits,
    plan::{self, Network, Walls},
    seccomp, steps,
    steps::{USER, Unbuffered},
    supervise::{self, Charges},
};

/// Carries out the first plan on standard input.
pub fn run() -> Result<u8, Trouble> {
    let plan: Outer = plan::read_frame(Unbuffered).during("the plan cannot be read")?;
    // Fails only for the leader of a process group, which has what this is for.
    let _ = setsid();
    umask(Mode::RWXG | Mode::RWXO);
    thread::set_no_new_privs(true).during("giving up privileges")?;
    // While we still may: the way to it may be closed to the user that we become.
    env::set_current_dir(&plan.folder).during("its directory")?;
    if let Some(user) = plan.user {
        become_user(user).during("becoming another user")?;
    }
    match plan.errand {
        Errand::Try => attempt(&plan),
        Errand::Start => start(&plan),
    }
}

fn start(plan: &Outer) -> Result<u8, Trouble> {
    if plan.walls.namespaces {
        leave(plan.walls).during("name spaces")?;
        if plan.walls.network == Network::Listener {
            handover::give().during("the only way out of its network")?;
        }
        let inner = step(steps::WITHIN).during("the second step")?;
        // The inner process minds everything, and with it everything in there ends.
        return Ok(wait_for(&inner));
    }
    // spec: T-89: no list of hosts where nothing holds a program to it
    if plan.walls.network != Network::Machine {
        return Err(Trouble::new("a network of its own", io::Error::other("there is none without name spaces")));
    }
    set_child_subreaper(Some(rustix::process::getpid())).during("taking in orphans")?;
    limits::processes_of_user(&plan.limits).during("the limit of processes")?;
    let inner = step(steps::BARE).during("the second step")?;
    Ok(supervise::until_the_end(pid_of(&inner), Charges::Descendants, &plan.limits))
}

/// Finds out which walls can be built, and says so.
fn attempt(plan: &Outer) -> Result<u8, Trouble> {
    let walls = Walls { namespaces: true, network: Network::Listener, ..plan.walls };
    let left = leave(walls);
    // Not in the network that could not be left.
    let no_listener = left.is_ok().then(handover::listen).and_then(Result::err).map(|error| error.to_string());
    let no_namespaces = match left.and_then(|()| step(steps::TRYING)) {
        Err(error) => Some(error.to_string()),
        Ok(child) => {
            let ended = child.wait_with_output().during("the second step")?;
            let told = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            (!ended.status.success()).then_some(told)
        }
    };
    let ability = Ability { no_namespaces, no_listener, landlock: landlock::version(), seccomp: seccomp::possible() };
    let text = serde_json::to_string(&ability).map_err(io::Error::from).during("the answer")?;
    io::stdout().write_all(text.as_bytes()).during("the answer")?;
    Ok(0)
}

/// The same binary once more, one step further in.
fn step(how: &str) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("portcullis").args([WORD, steps::WORD, how]).env_clear();
    // The allocator of the binary takes a great piece of memory at once unless told otherwise, and what is taken before the
    // program starts counts against its limit.
    command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0").env("MIMALLOC_ARENA_RESERVE", "8192");
    if how == steps::TRYING {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    }
    command.spawn()
}

fn become_user(user: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)?;
    // Who changes user is closed to others, and then also the files by which it says who it is in its new name space.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    Ok(())
}

/// Goes into new name spaces; that of processes begins with the next one that is started.
fn leave(walls: Walls) -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mut flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if walls.network != Network::Machine {
        flags |= UnshareFlags::NEWNET;
    }
    #[expect(deprecated, reason = "what made it unsafe is a flag about open files, which is not among these")]
    thread::unshare(flags)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{USER} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{USER} {gid} 1"))?;
    // Powers in there, which end with the name spaces: the inner process needs them to build and then gives them up.
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    let had = thread::capabilities(None)?;
    thread::set_capabilities(None, CapabilitySets { inheritable: needed, ..had })?;
    for capability in [CapabilitySet::SYS_ADMIN, CapabilitySet::NET_ADMIN] {
        thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).expect("a child has a number")
}

fn wait_for(child: &Child) -> u8 {
    loop {
        match rustix::process::waitpid(Some(pid_of(child)), rustix::process::WaitOptions::empty()) {
            Ok(Some((_, status))) => return supervise::code(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Code::NotStarted as u8,
        }
    }
}
