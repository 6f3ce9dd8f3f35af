//! Which walls a process gets, out of those that this kernel has, and whether that is enough.

use portcullis_sandbox::{self as sandbox, Ability, Limits, Signals, Sockets, Walls};

use super::GRACE;
use crate::config::{Network, Process, Sandbox};

/// The version of Landlock from which on it also says whom signals and nameless sockets reach.
const SCOPES: u32 = 6;

/// What there is to build with.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    pub ability: Ability,
    /// Whether the gateway is root.
    pub root: bool,
    /// Whether each process can be another user.
    pub own_users: bool,
}

/// What stands between a process and everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub(super) walls: Walls,
    pub(super) own_user: bool,
    /// What this machine lacks, as sentences for an administrator.
    pub lacks: Vec<String>,
}

pub(super) fn kernel() -> Kernel {
    let root = rustix::process::geteuid().is_root();
    Kernel { ability: Ability::default(), root, own_users: root }
}

pub(super) fn limits(process: &Process) -> Limits {
    let limits = process.limits;
    Limits {
        memory: limits.memory,
        processes: limits.processes,
        files: limits.files,
        file_size: limits.file_size,
        processors: f64::from(limits.processors) / 100.0,
        grace_ms: GRACE.as_millis() as u64,
    }
}

/// The walls for a process with these settings; the error says what is missing and what to do.
// spec: T-89, SEC-32
pub(super) fn decide(process: &Process, kernel: &Kernel) -> Result<Standing, String> {
    let Ability { no_namespaces, no_listener, landlock, seccomp } = &kernel.ability;
    let namespaces = no_namespaces.is_none();
    let mut lacks = Vec::new();
    if let Some(why) = no_namespaces {
        lacks.push(format!("no name spaces for it ({why}): it sees that there are other files and processes"));
    }
    if *landlock == 0 {
        lacks.push("no Landlock in this kernel".to_owned());
    }
    if !*seccomp {
        lacks.push("no filter of system calls in this kernel".to_owned());
    }
    let own_user = kernel.root && kernel.own_users && namespaces;
    if kernel.root && !own_user {
        lacks.push("it runs as root's user, whose processes are not counted".to_owned());
    }
    let enough = match process.sandbox {
        Sandbox::Strict => namespaces && *landlock > 0 && *seccomp && (own_user || !kernel.root),
        Sandbox::Standard => *seccomp && (namespaces || *landlock > 0) && (own_user || !kernel.root),
        Sandbox::Weak => true,
    };
    if !enough {
        return Err(format!(
            "this machine cannot wall it off: {}. Allow user name spaces (sysctl user.max_user_namespaces, in a container \
             the seccomp profile), do not run the gateway as root, or accept less for this server: sandbox: weak",
            lacks.join("; ")
        ));
    }
    // A list that nothing holds it to would be a lie, whatever else is accepted.
    if let (Network::Hosts(_), Some(why)) = (&process.network, no_namespaces.as_ref().or(no_listener.as_ref())) {
        return Err(format!(
            "this machine cannot hold it to a list of hosts, because it cannot have a network of its own ({why}). Allow user \
             name spaces (sysctl user.max_user_namespaces, in a container the seccomp profile), or choose for this server: \
             network: none, or network: all with a firewall"
        ));
    }
    let (network, sockets) = match process.network {
        Network::Hosts(_) => (sandbox::Network::Listener, Sockets::Usual),
        Network::None if namespaces => (sandbox::Network::Nothing, Sockets::Usual),
        Network::None => (sandbox::Network::Machine, Sockets::None),
        // Local sockets without a file are in the network: only the newer Landlock keeps them apart.
        Network::All if namespaces && *landlock >= SCOPES => (sandbox::Network::Machine, Sockets::Usual),
        Network::All => (sandbox::Network::Machine, Sockets::Network),
    };
    let signals = if namespaces || *landlock >= SCOPES || !*seccomp { Signals::All } else { Signals::None };
    let walls = Walls { namespaces, network, landlock: *landlock > 0, seccomp: *seccomp, sockets, signals };
    Ok(Standing { walls, own_user, lacks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Entry, Environment};

    fn kernel(namespaces: bool, landlock: u32, seccomp: bool) -> Kernel {
        let no_namespaces = (!namespaces).then(|| "Operation not permitted".to_owned());
        Kernel {
            ability: Ability { no_namespaces, no_listener: None, landlock, seccomp },
            root: false,
            own_users: false,
        }
    }

    fn with(sandbox: Sandbox, network: Network) -> Process {
        Process { network, sandbox, ..Process::default() }
    }

    // spec: T-89, SEC-32
    #[test]
    fn what_is_required_and_missing_is_refused_with_what_to_do() {
        let standard = with(Sandbox::Standard, Network::None);
        let full = decide(&standard, &kernel(true, 7, true)).expect("enough");
        assert!(full.walls.namespaces && full.walls.landlock && full.lacks.is_empty());
        assert_eq!(full.walls.network, sandbox::Network::Nothing);
        for poor in [kernel(false, 0, true), kernel(true, 7, false), kernel(false, 0, false)] {
            let refused = decide(&standard, &poor).expect_err("not enough");
            assert!(refused.contains("sandbox: weak"), "{refused}");
            decide(&with(Sandbox::Weak, Network::None), &poor).expect("accepted");
        }
        assert!(decide(&with(Sandbox::Strict, Network::None), &kernel(false, 7, true)).is_err());
        let root = Kernel { root: true, own_users: true, ..kernel(false, 7, true) };
        assert!(decide(&standard, &root).is_err_and(|why| why.contains("root")));
        let root = Kernel { root: true, own_users: true, ..kernel(true, 7, true) };
        assert!(decide(&standard, &root).expect("enough").own_user);
    }

    // spec: T-89
    #[test]
    fn without_name_spaces_a_filter_takes_their_place() {
        let bare = decide(&with(Sandbox::Standard, Network::None), &kernel(false, 4, true)).expect("enough");
        assert_eq!((bare.walls.sockets, bare.walls.signals), (Sockets::None, Signals::None));
        assert!(bare.lacks[0].contains("Operation not permitted"));
        let newer = decide(&with(Sandbox::Standard, Network::All), &kernel(false, 6, true)).expect("enough");
        assert_eq!((newer.walls.sockets, newer.walls.signals), (Sockets::Network, Signals::All));
        let open = decide(&with(Sandbox::Standard, Network::All), &kernel(true, 5, true)).expect("enough");
        assert_eq!((open.walls.sockets, open.walls.network), (Sockets::Network, sandbox::Network::Machine));
    }

    // spec: T-89
    #[test]
    fn list_of_hosts_is_never_promised_where_nothing_holds_to_it() {
        let listed = |sandbox| {
            let json = serde_json::json!({ "name": "x", "command": ["x"], "network": ["api.example.com"] });
            let entry = Entry::from_json(&json.to_string()).expect("an entry");
            Process { sandbox, ..entry.server(&Environment::default()).expect("a server").process }
        };
        let mut deaf = kernel(true, 7, true);
        deaf.ability.no_listener = Some("Operation not permitted".to_owned());
        for sandbox in [Sandbox::Strict, Sandbox::Standard, Sandbox::Weak] {
            let walls = decide(&listed(sandbox), &kernel(true, 7, true)).expect("enough").walls;
            assert_eq!((walls.network, walls.sockets), (sandbox::Network::Listener, Sockets::Usual));
            for poor in [&kernel(false, 7, true), &deaf] {
                let refused = decide(&listed(sandbox), poor).expect_err("not enough");
                assert!(refused.contains("Operation not permitted"), "{refused}");
            }
        }
    }
}
