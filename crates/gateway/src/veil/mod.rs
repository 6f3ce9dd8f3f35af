//! What rules mask in what servers say, and how much of it they let through: over raw JSON text, so that what is not masked
//! stays byte for byte what it was.
//!
//! Promises: what cannot be looked through is held back, not let through; what was cut says so; the time that it takes grows
//! with the text and nothing else.
//!
//! Deliberately absent: which rules apply to which call, which `policy` says.

mod pass;

use std::{borrow::Cow, fmt, sync::Arc};

use portcullis_mcp::scan;
use portcullis_policy::{Cap, Mask, Obligations, PathStep, Redact};

use self::pass::{Pass, Spot};

/// What is masked in the answer to a call, and how much of it is let through.
#[derive(Clone, Debug)]
pub struct Veil {
    redactions: Vec<Arc<Redact>>,
    cap: Cap,
}

/// Why an answer is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// Its text can be read in more than one way, or is nested too deeply.
    Unreadable,
    /// It has parts that are no text.
    Opaque,
    /// It has so many bytes, of so many that may be.
    Large(u64, u64),
    /// It is so large that it is not even gathered; so many bytes may be.
    Endless,
}

impl HeldBack {
    /// For the record.
    pub fn note(self) -> &'static str {
        match self {
            Self::Unreadable | Self::Opaque => "the result could not be looked through, and was held back",
            Self::Large(..) | Self::Endless => "the result is larger than rules let through, and was held back",
        }
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = "The call was made, and its result is held back: rules mask parts of it, and";
        match self {
            Self::Unreadable => write!(f, "{masked} it can be read in more than one way."),
            Self::Opaque => write!(f, "{masked} it has parts that are no text and cannot be looked through."),
            Self::Large(bytes, most) => write!(
                f,
                "The call was made, and its result is held back: it has {bytes} bytes, and rules let {most} through. Ask for less."
            ),
            Self::Endless => {
                f.write_str("The call was made, and its result is held back: it is too large to be looked through, as rules want it. Ask for less.")
            }
        }
    }
}

impl Veil {
    /// What `obligations` put on an answer; `None` if nothing.
    pub fn of(obligations: &Obligations) -> Option<Self> {
        let shows = |redact: &&Arc<Redact>| !matches!(***redact, Redact::Argument(_));
        let redactions: Vec<_> = obligations.redactions.iter().filter(shows).cloned().collect();
        let idle = redactions.is_empty() && obligations.cap.is_none();
        (!idle).then_some(Self { redactions, cap: obligations.cap })
    }

    /// A message of the server, as it may be passed on; `None` if that is as it is.
    pub fn answer(&self, message: &str) -> Result<Option<String>, HeldBack> {
        let veiled = self.pass().message(message)?;
        let text = veiled.as_deref().unwrap_or(message);
        // spec: T-63: how much comes back of one call is bounded by those who write the rules, too.
        if let (Some(most), Some(result)) = (self.cap.bytes, scan::member(text, "result"))
            && result.len() as u64 > most
        {
            return Err(HeldBack::Large(result.len() as u64, most));
        }
        Ok(veiled)
    }

    fn pass(&self) -> Pass<'_> {
        let paths = self.redactions.iter().filter_map(|redact| match &**redact {
            Redact::Result(path) => Some(path.steps()),
            Redact::Argument(_) | Redact::Pattern(_) => None,
        });
        Pass::new(paths.collect(), masks(&self.redactions), self.cap.items)
    }
}

/// The arguments of a call as they may be recorded.
pub fn recorded<'a>(redactions: &[Arc<Redact>], arguments: &'a str) -> Cow<'a, str> {
    if redactions.is_empty() {
        return Cow::Borrowed(arguments);
    }
    let paths: Vec<&[PathStep]> = redactions
        .iter()
        .filter_map(|redact| match &**redact {
            Redact::Argument(path) => Some(path.steps()),
            Redact::Result(_) | Redact::Pattern(_) => None,
        })
        .collect();
    match Pass::new(Vec::new(), masks(redactions), None).whole(arguments, &paths, Spot::Plain) {
        Ok(None) => Cow::Borrowed(arguments),
        Ok(Some(masked)) => Cow::Owned(masked),
        // What cannot be looked through is not recorded either.
        Err(_) => Cow::Owned(format!("\"{}\"", Mask::MASK)),
    }
}

fn masks(redactions: &[Arc<Redact>]) -> Vec<&Mask> {
    let patterns = redactions.iter().filter_map(|redact| match &**redact {
        Redact::Pattern(mask) => Some(mask),
        Redact::Argument(_) | Redact::Result(_) => None,
    });
    patterns.collect()
}

#[cfg(test)]
mod tests;
