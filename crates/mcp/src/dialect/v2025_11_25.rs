//! 2025-11-25: the newest of the older revisions, and in shapes the nearest to today's.
//!
//! It has all kinds of content, forms as today's and pages to open (with an id of their own), sampling with tools. Only
//! that the server asks by requests of its own, that sessions hold what requests say today, and its experimental tasks
//! set it apart.

use super::{Elicits, Revision, Samples};
use crate::Version;

pub(super) static REVISION: Revision = Revision {
    version: Version::V2025_11_25,
    blocks: &["text", "image", "audio", "resource_link", "resource"],
    structured: true,
    elicits: Elicits::FormsAndPages,
    samples: Samples::Lists,
};
