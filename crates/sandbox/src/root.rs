//! The directory tree that a program in name spaces of its own sees: the system's, its own, and what it was given.

use std::{
    env,
    ffi::CString,
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_remount,
        unmount,
    },
    process::pivot_root,
};

use crate::{During, Trouble, plan::SYSTEM, steps::USER};

const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Where the new tree is put together, in the folder that is the working directory.
const NEW: &str = "root";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

/// Builds the tree and goes into it; what was there before is gone. Symbolic links cannot lead out of it any more.
pub fn build(read: &[PathBuf], write: &[PathBuf], memory: u64) -> Result<(), Trouble> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .during("keeping mounts to ourselves")?;
    mount("tmpfs", NEW, "tmpfs", quiet, text("mode=0755,size=1m").as_deref()).during("a root directory")?;
    for path in SYSTEM {
        give(Path::new(path), Use::Read)?;
    }
    folder("proc")?;
    mount("proc", inside("proc"), "proc", quiet | MountFlags::NOEXEC, None).during("/proc")?;
    folder("dev")?;
    for device in DEVICES {
        let path = Path::new("/dev").join(device);
        fs::write(inside(&path), "").during("/dev")?;
        mount_bind_recursive(&path, inside(&path)).during("/dev")?;
    }
    for (name, there) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(there, inside("dev").join(name)).during("/dev")?;
    }
    let size = format!("mode=0700,size={}", (memory / 4).max(1 << 20));
    for scratch in ["tmp", "dev/shm"] {
        folder(scratch)?;
        mount("tmpfs", inside(scratch), "tmpfs", quiet, text(&size).as_deref()).during("/tmp")?;
    }
    people().during("/etc/passwd")?;
    folder("home/server")?;
    mount_bind_recursive("home", inside("home/server")).during("its home")?;

    // Those above before those below, or one would hide the other.
    let mut given: Vec<_> =
        read.iter().map(|path| (path, Use::Read)).chain(write.iter().map(|path| (path, Use::Write))).collect();
    given.sort_by_key(|(path, _)| path.components().count());
    for (path, how) in given {
        give(path, how)?;
    }
    env::set_current_dir(NEW).during("the new root directory")?;
    pivot_root(".", ".").during("the new root directory")?;
    unmount(".", UnmountFlags::DETACH).during("leaving the old root directory")?;
    env::set_current_dir("/").during("the new root directory")?;
    mount_remount("/", quiet | MountFlags::BIND | MountFlags::RDONLY, "").during("the new root directory")
}

/// Makes one path of the machine visible under the same name.
fn give(path: &Path, how: Use) -> Result<(), Trouble> {
    let failed = format!("making {} visible", path.display());
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && SYSTEM.iter().any(|known| Path::new(known) == path) => {
            return Ok(());
        }
        known => known.during(&failed)?.file_type(),
    };
    let target = inside(path);
    if kind.is_symlink() && !target.exists() && path.components().count() == 2 {
        let there = fs::read_link(path).during(&failed)?;
        return symlink(there, target).during(&failed);
    }
    let seen = fs::metadata(path).during(&failed)?;
    if seen.is_dir() {
        folder(path)?;
    } else if fs::symlink_metadata(&target).is_err() {
        folder(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&target, "").during(&failed)?;
    }
    mount_bind_recursive(path, &target).during(&failed)?;
    if how == Use::Read {
        // A mount in a name space like ours keeps the flags that it had outside.
        let kept = statvfs(&target).during(&failed)?.f_flag;
        let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        for (had, flag) in [
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
            (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
            (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        ] {
            flags.set(flag, kept.contains(had));
        }
        mount_remount(&target, flags, "").during(&failed)?;
    }
    Ok(())
}

/// Programs want to know what their user is called.
fn people() -> std::io::Result<()> {
    fs::create_dir_all(inside("etc"))?;
    fs::write(inside("etc/passwd"), format!("server:x:{USER}:{USER}:server:/home/server:/usr/sbin/nologin\n"))?;
    fs::write(inside("etc/group"), format!("server:x:{USER}:\n"))
}

fn folder(path: impl AsRef<Path>) -> Result<(), Trouble> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(inside(&path)).during(&path.as_ref().display().to_string())
}

fn inside(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    Path::new(NEW).join(path.strip_prefix("/").unwrap_or(path))
}

fn text(text: &str) -> Option<CString> {
    CString::new(text).ok()
}
