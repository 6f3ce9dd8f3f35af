//! Journal lines in the words of other systems. Pure: a line in, text out; nothing here sends anything.
//!
//! Promises: whatever a client, server or model put into a line, it writes no field, element or line of its own in any of
//! these formats; what a call was given and gave back is left out unless it is asked for.

mod cef;
mod class;
mod record;
mod syslog;

pub use cef::cef;
pub use class::severity;
pub use record::{Contents, Record};
pub use syslog::{SMALLEST, framed, syslog};
