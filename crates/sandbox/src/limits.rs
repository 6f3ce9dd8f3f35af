//! What the kernel holds each process to.

use std::{fs, io};

use rustix::{
    process::{Resource, Rlimit, geteuid, nice, setrlimit},
    thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities},
};

use crate::Limits;

/// How much is taken off a server's claim to a processor.
const MANNERS: i32 = 5;

/// Sets what holds for this process and all after it.
pub fn set(limits: &Limits, within: bool) -> io::Result<()> {
    let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Core, both(0))?;
    // Not the address space: run-time systems reserve far more of that than they use.
    setrlimit(Resource::Data, both(limits.memory))?;
    setrlimit(Resource::Nofile, both(u64::from(limits.files)))?;
    setrlimit(Resource::Fsize, both(limits.file_size))?;
    setrlimit(Resource::Memlock, both(0))?;
    if within {
        // Counted in this name space alone; one more for the inner process.
        setrlimit(Resource::Nproc, both(u64::from(limits.processes) + 1))?;
    }
    let _ = nice(MANNERS);
    Ok(())
}

/// Without a name space of its own a program shares the count of its user, who has other processes too.
pub fn processes_of_user(limits: &Limits) -> io::Result<()> {
    let user = geteuid().as_raw();
    let tasks = |entry: fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        (field("Uid:")?.parse() == Ok(user)).then(|| field("Threads:")?.parse::<u64>().ok()).flatten()
    };
    let others: u64 = fs::read_dir("/proc")?.filter_map(Result::ok).filter_map(tasks).sum();
    let most = others + u64::from(limits.processes);
    Ok(setrlimit(Resource::Nproc, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Nothing that is started from here can have a capability again.
pub fn drop_capabilities() -> io::Result<()> {
    // Old kernels know no ambient ones.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
