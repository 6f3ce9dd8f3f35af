//! System calls that no server needs, and that are a way out or a large surface of the kernel.

use std::{collections::BTreeMap, env::consts::ARCH, io};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use crate::plan::{Signals, Sockets};

/// Refused as if the caller had no right to them.
const REFUSED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Other roots, mounts and name spaces.
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Large parts of the kernel that were the way in before.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_fanotify_init,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[libc::SYS_kexec_file_load];

/// Said not to exist, so that callers take the older way: these cannot be looked into from here.
const UNKNOWN: &[i64] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

const SIGNALLING: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_open,
];

const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// What types into a terminal as if somebody had.
const TYPING: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// The other numbers of the same calls that x86-64 has, and those that only exist under them.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Whether the kernel filters system calls at all.
pub fn possible() -> bool {
    rustix::thread::secure_computing_mode().is_ok()
}

/// Filters the system calls of this process and all after it.
pub fn raise(sockets: Sockets, signals: Signals) -> io::Result<()> {
    for (rules, answer) in [(unknown(), libc::ENOSYS), (refused(sockets, signals)?, libc::EPERM)] {
        let machine = ARCH.try_into().map_err(wrong)?;
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(answer as u32), machine)
            .map_err(wrong)?;
        let program: BpfProgram = filter.try_into().map_err(wrong)?;
        apply_filter(&program).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn unknown() -> Rules {
    UNKNOWN.iter().map(|call| (*call, Vec::new())).collect()
}

fn refused(sockets: Sockets, signals: Signals) -> io::Result<Rules> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    if signals == Signals::None {
        rules.extend(SIGNALLING.iter().map(|call| (*call, Vec::new())));
    }
    let bits = |flag: i32| condition(0, SeccompCmpOp::MaskedEq(flag as u64), flag as u64);
    rules.insert(
        libc::SYS_clone,
        NEW_NAMESPACES.into_iter().map(|flag| rule(vec![bits(flag)?])).collect::<Result<_, _>>()?,
    );
    let types = |request: u64| condition(1, SeccompCmpOp::Eq, request);
    rules.insert(
        libc::SYS_ioctl,
        TYPING.into_iter().map(|request| rule(vec![types(request)?])).collect::<Result<_, _>>()?,
    );
    let families: &[i32] = match sockets {
        Sockets::Usual => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        Sockets::Network => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        Sockets::None => &[],
    };
    // Not each of those that are let through, so one of the others: machines beside this one, devices, ciphers.
    let others =
        families.iter().map(|family| condition(0, SeccompCmpOp::Ne, *family as u64)).collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, if others.is_empty() { Vec::new() } else { vec![rule(others)?] });
    #[cfg(target_arch = "x86_64")]
    {
        let twins: Vec<_> = rules.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
        rules.extend(twins);
        rules.extend((512..548).map(|call| (call | X32, Vec::new())));
    }
    Ok(rules)
}

fn condition(argument: u8, how: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value).map_err(wrong)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(wrong)
}

fn wrong(error: seccompiler::BackendError) -> io::Error {
    io::Error::other(error.to_string())
}
