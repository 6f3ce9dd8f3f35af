//! What went wrong, where, and what to do: the one way in which a command ends badly.

use std::fmt;

/// Why a command ended without success.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong and where.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The exit code.
    pub code: u8,
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// It was tried and did not work: exit code 1.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, code: 1 }
    }

    /// It was asked for wrongly, in flags or settings: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, code: 2 }
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for line in self.help.iter().flat_map(|help| help.lines()) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}
