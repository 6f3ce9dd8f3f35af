//! Journal lines in the words of other systems. Pure: a line in, text out; nothing here sends anything.
//!
//! Promises: whatever a client, server or model put into a line, it writes no field, element or line of its own in any of
//! these formats; what a call was given and gave back is left out unless it is asked for.

mod cef;
mod class;
mod ocsf;
mod record;
mod syslog;

pub use cef::cef;
pub use class::severity;
pub use ocsf::ocsf;
pub use record::{Contents, Record};
pub use syslog::{SMALLEST, framed, syslog};

/// A form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As they stand in the journal.
    #[default]
    Json,
    /// ArcSight Common Event Format.
    Cef,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
}

impl Format {
    /// The line in this form, without a line end.
    pub fn write(self, record: &Record) -> String {
        match self {
            Self::Json => record.to_json().to_owned(),
            Self::Cef => cef(record),
            Self::Ocsf => ocsf(record),
        }
    }
}
