//! What is wrong with the settings: every problem of a start at once, each with its place and a way out.

use std::fmt;

use portcullis_base::printable;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `portcullis.yaml:12`, `PORTCULLIS_LISTEN` or `--listen`; empty for the settings as a whole.
    pub place: String,
    /// Which key, such as `servers[1].url`; empty for the file as a whole.
    pub key: String,
    /// What was found and what is expected.
    pub what: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{}: ", printable(part, 300))?;
        }
        f.write_str(&self.what)?;
        for line in self.help.iter().flat_map(|help| help.lines()) {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
