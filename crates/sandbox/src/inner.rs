//! The inner process: builds the walls around itself and lets the program in.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
};

use rustix::process::{Pid, Signal, set_parent_process_death_signal};

use crate::{
    Code, During, Inner, Trouble, landlock, limits, plan, root, seccomp,
    steps::{TRYING, Unbuffered, WITHIN},
    supervise::{self, Charges},
};

/// What is said on standard output when the walls stand; what comes after it is the program's.
pub const READY: &str = "ready\n";

/// Carries out the second plan on standard input.
pub fn run(how: Option<&str>) -> Result<u8, Trouble> {
    // With the outer process, whatever ends that, goes this one, and with this one all that is in here.
    set_parent_process_death_signal(Some(Signal::KILL)).during("its end with the launcher's")?;
    if how == Some(TRYING) {
        root::build(&[], &[], 1 << 20)?;
        return Ok(0);
    }
    let plan: Inner = plan::read_frame(Unbuffered).during("the plan cannot be read")?;
    let within = how == Some(WITHIN);
    if within {
        rustix::system::sethostname(b"server").during("its host name")?;
        root::build(&plan.read, &plan.write, plan.limits.memory)?;
    }
    limits::set(&plan.limits, within).during("limits")?;
    limits::drop_capabilities().during("giving up capabilities")?;
    if plan.walls.landlock {
        let tree = if within { landlock::Tree::Built } else { landlock::Tree::Whole };
        landlock::raise(tree, &plan.read, &plan.write).during("rules about paths")?;
    }
    std::env::set_current_dir(&plan.directory)
        .during(&format!("the working directory {}", plan.directory.display()))?;
    if plan.walls.seccomp {
        seccomp::raise(plan.walls.sockets, plan.walls.signals).during("the filter of system calls")?;
    }
    io::stdout().write_all(READY.as_bytes()).and_then(|()| io::stdout().flush()).during("saying so")?;

    let Some((program, arguments)) = plan.command.split_first() else {
        return Err(Trouble::new("the plan", io::Error::other("there is no program in it")));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(plan.environment);
    let cannot = |error: io::Error| {
        let known = Path::new(program).exists();
        let why = if known { "" } else { " (it is not among what this server may read)" };
        Trouble::new(format!("{program} cannot be started{why}"), error)
    };
    if !within {
        return Err(cannot(command.exec()));
    }
    let child = command.process_group(0).spawn().map_err(cannot)?;
    drop(command);
    let Some(child) = Pid::from_raw(child.id() as i32) else { return Ok(Code::NotStarted as u8) };
    Ok(supervise::until_the_end(child, Charges::Everybody, &plan.limits))
}
