//! Landlock: what the program may do with which paths, whom it may watch and whom it may send signals.

use std::{io, path::PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::plan::SYSTEM;

/// The newest rules that we know the meaning of.
const KNOWN: ABI = ABI::V6;

/// Files that tell of this machine, and of nobody's processes.
const MACHINE: [&str; 10] = [
    "/etc/group",
    "/etc/passwd",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/uptime",
    "/proc/version",
];

const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// What the rules are laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A root directory that was built for this program.
    Built,
    /// That of the machine.
    Whole,
}

/// The version of the kernel's rules; 0 if it has none. Found out by laying some down, so whoever asks is held to them.
pub fn version() -> u32 {
    let lay = || Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?.create()?.restrict_self();
    match lay().map(|status: landlock::RestrictionStatus| status.landlock) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        _ => 0,
    }
}

/// Lays down the rules for this process and all after it. Over the whole tree the working directory must be the program's
/// own folder.
pub fn raise(tree: Tree, read: &[PathBuf], write: &[PathBuf]) -> io::Result<()> {
    let reading: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let writing = AccessFs::from_all(KNOWN);
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let lay = || -> Result<RulesetStatus, RulesetError> {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(writing)?;
        let mut rules = ruleset.scope(Scope::from_all(KNOWN))?.create()?;
        rules = match tree {
            Tree::Built => rules
                .add_rules(path_beneath_rules(["/"], reading))?
                .add_rules(path_beneath_rules(["/home/server", "/tmp", "/dev/shm"], writing))?,
            Tree::Whole => rules
                .add_rules(path_beneath_rules(SYSTEM, reading))?
                .add_rules(path_beneath_rules(MACHINE, reading))?
                .add_rules(path_beneath_rules(["/proc/self"], reading))?
                .add_rules(path_beneath_rules(read, reading))?
                .add_rules(path_beneath_rules(["home", "tmp"], writing))?,
        };
        let rules = rules.add_rules(path_beneath_rules(DEVICES, device))?;
        Ok(rules.add_rules(path_beneath_rules(write, writing))?.restrict_self()?.ruleset)
    };
    match lay() {
        Ok(RulesetStatus::NotEnforced) => Err(io::Error::other("the kernel does not enforce them")),
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
