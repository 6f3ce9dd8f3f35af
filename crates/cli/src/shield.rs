//! What must not leave this process by accident: its memory, in a core dump or to another process of the same user, and the
//! words of a panic, which may quote what was being worked on. spec: T-45

use std::{io::Write, panic};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Raises both shields. Called before anything secret is read.
pub fn raise() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        // Not what it says: the text of a panic is made from values.
        let _ = writeln!(std::io::stderr(), "portcullis: internal error{place}; please report this line");
    }));
    // Where either is not possible, as in some sandboxes, the gateway is no worse off than other programs.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "PORTCULLIS_TEST_SHIELD";

    /// Runs itself once more, as a process that raises the shields and panics.
    // spec: T-45
    #[test]
    fn panic_says_where_and_not_what_and_memory_is_not_dumped() {
        #[expect(clippy::disallowed_methods, reason = "the child is told so")]
        if std::env::var_os(CHILD).is_some() {
            raise();
            assert_eq!(rustix::process::getrlimit(Resource::Core).maximum, Some(0));
            #[cfg(target_os = "linux")]
            assert_eq!(rustix::process::dumpable_behavior().ok(), Some(rustix::process::DumpableBehavior::NotDumpable));
            panic!("canary {}", "secret");
        }
        let itself = std::env::current_exe().expect("a test has a file");
        let arguments =
            ["--exact", "--nocapture", "shield::tests::panic_says_where_and_not_what_and_memory_is_not_dumped"];
        let ended = Command::new(itself).args(arguments).env(CHILD, "1").output().expect("it runs");
        let said = [ended.stdout, ended.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!ended.status.success() && said.contains("internal error at crates/cli/src/shield.rs"), "{said}");
        assert!(!said.contains("canary") && !said.contains("secret"), "{said}");
    }
}
